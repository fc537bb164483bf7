"""What earlier runs saw: since when a finding stands, and the line that every run leaves for the history.

On the path of `check`, so without a database: seen.json tells what stands, history.spool has a line a run until
history.py takes them over. Where nothing can be written, nothing is kept, and what stands stands since the boot.
"""

from __future__ import annotations

import fcntl
import math
import os
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from msgspec import DecodeError, Struct, field, json
from msgspec.structs import replace

from mlopsdoc.facts.quantities import instant
from mlopsdoc.hosts.ring import replace_file
from mlopsdoc.model import Finding, Report, Status

if TYPE_CHECKING:
    from mlopsdoc.engine import Ledger

SPOOL = "history.spool"
FOLD_BYTES = 1 << 18  # a day or so of cron: then it is taken over
MAX_BYTES = 1 << 22  # where nobody can take it over, the older half goes
WAIT_S = 1.0
REMEMBERED_S = 7 * 86400  # what comes back after it was gone for less is the same trouble
MOST, MOST_METRICS = 1000, 500


class Line(Struct, array_like=True, frozen=True):
    """One run. up: seconds since the boot. checks: their statuses; alarms: those of findings by key."""

    id: str
    at: float
    boot: str
    up: float
    checks: dict[str, str]
    alarms: dict[str, str]
    metrics: dict[str, float]


class Entry(Struct, array_like=True):
    """One finding. first: when, by the clock, and `up` seconds after its boot.

    times: how often it came. reboots: how many did not help.
    """

    first: float
    up: float
    boot: str
    last: float
    last_boot: str
    is_gone: bool = False
    times: int = 1
    reboots: int = 0


class Seen(Struct):
    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])


def told(report: Report, ledger: Ledger, states: Sequence[str]) -> Report:
    """The report with what earlier runs know of its findings and with its mutes; it is remembered itself."""
    now, up = ledger.host.now(), time.clock_gettime(time.CLOCK_BOOTTIME)
    size = 0
    with turn(states) as spool:
        seen = _load(states)
        report = _told(report, seen, now, up)
        if spool is not None:
            replace_file(f"{states[0]}/seen.json", json.encode(seen))
            size = _append(spool, json.encode(_line(report, ledger, now, up)) + b"\n")
            if size > MAX_BYTES:
                _halve(spool, size)
    if size > FOLD_BYTES:
        _start_fold()
    return muted(report, states)


def recalled(report: Report, ledger: Ledger, states: Sequence[str]) -> Report:
    """The same for a screen that looks every few seconds: nothing is written."""
    now, up = ledger.host.now(), time.clock_gettime(time.CLOCK_BOOTTIME)
    return muted(_told(report, _load(states), now, up), states)


def muted(report: Report, states: Sequence[str]) -> Report:
    """The report with the mutes of this host, if there are any."""
    if not any(os.path.exists(f"{state}/mutes.json") for state in states):
        return report
    from mlopsdoc import mutes

    return mutes.apply(report, mutes.load(states))


def _told(report: Report, seen: Seen, now: float, up: float) -> Report:
    boot = report.host.boot_id
    standing = {f.key: f for r in report.checks for f in r.findings if f.status.is_alarm}
    judged = {r.id for r in report.checks if r.status is not Status.UNKNOWN}
    known = {key for key, entry in seen.entries.items() if not entry.is_gone or 0 <= now - entry.last < REMEMBERED_S}
    seen.entries = {key: seen.entries[key] for key in known}
    for key, entry in seen.entries.items():
        if key not in standing and not entry.is_gone and key.partition("/")[0] in judged:
            entry.is_gone, entry.last = True, now
    for key in standing:
        entry = seen.entries.setdefault(key, Entry(now, up, boot, now, boot))
        entry.times += entry.is_gone
        entry.reboots += entry.last_boot != boot
        entry.last, entry.last_boot, entry.is_gone = now, boot, False
    if len(seen.entries) > MOST:
        newest = sorted(seen.entries, key=lambda key: seen.entries[key].last)[-MOST:]
        seen.entries = {key: seen.entries[key] for key in newest}
    since = {
        key: _since(seen.entries[key], now, up, boot)
        for key, found in standing.items()
        if not found.since and key in known and key in seen.entries
    }
    if not any(since.values()):
        return report
    checks = [replace(r, findings=[_dated(f, since.get(f.key, "")) for f in r.findings]) for r in report.checks]
    return replace(report, checks=checks)


def _dated(found: Finding, since: str) -> Finding:
    return replace(found, since=since) if since else found


def _since(entry: Entry, now: float, up: float, boot: str) -> str:
    """``2026-11-24T21:05:00Z at the latest, on and off (4 times); 2 reboots did not help``.

    Within one boot by the clock that nobody sets; of an earlier boot by the other one, unless it was ahead.
    """
    first = now - (up - entry.up) if entry.boot == boot and up >= entry.up else entry.first
    if not 0 < first <= now:
        return ""
    said = f"{instant(first)} at the latest"
    if entry.times > 1:
        said += f", on and off ({entry.times} times)"
    if entry.reboots:
        said += f"; {'a reboot' if entry.reboots == 1 else f'{entry.reboots} reboots'} did not help"
    return said


def _line(report: Report, ledger: Ledger, now: float, up: float) -> Line:
    findings = [f for r in report.checks for f in r.findings]
    values = dict(_metrics(findings, ledger))
    return Line(
        id=f"{time.time_ns():x}-{os.getpid()}",
        at=round(now, 1),
        boot=report.host.boot_id,
        up=round(up, 1),
        checks={r.id: r.status.value for r in report.checks},
        alarms={f.key: f.status.value for f in findings if f.status.is_alarm},
        metrics=dict(list(values.items())[:MOST_METRICS]),
    )


def _metrics(findings: Sequence[Finding], ledger: Ledger) -> Iterator[tuple[str, float]]:
    """Numbers by name: ``GPU 2 (9b:00.0) temperature_c``; of a process none, there would be no end of names."""
    yield from _of_facts(ledger)
    for f in findings:
        for name, value in f.metrics.items():
            if not isinstance(value, str) and math.isfinite(value) and not f.subject.startswith("pid "):
                yield f"{f.subject} {name}", value


def _of_facts(ledger: Ledger) -> Iterator[tuple[str, float]]:
    """What GPUs and file systems say of themselves, where a check has asked them."""
    module: Any = sys.modules.get("mlopsdoc.facts.filesystems")
    known = ledger.known(module.FileSystems) if module else None
    for fs in known.all if known else ():
        if fs.space and fs.space.size:
            yield f"mount {fs.mount.path} used_percent", round(100 - fs.space.available * 100 / fs.space.size, 1)
    module = sys.modules.get("mlopsdoc.facts.gpus")
    known = ledger.known(module.Gpus) if module else None
    for gpu in known.gpus if known else ():
        for name in ("temperature_c", "memory_c", "power_w", "sm_mhz", "utilization"):
            if (value := getattr(gpu, name)) is not None:
                yield f"{gpu.label} {name}", value


# files


@contextmanager
def turn(states: Sequence[str]) -> Generator[int | None]:
    """The spool of the first folder, ours alone until the end; None where it cannot be had."""
    fd = _opened(f"{states[0]}/{SPOOL}") if states else None
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


def _opened(path: str) -> int | None:
    until = time.monotonic() + WAIT_S
    with suppress(OSError):
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(fd), os.stat(path)):  # not moved away to be taken over
                    return fd
            except (BlockingIOError, FileNotFoundError):
                time.sleep(0.01)
            os.close(fd)
            if time.monotonic() > until:
                return None
    return None


def _append(fd: int, data: bytes) -> int:
    """Add a line, all of it or nothing; the size of the file."""
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        data = b"\n" + data  # whoever wrote the last one was killed
    try:
        if os.write(fd, data) != len(data):
            os.ftruncate(fd, size)
    except OSError:
        with suppress(OSError):
            os.ftruncate(fd, size)
    return os.fstat(fd).st_size


def _halve(fd: int, size: int) -> None:
    kept = os.pread(fd, size, size // 2).partition(b"\n")[2]
    with suppress(OSError):
        os.ftruncate(fd, 0)
        os.write(fd, kept)


def _load(states: Sequence[str]) -> Seen:
    """What is remembered, of the first folder that has something."""
    for state in states:
        try:
            with open(f"{state}/seen.json", "rb") as file:
                return json.decode(file.read(MAX_BYTES), type=Seen)
        except (OSError, DecodeError, RecursionError):
            continue
    return Seen()


def _start_fold() -> None:
    """Have the spool taken over by a process that no run waits for."""
    import subprocess
    from threading import Thread

    import mlopsdoc

    home = os.path.dirname(os.path.dirname(os.path.abspath(mlopsdoc.__file__)))
    code = (  # nothing is imported from the folder that we happen to be in
        "import sys; sys.path = [p for p in sys.path if p] + [sys.argv[1]]; "
        "from mlopsdoc import config, history; history.fold(config.state_folders())"
    )
    with suppress(OSError):
        process = subprocess.Popen(
            [sys.executable, "-c", code, home], start_new_session=True, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        Thread(target=process.wait, daemon=True).start()  # or it would stay a zombie below a screen that is kept open
