"""A piece of text as its distinct words: a log of 100 MB says the same few thousand again and again.

Every sign of a rule is looked for once in each word, and what the rule finds only in the lines that have such a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache, cached_property, lru_cache
from itertools import chain

from mlopsdoc.redact.rules import ESCAPE, RULES, Rule, compiled

SHORT, LONG = 512, 256
MARKS = "#~?"
MOST = 1 << 17  # words that are remembered
_AS_X = {ord(char): "x" for char in "0123456789abcdef"}
_NO_LETTER = {code: " " for code in range(128) if not chr(code).islower()}
_RUNS = {code: " " for code in range(128) if not chr(code).isalnum() and chr(code) != "\n"}
_plain_words: set[str] = set()  # those of late that hold no sign: what is redacted is proven next


class Words:
    """Lines of text (`said`), their words (what stands between blanks), and `plain`, every word once."""

    def __init__(self, said: list[str], lines: list[list[str]], plain: Iterable[str]) -> None:
        self.said = said
        self.lines = lines
        self.plain = list(plain)

    @classmethod
    def of(cls, text: str) -> Words:
        return _short(text) if len(text) < SHORT else cls.split(text)

    @classmethod
    def split(cls, text: str) -> Words:
        said = text.split("\n")
        lines = [line.split(" ") for line in said]
        return cls(said, lines, set(chain.from_iterable(lines)))

    def swapped(self, swaps: dict[str, str]) -> Words:
        """The same with other words in place of some."""
        said, lines = [*self.said], [*self.lines]
        for n, line in enumerate(self.lines):
            if not swaps.keys().isdisjoint(line):
                lines[n] = [swaps.get(word, word) for word in line]
                said[n] = " ".join(lines[n])
        return Words(said, lines, [swaps.get(word, word) for word in self.plain])

    def count(self, words: Iterable[str]) -> Counter[str]:
        """How often each of some words stands there."""
        wanted = frozenset(words)
        return Counter(word for line in self.lines if not wanted.isdisjoint(line) for word in line if word in wanted)

    @cached_property
    def _joined(self) -> str:
        return "\n".join([*self.plain, ""]).lower()

    @cached_property
    def runs(self) -> set[str]:
        """The runs of letters and digits in the words, those after an escape and ``0x`` too."""
        found = set(self._joined.translate(_RUNS).split())
        escaped = "\n".join([word for word in self._joined.split("\n") if "\\" in word or "%" in word])
        found.update(compiled(ESCAPE).sub(" ", escaped).translate(_RUNS).split())
        found.update([run[2:] for run in found if run[:2] == "0x"])
        return found

    def with_runs(self, runs: set[str]) -> list[str]:
        """The words that have one of these runs, and those of which an escape or ``0x`` hides what they have."""
        found = zip(self.plain, self._joined.split("\n"), self._joined.translate(_RUNS).split("\n"), strict=False)
        return [
            word
            for word, low, parts in found
            if not runs.isdisjoint(parts.split(" ")) or "\\" in low or "%" in low or "0x" in low
        ]

    @cached_property
    def _with(self) -> dict[str, list[str]]:
        """The words that hold a sign, by sign; signs that none holds are not named."""
        fresh = {*self.plain} - _plain_words
        found = _Signs([*fresh]).found()
        if len(_plain_words) > MOST:
            _plain_words.clear()
        _plain_words.update([word for word in fresh.difference(*found.values()) if len(word) < LONG])
        return found

    @cached_property
    def _rows(self) -> dict[str, list[int]]:
        """The numbers of the lines that hold a sign, by sign."""
        signs = dict[str, list[str]]()
        rows: dict[str, list[int]] = {sign: [] for sign in self._with}
        for sign, words in self._with.items():
            for word in words:
                signs.setdefault(word, []).append(sign)
        wanted = frozenset(signs)
        for n, line in enumerate(self.lines if wanted else ()):
            for word in wanted.intersection(line):
                for sign in signs[word]:
                    rows[sign].append(n)
        return rows

    def likely(self, rules: Iterable[Rule]) -> list[Rule]:
        """The rules that may find something here: for nearly all answers that is none."""
        signs = self._with.keys()
        return [rule for rule in rules if not (rule.signs and signs.isdisjoint(rule.signs))]

    def rows(self, rule: Rule) -> Sequence[int]:
        """The numbers of the lines in which a likely rule may find something."""
        if not rule.signs or rule.is_of_all:
            return range(len(self.lines))
        return sorted({n for sign in rule.signs for n in self._rows.get(sign, ())})


class _Signs:
    """Looks for the signs of all rules in some words."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._joined = "\n".join([*words, ""]).lower()

    def found(self) -> dict[str, list[str]]:
        """The words that hold a sign, by sign."""
        letters = "\n".join(set(self._joined.translate(_NO_LETTER).split()))
        shape = self._joined.translate(_AS_X)
        thin = shape
        while "xx" in thin:
            thin = thin.replace("xxxx", "x").replace("xx", "x")
        found = {sign: self._at(self._joined, sign) for sign, part in _signs("") if part in letters}
        found |= {sign: self._at(shape, sign[1:]) for sign, _ in _signs("#")}
        found |= {sign: self._at(thin, sign[1:]) for sign, _ in _signs("~")}
        for sign, _ in _signs("?"):
            found[sign] = self._words_at(self._joined, [at.start() for at in compiled(sign[1:]).finditer(self._joined)])
        return {sign: words for sign, words in found.items() if words}

    def _at(self, joined: str, part: str) -> list[str]:
        """The words in which this stands."""
        places = list[int]()
        at = joined.find(part)
        while at >= 0:
            places.append(at)
            at = joined.find(part, at + 1)
        return self._words_at(joined, places)

    def _words_at(self, joined: str, places: list[int]) -> list[str]:
        found = list[str]()
        number, last, end = 0, 0, -1
        for at in places:
            if at > end:
                number += joined.count("\n", last, at)
                found.append(self._words[number])
                last, end = at, joined.find("\n", at)
        return found


@cache
def _signs(mark: str) -> list[tuple[str, str]]:
    """The signs of all rules that have a mark, or none, and the longest run of letters in each."""
    signs = {sign for rule in RULES for sign in rule.signs if (sign[0] if sign[0] in MARKS else "") == mark}
    return [(sign, max(compiled("[a-z]*").findall(sign), key=len)) for sign in sorted(signs)]


@lru_cache(4096)
def _short(text: str) -> Words:
    """Remembered: most answers are one line, and each is learned from, replaced and proven."""
    return Words.split(text)
