"""The screen's end of the channel to the process that asks."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from textual.message import Message

from mlopsdoc.tui import CannotOpen
from mlopsdoc.tui.messages import EngineEnded, EngineSaid
from mlopsdoc.tui.wire import Closed, Order, Said, Unpacker, packed


class Feed:
    """Reads on the event loop of the app; never waits. `pid` is that of the other process."""

    def __init__(self, channel: socket.socket, pid: int) -> None:
        self._channel = channel
        self._pid = pid
        self._unpacker = Unpacker()
        self._post: Callable[[Message], object] = lambda _: None
        self._early: list[Said] = []

    def wait(self) -> None:
        """Until the other process has said something; raises CannotOpen where it has nothing to show."""
        while not self._early and (data := self._channel.recv(1 << 18)):
            self._early = self._unpacker.said(data)
        if self._early and isinstance(first := self._early[0], Closed):
            raise CannotOpen(first.why, first.code)

    def start(self, post: Callable[[Message], object]) -> None:
        self._post = post
        for said in self._early:
            post(EngineSaid(said))
        self._channel.setblocking(False)
        asyncio.get_running_loop().add_reader(self._channel, self._readable)

    def _readable(self) -> None:
        try:
            data = self._channel.recv(1 << 18)
            messages = self._unpacker.said(data)
        except BlockingIOError:
            return
        except (OSError, ValueError) as error:
            data, messages = b"", []
            self._post(EngineEnded(f"what runs the checks cannot be understood: {error}"))
        for said in messages:
            self._post(EngineSaid(said))
        if not data:
            asyncio.get_running_loop().remove_reader(self._channel)
            self._post(EngineEnded(self._fate()))

    def _fate(self) -> str:
        """How the process ended, in words; it may not have been collected yet."""
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            return "what runs the checks has ended"
        code = os.waitstatus_to_exitcode(status) if pid else 0
        return "what runs the checks " + (f"was ended by signal {-code}" if code < 0 else "has ended")

    def order(self, order: Order) -> bool:
        """Whether the other process will hear it."""
        try:
            self._channel.sendall(packed(order))
        except OSError:
            return False
        return True

    def close(self) -> None:
        """The other process ends when this does."""
        self._channel.close()
