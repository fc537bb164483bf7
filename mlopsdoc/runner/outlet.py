"""Where the output of a step goes: all of it to a file and a hash, what is taken quickly enough to whoever watches."""

from __future__ import annotations

import hashlib
import os
import select
import socket
import time
from contextlib import suppress

from mlopsdoc.clean import decode
from mlopsdoc.runner.plan import Event, Printed, Skipped, packed

MOST_WAITING = 1 << 20
MOST_LOGGED = 1 << 28
LONGEST_LINE = 1 << 13
KEPT_LOGS = 100


class Outlet:
    """Messages to whoever watches. It never waits for a slow one: output that finds no room is counted, not sent."""

    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        channel.setblocking(False)
        self.is_open = True
        self.waiting = bytearray()
        self._skipped = 0

    def tell(self, event: Event) -> None:
        if not self.is_open:
            return
        if isinstance(event, Printed) and len(self.waiting) > MOST_WAITING:
            self._skipped += len(event.text)
            return
        if self._skipped:
            self.waiting += packed(Skipped(self._skipped))
            self._skipped = 0
        self.waiting += packed(event)
        self.flush()

    def flush(self) -> None:
        try:
            while self.waiting:
                del self.waiting[: self.channel.send(self.waiting)]
        except BlockingIOError:
            pass
        except OSError:
            self.is_open = False
            self.waiting.clear()

    def drain(self, seconds: float) -> None:
        """Wait until all is sent, but not longer than that."""
        until = time.monotonic() + seconds
        while self.waiting and (left := until - time.monotonic()) > 0:
            poll = select.poll()
            poll.register(self.channel, select.POLLOUT)
            poll.poll(left * 1000)
            self.flush()


class Output:
    """What a step prints. fd: where it writes to; reader: where it is read here."""

    def __init__(self, outlet: Outlet, path: str) -> None:
        self.reader, self.fd = os.pipe()
        os.set_blocking(self.reader, False)
        self._outlet = outlet
        self._log = _open_log(path) if path else -1
        self.path = path if self._log >= 0 else ""
        self.is_cut = self.is_over = False
        self.size = 0
        self._sum = hashlib.sha256()
        self._rest = b""

    @property
    def sha256(self) -> str:
        return self._sum.hexdigest()

    def begun(self) -> None:
        """The step has its end of the pipe: ours is closed."""
        os.close(self.fd)
        self.fd = -1

    def take(self) -> None:
        """Read what is there."""
        try:
            data = os.read(self.reader, 1 << 16)
        except BlockingIOError:
            return
        self.is_over = not data
        self.size += len(data)
        self._sum.update(data)
        self._keep(data)
        if self._outlet.is_open:
            self._rest += data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            whole = self._rest.rfind(b"\n") + 1
            self._tell(whole or (len(self._rest) if len(self._rest) > LONGEST_LINE else 0))

    def rest(self) -> None:
        """Tell the line that has no end yet."""
        self._tell(len(self._rest))

    def _tell(self, count: int) -> None:
        if count:
            self._outlet.tell(Printed(decode(self._rest[:count])))
            self._rest = self._rest[count:]

    def _keep(self, data: bytes) -> None:
        if self._log < 0 or self.is_cut:
            return
        try:
            self.is_cut = self.size > MOST_LOGGED or os.write(self._log, data) < len(data)
        except OSError:
            self.is_cut = True

    def close(self) -> None:
        for fd in (self.fd, self.reader, self._log):
            with suppress(OSError):
                os.close(fd)
        self.fd = self.reader = self._log = -1


def _open_log(path: str) -> int:
    """A new file, and the oldest of its neighbours away; -1 where none can be made."""
    folder = os.path.dirname(path)
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        for name in sorted(os.listdir(folder))[:-KEPT_LOGS]:
            os.unlink(f"{folder}/{name}")
    except OSError:
        return -1
    return fd
