"""Mutes: findings that somebody knows of, until when, and why. They are shown, and counted apart.

mutes.json in the state folder; a report with muted findings has its status and counts from the others.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase

from msgspec import UNSET, DecodeError, Struct, field, json
from msgspec.structs import replace

from mlopsdoc.clean import one_line
from mlopsdoc.facts.quantities import instant
from mlopsdoc.hosts.ring import replace_file
from mlopsdoc.model import Counts, Mute, Report, Result, Status

NAME = "mutes.json"
MAX_BYTES = 1 << 20


class Muted(Struct, frozen=True):
    """key: of a finding, of a check, or a pattern of keys. at, until: seconds since the epoch."""

    key: str
    by: str
    at: float
    until: float
    reason: str

    def fits(self, key: str) -> bool:
        return self.key in (key, key.partition("/")[0]) or fnmatchcase(key, self.key)


class _Kept(Struct):
    mutes: list[Muted] = field(default_factory=list[Muted])


def load(states: Sequence[str]) -> list[Muted]:
    """The mutes of all folders, expired ones too. What cannot be read mutes nothing."""
    return [mute for state in states for mute in _of(state)]


def in_force(mutes: Sequence[Muted], now: float) -> list[Muted]:
    """Those that hold now: none from before it was made, or a clock that jumps back would make it longer."""
    return [mute for mute in mutes if mute.at - 60 <= now < mute.until]


def change(state: str, made: Callable[[list[Muted]], list[Muted]]) -> None:
    """Write the mutes of a folder anew, one writer at a time. Raises OSError."""
    os.makedirs(state, 0o755, exist_ok=True)
    fd = os.open(f"{state}/mutes.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        if not replace_file(f"{state}/{NAME}", json.encode(_Kept(made(_of(state)))) + b"\n", 0o644):
            raise PermissionError(13, "cannot be written", f"{state}/{NAME}")
    finally:
        os.close(fd)


def apply(report: Report, mutes: Sequence[Muted]) -> Report:
    """The report with `muted` on what is muted at its time; its status and counts are those of the rest."""
    now = datetime.fromisoformat((report.taken_at or "").replace("Z", "+00:00")).timestamp() if report.taken_at else 0
    active = in_force(mutes, now)
    if not active:
        return report
    checks = [_muted(result, active) for result in report.checks]
    statuses = [_status(result) for result in checks]
    silent = sum(status is None for status in statuses)
    told = [status for status in statuses if status]
    counts = (
        Counts(**{s.value: told.count(s) for s in Status}, muted=silent or UNSET) if checks != report.checks else None
    )
    if counts is None:
        return report
    return replace(report, checks=checks, counts=counts, status=max(told, default=Status.OK))


def _muted(result: Result, active: Sequence[Muted]) -> Result:
    findings = list(result.findings)
    for at, found in enumerate(findings):
        if found.status.is_trouble and (mute := next((mute for mute in active if mute.fits(found.key)), None)):
            said = Mute(one_line(mute.by, 64), instant(mute.until), one_line(mute.reason, 400))
            findings[at] = replace(found, muted=said)
    return replace(result, findings=findings) if findings != result.findings else result


def _status(result: Result) -> Status | None:
    """Of what is not muted; None where all trouble is."""
    if not any(found.muted for found in result.findings):
        return result.status
    return max((f.status for f in result.findings if f.status.is_trouble and not f.muted), default=None)


def _of(state: str) -> list[Muted]:
    try:
        with open(f"{state}/{NAME}", "rb") as file:
            return json.decode(file.read(MAX_BYTES), type=_Kept).mutes
    except (OSError, DecodeError, RecursionError):
        return []
