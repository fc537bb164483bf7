"""The app: what the engine says goes onto the board, the board is shown, keys change what is seen of it."""

from __future__ import annotations

import asyncio
import os
import sys
from time import monotonic
from typing import ClassVar

from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key, Resize

from mlopsdoc.clean import one_line
from mlopsdoc.model import Report
from mlopsdoc.runbook.parse import BadRunbook
from mlopsdoc.tui import asides, bars, clipboard, leaving, pages
from mlopsdoc.tui.board import Board
from mlopsdoc.tui.body import Body
from mlopsdoc.tui.canvas import Canvas
from mlopsdoc.tui.exporting import exported
from mlopsdoc.tui.feed import Feed
from mlopsdoc.tui.messages import DryRun, EngineEnded, EngineSaid, Notice, StepDone
from mlopsdoc.tui.pane import Pane
from mlopsdoc.tui.prompt import Prompt
from mlopsdoc.tui.stepping import StepPane
from mlopsdoc.tui.wire import Again, Pause, Touch, Touched

PANES = ("checks", "finding", "runbook")
OVER = ("book", "step", "help", "doctor", "aside")  # what hides the panes
BUG = 70
OFF = "this is a recording: it does not change, and actions are off"


def show(feed: Feed, recalled: tuple[Report, float] | None) -> int:
    """Run the app on this terminal; the exit code. recalled: the report of an earlier run, and its age."""
    if not os.isatty(2):
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]  # where textual draws
    app = Doctor(feed)
    if recalled:
        app.board.recall(*recalled)
    leaving.on_signals(app.leave)
    try:
        app.run(mouse=False)
    finally:
        feed.close()
    code = app.return_code or 0
    return BUG if code == 1 else code  # 1 is textual's sign of an exception, which it has printed


class Doctor(App[int]):
    """One screen. `at` is the pane that is looked at, or one of OVER."""

    TITLE = "mlopsdoc"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    ALLOW_SELECT = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (70, "-medium"), (140, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (20, "-tall"), (40, "-high")]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,l,right", "open"),
        Binding("escape,h,left", "step_back"),
        Binding("tab", "next_pane(1)", priority=True),
        Binding("shift+tab", "next_pane(-1)", priority=True),
        Binding("f", "problems"),
        Binding("b", "book"),
        Binding("r", "again"),
        Binding("R", "again_all"),
        Binding("p", "pause"),
        Binding("slash", "find"),
        Binding("n", "find_again(1)"),
        Binding("N", "find_again(-1)"),
        Binding("y", "copy"),
        Binding("S", "export"),
        Binding("i", "doctor"),
        Binding("x", "step"),
        Binding("ctrl+x", "stop_step", priority=True),
        Binding("s", "snapshot"),
        Binding("d", "diff"),
        Binding("colon,ctrl+p", "command"),
        Binding("question_mark", "help"),
        Binding("q", "quit"),
        Binding("ctrl+c", "tell_quit", priority=True),
    ]

    def __init__(self, feed: Feed) -> None:
        super().__init__(ansi_color=True)
        self.theme = "ansi-dark"
        self.animation_level = "none"
        self.feed = feed
        self.board = Board()
        self.at = "checks"
        self.came_from = "checks"
        self.notice = ""
        self.heard = monotonic()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.header, self.footer = Canvas(id="header"), Prompt(id="footer")
        self.body = Body(self.board, id="body")
        self.help = Pane("Keys and signs", id="help")
        self.doctor = Pane("What could not be seen", id="doctor")
        self.aside = Pane("Output", id="aside")
        self.step = StepPane(self.footer, id="step")
        self.wanted = ""  # what was last searched for

    def compose(self) -> ComposeResult:
        yield self.header
        yield self.body
        yield self.help
        yield self.doctor
        yield self.step
        yield self.aside
        yield self.footer

    def on_mount(self) -> None:
        self.delay_update(0.04)  # the first paint: all at once, with what is known by then
        self.help.show("Keys and signs", pages.help_page, from_top=True)
        utf8 = (getattr(sys.__stderr__, "encoding", "") or "").lower().replace("-", "") == "utf8"
        self.screen.set_class(not utf8, "-ascii")
        self._look_at("checks")
        self._draw()
        self.loop = asyncio.get_running_loop()
        self.set_interval(5, self._count_silence)
        self.feed.start(self.post_message)

    def on_resize(self, event: Resize) -> None:
        self._draw_bars(event.size.width)

    def leave(self, code: int) -> None:
        """Called by a signal, between any two instructions."""
        if self.loop:
            self.loop.call_soon_threadsafe(self.exit, code, code)

    # What is heard

    @on(EngineSaid)
    def _hear(self, event: EngineSaid) -> None:
        if isinstance(event.said, Touched):
            self.step.touches(event.said.rows)
            return
        self.board.hear(event.said)
        self.heard = monotonic()
        self.board.silent_s = 0.0
        self._draw()

    def _count_silence(self) -> None:
        self.board.silent_s = monotonic() - self.heard
        self._draw_bars(self.size.width)

    @on(EngineEnded)
    def _mourn(self, event: EngineEnded) -> None:
        before = f"{self.board.trouble}; " if self.board.trouble else ""
        self.board.trouble = f"{before}{event.why}: q, then start again"
        self.board.awaited = set()
        self._draw()

    # What is drawn

    def _draw(self) -> None:
        self.body.draw()
        self._draw_bars(self.size.width)

    def _draw_bars(self, width: int) -> None:
        self.header.paint(bars.header(self.board, width))
        self.footer.say(bars.footer(self.board, self.at, self.notice, width))

    def _look_at(self, where: str) -> None:
        self.at = where
        for name in (*PANES, *OVER):
            self.screen.set_class(name == where, f"-at-{name}")
        self._pane.focus()
        self._draw_bars(self.size.width)

    def _tell(self, notice: str) -> None:
        self.notice = notice
        self._draw_bars(self.size.width)

    # What keys do

    def on_key(self, event: Key) -> None:
        if self.notice:
            self._tell("")

    def action_open(self) -> None:
        reachable = PANES if self.body.has_runbook else PANES[:2]
        if self.at in reachable[:-1]:
            self._look_at(reachable[reachable.index(self.at) + 1])
        elif self.at == "runbook":
            self.action_book()
        elif self.at == "book":
            self.action_step()

    def action_step_back(self) -> None:
        if self.at in OVER:
            self._look_at(self.came_from)
        elif self.at != "checks":
            self._look_at(PANES[PANES.index(self.at) - 1])

    def action_next_pane(self, step: int) -> None:
        if self.at in PANES:
            reachable = PANES if self.body.has_runbook else PANES[:2]
            place = reachable.index(self.at) if self.at in reachable else 0  # what was looked at may have gone
            self._look_at(reachable[(place + step) % len(reachable)])

    def action_problems(self) -> None:
        self.body.only_problems = not self.body.only_problems
        self._draw()

    def action_book(self) -> None:
        self._over("book") if self.body.has_runbook else self._tell("there is no runbook for this")

    def action_help(self) -> None:
        self._over("help")

    def action_doctor(self) -> None:
        self.doctor.show("What could not be seen", lambda width: pages.doctor_page(self.board, width), from_top=True)
        self._over("doctor")

    @property
    def _pane(self) -> Pane:
        return self.query_one("#runbook" if self.at == "book" else f"#{self.at}", Pane)

    # The step of a runbook

    def action_step(self) -> None:
        """Show a step of the runbook of what is chosen; the one that runs, while one does."""
        row = self.body.row
        if not self.step.is_running:
            if row is None or not self.body.has_runbook:
                self._tell("there is no runbook for this")
                return
            try:
                book = pages.load(self.board.plan.runbooks[self.board.runbook(row)])
            except (BadRunbook, OSError) as error:
                self._tell(f"this runbook cannot be read: {one_line(str(error))}")
                return
            self.step.is_live = self.board.plan.live
            if not self.step.open(book, self.board.results.get(row.check), self.board.params(row)):
                self._tell("this runbook has no step to run")
                return
        self._over("step")

    @on(DryRun)
    def _dry_run(self, event: DryRun) -> None:
        self.feed.order(Touch(*event.question))

    @on(StepDone)
    def _step_done(self) -> None:
        self.action_again()

    @on(Notice)
    def _notice(self, event: Notice) -> None:
        self._tell(event.text)

    def action_stop_step(self) -> None:
        self.step.stop() if self.step.is_running else self._tell("no step is running")

    async def action_quit(self) -> None:
        if self.step.is_running:
            self.footer.ask("A step is running. Leave it to itself and quit? y/N", self._quit_if)
        else:
            self.exit(0)

    def _quit_if(self, typed: str | None) -> None:
        if typed in ("y", "yes"):
            self.step.leave()
            self.exit(0)

    # Finding, copying, saving

    def action_find(self) -> None:
        self.footer.ask("/", self._find)

    def _find(self, wanted: str | None) -> None:
        if wanted:
            self.wanted = wanted
            self.action_find_again(1)

    def action_find_again(self, step: int) -> None:
        if not self.wanted:
            self._tell("/ searches")
        elif not self._pane.find(self.wanted, step):
            self._tell(f"{self.wanted!r} is not here")

    def action_copy(self) -> None:
        pane = self.body.finding if self.at == "checks" else self._pane
        self._tell(clipboard.copy(pane.text(), self.copy_to_clipboard))

    def action_export(self) -> None:
        self._tell(exported(self))

    # Other verbs, beside the screen

    def action_snapshot(self) -> None:
        if self.board.plan.live:
            self._aside(["snapshot"])
        else:
            self._tell("this is a recording: it is saved already")

    def action_diff(self) -> None:
        sources = self.board.report.sources if self.board.report else []
        mine = "live" if self.board.plan.live or not sources else sources[0].path

        def compare(typed: str | None) -> None:
            if typed:
                self._aside(["diff", typed, mine])

        self.footer.ask("diff with which snapshot?", compare)

    def action_command(self) -> None:
        self.footer.ask(":", self._command)

    def _command(self, typed: str | None) -> None:
        try:
            if typed:
                self._aside(asides.command(typed))
        except asides.NotHere as error:
            self._tell(str(error))

    def _aside(self, words: list[str]) -> None:
        self._tell(f"{' '.join(words)}: on its way")
        self.run_worker(self._run_aside(words), group="aside", exclusive=True, exit_on_error=False)

    async def _run_aside(self, words: list[str]) -> None:
        code, out, last = await asides.output(words, max(self.size.width - 3, 40))
        if words[0] == "snapshot" and not code:
            self._tell(f"saved {out.strip()}; {last}")
        elif out:
            asides.show(self.aside, f"mlopsdoc {' '.join(words)}", out)
            if self.at != "aside":
                self._over("aside")
            self._tell("")
        else:
            self._tell(last or f"{words[0]} has nothing to say")

    def _over(self, where: str) -> None:
        if self.at == where:
            self.action_step_back()
            return
        if self.at in PANES:
            self.came_from = self.at
        self._look_at(where)

    def action_again(self) -> None:
        self._ask(self.body.row.check if self.body.row else "")

    def action_again_all(self) -> None:
        self._ask("")

    def _ask(self, check: str) -> None:
        if not self.board.plan.live:
            self._tell(OFF)
        elif self.feed.order(Again(check)):
            self.board.awaited = {check} if check else {planned.id for planned in self.board.plan.checks}
            self._draw()

    def action_pause(self) -> None:
        if not self.board.plan.live:
            self._tell(OFF)
        elif self.feed.order(Pause(not self.board.paused)):
            self.board.paused = not self.board.paused
            self._draw()

    def action_tell_quit(self) -> None:
        self._tell("q quits")
