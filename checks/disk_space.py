"""Room on the file systems that people and jobs write to."""

from collections.abc import Iterator
from math import ceil

from mlopsdoc import Finding, check, critical, unknown, warning
from mlopsdoc.facts.filesystems import FileSystem, FileSystems, Space

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
            level = _level(fs, fs.space, (critical_percent, critical_gib), (warning_percent, warning_gib), floor_mib)
            if level:
                yield _full(fs, fs.space, level)
            low = fs.space.inodes_free_percent if fs.space.inodes_free < inodes_enough else 100.0
            if low < inodes_warning_percent:
                yield _no_inodes(fs, fs.space, low < inodes_critical_percent)


def _level(
    fs: FileSystem, space: Space, critical_below: tuple[float, float], warning_below: tuple[float, float], floor: float
) -> str:
    percent, left = space.available_percent, space.available
    is_under_floor = left < floor * MIB and space.size >= 10 * floor * MIB
    if fs.is_network:
        return "warning" if percent < critical_below[0] and left < warning_below[1] * GIB else ""
    if is_under_floor or (percent < critical_below[0] and left < critical_below[1] * GIB):
        return "warning" if fs.mount.path == "/boot" else "critical"
    return "warning" if percent < warning_below[0] and left < warning_below[1] * GIB else ""


def _full(fs: FileSystem, space: Space, level: str) -> Finding:
    kept = space.free - space.available
    more = f" ({_size(kept)} more are kept for root)" if kept > 0.01 * space.size else ""
    used = ceil(100 - space.available_percent)  # as df rounds
    return (critical if level == "critical" else warning)(
        f"{used} % full: {_size(space.available)} of {_size(space.size)} left{more}; {_hurt(fs)}",
        subject=fs.subject,
        code="space",
        advice="See what grew (du -xh --max-depth=2, deleted files still open: lsof +L1) and make room; "
        "the runbook has the steps",
        params=fs.params,
        metrics={"available_bytes": space.available, "size_bytes": space.size, "used_percent": used},
        evidence=[fs.line],
    )


def _no_inodes(fs: FileSystem, space: Space, is_critical: bool) -> Finding:
    most = "warning" if fs.is_network or fs.mount.path == "/boot" else "critical"
    return (critical if is_critical and most == "critical" else warning)(
        f"{space.inodes_free} of {space.inodes} inodes left: soon no new file can be made, "
        f"although {_size(space.available)} are free",
        subject=fs.subject,
        code="inodes",
        advice="Find the folder with the many small files (du --inodes -x) and remove or pack them; see the runbook",
        params=fs.params,
        metrics={"inodes_free": space.inodes_free, "inodes": space.inodes},
        evidence=[fs.line],
    )


def _read_only(fs: FileSystem) -> Finding:
    return critical(
        f"read-only: {fs.turned_read_only}; nothing can be written there ({fs.mount.kind} on {fs.mount.source})",
        subject=fs.subject,
        code="read_only",
        advice="Do not just remount it: read the kernel's error first (journalctl -k -b -g 'EXT4-fs|XFS|BTRFS|I/O "
        "error'), look at the disk, save what matters; the runbook has the steps",
        params=fs.params,
        evidence=[fs.mount.line],
    )


def _unseen(fs: FileSystem) -> Finding:
    what = f"the {fs.mount.kind} of {fs.mount.source} does not answer" if fs.is_network else "its room is not known"
    advice = "Whoever reads there hangs. Look at the server and the network: mountpoint, nfsstat -m, ping; see the "
    return unknown(
        f"{what}: {fs.unseen}",
        subject=fs.subject,
        code="unseen",
        advice=f"{advice}runbook" if fs.is_network else "",
        params=fs.params,
        evidence=[fs.line],
    )


def _hurt(fs: FileSystem) -> str:
    return HURTS.get(fs.mount.path, JOBS)


def _size(count: int) -> str:
    """``0 MiB``, ``31.2 GiB``, ``2.8 TiB``."""
    return (
        f"{count / MIB:.0f} MiB" if count < GIB
        else f"{count / GIB:.1f} GiB" if count < 1000 * GIB
        else f"{count / GIB / 1024:.1f} TiB"
    )  # fmt: skip
