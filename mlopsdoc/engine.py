"""Runs checks on a host: facts are read at once where that helps, each check is judged as soon as it can be."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeAlias

from msgspec.structs import replace

from mlopsdoc.authoring import Before, CannotSee, Check, Fact, Hardware, NothingHere, Want, wants_of
from mlopsdoc.clean import one_line
from mlopsdoc.hosts.base import Host
from mlopsdoc.model import Finding, Result, Status, finding
from mlopsdoc.profile import Profile

AnyCheck: TypeAlias = Check[...]
FactType: TypeAlias = type[Fact]


class Ledger:
    """The facts of one host in one run: each is read once, its failure is remembered too."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._lock = threading.Lock()
        self._turns: dict[FactType, threading.RLock] = {}
        self._earlier: Ledger | None = None
        self._outcome: dict[FactType, Fact | Exception] = {Hardware: Hardware()}

    def expect(self, hardware: Hardware) -> None:
        """Make known what the host should have."""
        self._outcome[Hardware] = hardware

    def get(self, fact: FactType) -> Any:
        """The fact; raises what its reading raised."""
        outcome = self._outcome.get(fact)
        if outcome is None:
            with self._lock:
                turn = self._turns.setdefault(fact, threading.RLock())
            with turn:
                if fact not in self._outcome:
                    self._outcome[fact] = self._read(fact)
                outcome = self._outcome[fact]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def known(self, fact: FactType) -> Any:
        """The fact if it was read and understood, else None; nothing is asked."""
        outcome = self._outcome.get(fact)
        return None if isinstance(outcome, Exception) else outcome

    def _read(self, fact: FactType) -> Fact | Exception:
        read: Any = getattr(fact, "read")  # noqa: B009 - each fact has its own signature
        try:
            value: Fact = read(self.host, **self.gather(wants_of(read.__func__)))
        except (NothingHere, CannotSee) as reason:
            return reason
        except Exception as error:
            return CannotSee(f"{fact.__name__} could not be understood: {described(error)}", "please report this")
        return value

    def gather(self, wants: Mapping[str, Want]) -> dict[str, Any]:
        return {name: self._granted(want) for name, want in wants.items()}

    def _granted(self, want: Want) -> Any:
        if want.before:
            return Before(partial(self._before, want.fact))
        try:
            return self.get(want.fact)
        except (NothingHere, CannotSee):
            if want.optional:
                return None
            raise

    def _before(self, fact: FactType) -> tuple[Fact | None, float]:
        if self._earlier is None:
            earlier = self.host.before()
            if earlier is None:
                return None, 0.0
            self._earlier = Ledger(earlier)
            self._earlier.expect(self.get(Hardware))
        try:
            return self._earlier.get(fact), self.host.now() - self._earlier.host.now()
        except (NothingHere, CannotSee):
            return None, 0.0


def run(checks: Iterable[AnyCheck], host: Host, profile: Profile) -> Iterator[Result]:
    """The result of every check, each the moment it is known; those the profile leaves out first."""
    return judge(checks, Ledger(host), profile)


def judge(checks: Iterable[AnyCheck], ledger: Ledger, profile: Profile) -> Iterator[Result]:
    """The same, with facts that may be known already."""
    start = time.monotonic()
    ledger.expect(profile.hardware)
    wanted: list[AnyCheck] = []
    for check in checks:
        if reason := profile.skip.get(check.id):
            yield _result(check, Status.SKIPPED, reason=f"left out by profile {profile.name}: {reason}")
        else:
            wanted.append(check)
    for check in _when_readable(wanted, ledger) if ledger.host.is_live else wanted:
        yield _judge(check, ledger, profile.thresholds.get(check.id, {}), start)


def _when_readable(checks: list[AnyCheck], ledger: Ledger) -> Iterator[AnyCheck]:
    """Each check once its facts are read, all facts at once, a thread each: nearly all of it is waiting."""
    missing: dict[str, set[FactType]] = {
        check.id: {want.fact for want in check.wants.values() if not want.before} for check in checks
    }
    ready: SimpleQueue[FactType] = SimpleQueue()

    def read(fact: FactType) -> None:
        try:
            ledger.get(fact)
        except (NothingHere, CannotSee):
            pass
        finally:
            ready.put(fact)

    facts = {fact for wanted in missing.values() for fact in wanted}
    for fact in facts:
        threading.Thread(target=read, args=(fact,), daemon=True).start()
    waiting = list(checks)
    for _ in range(len(facts) + 1):
        for check in [check for check in waiting if not missing[check.id]]:
            waiting.remove(check)
            yield check
        if waiting:
            done = ready.get()
            for check in waiting:
                missing[check.id].discard(done)


def _judge(check: AnyCheck, ledger: Ledger, thresholds: Mapping[str, Any], start: float) -> Result:
    try:
        given: dict[str, Any] = ledger.gather(check.wants) | dict(thresholds)
        findings = [_finished(check, found) for found in check(**given)]
    except NothingHere as nothing:
        return _result(check, Status.SKIPPED, reason=nothing.why, start=start)
    except CannotSee as blind:
        return _blind(check, blind.why, blind.fix, start)
    except Exception as error:
        return _blind(check, f"this check failed: {described(error)}", f"please report this; {check.path}", start)
    status = max((found.status for found in findings), default=Status.OK)
    return _result(check, status, findings=findings, start=start)


def _blind(check: AnyCheck, why: str, fix: str, start: float) -> Result:
    findings = [_finished(check, finding(Status.UNKNOWN, why, advice=fix))]
    return _result(check, Status.UNKNOWN, findings=findings, reason=findings[0].summary, fix=fix, start=start)


def _finished(check: AnyCheck, found: Finding) -> Finding:
    code = found.code or check.id
    return replace(
        found,
        key=f"{check.id}/{found.subject}/{code}",
        code=code,
        runbook=check.runbook if found.status.is_alarm else "",
    )


def _result(
    check: AnyCheck,
    status: Status,
    *,
    findings: list[Finding] | None = None,
    reason: str = "",
    fix: str = "",
    start: float | None = None,
) -> Result:
    return Result(
        id=check.id,
        area=check.area,
        title=check.title,
        status=status,
        reason=one_line(reason),
        fix=one_line(fix),
        duration_s=0.0 if start is None else round(time.monotonic() - start, 4),
        findings=sorted(findings or [], key=lambda found: -found.status.rank),
    )


def described(error: BaseException) -> str:
    """An error on one line, with the place it comes from."""
    import traceback

    place = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" ({frame.filename.rpartition('/')[2]}:{frame.lineno})" for frame in place)
    return f"{type(error).__name__}: {error}{where}"
