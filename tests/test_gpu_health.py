"""gpu_ecc, gpu_row_remap, gpu_mig, gpu_presence, gpu_recovery and gpu_health beyond their snapshots."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import Hardware, catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

HEALTH, STATE = "probe nvml health", "probe nvml state"
NOW = 1795403400.0
CHECKS = ("gpu_ecc", "gpu_row_remap", "gpu_mig", "gpu_presence", "gpu_recovery", "gpu_health")


@pytest.fixture
def host() -> Recording:
    return snapshot.load(str(Path(catalog.shipped("snapshots")) / "reference"))


def judge(host: Recording, check: str, **thresholds: Any) -> Result:
    (result,) = run([catalog.find(drop_ins=False).checks[check]], Replay(host), Profile(thresholds={check: thresholds}))
    return result


def said(result: Result) -> str:
    return "\n".join(f"{found.status.value} {found.subject}: {found.summary}" for found in result.findings)


def change(host: Recording, gpu: int = 0, errors: dict[str, int] | None = None, **values: Any) -> None:
    data = json.loads(host.answers[HEALTH].data)
    row = data["gpus"][gpu]
    row["values"] = {k: v for k, v in (row["values"] | values).items() if k not in (errors or {})}
    row["errors"] |= errors or {}
    host.answers[HEALTH] = Answer(HEALTH, "ok", json.dumps(data).encode(), at=NOW)


def pasted(command: str, text: str, status: AnswerStatus = "ok") -> Recording:
    recording = Recording(NOW)
    recording.answers[f"run {command}"] = Answer(f"run {command}", status, text.encode(), exit=0, at=NOW)
    return recording


@pytest.mark.parametrize(
    "answer", [b"", b"[]", b'{"gpus": [1, null]}', b'{"gpus": [{"pci": 7, "values": []}]}', b"\xff{"]
)
@pytest.mark.parametrize("check", CHECKS)
def test_damage_is_never_well(host: Recording, check: str, answer: bytes) -> None:
    host.answers[HEALTH] = Answer(HEALTH, "ok", answer, at=NOW)
    result = judge(host, check)
    if check != "gpu_presence":
        assert result.status.value != "ok"
    assert not result.status.is_alarm and "failed" not in result.reason


@pytest.mark.parametrize("check", [check for check in CHECKS if check != "gpu_presence"])
def test_a_refused_question_is_unknown(host: Recording, check: str) -> None:
    data = json.loads(host.answers[HEALTH].data)
    names = [*data["gpus"][2]["values"]]
    change(host, 2, dict.fromkeys(names, 999))
    result = judge(host, check)
    assert result.status.value == "unknown" and "GPU 2 (9b:00.0)" in said(result) and "NVML 999" in said(result)


@pytest.mark.parametrize("check", [check for check in CHECKS if check != "gpu_presence"])
def test_what_no_gpu_offers_is_skipped(host: Recording, check: str) -> None:
    for gpu in range(4):
        change(host, gpu, dict.fromkeys(json.loads(host.answers[HEALTH].data)["gpus"][gpu]["values"], 3))
    assert judge(host, check).status.value == "skipped"


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"remap_uncorrected": 511}, "ok"),
        ({"remap_uncorrected": 512}, "warning"),
        ({"banks": {"max": 2559, "high": 0, "partial": 1, "low": 0, "none": 0}}, "ok"),
        ({"banks": {"max": 2559, "high": 0, "partial": 0, "low": 1, "none": 0}}, "warning"),
        ({"remap_pending": 1, "remap_failure": 1}, "critical"),
    ],
)
def test_rows_at_their_limits(host: Recording, values: dict[str, Any], status: str) -> None:
    change(host, 1, **values)
    assert judge(host, "gpu_row_remap").status.value == status


def test_a_job_on_the_gpu_is_hurt(host: Recording) -> None:
    change(host, 1, remap_pending=1)
    (found,) = judge(host, "gpu_row_remap").findings
    assert [(hurt.pid, hurt.job) for hurt in found.hurts] == [(41231, "4711")]


@pytest.mark.parametrize(
    ("then", "now", "seconds", "status"),
    [
        (0, 299_999, 300, "ok"),
        (0, 300_000, 300, "warning"),
        (9_000_000, 100, 300, "ok"),  # cleared in between
    ],
)
def test_corrected_errors_by_rate(host: Recording, then: int, now: int, seconds: int, status: str) -> None:
    change(host, 3, ecc_corrected_volatile_dram=then)
    host.before = Recording(NOW - seconds, unlisted="absent")
    for key in (STATE, HEALTH):
        host.before.answers[key] = Answer(key, "ok", host.answers[key].data, at=NOW - seconds)
    change(host, 3, ecc_corrected_volatile_dram=now)
    assert judge(host, "gpu_ecc").status.value == status


def test_the_threshold_of_the_driver_outranks_the_rule_of_thumb(host: Recording) -> None:
    change(host, 0, ecc_uncorrected_aggregate_sram=9)
    assert judge(host, "gpu_ecc").status.value == "ok"
    change(host, 0, {"sram": 13}, ecc_uncorrected_aggregate_sram=9)
    assert judge(host, "gpu_ecc").status.value == "warning"
    assert judge(host, "gpu_ecc", sram_lifetime=9).status.value == "ok"


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("None", "ok", ""),
        ("Reset", "critical", "a reset of this GPU"),
        ("Drain P2P", "warning", "peer-to-peer"),
        ("Power Cycle", "unknown", "not known here: Power Cycle"),
        ("[Unknown Error]", "unknown", "NVML 999"),
        ("N/A", "skipped", ""),
    ],
)
def test_recovery_actions_as_words(text: str, status: str, says: str) -> None:
    csv = f"index, pci.bus_id, gpu_recovery_action\n0, 00000000:1B:00.0, {text}\n"
    result = judge(pasted("nvidia-smi --query-gpu", csv), "gpu_recovery")
    assert result.status.value == status and says in said(result)


def test_remapped_rows_as_csv() -> None:
    csv = (
        "gpu_bus_id, remapped_rows.correctable, remapped_rows.uncorrectable, remapped_rows.pending, "
        "remapped_rows.failure\n00000000:1B:00.0, 0, 0, No, No\n00000000:43:00.0, 0, 2, Yes, No\n"
    )
    result = judge(pasted("nvidia-smi --query-remapped-rows", csv), "gpu_row_remap")
    assert result.status.value == "warning" and "warning GPU 43:00.0" in said(result)


def test_ecc_as_csv_without_units() -> None:
    fields = "index, ecc.mode.current, ecc.errors.uncorrected.volatile.total, ecc.errors.uncorrected.aggregate.dram"
    result = judge(pasted("nvidia-smi --query-gpu", f"{fields}\n0, Enabled, 0, 0\n1, Enabled, 3, 3\n"), "gpu_ecc")
    assert result.status.value == "critical" and "GPU 1: 3 uncorrectable memory errors" in said(result)


def test_instances_as_nvidia_smi_lists_them() -> None:
    text = (
        "+-------------------------------------------------------+\n| GPU instances:"
        "                                        |\n|   0  MIG 3g.40gb          9        1          0:4     |\n"
        "|   0  MIG 3g.40gb          9        2          4:4     |\n"
    )
    host = pasted("nvidia-smi mig -lgi", text)
    host.answers |= pasted("nvidia-smi --query-gpu", "index, mig.mode.current\n0, Enabled\n").answers
    result = judge(host, "gpu_mig")
    assert result.status.value == "ok" and "2 MIG devices" in said(result)


def test_mig_devices_of_q_are_no_gpus() -> None:
    text = (
        "Attached GPUs : 1\nGPU 00000000:07:00.0\n    MIG Mode\n        Current : Enabled\n        Pending : Enabled\n"
        "    MIG Devices\n        Index : 0\n            GPU Instance ID : 1\n            ECC Errors\n"
        "                Volatile\n                    SRAM Uncorrectable : 0\n        Index : 1\n"
        "            ECC Errors\n"
        "                Volatile\n                    SRAM Uncorrectable : 0\n    Temperature\n"
        "        GPU Current Temp : 40 C\n"
    )
    result = judge(pasted("nvidia-smi -q", text), "gpu_mig")
    assert result.status.value == "ok" and said(result) == "ok host: GPU 0 (07:00.0) is split into 2 MIG devices"


@pytest.mark.parametrize(("code", "status"), [(15, "critical"), (999, "critical"), (4, "unknown")])
def test_a_handle_that_is_refused(host: Recording, code: int, status: str) -> None:
    data = json.loads(host.answers[STATE].data)
    data["gpus"][3] = {"index": 3, "values": {}, "errors": {"handle": code}}
    host.answers[STATE] = Answer(STATE, "ok", json.dumps(data).encode(), at=NOW)
    result = judge(host, "gpu_presence")
    assert result.status.value == status and f"GPU 3 (c3:00.0): NVML {code}" in said(result)


@pytest.mark.parametrize(("wanted", "status"), [(None, "ok"), (4, "ok"), (3, "ok"), (5, "critical")])
def test_what_the_profile_wants(host: Recording, wanted: int | None, status: str) -> None:
    check = catalog.find(drop_ins=False).checks["gpu_presence"]
    (result,) = run([check], Replay(host), Profile(hardware=Hardware(gpus=wanted)))
    assert result.status.value == status
    assert status == "ok" or "the profile wants 5 GPUs, 1 is nowhere to be seen" in said(result)


def test_no_gpu_at_all_where_the_profile_wants_some() -> None:
    none = snapshot.load(str(Path(catalog.shipped("snapshots")) / "vm_without_gpu"))
    check = catalog.find(drop_ins=False).checks["gpu_presence"]
    (result,) = run([check], Replay(none), Profile(hardware=Hardware(gpus=8)))
    assert result.status.value == "critical" and "8 are nowhere to be seen" in said(result)


def test_a_container_lists_what_it_was_given(host: Recording) -> None:
    host.answers["read /proc/2/comm"] = Answer("read /proc/2/comm", "absent")
    path = "read /proc/driver/nvidia/gpus/0000:d1:00.0/information"
    host.answers[path] = Answer(path, "ok", b"GPU Excluded:\t No\n")
    assert judge(host, "gpu_presence").status.value == "ok"


def test_what_is_set_on_all_gpus_is_said_once(host: Recording) -> None:
    for gpu in range(4):
        change(host, gpu, ecc_now=0, ecc_then=0, gsp_mode=[0, 1], gsp="N/A")
    assert said(judge(host, "gpu_health")).count("warning host: all 4 GPUs: GSP firmware is switched off") == 1
    (off,) = judge(host, "gpu_ecc").findings
    assert (off.subject, len(off.covers)) == ("host", 4) and " -i " not in off.advice
    change(host, 3, ecc_now=1, ecc_then=1, gsp_mode=[1, 1], gsp="580.95.05")
    for check in ("gpu_health", "gpu_ecc"):
        assert [found.subject[:5] for found in judge(host, check).findings if found.status.is_alarm] == [
            "GPU 0",
            "GPU 1",
            "GPU 2",
        ]


@pytest.mark.parametrize(("name", "verdict"), [("GeForce RTX 4090", "ok"), ("NVIDIA L40S", "warning")])
def test_with_ecc_off_the_table_lacks_no_count(name: str, verdict: str) -> None:
    table = f"""\
| NVIDIA-SMI 550.120                Driver Version: 550.120        CUDA Version: 12.4     |
|-----------------------------------------+------------------------+----------------------+
| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |
| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |
|                                         |                        |               MIG M. |
|=========================================+========================+======================|
|   0  {name:<26} Off |   00000000:01:00.0 Off |                  Off |
|  0%   41C    P8             30W /  450W |     812MiB /  24564MiB |      3%      Default |
|                                         |                        |                  N/A |
+-----------------------------------------+------------------------+----------------------+
| Processes:                                                                              |
|  No running processes found                                                             |
+-----------------------------------------------------------------------------------------+
"""
    assert judge(pasted("nvidia-smi", table), "gpu_ecc").status.value == verdict


def test_what_is_done_once_for_all_gpus_is_said_once(host: Recording) -> None:
    for gpu in range(4):
        change(host, gpu, recovery=2, mig=[0, 1])
    assert said(judge(host, "gpu_recovery")) == "critical host: the driver wants a reboot of the host (for 4 GPUs)"
    assert said(judge(host, "gpu_mig")).startswith("warning host: MIG mode is pending on all 4 GPUs: to be on")
    change(host, 3, recovery=1, mig=[0, 0])
    assert [found.subject[:5] for found in judge(host, "gpu_recovery").findings] == ["host", "GPU 3"]
    assert [found.subject[:5] for found in judge(host, "gpu_mig").findings] == ["GPU 0", "GPU 1", "GPU 2"]


BOARD = "3D controller: NVIDIA Corporation GH100 [H100 SXM5 80GB] (rev a1)"
LSPCI = f"1b:00.0 {BOARD}\n{{0}}43:00.0 {BOARD}\n{{1}}"
DRIVER = "\tKernel driver in use: {0}\n"
ONE = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5f0c9a1e-7b34-4d2f-9a61-0e8c2b7d4f10)\n"


@pytest.mark.parametrize(
    ("drivers", "listed", "expected"),
    [
        (("", ""), ONE, "warning"),
        ((DRIVER.format("nvidia"), DRIVER.format("vfio-pci")), ONE, "ok"),  # given to a virtual machine
        ((DRIVER.format("nvidia"), DRIVER.format("nvidia")), ONE + ONE.replace("0", "1"), "ok"),
        (("", ""), ONE[:40], "warning"),
    ],
)
def test_lspci_shows_more_than_nvidia_smi(drivers: tuple[str, str], listed: str, expected: str) -> None:
    host = Recording(NOW, unlisted="not_captured")
    for key, text in (("run nvidia-smi -L", listed), ("run lspci -k", LSPCI.format(*drivers))):
        host.answers[key] = Answer(key, "ok", text.encode())
    assert judge(host, "gpu_presence").status.value == expected
    host.answers["run lspci -nn"] = Answer("run lspci -nn", "ok", LSPCI.format("", "").encode())
    assert judge(host, "gpu_presence").status.value == expected, "a list without drivers takes back nothing"
    host.answers["run nvidia-smi -L"] = Answer("run nvidia-smi -L", "truncated", listed.encode())
    assert judge(host, "gpu_presence").status.value in ("skipped", "unknown"), "a part proves no absence"


@pytest.mark.parametrize(
    ("fields", "values", "status"),
    [
        ("vbios_version", "96.00.B1.00.07", "skipped"),
        ("gsp.firmware.version", "580.95.05", "skipped"),
        ("vbios_version, inforom.img", "96.00.B1.00.07, G520.0201.00.06", "ok"),
        ("vbios_version, inforom.img", "96.00.B1.00.07, [N/A]", "ok"),
        ("vbios_version, inforom.checksum_validation", "96.00.B1.00.07, valid", "ok"),
        ("inforom.checksum_validation", "valid", "unknown"),
    ],
)
def test_an_inforom_that_is_not_told_is_not_well(fields: str, values: str, status: str) -> None:
    recording = pasted("nvidia-smi --query-gpu", f"index, {fields}\n0, {values}\n")
    assert judge(recording, "gpu_health").status.value == status
