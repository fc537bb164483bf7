"""Sosreports: what the manifest tells, what names tell, and what is not in them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsdoc.hosts.archives import foreign
from mlopsdoc.hosts.pasted.dates import NO_ZONE
from mlopsdoc.hosts.recorder import Recording

from .program import Ended, mlopsdoc

PLUGINS = "kernel,processor,memory,filesys,date,host,process,md,numa"
UNHEALTHY = """  pool: tank
 state: DEGRADED
status: One or more devices has been removed by the administrator.
  scan: scrub repaired 0B in 01:12:40 with 0 errors on Sun Nov  8 01:36:41 2026
config:

\tNAME        STATE     READ WRITE CKSUM
\ttank        DEGRADED     0     0     0
\t  raidz1-0  DEGRADED     0     0     0
\t    sda     ONLINE       0     0     0
\t    sdb     REMOVED      0     0     0

errors: No known data errors
"""
HEALTHY = "all pools are healthy\n"
ZPOOL_LIST = """NAME    SIZE  ALLOC   FREE  CKPOINT  EXPANDSZ   FRAG    CAP  DEDUP    HEALTH  ALTROOT
tank   54.5T  31.9T  22.6T        -         -    12%    58%  1.00x  DEGRADED  -
fast   13.9T  1.21T  12.7T        -         -     3%     8%  1.00x    ONLINE  -
"""
DF = """Filesystem     1K-blocks      Used Available Use% Mounted on
/dev/md1       195312500 180000000  11000000  95% /
"""
CSV = "name, pci.bus_id, temperature.gpu\nNVIDIA H100 80GB HBM3, 00000000:1B:00.0, 41\n"
FILES = {
    "version.txt": "sosreport: 4.8.2\n",
    "proc/mounts": "/dev/md1 / ext4 rw,relatime 0 0\n",
    "proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Test CPU\nflags\t\t: fpu\n\n",
    "proc/locks": "",
    "sys/module/zfs/version": "2.2.2-0ubuntu9.1\n",
    "sos_commands/date/date": "Mon Nov 23 03:10:00 UTC 2026\n",
    "sos_commands/filesys/df_-al_-x_autofs": DF,
    "sos_commands/host/hostname": "gpu17\n",
    "sos_commands/kernel/dmesg": "[    0.000000] Linux version 6.8.0-87-generic\n",
    "sos_commands/kernel/dmesg_-T": "[Mon Nov 23 01:00:00 2026] Linux version 6.8.0-87-generic\n",
    "sos_commands/kernel/uname_-a": "Linux gpu17 6.8.0-87-generic #88-Ubuntu SMP x86_64 GNU/Linux\n",
    "sos_commands/kernel/sysctl_-a": "kernel.numa_balancing = 1\nnet.ipv4.ip_forward = 0\nvm.zone_reclaim_mode = 0\n",
    "sos_commands/nvidia/nvidia-smi_-q": "==============NVSMI LOG==============\n",
    "sos_commands/nvidia/nvidia-smi_-q_-d_ECC": "==============NVSMI LOG==============\n\nECC\n",
    "sos_commands/nvidia/nvidia-smi_--query-gpu_gpu_name_gpu_bus_id_temperature.gpu_--format_csv": CSV,
    "sos_commands/nvidia/nvidia-smi_nvlink_-s": "GPU 0: x\n",
    "sos_commands/zfs/zpool_status_-vx": UNHEALTHY,
    "sos_commands/zfs/zpool_list": ZPOOL_LIST,
    "sos_commands/numa/numactl_--hardware": "available: 2 nodes (0-1)\n",
    "sos_commands/ipmitool/ipmitool_-I_usb_sel_elist": "SEL has no entries\n",
    "sos_commands/ata/smartctl_-a_.dev.sda": "smartctl 7.4\n",
    "sos_commands/block/blkid_-c_.dev.null": "",
}
COMMANDS: list[tuple[str, str | None, int]] = [
    ("date", "date/date", 0),
    ("df -al -x autofs", "filesys/df_-al_-x_autofs", 0),
    ("hostname", "host/hostname", 0),
    ("dmesg", "kernel/dmesg", 0),
    ("dmesg -T", "kernel/dmesg_-T", 0),
    ("uname -a", "kernel/uname_-a", 0),
    ("sysctl -a", "kernel/sysctl_-a", 0),
    ("nvidia-smi -q", "nvidia/nvidia-smi_-q", 0),
    ("nvidia-smi -q -d ECC", "nvidia/nvidia-smi_-q_-d_ECC", 0),
    (
        "nvidia-smi --query-gpu=gpu_name,gpu_bus_id,temperature.gpu --format=csv",
        "nvidia/nvidia-smi_--query-gpu_gpu_name_gpu_bus_id_temperature.gpu_--format_csv",
        0,
    ),
    ("nvidia-smi nvlink -s", "nvidia/nvidia-smi_nvlink_-s", 0),
    ("zpool status -vx", "zfs/zpool_status_-vx", 0),
    ("zpool list", "zfs/zpool_list", 0),
    ("numactl --hardware", "numa/numactl_--hardware", 0),
    ("ipmitool -I usb sel elist", "ipmitool/ipmitool_-I_usb_sel_elist", 0),
    ("smartctl -a /dev/sda", "ata/smartctl_-a_.dev.sda", 4),
    ("blkid -c /dev/null", "block/blkid_-c_.dev.null", 0),
    ("lspci -nnvv", None, 127),
    ("cpupower frequency-info", None, 126),
    ("nvidia-smi", None, 124),
]


def manifest(commands: list[dict[str, Any]] | None = None, **plugin: Any) -> str:
    rows = commands or [
        {
            "command": line.split()[0],
            "parameters": line.split()[1:],
            "exec": line,
            "filepath": path and f"sos_commands/{path}",
            "return_code": code,
            "truncated": line == "dmesg",
            "start_time": 1795403399.1,
            "end_time": 1795403399.5,
            "tags": [],
        }
        for line, path, code in COMMANDS
    ]
    about = {"timeout_hit": False, "commands": rows, "files": []} | plugin
    return json.dumps(
        {
            "version": "4.8.2",
            "start_time": "2026-11-23 03:10:00.1",
            "end_time": "2026-11-23 03:11:00.1",
            "components": {"report": {"plugins": {"all": about}}},
        }
    )


def folder(place: Path, files: Mapping[str, str]) -> Path:
    top = place / "sosreport-gpu17-2026-11-23-abcdefg"
    for name, text in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(text)
    return top


def load(place: Path, files: Mapping[str, str]) -> Recording:
    return foreign.load(str(folder(place, files)))[1]


WITH_MANIFEST = FILES | {"sos_reports/manifest.json": manifest()}
SOS_JSON = json.dumps(
    [
        [
            "all",
            {
                "commands": [
                    {"name": line, "return_code": code, "href": f"../sos_commands/{path}"}
                    for line, path, code in COMMANDS
                ]
            },
        ]
    ]
)
FORMS = {"manifest": WITH_MANIFEST, "sos.json": FILES | {"sos_reports/sos.json": SOS_JSON}, "names": FILES}


@pytest.mark.parametrize("form", FORMS)
def test_commands_have_the_keys_that_facts_ask_for(tmp_path: Path, form: str) -> None:
    recording = load(tmp_path, FORMS[form])
    answers = recording.answers
    assert recording.taken_at == 1795403400.0
    assert recording.complete == (form == "manifest")
    for key, name in {
        "run dmesg": "kernel/dmesg_-T",
        "run nvidia-smi -q": "nvidia/nvidia-smi_-q",
        "run nvidia-smi nvlink -s": "nvidia/nvidia-smi_nvlink_-s",
        "run zpool list": "zfs/zpool_list",
        "run numactl -H": "numa/numactl_--hardware",
        "run ipmitool sel elist": "ipmitool/ipmitool_-I_usb_sel_elist",
    }.items():
        assert (answers[key].status, answers[key].text) == ("ok", FILES[f"sos_commands/{name}"]), key
    assert answers["run nvidia-smi --query-gpu"].text == CSV
    assert (answers["run zpool status"].status, answers["run zpool status"].text) == ("truncated", UNHEALTHY)
    assert (answers["run df"].status, answers["run df"].text) == ("truncated", DF)
    assert answers["run smartctl -a %2Fdev%2Fsda"].text == "smartctl 7.4\n"
    assert answers["read /proc/sys/kernel/hostname"].text == "gpu17\n"
    assert answers["read /proc/sys/kernel/osrelease"].text == "6.8.0-87-generic"
    assert answers["read /proc/sys/kernel/numa_balancing"].text == "1\n"
    assert "read /proc/sys/net/ipv4/ip_forward" not in answers


@pytest.mark.parametrize("form", ["manifest", "sos.json"])
def test_exit_codes_tell_why_there_is_no_answer(tmp_path: Path, form: str) -> None:
    answers = load(tmp_path, FORMS[form]).answers
    assert (answers["run lspci -vvv"].status, answers["run lspci -vvv"].why) == (
        "absent",
        "lspci was not installed there",
    )
    assert answers["run nvidia-smi"].status == "timeout"
    assert answers["run cpupower frequency-info"].status == "not_captured"
    assert (answers["run smartctl -a %2Fdev%2Fsda"].status, answers["run smartctl -a %2Fdev%2Fsda"].exit) == (
        "failed",
        4,
    )


def test_what_is_empty_is_not_known(tmp_path: Path) -> None:
    answers = load(tmp_path, WITH_MANIFEST).answers
    for key in ("read /proc/locks", "run blkid -c %2Fdev%2Fnull"):
        assert answers[key].status == "not_captured" and "could not be read" in answers[key].why
    assert "read /etc/fstab" not in answers  # never looked for: not absent


def test_a_tailed_output_is_a_part(tmp_path: Path) -> None:
    top = folder(tmp_path, WITH_MANIFEST | {"sos_strings/logs/dmesg.tailed": "[    9.0] the end\n"})
    for name in ("dmesg", "dmesg_-T"):
        (top / "sos_commands/kernel" / name).unlink()
    (top / "sos_commands/kernel/dmesg").symlink_to("../../sos_strings/logs/dmesg.tailed")
    (top / "dmesg").symlink_to("sos_commands/kernel/dmesg")
    answers = foreign.load(str(top))[1].answers
    assert (answers["run dmesg"].status, answers["run dmesg"].text) == ("truncated", "[    9.0] the end\n")
    assert "read /dmesg" not in answers and "link /dmesg" not in answers


def test_links_lead_to_files_and_folders_of_the_report(tmp_path: Path) -> None:
    top = folder(
        tmp_path,
        WITH_MANIFEST | {"sys/devices/pci/block/sda/size": "100\n", "usr/lib/systemd/system/a@.timer": "[Timer]\n"},
    )
    wants = top / "etc/systemd/system/timers.target.wants"
    wants.mkdir(parents=True)
    (top / "sys/block").mkdir()
    (top / "lib").symlink_to("usr/lib")
    (top / "sys/block/sda").symlink_to("../devices/pci/block/sda")
    (wants / "a@tank.timer").symlink_to("/lib/systemd/system/a@.timer")
    (wants / "b@tank.timer").symlink_to("/lib/systemd/system/b@.timer")
    answers = foreign.load(str(top))[1].answers
    assert answers["read /sys/block/sda/size"].text == "100\n"
    assert answers["link /sys/block/sda"].text == "../devices/pci/block/sda"
    assert answers["read /etc/systemd/system/timers.target.wants/a@tank.timer"].text == "[Timer]\n"
    dangling = answers["read /etc/systemd/system/timers.target.wants/b@tank.timer"]
    assert dangling.status == "not_captured" and "a link to /lib/systemd/system/b@.timer" in dangling.why


def test_a_plugin_that_ended_early_is_said(tmp_path: Path) -> None:
    recording = load(tmp_path, FILES | {"sos_reports/manifest.json": manifest(timeout_hit=True)})
    assert not recording.complete
    assert recording.notes == ["all of sos ended early, at its time limit"]


def test_obfuscation_is_said(tmp_path: Path) -> None:
    recording = load(tmp_path, WITH_MANIFEST | {"sos_logs/cleaner.log": "x"})
    assert recording.notes == ["names and addresses in it were replaced by sos clean"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"components": 3}',
        '{"components": {"report": {"plugins": {"a": {"commands": [1, {}]}}}}}',
    ],
)
def test_a_broken_manifest_leaves_the_names(tmp_path: Path, text: str) -> None:
    recording = load(tmp_path, FILES | {"sos_reports/manifest.json": text})
    assert recording.answers["run nvidia-smi -q"].said and not recording.complete


def test_a_manifest_may_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    rows = [
        {"exec": "nvidia-smi -q", "filepath": path, "return_code": 0}
        for path in ("../secret", f"{tmp_path}/secret", "sos_commands/../../secret", 7)
    ]
    answers = load(tmp_path, {"sos_commands/x": "", "sos_reports/manifest.json": manifest(rows)}).answers
    assert answers["run nvidia-smi -q"].status == "not_captured"


def check(top: Path, place: Path, *select: str) -> Ended:
    return mlopsdoc("check", *select, "--json", "--from", str(top), place=place)


def test_a_full_disk_is_found(tmp_path: Path) -> None:
    ended = check(folder(tmp_path, WITH_MANIFEST), tmp_path)
    assert ended.report()["host"]["name"] == "gpu17" and "complete" not in ended.report()["sources"][0]
    found = ended.check("disk_space")
    assert found["status"] in ("warning", "critical") and found["findings"][0]["subject"] == "mount /"


def test_pools_that_are_not_shown_are_unknown(tmp_path: Path) -> None:
    """`zpool status -x` shows tank only, and `zpool list` says that there is another."""
    found = check(folder(tmp_path, WITH_MANIFEST), tmp_path, "zfs_scrub").check("zfs_scrub")
    assert {f["subject"]: f["status"] for f in found["findings"]}["pool fast"] == "unknown"
    assert found["status"] == "unknown"


@pytest.mark.parametrize("listed", [True, False])
def test_all_pools_are_healthy_is_not_ok(tmp_path: Path, listed: bool) -> None:
    files = WITH_MANIFEST | {"sos_commands/zfs/zpool_status_-vx": HEALTHY}
    if not listed:
        files["sos_commands/zfs/zpool_list"] = ""
    found = check(folder(tmp_path, files), tmp_path, "zfs_scrub").check("zfs_scrub")
    assert found["status"] == "unknown"


def test_an_insights_archive_is_read_the_same_way(tmp_path: Path) -> None:
    files = {
        "insights_commands/date": "Mon Nov 23 03:10:00 UTC 2026\n",
        "insights_commands/hostname": "gpu17\n",
        "insights_commands/df_-alP": DF,
        "insights_commands/lspci_-vmmkn": "Slot: 00:00.0\n",
        "proc/mounts": FILES["proc/mounts"],
    }
    form, recording = foreign.load(str(folder(tmp_path, files)))
    assert recording.answers["run df"].text == DF and recording.answers["read /proc/mounts"].said
    assert form == "insights archive" and not recording.complete


def test_without_dmesg_the_journal_is_the_kernel_log(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if "dmesg" not in name}
    journal = "Nov 23 02:01:00 gpu17 kernel: NVRM: Xid (PCI:0000:1b:00): 79, GPU has fallen off the bus.\n"
    files["sos_commands/logs/journalctl_--no-pager_--boot"] = journal
    assert load(tmp_path, files).answers["run dmesg"].text == journal


@pytest.mark.parametrize(
    ("date", "at", "is_sure"),
    [
        ("Mon Nov 23 03:10:00 UTC 2026", 1795403400.0, True),
        ("lundi 23 novembre 2026, 04:10:00 (UTC+0100)", 1795403400.0, True),
        ("Mon Nov 23 03:10:00 CST 2026", 1795403400.0, False),
    ],
)
def test_a_zone_that_is_a_number_counts(tmp_path: Path, date: str, at: float, is_sure: bool) -> None:
    recording = load(tmp_path, {"sos_commands/date/date": f"{date}\n", "etc/hostname": "gpu17\n"})
    assert (recording.taken_at, NO_ZONE not in recording.notes) == (at, is_sure)


def test_what_pools_and_arrays_say_of_themselves(tmp_path: Path) -> None:
    names = "NAME  SIZE  ALLOC  FREE  CKPOINT  EXPANDSZ  FRAG  CAP  DEDUP  HEALTH  ALTROOT\n"
    files = {
        "sos_commands/zfs/zpool_status_-vx": "all pools are healthy\n",
        "sos_commands/zfs/zpool_list": f"{names}tank  54.5T  31.9T  22.6T  -  -  12%  58%  1.00x  ONLINE  -\n",
        "sos_commands/md/mdadm_-D_.dev.md0": "/dev/md0:\n        Raid Level : raid1\n      Raid Devices : 2\n"
        "             State : clean, degraded\n    Active Devices : 1\n",
    }
    ended = check(folder(tmp_path, files), tmp_path)
    said = {id: ended.check(id)["status"] for id in ("zfs_pools", "zfs_scrub", "md_raid")}
    assert said == {"zfs_pools": "ok", "zfs_scrub": "unknown", "md_raid": "critical"}


def test_a_date_that_is_not_of_its_manifest_does_not_count(tmp_path: Path) -> None:
    recording = load(tmp_path, WITH_MANIFEST | {"sos_commands/date/date": "Mon Nov 23 03:10:00 UTC 2099\n"})
    assert recording.taken_at == 1795403400.0
    assert recording.notes == ["its date is not that of its manifest, which counts", NO_ZONE]


def test_without_a_date_the_manifest_or_the_answers_tell_when(tmp_path: Path) -> None:
    files = {name: text for name, text in FILES.items() if name != "sos_commands/date/date"}
    recording = load(tmp_path, files)
    assert recording.is_lower_bound and recording.taken_at == 1795395600.0  # 01:00 in dmesg -T
    recording = load(tmp_path, files | {"sos_reports/manifest.json": manifest()})
    assert not recording.is_lower_bound and recording.taken_at == 1795403400.0


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=100 if os.environ.get("MLOPSDOC_SOAK") else 6,
)
@given(
    st.lists(st.sampled_from(sorted(WITH_MANIFEST)), min_size=1, max_size=12, unique=True),
    st.sampled_from(["gone", "empty", "half", "noise"]),
)
def test_what_was_destroyed_is_never_ok(tmp_path: Path, names: list[str], how: str) -> None:
    files = dict(WITH_MANIFEST)
    for name in names:
        text = files.pop(name)
        if how != "gone":
            files[name] = {"empty": "", "half": text[: len(text) // 2], "noise": "\x00\x1b[2J%s{[(<" * 40}[how]
    place = tmp_path / str(len(list(tmp_path.iterdir())))
    top = folder(place, files)
    ended = check(top, place)
    assert ended.code in (0, 1, 2, 3) and "bug in mlopsdoc" not in ended.err
    assert "please report this" not in ended.out
    assert ended.check("zfs_scrub")["status"] != "ok"
    if "sos_commands/filesys/df_-al_-x_autofs" in names:
        assert ended.check("disk_space")["status"] != "ok"


def test_a_real_one_says_what_the_host_says(tmp_path: Path) -> None:
    """Made here by the real collector, where it is installed and may run."""
    if not shutil.which("sos") or os.geteuid() != 0:
        pytest.skip("needs the program sos (Debian: sosreport), and root")
    made = subprocess.run(
        ["sos", "report", "--batch", "--quiet", "--tmp-dir", str(tmp_path), "-z", "gzip", "-o", PLUGINS],
        capture_output=True,
        timeout=120,
    )
    archives = list(tmp_path.glob("sosreport-*.tar.gz"))
    if not archives:
        pytest.skip(f"sos made none: {made.stderr[-200:]!r}")
    live = mlopsdoc("check", "--json", place=tmp_path)
    replayed = check(archives[0], tmp_path)
    assert replayed.report()["host"]["name"] == live.report()["host"]["name"]
    assert replayed.report()["host"]["kernel"] == live.report()["host"]["kernel"]
    assert abs(foreign.load(str(archives[0]))[1].taken_at - archives[0].stat().st_mtime) < 120
    for id in ("disk_space", "cpu_thermal"):
        assert replayed.check(id)["status"] == live.check(id)["status"], id
