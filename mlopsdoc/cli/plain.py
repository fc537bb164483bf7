"""`--plain`: the screen without a screen, a line at a time, for screen readers, serial consoles and slow links.

Each line that is typed runs a verb of the command line, so that everything asks and answers as it does there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from shlex import quote
from typing import TYPE_CHECKING

from mlopsdoc.again import program
from mlopsdoc.cli.output import Stop, note, render, say

if TYPE_CHECKING:
    from mlopsdoc.model import Finding, Report

HELP = """\
N            the runbook of finding N, filled in
x N STEP     run a step of that runbook (its name or number); it asks before it changes anything
d N STEP     what that step would touch; nothing is run
r            check again          a            the whole report again
s            save a snapshot      c FILE       what changed since a snapshot
h            history              l            what was run, from the audit log
?            this                 q            quit
"""


class Session:
    """A report and the findings in it by number, the worst first."""

    def __init__(self, sources: Sequence[str], how: Sequence[str]) -> None:
        self._sources = [f"--from={source}" for source in sources]
        self._how = how
        self.report: Report | None = None
        self.findings: list[Finding] = []
        # How many words follow, and what is done.
        self.verbs: dict[str, tuple[int, Callable[..., None]]] = {
            "r": (0, self.look), "a": (0, self.whole), "s": (0, self.snapshot), "c": (1, self.changes),
            "x": (2, self.run), "d": (2, self.dry_run), "?": (0, lambda: say(HELP)),
            "h": (0, lambda: self._verb("history")), "l": (0, lambda: self._verb("audit", "show")),
        }  # fmt: skip

    def look(self) -> None:
        """Check, and say how things are."""
        from mlopsdoc.model import Status
        from mlopsdoc.report import json
        from mlopsdoc.report.text import describe_source, headline

        note("checking")
        ended = subprocess.run(
            program("check", "--json", *self._sources, *self._how), stdout=subprocess.PIPE, check=False
        )
        if not ended.stdout:
            raise Stop(ended.returncode, "there is no report")
        self.report = json.read(ended.stdout)
        found = [f for result in self.report.checks for f in result.findings if f.status.is_alarm]
        keys = {f.key for f in found}
        roots = (f for f in found if f.caused_by not in keys)
        self.findings = sorted(roots, key=lambda f: (f.muted is not None, -f.status.rank))
        say(f"{self.report.host.name or 'a host without a name'}: {headline(self.report)}\n")
        say(f"{describe_source(self.report)}{'; nothing is run here' if self._sources else ''}\n")
        for number, f in enumerate(self.findings, 1):
            muted = f"muted until {f.muted.until}: " if f.muted else ""
            say(f"{number}. {muted}{f.status.value}: {f.subject}: {f.summary}\n")
            if f.since:
                say(f"   since: {f.since}\n")
            if f.hurts:
                more = f" and {len(f.hurts) - 5} more" if len(f.hurts) > 5 else ""
                say(f"   hurts: {', '.join(hurt.named for hurt in f.hurts[:5])}{more}\n")
            if f.advice:
                say(f"   do: {f.advice}\n")
            for effect in found:
                if effect.caused_by == f.key:
                    say(f"   hence: {effect.subject}: {effect.summary}\n")
        unseen = [r for r in self.report.checks if r.status is Status.UNKNOWN]
        if unseen:
            say(f"not seen: {', '.join(r.id for r in unseen)}; a tells why\n")

    def whole(self) -> None:
        assert self.report is not None
        say(render(self.report, "text"))

    def of(self, word: str) -> Finding:
        if not word.isdecimal() or not 1 <= int(word) <= len(self.findings):
            raise Stop(0, f"there is no finding {word}: they are numbered 1 to {len(self.findings)}")
        found = self.findings[int(word) - 1]
        if not found.runbook:
            raise Stop(0, f"finding {word} has no runbook")
        return found

    def book(self, word: str) -> None:
        found = self.of(word)
        self._verb("runbook", "show", found.runbook, *_values(found))

    def run(self, word: str, step: str, *options: str) -> None:
        found = self.of(word)
        self._verb("runbook", "run", found.runbook, f"--step={step}", *options, *_values(found), *self._sources[:1])

    def dry_run(self, word: str, step: str) -> None:
        self.run(word, step, "--dry-run")

    def snapshot(self) -> None:
        note("this is a recording: it is saved already") if self._sources else self._verb("snapshot")

    def changes(self, path: str) -> None:
        self._verb("diff", path, self._sources[0].removeprefix("--from=") if self._sources else "live")

    @staticmethod
    def _verb(*words: str) -> None:
        subprocess.run(program(*words), check=False)


def _values(found: Finding) -> list[str]:
    return [f"--set={name}={value}" for name, value in found.params.items()]


def converse(sources: Sequence[str], how: Sequence[str]) -> int:
    """Read lines until the end, `q` or an end of file; the exit code. how: options that go with the sources."""
    session = Session(sources, how)
    session.look()
    say("? tells what may be typed\n")
    while True:
        os.write(2, b"> ")
        line = sys.stdin.readline()
        words = line.split()
        if not line or words == ["q"]:
            return 0
        try:
            if words:
                _do(session, words)
        except Stop as stop:
            note(str(stop))


def _do(session: Session, words: list[str]) -> None:
    verb, *rest = words
    count, deed = session.verbs.get(verb, (-1, session.look))
    if verb.isdecimal() and not rest:
        session.book(verb)
    elif count == len(rest):
        deed(*rest)
    else:
        raise Stop(0, f"{quote(' '.join(words))} is not known here: see ?")
