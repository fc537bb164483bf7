"""Loops of the shell that print names and values of files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TypeAlias

from mlopsdoc.hosts.pasted.files import (
    MAX_LINE,
    ONE_LINE,
    NotTold,
    Said,
    absolute,
    braces,
    file_of,
    split_errors,
)
from mlopsdoc.hosts.pasted.prompts import pipelines
from mlopsdoc.patterns import compiled

_CAT = r"(?:cat|head -n ?1|head -1|<) *(\S+)(?: 2>/dev/null)?"
Piece: TypeAlias = tuple[str, str]  # text, variable, value (of a file), any


def loop(command: str, lines: Sequence[str]) -> list[Said]:
    """Values of ``for d in 0 1; do echo $d $(cat /sys/x$d/y); done``; raises NotTold where a line does not fit.

    Each round is written out as what it must print: its own text, the variable, and a hole for each file. What
    the variable was is known from the words, or, where those are patterns, from what was printed.
    """
    form = r"for (\w{1,40}) in ([^;]{1,2000}); ?do (.{1,2000}?);? ?done\s*(?:#.*)?$"
    match = compiled(form).match(command.strip().replace("\n", "; ").replace("do; ", "do "))
    if match is None:
        raise NotTold
    name, rounds = match[1], [word for typed in _words(match[2]) for word in braces(typed)]
    pieces = [piece for pipeline in pipelines(match[3]) for piece in _printed(pipeline[0].words, name)]
    height = sum(kind == "text" and value == "\n" for kind, value in pieces)
    lines, found = split_errors([line for line in lines if line], "")
    if not height or len(pieces) > 64 or any(len(line) > MAX_LINE for line in lines):
        raise NotTold
    is_pattern = any(re.search(r"[*?\[]", word) for word in rounds)
    count = len(lines) // height
    if not is_pattern and count != len(rounds):
        raise NotTold
    for n in range(count):
        found += _round(pieces, None if is_pattern else rounds[n], rounds, lines[n * height : (n + 1) * height])
    if not found:
        raise NotTold
    return found


def _words(text: str) -> list[str]:
    if match := compiled(r"\$\(seq ([0-9]{1,4})(?: ([0-9]{1,4}))?\)").fullmatch(text.strip()):
        first, last = (match[1], match[2]) if match[2] else ("1", match[1])
        return [str(n) for n in range(int(first), int(last) + 1)]
    return text.split()


def _printed(words: tuple[str, ...], name: str) -> list[Piece]:
    """What one command of a loop prints; raises NotTold for one that cannot be foreseen."""
    tool, *args = words
    if tool == "echo":
        ends = True
        while args and args[0] in ("-n", "-e", "-ne", "-en"):
            ends = "n" not in args.pop(0)
        return [*_pieces(" ".join(args), name), *([("text", "\n")] if ends else [])]
    if tool in ("cat", "head") and args:
        return [("value", args[-1]), ("text", "\n")]
    raise NotTold


def _pieces(text: str, name: str) -> list[Piece]:
    found: list[Piece] = []
    at = 0
    for match in compiled(r"\$\(([^()]*)\)|\$\{(\w+)\}|\$(\w+)|\$\S+").finditer(text):
        found.append(("text", text[at : match.start()]))
        at = match.end()
        inner = match[1]
        if (match[2] or match[3]) == name:
            found.append(("variable", ""))
        elif inner is not None and (said := compiled(_CAT).fullmatch(inner)):
            found.append(("value", said[1].strip('"')))
        else:
            found.append(("any", ""))
    found.append(("text", text[at:]))
    return [piece for piece in found if piece != ("text", "")]


def _round(pieces: Sequence[Piece], known: str | None, patterns: Sequence[str], lines: Sequence[str]) -> list[Said]:
    """The files of one round, whose output is `lines`."""
    values: list[tuple[str, str]] = []
    left = list(pieces)
    for line in lines:
        end = left.index(("text", "\n"))
        values += _holes(left[:end], known, line)
        left = left[end + 1 :]
    if known is None:
        seen = {said for name, said in values if name == VARIABLE}
        known = seen.pop() if len(seen) == 1 else ""
        if not any(_fits(known, pattern) for pattern in patterns):
            raise NotTold
    found: list[Said] = []
    for name, value in values:
        full = absolute(re.sub(r"\$\{?\w+\}?", lambda _: known or "", name), "") if name not in (VARIABLE, "") else ""
        if full and "$" not in full:
            found.append(file_of(full, [value], not full.startswith(ONE_LINE)))
    return found


VARIABLE = "$"


def _holes(pieces: Sequence[Piece], known: str | None, line: str) -> list[tuple[str, str]]:
    """What stands in a line where its text leaves holes, by the path or VARIABLE that made each.

    Raises NotTold where the text does not fit, or could fit in more than one way.
    """
    texts, names = [""], list[str]()
    for kind, value in pieces:
        if kind == "text" or (kind == "variable" and known is not None):
            texts[-1] += value if kind == "text" else known or ""
        else:
            names.append(VARIABLE if kind == "variable" else value)
            texts.append("")
    if not line.startswith(texts[0]):
        raise NotTold
    rest, found = line[len(texts[0]) :], list[tuple[str, str]]()
    for name, text in zip(names, texts[1:]):
        is_word = name in (VARIABLE, "") and bool(text[:1].isspace())
        if name == names[-1] and len(found) == len(names) - 1 and rest.endswith(text):
            value, rest = rest[: len(rest) - len(text)], ""
        elif text and (rest.count(text) == 1 or (is_word and text in rest)):
            value, _, rest = rest.partition(text)
        else:
            raise NotTold
        found.append((name, value))
    if rest:
        raise NotTold
    return found


def _fits(path: str, pattern: str) -> bool:
    names, wanted = path.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(map(fnmatchcase, names, wanted))
