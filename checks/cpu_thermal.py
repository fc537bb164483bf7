"""Processors slowed down, by heat or by something outside them."""

from collections.abc import Callable, Iterator

from mlopsdoc import Before, Finding, Line, check, critical, ok, unknown, warning
from mlopsdoc.facts.cpus import Cpu, Cpus, Package, middle
from mlopsdoc.facts.quantities import span
from mlopsdoc.facts.throttling import CpuTimes, Growth, Throttling

HEAT = (
    "Look at fans and inlet temperature (sudo ipmitool sdr type Fan; sudo ipmitool sdr type Temperature), "
    "then at the heat sink; the runbook has the steps"
)
OUTSIDE = (
    "Look at the power supplies and the BMC's event log (sudo ipmitool sdr type 'Power Supply'; sudo ipmitool "
    "sel elist) and at power caps there; governor and cooling are not the cause; the runbook has the steps"
)
SOFTWARE = "Find who sets it (systemctl status tuned thermald power-profiles-daemon) and undo it; see the runbook"
CAPPED = f"A power cap, mostly the BMC's. {OUTSIDE}"
AMD_LIMIT_C = 95.0  # EPYC's control temperature limit is 95 to 100, and its driver does not tell which
NEAR_LIMIT_C = 5.0
Level = Callable[..., Finding]


@check(area="cpu", title="CPUs run at full clock, not slowed by heat", params=("NODE",))
def cpu_thermal(
    cpus: Cpus,
    throttling: Throttling,
    before: Before[Throttling],
    times: CpuTimes | None,
    times_before: Before[CpuTimes],
    *,
    share_warning: float = 0.01,
    share_critical: float = 0.10,
    events_per_hour_warning: float = 360.0,
    held_warning: float = 0.7,
    held_critical: float = 0.5,
    busy: float = 0.8,
    loaded: float = 0.5,
) -> Iterator[Finding]:
    """A slow CPU starves the GPUs it feeds, and every rank of the job waits for it.

    Judged by growth of Intel's throttle counters (Linux, x86 thermal throttle counters): more than 1 % of the
    time throttled is a warning, more than 10 % critical; kernels before 5.8 count no time, there it is events
    an hour. Without an earlier sample it is judged since boot, then at most a warning: a handful of events
    after boot is normal.

    And by clocks: busy CPUs far below their base clock, which the maker promises under full load, are held
    there (busy is 80 %: with too slow a clock, what works has no rest). Half of it without heat is what PROCHOT#
    looks like when a power supply, a voltage regulator or the BMC pulls it (often 800 or 400 MHz). 0.7 leaves
    room for AVX-512 and AMX, whose own base clocks are lower. A package 5 degrees below its limit with clocks at
    base or above works as designed, and so does a laptop that clips its turbo. At the limit itself it is worth a
    note, and a warning when clocks are below base or counters grow. Counters that say more time than there was
    are not believed, and settings alone are no evidence. Virtual machines are skipped; AMD
    and ARM, which have no counters, are judged by clocks.
    """
    uptime = cpus.taken_at - times.boot if times and times.boot else 0.0
    earlier = before.fact if before.fact and before.fact.by_cpu else None
    seconds = before.seconds if earlier else uptime
    for package in cpus.packages:
        grown = throttling.growth([cpu.number for cpu in cpus.of(package)], earlier, seconds)
        if grown and not grown.is_credible:
            yield _not_credible(package, grown)
            grown = None
        working = _working(package, cpus, times, times_before, busy, loaded, held_warning)
        if cpus.prochot and package is cpus.packages[0]:
            yield _prochot(package, cpus, cpus.prochot)
        elif grown and _is_much(grown, share_warning, events_per_hour_warning):
            yield _throttled(package, cpus, grown, earlier is not None, share_critical)
        elif working and sum(_ratio(cpu) < held_warning for cpu in working) >= 0.9 * len(working):
            yield _held(package, cpus, working, times_before.fact is not None, held_critical)
        elif package.temperature_c and package.limit_c and package.temperature_c >= package.limit_c:
            yield _at_limit(package, cpus, bool(grown and grown.events and earlier))
    yield from (limits := list(_limited(cpus, held_warning)))
    if throttling.unseen and (cpus.vendor == "GenuineIntel" or throttling.is_here):
        yield unknown(f"the throttle counters could not be read: {throttling.unseen}", code="counters")
    elif not (cpus.is_seen or throttling.by_cpu or cpus.prochot or limits):
        yield unknown("no clock, throttle counter or temperature could be seen, and settings alone tell nothing")


def _is_much(grown: Growth, share: float, events_per_hour: float) -> bool:
    return grown.share > share if grown.share is not None else grown.events_per_hour > events_per_hour


def _working(
    package: Package,
    cpus: Cpus,
    times: CpuTimes | None,
    before: Before[CpuTimes],
    busy: float,
    loaded: float,
    held: float,
) -> list[Cpu]:
    """The CPUs of a package that work now and whose clock is known; none where too few do, or none is held.

    With an earlier sample, those busy since then, while at least half as many processes run now; without, all
    of them when the host is loaded. Idle CPUs rest at their lowest clock and those half busy may, so nothing
    follows from theirs; nor from a laptop's, which saves power on purpose.
    """
    known = [cpu for cpu in cpus.of(package) if cpu.mhz and cpu.base_mhz]
    if not any(_ratio(cpu) < held for cpu in known) or cpus.load is None or cpus.is_portable:
        return []
    if times is None or before.fact is None:
        return known if cpus.load >= loaded else []
    shares = times.busy_since(before.fact)
    busy_now = cpus.load * 2 * len(shares) >= sum(share >= busy for share in shares.values())
    working = [cpu for cpu in known if shares.get(cpu.number, 0.0) >= busy]
    return working if busy_now and (len(working) >= 4 or len(working) * 4 >= len(known)) else []


def _ratio(cpu: Cpu) -> float:
    return cpu.mhz / cpu.base_mhz if cpu.mhz and cpu.base_mhz else 1.0


def _say(
    level: Level, package: Package, code: str, summary: str, *lines: Line | None, advice: str = "", **metrics: object
) -> Finding:
    """A finding about a package, with its heat."""
    return level(
        summary,
        subject=package.subject,
        code=code,
        advice=advice,
        params={"NODE": str(package.node)} if package.node is not None else {},
        metrics={**metrics, "temperature_c": package.temperature_c, "limit_c": package.limit_c},
        evidence=[package.line, *lines],
    )


def _throttled(package: Package, cpus: Cpus, grown: Growth, is_growth: bool, share_critical: float) -> Finding:
    during = f"the last {span(grown.seconds)}" if is_growth else f"the {span(grown.seconds)} since boot"
    much = f"{grown.share:.0%} of" if grown.share is not None else f"{grown.events} times in"
    if cpus.is_portable:
        return ok(f"its clocks were lowered by heat for {much} {during}, as laptops do", subject=package.subject)
    where = "" if (grown.package_share or 0) >= (grown.core_share or 0) else f" ({grown.hot_cpus} of its CPUs)"
    what = f"slowed down by heat for {much} {during}{where}{_heat(package)}; it should never be"
    metrics = {"throttled_share": round(grown.share or 0, 4), "events": grown.events}
    if not is_growth:
        advice = f"Run this again in a minute to see whether it still happens. {HEAT}"
        return _say(warning, package, "throttled_since_boot", what, advice=advice, **metrics)
    level = critical if (grown.share or 0) > share_critical else warning
    return _say(level, package, "throttled", what, advice=HEAT, **metrics)


def _not_credible(package: Package, grown: Growth) -> Finding:
    gained = span((grown.share or 0) * grown.seconds)
    why = f"its throttle counters gained {gained} in {span(grown.seconds)}: they cannot be believed"
    return _say(unknown, package, "counters", f"{why}, so whether heat slows it down is not known")


def _at_limit(package: Package, cpus: Cpus, is_growing: bool) -> Finding:
    """As hot as it may get. Busy or not, a clock below base there is heat."""
    known = [cpu for cpu in cpus.of(package) if cpu.mhz and cpu.base_mhz]
    is_slow = bool(known) and middle(map(_ratio, known)) < 0.95
    signs = ", its clocks are below base" * is_slow + ", its throttle counters grow" * is_growing
    what = f"at its temperature limit{_heat(package)}{signs}"
    if not signs or cpus.is_portable:
        return _say(ok, package, "at_limit", what)
    return _say(warning, package, "at_limit", what, advice=HEAT)


def _held(package: Package, cpus: Cpus, slow: list[Cpu], is_growth: bool, held_critical: float) -> Finding:
    mhz, base = middle(cpu.mhz or 0 for cpu in slow), middle(cpu.base_mhz or 0 for cpu in slow)
    code, why, advice = _reason(package, cpus, base)
    level = critical if is_growth and mhz < held_critical * base and code != "software" else warning
    what = f"busy, and held at {mhz:.0f} MHz, below its base clock of {base:.0f} MHz{_heat(package)}: {why}"
    metrics = {"mhz": round(mhz), "base_mhz": round(base), "cpus": len(slow)}
    return _say(level, package, code, what, cpus.policy.line, advice=advice, **metrics)


def _reason(package: Package, cpus: Cpus, base_mhz: float) -> tuple[str, str, str]:
    """What holds a package below its base clock: code, words and advice, of the first row that is so."""
    policy, heat_c = cpus.policy, package.temperature_c
    cap, percent, set_w, most_w = policy.cap_mhz or 0, policy.max_percent, package.power_limit_w, package.power_max_w
    is_hot = heat_c is not None and heat_c >= (package.limit_c or AMD_LIMIT_C) - NEAR_LIMIT_C
    is_manual = policy.governor in ("powersave", "userspace") and "pstate" not in policy.driver
    is_capped = bool(set_w and most_w) and (set_w or 0) < 0.9 * (most_w or 0)
    governor = f"governor {policy.governor} of {policy.driver or 'cpufreq'} keeps it there"
    rows = (
        (is_hot, "heat", "it is at its temperature limit", HEAT),
        (0 < cap < base_mhz * 0.95, "software", f"scaling_max_freq allows no more than {cap:.0f} MHz", SOFTWARE),
        ((percent or 100) < 100, "software", f"max_perf_pct allows no more than {percent} %", SOFTWARE),
        (is_manual, "software", governor, SOFTWARE),
        (is_capped, "power_limit", f"its power limit is set to {set_w or 0:.0f} of {most_w or 0:.0f} W", CAPPED),
    )
    heat = "no heat" if heat_c is not None else "no throttling"
    signs = f"{heat} and no setting explains it, so PROCHOT# from outside the CPU does: PSU, voltage regulator or BMC"
    return next((row[1:] for row in rows if row[0]), ("prochot", signs, OUTSIDE))


def _prochot(package: Package, cpus: Cpus, line: Line) -> Finding:
    """A processor that is told from outside to slow down, and says so."""
    clock = middle(cpu.mhz for cpu in cpus.of(package) if cpu.mhz)
    top = f", of {cpus.policy.max_mhz:.0f} MHz at most" if cpus.policy.max_mhz else ""
    held = f"it is held at {clock:.0f} MHz{top}" if clock else "it is held at its lowest clock"
    why = "PROCHOT# is asserted from outside the CPU now (PSU, voltage regulator or BMC)"
    what = f"{why}: {held}{_heat(package)}"
    mhz = round(clock) or None
    return _say(critical, package, "prochot", what, line, cpus.policy.line, advice=OUTSIDE, mhz=mhz)


def _limited(cpus: Cpus, held: float) -> Iterator[Finding]:
    """Clocks that are limited for all CPUs, busy or not."""
    policy = cpus.policy
    bases = [cpu.base_mhz for cpu in cpus.cpus if cpu.base_mhz]
    low = held * middle(bases) if bases else 1000.0  # no server processor has a base clock of 1 GHz
    if policy.max_mhz and policy.min_mhz and policy.min_mhz >= policy.max_mhz <= low and cpus.vendor != "ARM":
        yield critical(
            f"the firmware limits every CPU to {policy.max_mhz:.0f} MHz, its lowest clock: no setting can raise it",
            code="firmware_limit",
            advice=f"Firmware does so when it does not trust the power supply or its power budget. {OUTSIDE}",
            metrics={"max_mhz": policy.max_mhz},
            evidence=[policy.line],
        )
    if policy.thermald and not cpus.is_portable:
        turbo = " and turbo off" if policy.no_turbo else ""
        yield warning(
            f"thermald holds every CPU at {policy.max_percent} % of its clock (max_perf_pct){turbo}",
            code="thermald",
            advice="thermald slows CPUs down from its own trip points, before the hardware would: see why it is hot "
            "(sudo journalctl -u thermald), and whether this host needs it (sudo systemctl stop thermald); "
            "the runbook has the steps",
            metrics={"max_perf_pct": policy.max_percent},
        )


def _heat(package: Package) -> str:
    if package.temperature_c is None:
        return ""
    return f", now {package.temperature_c:.0f} C" + (f" (limit {package.limit_c:.0f} C)" if package.limit_c else "")
