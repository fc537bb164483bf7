"""Power supplies, and whether the host would outlive the loss of one."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mlopsdoc import Finding, Hardware, check, critical, ok, unknown, warning
from mlopsdoc.facts.power import PowerSupplies
from mlopsdoc.facts.power_capacity import Gives, gives
from mlopsdoc.facts.quantities import instant
from mlopsdoc.facts.supplies import Supply, at_once

FEED = "Look at its cord, at the outlet of the PDU and at the breaker of that feed"
LOGGED = "what the BMC logged: sudo ipmitool sel elist"
RESEAT = "Reseat it once; if it stays so, replace it while the host runs (hot-swap), by one of the same model"
COMPARE = "Compare the models and firmware of all supplies: sudo ipmitool fru print"
# What is wrong with one supply: how bad (IPMI 2.0 table 42-3, type 08h; Redfish Status, LineInputStatus), in words, and
# what to do. The worst comes first; without input many say that they failed, too.
TROUBLES = {
    "no_input": (critical, "has no input power", FEED),
    "failed": (critical, "has failed", RESEAT),
    "lost_or_out_of_range": (critical, "has no input power, or of a wrong voltage", FEED),
    "offline": (critical, "is offline: no input power, or switched off", FEED),
    "out_of_range": (warning, "has input power of a wrong voltage", "Have the voltage of that feed measured"),
    "predictive": (warning, "predicts its own failure", "Order its replacement, and swap it in daylight"),
    "config": (warning, "does not fit the others, or is set up wrongly", COMPARE),
    "warns": (warning, "reports a warning", f"See {LOGGED}"),
}
TOGETHER = {
    "lost": (critical, "the loss of one more supply or feed ends this host"),
    "insufficient": (critical, "the supplies that are left cannot carry all that the host may draw"),
    "degraded": (warning, "fewer supplies are in reserve than should be"),
}
STEPS = "; the runbook has the steps"
CAP = (
    "Until it draws less the loss of one supply or feed ends the host or brakes its GPUs. Cap its GPUs "
    f"(sudo nvidia-smi -pl WATTS), spread the jobs, or add a supply{STEPS}"
)


@check(area="power", title="Power supplies work, and one may fail", params=("PSU",))
def psu_redundancy(
    power: PowerSupplies,
    hardware: Hardware,
    *,
    supplies: int = 0,
    supply_watts: int = 0,
    warning_percent: float = 90.0,
    critical_percent: float = 100.0,
) -> Iterator[Finding]:
    """A host whose supplies cannot spare one goes down with the first that fails, or throttles its GPUs at once.

    A supply that failed or has no input is critical, one that predicts its own failure or has a wrong voltage is a
    warning (IPMI 2.0 sensor type 08h; Redfish Status, LineInputStatus). An empty bay is a fault only where the BMC
    says that redundancy is lost, where only one supply is left, or where `supplies` or the profile's hardware says how
    many there should be.

    The N-1 rule holds what is drawn now (DCMI, the BMC's own sum, or what the supplies take) against what is left
    without the largest supply: critical above 100 %, warning above 90 %, the makers' usual headroom. Where Redfish
    names the circuit of each supply (ElectricalSourceNames) or the profile's hardware says how many `feeds` they hang
    on, it is without all supplies of the largest feed. BMCs count supplies and go on saying "Fully Redundant" there:
    2 x 2200 W are redundant at 1.9 kW, not at 4.0 kW. What is drawn is measured before the supplies and is 4 to 9 %
    more than they give, so this errs to the safe side. The most that was drawn is told and not judged: the BMC's period
    may be a second or weeks.

    What a supply gives is `supply_watts` (at your line voltage), else what Redfish says for its input range, else its
    label by Redfish, the BMC's inventory, supply_w of the profile's hardware, or SMBIOS: in full from 217 V, 95 % from
    204 V (a 2200 W supply gives 2090 W at 208 V), 82 to 90 % from 180 V, and below that 45 to 100 %.
    """

    def able(supply: Supply) -> Gives | None:
        return gives(supply, supply_watts, hardware.supply_w)

    feeds = hardware.feeds or 1
    found = [*_supplies(power, feeds), *_bays(power, supplies or hardware.supplies or 0)]
    yield from found
    if not any(finding.status.value == "critical" or finding.code == "missing" for finding in found):
        if power.redundancy in TOGETHER and _all_work(power):
            yield _lost(power)
        else:
            yield from _margin(power, able, feeds, (warning_percent, critical_percent))
    yield from _unit(power)
    if power.unseen:
        yield unknown(power.unseen, code="unseen")


def _present(power: PowerSupplies) -> list[Supply]:
    return [supply for supply in power.supplies if supply.presence == "present"]


def _all_work(power: PowerSupplies) -> bool:
    """All that are there."""
    return all(supply.works for supply in _present(power))


def _supplies(power: PowerSupplies, feeds: int) -> Iterator[Finding]:
    """Those that are there and in trouble, the worst word of each first."""
    for supply in _present(power):
        known = sorted((word for word in supply.troubles if word in TROUBLES), key=list(TROUBLES).index)
        if not known:
            continue
        level, _, advice = TROUBLES[known[0]]
        left = [other for other in power.supplies if other.works and other is not supply]
        if power.redundancy == "degraded" and len(left) > max(map(len, at_once(_present(power), feeds))):
            level = warning  # the BMC counts what is left, and it is enough for one more, or one feed
        what = " and ".join(TROUBLES[word][1] for word in known)
        yield level(
            f"{what}; {_left(left, power) if not supply.works else 'it still works'}",
            code=known[0],
            advice=advice + STEPS,
            **_of(supply, power),
        )


def _of(supply: Supply, power: PowerSupplies) -> dict[str, Any]:
    """What every finding on a supply has."""
    return {
        "subject": supply.subject,
        "since": instant(supply.since),
        "params": {"PSU": supply.name},
        "metrics": {"drawn_w": power.drawn},
        "evidence": [supply.line, power.redundancy_line],
    }


def _left(left: Sequence[Supply], power: PowerSupplies) -> str:
    """``the host runs on PSU 1 (1640 W); the BMC says: Redundancy Lost``"""
    drawn = f" ({power.drawn:.0f} W)" if power.drawn else ""
    on = f"the host runs on {_names(left)}{drawn}" if left else "no other supply is known to work"
    bmc = f"; the BMC says: {power.redundancy_said}" if power.redundancy in TOGETHER else ""
    return on + bmc


def _names(supplies: Sequence[Supply]) -> str:
    return ", ".join(supply.subject for supply in supplies)


def _bays(power: PowerSupplies, wanted: int) -> Iterator[Finding]:
    """Bays that are empty or give no reading, where that is a fault; a note where it is none."""
    gone = [supply for supply in power.supplies if supply.presence != "present"]
    works = [supply for supply in power.supplies if supply.works]
    there = len(_present(power))
    is_told = power.redundancy in TOGETHER and _all_work(power)
    is_alone = len(works) == there == 1 and power.redundancy not in ("full", "none")
    is_short = 0 < there < wanted and not power.unseen
    if gone and (is_told or is_alone or is_short) and wanted != there:
        level = TOGETHER[power.redundancy][0] if is_told else warning
        for supply in gone:
            is_empty = supply.presence == "absent"
            state = "its bay is empty" if is_empty else "dead, unplugged or gone: it gives no reading"
            yield level(
                f"missing: {state}; {_left(works, power)}",
                code="missing",
                advice=f"Put a supply of the same model in, or set checks.psu_redundancy.supplies = {there} where "
                f"that is all it should have{STEPS}",
                **_of(supply, power),
            )
    elif is_short:
        yield warning(f"{there} power supplies, {wanted} should be there", code="missing", advice=STEPS[2:])
    elif gone:
        yield ok(f"{_names(gone)}: {'no reading' if gone[0].presence == 'unread' else 'empty'}, and not missed")


def _lost(power: PowerSupplies) -> Finding:
    """Redundancy is not what it should be, and no supply says why."""
    level, means = TOGETHER[power.redundancy]
    drawn = f" ({power.drawn:.0f} W are drawn)" if power.drawn else ""
    each = ", and of each that it works" if _present(power) else ""
    return level(
        f"the BMC says of the power supplies: {power.redundancy_said}{each}; {means}{drawn}",
        code="redundancy",
        advice=f"Look at all supplies and cords, and at {LOGGED}{STEPS}",
        metrics={"drawn_w": power.drawn},
        evidence=[power.redundancy_line, *(supply.line for supply in power.supplies[:4])],
    )


def _unit(power: PowerSupplies) -> Iterator[Finding]:
    """What the BMC says of the power unit as a whole. Old BMCs keep such a word after the feed is back."""
    are_fine = power.supplies and _all_work(power)
    for said, line in power.unit:
        level = warning if are_fine or said == "predictive failure" else critical
        yield level(
            f"the BMC says of the power unit: {said}" + (", and of each supply that it works" if are_fine else ""),
            code="power_unit",
            advice=f"Look at the feeds and at {LOGGED}{STEPS}",
            evidence=[line],
        )


def _margin(
    power: PowerSupplies, able: Callable[[Supply], Gives | None], feeds: int, percents: tuple[float, float]
) -> Iterator[Finding]:
    """The N-1 rule."""
    works = [supply for supply in power.supplies if supply.works]
    known = [one for supply in works if (one := able(supply))]
    if len(works) < 2:
        if works and not power.unseen:
            yield ok(f"one power supply ({works[0].name}) and no other bay: nothing to spare, by design")
        return
    if power.drawn is None or len(known) < len(works):
        yield _unjudged(power, works, [supply for supply in works if not able(supply)])
        return
    parts = [[one for supply in part if (one := able(supply))] for part in at_once(works, feeds)]
    least = sum(one.least for one in known) - max(sum(one.least for one in part) for part in parts)
    most = sum(one.most for one in known) - max(sum(one.most for one in part) for part in parts)
    size = max(map(len, parts))
    say, means = _verdict(power, (least, most), percents, "feed" if size > 1 else "supply")
    goes = f"{size} of {_what(works, known)}, one feed," if size > 1 else f"one of {_what(works, known)}"
    rest = f"{least:.0f} W" if least == most else f"{least:.0f} to {most:.0f} W"
    above = ", more than the rest gives" if say is ok and (power.most or 0) > most else ""
    peak = f" (at most {power.most:.0f} W{above})" if power.most and power.most > power.drawn else ""
    yield say(
        f"{means}: {power.drawn:.0f} W are drawn{peak}, and without {goes} the rest gives {rest}, by "
        f"{', '.join(dict.fromkeys(one.by for one in known))}",
        code="margin",
        advice="" if say is ok else CAP,
        metrics={"drawn_w": power.drawn, "n_minus_1_w": least, "supplies": len(works)},
        evidence=[power.drawn_line, power.redundancy_line, works[0].line],
    )


def _verdict(
    power: PowerSupplies, rest: tuple[float, float], percents: tuple[float, float], one: str
) -> tuple[Callable[..., Finding], str]:
    """How what is drawn is judged against the rest, which lies between two values where the line voltage is low."""
    at_most, at_least = (100 * (power.drawn or 0.0) / watts for watts in rest)
    if at_most <= percents[0]:
        return ok, f"one {one} may fail"
    if power.redundancy == "none":
        return ok, "set up without redundancy"
    if at_least > percents[1]:
        bmc = f", although the BMC says {power.redundancy_said}" if power.redundancy == "full" else ""
        return critical, f"not redundant{bmc}"
    if at_least <= percents[0]:
        return unknown, f"whether one {one} may fail is not known at this line voltage (set supply_watts)"
    return warning, "hardly redundant"


def _what(works: Sequence[Supply], known: Sequence[Gives]) -> str:
    """``2 x 2200 W at 230 V``"""
    most = [one.most for one in known]
    what = " + ".join(f"{most.count(watts)} x {watts:.0f} W" for watts in dict.fromkeys(most))
    return what + next((f" at {supply.volts:.0f} V" for supply in works if supply.volts), "")


def _unjudged(power: PowerSupplies, works: Sequence[Supply], blind: Sequence[Supply]) -> Finding:
    """That the N-1 rule cannot be held, and why: a note where the BMC itself claims redundancy, else unknown."""
    drawn = f"{power.drawn:.0f} W" if power.drawn else "the host"
    can = f"what {'they' if len(blind) == len(works) else _names(blind)} can give" if blind else ""
    claim = f" and the BMC says {power.redundancy_said}" if power.redundancy_said else ""
    say = ok if power.redundancy == "full" else unknown
    return say(
        f"{len(works)} power supplies work{claim}; {can or 'what is drawn'} is not known, so not whether all but one "
        f"could carry {drawn}",
        code="margin",
        advice="set checks.psu_redundancy.supply_watts to what one gives at your line voltage" if blind else "",
        metrics={"drawn_w": power.drawn, "supplies": len(works)},
        evidence=[power.drawn_line, power.redundancy_line, works[0].line],
    )
