"""Real GPUs: what NVML says is what nvidia-smi prints beside it, of recorded boards and of those of this machine."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from mlopsdoc.engine import Ledger
from mlopsdoc.facts.gpu_health import GpuHealths
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.pcie import PcieLinks
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.recorder import Recording, Replay

from .program import REPOSITORY, mlopsdoc
from .test_live_equals_replay import findings

RECORDED = ("h100_vm", "h200_vm")
FORMS = ("run nvidia-smi -q", "run nvidia-smi -q -x")
# What changes from one look to the next, and by how much at most between two that follow each other.
MOVING = {
    "temperature_c": 6, "memory_c": 6, "margin_c": 6, "power_w": 150, "sm_mhz": 600, "utilization": 100,
    "memory_use": 60, "power_cap_ns": 30e9,
}  # fmt: skip
# What only one of the two tells, or tells in other words.
NOT_ALIKE = ("line", "at", "errors", "listed", "is_virtual", "gpu")


@pytest.fixture(scope="module", params=[*RECORDED, "live"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recording:
    if request.param in RECORDED:
        return snapshot.load(str(REPOSITORY / "snapshots" / request.param))
    if not Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is None:
        pytest.skip("no NVIDIA GPU here: what NVML says live is not held against nvidia-smi")
    place = tmp_path_factory.mktemp("live")
    ended = mlopsdoc("snapshot", "--no-redact", "-o", str(place / "saved.tar.gz"), place=place)
    assert ended.code == 0, ended.err
    return snapshot.load(str(place / "saved.tar.gz"))


def only(host: Recording, *keys: str) -> Replay:
    """The same host, of which only these answers are at hand."""
    recording = Recording(host.taken_at, unlisted="not_captured")
    recording.answers |= {key: answer for key, answer in host.answers.items() if key.startswith(keys)}
    return Replay(recording)


def values(replay: Replay, fact: type[Any]) -> dict[str, Any]:
    """Every value of a fact by its place, without those that no two sources have alike."""

    def flat(value: Any, place: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for name, part in cast("dict[str, Any]", value).items():
                if name not in NOT_ALIKE:
                    yield from flat(part, f"{place}.{name}")
        elif isinstance(value, list | tuple):
            for number, part in enumerate(cast("list[Any]", value)):
                yield from flat(part, f"{place}[{number}]")
        elif value is not None:
            yield place, value

    return dict(flat(msgspec.to_builtins(Ledger(replay).get(fact)), ""))


@pytest.mark.parametrize("fact", [Gpus, PcieLinks])
@pytest.mark.parametrize("form", FORMS)
def test_nvml_and_nvidia_smi_say_the_same(host: Recording, form: str, fact: type[Any]) -> None:
    ours, theirs = values(only(host, "probe nvml"), fact), values(only(host, form), fact)
    both = ours.keys() & theirs.keys()
    assert len(both) >= 15
    for place in sorted(both):
        most = MOVING.get(place.rpartition(".")[2], 0)
        if most:
            assert abs(ours[place] - theirs[place]) <= most, place
        else:
            assert ours[place] == theirs[place], place


@pytest.mark.parametrize("form", FORMS)
def test_the_health_of_the_boards_is_the_same(host: Recording, form: str) -> None:
    """Counters of errors, rows, firmware and modes: each number that both tell."""
    ours, theirs = (
        {gpu.pci: gpu.values for gpu in Ledger(only(host, *keys)).get(GpuHealths).gpus}
        for keys in (("probe nvml",), (form,))
    )
    assert ours.keys() == theirs.keys()
    for pci, of_nvml in ours.items():
        both = of_nvml.keys() & theirs[pci].keys()
        assert len(both) >= 20
        assert {name: of_nvml[name] for name in both} == {name: theirs[pci][name] for name in both}


def test_processes_are_those_that_nvidia_smi_lists(host: Recording) -> None:
    said = json.loads(host.answers["probe nvml processes"].data)["gpus"]
    pids = {row["pid"]: row["usedGpuMemory"] for gpu in said for row in gpu["values"]["compute"]}
    listed = Ledger(only(host, FORMS[1])).get(Gpus).listed or ()
    assert {one.pid: one.used_bytes for one in listed if one.pid in pids} == pids


def test_a_real_gpu_live_and_replayed(tmp_path: Path) -> None:
    if not Path("/proc/driver/nvidia/version").exists():
        pytest.skip("no NVIDIA GPU here: the live road is not held against its replay on a real one")
    saved = str(tmp_path / "saved.tar.gz")
    live = mlopsdoc("check", "--json", "--save", saved, "--no-redact", place=tmp_path)
    replay = mlopsdoc("check", "--json", "--from", saved, place=tmp_path)
    assert findings(replay.report()) == findings(live.report())
    assert live.report()["host"]["gpus"]
