"""Text copied from terminals: which questions it answers, how well, and with which bytes."""

from __future__ import annotations

import json
import os
import random
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsdoc import opening
from mlopsdoc.facts import df
from mlopsdoc.facts.units import PROPERTIES
from mlopsdoc.hosts.merged import Differ, merge
from mlopsdoc.hosts.pasted import margins, shapes, transcript
from mlopsdoc.hosts.pasted.commands import Canonical, canonical, is_command
from mlopsdoc.hosts.pasted.dates import Moment, moment_of
from mlopsdoc.hosts.pasted.prompts import pipelines, prompt_of
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.hosts.refusals import OverLimit
from mlopsdoc.opening import BadSource, recording, recordings
from tests.program import measured, mlopsdoc

MDSTAT = """Personalities : [raid1] [raid6] [raid5] [raid4]
md7 : active raid1 nvme9n1p2[1] nvme8n1p2[0]
      468718592 blocks super 1.2 [2/2] [UU]
      bitmap: 1/4 pages [4KB], 65536KB chunk

unused devices: <none>
"""
POOL = """  pool: lake
 state: ONLINE
  scan: scrub repaired 0B in 02:11:09 with 0 errors on Sun Nov 15 02:35:10 2026
config:

\tNAME        STATE     READ WRITE CKSUM
\tlake        ONLINE       0     0     0
\t  mirror-0  ONLINE       0     0     0
\t    sda     ONLINE       0     0     0
\t    sdb     ONLINE       0     0     0

errors: No known data errors
"""
KERNEL = """[ 8123.000411] NVRM: Xid (PCI:0000:4f:00): 79, pid=8811, name=train, GPU has fallen off the bus.
[ 8124.100000] nvme nvme3: I/O 12 QID 4 timeout, aborting
"""
TABLE = """+-----------------------------------------------------------------------------------------+
| NVIDIA-SMI 570.86.15              Driver Version: 570.86.15      CUDA Version: 12.8     |
|-----------------------------------------+------------------------+----------------------+
|   0  NVIDIA H200                    On  |   00000000:4F:00.0 Off |                    0 |
+-----------------------------------------+------------------------+----------------------+
| Processes:                                                                              |
|  No running processes found                                                             |
+-----------------------------------------------------------------------------------------+
"""
SDR = """PS1 Status       | 64h | ok  | 10.1 | Presence detected
PS2 Status       | 65h | ok  | 10.2 | Presence detected, Failure detected
"""
NUMA = """available: 2 nodes (0-1)
node 0 cpus: 0 1
node 0 size: 64215 MB
node 0 free: 61000 MB
node 1 cpus: 2 3
node 1 size: 64468 MB
node 1 free: 62000 MB
node distances:
node   0   1
  0:  10  21
  1:  21  10
"""
TOPO = (
    "\tGPU0\tGPU1\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\nGPU0\t X \tNV18\tPIX\t0-31\t0\t\tN/A\n"
    "GPU1\tNV18\t X \tSYS\t0-31\t0\t\tN/A\nNIC0\tPIX\tSYS\t X \n\nLegend:\n\n  X    = Self\n"
)
QUERY = """==============NVSMI LOG==============

Timestamp                                 : Mon Nov 16 11:00:09 2026
Driver Version                            : 570.86.15
CUDA Version                              : 12.8

Attached GPUs                             : 1
GPU 00000000:4F:00.0
    Product Name                          : NVIDIA H200
    ECC Errors
        Volatile
            SRAM Correctable              : 0
    Processes                             : None
"""
XML = """<?xml version="1.0" ?>
<nvidia_smi_log>
<attached_gpus>1</attached_gpus>
<gpu id="00000000:4F:00.0">
<product_name>NVIDIA H200</product_name>
<processes/>
</gpu>
</nvidia_smi_log>
"""
SMART = """smartctl 7.4 2023-08-01 r5530 [x86_64-linux-6.8.0] (local build)
=== START OF INFORMATION SECTION ===
Model Number:                       ACME 9000
=== START OF SMART DATA SECTION ===
SMART overall-health self-assessment test result: PASSED
Critical Warning:                   0x00
"""
SYSLOG = """Nov 16 10:59:01 gpu-9 kernel: [ 91.5] mlx5_core 0000:18:00.0: Port module event: module 0, Cable unplugged
Nov 16 10:59:02 gpu-9 systemd[1]: Started Daily apt download activities.
"""


def said(text: str) -> dict[str, tuple[str, str]]:
    """Status and text of each answer."""
    return {key: (a.status, a.text) for key, a in transcript.parse(text).answers.items()}


def keys(text: str) -> set[str]:
    return set(transcript.parse(text).answers)


# ---- prompts


@pytest.mark.parametrize(
    ("prompt", "host", "is_root"),
    [
        ("$ ", "", False),
        ("# ", "", True),
        ("> ", "", False),
        ("mara@gpu-9:~$ ", "gpu-9", False),
        ("root@gpu-9:/var/log# ", "gpu-9", True),
        ("[root@gpu-9 ~]# ", "gpu-9", True),
        ("[mara@gpu-9 work dir]$ ", "gpu-9", False),
        ("gpu-9:/data # ", "gpu-9", True),
        ("gpu-9# ", "gpu-9", True),
        ("(train) mara@gpu-9:~/x$ ", "gpu-9", False),
        ("bash-5.2$ ", "", False),
        ("sh-4.4# ", "", True),
        ("mara@gpu-9 ~ % ", "gpu-9", False),
        ("[11:02:33] mara@gpu-9:~$ ", "gpu-9", False),
        ("\x1b[01;32mmara@gpu-9\x1b[00m:\x1b[01;34m~\x1b[00m$ ", "gpu-9", False),
        ("\x1b]0;mara@gpu-9: ~\x07mara@gpu-9:~$ ", "gpu-9", False),
        ("\u276f ", "", False),
        ("➜  ~ ", "", False),
    ],
)
def test_prompts(prompt: str, host: str, is_root: bool) -> None:
    answers = said(f"{prompt}cat /proc/mdstat\r\n{MDSTAT}{prompt}uname -r\n6.8.0-49-generic\n")
    assert answers["read /proc/mdstat"] == ("ok", MDSTAT)
    assert answers["read /proc/sys/kernel/osrelease"] == ("ok", "6.8.0-49-generic\n")
    assert answers.get("read /proc/sys/kernel/hostname", ("", ""))[1].strip() == host
    assert ("read /proc/self/status" in answers) == is_root


@pytest.mark.parametrize(
    "line",
    [
        "# the second node was fine",
        "# nvidia-smi shows eight",
        "# date of the failure",
        "# df is full",
        "# 2x H200",
        "# gpu   pwr gtemp",
        "quota> 12 of 40",
        "6 % of it",
        "#",
        "$5 each",
        "a -> b",
        "<kernel> x",
    ],
)
def test_what_is_no_prompt(line: str) -> None:
    assert prompt_of(line) is None


def test_remarks_do_not_belong_to_outputs() -> None:
    answers = said(f"$ nvidia-smi -L\nGPU 0: NVIDIA H200 (UUID: GPU-1)\n# the other seven are like it\n{KERNEL}")
    assert answers["run nvidia-smi -L"] == ("truncated", "GPU 0: NVIDIA H200 (UUID: GPU-1)\n")
    assert answers["run dmesg"] == ("truncated", KERNEL)
    late = said("$ nvidia-smi -L\nGPU 0: NVIDIA H200 (UUID: GPU-1)\n# a healthy one\n$ uptime\n")
    assert late["run nvidia-smi -L"][0] == "ok"


def test_a_remark_that_says_cut() -> None:
    assert said("$ nvidia-smi -L\nGPU 0: NVIDIA H200\n# ... and so on\n")["run nvidia-smi -L"][0] == "truncated"
    assert said("$ nvidia-smi -L\nGPU 0: NVIDIA H200\n[...]\n")["run nvidia-smi -L"] == (
        "truncated",
        "GPU 0: NVIDIA H200\n",
    )


# ---- commands


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sudo -n /usr/bin/nvidia-smi --query", Canonical("run nvidia-smi -q")),
        ("nvidia-smi -x -q", Canonical("run nvidia-smi -q -x")),
        ("nvidia-smi -i 3 -q -d ECC", Canonical("run nvidia-smi -q", True)),
        ("nvidia-smi topo --matrix", Canonical("run nvidia-smi topo -m")),
        ("nvidia-smi nvlink --errorcounters -i 0", Canonical("run nvidia-smi nvlink -e", True)),
        (
            "nvidia-smi --query-gpu=name,pstate --format=csv,noheader",
            Canonical("run nvidia-smi --query-gpu", False, "name, pstate"),
        ),
        ("LC_ALL=C timeout -k 1 5 zpool status -v", Canonical("run zpool status")),
        ("zpool status lake", Canonical("run zpool status", True)),
        ("zpool status -j --json-int", Canonical("run zpool status -j")),
        ("dmesg -Tx", Canonical("run dmesg")),
        ("dmesg --level=err", Canonical("run dmesg", True)),
        ("journalctl -kb0 --no-pager", Canonical("run dmesg")),
        ("journalctl -k --since yesterday", Canonical("run dmesg", True)),
        ("journalctl -k -b -1", Canonical("run journalctl -k -b -1")),
        ("lspci -s 4f:00.0 -vv", Canonical("run lspci -vvv", True)),
        ("df -hT /data", Canonical("run df", True)),
        ("ipmitool -I lanplus -H bmc -U me sdr elist", Canonical("run ipmitool sdr elist")),
        ("ipmitool sdr type 'Power Supply'", Canonical("run ipmitool sdr elist", True)),
        ("ssh root@gpu-9 numactl --hardware", Canonical("run numactl -H")),
        ("kubectl exec -n ml job-0 -- nvidia-smi -L", Canonical("run docker exec container nvidia-smi -L")),
        ("kubectl -n ml exec job-0 -- nvidia-smi -L", Canonical("run docker exec container nvidia-smi -L")),
        ("docker -H tcp://gpu-9 exec job nvidia-smi -L", Canonical("run docker exec container nvidia-smi -L")),
        ("dcgmi --version", Canonical("run dcgmi -v")),
        ("nvidia-ctk --version", Canonical("run nvidia-ctk --version")),
        ("systemctl show nvidia-dcgm.service", Canonical(f"run systemctl show -p {PROPERTIES} nvidia-dcgm")),
        (
            "systemctl show --property=ActiveState nvidia-dcgm",
            Canonical(f"run systemctl show -p {PROPERTIES} nvidia-dcgm", True),
        ),
        ("systemctl show -p ActiveState --value nvidia-dcgm", None),
        ("rdmsr -p 4 0x64f", Canonical("run rdmsr 0x64f", True)),
        ("nvidia-smi shows eight", None),
        ("frobnicate -x", None),
    ],
)
def test_what_commands_ask(command: str, expected: Canonical | None) -> None:
    assert canonical(pipelines(command)[0][0].words) == expected


def test_prose_is_no_command() -> None:
    assert is_command(("zpool", "status", "lake"))
    assert not is_command(("zpool", "status", "was", "fine"))
    assert not is_command(("free", "space", "is", "low"))


def test_filters_make_parts() -> None:
    for command in ("dmesg | grep -i nvrm", "dmesg -T | tail -20", "sudo dmesg | grep -v usb | sort | head"):
        assert said(f"$ {command}\n{KERNEL}$ \n")["run dmesg"] == ("truncated", KERNEL)
    assert said(f"$ dmesg | tee /tmp/x\n{KERNEL}$ \n")["run dmesg"] == ("ok", KERNEL)
    assert said(f"$ dmesg | grep -nA1 NVRM\n7:{KERNEL.splitlines()[0]}\n--\n9-{KERNEL.splitlines()[1]}\n")[
        "run dmesg"
    ] == ("truncated", KERNEL)
    counted = said(
        "$ lspci -vvv | grep ACSCtl | sort | uniq -c\n      2 \t\tACSCtl:\tSrcValid+\n      1 \t\tACSCtl:\tSrcValid-\n"
    )
    assert counted["run lspci -vvv"] == ("truncated", "\t\tACSCtl:\tSrcValid+\n" * 2 + "\t\tACSCtl:\tSrcValid-\n")


@pytest.mark.parametrize(
    "command",
    [
        "dmesg | less", "dmesg | sudo more", "dmesg -W", "dmesg -w", "dmesg -u", "dmesg -l err", "dmesg -T --follow",
        "journalctl -kf", "journalctl -k -e", "dmesg | sed -n 1,5p", "dmesg | sed '/usb/d'",
        "dmesg | awk '/NVRM/ && !/x/'", "dmesg | awk 'NR<9'", "bash -c 'dmesg | tail'",
        "su - root -c 'dmesg | tail'", "ssh gpu-9 'sudo dmesg | tail' | head",
    ],
)  # fmt: skip
def test_what_shows_a_part(command: str) -> None:
    assert said(f"$ {command}\n{KERNEL}$ \n")["run dmesg"] == ("truncated", KERNEL)


@pytest.mark.parametrize(
    "command",
    [
        "journalctl -kb -1", "journalctl -xkb-1", "journalctl -k -b -2", "journalctl --boot=-1 -k",
        "journalctl -k -b all", "journalctl -k -D /mnt/log", "journalctl -k --file=x.journal",
        "journalctl -km", "journalctl -k --root /mnt",
        "cat /var/log/kern.log.1", "cat /var/log/dmesg", "zcat /var/log/syslog.2.gz",
    ],
)  # fmt: skip
def test_another_boot_or_another_journal_is_not_this_one(command: str) -> None:
    assert "run dmesg" not in keys(f"$ {command}\n{KERNEL}$ \n")


@pytest.mark.parametrize(
    "filter", ["sed 's/NVRM/X/'", "sed -n 's/a/b/p'", "awk '{print}'", "grep -c x", "grep -o x", "cut -c1-9"]
)
def test_what_changes_lines_is_no_answer(filter: str) -> None:
    assert not transcript.parse(f"$ nvidia-smi -q | {filter}\n42\n$ \n").is_known


@pytest.mark.parametrize(
    "mark",
    [
        "[...]", "...", "…", "[snip]", "[ snip ]", "<snip>", "---8<---", "--- 8< ---", "<truncated>", "*** cut ***",
        "(output truncated)", "[12 lines omitted]", "--More--", "--More--(12%)", ":", "lines 1-23", "snip", "[…]",
    ],
)  # fmt: skip
def test_marks_of_a_cut(mark: str) -> None:
    assert said(f"$ nvidia-smi -L\nGPU 0: NVIDIA H200 (UUID: GPU-1)\n{mark}\n$ \n")["run nvidia-smi -L"] == (
        "truncated",
        "GPU 0: NVIDIA H200 (UUID: GPU-1)\n",
    )


@pytest.mark.parametrize(
    "line", ["   -       0        0        1      removed", "  removed  REMOVED  0  0  0", "(END)", "cut here: x"]
)
def test_what_is_no_mark_of_a_cut(line: str) -> None:
    assert said(f"$ mdadm --detail /dev/md7\n/dev/md7:\n{line}\n$ \n")["run mdadm --detail %2Fdev%2Fmd7"][0] == "ok"


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("edac-util -v", "run edac-util -v"), ("ras-mc-ctl --errors", "run ras-mc-ctl --errors"),
        ("systemctl status nvidia-fabricmanager.service -l", "run systemctl status nvidia-fabricmanager"),
        ("journalctl -u nvidia-fabricmanager.service -b", "run journalctl -u nvidia-fabricmanager"),
        ("rdma link show", "run rdma link"), ("lspci -tv", "run lspci -t"), ("dkms status", "run dkms status"),
        ("nvme smart-log /dev/nvme0", "run nvme smart-log %2Fdev%2Fnvme0"),
        ("nvidia-smi mig -lgi", "run nvidia-smi mig -lgi"),
        ("mdadm -D /dev/md0", "run mdadm --detail %2Fdev%2Fmd0"), ("ethtool -S ens1", "run ethtool -S ens1"),
        ("kubectl logs nvidia-device-plugin-x", "run kubectl logs nvidia-device-plugin-x"), ("df -H", "run df -H"),
    ],
)  # fmt: skip
def test_keys_of_commands(command: str, key: str) -> None:
    found = canonical(tuple(command.split()))
    assert found is not None
    assert found.key == key


def test_what_filters_find_is_no_refusal() -> None:
    line = "[ 12.000001] audit: apparmor=1 denied: Operation not permitted\n"
    assert said(f"$ dmesg | grep -i denied\n{line}$ \n")["run dmesg"] == ("truncated", line)
    line = "   Permission denied for user x\n"
    assert said(f"$ nvidia-smi -q | grep -i denied\n{line}$ \n")["run nvidia-smi -q"] == ("truncated", line)
    refused = "dmesg: read kernel buffer failed: Operation not permitted\n"
    assert said(f"$ dmesg | grep -i denied\n{refused}$ \n")["run dmesg"][0] == "denied"


def test_where_grep_left_lines_out_of_sections_is_kept() -> None:
    shown = "    GPU Power Readings\n        Average Power Draw : 91.20 W\n--\n        Average Power Draw : N/A\n"
    assert said(f"$ nvidia-smi -q | grep -A1 -i power\n{shown}$ \n")["run nvidia-smi -q"] == ("truncated", shown)
    assert said("$ lscpu | grep -A1 NUMA\nNUMA node(s): 2\n--\nFlags: fpu\n$ \n")["run lscpu"][1].count("--") == 0


def test_filters_that_change_lines_are_not_understood() -> None:
    made = transcript.parse("$ nvidia-smi -q | awk '{print $3}'\n42\n")
    assert not made.is_known
    assert made.notes == ["understood 0 of 1 commands; not understood: `nvidia-smi -q | awk '{print $3}'`"]
    assert any(answer.text == "42\n" for answer in made.answers.values())


def test_command_lines_that_go_on() -> None:
    text = f"$ cat \\\n> /proc/mdstat\n{MDSTAT}$ dmesg |\n> grep NVRM\n{KERNEL}$ \n"
    assert said(text)["read /proc/mdstat"] == ("ok", MDSTAT)
    assert said(text)["run dmesg"] == ("truncated", KERNEL)


def test_several_commands_in_a_line() -> None:
    text = f"$ echo == md; cat /proc/mdstat; echo == numa && numactl -H\n== md\n{MDSTAT}== numa\n{NUMA}"
    assert said(text)["read /proc/mdstat"] == ("ok", MDSTAT)
    assert said(text)["run numactl -H"] == ("ok", NUMA)
    joined = said(f"$ zpool status; numactl -H\n{POOL}{NUMA}")
    assert joined["run zpool status"] == ("truncated", POOL)
    assert joined["run numactl -H"] == ("truncated", NUMA)
    assert said(f"$ cd /tmp && clear; numactl -H\n{NUMA}")["run numactl -H"] == ("ok", NUMA)


def test_bare_separators() -> None:
    for mark in ("---", "-n ---", "'=== x ==='"):
        text = mark.removeprefix("-n ").strip("'")
        answers = said(f"$ cat /proc/mdstat; echo {mark}; numactl -H\n{MDSTAT}{text}\n{NUMA}$ \n")
        assert answers["read /proc/mdstat"] == ("ok", MDSTAT)
        assert answers["run numactl -H"] == ("ok", NUMA)
    answers = said(f"$ numactl -H; echo; uname -r\n{NUMA}\n6.8.0\n$ \n")
    assert answers["run numactl -H"] == ("ok", NUMA)
    assert answers["run uname -r"] == ("ok", "6.8.0\n")
    answers = said(f"$ cat /proc/mdstat; echo; numactl -H\n{MDSTAT}\n{NUMA}$ \n")  # which blank line is it?
    assert (answers["read /proc/mdstat"][0], answers["run numactl -H"]) == ("truncated", ("truncated", NUMA))


@pytest.mark.parametrize(
    ("between", "output", "status"),
    [
        ("&& echo yes || echo no", "no", "absent"),
        ("|| echo missing", "missing", "absent"),
        ("&& echo there", "there", "truncated"),
        ("|| echo missing && echo there", "there", None),
        ("|| echo missing", "", None),
    ],
)
def test_tests_of_files(between: str, output: str, status: str | None) -> None:
    answer = transcript.parse(f"$ test -e /dev/ipmi0 {between}\n{output}\n$ \n").answers.get("read /dev/ipmi0")
    assert (answer.status if answer else None) == status


def test_output_that_went_to_a_file() -> None:
    assert "run dmesg" not in keys("$ dmesg > /tmp/x\n$ uptime\n")


def test_csv_without_header() -> None:
    text = "$ nvidia-smi --query-gpu=index,power.draw --format=csv,noheader\n0, 91.02 W\n$ \n"
    assert said(text)["run nvidia-smi --query-gpu"] == ("ok", "index, power.draw\n0, 91.02 W\n")
    text = "$ nvidia-smi --query-gpu=index,power.draw --format=csv\nindex, power.draw [W]\n0, 91.02 W\n$ \n"
    assert said(text)["run nvidia-smi --query-gpu"] == ("ok", "index, power.draw [W]\n0, 91.02 W\n")


# ---- what went wrong


@pytest.mark.parametrize(
    ("text", "key", "status"),
    [
        ("$ nvidia-smi\nbash: nvidia-smi: command not found\n", "run nvidia-smi", "absent"),
        ("$ sudo zpool status\nsudo: zpool: command not found\n", "run zpool status", "absent"),
        ("$ ipmitool sdr elist\nzsh: command not found: ipmitool\n", "run ipmitool sdr elist", "absent"),
        (
            "$ numactl -H\nCommand 'numactl' not found, but can be installed with:\nsudo apt install numactl\n",
            "run numactl -H",
            "absent",
        ),
        ("$ dmesg\ndmesg: read kernel buffer failed: Operation not permitted\n", "run dmesg", "denied"),
        ("$ cat /proc/mdstat\ncat: /proc/mdstat: No such file or directory\n", "read /proc/mdstat", "absent"),
        ("$ cat /etc/shadow\ncat: /etc/shadow: Permission denied\n", "read /etc/shadow", "denied"),
        ("$ head -1 /x\nhead: cannot open '/x' for reading: No such file or directory\n", "read /x", "absent"),
        ("$ nvidia-smi\nFailed to initialize NVML: Driver/library version mismatch\n", "run nvidia-smi", "failed"),
        ("$ nvidia-smi\nNo devices were found\n", "run nvidia-smi", "failed"),
        ("$ test -e /dev/ipmi0 && echo yes || echo no\nno\n", "read /dev/ipmi0", "absent"),
        ("$ [ -d /sys/module/zfs ] && echo yes || echo no\nyes\n", "read /sys/module/zfs", "truncated"),
    ],
)
def test_what_could_not_be_said(text: str, key: str, status: str) -> None:
    answer = transcript.parse(text).answers[key]
    assert answer.status == status
    assert answer.exit is None


def test_what_sudo_says_later_counts() -> None:
    refused = "$ dmesg\ndmesg: read kernel buffer failed: Operation not permitted\n"
    text = f"{refused}$ sudo dmesg\n[sudo] password for mara: \n{KERNEL}$ \n"
    assert said(text)["run dmesg"] == ("ok", KERNEL)
    assert said(f"# dmesg\n{KERNEL}$ dmesg\ndmesg: Operation not permitted\n")["run dmesg"] == ("ok", KERNEL)


DF = "Filesystem      Size  Used Avail Use% Mounted on\n/dev/md1        187G   {}G  101G  43% /var\n"


def test_of_two_outputs_the_later_counts() -> None:
    text = f"$ df -h\n{DF.format(76)}$ ./fill\n$ df -hT\n{DF.format(80)}$ \n"
    assert said(text)["run df"] == ("ok", DF.format(80))
    more = POOL.replace("repaired 0B", "repaired 4K")
    text = f"$ zpool status\n{POOL}$ zpool status -v\n{more}$ \n"
    assert said(text)["run zpool status"] == ("ok", more)
    assert said(f"$ zpool status\n{POOL}$ zpool status | grep scan\n{POOL.splitlines()[2]}\n$ \n")[
        "run zpool status"
    ] == ("ok", POOL)
    csv = "$ nvidia-smi --query-gpu=index,{0} --format=csv\nindex, {0}\n0, {1}\n"
    text = csv.format("pstate", "P0") + csv.format("temperature.gpu", 61) + csv.format("pstate", "P2") + "$ \n"
    expected = "index, temperature.gpu\n0, 61\nindex, pstate\n0, P2\n"
    assert said(text)["run nvidia-smi --query-gpu"] == ("ok", expected)
    assert said(f"$ dmesg\n{KERNEL}$ dmesg\n{KERNEL}$ \n")["run dmesg"] == ("ok", KERNEL * 2)


def test_answers_keep_their_order() -> None:
    text = f"$ cat /proc/mdstat\n{MDSTAT}$ numactl -H\n{NUMA}$ df -h\n{DF.format(76)}$ cat /proc/mdstat\n{MDSTAT}$ \n"
    answers = transcript.parse(text).answers
    orders = [answers[key].order for key in ("run numactl -H", "run df", "read /proc/mdstat")]
    assert 0 < orders[0] < orders[1] < orders[2]


@pytest.mark.parametrize(
    ("command", "output", "key", "status"),
    [
        ("df -h", DF.format(76), "run df", "truncated"),
        ("zpool status", POOL, "run zpool status", "truncated"),
        ("dmesg", KERNEL, "run dmesg", "truncated"),
        ("cat /proc/mdstat", MDSTAT, "read /proc/mdstat", "ok"),
        ("nvidia-smi", TABLE, "run nvidia-smi", "ok"),
        ("numactl -H", NUMA, "run numactl -H", "ok"),
        ("cat /sys/block/sda/queue/rotational", "0\n", "read /sys/block/sda/queue/rotational", "ok"),
    ],
)
def test_the_last_output_is_whole_only_where_its_form_says_so(command: str, output: str, key: str, status: str) -> None:
    assert said(f"$ {command}\n{output}")[key] == (status, output)
    assert said(f"$ {command}\n{output}$ \n")[key] == ("ok", output)


def test_a_last_output_that_may_be_cut_is_still_the_latest() -> None:
    assert said(f"$ df -h\n{DF.format(76)}$ df -h\n{DF.format(80)}")["run df"] == ("truncated", DF.format(80))


def test_outputs_above_their_commands() -> None:
    text = f"{DF.format(76)}$ df -h\n{POOL}$ zpool status\n{MDSTAT}$ cat /proc/mdstat\n"
    recorded = transcript.parse(text)
    answers = {key: (answer.status, answer.text) for key, answer in recorded.answers.items()}
    assert answers["run df"] == ("truncated", DF.format(76))
    assert answers["run zpool status"] == ("truncated", POOL)
    assert answers["read /proc/mdstat"] == ("truncated", MDSTAT)
    assert "`df -h`, `zpool status`" in recorded.notes[0]


def test_lines_below_no_command_are_told_of() -> None:
    recorded = transcript.parse(f"some words\nof somebody\n$ numactl -H\n{NUMA}")
    assert "2 lines that stand below no command" in recorded.notes[0]


def test_of_failure_and_success_the_later_counts() -> None:
    lost = "Unable to determine the device handle for GPU0: 0000:4F:00.0: Unknown Error\n"
    assert said(f"$ nvidia-smi\n{TABLE}$ nvidia-smi\n{lost}")["run nvidia-smi"] == ("failed", lost)
    assert said(f"$ nvidia-smi\n{lost}$ nvidia-smi\n{TABLE}")["run nvidia-smi"] == ("ok", TABLE)


# ---- files

SYS = "/sys/bus/pci/devices/0000:4f:00.0"


@pytest.mark.parametrize(
    "text",
    [
        f"$ cat {SYS}/numa_node\n1\n$ cat {SYS}/max_link_width\n16\n",
        f"$ cat {SYS}/{{numa_node,max_link_width}}\n1\n16\n",
        f"$ grep '' {SYS}/{{numa_node,max_link_width}}\n{SYS}/numa_node:1\n{SYS}/max_link_width:16\n",
        f"$ grep . {SYS}/*\n{SYS}/numa_node:1\n{SYS}/max_link_width:16\n",
        f"$ grep -r . {SYS}\n{SYS}/numa_node:1\n{SYS}/max_link_width:16\n",
        f"$ tail -v -n +1 {SYS}/*_*\n==> {SYS}/numa_node <==\n1\n\n==> {SYS}/max_link_width <==\n16\n",
        f"$ tail -n +1 {SYS}/*\n==> numa_node <==\n1\n\n==> max_link_width <==\n16\n",
        f"$ for f in {SYS}/*; do echo $f $(cat $f); done\n{SYS}/numa_node 1\n{SYS}/max_link_width 16\n",
        f'$ for f in {SYS}/*; do echo "$f: $(cat $f)"; done\n{SYS}/numa_node: 1\n{SYS}/max_link_width: 16\n',
        (
            f'$ for n in numa_node max_link_width; do echo -n "$n = "; cat {SYS}/$n; done\n'
            "numa_node = 1\nmax_link_width = 16\n"
        ),
        (
            f"$ for n in numa_node max_link_width\n> do\n> echo $n; cat {SYS}/$n\n> done\n"
            "numa_node\n1\nmax_link_width\n16\n"
        ),
        f"$ cd {SYS}\n$ cat numa_node max_link_width\n1\n16\n",
        f"root@gpu-9:{SYS}# cat numa_node max_link_width\n1\n16\n",
    ],
)
def test_files_however_they_are_printed(text: str) -> None:
    answers = said(text)
    assert answers[f"read {SYS}/numa_node"] == ("ok", "1\n")
    assert answers[f"read {SYS}/max_link_width"] == ("ok", "16\n")


@pytest.mark.parametrize("form", [f"{SYS}/numa_node:1\n{SYS}/x:a/b:c\n", f"{SYS}/numa_node\n1\n{SYS}/x\na/b:c\n"])
def test_paths_and_values_without_a_command(form: str) -> None:
    assert said(form) == {
        f"read {SYS}/numa_node": ("truncated", "1\n"),
        f"read {SYS}/x": ("truncated", "a/b:c\n"),
    }


@pytest.mark.parametrize(
    "text",
    [
        f"$ cat {SYS}/*\n1\n16\n",  # which file has which line, nobody said
        f"$ cat {SYS}/{{a,b,c}}\n1\n16\n",
        f"$ for f in {SYS}/*; do cat $f; done\n1\n16\n",
        "$ for d in 0 1; do echo $d $(cat /sys/x$d/y); done\n1 7\n0 8\n",
        "$ for d in 0 1; do echo $(cat /sys/x$d/y) $(cat /sys/x$d/z); done\n16 GT/s 8\n16 GT/s 4\n",
        "$ for d in 0 1; do cat /sys/x$d/y; done | sort\n7\n8\n",
    ],
)
def test_lines_that_fit_no_file_are_given_to_none(text: str) -> None:
    made = transcript.parse(text)
    assert not [key for key in made.answers if key.startswith("read ")]
    assert len(made.notes) == 1


def test_a_value_that_all_files_have() -> None:
    text = "$ cat /sys/devices/system/cpu/cpu*/thermal_throttle/core_throttle_count | sort -u\n0\n"
    assert said(text)["read /sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count"] == ("truncated", "0\n")


def test_parts_of_files() -> None:
    assert said("$ grep -i sda /proc/mounts\n/dev/sda1 / ext4 rw 0 0\n")["read /proc/mounts"][0] == "truncated"
    assert said("$ head -2 /proc/cpuinfo\nprocessor : 0\n")["read /proc/cpuinfo"][0] == "truncated"
    assert said(f"$ cat /proc/mdstat | head\n{MDSTAT}")["read /proc/mdstat"] == ("truncated", MDSTAT)
    cut = MDSTAT.partition("unused")[0]
    assert said(f"$ cat /proc/mdstat\n{cut}$ \n")["read /proc/mdstat"][0] == "truncated"


def test_a_saved_output_is_read_for_what_it_is() -> None:
    answers = said(f"$ cat /tmp/pools.txt\n{POOL}$ cat saved.log\n{KERNEL}")
    assert answers["run zpool status"] == ("truncated", POOL)
    assert answers["run dmesg"] == ("truncated", KERNEL)


def test_logs_are_told_apart() -> None:
    kernel, other = SYSLOG.splitlines(keepends=True)
    for text in (f"$ tail /var/log/syslog\n{SYSLOG}", SYSLOG):
        assert said(text)["run dmesg"] == ("truncated", kernel)
        assert said(text)["run journalctl"] == ("truncated", other)
    earlier = said(f"$ journalctl -k -b -1\n{SYSLOG}")
    assert "run dmesg" not in earlier


def test_links_and_nodes() -> None:
    text = (
        "$ ls -l /sys/class/net\ntotal 0\nlrwxrwxrwx 1 root root 0 Nov 16 11:00 ens1 -> ../../devices/pci0/net/ens1\n"
    )
    assert said(text)["link /sys/class/net/ens1"] == ("ok", "../../devices/pci0/net/ens1")
    text = "$ readlink -f /sys/class/net/ens1/device\n/sys/devices/pci0000:40/0000:4f:00.0\n"
    assert said(text)["link /sys/class/net/ens1/device"][1].endswith("0000:4f:00.0")
    text = "$ ls -d /sys/devices/system/node/node*\n/sys/devices/system/node/node0\n/sys/devices/system/node/node1\n"
    assert said(text)["read /sys/devices/system/node/online"] == ("ok", "0,1\n")


# ---- outputs without a command


@pytest.mark.parametrize(
    ("text", "key", "status"),
    [
        (MDSTAT, "read /proc/mdstat", "ok"),
        (POOL, "run zpool status", "truncated"),
        (KERNEL, "run dmesg", "truncated"),
        (TABLE, "run nvidia-smi", "truncated"),
        (TABLE.partition("| Processes")[0], "run nvidia-smi", "truncated"),
        (SDR, "run ipmitool sdr elist", "truncated"),
        (NUMA, "run numactl -H", "ok"),
        (NUMA.rpartition("  1:")[0], "run numactl -H", "truncated"),
        (TOPO, "run nvidia-smi topo -m", "ok"),
        (QUERY, "run nvidia-smi -q", "ok"),
        (QUERY.partition("    ECC")[1] + QUERY.partition("    ECC")[2], "run nvidia-smi -q", "truncated"),
        (SMART, "run smartctl -a", "truncated"),
        ("GPU 0: NVIDIA H200 (UUID: GPU-1)\n", "run nvidia-smi -L", "truncated"),
        (
            "GPU 0: NVIDIA H200 (UUID: GPU-1)\n\t Link 0: 26.562 GB/s\n\t Link 1: <inactive>\n",
            "run nvidia-smi nvlink -s",
            "truncated",
        ),
        ("index, name, power.draw [W]\n0, NVIDIA H200, 91.02 W\n", "run nvidia-smi --query-gpu", "truncated"),
        ("# gpu    pwr  gtemp\n# Idx      W      C\n    0     91     33\n", "run nvidia-smi dmon", "truncated"),
        (
            "Filesystem      Size  Used Avail Use% Mounted on\n/dev/sda2       100G   90G   10G  90% /\n",
            "run df",
            "truncated",
        ),
        (
            "Architecture:            x86_64\nCPU(s):                  8\nNUMA node0 CPU(s):       0-7\n",
            "run lscpu",
            "truncated",
        ),
        (
            "4f:00.0 3D controller: NVIDIA Corporation GH100\n\t\tLnkSta:\tSpeed 32GT/s, Width x16\n",
            "run lspci -vvv",
            "truncated",
        ),
        ("4f:00.0 3D controller: NVIDIA Corporation GH100\n", "run lspci", "truncated"),
        (
            "/dev/md7:\n           Version : 1.2\n        Raid Level : raid1\n",
            "run mdadm --detail %2Fdev%2Fmd7",
            "truncated",
        ),
        ("CA 'mlx5_3'\n\tCA type: MT4129\n\tPort 1:\n\t\tState: Active\n", "run ibstat", "truncated"),
        ("Settings for ens1:\n\tSpeed: 400000Mb/s\n", "run ethtool ens1", "truncated"),
        (
            "                           node0           node1\nnuma_hit             1000            2000\n",
            "run numastat",
            "truncated",
        ),
        (
            "   4 | 11/16/2026 | 10:02:11 | Power Supply #0x65 | Failure detected | Asserted\n",
            "run ipmitool sel elist",
            "truncated",
        ),
        (
            "ID,Name,Type,State,Reading,Units,Event\n9,PSU1,Power Supply,Nominal,N/A,N/A,'OK'\n",
            "run ipmi-sensors",
            "truncated",
        ),
        (
            "Smart Log for NVME device:nvme2n1 namespace-id:ffffffff\ncritical_warning : 0\n",
            "run nvme smart-log %2Fdev%2Fnvme2n1",
            "truncated",
        ),
        ('{"critical_warning":4,"avail_spare":100}\n', "run nvme smart-log -o json", "ok"),
        ('{"output_version":{"command":"zpool status"},\n "pools":{}}\n', "run zpool status -j", "truncated"),
        ('{"@odata.id":"/redfish/v1/Chassis/1/Power","PowerSupplies":[]}\n', "read /redfish/v1/Chassis/1/Power", "ok"),
        ('{"@odata.type":"#Power.v1_5_0.Power"}\n', "run redfish Power", "truncated"),
        (XML, "run nvidia-smi -q -x", "ok"),
        (XML.replace("<processes/>", ""), "run nvidia-smi -q -x", "truncated"),
        (QUERY.replace("    Processes", "    Fan Speed"), "run nvidia-smi -q", "truncated"),
        (
            "4f:00.0 3D controller: NVIDIA Corporation GH100\n\tKernel driver in use: nvidia\n",
            "run lspci -v",
            "truncated",
        ),
        ('<?xml version="1.0" ?>\n<nvidia_smi_log>\n<gpu id="0">\n', "run nvidia-smi -q -x", "truncated"),
    ],
)
def test_outputs_without_a_command(text: str, key: str, status: str) -> None:
    assert said(text) == {key: (status, text)}


def test_several_outputs_without_commands() -> None:
    answers = said(f"# from the first boot\n{MDSTAT}\n{KERNEL}\n# and the pool\n{POOL}{SDR}\n{NUMA}{TABLE}{QUERY}")
    assert set(answers) == {
        "read /proc/mdstat",
        "run dmesg",
        "run zpool status",
        "run ipmitool sdr elist",
        "run numactl -H",
        "run nvidia-smi",
        "run nvidia-smi -q",
    }
    assert answers["run zpool status"][1] == POOL
    assert answers["run nvidia-smi"] == ("truncated", TABLE)
    assert answers["run numactl -H"] == ("ok", NUMA)


def test_what_is_pasted_below_an_output() -> None:
    answers = said(f"$ nvidia-smi -L\nGPU 0: NVIDIA H200 (UUID: GPU-1)\n{KERNEL}\n{MDSTAT}")
    assert answers["run nvidia-smi -L"][1] == "GPU 0: NVIDIA H200 (UUID: GPU-1)\n"
    assert answers["run dmesg"] == ("truncated", KERNEL)
    assert answers["read /proc/mdstat"][1] == MDSTAT


def test_rows_of_the_journal_in_json() -> None:
    row = '{"__REALTIME_TIMESTAMP":"1794826809000000","_TRANSPORT":"kernel","_HOSTNAME":"gpu-9","MESSAGE":%s}\n'
    line = "2026-11-16T11:00:09+0000 gpu-9 kernel: NVRM: Xid\n"
    assert said(row % '"\\ud800"')["run dmesg"][1] == "2026-11-16T11:00:09+0000 gpu-9 kernel: ?\n"
    for message in ('"NVRM: Xid"', str(list(b"NVRM: Xid"))):
        pretty = json.dumps(json.loads(row % message), indent=4)
        for text in (
            row % message,
            f"$ journalctl -k -o json\n{row % message}",
            f"$ journalctl -o json | jq .\n{pretty}\n",
        ):
            assert said(text)["run dmesg"][1] == line


def test_lines_with_their_priority() -> None:
    text = "<4>Nov 16 11:00:09 gpu-9 kernel: NVRM: Xid\n<30>Nov 16 11:00:10 gpu-9 app[12]: x\n<3>NVRM: Xid\n"
    kernel, other, bare = text.splitlines(keepends=True)
    name = {"read /proc/sys/kernel/hostname": "gpu-9\n"}
    logs = {"run dmesg": kernel + bare, "run journalctl": other}
    assert {key: text for key, (_, text) in said(text).items()} == logs | name


def test_pools_that_are_healthy() -> None:
    words = "all pools are healthy\n"
    assert said(f"$ zpool status\n{POOL}$ zpool status -x\n{words}$ ")["run zpool status"] == ("ok", POOL)
    assert said(words)["run zpool status -x"] == ("truncated", words)


# ---- which machine, and when


def test_containers_answer_for_themselves() -> None:
    list_ = "GPU 0: NVIDIA H200 (UUID: GPU-1)\n"
    lost = "Failed to initialize NVML: Unknown Error\n"
    for inside in (
        "$ docker exec -it job nvidia-smi -L",
        "(container) $ nvidia-smi -L",
        "# podman exec job nvidia-smi -L",
    ):
        answers = said(f"# nvidia-smi -L\n{list_}{inside}\n{lost}")
        assert answers["run nvidia-smi -L"] == ("ok", list_)
        assert answers["run docker exec container nvidia-smi -L"] == ("failed", lost)
    assert said(f"(container) $ nvidia-smi -L\n{lost}")["run nvidia-smi -L"] == ("failed", lost)


LIST = "GPU 0: NVIDIA H200 (UUID: GPU-1)\n"


@pytest.mark.parametrize(
    "inside",
    [
        "docker run --rm --gpus all -v /a:/b cuda:13 nvidia-smi -L", "sudo podman exec -it job nvidia-smi -L",
        "docker compose exec -T job nvidia-smi -L", "chroot /mnt nvidia-smi -L", "nsenter -t 4711 -m nvidia-smi -L",
        "ip netns exec blue nvidia-smi -L", "apptainer exec --nv x.sif nvidia-smi -L", "lxc exec job -- nvidia-smi -L",
        "docker exec job bash -c 'nvidia-smi -L | head -1'",
    ],
)  # fmt: skip
def test_a_container_of_this_host_sees_some_of_its_gpus(inside: str) -> None:
    answers = said(f"root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# {inside}\n{LIST}root@gpu-9:~# \n")
    assert answers["run nvidia-smi -L"] == ("truncated", LIST)
    assert answers["read /proc/mdstat"] == ("ok", MDSTAT)
    own = inside.replace("nvidia-smi -L", "df -h")
    answers = said(f"root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# {own}\n{DF.format(76)}root@gpu-9:~# \n")
    assert "run df" not in answers


@pytest.mark.parametrize(
    "elsewhere",
    [
        "srun nvidia-smi -L", "srun -N 4 --gres=gpu:8 nvidia-smi -L", "mpirun -np 8 nvidia-smi -L",
        "kubectl get nodes",
        "kubectl exec job-0 -n ml -- nvidia-smi -L", "kubectl -n ml exec job-0 -- nvidia-smi -L",
        "pdsh -w x nvidia-smi -L",
        "ansible all -m shell -a 'nvidia-smi -L'",
    ],
)  # fmt: skip
def test_what_runs_elsewhere_is_not_this_hosts(elsewhere: str) -> None:
    answers = said(f"root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# {elsewhere}\n{LIST}root@gpu-9:~# \n")
    assert "run nvidia-smi -L" not in answers
    assert answers["read /proc/mdstat"] == ("ok", MDSTAT)


@pytest.mark.parametrize(
    "here",
    [
        "sudo -u x -- nvidia-smi -L", "su - -c 'nvidia-smi -L'", "bash -lc 'nvidia-smi -L'",
        "srun -w gpu-9 nvidia-smi -L",
        "kubectl debug node/gpu-9 -it --image=x -- chroot /host nvidia-smi -L", "nsenter -t 1 -m -u nvidia-smi -L",
        "oc debug node/gpu-9 -- chroot /host nvidia-smi -L", "nice -n 5 setsid nvidia-smi -L",
    ],
)  # fmt: skip
def test_what_runs_here_whoever_starts_it(here: str) -> None:
    answers = said(f"root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# {here}\n{LIST}root@gpu-9:~# \n")
    assert answers["run nvidia-smi -L"] == ("ok", LIST)


def test_a_prompt_ends_what_looked_like_an_open_command() -> None:
    text = f"root@gpu-9:~# echo it's broken\nit's\nroot@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# \n"
    assert said(text)["read /proc/mdstat"] == ("ok", MDSTAT)


def test_another_machine_is_another_machine() -> None:
    text = "mara@desk:~$ uptime\nmara@desk:~$ ssh gpu-9\n"
    text += f"root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# numactl -H\n{NUMA}"
    answers = said(text)
    assert answers["read /proc/sys/kernel/hostname"] == ("ok", "gpu-9\n")
    assert answers["read /proc/mdstat"] == ("ok", MDSTAT)
    assert "run uptime" not in answers
    assert said(f"mara@desk:~$ ssh gpu-9 cat /proc/mdstat\n{MDSTAT}")["read /proc/mdstat"] == ("ok", MDSTAT)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (f"root@gpu-8:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# numactl -H\n{NUMA}", ("gpu-8", "gpu-9")),
        (f"$ ssh gpu-8 cat /proc/mdstat\n{MDSTAT}$ ssh mara@gpu-9 numactl -H\n{NUMA}", ("gpu-8", "gpu-9")),
        (
            f"root@head:~# ssh gpu-9\n$ numactl -H\n{NUMA}$ exit\nroot@head:~# cat /proc/mdstat\n{MDSTAT}",
            ("gpu-9", "head"),
        ),
        (f"$ ssh gpu-9 numactl -H\n{NUMA}$ cat /proc/mdstat\n{MDSTAT}", ("gpu-9", "where they were typed")),
        (f"$ kubectl exec a-0 -- numactl -H\n{NUMA}$ kubectl exec a-1 -- numactl -H\n{NUMA}", ("pod a-0", "pod a-1")),
    ],
)
def test_outputs_of_two_hosts_are_refused(text: str, names: tuple[str, str], tmp_path: Path) -> None:
    file = tmp_path / "pasted"
    file.write_text(text)
    ended = mlopsdoc("check", "--from", str(file), place=tmp_path)
    assert (ended.code, ended.out) == (64, "")
    assert all(name in ended.err for name in names)


@pytest.mark.parametrize(
    "text",
    [
        f"mara@head:~$ ssh gpu-9\n$ cat /proc/mdstat\n{MDSTAT}$ numactl -H\n{NUMA}$ exit\nmara@head:~$ date\n",
        f"root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9.lab.example:~# numactl -H\n{NUMA}",
        f"root@gpu-9:~# sudo -s\n# numactl -H\n{NUMA}root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}",
        f"{MDSTAT}\nroot@gpu-9:~# numactl -H\n{NUMA}",
        f"mara@head:~$ srun -N1 --pty bash\nmara@gpu-9:~$ cat /proc/mdstat\n{MDSTAT}mara@gpu-9:~$ numactl -H\n{NUMA}",
    ],
)
def test_one_host_however_it_is_reached(text: str) -> None:
    answers = said(text)
    assert answers["read /proc/mdstat"] == ("ok", MDSTAT)
    assert answers["run numactl -H"] == ("ok", NUMA)
    assert answers["read /proc/sys/kernel/hostname"] == ("ok", "gpu-9\n")


@pytest.mark.parametrize(
    "command",
    ["kubectl exec -it train-0 -n ml -- numactl -H", "kubectl exec -it train-0 -- bash\nroot@train-0:/# numactl -H"],
)
def test_what_a_pod_says_is_not_the_laptops(command: str) -> None:
    recorded = transcript.parse(f"mara@laptop:~$ {command}\n{NUMA}")
    assert recorded.answers["run numactl -H"].said
    assert "read /proc/sys/kernel/hostname" not in recorded.answers
    assert recorded.place == "pod train-0"
    assert "train-0" in recorded.notes[0]


@pytest.mark.parametrize("rounds", ["$(seq 0 1)", "0 1", "{0..1}"])
def test_a_loop_over_numbers_tells_whose_value_each_is(rounds: str) -> None:
    told = said(f"$ for n in {rounds}; do cat /sys/devices/system/node/node$n/distance; done\n10 21\n21 10\n")
    path = "read /sys/devices/system/node/node{}/distance"
    assert [told[path.format(n)] for n in (0, 1)] == [("ok", "10 21\n"), ("ok", "21 10\n")]


def test_numbers_in_front_of_what_grep_found_are_no_part_of_it() -> None:
    told = said("$ grep -n MemTotal /proc/meminfo\n1:MemTotal:       2113422188 kB\n")
    assert told["read /proc/meminfo"] == ("truncated", "MemTotal:       2113422188 kB\n")


@pytest.mark.parametrize(
    "command",
    [
        "pdsh -w gpu-[8-9] cat /proc/mdstat", "clush -bw gpu-[8-9] cat /proc/mdstat",
        "ansible gpus -a 'cat /proc/mdstat'",
        "for h in gpu-8 gpu-9; do echo == $h; ssh $h cat /proc/mdstat; done", "sudo pssh -h all -i 'cat /proc/mdstat'",
        "while read h; do ssh -n $h cat /proc/mdstat; done < hosts", "cat hosts | xargs -I{} ssh {} cat /proc/mdstat",
    ],
)  # fmt: skip
def test_what_many_hosts_say_is_not_this_hosts(command: str, tmp_path: Path) -> None:
    recorded = transcript.parse(f"root@head:~# {command}\n== gpu-8\n{MDSTAT}== gpu-9\n{MDSTAT}root@head:~# \n")
    assert "read /proc/mdstat" not in recorded.answers
    assert "not understood" in recorded.notes[0]
    assert any("mdstat" in key and answer.text.count("Personalities") == 2 for key, answer in recorded.answers.items())


@pytest.mark.parametrize(
    "text",
    [
        f"gpu-8 | CHANGED | rc=0 >>\n{MDSTAT}\ngpu-9 | CHANGED | rc=0 >>\n{MDSTAT}",
        f"=== gpu-8 ===\n{MDSTAT}=== gpu-9 ===\n{MDSTAT}",
        f"## node-a1\n{MDSTAT}## node-a2\n{MDSTAT}",
        "".join(f"gpu-8: {a}\ngpu-9: {a}\n" for a in MDSTAT.splitlines()),
    ],
)
def test_headings_of_several_hosts_are_refused(text: str) -> None:
    with pytest.raises(Differ, match="more than one host"):
        transcript.parse(text)


@pytest.mark.parametrize(
    "heading", ["=== mdstat ===", "=== gpu0 ===", "=== step-0 ===", "--- before-0 ---", "gpu-9 | CHANGED | rc=0 >>"]
)
def test_a_heading_is_no_second_host(heading: str) -> None:
    answers = said(f"{heading}\n{MDSTAT}\n{heading.replace('0 ', '1 ')}\n{MDSTAT}{NUMA}")
    assert answers["read /proc/mdstat"][0] == "ok"
    assert answers["run numactl -H"] == ("ok", NUMA)


@pytest.mark.parametrize("margin", ["> ", "    ", "\t", "2026-11-16T11:00:09.120Z ", "[2026-11-16 11:00:09] "])
def test_what_stands_in_front_of_every_line(margin: str) -> None:
    text = f"root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# numactl -H\n{NUMA}root@gpu-9:~# \n"
    answers = said("".join(f"{margin}{line}\n" for line in text.splitlines()))
    assert answers["read /proc/mdstat"] == ("ok", MDSTAT)
    assert answers["run numactl -H"] == ("ok", NUMA)


def test_a_header_of_every_field_is_known() -> None:
    """Wherever in it the part that is looked at ends."""
    rest = "vgpu_device_capability.mig_timeSlicing, power.draw [W], clocks.current.sm [MHz], " * 60
    for begin in range(80):
        text = f"timestamp, count, pci.b{'u' * begin}s, {rest}fabric.cliqueId\n2026/11/16 11:00:09.120, 1, 0x3\n" * 2
        assert said(text)["run nvidia-smi --query-gpu"] == ("truncated", text)
    assert keys("persistence_mode, pcie.link.gen.max, enforced.power.limit [W]\nEnabled, 5, 700.00 W\n")
    assert "run nvidia-smi --query-gpu" not in keys("dear all, this is what i saw\nname it, if you can\n")


CODE = "[   91.204113] Code: 1f 44 00 00 55 48 89 e5 53 8b <0f> b6 46 14 85 c0 74 08 48 8b 7f 20\n"


@pytest.mark.parametrize("margin", ["> ", "> > ", "    ", "\t"])
@pytest.mark.parametrize("lead", ["", "On Mon, Ann wrote:\n", "```\n"])
@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("run dmesg", CODE + KERNEL * 8),
        ("run nvidia-smi", "Mon Nov 16 11:00:09 2026\n" + TABLE),
        ("run nvidia-smi -q", "\n" + QUERY),
    ],
)
def test_a_margin_before_a_log_or_a_table(margin: str, lead: str, key: str, text: str) -> None:
    answers = said(lead + "".join(f"{margin}{line}\n" for line in text.splitlines()))
    assert answers[key][1].strip() == text.strip()


def test_what_looks_like_a_silent_command_makes_no_text_known() -> None:
    made = transcript.parse("> [ a ] > b\nthe fan is loud\n> [ c ] > d\nand the room is hot\n")
    assert list(made.answers) and not made.is_known


@pytest.mark.parametrize("columns", [80, 60])
@pytest.mark.parametrize("keeps_blanks", [True, False])
def test_a_table_that_a_narrow_terminal_wrapped(columns: int, keeps_blanks: bool) -> None:
    halves = [half for line in TABLE.splitlines() for half in (line[:columns], line[columns:])]
    text = "".join(f"{half if keeps_blanks else half.rstrip()}\n" for half in halves)
    answers = said(f"$ nvidia-smi\n{text}$ cat /proc/mdstat\n{MDSTAT}")
    assert answers["run nvidia-smi"] == ("ok", TABLE)
    assert answers["read /proc/mdstat"] == ("ok", MDSTAT)
    cut = said(f"$ nvidia-smi\n{text[:400]}\n$ cat /proc/mdstat\n{MDSTAT}")
    assert (cut["run nvidia-smi"][0], cut["read /proc/mdstat"]) == ("truncated", ("ok", MDSTAT))


def test_watch() -> None:
    text = f"Every 2.0s: cat /proc/mdstat        gpu-9: Mon Nov 16 11:00:09 2026\n\n{MDSTAT}"
    assert said(text)["read /proc/mdstat"] == ("ok", MDSTAT)
    assert said(text)["read /proc/sys/kernel/hostname"] == ("ok", "gpu-9\n")


@pytest.mark.parametrize(
    ("text", "at", "is_lower_bound"),
    [
        ("$ date\nMon Nov 16 11:00:09 UTC 2026\n", 1794826809, False),
        ("$ date +%s\n1794826809\n", 1794826809, False),
        (f"$ date\nMon 16 Nov 2026 11:00:09 AM UTC\n{POOL}", 1794826809, False),
        (QUERY, 1794826809, True),
        (POOL, 1794710110, True),
        ("[Mon Nov 16 11:00:09 2026] NVRM: x\n", 1794826809, True),
        ("2026-11-16T11:00:09+0000 gpu-9 kernel: x\n", 1794826809, True),
        (KERNEL, 0, True),
        ("[Mon Nov 16 11:00:09 2099] NVRM: a wrong clock\n", 0, True),
    ],
)
def test_moments(text: str, at: float, is_lower_bound: bool) -> None:
    made = transcript.parse(text)
    assert (made.taken_at, made.is_lower_bound) == (at, is_lower_bound)


def test_dates() -> None:
    assert moment_of("no date").at == 0
    assert moment_of("Mon Nov 16 11:00:09 CET 2026\n") == Moment(1794826809, False)
    assert moment_of("Mon Nov 16 11:00:09 UTC 2026\n") == Moment(1794826809, True)
    assert moment_of("Mon Nov 16 11:00:09 2026\n") == Moment(1794826809, False)
    assert moment_of("2026-11-16T12:00:09+01:00\n") == Moment(1794826809, True)
    assert moment_of("2026-11-16 06:30:09-04:30\n") == Moment(1794826809, True)
    assert moment_of("lundi 16 novembre 2026, 12:00:09 (UTC+0100)\n") == Moment(1794826809, True)
    assert moment_of("Mon, 16 Nov 2026 12:00:09 +0100\n") == Moment(1794826809, True)


def test_a_clock_without_a_zone_is_not_exact() -> None:
    made = transcript.parse("$ date\nMon Nov 16 11:00:09 CST 2026\n$ \n")
    assert (made.taken_at, made.is_lower_bound) == (1794826809, True)
    assert any("14 h" in note for note in made.notes)
    sure = transcript.parse("$ date\nMon Nov 16 11:00:09 UTC 2026\n$ \n")
    assert (sure.is_lower_bound, sure.notes) == (False, [])


# ---- sources


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    cases = {
        "empty": b"",
        "blank": b"\n \n",
        "nul": b"\0" * 900,
        "noise": random.Random(4).randbytes(9000),
        "elf": b"\x7fELF\x02\x01\x01" + bytes(300),
    }
    for name, data in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(BadSource) as refused:
            recording(str(path))
        assert "\n" not in str(refused.value)
        ended = mlopsdoc("check", "--from", str(path), place=tmp_path)
        assert (ended.code, ended.out) == (65, "")
        assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_text_of_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.txt"
    path.write_bytes(f"höhe\n$ cat /proc/mdstat\n{MDSTAT}".replace("\n", "\r\n").encode(encoding))
    host, source = recording(str(path))
    assert host.read("/proc/mdstat").text == MDSTAT
    assert (source.kind, source.complete) == ("text", False)


def test_the_program_says_what_it_understood(tmp_path: Path) -> None:
    text = f"$ frob -x\nfrobbed\n$ cat /proc/mdstat\n{MDSTAT}".encode()
    ended = mlopsdoc("check", "--from", "-", "--json", place=tmp_path, stdin=text)
    assert ended.code in range(4)
    assert "understood 1 of 2 commands; not understood: `frob -x`" in ended.err
    assert ended.report()["sources"][0]["path"] == "standard input"
    nothing = mlopsdoc("check", "--from", "-", "--json", place=tmp_path, stdin=b"the frobnicator failed\n")
    assert nothing.code == 3
    assert nothing.check("evidence")["status"] == "unknown"
    assert mlopsdoc("check", "--from", "-", place=tmp_path, stdin=b"dear all\n").code == 65


def test_time_from_the_command_line(tmp_path: Path) -> None:
    pool = mlopsdoc(
        "check", "--from", "-", "--json", "--at", "2026-12-24T00:00:00Z", place=tmp_path, stdin=POOL.encode()
    )
    assert pool.report()["taken_at"] == "2026-12-24T00:00:00Z"
    text = f"$ date\nMon Nov 16 11:00:09 UTC 2026\n$ zpool status\n{POOL}".encode()
    told = mlopsdoc("check", "--from", "-", "--json", "--at", "2026-12-24T00:00:00Z", place=tmp_path, stdin=text)
    assert told.report()["taken_at"] == "2026-11-16T11:00:09Z"
    assert "--at 2026-12-24T00:00:00Z does not count" in told.err
    assert "--at 2026-12-24T00:00:00Z counts" in pool.err
    unknown = mlopsdoc("check", "--from", "-", "--json", place=tmp_path, stdin=MDSTAT.encode())
    assert unknown.report()["taken_at"] is None


def test_the_headline_says_that_it_saw_a_part(tmp_path: Path) -> None:
    text = f"$ date\nMon Nov 16 11:00:09 UTC 2026\n$ zpool status\n{POOL}$ \n".encode()
    shown = mlopsdoc("check", "--from", "-", place=tmp_path, stdin=text).out
    assert "had nothing to go by" in " ".join(shown.split())


def test_several_sources(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(f"root@gpu-9:~# cat /proc/mdstat\n{MDSTAT}root@gpu-9:~# numactl -H\n{NUMA[:40]}\n")
    (tmp_path / "b").write_text(f"root@gpu-9:~# numactl -H\n{NUMA}")
    (tmp_path / "c").write_text(f"root@gpu-4:~# numactl -H\n{NUMA}")
    host, sources = recordings([str(tmp_path / "a"), str(tmp_path / "b")])
    assert len(sources) == 2
    assert host.read("/proc/mdstat").text == MDSTAT
    assert host.run("numactl", "-H").text == NUMA  # whole outweighs a part
    with pytest.raises(Differ, match=r"gpu-9 and gpu-4"):
        recordings([str(tmp_path / "a"), str(tmp_path / "c")])
    ended = mlopsdoc("check", "--from", str(tmp_path / "a"), "--from", str(tmp_path / "c"), place=tmp_path)
    assert ended.code == 64
    assert "gpu-9" in ended.err and "gpu-4" in ended.err


def test_sources_that_contradict_each_other() -> None:
    one, two = (transcript.parse(f"$ zpool status\n{text}$ \n") for text in (POOL, POOL.replace("0B", "4K")))
    whole = merge([("one", one), ("two", two)])
    assert whole.answers["run zpool status"].text == POOL
    assert [note for note in whole.notes if "zone" not in note] == [
        "two has another answer to zpool status: an earlier source counts"
    ]


def test_two_moments_of_one_boot() -> None:
    def moment(when: str, count: int) -> Recording:
        boot = "$ cat /proc/sys/kernel/random/boot_id\n7f0c6a5e-1111-4222-8333-944455556666\n"
        return transcript.parse(f"{boot}$ date\n{when}\n$ cat /sys/x/count\n{count}\n")

    late, early = moment("Mon Nov 16 11:05:09 UTC 2026", 7), moment("Mon Nov 16 11:00:09 UTC 2026", 4)
    host = Replay(merge([("late", late), ("early", early)]))
    before = host.before()
    assert before is not None
    assert host.now() - before.now() == 300
    assert (host.read("/sys/x/count").text, before.read("/sys/x/count").text) == ("7\n", "4\n")


def test_a_pipe_that_nobody_writes_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "WAIT_S", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadSource, match="nothing came out of it"):
        recording(str(tmp_path / "pipe"))


def test_a_folder_that_is_no_evidence_is_not_walked(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_text("x")
    with pytest.raises(BadSource, match="not what a collector makes"):
        recording(str(tmp_path))


@pytest.mark.parametrize(
    "lines",
    [
        b"[%12.6f] pcieport 0000:00:03.1: AER: Correctable error message received from 0000:00:00.0\n",
        b"Nov 16 11:00:09 gpu-9 app[12]: step %.1f\nNov 16 11:00:09 gpu-9 kernel: [ 12.123456] usb 1-1: new\n",
        b"epoch %.1f: the rate of learning is what it was, and nobody knows why that is so\n",
    ],
    ids=["dmesg", "syslog", "no log"],
)
def test_100_mb_in_little_memory(tmp_path: Path, lines: bytes) -> None:
    path = tmp_path / "log.txt"
    with path.open("wb") as file:
        while file.tell() < 100_000_000:
            file.write(b"".join(lines % n for n in range(30000)))
    code, _, err, seconds, mib = measured("check", "--from", str(path), "--json", place=tmp_path)
    assert code in ((65,) if b"epoch" in lines else (0, 1, 3)), err
    assert mib < 300 and seconds < 15, (mib, seconds)


def test_a_log_is_the_same_however_much_of_it_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, other = SYSLOG.splitlines(keepends=True)

    def one_at_a_time(text: str, at: int) -> int:
        return at

    odd = [kernel, other, "<30>" + other, KERNEL, "a line of none\n", "\x1b[1m" + kernel, "[x]\n", "\n", "{\n", "}\n"]
    chance = random.Random(7)
    for head in ("", "$ dmesg\n", "$ journalctl -n 40\n"):
        text = head + "".join(chance.choice(odd) for _ in range(300))
        at_once = said(text)
        with monkeypatch.context() as patch:
            patch.setattr(shapes, "end_of_log", one_at_a_time)
            assert said(text) == at_once


# ---- what stands around and in the lines


DEGRADED = MDSTAT.replace("[2/2] [UU]", "[2/1] [U_]")


@pytest.mark.parametrize(
    "text",
    [
        "$ cat /proc/mdstat\n" + DEGRADED.replace("<none>", "&lt;none&gt;"),
        "".join(f"> > {line}\n" for line in f"$ cat /proc/mdstat\n{DEGRADED}".splitlines()),
        "".join(f"{n:6d}\t{line}\n" for n, line in enumerate(f"$ cat /proc/mdstat\n{DEGRADED}".splitlines(), 1)),
        "".join(f"{n}: {line}\n" for n, line in enumerate(f"$ cat /proc/mdstat\n{DEGRADED}".splitlines(), 7)),
        "".join(f"{n:3d} | {line}\n" for n, line in enumerate(f"$ cat /proc/mdstat\n{DEGRADED}".splitlines(), 1)),
        "$ cat /proc/mdsta\x08\x1b[Kat\r\n" + DEGRADED.replace("\n", "\r\n"),
        "$ cat /proc/mdsta \rt\n" + DEGRADED,
        "%" + " " * 79 + "\r \r\r$ cat /proc/mdstat\n" + DEGRADED,
        "$ cat /proc/mdstat\n" + DEGRADED.replace("      ", "\xa0" * 6),
        f"see:\n```bash\n$ cat /proc/mdstat\n{DEGRADED}```\nThanks!\n",
        f"{{code:bash}}\n[root@gpu-9 ~]# cat /proc/mdstat\n{DEGRADED}[root@gpu-9 ~]# {{code}}\nPlease help.\n",
        f"<pre>\n$ cat /proc/mdstat\n{DEGRADED}</pre>\n",
    ],
)
def test_what_is_put_around_an_output(text: str) -> None:
    assert said(text)["read /proc/mdstat"] == ("ok", DEGRADED)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("<process_name>&lt;unknown&gt;</process_name>", "<process_name>&lt;unknown&gt;</process_name>"),
        ("Link 7: &lt;inactive&gt;", "Link 7: <inactive>"),
        ("&amp;lt;", "&lt;"),
        ("N\x08NA\x08A", "NA"),
        ("\x08\x08a", "a"),
        ("10%\r20%", "10%20%"),
    ],
)
def test_lines_as_a_terminal_shows_them(line: str, shown: str) -> None:
    assert margins.shown(line) == shown


@pytest.mark.parametrize("text", ["1: a\n2: b\n4711: c\n", "1. a\n1. b\n1. c\n", "9  $ df\n3  x\n4  y\n"])
def test_numbers_that_do_not_count_lines_stay(text: str) -> None:
    assert margins.margin_of(text.splitlines()).strip is None


def test_what_stands_below_a_fence_is_no_output() -> None:
    answers = said(f"```\n$ zpool status\n{POOL}```\nwe run: zpool scrub lake\n")
    assert answers["run zpool status"] == ("truncated", POOL)


def test_a_typescript_tells_when() -> None:
    text = f"Script started on 2026-11-16 11:00:09+00:00 [TERM=xterm]\n$ cat /proc/mdstat\n{MDSTAT}$ exit\nexit\n\n"
    recorded = transcript.parse(f"{text}Script done on 2026-11-16 11:00:30+00:00 [COMMAND_EXIT_CODE=0]\n")
    assert (recorded.taken_at, recorded.is_lower_bound) == (1794826830.0, False)
    assert set(recorded.answers) == {"read /proc/mdstat"}


@pytest.mark.parametrize("command", ["sudo reboot", "systemctl reboot", "shutdown -r now", "ipmitool power cycle"])
def test_what_was_before_a_reboot_is_over(command: str) -> None:
    text = f"$ dmesg\n{KERNEL}$ {command}\n$ uname -r\n6.8.0-49-generic\n"
    assert "run dmesg" in keys(text)  # nothing came after it
    late = transcript.parse(f"{text}$ cat /proc/mdstat\n{MDSTAT}")
    assert "run dmesg" not in late.answers
    assert "what was said before the reboot is not judged" in late.notes


@pytest.mark.parametrize("heading", ["# {}", "# node {}:", "# on {}", "## {} ##"])
def test_remarks_that_name_two_hosts_are_refused(heading: str) -> None:
    one, two = heading.format("dgx-8"), heading.format("dgx-9")
    with pytest.raises(Differ):
        transcript.parse(f"{one}\n$ cat /proc/mdstat\n{MDSTAT}{two}\n$ cat /proc/mdstat\n{DEGRADED}")
    transcript.parse(f"{one}\n$ cat /proc/mdstat\n{MDSTAT}{two}\n$ uname -r\n6.8.0-49-generic\n")


@pytest.mark.parametrize("remark", ["# step-{}", "# R{}", "# after {}", "# GPU{}", "# {}"])
def test_remarks_that_name_no_hosts(remark: str) -> None:
    text = f"{remark.format(550)}\n$ cat /proc/mdstat\n{DEGRADED}{remark.format(580)}\n$ cat /proc/mdstat\n{MDSTAT}"
    assert said(text)["read /proc/mdstat"] == ("ok", MDSTAT)


RULE = "-" * 15


@pytest.mark.parametrize(
    "text",
    [
        f"{RULE}\ndgx8\n{RULE}\n{DEGRADED}{RULE}\ndgx[9-12] (4)\n{RULE}\n{MDSTAT}",
        f"-{RULE}\ndgx8\n-{RULE}\n{DEGRADED}-{RULE}\ndgx9\n-{RULE}\n{MDSTAT}",
        f"{RULE}\ndgx8,login1\n{RULE}\n{MDSTAT}",
        f"[1] 11:00:09 [SUCCESS] dgx-8\n{DEGRADED}[2] 11:00:10 [SUCCESS] dgx-9\n{MDSTAT}",
        f"**dgx-8**\n```\n{DEGRADED}```\n**dgx-9**\n```\n{MDSTAT}```\n",
        "2026-11-16T11:00:09+01:00 dgx-8 kernel: NVRM: Xid\n2026-11-16T11:00:10+01:00 dgx-9.ops kernel: NVRM: Xid\n",
        "$ grep -h Xid /srv/*.log\nNov 16 11:00:09 dgx-8 kernel: NVRM: Xid\nNov 16 11:00:10 dgx-9 kernel: NVRM: Xid\n",
    ],
    ids=["clush -b", "dshbak -c", "a set", "pssh", "markdown", "log server", "grep -h"],
)
def test_outputs_and_logs_of_several_hosts_are_refused(text: str) -> None:
    with pytest.raises(Differ, match=r"dgx-?(?:8|9) and (?:dgx-?(?:9|12)|login1)"):
        transcript.parse(text)


def test_one_host_names_itself_above_or_before_its_lines_or_in_its_log() -> None:
    named = {"read /proc/sys/kernel/hostname": ("ok", "dgx8\n")}
    heading = said(f"{RULE}\ndgx8\n{RULE}\n{MDSTAT}")
    assert heading == named | {"read /proc/mdstat": ("ok", MDSTAT)}
    assert said("".join(f"dgx8: {line}\n" for line in MDSTAT.splitlines())) == heading
    log = "Nov 16 11:00:01 localhost kernel: x: y\nNov 16 11:00:09 dgx8.ops kernel: NVRM: Xid\n"
    assert said(log + "Nov 16 11:00:10 dgx8 kernel: NVRM: Xid\n").items() >= named.items()
    other = transcript.parse("root@log1:~# grep -h Xid /var/log/kern.log\nNov 16 11:00:09 dgx8 kernel: NVRM: Xid\n")
    assert "the kernel log is that of dgx8, not of log1, as far as it says" in other.notes


@pytest.mark.parametrize("lead", ["trainer-1  | ", "[pod/node-debug/chroot] ", "2026-11-16T11:00:09.123456789Z "])
@pytest.mark.parametrize("count", [1, 4])
def test_what_containers_write_has_a_margin(lead: str, count: int) -> None:
    lines = [f"[ 812{n}.000411] NVRM: Xid (PCI:0000:4f:00): 79, pid=8811, name=train\n" for n in range(count)]
    assert said("".join(lead + line for line in lines)) == {"run dmesg": ("truncated", "".join(lines))}


def test_rules_that_head_no_host_are_remarks() -> None:
    for title in ("mdstat", "Results", "md 0"):
        assert said(f"{RULE}\n{title}\n{RULE}\n{MDSTAT}")["read /proc/mdstat"] == ("ok", MDSTAT)


@pytest.mark.parametrize("name", ["nvme0", "mlx5_0", "gpu1"])
def test_headings_that_name_devices_are_no_hosts(name: str) -> None:
    other = name[:-1] + "7"
    text = f"**{name}**\n$ cat /proc/mdstat\n{DEGRADED}**{other}**\n$ cat /proc/mdstat\n{MDSTAT}"
    assert said(text)["read /proc/mdstat"] == ("ok", MDSTAT)


def test_outputs_that_differ_are_said_to() -> None:
    differ = "there are several outputs of zpool status that differ: the last of each counts"
    worse = POOL.replace("ONLINE", "DEGRADED")
    for text in (f"Host: frodo\n{worse}Host: sam\n{POOL}", f"$ zpool status\n{worse}$ zpool status\n{POOL}$ \n"):
        assert differ in transcript.parse(text).notes
    for text in (
        f"{POOL}{POOL.replace('lake', 'pond')}",
        f"{POOL}{POOL}",
        f"$ dmesg\n{KERNEL}$ dmesg\n{KERNEL[:60]}\n",
    ):
        assert not any("differ" in note for note in transcript.parse(text).notes)


def test_a_log_that_was_put_aside_is_said_not_to_be_judged() -> None:
    line = "Nov 16 11:00:09 dgx8 kernel: NVRM: Xid (PCI:0000:4f:00): 79, pid=8811, name=train\n"
    for path in ("/var/log/kern.log.1", "/var/log/remote/dgx8/kern.log"):
        notes = transcript.parse(f"$ grep Xid {path}\n{line}$ \n").notes
        assert any(f"what the kernel says in {path} is not judged" in note for note in notes)
    assert not transcript.parse(f"$ grep Xid /var/log/kern.log\n{line}$ \n").notes
    assert "run dmesg" in keys(line)  # alone


def test_quoted_xml_is_read() -> None:
    text = '<?xml version="1.0" ?>\n<nvidia_smi_log>\n<gpu id="00000000:4F:00.0">\n</gpu>\n</nvidia_smi_log>\n'
    quoted = "".join(f"> {line}\n" for line in text.splitlines())
    assert said(quoted)["run nvidia-smi -q -x"][1] == text


@pytest.mark.parametrize("before", ["", "hi all, look: "])
def test_a_fence_may_stand_in_a_line(before: str) -> None:
    pool = ("truncated", POOL)
    assert said(f"{before}```{POOL.rstrip()}```\n")["run zpool status"] == pool
    assert said(f"{before}```root@gpu-9:~# zpool status\n{POOL.rstrip()}```\n")["run zpool status"] == pool


def test_a_greeting_is_no_list_of_packages() -> None:
    assert "run dpkg -l" not in keys("hi all, this host is slow\nhi again, it says nothing\n")
    row = "hi  nvidia-driver-580  580.95.05-0ubuntu1  amd64  NVIDIA driver\n"
    assert said(row)["run dpkg -l"] == ("truncated", row)


def test_each_table_has_the_date_above_its_border() -> None:
    dates = ("Mon Nov 16 11:00:09 2026       ", "Mon Nov 16 11:05:09 2026       ")
    recorded = transcript.parse("".join(f"{date}\n{TABLE}" for date in dates))
    assert recorded.taken_at == 1794827109.0


@pytest.mark.parametrize("asked", ["ipmitool -I lanplus -H {} -U a sdr elist", "ipmitool -H{} sdr elist"])
def test_two_bmcs_are_two_hosts(asked: str) -> None:
    one, two = asked.format("10.9.8.7"), asked.format("10.9.8.8")
    with pytest.raises(Differ):
        transcript.parse(f"$ {one}\n{SDR}$ {two}\n{SDR}$\n")
    assert said(f"$ {one}\n{SDR}$ {one}\n{SDR}$ \n$ {two}\n")["run ipmitool sdr elist"] == ("ok", SDR)


def test_two_bmcs_are_two_hosts_for_freeipmi_too() -> None:
    asked = "$ ipmi-sel -h 10.9.8.7\n1,x\n$ ipmi-sel --hostname={}\n1,x\n$\n"
    with pytest.raises(Differ):
        transcript.parse(asked.format("10.9.8.8"))
    assert "run ipmi-sel" in keys(asked.format("10.9.8.7"))


@pytest.mark.parametrize("command", ["echo 'md7 : active raid1 a[1](F) b[0]'", "printf 'md7 : active raid1 x[0]'"])
def test_what_echo_prints_was_not_measured(command: str) -> None:
    assert keys(f"$ {command}\nmd7 : active raid1 a[1](F) b[0]\n$ uname -r\n6.8.0-49-generic\n") == {
        "run uname -r",
        "read /proc/sys/kernel/osrelease",
    }


# ---- several samples

LINKS = "GPU 0: NVIDIA H200 (UUID: GPU-1)\n\t Link 0: CRC Errors: {}\n"


FIRST, LATER, SOON = (f"Mon Nov 16 11:0{clock} UTC 2026\n" for clock in ("0:00", "5:00", "0:04"))


@pytest.mark.parametrize(
    ("text", "has_before"),
    [
        (f"$ date; {{c}}\n{FIRST}{{a}}$ date; {{c}}\n{LATER}{{b}}", True),
        (f"$ date\n{FIRST}$ {{c}}\n{{a}}$ date\n{LATER}$ {{c}}\n{{b}}", True),
        (f"$ date; {{c}}\n{FIRST}{{a}}$ {{c}}; date\n{{b}}{LATER}", True),
        ("$ {c}\n{a}$ {c}\n{b}", False),
        (f"$ date; {{c}}\n{FIRST}{{a}}$ date; {{c}}\n{SOON}{{b}}", False),
        (f"$ date; {{c}}\n{FIRST}{{a}}$ sudo reboot\n$ date; {{c}}\n{LATER}{{b}}", False),
    ],
)
def test_two_samples_of_one_command(text: str, has_before: bool, tmp_path: Path) -> None:
    command = "nvidia-smi nvlink -e"
    (tmp_path / "paste").write_text(text.format(c=command, a=LINKS.format(7), b=LINKS.format(9)) + "$\n")
    host, _ = recording(str(tmp_path / "paste"))
    assert host.recording.answers[f"run {command}"].text == LINKS.format(9)
    before = host.recording.before
    assert (before is not None) == has_before
    if before:
        assert before.taken_at == 1794826800.0
        assert before.answers[f"run {command}"].text == LINKS.format(7)


def test_outputs_that_tell_their_own_time() -> None:
    late = QUERY.replace("11:00:09", "11:02:09").replace("Correctable              : 0", "Correctable              : 8")
    recorded = transcript.parse(f"$ nvidia-smi -q\n{QUERY}$ nvidia-smi -q\n{late}$ \n")
    assert recorded.before is not None
    assert recorded.taken_at - recorded.before.taken_at == 120
    assert recorded.before.answers["run nvidia-smi -q"].text == QUERY


def test_a_note_is_given_once() -> None:
    parts = [("a", transcript.parse(f"$ nvidia-smi -q\n{QUERY}")), ("b", transcript.parse(f"$ nvidia-smi -q\n{QUERY}"))]
    assert len(merge(parts).notes) == 1


# ---- copies that lack their beginning


def test_rows_without_their_head() -> None:
    rows = "/dev/sda2       879G  874G     0 100% /\n/dev/sdb1       7.0T  3.1T  3.9T  45% /data\n"
    assert said(rows)["run df"] == ("truncated", rows)
    table = "\n".join(TABLE.splitlines()[3:]) + "\n"
    assert said(table)["run nvidia-smi"][0] == "truncated"
    assert "run df" not in said("/dev/sda2       58M  1.2M   57M    3% /\n")  # it may count inodes


def test_df_in_powers_of_a_thousand() -> None:
    rows = "Filesystem      Size  Used Avail Use% Mounted on\n/dev/sda2       944G  930G   14G  99% /\n"
    for option, whole in (("-H", 944 * 1000**3), ("-h", 944 << 30), ("--si", 944 * 1000**3)):
        room = df.read(Replay(transcript.parse(f"$ df {option}\n{rows}$ \n"))).room["/"]
        assert (room.whole, room.printed) == (whole, "14G of 944G")


@pytest.mark.parametrize("line", ["a\n", "$ x{n}\n", "> {n}\n", "{{\n", "$ cat /proc/mdstat\nmd0 : active raid1\n"])
def test_of_too_many_lines_only_logs_are_read(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "MAX_LINES", 250)
    text = "".join(line.format(n=n) for n in range(500))
    recorded = transcript.parse(f"{text}$ zpool status\n{POOL}{KERNEL.strip()}")
    assert recorded.answers["run dmesg"].text == KERNEL
    assert "run zpool status" not in recorded.answers
    assert any("only logs were looked for" in note for note in recorded.notes)


# ---- any text

PARTS = st.sampled_from(
    [
        MDSTAT,
        POOL,
        KERNEL,
        TABLE,
        SDR,
        NUMA,
        TOPO,
        QUERY,
        SMART,
        SYSLOG,
        "$ ",
        "# ",
        "root@gpu-9:~# ",
        "dmesg | grep x\n",
        "cat /proc/mdstat\n",
        "for f in /sys/*; do echo $f $(cat $f); done\n",
        "zpool status; numactl -H\n",
        '{"a": [',
        "<?xml ",
        "nvidia-smi -q\n",
        "grep -r . /sys\n",
        "/sys/a/b:1\n",
        "/sys/a/b\n",
        "==> x <==\n",
        "echo '\n",
        "$(",
        "`",
        "\\\n",
        "\x1b[1m",
        "cat: /x: Permission denied\n",
        "ls -l\n",
        "test -e /x && echo a || echo b\n",
        "docker exec x ",
        "ssh h ",
        "> ",
        "...\n",
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(PARTS, st.text(max_size=60)), max_size=12))
def test_any_text_becomes_a_recording(parts: list[str]) -> None:
    for answer in transcript.parse("".join(parts)).answers.values():
        assert isinstance(answer.text, str)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([MDSTAT, TABLE, NUMA, TOPO, QUERY, POOL]), st.randoms(use_true_random=False))
def test_a_filtered_output_is_never_whole(text: str, chance: random.Random) -> None:
    """Some lines left out of an output that is known by its form, without a word that they were."""
    needed = [n for n, line in enumerate(text.splitlines()) if line.strip() and "bitmap" not in line]
    gone = set(chance.sample(needed, chance.randint(1, len(needed))))
    left = "".join(f"{line}\n" for n, line in enumerate(text.splitlines()) if n not in gone)
    for command in ("nvidia-smi -q | grep -v x", "cat /tmp/x | head -5", "zpool status lake", "grep -v x /proc/mdstat"):
        for answer in transcript.parse(f"$ {command}\n{left}").answers.values():
            assert answer.status != "ok", left


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(data)
    with suppress(BadSource):
        host, _ = recording(str(path))
        assert all(isinstance(answer.text, str) for answer in host.recording.answers.values())


def test_the_first_lines_count_towards_what_a_text_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transcript, "MAX_BYTES", 2 << 20)
    long = "$ cat /proc/loadavg\n" + "x" * (1 << 20) + "\n"
    assert transcript.parse(long).answers
    with pytest.raises(OverLimit, match="2 MiB"):
        transcript.parse(long * 2)
