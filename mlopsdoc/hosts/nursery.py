"""The nursery: a process that only forks, so that it can never hang, and bears the lanes.

It is forked before any thread and any heavy import: forks of it are quick and safe. It opens nothing; its
standard streams are /dev/null, or an abandoned child would keep ``ssh host mlopsdoc | jq`` waiting for the
end of the pipe. It ends when its socket does.
"""

from __future__ import annotations

import os
import signal
import socket
from threading import Lock
from typing import NoReturn

from mlopsdoc.hosts.asking import serve


class Nursery:
    """The forked process, from this side. Make one before threads are started."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        # What is buffered now would be written twice. Only the child runs _serve, and it never returns.
        if (pid := os.fork()) == 0:
            self._socket.close()
            _serve(theirs)
        theirs.close()
        self.pid = pid
        self._one_at_a_time = Lock()

    def bear(self) -> tuple[socket.socket, int]:
        """The socket of a new lane, and its process id."""
        ours, theirs = socket.socketpair()
        with theirs, self._one_at_a_time:
            socket.send_fds(self._socket, [b"b"], [theirs.fileno()])
            pid = int.from_bytes(self._socket.recv(8), "little")
        if pid == 0:
            ours.close()
            raise OSError("no process can be made")
        return ours, pid


def _serve(orders: socket.socket) -> NoReturn:
    """Fork a lane for each order, until there are none."""
    try:
        _detach(orders.fileno())
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        while True:
            message, fds, _, _ = socket.recv_fds(orders, 1, 1)
            if not message or not fds:
                break
            try:
                pid = os.fork()
            except OSError:
                pid = -1
            if pid == 0:
                os.set_inheritable(fds[0], False)  # or a command would hold our end of the line
                orders.close()
                _lane(socket.socket(fileno=fds[0]))
            os.close(fds[0])
            orders.send(max(pid, 0).to_bytes(8, "little"))
    finally:
        os._exit(0)


def _detach(keep: int) -> None:
    """A session of its own, and nothing open that somebody could wait for."""
    os.setsid()
    os.chdir("/")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, keep)
    os.closerange(keep + 1, 1 << 16)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def _lane(questions: socket.socket) -> NoReturn:
    try:
        serve(questions)
    finally:
        os._exit(0)
