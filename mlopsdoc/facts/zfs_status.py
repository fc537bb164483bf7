"""Pools as `zpool status` describes them, and how it writes numbers and times; see zfs_json.py and zfs_text.py."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from mlopsdoc.model import Line, pool_subject
from mlopsdoc.patterns import compiled

STATES = (
    "ONLINE", "DEGRADED", "FAULTED", "OFFLINE", "REMOVED", "UNAVAIL", "SUSPENDED", "AVAIL", "INUSE",
)  # fmt: skip
ROLES = {"logs": "log", "l2cache": "cache", "cache": "cache", "spares": "spare", "special": "special", "dedup": "dedup"}
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
UNITS = "BKMGTPEZ"
YEAR_9999_S = 253_370_764_800


class Scan(Struct, frozen=True, kw_only=True):
    """One pass over a pool: the running one, or the last one.

    kind: scrub, error scrub, resilver, rebuild (a sequential resilver). state: running, paused, finished,
    canceled. start, end, paused: seconds since the epoch; `end` of one that was canceled is when. spent_paused
    and seconds: of the clock. repaired (or resilvered), issued, total: bytes; progress is what was issued.
    """

    kind: str
    state: str
    start: float | None = None
    end: float | None = None
    paused: float | None = None
    spent_paused: float = 0.0
    seconds: int | None = None
    errors: int | None = None
    repaired: int | None = None
    issued: int | None = None
    total: int | None = None
    line: Line

    @property
    def percent(self) -> float | None:
        """How far it is; above 100 when data was written meanwhile."""
        return 100 * self.issued / self.total if self.issued is not None and self.total else None


class Vdev(Struct, frozen=True):
    """A row of the table: a device, or a group of those one level deeper that follow it.

    role: normal, log, cache, spare, special, dedup. read, write, checksum: error counts, None where not said. note:
    why it is in its state, in the words of zpool: ``too many errors``, ``was /dev/sdc1``.
    """

    name: str
    depth: int
    role: str
    state: str
    read: int | None = None
    write: int | None = None
    checksum: int | None = None
    is_leaf: bool = True
    note: str = ""

    @property
    def errors(self) -> int:
        return (self.read or 0) + (self.write or 0) + (self.checksum or 0)


class Pool(Struct, frozen=True, kw_only=True):
    """An imported pool.

    scan: the last or running scrub or resilver, whichever began later: only one is kept. None when there never
    was one, unless `unread` says why it is not known. rebuild: the last sequential resilver. data_errors: how
    many objects have no good copy left. created: None where not asked for or not known. last_scrub: from the
    history, where the record is gone; history: why that could not be read. debian_scrub: the property
    org.debian:periodic-scrub. message: the id of what zpool says is wrong, as in ``ZFS-8000-9P``. is_cut: the text
    ends before the table of the devices does: vdevs lacks some. is_healthy: zpool says so, and no more of it.
    """

    name: str
    state: str
    line: Line
    scan: Scan | None = None
    rebuild: Scan | None = None
    unread: str = ""
    vdevs: tuple[Vdev, ...] = ()
    data_errors: int | None = None
    created: float | None = None
    last_scrub: Scan | None = None
    history: str = ""
    debian_scrub: str = ""
    message: str = ""
    is_cut: bool = False
    is_healthy: bool = False

    @property
    def label(self) -> str:
        return pool_subject(self.name)

    @property
    def params(self) -> dict[str, str]:
        return {"POOL": self.name}

    def command(self, start: str) -> str:
        """A command on this pool, as one may type it; with POOL in place of a name that would need quoting."""
        plain = compiled("[A-Za-z][A-Za-z0-9_.:-]{0,254}").fullmatch(self.name)
        return f"{start} {self.name if plain else 'POOL'}"

    @property
    def disks(self) -> tuple[Vdev, ...]:
        return tuple(vdev for vdev in self.vdevs if vdev.is_leaf)


def number(said: object) -> int | None:
    """Bytes or a count, exact or as a human reads it: 42, ``"42"``, ``1.2K``, ``7.68T``, ``0B``; else None."""
    if isinstance(said, int) and not isinstance(said, bool):
        return said if said >= 0 else None
    if not isinstance(said, str):
        return None
    match = compiled(r"([0-9]{1,20})(\.[0-9]{1,9})?([BKMGTPEZ]?)").fullmatch(said)
    if match is None:
        return None
    factor: int = 1 << 10 * UNITS.index(match[3] or "B")
    digits, fraction = str(match[1]), str(match[2] or "")
    return round(float(digits + fraction) * factor) if fraction else int(digits) * factor


def moment(said: object) -> float | None:
    """Seconds since the epoch of an int, or of what ctime says: ``Sun Nov  8 00:24:01 2026``; else None.

    The clock is taken as UTC: live commands run so. One with a zone has it before the year.
    """
    if isinstance(said, int) and not isinstance(said, bool):
        return float(said) if 0 < said < YEAR_9999_S else None
    words = said.split() if isinstance(said, str) and len(said) < 64 else []
    if len(words) not in (5, 6) or words[1] not in MONTHS:
        return None
    return stamp(f"{words[-1]}-{MONTHS.index(words[1]) + 1:02}-{words[2]:>02}", words[3])


def stamp(day: str, clock: str) -> float | None:
    """Seconds since the epoch of ``2026-11-08`` and ``00:24:01``, taken as UTC; None when there is no such time."""
    form = "[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}"
    if not compiled(form).fullmatch(f"{day} {clock}"):
        return None
    try:
        return datetime.fromisoformat(f"{day}T{clock}+00:00").timestamp()
    except ValueError:
        return None


def duration(said: str) -> int | None:
    """Seconds of ``5h30m`` (0.7), ``0 days 05:30:00`` (0.8) and ``05:30:00`` (2.0 and later); else None."""
    match = compiled(r"(?:([0-9]{1,6}) days )?([0-9]{1,4}):([0-9]{2}):([0-9]{2})").fullmatch(said)
    if match is not None:
        return 86400 * int(match[1] or 0) + 3600 * int(match[2]) + 60 * int(match[3]) + int(match[4])
    match = compiled(r"([0-9]{1,6})h([0-9]{1,2})m").fullmatch(said)
    return 3600 * int(match[1]) + 60 * int(match[2]) if match is not None else None
