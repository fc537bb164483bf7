"""Leaving when told to by a signal: the terminal is given back, and nothing waits for ever."""

from __future__ import annotations

import os
import signal
import sys
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

    (Not a handler of the event loop: that one stands still when the terminal does.)
    """
    before = _attributes()

    def handle(number: int, _: FrameType | None) -> None:
        end_later(128 + number, before)
        leave(128 + number)

    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, handle)


def end_later(code: int, attributes: list[Any] | None) -> None:
    """End the process in a while, whatever hangs."""
    timer = Timer(PATIENCE_S, _end, (code, attributes))
    timer.daemon = True
    timer.start()


def _attributes() -> list[Any] | None:
    try:
        return termios.tcgetattr(0)
    except termios.error:
        return None


def _end(code: int, attributes: list[Any] | None) -> None:
    """Give the terminal back as far as it lets us, and go."""
    try:
        os.set_blocking(sys.__stderr__.fileno() if sys.__stderr__ else 2, False)
        os.write(2, _PLAIN_SCREEN)
    except OSError:
        pass
    try:
        if attributes is not None:
            termios.tcsetattr(0, termios.TCSANOW, attributes)
    except termios.error:
        pass
    os._exit(code)
