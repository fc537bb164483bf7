"""gpu_thermal beyond its snapshots: thresholds at their edges, hosts that must stay silent, hostile answers."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import CannotSee, catalog
from mlopsdoc.engine import Ledger, run
from mlopsdoc.facts.gpu_processes import GpuProcesses, job_of
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

REFERENCE = Path(catalog.shipped("snapshots")) / "reference"
STATE, STATIC = "probe nvml state", "probe nvml static"
SECOND = 1_000_000_000


@pytest.fixture
def host() -> Recording:
    return snapshot.load(str(REFERENCE))


def judge(host: Recording, **thresholds: Any) -> Result:
    checks = [catalog.find(drop_ins=False).checks["gpu_thermal"]]
    (result,) = run(checks, Replay(host), Profile(thresholds={"gpu_thermal": thresholds}))
    return result


def change(host: Recording, key: str = STATE, gpu: int = 0, **values: Any) -> None:
    data = json.loads(host.answers[key].data)
    data["gpus"][gpu]["values"] |= values
    host.answers[key] = Answer(key, "ok", json.dumps(data).encode())


def refuse(host: Recording, code: int, *names: str, key: str = STATE, gpu: int = 0) -> None:
    data = json.loads(host.answers[key].data)
    for name in names:
        data["gpus"][gpu]["values"].pop(name, None)
        data["gpus"][gpu]["errors"][name] = code
    host.answers[key] = Answer(key, "ok", json.dumps(data).encode())


def found(result: Result) -> list[tuple[str, str]]:
    return [(finding.status.value, finding.code) for finding in result.findings]


def earlier(host: Recording) -> Recording:
    assert host.before is not None
    return host.before


@pytest.mark.parametrize(
    ("seconds", "level"),
    [(0, []), (3, []), (3.1, ["warning"]), (30, ["warning"]), (30.1, ["critical"]), (290, ["critical"])],
)
def test_software_slowdown_by_its_share_of_five_minutes(host: Recording, seconds: float, level: list[str]) -> None:
    change(host, sw_thermal_ns=int(seconds * SECOND), reasons=0x20)
    assert [finding.status.value for finding in judge(host).findings] == level


@pytest.mark.parametrize(
    ("ms", "reasons", "expected"),
    [
        (0, 0, []),
        (1, 0, []),
        (999, 0, []),  # a flicker in five minutes
        (1000, 0, [("warning", "hw_thermal")]),  # 0.33 %, over
        (3000, 0, [("warning", "hw_thermal")]),  # 1 % and not more
        (3001, 0, [("critical", "hw_thermal")]),
        (0, 0x48, [("warning", "hw_thermal")]),
        (999, 0x48, [("warning", "hw_thermal")]),
        (1000, 0x48, [("critical", "hw_thermal")]),  # set now, and persists
        (5000, 0x48, [("critical", "hw_thermal")]),
    ],
)
def test_hardware_slowdown_by_growth(host: Recording, ms: float, reasons: int, expected: list[tuple[str, str]]) -> None:
    change(host, hw_thermal_ns=int(ms * 1e6), reasons=reasons)
    assert found(judge(host)) == expected
    change(host, hw_thermal_ns=0, power_brake_ns=int(ms * 1e6), reasons=0x88 if reasons else 0)
    assert found(judge(host)) == [(status, "power_brake") for status, _ in expected]


def test_floors_of_slowdown_are_those_of_the_profile(host: Recording) -> None:
    change(host, hw_thermal_ns=2 * SECOND)
    assert found(judge(host, slowdown_floor_s=2.5)) == []
    assert found(judge(host, hw_warning_percent=0.7)) == []
    assert found(judge(host, hw_critical_percent=0.5)) == [("critical", "hw_thermal")]


@pytest.mark.parametrize(("was", "level"), [(0, "warning"), (0x48, "critical")])
def test_where_nothing_is_counted_two_looks_count(host: Recording, was: int, level: str) -> None:
    for recording, reasons in ((host, 0x48), (earlier(host), was)):
        refuse(recording, 3, "hw_thermal_ns")
        change(recording, reasons=reasons)
    assert found(judge(host)) == [(level, "hw_thermal")]


@pytest.mark.parametrize(
    ("celsius", "margin", "level"), [(61, 26, "warning"), (85, 2, "warning"), (90, -3, "critical")]
)
def test_one_look_is_critical_where_the_heat_bears_it_out(
    host: Recording, celsius: int, margin: int, level: str
) -> None:
    host.before = None
    change(host, reasons=0x48, temperature_c=celsius, margin_c=margin)
    assert found(judge(host)) == [(level, "hw_thermal")]


def test_much_software_slowdown_is_not_hidden_by_a_moment_of_the_hardware(host: Recording) -> None:
    change(host, reasons=0x68, sw_thermal_ns=100 * SECOND)
    assert found(judge(host)) == [("critical", "sw_thermal")]


@pytest.mark.parametrize(("hot", "expected"), [(1, ["hotter_than_siblings"]), (2, []), (3, [])])
def test_a_second_row_that_is_warmer_is_built_so(host: Recording, hot: int, expected: list[str]) -> None:
    host.before = None
    for gpu in range(4):
        change(host, gpu=gpu, temperature_c=68 if gpu < hot else 54, margin_c=20, power_mw=660000)
    assert [finding.code for finding in judge(host).findings] == expected


@pytest.mark.parametrize(("hot", "subjects"), [(4, ["host"]), (3, ["GPU 0", "GPU 1", "GPU 2"])])
def test_heat_of_all_gpus_is_one_finding_on_the_host(host: Recording, hot: int, subjects: list[str]) -> None:
    for gpu in range(hot):
        change(host, gpu=gpu, temperature_c=83 + gpu % 2, margin_c=4)
    result = judge(host)
    assert [finding.subject[:5].strip() for finding in result.findings] == subjects
    assert hot < 4 or "all 4 GPUs, GPU 1 (43:00.0) most of all: 4 C below" in result.findings[0].summary


def test_a_brake_on_several_gpus_is_one_finding_on_the_host(host: Recording) -> None:
    change(host, gpu=1, reasons=0x88, power_brake_ns=250 * SECOND)
    (one,) = judge(host).findings
    assert (one.subject, one.covers, one.params) == ("GPU 1 (43:00.0)", [], {"GPU": "0000:43:00.0"})
    change(host, gpu=3, reasons=0x88, power_brake_ns=10 * SECOND)
    (both,) = judge(host).findings
    assert (both.status.value, both.subject, both.code) == ("critical", "host", "power_brake")
    assert both.covers == ["GPU 1 (43:00.0)", "GPU 3 (c3:00.0)"]
    assert [hurt.pid for hurt in both.hurts] == [41231, 41233] and both.metrics["held_percent"] == 83.33


def test_what_is_over_since_hours_is_for_the_morning(host: Recording) -> None:
    earlier(host).taken_at -= 11 * 3600
    change(host, hw_thermal_ns=40 * SECOND)
    result = judge(host)
    assert found(result) == [("warning", "hw_thermal")]
    assert "40 s of the last 11 h, not now" in result.findings[0].summary


def test_the_time_between_samples_is_that_of_the_answers(host: Recording) -> None:
    change(host, sw_thermal_ns=2 * SECOND)
    host.answers[STATE].at, earlier(host).answers[STATE].at = 1000.0, 980.0
    result = judge(host)
    assert found(result) == [("warning", "sw_thermal")] and "2 s of the last 20 s (10 %)" in result.findings[0].summary


def test_a_bit_that_the_gpu_does_not_support_is_nothing(host: Recording) -> None:
    change(host, STATIC, supported_reasons=0x1FF & ~0x40)
    change(host, reasons=0x40)
    assert found(judge(host)) == []


def test_bits_that_are_not_heat_are_silent(host: Recording) -> None:
    for bits in (0x1, 0x2, 0x4, 0x10, 0x100, 0x1 | 0x4, 0x1 | 0x8):
        change(host, reasons=bits)
        change(earlier(host), reasons=bits)
        assert found(judge(host)) == [], hex(bits)


@pytest.mark.parametrize(
    ("margin", "celsius", "expected"),
    [
        (6, 81, []),
        (5, 82, [("warning", "near_limit")]),
        (1, 86, [("warning", "near_limit")]),
        (0, 87, [("critical", "near_limit")]),
        (-3, 75, [("critical", "near_limit")]),
        (-3, 74, [("ok", "margin_misread")]),
        (5, 41, [("ok", "margin_misread")]),
        (127, 61, []),
        (4294967293, 87, [("critical", "near_limit")]),  # -3 read as unsigned
    ],
)
def test_margin(host: Recording, margin: int, celsius: int, expected: list[tuple[str, str]]) -> None:
    change(host, margin_c=margin, temperature_c=celsius, utilization={"gpu": 0, "memory": 0})
    assert found(judge(host)) == expected


def test_hot_memory_makes_a_low_margin_believable(host: Recording) -> None:
    change(host, margin_c=-1, temperature_c=66, memory_c=93)
    assert ("critical", "near_limit") in found(judge(host))


def test_the_margin_is_measured_against_the_offset_of_the_board(host: Recording) -> None:
    change(host, STATIC, gpu_max_offset_c=3, slowdown_offset_c=1, shutdown_offset_c=-5)
    change(host, margin_c=3, temperature_c=84)
    assert found(judge(host)) == [("critical", "near_limit")]


@pytest.mark.parametrize(("celsius", "level"), [(0, []), (89, []), (90, ["warning"]), (95, ["critical"]), (255, [])])
def test_memory(host: Recording, celsius: int, level: list[str]) -> None:
    change(host, memory_c=celsius)
    assert [finding.status.value for finding in judge(host).findings] == level


@pytest.mark.parametrize(
    ("name", "own", "celsius", "level"),
    [
        ("Tesla V100-SXM2-32GB", 85, 79, []),
        ("Tesla V100-SXM2-32GB", 85, 80, ["warning"]),
        ("Tesla V100-SXM2-32GB", 85, 85, ["critical"]),
        ("NVIDIA B200", 105, 97, []),  # a board that bears more
        ("NVIDIA GH200 480GB", 0, 95, ["critical"]),  # a limit that cannot be
        ("", 0, 96, ["critical"]),
        ("NVIDIA L40S", 0, 99, []),
        ("NVIDIA RTX A6000", 0, 99, []),
        ("NVIDIA A10-24Q", 0, 99, []),
        ("NVIDIA RTX PRO 6000 Blackwell Server Edition", 95, 99, []),
        ("NVIDIA GeForce RTX 4090", 0, 99, []),
    ],
)
def test_memory_by_its_own_limit_and_only_hbm(
    host: Recording, name: str, own: int, celsius: int, level: list[str]
) -> None:
    change(host, STATIC, name=name, memory_max_c=own)
    change(host, memory_c=celsius)
    assert [finding.status.value for finding in judge(host).findings] == level


@pytest.mark.parametrize(
    ("name", "celsius", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 84, []),
        ("NVIDIA H100 80GB HBM3", 85, [("warning", "near_limit")]),
        ("NVIDIA H100 80GB HBM3", 90, [("critical", "near_limit")]),
        ("NVIDIA L40S", 89, []),
        ("NVIDIA L40S", 90, [("warning", "near_limit")]),
        ("NVIDIA GeForce RTX 5090", 89, []),
        ("", 97, [("warning", "near_limit")]),
    ],
)
@pytest.mark.parametrize("code", [3, 13])
def test_without_margin_and_limit_by_what_such_boards_bear(
    host: Recording, name: str, celsius: int, expected: list[tuple[str, str]], code: int
) -> None:
    refuse(host, code, "margin_c")
    change(host, STATIC, name=name)
    change(host, temperature_c=celsius)
    assert found(judge(host)) == expected


@pytest.mark.parametrize(
    ("name", "celsius", "margin", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 97, 24, [("warning", "margin_misread")]),
        ("NVIDIA H100 80GB HBM3", 90, 6, [("warning", "margin_misread")]),
        ("NVIDIA H100 80GB HBM3", 89, 6, []),
        ("NVIDIA L40S", 91, 8, []),
        ("NVIDIA RTX 5000 Ada Generation Laptop GPU", 97, 8, []),
    ],
)
def test_a_margin_that_contradicts_the_temperature(
    host: Recording, name: str, celsius: int, margin: int, expected: list[tuple[str, str]]
) -> None:
    change(host, STATIC, name=name)
    change(host, temperature_c=celsius, margin_c=margin)
    assert found(judge(host)) == expected


def test_what_is_too_hot_already_is_not_advised_to_act_before(host: Recording) -> None:
    change(host, temperature_c=93, margin_c=-5)
    change(host, gpu=1, temperature_c=84, margin_c=3)
    hot, warm = judge(host).findings
    assert "before it slows down" not in hot.advice and "cap its power" in hot.advice
    assert "before it slows down" in warm.advice
    assert all("sudo ipmitool" in finding.advice for finding in (hot, warm))


def test_thresholds_are_those_of_the_profile(host: Recording) -> None:
    assert found(judge(host, memory_warning_c=75)) == [("warning", "memory_temperature")]
    assert found(judge(host, margin_warning_c=23, margin_believed_from_c=60)) == [("warning", "near_limit")]


@pytest.mark.parametrize(
    "limits",
    [
        {"gpu_max_c": 0, "slowdown_c": 0, "shutdown_c": 0},
        {"gpu_max_c": 95, "slowdown_c": 60, "shutdown_c": 50},
        {"gpu_max_c": 255, "slowdown_c": 4294967295},
    ],
)
def test_limits_that_cannot_be_are_left_out(host: Recording, limits: dict[str, int]) -> None:
    data = json.loads(host.answers[STATIC].data)
    for gpu in data["gpus"]:
        gpu["values"] = {"name": "NVIDIA A100-SXM4-80GB"} | limits
    host.answers[STATIC] = Answer(STATIC, "ok", json.dumps(data).encode())
    state = json.loads(host.answers[STATE].data)
    for gpu in state["gpus"]:
        del gpu["values"]["margin_c"]
    host.answers[STATE] = Answer(STATE, "ok", json.dumps(state).encode())
    assert found(judge(host)) == []


def test_siblings_need_two_others_at_the_same_load(host: Recording) -> None:
    for recording in (host, earlier(host)):
        change(recording, gpu=2, temperature_c=79)
    assert found(judge(host)) == [("warning", "hotter_than_siblings")]
    for gpu in (0, 1):
        change(host, gpu=gpu, utilization={"gpu": 20, "memory": 3})
    assert found(judge(host)) == []


def test_idle_gpus_are_not_compared(host: Recording) -> None:
    for recording in (host, earlier(host)):
        for gpu in range(4):
            change(recording, gpu=gpu, utilization={"gpu": 0, "memory": 0}, temperature_c=55 if gpu == 1 else 33)
    assert found(judge(host)) == []


def test_a_gpu_that_was_swapped_has_no_earlier_self(host: Recording) -> None:
    state = json.loads(host.answers[STATE].data)
    state["gpus"][0] |= {"uuid": "GPU-11111111-2222-3333-4444-555555555555"}
    state["gpus"][0]["values"]["sw_thermal_ns"] = 60 * SECOND
    host.answers[STATE] = Answer(STATE, "ok", json.dumps(state).encode())
    assert found(judge(host)) == []


def test_a_temperature_that_could_not_be_read_is_never_ok(host: Recording) -> None:
    state = json.loads(host.answers[STATE].data)
    gpu = state["gpus"][1]
    del gpu["values"]["temperature_c"]
    gpu["errors"]["temperature_c"] = 4
    host.answers[STATE] = Answer(STATE, "ok", json.dumps(state).encode())
    result = judge(host)
    assert found(result) == [("unknown", "unseen")]
    assert "its temperature could not be read: NVML 4: not permitted" in result.findings[0].summary


COUNTS = ("hw_thermal_ns", "sw_thermal_ns", "power_brake_ns", "thermal_ns", "thermal_violation")


@pytest.mark.parametrize("name", COUNTS[:3])
@pytest.mark.parametrize(("code", "status"), [(3, "ok"), (13, "ok"), (26, "ok"), (4, "unknown"), (999, "unknown")])
def test_counts_that_are_not_offered_are_fine_and_unreadable_ones_unknown(
    host: Recording, name: str, code: int, status: str
) -> None:
    refuse(host, code, name)
    assert judge(host).status.value == status


def test_neither_reasons_nor_counts_is_unknown(host: Recording) -> None:
    refuse(host, 3, "reasons", *COUNTS)
    assert found(judge(host)) == [("unknown", "unseen")]
    change(host, thermal_ns=0)
    assert found(judge(host)) == []


def test_where_processes_cannot_be_listed_nobody_is_said_to_be_there(host: Recording) -> None:
    key = "probe nvml processes"
    for gpu in range(4):
        refuse(host, 999, "compute", "graphics", "mps", key=key, gpu=gpu)
    with pytest.raises(CannotSee, match="NVML 999"):
        Ledger(Replay(host)).get(GpuProcesses)


@pytest.mark.parametrize(
    ("key", "status", "verdict"),
    [
        ("tree /sys/bus/pci/devices/*/uevent", "timeout", "unknown"),
        ("tree /sys/bus/pci/devices/*/uevent", "denied", "unknown"),
        ("tree /sys/bus/pci/devices/*/uevent", "absent", "skipped"),
        ("read /proc/driver/nvidia/version", "timeout", "unknown"),
    ],
)
def test_who_would_tell_of_a_gpu_and_did_not_answer(key: str, status: AnswerStatus, verdict: str) -> None:
    host = nothing()
    host.answers[key] = Answer(key, status)
    assert judge(host).status.value == verdict


def nothing() -> Recording:
    return Recording(1795403400.0, unlisted="absent")


def test_hosts_without_nvidia_are_skipped() -> None:
    amd = nothing()
    path = "/sys/bus/pci/devices/0000:0a:00.0/uevent"
    amd.answers[f"read {path}"] = Answer(
        f"read {path}", "ok", b"DRIVER=amdgpu\nPCI_CLASS=38000\nPCI_ID=1002:740F\nPCI_SLOT_NAME=0000:0a:00.0\n"
    )
    wsl = nothing()  # /dev/dxg says some GPU, and there is no library of NVIDIA
    wsl.answers["read /dev/dxg"] = Answer("read /dev/dxg", "failed", why="Invalid argument")
    no_library = json.dumps({"error": {"call": "nvmlInit", "code": 12}, "library": "", "gpus": []}).encode()
    wsl.answers[STATE] = Answer(STATE, "ok", no_library)
    for host in (nothing(), amd, wsl):
        assert judge(host).status.value == "skipped", judge(host)


def test_wsl_with_nvidia_is_judged(host: Recording) -> None:
    for key in [key for key in host.answers if key.startswith(("read /sys/bus/pci", "read /proc/"))]:
        del host.answers[key]
    host.answers["read /dev/dxg"] = Answer("read /dev/dxg", "failed", why="Invalid argument")
    change(host, memory_c=96)
    assert found(judge(host)) == [("critical", "memory_temperature")]


def test_static_answers_may_be_missing(host: Recording) -> None:
    del host.answers[STATIC]
    assert found(judge(host)) == []
    change(host, reasons=0x40, hw_thermal_ns=9 * SECOND, temperature_c=91, margin_c=-4)
    assert found(judge(host)) == [("critical", "hw_thermal")]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"{",
        b"\xff\xfe",
        b'{"gpus": 7}',
        b'{"gpus": [7, null, "x"]}',
        b'{"gpus": [{}]}',
        b'{"gpus": [{"pci": 3, "values": [], "errors": "x"}]}',
        b'{"error": "x", "gpus": []}',
        b'{"error": {"code": "x"}}',
        b"[" * 100_000,
    ],
)
def test_damaged_answers_are_unknown_and_never_ok(host: Recording, data: bytes) -> None:
    for key in (STATE, STATIC):
        host.answers[key] = Answer(key, "ok", data)
    result = judge(host)
    assert result.status.value == "unknown"
    assert "could not be understood" not in result.reason


def test_every_value_of_a_wrong_type_is_none(host: Recording) -> None:
    state = json.loads(host.answers[STATE].data)
    wrongs: list[Any] = ["x", None, [], {}, 1.5, True, -1, 1 << 70]
    for wrong in wrongs:
        twin = deepcopy(state)
        for gpu in twin["gpus"]:
            gpu["values"] = dict.fromkeys(gpu["values"], wrong)
        host.answers[STATE] = Answer(STATE, "ok", json.dumps(twin).encode())
        assert not any("could not be understood" in f.summary or "failed" in f.summary for f in judge(host).findings)


def test_names_are_made_safe(host: Recording) -> None:
    change(host, STATIC, name="\x1b]0;owned\x07 [red]H100")
    key = "probe processes 41230"
    told = json.loads(host.answers[key].data)
    told |= {"user": "eve\x1b[2J", "command": "x\x1b]52;c;aGk=\x07"}
    host.answers[key] = Answer(key, "ok", json.dumps(told).encode())
    change(host, memory_c=97)
    finding = judge(host).findings[0]
    assert "\x1b" not in repr(finding).replace("\\x1b", "") and finding.hurts[0].user == "eve\\x1b[2J"


def test_who_is_hurt(host: Recording) -> None:
    change(host, gpu=3, memory_c=97)
    finding = judge(host).findings[0]
    assert [(hurt.pid, hurt.user, hurt.job) for hurt in finding.hurts] == [(41233, "mara", "4711")]
    assert finding.params == {"GPU": "0000:c3:00.0"} and finding.subject == "GPU 3 (c3:00.0)"


@pytest.mark.parametrize(("is_whole", "expected"), [(True, []), (False, [41233])])
def test_a_pid_that_proc_has_not_is_unknown_in_a_container(
    host: Recording, is_whole: bool, expected: list[int]
) -> None:
    host.answers["probe processes 41233"] = Answer("probe processes 41233", "ok", b'{"gone": true}')
    if not is_whole:
        del host.answers["read /proc/2/comm"]
    change(host, gpu=3, memory_c=97)
    assert [hurt.pid for hurt in judge(host).findings[0].hurts] == expected


HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("cgroup", "job"),
    [
        ("0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\n", "4711"),
        ("4:memory:/slurm/uid_1000/job_815/step_batch\n0::/\n", "815"),
        ("0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1f0e_7c.slice/cri-x.scope", "pod 1f0e-7c"),
        ("0::/kubepods.slice/kubepods-pod1f0e_7c.slice/cri-containerd-" + HEX + ".scope", "pod 1f0e-7c"),
        ("0::/kubepods/besteffort/pod1f0e-7c/" + HEX, "pod 1f0e-7c"),
        ("0::/system.slice/docker-" + HEX + ".scope", "container 0123456789ab"),
        ("12:cpuset:/docker/" + HEX, "container 0123456789ab"),
        ("0::/machine.slice/libpod-" + HEX + ".scope/container", "container 0123456789ab"),
        ("0::/user.slice/user-1000.slice/session-3.scope", ""),
        ("0::/system.slice/podman.service", ""),
        ("0::/job_/x", ""),
        ("", ""),
        (":::/::/-pod.slice", ""),
    ],
)
def test_the_job_of_a_cgroup(cgroup: str, job: str) -> None:
    assert job_of(cgroup) == job
