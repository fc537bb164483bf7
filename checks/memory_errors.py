"""Memory modules with errors."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlopsdoc import Before, Finding, Line, NothingHere, check, critical, ok, warning
from mlopsdoc.facts.edac import Edac, EdacEvent, EdacEvents
from mlopsdoc.facts.quantities import instant, span

DAY_S = 86400
LONG_S = 365 * DAY_S  # an uptime that is not known is no longer than this
Level = Callable[..., Finding]
REPLACE = (
    "drain the node and replace the module: it is named as on the board or by its socket and channel (`sudo dmidecode "
    "-t memory` gives its slot and part number); steps in the runbook"
)
WATCH = "plan to replace the module: many corrected errors often come before uncorrected ones; steps in the runbook"


class Seen(NamedTuple):
    """Errors of one module. seconds: in which time, None where that is not known; how: half a sentence."""

    label: str
    ce: int
    ue: int
    seconds: float | None
    how: str
    since: str
    lines: tuple[Line, ...]


@check(area="memory", title="Memory modules have no errors, or few that were corrected", params=("DIMM",))
def memory_errors(
    counters: Edac | None,
    before: Before[Edac],
    log: EdacEvents | None,
    *,
    ce_per_day_warning: int = 24,
    ce_per_day_critical: int = 1000,
    ce_in_part: int = 10,
) -> Iterator[Finding]:
    """ECC memory corrects one wrong bit and reports two: what it cannot correct ends the process that reads it, or the
    node. A module with many corrected errors is the one that will do so.

    Any uncorrected error is critical. Corrected ones count by module and day: single ones come from radiation, more
    than 24 a day are a weak cell, more than 1000 a storm that also costs time (each may stop a CPU for its handler).
    Of a part of a log the rate in its own span counts, from `ce_in_part` on: mcelog's limit for a day.
    """
    if counters is None and (log is None or not log.events):
        raise NothingHere("no EDAC counts of the errors of the memory are told here")
    seen = [*(_counted(counters, before) if counters else ()), *(_logged(log) if log else ())]
    told: set[str] = set()
    for one in sorted(seen, key=lambda one: (-one.ue, -one.ce)):
        found = _judged(one, ce_per_day_warning, ce_per_day_critical, ce_in_part)
        if found and one.label not in told:
            told.add(one.label)
            yield found


def _counted(counters: Edac, before: Before[Edac]) -> Iterator[Seen]:
    """Those with errors, by growth where there is an earlier count; uncorrected errors count since boot."""
    wrong = [dimm for dimm in counters.dimms if dimm.ce or dimm.ue]
    then = {dimm.key: dimm for dimm in before.fact.dimms} if wrong and before.fact else {}
    for dimm in wrong:
        earlier = then.get(dimm.key)
        if earlier and 0 <= earlier.ce <= dimm.ce:
            ce, how, seconds = dimm.ce - earlier.ce, f"in the last {span(before.seconds)}", max(before.seconds, DAY_S)
            yield Seen(dimm.label, ce, dimm.ue, seconds, how, "", (dimm.line,))
        else:
            uptime = counters.uptime_s and max(counters.uptime_s, DAY_S)
            yield Seen(dimm.label, dimm.ce, dimm.ue, uptime, "since boot", "", (dimm.line,))


def _logged(log: EdacEvents) -> Iterator[Seen]:
    """By the busiest day of each module; of a part of a log by its own span."""
    modules: dict[str, list[EdacEvent]] = {}
    for event in log.events:
        modules.setdefault(event.label, []).append(event)
    for label, events in modules.items():
        corrected = [event for event in events if event.is_corrected]
        ue = sum(event.count for event in events if not event.is_corrected)
        ce, seconds = _busiest(corrected)
        whole = DAY_S if seconds is None or not log.is_part else max(seconds, 1.0)
        how = f"within {span(seconds)}" if seconds and seconds < DAY_S else "in the kernel log"
        lines = (events[0].line.line, events[-1].line.line)
        yield Seen(label, ce, ue, whole, how, instant(events[0].line.at), lines if len(events) > 1 else lines[:1])


def _busiest(events: list[EdacEvent]) -> tuple[int, float | None]:
    """The most errors in a day, and in what time those came; without times all of them, and None."""
    gaps = [event.line.seconds_after(events[0].line) for event in events]
    best: tuple[int, float | None] = (0, 0.0)
    if None in gaps:
        return sum(event.count for event in events), None
    placed = sorted((gap or 0.0, event.count) for gap, event in zip(gaps, events))
    start = total = 0
    for when, count in placed:
        total += count
        while when - placed[start][0] > DAY_S:
            total -= placed[start][1]
            start += 1
        best = max(best, (total, when - placed[start][0]), key=lambda pair: pair[0])
    return best


def _judged(seen: Seen, warn: int, crit: int, in_part: int) -> Finding | None:
    if seen.ue:
        corrected = f", and {seen.ce} corrected ones {seen.how}" if seen.ce else ""
        what = f"{seen.ue} uncorrected memory errors since boot{corrected}"
        return _say(critical, seen, "uncorrected", what, REPLACE)
    if not seen.ce:
        return None
    a_day = seen.ce * DAY_S / (seen.seconds or LONG_S)
    what = f"{seen.ce} corrected memory errors {seen.how}"
    if a_day < warn or seen.ce < in_part:
        return _say(ok, seen, "corrected", f"{what}: few, and corrected", "")
    if a_day >= crit and seen.ce >= crit:
        return _say(
            critical, seen, "corrected", f"{what}: a storm, it may soon meet one that it cannot correct", REPLACE
        )
    return _say(warning, seen, "corrected", f"{what}, wanted are fewer than {warn} a day", WATCH)


def _say(level: Level, seen: Seen, code: str, what: str, advice: str) -> Finding:
    return level(
        what,
        subject=f"DIMM {seen.label}",
        code=code,
        advice=advice,
        since=seen.since,
        params={"DIMM": seen.label},
        metrics={"corrected": seen.ce, "uncorrected": seen.ue},
        evidence=seen.lines,
    )
