"""What the container toolkit says of itself, in other versions and damaged."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.profile import Profile

CTK, SPEC = "run nvidia-ctk --version", "read /run/cdi/nvidia.json"


@pytest.mark.parametrize(
    ("texts", "status", "words"),
    [
        ({CTK: "NVIDIA Container Toolkit CLI version 1.18.0-rc.2\n"}, "ok", "toolkit 1.18.0-rc.2"),
        ({CTK: "NVIDIA Container Toolkit CLI version 1.9.0\ncommit: 7d1\n"}, "warning", "1.9.0 is older than 1.17.8"),
        ({CTK: "\x00version \n"}, "skipped", ""),
        ({SPEC: '{"hostPath": "/usr/lib64/libcuda.so.570.172.08",\n'}, "warning", "libcuda 570.172.08"),
        ({SPEC: '{"hostPath": "/usr/lib64/libcuda.so.580.95.05",\n'}, "ok", "is of driver 580.95.05"),
        ({SPEC: '{"hostPath": "/usr/lib64/libcuda.so.1",\n'}, "skipped", ""),
        ({"read /etc/docker/daemon.json": "[1"}, "skipped", ""),
        ({"read /etc/docker/daemon.json": '{"runtimes": {"nvidia": {"path": "/usr/local/nvidia/toolkit/x"}}}'},
         "skipped", ""),
    ],
)  # fmt: skip
def test_toolkit(texts: dict[str, str], status: str, words: str) -> None:
    recording = Recording(0.0)
    texts = {
        "read /proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  R\n"
    } | texts
    for key, text in texts.items():
        recording.answers[key] = Answer(key, "ok", text.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["container_toolkit"]], Replay(recording), Profile())
    assert result.status.value == status, result
    assert words in " ".join(finding.summary for finding in result.findings)
