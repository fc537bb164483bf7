"""Services of systemd, packages, and what the Fabric Manager's log says."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.authoring import NothingHere
from mlopsdoc.engine import run
from mlopsdoc.facts import units
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.fabric_manager import LOG, FabricManager
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.packages import Packages
from mlopsdoc.facts.pci import PciDevices
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.profile import Profile


def host(texts: dict[str, str], status: AnswerStatus = "ok") -> Replay:
    recording = Recording(0.0)
    for key, text in texts.items():
        recording.answers[key] = Answer(key, status, text.encode())
    return Replay(recording)


SHOW, STATUS = f"run systemctl show -p {units.PROPERTIES} x", "run systemctl status x"
SINCE = "since Mon 2026-11-23 01:40:12 UTC"
SHOWN = (
    "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nUnitFileState=enabled\n"
    "StateChangeTimestamp=Mon 2026-11-23 01:40:12 UTC\n"
)
STATED = "x.service - X\n   Loaded: loaded (/lib/systemd/system/x.service; {0})\n   Active: {1}\n"


@pytest.mark.parametrize(
    ("key", "text", "shown", "enabled"),
    [
        (SHOW, SHOWN, f"failed (exit-code) {SINCE}", "enabled"),
        (
            STATUS,
            STATED.format("disabled; preset: enabled", f"activating (auto-restart) (Result: core-dump) {SINCE}; 2s"),
            f"auto-restart (core-dump) {SINCE}",
            "disabled",
        ),
        (STATUS, STATED.format("enabled", f"active (running) {SINCE}; 1h ago"), f"active {SINCE}", "enabled"),
        (STATUS, STATED.format("enabled", "failed (Result: signal)"), "failed (signal)", "enabled"),
        ("run systemctl is-active x", "inactive\n", "inactive", ""),
    ],
)
def test_service(key: str, text: str, shown: str, enabled: str) -> None:
    found = units.unit(host({key: text}), "x")
    assert found is not None and (found.shown, found.enabled) == (shown, enabled)


@pytest.mark.parametrize("text", ["", "Active: ", "Active: perhaps\n", "\x00\xff", "LoadState=\n"])
def test_no_service(text: str) -> None:
    keys = (f"run systemctl show -p {units.PROPERTIES} x", "run systemctl status x", "run systemctl is-active x")
    assert units.unit(host(dict.fromkeys(keys, text)), "x") is None


def test_a_service_that_is_not_there() -> None:
    found = units.unit(host({"run systemctl status x": "Unit x.service could not be found.\n"}, "failed"), "x")
    assert found is not None and not found.is_there


def packages(texts: dict[str, str], status: AnswerStatus = "ok") -> Packages:
    loaded = host({"read /proc/driver/nvidia/version": LOADED})
    return Packages.read(host(texts, status), Driver.read(loaded, Machine.read(loaded, None), None))


def test_packages() -> None:
    listed = (
        "Desired=Unknown/Install/Remove/Purge/Hold\n||/ Name Version Architecture Description\n+++-====-====-===-====\n"
        "hi  libnvidia-compute-580-server:amd64 580.95.05-0ubuntu0.24.04.2 amd64 NVIDIA libcompute package\n"
        "rc  nvidia-driver-570-server 570.172.08-0ubuntu0.24.04.1 amd64 NVIDIA Server Driver\n"
        "ii  nvidia-container-toolkit 1:1.18.0-1 amd64 toolkit\nii\n"
    )
    found = packages({"run dpkg -l": listed}, "failed")
    assert [(package.name, package.upstream, package.is_held) for package in found.packages] == [
        ("libnvidia-compute-580-server", "580.95.05", True),
        ("nvidia-container-toolkit", "1.18.0", False),
    ]
    assert found.is_dpkg
    found = packages({"run rpm -qa": "nvidia-fabric-manager-580.95.05-1.x86_64\nbash\n"})
    assert [(package.name, package.upstream) for package in found.packages] == [("nvidia-fabric-manager", "580.95.05")]
    with pytest.raises(NothingHere):
        packages({"run dpkg -l": "\x00 ii\n"})


LOADED = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
UEVENT = "PCI_CLASS=68000\nPCI_ID=10DE:22A3\n"
ERROR = "[Nov 23 2026 01:40:12] [ERROR] [tid 71] no topology fits\n"


@pytest.mark.parametrize(
    ("log", "count"),
    [
        (ERROR, 1),
        (ERROR + "Fabric Manager Log initializing at: 11/23/2026 02:00:00.001\n", 0),
        (ERROR + "[Nov 23 2026 01:41:00] [INFO] [tid 71] Successfully configured all the available NVSwitches\n", 0),
        (ERROR.replace("ERROR", "INFO"), 0),
        ("[ERROR] half\n\x00", 0),
    ],
)
def test_errors_of_its_log(log: str, count: int) -> None:
    replay = host({
        "read /sys/bus/pci/devices/0000:05:00.0/uevent": UEVENT,
        "read /proc/driver/nvidia/version": LOADED,
        f"read {LOG}": log,
    })  # fmt: skip
    pci = PciDevices.read(replay)
    machine = Machine.read(replay, pci)
    driver = Driver.read(replay, machine, pci)
    found = FabricManager.read(replay, driver, pci, None, None, None, machine)
    assert found.switches == 1 and len(found.errors) == count


@pytest.mark.parametrize(
    ("texts", "status", "words"),
    [
        ({"systemctl status nvidia-fabricmanager": "Active: failed (Result: exit-code)\n"}, "critical", "is failed"),
        ({"systemctl is-active nvidia-fabricmanager": "active\n"}, "ok", "2 NVSwitches"),
        ({}, "unknown", "could not be seen"),
    ],
)
def test_recorded_states(texts: dict[str, str], status: str, words: str) -> None:
    commands = {f"run {command}": text for command, text in texts.items()}
    switches = {f"read /sys/bus/pci/devices/0000:0{number}:00.0/uevent": UEVENT for number in (5, 6)}
    replay = host(commands | switches | {"read /proc/driver/nvidia/version": LOADED})
    (result,) = run([catalog.find(drop_ins=False).checks["fabric_manager"]], replay, Profile())
    assert result.status.value == status and words in result.findings[0].summary
