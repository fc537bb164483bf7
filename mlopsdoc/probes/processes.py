"""What /proc says of a process, through psutil: whose it is, since when, and in which job."""

from __future__ import annotations

from typing import Any

WORDS, LENGTH = 12, 300  # of a command line: enough to know it again


def read(root: str, pid: str) -> dict[str, Any]:
    """One of::

        {"user": "alice", "command": "python train.py", "name": "python", "started": 1795390000.12,
         "cgroup": "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\\n"}
        {"gone": true}
        {"denied": true}

    `started` is in seconds since the epoch. What may not be seen of a process is missing from it. Below another
    root than / the user is a number: its names are not ours.
    """
    import psutil

    psutil.PROCFS_PATH = root.rstrip("/") + "/proc"
    return _process(psutil, int(pid), names=root == "/")


def _process(psutil: Any, pid: int, *, names: bool) -> dict[str, Any]:
    said: dict[str, Any] = {}
    try:
        process = psutil.Process(pid)
        asked = {
            "started": lambda: round(process.create_time(), 2),
            "name": process.name,
            "user": process.username if names else lambda: str(process.uids().effective),
            "command": lambda: " ".join(process.cmdline()[:WORDS])[:LENGTH],
            "cgroup": lambda: _cgroup(f"{psutil.PROCFS_PATH}/{pid}/cgroup"),
        }
        for name, ask in asked.items():
            try:
                said[name] = ask()
            except (psutil.AccessDenied, PermissionError):
                pass
            except psutil.ZombieProcess:
                said["zombie"] = True
    except psutil.AccessDenied:
        return {"denied": True}
    except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
        return {"gone": True}
    return said or {"denied": True}


def _cgroup(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(4096)
