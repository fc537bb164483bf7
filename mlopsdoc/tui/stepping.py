"""A step of a runbook on the screen: what it would do, its run while it runs, and what came of it.

The run is a process of its own (mlopsdoc.runner), which goes on or ends as the step says when this one is gone.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType

from mlopsdoc.clean import one_line
from mlopsdoc.model import Result
from mlopsdoc.runbook.parse import Runbook
from mlopsdoc.runbook.step import Step, about
from mlopsdoc.tui import pages
from mlopsdoc.tui.messages import DryRun, Notice, StepDone
from mlopsdoc.tui.pane import Pane
from mlopsdoc.tui.prompt import Prompt
from mlopsdoc.tui.words import MARGIN, Line, joined, literal, paragraph

if TYPE_CHECKING:
    from mlopsdoc.runner.client import Run
    from mlopsdoc.runner.plan import Done, Event, Plan

BUSY = "a step is running: ctrl+x stops it"
GONE = "what it is for has gone meanwhile: nothing was run"
KEPT = 400  # lines of output; the log has all
REDRAWN_S = 0.5
YES = ("y", "yes")
# What came of a run: in words, and their style.
OUTCOMES = {
    "fine": ("done", "ok"),
    "failed": ("it failed", "critical"),
    "not_ok": ("done, and it is not ok yet", "warning"),
    "not_known": ("not known", "unknown"),
    "refused": ("refused", "warning"),
}


class StepPane(Pane):
    """The steps of one runbook for one finding; the chosen one is shown. One runs at a time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right_square_bracket", "choose(1)"),
        Binding("left_square_bracket", "choose(-1)"),
        Binding("D", "dry_run"),
        Binding("X", "begin(False)"),
        Binding("U", "begin(True)"),
    ]

    def __init__(self, prompt: Prompt, *, id: str) -> None:
        super().__init__("Step", id=id)
        self._prompt = prompt
        self._book: Runbook | None = None
        self._steps: list[Step] = []
        self._n = 0
        self._given: dict[str, str] = {}  # by the finding
        self._values: dict[str, str] = {}  # and those that were typed
        self._result: Result | None = None
        self._touched: list[str] | None = None
        self._is_undo = False
        self._run: Run | None = None
        self._is_starting = False
        self._asked: tuple[Step, dict[str, str]] | None = None  # for which a dry run was asked for
        self._output: deque[str] = deque(maxlen=KEPT)
        self._said: list[tuple[str, str]] = []
        self._is_due = False
        self.is_live = False

    @property
    def is_running(self) -> bool:
        return self._run is not None or self._is_starting

    @property
    def goes_on(self) -> bool:
        """Whether the step that runs does when the screen goes."""
        return self.step is not None and self.step.on_hup == "finish"

    @property
    def step(self) -> Step | None:
        return self._steps[self._n] if self._n < len(self._steps) else None

    def open(self, book: Runbook, result: Result | None, values: Mapping[str, str]) -> bool:
        """Show the steps of a runbook, the one that was chosen last if it is the same; whether it has any."""
        if not self.is_running and (self._book is not book or values != self._given):
            self._book, self._steps, self._n = book, [step for step in book.steps if step.command], 0
            self._given, self._values = dict(values), dict(values)
            self._forget()
        self._result = result
        self.shown(from_top=True)
        return bool(self._steps)

    def _forget(self) -> None:
        self._output.clear()
        self._said, self._touched, self._is_undo = [], None, False

    def action_choose(self, by: int) -> None:
        if self.is_running:
            self.post_message(Notice(BUSY))
        elif self._steps:
            self._n = (self._n + by) % len(self._steps)
            self._forget()
            self.shown(from_top=True)

    # What is shown

    def shown(self, *, from_top: bool = False) -> None:
        """Draw the chosen step anew; while it runs, its end."""
        step = self.step
        title = f"Step {self._n + 1} of {len(self._steps)}: {step.title}" if step else "Step"
        self.show(title, self._laid_out, from_top=from_top)

    def _laid_out(self, width: int) -> list[Line]:
        step = self.step
        if step is None:
            return paragraph("this runbook has no step to run", width)
        output = [line for text in self._output for line in literal(text, width)]
        ending = [line for text, style in self._said for line in paragraph(text, width, style)]
        head = paragraph("Output", width, "heading") if output or ending else []
        said = pages.preview(
            step, self._values, self._result, live=self.is_live, undo=self._is_undo, touched=self._touched or ()
        )
        rows = [line for text in said.rstrip("\n").split("\n") for line in _row(text, width)]
        return joined([rows, [*head, *output], ending])

    def touches(self, rows: list[str]) -> None:
        """What the dry run that was asked for found, if that step is still the one that is shown."""
        if self.is_running or self._asked != (self.step, self._values):
            return
        self._touched = rows or ["nothing that can be told without running it"]
        self._said = [("a dry run: nothing was run", "dim")]
        self.shown()

    # What keys do

    def action_dry_run(self) -> None:
        if self.is_running:
            self.post_message(Notice(BUSY))
        elif step := self.step:
            self._asked = (step, dict(self._values))
            self.post_message(Notice("looking what it would touch"))
            self.post_message(DryRun(step.command, step.touch, self._values))

    def action_begin(self, undo: bool) -> None:
        """Run the chosen step (or its undo): ask for what it lacks and, unless it only looks, whether to."""
        step = self.step
        if not self.is_live:
            self.post_message(Notice("this is a recording: nothing is run; y copies the command"))
        elif self.is_running:
            self.post_message(Notice(BUSY))
        elif step and undo and not step.undo:
            self.post_message(Notice("this step has no undo"))
        elif step:
            self._prepare(step, undo)

    def _prepare(self, step: Step, undo: bool) -> None:
        from mlopsdoc.runner.prepare import wrong_values

        self._is_undo = undo
        missing = wrong_values(step, self._values, undo=undo)
        if missing:
            name = next(iter(missing))
            self._prompt.ask(f"{name}, {about(name)}:", lambda typed: self._fill(name, typed, undo))
        else:
            self._consent(step)

    def _fill(self, name: str, typed: str | None, undo: bool) -> None:
        if typed:
            self._values[name] = typed
            self.shown()
            self.action_begin(undo)

    def _consent(self, step: Step) -> None:
        self.shown()
        host = os.uname().nodename
        asked = {
            "tune": ("Run it? y/N", YES),
            "jobs": ("Jobs notice. Run it? y/N", YES),
            "kills": (f"This kills. To run it type the name of this host, {host}:", (host,)),
        }
        if step.touch == "look":
            self._go()
            return
        question, yes = asked[step.touch]
        before = self._vanished()

        def answered(typed: str | None) -> None:
            if typed not in yes:
                self._tell("nothing was run")
            elif self._vanished() and not before:
                self._tell(GONE)
            else:
                self._go()

        self._prompt.ask(f"Mind: {one_line(before, 120)}. {question}" if before else question, answered)

    def _vanished(self) -> str:
        """Why there is nothing any more that the step is for; empty where there is."""
        from mlopsdoc.runner.prepare import stands

        return "" if self._is_undo or self._result is None else stands(self._result, self._values)

    def renew(self, results: Mapping[str, Result]) -> None:
        """What the check of the step says now."""
        result = results.get(self._result.id) if self._result else None
        if result and result != self._result and not self.is_running:
            self._result = result
            self.shown()

    def _tell(self, notice: str) -> None:
        self._said = [(notice, "warning")]
        self.shown()

    def _go(self) -> None:
        self._output.clear()
        self._said = []
        self._is_starting = True
        self.run_worker(self._start(), group="step", exit_on_error=False)

    async def _start(self) -> None:
        try:
            await self._begin()
        finally:
            self._is_starting = False

    async def _begin(self) -> None:
        from mlopsdoc.runner.client import start

        step = self.step
        assert step is not None
        in_session = False
        if (step.undo_root if self._is_undo else step.root) and os.geteuid() != 0:
            from mlopsdoc.runner.prepare import sudo

            why = await asyncio.to_thread(sudo, new_session=True)
            if why and (in_session := self._ask_password(why)):
                why = await asyncio.to_thread(sudo, new_session=False)
            if why:
                self._tell(f"it needs root, and sudo will not do ({why}): nothing was run")
                return
        try:
            self._run = start(self._plan(step, in_session=in_session))
        except (OSError, ValueError) as error:
            self._tell(f"it cannot be started: {error}")
            return
        self.post_message(Notice(""))  # other keys matter now
        asyncio.get_running_loop().add_reader(self._run.fileno(), self._readable)
        self._soon()

    def _ask_password(self, why: str) -> bool:
        """sudo asks on the terminal itself, which is lent to it; whether there is anybody to ask."""
        if "no sudo" in why:
            return False
        with self.app.suspend():  # pyright: ignore[reportUnknownMemberType]
            return subprocess.run(["sudo", "-v"], check=False).returncode == 0

    def _plan(self, step: Step, *, in_session: bool) -> Plan:
        from mlopsdoc import config
        from mlopsdoc.runner import prepare

        assert self._book is not None
        check = step.verify or (self._result.id if self._result else "")
        return prepare.make(
            self._book, step, self._values, undo=self._is_undo, check=check, result=self._result,
            states=config.state_folders(), in_session=in_session, tty=os.ttyname(0) if os.isatty(0) else "",
        )  # fmt: skip

    def stop(self) -> None:
        if self._run is not None:
            self._run.stop()

    def leave(self) -> None:
        """The step goes on or ends, as it says."""
        if self._run is not None:
            self._run.close()

    # What is heard

    def _readable(self) -> None:
        run = self._run
        if run is None:
            return
        for event in run.read():
            self._hear(event)
        if run.is_over:
            asyncio.get_running_loop().remove_reader(run.fileno())
            self._run = None
            run.close()
        self._soon()

    def _hear(self, event: Event) -> None:
        from mlopsdoc.runner import plan

        match event:
            case plan.Printed(text):
                self._output.extend(text.rstrip("\n").split("\n"))
            case plan.Skipped(size):
                self._output.append(f"({size} characters came too fast to be shown; the log has them)")
            case plan.Warned(why) | plan.Stopping(why):
                self._said.append((why, "warning"))
            case plan.Began(_, log):
                self._said = [(f"running; all output is in {log}" if log else "running", "value")]
            case plan.Ended(code, seconds, _, why, left):
                self._said = [(text.removeprefix("running; "), style) for text, style in self._said]
                how = f"ended with {code} after {seconds} s" if code is not None else why or "it did not run"
                self._said.append(("; ".join([how, *(f"left running: {one}" for one in left)]), ""))
            case plan.Looked(status, summary, _):
                self._said = [*self._said[-3:], (f"{status.value}: {summary}", status.value)]
            case plan.Done():
                self._said.append(self._ending(event))
                self.post_message(StepDone())

    def _ending(self, done: Done) -> tuple[str, str]:
        text, style = OUTCOMES[done.outcome]
        text += f": {done.why}" if done.why else ""
        step = self.step
        if done.outcome in ("failed", "not_ok") and step and step.undo and not self._is_undo:
            text += "; U takes it back"
        return text, style

    def _soon(self) -> None:
        """Output is shown twice a second at most, however fast it comes: a line costs bytes on a slow link."""
        if not self._is_due:
            self._is_due = True
            self.set_timer(REDRAWN_S, self._now)

    def _now(self) -> None:
        self._is_due = False
        self.shown()
        self.action_move(1 << 20)  # what came of it stands last


def _row(text: str, width: int) -> list[Line]:
    """A line of the preview: its name in the margin, wrapped at blanks; commands are kept as they are."""
    name, rest = text[:MARGIN], text[MARGIN:]
    if rest != rest.lstrip() or not rest:
        return literal(text, width)
    return paragraph(rest, width, "", (name, "dim"), MARGIN)
