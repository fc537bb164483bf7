"""Since when a power supply is as it is: what the BMC logged of it."""

from __future__ import annotations

from datetime import datetime, timezone

from msgspec.structs import replace

from mlopsdoc import Answer
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.power_words import SUPPLY, meaning
from mlopsdoc.facts.supplies import Group, Supply
from mlopsdoc.patterns import compiled

DATES = ("%m/%d/%Y %H:%M:%S", "%m/%d/%y %H:%M:%S", "%b-%d-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")
ROOM_S = 86400.0  # how far the clock of a BMC may be ahead


def with_times(group: Group, answer: Answer, now: float) -> Group:
    """The group, each supply with the time of what the log says of it and has not taken back."""
    since = {key: at for key, (at, _) in _open(answer).items() if 0 < at < now + ROOM_S}
    return replace(group, supplies=tuple(_with_time(supply, since) for supply in group.supplies))


def last_words(answer: Answer) -> list[str]:
    """The lines of an ipmitool's log on trouble of supplies that it has not taken back."""
    return [line for _, line in _open(answer).values() if line.endswith("Asserted")]


def _open(answer: Answer) -> dict[tuple[str, str], tuple[float, str]]:
    """Name and meaning of what began and did not end: since when (0: not known), and the first line of it."""
    found: dict[tuple[str, str], tuple[float, str]] = {}
    for line in whole_lines(answer) if answer.said else ():
        if event := _event(line):
            name, means, is_on, at = event
            if is_on:
                first = found.get((name, means))  # repeated while it lasts
                found[name, means] = first if first and at else (at, " ".join(line.split()))
            else:
                found.pop((name, means), None)
    return found


def _with_time(supply: Supply, since: dict[tuple[str, str], float]) -> Supply:
    wanted = supply.troubles or ("gone",)
    return replace(supply, since=next((at for word in wanted if (at := since.get((supply.name, word)))), None))


def _event(line: str) -> tuple[str, str, bool, float] | None:
    """Sensor, meaning, whether it began, and seconds since the epoch (0 where the BMC's clock was not set) of::

       4 | 11/23/26 | 15:18:55 UTC | Power Supply PS2 Status | Power Supply AC lost () | Asserted
       5 |  Pre-Init  |0000001486| Power Supply PS2 Status | Power Supply AC lost () | Asserted
    4  | Nov-23-2026 | 15:18:55 | PS2 Status | Power Supply | Power Supply input lost (AC/DC)

    That a supply is there is logged as gone when that is deasserted. FreeIPMI does not say which it is: an event is
    one that began.
    """
    parts = [part.strip() for part in line.split("|", 6)]
    if len(parts) < 6:
        return None
    named = compiled(r"Power Supply #?(.+)").match(parts[3])
    is_ipmitool = parts[5] in ("Asserted", "Deasserted")
    if is_ipmitool == (named is None) or (not named and parts[4] != "Power Supply"):
        return None
    name, state = (named[1], parts[4]) if named else (parts[3], parts[5])
    means = meaning(state, SUPPLY)
    if not means:
        return None
    is_on = parts[5] != "Deasserted"
    if means in ("present", "absent"):
        means, is_on = "gone", is_on == (means == "absent")
    return name, means, is_on, _seconds(parts[1], parts[2])


def _seconds(date: str, time: str) -> float:
    """The clock of a BMC is taken for UTC."""
    for form in DATES:
        try:
            return datetime.strptime(f"{date} {time[:8]}", form).replace(tzinfo=timezone.utc).timestamp()
        except ValueError:
            continue
    return 0.0
