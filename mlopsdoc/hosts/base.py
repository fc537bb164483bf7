"""Host: the questions that may be put to a machine. Answer: what it said, or why it said nothing."""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, TypeAlias, cast

from mlopsdoc.clean import clean, decode, is_plain
from mlopsdoc.patterns import compiled

AnswerStatus: TypeAlias = Literal["ok", "absent", "denied", "failed", "timeout", "truncated", "not_captured"]
SAID: tuple[AnswerStatus, ...] = ("ok", "truncated")
MAX_JSON, MAX_JSON_PARTS = 4 << 20, 200_000  # bytes, and lists and objects: a hundred times what real ones have
_UNSAFE = r"[^A-Za-z0-9._+=@,~-]+"
MOST, MOST_OF_LOG = 4 << 20, 16 << 20  # bytes of an answer: what a live host is asked for, and facts can bear
_LOGS = ("run dmesg", "run journalctl", "read /dev/kmsg", "read /var/log/")


class Answer:
    """What the host said to one question.

    `status`: ok; absent (no such file or tool); denied (not for this user); failed (an error, or a command
    that ended with another exit code than 0: its bytes are kept); timeout; truncated (the bytes end at the
    cap); not_captured (a recording that was never asked). `data` is raw, `text` decoded and made safe.
    `why` is one line for a human when there are no bytes. `at` is seconds since the epoch. `order` counts up
    with time among the answers of one source whose times nobody knows, 0 where it tells nothing. Data that is given
    as a function is fetched each time it is asked for: a recording may hold more than should be in memory.
    """

    __slots__ = ("_data", "_json", "_text", "at", "exit", "key", "order", "seconds", "status", "stderr", "why")

    def __init__(
        self,
        key: str,
        status: AnswerStatus,
        data: bytes | Callable[[], bytes] = b"",
        *,
        stderr: bytes = b"",
        exit: int | None = None,
        why: str = "",
        at: float = 0.0,
        seconds: float = 0.0,
    ) -> None:
        self.key = key
        self.status: AnswerStatus = status
        self._data = data
        self.stderr = stderr
        self.exit = exit
        self.why = why
        self.at = at
        self.seconds = seconds
        self.order = 0
        self._text: str | None = None
        self._json: Any = None

    @property
    def said(self) -> bool:
        """Whether there are bytes that answer the question, in whole or in part."""
        return self.status in SAID

    @property
    def data(self) -> bytes:
        return self._data if isinstance(self._data, bytes) else self._data()

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = decode(self.data)
        return self._text

    def json(self) -> Any:
        """The data as JSON, every text in it made safe, for reading only: several facts may be given the same.

        Raises ValueError (too deep a nesting, too many parts too).
        """
        if self._json is not None:
            return self._json
        data = self.data
        parts = data.count(b"[") + data.count(b"{") if len(data) > MAX_JSON_PARTS else 0
        if len(data) > MAX_JSON or parts > MAX_JSON_PARTS:
            raise ValueError("too large")
        try:
            # Three times as fast, but it refuses halves of surrogates, which the names of files may have. Here, for
            # who reads strangers' archives has no packages.
            from msgspec.json import decode as quick

            self._json = quick(data) if is_plain(data) else safe(json.loads(data))
        except RecursionError:
            raise ValueError("nested too deep") from None
        return self._json

    def cut(self, start: int, stop: int) -> Answer:
        """A part of it."""
        status: AnswerStatus = "truncated" if self.status == "ok" else self.status
        data = self.data[start:stop]
        return Answer(
            self.key, status, data, stderr=self.stderr, exit=self.exit, why=self.why, at=self.at, seconds=self.seconds
        )

    def __repr__(self) -> str:
        return f"Answer({self.key!r}, {self.status!r}, {self.data[:60]!r}, exit={self.exit}, why={self.why!r})"


def safe(value: Any) -> Any:
    """JSON with every text in it made safe: an escape written as \\u001b is none in its bytes."""
    kind = cast("type[object]", type(value))
    if kind is str:
        return clean(value)
    if kind is dict:
        return {clean(key): safe(item) for key, item in value.items()}
    if kind is list:
        return [safe(item) for item in value]
    return value


class Tree(dict[str, Answer]):
    """The files that match a pattern, by path. `listing` tells whether the host could say which there are."""

    def __init__(self, listing: Answer, files: dict[str, Answer] | None = None) -> None:
        super().__init__(files or {})
        self.listing = listing


class Host(ABC):
    """A machine, or a recording of one. `is_live` hosts answer slowly, and many questions at once.

    now_is_at_least: when it was is not known, only that it was not before `now()`: ages are at least what they seem.
    """

    is_live = False
    now_is_at_least = False

    @abstractmethod
    def read(self, path: str) -> Answer:
        """The content of a file."""

    @abstractmethod
    def tree(self, pattern: str) -> Tree:
        """Every file whose path matches: `*`, `?` and `[]` within one component. One question, however many."""

    @abstractmethod
    def link(self, path: str) -> Answer:
        """Where a symbolic link points, as it is written there."""

    @abstractmethod
    def run(self, *argv: str) -> Answer:
        """The output of a command that changes nothing."""

    @abstractmethod
    def probe(self, name: str, *args: str) -> Answer:
        """What the library behind `probes/NAME.py` says, as JSON."""

    @abstractmethod
    def now(self) -> float:
        """Seconds since the epoch: of this moment, or of the recording."""

    @abstractmethod
    def before(self) -> Host | None:
        """An earlier state of the same boot, 10 s to 24 h old, or None."""


def read_key(path: str) -> str:
    """``read /proc/mdstat``"""
    return f"read {path}"


def tree_key(pattern: str) -> str:
    """``tree /sys/block/*/size``"""
    return f"tree {pattern}"


def link_key(path: str) -> str:
    """``link /sys/class/net/eth0/device``"""
    return f"link {path}"


def run_key(argv: tuple[str, ...]) -> str:
    """``run zpool status -j``"""
    return "run " + words(argv)


def given(key: str, size: int) -> tuple[int, int]:
    """Where what facts are given of a recorded answer begins and ends: of a log the end, of the rest the beginning."""
    is_log = key.startswith(_LOGS)
    most = min(size, MOST_OF_LOG if is_log else MOST)
    return (size - most, size) if is_log else (0, most)


def probe_key(name: str, args: tuple[str, ...]) -> str:
    """``probe nvml state``"""
    return "probe " + words((name, *args))


def words(parts: tuple[str, ...]) -> str:
    """Words joined by spaces, so that `split` gives them back: ``zpool status -j``, ``cat a%20b``."""
    replace = compiled(_UNSAFE).sub  # what urllib.parse.quote does, whose import costs as much as ten checks
    return " ".join([replace(_percent, part) or "%" for part in parts])


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))


def split(text: str) -> tuple[str, ...]:
    """The words that `words` joined."""
    from urllib.parse import unquote

    return tuple("" if part == "%" else unquote(part) for part in text.split(" "))
