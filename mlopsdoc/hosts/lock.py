"""One run at a time on a machine, or a slow one would pile up behind itself in cron."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress

WAIT_S = 3.0


class Held(RuntimeError):
    """Another run holds the lock."""


def claim(fd: int, wait_s: float) -> None:
    """Lock an open file; raises BlockingIOError when another has it for longer than we wait."""
    until = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


@contextmanager
def only_run(states: Sequence[str]) -> Generator[None]:
    """Hold the lock of the first state folder, or raise Held. Where nothing can be written there is none."""
    fd = _open(states[0]) if states else None
    if fd is None:
        yield
        return
    try:
        try:
            claim(fd, WAIT_S)
        except BlockingIOError:
            holder = os.pread(fd, 64, 0).decode("ascii", "replace").strip() or "unknown"
            raise Held(f"another run (pid {holder}) holds {states[0]}/lock") from None
        with suppress(OSError):  # a full disk is what we are here to say
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _open(state: str) -> int | None:
    try:
        os.makedirs(state, 0o755, exist_ok=True)
        return os.open(f"{state}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
