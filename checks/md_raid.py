"""Software RAID arrays that have lost a disk or are not running."""

from collections.abc import Callable, Iterator

from mlopsdoc import Finding, check, critical, ok, unknown, warning
from mlopsdoc.facts.md import REDUNDANT, Array, MdArrays

Level = Callable[..., Finding]


@check(area="storage", title="Software RAID arrays have all their disks", params=("DISK", "MEMBER_PATH"))
def md_raid(md: MdArrays) -> Iterator[Finding]:
    """The boot mirror loses a disk without anybody noticing, and the node is gone with the second one.

    Read from /proc/mdstat (Documentation/admin-guide/md.rst): fewer working disks than wanted is critical where no
    other may fail (RAID 1 of two, 4, 5), else a warning; so is a disk marked faulty, and an array that is not
    running. A check or a first resync, `auto-read-only` (nobody has written since boot), a spare, RAID 0, and the
    inactive container of external metadata (Intel VROC) are in order.
    """
    for array in md.arrays:
        yield from _judged(array)
    if md.is_part:
        yield unknown("/proc/mdstat is not here as a whole: whether there are other arrays is not known", code="part")


def _judged(array: Array) -> Iterator[Finding]:
    faulty = [member.name for member in array.members if member.flag == "F"]
    if array.is_container:
        return
    if array.state != "active":
        what = (
            f"it is {array.state or 'in an unknown state'}, with {len(array.members)} of its disks: it cannot be used"
        )
        advice = (
            "see which disks are missing (`dmesg -T`, `lsblk`) before it is assembled by force; steps in the runbook"
        )
        yield _say(critical, array, "inactive", what, advice)
    elif array.missing > 0 and array.level in REDUNDANT:
        yield _degraded(array, faulty)
    elif faulty:
        what = f"{', '.join(faulty)} is marked faulty, although it has all the disks that it wants"
        advice = f"take it out ({_remove(array, faulty[0])}) and replace it; steps in the runbook"
        yield _say(warning, array, "faulty", what, advice)
    elif array.level in REDUNDANT and array.wanted is None:
        yield _say(unknown, array, "cut", "how many of its disks work is not told")
    elif array.action in ("recovery", "reshape", "repair"):
        yield _say(ok, array, "running", _under_way(array))


def _degraded(array: Array, faulty: list[str]) -> Finding:
    if array.left <= 0:
        level, rest = critical, "the next disk that fails takes the data with it"
    else:
        other = ", unless it holds the other copy" if array.level == "raid10" else ""
        level, rest = warning, f"{array.left} more may fail{other}"
    who = f" ({', '.join(faulty)} is faulty)" if faulty else ""
    what = f"{array.level} works with {array.working} of {array.wanted} disks [{array.places}]{who}: {rest}"
    if array.action in ("recovery", "resync", "reshape"):
        what += f"; {_under_way(array)}"
        advice = "let it finish; then look why the disk was lost (`dmesg -T`, `sudo smartctl -a`)"
    else:
        take_out = f"{_remove(array, faulty[0])}, " if faulty else ""
        advice = (
            f"look at `dmesg -T` and the slot first, then {take_out}put a disk in and `sudo mdadm {array.device} --add "
            "/dev/NEW`; steps in the runbook"
        )
    return _say(level, array, "degraded", what, advice, disks_missing=array.missing)


def _under_way(array: Array) -> str:
    done = "waits for its turn" if array.percent is None else f"is {array.percent:g} % done"
    return f"a {array.action} {done}" + (f", {array.finish} to go" if array.finish else "")


def _remove(array: Array, disk: str) -> str:
    return f"`sudo mdadm {array.device} --remove /dev/{disk}`"


def _say(level: Level, array: Array, code: str, summary: str, advice: str = "", **metrics: int) -> Finding:
    gone = [f"/dev/{member.name}" for member in array.members if member.flag == "F"][:1]
    return level(
        summary,
        subject=array.label,
        code=code,
        advice=advice,
        params={"DISK": array.device} | dict(zip(("MEMBER_PATH",), gone)),
        evidence=[array.line],
        metrics=metrics,
    )
