"""What tools print of NVMe drives, what the kernel logs, and who may ask."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mlopsdoc import catalog
from mlopsdoc.causes import fold
from mlopsdoc.engine import run
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

SYS = "read /sys/class/nvme/nvme0"
ROOT, NOBODY = "Uid:\t0\t0\t0\t0\n", "Uid:\t1000\t1000\t1000\t1000\n"
TEXT = """smartctl 7.4 2023-08-01 r5530 [x86_64-linux-6.8.0-87-generic] (local build)

=== START OF INFORMATION SECTION ===
Model Number:                       KCD61LUL7T68
Serial Number:                      X2Q0A01XT5R8
Warning  Comp. Temp. Threshold:     77 Celsius

=== START OF SMART DATA SECTION ===
SMART overall-health self-assessment test result: {0}

SMART/Health Information (NVMe Log 0x02)
Critical Warning:                   {1}
Temperature:                        41 Celsius
Available Spare:                    {2}%
Available Spare Threshold:          10%
Percentage Used:                    {3}%
Unsafe Shutdowns:                   1,204
Media and Data Integrity Errors:    {4}
"""
LOG = """Smart Log for NVME device:nvme2 namespace-id:ffffffff
critical_warning\t\t\t: {0}
temperature\t\t\t\t: 47 °C (320 K)
available_spare\t\t\t\t: {1}%
available_spare_threshold\t\t: 10%
percentage_used\t\t\t\t: {2}%
media_errors\t\t\t\t: 0
"""


def log(**said: Any) -> str:
    usual = {"critical_warning": 0, "temperature": 310, "avail_spare": 100, "spare_thresh": 10, "percent_used": 3}
    return json.dumps(usual | said)


def judged(answers: dict[str, str], status: AnswerStatus = "truncated") -> Result:
    recording = Recording(1_795_403_400.0, unlisted="not_captured")
    for key, text in answers.items():
        recording.answers[key] = Answer(key, status, text.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["nvme_health"]], Replay(recording), Profile())
    return result


@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [
        ({}, "skipped", ""),
        ({"run smartctl -a": TEXT.format("PASSED", "0x00", 100, 3, 0)}, "ok", "at most 3 %"),
        ({"run smartctl -a": TEXT.format("PASSED", "0x00", 100, 85, 0)}, "warning", "85 % of its rated life used"),
        ({"run smartctl -a": TEXT.format("FAILED!", "0x04", 100, 112, 0)}, "warning", "why it calls itself unreliable"),
        ({"run smartctl -a": TEXT.format("FAILED!", "0x04", 100, 112, "1,203")}, "critical", "1203 media errors"),
        ({"run smartctl -a": TEXT.format("FAILED!", "0x01", 7, 60, 0)}, "critical", "spare blocks are below"),
        ({"run smartctl -a": TEXT.format("PASSED", "0x00", 7, 60, 0)}, "critical", "spare blocks are below"),
        ({"run smartctl -a": TEXT.format("FAILED!", "0x02", 100, 2, 0)}, "warning", "too cold, it says: 41 C"),
        ({"run smartctl -a": TEXT.format("FAILED!", "0x09", 7, 2, 0)}, "critical", "it takes no more writes"),
        ({"run smartctl -a": TEXT.format("PASSED", "0x00", 13, 2, 0) * 2}, "warning", "13 % of its spare blocks left"),
        ({"run smartctl -a": TEXT.partition("Temperature")[0].format("PASSED", "0x00")}, "skipped", ""),
        ({"run smartctl -a %2Fdev%2Fsda": "Device Model: ST16000NM001G\nReallocated_Sector_Ct 0\n"}, "skipped", ""),
        ({"run nvme smart-log": LOG.format(0, 100, 4)}, "ok", "1 of 1 drives"),
        ({"run nvme smart-log %2Fdev%2Fnvme2n1": LOG.format("0x10", 100, 4)}, "critical", "against loss of power"),
        ({"run nvme smart-log -o json": log(critical_warning=1, avail_spare=3)}, "critical", "below their limit"),
        ({"run nvme smart-log -o json %2Fdev%2Fnvme2": log(percent_used=255)}, "warning", "255 % of its rated life"),
        ({"run nvme smart-log -o json": log(avail_spare=0, spare_thresh=0)}, "ok", ""),
        ({"run nvme smart-log -o json": log(avail_spare=101, spare_thresh=100)}, "ok", ""),
        ({"run nvme smart-log -o json": "[1"}, "skipped", ""),
        ({"run smartctl -a": "Smartctl open device: /dev/nvme3 failed: Permission denied\n"}, "unknown", "only root"),
        ({"run nvme smart-log -o json": '{"critical_warning": "x", "avail_spare": {}}'}, "skipped", ""),
        ({f"{SYS}/state": "live\n"}, "unknown", "not in this recording"),
        ({f"{SYS}/state": "dead\n"}, "critical", "its controller is dead"),
        ({f"{SYS}/state": "connecting\n", f"{SYS}/transport": "tcp\n"}, "warning", "its controller is connecting"),
        ({f"{SYS}/state": "live\n", f"{SYS}/transport": "tcp\n"}, "ok", ""),
        ({f"{SYS}/state": "live\n", "read /proc/self/status": NOBODY}, "unknown", "only root may ask it"),
        ({f"{SYS}/state": "live\n", f"{SYS}/model": "QEMU NVMe Ctrl\n"}, "ok", ""),
        ({f"{SYS}/state": "live\n", f"{SYS}/model": "QEMU NVMe Ctrl\n", f"{SYS}/hwmon1/temp1_input": "65261850\n",
          f"{SYS}/hwmon1/temp1_max": "70000\n"}, "ok", ""),
        ({f"{SYS}/state": "live\n", "read /proc/self/status": NOBODY, f"{SYS}/hwmon1/temp1_input": "84850\n",
          f"{SYS}/hwmon1/temp1_crit": "84850\n"}, "critical", "at 85 C it stops working"),
    ],
)  # fmt: skip
def test_words(answers: dict[str, str], status: str, words: str) -> None:
    result = judged(answers)
    assert result.status.value == status, result
    assert words in " ".join([result.reason, *(finding.summary for finding in result.findings)])


NVME = "[ 8123.4] nvme nvme3: {0}\n"


@pytest.mark.parametrize(
    ("lines", "status", "words"),
    [
        (NVME.format("64/0/0 default/read/poll queues"), "skipped", ""),
        (NVME.format("Removing after probe failure status: -19"), "critical", "the kernel gave it up"),
        (NVME.format("Device not ready; aborting reset, CSTS=0x1"), "critical", "the kernel gave it up"),
        (NVME.format("Removing after probe failure status: -19") + NVME.format("64/0/0 default/read/poll queues"),
         "warning", "was reset"),
        (NVME.format("frozen state error detected, reset controller"), "warning", "was reset"),
        (NVME.format("I/O 12 QID 4 timeout, aborting"), "skipped", ""),
        ("".join(NVME.format(f"I/O tag {n} (700c) opcode 0x1 (I/O Cmd) QID 4 timeout, aborting req_op:WRITE(1)")
                 for n in range(4)), "warning", "it did not answer in time 4 times"),
        ("[ 9.1] critical medium error, dev nvme3c2n1, sector 4096 op 0x0:(READ)\n", "warning", "could not be read"),
        ("[ 9.1] critical medium error, dev sda, sector 4096 op 0x0:(READ)\n", "skipped", ""),
        (NVME.format("missing or invalid SUBNQN field."), "skipped", ""),
    ],
)  # fmt: skip
def test_log(lines: str, status: str, words: str) -> None:
    result = judged({"run dmesg": lines})
    assert result.status.value == status, result
    assert words in " ".join(finding.summary for finding in result.findings)
    assert {finding.subject for finding in result.findings} <= {"NVMe nvme3"}


def test_who_may_ask() -> None:
    result = judged({f"{SYS}/state": "live\n", "read /proc/self/status": NOBODY})
    assert result.fix == "run as root"
    root = judged({f"{SYS}/state": "live\n", "read /proc/self/status": ROOT})
    assert (root.status.value, root.fix) == ("unknown", "")
    pod = judged({f"{SYS}/state": "live\n", "read /proc/self/status": ROOT, "read /.dockerenv": ""})
    assert pod.status.value == "skipped"


def test_a_pool_that_lost_a_drive_is_told_below_the_drive() -> None:
    host = Replay(snapshot.load(catalog.shipped("snapshots") + "/nvme_health_dead_in_pool"))
    checks = catalog.find(drop_ins=False).checks
    results = {result.id: result for result in fold(list(run(checks.values(), host, Profile())), checks)}
    (drive,) = (finding for finding in results["nvme_health"].findings if finding.status.is_alarm)
    assert [pool.caused_by for pool in results["zfs_pools"].findings] == [drive.key]
