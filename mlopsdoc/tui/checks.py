"""The list of checks: a pane with a cursor."""

from __future__ import annotations

from mlopsdoc.clean import one_line
from mlopsdoc.tui.board import GLYPHS, Row
from mlopsdoc.tui.messages import Chosen, Notice
from mlopsdoc.tui.pane import Pane
from mlopsdoc.tui.words import Line, fitted, size

ROOMY = 50  # columns


class Checks(Pane):
    """One row is chosen. Until the reader moves, it is the worst; then it stays, wherever its row goes."""

    INDENT = ""

    def __init__(self, *, id: str) -> None:
        super().__init__("Checks", id=id)
        self._rows: list[Row] = []
        self._chosen = 0
        self._moved = False

    @property
    def chosen(self) -> Row | None:
        return self._rows[self._chosen] if self._chosen < len(self._rows) else None

    def set_rows(self, title: str, rows: list[Row]) -> None:
        before = self.chosen
        self._rows = rows
        self._chosen = self._place(before) if self._moved else self._worst()
        if self._moved and before and before.finding and (now := self.chosen) and now.finding != before.finding:
            self.post_message(
                Notice(f"{one_line(before.name, 60)} is not in the list any more: this is {one_line(now.name, 60)}")
            )
        self.show(title, self._drawn, from_top=False)
        self.post_message(Chosen())

    def hold(self) -> None:
        """What is chosen stays: the reader looks at it."""
        self._moved = True

    def _worst(self) -> int:
        """The first finding, or the first check when nothing was found."""
        return next((n for n, row in enumerate(self._rows) if row.finding), self._next(0, 1))

    def _place(self, before: Row | None) -> int:
        """Where the chosen row is now; if it has gone, another one of its check, or what stands in its place."""
        for same in ("key", "check"):
            for n, row in enumerate(self._rows):
                if before and row.check and getattr(row, same) == getattr(before, same):
                    return n
        return self._next(min(self._chosen, max(len(self._rows) - 1, 0)), 1)

    def _next(self, start: int, step: int) -> int:
        """The nearest row that is no area, from `start` on, or else behind it."""
        for places in (range(start, len(self._rows) if step > 0 else -1, step), range(len(self._rows))):
            for n in places:
                if self._rows[n].check:
                    return n
        return 0

    def action_move(self, count: int) -> None:
        if not self._rows:
            return
        self._moved = True
        goal = max(0, min(self._chosen + count, len(self._rows) - 1))
        chosen = self._next(goal, 1 if count > 0 else -1)
        if chosen != self._chosen:
            self._chosen = chosen
            self.post_message(Chosen())
        self._lay_out()

    def _said_in(self, line: int) -> str:
        """All of a row, also what there is no room for."""
        return f"{self._rows[line].name} {self._rows[line].text}"

    def _found_at(self) -> int:
        return self._chosen

    def _go_to(self, line: int) -> bool:
        """The row of that line is chosen, if it can be."""
        if not self._rows[line].check:
            return False
        self.action_move(line - self._chosen)
        return True

    def draw(self) -> None:
        """With the chosen row in sight, and the name of its area if that is the line above; from the top until the
        reader moves, however little room there was before."""
        if not self._moved:
            self.top = 0
        if self._chosen < self.top + 1:
            self.top = self._chosen - 1
        self.top = max(self.top, self._chosen - self.rows + 1)
        super().draw()

    def _drawn(self, width: int) -> list[Line]:
        return [self._line(row, n == self._chosen, width + 2) for n, row in enumerate(self._rows)]

    def _line(self, row: Row, chosen: bool, width: int) -> Line:
        if not row.check:
            return ((f" {row.name}", "bold"),)
        mark = (">" if chosen else " ") + "  " * row.depth
        glyph = GLYPHS[None if row.running else row.status].ljust(5)
        changed = f"({row.changed}) " if row.changed else ""
        rest = fitted(_words(row, changed, width), max(width - len(mark) - size(glyph), 0))
        style = row.status.value if row.status else "dim"
        words = "cursor" if chosen else "dim" if style in ("ok", "skipped", "dim") and not changed else ""
        return ((mark, "bold" if chosen else ""), (glyph, style), (rest, words))


def _words(row: Row, changed: str, width: int) -> str:
    """Of an alarm, where there is little room, what is wrong: its check and the address of its GPU stand beside it."""
    if width >= ROOMY or not row.finding or row.status is None or not row.status.is_alarm:
        return f"{row.name}  {changed}{row.text}"
    text = changed + row.text if row.name == row.check else f"{row.name}  {changed}{row.text}"
    start = text.find("GPU ")
    opened, closed = text.find(" (", start), text.find(")", start)
    is_address = 0 <= start < opened < closed and ":" in text[opened:closed]
    return text[:opened] + text[closed + 1 :] if is_address else text
