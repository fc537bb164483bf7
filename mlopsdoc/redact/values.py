"""The values that were learned at a label, and where in other text they stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from re import Match, Pattern
from typing import Any

from mlopsdoc.redact.rules import END, SHORTEST, START, WORDS, compiled
from mlopsdoc.redact.words import Words

_BARE = "(?:(?<![A-Za-z0-9])|(?<=0x))"


class Values:
    """Values in small letters. kinds: what each is."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}
        self._by_run: dict[str, list[str]] = {}  # the longest run of letters and digits in a value -> values
        self._spaced: list[str] = []  # those of more than a word

    def keep(self, kind: str, value: str) -> None:
        """Learn a value, unless it is one that may stand for anything."""
        if kind == "host" and "." in value:
            value, _, domain = value.partition(".")
            if "." in domain:
                self.keep("domain", domain)
        if kind == "mac" and len(value := compiled("[:.-]").sub("", value)) != 12:  # its form is found without this
            return
        low = value.lower().replace(":", "") if kind == "guid" else value.lower().removeprefix("0x")
        runs = compiled(r"[a-z0-9]+").findall(low)
        is_number = value.isdecimal() and len(value) < 9
        if len(value) < SHORTEST[kind] or low in WORDS or low in self.kinds or not runs or is_number:
            return
        if kind == "user" and len(value) > 8:
            self.keep(kind, value[:7] + "+")  # as ps writes it
        self.kinds[low] = kind
        if " " in low or "\n" in low:
            self._spaced.append(low)
        else:
            self._by_run.setdefault(max(runs, key=len), []).append(low)

    def of_words(self, text: str) -> Pattern[str] | None:
        """The pattern of the values in a text that are more than a word."""
        low = text.lower() if self._spaced else ""
        found = frozenset(value for value in self._spaced if value in low)
        return _any_of(found, _has_escapes(text)) if found else None

    def holding(self, words: Words) -> tuple[Pattern[str] | None, list[str]]:
        """The pattern of the values that may stand in some words, and the words in which they may."""
        runs = words.runs & self._by_run.keys()
        if not runs:
            return None, []
        found = words.with_runs(runs)
        near = frozenset(value for run in runs for value in self._by_run[run])
        return _any_of(near, any(map(_has_escapes, found))), found

    def found(self, text: str, words: Words) -> Iterator[Match[str]]:
        """Where values stand in a text; `words` are its words."""
        of_words = self.of_words(text)
        yield from of_words.finditer(text) if of_words else ()
        pattern, holding = self.holding(words)
        if pattern is not None:
            for word in holding:
                yield from pattern.finditer(word)


@lru_cache(64)
def _any_of(values: frozenset[str], has_escapes: bool) -> Pattern[str]:
    """One pattern for many values, those with the same beginning together: else each would be tried everywhere."""
    tree: dict[str, Any] = {}
    for value in values:
        at = tree
        for char in value:
            at = at.setdefault(char, {})
        at[""] = {}

    def branch(at: dict[str, Any]) -> str:
        line = ""
        while len(at) == 1 and "" not in at:  # one way on
            char, at = next(iter(at.items()))
            line += re.escape(char)
        ways = [re.escape(char) + branch(rest) for char, rest in at.items() if char]
        if not ways:
            return line
        return f"{line}(?:{'|'.join(ways)}){'?' if '' in at else ''}"

    return re.compile(f"(?i:{START if has_escapes else _BARE}{branch(tree)}{END})", re.ASCII)


def _has_escapes(text: str) -> bool:
    return "\\" in text or "%" in text
