"""What stands in front of every line of a text: the mark of a quotation, an indentation, a logger's time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from mlopsdoc.hosts.pasted.prompts import prompt_of
from mlopsdoc.hosts.pasted.shapes import compiled, start_of

LOOKED_AT = 200  # lines
_QUOTE = r"> ?"
_STAMP = (
    r"\[?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?\]?(?: |$)"
)


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
