"""What travels between the process that asks and the one that draws: messages, each with its length."""

from __future__ import annotations

import socket
from typing import TypeAlias

import msgspec
from msgspec import Struct

from mlopsdoc.model import Report, Result

MAX_MESSAGE = 1 << 28


class Planned(Struct, frozen=True):
    """A check that will be run."""

    id: str
    area: str
    title: str


class Plan(Struct, frozen=True, tag=True):
    """First of all: which checks there are, and where their runbooks lie, by name."""

    live: bool
    checks: list[Planned]
    runbooks: dict[str, str]


class Came(Struct, frozen=True, tag=True):
    """A result that is new, or differs from what was last said of its check."""

    result: Result


class Made(Struct, frozen=True, tag=True):
    """A round is over."""

    report: Report


class Trouble(Struct, frozen=True, tag=True):
    """A round could not be held: why."""

    why: str


class Closed(Struct, frozen=True, tag=True):
    """Instead of a plan: a recording cannot be opened, and with which exit code that ends."""

    why: str
    code: int


class Again(Struct, frozen=True, tag=True):
    """Ask anew: for one check, or for all when it is empty."""

    check: str = ""


class Pause(Struct, frozen=True, tag=True):
    """Ask nothing until told otherwise."""

    on: bool


class Touch(Struct, frozen=True, tag=True):
    """Find out what a step would touch: its text, its class, its values."""

    text: str
    touch: str
    values: dict[str, str]


class Touched(Struct, frozen=True, tag=True):
    """What a step would touch, a line each."""

    rows: list[str]


class Devices(Struct, frozen=True, tag=True):
    """What the GPUs do now, a row each: name, use, temperature, power, clock, who runs there."""

    rows: list[list[str]]


Said: TypeAlias = Plan | Came | Made | Trouble | Closed | Touched | Devices
Order: TypeAlias = Again | Pause | Touch


def packed(message: Said | Order) -> bytes:
    """A message with its length before it."""
    data = msgspec.msgpack.encode(message)
    return len(data).to_bytes(4, "little") + data


class Unpacker:
    """Bytes in, messages out. Raises ValueError for what is no message."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def _frames(self, data: bytes) -> list[bytes]:
        self._rest += data
        whole: list[bytes] = []
        while len(self._rest) >= 4:
            end = 4 + int.from_bytes(self._rest[:4], "little")
            if end > MAX_MESSAGE:
                raise ValueError("too long a message")
            if len(self._rest) < end:
                break
            whole.append(bytes(self._rest[4:end]))
            del self._rest[:end]
        return whole

    def said(self, data: bytes) -> list[Said]:
        return [msgspec.msgpack.decode(frame, type=Said) for frame in self._frames(data)]

    def orders(self, data: bytes) -> list[Order]:
        return [msgspec.msgpack.decode(frame, type=Order) for frame in self._frames(data)]


def send(channel: socket.socket, message: Said | Order) -> None:
    """All of it, however long that takes."""
    channel.sendall(packed(message))
