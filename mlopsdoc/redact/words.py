"""A piece of text as its distinct words: a log of 100 MB says the same few thousand again and again.

Every sign of a rule is looked for once in each word, and what the rule finds only in the lines that have such a word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property, lru_cache
from itertools import chain

from mlopsdoc.redact.rules import ESCAPE, RULES, Rule, compiled

SHORT = 512
MARKS = "#~?"
_AS_X = {ord(char): "x" for char in "0123456789abcdef"}
_NO_LETTER = {code: " " for code in range(128) if not chr(code).islower()}
_RUNS = {code: " " for code in range(128) if not chr(code).isalnum() and chr(code) != "\n"}


class Words:
    """Lines of text (`said`), their words (what stands between blanks), and `plain`, every word once."""

    def __init__(self, said: list[str], lines: list[list[str]], plain: Iterable[str]) -> None:
        self.said = said
        self.lines = lines
        self.plain = list(plain)
        self._joined = "\n".join([*self.plain, ""]).lower()

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
    def _shapes(self) -> tuple[str, str]:
        """The words with every hexadecimal digit written x, and with one x for many."""
        shape = thin = self._joined.translate(_AS_X)
        for many in ("xxxxxxxx", "xxxx", "xx", "xx"):
            thin = thin.replace(many, "x")
        while "xx" in thin:
            thin = thin.replace("xx", "x")
        return shape, thin

    @cached_property
    def _letters(self) -> str:
        """The runs of letters in the words."""
        return "\n".join(set(self._joined.translate(_NO_LETTER).split()))

    def find(self, part: str) -> list[str]:
        """The words in which this stands, in small letters."""
        return self._at(self._joined, _places(self._joined, part))

    def _at(self, joined: str, places: Iterable[int]) -> list[str]:
        """The words that stand at these places of all words joined."""
        found = list[str]()
        number, last, end = 0, 0, -1
        for at in places:
            if at > end:
                number += joined.count("\n", last, at)
                found.append(self.plain[number])
                last, end = at, joined.find("\n", at)
                if end < 0:
                    break
        return found

    @cached_property
    def _with(self) -> dict[str, list[str]]:
        """The words that hold a sign, by sign; signs that none holds are not named."""
        found = {sign: self.find(sign) for sign, letters in _signs("") if letters in self._letters}
        for mark, joined in zip("#~", self._shapes, strict=True):
            found |= {sign: self._at(joined, _places(joined, sign[1:])) for sign, _ in _signs(mark)}
        for sign, _ in _signs("?"):
            found[sign] = self._at(self._joined, [at.start() for at in compiled(sign[1:]).finditer(self._joined)])
        return {sign: words for sign, words in found.items() if words}

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


@cache
def _signs(mark: str) -> list[tuple[str, str]]:
    """The signs of all rules that have a mark, or none, and the longest run of letters in each."""
    signs = {sign for rule in RULES for sign in rule.signs if (sign[0] if sign[0] in MARKS else "") == mark}
    return [(sign, max(compiled("[a-z]*").findall(sign), key=len)) for sign in sorted(signs)]


def _places(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


@lru_cache(4096)
def _short(text: str) -> Words:
    """Remembered: most answers are one line, and each is learned from, replaced and proven."""
    return Words.split(text)
