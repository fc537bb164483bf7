"""What nvidia-smi prints, in each form, of drivers R450 to R610: values, gaps, refusals, failures, hostile text."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsdoc import CannotSee, NothingHere, catalog
from mlopsdoc.engine import Ledger, run
from mlopsdoc.facts import nvml, smi
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpus import Gpu, Gpus
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

SNAPSHOTS = Path(catalog.shipped("snapshots"))
CHECK = catalog.find(drop_ins=False).checks["gpu_thermal"]
Q, XML, CSV, TABLE = "run nvidia-smi -q", "run nvidia-smi -q -x", "run nvidia-smi --query-gpu", "run nvidia-smi"
LIST, DMON, PMON = "run nvidia-smi -L", "run nvidia-smi dmon", "run nvidia-smi pmon"


def host(answers: dict[str, str] | None = None, *, part: bool = False, exit: int = 0, **named: str) -> Replay:
    """A recording of these outputs by key, or by the names of the keys above."""
    recording = Recording(1795403400.0)
    status: AnswerStatus = "truncated" if part else "failed" if exit else "ok"
    for key, text in (answers or {str(globals()[name]): text for name, text in named.items()}).items():
        recording.answers[key] = Answer(key, status, text.encode(), exit=exit)
    return Replay(recording)


def recorded(name: str, key: str) -> str:
    return snapshot.load(str(SNAPSHOTS / name)).answers[key].text


def gpus_of(replay: Replay) -> Gpus:
    gpus: Gpus = Ledger(replay).get(Gpus)
    return gpus


def processes_of(replay: Replay) -> list[tuple[str, int, str, int | None]]:
    found: GpuProcesses = Ledger(replay).get(GpuProcesses)
    return [(process.pci, process.pid, process.command, process.used_bytes) for process in found.processes]


def judge(replay: Replay) -> Result:
    (result,) = run([CHECK], replay, Profile())
    return result


def values(gpu: Gpu) -> dict[str, Any]:
    """What a test may compare, by name."""
    limits = {name: getattr(gpu.limits, name) for name in gpu.limits.__struct_fields__}
    slowed = {name: getattr(gpu.slowed, name) for name in gpu.slowed.__struct_fields__}
    names = ("temperature_c", "memory_c", "margin_c", "reasons", "sm_mhz", "sm_max_mhz", "power_w", "power_limit_w")
    return {name: getattr(gpu, name) for name in (*names, "utilization")} | limits | slowed


A100_41 = {
    "temperature_c": 86, "memory_c": 84, "margin_c": None, "reasons": 0x20, "sm_mhz": 1125, "sm_max_mhz": 1410,
    "power_w": 372.1, "power_limit_w": 400.0, "utilization": 97, "gpu_max_c": 85,
    "slowdown_c": 89, "shutdown_c": 92, "memory_max_c": 95, "sw_thermal_ns": None,
}  # fmt: skip
H200_43 = {
    "temperature_c": 84, "memory_c": 83, "margin_c": 3, "reasons": 0, "sm_mhz": 1845, "sm_max_mhz": 1980,
    "power_w": 647.32, "power_limit_w": 700.0, "utilization": 98, "gpu_max_c": None, "gpu_max_offset_c": 0,
    "slowdown_offset_c": -2, "shutdown_offset_c": -8, "hw_thermal_ns": 0,
}  # fmt: skip
H100_9B = {
    "temperature_c": 92, "memory_c": 89, "margin_c": -4, "reasons": 0x48, "sm_mhz": 1005, "power_w": 402.77,
    "sw_thermal_ns": 141_000_000_000, "hw_thermal_ns": 138_600_000_000,
    "power_brake_ns": 0, "slowdown_offset_c": -2,
}  # fmt: skip
T4_D8 = {
    "temperature_c": 82, "memory_c": None, "reasons": 0, "gpu_max_c": 85, "shutdown_c": 96, "power_w": 68.2,
    "power_limit_w": 70.0, "sm_mhz": 1140, "sm_max_mhz": 1590, "utilization": 100,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "pci", "index", "driver", "said", "expected"),
    [
        ("smi_q_a100_slowed", "0000:41:00.0", 1, "470.161.03", "NVIDIA A100-SXM4-80GB", A100_41),
        ("smi_q_h200_near_limit", "0000:43:00.0", 1, "610.43.02", "NVIDIA H200", H200_43),
        ("smi_xml_h100_slowed", "0000:9b:00.0", 2, "580.95.05", "NVIDIA H100 80GB HBM3", H100_9B),
        ("smi_xml_t4_near_limit", "0000:d8:00.0", 1, "450.248.02", "Tesla T4", T4_D8),
        ("smi_table_470", "0000:86:00.0", 1, "470.57.02", "Tesla V100-PCIE...", {"temperature_c": 36, "power_w": 27.0,
            "power_limit_w": 250.0, "utilization": 0, "reasons": None}),
        ("smi_table_err", "0000:9b:00.0", 2, "610.43.02", "NVIDIA H100 80GB HBM3", {"temperature_c": 60,
            "power_w": 642.0, "power_limit_w": 700.0, "utilization": 98}),
        ("smi_csv", "0000:9b:00.0", 2, "", "NVIDIA H100 80GB HBM3", {"temperature_c": 60, "memory_c": 70, "reasons": 4,
            "utilization": 98, "power_w": 652.2, "power_limit_w": 700.0, "sm_mhz": 1845, "sm_max_mhz": 1980,
            "hw_thermal_ns": 0}),
    ],
)  # fmt: skip
def test_values(name: str, pci: str, index: int, driver: str, said: str, expected: dict[str, Any]) -> None:
    gpus = gpus_of(Replay(snapshot.load(str(SNAPSHOTS / name))))
    (gpu,) = [gpu for gpu in gpus if gpu.pci == pci]
    assert (gpu.index, gpus.driver, gpu.name) == (index, driver, said)
    assert {key: values(gpu)[key] for key in expected} == expected


HEAT = """\
Attached GPUs                             : 1
GPU 00000000:1B:00.0
    Clocks {word} Reasons
        Idle                              : Not Active
        HW Slowdown                       : {hw}
            HW Thermal Slowdown           : {thermal}
            HW Power Brake Slowdown       : Not Active
        SW Thermal Slowdown               : {sw}
    Temperature
        GPU Current Temp                  : {temp}
        GPU T.Limit Temp                  : {margin}
"""
WELL = {
    "word": "Event",
    "hw": "Not Active",
    "thermal": "Not Active",
    "sw": "Not Active",
    "temp": "61 C",
    "margin": "26 C",
}


@pytest.mark.parametrize("word", ["Throttle", "Event"])
@pytest.mark.parametrize(
    ("said", "status"),
    [
        ({}, "ok"),
        ({"temp": "N/A", "margin": "N/A"}, "ok"),
        ({"temp": "Requested functionality has been deprecated"}, "ok"),
        ({"temp": "61 C [Deprecated; will be removed]"}, "ok"),
        ({"thermal": "N/A"}, "ok"),
        ({"hw": "N/A", "thermal": "N/A", "sw": "N/A"}, "ok"),
        ({"hw": "Active", "thermal": "N/A"}, "ok"),  # one sample that names no reason
        ({"temp": "ERR!"}, "unknown"),
        ({"temp": "Unknown Error"}, "unknown"),
        ({"temp": "[Unknown Error]"}, "unknown"),
        ({"temp": "Insufficient Permissions"}, "unknown"),
        ({"temp": "GPU is lost"}, "unknown"),
        ({"temp": "GPU requires reset"}, "unknown"),
        ({"sw": "Unknown Error"}, "unknown"),
        ({"temp": "6"}, "unknown"),  # of 61 C: cut
        ({"temp": "61"}, "unknown"),
        ({"temp": ""}, "unknown"),
        ({"temp": "6l C"}, "unknown"),
        ({"margin": "2"}, "unknown"),
        ({"sw": "Not Act"}, "unknown"),
        ({"sw": ""}, "unknown"),
        ({"sw": "Active"}, "warning"),
        ({"temp": "88 C", "margin": "-1 C"}, "critical"),
        ({"hw": "Active", "thermal": "Active"}, "warning"),  # one look, and nothing is hot
        ({"hw": "Active", "thermal": "Active", "temp": "92 C", "margin": "-4 C"}, "critical"),
    ],
)
def test_values_refusals_and_damage(word: str, said: dict[str, str], status: str) -> None:
    assert judge(host(Q=HEAT.format(**(WELL | said | {"word": word})))).status.value == status


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("N/A", 3), ("[N/A]", 3), ("[Not Supported]", 3), ("ERR!", 999), ("[Unknown Error]", 999),
        ("[GPU is lost]", 15), ("GPU is lost.  Reboot the system to recover this GPU", 15),
        ("Insufficient Permissions", 4), ("[Requested functionality has been deprecated]", 26),
        ("45 W", nvml.DAMAGED), ("4 5 C", nvml.DAMAGED),
        ("45.0 C", nvml.DAMAGED), ("٤٥ C", nvml.DAMAGED), ("9" * 30 + " C", nvml.DAMAGED), ("45C", nvml.DAMAGED),
    ],
)  # fmt: skip
def test_what_is_no_value_has_a_code(text: str, code: int) -> None:
    assert smi.read_value("C", text) == (None, code)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 565.57\n", "NVML 18"),
        ("Failed to initialize NVML: Driver Not Loaded\n", "NVML 9"),
        ("Failed to initialize NVML: Unknown Error\n", "NVML 999"),
        ("Failed to initialize NVML: GPU access blocked by the operating system\n", "NVML 17"),
        ("Failed to initialize NVML: Insufficient Permissions\n", "NVML 4"),
        ("NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure ...\n", "NVML 9"),
        ("NVIDIA-SMI couldn't find libnvidia-ml.so library in your system. Please make sure ...\n", "NVML 12"),
        ("No devices were found\n", "finds no GPU"),
        ("Segmentation fault\n", "names no GPU"),
        ("==============NVSMI LOG==============\n", "names no GPU"),
    ],
)
@pytest.mark.parametrize("key", [Q, XML, CSV, TABLE, LIST, DMON])
def test_a_failure_is_unknown_in_its_words(key: str, text: str, says: str) -> None:
    result = judge(host({key: text}))
    assert result.status.value == "unknown"
    assert says in result.reason


def test_an_exit_code_without_words_speaks() -> None:
    assert "NVML 15" in judge(host(TABLE="", exit=15)).reason


@pytest.mark.parametrize(
    ("line", "subject", "says"),
    [
        ("Unable to determine the device handle for GPU0000:C3:00.0: Unknown Error", "GPU c3:00.0", "NVML 999"),
        ("Unable to determine the device handle for GPU 0000:C3:00.0: GPU is lost.  Reboot the system to recover ...",
            "GPU c3:00.0", "NVML 15"),
        ("Unable to determine the device handle for gpu 0000:C3:00.0: Insufficient Permissions", "GPU c3:00.0",
            "NVML 4"),
        ("Unable to determine the device handle for GPU3: 0000:C3:00.0: Unknown Error", "GPU 3 (c3:00.0)", "NVML 999"),
        ("Unable to determine the device handle for GPU 3: Unknown Error", "GPU 3", "NVML 999"),
    ],
)  # fmt: skip
def test_a_gpu_without_a_handle_is_lost(line: str, subject: str, says: str) -> None:
    for text in (line, f"{line}\n{recorded('smi_q_a100_slowed', Q)}"):
        gpus = gpus_of(host(Q=text))
        assert [(lost.label, says in lost.why) for lost in gpus.lost] == [(subject, True)]
        assert subject in [finding.subject for finding in judge(host(Q=text)).findings]


def test_what_was_said_last_holds() -> None:
    cool, hot = HEAT.format(**WELL), HEAT.format(**(WELL | {"sw": "Active", "temp": "ERR!"}))
    failure = "Failed to initialize NVML: Unknown Error\n"
    assert [f.code for f in judge(host(Q=cool + hot)).findings] == ["sw_thermal", "unseen"]
    assert judge(host(Q=hot + cool)).status.value == "ok"
    assert judge(host(Q=cool + failure)).status.value == "unknown"
    assert judge(host(Q=failure + cool)).status.value == "ok"
    lost = "Unable to determine the device handle for GPU0000:1B:00.0: Unknown Error\n"
    assert judge(host(Q=cool + lost)).status.value == "unknown"
    assert judge(host(Q=lost + cool)).status.value == "ok"


def test_parts_come_together_by_address() -> None:
    gpus = gpus_of(host(part=True, Q=recorded("smi_q_sections", Q)))
    assert [(gpu.pci, gpu.temperature_c, gpu.reasons, gpu.untold) for gpu in gpus] == [
        ("0000:1b:00.0", 58, 0, ()),
        ("0000:43:00.0", 88, 0x20, ()),
    ]


def test_forms_come_together_by_address_uuid_and_index() -> None:
    table, listed = recorded("smi_table", TABLE), recorded("smi_list", LIST)
    csv = "index, clocks_event_reasons.active\n" + "".join(f"{n}, 0x{n % 2 * 0x20:016x}\n" for n in range(4))
    gpus = gpus_of(host(TABLE=table, LIST=listed, CSV=csv))
    assert [gpu.pci[5:7] for gpu in gpus] == ["1b", "43", "9b", "c3"]
    assert [gpu.temperature_c for gpu in gpus] == [58, 59, 60, 61]
    assert [gpu.reasons for gpu in gpus] == [0, 0x20, 0, 0x20]
    assert all(gpu.uuid.startswith("GPU-7d") and not gpu.untold for gpu in gpus)
    assert judge(host(TABLE=table, CSV=csv)).status.value == "warning"
    nameless = recorded("smi_q_grep", Q)
    two = "\n".join(listed.split("\n")[:2])
    assert [(g.index, g.reasons) for g in gpus_of(host(part=True, Q=nameless, LIST=two))] == [(0, 1), (1, 0x20)]


def test_gpus_without_address_are_told_apart() -> None:
    gpus = gpus_of(host(part=True, Q=recorded("smi_q_grep", Q)))
    assert [gpu.label for gpu in gpus] == ["GPU without address, no. 1", "GPU without address, no. 2"]
    result = judge(host(CSV="name, temperature.gpu\nNVIDIA L40S, 71\nNVIDIA L40S, 44\n"))
    assert [gpu.label for gpu in gpus_of(host(CSV="name, temperature.gpu\nNVIDIA L40S, 71\n"))] == ["GPU 0"]
    assert result.status.value == "unknown" and result.findings[0].params == {}


LIMITS = """    GPU Power Readings
        Average Power Draw                             : {} W
        Current Power Limit                            : 350.00 W
"""
WARM = "        GPU Current Temp                               : {} C\n"
SRAM = """        Volatile
            SRAM Correctable                           : 3
            SRAM Correctable                           : 9
"""


@pytest.mark.parametrize(
    ("text", "count"),
    [
        # grep -A shows a line twice where its groups overlap in two outputs, and ends a section with two dashes.
        (LIMITS.format("91.20") + "--\n" + LIMITS.format("91.20").split("\n", 1)[1] + "--\n" + WARM.format(61), 1),
        (WARM.format(61) * 2, 2),
        (LIMITS.format("91.20") + LIMITS.format("88.01"), 2),
        (SRAM, 1),  # the second one is that of Aggregate, which the filter did not let through
        (f"GPU 00000000:1B:00.0\n{SRAM}", 1),
        (f"{WARM.format(61)}{SRAM}{WARM.format(88)}{SRAM.splitlines()[0]}\n", 2),
    ],
)
def test_without_heads_there_are_as_many_gpus_as_the_labels_prove(text: str, count: int) -> None:
    gpus = gpus_of(host(part=True, Q=text))
    assert len(gpus.gpus) == count and gpus.is_part


@pytest.mark.parametrize("count", [1, 4])
def test_the_count_of_the_gpus_is_believed_of_a_part_too(count: int) -> None:
    csv = f"timestamp, count, pci.bus_id, temperature.gpu\n2026/11/16 11:00:09.120, {count}, 00000000:1B:00.0, 61\n"
    head = f"Attached GPUs                                          : {count}\nGPU 00000000:1B:00.0\n{WARM.format(61)}"
    for gpus in (gpus_of(host(part=True, CSV=csv + csv)), gpus_of(host(part=True, Q=head))):
        assert (len(gpus.gpus), gpus.missing, gpus.is_part) == (1, count - 1, False)


def test_reasons_that_were_cut_away_are_no_reasons() -> None:
    lines = HEAT.format(**WELL).split("\n")
    for kept, codes in (
        (lines[:6], {"untold", "missing"}),  # SW thermal is missing
        ([*lines[:5], *lines[7:]], {"missing"}),  # HW slowdown: none
        ([*lines[:4], *lines[7:]], {"untold", "missing"}),
    ):
        assert {found.code for found in judge(host(part=True, Q="\n".join(kept[1:]))).findings} == codes


def ordered(*said: tuple[str, str]) -> Replay:
    """Outputs of one text, one after the other."""
    replay = host(dict(said))
    for place, answer in enumerate(replay.recording.answers.values(), 1):
        answer.order = place
    return replay


def test_a_fault_that_lasts_is_not_forgotten_when_the_gpu_has_cooled() -> None:
    """The table of nvidia-smi tells nothing of rows and of what the driver wants: that was told before."""
    rows = "    Remapped Rows\n        Pending : Yes\n        Remapping Failure Occurred : Yes\n"
    hot = (
        "GPU 00000000:1B:00.0\n    GPU Recovery Action : Reset\n"
        + rows
        + "    Temperature\n        GPU Current Temp : 80 C\n"
    )
    cool = "index, pci.bus_id, temperature.gpu\n0, 00000000:1B:00.0, 41\n"
    checks = catalog.find(drop_ins=False).checks
    for said in (ordered((Q, hot), (CSV, cool)), ordered((CSV, cool), (Q, hot))):
        found = {
            one.id: one.status.value for one in run([checks["gpu_row_remap"], checks["gpu_recovery"]], said, Profile())
        }
        assert found == {"gpu_row_remap": "critical", "gpu_recovery": "critical"}


def test_of_two_forms_the_later_holds() -> None:
    well = HEAT.format(**WELL)
    hot = "index, pci.bus_id, temperature.gpu, clocks_event_reasons.active\n0, 00000000:1B:00.0, 93, 0x48\n"
    failed = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n"
    assert judge(ordered((Q, well), (CSV, hot))).status.value in ("warning", "critical")
    (gpu,) = gpus_of(ordered((Q, well), (CSV, hot)))
    assert (gpu.temperature_c, gpu.reasons, gpu.margin_c) == (93, 0x48, None)  # the margin is of another moment
    assert judge(ordered((CSV, hot), (Q, well))).status.value == "ok"
    assert "the nvidia kernel module is not loaded" in judge(ordered((Q, well), (TABLE, failed))).reason
    assert judge(ordered((TABLE, failed), (Q, well))).status.value == "ok"
    warm = hot.replace("93, 0x48", "62, 0x0")
    (gpu,) = gpus_of(ordered((Q, well), (CSV, warm)))
    assert (gpu.temperature_c, gpu.reasons, gpu.margin_c) == (62, 0, 26)


def test_of_one_form_the_later_holds_and_nothing_is_mixed() -> None:
    cool = HEAT.format(**WELL)
    later = "GPU 00000000:1B:00.0\n    Temperature\n        GPU Current Temp   : 88 C\n"
    (gpu,) = gpus_of(host(Q=f"{cool}\n{later}"))
    assert (gpu.temperature_c, gpu.margin_c, gpu.reasons, gpu.untold) == (88, None, None, ("reasons",))


@pytest.mark.parametrize("status", ["ok", "truncated"])
def test_one_block_does_not_tell_of_others(status: AnswerStatus) -> None:
    block = HEAT.format(**WELL).partition("\n")[2]
    replay = host(Q=block, part=status == "truncated")
    (found,) = judge(replay).findings
    assert (found.status.value, found.code) == ("unknown", "missing")
    replay.recording.answers[CSV] = Answer(CSV, "ok", b"index, pci.bus_id\n0, 00000000:1B:00.0\n")
    assert judge(replay).status.value == "ok"


def test_gpus_that_were_counted_and_not_shown_are_missing() -> None:
    for name, key in (("smi_q_h100", Q), ("smi_xml_h100_slowed", XML)):
        text = recorded(name, key)
        first = text[: text.index("00000000:9B:00.0") - 8]
        result = judge(host({key: first}, part=True))
        assert result.status.value == "unknown"
        assert "2 of 4 GPUs are missing" in "".join(finding.summary for finding in result.findings)


def test_csv_of_every_spelling() -> None:
    header = (
        "gpu_bus_id, temperature.gpu, clocks_throttle_reasons.active, power.draw [W], power.limit [W], clocks.sm [MHz]"
    )
    (gpu,) = gpus_of(host(CSV=f"{header}\n00000000:1B:00.0, 61, 0x0000000000000060, 16.40 W, [N/A], 640 MHz\n"))
    assert (gpu.pci, gpu.temperature_c, gpu.reasons, gpu.power_w, gpu.sm_mhz) == ("0000:1b:00.0", 61, 0x60, 16.4, 640)
    assert (gpu.power_limit_w, gpu.untold) == (None, ())
    (gpu,) = gpus_of(host(CSV=f"{header}\n00000000:1B:00.0, 61, 0x0, 16.40, 70.00, 640\n"))
    assert (gpu.power_w, gpu.power_limit_w, gpu.sm_mhz) == (16.4, 70.0, 640)
    (gpu,) = gpus_of(host(part=True, CSV=f"{header}\n00000000:1B:00.0, 6"))
    assert gpu.temperature_c is None
    for cell in ("[Unknown Error]", "[GPU is lost]", "6x", "", "0x"):
        text = f"index, temperature.gpu, clocks_event_reasons.active\n0, 61, {cell}\n"
        assert judge(host(CSV=text)).status.value == "unknown", cell
    errors = 'Field "clocks.foo" is not a valid field to query.\n\n'
    assert judge(host(CSV=errors, exit=2)).status.value == "unknown"


def test_lists_and_scrolling_output() -> None:
    listed = (
        "GPU 0: NVIDIA A100-SXM4-80GB (UUID: GPU-aa)\n  MIG 3g.40gb     Device  0: (UUID: MIG-bb)\nGPU 1: NVIDIA A10\n"
    )
    assert [(g.index, g.uuid, g.name) for g in gpus_of(host(LIST=listed))] == [
        (0, "GPU-aa", "NVIDIA A100-SXM4-80GB"),
        (1, "", "NVIDIA A10"),
    ]
    old = (
        "# gpu   pwr gtemp mtemp    sm   mem   enc   dec  mclk  pclk\n# Idx     W     C     C     %     %     %     %\n"
    )
    (gpu,) = gpus_of(host(DMON=old + "    0    43    35     -     7     0     0     0   877  1380\n"))
    assert (gpu.temperature_c, gpu.memory_c, gpu.utilization, gpu.sm_mhz, gpu.power_w) == (35, None, 7, 1380, 43.0)
    dated = "#Date       Time        gpu    pwr  gtemp\n#YYYYMMDD   HH:MM:SS    Idx      W      C\n"
    (gpu,) = gpus_of(
        host(DMON=dated + " 20261123   03:10:01      0     61     52\n 20261123   03:10:02      0     66     53\n")
    )
    assert (gpu.index, gpu.temperature_c, gpu.power_w) == (0, 53, 66.0)
    (gpu,) = gpus_of(
        host(
            part=True,
            DMON=dated + " 20261123   03:10:01      0     61     52\n 20261123   03:10:02      0     66     5",
        )
    )
    assert gpu.temperature_c == 52


def test_processes_of_each_form() -> None:
    assert processes_of(host(Q=recorded("smi_q_h100", Q)))[1:3] == [
        ("0000:43:00.0", 88121, "/opt/conda/bin/python3 [rank1]", 70312 << 20),
        ("0000:9b:00.0", 88122, "/opt/conda/bin/python3 [rank2]", 70312 << 20),
    ]
    assert processes_of(host(XML=recorded("smi_xml_h100_slowed", XML)))[2][1:3] == (
        88122,
        "/opt/conda/bin/python3 [rank2]",
    )
    assert processes_of(host(TABLE=recorded("smi_table", TABLE)))[3] == (
        "0000:c3:00.0", 88123, "...onda/bin/python3 train.py", 70312 << 20,
    )  # fmt: skip
    assert processes_of(host(TABLE=recorded("smi_table_470", TABLE))) == []
    old = "# gpu        pid  type    sm   mem   enc   dec   command\n    0   1811     C    98    38   -   -   a b [c]\n"
    assert processes_of(host(PMON=old + "    1          -     -     -     -     -     -   -\n")) == [
        ("GPU 0", 1811, "a b [c]", None)
    ]
    with pytest.raises(NothingHere):
        processes_of(host(Q=HEAT.format(**WELL)))


def test_xml_is_read_without_its_document() -> None:
    text = recorded("smi_xml_h100_slowed", XML)
    assert "<!DOCTYPE" in text
    broken = text.replace("/opt/conda/bin/python3 [rank0]", "a & b <c>", 1)
    gpus = gpus_of(host(XML=broken))
    assert [gpu.temperature_c for gpu in gpus] == [58, 60, 92, 61]
    assert judge(host(XML=broken)).status.value == "critical"
    assert len(gpus_of(host(XML=text + text)).gpus) == 4
    deep = text.replace("<temperature>", "<temperature>" + "<a>" * 100_000, 1)
    assert judge(host(XML=deep)).status.value == "critical"
    entity = text.replace("<gpu_temp>92 C", "<gpu_temp>&hot;92 C")
    assert gpus_of(host(XML=entity)).gpus[2].temperature_c is None


def test_entities_are_refused_at_once() -> None:
    bomb = '<!DOCTYPE nvidia_smi_log [<!ENTITY a "aaaaaaaaaa">' + "".join(
        f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">' for n in range(12)
    )
    text = f'<?xml version="1.0" ?>\n{bomb}]>\n<nvidia_smi_log><gpu id="00000000:1B:00.0"><uuid>&m;</uuid></gpu>'
    start = time.monotonic()
    result = judge(host(XML=text))
    assert time.monotonic() - start < 1
    assert result.status.value == "unknown" and "entities" in result.reason


def test_large_hostile_text_is_read_in_bounded_time() -> None:
    start = time.monotonic()
    for key, text in {
        CSV: "name, pstate\n" + "x, P0\n" * 100_000,
        Q: "GPU 00000000:1B:00.0\n" + "    GPU Current Temp : 61 C\n" * 100_000,
        PMON: "# gpu pid\n" + "".join(f"0 {n}\n" for n in range(100_000)),
        DMON: "# gpu gtemp\n" + "".join(f"{n % 9000} 50\n" for n in range(100_000)),
        XML: '<gpu id="' * 100_000,
        TABLE: "| 0 a b | 0000:1b:00.0 | c |\n" * 100_000,
    }.items():
        judge(host({key: text}, part=True))
    assert time.monotonic() - start < 20


class Asked(Replay):
    """A live host, as far as a fact can tell, that notes what it is asked to run."""

    is_live = True

    def __init__(self, recording: Recording) -> None:
        super().__init__(recording)
        self.ran: list[str] = []

    def run(self, *argv: str) -> Answer:
        self.ran.append(" ".join(argv))
        return super().run(*argv)


def no_library() -> Answer:
    data = json.dumps({"gpus": [], "error": {"call": "nvmlInit", "code": 12}, "library": ""})
    return Answer("probe nvml state", "ok", data.encode())


@pytest.mark.parametrize(
    ("answer", "asked"),
    [
        (no_library(), True),
        (Answer("probe nvml state", "failed", why="ModuleNotFoundError: No module named 'pynvml'"), True),
        (Answer("probe nvml state", "timeout", why="no answer within 15 s"), False),
        (Answer("probe nvml state", "failed", why="the process that asked died (EOFError)"), False),
    ],
)
def test_here_it_is_asked_only_for_want_of_a_library(answer: Answer, asked: bool) -> None:
    recording = Recording(1795403400.0, unlisted="absent")
    recording.answers[answer.key] = answer
    recording.answers[XML] = Answer(XML, "ok", recorded("smi_xml_h100_slowed", XML).encode())
    live = Asked(recording)
    with pytest.raises(NothingHere):
        gpus_of(live)
    assert live.ran == []
    recording.answers["read /proc/driver/nvidia/version"] = Answer("", "ok", b"NVRM version: 580.95.05\n")
    assert judge(live).status.value == ("critical" if asked else "unknown")
    assert live.ran == (["nvidia-smi -q -x"] if asked else [])


@pytest.mark.parametrize(
    ("answers", "status", "says"),
    [
        ((), "skipped", "whether there is an NVIDIA GPU is not in this recording"),
        (((TABLE, "absent", ""),), "skipped", "nvidia-smi is not installed; whether there is an NVIDIA GPU is not"),
        (((TABLE, "ok", ""),), "unknown", "nvidia-smi printed nothing"),
        (((TABLE, "truncated", ""),), "unknown", "a filter or a cut left nothing of what nvidia-smi printed"),
        (((Q, "truncated", "            Link Width\n"),), "unknown", "what is here of the output of nvidia-smi names"),
        (((TABLE, "denied", ""),), "unknown", "nvidia-smi: denied"),
        ((("run nvidia-smi --frob", "truncated", "x\n"),), "unknown", "nvidia-smi --frob printed does not tell"),
        ((("run dmesg", "truncated", "[ 12.5] NVRM: Xid (PCI:0000:1b:00): 63\n"),), "unknown", "the kernel names one"),
        (
            (("run dmesg", "ok", "[ 1.5] nvidia 0000:1b:00.0: enabling device\n"), (TABLE, "absent", "")),
            "unknown",
            "nvidia-smi is not installed",
        ),
        ((("run dmesg", "ok", "[ 12.5] NVRM: No NVIDIA GPU found.\n"),), "skipped", "not in this recording"),
        ((("run lspci", "ok", "00:02.0 VGA compatible controller: ASPEED\n"),), "skipped", "no NVIDIA GPU"),
        ((("run lspci", "ok", "1b:00.0 3D controller: NVIDIA Corporation\n"),), "unknown", "lspci names one"),
    ],
)
def test_where_nobody_looked_nothing_is_proved(
    answers: tuple[tuple[str, AnswerStatus, str], ...], status: str, says: str
) -> None:
    replay = host()
    for key, how, text in answers:
        replay.recording.answers[key] = Answer(key, how, text.encode())
    result = judge(replay)
    assert result.status.value == status
    assert says in result.reason


EXAMPLES = 5000 if os.environ.get("MLOPSDOC_SOAK") else 300
HOT = {  # a GPU that is in trouble, told by more than one line
    "smi_xml_h100_slowed": XML,
    "smi_q_a100_slowed": Q,
    "smi_q_sections": Q,
}
EVERY = [
    (folder.name, key)
    for folder in sorted(SNAPSHOTS.glob("smi_*"))
    for key in sorted(snapshot.load(str(folder)).answers)
    if key != DMON  # has several values of each GPU, and the last that is whole counts
]


@st.composite
def damaged(draw: st.DrawFn, text: str) -> str:
    """Cut, or with lines or characters missing or made unreadable; no digit is made."""
    how = draw(st.sampled_from(["cut", "lines", "span", "junk"]))
    at = draw(st.integers(0, len(text)))
    if how == "cut":
        return text[:at]
    if how == "lines":
        lines = text.split("\n")
        gone = draw(st.sets(st.integers(0, len(lines) - 1), min_size=1, max_size=3))
        return "\n".join(line for n, line in enumerate(lines) if n not in gone)
    end = min(len(text), at + draw(st.integers(1, 60)))
    junk = (
        draw(st.text(st.sampled_from("~\x00\x1b<>&:|,\n\u202e\ufffd"), min_size=1, max_size=8))
        if how == "junk"
        else "~"
    )
    return text[:at] + junk + text[end:]


@given(st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_damage_raises_nothing_else_and_makes_no_value(data: st.DataObject) -> None:
    name, key = data.draw(st.sampled_from(EVERY))
    text = recorded(name, key)
    broken = data.draw(damaged(text))
    whole = {gpu.id: values(gpu) for gpu in _read(host({key: text}))}
    for gpu in _read(host({key: broken}, part=data.draw(st.booleans()))):
        for value_name, value in values(gpu).items():
            if gpu.id in whole and value_name not in ("reasons", "persistence"):
                assert value is None or value == whole[gpu.id][value_name], (gpu.id, value_name)


def _read(replay: Replay) -> tuple[Gpu, ...]:
    try:
        return Gpus.read(replay, None).gpus
    except (CannotSee, NothingHere):
        return ()


@given(st.data())
@settings(max_examples=EXAMPLES, deadline=None)
def test_damage_is_never_well(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(HOT)))
    text = recorded(name, HOT[name])
    broken = data.draw(damaged(text))
    result = judge(host({HOT[name]: broken}, part=data.draw(st.booleans())))
    assert result.status.value in ("critical", "warning", "unknown") or not broken.strip(), broken


@pytest.mark.parametrize("name", ["smi_q_a100_slowed", "smi_q_h100", "smi_xml_h100_slowed", "smi_xml_a100_mig"])
@pytest.mark.parametrize("share", range(1, 20))
def test_a_gpu_whose_lines_are_cut_away_is_not_ok(name: str, share: int) -> None:
    """Of the last GPU only the first lines are there: what they do not tell is unknown."""
    key = XML if "xml" in name else Q
    text = recorded(name, key)
    start = text.rindex("<gpu id=" if key == XML else "\nGPU 0000") + 30
    replay = host({key: text[: start + (len(text) - start) * share // 20]}, part=True)
    last = gpus_of(replay).gpus[-1]
    told = {
        "gpu_persistence": last.persistence is not None or "persistence" in last.errors,
        "gpu_clocks": bool((last.sm_mhz and last.sm_max_mhz) or last.app_mhz),
        "gpu_power": last.power_w is not None or last.power_limit_w is not None,
        "gpu_hang": last.utilization is not None and last.power_w is not None,
    }
    checks = catalog.find(drop_ins=False).checks
    for result in run([checks[id] for id in told], replay, Profile()):
        assert told[result.id] or result.status.value in ("unknown", "skipped"), result
