"""What the check of a step says before it and after it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mlopsdoc import engine, examination
from mlopsdoc.engine import Ledger
from mlopsdoc.hosts.base import Host
from mlopsdoc.hosts.live import Live
from mlopsdoc.hosts.nursery import Nursery
from mlopsdoc.hosts.recorder import Recorder, Recording, Replay
from mlopsdoc.hosts.ring import YOUNGEST_S
from mlopsdoc.model import Finding, Result, Status


class Judge:
    """One check, asked again and again on this machine. Growth is judged since its first look, once that is old
    enough: what grew before the step says nothing about after it.
    """

    def __init__(self, nursery: Nursery, check: str, *, root: str, states: Sequence[str]) -> None:
        self._setup = examination.set_up([check])
        self._live = Live(nursery, root=root, states=states, bmc=self._setup.settings.bmc)
        self._first: Recording | None = None
        self.ledger = Ledger(self._live)

    def look(self) -> Result:
        self._live.renew(self._setup.settings.timeout_s)
        host = _Since(self._live, self._first)
        self.ledger = Ledger(host)
        (result,) = engine.judge(self._setup.checks, self.ledger, self._setup.profile)
        self._first = self._first or host.recording
        return result

    def close(self) -> None:
        self._live.close()


class _Since(Recorder):
    def __init__(self, host: Host, first: Recording | None) -> None:
        super().__init__(host)
        self._earlier = first

    def before(self) -> Host | None:
        if self._earlier is not None and self.now() - self._earlier.taken_at >= YOUNGEST_S:
            return Replay(self._earlier)
        return super().before()


def troubles(result: Result) -> list[Finding]:
    """What is wrong or could not be seen, the worst first."""
    return sorted((f for f in result.findings if f.status.is_trouble), key=lambda f: -f.status.rank)


def agrees(found: Finding, values: Mapping[str, str]) -> bool:
    """Whether a finding may be about these values: none of its own differs."""
    return all(values.get(name, value) == value for name, value in found.params.items())


def meant(result: Result, values: Mapping[str, str]) -> list[Finding]:
    """The findings that a step with these values is for: those that share a value, else those that contradict none."""
    fitting = [found for found in troubles(result) if agrees(found, values)]
    return [found for found in fitting if found.params.keys() & values.keys()] or fitting


def verdict(result: Result, values: Mapping[str, str], others: Collection[str] = ()) -> tuple[Status, str]:
    """How the subject of a step is now, and in words. others: keys of findings that it was not for."""
    if result.status is Status.SKIPPED:
        return Status.SKIPPED, result.reason
    for found in troubles(result):
        if found.key not in others and agrees(found, values):
            return found.status, f"{found.subject}: {found.summary}"
    return Status.OK, result.title
