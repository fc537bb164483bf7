"""Markdown by the line: the part of CommonMark that runbooks need, without a library (those cost more than a run)."""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from mlopsdoc.clean import MAX_LINE, clean, one_line

Kind: TypeAlias = Literal["text", "item", "quote", "heading", "table", "code", "command", "undo"]


class Block(Struct, frozen=True):
    """A piece of prose, or a command in its place among the prose.

    kind: text (one paragraph on one line), item (of a list; `marker` is "-" or "1."), quote, heading, table
    and code (lines as they are), command, undo. `indent`: columns before it.
    """

    kind: Kind
    text: str
    line: int
    marker: str = ""
    indent: int = 0


def slug(title: str) -> str:
    """The id of a heading, as forges make it: ``Reset GPU "$GPU"`` is ``reset-gpu-gpu``."""
    kept = "".join(char for char in title.lower() if char.isalnum() or char in "-_ ")
    return kept.strip().replace(" ", "-")


def heading(line: str) -> tuple[int, str] | None:
    """Level and title of an ATX heading: ``## Impact ##`` is (2, "Impact")."""
    body = line.lstrip(" ")
    level = len(body) - len(body.lstrip("#"))
    if len(line) - len(body) > 3 or not 1 <= level <= 6 or body[level : level + 1] not in ("", " ", "\t"):
        return None
    title = body[level:].strip()
    bare = title.rstrip("#")
    return level, (bare.rstrip() if not bare or bare[-1] in " \t" else title)


def fence(line: str) -> tuple[int, str, str] | None:
    """Indent, marks and info words of a line that opens a fence: ````` ```sh look````` is (0, "```", "sh look")."""
    body = line.lstrip(" ")
    mark = body[:1]
    if mark not in ("`", "~"):
        return None
    count = len(body) - len(body.lstrip(mark))
    info = body[count:].strip()
    if count < 3 or (mark == "`" and "`" in info):
        return None
    return len(line) - len(body), mark * count, info


class Prose:
    """Lines of prose become blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.lines: list[str] = []
        self.kind: Kind = "text"
        self.first = self.indent = self.inside = 0  # inside: the column where the text of the open list item is
        self.marker = ""

    def flush(self) -> None:
        if self.lines:
            text = ("\n" if self.kind in ("code", "table") else " ").join(self.lines)
            text = clean(text) if self.kind in ("code", "table") else one_line(text, MAX_LINE)
            self.blocks.append(Block(self.kind, text, self.first, self.marker, self.indent))
        self.lines = []

    def start(self, kind: Kind, line: int, text: str, *, marker: str = "", indent: int = 0) -> None:
        self.flush()
        self.kind, self.first, self.marker, self.indent = kind, line, marker, indent
        self.lines.append(text)

    def whole(self, block: Block) -> None:
        self.flush()
        self.blocks.append(block)

    def add(self, line: int, text: str) -> None:
        body = text.strip(" \t")
        column = len(text.expandtabs(4)) - len(text.expandtabs(4).lstrip(" "))
        if not body:
            self.flush()
        elif (marker := _marker(body)) and (column < 4 or self.inside):
            self.start("item", line, body[len(marker) :].strip(), marker=marker, indent=column)
            self.inside = column + len(marker) + 1
        elif self.lines and self.kind == "table" and body.startswith("|"):
            self.lines.append(body)
        elif self.lines and self.kind == "code" and column >= 4:
            self.lines.append(text[4:])
        elif self.lines and self.kind == "quote" and body.startswith(">"):
            self.lines.append(body.lstrip("> "))
        elif self.lines and self.kind in ("text", "item", "quote"):
            self.lines.append(body)
        else:
            self._opens(line, text, body, column)

    def _opens(self, line: int, text: str, body: str, column: int) -> None:
        self.inside = self.inside if column >= self.inside > 0 else 0
        if body.startswith("|"):
            self.start("table", line, body, indent=self.inside)
        elif body.startswith(">"):
            self.start("quote", line, body.lstrip("> "), indent=self.inside)
        elif column >= self.inside + 4:
            self.start("code", line, text[4:], indent=self.inside)
        elif not rule(body):
            self.start("text", line, body, indent=self.inside)

    @property
    def in_text(self) -> bool:
        return bool(self.lines) and self.kind == "text"


def _marker(body: str) -> str:
    """The mark of a list item: "-", "*", "+", "1." or "1)"."""
    word = body.split(" ", 1)[0]
    if word in ("-", "*", "+"):
        return "" if rule(body) else word
    return word if 2 <= len(word) <= 10 and word[-1] in ".)" and word[:-1].isascii() and word[:-1].isdigit() else ""


def rule(body: str) -> bool:
    """Whether a line is a thematic break: ``---``, ``* * *``."""
    bare = body.replace(" ", "")
    return len(bare) > 2 and bare[0] in "-*_" and not bare.strip(bare[0])
