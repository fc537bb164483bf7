"""When something was: what date(1) printed, in whatever language its user has, and the times that output states.

A clock whose zone nobody tells is taken as UTC, as facts take it: how far apart such times are is right, when they
were is not surer than ZONES_S.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import NamedTuple

from mlopsdoc.hosts.base import Answer
from mlopsdoc.patterns import compiled

# English, French, German, Spanish, Italian, Portuguese, Dutch: how the names of months begin.
MONTHS = (
    "jan gen ene", "feb fev fév", "mar mär mrt maa", "apr avr abr", "may mai mag mei", "jun juin giu",
    "jul juil lug", "aug aoû ago", "sep set", "oct okt ott out", "nov", "dec déc dez dic",
)  # fmt: skip


ENGLISH = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
UTC = ("UTC", "GMT")
ZONES_S = 14 * 3600  # how far a clock may be from UTC
NO_ZONE = f"its time zone is not told for certain: its times, and its age, may be {ZONES_S // 3600} h off"
TAIL = 1 << 20  # characters looked at, from the end
DAY_S = 86400
OLDEST = 946684800.0  # 2000: clocks before that are not set
# Whose times are of what happened, not of versions, plans or other clocks.
TELLING = (
    "run dmesg", "run journalctl", "run nvidia-smi", "run zpool status", "run systemctl status", "read /var/log/",
    "run docker exec container", "run redfish LogEntry", "run job",
)  # fmt: skip
# Of these only what a line begins with, and the clock that the kernel found: ``NVRM: loading ... Kernel Module
# 580.95.05  Tue Sep 23 10:11:16 UTC 2025`` is when the driver was built.
LOGS, HEAD = ("run dmesg", "run journalctl", "read /var/log/"), 48
_CLOCK = "setting system clock to "
_MONTH = "|".join(ENGLISH)
_CTIME = rf"({_MONTH}) {{1,2}}([0-9]{{1,2}}) ([0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}})(?: ([A-Z]{{2,5}}))? ([0-9]{{4}})"
_ISO = (
    r"([0-9]{4})[-/]([0-9]{2})[-/]([0-9]{2})[T ]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,][0-9]{1,9})?"
    r"(Z| UTC|[+-][0-9]{2}:?[0-9]{2})?"
)
_EPOCH = r"(?m)^\[?([0-9]{10})(?:\]\[|\.[0-9]{6} )"


def date(text: str) -> float | None:
    """Seconds since the epoch of one line that date(1) wrote; None where it is not understood.

        Mon Nov 23 03:10:00 UTC 2026
        Mon 23 Nov 2026 03:10:00 AM CET
        lundi 23 novembre 2026, 03:10:00 (UTC+0100)
        2026年 11月 23日 星期一 03:10:00 CST
        2026-11-23T03:10:00+01:00

    The clock of the host is taken as UTC, whatever zone it names: so are the times that other commands print,
    and what counts is how far apart they are.
    """  # fmt: skip
    text = text.strip()[:128]
    clock = re.search(r"(\d{1,2}):(\d{2}):(\d{2})", text)
    if clock is None:
        return None
    hour, minute, second = (int(part) for part in clock.groups())
    after = text[clock.end() :].lower()
    if hour <= 12 and re.match(r"\s*[ap]\.?m\b", after):
        hour = hour % 12 + (12 if after.strip().startswith("p") else 0)
    day = _day(f"{text[: clock.start()]} {text[clock.end() :]}".lower())
    if day is None:
        return None
    try:
        return datetime(*day, hour, minute, second, tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def _day(text: str) -> tuple[int, int, int] | None:
    """Year, month, day."""
    if numbers := re.search(r"\b((?:19|20)\d\d)[-/年.]\s*(\d{1,2})[-/月.]\s*(\d{1,2})", text):
        return int(numbers[1]), int(numbers[2]), int(numbers[3])
    year = re.search(r"\b((?:19|20)\d\d)\b", text)
    words = re.findall(r"[^\W\d_]+|\d+", text)
    for n, word in enumerate(words):
        if year and word.isdecimal() and len(word) <= 2:
            for name in (*words[n + 1 : n + 3 if words[n + 1 : n + 2] == ["de"] else n + 2], *words[max(0, n - 1) : n]):
                if month := next((m for m, names in enumerate(MONTHS, 1) if name.startswith(tuple(names.split()))), 0):
                    return int(year[1]), month, int(word)
    return None


class Moment(NamedTuple):
    """at: seconds since the epoch. is_sure: whether its zone is known."""

    at: float
    is_sure: bool


NEVER = Moment(0.0, True)


def moments_in(text: str) -> list[Moment]:
    """Every time with a year in a text."""
    ctimes = ((_stamp(m[5], ENGLISH.index(m[1]) + 1, m[2], m[3]), m[4] in UTC) for m in compiled(_CTIME).finditer(text))
    isos = ((_stamp(m[1], m[2], m[3], m[4], m[5] or ""), bool(m[5])) for m in compiled(_ISO).finditer(text))
    epochs = ((float(m[1]), True) for m in compiled(_EPOCH).finditer(text))
    found = (*ctimes, *isos, *epochs)
    return [Moment(at, is_sure) for at, is_sure in found if at is not None]


def _stamp(year: str, month: str | int, day: str, clock: str, zone: str = "") -> float | None:
    zone = "+00:00" if zone in ("", "Z", " UTC") else f"{zone[:3]}:{zone[-2:]}"
    try:
        return datetime.fromisoformat(f"{year}-{int(month):02}-{int(day):02}T{clock}{zone}").timestamp()
    except (ValueError, OverflowError):
        return None


def moment_of(text: str) -> Moment:
    """What `date` printed, in any of its forms, seconds of `date +%s` included; else NEVER.

    A zone that is a number counts; a word like CST means different zones in different places, so only UTC does.
    """
    line = text.strip()[:128]
    if re.fullmatch(r"[0-9]{9,10}(?:\.[0-9]{1,9})?", line):
        return Moment(float(line), True)
    at = date(line)
    if at is None:
        return NEVER
    zone = re.search(
        r"[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)? ?(?:[AP]M )?\(?(?:UTC|GMT)?([+-])([0-9]{2}):?([0-9]{2})\b", line
    )
    if zone:
        ahead = int(zone[2]) * 3600 + int(zone[3]) * 60
        return Moment(at + (ahead if zone[1] == "-" else -ahead), True)
    return Moment(at, re.search(r"\b(?:UTC|GMT)\b|[0-9]Z$", line) is not None)


def stated_in(key: str, text: str) -> float:
    """When an output was printed, as its first lines say; 0 where they do not."""
    head = text[:1000] if key in ("run nvidia-smi", "run nvidia-smi -q", "run nvidia-smi -q -x") else ""
    return max(moments_in(head), default=NEVER).at


def newest_moment(answers: Mapping[str, Answer]) -> Moment:
    """The newest time that the answers state, or NEVER: a lower bound of the moment at which they were given."""
    limit = time.time() + DAY_S
    found = [NEVER]
    for key, answer in answers.items():
        if key.startswith(TELLING) and answer.said:
            text = answer.data[-TAIL:].decode("utf-8", "replace")
            if key.startswith(LOGS):
                text = "\n".join(line[: 128 if _CLOCK in line else HEAD] for line in text.split("\n"))
            found += [when for when in moments_in(text) if OLDEST < when.at < limit]
    return max(found)
