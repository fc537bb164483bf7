"""Where each process on a GPU may run, and on which NUMA nodes its memory lies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.authoring import NEEDS_ROOT
from mlopsdoc.facts import nvml
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.gpu_processes import GpuProcess, GpuProcesses
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.numa import Numa, is_number, number_list
from mlopsdoc.facts.nvml import Table
from mlopsdoc.facts.quantities import size

# Walking page tables takes 1 s for 100 GB and holds a lock of the process meanwhile: a third of a second at most.
WALKED_KB = 32 << 20
CGROUPS = "/sys/fs/cgroup"
PAGE = 4096
# Files that are memory: shared mappings without a file of their own, /dev/shm, System V segments, huge pages.
SHARED = ("/dev/zero", "/dev/shm/", "/SYSV", "/memfd:", "/anon_hugepage", "/dev/hugepages/", "/[aio]")


class Pages(Fact, frozen=True):
    """Bytes of anonymous and shared memory by node; `policy`: the memory policy of most of it, empty where not told.

    of: the processes whose memory it is. Pinned memory that the driver made is counted by nobody, nor are files.
    """

    by_node: dict[int, int]
    policy: str
    of: tuple[int, ...]
    line: Line


class Binding(Fact, frozen=True):
    """One process, on one GPU or several. What a list of CPUs or nodes does not tell is None.

    main: CPUs of its main thread. threads: the CPUs of its threads, and how many have these. mems: nodes that it may
    take memory from. cpuset: CPUs that it may be given (cgroup). children: the CPUs of each process it made that is on
    no GPU itself.
    hidden: why its memory was not seen. `is_seen` is false where not even its CPUs were.
    """

    pid: int
    gpus: tuple[str, ...]
    about: GpuProcess
    is_seen: bool
    main: frozenset[int] = frozenset()
    threads: tuple[tuple[frozenset[int], int], ...] = ()
    mems: frozenset[int] | None = None
    cpuset: frozenset[int] | None = None
    children: tuple[frozenset[int], ...] = ()
    pages: Pages | None = None
    hidden: str = ""
    fix: str = ""
    line: Line | None = None


class Bindings(Fact, frozen=True):
    """The processes on GPUs, by pid. taken_at: seconds since the epoch.

    CPUs are those of all threads (probes/bindings.py), or of /proc/PID/status alone in other people's recordings.
    Memory is that of the process's cgroup (memory.numa_stat, which costs nothing) where the cgroup holds no others
    than the processes of one node's GPUs and what they made; else /proc/PID/numa_maps, for its owner and root, and
    only up to WALKED_KB.
    """

    processes: tuple[Binding, ...]
    taken_at: float

    @classmethod
    def read(cls, host: Host, numa: Numa, processes: GpuProcesses) -> Bindings:
        """Raises NothingHere when no process is on a GPU."""
        found: dict[int, list[GpuProcess]] = {}
        for process in processes.processes:
            if not process.gone:
                found.setdefault(process.pid, []).append(process)
        if not found:
            raise NothingHere("no process is on a GPU")
        rows = {pid: _row(host, pid) for pid in sorted(found)}
        pages = _of_cgroups(host, numa, found, rows)
        bound = [_binding(host, group, rows, pages) for _, group in sorted(found.items())]
        return cls(tuple(bound), host.now())


def _row(host: Host, pid: int) -> Table:
    """Empty when it ended, or may not be seen."""
    try:
        return nvml.table(host.probe("bindings", str(pid)))
    except CannotSee:
        return _of_status(host, pid)


def _of_status(host: Host, pid: int) -> Table:
    """What /proc/PID/status tells of the main thread, in a recording; its lines as in probes/bindings.py::

    Threads:        1
    Cpus_allowed_list:      4-7
    Mems_allowed_list:      0-1
    """
    if host.is_live:
        return {}
    said = dict(line.split(":", 1) for line in whole_lines(host.read(f"/proc/{pid}/status")) if ":" in line)
    cpus = said.get("Cpus_allowed_list", "").strip()
    return {"main": cpus, "cpus": {cpus: 1}, "mems": said.get("Mems_allowed_list", "").strip()} if cpus else {}


def _children(pid: int, rows: dict[int, Table]) -> Table:
    """Without those that are on a GPU themselves, ranks that it started, and without theirs."""
    found = dict(nvml.part(rows[pid], "children"))
    for rank in [other for other in rows if str(other) in found]:
        for child in (str(rank), *nvml.part(rows[rank], "children")):
            found.pop(child, None)
    return found


def _binding(host: Host, group: list[GpuProcess], rows: dict[int, Table], pages: dict[int, Pages]) -> Binding:
    pid, gpus = group[0].pid, tuple(process.pci for process in group)
    row = rows[pid]
    main = number_list(nvml.text(row, "main", 4096))
    threads = [
        (cpus, count)
        for text, count in nvml.part(row, "cpus").items()
        if isinstance(count, int) and (cpus := number_list(text))
    ]
    if not main or not threads:
        return Binding(pid, gpus, group[0], is_seen=False)
    found, hidden, fix = pages.get(pid), "", ""
    if found is None:
        found, hidden, fix = _of_numa_maps(host, pid, nvml.number(row, "rss_kb") or 0)
    return Binding(
        pid,
        gpus,
        group[0],
        is_seen=True,
        main=main,
        threads=tuple(threads),
        mems=number_list(nvml.text(row, "mems", 4096)) or None,
        cpuset=_cpuset(host, row),
        children=tuple(cpus for text in _children(pid, rows).values() if (cpus := number_list(str(text)))),
        pages=found,
        hidden=hidden,
        fix=fix,
        line=Line(
            f"probe bindings {pid}" if "parents" in row else f"read /proc/{pid}/status",
            f"pid {pid}: Cpus_allowed_list {nvml.text(row, 'main', 200)}",
        ),
    )


def _folder(row: Table, controller: str) -> str:
    """Of its cgroup. Version 1 has a tree for each controller::

    0::/system.slice/x.service                 -> /sys/fs/cgroup/system.slice/x.service
    4:memory:/slurm/uid_1003/job_4711/step_0   -> /sys/fs/cgroup/memory/slurm/uid_1003/job_4711/step_0
    """
    text = row.get("cgroup")
    rows = [line.split(":", 2) for line in text.split("\n") if line.count(":") > 1] if isinstance(text, str) else []
    old = next((path for _, names, path in rows if controller in names.split(",")), "")
    path = f"/{controller}{old}" if old else next((path for _, names, path in rows if not names), "")
    return "" if not path or ".." in path.split("/") or not path.isprintable() else CGROUPS + path.rstrip("/")


def _cpuset(host: Host, row: Table) -> frozenset[int] | None:
    folder = _folder(row, "cpuset")
    name = "cpuset.effective_cpus" if folder.startswith(f"{CGROUPS}/cpuset/") else "cpuset.cpus.effective"
    answer = host.read(f"{folder}/{name}") if folder else None
    return number_list(answer.text) or None if answer and answer.status == "ok" else None


def _of_cgroups(host: Host, numa: Numa, found: dict[int, list[GpuProcess]], rows: dict[int, Table]) -> dict[int, Pages]:
    """The memory of the processes whose cgroup tells of no others: those whose GPUs are at the same nodes."""
    shared: dict[str, list[int]] = {}
    for pid in found:
        if folder := _folder(rows[pid], "memory"):
            shared.setdefault(folder, []).append(pid)
    pages: dict[int, Pages] = {}
    for folder, pids in shared.items():
        nodes = {frozenset(numa.gpus.get(process.pci, -1) for process in found[pid]) for pid in pids}
        if len(nodes) == 1 and _has_no_others(host, folder, pids, rows):
            answer = host.read(f"{folder}/memory.numa_stat")
            if answer.status == "ok" and (by_node := numa_stat(answer.text)):
                line = next((line for line in answer.text.split("\n") if line.startswith(("anon ", "anon="))), "")
                pages |= dict.fromkeys(pids, Pages(by_node, "", tuple(pids), Line(answer.key, line)))
    return pages


def _has_no_others(host: Host, folder: str, pids: list[int], rows: dict[int, Table]) -> bool:
    answer = host.read(f"{folder}/cgroup.procs")
    inside = answer.text.split()
    known = set(map(str, pids))
    for pid in pids:
        known |= set(nvml.part(rows[pid], "children"))
        parents = rows[pid].get("parents")
        known |= {str(parent) for parent in cast("list[object]", parents)} if isinstance(parents, list) else set()
    return answer.status == "ok" and bool(inside) and set(inside) <= known


def numa_stat(text: str) -> dict[int, int]:
    """Bytes of anonymous and shared memory by node, of a cgroup's memory.numa_stat. Version 1 tells pages, without
    the shared ones::

    anon N0=21474836480 N1=104857600
    file N0=8589934592 N1=0
    shmem N0=2147483648 N1=0
    anon=5268480 N0=5242880 N1=25600
    """
    found: dict[int, int] = {}
    for line in text.split("\n"):
        name, *words = line.split()[:1024] or [""]
        if name in ("anon", "shmem") or name.startswith("anon="):
            for node, count in _counts(words):
                found[node] = found.get(node, 0) + count * (PAGE if "=" in name else 1)
    return found


def _of_numa_maps(host: Host, pid: int, rss_kb: int) -> tuple[Pages | None, str, str]:
    """Or why it is not known, and what to do about it."""
    if rss_kb > WALKED_KB:
        why = f"counting the pages of {size(rss_kb * 1024)} would hold it up"
        return None, why, f"`sudo numastat -p {pid}` counts them, once"
    answer = host.read(f"/proc/{pid}/numa_maps")
    for counted in asked(host, "numastat") if answer.status != "ok" else ():
        if counted.said and (found := numastat(counted.text, pid)):
            return Pages(found, "", (pid,), Line(counted.key, f"pid {pid}: {_in_words(found)}")), "", ""
    if answer.status != "ok":
        is_denied = answer.status == "denied"
        why = "only its owner and root may see it" if is_denied else answer.why or answer.status
        return None, why, NEEDS_ROOT if is_denied else ""
    by_node, policy, largest = numa_maps(answer.text)
    if not by_node:
        return None, "its numa_maps tells of no memory", ""
    return Pages(by_node, policy, (pid,), Line(answer.key, largest)), "", ""


def numa_maps(text: str) -> tuple[dict[int, int], str, str]:
    """Bytes by node of what is no file; the policy that most of it has; the line of its largest part::

        7f8d30b4c000 default anon=52487 dirty=52487 active=0 N0=52487 kernelpagesize_kB=4
        7f0001015000 bind:1 file=/dev/zero\\040(deleted) dirty=51200 active=0 N1=51200 kernelpagesize_kB=4
        0041f000 bind:1 file=/usr/bin/python3.11 mapped=460 active=0 N0=460 kernelpagesize_kB=4

    `mapped` stands only where not all of its pages are anonymous: then it is a file's. A policy may hold a space:
    ``prefer (many):0-1``.
    """
    found: dict[int, int] = {}
    policies: dict[str, int] = {}
    largest = (0, "")
    for line in text.split("\n"):
        words = line.split(" ")
        values = dict(word.split("=", 1) for word in words[2:] if "=" in word)
        name = values.get("file", "")
        if name and not name.startswith(SHARED) and ("anon" not in values or "mapped" in values):
            continue
        kib = values.get("kernelpagesize_kB", "")
        unit = int(kib) << 10 if is_number(kib, 8) else 0
        counts = [(node, pages * unit) for node, pages in _counts(words[2:])]
        total = sum(count for _, count in counts)
        if not total:
            continue
        for node, count in counts:
            found[node] = found.get(node, 0) + count
        policy = " ".join(words[1 : 3 if words[2].startswith("(") else 2])
        policies[policy] = policies.get(policy, 0) + total
        largest = max(largest, (total, line))
    return found, max(policies, key=lambda name: policies[name], default=""), largest[1]


def numastat(text: str, pid: int) -> dict[int, int]:
    """Bytes by node of one process by `numastat -p`, in MB there; empty where it does not tell of it::

        Per-node process memory usage (in MBs) for PID 3031 (python3)
                                   Node 0          Node 1           Total
        Private                      4.98          202.24          207.22
        Total                        4.98          202.90          207.89

    Of several processes there is one line each, ``3031 (python3)   4.98   202.90   207.89``.
    """
    found: dict[int, int] = {}
    nodes: list[str] = []
    is_one = False
    for line in text.split("\n"):
        words = line.split()
        if line.startswith("Per-node process memory usage"):
            is_one, nodes = line.partition(" for PID ")[2].split(" ")[0] == str(pid), []
        elif "Node" in words:
            nodes += [word for word in words if is_number(word, 5)]
        elif words and nodes and words[0] == ("Total" if is_one else str(pid)):
            amounts = words[-len(nodes) - 1 : -1]
            if len(words) > len(nodes) + 1 and all(is_number(amount.replace(".", "", 1), 12) for amount in amounts):
                found = {int(node): int(float(amount) * (1 << 20)) for node, amount in zip(nodes, amounts)}
    return found


def _in_words(by_node: dict[int, int]) -> str:
    return ", ".join(f"node {node} {size(count)}" for node, count in sorted(by_node.items()))


def _counts(words: Iterable[str]) -> list[tuple[int, int]]:
    """Of ``N0=51200 N1=0``: node and count."""
    found: list[tuple[int, int]] = []
    for word in words:
        node, _, count = word[1:].partition("=")
        if word[:1] == "N" and is_number(node, 5) and is_number(count, 17):
            found.append((int(node), int(count)))
    return found
