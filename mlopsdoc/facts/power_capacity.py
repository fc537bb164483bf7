"""What power supplies can give: by their inventory and SMBIOS, and at the voltage they have."""

from __future__ import annotations

from typing import NamedTuple

from msgspec.structs import replace

from mlopsdoc import Answer, Host
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.ipmi import number
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.supplies import SANE_WATTS, Supply, bay_number, sane
from mlopsdoc.patterns import compiled

INVENTORY = (("ipmitool", "fru", "print"), ("ipmitool", "fru"))
SMBIOS = ("dmidecode", "-t", "39")
NO_FORM_W = 300.0  # boards that never filled their SMBIOS in say 75 W; no server has supplies so small


# From how many volts a supply gives which part of its label, at least and at most: one of 2200 W gives all of it at
# 220-240 V, 2090 W at 208 V, 1800-1980 W at 200 V, and 1000-1200 W at 100-120 V, where a small one gives all.
LINES = ((217.0, 1.0, 1.0), (204.0, 0.95, 0.95), (180.0, 0.82, 0.90), (0.0, 0.45, 1.0))


class Made(NamedTuple):
    """A supply as somebody has listed it. bay: the number in its name, or empty. by: who says so, for a finding."""

    bay: str
    watts: float
    by: str


class Gives(NamedTuple):
    """Watts that a supply can give at its line voltage, at least and at most; and who tells what is on its label."""

    least: float
    most: float
    by: str


def gives(supply: Supply, set_watts: int, profile_watts: int | None) -> Gives | None:
    """None where nobody tells. set_watts: at its line voltage, from a threshold; profile_watts: by its label."""
    if set_watts:
        return Gives(set_watts, set_watts, "supply_watts")
    watts, by = (supply.watts, supply.watts_from) if supply.watts else (profile_watts, "the profile")
    if not watts:
        return None
    volts = LINES[0][0] if supply.at_line or supply.volts is None else supply.volts
    low, high = next((low, high) for at, low, high in LINES if volts >= at)
    return Gives(watts * low, watts * high, by)


def rated(host: Host, supplies: tuple[Supply, ...], *, by_ipmi: bool, by_smbios: bool) -> tuple[Supply, ...]:
    """The supplies with what they can give, of one or both lists; of a single supply nobody asks.

    A list goes by the numbers of the bays; where these do not fit, it counts if it says the same of all.
    """
    for read, is_asked in ((_inventory, by_ipmi), (_smbios, by_smbios)):
        there = [supply for supply in supplies if supply.presence == "present"]
        blind = [supply for supply in there if not supply.watts]
        if len(there) < 2 or not blind or not is_asked:
            continue
        made = read(host)
        by_bay = {one.bay: one for one in made}
        same = made[0] if len({one.watts for one in made}) == 1 and len(made) >= len(blind) else None
        supplies = tuple(_with(supply, by_bay.get(supply.label, same)) for supply in supplies)
    return supplies


def _with(supply: Supply, made: Made | None) -> Supply:
    if made is None or supply.watts:
        return supply
    return replace(supply, watts=made.watts, watts_from=made.by)


def _inventory(host: Host) -> list[Made]:
    said = (answer for argv in INVENTORY if (answer := host.run(*argv)).status not in ("absent", "not_captured"))
    return fru(next(said, Answer("", "absent")))


def _smbios(host: Host) -> list[Made]:
    for answer in (host.run(*SMBIOS), *asked(host, "dmidecode")):
        if answer.said and (made := smbios(answer)):
            return made
    return []


def fru(answer: Answer) -> list[Made]:
    """The supplies that ``ipmitool fru print`` knows the watts of: by their record, else by the name of their model::

    FRU Device Description : PSU1 FRU (ID 1)
     Board Product         : PSU-3000W-T
     Product Name          : PWR SPLY,2400W,RDNT
     Power Supply Record
      Capacity                   : 2200 W
    """
    found: list[Made] = []
    for name, said in _blocks(answer, "FRU Device Description"):
        named = f"{said.get('Board Product', '')}\n{said.get('Product Name', '')}"
        model = compiled(r"(?<![0-9A-Za-z])([1-9][0-9]{2,3})W(?![A-Za-z0-9])").search(named)
        capacity = sane(_watts(said.get("Capacity", "")), SANE_WATTS)
        watts = capacity or (float(model[1]) if model else None)
        if (bay := bay_number(name)) and watts:
            found.append(Made(bay, watts, "ipmitool fru" if capacity else "the name of its model"))
    return found


def smbios(answer: Answer) -> list[Made]:
    """The supplies that are there by ``dmidecode -t 39``, or by all of dmidecode::

    Handle 0x0046, DMI type 39, 22 bytes
    System Power Supply
            Location: PSU1
            Max Power Capacity: 2200 W
            Status: Present, OK
            Plugged: Yes
    """
    found: list[Made] = []
    for _, said in _blocks(answer, "System Power Supply"):
        watts = sane(_watts(said.get("Max Power Capacity", "")), (NO_FORM_W, SANE_WATTS[1]))
        if watts and said.get("Status", "").startswith("Present") and said.get("Plugged") != "No":
            found.append(Made(bay_number(said.get("Location", "")), watts, "SMBIOS"))
    return found


def _blocks(answer: Answer, head: str) -> list[tuple[str, dict[str, str]]]:
    """Of each part that begins with `head`: what stands behind it there, and its values; the first of each name."""
    found: list[tuple[str, dict[str, str]]] = []
    for line in whole_lines(answer):
        name, _, value = (part.strip() for part in line.partition(":"))
        if name == head:
            found.append((value, {}))
        elif name.startswith("Handle 0x"):
            found.append(("", {}))
        elif found and value:
            found[-1][1].setdefault(name, value)
    return found


def _watts(text: str) -> float | None:
    return number(text) if text.endswith(" W") else None
