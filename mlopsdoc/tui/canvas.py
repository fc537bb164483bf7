"""A widget that shows lines as they are. Only what changed in them is sent to the terminal.

(Textual sends a whole widget whenever its text is set; over a slow link that is what one waits for.)
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from mlopsdoc.clean import one_line
from mlopsdoc.tui.words import Line, fitted, size

STYLES = {
    "": Style(),
    "bold": Style(bold=True),
    "dim": Style(dim=True),
    "heading": Style(bold=True, underline=True),
    "cursor": Style(reverse=True),
    "critical": Style(color="red", bold=True),
    "warning": Style(color="yellow"),
    "unknown": Style(color="magenta"),
    "ok": Style(color="green"),
    "skipped": Style(dim=True),
    "value": Style(color="cyan"),
    "command": Style(color="cyan", bold=True),
}


def changed_cells(before: Line, after: Line, width: int) -> range:
    """The cells in which the lines differ: all where letters are no cells; none where only the spans are others."""
    old, new = ([(char, style) for text, style in line for char in text] for line in (before, after))
    if len(old) != len(new) or not all(char.isascii() for char, _ in old + new):
        return range(width)
    places = [n for n, (one, other) in enumerate(zip(old, new)) if one != other]
    return range(places[0], places[-1] + 1) if places else range(0)


class Canvas(Widget, inherit_css=False):
    """Lines of spans from the top; `paint` says which there are now. is_ascii: the terminal knows no other letters."""

    is_ascii = False

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.painted: list[Line] = []

    def paint(self, lines: Sequence[Line]) -> None:
        old, self.painted = self.painted, list(lines)
        for y in range(min(max(len(old), len(self.painted)), self.size.height)):
            before, after = old[y] if y < len(old) else (), self.painted[y] if y < len(self.painted) else ()
            if before != after and (cells := changed_cells(before, after, self.size.width)):
                self.refresh(Region(cells.start, y, len(cells), 1))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        segments: list[Segment] = []
        for text, style in self.painted[y] if y < len(self.painted) else ():
            if not text.isprintable():
                text = one_line(text)  # the last gate: whatever came here, no control character leaves
            if self.is_ascii and not text.isascii():
                text = "".join(char if char.isascii() else "?" * size(char) for char in text)
            cells = min(size(text), width)
            if cells:
                segments.append(Segment(fitted(text, cells), STYLES[style]))
                width -= cells
        return Strip([*segments, Segment(" " * width)], self.size.width)
