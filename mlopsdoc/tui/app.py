"""The app: what keys do."""

from __future__ import annotations

import os
import sys
from codecs import getincrementaldecoder
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.drivers import linux_driver
from textual.events import Event, Key, Paste

from mlopsdoc.clean import one_line
from mlopsdoc.model import Report
from mlopsdoc.runbook.parse import BadRunbook
from mlopsdoc.tui import asides, leaving, pages
from mlopsdoc.tui.feed import Feed
from mlopsdoc.tui.frame import PANES, Frame
from mlopsdoc.tui.messages import DryRun, Notice, StepDone
from mlopsdoc.tui.stepping import YES
from mlopsdoc.tui.wire import Again, Order, Pause, Touch

BUG = 70
NO_RUNBOOK = "there is no runbook for this"
OFF = "this is a recording: it does not change, and actions are off"


def show(feed: Feed, recalled: tuple[Report, float] | None, options: Sequence[str] = ()) -> int:
    """Run the app on this terminal; the exit code. recalled: the report of an earlier run, and its age. options: of
    the command line, that say which recording this is."""
    if not os.isatty(2):
        sys.__stderr__ = sys.__stdout__  # type: ignore[misc]  # where textual draws
    app = Doctor(feed)
    app.options = options
    if recalled:
        app.board.recall(*recalled)
    # One byte that is no UTF-8 (a paste, a key with Meta) would end textual's reader of keys, and with it the screen.
    linux_driver.getincrementaldecoder = lambda name: partial(getincrementaldecoder(name), errors="replace")  # type: ignore[attr-defined]
    leaving.on_signals(app.leave)
    try:
        app.run(mouse=False)
    finally:
        feed.close()
    code = app.return_code or 0
    return BUG if code == 1 else code  # 1 is textual's sign of an exception, which it has printed


class Doctor(Frame):
    """The screen, with its keys."""

    options: Sequence[str] = ()

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
        Binding("m", "mute"),
        Binding("t", "ways"),
        Binding("o", "output"),
        Binding("colon,ctrl+p", "command"),
        Binding("question_mark", "help"),
        Binding("ctrl+z", "suspend_process"),
        Binding("q", "quit"),
        Binding("ctrl+c", "tell_quit", priority=True),
    ]

    async def on_event(self, event: Event) -> None:
        """Each key to its end before the next: over a slow link several come at once, and what was typed ahead is
        meant for what the key before it has opened, or chosen."""
        if isinstance(event, Paste):
            self.footer.paste(event.text)
        elif not isinstance(event, Key) or event.is_forwarded:
            await super().on_event(event)
        elif not self.footer.takes(event):
            if self.notice:
                self.tell("")
            if not await self._check_bindings(event.key, priority=True):
                await self._check_bindings(event.key)

    @property
    def _reachable(self) -> tuple[str, ...]:
        return PANES if self.body.has_runbook else PANES[:2]

    def action_open(self) -> None:
        reachable = self._reachable
        if self.at in reachable[:-1]:
            self.look_at(reachable[reachable.index(self.at) + 1])
        elif self.at == "runbook":
            self.action_book()
        elif self.at == "book":
            self.action_step()

    def action_next_pane(self, step: int) -> None:
        if self.at in PANES:
            reachable = self._reachable
            place = reachable.index(self.at) if self.at in reachable else 0  # what was looked at may have gone
            self.look_at(reachable[(place + step) % len(reachable)])

    def action_problems(self) -> None:
        self.board.shown = self.board.shown_next
        self.draw_all()

    def action_book(self) -> None:
        self.over("book") if self.body.has_runbook else self.tell(NO_RUNBOOK)

    def action_help(self) -> None:
        if (at := self.at) != "help":
            self.help.show("Keys and signs", lambda width: pages.help_page(at, width), from_top=True)
        self.over("help")

    def action_doctor(self) -> None:
        self.doctor.show("What could not be seen", self.unseen, from_top=True)
        self.over("doctor")

    # The step of a runbook

    def action_step(self) -> None:
        """Show a step of the runbook of what is chosen; the one that runs, while one does."""
        why = "" if self.step.is_running else self._open_step()
        self.tell(why) if why else self.over("step")

    def _open_step(self) -> str:
        """Why there is none, or nothing."""
        row = self.body.row
        if row is None or not self.body.has_runbook:
            return NO_RUNBOOK
        try:
            book = pages.load(self.board.plan.runbooks[self.board.runbook(row)])
        except (BadRunbook, OSError) as error:
            return f"this runbook cannot be read: {one_line(str(error))}"
        self.step.is_live = self.board.plan.live
        has_steps = self.step.open(book, self.board.results.get(row.check), self.board.params(row))
        return "" if has_steps else "this runbook has no step to run"

    @on(DryRun)
    def _dry_run(self, event: DryRun) -> None:
        self._order(Touch(*event.question))

    @on(StepDone)
    def _step_done(self) -> None:
        self.exit(0) if self.quits else self.action_again()

    @on(Notice)
    def _notice(self, event: Notice) -> None:
        self.tell(event.text)

    def action_stop_step(self) -> None:
        self.step.stop() if self.step.is_running else self.tell("no step is running")

    async def action_quit(self) -> None:
        if self.step.is_running and not self.quits:
            may_stay = self.step.goes_on
            leave = "l: leave it running and quit." if may_stay else "To leave it running is not possible."
            self.footer.ask(f"A step is running. s: stop it and quit. {leave} Enter: stay.", self._quit_if)
        elif self._is_on_its_way("snapshot"):
            question = "A snapshot is being made. Quit without it? y/N"
            self.footer.ask(question, lambda typed: self.exit(0) if typed in YES else None)
        else:
            self.exit(0)

    def _quit_if(self, typed: str | None) -> None:
        if typed in ("s", "l") and (not self.step.is_running or (typed == "l" and self.step.goes_on)):
            self.step.leave()
            self.exit(0)
        elif typed == "s":
            self.quits = True
            self.step.stop()
            self.tell("the step is being stopped, then this ends (q: at once; the step is stopped all the same)")

    # Finding, copying, saving

    def action_find(self) -> None:
        self.footer.ask("/", self._find)

    def _find(self, wanted: str | None) -> None:
        if wanted:
            self.wanted = wanted
            self.action_find_again(1)

    def action_find_again(self, step: int) -> None:
        if not self.wanted:
            self.tell("/ searches")
        elif not self.pane.find(self.wanted, step):
            self.tell(f"{self.wanted!r} is not here")

    def action_copy(self) -> None:
        pane = self.body.finding if self.at == "checks" else self.pane
        what = "the finding" if pane is self.body.finding else one_line(pane.heading)
        from mlopsdoc.tui import clipboard

        self.tell(clipboard.copy(what, pane.text(), self.copy_to_clipboard))

    def action_export(self) -> None:
        from mlopsdoc.tui.exporting import exported

        self.tell(exported(self))

    # Other verbs, beside the screen

    def action_snapshot(self) -> None:
        if self.board.plan.live:
            self._aside(["snapshot"])
        else:
            self.tell("this is a recording: it is saved already")

    def action_diff(self) -> None:
        sources = self.board.report.sources if self.board.report else []
        mine = "live" if self.board.plan.live or not sources else sources[0].path

        def compare(typed: str | None) -> None:
            if typed:
                self._aside(["diff", typed, mine])

        self.footer.ask("diff with which snapshot?", compare)

    def action_mute(self) -> None:
        row = self.body.row
        found = self.board.finding(row) if row else None
        if not self.board.plan.live:
            self.tell(OFF)
        elif found is None:
            self.tell("choose a finding to mute")
        else:
            from mlopsdoc.tui import muting

            muting.converse(found, self.footer.ask, self._aside, self.tell)

    def action_output(self) -> None:
        self.over("aside") if self.aside.is_attached or self.aside.has_page else self.tell("nothing was printed yet")

    def action_ways(self) -> None:
        self._aside(["explain", "topology"])

    def action_command(self) -> None:
        self.footer.ask(":", self._command)

    def _command(self, typed: str | None) -> None:
        if not typed:
            return
        try:
            words = asides.command(typed)
        except asides.NotHere as error:
            asides.show(self.aside, f"{typed} is not run here", str(error))
            self.over("aside")
            return
        if not self.board.plan.live and asides.is_of_this_host(words):
            self.tell(f"this is a recording, and {words[0]} tells of the machine you are on")
        else:
            self._aside(words)

    def _aside(self, words: list[str]) -> None:
        if self._is_on_its_way(words[0]):
            self.tell(f"{words[0]} is still on its way")
            return
        self.tell(f"{' '.join(words)}: on its way")
        self.run_worker(self._run_aside(words), group=words[0], exit_on_error=False)

    def _is_on_its_way(self, verb: str) -> bool:
        return any(worker.group == verb and not worker.is_finished for worker in self.workers)

    async def _run_aside(self, words: list[str]) -> None:
        about = self.options if words[0] == "explain" else ()
        code, out, last = await asides.output([*about, *words], max(self.size.width - 3, 40))
        if words[0] in ("snapshot", "mute") and not code:
            self.tell(f"saved {os.path.abspath(out.strip())}; {last}" if words[0] == "snapshot" else out.strip())
            self.action_again() if words[0] == "mute" else None
        elif out:
            clock = f", {self.board.clock} UTC" if self.board.plan.live and self.board.clock else ""
            asides.show(self.aside, f"mlopsdoc {' '.join(words)}{clock}", out)
            if self.footer.is_asking or self.at == "step":  # what is being answered stays in sight
                self.tell(f"{' '.join(words)} has ended: o shows what it printed")
                return
            if self.at != "aside":
                self.over("aside")
            if words == ["explain", "topology"]:
                self.aside.action_move(1 << 20)  # the drawing stands last
            self.tell("")
        else:
            self.tell(last or f"{words[0]} has nothing to say")

    def action_again(self) -> None:
        self._ask(self.body.row.check if self.body.row else "")

    def action_again_all(self) -> None:
        self._ask("")

    def _ask(self, check: str) -> None:
        if self._order(Again(check)):
            self.board.awaited = {check} if check else {planned.id for planned in self.board.plan.checks}
            self.draw_all()

    def _order(self, order: Order) -> bool:
        """Whether it is heard; if not, the reader is told."""
        if not (self.board.plan.live or isinstance(order, Touch)):
            self.tell(OFF)
            return False
        heard = self.feed.order(order)
        if not heard:
            self.tell("nothing is asked any more: q, then start again")
        return heard

    def action_pause(self) -> None:
        if self._order(Pause(not self.board.paused)):
            self.board.paused = not self.board.paused
            self.draw_all()

    def action_tell_quit(self) -> None:
        self.tell("q quits")
