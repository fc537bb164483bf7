"""Of what nobody looked for it is not said that there is none."""

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.profile import Profile

NOW = 1795403400.0
XID = "[ 81.250000] NVRM: Xid (PCI:0000:43:00): 13, pid=991, name=solver, Graphics Exception\n"
TOPOLOGY = "\tGPU0\tCPU Affinity\tNUMA Affinity\nGPU0\t X \t0-31\t0\n"
QUERY = "index, name, driver_version\n0, NVIDIA L40S, 580.95.05\n"


def reason(check: str, **answers: str) -> str:
    recording = Recording(NOW, unlisted="not_captured")
    for command, text in answers.items():
        key = f"run {command}"
        recording.answers[key] = Answer(key, "ok", text.encode(), exit=0, at=NOW)
    (result,) = run([catalog.find(drop_ins=False).checks[check]], Replay(recording), Profile())
    assert result.status.value == "skipped"
    return result.reason


@pytest.mark.parametrize(
    ("check", "said"),
    [
        ("nvme_health", "no NVMe drive tells of its health here"),
        ("rdma_ports", "no RDMA device tells of its ports here"),
        ("memory_errors", "no EDAC counts of the errors of the memory are told here"),
        ("container_toolkit", "nothing tells how the NVIDIA Container Toolkit is set up here"),
        ("dcgm", "whether DCGM runs is not in this recording"),
        ("gpu_direct", "whether an RDMA NIC is up beside the GPUs is not in this recording"),
    ],
)
def test_what_nobody_looked_for_is_not_in_the_recording(check: str, said: str) -> None:
    assert reason(check, **{"nvidia-smi --query-gpu": QUERY}) == said


def test_dcgm_is_missed_in_a_list_of_packages() -> None:
    packages = "ii  nvidia-utils-580  580.95.05-0ubuntu1  amd64  NVIDIA driver support binaries\n"
    assert reason("dcgm", **{"nvidia-smi --query-gpu": QUERY, "dpkg -l": packages}) == "no DCGM"


@pytest.mark.parametrize("answers", [{"dmesg": XID}, {"nvidia-smi topo -m": TOPOLOGY}], ids=["kernel", "topology"])
@pytest.mark.parametrize("check", ["nvlink_links", "container_toolkit", "gpu_direct"])
def test_a_gpu_that_is_named_is_there(check: str, answers: dict[str, str]) -> None:
    assert reason(check, **answers) == "what the NVIDIA GPUs do is not in this recording"
