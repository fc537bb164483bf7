"""Profiles: those that ship, what is captured of a host, and what a snapshot keeps of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlopsdoc import catalog, toml
from mlopsdoc.authoring import Hardware
from mlopsdoc.capturing import captured
from mlopsdoc.engine import Ledger, run
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Status
from mlopsdoc.profile import Profile, as_toml, parse, table

from .program import mlopsdoc

SNAPSHOTS = Path(catalog.shipped("snapshots"))
CHECKS = catalog.find(drop_ins=False).checks
ALL = sorted(path.parent for path in SNAPSHOTS.glob("*/SNAPSHOT"))
BY_PROFILE = ("gpu_presence", "nvlink_links", "psu_redundancy", "cpu_topology")


def host(*answers: tuple[str, str]) -> Replay:
    recording = Recording(1795403400.0)
    recording.answers = {key: Answer(key, "ok", text.encode()) for key, text in answers}
    return Replay(recording)


def reference() -> Replay:
    return Replay(snapshot.load(str(SNAPSHOTS / "reference")))


@pytest.mark.parametrize("name", [name for name in catalog.profiles() if name != "generic"])
def test_profiles_that_ship(name: str) -> None:
    profile = catalog.load_profile(name, CHECKS)
    assert profile.about and profile.hardware.gpus and profile.hardware.gpu_pci_id.startswith("10de:")
    assert parse(name, toml.loads(as_toml(table(profile)).encode()), CHECKS) == profile


def test_a_profile_as_toml_and_back() -> None:
    said = {
        "about": 'é "quoted" \\ back',
        "hardware": {"gpus": 2},
        "skip": {"zfs_scrub": "not [ours]"},
        "checks": {"gpu_thermal": {"margin_warning_c": 8}},
    }
    assert toml.loads(as_toml(said).encode()) == said
    assert table(Profile()) == {} and as_toml({}).strip() == ""


def test_checks_that_are_not_here_are_left_out_of_a_profile_that_came_along() -> None:
    said = {"skip": {"our_own": "x"}, "checks": {"our_own": {"limit": 3}}, "hardware": {"gpus": 1}}
    assert parse("p", said, CHECKS, is_ours=False) == Profile("p", "", Hardware(gpus=1))


def test_the_reference_host_captured() -> None:
    wanted = Hardware(4, "NVIDIA H100 80GB HBM3", "10de:2330", 18, 2, 2, 2, 2200)
    assert captured(Ledger(reference())).hardware == wanted


@pytest.mark.parametrize("folder", ALL, ids=lambda path: path.name)
def test_a_host_is_as_the_profile_captured_of_it(folder: Path) -> None:
    """Where a check had nothing to say without a profile, it has nothing with the captured one."""
    host = Replay(snapshot.load(str(folder)))
    profile = captured(Ledger(host))
    checks = [CHECKS[id] for id in BY_PROFILE]
    for before, now in zip(run(checks, host, Profile()), run(checks, host, profile), strict=True):
        assert now.status in (before.status, Status.OK), (profile.hardware, now)


def test_a_part_tells_no_count() -> None:
    said = "index, name\n0, NVIDIA H100 80GB HBM3\n"
    part = host(("run nvidia-smi --query-gpu", said))
    part.recording.answers["run nvidia-smi --query-gpu"] = Answer(
        "run nvidia-smi --query-gpu", "truncated", said.encode()
    )
    assert captured(Ledger(part)).hardware == Hardware()


@pytest.mark.parametrize(
    ("lscpu", "status"),
    [
        ("Socket(s):   2\nNUMA node(s):  2\n", Status.OK),
        ("Socket(s):   1\nNUMA node(s):  2\n", Status.CRITICAL),
        ("Socket(s):   4\nNUMA node(s):  2\n", Status.WARNING),
        ("Socket(s):   2\nNUMA node(s):  1\n", Status.WARNING),
        ("Model name:  x\n", Status.UNKNOWN),
        ("", Status.UNKNOWN),
    ],
)
def test_sockets_and_nodes_by_lscpu(lscpu: str, status: Status) -> None:
    wanted = Profile(hardware=Hardware(sockets=2, numa_nodes=2))
    (result,) = run([CHECKS["cpu_topology"]], host(("run lscpu", lscpu)), wanted)
    assert result.status is status
    (generic,) = run([CHECKS["cpu_topology"]], host(("run lscpu", lscpu)), Profile())
    assert generic.status is Status.SKIPPED


def test_supplies_that_the_profile_wants_and_no_bmc() -> None:
    (result,) = run([CHECKS["psu_redundancy"]], host(), Profile(hardware=Hardware(supplies=2)))
    assert result.status is Status.UNKNOWN and "2 power supplies that the profile wants" in result.reason


@pytest.mark.parametrize(("driver", "status"), [("vfio-pci", Status.SKIPPED), ("nvidia", Status.CRITICAL)])
def test_no_devices_where_all_were_given_away(driver: str, status: Status) -> None:
    uevent = f"DRIVER={driver}\nPCI_CLASS=30200\nPCI_ID=10DE:2330\n"
    found = host(
        ("read /sys/bus/pci/devices/0000:1b:00.0/uevent", uevent), ("run nvidia-smi", "No devices were found\n")
    )
    (result,) = run([CHECKS["gpu_presence"]], found, Profile())
    assert result.status in ((status, Status.UNKNOWN) if status is Status.SKIPPED else (status,))


def test_no_devices_in_a_container_is_not_known() -> None:
    found = host(("run nvidia-smi", "No devices were found\n"))
    found.recording.place = "pod job-0"
    (result,) = run([CHECKS["gpu_presence"]], found, Profile())
    assert result.status is Status.UNKNOWN and "container" in result.findings[0].summary


def test_gpus_without_an_address_are_counted() -> None:
    listed = "".join(
        f"GPU {n}: NVIDIA H100 80GB HBM3 (UUID: GPU-0000000{n}-7b34-4d2f-9a61-0e8c2b7d4f10)\n" for n in range(4)
    )
    found = host(("run nvidia-smi -L", listed))
    (result,) = run([CHECKS["gpu_presence"]], found, Profile(hardware=Hardware(gpus=4)))
    assert result.status is Status.OK


def test_the_verbs(tmp_path: Path) -> None:
    listed = mlopsdoc("profile", "list", place=tmp_path)
    assert listed.code == 0 and "hgx-h100-8" in listed.out
    shown = mlopsdoc("profile", "show", "hgx-h100-8", place=tmp_path)
    assert shown.code == 0 and "# A host with an HGX H100" in shown.out
    assert mlopsdoc("profile", "show", "none", place=tmp_path).code == 78
    made = mlopsdoc("profile", "capture", place=tmp_path)
    assert made.code == 0 and parse("p", toml.loads(made.out.encode()), CHECKS)
    file = tmp_path / "host.toml"
    source = str(SNAPSHOTS / "reference")
    assert mlopsdoc("profile", "capture", "--from", source, "-o", str(file), place=tmp_path).code == 0
    judged = mlopsdoc("check", *BY_PROFILE, "--from", source, "--profile", str(file), place=tmp_path)
    assert judged.code == 0
    assert mlopsdoc("profile", "capture", "-o", "/nowhere/x", place=tmp_path).code == 73


@pytest.mark.parametrize(
    ("wanted", "status"),
    [
        ({"driver": "580"}, "ok"), ({"driver": "580.95.05"}, "ok"), ({"driver": "580.9"}, "warning"),
        ({"driver": "570.172"}, "warning"), ({"gpu_vbios": "96.00.89"}, "ok"), ({"gpu_vbios": "96.00.A5"}, "warning"),
    ],
)  # fmt: skip
def test_versions_that_a_profile_wants(wanted: dict[str, str], status: str) -> None:
    check = "driver_stack" if "driver" in wanted else "gpu_health"
    (result,) = run([CHECKS[check]], reference(), parse("p", {"hardware": wanted}, CHECKS))
    assert result.status.value == status
    words = [found.summary for found in result.findings if "the profile wants" in found.summary]
    assert len(words) == (0 if status == "ok" else 1 if check == "driver_stack" else 4)
