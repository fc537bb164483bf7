"""probes/nvml.py through the real pynvml and real ctypes calls, on a fake library that gcc compiles."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import catalog
from mlopsdoc.probes import nvml
from tests import fake_nvml

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to compile the fake NVML")
SNAPSHOTS = Path(catalog.shipped("snapshots"))
ASK = "import json, sys; from mlopsdoc.probes import nvml; print(json.dumps(nvml.read('/', sys.argv[1])))"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_nvml.build(tmp_path_factory.mktemp("nvml"))


def ask(library: Path, text: str, what: str = "state") -> Any:
    done = subprocess.run(
        [sys.executable, "-c", ASK, what],
        env=fake_nvml.environment(library, text),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *(("reference", what) for what in nvml.CALLS),
        ("gpu_thermal_hw", "state"),
        ("gpu_thermal_lost", "state"),
        *(("gpu_thermal_a100_hot", what) for what in ("static", "state", "processes")),
        *(("gpu_thermal_geforce_idle", what) for what in ("static", "state", "processes")),
    ],
)
def test_live_through_the_fake_is_what_was_recorded(library: Path, name: str, what: str) -> None:
    live = ask(library, fake_nvml.drive(SNAPSHOTS / name), what)
    expected = json.loads((SNAPSHOTS / name / "probes" / f"nvml {what}.json").read_bytes())
    assert live["gpus"] == expected["gpus"]
    assert (live["driver"], live["count"]) == (expected["driver"], expected["count"])


def test_what_is_not_offered_is_a_code_and_stops_nothing(library: Path) -> None:
    said = ask(library, "- nvmlDeviceGetCount 1\n0 nvmlDeviceGetTemperatureV/0 44\n", "state")
    (gpu,) = said["gpus"]
    assert gpu["values"] == {"temperature_c": 44}
    assert set(gpu["errors"].values()) == {3}
    assert {"margin_c", "reasons", "hw_thermal_ns", "memory_c", "pci"} <= set(gpu["errors"])


def test_a_field_that_is_newer_than_the_driver_is_not_offered(library: Path) -> None:
    said = ask(library, "- nvmlDeviceGetCount 1\n0 field/270 !2\n0 field/82 1 57\n0 field/83 !999\n")
    (gpu,) = said["gpus"]
    assert (gpu["errors"]["hw_thermal_ns"], gpu["values"]["memory_c"], gpu["errors"]["energy_mj"]) == (13, 57, 999)


def test_pairs_of_gpus_are_asked_once(library: Path) -> None:
    links = "".join(f"{n} nvmlDeviceGetNvLinkState/0 1\n" for n in (0, 1, 3))
    said = ask(
        library,
        f"- nvmlDeviceGetCount 4\n{links}3 nvmlDeviceGetP2PStatus/0/2 5\n1 nvmlDeviceGetP2PStatus/0/2 0\n",
        "links",
    )
    assert [gpu.get("p2p") for gpu in said["gpus"]] == [
        [None, 0, None, 5], [0, None, None, None], None, [5, None, None, None],
    ]  # fmt: skip


def test_the_older_call_answers_where_the_newer_is_not_offered(library: Path) -> None:
    text = "- nvmlDeviceGetCount 1\n0 nvmlDeviceGetTemperature/0 71\n0 nvmlDeviceGetCurrentClocksThrottleReasons 64\n"
    assert ask(library, text)["gpus"][0]["values"] == {"temperature_c": 71, "reasons": 64}


def test_a_lost_gpu_leaves_the_others(library: Path) -> None:
    text = (
        "- nvmlDeviceGetCount 3\n0 nvmlDeviceGetPciInfo_v3 00000000:1B:00.0\n0 nvmlDeviceGetTemperatureV/0 50\n"
        "1 nvmlDeviceGetHandleByIndex !15\n"
        "2 nvmlDeviceGetPciInfo_v3 00000000:9B:00.0\n2 nvmlDeviceGetTemperatureV/0 !15\n2 nvmlDeviceGetPowerUsage 5\n"
        "2 field/82 hang\n"
    )
    first, lost, half = ask(library, text)["gpus"]
    assert first["pci"] == "0000:1b:00.0" and first["values"]["temperature_c"] == 50
    assert lost == {"index": 1, "values": {}, "errors": {"handle": 15}}
    assert half["pci"] == "0000:9b:00.0" and half["errors"]["power_mw"] == 15 and not half["values"]
    assert half["errors"]["memory_c"] == half["errors"]["hw_thermal_ns"] == 15


SEVERAL = """
import json, pynvml, select
from mlopsdoc.probes import nvml

said = []

def counted(name):
    real = getattr(pynvml, name)
    setattr(pynvml, name, lambda *args: (said.append(name), real(*args))[1])

counted("nvmlInit")
counted("nvmlShutdown")
for turn in range(2):
    for what in nvml.CALLS:
        assert nvml.read("/", what)["count"] == 1
    said.append("asked")
    while said[-1] == "asked":
        select.select([], [], [], 0.05)  # until the alarm
print(json.dumps(said))
"""


def test_nvml_is_opened_once_for_questions_in_a_row_and_left_when_none_follows(library: Path) -> None:
    env = fake_nvml.environment(library, "- nvmlDeviceGetCount 1\n")
    done = subprocess.run([sys.executable, "-c", SEVERAL], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["nvmlInit", "asked", "nvmlShutdown"] * 2


def test_signed_and_wide_values_keep_their_meaning(library: Path) -> None:
    text = (
        "- nvmlDeviceGetCount 1\n0 nvmlDeviceGetMarginTemperature -3\n0 field/270 3 9000000000000000000\n"
        "0 field/194 5 -2\n0 field/82 1 88\n"
    )
    state = ask(library, text)["gpus"][0]["values"]
    assert state == {"margin_c": -3, "hw_thermal_ns": 9_000_000_000_000_000_000, "memory_c": 88}
    slowdown = ask(library, text, "static")["gpus"][0]["values"]["slowdown_offset_c"]
    assert slowdown & 0xFFFFFFFF == -2 & 0xFFFFFFFF


@pytest.mark.parametrize("code", [9, 15, 18, 999])
def test_an_init_that_fails_is_data_with_the_version_of_the_library(library: Path, code: int) -> None:
    said = ask(library, f"- nvmlInit !{code}\n- nvmlInitWithFlags !{code}\n")
    assert said == {"error": {"call": "nvmlInit", "code": code}, "library": fake_nvml.VERSION, "gpus": []}


def test_without_gpus_the_driver_still_says_its_version(library: Path) -> None:
    said = ask(library, "- nvmlInit !15\n- nvmlSystemGetDriverVersion 580.95.05\n- nvmlDeviceGetCount 0\n")
    assert said["error"]["code"] == 15 and said["driver"] == "580.95.05" and said["gpus"] == []


def test_no_library_is_data_too(tmp_path: Path) -> None:
    said = ask(tmp_path, "")
    if not said["library"]:  # else this machine has a driver
        assert said["error"] == {"call": "nvmlInit", "code": 12} and said["gpus"] == []


def test_processes_of_a_gpu(library: Path) -> None:
    text = (
        "- nvmlDeviceGetCount 1\n0 nvmlDeviceGetComputeRunningProcesses_v3 4123:1048576 4124:-\n"
        "0 nvmlDeviceGetGraphicsRunningProcesses_v3 \n"
    )
    values = ask(library, text, "processes")["gpus"][0]["values"]
    assert [(p["pid"], p["usedGpuMemory"]) for p in values["compute"]] == [(4123, 1048576), (4124, None)]
    assert values["graphics"] == []


def test_the_fake_can_hang_for_ever(library: Path) -> None:
    """What lanes are for: no signal but KILL ends it, and no answer comes."""
    text = "- nvmlDeviceGetCount 1\n0 nvmlDeviceGetTemperatureV/0 hang\n"
    child = subprocess.Popen(
        [sys.executable, "-c", "print('ready', flush=True);" + ASK, "state"],
        env=fake_nvml.environment(library, text),
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.send_signal(signal.SIGTERM) if _hangs(child.pid) else pytest.fail("it answered")
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(timeout=0.2)
    child.kill()
    assert child.wait(timeout=10) == -signal.SIGKILL


def _hangs(pid: int) -> bool:
    """Until every signal is blocked, as the fake does before it waits for ever; False when the process ended."""
    while Path(f"/proc/{pid}").exists():
        status = Path(f"/proc/{pid}/status").read_text()
        if "State:\tZ" in status:
            return False
        blocked = int(next(line for line in status.splitlines() if line.startswith("SigBlk")).split()[1], 16)
        if blocked >> (signal.SIGTERM - 1) & 1:
            return True
    return False


@pytest.mark.parametrize(
    ("bus_id", "normal"),
    [
        ("00000000:1B:00.0", "0000:1b:00.0"),
        ("0000:C3:00.0", "0000:c3:00.0"),
        ("00010000:01:00.0", "00010000:01:00.0"),
        ("00000009:06:00.0", "0009:06:00.0"),
        ("", ":"),
    ],
)
def test_pci_addresses_are_written_as_sysfs_does(bus_id: str, normal: str) -> None:
    assert nvml.normal_pci(bus_id) == normal
