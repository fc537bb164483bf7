"""A pane: a title, and lines below it that can be scrolled."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeAlias

from textual.binding import Binding, BindingType
from textual.geometry import Size

from mlopsdoc.tui.canvas import Canvas
from mlopsdoc.tui.words import Line, as_text, size

# The lines of a pane, for a width.
Page: TypeAlias = Callable[[int], list[Line]]


def no_page(_: int) -> list[Line]:
    """Nothing to show."""
    return []


class Pane(Canvas, can_focus=True):
    """Shows a page, laid out anew when the width changes. Its place is kept while only the text changes."""

    INDENT = " "
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "move(1)"),
        Binding("k,up", "move(-1)"),
        Binding("pagedown,ctrl+d,space", "page(1)"),
        Binding("pageup,ctrl+u", "page(-1)"),
        Binding("g,home", "move(-1000000)"),
        Binding("G,end", "move(1000000)"),
    ]

    def __init__(self, title: str, *, id: str) -> None:
        super().__init__(id=id)
        self.heading = title
        self.top = 0
        self._page: Page = no_page
        self._lines: list[Line] = []
        self._marked = -1  # the line that was found

    @property
    def has_page(self) -> bool:
        """Whether there is anything to show."""
        return self._page is not no_page

    def show(self, title: str, page: Page, *, from_top: bool) -> None:
        self.heading = title
        self._page = page
        if from_top:
            self.top, self._marked = 0, -1
        self._lay_out()

    def _lay_out(self) -> None:
        count = len(self._lines)
        self._lines = self._page(max(self.size.width - 2, 8)) if self.size.width else []
        if len(self._lines) != count and self.styles.height is not None and self.styles.height.is_auto:
            self.refresh(layout=True)
        self.draw()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._page(max(width - 2, 8))) + 1

    @property
    def rows(self) -> int:
        """Lines that are seen at once."""
        return max(self.size.height - 1, 1)

    def draw(self) -> None:
        if not self.size.height:  # it has no place yet; where it is to begin stands
            return
        self.top = max(0, min(self.top, len(self._lines) - self.rows))
        # All that follows, not only what fits: the layout may be about to give more room.
        seen: list[Line] = [((self.INDENT, ""), *line) for line in self._lines[self.top :]]
        if self.top <= self._marked < self.top + len(seen):
            seen[self._marked - self.top] = tuple((text, "cursor") for text, _ in seen[self._marked - self.top])
        self.paint([self._heading(), *seen])

    def find(self, wanted: str, step: int) -> bool:
        """Go to the next line (step 1) or the last one (-1) with a text in it, round the end; whether any has it."""
        start = self._found_at()
        for distance in range(1, len(self._lines) + 1):
            n = (start + step * distance) % len(self._lines)
            if wanted.casefold() in self._said_in(n).casefold() and self._go_to(n):
                return True
        return False

    def _said_in(self, line: int) -> str:
        return as_text(self._lines[line])

    def _found_at(self) -> int:
        return self._marked if self._marked >= 0 else self.top - 1

    def _go_to(self, line: int) -> bool:
        self._marked = line
        if not self.top <= line < self.top + self.rows:
            self.top = line - self.rows // 3
        self.draw()
        return True

    def text(self, width: int = 1000) -> str:
        """All of it as plain text, for pasting: so wide that no command is broken."""
        return "".join(f"{as_text(line).rstrip()}\n" for line in self._page(width))

    def _heading(self) -> Line:
        mark = ">" if self.has_focus else " "
        below = len(self._lines) - self.top - self.rows
        places = [f"{self.top} above"] * (self.top > 0) + [f"{below} more below"] * (below > 0)
        more = f" {', '.join(places)}" if places else ""
        gap = self.size.width - 1 - size(self.heading) - len(more)
        style = "bold" if self.has_focus else "dim"
        return ((mark, style), (self.heading, style), (" " * max(gap, 0), ""), (more if gap >= 0 else "", "dim"))

    def action_move(self, count: int) -> None:
        self.top += count
        self.draw()

    def action_page(self, count: int) -> None:
        self.action_move(count * max(self.rows - 1, 1))

    def on_resize(self) -> None:
        self._lay_out()

    def watch_has_focus(self, has_focus: bool) -> None:
        super().watch_has_focus(has_focus)
        self.draw()
