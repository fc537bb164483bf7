"""What is asked of whoever mutes a finding, on the screen and a line at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mlopsdoc.clean import one_line

if TYPE_CHECKING:
    from mlopsdoc.model import Finding
    from mlopsdoc.tui.prompt import Answered

WHY = "why? (whoever sees it reads this)"
NOTHING = "nothing is muted"
YES = ("y", "yes")
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


def how_long(found: Finding) -> str:
    """What is asked first."""
    of = f"{one_line(found.subject, 60)} ({found.key.partition('/')[0]})"
    return f"mute {of} for how long? (90m, 12h, 3d; then why, if you like)"


def lifting(until: str) -> str:
    """What is asked where it is muted."""
    return f"It is muted until {until}. Lift that? y/N"


def converse(
    found: Finding,
    ask: Callable[[str, Answered], None],
    run: Callable[[list[str]], None],
    tell: Callable[[str], None],
) -> None:
    """Ask for how long and why, or whether to lift it, then run the verb."""

    def lift(typed: str | None) -> None:
        if typed in YES:
            run(["mute", "lift", found.key])

    def told_long(typed: str | None) -> None:
        duration, reason = parts(typed or "")
        if not duration:
            tell(NOTHING)
        elif why := misfit(duration):
            ask(f"{why}: {how_long(found)}", told_long)
        elif reason:
            mute(duration, reason)
        else:
            ask(WHY, lambda typed: mute(duration, (typed or "").strip()))

    def mute(duration: str, reason: str) -> None:
        run(["mute", found.key, "--for", duration, "--reason", reason]) if reason else tell(NOTHING)

    if found.muted:
        ask(lifting(found.muted.until), lift)
    else:
        ask(how_long(found), told_long)
