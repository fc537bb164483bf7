"""Other verbs of the program, run beside the screen; what they print is shown in a pane.

They are the command line's own, so that the screen says nothing else, and none of them changes the machine.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlopsdoc.again import program
from mlopsdoc.clean import clean
from mlopsdoc.tui import terminal

if TYPE_CHECKING:
    from mlopsdoc.tui.pane import Pane
    from mlopsdoc.tui.words import Line

LONGEST_S = 300.0
MAX_BYTES = 1 << 20
# What may be typed after a colon; (verb, what has to follow, or nothing).
READING = (
    ("audit", "show"), ("audit", "verify"), ("config", "show"), ("diff", ""), ("explain", ""), ("history", ""),
    ("list", ""), ("mute", "list"), ("profile", "list"), ("profile", "show"), ("runbook", "list"), ("runbook", "show"),
    ("runbook", "lint"), ("show", ""), ("snapshot", ""),
)  # fmt: skip


class NotHere(ValueError):
    """What was typed is none of READING."""


def command(typed: str) -> list[str]:
    """The words of what was typed; raises NotHere."""
    try:
        words = shlex.split(typed)
    except ValueError as error:
        raise NotHere(f"{typed!r}: {error}") from None
    if not any(words[:1] == [verb] and (not rest or words[1:2] == [rest]) for verb, rest in READING):
        verbs = ", ".join(dict.fromkeys(f"{verb} {rest}".strip() for verb, rest in READING))
        raise NotHere(f"only what changes nothing is run here (q quits, ? has the keys):\n\n{verbs}")
    return words


def is_of_this_host(words: Sequence[str]) -> bool:
    """Whether a verb tells of the machine we are on, whatever is on the screen."""
    return words[0] in ("audit", "config", "history", "mute", "snapshot")


async def output(argv: Sequence[str], width: int) -> tuple[int, str, str]:
    """Run a verb: its exit code, what it printed, and the last line that it said of itself."""
    import asyncio

    process = await asyncio.create_subprocess_exec(
        *program(*argv),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "COLUMNS": str(width), "NO_COLOR": "1", **terminal.for_programs()},
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(), LONGEST_S)
    except asyncio.TimeoutError:
        return 1, "", f"it took more than {LONGEST_S:.0f} s"
    finally:  # also where the screen is left
        if process.returncode is None:
            process.kill()
    said = clean(err.decode("utf-8", "replace")).strip().split("\n")
    return process.returncode or 0, clean(out[:MAX_BYTES].decode("utf-8", "replace")), said[-1]


def show(pane: Pane, title: str, text: str) -> None:
    """Put what a verb printed into a pane."""

    def page(width: int) -> list[Line]:
        return [line for row in text.rstrip("\n").split("\n") for line in _row(row, width)]

    pane.show(title, page, from_top=True)


def _row(row: str, width: int) -> list[Line]:
    """As it is where it fits, else wrapped at blanks below where it begins."""
    from mlopsdoc.tui.words import literal, paragraph, size

    words = row.strip()
    indent = row[: len(row) - len(row.lstrip())]
    if size(row) <= width or len(indent) > width // 2:
        return literal(row, width)
    return paragraph(words, width, "", (indent, ""))
