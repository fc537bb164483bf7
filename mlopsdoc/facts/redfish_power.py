"""Power supplies out of Redfish, by either of its models: Chassis/ID/PowerSubsystem, and the older Chassis/ID/Power.

Where both are there the newer counts: they tell of the same supplies. Asked are ``read /redfish/v1/Chassis`` and what
it links to; a resource whose address was cut away answers ``run redfish Power`` and ``run redfish PowerSupply``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from msgspec.structs import replace

from mlopsdoc import Answer, CannotSee, Host, Line
from mlopsdoc.facts.supplies import SANE_VOLTS, SANE_WATTS, Group, Presence, Supply, label, sane
from mlopsdoc.hosts.base import safe
from mlopsdoc.patterns import compiled

ROOT = "/redfish/v1/Chassis"
MAX_MEMBERS = 64
GONE = "Absent"
MISSING = ("absent", "not_captured")
EXTRA = (*MISSING, "failed", "denied", "ok", "truncated")  # of what only adds to a supply: many BMCs break there
HANGS = "no answer in time, so it was not asked further"
LOOK = "see whether address, user and password of [bmc] in config.toml are right; the runbook has the steps"
OFFLINE = "UnavailableOffline"
HEALTH = {"OK": "full", "Warning": "degraded", "Critical": "lost"}
ORDER = ("", "none", "full", "degraded", "lost")
Object: TypeAlias = Mapping[str, Any]
NOTHING: Object = MappingProxyType({})


def group(host: Host, *, is_demanded: bool = False) -> Group | None:
    """The supplies of the first chassis that has any; None where Redfish says nothing of power here.

    A GPU tray is a chassis of its own and its power is part of the host's: it is never added. Raises CannotSee where
    a service should answer and does not.
    """
    service = _Service(host)
    members = _links(service.get(ROOT).get("Members"))
    if is_demanded and ROOT in service.refused:
        raise CannotSee(f"the BMC does not answer by Redfish: {service.refused[ROOT]}", LOOK)
    for address in members[:MAX_MEMBERS]:
        chassis = service.get(address)
        if found := _of_subsystem(service, chassis) or _of_power(service, chassis):
            return replace(found, unseen=service.said())
    if is_demanded and service.refused:
        raise CannotSee(service.said(), LOOK)
    return None if host.is_live else _cut_out(host)


class _Service:
    """The resources of a Redfish service. refused: those that were linked to and not told, and why."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.refused: dict[str, str] = {}

    def get(self, address: str, spared: tuple[str, ...] = ()) -> Object:
        """A resource, or an empty one. spared: statuses that are no refusal of it. After one that let its deadline pass
        nothing is asked any more: a service that hangs costs one of them.
        """
        if not address or HANGS in self.refused.values():
            return NOTHING
        answer = self._host.read(address)
        found = next(_values(answer), NOTHING)
        is_late = answer.status == "timeout" or answer.why.startswith("no answer within")
        if not found and (is_late or answer.status not in spared):
            self.refused[address] = HANGS if is_late else answer.why or "it is empty"
        return found

    def said(self) -> str:
        """What is not known, in words; empty where all is."""
        names = ", ".join(list(self.refused)[:3])
        why = next(iter(self.refused.values()), "")
        return f"Redfish did not tell of {names}: {why}" if names else ""


def _of_subsystem(service: _Service, chassis: Object) -> Group | None:
    """The newer model: a collection, one resource a supply, each with its metrics."""
    address = _link(chassis.get("PowerSubsystem"))
    subsystem = service.get(address)
    supplies: list[Supply] = []
    for member in _links(service.get(_link(subsystem.get("PowerSupplies"))).get("Members")):
        if given := service.get(member):
            metrics = service.get(_link(given.get("Metrics")), EXTRA)
            supplies.append(_supply(given, metrics, f"read {member}"))
    if not supplies:
        return None
    environment = _link(chassis.get("EnvironmentMetrics"))
    drawn = sane(_value(service.get(environment, EXTRA).get("PowerWatts")), SANE_WATTS)
    line = Line(f"read {environment}", f"PowerWatts: {drawn:g}") if drawn else None
    if drawn is None and (older := _of_power(service, chassis, EXTRA)):
        drawn, line = older.drawn, older.drawn_line
    group = _together(_dicts(subsystem.get("PowerSupplyRedundancy")), "RedundancyType", f"read {address}")
    return Group(tuple(supplies), *group, drawn=drawn, drawn_line=line)


def _of_power(service: _Service, chassis: Object, spared: tuple[str, ...] = MISSING) -> Group | None:
    """The older model: everything in one resource."""
    address = _link(chassis.get("Power"))
    return _of_one(service.get(address, spared), f"read {address}")


def _of_one(power: Object, key: str) -> Group | None:
    """``{"PowerControl": [..], "PowerSupplies": [..], "Redundancy": [..]}``"""
    given = _dicts(power.get("PowerSupplies"))
    if not given:
        return None
    supplies = [_without_input(_supply(one, NOTHING, key, number), one, given) for number, one in enumerate(given)]
    control = next(iter(_dicts(power.get("PowerControl"))), NOTHING)
    drawn = sane(_number(control.get("PowerConsumedWatts")), SANE_WATTS)
    metrics = _dict(control.get("PowerMetrics"))
    most = sane(_number(metrics.get("MaxConsumedWatts")), SANE_WATTS)
    line = Line(key, f"PowerConsumedWatts: {drawn:g}") if drawn else None
    group = _together(_dicts(power.get("Redundancy")), "Mode", key)
    return Group(tuple(supplies), *group, drawn=drawn, drawn_line=line, most=most)


def _cut_out(host: Host) -> Group | None:
    """Resources that somebody copied without their address; part of a whole."""
    power, single = host.run("redfish", "Power"), host.run("redfish", "PowerSupply")
    found = next(filter(None, (_of_one(value, power.key) for value in _values(power))), None)
    if found is None:
        found = Group(tuple(_supply(one, NOTHING, single.key, number) for number, one in enumerate(_values(single))))
    unseen = "only a part of what Redfish says is here: whether there are other supplies is not known"
    return replace(found, unseen=unseen) if found.supplies else None


def _supply(given: Object, metrics: Object, key: str, number: int = 0) -> Supply:
    """One supply of either model: ``{"Status": {"State": "Enabled", "Health": "OK"}, "LineInputStatus": "Normal"}``"""
    place = _dict(_dict(given.get("Location")).get("PartLocation"))
    identity = _text(given.get("MemberId")) or _text(given.get("Id")) or str(number)
    name = _text(place.get("ServiceLabel")) or _text(given.get("Name"))
    if not any(char.isdigit() for char in name):
        name = identity if any(not char.isdigit() for char in identity) else f"PSU {identity}"
    status = _dict(given.get("Status"))
    state, health = _text(status.get("State")), _text(status.get("Health"))
    volts = _value(metrics.get("InputVoltage")) or _number(given.get("LineInputVoltage"))
    line_state = _text(given.get("LineInputStatus"))
    watts, at_line = _watts(given, volts)
    said = [("State", state), ("Health", health), ("LineInputStatus", line_state)]
    words = ", ".join(f"{field} {value}" for field, value in said if value)
    return Supply(
        label=label(name, identity),
        name=name,
        presence=_presence(state, health),
        troubles=_troubles(state, health, line_state),
        said=words,
        line=Line(key, f"{name}: {words}"),
        watts=watts,
        at_line=at_line,
        watts_from="Redfish" if watts else "",
        volts=sane(volts, SANE_VOLTS),
        drawn=_value(metrics.get("InputPowerWatts")) or _number(given.get("PowerInputWatts")),
        feed=_feed(given.get("ElectricalSourceNames")),
    )


def _feed(names: Any) -> str:
    """Of ``["A"]``, the circuits or outlets that it hangs on."""
    rows: list[Any] = safe(names) if isinstance(names, list) else []
    return _text(rows[0]) if len(rows) == 1 else ""


def _presence(state: str, health: str) -> Presence:
    if state == GONE:
        return "absent"
    return "present" if state or health else "unread"


def _troubles(state: str, health: str, line_state: str) -> tuple[str, ...]:
    if state == GONE:
        return ()
    found: list[str] = []
    if line_state == "LossOfInput":
        found.append("no_input")
    elif line_state == "OutOfRange":
        found.append("out_of_range")
    elif state == OFFLINE and health != "OK":
        found.append("offline")
    elif health == "Critical":
        found.append("failed")
    if health == "Warning" and not found:
        found.append("warns")
    return tuple(found)


def _without_input(supply: Supply, given: Object, all_given: Sequence[Object]) -> Supply:
    """0 V is a lost input where another supply measures mains; alone it says that nothing is measured."""
    others = [_number(one.get("LineInputVoltage")) for one in all_given]
    measured = any(sane(volts, SANE_VOLTS) for volts in others)
    if supply.presence != "present" or _number(given.get("LineInputVoltage")) != 0 or not measured:
        return supply
    left = tuple(trouble for trouble in supply.troubles if trouble not in ("offline", "failed", "warns"))
    said = f"{supply.line.text}, LineInputVoltage 0"
    return replace(supply, troubles=("no_input", *left), line=Line(supply.line.answer, said))


def _watts(given: Object, volts: float | None) -> tuple[float | None, bool]:
    """What it can give, and whether that is at the voltage it has: the range that it lies in, else its capacity.

    Of ``{"MinimumVoltage": 200, "MaximumVoltage": 240, "OutputWattage": 2200}``, or ``{"NominalVoltageType":
    "AC200To240V", "CapacityWatts": 2200}``.
    """
    for one in _dicts(given.get("InputRanges")) if sane(volts, SANE_VOLTS) else ():
        low, high = _number(one.get("MinimumVoltage")), _number(one.get("MaximumVoltage"))
        named = compiled(r"AC([0-9]{3})(?:To([0-9]{3}))?V").fullmatch(_text(one.get("NominalVoltageType")))
        if named:
            low, high = float(named[1]) * 0.95, float(named[2] or named[1]) * 1.05
        watts = _number(one.get("OutputWattage")) or _number(one.get("CapacityWatts"))
        if low and high and watts and volts and low * 0.95 <= volts <= high * 1.05:
            return watts, True
    return sane(_number(given.get("PowerCapacityWatts")) or _number(given.get("CapacityWatts")), SANE_WATTS), False


def _together(groups: Iterable[Object], mode_name: str, key: str) -> tuple[str, Line | None, str]:
    """The worst of the redundancy groups: ``{"Mode": "N+m", "MinNumNeeded": 1, "Status": {"Health": "OK"}}``."""
    worst, line, said = "", None, ""
    for one in groups:
        status = _dict(one.get("Status"))
        mode, state, health = _text(one.get(mode_name)), _text(status.get("State")), _text(status.get("Health"))
        means = HEALTH.get(health, "")
        is_off = one.get("RedundancyEnabled") is False or state == "Disabled"
        if mode == "NotRedundant" or is_off or (means == "full" and not _spares(one)):
            means = "none"
        if ORDER.index(means) > ORDER.index(worst):
            said = f"redundancy{' ' if mode else ''}{mode} has Health {health or 'null'}"
            worst, line = means, Line(key, said)
    return worst, line, said


def _spares(one: Object) -> bool:
    """Whether the group has more supplies than it needs; True where it does not say."""
    need = _number(one.get("MinNumNeeded")) or _number(one.get("MinNeededInGroup"))
    most = _number(one.get("MaxNumSupported")) or _number(one.get("MaxSupportedInGroup"))
    return need is None or most is None or most > need


def _values(answer: Answer) -> Iterator[Object]:
    """The JSON objects of an answer, one after the other, also those of an array; what cannot be read ends it."""
    text = answer.text.strip() if answer.said else ""
    decoder, at = json.JSONDecoder(), 0
    value: Any = None
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            return
        yield from _dicts(value if type(value) is list else [value])
        while at < len(text) and text[at] in " \t\n\r,":
            at += 1


def _dicts(value: Any) -> list[Object]:
    rows: list[Any] = safe(value)[:MAX_MEMBERS] if isinstance(value, list) else []
    return [cast(Object, row) for row in rows if isinstance(row, dict)]


def _dict(value: Any) -> Object:
    return cast(Object, value) if isinstance(value, dict) else NOTHING


def _link(value: Any) -> str:
    address = _text(_dict(value).get("@odata.id")).rstrip("/")
    return address if address.startswith("/redfish/v1/") else ""


def _links(value: Any) -> list[str]:
    return [address for one in _dicts(value) if (address := _link(one))]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    """A number, also one that is written as text; a flag is none, nor is what is not finite."""
    if isinstance(value, str):
        return float(value) if compiled(r"[0-9]{1,6}(?:\.[0-9]{1,3})?").fullmatch(value) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and abs(value) < 1e9 else None


def _value(sensor: Any) -> float | None:
    """``{"Reading": 230.2, "DataSourceUri": ".."}``"""
    return _number(_dict(sensor).get("Reading"))
