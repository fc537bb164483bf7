"""gpu_clocks, gpu_power, gpu_persistence and gpu_hang beyond their snapshots: limits, look-alikes, damage."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

STATE = "probe nvml state"
NOW = 1795403400.0
CHECKS = ("gpu_clocks", "gpu_power", "gpu_persistence", "gpu_hang")
SPIN = {
    "utilization": {"gpu": 100, "memory": 0},
    "power_mw": 118000,
    "sm_mhz": 1980,
    "energy_mj": 10**9,
    "pcie_tx_bytes": 0,
}


@pytest.fixture
def host() -> Recording:
    return snapshot.load(str(Path(catalog.shipped("snapshots")) / "reference"))


def judge(host: Recording, check: str) -> Result:
    (result,) = run([catalog.find(drop_ins=False).checks[check]], Replay(host), Profile())
    return result


def change(host: Recording, *gpus: int, **values: Any) -> None:
    """A value that is None is refused (NVML 999)."""
    data = json.loads(host.answers[STATE].data)
    for row in (data["gpus"][gpu] for gpu in gpus or range(4)):
        row["values"] = {k: v for k, v in (row["values"] | values).items() if v is not None}
        row["errors"] |= {name: 999 for name, value in values.items() if value is None}
    host.answers[STATE] = Answer(STATE, "ok", json.dumps(data).encode())


def both(host: Recording, *gpus: int, **values: Any) -> None:
    change(host, *gpus, **values)
    assert host.before
    change(host.before, *gpus, **values)


def csv(header: str, row: str, check: str, status: AnswerStatus = "ok") -> str:
    key = "run nvidia-smi --query-gpu"
    recording = Recording(NOW)
    recording.answers[key] = Answer(key, status, f"{header}\n{row}\n".encode(), exit=0, at=NOW)
    return judge(recording, check).status.value


@pytest.mark.parametrize("check", CHECKS)
def test_the_reference_is_well(host: Recording, check: str) -> None:
    result = judge(host, check)
    assert result.status.value == "ok" and not result.findings


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff{", b'{"gpus": [{"pci": 7, "values": []}]}'])
@pytest.mark.parametrize("check", CHECKS)
def test_damage_is_never_well_nor_an_alarm(host: Recording, check: str, data: bytes) -> None:
    host.answers[STATE] = Answer(STATE, "ok", data)
    assert judge(host, check).status.value in ("unknown", "skipped")


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"sm_mhz": 989}, "warning"),
        ({"sm_mhz": 991}, "warning"),  # below 85 % and the same to the MHz in both samples: locked
        ({"sm_mhz": 1683}, "ok"),
        ({"sm_mhz": 345, "utilization": {"gpu": 89, "memory": 2}}, "ok"),
        ({"sm_mhz": 345, "reasons": 1}, "ok"),
        ({"sm_mhz": 345, "reasons": 0x4}, "ok"),  # gpu_power's
        ({"sm_mhz": 345, "reasons": 0x48}, "ok"),  # gpu_thermal's
        ({"sm_mhz": 345, "reasons": None}, "unknown"),
        ({"sm_mhz": None}, "unknown"),
        ({"app_mhz": 1900}, "ok"),
        ({"app_mhz": 1800}, "warning"),
        ({"reasons": 2, "sm_mhz": 1900}, "ok"),
        ({"reasons": 2, "sm_mhz": 1800}, "warning"),
        ({"reasons": 2, "sm_mhz": 345, "utilization": {"gpu": 0, "memory": 0}}, "ok"),
    ],
)
def test_clocks(host: Recording, values: dict[str, Any], status: str) -> None:
    both(host, 1, **values)
    assert judge(host, "gpu_clocks").status.value == status


def test_clocks_that_move_are_not_locked(host: Recording) -> None:
    both(host, 1, sm_mhz=1500)
    change(host, 1, sm_mhz=1485)
    assert judge(host, "gpu_clocks").status.value == "ok"


@pytest.mark.parametrize(
    ("pstate", "name", "status"),
    [
        ("P8", "NVIDIA GeForce RTX 3090", "ok"),
        ("P2", "NVIDIA GeForce RTX 3090", "warning"),
        ("P8", "NVIDIA H200", "warning"),
        ("P0", "NVIDIA GeForce RTX 4080 Laptop GPU", "ok"),
    ],
)
def test_screens_keep_a_gpu_busy_at_low_clocks(pstate: str, name: str, status: str) -> None:
    header = "name, pstate, utilization.gpu, clocks.sm, clocks.max.sm, clocks_event_reasons.active"
    assert csv(header, f"{name}, {pstate}, 97 %, 420 MHz, 2100 MHz, 0x0000000000000000", "gpu_clocks") == status


@pytest.mark.parametrize(
    ("header", "row", "status"),
    [
        ("", "", "unknown"),
        (", utilization.gpu", ", 0 %", "ok"),
        (", utilization.gpu", ", [N/A]", "ok"),
        (", clocks_event_reasons.active", ", 0x0000000000000001", "ok"),
        (", clocks_event_reasons.active", ", 0x0000000000000000", "unknown"),
    ],
)
def test_slow_clocks_are_well_only_where_the_gpu_is_told_to_be_idle(header: str, row: str, status: str) -> None:
    assert csv(f"index, clocks.sm, clocks.max.sm{header}", f"0, 270 MHz, 2100 MHz{row}", "gpu_clocks") == status
    assert csv(f"index, clocks.sm, clocks.max.sm{header}", f"0, 2040 MHz, 2100 MHz{row}", "gpu_clocks") == "ok"


def test_a_mask_that_was_cut_is_not_no_reason() -> None:
    header = "name, utilization.gpu, clocks.sm, clocks.max.sm, clocks_event_reasons.active"
    assert csv(header, "NVIDIA H200, 97 %, 420 MHz, 1980 MHz, 0x00000000", "gpu_clocks", "truncated") == "unknown"


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({"power_limit_mw": 664000}, "warning"),
        ({"power_limit_mw": 666000}, "ok"),
        ({"power_mw": 700000, "reasons": 4}, "ok"),
        ({"power_mw": 340000, "reasons": 4, "power_cap_ns": None}, "warning"),
        ({"power_mw": 340000, "reasons": 0x84, "power_cap_ns": None}, "ok"),  # the power brake is gpu_thermal's
        ({"power_mw": 340000, "reasons": 4, "utilization": {"gpu": 40, "memory": 1}, "power_cap_ns": None}, "ok"),
        ({"power_mw": 360000, "reasons": 4, "power_cap_ns": None}, "ok"),
        ({"power_mw": None}, "unknown"),
    ],
)
def test_power(host: Recording, values: dict[str, Any], status: str) -> None:
    both(host, 2, **values)
    assert judge(host, "gpu_power").status.value == status


@pytest.mark.parametrize(
    ("name", "word", "status"),
    [
        ("NVIDIA H200", "[N/A]", "unknown"),
        ("NVIDIA GeForce GTX 1650", "[N/A]", "skipped"),
        ("NVIDIA H200", "[Unknown Error]", "unknown"),
    ],
)
def test_power_that_is_not_told(name: str, word: str, status: str) -> None:
    assert csv("index, name, power.draw", f"0, {name}, {word}", "gpu_power") == status


@pytest.mark.parametrize(
    ("header", "row", "status"),
    [
        ("power.draw", "88.10 W", "skipped"),
        ("power.limit", "310.00 W", "skipped"),
        ("power.draw, power.limit", "88.10 W, 310.00 W", "skipped"),
        ("power.draw, power.default_limit", "88.10 W, 400.00 W", "skipped"),
        ("power.limit, power.default_limit", "400.00 W, 400.00 W", "ok"),
        ("power.limit, power.default_limit", "310.00 W, 400.00 W", "warning"),
        ("power.limit, power.default_limit", "310.00 W, [N/A]", "ok"),
    ],
)
def test_a_power_limit_is_judged_only_beside_its_default(header: str, row: str, status: str) -> None:
    assert csv(f"index, {header}", f"0, {row}", "gpu_power") == status


@pytest.mark.parametrize(
    ("name", "mode", "status"),
    [
        ("NVIDIA H200", "Disabled", "warning"),
        ("NVIDIA H200", "Enabled", "ok"),
        ("NVIDIA RTX A5000", "Disabled", "skipped"),
        ("NVIDIA GeForce RTX 5090", "Disabled", "skipped"),
        ("NVIDIA GH200 480GB", "[N/A]", "skipped"),
    ],
)
def test_persistence(name: str, mode: str, status: str) -> None:
    assert csv("index, name, persistence_mode", f"0, {name}, {mode}", "gpu_persistence") == status


@pytest.mark.parametrize(
    ("gpus", "values", "status", "notes"),
    [
        ((0, 1, 2, 3), {}, "warning", 1),
        ((0, 1, 2), {}, "ok", 0),  # the fourth works: the others wait for it
        ((0, 1, 2, 3), {"utilization": {"gpu": 94, "memory": 0}}, "ok", 0),
        ((0, 1, 2, 3), {"utilization": {"gpu": 0, "memory": 0}, "reasons": 1}, "ok", 0),
        ((0, 1, 2, 3), {"utilization": {"gpu": 100, "memory": 6}}, "ok", 0),
        ((0, 1, 2, 3), {"power_mw": 176000}, "ok", 0),
        ((0, 1, 2, 3), {"sm_mhz": 345}, "ok", 0),
    ],
)
def test_hang(host: Recording, gpus: tuple[int, ...], values: dict[str, Any], status: str, notes: int) -> None:
    both(host, *gpus, **(SPIN | {"energy_mj": None, "pcie_tx_bytes": None, "pcie_rx_bytes": None} | values))
    result = judge(host, "gpu_hang")
    assert (result.status.value, len(result.findings)) == (status, notes)


@pytest.mark.parametrize(
    ("energy", "sent", "status"),
    [
        (118 * 300 * 1000, 1_000_000, "warning"),
        (400 * 300 * 1000, 1_000_000, "ok"),  # it worked between the samples
        (118 * 300 * 1000, 300 * 10**6 * 301, "ok"),
        (-1, 0, "ok"),  # the driver was loaded anew
    ],
)
def test_what_was_counted_between_the_samples_counts(host: Recording, energy: int, sent: int, status: str) -> None:
    both(host, **(SPIN | {"pcie_rx_bytes": 0}))
    change(host, energy_mj=10**9 + energy, pcie_tx_bytes=sent)
    assert judge(host, "gpu_hang").status.value == status


@pytest.mark.parametrize(("age_s", "status"), [(1900, "warning"), (900, "ok")])
def test_a_job_that_starts_may_wait(host: Recording, age_s: float, status: str) -> None:
    both(host, **(SPIN | {"energy_mj": None, "pcie_tx_bytes": None, "pcie_rx_bytes": None}))
    for key in [key for key in host.answers if key.startswith("probe processes ")]:
        data = json.loads(host.answers[key].data) | {"started": NOW - age_s}
        host.answers[key] = Answer(key, "ok", json.dumps(data).encode())
    assert judge(host, "gpu_hang").status.value == status


@pytest.mark.parametrize(
    ("name", "status"),
    [("NVIDIA DGX Display", "skipped"), ("NVIDIA T1000 8GB", "skipped"), ("NVIDIA L40S", "warning")],
)
def test_boards_with_screens_need_no_persistence_mode(host: Recording, name: str, status: str) -> None:
    key = "probe nvml static"
    text = host.answers[key].data.replace(b"NVIDIA H100 80GB HBM3", name.encode())
    host.answers[key] = Answer(key, "ok", text)
    change(host, persistence=0)
    assert judge(host, "gpu_persistence").status.value == status
