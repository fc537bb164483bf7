"""Redacts a recording in memory: learns what is somebody's, replaces it everywhere, and proves that it is gone.

First all answers are read for values that stand at a label ("Serial Number: ..."), so that the same value is found
where it has none (the drive in `zpool status`, the user in a path). Then every answer is swept: by label, by those
values, by form. What cannot be redacted for certain is left out, and said to be.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from re import Match
from typing import Any

from mlopsdoc.hosts.base import Answer, link_key, probe_key, read_key, run_key, split, tree_key
from mlopsdoc.hosts.recorder import Recording
from mlopsdoc.redact.judges import JUDGES, is_address
from mlopsdoc.redact.pseudonyms import Pseudonyms
from mlopsdoc.redact.rules import (
    DOMAINS,
    KEPT,
    NEVER,
    PACKAGES,
    PUBLIC,
    RULES,
    SHORTEST,
    Rule,
    compiled,
)
from mlopsdoc.redact.tables import cells, columns, series, siblings
from mlopsdoc.redact.texts import blocks, decoded, is_binary, parsed, pieces, plain_key, readable, without_serial
from mlopsdoc.redact.values import Values
from mlopsdoc.redact.words import Words

RULESET = 3
LEFT_OUT = "left out of a redacted snapshot"
_PUBLIC = tuple(f".{name}" for name in PUBLIC)
_CONFIG = "read /sys/bus/pci/devices/*/config"
_FOUR = r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}"
_BY_FORM = ("ipv4", "ipv6", "uuid", "email")  # found wherever they stand


class Leak(ValueError):
    """Something is still there after it was replaced; the text names no value."""


class Redactor:
    """Redacts with one key. What it learned from one recording holds for all that come after."""

    def __init__(self, key: bytes) -> None:
        self.pseudonyms = Pseudonyms(key)
        self.times: Counter[str] = Counter()
        self.left_out: dict[str, str] = {}
        self._values = Values()

    # learning

    def learn(self, recording: Recording) -> None:
        """Find the values that have a label, in all answers of a recording."""
        for key, answer in recording.answers.items():
            self._learn_text(plain_key(key), "")
            self._learn_text(decoded(answer.stderr), key)
            if not _never(key) and not is_binary(answer.data):
                for text in readable(answer.data):
                    self._learn_text(text, key)
                if key.startswith("run "):
                    self._learn_tables(decoded(answer.data), is_csv=key.startswith("run nvidia-smi --query"))
        self._learn_after_underscores(recording)
        stems = series(value for value, kind in self._values.kinds.items() if kind == "host")
        for answer in recording.answers.values() if stems else ():
            for block in blocks(answer.data):
                for host in siblings(stems, decoded(block)):
                    self._values.keep("host", host)
        if recording.before is not None:
            self.learn(recording.before)

    def _learn_after_underscores(self, recording: Recording) -> None:
        """``peer_10.20.3.11`` is an address where another answer has the same one, and else a version."""
        texts = [answer.data for answer in recording.answers.values() if b"." in answer.data]
        after = compiled(rf"_({_FOUR})(?![0-9.])")
        found = {
            address
            for data in texts
            if b"_" in data
            for block in blocks(data)
            for address in after.findall(decoded(block))
        }
        bare = compiled(rf"(?<![A-Za-z0-9_.+~-])({_FOUR})(?![A-Za-z0-9_+~-]|\.[0-9])")
        for data in texts if found else ():
            for block in blocks(data):
                for match in bare.finditer(decoded(block)):
                    if match[1] in found and self._is_named("ipv4", match[1], match):
                        self._values.keep("ipv4", match[1])
                        found.discard(match[1])

    def _learn_text(self, text: str, key: str) -> None:
        for piece in pieces(text):
            for rule, match in _matches(Words.of(piece), key, _BY_FORM):
                value = match[1]
                if self._is_named(rule.kind, value, match):
                    self._values.keep(rule.kind, value)

    def _learn_tables(self, text: str, *, is_csv: bool) -> None:
        for kind, value in cells(text) if is_csv else columns(text):
            is_name = compiled(r"[A-Za-z0-9_][A-Za-z0-9_.-]*").fullmatch(value) and not is_address(value)
            has_number = kind == "user" or any(map(str.isdecimal, value))
            if is_name and has_number and value.lower() not in KEPT[kind]:
                self._values.keep(kind, value)

    # what a value is

    def _is_named(self, kind: str, value: str, match: Match[str]) -> bool:
        """Whether a match is what its rule looks for, and none of what stays."""
        low = value.lower()
        if self.pseudonyms.is_ours(low) or low in KEPT.get(kind, ()):
            return False
        judge = JUDGES.get(kind)
        if judge is not None and not judge(value, match):
            return False
        return kind not in ("host", "domain", "email") or not self._stays(low)

    def _stays(self, name: str) -> bool:
        """Names of everybody's, and those that were made here."""
        name = name.rpartition("@")[2]
        first, dot, rest = name.partition(".")
        if not dot:
            return False
        is_ours = self.pseudonyms.is_ours(first) and self.pseudonyms.is_ours(rest)
        return is_ours or f".{name}".endswith(_PUBLIC) or is_address(name)

    # replacing

    def text(self, text: str, key: str = "") -> str:
        """The text with everything replaced. key: the question that it answers."""
        return "".join(self._piece(piece, key) for piece in pieces(text))

    def _piece(self, piece: str, key: str) -> str:
        if "-----BEGIN" in piece:  # before its words are replaced
            piece = compiled(RULES[0].pattern).sub(self._by_rule(RULES[0]), piece)
        words = self._by_learned(piece)
        lines = [*words.said]
        changed = set[int]()
        for rule in words.likely(_rules_for(key)):
            rows = words.rows(rule)
            text = "\n".join([lines[n] for n in rows])
            if not (rule.signs or any(self._is_named(rule.kind, m[1], m) for m in _found(rule, text))):
                continue
            made = compiled(rule.pattern).sub(self._by_rule(rule), text)
            if made != text:
                changed.update(_put(lines, rows, made))
        if rows := sorted(changed):
            for n, line in zip(rows, self._by_learned("\n".join([lines[n] for n in rows])).said, strict=True):
                lines[n] = line
        return "\n".join(lines)

    def _by_rule(self, rule: Rule) -> Callable[[Match[str]], str]:
        def replaced(match: Match[str]) -> str:
            value = match[1]
            if value is None or not self._is_named(rule.kind, value, match):
                return match[0]
            start, end = match.start(1) - match.start(), match.end(1) - match.start()
            return match[0][:start] + self._made(rule.kind, value) + match[0][end:]

        return replaced

    def _made(self, kind: str, value: str, times: int = 1) -> str:
        self.times[kind] += times
        if kind == "host" and self._is_domain(value.lower()):
            return self.pseudonyms.of("domain", value.lower())
        return self.pseudonyms.of(kind, value if kind in ("serial", "uuid", "mac") else value.lower())

    def _is_domain(self, name: str) -> bool:
        """``example.com`` is a domain itself, ``gpu-17.local`` is a host in one."""
        first, _, rest = name.partition(".")
        return rest.count(".") == 0 and rest in DOMAINS and self._values.kinds.get(first) != "host"

    def _by_learned(self, text: str) -> Words:
        """The words of a text, the values that were learned replaced."""
        if of_words := self._values.of_words(text):
            text = of_words.sub(self._by_value(1), text)
        words = Words.of(text)
        pattern, holding = self._values.holding(words)
        if pattern is None:
            return words
        times = words.count(holding)
        made = {word: pattern.sub(self._by_value(times[word]), word) for word in holding}
        return words.swapped({word: new for word, new in made.items() if new != word})

    def _by_value(self, times: int) -> Callable[[Match[str]], str]:
        """What to put for a learned value that stands at so many places."""

        def replaced(match: Match[str]) -> str:
            if self.pseudonyms.is_ours(match[0]):
                return match[0]
            return self._made(self._values.kinds[match[0].lower()], match[0], times)

        return replaced

    def data(self, data: bytes, key: str) -> bytes:
        """Bytes of an answer, redacted. Raises Leak when something is left in it, or nobody can tell."""
        if not data:
            return data
        if fnmatchcase(key, _CONFIG):
            return without_serial(data)
        if is_binary(data):
            raise Leak("it is no text")
        value = parsed(data) if b"\\" in data else None
        if value is not None:
            text = json.dumps(self.json_value(value, key), ensure_ascii=False, indent=1 if b"\n" in data[:-1] else None)
            self.prove(text, key)
            return text.encode("utf-8", "surrogateescape")
        made = list[bytes]()
        for block in blocks(data):  # a log of 100 MB is in memory twice, not five times
            text = self.text(decoded(block), key)
            self.prove(text, key)
            made.append(text.encode("utf-8", "surrogateescape"))
        return b"".join(made)

    def json_value(self, value: Any, key: str = "", name: str = "") -> Any:
        """JSON, every text and name in it redacted; a text is read with its name before it."""
        if isinstance(value, dict):
            return {self.text(k): self.json_value(v, key, k) for k, v in self._without_wwn(value).items()}  # pyright: ignore
        if isinstance(value, list):  # "--password", "..." is the form of an argv
            options = [item if isinstance(item, str) and item[:1] == "-" else name for item in ("", *value)]  # pyright: ignore
            return [self.json_value(item, key, option) for item, option in zip(value, options, strict=False)]  # pyright: ignore
        if isinstance(value, int) and value >= 10 ** (SHORTEST["serial"] - 1):
            said = self.text(f"{name}={value}", key).removeprefix(f"{name}=")
            return int(said) if said.isdecimal() else value
        if not isinstance(value, str):
            return value
        said = self.text(f"{name}={value}", key)
        return said.removeprefix(f"{name}=") if said.startswith(f"{name}=") else self.text(value, key)

    def _without_wwn(self, value: Any) -> Any:
        """``{"naa": 5, "oui": 9528, "id": 61203283969}``, as smartctl writes a WWN, with another id."""
        name = "ext_id" if "ext_id" in value else "id"
        if "oui" not in value or not isinstance(value.get(name), int) or value[name] < 10000:
            return value
        return value | {name: int(self._made("serial", str(value[name])))}

    def key(self, key: str) -> str:
        """The key of an answer, redacted word by word: there they are quoted."""
        kind, _, rest = key.partition(" ")
        if kind in ("run", "probe"):
            parts = tuple(map(self.text, split(rest)))
            made = run_key(parts) if kind == "run" else probe_key(parts[0], parts[1:])
        else:
            made = {"read": read_key, "tree": tree_key, "link": link_key}[kind](self.text(rest))
        self.prove(plain_key(made), "")
        return made

    def recording(self, recording: Recording) -> Recording:
        """A redacted recording. The answers of the original are given up one by one, so that memory holds one copy."""
        made = Recording(recording.taken_at, unlisted=recording.unlisted)
        made.complete, made.is_lower_bound, made.notes = recording.complete, recording.is_lower_bound, []
        made.profile = self.json_value(recording.profile)
        for old in list(recording.answers):
            answer = recording.answers.pop(old)
            try:
                key = self.key(old)
            except Leak:
                self.left_out["a question"] = "its own words could not be redacted"
                continue
            made.answers.setdefault(key, self._answer(old, key, answer))
            if old in recording.trees:
                made.trees.setdefault(key, [self.text(path) for path in recording.trees[old]])
        if recording.before is not None:
            made.before = self.recording(recording.before)
        return made

    def _answer(self, old: str, key: str, answer: Answer) -> Answer:
        why = LEFT_OUT if _never(old) and answer.said else ""
        data = stderr = b""
        try:
            if not why:
                data, stderr = self.data(answer.data, old), self.data(answer.stderr, old)
        except Leak as leak:
            why = f"{LEFT_OUT}: {leak}"
        if why:
            self.left_out[key] = why
            return Answer(key, "not_captured", why=why, at=answer.at)
        said = self.text(answer.why)
        return Answer(
            key, answer.status, data, stderr=stderr, exit=answer.exit, why=said, at=answer.at, seconds=answer.seconds
        )

    # proving

    def prove_plain(self, text: str) -> None:
        """The same for text of ours, in which a label is no sign: ``mount /home/unseen`` names nobody."""
        self.prove(text, "", labels=False)

    def prove(self, text: str, key: str = "", *, labels: bool = True) -> None:
        """Raises Leak when anything that should have been replaced is there."""
        for piece in pieces(text):
            words = Words.of(piece)
            for rule, match in _matches(words, key, () if labels else ("host", "user", "serial", "domain", "secret")):
                if self._is_named(rule.kind, match[1], match):
                    raise Leak(f"a {rule.kind} is left in it")
            for match in self._values.found(piece, words):
                if not self.pseudonyms.is_ours(match[0]):
                    raise Leak(f"a {self._values.kinds[match[0].lower()]} is left in it")

    def report(self) -> dict[str, Any]:
        """What was replaced: how many values of each kind, how often, and what was left out. No value."""
        kinds = sorted(self.pseudonyms.values)
        values = {kind: len(self.pseudonyms.values[kind]) for kind in kinds}
        return {
            "ruleset": RULESET,
            "key": self.pseudonyms.name,
            "replaced": {
                kind: {"values": values[kind], "times": max(self.times[kind], values[kind])} for kind in kinds
            },
            "left_out": dict(sorted(self.left_out.items())),
        }


def _put(lines: list[str], rows: Sequence[int], text: str) -> Iterator[int]:
    """Put the lines of a text in the place of some; the numbers of those that are others now."""
    for n, line in zip(rows, text.split("\n"), strict=True):
        if lines[n] != line:
            lines[n] = line
            yield n


def _matches(words: Words, key: str, kinds: tuple[str, ...] = ()) -> Iterator[tuple[Rule, Match[str]]]:
    """What the rules find in a piece of text, those of some kinds left out."""
    for rule in words.likely(_rules_for(key)):
        if rule.kind not in kinds:
            for match in _found(rule, "\n".join([words.said[n] for n in words.rows(rule)])):
                yield rule, match


def _found(rule: Rule, text: str) -> Iterator[Match[str]]:
    """What a rule finds; where nearly every line has a match, each value once."""
    seen = set[str]()
    for match in compiled(rule.pattern).finditer(text):
        value = match[1]
        if value is not None and value not in seen:
            yield match
            if not rule.signs:
                seen.add(value)


@lru_cache(4096)
def _rules_for(key: str) -> tuple[Rule, ...]:
    """Rules of the answers to a question; where four numbers with dots are versions there is none for addresses."""
    is_packages = any(fnmatchcase(key, pattern) for pattern in PACKAGES)
    return tuple(
        rule
        for rule in RULES
        if any(fnmatchcase(key, pattern) for pattern in rule.keys) and not (is_packages and rule.kind == "ipv4")
    )


def _never(key: str) -> bool:
    return any(fnmatchcase(key, pattern) for pattern in NEVER)
