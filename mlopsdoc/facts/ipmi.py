"""What a BMC says by IPMI: sensors with their states, the power drawn. Texts to data, nothing more."""

from __future__ import annotations

from mlopsdoc import Answer, Fact, Line
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.patterns import compiled

READ_AS = ("ok", "nc", "cr", "nr", "lnc", "lcr", "lnr", "unc", "ucr", "unr")
UNREAD_WORDS = ("no reading", "disabled", "not readable", "n/a", "unavailable")
SUPPLY, UNIT = "10", "19"  # entity ids: a power supply, the power unit that they make together


# Sensors by their names, their types, and what their first bits say (IPMI 2.0, tables 42-2 and 42-3; 08h, 0Bh, 09h).
BITS = (
    (
        r"(?i)(?:PSU?|Power ?Supply|Pwr ?Supply)[ _.-]?[0-9]{1,2}(?:[ _](?:Status|State|Stat|Presence))?",
        "Power Supply",
        ("Presence detected", "Failure detected", "Predictive failure", "Power Supply AC lost",
         "AC lost or out-of-range", "AC out-of-range, but present", "Config Error", "Power Supply Inactive"),
    ),
    (
        r"(?i)(?:PSU?|Power ?Supply|Power Unit|Pwr Unit)[ _]?Redundancy|Power Supplies",
        "Power Supply",
        ("Fully Redundant", "Redundancy Lost", "Redundancy Degraded", "Non-Redundant: Sufficient from Redundant",
         "Non-Redundant: Sufficient from Insufficient", "Non-Redundant: Insufficient Resources",
         "Redundancy Degraded from Fully Redundant", "Redundancy Degraded from Non-Redundant"),
    ),
    (
        r"(?i)(?:Power|Pwr)[ _]Unit(?:[ _](?:Status|Stat))?",
        "Power Unit",
        ("Power off/down", "Power cycle", "240VA power down", "Interlock power down", "AC lost",
         "Soft-power control failure", "Failure detected", "Predictive failure"),
    ),
)  # fmt: skip


class Sensor(Fact, frozen=True):
    """One sensor. entity: ``10``, and its instance, both empty where the tool does not tell; kind: ``Power Supply``
    where it does. is_read: whether the BMC has a reading of it at all. states: those that are asserted, in the words of
    the tool; none at all is how a BMC says of a supply that its bay is empty. unit: ``Watts``, ``Volts``, or empty.
    """

    name: str
    entity: str
    instance: str
    kind: str
    is_read: bool
    states: tuple[str, ...]
    value: float | None
    unit: str
    line: Line


class Reading(Fact, frozen=True):
    """Power drawn by the whole host, in watts: now, and the most of the BMC's own period (which may be a second)."""

    now: float
    most: float | None
    line: Line


def number(text: str) -> float | None:
    """``230`` of ``230 Volts``; None of what is no number."""
    match = compiled(r"\s{0,20}(-?[0-9]{1,9}(?:\.[0-9]{1,6})?)(?![0-9xh])").match(text)
    return float(match[1]) if match else None


def sensors(answer: Answer) -> list[Sensor]:
    """Of either tool, and of any list of ipmitool's."""
    read = READERS.get(answer.key, _freeipmi)
    return [sensor for line in whole_lines(answer) if (sensor := read(line, answer.key))]


def _ipmitool(line: str, key: str) -> Sensor | None:
    """A line of ``ipmitool sdr elist``. `ok` means that it was read, whatever was read::

    PS1 Status       | C8h | ok  | 10.1 | Presence detected
    PS2 Status       | C9h | ok  | 10.2 | Presence detected, Failure detected
    PS3 Status       | CAh | ok  | 10.3 |
    PS4 Status       | CBh | ns  | 10.4 | No Reading
    PS1 Input Volt   | 07h | ok  | 10.1 | 230 Volts
    Power Supply 1   | 31h | ok  | 10.1 | 165 Watts, Presence detected
    """
    parts = [part.strip() for part in line.split("|", 4)]
    if len(parts) != 5 or not compiled(r"[0-9A-Fa-f]{2}h").fullmatch(parts[1]):
        return None
    name, _, status, entity, reading = parts
    place, _, instance = entity.partition(".")
    is_read = status in READ_AS and reading.lower() not in UNREAD_WORDS
    value = number(reading) if is_read else None
    unit, _, told = reading.partition(" ")[2].partition(", ") if value is not None else ("", "", reading)
    states = _split(told) if is_read else ()
    return Sensor(name, place, _instance(instance), "", is_read, states, value, unit, Line(key, line.strip()))


def _of_list(line: str, key: str) -> Sensor | None:
    """A line of ``ipmitool sensor`` or ``sdr``, whose states are bits and whose types are not told: by strict names::

    PS2 Status       | 0x9        | discrete   | 0x0900| na   | na        | na   | na   | na        | na
    PS2 Input Volt   | 230.000    | Volts      | ok    | na   | 180.000   | na   | na   | 264.000   | na
    PS2 Status       | 0x09              | ok
    PS2 Input Volt   | 230 Volts         | ok
    """
    parts = [part.strip() for part in line.split("|", 10)]
    if len(parts) not in (3, 10):
        return None
    name, reading, unit = parts[:3] if len(parts) == 10 else (parts[0], *parts[1].partition(" ")[::2])
    match = compiled(r"0x([0-9a-f]{2})(?:[0-9a-f]{2})?").fullmatch(parts[3] if len(parts) == 10 else reading)
    kind, table = next(((kind, table) for named, kind, table in BITS if compiled(named).fullmatch(name)), ("", ()))
    value = None if match else number(reading)
    if value is None and not table:
        return None
    kind, table = (kind, table) if value is None else ("", ())  # HPE: `Power Supply 1 | 165 Watts | ok`
    states = tuple(state for bit, state in enumerate(table) if match and int(match[1], 16) >> bit & 1)
    is_read = match is not None or value is not None
    return Sensor(name, "", "", kind, is_read, states, value, unit, Line(key, " ".join(line.split())))


def _split(reading: str) -> tuple[str, ...]:
    """States are joined by a comma, and one of them has a comma in it."""
    reading = reading.replace("out-of-range, but present", "out-of-range but present")
    return tuple(state.strip() for state in reading.split(", ") if state.strip())


def _instance(text: str) -> str:
    """``1`` of ``1``, and of ``97``: from 96 on they are counted within a device."""
    if not text.isdecimal() or len(text) > 3:
        return ""
    return str(int(text) - 96 if int(text) > 96 else int(text))


def _freeipmi(line: str, key: str) -> Sensor | None:
    """A line of ``ipmi-sensors``, as a table or with commas, with or without the column State::

        ID | Name       | Type         | State    | Reading | Units | Event
        2  | PS1 Status | Power Supply | Nominal  | N/A     | N/A   | 'Presence detected'
        3,PS2 Status,Power Supply,Critical,N/A,N/A,'Presence detected' 'Power Supply input lost (AC/DC)'
        4  | PS3 Status | Power Supply | N/A      | N/A     | N/A   | N/A
        5  | PS4 Status | Power Supply | N/A      | N/A   | 'OK'

    'OK' is what it says where nothing is asserted.
    """
    parts = [part.strip() for part in line.split("|" if "|" in line else ",", 6)]
    if len(parts) < 6 or not parts[0].isdecimal():
        return None
    has_state = len(parts) == 7 and not parts[5].startswith("'")
    event = (parts[6] if has_state else ", ".join(parts[5:])).strip()
    reading, unit = parts[4:6] if has_state else parts[3:5]
    said = [state.strip() for state in event.strip("'").split("' '")]
    states = tuple(state for state in said if state not in ("OK", "N/A", ""))
    value = number(reading)
    long_unit = {"W": "Watts", "V": "Volts"}.get(unit, "" if unit == "N/A" else unit)
    is_read = value is not None or event != "N/A"
    text = " ".join(line.split()) if "|" in line else line.strip()
    return Sensor(parts[1], "", "", parts[2], is_read, states, value, long_unit, Line(key, text))


READERS = {
    "run ipmitool sdr elist": _ipmitool,
    "run ipmitool sensor": _of_list,
    "run ipmitool sdr list": _of_list,
}


def reading(answer: Answer) -> Reading | None:
    """Of ``ipmitool dcmi power reading`` or ``ipmi-dcmi``; None where it is deactivated or 0::

        Instantaneous power reading:                  1640 Watts
        Maximum during sampling period:               2040 Watts
        Power reading state is:                   activated

    Current Power                        : 1640 Watts
    Maximum Power over sampling duration : 2040 watts
    Power Measurement                    : Active
    """
    said: dict[str, str] = {}
    for line in whole_lines(answer):
        name, colon, value = line.partition(":")
        if colon:
            said.setdefault(" ".join(name.split()).lower(), value.strip())
    now = said.get("instantaneous power reading", said.get("current power", ""))
    state = said.get("power reading state is", said.get("power measurement", "")).lower()
    watts = number(now)
    if not watts or watts < 0 or state not in ("activated", "active"):
        return None
    most = said.get("maximum during sampling period", said.get("maximum power over sampling duration", ""))
    return Reading(watts, number(most), Line(answer.key, f"power drawn: {now}"))
