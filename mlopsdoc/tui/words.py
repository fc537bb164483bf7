"""Text laid out for a width: lines of spans. Cells are counted, not characters; nothing here is markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size

# A span is text and the name of its style (canvas.STYLES), a line is spans.
Span: TypeAlias = tuple[str, str]
Line: TypeAlias = tuple[Span, ...]
MARGIN = 9


def as_text(line: Line) -> str:
    """Without its styles."""
    return "".join(text for text, _ in line)


def size(text: str) -> int:
    """The cells that a text takes. A flood of combining marks takes some as well, or it would never end."""
    return len(text) if text.isascii() else max(cell_len(text), len(text) // 4)


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most `width` cells, broken at spaces and within words that are longer."""
    width = max(width, 2)
    lines: list[str] = []
    line, used = "", 0
    for word in text.split(" "):
        if line and used + 1 + size(word) > width:
            lines.append(line)
            line, used = "", 0
        elif line:
            line, used = line + " ", used + 1
        while size(word) > width - used:
            head = _head(word, width - used)
            lines.append(line + head)
            word, line, used = word[len(head) :], "", 0
        line, used = line + word, used + size(word)
    return [*lines, line]


def _head(word: str, width: int) -> str:
    """As much of a word as fits, one character at least."""
    end = min(len(word), max(width, 1))
    while end > 1 and size(word[:end]) > width:
        end -= 1
    return word[:end]


def fitted(text: str, width: int) -> str:
    """Exactly `width` cells: cut or filled up."""
    text = text[: 4 * max(width, 0)]
    if text.isascii():
        return text[:width].ljust(width)
    return set_cell_size(text, width)


def paragraph(text: str, width: int, style: str = "", first: Span = ("", ""), margin: int = 0) -> list[Line]:
    """Text, wrapped; `first` stands before its first line, blanks before the others."""
    head, head_style = first
    blank = " " * max(margin, size(head))
    lines = wrapped(text, width - len(blank))
    return [
        (((head.ljust(len(blank)), head_style) if n == 0 else (blank, "")), (line, style))
        for n, line in enumerate(lines)
    ]


def beside(word: str, text: str, width: int, style: str = "") -> list[Line]:
    """Text beside a word in the margin."""
    return paragraph(text, width, style, (word, "dim"), MARGIN)


def literal(text: str, width: int, style: str = "", indent: str = "") -> list[Line]:
    """Lines as they are, such as those of a command; what is too long goes on in the next line."""
    lines: list[Line] = []
    for line in text.expandtabs(4).split("\n"):
        rest = line
        while True:
            head = _head(rest, width - len(indent)) if size(rest) > width - len(indent) else rest
            lines.append(((indent, ""), (head, style)))
            rest = rest[len(head) :]
            if not rest:
                break
    return lines


def joined(parts: Iterable[Sequence[Line]]) -> list[Line]:
    """Blocks with an empty line between them; empty ones leave none."""
    lines: list[Line] = []
    for part in parts:
        if part:
            lines += [(), *part] if lines else part
    return lines
