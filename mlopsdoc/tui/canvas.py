"""A widget that shows lines as they are. Only those that changed are sent to the terminal.

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


class Canvas(Widget):
    """Lines of spans from the top; `paint` says which there are now."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.painted: list[Line] = []

    def paint(self, lines: Sequence[Line]) -> None:
        old, self.painted = self.painted, list(lines)
        for y in range(min(max(len(old), len(self.painted)), self.size.height)):
            if old[y : y + 1] != self.painted[y : y + 1]:
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        segments: list[Segment] = []
        for text, style in self.painted[y] if y < len(self.painted) else ():
            if not text.isprintable():
                text = one_line(text)  # the last gate: whatever came here, no control character leaves
            cells = min(size(text), width)
            if cells:
                segments.append(Segment(fitted(text, cells), STYLES[style]))
                width -= cells
        return Strip([*segments, Segment(" " * width)], self.size.width)
