"""Versions that dcgmi prints, and services in other people's recordings."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.profile import Profile

OLD = "Version : 3.3.5\nBuild ID : 14\nBuild Type : Release\n"
BOTH = "Local build info:\nVersion : {0}\nBuild ID : 1\n\nHostengine build info:\nVersion : {1}\nBuild ID : 1\n"
SERVICE = (
    "nvidia-dcgm.service - DCGM\n   Loaded: loaded (/lib/systemd/system/nvidia-dcgm.service; {0})\n   Active: {1}\n"
)


@pytest.mark.parametrize(
    ("texts", "status", "words"),
    [
        ({"run dcgmi -v": OLD}, "ok", "DCGM 3.3.5"),
        ({"run dcgmi -v": BOTH.format("4.4.1", "4.4.1")}, "ok", "DCGM 4.4.1"),
        ({"run dcgmi -v": BOTH.format("4.4.1", "4.2.3")}, "warning", "host engine 4.2.3 still runs"),
        ({"run dcgmi -v": BOTH.format("4.4.1", "\x00")}, "ok", "DCGM 4.4.1"),
        ({"run dcgmi -v": "Version : \nVersion\n"}, "skipped", ""),
        (
            {"run systemctl status nvidia-dcgm": SERVICE.format("enabled", "failed (Result: signal)")},
            "warning",
            "signal",
        ),
        ({"run systemctl status nvidia-dcgm": SERVICE.format("enabled", "active (running)")}, "ok", "active"),
        ({"run systemctl status nvidia-dcgm": SERVICE.format("disabled", "inactive (dead)")}, "ok", "inactive"),
        ({"run dpkg -l": "ii  datacenter-gpu-manager 1:3.3.5 amd64 DCGM\n"}, "ok", "DCGM 3.3.5"),
    ],
)
def test_states(texts: dict[str, str], status: str, words: str) -> None:
    recording = Recording(0.0)
    loaded = {"read /proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  R\n"}
    for key, text in (loaded | texts).items():
        recording.answers[key] = Answer(key, "ok", text.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["dcgm"]], Replay(recording), Profile())
    assert result.status.value == status, result
    assert words in " ".join(finding.summary for finding in result.findings)
