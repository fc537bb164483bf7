"""When something was taken, as date(1) writes it in whatever language its user has."""

from __future__ import annotations

import re
from datetime import datetime, timezone

# English, French, German, Spanish, Italian, Portuguese, Dutch: how the names of months begin.
MONTHS = (
    "jan gen ene", "feb fev fév", "mar mär mrt maa", "apr avr abr", "may mai mag mei", "jun juin giu",
    "jul juil lug", "aug aoû ago", "sep set", "oct okt ott out", "nov", "dec déc dez dic",
)  # fmt: skip


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
            for near in (
                words[n + 1 : n + 2],
                words[n + 2 : n + 3] if words[n + 1 : n + 2] == ["de"] else [],
                words[n - 1 : n],
            ):
                month = next(
                    (m for name in near for m in range(1, 13) if name.startswith(tuple(MONTHS[m - 1].split()))), 0
                )
                if month:
                    return int(year[1]), month, int(word)
    return None
