"""NUMA: lists of CPUs, nodes, pages; and how a process that starts, or ends, or is not ours is judged."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import catalog, opening
from mlopsdoc.engine import run
from mlopsdoc.facts.bindings import numa_maps, numa_stat, numastat
from mlopsdoc.facts.numa import Numa, number_list, ranges, topology
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.probes import bindings as probe
from mlopsdoc.profile import Profile

from .program import REPOSITORY, mlopsdoc
from .serving import serve

GIB = 1 << 30


def reference() -> Recording:
    return snapshot.load(str(REPOSITORY / "snapshots/reference"))


def judged(recording: Recording) -> Result:
    check = catalog.find(drop_ins=False).checks["numa_binding"]
    return next(iter(run([check], Replay(recording), Profile())))


def answer(recording: Recording, key: str, text: str) -> None:
    recording.answers[key] = Answer(key, "ok", text.encode())


def change(recording: Recording, key: str, edit: Callable[[Any], None]) -> None:
    said = json.loads(recording.answers[key].data)
    edit(said)
    answer(recording, key, json.dumps(said))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0-3,8\n", {0, 1, 2, 3, 8}),
        ("\n", set[int]()),
        ("0 1 2", {0, 1, 2}),
        ("0-2, 8-9", {0, 1, 2, 8, 9}),
        ("0-99999999", None),
        ("a-b", None),
        ("3-", None),
        ("-3", None),
        ("\u0661", None),
    ],
)
def test_lists(text: str, wanted: set[int] | None) -> None:
    assert number_list(text) == wanted


def test_ranges() -> None:
    assert ranges({0, 1, 2, 8, 10, 11}) == "0-2,8,10-11"
    assert ranges([]) == ""


def test_numa_maps_counts_what_is_no_file() -> None:
    text = (
        "00400000 bind:1 file=/usr/bin/python3.11 mapped=31 active=1 N0=31 kernelpagesize_kB=4\n"
        "00941000 bind:1 file=/usr/bin/python3.11 anon=283 dirty=283 mapped=303 N0=20 N1=283 kernelpagesize_kB=4\n"
        "00940000 bind:1 file=/usr/bin/python3.11 anon=2 dirty=2 active=0 N1=2 kernelpagesize_kB=4\n"
        "344a8000 default heap anon=5 dirty=5 active=0 N0=5 kernelpagesize_kB=4\n"
        "7f0001015000 bind:1 file=/dev/zero\\040(deleted) dirty=100 active=0 N1=100 kernelpagesize_kB=4\n"
        "7f0100000000 bind:1 file=/anon_hugepage\\040(deleted) huge dirty=3 N0=1 N1=2 kernelpagesize_kB=2048\n"
        "7ffdb2e73000 default\n"
        "broken N0=1 line\n"
        "7f02 default anon=1 N=x N0= Nx=4 N0=99999999999999999999 kernelpagesize_kB=4\n"
    )
    by_node, policy, largest = numa_maps(text)
    assert by_node == {0: 5 * 4096 + (2 << 20), 1: 102 * 4096 + (4 << 20)}
    assert policy == "bind:1"
    assert largest.startswith("7f0100000000")
    assert numa_maps("") == ({}, "", "")


def test_numa_stat() -> None:
    text = "anon N0=4096 N1=8192\nfile N0=1 N1=1\nshmem N0=100 N1=0\nanon_thp N0=2 N1=2\n\nshmem\n"
    assert numa_stat(text) == {0: 4196, 1: 8192}
    assert numa_stat("total=1 N0=1\n") == {}
    assert numa_stat("total=9 N0=9\nanon=6 N0=4 N1=2\nhierarchical_anon=60 N0=40 N1=20\n") == {0: 16384, 1: 8192}


NUMASTAT = """
Per-node process memory usage (in MBs) for PID 3031 (python3)
                           Node 0          Node 1           Total
                  --------------- --------------- ---------------
Private                      4.98          202.24          207.22
----------------  --------------- --------------- ---------------
Total                        4.98          202.90          207.89
"""
SEVERAL = """Per-node process memory usage (in MBs)
PID                         Node 0          Node 1           Total
---------------    --------------- --------------- ---------------
3031 (python3)                4.98          202.90          207.89
3032 (my prog)                1.00            0.00            1.00
---------------    --------------- --------------- ---------------
Total                         5.98          202.90          208.89
"""


@pytest.mark.parametrize("text", [NUMASTAT, SEVERAL, "x\n" + NUMASTAT + NUMASTAT.replace("3031", "3032")])
def test_numastat(text: str) -> None:
    assert numastat(text, 3031) == {0: int(4.98 * (1 << 20)), 1: int(202.9 * (1 << 20))}
    assert numastat(text, 303) == {} and numastat(text[:60], 3031) == {}


def test_a_recording_with_numastat_only() -> None:
    recording = reference()
    recording.complete, recording.unlisted = False, "not_captured"
    change(recording, "probe bindings 41230", lambda said: said.update(cgroup="", rss_kb=0))
    answer(recording, "run numastat -p", NUMASTAT.replace("3031", "41230").replace("202.", "20200."))
    found = judged(recording).findings[0]
    assert (found.subject, found.code) == ("pid 41230", "memory") and "run numastat -p" in found.evidence[-1].answer


def test_a_cgroup_of_version_1() -> None:
    """Each controller has a tree of its own; numbers are pages."""
    recording = reference()
    lines = "9:memory:/slurm/uid_1003/job_4711/step_0\n4:cpuset,cpu:/slurm/job_4711\n0::/\n"
    change(recording, "probe bindings 41232", lambda said: said.update(cgroup=lines))
    folder = "/sys/fs/cgroup/memory/slurm/uid_1003/job_4711/step_0"
    answer(recording, f"read {folder}/cgroup.procs", "41232\n")
    pages = 20 * GIB // 4096
    answer(recording, f"read {folder}/memory.numa_stat", f"total={pages} N0={pages}\nanon={pages} N0={pages} N1=0\n")
    answer(recording, "read /sys/fs/cgroup/cpuset/slurm/job_4711/cpuset.effective_cpus", "56-63\n")
    found = judged(recording).findings[0]
    assert (found.subject, found.code) == ("pid 41232", "memory")
    assert "100 % of its memory (20" in found.summary and found.params["CPUS"] == "56-63"


TOPO = (
    "\t\x1b[4mGPU0\tGPU1\tNIC0\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n"
    "GPU0\t X \tSYS\tPIX\t0-55,112-167\t0\t\tN/A\n"
    "GPU1\tSYS\t X \tSYS\t56-111,168-223\t1\t\tN/A\n"
    "GPU2\tSYS\t X \tSYS\t0-223\tN/A\t\tN/A\n"
    "GPU3\tSYS\t X \tSYS\t0-223\t0-1\t\tN/A\n"
    "NIC0\tPIX\tSYS\t X \n\nLegend:\n\n  X    = Self\n"
)


@pytest.mark.parametrize("text", [TOPO, TOPO.replace("\t", "     ")])
def test_topology(text: str) -> None:
    found = topology(Answer("run nvidia-smi topo -m", "ok", text.encode()))
    assert {name: node for name, (node, _) in found.items()} == {"GPU0": 0, "GPU1": 1}


def test_topology_where_sysfs_does_not_tell() -> None:
    recording = reference()
    recording.complete, recording.unlisted = False, "not_captured"
    for key in [key for key in recording.answers if "/sys/bus/pci/" in key or key.startswith("tree ")]:
        del recording.answers[key]
    nodes = (
        "available: 2 nodes (0-1)\nnode 0 cpus: 0-55, 112-167\nnode 0 size: 515000 MB\nnode 1 cpus: 56-111, 168-223\n"
    )
    nodes += "node 1 size: 516000 MB\nnode distances:\nnode   0   1\n  0:  10  21\n  1:  21  10\n"
    for key in [key for key in recording.answers if "/devices/system/node" in key]:
        del recording.answers[key]
    answer(recording, "run numactl -H", nodes)
    answer(recording, "run nvidia-smi topo -m", TOPO)
    change(recording, "probe bindings 41230", lambda said: said.update(main="56-111", cpus={"56-111": said["threads"]}))
    found = judged(recording).findings[0]
    assert found.subject == "pid 41230" and "GPU 0 (1b:00.0) is at node 0" in found.summary
    assert found.evidence[0].answer == "run nvidia-smi topo -m"


def moved(seconds: float, far: int) -> Recording:
    """Rank 2 with most of its memory on the other node, so many seconds after its start."""
    recording = reference()
    folder = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_4711/step_0/user/task_2"
    answer(recording, f"read {folder}/memory.numa_stat", f"anon N0={far} N1={far // 4}\nshmem N0=0 N1=0\n")
    started = recording.taken_at - seconds
    change(recording, "probe processes 41232", lambda said: said.update(started=started))
    return recording


@pytest.mark.parametrize(
    ("seconds", "far", "wanted"),
    [
        (40.0, 600 << 20, "ok"),  # it starts: what it has is from before it was bound
        (40.0, 2 * GIB, "warning"),
        (4000.0, 600 << 20, "warning"),
        (4000.0, 100 << 20, "ok"),  # too little to matter
    ],
)
def test_a_process_that_starts(seconds: float, far: int, wanted: str) -> None:
    assert judged(moved(seconds, far)).status.value == wanted


WHERE = [
    *((policy, "warning") for policy in ("bind:0", "bind=static:0", "prefer:0", "prefer (many):0")),
    *((policy, "ok") for policy in ("default", "local", "bind:1", "bind:0-1", "prefer")),
]


@pytest.mark.parametrize(("policy", "wanted"), WHERE)
def test_a_policy_that_puts_memory_elsewhere_is_wrong_from_the_start(policy: str, wanted: str) -> None:
    recording = moved(40.0, 0)
    folder = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_4711/step_0/user/task_2"
    answer(recording, f"read {folder}/cgroup.procs", "41232\n50001\n")
    change(recording, "probe bindings 41232", lambda said: said.update(rss_kb=1 << 20))
    pages = 600 << 8
    answer(recording, "read /proc/41232/numa_maps", f"7f00 {policy} anon={pages} N0={pages} kernelpagesize_kB=4\n")
    assert judged(recording).status.value == wanted


def test_a_process_that_ended_meanwhile_or_hides_is_unknown() -> None:
    recording = reference()
    recording.answers["probe bindings 41231"] = Answer(
        "probe bindings 41231", "absent", why="No such file or directory"
    )
    result = judged(recording)
    assert result.status.value == "unknown"
    assert "pid 41231" in result.findings[0].summary
    assert "41230" not in result.findings[0].summary


def test_damaged_answers_are_never_ok() -> None:
    for text in ("[]", '{"main": 5, "cpus": {"0-3": "many"}}', '{"main": "x", "cpus": {"x": 1}}', "{", "null"):
        recording = reference()
        answer(recording, "probe bindings 41230", text)
        assert judged(recording).status.value == "unknown", text


def test_a_list_of_cpus_that_is_damaged_is_unknown() -> None:
    recording = reference()
    answer(recording, "read /sys/devices/system/node/node2/cpulist", "?")
    assert judged(recording).status.value == "unknown"
    recording = reference()
    answer(recording, "read /sys/devices/system/node/node1/distance", "10")
    assert judged(recording).status.value == "unknown"


def test_a_cgroup_that_holds_others_tells_nothing_of_one() -> None:
    recording = reference()
    folder = "/sys/fs/cgroup/system.slice/slurmstepd.scope/job_4711/step_0/user/task_2"
    answer(recording, f"read {folder}/memory.numa_stat", f"anon N0={40 * GIB} N1={GIB}\n")
    assert judged(recording).status.value == "warning"
    answer(recording, f"read {folder}/cgroup.procs", "41232\n50001\n")
    answer(recording, "read /proc/41232/numa_maps", "7f00 default anon=9000000 N1=9000000 kernelpagesize_kB=4\n")
    change(recording, "probe bindings 41232", lambda said: said.update(rss_kb=30 << 20))
    assert judged(recording).status.value == "ok"


def test_numactl_of_a_recording() -> None:
    recording = Recording(0.0)
    text = (
        "available: 2 nodes (0-1)\nnode 0 cpus: 0-1, 4-5 (4)\nnode 0 size: 1905 MB\nnode 0 free: 1762 MB\n"
        "node 1 cpus: 2 3\nnode 1 size: 2012 MB\nnode distances:\nnode   0   1 \n  0:  10  21 \n  1:  21  10 \n"
    )
    recording.answers["run numactl -H"] = Answer("run numactl -H", "ok", text.encode(), exit=0)
    answer(recording, "read /sys/bus/pci/devices/0000:81:00.0/numa_node", "1\n")
    numa = Numa.read(Replay(recording), None, None)
    assert [node.cpus for node in numa.nodes] == [{0, 1, 4, 5}, {2, 3}]
    assert numa.gpus == {"0000:81:00.0": 1}
    assert numa.near([1], 15) == {1}
    assert numa.nodes[0].memory_kb == 1905 << 10


def test_probe_reads_a_real_process() -> None:
    me = Path("/proc/self").resolve().name
    said = probe.read("/", me)
    assert number_list(said["main"])
    assert sum(said["cpus"].values()) == said["threads"]
    assert said["rss_kb"] > 1000
    with pytest.raises(FileNotFoundError):
        probe.read("/no/such/root", me)


def test_a_real_process_on_the_wrong_cpus_is_found_live(tmp_path: Path, library: Path) -> None:
    """Bound by the kernel to CPU 0, which is of node 1 here; its GPU is at node 0."""
    cpu = min(os.sched_getaffinity(0))
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            os.sched_setaffinity(process.pid, {cpu})
            pid = str(process.pid)
            recording = reference()
            for key in [key for key in recording.answers if key.startswith(("probe bindings", "probe processes"))]:
                del recording.answers[key]
            change(recording, "probe nvml processes", lambda said: _only(said, process.pid))
            answer(recording, "read /sys/devices/system/node/node0/cpulist", f"{cpu + 1}-223\n")
            answer(recording, "read /sys/devices/system/node/node1/cpulist", f"{cpu}\n")
            env = serve(recording, tmp_path, library)
            for name in ("status", "stat", "cmdline", "cgroup", f"task/{pid}/status", "numa_maps"):
                source, copy = Path(f"/proc/{pid}/{name}"), tmp_path / "root/proc" / pid / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                if source.exists():
                    copy.write_bytes(source.read_bytes())
            report = mlopsdoc(
                "check", "numa_binding", "--json", "--root", str(tmp_path / "root"), place=tmp_path, env=env
            ).report()
        finally:
            process.kill()
    [found] = report["checks"][0]["findings"]
    assert (found["status"], found["subject"]) == ("warning", f"pid {pid}")
    assert f"its main thread can run on node 1 (CPUs {cpu}) only" in found["summary"]
    assert f"sudo taskset -acp {cpu + 1}-223 {pid}" in found["advice"]


def _only(said: Any, pid: int) -> None:
    """This process on the first GPU, none on the others."""
    for number, gpu in enumerate(said["gpus"]):
        gpu["values"]["compute"] = [] if number else [{"pid": pid, "usedGpuMemory": 1 << 33}]


def test_ranks_that_one_rank_started_are_no_loaders() -> None:
    recording = reference()
    of_ranks = {"41232": "56-111,168-223", "41233": "56-111,168-223"}
    of_ranks |= {str(pid): "56-111,168-223" for pid in range(41320, 41324)}  # the loaders of 41232

    def edit(said: Any) -> None:
        said["children"] |= of_ranks

    change(recording, "probe bindings 41230", edit)
    assert judged(recording).status.value == "ok"


def test_the_farther_part_of_a_socket_is_near() -> None:
    """Three parts a socket: 10, 15, 17; the other socket from 21 on (Linux, x86/topology: SNC-3)."""
    recording = snapshot.load(str(REPOSITORY / "snapshots/numa_binding_sub_numa"))
    for number in range(4):
        key = f"read /sys/devices/system/node/node{number}/distance"
        answer(recording, key, recording.answers[key].text.replace("12", "17"))
    assert judged(recording).status.value == "ok"


PASTED = """$ taskset -p 41230
pid 41230's current affinity mask: {mask}
$ head -1 /proc/41230/numa_maps
7f8d30b4c000 default anon=9 dirty=9 active=0 N0=9 kernelpagesize_kB=4
$ numastat -p 41230

Per-node process memory usage (in MBs) for PID 41230 (python3)
                           Node 0          Node 1           Total
                  --------------- --------------- ---------------
Private                    112.40        36142.01        36254.41
Total                      112.40        36142.01        36254.41
$
"""


@pytest.mark.parametrize(("mask", "codes"), [("fffffff", ["memory"]), ("3f00000000000000", ["cpus"])])
def test_masks_and_counted_pages_that_somebody_pasted(tmp_path: Path, mask: str, codes: list[str]) -> None:
    (tmp_path / "pasted.txt").write_text(PASTED.format(mask=mask))
    recording = reference()
    del recording.answers["probe bindings 41230"]
    recording.answers |= opening.recording(str(tmp_path / "pasted.txt"))[0].recording.answers
    assert [found.code for found in judged(recording).findings if found.status.is_alarm] == codes
