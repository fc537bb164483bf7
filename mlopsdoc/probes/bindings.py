"""Where a process may run, of all its threads and of the children it made: read in bulk, told in brief."""

from __future__ import annotations

import os
from typing import Any

MAX_THREADS, MAX_CHILDREN, MAX_PARENTS = 256, 256, 8
_STATUS = 1 << 16
_WANTED = ("Name", "PPid", "Threads", "RssAnon", "RssShmem", "Cpus_allowed_list", "Mems_allowed_list")


def read(root: str, pid: str) -> dict[str, Any]:
    """Of one process::

        {"main": "0-55,112-167", "mems": "0-1", "threads": 214, "rss_kb": 20971520,
         "cpus": {"0-55,112-167": 214}, "children": {"4180": "0-55,112-167"}, "parents": [4100, 4000],
         "cgroup": "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\\n"}

    main, mems: the lists of CPUs and of NUMA nodes that its main thread may use. threads: how many it has; cpus: how
    many of its first MAX_THREADS may use which CPUs. rss_kb: anonymous and shared memory. children: processes that
    it made, and those that these made, with their CPUs; parents: the nearest first. Raises OSError when it is gone,
    or may not be seen.
    """
    proc = root.rstrip("/") + "/proc"
    main = _status(f"{proc}/{int(pid)}/status")
    return {
        "main": main.get("Cpus_allowed_list", ""),
        "mems": main.get("Mems_allowed_list", ""),
        "threads": _number(main.get("Threads")),
        "rss_kb": _number(main.get("RssAnon")) + _number(main.get("RssShmem")),
        "cpus": _threads(f"{proc}/{pid}/task"),
        "children": _children(proc, int(pid)),
        "parents": _parents(proc, main),
        "cgroup": _text(f"{proc}/{pid}/cgroup", 4096),
    }


def _threads(folder: str) -> dict[str, int]:
    found: dict[str, int] = {}
    try:
        threads = sorted((name for name in os.listdir(folder) if name.isdigit()), key=int)[:MAX_THREADS]
    except OSError:
        return found
    for thread in threads:
        try:
            cpus = _status(f"{folder}/{thread}/status").get("Cpus_allowed_list", "")
        except OSError:  # it ended
            continue
        found[cpus] = found.get(cpus, 0) + 1
    return found


def _children(proc: str, pid: int) -> dict[str, str]:
    """Of its main thread, which is where loaders are made; none where the kernel keeps no such list."""
    found: dict[str, str] = {}
    parents = [str(pid)]
    for _ in range(2):
        lists = [_text(f"{proc}/{parent}/task/{parent}/children", 1 << 14) for parent in parents]
        made = [child for children in lists for child in children.split()]
        parents = [child for child in made if child.isdigit()][: MAX_CHILDREN - len(found)]
        for child in parents:
            try:
                found[child] = _status(f"{proc}/{child}/status").get("Cpus_allowed_list", "")
            except OSError:  # it ended
                continue
    return found


def _parents(proc: str, status: dict[str, str]) -> list[int]:
    found: list[int] = []
    while len(found) < MAX_PARENTS and (parent := _number(status.get("PPid"))) > 1:
        found.append(parent)
        try:
            status = _status(f"{proc}/{parent}/status")
        except OSError:
            break
    return found


def _status(path: str) -> dict[str, str]:
    """What is wanted of a /proc/PID/status. Raises OSError."""
    with open(path, "rb") as file:
        lines = file.read(_STATUS).decode("utf-8", "replace").splitlines()
    pairs = (line.partition(":") for line in lines)
    return {name: value.strip() for name, _, value in pairs if name in _WANTED}


def _number(text: str | None) -> int:
    """Of ``204556 kB`` or ``214``; 0 where there is none."""
    word = (text or "").split(" ")[0]
    return int(word) if word.isascii() and word.isdigit() else 0


def _text(path: str, size: int) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(size).decode("utf-8", "replace")
    except OSError:
        return ""
