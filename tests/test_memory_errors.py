"""Errors of memory modules: what the kernel log and the counters say, by hand-written hosts."""

from __future__ import annotations

import pytest

from mlopsdoc import Answer, catalog
from mlopsdoc.engine import Ledger, run
from mlopsdoc.facts.edac import EdacEvents
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

NOW = 1795403400.0
CHECK = catalog.find(drop_ins=False).checks["memory_errors"]
DIMM = "CPU_SrcID#0_MC#1_Chan#0_DIMM#0"
CE = (
    "[{at:.6f}] EDAC MC1: {n} CE memory read error on " + DIMM + " (channel:0 slot:0 page:0x2f3c offset:0x0 grain:32)\n"
)
UE = (
    "[{at:.6f}] EDAC MC1: {n} UE memory read error on " + DIMM + " (channel:0 slot:0 page:0x2f3c offset:0x0 grain:32)\n"
)


def host(log: str, *, part: bool = False) -> Replay:
    made = Recording(NOW, unlisted="absent")
    made.answers["run dmesg"] = Answer("run dmesg", "truncated" if part else "ok", log.encode(), exit=0)
    return Replay(made)


def judged(log: str, *, part: bool = False) -> Result:
    return next(iter(run([CHECK], host(log, part=part), Profile())))


BANNER = "[    0.000000] Linux version 6.8.0-87-generic (buildd@lcy02) #88-Ubuntu SMP\n"


@pytest.mark.parametrize(
    ("log", "status", "said"),
    [
        (CE.format(at=10, n=1), "ok", "few, and corrected"),
        ("".join(CE.format(at=3600 * hour, n=2) for hour in range(12)), "warning", "24 corrected memory errors"),
        ("".join(CE.format(at=86400 * day, n=20) for day in range(0, 40, 2)), "ok", "few, and corrected"),
        (CE.format(at=10, n=1200), "critical", "a storm"),
        (CE.format(at=10, n=1) + UE.format(at=20, n=1), "critical", "1 uncorrected memory errors since boot, and 1"),
    ],
)
def test_errors_of_the_log_are_judged_by_their_busiest_day(log: str, status: str, said: str) -> None:
    result = judged(BANNER + log)
    assert result.status.value == status
    assert said in result.findings[0].summary
    assert result.findings[0].subject == f"DIMM {DIMM}"


def test_of_a_part_of_a_log_its_own_span_counts_and_two_errors_prove_nothing() -> None:
    assert judged(CE.format(at=10, n=1) + CE.format(at=11, n=1), part=True).status.value == "ok"
    assert judged("".join(CE.format(at=10 + n, n=3) for n in range(6)), part=True).status.value == "warning"
    assert judged("[ 1.0] usb 1-1: new device\n", part=True).status.value == "skipped"
    assert judged(BANNER).status.value == "skipped", "no driver counts"


@pytest.mark.parametrize(
    "line",
    [
        "EDAC MC0: 999999999999 CE memory read error on X (channel:0 slot:0)",
        "EDAC MC0: 1 CE memory read error on ",
        "EDAC MC0: 1 CE " + "x" * 4000,
        "EDAC MC0: Giving out device to module i7core_edac",
        "EDAC MC1: 1 CE on (on (on (on (" * 50,
    ],
)
def test_lines_that_are_damaged_or_of_another_kind_are_no_errors(line: str) -> None:
    assert not Ledger(host(f"{BANNER}[    5.000000] {line}\n")).get(EdacEvents).events


def test_a_module_without_a_label_is_named_by_its_place() -> None:
    line = "[    5.0] EDAC MC2: 3 CE Multi-bit ECC on unknown label (node:0 card:1 module:3 rank:1 page:0x0)\n"
    events = Ledger(host(BANNER + line)).get(EdacEvents).events
    assert [(event.label, event.count) for event in events] == [("mc2 node:0 card:1 module:3", 3)]


def test_a_controller_that_knows_no_modules_tells_of_both_kinds_of_errors() -> None:
    made = Recording(NOW, unlisted="absent")
    for name, count in (("ce_count", 0), ("ce_noinfo_count", 0), ("ue_count", 1), ("ue_noinfo_count", 0)):
        key = f"read /sys/devices/system/edac/mc/mc0/{name}"
        made.answers[key] = Answer(key, "ok", f"{count}\n".encode())
    result = next(iter(run([CHECK], Replay(made), Profile())))
    assert result.status.value == "critical"
    assert "1 uncorrected memory errors" in result.findings[0].summary
