"""What real tools said of states that were made on purpose: BMCs, Redfish services, bound processes. Live and replayed.

The captures are not part of the project: MLOPSDOC_CAPTURES names their folder. A state is the name of a folder.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
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

from .bmc import PASSWORD, USER, configure, free_port, service
from .program import REPOSITORY, Ended, mlopsdoc
from .serving import serve

CAPTURES = Path(os.environ.get("MLOPSDOC_CAPTURES", "/no/such/folder"))
pytestmark = pytest.mark.skipif(not CAPTURES.is_dir(), reason="no captures: MLOPSDOC_CAPTURES=FOLDER")
Alarms = list[tuple[str, str, str]]

# By the name of the state: status, subject, code of each alarm. Fans, memory and a clock are no power supply.
IPMI: dict[str, Alarms] = {
    "psu_both_ok": [],
    "psu2_ac_lost": [("critical", "PSU 2", "no_input")],
    "psu2_ac_lost_then_restored": [],
    "psu2_failed": [("critical", "PSU 2", "failed")],
    "psu2_predictive": [("warning", "PSU 2", "predictive")],
    "psu2_absent": [("critical", "PSU 2", "missing")],
    "psu2_ac_out_of_range": [("critical", "PSU 2", "lost_or_out_of_range")],
    "psu2_range_present": [("warning", "PSU 2", "out_of_range")],
    "psu2_config_error": [("warning", "PSU 2", "config")],
    "redundancy_lost_only": [("critical", "host", "redundancy")],
    "redundancy_degraded": [("warning", "host", "redundancy")],
    "redundancy_nonred_sufficient": [("critical", "host", "redundancy")],
    "redundancy_nonred_insufficient": [("critical", "host", "redundancy")],
    "redundancy_no_bits": [],
    "power_unit_ac_lost": [("warning", "host", "power_unit")],
    "inlet_hot_fan_stopped": [],
    "mem_ecc": [],
    "six_psu_ok": [],
    "six_psu_two_ac_lost": [("warning", "PSU 5", "no_input"), ("warning", "PSU 6", "no_input")],
    "clock_not_set": [("critical", "PSU 2", "no_input")],
    "no_dcmi_support": [],
}
ERRORS = {
    "bmc_hung": "unknown",
    "bmc_hung_N1R1": "unknown",
    "closed_port": "unknown",
    "closed_port_N1R1": "unknown",
    "wrong_password": "unknown",
    "wrong_user": "unknown",
    "inband_no_device": "skipped",
    "freeipmi_inband_no_device": "skipped",
    "user_priv_only": "ok",
    "user_priv_only_L": "ok",
    "hang_midway": "ok",
}
REDFISH: dict[str, Alarms] = {
    "ok": [],
    "absent": [("critical", "PSU 2", "missing")],
    "ac_lost": [("critical", "PSU 2", "no_input")],
    "failed": [("critical", "PSU 2", "failed")],
    "redundancy_lost": [("critical", "host", "redundancy")],
    "legacy_only": [],
    "new_only": [],
}
# What is wrong for a GPU at node 0, and for one at node 1. Memory is where the CPUs are, but that of the third;
# `interleave` and `unbound` are bound to nothing.
BINDINGS = {
    "proc_good_bind0": ("", "cpus"),
    "proc_localalloc": ("cpus", ""),
    "proc_bad_cpu0_mem1": ("memory", "cpus"),
    "proc_taskset_only_node1": ("cpus", ""),
    "proc_preferred1": ("cpus", ""),
    "proc_interleave": ("", ""),
    "proc_unbound": ("", ""),
}
IPMITOOL = {
    "sdr elist": "sdr_elist",
    "dcmi power reading": "dcmi_power_reading",
    "fru print": "fru",
    "sel elist": "sel_elist",
}


def judged(recording: Recording, check: str = "psu_redundancy") -> Result:
    found = catalog.find(drop_ins=False).checks[check]
    return next(iter(run([found], Replay(recording), Profile())))


def alarms_of(result: Result) -> Alarms:
    return [(f.status.value, f.subject, f.code) for f in result.findings if f.status.is_alarm]


def alarms_in(ended: Ended) -> Alarms:
    findings = ended.check("psu_redundancy")["findings"]
    return [(f["status"], f["subject"], f["code"]) for f in findings if f["status"] in ("warning", "critical")]


def said(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def keep(recording: Recording, key: str, path: Path) -> None:
    """What a tool said, and how it ended: `NAME.rc` has its exit code."""
    code = re.match(r"rc=(\d+)", said(path.with_suffix(".rc")).decode())
    status: AnswerStatus = "ok" if not code or code[1] == "0" else "failed"
    recording.answers[key] = Answer(key, status, said(path), stderr=said(path.with_suffix(".err")))


def states(folder: str) -> list[str]:
    return sorted(path.name for path in (CAPTURES / folder).glob("*") if path.is_dir() and path.name != "errors")


def test_every_state_has_its_verdict_here() -> None:
    assert set(states("ipmi/captures")) <= set(IPMI) and states("redfish") == sorted(REDFISH)
    assert set(live_states()) <= set(IPMI)
    left = {path.stem for path in (CAPTURES / "ipmi/captures/errors").glob("*.txt")} - set(ERRORS)
    assert left == {"lan15", "no_cipher_flag", "user_priv_sel"}  # of other commands: they say nothing of supplies


@pytest.mark.parametrize("state", states("ipmi/captures"))
def test_ipmi_replayed(state: str, tmp_path: Path) -> None:
    """As a recording of ipmitool, by either of its lists, of FreeIPMI, and as text pasted from a terminal."""
    folder = CAPTURES / "ipmi/captures" / state
    by_ipmitool, by_bits, by_freeipmi = (Recording(1795460000.0) for _ in range(3))
    pasted = ""
    for words, name in IPMITOOL.items():
        keep(by_ipmitool, f"run ipmitool {words}", folder / f"{name}.txt")
        pasted += f"root@gpu-9:~# ipmitool {words}\n{said(folder / f'{name}.txt').decode()}"
    keep(by_bits, "run ipmitool sensor", folder / "sensor.txt")
    keep(by_freeipmi, "run ipmi-sensors", folder / "freeipmi_sensors.csv")
    keep(by_freeipmi, "run ipmi-dcmi --get-system-power-statistics", folder / "freeipmi_dcmi.txt")
    (tmp_path / "pasted.txt").write_text(pasted + "root@gpu-9:~# \n")
    terminal = mlopsdoc("check", "psu_redundancy", "--json", "--from", "pasted.txt", place=tmp_path)
    for found in (alarms_of(judged(by_ipmitool)), alarms_in(terminal), alarms_of(judged(by_bits))):
        assert found == IPMI[state]
    assert IPMI[state] or judged(by_ipmitool).status.value in ("ok", "unknown")
    # FreeIPMI was told to leave sensors without a reading out, and an empty bay is one.
    assert state == "psu2_absent" or alarms_of(judged(by_freeipmi)) == IPMI[state]


@pytest.mark.parametrize("name", ERRORS)
def test_ipmi_errors_replayed(name: str) -> None:
    recording = Recording(1795460000.0)
    tool = "ipmi-sensors" if name.startswith("freeipmi") else "ipmitool sdr elist"
    keep(recording, f"run {tool}", CAPTURES / "ipmi/captures/errors" / f"{name}.txt")
    assert judged(recording).status.value == ERRORS[name] and not alarms_of(judged(recording))


def live_states() -> dict[str, tuple[dict[str, str], list[str]]]:
    """Of the script that made the states: the settings and the console commands of each."""
    settings: dict[str, str] = {}
    found: dict[str, tuple[dict[str, str], list[str]]] = {}
    path = CAPTURES / "ipmi/all-states.sh"
    for line in path.read_text().splitlines() if path.exists() else ():
        settings |= dict(re.findall(r"\b(NPSU|NOTIME)=(\d)", line))
        if match := re.search(r"\bst (\w+)(.*)", line):
            found[match[1]] = dict(settings), re.findall(r"'([^']+)'", match[2])
    found.pop("st", None)
    return found


@contextmanager
def simulated(place: Path, settings: dict[str, str]) -> Generator[tuple[int, dict[str, str]]]:
    """The simulator of the captures, in a copy of its folder; its port, and the environment of its scripts.

    Without the headers of OpenIPMI it has no DCMI, and the BMC's own sum counts.
    """
    for tool in ("ipmi_sim", "ipmitool"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    shutil.copytree(CAPTURES / "ipmi", place, ignore=shutil.ignore_patterns("captures"))
    subprocess.run(["chmod", "-R", "u+w", str(place)], check=True)
    conf = place / "lan.conf.in"
    conf.write_text(conf.read_text().replace('"monitor" "monitor"', f'"{USER}" "{PASSWORD}"'))
    if shutil.which("gcc"):
        made = ["gcc", "-shared", "-fPIC", "-o", "dcmi.so", "dcmi.c"]
        subprocess.run(made, cwd=place, check=False, capture_output=True)
    ports = {name: str(free_port()) for name in ("LANPORT", "VMPORT", "CONSOLEPORT")}
    env = {**os.environ, **settings, **ports}
    try:
        started = ["sh", "start.sh", settings.get("NPSU", "2")]
        subprocess.run(started, cwd=place, env=env, check=True, capture_output=True)
        yield int(ports["LANPORT"]), env
    finally:
        subprocess.run(["sh", "stop.sh"], cwd=place, check=False)


@pytest.mark.parametrize("state", live_states())
def test_ipmi_live_and_saved(state: str, tmp_path: Path) -> None:
    settings, commands = live_states()[state]
    with simulated(tmp_path / "bmc", settings) as (port, env):
        if commands:
            subprocess.run(["python3", "simctl.py", *commands], cwd=tmp_path / "bmc", env=env, check=True)
        configure(tmp_path, "ipmi", port, more="cipher = 3\n")
        live = mlopsdoc("check", "psu_redundancy", "--json", "--save", "saved.tar.gz", place=tmp_path)
    assert alarms_in(live) == IPMI[state]
    for finding in live.check("psu_redundancy")["findings"]:
        if finding["status"] in ("warning", "critical") and finding["code"] not in ("redundancy", "power_unit"):
            assert ("since" in finding) == (state != "clock_not_set")
    assert (
        alarms_in(mlopsdoc("check", "psu_redundancy", "--json", "--from", "saved.tar.gz", place=tmp_path))
        == IPMI[state]
    )


@pytest.mark.parametrize("trouble", ["stopped", "closed_port", "wrong_password"])
def test_ipmi_errors_live(trouble: str, tmp_path: Path) -> None:
    """One finding, within the deadline of one question."""
    with simulated(tmp_path / "bmc", {}) as (port, _):
        password = "wrong" if trouble == "wrong_password" else PASSWORD
        configure(
            tmp_path, "ipmi", free_port() if trouble == "closed_port" else port, password=password, more="cipher = 3\n"
        )
        if trouble == "stopped":
            subprocess.run(["kill", "-STOP", said(tmp_path / "bmc/sim.pid").decode().strip()], check=True)
        ended = mlopsdoc("check", "psu_redundancy", "--json", place=tmp_path)
        if trouble == "stopped":
            subprocess.run(["kill", "-CONT", said(tmp_path / "bmc/sim.pid").decode().strip()], check=True)
    found = ended.check("psu_redundancy")
    assert (ended.code, found["status"], len(found["findings"])) == (3, "unknown", 1)
    assert found["duration_s"] < 31


def resources(state: str) -> dict[str, Any]:
    """The service in a state: the whole one, with the files that differ, without those that are gone."""
    found: dict[str, Any] = {}
    for folder in ("ok", state):
        root = CAPTURES / "redfish" / folder
        for path in root.glob("**/index.json"):
            found["/" + str(path.parent.relative_to(root))] = json.loads(path.read_text())
    for gone in said(CAPTURES / "redfish" / state / "removed.txt").decode().split():
        found.pop("/" + gone.removesuffix("/index.json"), None)
    return found


@pytest.mark.parametrize("state", REDFISH)
def test_redfish_live_and_replayed(state: str, tmp_path: Path) -> None:
    """Also as a folder of the service's resources."""
    for path, value in resources(state).items():
        place = tmp_path / "mockup" / path.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        (place / "index.json").write_text(json.dumps(value))
    with service(resources(state)) as bmc:
        configure(tmp_path, "redfish", bmc.server_port, more="plain = true\n")
        live = mlopsdoc("check", "psu_redundancy", "--json", "--save", "saved.tar.gz", place=tmp_path)
    for ended in (
        live,
        *(mlopsdoc("check", "--json", "--from", name, place=tmp_path) for name in ("saved.tar.gz", "mockup")),
    ):
        assert alarms_in(ended) == REDFISH[state]
        assert ended.check("psu_redundancy")["status"] == (REDFISH[state] or [("ok", "", "")])[0][0]


@pytest.mark.parametrize("node", [0, 1])
@pytest.mark.parametrize("state", BINDINGS)
def test_bindings_live_and_replayed(state: str, node: int, tmp_path: Path, library: Path) -> None:
    """The process is on a GPU of the reference host, which has the nodes of the captures."""
    folder = CAPTURES / "numa" / state
    pid = said(folder / "stat.txt").split()[0].decode()
    recording = snapshot.load(str(REPOSITORY / "snapshots/reference"))
    for key in [
        key for key in recording.answers if "/system/node/" in key or key.startswith(("probe bin", "probe proc"))
    ]:
        del recording.answers[key]
    tree = CAPTURES / "numa/tree"
    for path in (path for path in tree.glob("sys/devices/system/node/node*/*") if path.is_file()):
        keep(recording, f"read /{path.relative_to(tree)}", path)
    for name in ("status", "numa_maps"):
        keep(recording, f"read /proc/{pid}/{name}", folder / f"{name}.txt")
    only_on_one(recording, int(pid), node)
    env = serve(recording, tmp_path, library)
    proc = tmp_path / f"root/proc/{pid}"
    for name in ("stat", "cgroup", "status"):
        (proc / name).write_bytes(said(folder / f"{name}.txt"))
    (proc / "cmdline").write_bytes(b"python3\0hog.py\0")
    (proc / "task" / pid).mkdir(parents=True)
    (proc / "task" / pid / "status").write_bytes(said(folder / "status.txt"))
    root = ("--root", str(tmp_path / "root"), "--save", "saved.tar.gz", "--no-redact")
    live = mlopsdoc("check", "numa_binding", "--json", *root, place=tmp_path, env=env)
    replayed = mlopsdoc("check", "numa_binding", "--json", "--from", "saved.tar.gz", place=tmp_path)
    wanted = [BINDINGS[state][node]] if BINDINGS[state][node] else []
    for ended in (live, replayed):
        check = ended.check("numa_binding")
        assert [found["code"] for found in check["findings"] if found["status"] == "warning"] == wanted
        assert check["status"] == ("warning" if wanted else "ok")


def only_on_one(recording: Recording, pid: int, node: int) -> None:
    """This process on a GPU at that node, none on the others."""
    key = "probe nvml processes"
    processes = json.loads(recording.answers[key].data)
    for number, gpu in enumerate(processes["gpus"]):
        gpu["values"]["compute"] = [{"pid": pid, "usedGpuMemory": 1 << 33}] if number == 3 * node else []
    recording.answers[key] = Answer(key, "ok", json.dumps(processes).encode())


@pytest.mark.parametrize(
    ("capture", "status"),
    [
        ("nvme/smart_log_0", "ok"), ("nvme/smart_log_json_0", "ok"), ("nvme/smartctl_j_0", "ok"),
        ("nvme/smartctl_x_0", "ok"), ("nvme/smartctl_nobody", "unknown"),
        ("nvme_critical_warning/smart_log_json", "critical"),
        ("nvme_critical_warning/smartctl_a", "critical"), ("nvme_critical_warning/smartctl_j", "critical"),
    ],
)  # fmt: skip
def test_nvme(capture: str, status: str, tmp_path: Path) -> None:
    ended = mlopsdoc("check", "nvme_health", "--json", "--from", f"{CAPTURES}/{capture}.txt", place=tmp_path)
    assert ended.check("nvme_health")["status"] == status
