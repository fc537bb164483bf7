"""What happens to a terminal while the screen is on it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from .terminal import PATIENCE_S, Terminal


def test_after_a_stop_the_whole_screen_is_drawn_again(tmp_path: Path) -> None:
    terminal = Terminal("demo", place=tmp_path)
    try:
        terminal.until(lambda out: b"RECORDING" in out and b"Meaning" in out)
        os.write(terminal.master, b"\x1a")
        terminal.until(lambda out: b"\x1b[?1049l" in out)
        end = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{terminal.process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < end
            time.sleep(0.02)
        seen = len(terminal.out)
        terminal.process.send_signal(signal.SIGCONT)
        terminal.until(lambda out: b"RECORDING" in out[seen:] and b"Meaning" in out[seen:])
        terminal.rest(0.3)
        seen = len(terminal.out)
        os.write(terminal.master, b"\x0c")
        terminal.until(lambda out: b"RECORDING" in out[seen:] and b"Meaning" in out[seen:])
    finally:
        terminal.close()
