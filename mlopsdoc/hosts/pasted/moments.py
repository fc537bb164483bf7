"""Times that output states."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime
from functools import cache

from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.pasted.dates import date

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
TAIL = 1 << 20  # characters looked at, from the end
DAY_S = 86400
OLDEST = 946684800.0  # 2000: clocks before that are not set
# Whose times are of what happened, not of versions, plans or other clocks.
TELLING = (
    "run dmesg", "run journalctl", "run nvidia-smi", "run zpool status", "run systemctl status", "read /var/log/",
    "run docker exec container", "run redfish LogEntry", "run job",
)  # fmt: skip
_MONTH = "|".join(MONTHS)
_CTIME = rf"({_MONTH}) {{1,2}}([0-9]{{1,2}}) ([0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}})(?: [A-Z]{{2,5}})? ([0-9]{{4}})"
_ISO = (
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,][0-9]{1,9})?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_EPOCH = r"(?m)^\[([0-9]{10})\]\["


@cache
def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source)


def times_in(text: str) -> list[float]:
    """Seconds since the epoch of every time with a year in a text."""
    found = [_stamp(m[4], MONTHS.index(m[1]) + 1, m[2], m[3]) for m in _pattern(_CTIME).finditer(text)]
    found += [_stamp(m[1], m[2], m[3], m[4], m[5] or "") for m in _pattern(_ISO).finditer(text)]
    found += [float(m[1]) for m in _pattern(_EPOCH).finditer(text)]
    return [when for when in found if when is not None]


def _stamp(year: str, month: str | int, day: str, clock: str, zone: str = "") -> float | None:
    zone = "+00:00" if zone in ("", "Z") else f"{zone[:3]}:{zone[-2:]}"
    try:
        return datetime.fromisoformat(f"{year}-{int(month):02}-{int(day):02}T{clock}{zone}").timestamp()
    except (ValueError, OverflowError):
        return None


def date_of(text: str) -> float:
    """What `date` printed, in any of its forms, seconds of `date +%s` included; else 0."""
    line = text.strip()
    return float(line) if re.fullmatch(r"[0-9]{9,10}(?:\.[0-9]{1,9})?", line) else date(line) or 0.0


def newest(answers: Mapping[str, Answer]) -> float:
    """The newest time that the answers state, or 0: a lower bound of the moment at which they were given."""
    limit = time.time() + DAY_S
    found = [0.0]
    for key, answer in answers.items():
        if key.startswith(TELLING) and answer.said:
            text = answer.data[-TAIL:].decode("utf-8", "replace")
            found += [when for when in times_in(text) if OLDEST < when < limit]
    return max(found)
