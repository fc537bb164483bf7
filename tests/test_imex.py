"""imex beyond its snapshots: pasted output, a host that just booted, damaged tables."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.profile import Profile

NOW = 1795403400.0
NODES = {"read /etc/nvidia-imex/nodes_config.cfg": "10.114.3.17\n10.114.3.18\n"}
READY = "Node #0   - 10.114.3.17   - READY   - Version: 580.95\n"
LOST = "Node #1   * 10.114.3.18   - UNAVAILABLE   - Version: \n"
TABLE = " Nodes From\\To  0   1\n   0   C   !M!\n"
SERVICE = "nvidia-imex.service - IMEX\n   Loaded: loaded (/lib/x.service; {0})\n   Active: {1}\n"


def judged(texts: dict[str, str]) -> tuple[str, str]:
    recording = Recording(NOW)
    for key, text in texts.items():
        recording.answers[key] = Answer(key, "ok", text.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["imex"]], Replay(recording), Profile())
    return result.status.value, " ".join(finding.summary for finding in result.findings)


@pytest.mark.parametrize(
    ("said", "status", "words"),
    [
        (f"{READY}Domain State: UP\n", "ok", "is UP"),
        (f"{READY}{LOST}Domain State: DEGRADED\n", "warning", "10.114.3.18 is UNAVAILABLE"),
        (f"{LOST * 6}Domain State: DOWN\n", "critical", "and 2 more"),
        (f"{READY}{TABLE}Domain State: UP\n", "warning", "another list of nodes"),
        ("Domain State: SLEEPING\n", "warning", "SLEEPING"),
        ("!V! - Version mismatch, communication disabled.\nDomain State: UP\n", "ok", "UP"),
        (f"{READY}{TABLE}", "skipped", ""),
        ("Domain State:\nNode\nNode #\nNodes From\n", "skipped", ""),
    ],
)
def test_what_its_tool_says(said: str, status: str, words: str) -> None:
    got, text = judged({"run nvidia-imex-ctl -N": said})
    assert (got, words in text) == (status, True)
    if status == "skipped":  # with its list of nodes it is known to be here
        assert judged(NODES | {"run nvidia-imex-ctl -N": said})[0] == "unknown"


@pytest.mark.parametrize(
    ("state", "active", "status"),
    [
        ("enabled", "failed (Result: exit-code)", "critical"),
        ("disabled", "inactive (dead)", "ok"),
        ("enabled", "inactive (dead)", "warning"),
        ("enabled", "active (running)", "ok"),
    ],
)
def test_its_service_in_recordings_of_others(state: str, active: str, status: str) -> None:
    texts = NODES | {"run systemctl status nvidia-imex": SERVICE.format(state, active)}
    assert judged(texts)[0] == status
    booted = texts | {"read /proc/stat": f"btime {int(NOW) - 60}\n"}
    assert judged(booted)[0] == ("critical" if status == "critical" else "ok")


def test_one_address_is_no_domain() -> None:
    assert judged({"read /etc/nvidia-imex/nodes_config.cfg": "# nodes\n10.114.3.17\n"})[0] == "skipped"
