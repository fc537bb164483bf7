"""Power supplies out of the sensors of a BMC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec.structs import replace

from mlopsdoc import Line
from mlopsdoc.facts.ipmi import SUPPLY, UNIT, Reading, Sensor
from mlopsdoc.facts.power_words import FAULT, meaning, plain, redundancy
from mlopsdoc.facts.power_words import SUPPLY as STATES
from mlopsdoc.facts.power_words import UNIT as UNIT_STATES
from mlopsdoc.facts.supplies import SANE_VOLTS, SANE_WATTS, Group, Presence, Supply, bay_number, label, sane

# Words in the name of a sensor of one fault -> what it means where that is asserted.
FAULT_NAMES = {
    "fail": "failed", "fault": "failed", "alert": "failed", "error": "failed", "mismatch": "failed",
    "ac lost": "no_input", "input lost": "no_input", "over temp": "warns", "slow fan": "warns",
}  # fmt: skip
TOTALS = ("pwr consumption", "power consumption", "total power", "sys power", "system power", "total pwr", "sys pwr")


def group(sensors: Sequence[Sensor]) -> Group:
    """The supplies that sensors tell of, and what is drawn as far as they tell."""
    together = [sensor for sensor in sensors if _is_redundancy(sensor)]
    bays: dict[str, list[Sensor]] = {}
    for sensor in sensors:
        if sensor not in together and (bay := _bay(sensor)):
            bays.setdefault(bay, []).append(sensor)
    is_measured = any(_volts(own) for own in bays.values())
    supplies = tuple(supply for bay, own in bays.items() if (supply := _supply(bay, own, is_measured=is_measured)))
    state = redundancy(tuple(state for sensor in together for state in sensor.states))
    said = next((sensor for sensor in together if redundancy(sensor.states) == state), None) if state else None
    drawn, line = _total(sensors, supplies)
    return Group(
        supplies=supplies,
        redundancy=state,
        redundancy_line=said.line if said else None,
        redundancy_said=", ".join(said.states) if said else "",
        unit=tuple(_unit(sensors)),
        drawn=drawn,
        drawn_line=line,
    )


def with_reading(group: Group, reading: Reading | None) -> Group:
    """The group, with what the BMC itself says is drawn, where it says so."""
    if reading is None or not sane(reading.now, SANE_WATTS):
        return group
    return replace(group, drawn=reading.now, drawn_line=reading.line, most=sane(reading.most, SANE_WATTS))


def _is_redundancy(sensor: Sensor) -> bool:
    """Of supplies, not of fans: by its entity or type, or by its name on boards that count it to the system board."""
    name = plain(sensor.name)
    if not ("redund" in name or redundancy(sensor.states)) or "fan" in name:
        return False
    of_power = sensor.entity in (SUPPLY, UNIT, "21") or sensor.kind in ("Power Supply", "Power Unit")
    return of_power or name.startswith(("ps ", "psu ", "ps1", "psu1", "power", "pwr"))


def _bay(sensor: Sensor) -> str:
    """Which supply a sensor is of: the instance of its entity; or, of FreeIPMI, the number in its name."""
    if sensor.entity:
        return sensor.instance if sensor.entity == SUPPLY else ""
    unnumbered = sensor.name if sensor.kind == "Power Supply" and sensor.value is None else ""
    return bay_number(sensor.name) or unnumbered


def _supply(bay: str, sensors: Sequence[Sensor], *, is_measured: bool) -> Supply | None:
    """One supply; None where no sensor of this bay tells a state (temperatures and the like).

    is_measured: whether any supply has a voltage of mains. Then 0 V and no watts are a lost input, whatever the state.
    """
    telling = [s for s in sensors if s.kind in ("", "Power Supply", "Entity Presence") and _is_state(s)]
    status = [sensor for sensor in telling if not _fault(sensor)]
    if not telling:
        return None
    meanings = [_means(sensor, state) for sensor in telling for state in sensor.states]
    troubles = tuple(dict.fromkeys(m for m in meanings if m and m not in ("present", "absent", "standby")))
    head = next((sensor for sensor in telling if any(_is_bad(_means(sensor, s)) for s in sensor.states)), None)
    head = head or (status or telling)[0]
    volts = _volts(sensors)
    inputs = [sensor for sensor in sensors if "out" not in plain(sensor.name)]
    drawn = [s.value for s in inputs if s.unit == "Watts" and s.value is not None]
    zero = next((s for s in inputs if s.unit == "Volts" and s.value == 0), None)
    if is_measured and zero and not (volts or any(drawn) or {"no_input", "lost_or_out_of_range"} & set(troubles)):
        troubles, head = ("no_input", *troubles), zero
    named = (status or telling)[0].name
    return Supply(
        label=label(named, bay) if label(named, bay)[-1:].isdecimal() else bay,
        name=named,
        presence=_presence(meanings, status, telling),
        troubles=troubles,
        said=", ".join(head.states),
        line=head.line,
        volts=volts[0] if volts else None,
        drawn=drawn[0] if drawn else None,
    )


def _volts(sensors: Sequence[Sensor]) -> list[float | None]:
    """Those of its input."""
    return [s.value for s in sensors if s.unit == "Volts" and sane(s.value, SANE_VOLTS)]


def _is_state(sensor: Sensor) -> bool:
    """HPE has both in one: the watts of a supply, and its states."""
    return sensor.value is None or any(meaning(state, STATES) is not None for state in sensor.states)


def _is_bad(means: str | None) -> bool:
    return bool(means) and means not in ("present", "standby")


def _fault(sensor: Sensor) -> str:
    """What a sensor that is named after a fault means where that is asserted; empty of any other."""
    return next((means for word, means in FAULT_NAMES.items() if word in plain(sensor.name)), "")


def _means(sensor: Sensor, state: str) -> str | None:
    if state.lower() in ("0x1", "0x01"):
        return "present"  # boards that have a type of their own print the first bit bare
    known = meaning(state, STATES)
    if known is not None or not (named := _fault(sensor)):
        return known
    return named if (means := meaning(state, FAULT)) == "failed" else means


def _presence(meanings: Sequence[str | None], status: Sequence[Sensor], telling: Sequence[Sensor]) -> Presence:
    if "absent" in meanings:
        return "absent"
    if any(meanings):
        return "present"  # some BMCs assert the fault alone
    if any(sensor.is_read and not sensor.states for sensor in status):
        return "absent"
    is_fine = any("" in (_means(sensor, state) for state in sensor.states) for sensor in telling)
    return "present" if is_fine else "unread"


def _total(sensors: Iterable[Sensor], supplies: Iterable[Supply]) -> tuple[float | None, Line | None]:
    """Watts of the whole host by the BMC's own total, else what all its supplies take."""
    for sensor in sensors:
        is_whole = sensor.unit == "Watts" and sensor.entity != SUPPLY and sane(sensor.value, SANE_WATTS)
        if is_whole and any(sign in plain(sensor.name) for sign in TOTALS):
            return sensor.value, sensor.line
    present = [supply for supply in supplies if supply.works]
    drawn = [supply.drawn for supply in present if supply.drawn is not None]
    if present and len(drawn) == len(present) and sane(sum(drawn), SANE_WATTS):
        return sum(drawn), None
    return None, None


def _unit(sensors: Iterable[Sensor]) -> Iterator[tuple[str, Line]]:
    """What is wrong with the power unit as a whole, in the BMC's words."""
    for sensor in sensors:
        if sensor.value is None and (sensor.kind == "Power Unit" or sensor.entity == UNIT):
            for state in sensor.states:
                if means := meaning(state, UNIT_STATES):
                    yield means, sensor.line
