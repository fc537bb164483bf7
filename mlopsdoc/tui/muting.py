"""What is asked of whoever mutes a finding, on the screen and a line at a time."""

from __future__ import annotations

HOW_LONG = "mute it for how long? (90m, 12h, 3d; then why, if you like)"
WHY = "why? (whoever sees it reads this)"
LONGEST_H = 366 * 24


def parts(typed: str) -> tuple[str, str]:
    """How long, and why: ``4h the new disk comes today``."""
    duration, _, reason = typed.strip().partition(" ")
    return duration, reason.strip()


def misfit(duration: str) -> str:
    """What is wrong with how long; nothing where it is right."""
    hours = {"m": 1 / 60, "h": 1, "d": 24}.get(duration[-1:], 0)
    number = duration[:-1]
    is_right = number.isascii() and number.isdecimal() and len(number) < 8 and 0 < int(number) * hours <= LONGEST_H
    return "" if is_right else f"how long is a number with m, h or d, a year at most, not {duration!r}"


def lifting(until: str) -> str:
    """What is asked where it is muted."""
    return f"It is muted until {until}. Lift that? y/N"
