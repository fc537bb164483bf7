"""PCIe errors: storms and single ones, what a device does not support, every form of the block."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.facts.aer_counts import read_counts
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result, Status
from mlopsdoc.profile import Profile

BANNER = "[    0.000000] Linux version 6.8.0-87-generic (buildd@lcy02) #88-Ubuntu SMP\n"
DEVICE = "read /sys/bus/pci/devices/0000:41:00.0/uevent"
BLOCK = (
    "[{at}] pcieport 0000:40:01.0: AER: Corrected error received: 0000:40:01.0\n"
    "[{at}] pcieport 0000:40:01.0: PCIe Bus Error: severity={severity}, type=Data Link Layer, (Receiver ID)\n"
    "[{at}] pcieport 0000:40:01.0:   device [1022:1483] error status/mask=00000040/00006000\n"
    "[{at}] pcieport 0000:40:01.0:    [ {bit}\n"
)


def judge(text: str, status: AnswerStatus = "ok", more: dict[str, str] | None = None) -> Result:
    recording = Recording(1795403400.0)
    said = {DEVICE: "DRIVER=nvidia\nPCI_CLASS=30200\nPCI_ID=10DE:2330\n", "run dmesg": text, **(more or {})}
    for key, value in said.items():
        recording.answers[key] = Answer(key, status if key == "run dmesg" else "ok", value.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["pcie_aer"]], Replay(recording), Profile())
    return result


def errors(count: int, every_s: float, severity: str = "Corrected", bit: str = "6] BadTLP") -> str:
    return "".join(BLOCK.format(at=f"{100 + n * every_s:.6f}", severity=severity, bit=bit) for n in range(count))


@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        (errors(16, 3.5), "ok", Status.WARNING),
        (errors(15, 3.5), "ok", Status.OK),
        (errors(100, 60), "ok", Status.OK),  # one a minute, all night
        (errors(3, 0.02), "ok", Status.OK),
        (errors(3, 0.02), "truncated", Status.WARNING),  # a part: its own span is all there is
        (errors(3, 20), "truncated", Status.OK),
        (errors(1, 1), "truncated", Status.OK),
        (errors(1, 1, "Uncorrected (Non-Fatal)", "14] CmpltTO"), "ok", Status.WARNING),
        (errors(1, 1, "Uncorrectable (Non-Fatal)", "20] UnsupReq"), "ok", Status.OK),
        (errors(1, 1, "Uncorrected (Fatal)", " 5] SDES"), "ok", Status.CRITICAL),
        (errors(1, 1, "Correctable", "6] BadTLP"), "ok", Status.OK),
        ("[ 5.0] usb 1-1: new device\n", "ok", Status.OK),
        ("[ 5.0] usb 1-1: new device\n", "truncated", Status.SKIPPED),
    ],
)
def test_rates_and_kinds(text: str, status: AnswerStatus, expected: Status) -> None:
    assert judge(BANNER + text, status).status is expected


def test_the_port_is_named_and_not_who_told_of_it() -> None:
    (found,) = judge(BANNER + errors(20, 1).replace("received: 0000:40:01.0", "received: 0000:00:00.0")).findings
    assert found.subject == "PCIe port 40:01.0"
    assert found.params == {"PCI": "0000:40:01.0"}
    assert "bad packet (BadTLP) (x20)" in found.summary
    assert "20 of them within 19 s" in found.summary


def test_lines_without_a_time_are_counted() -> None:
    untimed = "".join(line.partition("] ")[2] + "\n" for line in errors(3, 1).splitlines())
    assert judge(untimed, "truncated").status is Status.OK


def test_machines_that_see_no_errors_of_their_own() -> None:
    virtual = {"read /proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu hypervisor\n"}
    assert judge(BANNER, more=virtual).status is Status.SKIPPED
    assert judge(BANNER + errors(20, 1), more={"read /sys/class/dmi/id/chassis_type": "10\n"}).status is Status.SKIPPED


def test_hostile_lines_break_nothing() -> None:
    for text in ("pcieport 0000:40:01.0: PCIe Bus Error: severity=", "x " * 9000 + "PCIe Bus Error", ":    [" * 9000):
        assert "failed:" not in judge(BANNER + text).reason


@pytest.mark.parametrize(("bit", "is_signal"), [("14] CmpltTO", False), ("21] ACSViol", False), ("4] DLP", True)])
def test_a_device_that_does_not_answer_is_no_bad_signal(bit: str, is_signal: bool) -> None:
    (found,) = judge(BANNER + errors(1, 1, "Uncorrected (Non-Fatal)", bit)).findings
    assert ("the signal on that link is bad" in found.advice) is is_signal
    assert found.summary.startswith("1 PCIe error (AER), uncorrected")


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        ("RxErr 412\nBadTLP 0\nTOTAL_ERR_COR 412\n", {"RxErr": 412}),
        ("RxErr 00\nSDES 1", {"SDES": 1}),
        ("RxErr\nBadTLP -3\nDLP 1 2\nSDES 99999999999999999999999\n\n", {}),
        ("", {}),
    ],
)
def test_counters(text: str, counts: dict[str, int]) -> None:
    assert read_counts(text) == counts
