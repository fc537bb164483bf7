"""The panes: the list, and beside it the finding that is chosen there, and its runbook."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.widget import Widget

from mlopsdoc.tui import pages
from mlopsdoc.tui.board import Board, Row, rows
from mlopsdoc.tui.checks import Checks
from mlopsdoc.tui.messages import Chosen
from mlopsdoc.tui.pane import Pane, no_page
from mlopsdoc.tui.words import paragraph


class Box(Widget, inherit_css=False):
    """Holds others."""


class Body(Box):
    """Shows the board."""

    def __init__(self, board: Board, *, id: str) -> None:
        super().__init__(id=id)
        self.board = board
        self._shown = ""  # the row whose finding is seen
        self.checks = Checks(id="checks")
        self.finding, self.runbook = Pane("Finding", id="finding"), Pane("Runbook", id="runbook")
        self.devices = Pane("GPUs", id="devices")

    def compose(self) -> ComposeResult:
        with Box(id="left"):
            yield self.checks
            yield self.devices
        with Box(id="right"):
            yield self.finding
            yield self.runbook

    @property
    def row(self) -> Row | None:
        """What is chosen."""
        return self.checks.chosen

    @property
    def has_runbook(self) -> bool:
        return self.row is not None and self.board.runbook(self.row) != ""

    def draw(self) -> None:
        found = rows(self.board, self.board.shown)
        seen = {row.check for row in found}
        hidden = len({check.id for check in self.board.plan.checks} - seen)
        name = {"problems": "Problems", "changed": "Changed"}.get(self.board.shown, "")
        self.checks.set_rows(f"{name} ({hidden} others hidden)" if name and hidden else "Checks", found)

        self.screen.set_class(not self.board.devices, "-no-devices")
        self.devices.show("GPUs", lambda width: pages.devices_page(self.board, width), from_top=False)

    @on(Chosen)
    def _choose(self) -> None:
        before, self._shown = self._shown, self.row.key if self.row else ""
        other = before != self._shown
        self._draw_finding(self.row, from_top=other)
        self._draw_runbook(self.row, from_top=other)

    def _draw_finding(self, row: Row | None, *, from_top: bool) -> None:
        if row is None:
            why = "nothing is wrong in what could be judged" if self.board.results else "nothing is known yet"
            if self.board.shown == "changed":
                why = "nothing has changed in the last 10 min: f shows all again"
            self.finding.show("Finding", lambda width: paragraph(why, width, "dim"), from_top=True)
        else:
            self.finding.show("Finding", lambda width: pages.finding_page(self.board, row, width), from_top=from_top)

    def _draw_runbook(self, row: Row | None, *, from_top: bool) -> None:
        name = self.board.runbook(row) if row else ""
        self.screen.set_class(not name, "-no-runbook")
        if row is None or not name:
            self.runbook.show("Runbook", no_page, from_top=True)
            return
        path, params = self.board.plan.runbooks[name], self.board.params(row)
        self.runbook.show(f"Runbook {name}", lambda width: pages.runbook_file(path, params, width), from_top=from_top)
