"""Recordings in memory: kept from any host while it answers, and asked again later."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

from mlopsdoc.hosts.base import (
    Answer,
    AnswerStatus,
    Host,
    Tree,
    link_key,
    probe_key,
    read_key,
    run_key,
    tree_key,
)


class Recording:
    """The answers of one host at one moment.

    answers: by key, the files of trees too. trees: by key, the paths that a pattern matched. unlisted: what a
    question says that was never put: not_captured, or absent for hosts that were written by hand. is_lower_bound:
    taken_at is the newest time that the answers state, so ages are at least what they seem; it is 0 where none does.
    notes: what should be said of the source besides its answers, a line each. understood: how many commands were
    known, of how many (both 0 where nobody typed commands). is_known: whether anything in it was. place: the
    container whose answers these are, as in ``pod job-0``. profile: the TOML of the host's own, if it comes along.
    is_redacted: names and addresses in it are pseudonyms.
    """

    def __init__(self, taken_at: float, *, unlisted: AnswerStatus = "not_captured") -> None:
        self.taken_at = taken_at
        self.unlisted: AnswerStatus = unlisted
        self.answers: dict[str, Answer] = {}
        self.trees: dict[str, list[str]] = {}
        self.before: Recording | None = None
        self.complete = True
        self.is_lower_bound = False
        self.notes: list[str] = []
        self.is_known = True
        self.understood: tuple[int, int] = (0, 0)
        self.place = ""
        self.profile: dict[str, Any] = {}
        self.is_redacted = False

    def part(self, wanted: Callable[[Answer], bool]) -> Recording:
        """Only the answers that are wanted, and what matched the trees among them."""
        part = Recording(self.taken_at, unlisted=self.unlisted)
        for key, answer in self.answers.items():
            if wanted(answer):
                part.answers[key] = answer
                part.trees.update({key: self.trees[key]} if key in self.trees else {})
        for paths in part.trees.values():
            part.answers.update({read_key(path): self.answers[read_key(path)] for path in paths})
        return part


class Replay(Host):
    """A host that answers from a recording."""

    def __init__(self, recording: Recording) -> None:
        self.recording = recording
        self.now_is_at_least = recording.is_lower_bound or not recording.taken_at
        self._sorted: list[str] = []

    def _answer(self, key: str) -> Answer:
        found = self.recording.answers.get(key)
        if found is not None:
            return found
        why = "not in this recording" if self.recording.unlisted == "not_captured" else "not there"
        return Answer(key, self.recording.unlisted, why=why, at=self.recording.taken_at)

    def read(self, path: str) -> Answer:
        return self._answer(read_key(path))

    def link(self, path: str) -> Answer:
        return self._answer(link_key(path))

    def run(self, *argv: str) -> Answer:
        return self._answer(run_key(argv))

    def probe(self, name: str, *args: str) -> Answer:
        return self._answer(probe_key(name, args))

    def tree(self, pattern: str) -> Tree:
        key = tree_key(pattern)
        listing, at = self._answer(key), self.recording.taken_at
        if (paths := self.recording.trees.get(key)) is not None:
            return Tree(listing, {path: self.read(path) for path in paths})
        start, matches = _pattern(pattern)
        answers = self.recording.answers
        files = {key.removeprefix("read "): answers[key] for key in filter(matches, self.keys(start))}
        if listing.status == "absent":  # written by hand: it is whole
            listing = Answer(key, "ok", at=at)
        elif files:
            listing = Answer(key, "truncated", why="there may be more than was recorded", at=at)
        return Tree(listing, files)

    def keys(self, start: str) -> list[str]:
        """The keys of all answers that begin so, sorted."""
        if len(self._sorted) != len(self.recording.answers):
            self._sorted = sorted(self.recording.answers)
        first, end = bisect_left(self._sorted, start), start[:-1] + chr(ord(start[-1]) + 1)
        return self._sorted[first : bisect_left(self._sorted, end, first)]

    def now(self) -> float:
        return self.recording.taken_at

    def before(self) -> Host | None:
        return Replay(self.recording.before) if self.recording.before else None


@cache
def _pattern(pattern: str) -> tuple[str, Callable[[str], object]]:
    """How the keys of a tree's files begin, and whether one matches its pattern: ``*``, ``?`` and ``[a-z]``, none of
    which goes beyond a slash."""
    wild = {"*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*|\?|\[!?[^]]+\])", read_key(pattern))
    source = "".join(wild.get(p) or (p.replace("[!", "[^") if p.startswith("[") else re.escape(p)) for p in parts)
    return re.split(r"[*?[]", read_key(pattern), maxsplit=1)[0], re.compile(source).fullmatch


class Recorder(Host):
    """Any host, while keeping its answers. No question is put to it twice.

    `known` are answers of an earlier moment that are still good enough.
    """

    def __init__(self, host: Host, known: Recording | None = None) -> None:
        self.host = host
        self.is_live = host.is_live
        self.now_is_at_least = host.now_is_at_least
        self.recording = Recording(host.now())
        if known is not None:
            self.recording.answers.update(known.answers)
            self.recording.trees.update(known.trees)
        self._lock = Lock()
        self._asking: dict[str, Lock] = {}
        self._before_lock = Lock()  # its own: the earlier state may be slow to find, and holds nobody up
        self._before: Host | None = None
        self._before_known = False

    def _once(self, key: str, ask: Callable[[], None]) -> Answer:
        with self._lock:
            turn = self._asking.setdefault(key, Lock())
        with turn:
            if key not in self.recording.answers:
                ask()
            return self.recording.answers[key]

    def _keep(self, key: str, ask: Callable[[], Answer]) -> Answer:
        def asked() -> None:
            self.recording.answers.setdefault(key, ask())

        return self._once(key, asked)

    def read(self, path: str) -> Answer:
        return self._keep(read_key(path), lambda: self.host.read(path))

    def link(self, path: str) -> Answer:
        return self._keep(link_key(path), lambda: self.host.link(path))

    def run(self, *argv: str) -> Answer:
        return self._keep(run_key(argv), lambda: self.host.run(*argv))

    def probe(self, name: str, *args: str) -> Answer:
        return self._keep(probe_key(name, args), lambda: self.host.probe(name, *args))

    def tree(self, pattern: str) -> Tree:
        key = tree_key(pattern)

        def ask() -> None:
            tree = self.host.tree(pattern)
            for path, answer in tree.items():
                self.recording.answers.setdefault(read_key(path), answer)
            self.recording.trees[key] = list(tree)
            self.recording.answers[key] = tree.listing

        listing = self._once(key, ask)
        answers = self.recording.answers
        return Tree(listing, {path: answers[read_key(path)] for path in self.recording.trees.get(key, ())})

    def now(self) -> float:
        return self.recording.taken_at

    def before(self) -> Host | None:
        with self._before_lock:
            if not self._before_known:
                self._before = self.host.before()
                self._before_known = True
                if isinstance(self._before, Replay):
                    self.recording.before = self._before.recording
            return self._before
