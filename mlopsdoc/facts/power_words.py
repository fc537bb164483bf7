"""The words of many makers for the same few states of a power supply and of what supplies are together."""

from __future__ import annotations

from functools import lru_cache

# What is looked for in the words of a state, the first that fits; "" is a state that says nothing of a fault.
# ipmitool's words, then FreeIPMI's (offsets of IPMI 2.0, table 42-3, sensor type 08h), then those of generic sensors.
SUPPLY = (
    ("deasserted", ""),
    ("transition to ok", ""),
    ("unrecognized", ""),
    ("predictive failure", "predictive"),
    ("but present", "out_of_range"),
    ("lost or out of range", "lost_or_out_of_range"),
    ("ac lost", "no_input"),
    ("input lost", "no_input"),
    ("power supply failure detected", "failed"),
    ("failure detected", "failed"),
    ("config", "config"),
    ("inactive", "standby"),
    ("absent", "absent"),
    ("presence detected", "present"),
    ("present", "present"),
)
# Of sensors that are named after one fault (`PSU 1 Failure`), where the state says only that it is so.
FAULT = (
    ("deasserted", ""),
    ("transition to ok", ""),
    ("from ok", "warns"),
    ("transition to non critical", "warns"),
    ("transition to critical", "failed"),
    ("transition to non recoverable", "failed"),
    ("state asserted", "failed"),
)
# Generic event type 0Bh. `full`, `degraded` (some is left), `lost` (the host runs on what it needs), `insufficient`.
REDUNDANCY = (
    ("insufficient resources", "insufficient"),
    ("sufficient", "lost"),
    ("redundancy lost", "lost"),
    ("redundancy degraded", "degraded"),
    ("fully redundant", "full"),
)
WORST_LAST = ("full", "degraded", "lost", "insufficient")
# Sensor type 09h; what only says that the host is off, or was, is none.
UNIT = (
    ("deasserted", ""),
    ("ac lost", "AC lost"),
    ("input lost", "input lost"),
    ("soft power control failure", "soft-power control failure"),
    ("soft power", "soft-power control failure"),
    ("predictive failure", "predictive failure"),
    ("failure detected", "failure detected"),
)


@lru_cache(1024)
def plain(words: str) -> str:
    """``non redundant sufficient from redundant``: small letters, and one space for whatever lies between them."""
    return " ".join("".join(char if char.isalnum() else " " for char in words.casefold()).split())


def meaning(state: str, table: tuple[tuple[str, str], ...]) -> str | None:
    """What a state means by a table; None where the table does not know it."""
    words = plain(state)
    return next((means for sign, means in table if sign in words), None)


def redundancy(states: tuple[str, ...]) -> str:
    """The worst of them: full, degraded, lost, insufficient; empty where no state is one of redundancy.

    ``Non-Redundant: Sufficient from Insufficient`` and FreeIPMI's ``Non-redundant:Sufficient Resources from
    Insufficient Resources`` are about what is now: sufficient.
    """
    now = [plain(state).partition(" from ")[0] for state in states]
    found = [means for words in now if (means := meaning(words, REDUNDANCY))]
    return max(found, key=WORST_LAST.index, default="")
