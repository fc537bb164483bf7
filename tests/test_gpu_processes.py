"""What /proc says of a process on a GPU, and which service it belongs to; the verdicts are snapshots."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsdoc.facts.gpu_processes import service_of
from mlopsdoc.probes import processes

STATUS = """Name:\tpython3
State:\tD (disk sleep)
Tgid:\t41231
PPid:\t41228
SigQ:\t1/1031534
SigPnd:\t0000000000000000
ShdPnd:\t{}
SigBlk:\t0000000000000100
"""


@pytest.mark.parametrize(
    ("pending", "is_killed"), [("0000000000000100", True), ("0000000000004002", False), ("0000000000000000", False)]
)
def test_a_kill_that_waits(pending: str, is_killed: bool) -> None:
    said = processes.read_status(STATUS.format(pending))
    assert said == {"state": "D", "parent": 41228, **({"killed": True} if is_killed else {})}


def test_a_status_that_is_cut_or_strange_says_what_it_has() -> None:
    assert processes.read_status("Name:\tx\nState:\tS (sle") == {"state": "S"}
    assert processes.read_status("PPid:\t-1\nSigPnd:\tnone\n") == {}
    assert processes.read_status("") == {}


def test_of_a_real_process_and_of_a_real_zombie() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    said = processes.read("/", str(child.pid))
    assert said["parent"] == os.getpid() and said["cpu_s"] >= 0 and "killed" not in said
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    dead = processes.read("/", str(child.pid))
    child.wait()
    assert dead["state"] == "Z" and dead["parent"] == os.getpid()
    assert processes.read("/", str(child.pid)) == {"gone": True}


@pytest.mark.parametrize(
    ("cgroup", "service"),
    [
        ("0::/system.slice/nvidia-dcgm.service\n", "nvidia-dcgm.service"),
        ("12:memory:/system.slice/gdm.service\n0::/\n", "gdm.service"),
        ("0::/user.slice/user-1003.slice/user@1003.service/app.slice/app-x.scope\n", ""),
        ("0::/user.slice/user-1003.slice/session-41.scope\n", ""),
        ("", ""),
    ],
)
def test_the_service_of_a_process(cgroup: str, service: str) -> None:
    assert service_of(cgroup) == service


@pytest.mark.parametrize(
    ("state", "cgroup", "shown"),
    [
        ("FROZEN", "4:memory:/docker/ab\n7:freezer:/docker/ab\n", True),
        ("FREEZING", "7:freezer:/docker/ab\n", True),
        ("THAWED", "7:freezer:/docker/ab\n", False),
        ("FROZEN", "0::/docker/ab\n", False),
        ("FROZEN", "7:freezer:/docker/other\n", False),
        ("FROZEN", "7:freezer\n", False),
    ],
)
def test_a_paused_container_of_cgroup_v1_is_told_from_one_that_hangs(
    tmp_path: Path, state: str, cgroup: str, shown: bool
) -> None:
    folder = tmp_path / "sys/fs/cgroup/freezer/docker/ab"
    folder.mkdir(parents=True)
    (folder / "freezer.state").write_text(f"{state}\n")
    assert processes.is_frozen(str(tmp_path), cgroup) == shown
