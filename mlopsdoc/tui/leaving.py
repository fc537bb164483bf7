"""Leaving when told to by a signal: the terminal is given back, and nothing waits for ever."""

from __future__ import annotations

import os
import signal
import termios
from collections.abc import Callable
from threading import Timer
from types import FrameType
from typing import Any

PATIENCE_S = 0.8
# Leave the kitty keyboard protocol, bracketed paste, focus reports and the alternate screen; wrap, show the cursor.
_PLAIN_SCREEN = b"\x1b[<u\x1b[?2004l\x1b[?1004l\x1b[?7h\x1b[?1049l\x1b[?25h"


def on_signals(leave: Callable[[int], None]) -> None:
    """On SIGHUP and SIGTERM call `leave` with the exit code, and end the process if that takes too long.

    Call it while the terminal is as it is to be given back. (These are no handlers of the event loop: that
    one stands still when the terminal does.)
    """
    try:
        before = termios.tcgetattr(0)
    except termios.error:
        before = None

    def handle(number: int, _: FrameType | None) -> None:
        timer = Timer(PATIENCE_S, _end, (128 + number, before))
        timer.daemon = True
        timer.start()
        leave(128 + number)

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, handle)


def _end(code: int, attributes: list[Any] | None) -> None:
    """Give the terminal back as far as it lets us, and go."""
    try:
        os.set_blocking(1, False)
        os.write(1, _PLAIN_SCREEN)
    except OSError:
        pass
    try:
        os.set_blocking(1, True)  # the shell has the same open file
        if attributes is not None:
            termios.tcsetattr(0, termios.TCSANOW, attributes)
    except (OSError, termios.error):
        pass
    os._exit(code)
