"""Modules, ports and rates as the kernel names them."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.profile import Profile

NIC = "/sys/class/infiniband/mlx5_0"
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Release\n"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {0}  Release\n"
VERSION, KERNEL = "read /proc/driver/nvidia/version", "read /proc/sys/kernel/osrelease"
RATE, STATE, MODULES = f"read {NIC}/ports/1/rate", f"read {NIC}/ports/1/state", "read /proc/modules"


@pytest.mark.parametrize(
    ("texts", "status", "words"),
    [
        ({}, "warning", "closed module"),
        ({VERSION: OPEN.format("580.95.05")}, "ok", "dma-buf"),
        ({VERSION: OPEN.format("580.95.05"), KERNEL: "5.4.0-216-generic\n"}, "warning", "kernel 5.4.0-216-generic"),
        ({VERSION: OPEN.format("510.47.03")}, "warning", "older than 515.43"),
        ({MODULES: "nv_peer_mem 16384 0 - Live 0x0\n"}, "ok", "nv_peer_mem"),
        ({MODULES: "my_nvidia_peermem 16384 0 - Live 0x0\n"}, "warning", "is not loaded"),
        ({RATE: "56 Gb/sec (4X FDR)\n"}, "skipped", ""),
        ({RATE: "-400 Gb/sec\n"}, "skipped", ""),
        ({RATE: "\x00\n"}, "skipped", ""),
        ({STATE: "2: INIT\n"}, "skipped", ""),
        ({STATE: ""}, "skipped", ""),
    ],
)
def test_paths(texts: dict[str, str], status: str, words: str) -> None:
    recording = Recording(0.0, unlisted="absent")
    usual = {VERSION: CLOSED, KERNEL: "6.8.0-87-generic\n", MODULES: "nvidia 1 2 - Live 0x0\n"}
    usual |= {f"read {NIC}/device/uevent": "DRIVER=mlx5_core\n", STATE: "4: ACTIVE\n", RATE: "100 Gb/sec (4X EDR)\n"}
    for key, text in (usual | texts).items():
        recording.answers[key] = Answer(key, "ok", text.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["gpu_direct"]], Replay(recording), Profile())
    assert result.status.value == status, result
    assert words in " ".join(finding.summary for finding in result.findings)
