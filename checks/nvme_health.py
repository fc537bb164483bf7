"""NVMe drives that fail, wear out, or were lost for a while."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlopsdoc import Before, CannotSee, Finding, Line, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts.md import MdArrays
from mlopsdoc.facts.nvme import Drive, NvmeDrives, NvmeEvent, NvmeEvents, Smart
from mlopsdoc.facts.quantities import instant, span
from mlopsdoc.facts.zfs import ZfsPools
from mlopsdoc.facts.zfs_status import Vdev
from mlopsdoc.model import short_pci

Level = Callable[..., Finding]
SPARE, HEAT, RELIABILITY, READ_ONLY, BACKUP, MEMORY_REGION = (1 << bit for bit in range(6))
REPLACE = "make sure of a copy of what is on it, then replace it; steps in the runbook"
PLAN = "plan to replace it, nothing has to be done tonight: it works on while it has spare blocks; steps in the runbook"
COOL = "look at the fans and at what stands before the drives (`sudo ipmitool sdr type Fan`); steps in the runbook"
SEAT = (
    "see whether it answers (`sudo nvme list`), reseat it or try another slot when its pool or array can spare it, and "
    "update its firmware; steps in the runbook"
)
# Bit -> code, what it means.
BITS = {
    SPARE: ("spare", "its spare blocks are below their limit"),
    RELIABILITY: ("reliability", "it reports that it is no longer reliable"),
    READ_ONLY: ("read_only", "it takes no more writes"),
    BACKUP: ("backup", "its protection against loss of power failed: what was just written may be lost with the power"),
}
# Kind of line -> how bad, what happened, what to do.
LOGGED = {
    "gone": (critical, "the kernel gave it up", SEAT),
    "reset": (warning, "it did not answer and was reset", SEAT),
    "timeout": (warning, "it did not answer in time", SEAT),
    "medium": (warning, "data could not be read from it", REPLACE),
}


class Fault(NamedTuple):
    """What a finding will say. lost: it explains what a pool or an array says of the drive."""

    level: Level
    code: str
    what: str
    advice: str = REPLACE
    lost: bool = False
    since: str = ""
    lines: tuple[Line | None, ...] = ()


@check(
    area="storage",
    title="NVMe drives answer, are not worn out, and have no errors",
    params=("DISK", "PCI", "POOL"),
    explains=("zfs_pools", "zfs_scrub", "md_raid"),
    explained_by=("pcie_aer",),
)
def nvme_health(
    nvme: NvmeDrives | None,
    before: Before[NvmeDrives],
    events: NvmeEvents | None,
    pools: ZfsPools | None,
    arrays: MdArrays | None,
    *,
    used_warning: int = 80,
    spare_margin: int = 5,
    timeouts_warning: int = 3,
    least_peers: int = 3,
    lookback_h: float = 24.0,
) -> Iterator[Finding]:
    """A drive that fails takes the pool's redundancy with it, one that is slow or resets holds up every reader.

    By its own critical warnings (NVM Express, SMART log 02h): spare blocks below the limit, no longer reliable, no more
    writes and lost power protection are critical; too hot and the persistent memory region are a warning. "No longer
    reliable" with all its rated life used, spare blocks left and no media error says no more than the life used
    (smartmontools, issue 537): a warning, as is `used_warning` percent of it and more (as gcm and hardware-observer
    have it), and spare blocks within `spare_margin` percent of their limit. Media errors and minutes above a
    temperature count by growth; unsafe shutdowns and the entries of its error log not at all, for both come with use.
    Drives that a host makes up for its virtual machines say nothing.

    A controller that is not `live` is lost or being reset. Of the kernel log: given up by the kernel and not back, and
    of the last `lookback_h` reset, `timeouts_warning` commands that took too long, data that could not be read. A link
    slower or narrower than that of at least `least_peers` drives of its model, which are all alike, is a bad slot.
    """
    drives = {drive.name or str(n): drive for n, drive in enumerate(nvme.drives)} if nvme else {}
    live = {name for name, drive in drives.items() if drive.state == "live"}
    logged = _logged(events, live, lookback_h * 3600, timeouts_warning) if events else {}
    if not drives and not logged:
        raise NothingHere("no NVMe drive tells of its health here")
    found = 0
    for name in dict.fromkeys((*drives, *logged)):
        drive = drives.get(name) or Drive(name)
        faults = [*logged.get(name, ()), *_state(drive, before), *_heat(drive)]
        if drive.smart:
            faults += [*_warned(drive.smart, used_warning, spare_margin), *_grown(drive, before)]
        peers = [one for one in drives.values() if one.model == drive.model and one is not drive]
        faults += _link(drive, peers, least_peers)
        by_code = {fault.code: fault for fault in sorted(faults, key=lambda fault: fault.level is critical)}
        for fault in by_code.values():
            yield _say(drive, fault, pools, arrays)
        found += len(by_code)
    yield from _of_all(nvme, is_all=not found) if nvme else ()


def _say(drive: Drive, fault: Fault, pools: ZfsPools | None, arrays: MdArrays | None) -> Finding:
    homes = [(p.label, _is_hurt(v)) for p in (pools.pools if pools else ()) for v in p.vdevs if drive.is_called(v.name)]
    pool = homes[0][0].removeprefix("pool ") if homes else ""
    homes += [
        (a.label, m.flag == "F")
        for a in (arrays.arrays if arrays else ())
        for m in a.members
        if drive.is_called(m.name)
    ]
    who = ", ".join(filter(None, (drive.model, drive.serial))) if drive.name else ""
    said = f" ({who})" if who else ""
    short = short_pci(drive.slot) if drive.slot else ""
    return fault.level(
        fault.what + said + (f"; it is in {' and '.join(home for home, _ in homes)}" if homes else ""),
        subject=drive.label,
        code=fault.code,
        advice=fault.advice,
        since=fault.since,
        covers=[
            *(home for home, is_hurt in homes if fault.lost and is_hurt),
            *([f"PCI device (nvme) {short}", f"PCI device {short}"] if short else ()),
        ],
        params={"DISK": f"/dev/{drive.name}" if drive.name else "", "PCI": drive.slot, "POOL": pool},
        evidence=fault.lines or [drive.line],
    )


def _is_hurt(vdev: Vdev) -> bool:
    """Whether the pool has something against it."""
    return vdev.state != "ONLINE" or bool(vdev.read or vdev.write or vdev.checksum)


# ---- what the kernel says


def _logged(events: NvmeEvents, live: set[str], lookback_s: float, least: int) -> dict[str, list[Fault]]:
    """By drive: the worst that was logged lately. One that came back was reset, whatever the kernel said before."""
    old = [event for event in events.events if event.line.at and events.now - event.line.at > lookback_s]
    found: dict[str, dict[str, list[NvmeEvent]]] = {}
    for event in events.events:
        kinds = found.setdefault(event.drive, {})
        if event.kind == "alive":
            gone = kinds.pop("gone", [])
            kinds.setdefault("reset", []).extend(one for one in gone if one not in old)
        elif event not in old or (event.kind == "gone" and event.drive not in live):
            kind = "reset" if event.kind == "gone" and event.drive in live else event.kind
            kinds.setdefault(kind, []).append(event)
    return {drive: faults for drive, kinds in found.items() if (faults := list(_worst(kinds, least)))}


def _worst(kinds: dict[str, list[NvmeEvent]], least: int) -> Iterator[Fault]:
    """Whether it answers, by the worst of what was said of that; and data that could not be read."""
    is_silent = False
    for kind, (level, what, advice) in LOGGED.items():
        lines = kinds.get(kind, [])
        if lines and (kind != "timeout" or len(lines) >= least) and not (is_silent and kind != "medium"):
            is_silent = True
            since = instant(lines[0].line.at)
            many = f" {len(lines)} times" if kind != "gone" and len(lines) > 1 else ""
            when = f", at {instant(lines[-1].line.at)}" if since else ""
            last = lines[-1].line.line
            yield Fault(level, kind, f"{what}{many}, says the kernel log{when}", advice, True, since, (last,))


def _state(drive: Drive, before: Before[NvmeDrives]) -> Iterator[Fault]:
    if drive.state == "dead" or drive.state.startswith("deleting"):
        yield Fault(critical, "state", f"its controller is {drive.state}: nothing can be read from it", SEAT, True)
    elif drive.state not in ("live", "new", ""):
        was = before.fact.same(drive) if before.fact else None
        lasts = was is not None and was.state == drive.state
        yield Fault(critical if lasts else warning, "state", f"its controller is {drive.state}, it waits", SEAT, True)


def _heat(drive: Drive) -> Iterator[Fault]:
    now, limit = drive.temperature_c, drive.warning_c or drive.critical_c
    if now is not None and drive.critical_c and now >= drive.critical_c:
        yield Fault(critical, "hot", f"{now:.0f} C, at {drive.critical_c:.0f} C it stops working", COOL)
    elif now is not None and limit and now >= limit:
        yield Fault(warning, "hot", f"{now:.0f} C, its limit is {limit:.0f} C: it slows down", COOL)


def _link(drive: Drive, peers: list[Drive], least: int) -> Iterator[Fault]:
    links = {(peer.width, peer.speed) for peer in peers}
    if not drive.width or len(peers) < least or len(links) != 1:
        return
    width, speed = links.pop()
    if _size(drive.width) < _size(width) or _size(drive.speed) < _size(speed):
        now, then = f"x{drive.width} at {drive.speed}", f"x{width} at {speed}"
        what = f"its link is {now}, that of {len(peers)} others of its model {then}"
        yield Fault(warning, "link", what, SEAT)


def _size(text: str) -> float:
    """16 of ``16.0 GT/s PCIe``."""
    word = (text.split() or [""])[0]
    return float(word) if word.replace(".", "", 1).isdecimal() and len(word) < 8 else 0.0


# ---- what it says of itself


def _warned(smart: Smart, used_warning: int, margin: int) -> Iterator[Fault]:
    bits, used = smart.warning or 0, smart.used or 0
    has_spare = smart.spare is None or smart.spare >= (smart.spare_threshold or 0)
    is_worn_only = used >= 100 and has_spare and not smart.media_errors
    if is_worn_only:
        bits &= ~RELIABILITY
    for bit, (code, what) in BITS.items():
        if bits & bit:
            yield Fault(critical, code, f"{what}{_shown(smart)}", REPLACE, True, "", (smart.line,))
    if bits & HEAT:
        heat = f": {smart.temperature_c} C" if smart.temperature_c is not None else ""
        yield Fault(warning, "hot", f"too hot or too cold, it says{heat}", COOL, lines=(smart.line,))
    if bits & MEMORY_REGION:
        yield Fault(warning, "memory_region", "its persistent memory region is not reliable", lines=(smart.line,))
    if not has_spare and not bits & SPARE:
        yield Fault(critical, "spare", f"{BITS[SPARE][1]}{_shown(smart)}", REPLACE, True, "", (smart.line,))
    elif has_spare and _is_near(smart, margin):
        limit = smart.spare_threshold
        yield Fault(warning, "spare", f"{smart.spare} % of its spare blocks left, the limit is {limit} %", PLAN)
    if used >= used_warning:
        also = (
            ", which is why it calls itself unreliable" if is_worn_only and (smart.warning or 0) & RELIABILITY else ""
        )
        spare = f"; {smart.spare} % of its spare blocks are left" if smart.spare is not None else ""
        yield Fault(warning, "worn", f"{used} % of its rated life used{also}{spare}", PLAN, lines=(smart.line,))


def _is_near(smart: Smart, margin: int) -> bool:
    """A new drive has 100 %, whatever its limit; one that knows no limit says nothing."""
    return bool(smart.spare_threshold and smart.spare is not None and smart.spare < 100) and (
        (smart.spare or 0) <= (smart.spare_threshold or 0) + margin
    )


def _shown(smart: Smart) -> str:
    said = {"spare": smart.spare, "limit": smart.spare_threshold, "used": smart.used}
    told = ", ".join(f"{name} {value} %" for name, value in said.items() if value is not None)
    errors = f", {smart.media_errors} media errors" if smart.media_errors else ""
    return f" ({told}{errors})" if told else ""


def _grown(drive: Drive, before: Before[NvmeDrives]) -> Iterator[Fault]:
    """What it counted since the earlier look; a count that fell is of another drive."""
    now = drive.smart
    if not now or not (now.media_errors or now.warm_min or now.hot_min):
        return
    then = before.fact.same(drive) if before.fact else None
    was = then.smart if then else None
    if was is None or before.seconds <= 0:
        return
    when = f"in the last {span(before.seconds)}"
    errors, warm, hot = (
        (new or 0) - (old or 0) if old is not None else 0
        for new, old in (
            (now.media_errors, was.media_errors),
            (now.warm_min, was.warm_min),
            (now.hot_min, was.hot_min),
        )
    )
    if errors > 0:
        what = f"{errors} media errors {when}, {now.media_errors} in all: data could not be read back"
        yield Fault(warning, "media", what, REPLACE, True, "", (now.line,))
    if hot > 0:
        yield Fault(critical, "hot", f"above its critical temperature for {hot} min {when}", COOL, lines=(now.line,))
    elif warm > 0:
        yield Fault(warning, "hot", f"above its warning temperature for {warm} min {when}", COOL, lines=(now.line,))


def _of_all(nvme: NvmeDrives, *, is_all: bool) -> Iterator[Finding]:
    """What could not be seen, and a note of what was. is_all: nothing else was found."""
    dark = [drive for drive in nvme.drives if drive.why]
    if dark:
        names = f"{', '.join(d.name for d in dark[:4])}{f' and {len(dark) - 4} more' if len(dark) > 4 else ''}"
        why = (
            f"what {names} say{'s' * (len(dark) == 1)} of {'its' if len(dark) == 1 else 'their'} health: {dark[0].why}"
        )
        if is_all and len(dark) == len(nvme.drives):
            raise CannotSee(why, nvme.fix)
        yield unknown(why, code="smart", advice=nvme.fix)
    told = [drive.smart for drive in nvme.drives if drive.smart]
    if told:
        used = max((smart.used or 0 for smart in told), default=0)
        errors = sum(smart.media_errors or 0 for smart in told)
        also = f", {errors} media errors in their life" if errors else ""
        yield ok(
            f"{len(told)} of {len(nvme.drives)} drives asked: at most {used} % of the rated life used{also}",
            code="asked",
        )
