"""Room on the file systems that people and jobs write to."""

from collections.abc import Callable, Iterator
from math import ceil

from mlopsdoc import Finding, Line, check, critical, unknown, warning
from mlopsdoc.facts.filesystems import FileSystem, FileSystems, Space
from mlopsdoc.facts.quantities import size

Level = Callable[..., Finding]
GIB = 1 << 30
MIB = 1 << 20
HURTS = {
    "/": "logins, logs and services fail without room",
    "/var": "logs, containers and packages fail without room",
    "/var/log": "nothing more is logged without room",
    "/tmp": "jobs and shells fail without room for temporary files",
    "/run": "services cannot start without room",
    "/dev/shm": "data loaders and NCCL die with `Bus error` without room",
    "/boot": "the next kernel update fails half-way without room",
}
READ_FIRST = (
    "Do not just remount it: read the kernel's error first (sudo journalctl -k -b -g 'EXT4-fs|XFS|BTRFS|I/O error'), "
    "look at the disk, save what matters; the runbook has the steps"
)
JOBS = "jobs fail at their next checkpoint without room"


@check(area="storage", title="File systems have room and can be written to", params=("MOUNT", "DISK"))
def disk_space(
    filesystems: FileSystems,
    *,
    warning_percent: float = 10.0,
    critical_percent: float = 5.0,
    warning_gib: float = 100.0,
    critical_gib: float = 20.0,
    floor_mib: float = 500.0,
    inodes_warning_percent: float = 10.0,
    inodes_critical_percent: float = 2.0,
    inodes_enough: int = 1_000_000,
) -> Iterator[Finding]:
    """A full file system ends jobs at their next checkpoint, and a full root ends logins and services.

    Percent alone cries wolf on big disks (5 % of 60 TB is 3 TB), absolute room alone on small ones: a warning
    needs less than 10 % and less than 100 GiB, twice a large checkpoint; critical is less than 5 % and less
    than 20 GiB, or less than 500 MiB on anything of 5 GiB or more (10 % and 500 MB are what fleet agents use,
    95 % used what node checks use). Counted as df does, without the blocks kept for root.

    Inodes: less than 10 % (2 %: critical) and less than a million. A file system that turned read-only: its own
    options say ro while its mount says rw, or /etc/fstab wants it writable.

    Network file systems are never critical: they fill for all hosts at once, and their server is watched
    elsewhere; they warn where a local one would be critical, with 100 GiB in place of 20. One that does not
    answer is unknown, for itself alone. /boot warns at most. ZFS has a check of its own.
    """
    for fs in filesystems.all:
        if fs.turned_read_only:
            yield _read_only(fs)
        elif fs.space is None:
            yield _unseen(fs)
        else:
            critical_below, warning_below = (critical_percent, critical_gib), (warning_percent, warning_gib)
            if level := _level(fs, fs.space, critical_below, warning_below, floor_mib):
                yield _full(fs, fs.space, level)
            low = fs.space.inodes_free_percent if fs.space.inodes_free < inodes_enough else 100.0
            if low < inodes_warning_percent:
                yield _no_inodes(fs, fs.space, low < inodes_critical_percent)
    if filesystems.gap:
        yield unknown(filesystems.gap, code="not_judged")
    if filesystems.doubt:
        yield unknown(filesystems.doubt, code="writability", advice="findmnt -o TARGET,OPTIONS tells it")


def _level(
    fs: FileSystem, space: Space, critical_below: tuple[float, float], warning_below: tuple[float, float], floor: float
) -> Level | None:
    percent, left = space.available_percent, space.available
    is_under_floor = left < floor * MIB and space.size >= 10 * floor * MIB
    if fs.is_network:
        return warning if percent < critical_below[0] and left < warning_below[1] * GIB else None
    if is_under_floor or (percent < critical_below[0] and left < critical_below[1] * GIB):
        return warning if fs.mount.path == "/boot" else critical
    return warning if percent < warning_below[0] and left < warning_below[1] * GIB else None


def _say(level: Level, fs: FileSystem, code: str, summary: str, line: Line, **about: object) -> Finding:
    """A finding about a file system. `about` is what else a finding may say: see mlopsdoc.finding."""
    return level(summary, subject=fs.subject, code=code, params=fs.params, evidence=[line], **about)


def _full(fs: FileSystem, space: Space, level: Level) -> Finding:
    kept = space.free - space.available
    more = f" ({size(kept)} more are kept for root)" if kept > 0.01 * space.size and not fs.printed else ""
    used = ceil(100 - space.available_percent)  # as df rounds
    hurts = HURTS.get(fs.mount.path, JOBS)
    room = fs.printed or f"{size(space.available)} of {size(space.size)}"  # as df wrote it: it may count in thousands
    what = f"{used} % full: {room} left{more}; {hurts}"
    advice = (
        f"See what grew ({fs.command('sudo du -xh --max-depth=2')}; deleted files that are still open: "
        f"{fs.command('sudo lsof -nP +aL1')}) and make room; the runbook has the steps"
    )
    metrics = {"available_bytes": space.available, "size_bytes": space.size, "used_percent": used}
    return _say(level, fs, "space", what, fs.line, advice=advice, metrics=metrics)


def _no_inodes(fs: FileSystem, space: Space, is_critical: bool) -> Finding:
    level = critical if is_critical and not fs.is_network and fs.mount.path != "/boot" else warning
    left = f"{space.inodes_free} of {space.inodes} inodes left"
    although = f", although {size(space.available)} are free" if space.size else ""
    what = f"{left}: soon no new file can be made{although}"
    look = fs.command("sudo du -x --inodes --max-depth=3")
    advice = f"Find the folder with the many small files ({look}) and remove or pack them; the runbook has the steps"
    metrics = {"inodes_free": space.inodes_free, "inodes": space.inodes}
    return _say(level, fs, "inodes", what, fs.line, advice=advice, metrics=metrics)


def _read_only(fs: FileSystem) -> Finding:
    where = f"{fs.mount.kind} on {fs.mount.source}"
    what = f"read-only: {fs.turned_read_only}; nothing can be written there ({where})"
    return _say(critical, fs, "read_only", what, fs.mount.line, advice=READ_FIRST)


def _unseen(fs: FileSystem) -> Finding:
    what, advice = "its room is not known", ""
    if fs.hangs:
        what = f"the {fs.mount.kind} of {fs.mount.source} does not answer"
        advice = "Whoever reads there hangs. Look at the server and the network; the runbook has the steps"
    return _say(unknown, fs, "unseen", f"{what}: {fs.unseen}", fs.line, advice=advice)
