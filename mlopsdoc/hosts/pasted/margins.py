"""What stands in front of every line of a text: the mark of a quotation, an indentation, a logger's time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from mlopsdoc.hosts.pasted.prompts import prompt_of
from mlopsdoc.hosts.pasted.shapes import start_of
from mlopsdoc.hosts.patterns import compiled

LOOKED_AT = 200  # lines
_QUOTE = r"> ?"
_STAMP = (
    r"\[?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?\]?(?: |$)"
)


# What tools that ask many hosts put above what each said: ansible, and clush -b or people, who head other things too.
_ANSIBLE = r"([\w.-]{1,64}) \| (?:(?:CHANGED|SUCCESS|FAILED)!?(?: \| rc=[0-9]+)? (?:>>|=>)|UNREACHABLE!? =>)"
_HEADING = r"(?:={2,}|-{3,}|#{2,}|\*{3,}|>{3,}) ?([A-Za-z][\w.-]{0,60}[0-9][\w.-]{0,20}):?(?: ?[=#*<-]{2,})?\s*$"
_NO_HOST = (
    r"(?:step|run|test|part|before|after|try|take|phase|sample|day|attempt|case|log|boot|section|gpu|node|cpu)s?_?"
)
_PREFIX = r"([A-Za-z][\w.-]{1,63}): ?"


def heading_of(line: str) -> tuple[str, bool]:
    """The host whose output follows, and whether that is sure: ``gpu-8 | CHANGED | rc=0 >>``; ``=== gpu-8 ===``."""
    if len(line) > 200 or line[:1].isspace():
        return "", False
    if match := compiled(_ANSIBLE).match(line):
        return str(match[1]), True
    match = compiled(_HEADING).match(line)
    return (match[1] if match else ""), False


def alike(under: Mapping[str, set[str]]) -> list[str]:
    """Two headings that are names of hosts: alike but for their numbers, with the same question answered below both."""
    first: dict[tuple[str, str], str] = {}
    for name, keys in under.items():
        stem = re.sub(r"[0-9]+", "0", name)
        if compiled(_NO_HOST + "-?[0-9]*$").fullmatch(name.lower()) and not re.match(r"(?:gpu|node|cpu)-", name):
            continue
        for key in keys:
            if first.setdefault((stem, key), name) != name:
                return [first[stem, key], name]
    return []


def prefixes(lines: Sequence[str]) -> list[str]:
    """The hosts whose names stand in front of every line, as pdsh writes them; none where that is not sure."""
    full = [line.rstrip("\r\n") for line in lines if line.strip()]
    matches = [compiled(_PREFIX).match(line) for line in full]
    names = list(dict.fromkeys(match[1] for match in matches if match))
    if len(full) < 4 or None in matches or len(names) < 2 or any(map(_is_known, full[:1])):
        return []
    firsts = [next(line[len(m[0]) :] for line, m in zip(full, matches) if m and m[1] == name) for name in names]
    return names if len(set(firsts)) <= len(names) // 2 + 1 and all(map(_is_known, firsts)) else []


def strip_of(lines: Sequence[str]) -> Callable[[str], str]:
    """How to take the margin off the lines of a text that begins so; nothing is taken where that is not sure.

    A margin stands on every line (a quotation on nearly every one), and without it the text begins as terminals do.
    """
    full = [line.rstrip("\r\n") for line in lines if line.strip()]
    if len(full) < 3 or _is_known(full[0]):
        return _as_it_is
    quoted = [line for line in full if line.startswith(">")]
    if len(quoted) * 10 >= len(full) * 8 and _is_known(re.sub(_QUOTE, "", quoted[0], count=1)):
        return lambda line: re.sub(_QUOTE, "", line, count=1) if line.startswith(">") else line
    stamp = compiled(_STAMP)
    if all(stamp.match(line) for line in full) and _is_known(stamp.sub("", full[0], count=1)):
        return lambda line: stamp.sub("", line, count=1) if stamp.match(line) else line
    indents = [line[: len(line) - len(line.lstrip(" \t"))] for line in full]
    indent = min(indents, key=len)
    if not all(one.startswith(indent) for one in indents):
        return _as_it_is
    if indent and _is_known(full[0].removeprefix(indent)):
        return lambda line: line.removeprefix(indent)
    return _as_it_is


def _is_known(line: str) -> bool:
    return prompt_of(line) is not None or start_of(line) is not None


def _as_it_is(line: str) -> str:
    return line
