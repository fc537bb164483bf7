"""GPUs and network cards whose NUMA node is hidden, by sysfs and by what was pasted."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.pasted import transcript
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

LSPCI = """3b:00.0 Infiniband controller: Mellanox Technologies MT28908 Family [ConnectX-6]
5e:00.0 3D controller: NVIDIA Corporation GA100 [A100 SXM4 80GB] (rev a1)
61:00.0 Ethernet controller: Intel Corporation Ethernet Controller X710
"""


def judged(nodes: dict[str, str], *, count: int = 2, lspci: str = LSPCI) -> Result:
    recording = Recording(1795403400.0)
    said = {f"read /sys/bus/pci/devices/0000:{slot}/numa_node": f"{node}\n" for slot, node in nodes.items()}
    said |= {"run lscpu": f"Socket(s): {count}\nNUMA node(s): {count}\n", "run lspci": lspci}
    recording.answers = {key: Answer(key, "ok", text.encode()) for key, text in said.items()}
    return next(iter(run([catalog.find(drop_ins=False).checks["numa_topology"]], Replay(recording), Profile())))


@pytest.mark.parametrize(
    ("nodes", "count", "status"),
    [
        ({"3b:00.0": "-1", "5e:00.0": "1"}, 2, "warning"),
        ({"3b:00.0": "0", "5e:00.0": "-1"}, 2, "warning"),
        ({"3b:00.0": "0", "5e:00.0": "1", "61:00.0": "-1"}, 2, "ok"),
        ({"3b:00.0": "-1", "5e:00.0": "-1"}, 2, "skipped"),
        ({"3b:00.0": "-1", "5e:00.0": "0"}, 1, "skipped"),
        ({"3b:00.0": "-1"}, 2, "skipped"),
        ({"3b:00.0": "cat: No such file", "5e:00.0": "1"}, 2, "skipped"),
    ],
)
def test_nodes_that_were_pasted(nodes: dict[str, str], count: int, status: str) -> None:
    assert judged(nodes, count=count).status.value == status


def test_devices_that_somebody_picked_count_as_they_are() -> None:
    """Nothing tells what they are. With one of bus 0 all were read, and not for a reason."""
    picked = {"3b:00.0": "-1", "5e:00.0": "1"}
    (found,) = judged(picked, lspci="").findings
    assert found.status.value == "warning" and "of PCI device 3b:00.0, on a host" in found.summary
    assert "if these are GPUs and network cards, NCCL" in found.summary
    assert judged({"00:1f.2": "-1", **picked}, lspci="").status.value == "skipped"


def test_nodes_that_were_listed() -> None:
    text = """root@vm:~# for d in 0000:27:00.0 0000:2a:00.0; do cat /sys/bus/pci/devices/$d/numa_node; done
0
-1
root@vm:~# ls -d /sys/devices/system/node/node*
/sys/devices/system/node/node0
{}root@vm:~#
"""
    check = catalog.find(drop_ins=False).checks["numa_topology"]
    for second, status in (("/sys/devices/system/node/node1\n", "warning"), ("", "skipped")):
        recording = transcript.parse(text.format(second))
        assert next(iter(run([check], Replay(recording), Profile()))).status.value == status


def test_the_finding_names_both_sides() -> None:
    (found,) = judged({"3b:00.0": "-1", "5e:00.0": "1"}).findings
    assert "NIC 3b:00.0" in found.summary and "GPU 5e:00.0 at node 1" in found.summary
    assert found.covers == ["NIC 3b:00.0"]
