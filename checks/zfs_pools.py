"""ZFS pools that do not work, have lost disks, or lose data."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mlopsdoc import Finding, Line, check, critical, unknown, warning
from mlopsdoc.facts.quantities import instant
from mlopsdoc.facts.zfs import OUT_OF_WORK, ZfsPools
from mlopsdoc.facts.zfs_status import Pool, Scan, Vdev

# Messages of a pool whose I/O is suspended, whatever its state: before 2.0 that still reads ONLINE.
SUSPENDED = ("ZFS-8000-HC", "ZFS-8000-JQ", "ZFS-8000-MM")
DATA_LOST = "ZFS-8000-8A"
LOST = ("FAULTED", "UNAVAIL", "REMOVED", "OFFLINE")
STAND_INS = ("spare-", "replacing-")
AUXILIARY = ("log", "cache", "spare")  # the data do not need them
Level = Callable[..., Finding]


@check(
    area="storage",
    title="ZFS pools work, with all their disks and without damaged files",
    params=("POOL", "VDEV"),
    explains=("zfs_scrub",),
)
def zfs_pools(zfs: ZfsPools) -> Iterator[Finding]:
    """A pool whose I/O is suspended hangs every program that touches it, a pool without redundancy loses data with
    the next disk, and neither is seen by whoever only reads and writes.

    States and messages: OpenZFS zpool-status(8), libzfs_status.c. A RAID-Z1 or a mirror that lost its only spare
    disk is critical, for nothing protects its data now; what has redundancy left is a warning, as is a disk with
    errors that is still in use. Old features, a checkpoint, a trim or a resilver that is over are in order.
    """
    if zfs.unseen:
        yield unknown(zfs.unseen, code="unseen")
    for pool in zfs.pools:
        yield from _judged(pool)


def _judged(pool: Pool) -> Iterator[Finding]:
    if pool.state in OUT_OF_WORK or pool.message in SUSPENDED:
        yield _out_of_work(pool)
        return
    losses = list(_losses(pool))
    found = [_degraded(pool, losses)] if losses else []
    found += [*_auxiliary(pool), *_damaged(pool), *_failing(pool)]
    yield from found
    if not found and pool.state == "DEGRADED":
        gone = [disk for disk in pool.disks if disk.state in LOST]
        why = f"{_named(gone)}; what they belong to cannot be read" if gone else "no disk says why"
        yield _say(warning, pool, "state", f"its state is DEGRADED: {why}")
    elif not (found or pool.is_healthy) and (pool.state != "ONLINE" or pool.is_cut or (pool.unread and not pool.vdevs)):
        yield _say(unknown, pool, "cut", f"{pool.state or 'its state'}: what its disks say is missing in this text")


def _say(
    level: Level, pool: Pool, code: str, summary: str, *lines: Line | None, vdevs: Sequence[Vdev] = (), **about: object
) -> Finding:
    """A finding about a pool and vdevs of it. `about` is what else a finding may say: see mlopsdoc.finding."""
    about = {"advice": f"look at {pool.command('zpool status -v')}; steps in the runbook"} | about
    params = pool.params | ({"VDEV": vdevs[0].name} if len(vdevs) == 1 else {})
    return level(summary, subject=pool.label, code=code, params=params, evidence=[pool.line, *lines], **about)


class Loss(NamedTuple):
    """Disks that a group is without, and how many more it could lose: below 0 it cannot work."""

    group: str
    disks: list[Vdev]
    left: int


def _groups(pool: Pool) -> Iterator[tuple[Vdev, list[Vdev]]]:
    """Every vdev of the uppermost level that holds data, with all that is below it. A single disk has nothing below."""
    group: tuple[Vdev, list[Vdev]] | None = None
    for vdev in pool.vdevs:
        if vdev.depth == 1:
            if group:
                yield group
            group = (vdev, []) if vdev.role not in AUXILIARY else None
        elif group and vdev.depth > 1:
            group[1].append(vdev)
    if group:
        yield group


def _parity(name: str, members: int) -> int:
    """How many members a group can lose: ``mirror-0``, ``raidz2-1``, ``draid3:8d:24c:1s-0``; a disk none."""
    if name.startswith("mirror"):
        return members - 1
    for kind in ("raidz", "draid"):
        if name.startswith(kind):
            digit = name[len(kind) : len(kind) + 1]
            return int(digit) if digit in ("1", "2", "3") else 1
    return 0


def _losses(pool: Pool) -> Iterator[Loss]:
    """The groups that lack a member. Where a spare or a new disk stands in, the old one is missing as long as the
    other is not filled."""
    for top, below in _groups(pool):
        members = [vdev for vdev in below if vdev.depth == 2] or [top]
        gone: list[Vdev] = []
        for n, member in enumerate(below or [top]):
            if member.depth == members[0].depth and member.is_leaf and member.state in LOST:
                gone.append(member)
            elif member.name.startswith(STAND_INS) and member.depth == 2:
                inside = [vdev for vdev in _under(below, n) if vdev.is_leaf]
                working = [vdev for vdev in inside if vdev.state == "ONLINE"]
                if not working or _resilver(pool):
                    gone += [vdev for vdev in inside if vdev.state in LOST][:1]
        if gone:
            yield Loss(top.name, gone, _parity(top.name, len(members)) - len(gone))


def _under(below: Sequence[Vdev], n: int) -> Iterator[Vdev]:
    for vdev in below[n + 1 :]:
        if vdev.depth <= below[n].depth:
            return
        yield vdev


def _resilver(pool: Pool) -> Scan | None:
    """The one that is under way."""
    return next((s for s in (pool.rebuild, pool.scan) if s and s.kind != "scrub" and s.state == "running"), None)


def _named(vdevs: Sequence[Vdev]) -> str:
    """``sdc (REMOVED), 7766977507585751734 (FAULTED, was /dev/sdc1)``."""
    named = [f"{v.name} ({v.state}{', ' + v.note if v.note else ''})" for v in vdevs[:4]]
    return ", ".join(named) + (f" and {len(vdevs) - 4} more" if len(vdevs) > 4 else "")


def _out_of_work(pool: Pool) -> Finding:
    bad = [vdev for vdev in pool.disks if vdev.state in LOST]
    shaken = [vdev for vdev in pool.disks if vdev.errors and vdev not in bad]
    what = "its I/O is suspended" if pool.message in SUSPENDED or pool.state == "SUSPENDED" else f"it is {pool.state}"
    said = [f"missing or faulted: {_named(bad)}"] if bad else []
    said += [f"with errors: {_counts(shaken)}"] if shaken else []
    several = len(bad) + len(shaken) > 2
    first = (
        "disks that fail together point to what they share (controller, backplane, cable, power): look at `dmesg -T` "
        "from before the first of them, and mend that first"
        if several
        else "see that the disks are there (`dmesg -T`, `lsblk`)"
    )
    return _say(
        critical,
        pool,
        "out_of_work",
        f"{what}: whatever reads or writes it waits or fails{'; ' if said else ''}{'; '.join(said)}",
        advice=f"{first}, then {pool.command('sudo zpool clear')}; do not replace disks or force an import before: "
        "steps in the runbook",
        metrics={"disks_lost": len(bad), "disks_with_errors": len(shaken)},
    )


def _degraded(pool: Pool, losses: Sequence[Loss]) -> Finding:
    worst = min(losses, key=lambda loss: loss.left)
    gone = [disk for loss in losses for disk in loss.disks]
    running = _resilver(pool)
    done = "" if running is None or running.percent is None else f" ({running.percent:.0f} % done)"
    if worst.left <= 0:
        level, left = critical, f"{worst.group} can lose no other disk without losing data"
    else:
        level, left = warning, f"{worst.group} can lose {worst.left} more"
    if running:
        advice = f"a resilver is under way{done}: let it finish before anything else is touched"
    elif all(disk.state == "OFFLINE" for disk in gone):
        advice = f"somebody took it offline: {pool.command('sudo zpool online')} VDEV when the work is done"
    elif any(disk.state == "REMOVED" for disk in gone):
        advice = (
            "it left the bus: look at `dmesg -T` and at the slot first; when it is back "
            f"{pool.command('sudo zpool online')} VDEV, else replace it"
        )
    else:
        advice = f"replace it ({pool.command('sudo zpool replace')} OLD NEW); steps in the runbook"
    return _say(
        level,
        pool,
        "degraded",
        f"without {_named(gone)}: {left}" + (f"; a resilver is under way{done}" if running else ""),
        running.line if running else None,
        vdevs=gone,
        since=instant(running.start) if running else "",
        advice=advice,
        metrics={"disks_lost": len(gone), "redundancy_left": worst.left},
    )


def _auxiliary(pool: Pool) -> Iterator[Finding]:
    """Log, cache and spare devices that failed: the data stay."""
    bad = [vdev for vdev in pool.disks if vdev.role in AUXILIARY and vdev.state in LOST]
    in_use = [vdev for vdev in pool.disks if vdev.role == "spare" and vdev.state == "INUSE"]
    if bad:
        what = f"a {bad[0].role} device failed: {_named(bad)}; the data are not in danger"
        yield _say(warning, pool, "auxiliary", what)
    if in_use and not _resilver(pool):
        names = ", ".join(vdev.name for vdev in in_use)
        what = f"the spare {names} stands in for a disk that failed"
        advice = f"replace that disk, or detach it to keep the spare in its place: {pool.command('zpool status')}"
        yield _say(warning, pool, "spare", what, advice=advice)


def _damaged(pool: Pool) -> Iterator[Finding]:
    if not pool.data_errors and pool.message != DATA_LOST:
        return
    count = f"{pool.data_errors} files or objects are" if pool.data_errors else "data are"
    advice = (
        f"list them ({pool.command('sudo zpool status -v')}), restore them from a copy, then scrub twice; steps in the "
        "runbook"
    )
    metrics = {"data_errors": pool.data_errors}
    yield _say(critical, pool, "damaged", f"{count} damaged and have no good copy", advice=advice, metrics=metrics)


def _failing(pool: Pool) -> Iterator[Finding]:
    """Disks that are in use and have errors of their own."""
    bad = [disk for disk in pool.disks if disk.state not in LOST and disk.errors]
    if not bad or (pool.data_errors and len(bad) > 2):  # what has no good copy counts as an error of each disk
        return
    shared = "memory, a controller, a cable or a backplane that they share"
    suspect = shared if len(bad) > 2 else "the disk, its slot or its cable"
    advice = (
        f"look at `dmesg -T` and `sudo smartctl -a` for {suspect}; then {pool.command('sudo zpool clear')} and "
        f"{pool.command('sudo zpool scrub')}: if errors come back, replace what has them"
    )
    metrics = {
        f"{what}_errors": sum(getattr(disk, what) or 0 for disk in bad) for what in ("read", "write", "checksum")
    }
    what = f"in use with errors: {_counts(bad)}"
    yield _say(warning, pool, "failing", what, vdevs=bad, advice=advice, metrics=metrics)


def _counts(vdevs: Sequence[Vdev]) -> str:
    """``sdd (3 read, 169 write, 0 checksum errors)``."""
    worst = sorted(vdevs, key=lambda vdev: -vdev.errors)
    named = [
        f"{v.name} ({v.read or 0} read, {v.write or 0} write, {v.checksum or 0} checksum errors)" for v in worst[:3]
    ]
    return ", ".join(named) + (f" and {len(worst) - 3} more" if len(worst) > 3 else "")
