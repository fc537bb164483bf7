"""A program on a pseudo terminal, as a user sees it."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from .program import environment

PATIENCE_S = 20.0
PROGRAM = (sys.executable, "-m", "mlopsdoc")


class Terminal:
    """A program on a pseudo terminal of its own, which controls it as a login does."""

    def __init__(
        self, *argv: str, place: Path, columns: int = 80, lines: int = 24, program: Sequence[str] = PROGRAM, **more: str
    ) -> None:
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        env = environment(place, **{"TERM": "xterm-256color", "LANG": "C.UTF-8", **more})
        command = ["setsid", "--ctty", *program, *argv]
        self.process = subprocess.Popen(command, env=env, cwd=place, stdin=slave, stdout=slave, stderr=slave)
        self.out = b""

    def until(self, is_so: Callable[[bytes], bool]) -> bytes:
        end = time.monotonic() + PATIENCE_S
        while not is_so(self.out):
            assert time.monotonic() < end, self.out[-2000:]
            self.take(0.05)
        return self.out

    def take(self, seconds: float) -> None:
        if select.select([self.master], [], [], seconds)[0]:
            self.out += os.read(self.master, 1 << 16)

    def rest(self, seconds: float) -> None:
        """Take what comes for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.take(left)

    def ended(self) -> int:
        """The exit code, with all that was written."""
        code = self.process.wait(PATIENCE_S)
        while select.select([self.master], [], [], 0)[0]:
            self.out += os.read(self.master, 1 << 16)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for fd in (self.master, self.slave):
            try:
                os.close(fd)
            except OSError:
                pass
