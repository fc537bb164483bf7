"""`runbook run`: one step, with the values of a finding, asked for, watched and judged."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mlopsdoc.clean import one_line
from mlopsdoc.cli.output import LOCKED, NO_PERMISSION, NO_SOURCE, NOTHING_RUN, USAGE, Stop, note, say
from mlopsdoc.cli.runbooks import book_of, given_values

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from mlopsdoc.hosts.nursery import Nursery
    from mlopsdoc.model import Finding, Result
    from mlopsdoc.runbook.parse import Runbook
    from mlopsdoc.runbook.step import Step
    from mlopsdoc.runner.client import Run
    from mlopsdoc.runner.judging import Judge
    from mlopsdoc.runner.plan import Done, Event, Plan

CODES = {"fine": 0, "failed": 1, "not_ok": 2, "not_known": 3, "refused": NOTHING_RUN}


def run(arguments: argparse.Namespace) -> int:
    """Run one step of a runbook and record it. Exit code: see `runbook run --help`."""
    if arguments.source:
        raise Stop(NOTHING_RUN, "nothing is run on a recording; `mlopsdoc runbook show` prints commands to copy")
    from mlopsdoc.hosts.nursery import Nursery

    nursery = Nursery()  # before any thread and any heavy import
    from mlopsdoc.runner.prepare import NoSuchStep, step_of

    if not os.path.isdir(arguments.root):
        raise Stop(NO_SOURCE, f"no such folder: {arguments.root}")
    book = book_of(arguments.name)
    if not arguments.step:
        raise Stop(USAGE, f"which step of {book.name}? --step with one of: {_steps(book)}")
    try:
        step = step_of(book, arguments.step)
    except NoSuchStep as error:
        raise Stop(USAGE, str(error)) from None
    if arguments.undo and not step.undo:
        raise Stop(USAGE, f"step {step.id} has no undo")
    return Turn(arguments, nursery, book, step).take()


def _steps(book: Runbook) -> str:
    return ", ".join(f"{step.id} ({step.touch})" for step in book.steps if step.command)


class Turn:
    """One step of one runbook, and what we know about it by now."""

    def __init__(self, arguments: argparse.Namespace, nursery: Nursery, book: Runbook, step: Step) -> None:
        from mlopsdoc import catalog, config

        self.arguments = arguments
        self.book = book
        self.step = step
        self.undo: bool = arguments.undo
        self.values = given_values(arguments.set)
        self.states = config.state_folders()
        self.is_interactive = os.isatty(0) and os.isatty(2)
        names = catalog.find().by_name()
        if step.verify and step.verify not in names:
            raise Stop(USAGE, f"{step.id} says verify={step.verify}, and there is no such check")
        self.check = book.name if book.name in names else step.verify  # whose finding it is for
        self._nursery = nursery
        self._judge: Judge | None = None
        self._result: Result | None = None

    @property
    def judge(self) -> Judge:
        from mlopsdoc.runner.judging import Judge

        if self._judge is None:
            self._judge = Judge(self._nursery, self.check, root=self.arguments.root, states=self.states)
        return self._judge

    @property
    def result(self) -> Result | None:
        """What the check says, asked once; None where there is no check."""
        if self._result is None and self.check:
            self._result = self.judge.look()
        return self._result

    def take(self) -> int:
        if self.step.touch != "look" and not self.undo:
            _ = self.result
        self._complete()
        if self.arguments.dry_run:
            say(self._preview())
            note("a dry run: nothing was run")
            return 0
        try:
            if self.step.touch != "look":
                self._finding_stands()
                self._consent()
            in_session = self._sudo()
        except Stop as stop:
            from mlopsdoc.runner.record import Record

            Record(self._plan(in_session=False), lambda _: None).refused(str(stop))
            raise
        return self._run(self._plan(in_session=in_session))

    # Values

    def _complete(self) -> None:
        """Find the values that were not given; says which are missing."""
        from mlopsdoc.runner.judging import meant
        from mlopsdoc.runner.prepare import candidates, wrong_values

        missing = wrong_values(self.step, self.values, undo=self.undo)
        if missing and self.result and not missing.keys() & self.values.keys():
            found = candidates(self.result, self.values, list(missing))
            if len(found) > 1:
                raise Stop(USAGE, f"which one? {self.check} has {len(found)} findings: {self._choices(found, missing)}")
            self.values |= {name: one.params[name] for one in found for name in missing}
            missing = wrong_values(self.step, self.values, undo=self.undo)
        if self._result and len(found := meant(self._result, self.values)) == 1:
            self.values = found[0].params | self.values  # its undo may need more than the step does
        if missing:
            from mlopsdoc.runbook.step import about

            names = "; ".join(f"{name} {why} ({about(name)})" for name, why in missing.items())
            raise Stop(USAGE, f"{self.step.id} needs values that {self.check or 'no check'} does not tell now: {names}")

    @staticmethod
    def _choices(found: Sequence[Finding], missing: dict[str, str]) -> str:
        from shlex import quote

        options = (" ".join(f"--set {name}={quote(one.params[name])}" for name in missing) for one in found)
        return "; ".join(f"{option} ({one.subject})" for option, one in zip(options, found))

    # Whether it may run

    def _finding_stands(self) -> None:
        from mlopsdoc.runner.prepare import stands

        if self.undo or self.result is None:
            return
        if why := stands(self.result, self.values):
            self._ask(f"{why}: run it all the same?", f"{why}: nothing was run")

    def _consent(self) -> None:
        arguments, touch = self.arguments, self.step.touch
        if arguments.allow == "kills" or (touch != "kills" and arguments.yes):
            return
        if not self.is_interactive:
            wanted = "--allow kills" if touch == "kills" else "--yes"
            raise Stop(NOTHING_RUN, f"{self.step.id} is marked {touch}: without a terminal it wants {wanted}")
        os.write(2, self._preview().encode())
        if touch != "kills":
            self._ask("Run it?", "nothing was run")
            return
        host = os.uname().nodename
        if _answer(f"This {touch}. To run it type the name of this host, {host}: ") != host:
            raise Stop(NOTHING_RUN, "that is not its name: nothing was run")

    def _ask(self, question: str, otherwise: str) -> None:
        if not self.is_interactive or _answer(f"{question} [y/N] ").lower() not in ("y", "yes"):
            raise Stop(NOTHING_RUN, otherwise)

    def _preview(self) -> str:
        from mlopsdoc.engine import Ledger
        from mlopsdoc.hosts.live import Live
        from mlopsdoc.report import steps
        from mlopsdoc.runner.judging import meant
        from mlopsdoc.runner.prepare import stands
        from mlopsdoc.runner.touched import touched

        is_root = os.geteuid() == 0
        text = self.step.undo if self.undo else self.step.command
        ledger = self.judge.ledger if self.result else Ledger(Live(self._nursery, root=self.arguments.root))
        needs_root = self.step.undo_root if self.undo else self.step.root
        return steps.preview(
            self.step,
            self.values,
            user="root" if is_root else "root, by sudo" if needs_root else f"you (uid {os.geteuid()})",
            undo=self.undo,
            as_root=is_root,
            found=meant(self.result, self.values) if self.result else (),
            vanished=stands(self.result, self.values) if self.result else "",
            touched=touched(text, self.step.touch, self.values, ledger),
        )

    def _sudo(self) -> bool:
        """Whether the step has to stay in the session of the terminal, where sudo was given the password."""
        from mlopsdoc.runner.prepare import sudo

        needs_root = self.step.undo_root if self.undo else self.step.root
        if not needs_root or os.geteuid() == 0 or not (why := sudo(new_session=True)):
            return False
        if self.is_interactive and "no sudo" not in why:
            import subprocess

            note(f"{self.step.id} needs root")
            if subprocess.run(["sudo", "-v"], check=False).returncode == 0 and not (why := sudo(new_session=False)):
                return True
        raise Stop(NO_PERMISSION, f"{self.step.id} needs root, and sudo will not do ({why}): nothing was run")

    def _plan(self, *, in_session: bool) -> Plan:
        from mlopsdoc.runner import prepare

        return prepare.make(
            self.book, self.step, self.values, undo=self.undo, check=self.step.verify or self.check,
            result=self._result, states=self.states, root=self.arguments.root, in_session=in_session,
            unrecorded=self.arguments.unrecorded, tty=os.ttyname(0) if os.isatty(0) else "",
        )  # fmt: skip

    # The run

    def _run(self, plan: Plan) -> int:
        from mlopsdoc.runner.client import start

        going = start(plan)
        done = follow(going)
        going.close()
        if done.outcome == "refused" and done.why.startswith("one step at a time"):
            raise Stop(LOCKED, done.why)
        if done.why:
            note(done.why)
        if done.outcome in ("failed", "not_ok") and self.step.undo and not self.undo:
            self._offer_undo()
        return CODES[done.outcome]

    def _offer_undo(self) -> None:
        from shlex import quote

        if self.is_interactive and _answer("Take it back? [y/N] ").lower() in ("y", "yes"):
            self.undo = True
            self._complete()
            self._run(self._plan(in_session=self._sudo()))
            return
        values = "".join(
            f" --set {name}={quote(self.values[name])}" for name in self.step.undo_uses if name in self.values
        )
        note(f"to take it back: mlopsdoc runbook run {self.book.name} --step {self.step.id} --undo{values}")


def follow(going: Run) -> Done:
    """Show what a step says until it is over; an interrupt stops the step, not us."""
    import signal

    def stop(*_: object) -> None:
        going.stop()

    before = signal.signal(signal.SIGINT, stop)
    try:
        return next(done for event in going.events() if (done := _show(event)))
    finally:
        signal.signal(signal.SIGINT, before)


def _show(event: Event) -> Done | None:
    from mlopsdoc.runner import plan

    match event:
        case plan.Printed(text):
            _print(text)
        case plan.Skipped(size):
            note(f"{size} characters of output came too fast to be shown; the log has them")
        case plan.Warned(why):
            note(why)
        case plan.Stopping(why):
            note(f"stopping it: {why}")
        case plan.Began(_, log):
            note(f"begun{f'; all output is in {log}' if log else ''}")
        case plan.Ended(code, seconds, _, why, left):
            how = f"ended with {code} after {seconds} s" if code is not None else why or "it did not run"
            note("; ".join([how, *(f"left running: {one}" for one in left)]))
        case plan.Looked(status, summary, is_last):
            note(f"{status.value}: {summary}{'' if is_last else '; asked again in a moment'}")
        case plan.Done():
            return event
    return None


def _print(text: str) -> None:
    """Output of the step. A reader that has gone does not end what watches over it."""
    try:
        say(text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _answer(question: str) -> str:
    os.write(2, f"{one_line(question, 1000)} ".encode(errors="backslashreplace"))
    return sys.stdin.readline().strip()
