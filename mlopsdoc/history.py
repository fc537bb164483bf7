"""Statuses and numbers over time: history.db in the state folder, SQLite, made of the lines that runs leave.

Never on the path of `check`. A run is taken over once, whoever is killed in between: its line has an id, and the lines
stay until they are in the database. Order is that of the lines, not of a clock that may jump.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from fnmatch import fnmatchcase
from urllib.parse import quote

from msgspec import DecodeError, Struct, json

from mlopsdoc.hosts.base import safe
from mlopsdoc.hosts.lock import claim
from mlopsdoc.seen import MAX_BYTES, SPOOL, Line, turn

SCHEMA = "mlopsdoc.history/1"
MOST_RUNS, MOST_CHANGES, MOST_VALUES = 20_000, 50_000, 1_000_000
MOST_PAGES = 16384  # of 4 KiB
WAIT_S = 5.0
_TABLES = """
CREATE TABLE IF NOT EXISTS runs (n INTEGER PRIMARY KEY, id TEXT UNIQUE, at REAL, boot TEXT);
CREATE TABLE IF NOT EXISTS changes (name TEXT, run INTEGER, at REAL, boot TEXT, status TEXT, PRIMARY KEY (name, run))
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS names (n INTEGER PRIMARY KEY, name TEXT UNIQUE);
CREATE TABLE IF NOT EXISTS metrics (name INTEGER, run INTEGER, value REAL, PRIMARY KEY (name, run)) WITHOUT ROWID;
"""


class Trouble(Struct, frozen=True, omit_defaults=True):
    """A finding. status: critical, warning, or empty when it is over. since: of the last time.

    times: how often it came. reboots: how many did not help.
    """

    key: str
    status: str
    since: float
    until: float
    times: int = 1
    reboots: int = 0


class Series(Struct, frozen=True):
    """A number over time, oldest first."""

    name: str
    at: list[float]
    values: list[float]


class History(Struct, frozen=True, kw_only=True):
    """What is known. since, until: seconds since the epoch of the first and the last run, None where there is none."""

    schema: str = SCHEMA
    runs: int = 0
    boots: int = 0
    since: float | None = None
    until: float | None = None
    findings: list[Trouble] = []
    metrics: list[Series] = []


def read(states: Sequence[str], wanted: str = "") -> History:
    """All that is known, of the first folder that knows something; wanted: a part or pattern of names. Never fails."""
    fold(states)
    for state in states:
        with suppress(sqlite3.Error, OSError), closing(_for_reading(state)) as db:
            found = _history(db, wanted)
            if found.runs:
                return found
    return History()


def fold(states: Sequence[str]) -> None:
    """Take over the lines that runs left in the first folder. What cannot be done now is left for later."""
    if not states or not os.path.isdir(states[0]):
        return
    with suppress(OSError, sqlite3.Error), _only_one(states[0]):
        for _ in range(2):  # what an earlier one left behind when it was killed, then what has come since
            taken = f"{states[0]}/history.taken"
            if not os.path.exists(taken):
                with turn(states) as spool:
                    if spool is not None:
                        os.rename(f"{states[0]}/{SPOOL}", taken)
            _take(f"{states[0]}/history.db", list(_lines(taken)))
            with suppress(FileNotFoundError):
                os.unlink(taken)


@contextmanager
def _only_one(state: str) -> Generator[None]:
    fd = os.open(f"{state}/history.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        claim(fd, WAIT_S)
        yield
    finally:
        os.close(fd)


def _lines(path: str) -> Iterator[Line]:
    """The lines of a spool; what is half, of somebody who was killed, is none."""
    with suppress(OSError), open(path, "rb") as file:
        for line in file.read(2 * MAX_BYTES).split(b"\n"):
            with suppress(DecodeError, RecursionError):
                yield json.decode(line, type=Line)


def _take(path: str, lines: Sequence[Line]) -> None:
    """Into the database; one that is broken is put aside, one that is full loses its older half."""
    try:
        _insert(path, lines)
    except sqlite3.OperationalError as error:
        if "full" not in str(error):
            raise
        with closing(_opened(path)) as db, db:
            _prune(db, db.execute("SELECT count(*) FROM runs").fetchone()[0] // 2)
        _insert(path, lines)
    except sqlite3.DatabaseError:
        os.replace(path, f"{path}.broken")
        _insert(path, lines)


def _insert(path: str, lines: Sequence[Line]) -> None:
    with closing(_opened(path)) as db, db:
        _add(db, lines)
        _prune(db, MOST_RUNS)


def _opened(path: str) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
    db = sqlite3.connect(path, timeout=WAIT_S)
    db.execute(f"PRAGMA max_page_count = {MOST_PAGES}")
    db.executescript(_TABLES)
    return db


def _for_reading(state: str) -> sqlite3.Connection:
    """A copy in memory, with the lines that could not be taken over: of a folder that may only be read."""
    db = sqlite3.connect(":memory:")
    path = f"{state}/history.db"
    if os.path.exists(path):
        with closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=WAIT_S)) as stored:
            stored.backup(db)
    db.executescript(_TABLES)
    _add(db, [*_lines(f"{state}/history.taken"), *_lines(f"{state}/{SPOOL}")])
    return db


def _add(db: sqlite3.Connection, lines: Iterable[Line]) -> None:
    last = {name: status for name, status, _ in db.execute("SELECT name, status, max(run) FROM changes GROUP BY name")}
    names = {name: n for n, name in db.execute("SELECT n, name FROM names")}
    for line in lines:
        row = (line.id, line.at, line.boot)
        run = db.execute("INSERT OR IGNORE INTO runs (id, at, boot) VALUES (?, ?, ?)", row)
        if not run.rowcount:
            continue
        judged = {check for check, status in line.checks.items() if status != "unknown"}
        gone = {k: "" for k, s in last.items() if s and "/" in k and k.partition("/")[0] in judged}
        for name, status in (line.checks | gone | line.alarms).items():
            if last.get(name, "") != status or _other_boot(db, name, line.boot, status):
                change = (name, run.lastrowid, line.at, line.boot, status)
                db.execute("INSERT OR REPLACE INTO changes VALUES (?, ?, ?, ?, ?)", change)
                last[name] = status
        for name, value in line.metrics.items():
            if name not in names:
                names[name] = db.execute("INSERT INTO names (name) VALUES (?)", (name,)).lastrowid
            db.execute("INSERT OR REPLACE INTO metrics VALUES (?, ?, ?)", (names[name], run.lastrowid, value))


def _other_boot(db: sqlite3.Connection, name: str, boot: str, status: str) -> bool:
    """Whether a finding that stands was written down in another boot: that a reboot did not help is told too."""
    if not status or "/" not in name:
        return False
    row = db.execute("SELECT boot FROM changes WHERE name = ? ORDER BY run DESC LIMIT 1", (name,)).fetchone()
    return row is not None and row[0] != boot


def _prune(db: sqlite3.Connection, most_runs: int) -> None:
    """Forget what is older than so many runs, changes or values."""
    first = db.execute("SELECT coalesce(max(n), 0) FROM runs").fetchone()[0] - most_runs
    values, runs = db.execute("SELECT count(*), count(DISTINCT run) FROM metrics").fetchone()
    if values > MOST_VALUES:
        first = max(first, db.execute("SELECT max(n) FROM runs").fetchone()[0] - runs * MOST_VALUES // values)
    db.execute("DELETE FROM runs WHERE n <= ?", (first,))
    db.execute("DELETE FROM metrics WHERE run <= ?", (first,))
    db.execute("DELETE FROM names WHERE n NOT IN (SELECT DISTINCT name FROM metrics)")
    oldest = db.execute("SELECT run FROM changes ORDER BY run DESC LIMIT 1 OFFSET ?", (MOST_CHANGES,)).fetchone()
    if oldest:
        db.execute("DELETE FROM changes WHERE run <= ?", oldest)


def _history(db: sqlite3.Connection, wanted: str) -> History:
    runs, boots = db.execute("SELECT count(*), count(DISTINCT boot) FROM runs").fetchone()
    if not runs:
        return History()
    since = db.execute("SELECT at FROM runs ORDER BY n LIMIT 1").fetchone()[0]
    until = db.execute("SELECT at FROM runs ORDER BY n DESC LIMIT 1").fetchone()[0]
    return History(
        runs=runs,
        boots=boots,
        since=since,
        until=until,
        findings=[trouble for trouble in _troubles(db, until) if _fits(trouble.key, wanted)],
        metrics=[series for series in _series(db) if _fits(series.name, wanted)],
    )


def _fits(name: str, wanted: str) -> bool:
    return wanted.lower() in name.lower() or fnmatchcase(name, wanted)


def _troubles(db: sqlite3.Connection, now: float) -> Iterator[Trouble]:
    """Every finding there was, what stands first, then the newest."""
    found: dict[str, list[tuple[float, str, str]]] = {}
    for name, at, boot, status in db.execute("SELECT name, at, boot, status FROM changes ORDER BY run"):
        if "/" in name:
            found.setdefault(name, []).append((at, boot, status))
    troubles: list[Trouble] = []
    for key, rows in found.items():
        since, times, reboots, before, boot_before = 0.0, 0, 0, "", ""
        for at, boot, status in rows:
            if status and not before:
                since, times = at, times + 1
            if status:
                reboots += bool(boot_before) and boot != boot_before
                boot_before = boot
            before = status
        until = now if before else rows[-1][0]
        if times:
            troubles.append(Trouble(safe(key), before, min(since, until), until, times, reboots))
    yield from sorted(troubles, key=lambda trouble: (not trouble.status, -trouble.until, trouble.key))


def _series(db: sqlite3.Connection) -> Iterator[Series]:
    query = (
        "SELECT names.name, runs.at, metrics.value FROM metrics JOIN names ON names.n = metrics.name"
        " JOIN runs ON runs.n = metrics.run ORDER BY names.name, runs.n"
    )
    found: dict[str, Series] = {}
    for name, at, value in db.execute(query):
        series = found.setdefault(name, Series(safe(name), [], []))
        series.at.append(at)
        series.values.append(value)
    yield from found.values()
