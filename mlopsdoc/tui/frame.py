"""What stands on the screen, what it hears from the engine, and how that is drawn; app.py has what keys do."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import Screen
from textual.widget import Widget

from mlopsdoc.report.sparkline import PLAIN_BARS
from mlopsdoc.tui import bars, pages, settle, terminal
from mlopsdoc.tui.board import Board
from mlopsdoc.tui.body import Body
from mlopsdoc.tui.canvas import Canvas
from mlopsdoc.tui.feed import Feed
from mlopsdoc.tui.messages import EngineEnded, EngineSaid
from mlopsdoc.tui.pane import Pane
from mlopsdoc.tui.prompt import Prompt
from mlopsdoc.tui.stepping import StepPane
from mlopsdoc.tui.wire import Touched
from mlopsdoc.tui.words import Line

PANES = ("checks", "finding", "runbook")
OVER = ("book", "step", "help", "doctor", "aside")  # what hides the panes


class Glass(Screen[None], inherit_css=False):
    """Holds the panes, and nothing else: textual's own messages and hints cost the first paint."""

    def _extend_compose(self, widgets: list[Widget]) -> None:
        pass

    def on_mount(self) -> None:
        self._update_timer.resume()  # whose first tick is late: let it be over when there is something to paint


class Frame(App[int], inherit_css=False):
    """One screen. `at` is the pane that is looked at, or one of OVER."""

    TITLE = "mlopsdoc"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+l", "redraw")]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-medium"), (140, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (20, "-tall"), (40, "-high")]

    def __init__(self, feed: Feed) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.animation_level = "none"
        self.feed = feed
        self.board = Board()
        self.at = "checks"
        self.back: list[str] = []  # where Esc leads
        self.notice = ""
        self.began = self.heard = monotonic()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.header, self.footer = Canvas(id="header"), Prompt(id="footer")
        self.body = Body(self.board, id="body")
        self.help = Pane("Keys and signs", id="help")
        self.doctor = Pane("What could not be seen", id="doctor")
        self.aside = Pane("Output", id="aside")
        self.step = StepPane(self.footer, id="step")
        # Not there before they are first wanted: each costs the first paint.
        self.hidden = {"help": self.help, "doctor": self.doctor, "step": self.step, "aside": self.aside}
        self.wanted = ""  # what was last searched for
        self.quits = False  # as soon as the step that is being stopped has ended
        self.is_behind = False  # something was heard that is not drawn yet

    def get_default_screen(self) -> Screen[None]:
        return Glass(id="_default")

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.body
        yield self.footer

    def on_mount(self) -> None:
        self.delay_update(0.001)  # the first paint: all at once, with what is known by then
        is_ascii = not terminal.draws_lines()
        self.screen.set_class(is_ascii, "-ascii", update=False)
        Canvas.is_ascii = is_ascii
        if is_ascii:
            self.board.changes.bars = PLAIN_BARS
        self.look_at("checks")
        self.draw_all()
        self.loop = asyncio.get_running_loop()
        self.set_interval(5, self._count_silence)
        self.set_timer(2, settle)
        self.feed.start(self.post_message)

    def on_resize(self, event: Resize) -> None:
        self.draw_bars(event.size.width)
        if event.size == self.size:  # the terminal is ours again (ctrl+z and fg, sudo), and textual takes it as drawn
            self.action_redraw()

    def action_redraw(self) -> None:
        """All of it: on a console the kernel writes over what stands there."""
        self.screen.refresh()

    def leave(self, code: int) -> None:
        """Called by a signal, between any two instructions."""
        if self.loop:
            self.loop.call_soon_threadsafe(self.exit, code, code)

    # What is heard

    @on(EngineSaid)
    def _hear(self, event: EngineSaid) -> None:
        if isinstance(event.said, Touched):
            self.step.touches(event.said.rows)
            self.tell("")  # that it was on its way
            return
        self.board.hear(event.said)
        self.heard = monotonic()
        self.board.silent_s = 0.0
        if not self.is_behind:
            self.is_behind = self.call_later(self._catch_up)

    def _catch_up(self) -> None:
        """Draw what was heard: once for all that came together."""
        self.is_behind = False
        self.draw_all()

    def _count_silence(self) -> None:
        self.board.silent_s = monotonic() - self.heard
        self.board.waited_s = monotonic() - self.began
        self.draw_bars(self.size.width)

    @on(EngineEnded)
    def _mourn(self, event: EngineEnded) -> None:
        before = f"{self.board.trouble}; " if self.board.trouble else ""
        self.board.trouble = f"{before}{event.why}: q, then start again"
        self.board.awaited = set()
        self.draw_all()

    # What is drawn

    def draw_all(self) -> None:
        self.body.draw()
        if self.at in ("runbook", "book") and not self.body.has_runbook:
            self.look_at("finding")
        if self.at == "step":
            self.step.renew(self.board.results)
        if self.at == "doctor":
            self.doctor.show(self.doctor.heading, self.unseen, from_top=False)
        self.draw_bars(self.size.width)

    def unseen(self, width: int) -> list[Line]:
        """The page of what could not be seen, as it is now."""
        return pages.doctor_page(self.board, width)

    def draw_bars(self, width: int) -> None:
        self.header.paint(bars.header(self.board, width))
        at = "running" if self.at == "step" and self.step.is_running else self.at
        self.footer.say(bars.footer(self.board, at, self.notice, width))

    def look_at(self, where: str) -> None:
        self.at = where
        if where != "checks":
            self.body.checks.hold()
        for name in (*PANES, *OVER):
            self.screen.set_class(name == where, f"-at-{name}", update=False)
        self.screen.update_node_styles()
        self.screen.set_focus(self.pane)
        self.draw_bars(self.size.width)

    def tell(self, notice: str) -> None:
        self.notice = notice
        self.draw_bars(self.size.width)

    @property
    def pane(self) -> Pane:
        return self.query_one("#runbook" if self.at == "book" else f"#{self.at}", Pane)

    def over(self, where: str) -> None:
        if self.at == where:
            self.action_step_back()
            return
        if where in self.back:
            del self.back[self.back.index(where) :]
        else:
            self.back.append(self.at)
        if where in self.hidden and not self.hidden[where].is_attached:
            self.mount(self.hidden[where], before=self.footer)
        self.look_at(where)

    def action_step_back(self) -> None:
        if self.at in OVER:
            self.look_at(self.back.pop() if self.back else "checks")
        elif self.at != "checks":
            self.look_at(PANES[PANES.index(self.at) - 1])
