"""The ways to GPUs and NICs: the matrix of nvidia-smi, and the drawing; the verdicts are snapshots."""

from pathlib import Path

import pytest

from mlopsdoc import catalog, engine
from mlopsdoc.facts.nvlink import NvLinks
from mlopsdoc.facts.topology import Topology
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile
from mlopsdoc.report.topology import drawn, marks

from .program import mlopsdoc

SNAPSHOTS = Path(catalog.shipped("snapshots"))
KEY = "run nvidia-smi topo -m"


def matrix(near: dict[int, int], gpus: int = 8, nics: int = 8) -> str:
    """GPU n is below the switch of NIC near[n]."""
    names = [f"GPU{n}" for n in range(gpus)] + [f"NIC{n}" for n in range(nics)]
    pairs = {(f"GPU{gpu}", f"NIC{nic}") for gpu, nic in near.items()}
    lines = ["\t" + "\t".join([*names, "CPU Affinity", "NUMA Affinity", "GPU NUMA ID"])]
    for row in names:
        cells = [
            "X" if row == other
            else "NV18" if row[0] == other[0] == "G"
            else "PIX" if (row, other) in pairs or (other, row) in pairs
            else "SYS"
            for other in names
        ]  # fmt: skip
        lines.append("\t".join([row, *cells, "0-55,112-167" if row[0] == "G" else "", "0" if row[0] == "G" else ""]))
    return "\n".join(lines) + "\n\nLegend:\n\n  X    = Self\n"


def judged(text: str, status: AnswerStatus = "ok") -> Result:
    host = Recording(0.0, unlisted="not_captured")
    host.complete = False
    host.answers[KEY] = Answer(KEY, status, text.encode())
    (result,) = engine.run([catalog.find(drop_ins=False).checks["topology"]], Replay(host), Profile())
    return result


def test_a_matrix_in_which_every_gpu_has_its_card() -> None:
    assert judged(matrix({n: n for n in range(8)})).status.value == "ok"


def test_where_there_is_no_card_there_is_nothing_to_judge() -> None:
    assert judged(matrix({}, nics=0)).status.value == "skipped"


def test_a_matrix_in_which_one_gpu_has_none() -> None:
    result = judged(matrix({n: n for n in range(8) if n != 5}))
    (finding,) = result.findings
    assert (finding.status.value, finding.subject) == ("warning", "GPU 5")
    assert "the other 7 GPUs do" in finding.summary


@pytest.mark.parametrize(
    "near",
    [
        {0: 0, 1: 0, 2: 1, 3: 1},  # cards on one side
        {0: 0, 2: 1, 4: 2, 6: 3},  # every second GPU
        {n: n for n in range(6)},  # two are left over
        {},
    ],
)
def test_servers_that_are_made_so(near: dict[int, int]) -> None:
    assert judged(matrix(near)).status.value == "ok"


@pytest.mark.parametrize(
    "text", ["", "GPU0\n", matrix({n: n for n in range(7)})[:400], "\tGPU0\tCPU Affinity\nGPU1\tX\n"]
)
def test_what_is_cut_or_strange_tells_nothing(text: str) -> None:
    assert judged(text, "truncated").status.value == "skipped"


def drawing(name: str, width: int = 80) -> list[str]:
    ledger = engine.Ledger(Replay(snapshot.load(str(SNAPSHOTS / name))))
    results = list(engine.judge(catalog.find(drop_ins=False).checks.values(), ledger, Profile()))
    return drawn(ledger.get(Topology), ledger.known(NvLinks), marks(results), width)


def test_the_drawing_of_a_switch_with_narrow_lanes() -> None:
    assert drawing("gpu_pcie_upstream")[:8] == [
        "NUMA node 0",
        "+- PCIe root pci0000:17",
        "   +- port 17:01.0",
        "      +- switch 18:00.0  Gen5 x8",
        "         <== its PCIe link has 8 of 16 lanes (x8 of x16), and with it GPU 0",
        "             (1b:00.0), GPU 1 (43:00.0): 50 % of the bandwidth",
        "         +- GPU 0 (1b:00.0)  Gen5 x16  NVLink 18 of 18",
        "         +- GPU 1 (43:00.0)  Gen5 x16  NVLink 18 of 18",
    ]


@pytest.mark.parametrize("name", ["reference", "topology_nic_missing", "topology_paired", "gpu_pcie_acs"])
@pytest.mark.parametrize("width", [40, 80])
def test_no_drawing_is_wider_than_asked_or_more_than_ascii(name: str, width: int) -> None:
    lines = drawing(name, width)
    assert all(len(line) <= width and line.isascii() for line in lines)
    assert sum("+- GPU" in line for line in lines) == 4


def test_explain_draws_a_recording_with_the_sick_link_marked(tmp_path: Path) -> None:
    said = mlopsdoc("explain", "nvlink_links", "--from", str(SNAPSHOTS / "nvlink_links_one_down"), place=tmp_path)
    assert said.code == 0 and "<== 1 of 18 NVLinks is down (4)" in said.out
    untold = mlopsdoc("explain", "topology", "--from", str(SNAPSHOTS / "zfs_full"), place=tmp_path)
    assert untold.out.endswith("\nno drawing: the way to the GPUs is not told here\n")
    assert "PCIe root" not in mlopsdoc("explain", "disk_space", place=tmp_path).out
