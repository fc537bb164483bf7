"""Versions of the driver, and what processes have loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsdoc.authoring import NothingHere
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_versions import branch_of, is_older, is_same, may_be, numbers
from mlopsdoc.facts.machine import Machine
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.probes import mapped
from tests.program import mlopsdoc


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("535.104.05", "535.104.5", True),
        ("580.95", "580.95.00", True),
        ("570.124.04", "570.124.06", False),
        ("", "", False),
        ("unknown", "unknown", False),
        ("580.95.05", "580.95.05\n", True),
    ],
)
def test_same_versions(one: str, other: str, same: bool) -> None:
    assert is_same(one, other) is same


def test_versions_compare_by_number() -> None:
    assert is_older("535.86.09", "535.104.05")
    assert not is_older("535.104.05", "535.86.09")
    assert not is_older("", "535.86.09")
    assert may_be("570.124", "570.124.06")
    assert not may_be("570.12", "570.124.06")
    assert numbers("1." * 40) == numbers("9" * 400) == ()


def test_branches() -> None:
    branch = branch_of("535.183.01")
    assert branch is not None and (branch.cuda, branch.ended) == ("12.2", "2026-06")
    assert branch_of("590.48.01").ended == ""  # type: ignore[union-attr]
    assert branch_of("999.1") is None


def driver(text: str, *form: str, status: str = "ok") -> Driver:
    recording = Recording(0.0)
    key = " ".join(("run nvidia-smi", *form))
    recording.answers[key] = Answer(key, status, text.encode())  # type: ignore[arg-type]
    host = Replay(recording)
    return Driver.read(host, Machine.read(host, None), None)


def test_part_of_a_version_is_what_nvidia_smi_says() -> None:
    found = driver("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 565.57\n")
    assert (found.code, found.nvml.version, found.loaded.version) == (18, "565.57", "")


@pytest.mark.parametrize(
    "header",
    [
        "| NVIDIA-SMI 550.90.07    Driver Version: 550.90.07    CUDA Version: 12.4     |",
        "| NVIDIA-SMI 550.90.07    KMD Version: 550.90.07    CUDA UMD Version: 12.4     |",
    ],
)
def test_header_alone(header: str) -> None:
    found = driver(header + "\n", status="truncated")
    assert (found.code, found.loaded.version, found.cuda.version) == (0, "550.90.07", "12.4")


def test_cuda_above_the_driver_on_a_geforce(tmp_path: Path) -> None:
    text = (
        "$ nvidia-smi | head -12\n"
        "| NVIDIA-SMI 525.147.05   Driver Version: 525.147.05   CUDA Version: 12.6     |\n"
        "|   0  NVIDIA GeForce RTX 3090   Off  | 00000000:01:00.0 Off |                  N/A |\n"
    )
    (tmp_path / "pasted.txt").write_text(text)
    said = mlopsdoc("check", "driver_stack", "--json", "--from", str(tmp_path / "pasted.txt"), place=tmp_path)
    finding = said.check("driver_stack")["findings"][0]
    assert (finding["status"], finding["code"]) == ("critical", "compat")
    assert "12.6" in finding["summary"] and "525.147.05" in finding["summary"] and "12.0" in finding["summary"]


@pytest.mark.parametrize("text", ["", "\x00\xff", "580.95.05 " * 1000, "Kernel Module  ..", "-1.2"])
def test_hostile_versions_say_nothing(text: str) -> None:
    recording = Recording(0.0, unlisted="absent")
    recording.answers["read /sys/module/nvidia/version"] = Answer(
        "read /sys/module/nvidia/version", "ok", text.encode()
    )
    host = Replay(recording)
    with pytest.raises(NothingHere):
        Driver.read(host, Machine.read(host, None), None)


def test_what_a_process_has_loaded(tmp_path: Path) -> None:
    """A real process that maps a file of that name, installed by two wheels."""
    library = tmp_path / "site-packages/nvidia/nccl/lib/libnccl.so.2"
    library.parent.mkdir(parents=True)
    library.write_bytes(bytes(4096))
    for name in ("nvidia_nccl_cu12-2.27.3.dist-info", "nvidia-nccl-cu13-2.28.9.dist-info", "numpy-2.0.dist-info"):
        (tmp_path / "site-packages" / name).mkdir()
    code = (
        "import mmap, sys; file = open(sys.argv[1], 'rb'); m = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ); "
        "print('mapped', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(library)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"mapped\n"
        said = mapped.read("/", str(process.pid))
        os.replace(library, f"{library}.old")
        os.unlink(f"{library}.old")
        later = mapped.read("/", str(process.pid))
        process.communicate(b"")
    wheels = ["nvidia_nccl_cu12-2.27.3", "nvidia_nccl_cu13-2.28.9"]
    assert said == {"libraries": [{"path": str(library), "deleted": False, "wheels": wheels}]}
    assert later["libraries"][0]["deleted"] is True
    assert json.dumps(said)
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        mapped.read("/", str(process.pid))


@pytest.mark.parametrize(
    "log",
    [
        (
            "[  88.1] NVRM: API mismatch: the client has the version 535.183.01, but\n"
            "[  88.1] NVRM: this kernel module has the version 535.161.08.  Please\n"
            "[  88.1] NVRM: make sure that this kernel module and all NVIDIA driver\n"
        ),
        (
            "Nov 20 03:11:07 n4 kernel: NVRM: API mismatch: the client 'nvidia-smi' (pid 20341)\n"
            "Nov 20 03:11:07 n4 kernel: NVRM: has the version 535.183.01, but this kernel module has\n"
            "Nov 20 03:11:07 n4 kernel: NVRM: the version 535.161.08.  Please make sure that this\n"
        ),
    ],
)
def test_kernel_log_names_both_versions(log: str) -> None:
    recording = Recording(0.0)
    for key, text in {"run dmesg": log, "read /proc/driver/nvidia/version": ""}.items():
        recording.answers[key] = Answer(key, "ok", text.encode())
    host = Replay(recording)
    found = Driver.read(host, Machine.read(host, None), None)
    assert (found.code, found.nvml.version, found.loaded.version) == (18, "535.183.01", "535.161.08")


@pytest.mark.parametrize(
    "log", ["NVRM: API mismatch: ", "NVRM: API mismatch: the client has the version 535.183.01, but"]
)
def test_half_a_message_says_nothing(log: str) -> None:
    recording = Recording(0.0)
    recording.answers["run dmesg"] = Answer("run dmesg", "truncated", log.encode())
    host = Replay(recording)
    with pytest.raises(NothingHere):
        Driver.read(host, Machine.read(host, None), None)
