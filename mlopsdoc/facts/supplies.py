"""What is known of the power supplies of a host, whoever told it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from mlopsdoc import Fact, Line
from mlopsdoc.model import psu_subject
from mlopsdoc.patterns import compiled

Presence: TypeAlias = Literal["present", "absent", "unread"]
SANE_VOLTS = (80.0, 420.0)  # mains and high-voltage DC; old BMCs say 33733 V, or 0 V of what they do not measure
SANE_WATTS = (20.0, 60000.0)
PREFIXES = ("power supply", "pwr supply", "psu", "ps")
SUFFIXES = ("status", "stat", "state", "presence")


class Supply(Fact, frozen=True):
    """One bay for a power supply.

    label: ``2`` or ``Bay 2``. name: as the BMC calls it. presence: absent is an empty bay, unread one of which the BMC
    has no reading. troubles: words of power_words. said: the BMC's words. watts: what it can give, None where nothing
    tells; at_line: at the voltage that it has now, else by its label; watts_from: who says so. volts: of its input,
    None where that is not known or not sane. drawn: watts that it takes. feed: the name of the circuit it hangs on,
    empty where that is not told or it hangs on several. since: when its trouble began, seconds since the epoch, where
    the BMC logged it.
    """

    label: str
    name: str
    presence: Presence
    troubles: tuple[str, ...]
    said: str
    line: Line
    watts: float | None = None
    at_line: bool = False
    watts_from: str = ""
    volts: float | None = None
    drawn: float | None = None
    feed: str = ""
    since: float | None = None

    @property
    def subject(self) -> str:
        return psu_subject(self.label)

    @property
    def works(self) -> bool:
        """Whether it gives power now, or would at once."""
        return self.presence == "present" and not {"failed", "no_input", "lost_or_out_of_range", "offline"} & set(
            self.troubles
        )


class Group(Fact, frozen=True):
    """The supplies of a host, and what they are together.

    redundancy: full, degraded, lost, insufficient, none (set up so), or empty where the BMC says nothing; its line has
    the BMC's words. unit: what it says of the power unit as a whole, a line each. drawn: watts of the whole host now;
    most: the most of the BMC's own period. unseen: why there may be more, or empty.
    """

    supplies: tuple[Supply, ...]
    redundancy: str = ""
    redundancy_line: Line | None = None
    redundancy_said: str = ""
    unit: tuple[tuple[str, Line], ...] = ()
    drawn: float | None = None
    drawn_line: Line | None = None
    most: float | None = None
    unseen: str = ""


def at_once(supplies: Sequence[Supply], feeds: int) -> list[list[Supply]]:
    """What may be lost at once: each alone, or all of a feed; of feeds that are only counted, the largest supplies."""
    if feeds > 1:
        share = -(-len(supplies) // feeds)
        return [sorted(supplies, key=lambda supply: supply.watts or 0)[len(supplies) - share :]]
    of: dict[str, list[Supply]] = {}
    for supply in supplies:
        of.setdefault(supply.feed, []).append(supply)
    return list(of.values()) if "" not in of and len(of) > 1 else [[supply] for supply in supplies]


def label(name: str, instance: str = "") -> str:
    """``2`` of ``PS2 Status`` and ``Power Supply 2``, ``Slot.2`` of ``PSU.Slot.2``; else the instance, or the name."""
    rest = name.strip()
    for prefix in PREFIXES:
        if rest.lower().startswith(prefix):
            rest = rest[len(prefix) :]
            break
    for suffix in SUFFIXES:
        if rest.lower().endswith(suffix):
            rest = rest[: -len(suffix)]
            break
    return rest.strip(" ._-#") or instance or name.strip()


def bay_number(name: str) -> str:
    """``2`` of ``PS2 Status`` and ``Pwr Supply 02 FRU``; empty where no supply is numbered there."""
    named = r"(?i)(?<![a-z])(?:PSU?|Power ?Supply|Pwr ?Supply)[ _.-]{0,2}([0-9]{1,2})(?![0-9])"
    match = compiled(named).search(name)
    return match[1].lstrip("0") or "0" if match else ""


def sane(value: float | None, limits: tuple[float, float]) -> float | None:
    """The value, or None where no host has such a one."""
    return value if value is not None and limits[0] <= value <= limits[1] else None
