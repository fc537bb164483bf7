"""GPUs and network cards whose NUMA node is hidden, by sysfs and by what was pasted."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
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


def test_what_a_device_is_must_be_told() -> None:
    assert judged({"3b:00.0": "-1", "5e:00.0": "1"}, lspci="").status.value == "skipped"


def test_the_finding_names_both_sides() -> None:
    (found,) = judged({"3b:00.0": "-1", "5e:00.0": "1"}).findings
    assert "NIC 3b:00.0" in found.summary and "GPU 5e:00.0 at node 1" in found.summary
    assert found.covers == ["NIC 3b:00.0"]
