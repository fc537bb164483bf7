"""gpu_pcie beyond its snapshots: lspci whole and in part, every form of nvidia-smi, damage, thresholds."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

NOW = 1795403400.0
LINKS = "probe nvml links"
GPU = (
    "{slot} 3D controller: NVIDIA Corporation GH100 [H100 PCIe] (rev a1)\n\tCapabilities: [60] Express (v2) Endpoint\n"
)
PORT = "{slot} PCI bridge: PLX Technology PEX 8796 (rev ab)\n\tBus: primary=00, secondary={0}, subordinate={1}, sec-lat=0\n\tCapabilities: [68] Express (v2) {kind}, MSI 00\n"  # fmt: skip # noqa: E501
LINK = "\t\tLnkCap:\tPort #0, Speed {0}GT/s, Width x{1}, ASPM L1\n\t\tLnkSta:\tSpeed {2}GT/s, Width x{3}\n"
ACS = "\t\tACSCtl:\tSrcValid+ TransBlk- ReqRedir{0} CmpltRedir{0} UpstreamFwd{0} EgressCtrl- DirectTrans-\n"
FULL = LINK.format(16, 16, 16, 16)


def port(slot: str, first: str, last: str, kind: str, link: str = FULL) -> str:
    return PORT.format(first, last, slot=slot, kind=kind) + link


def switch(redirect: str, up: str = FULL, kind: str = "Downstream Port") -> str:
    """Two GPUs below the ports of one switch."""
    parts = [
        port("10:01.0", "11", "1f", "Root Port", up) + ACS.format("+"),
        port("11:00.0", "12", "1f", "Upstream Port", up),
        port("12:08.0", "13", "13", kind) + ACS.format(redirect),
        port("12:10.0", "14", "14", kind) + ACS.format(redirect),
        GPU.format(slot="13:00.0") + FULL,
        GPU.format(slot="14:00.0") + FULL,
    ]
    return "\n".join(parts)


@pytest.fixture
def host() -> Recording:
    return snapshot.load(str(Path(catalog.shipped("snapshots")) / "reference"))


def judge(host: Recording, **thresholds: Any) -> Result:
    profile = Profile(thresholds={"gpu_pcie": thresholds})
    (result,) = run([catalog.find(drop_ins=False).checks["gpu_pcie"]], Replay(host), profile)
    return result


def pasted(command: str, text: str, status: AnswerStatus = "ok") -> Result:
    recording = Recording(NOW)
    recording.answers[f"run {command}"] = Answer(f"run {command}", status, text.encode(), exit=0, at=NOW)
    return judge(recording)


def said(result: Result) -> list[str]:
    return [f"{found.status.value} {found.subject}: {found.summary}" for found in result.findings]


def test_lspci_alone_tells_of_width_and_of_redirects() -> None:
    assert pasted("lspci -vvv", switch("-")).status.value == "ok"
    found = said(pasted("lspci -vvv", switch("+")))
    assert [line.partition(": ")[0] for line in found] == ["warning PCIe port 12:08.0", "warning PCIe port 12:10.0"]
    (narrow,) = said(pasted("lspci -vvv", switch("-", up=LINK.format(16, 16, 16, 4))))
    assert narrow.startswith(
        "warning PCIe port 11:00.0: its PCIe link has 4 of 16 lanes (x4 of x16), and with it GPU 13"
    )


def test_root_ports_that_redirect_are_no_detour() -> None:
    text = port("10:01.0", "11", "11", "Root Port") + ACS.format("+") + GPU.format(slot="11:00.0") + FULL
    text += port("10:02.0", "12", "12", "Root Port") + ACS.format("+") + GPU.format(slot="12:00.0") + FULL
    assert pasted("lspci -vvv", text).status.value == "ok"


@pytest.mark.parametrize(
    ("link", "status"),
    [
        (LINK.format(32, 16, 32, 8), "warning"),
        (LINK.format(32, 16, 32, 16), "ok"),
        (LINK.format(32, 16, 2.5, "16 (ok)"), "unknown"),
        ("\t\tLnkSta:\tSpeed 8GT/s (downgraded), Width x4 (downgraded)\n", "warning"),
        ("\t\tLnkSta:\tSpeed 8GT/s (downgraded), Width x16 (ok)\n", "ok"),
    ],
)  # fmt: skip
def test_one_device_without_what_is_above(link: str, status: str) -> None:
    assert pasted("lspci -vvv", GPU.format(slot="65:00.0") + link, "truncated").status.value == status


def test_lines_of_many_devices_without_heads_are_not_judged_as_gpus() -> None:
    assert not pasted("lspci -vvv", LINK.format(8, 16, 8, 4) * 3, "truncated").status.is_alarm


@pytest.mark.parametrize("lanes", ["8x", "8"])
def test_every_form_of_nvidia_smi(lanes: str) -> None:
    text = (
        f"GPU 00000000:1B:00.0\n    Product Name : NVIDIA H100 PCIe\n    PCI\n        GPU Link Info\n"
        f"            PCIe Generation\n                Max                       : 5\n"
        f"                Current                   : 5\n                Device Max                : 5\n"
        f"            Link Width\n                Max                       : 16x\n"
        f"                Current                   : {lanes}\n"
    )
    csv = f"pci.bus_id, pcie.link.width.current, pcie.link.width.max\n00000000:1B:00.0, {lanes[0]}, 16\n"
    xml = (
        '<gpu id="00000000:1B:00.0"><product_name>NVIDIA A30</product_name><pci><pci_gpu_link_info><pcie_gen>'
        "<max_link_gen>4</max_link_gen><current_link_gen>4</current_link_gen></pcie_gen><link_widths><max_link_width>"
        f"16x</max_link_width><current_link_width>{lanes}</current_link_width></link_widths></pci_gpu_link_info></pci></gpu>"
    )
    for command, output in (("-q", text), ("--query-gpu", csv), ("-q -x", xml)):
        found, *_ = said(pasted(f"nvidia-smi {command}", output))
        assert found.startswith("warning GPU ") and "8 of 16 lanes" in found


@pytest.mark.parametrize("word", ["N/A", "[N/A]", "[Unknown Error]", "", "3x", "99999999"])
def test_what_is_no_width_is_no_alarm(word: str) -> None:
    csv = f"pci.bus_id, pcie.link.width.current, pcie.link.width.max\n00000000:1B:00.0, {word}, 16\n"
    assert pasted("nvidia-smi --query-gpu", csv).status.value in ("skipped", "unknown")


@pytest.mark.parametrize(
    ("fields", "values", "status"),
    [
        ("width.current", "4", "skipped"),
        ("width.current, pcie.link.gen.current, pcie.link.gen.max", "16, 4, 4", "skipped"),
        ("width.current, pcie.link.width.max", "4, [N/A]", "ok"),
        ("width.current, pcie.link.width.max", "4, 16", "warning"),
        ("width.current, pcie.link.width.max", "16, 16", "ok"),
        ("width.current, pcie.link.width.max, pcie.link.gen.current, pcie.link.gen.max", "16, 16, 2, 4", "unknown"),
        ("width.current, pcie.link.width.max, pcie.link.gen.current, pcie.link.gen.max", "16, 16, 4, 4", "ok"),
        (
            "width.current, pcie.link.width.max, pcie.link.gen.current, pcie.link.gen.max, utilization.gpu",
            "16, 16, 2, 4, 3 %",
            "ok",
        ),
    ],
)
def test_a_link_is_well_only_by_what_it_can_and_by_its_load(fields: str, values: str, status: str) -> None:
    csv = f"index, pcie.link.{fields}\n0, {values}\n"
    assert pasted("nvidia-smi --query-gpu", csv).status.value == status


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"gpus": [{"pci": 7, "values": []}]}'])
def test_a_damaged_answer_is_never_an_alarm(host: Recording, data: bytes) -> None:
    host.answers[LINKS] = Answer(LINKS, "ok", data, at=NOW)
    assert not judge(host).status.is_alarm


def test_a_refused_link_is_unknown(host: Recording) -> None:
    for key in [key for key in host.answers if "_link_" in key]:
        del host.answers[key]
    data = json.loads(host.answers[LINKS].data)
    for name in ("pcie_width", "pcie_max_width"):
        del data["gpus"][2]["values"][name]
        data["gpus"][2]["errors"][name] = 999
    host.answers[LINKS] = Answer(LINKS, "ok", json.dumps(data).encode(), at=NOW)
    assert said(judge(host)) == ["unknown GPU 2 (9b:00.0): its PCIe link: NVML 999: an unknown error of the driver"]


@pytest.mark.parametrize(("name", "status"), [("NVIDIA GH200 480GB", "ok"), ("NVIDIA H100 80GB HBM3", "warning")])
def test_superchips_copy_over_nvlink(name: str, status: str) -> None:
    csv = "index, name, pci.bus_id, pcie.link.width.max, pcie.link.width.current\n0, {}, 00000009:01:00.0, 16, 1\n"
    result = pasted("nvidia-smi --query-gpu", csv.format(name))
    assert [found.status.value for found in result.findings if found.code == "width"] == [status]


def test_a_gpu_of_which_a_cut_output_says_nothing_is_unknown() -> None:
    query = (
        "Attached GPUs                             : 2\n"
        "GPU 00000000:1B:00.0\n    Product Name                          : NVIDIA H100 80GB HBM3\n    PCI\n"
        "        GPU Link Info\n            PCIe Generation\n                Max                       : 5\n"
        "                Current                   : 5\n            Link Width\n"
        "                Max                       : 16x\n                Current                   : 16x\n"
        "    Temperature\n        GPU Current Temp                  : 41 C\n"
        "GPU 00000000:43:00.0\n    Product Name                          : NVIDIA H100 80GB HBM3\n    PCI\n"
    )
    result = pasted("nvidia-smi -q", query, "truncated")
    assert result.status.value == "unknown"
    assert [f.subject for f in result.findings] == ["GPU 1 (43:00.0)"]
