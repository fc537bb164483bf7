"""The processes of a step: all that descend from the process that started it, daemons included. They have RUN in
their environment, so that they are found when that process was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Iterable

from mlopsdoc.clean import decode, one_line

RUN = "MLOPSDOC_RUN"
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Become the parent of every descendant whose parent ends, so that none is lost from sight."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def start_of(pid: int) -> str:
    """When a process started, in clock ticks since boot; empty when it is gone or a zombie."""
    row = _stat(pid)
    return "" if not row or row[0] in (b"Z", b"X") else row[19].decode()


def descendants(but: Iterable[int] = ()) -> list[int]:
    """All living descendants of this process; not those in `but`, nor theirs."""
    left_out = set(but)
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (row := _stat(int(name))) and row[0] not in (b"Z", b"X"):
            children.setdefault(int(row[1]), []).append(int(name))
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting:
        new = [pid for pid in children.get(waiting.pop(), []) if pid not in left_out]
        found += new
        waiting += new
    return found


def of_run(run: str) -> list[int]:
    """Living processes of a run, whoever is their parent now; not those whose environment we may not read."""
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/environ", "rb") as file:
                    words = file.read(1 << 20).split(b"\0")
            except OSError:
                continue
            if f"{RUN}={run}".encode() in words and start_of(int(name)):
                found.append(int(name))
    return found


def send(pids: Iterable[int], number: signal.Signals) -> list[int]:
    """Send a signal to processes and their groups; those that only root may signal come back."""
    denied: list[int] = []
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
        except PermissionError:
            denied.append(pid)
    return denied


def described(pid: int) -> str:
    """``pid 4123 sleep 600``, made safe."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = decode(file.read(400).replace(b"\0", b" ").strip())
    except OSError:
        words = ""
    return one_line(f"pid {pid} {words}".strip(), 120)


def _stat(pid: int) -> list[bytes]:
    """What stands behind the name in /proc/PID/stat: state, parent, ...; empty when it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:
        return []
