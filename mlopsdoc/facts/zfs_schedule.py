"""What starts scrubs of itself: timers of systemd and lines of cron."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct

from mlopsdoc import Fact, Host, Line
from mlopsdoc.facts.zfs import ZfsPools
from mlopsdoc.patterns import compiled

TIMERS = "/etc/systemd/system/*.wants/*scrub*@*.timer"
DEBIAN_CRON = "/etc/cron.d/zfsutils-linux"
CRON_TREES = ("/etc/cron.d/*", "/etc/cron.daily/*", "/etc/cron.weekly/*", "/etc/cron.monthly/*")
UNITS = "/etc/systemd/system/*.service"  # a site's own service that runs a scrub
TABLES = ("/etc/crontab", "/var/spool/cron/crontabs/root", "/var/spool/cron/root")  # the last two: only for root
NOT_THERE = ("absent", "not_captured")
STARTS = ("zpool scrub", "zpool-scrub", "pool.scrub", "zfs-linux/scrub")  # the third: TrueNAS, the last: Debian


class Schedule(Struct, frozen=True):
    """pool: the only one that is scrubbed, or empty: any. debian: spares pools that opt out by a property."""

    name: str
    pool: str
    debian: bool
    line: Line


class ZfsSchedules(Fact, frozen=True):
    """What would start a scrub, as far as it can be seen.

    hidden: the tables and folders that could not be read, for some are root's. was_asked: whether anything of it
    is known; a recording may hold none of it. Of systemd the enabled instances count, which are links below
    /etc/systemd/system: Host.tree follows them.
    """

    schedules: tuple[Schedule, ...]
    hidden: tuple[str, ...]
    was_asked: bool = True

    @classmethod
    def read(cls, host: Host, zfs: ZfsPools) -> ZfsSchedules:
        """Raises what ZfsPools raises: without pools there is nothing to plan for."""
        names = {pool.name for pool in zfs.pools}
        timers, *trees = [host.tree(pattern) for pattern in (TIMERS, *CRON_TREES, UNITS)]
        found = [_timer(path, names) for path, timer in timers.items() if timer.status != "absent"]
        answers = [answer for tree in trees for answer in tree.values()] + [host.read(table) for table in TABLES]
        for answer in answers:
            found += _lines(answer.key, answer.text, names) if answer.said else []
        asked = [tree.listing for tree in (timers, *trees)] + answers
        hidden = [
            answer.key.partition(" ")[2] for answer in asked if not answer.said and answer.status not in NOT_THERE
        ]
        return cls(tuple(found), tuple(hidden), any(answer.status != "not_captured" for answer in asked))

    def of(self, pool: str, debian_scrub: str = "") -> Schedule | None:
        """The first that scrubs this pool. debian_scrub: its property org.debian:periodic-scrub."""
        for schedule in self.schedules:
            if schedule.pool in ("", pool) and not (schedule.debian and debian_scrub == "disable"):
                return schedule
        return None


def _timer(path: str, names: set[str]) -> Schedule:
    r"""Of ``.../timers.target.wants/zfs-scrub-monthly@tank-data.timer``: OpenZFS's own units take what is after
    the @ as it is (%i), others as systemd escapes it: ``@tank\x2ddata``.
    """
    unit = path.rpartition("/")[2]
    instance = unit.partition("@")[2].removesuffix(".timer")
    pool = compiled(r"\\x([0-9a-f]{2})").sub(lambda match: chr(int(match[1], 16)), instance.replace("-", "/"))
    return Schedule(unit, instance if instance in names else pool, False, Line(f"read {path}", f"{unit} is enabled"))


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
        for said in line.split(start)[1:]:
            for pool in _pools(said, names):
                yield Schedule(path, pool, path == DEBIAN_CRON, Line(key, line.strip()[:200]))


def _pools(said: str, names: set[str]) -> list[str]:
    """Which pools a command scrubs, by what follows it; an empty name stands for any.

    Any, when it names none (``-a``, xargs, a script without operands) or a variable (``$pool``, ``%i``, ``{}``);
    none, when it names others, or stops (``-s``) or pauses (``-p``) a scrub.
    """
    words = compiled("[;&|<>#]").split(said, 1)[0].replace("'", " ").replace('"', " ").split()
    options = "".join(word for word in words if word.startswith("-") and not word.startswith("--"))
    if "s" in options or "p" in options:
        return []
    operands = [word for word in words if compiled("[A-Za-z][A-Za-z0-9_.:-]*").fullmatch(word)]
    if not operands or any(sign in word for word in words for sign in "$`%{"):
        return [""]
    return [word for word in operands if word in names]
