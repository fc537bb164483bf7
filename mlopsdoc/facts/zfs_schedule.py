"""What starts scrubs of itself: timers of systemd and lines of cron."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from mlopsdoc import Fact, Host, Line
from mlopsdoc.facts.zfs import ZfsPools
from mlopsdoc.facts.zfs_status import pattern

TIMERS = "/etc/systemd/system/*.wants/*scrub*@*.timer"
DEBIAN_CRON = "/etc/cron.d/zfsutils-linux"
CRON_TREES = ("/etc/cron.d/*", "/etc/cron.daily/*", "/etc/cron.weekly/*", "/etc/cron.monthly/*")
UNITS = "/etc/systemd/system/*.service"  # a site's own service that runs a scrub
TABLES = ("/etc/crontab", "/var/spool/cron/crontabs/root", "/var/spool/cron/root")  # the last two: only for root
STARTS = ("zpool scrub", "zpool-scrub", "pool.scrub", "zfs-linux/scrub")  # the third: TrueNAS, the last: Debian


class Schedule(Struct, frozen=True):
    """pool: the only one that is scrubbed, or empty: any. debian: spares pools that opt out by a property."""

    name: str
    pool: str
    debian: bool
    line: Line


class ZfsSchedules(Fact, frozen=True):
    """What would start a scrub, as far as it can be seen; hidden: the tables that only root may read.

    Of systemd the enabled instances count, which are links below /etc/systemd/system: Host.tree follows them.
    """

    schedules: tuple[Schedule, ...]
    hidden: tuple[str, ...]

    @classmethod
    def read(cls, host: Host, zfs: ZfsPools) -> ZfsSchedules:
        """Raises what ZfsPools raises: without pools there is nothing to plan for."""
        names = {pool.name for pool in zfs.pools}
        found = [_timer(path) for path, timer in host.tree(TIMERS).items() if timer.status != "absent"]
        answers = [answer for tree in (*CRON_TREES, UNITS) for answer in host.tree(tree).values()]
        answers += [host.read(table) for table in TABLES]
        for answer in answers:
            found += _lines(answer.key, answer.text, names) if answer.said else []
        return cls(tuple(found), tuple(answer.key.partition(" ")[2] for answer in answers if answer.status == "denied"))

    def of(self, pool: str, debian_scrub: str = "") -> Schedule | None:
        """The first that scrubs this pool. debian_scrub: its property org.debian:periodic-scrub."""
        for schedule in self.schedules:
            if schedule.pool in ("", pool) and not (schedule.debian and debian_scrub == "disable"):
                return schedule
        return None


def _timer(path: str) -> Schedule:
    r"""``.../timers.target.wants/zfs-scrub-monthly@tank\x2ddata.timer``: systemd escapes what is after the @."""
    unit = path.rpartition("/")[2]
    instance = unit.partition("@")[2].removesuffix(".timer").replace("-", "/")
    pool = pattern(r"\\x([0-9a-f]{2})").sub(lambda match: chr(int(match[1], 16)), instance)
    return Schedule(unit, pool, False, Line(f"read {path}", f"{unit} is enabled"))


def _lines(key: str, text: str, names: set[str]) -> Iterator[Schedule]:
    """Lines that start a scrub::

    24 0 8-14 * * root if [ $(date +\\%w) -eq 0 ] && [ -x /usr/lib/zfs-linux/scrub ]; then /usr/lib/zfs-linux/scrub; fi
    30 2 1 * * root /usr/sbin/zpool scrub tank
    """
    path = key.partition(" ")[2]
    for line in text.split("\n"):
        start = next((start for start in STARTS if start in line), "")
        if not start or line.lstrip().startswith(("#", ";")):
            continue
        words = line.partition(start)[2].replace(";", " ").replace("'", " ").replace('"', " ").split()
        pools = [word for word in words if word in names]
        for pool in pools or [""]:
            yield Schedule(path, pool, path == DEBIAN_CRON, Line(key, line.strip()[:200]))
