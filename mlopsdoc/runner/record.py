"""What a run leaves in the audit log: that it begins, before it does; how it ended; what its check said then."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from mlopsdoc.audit import Entry, Log, unended
from mlopsdoc.facts.quantities import instant
from mlopsdoc.runner import family
from mlopsdoc.runner.outlet import Output
from mlopsdoc.runner.plan import Ended, Plan, Warned


class Record:
    """The lines of one run. Where they cannot be written a step that changes something is refused."""

    def __init__(self, wanted: Plan, tell: Callable[[Warned], None]) -> None:
        self._plan = wanted
        self._tell = tell
        self._log = Log(wanted.states[0]) if wanted.states else None

    @property
    def log_path(self) -> str:
        """Where the output goes."""
        return f"{self._log.folder}/runs/{self._plan.run}.log" if self._log else ""

    def refused(self, why: str) -> None:
        """Nothing was run, and why; where that cannot be written it is not."""
        if self._log is not None and self._plan.changes:
            with suppress(OSError):
                self._log.append(_started(self._plan, "refused", why))

    def unwatched(self) -> str:
        """An earlier step that changes something and lives on without what watched over it; or nothing."""
        try:
            earlier = unended(self._log.entries()) if self._log else []
        except OSError:
            return ""
        for entry in earlier:
            if entry.touch != "look" and (pids := family.of_run(entry.run)):
                step = f"{entry.runbook}/{entry.step}, begun {entry.at}"
                who = ", ".join(family.described(pid) for pid in pids[:5])
                return f"{step}, lost what watched over it and still runs ({who}): wait for it, or end it"
        return ""

    def begin(self) -> str:
        """Why the step must not begin, or nothing."""
        try:
            if self._log is None:
                raise OSError(2, "there is no folder for it")
            if self._plan.changes:
                self._log.reserve()
            self._log.append(_started(self._plan))
        except OSError as error:
            where = f" in {self._log.folder}" if self._log else ""
            what = f"what is run cannot be recorded{where}: {error.strerror}"
            if self._plan.changes and not self._plan.unrecorded:
                return f"{what}; nothing was run (--unrecorded runs it all the same)"
            self._log = None
            self._tell(Warned(what))
        return ""

    def ended(self, said: Ended, output: Output) -> None:
        self._write(
            Entry(
                at=now(),
                event="ended",
                run=self._plan.run,
                exit=said.exit,
                seconds=said.seconds,
                why=said.why,
                left=said.left,
                output_bytes=output.size,
                output_sha256=output.sha256,
                log=output.path,
                log_is_cut=output.is_cut,
            )
        )

    def looked(self, after: str, summary: str) -> None:
        entry = Entry(
            at=now(), event="looked", run=self._plan.run, check=self._plan.check, after=after, summary=summary
        )
        self._write(entry)

    def _write(self, entry: Entry) -> None:
        if self._log is None:
            return
        try:
            try:
                self._log.append(entry)
            except OSError:
                self._log.release()  # a step that fills the disk leaves this much for the line that says so
                self._log.append(entry)
        except OSError as error:
            self._tell(Warned(f"{self._log.path}: {error.strerror}: how it {entry.event} is not recorded"))

    def close(self) -> None:
        if self._log and self._plan.changes:
            self._log.release()


def _started(wanted: Plan, event: Literal["started", "refused"] = "started", why: str = "") -> Entry:
    """Who does it from where, and what it is."""
    import pwd

    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return Entry(
        at=now(), event=event, why=why, run=wanted.run, host=os.uname().nodename, user=user,
        sudo_user=os.environ.get("SUDO_USER", ""), ssh=os.environ.get("SSH_CONNECTION", ""), tty=wanted.tty,
        runbook=wanted.runbook, step=wanted.step, title=wanted.title, touch=wanted.touch, is_undo=wanted.is_undo,
        argv=wanted.argv, values=wanted.uses, check=wanted.check, before=wanted.before,
    )  # fmt: skip


def now() -> str:
    """RFC 3339, UTC, to the second."""
    return instant(time.time())
