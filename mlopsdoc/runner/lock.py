"""One step that changes something at a time on a host, whoever starts it, and each sees who is at work.

The lock is a socket without a file: it needs no folder that all users may write, names the process that holds it
(the kernel does, it cannot be made up), and is gone when that process is. A state folder that was given
(STATE_DIRECTORY) is a world of its own.
"""

from __future__ import annotations

import os
import pwd
import socket
import struct
from contextlib import suppress
from hashlib import sha256

from mlopsdoc.clean import decode, one_line

NAME = "\0mlopsdoc-runner"


class Held(RuntimeError):
    """Somebody else's step runs: whose, and what."""


def address() -> str:
    """The name of the socket: one a host, or one a state folder that was given."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return NAME + (f"-{sha256(given.encode()).hexdigest()[:16]}" if given.startswith("/") else "")


class Lock:
    """Held until the process ends. `fd` is readable when somebody asks who holds it: then call `tell`."""

    def __init__(self, about: str) -> None:
        self._about = about.encode()[:400]
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.bind(address())
        except OSError:
            self._socket.close()
            raise Held(holder() or "another step began this very moment") from None
        self._socket.listen(8)
        self._socket.setblocking(False)
        self.fd = self._socket.fileno()

    def tell(self) -> None:
        with suppress(OSError):
            asking, _ = self._socket.accept()
            with asking:
                asking.setblocking(False)
                asking.send(self._about)


def holder() -> str:
    """Who holds the lock, and for what; empty when nobody does."""
    asking = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asking.settimeout(0.5)
    with asking:
        try:
            asking.connect(address())
            said = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return ""
        pid, uid, _ = struct.unpack("3i", said)
        try:
            about = decode(asking.recv(400))
        except OSError:
            about = ""
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = f"user {uid}"
    return one_line(f"{user} (pid {pid}) {about or 'runs a step and does not say which'}", 300)
