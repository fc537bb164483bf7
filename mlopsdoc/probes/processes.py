"""What /proc says of a process, through psutil: whose it is, since when, and in which job."""

from __future__ import annotations

from typing import Any

_KILL = tuple("13579bdf")  # with the lowest bit
WORDS, LENGTH = 12, 300  # of a command line: enough to know it again


def read(root: str, pid: str) -> dict[str, Any]:
    """One of::

        {"user": "alice", "command": "python train.py", "name": "python", "started": 1795390000.12,
         "cgroup": "0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0\\n", "cpu_s": 8123.4,
         "state": "S", "parent": 41228}              and "killed": true where SIGKILL waits for it
        {"gone": true}
        {"denied": true}

    A container that is paused is stopped (T), although the kernel shows what cgroup v1 has frozen as D.

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
            "cgroup": lambda: _text(f"{psutil.PROCFS_PATH}/{pid}/cgroup"),
            "cpu_s": lambda: round(sum(process.cpu_times()[:2]), 2),
        }
        said |= read_status(_text(f"{psutil.PROCFS_PATH}/{pid}/status"))
        for name, ask in asked.items():
            try:
                said[name] = ask()
            except (psutil.AccessDenied, PermissionError):
                pass
            except psutil.ZombieProcess:
                said["zombie"] = True
        if said.get("state") == "D" and is_frozen(psutil.PROCFS_PATH.removesuffix("/proc"), said.get("cgroup", "")):
            said["state"] = "T"
    except psutil.AccessDenied:
        return {"denied": True}
    except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
        return {"gone": True}
    return said or {"denied": True}


def is_frozen(root: str, cgroup: str) -> bool:
    """By the line of cgroup v1, ``7:freezer:/docker/0123456789ab...``; of a cgroup inside of a frozen one as well."""
    path = next(
        (line.split(":", 2)[2] for line in cgroup.splitlines() if line.count(":") > 1 and ":freezer:" in line), ""
    )
    try:
        return bool(path) and _text(f"{root}/sys/fs/cgroup/freezer{path}/freezer.state").startswith(
            ("FROZEN", "FREEZING")
        )
    except OSError:
        return False


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(4096)


def read_status(text: str) -> dict[str, Any]:
    """Of /proc/PID/status: its state, its parent, and whether SIGKILL was sent to it or a thread and waits::

    State:	D (disk sleep)
    PPid:	41228
    SigPnd:	0000000000000000
    ShdPnd:	0000000000000100
    """
    lines = dict(line.split(":\t", 1) for line in text.split("\n") if ":\t" in line)
    said: dict[str, Any] = {}
    if state := lines.get("State", "")[:1]:
        said["state"] = state
    if (parent := lines.get("PPid", "").strip()).isdecimal():
        said["parent"] = int(parent)
    # 16 digits of 4 signals each: the third from behind has 9 to 12.
    if any(lines.get(name, "").strip()[-3:-2] in _KILL for name in ("SigPnd", "ShdPnd")):
        said["killed"] = True
    return said
