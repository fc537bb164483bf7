"""Power supplies: what BMCs say by IPMI and Redfish, and the rule that one may fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from mlopsdoc import Finding, Hardware, Line, catalog
from mlopsdoc.engine import Ledger, run
from mlopsdoc.facts import ipmi, power_capacity
from mlopsdoc.facts.power import PowerSupplies
from mlopsdoc.facts.power_words import redundancy
from mlopsdoc.facts.supplies import Supply, at_once, label
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recorder, Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

from .bmc import CHASSIS, tree

ELIST, DCMI, FRU = "run ipmitool sdr elist", "run ipmitool dcmi power reading", "run ipmitool fru print"
TWO = """PS1 Status       | C8h | ok  | 10.1 | Presence detected
PS2 Status       | C9h | ok  | 10.2 | Presence detected
"""


def host(answers: Mapping[str, str | tuple[AnswerStatus, str]]) -> Replay:
    recording = Recording(1795403400.0)
    for key, said in answers.items():
        status, text = said if isinstance(said, tuple) else ("ok", said)
        recording.answers[key] = Answer(key, status, text.encode())
    return Replay(recording)


def judged(answers: Mapping[str, str | tuple[AnswerStatus, str]], **thresholds: Any) -> Result:
    check = catalog.find(drop_ins=False).checks["psu_redundancy"]
    profile = Profile(thresholds={"psu_redundancy": thresholds})
    return next(iter(run([check], host(answers), profile)))


def alarms(result: Result) -> list[Finding]:
    return [finding for finding in result.findings if finding.status.is_alarm]


def power(answers: Mapping[str, str | tuple[AnswerStatus, str]]) -> PowerSupplies:
    found: PowerSupplies = Ledger(host(answers)).get(PowerSupplies)
    return found


def dcmi(watts: int, state: str = "activated") -> str:
    return f"    Instantaneous power reading:  {watts} Watts\n    Power reading state is:  {state}\n"


@pytest.mark.parametrize(
    ("states", "means"),
    [
        (("Fully Redundant",), "full"),
        (("Redundancy Lost", "Non-Redundant: Sufficient from Redundant"), "lost"),
        (("Non-Redundant: Sufficient from Insufficient",), "lost"),
        (("Non-redundant:Sufficient Resources from Insufficient Resources",), "lost"),
        (("Non-Redundant: Insufficient Resources",), "insufficient"),
        (("Redundancy Degraded from Fully Redundant",), "degraded"),
        (("Redundancy Degraded from Non-Redundant",), "degraded"),
        (("Presence detected", "State Asserted"), ""),
        ((), ""),
    ],
)
def test_redundancy_is_what_is_now(states: tuple[str, ...], means: str) -> None:
    assert redundancy(states) == means


@pytest.mark.parametrize(
    ("name", "instance", "expected"),
    [
        ("PS2 Status", "2", "2"),
        ("PSU0", "1", "0"),
        ("Power Supply 1", "1", "1"),
        ("Power Supply Bay 2", "", "Bay 2"),
        ("PSU.Slot.2", "", "Slot.2"),
        ("Status", "2", "2"),
        ("PSU1_Status", "", "1"),
    ],
)
def test_label(name: str, instance: str, expected: str) -> None:
    assert label(name, instance) == expected


def test_a_state_with_a_comma_in_it() -> None:
    line = "PS2 Status       | C9h | ok  | 10.2 | Presence detected, AC out-of-range, but present\n"
    sensor = ipmi.sensors(Answer(ELIST, "ok", line.encode()))[0]
    assert sensor.states == ("Presence detected", "AC out-of-range but present")
    line = "3,PS2 Status,Power Supply,Critical,N/A,N/A,"
    line += "'Presence detected' 'Power Supply input out-of-range, but present'\n"
    sensor = ipmi.sensors(Answer("run ipmi-sensors", "ok", line.encode()))[0]
    assert sensor.states == ("Presence detected", "Power Supply input out-of-range, but present")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|||||",
        "PS1 | C8h",
        "PS1 Status | zzh | ok | 10.1 | Presence detected",
        "\x00" * 50,
        "| " * 9000,
    ],
)
def test_foreign_text_has_no_sensors(text: str) -> None:
    for key in (ELIST, "run ipmi-sensors", "run ipmitool sensor", "run ipmitool sdr list"):
        assert ipmi.sensors(Answer(key, "ok", text.encode())) == []
        assert judged({key: text}).status.value in ("unknown", "skipped")


BITS = " | na | na | na | na | na | na\n"


@pytest.mark.parametrize(
    ("name", "bits", "wanted"),
    [
        ("PS2 Status", "0x0180", []),
        ("PS2 Status", "0x0900", [("critical", "PSU 2", "no_input")]),
        ("Power Supply 2", "0x0300", [("critical", "PSU 2", "failed")]),
        ("PSU2_Status", "0x0000", [("warning", "PSU 2", "missing")]),
        ("PSU2 Fan Fail", "0x0300", []),  # nothing tells what its bits mean
        ("PSU2 Status", "na", [("warning", "PSU 2", "missing")]),
    ],
)
def test_states_that_are_bits(name: str, bits: str, wanted: list[tuple[str, str, str]]) -> None:
    long = f"PS1 Status       | 0x1        | discrete   | 0x0100{BITS}{name} | 0x0 | discrete | {bits}{BITS}"
    said = "no reading        | ns" if bits == "na" else f"{bits[:4]}              | ok"
    short = f"PS1 Status       | 0x01              | ok\n{name} | {said}\nPS1 Temp | no reading | ns\n"
    for key, text in (("run ipmitool sensor", long), ("run ipmitool sdr list", short)):
        result = judged({key: text}, supply_watts=2200)
        assert [(f.status.value, f.subject, f.code) for f in alarms(result)] == wanted, key


def test_a_list_that_tells_watts_of_supplies_tells_no_state() -> None:
    text = "Power Supply 1   | 165 Watts         | ok\nPower Supply 2   | 170 Watts         | ok\n"
    assert judged({"run ipmitool sdr list": text, "link /dev/ipmi0": ("failed", "")}).status.value == "skipped"


HPE = """Power Supply 1   | 31h | ok  | 10.1 | 615 Watts, Presence detected
Power Supply 2   | 32h | ok  | 10.2 | 0 Watts, Presence detected, Failure detected, Power Supply AC lost
Power Supplies   | 33h | ok  | 10.3 | Redundancy Lost
"""
HPE_FREEIPMI = """49 | Power Supply 1 | Power Supply | Nominal  | 615.00 | W | 'Presence detected'
50 | Power Supply 2 | Power Supply | Critical | 0.00 | W | 'Presence detected' 'Power Supply input lost (AC/DC)'
"""
NAMED = """PSU1 PWR Detect  | D0h | ok  | 10.1 | State Asserted
PSU1 AC Lost     | D1h | ok  | 10.1 | State Deasserted
PSU2 PWR Detect  | D4h | ok  | 10.2 | State Asserted
PSU2 AC Lost     | D5h | ok  | 10.2 | State Asserted
"""
MEASURED = """PSU1 VIN         | 54h | ok  | 10.1 | 230 Volts
PSU2 VIN         | 55h | ok  | 10.2 | 0 Volts
"""


@pytest.mark.parametrize(
    ("key", "text"),
    [(ELIST, HPE), ("run ipmi-sensors", HPE_FREEIPMI), (ELIST, NAMED), (ELIST, TWO + MEASURED)],
)
def test_a_lost_input_however_it_is_told(key: str, text: str) -> None:
    [found] = alarms(judged({key: text}, supply_watts=2200))
    assert (found.status.value, found.subject, found.code) == ("critical", "PSU 2", "no_input")
    assert found.advice.startswith("Look at its cord")


@pytest.mark.parametrize(
    "text",
    [
        HPE.replace(", Failure detected, Power Supply AC lost", "").replace("Redundancy Lost", "Fully Redundant"),
        NAMED.replace("10.2 | State Asserted\nPSU2 AC Lost     | D5h | ok  | 10.2 | State A", "10.2 | State Asserted\n"
                      "PSU2 AC Lost     | D5h | ok  | 10.2 | State Dea"),
        TWO + MEASURED.replace("230 Volts", "0 Volts"),  # nothing is measured
        TWO + MEASURED.replace("VIN", "VOUT"),
        TWO + MEASURED + "PSU2 PIN         | 56h | ok  | 10.2 | 410 Watts\n",
    ],
)  # fmt: skip
def test_no_lost_input(text: str) -> None:
    assert not alarms(judged({ELIST: text, DCMI: dcmi(700)}, supply_watts=2200))


def test_redundancy_that_is_lost_where_no_supply_tells_a_state() -> None:
    text = f"Power Supply 1   | 165        | Watts      | ok{BITS}Power Supplies   | 0x0 | discrete | 0x0280{BITS}"
    [found] = alarms(judged({"run ipmitool sensor": text}))
    assert (found.status.value, found.code) == ("critical", "redundancy")
    assert "that it works" not in found.summary


def test_words_that_tell_no_state() -> None:
    result = judged({ELIST: TWO.replace("Presence detected", "OEM Specific")})
    assert result.status.value == "unknown" and "PS1 Status: OEM Specific" in result.findings[0].summary


def test_what_is_drawn() -> None:
    assert power({ELIST: TWO, DCMI: dcmi(1640)}).drawn == 1640
    assert power({ELIST: TWO, DCMI: dcmi(1640, "deactivated")}).drawn is None
    assert power({ELIST: TWO, DCMI: dcmi(0)}).drawn is None
    each = "PS1 Input Power | 62h | ok | 10.1 | 400 Watts\nPS2 Input Power | 63h | ok | 10.2 | 420 Watts\n"
    assert power({ELIST: TWO + each, DCMI: ("failed", "")}).drawn == 820
    total = "Pwr Consumption  | 76h | ok  |  7.1 | 900 Watts\n"
    assert power({ELIST: TWO + each + total, DCMI: ("failed", "")}).drawn == 900


def test_what_a_supply_gives() -> None:
    fru = "FRU Device Description : PS1 (ID 10)\n Product Name : PWR SPLY,2400W,RDNT,DELTA\n"
    fru += "FRU Device Description : PS2 (ID 11)\n"
    fru += " Product Name : PSU-3000W-T\n Power Supply Record\n  Capacity                   : 2700 W\n"
    assert [supply.watts for supply in power({ELIST: TWO, FRU: fru}).supplies] == [2400, 2700]
    fru = "FRU Device Description : PSU1 (ID 1)\n Board Product : PWS-2K21A-2R\n Product Name : X2400WX\n"
    assert [supply.watts for supply in power({ELIST: TWO, FRU: fru}).supplies] == [None, None]


@pytest.mark.parametrize(
    ("watts", "drawn", "status"),
    [(2200, 1900, "ok"), (2200, 1980, "ok"), (2200, 1981, "warning"), (2200, 2200, "warning"), (2200, 2201, "critical"),
     (2200, 4000, "critical"), (0, 4000, "unknown")],
)  # fmt: skip
def test_one_of_two_may_fail(watts: int, drawn: int, status: str) -> None:
    assert judged({ELIST: TWO, DCMI: dcmi(drawn)}, supply_watts=watts).status.value == status


def test_the_most_that_was_drawn_is_told() -> None:
    for most, told in ((2100, "(at most 2100 W), and"), (2300, "(at most 2300 W, more than the rest gives)")):
        said = dcmi(1900) + f"    Maximum during sampling period: {most} Watts\n"
        result = judged({ELIST: TWO, DCMI: said}, supply_watts=2200)
        assert result.status.value == "ok" and told in result.findings[0].summary


@pytest.mark.parametrize(
    ("supplies", "present", "status"),
    [(0, 1, "warning"), (1, 1, "ok"), (2, 1, "warning"), (2, 2, "ok"), (3, 2, "warning")],
)
def test_how_many_there_should_be(supplies: int, present: int, status: str) -> None:
    text = TWO if present == 2 else TWO.replace("10.2 | Presence detected", "10.2 |")
    result = judged({ELIST: text, DCMI: dcmi(700)}, supplies=supplies, supply_watts=2200)
    assert result.status.value == status
    assert len(alarms(result)) == (status == "warning")


def test_part_of_an_output_is_never_ok() -> None:
    result = judged({ELIST: ("truncated", TWO), DCMI: dcmi(700)}, supply_watts=2200)
    assert result.status.value == "unknown"
    assert not alarms(result)


@pytest.mark.parametrize("said", [("timeout", ""), ("failed", "Error: Unable to establish IPMI v2 / RMCP+ session")])
def test_a_bmc_that_stops_midway_is_not_asked_further(said: tuple[AnswerStatus, str]) -> None:
    asked = Recorder(host({ELIST: TWO.replace("10.2 | P", "10.2 | Failure detected, P"), DCMI: said}))
    found: PowerSupplies = Ledger(asked).get(PowerSupplies)
    assert "the BMC stopped answering: ipmitool dcmi power reading" in found.unseen
    assert not {"run ipmitool sel elist", FRU} & set(asked.recording.answers)


def test_one_problem_is_one_finding() -> None:
    text = TWO.replace("10.2 | Presence detected", "10.2 | Presence detected, Power Supply AC lost, Predictive failure")
    text += "PS Redundancy    | CAh | ok  | 19.1 | Redundancy Lost\n"
    result = judged({ELIST: text, DCMI: dcmi(2900)}, supply_watts=2200)
    assert [(f.status.value, f.subject, f.code) for f in alarms(result)] == [("critical", "PSU 2", "no_input")]
    assert alarms(result)[0].params == {"PSU": "PS2 Status"}


def test_an_empty_bay_that_is_meant_hides_no_lost_redundancy() -> None:
    text = TWO + "PS3 Status       | CBh | ok  | 10.3 | \nPS Redundancy    | CAh | ok  | 19.1 | Redundancy Lost\n"
    result = judged({ELIST: text, DCMI: dcmi(700)}, supply_watts=2200, supplies=2)
    assert [(f.status.value, f.code) for f in alarms(result)] == [("critical", "redundancy")]


def test_since_when() -> None:
    text = TWO.replace("10.2 | Presence detected", "10.2 | Presence detected, Power Supply AC lost")
    log = """
   1 | 11/20/26 | 08:00:00 UTC | Power Supply PS2 Status | Power Supply AC lost () | Asserted
   2 | 11/20/26 | 08:10:00 UTC | Power Supply PS2 Status | Power Supply AC lost () | Deasserted
   3 | 11/22/2026 | 19:12:05 | Power Supply PS2 Status | Power Supply AC lost | Asserted
   4 | 11/22/2026 | 20:12:05 | Power Supply PS2 Status | Power Supply AC lost | Asserted
   5 | 11/22/2026 | 21:00:00 | Power Supply PS1 Status | Failure detected | Asserted
"""
    [found] = alarms(judged({ELIST: text, "run ipmitool sel elist": log}))
    assert found.since == "2026-11-22T19:12:05Z"
    for late in (
        "   9 |  Pre-Init  |0000001486| ",
        "   9 | 11/22/2031 | 19:12:05 | ",
        "   9 | 13/40/2026 | 19:12:05 | ",
    ):
        event = f"{late}Power Supply PS2 Status | Power Supply AC lost () | Asserted\n"
        assert alarms(judged({ELIST: text, "run ipmitool sel elist": event}))[0].since == ""


def test_a_log_alone_is_no_verdict() -> None:
    event = "   1 | 11/22/2026 | 19:12:05 | Power Supply #0xc9 | Power Supply AC lost | {}serted\n"
    result = judged({"run ipmitool sel elist": event.format("As")})
    assert result.status.value == "unknown" and "AC lost" in result.findings[0].summary
    result = judged({"run ipmitool sel elist": event.format("As") + event.format("Deas")})
    assert result.status.value == "skipped"


def test_fans_have_a_redundancy_of_their_own() -> None:
    text = TWO + "Fan Redundancy   | 75h | ok  |  7.1 | Redundancy Lost\n"
    assert not alarms(judged({ELIST: text, DCMI: dcmi(700)}, supply_watts=2200))


def test_a_failure_that_names_only_itself() -> None:
    text = "1 | PSU 1 | Power Supply | N/A | N/A | 'Presence detected'\n"
    text += "2 | PSU 2 | Power Supply | N/A | N/A | 'Presence detected'\n"
    text += "3 | PSU 2 Failure | Power Supply | N/A | N/A | 'State Asserted'\n"
    found = alarms(judged({"run ipmi-sensors": text}))
    assert [(f.status.value, f.subject, f.code) for f in found] == [("critical", "PSU 2", "failed")]


def redfish(power: Any) -> dict[str, str]:
    chassis = {"Members": [{"@odata.id": "/redfish/v1/Chassis/1"}]}
    one = {"Power": {"@odata.id": "/redfish/v1/Chassis/1/Power"}}
    said = {"": chassis, "/1": one, "/1/Power": power}
    return {f"read /redfish/v1/Chassis{end}": json.dumps(value) for end, value in said.items()}


BROKEN: list[Any] = [None, [], "x", 7, {"PowerSupplies": 1}, {"PowerSupplies": [1, None]}, {"PowerSupplies": [{}]},
     {"PowerSupplies": [{"Status": [], "Name": 5, "InputRanges": {}, "PowerCapacityWatts": True}]},
     {"PowerSupplies": [{"Status": {"State": "Enabled"}}], "PowerControl": [[]], "Redundancy": [{"Status": 1}]},
]  # fmt: skip


@pytest.mark.parametrize("value", BROKEN)
def test_broken_redfish_is_never_ok_by_mistake(value: Any) -> None:
    result = judged(redfish(value))
    assert not alarms(result)
    assert "this check failed" not in result.reason and "could not be understood" not in result.reason


def test_a_collection_whose_members_did_not_answer() -> None:
    answers = {
        "read /redfish/v1/Chassis": json.dumps({"Members": [{"@odata.id": "/redfish/v1/Chassis/1"}]}),
        "read /redfish/v1/Chassis/1": json.dumps(
            {"PowerSubsystem": {"@odata.id": "/redfish/v1/Chassis/1/PowerSubsystem"}}
        ),
        "read /redfish/v1/Chassis/1/PowerSubsystem": json.dumps(
            {"PowerSupplies": {"@odata.id": "/redfish/v1/Chassis/1/P"}}
        ),
        "read /redfish/v1/Chassis/1/P": json.dumps(
            {"Members": [{"@odata.id": f"/redfish/v1/Chassis/1/P/{n}"} for n in "12"]}
        ),
        "read /redfish/v1/Chassis/1/P/1": json.dumps({"Id": "1", "Status": {"State": "Enabled", "Health": "OK"}}),
    }
    result = judged(answers)
    assert result.status.value == "unknown"
    assert any("/redfish/v1/Chassis/1/P/2" in finding.summary for finding in result.findings)


@pytest.mark.parametrize(
    ("feeds", "wanted"),
    [
        ("AABB", "without 2 of 4 x 2200 W, one feed, the rest gives 4400 W"),
        *((feeds, "without one of 4 x 2200 W the rest gives 6600 W") for feeds in ("ABCD", "AAAA", "AAB ")),
    ],
)
def test_feeds_that_redfish_names(feeds: str, wanted: str) -> None:
    resources = tree()
    at = f"{CHASSIS}/Self/Supplies"
    for number, feed in enumerate(feeds, 1):
        more = {"Id": str(number), "ElectricalSourceNames": [f"PDU {feed}"] if feed != " " else None}
        resources[f"{at}/{number}"] = resources[f"{at}/1"] | more
    resources[at] = {"Members": [{"@odata.id": f"{at}/{number}"} for number in (1, 2, 3, 4)]}
    resources[f"{CHASSIS}/Self/Environment"] = {"PowerWatts": {"Reading": 4700}}
    result = judged({f"read {path}": json.dumps(value) for path, value in resources.items()})
    assert wanted in result.findings[0].summary
    assert result.status.value == ("critical" if feeds == "AABB" else "ok")


@pytest.mark.parametrize(
    ("count", "feeds", "drawn", "status"),
    [
        (2, 1, 1900, "ok"),
        (2, 1, 4000, "critical"),
        (3, 1, 3900, "ok"),
        (3, 1, 4000, "warning"),
        (3, 2, 2300, "critical"),  # a feed has two of them
        (4, 1, 4800, "ok"),
        (4, 2, 3900, "ok"),
        (4, 2, 4800, "critical"),
        (6, 2, 5900, "ok"),
    ],
)
def test_n_minus_1(count: int, feeds: int, drawn: int, status: str) -> None:
    text = "".join(f"PS{n} Status | {n:02X}h | ok  | 10.{n} | Presence detected\n" for n in range(1, count + 1))
    check = catalog.find(drop_ins=False).checks["psu_redundancy"]
    profile = Profile(hardware=Hardware(supply_w=2200, feeds=feeds))
    result = next(iter(run([check], host({ELIST: text, DCMI: dcmi(drawn)}), profile)))
    assert result.status.value == status
    assert result.findings[0].summary.endswith("W, by the profile")


@pytest.mark.parametrize(
    ("watts", "feeds", "lost"),
    [
        ([2000], 2, [2000]),
        ([2000, 1600], 1, []),
        ([2000, 1600], 2, [2000]),
        ([2000, 1600], 4, [2000]),
        ([1000, 3000, 2000], 2, [2000, 3000]),
        ([1, 6, 3, 4, 5, 2], 2, [4, 5, 6]),
        ([1, 6, 3, 4, 5, 2], 3, [5, 6]),
    ],
)
def test_what_a_counted_feed_takes_with_it(watts: list[float], feeds: int, lost: list[float]) -> None:
    supplies = [Supply(str(one), "PS", "present", (), "", Line("", ""), watts=one) for one in watts]
    gone = at_once(supplies, feeds)
    assert [one.watts for one in gone[0]] == lost if lost else [len(part) for part in gone] == [1, 1]


SMBIOS = """Handle 0x0049, DMI type 27, 15 bytes
Cooling Device
\tStatus: OK

Handle 0x0046, DMI type 39, 22 bytes
System Power Supply
\tLocation: {where}
\tMax Power Capacity: {watts} W
\tStatus: {status}
\tPlugged: {plugged}

Handle 0x004A, DMI type 41, 11 bytes
Onboard Device
\tStatus: Enabled
"""


@pytest.mark.parametrize(
    ("where", "watts", "status", "plugged", "found"),
    [
        ("PSU2", "2000", "Present, OK", "Yes", [("2", 2000.0)]),
        ("Not Specified", "2000", "Present, OK", "Unknown", [("", 2000.0)]),
        ("OEM_Define0", "75", "Present, OK", "Yes", []),  # never filled in
        ("OEM_Define0", "0.075", "Present, OK", "No", []),
        ("PSU2", "2000", "Not Present", "No", []),
        ("PSU2", "Unknown", "Present, OK", "Yes", []),
    ],
)
def test_smbios(where: str, watts: str, status: str, plugged: str, found: list[tuple[str, float]]) -> None:
    text = SMBIOS.format(where=where, watts=watts, status=status, plugged=plugged)
    assert [made[:2] for made in power_capacity.smbios(Answer("run dmidecode", "ok", text.encode()))] == found


def test_smbios_says_the_same_of_all_or_nothing() -> None:
    one, two = (SMBIOS.format(where="Bay", watts=watts, status="Present, OK", plugged="Yes") for watts in (2000, 1600))
    for text, wanted in ((one + one, [2000, 2000]), (one, [None, None]), (one + two, [None, None])):
        assert [supply.watts for supply in power({ELIST: TWO, "run dmidecode": text}).supplies] == wanted


@pytest.mark.parametrize(
    ("volts", "gives"),
    [(None, (2200, 2200)), (230, (2200, 2200)), (208, (2090, 2090)), (200, (1804, 1980)), (118, (990, 2200))],
)
def test_what_a_supply_gives_at_its_voltage(volts: float | None, gives: tuple[float, float]) -> None:
    supply = Supply("1", "PS1", "present", (), "", Line("", ""), watts=2200, volts=volts, watts_from="Redfish")
    assert power_capacity.gives(supply, 0, 3000) == (*gives, "Redfish")
    assert power_capacity.gives(supply, 1700, 3000) == (1700, 1700, "supply_watts")
