"""nvlink_links and nvlink_errors beyond their snapshots: thresholds at their edges, pasted output, silent hosts."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import catalog
from mlopsdoc.authoring import Hardware
from mlopsdoc.engine import run
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

LINKS = "probe nvml links"
NOW = 1795403400.0


@pytest.fixture
def host() -> Recording:
    return snapshot.load(str(Path(catalog.shipped("snapshots")) / "reference"))


def judge(host: Recording, id: str = "nvlink_links", **thresholds: Any) -> Result:
    checks = [catalog.find(drop_ins=False).checks[id]]
    (result,) = run(checks, Replay(host), Profile(thresholds={id: thresholds}))
    return result


def table(host: Recording) -> Any:
    return json.loads(host.answers[LINKS].data)


def put(host: Recording, data: Any) -> None:
    host.answers[LINKS] = Answer(LINKS, "ok", json.dumps(data).encode(), at=NOW)


def earlier(host: Recording, seconds: float) -> None:
    host.before = Recording(NOW - seconds, unlisted="absent")
    host.before.answers[LINKS] = Answer(LINKS, "ok", host.answers[LINKS].data, at=NOW - seconds)


def grow(host: Recording, seconds: float, **counts: int) -> None:
    earlier(host, seconds)
    data = table(host)
    data["gpus"][0]["links"][4]["values"] |= counts
    put(host, data)


@pytest.mark.parametrize(
    ("seconds", "counts", "status"),
    [
        (300, {"replay": 4}, "ok"),
        (300, {"replay": 5}, "warning"),
        (20, {"recovery": 1}, "warning"),
        (86000, {"replay": 1000}, "ok"),
        (300, {"crc": 29999}, "ok"),
        (300, {"crc": 30000}, "warning"),
    ],
)
def test_errors_count_by_their_rate(host: Recording, seconds: float, counts: dict[str, int], status: str) -> None:
    grow(host, seconds, **counts)
    assert judge(host, "nvlink_errors").status.value == status


def test_symbol_errors_count_by_growth_alone(host: Recording) -> None:
    for then, status in ((4021, "ok"), (4016, "warning")):
        data = table(host)
        data["gpus"][0]["links"][4]["values"] |= {"symbol": then, "symbol_ber": 2318}
        put(host, data)
        grow(host, 300, symbol=4021)
        assert judge(host, "nvlink_errors").status.value == status


def test_rates_are_thresholds(host: Recording) -> None:
    grow(host, 300, replay=50)
    assert judge(host, "nvlink_errors").status.value == "warning"
    assert judge(host, "nvlink_errors", events_per_min=11.0).status.value == "ok"


@pytest.mark.parametrize(
    ("uptime", "status"), [(150, "skipped"), (299, "skipped"), (301, "critical"), (-9, "critical")]
)
def test_links_may_train_after_boot(host: Recording, uptime: int, status: str) -> None:
    host.answers["read /proc/stat"] = Answer("", "ok", f"btime {int(NOW) - uptime}\n".encode())
    data = table(host)
    for gpu in data["gpus"]:
        for link in gpu["links"]:
            link["values"] = {"state": 0}
    put(host, data)
    result = judge(host)
    assert result.status.value == status
    assert "training" in result.reason or status == "critical"


@pytest.mark.parametrize("state", [1, 2, 3])
def test_a_link_that_sleeps_is_up(host: Recording, state: int) -> None:
    data = table(host)
    data["gpus"][0]["links"][0]["values"]["state"] = state
    put(host, data)
    assert judge(host).status.value == "ok"


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b'{"gpus": 3}',
        b'{"gpus": [[1], {"links": 7}]}',
        b'{"gpus": [{"links": [{"link": "x", "values": []}]}]}',
        b"{",
    ],
)
def test_a_hostile_answer_is_never_ok(host: Recording, text: bytes) -> None:
    host.answers[LINKS] = Answer(LINKS, "ok", text)
    assert "ok" not in (judge(host).status.value, judge(host, "nvlink_errors").status.value)


HEAD = "GPU {n}: {name} (UUID: GPU-0b8e4c6d-92fa-4137-8e5c-d7a3f190{n:04})\n"
UP, DOWN = "\t Link {l}: 26.562 GB/s\n", "\t Link {l}: <inactive>\n"
FAILED = "NVML: Unable to retrieve NVLink information as all links are inActive\n"


def status_text(name: str, *down: tuple[int, int], gpus: int = 4, links: int = 18) -> str:
    return "".join(
        HEAD.format(n=n, name=name)
        + "".join((DOWN if (n, link) in down else UP).format(l=link) for link in range(links))
        for n in range(gpus)
    )


def pasted(status: AnswerStatus = "ok", id: str = "nvlink_links", **texts: str) -> Result:
    host = Recording(NOW, unlisted="not_captured")
    host.complete = False
    for option, text in texts.items():
        key = f"run nvidia-smi {'-L' if option == 'L' else f'nvlink -{option}'}"
        host.answers[key] = Answer(key, status, text.encode())
    return judge(host, id)


def test_pasted_status() -> None:
    assert pasted(s=status_text("NVIDIA H100 80GB HBM3")).status.value == "ok"
    result = pasted(s=status_text("NVIDIA H100 80GB HBM3", (2, 7), (2, 8)))
    (down,) = [finding for finding in result.findings if finding.status.is_alarm]
    assert (down.status.value, down.subject) == ("critical", "GPU 2")
    assert "2 of 18 NVLinks are down (7-8)" in down.summary


def test_a_part_of_the_status_proves_no_absence() -> None:
    cut = status_text("NVIDIA H100 80GB HBM3")[:700]
    assert pasted("truncated", s=cut).status.value == "ok"


def test_a_name_within_a_name_is_another_board() -> None:
    text = status_text("NVIDIA GH200 480GB", *((0, link) for link in range(18)), gpus=1)
    assert pasted(s=text).status.value == "skipped"


def test_all_links_inactive() -> None:
    sxm = "".join(HEAD.format(n=n, name="NVIDIA H100 80GB HBM3") + FAILED for n in range(8))
    assert pasted(s=sxm).status.value == "warning"  # MIG would explain it, and is not told
    mig = "".join(
        HEAD.format(n=n, name="NVIDIA H100 80GB HBM3") + "  MIG 3g.40gb Device 0: (UUID: x)\n" for n in range(8)
    )
    assert pasted(s=sxm, L=mig).status.value == "skipped"
    assert pasted(s=sxm, L=mig.replace("MIG", "x")).status.value == "warning"
    assert pasted(s=HEAD.format(n=0, name="NVIDIA A100 80GB PCIe") + FAILED).status.value == "skipped"
    assert pasted(s=FAILED).status.value == "unknown"


def test_pasted_errors_are_notes() -> None:
    text = HEAD.format(n=0, name="NVIDIA H100 80GB HBM3") + "\t Link 3: Replay Errors: 17\n\t Link 3: CRC Errors: 0\n"
    result = pasted(id="nvlink_errors", s=status_text("NVIDIA H100 80GB HBM3"), e=text)
    assert result.status.value == "ok"
    assert any("17 replays on NVLink 3" in finding.summary for finding in result.findings)


@pytest.mark.parametrize(
    "text", ["", "GPU 0: x\n", "Link 3: 1 GB/s\n", "GPU 0: x\n\t Link 99999: 1 GB/s\n\t Link 1: 1e9 GB/s\n"]
)
def test_damaged_text_is_never_ok(text: str) -> None:
    assert pasted(s=text).status.value in ("skipped", "unknown")


QUERY = """\
Attached GPUs                             : {count}
{gpus}"""
GPU = """\
GPU 00000000:{bus}:00.0
    Product Name                          : {name}
    MIG Mode
        Current                           : {mig}
        Pending                           : {mig}
    Fabric
        State                             : {state}
        Status                            : {status}
        CliqueId                          : {clique}
        ClusterUUID                       : 00000000-0000-0000-0000-000000000000
        Health
            Bandwidth                     : {bandwidth}
            Route Recovery in progress    : False
            Route Unhealthy               : False
            Access Timeout Recovery       : False
"""
BUSES = ("1B", "43", "52", "61", "9B", "BA", "C3", "D1")


def queried(buses: tuple[str, ...] = BUSES, **about: str) -> str:
    plain = {"name": "NVIDIA H200", "mig": "Disabled", "state": "Completed", "status": "Success", "clique": "0"}
    said = plain | {"bandwidth": "Full"} | about
    return QUERY.format(count=len(buses), gpus="".join(GPU.format(bus=bus, **said) for bus in buses))


@pytest.mark.parametrize(
    ("text", "status", "words"),
    [
        (queried(), "ok|skipped", ""),
        (queried(state="In Progress", status="N/A", bandwidth="N/A"), "critical", "of 8 GPUs (GPU 0 (1b:00.0), "),
        (queried(status="Insufficient Resources"), "critical", "NVML 23: resources were insufficient"),
        (queried(status="Unknown Error"), "critical", "NVML 999"),
        (queried(status="something new"), "critical", "could not be set up"),
        (queried(bandwidth="Degraded"), "warning", "bandwidth is degraded"),
        (queried(BUSES[:4], name="NVIDIA H100 80GB HBM3", state="N/A", status="N/A", clique="N/A"), "ok|skipped", ""),
        (queried(BUSES[:4], name="NVIDIA GB200", state="In Progress"), "critical", "is still being set up"),
        (queried(BUSES[:4], name="NVIDIA GB200", clique="4"), "ok|skipped", ""),
        (queried(BUSES[:4], name="NVIDIA GB200", state="N/A", clique="N/A"), "ok|skipped", ""),
        (queried(BUSES[:1], name="NVIDIA H100 NVL", state="In Progress"), "unknown", "although no NVSwitch was seen"),
        (
            queried(BUSES[:4], clique="3") + queried(BUSES[4:], clique="5").partition("\n")[2],
            "warning",
            "is split (4 in clique 3, 4 in clique 5)",
        ),
    ],
)
def test_fabric_of_a_query(text: str, status: str, words: str) -> None:
    host = Recording(NOW, unlisted="not_captured")
    host.answers["run nvidia-smi -q"] = Answer("run nvidia-smi -q", "ok", text.encode())
    result = judge(host)
    assert result.status.value in status.split("|")
    assert not words or words in "\n".join(finding.summary for finding in result.findings)


def test_dark_links_are_of_the_gpus_that_are_listed() -> None:
    """`nvlink -s` names no GPU where all links are down."""
    host = Recording(NOW, unlisted="not_captured")
    for key, text in {"run nvidia-smi nvlink -s": FAILED, "run nvidia-smi -q": queried(state="N/A")}.items():
        host.answers[key] = Answer(key, "ok", text.encode())
    (finding,) = judge(host).findings
    assert finding.status.value == "critical" and "any of the 8 GPUs is up, their boards have 18" in finding.summary
    key = "run nvidia-smi -q"
    host.answers[key] = Answer(key, "ok", queried(state="N/A", name="NVIDIA B300 SXM6 AC").encode())
    assert "8 GPUs is up, and SXM boards have them wired" in judge(host).findings[0].summary
    for other in (queried(mig="Enabled"), queried(name="NVIDIA A100 80GB PCIe"), queried(name="NVIDIA L40S")):
        host.answers[key] = Answer(key, "ok", other.replace("Completed", "N/A").encode())
        assert judge(host).status.value == "skipped"


def test_one_gpu_whose_links_are_dark_beside_others() -> None:
    name = "NVIDIA H200"
    result = pasted(s=status_text(name, gpus=3) + HEAD.format(n=3, name=name) + FAILED)
    (finding,) = result.findings
    assert (finding.status.value, finding.subject) == ("warning", "GPU 3")
    assert "none of its 18 NVLinks is up (unless it is in MIG mode" in finding.summary
    name = "NVIDIA H100 NVL"
    result = pasted(s=status_text(name, gpus=2, links=12) + HEAD.format(n=2, name=name) + FAILED)
    assert result.status.value == "ok"  # no bridge is fitted


def test_one_card_without_its_bridge(host: Recording) -> None:
    """Of bridged pairs one card may be left over; where their number says that none is, it is the one that is dark."""
    data = table(host)
    gpus = data["gpus"]
    for gpu in gpus:
        gpu["pci"] = gpu["pci"].replace("0000:", "0001:")  # no board is known
    dark = json.loads(json.dumps(gpus[3]).replace('"state": 1', '"state": 0').replace("0001:c3", "0001:c4"))
    put(host, data | {"gpus": [*gpus, dark]})
    assert judge(host).status.value == "ok"
    put(host, data | {"gpus": [*gpus[:3], dark]})
    assert judge(host).status.value == "warning"
    for gpu in gpus:
        gpu["values"]["virtualization"] = 1
    assert judge(host).status.value == "warning"
    put(host, data | {"gpus": [*gpus[:3], dark | {"values": {"virtualization": 1}}]})
    assert judge(host).status.value == "ok"


def test_a_profile_knows_how_many_links(host: Recording) -> None:
    data = table(host)
    for gpu in data["gpus"]:
        gpu["pci"] = gpu["pci"].replace("0000:", "0001:")
        gpu["links"] = gpu["links"][:8]
    data["gpus"][2]["links"][:4] = [{"link": n, "values": {"state": 0}} for n in range(4)]
    put(host, data)
    assert judge(host).status.value == "ok"  # four links may be a bridge
    checks = [catalog.find(drop_ins=False).checks["nvlink_links"]]
    (result,) = run(checks, Replay(host), Profile(hardware=Hardware(nvlinks=8)))
    assert result.status.value == "critical" and "4 of 8 NVLinks are down (0-3)" in result.findings[0].summary


PAIRS = """\tGPU0\tGPU1\tGPU2\tGPU3
 GPU0\tX\tOK\t{w}\tOK
 GPU1\tOK\tX\tOK\tOK
 GPU2\t{w}\tOK\tX\tOK
 GPU3\tOK\tOK\tOK\tX
"""


@pytest.mark.parametrize(("word", "status"), [("OK", "ok"), ("TNS", "warning"), ("NS", "warning"), ("??", "ok")])
def test_pairs_by_the_matrix_that_nvidia_smi_prints(word: str, status: str) -> None:
    host = Recording(NOW, unlisted="not_captured")
    texts = {"nvlink -s": status_text("NVIDIA H100 80GB HBM3"), "topo -p2p n": PAIRS.format(w=word)}
    host.answers |= {f"run nvidia-smi {k}": Answer(f"run nvidia-smi {k}", "ok", v.encode()) for k, v in texts.items()}
    result = judge(host)
    assert result.status.value == status
    said = [found.summary for found in result.findings if found.code == "p2p"]
    assert [one.partition(" (P2P")[0] for one in said] == [
        "its NVLinks are up, and it may not reach GPU 2 over them"
    ] * (status != "ok")


@pytest.mark.parametrize("said", [[None, 5, 5, 5], [None, "x", True, 1.5], 7, [1], [None, 0, 0, 0, 9]])
def test_odd_pairs_raise_no_alarm_of_guests(host: Recording, said: Any) -> None:
    data = table(host)
    data["gpus"][0]["p2p"] = said
    put(host, data)
    is_refused = said == [None, 5, 5, 5]
    assert judge(host).status.value == ("warning" if is_refused else "ok")
    data["gpus"][0]["values"]["virtualization"] = 1  # of a guest, whose host may keep pairs apart
    put(host, data)
    assert judge(host).status.value == "ok"


def test_of_a_rack_the_advice_is_about_its_switches(host: Recording) -> None:
    key = "probe nvml static"
    host.answers[key] = Answer(
        key, "ok", host.answers[key].data.replace(b"NVIDIA H100 80GB HBM3", b"NVIDIA GB200"), at=NOW
    )
    for key in [key for key in host.answers if key.endswith("/uevent")]:
        host.answers[key] = Answer(key, "ok", host.answers[key].data.replace(b"10DE:2330", b"10DE:2941"))
    data = table(host)
    for gpu in data["gpus"]:
        gpu["values"]["fabric"] = {"state": 2, "status": 0, "health_mask": 0, "health_summary": 0, "clique": 0}
    put(host, data)
    (found,) = [found for found in judge(host).findings if found.code == "fabric"]
    assert "still being set up" in found.summary and "NMX controller" in found.advice
