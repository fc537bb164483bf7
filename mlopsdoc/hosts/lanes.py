"""The table of lanes, and this side of one: a process that answers questions and may hang without hanging us.

A GPU that fell off its bus leaves whoever asks it in uninterruptible sleep: no signal ends that process, so
it must not be ours. Questions that hang apart run apart, one process a lane, serial inside. One that is past
its deadline becomes a `timeout`; its lane is killed, never waited for, and replaced.
"""

from __future__ import annotations

import marshal
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from fnmatch import fnmatchcase
from threading import Lock
from typing import Any, NamedTuple

from mlopsdoc.hosts.asking import Reply, receive, send
from mlopsdoc.hosts.nursery import Nursery

GRACE_S = 1.5  # a lane ends its own commands at their deadline; past this it is itself stuck
MIB = 1 << 20


class Rule(NamedTuple):
    """How one kind of question is asked.

    lane: what it may hang with. deadline_s: when it is given up. fresh_s: how old an answer the TUI accepts.
    cap: bytes kept. sample: whether growth is judged by it, so that it is kept as an earlier state.
    """

    questions: str
    lane: str
    deadline_s: float
    fresh_s: float
    cap: int
    sample: bool = False


# The first row whose pattern matches the question's key counts.
RULES = (
    Rule("tree /sys/devices/system/cpu/*/thermal_throttle/*", "files", 2, 2, MIB, sample=True),
    Rule("tree /sys/devices/system/edac/*", "files", 2, 30, MIB, sample=True),
    Rule("tree /sys/bus/pci/devices/*/aer_dev_*", "files", 2, 10, MIB, sample=True),
    Rule("tree /sys/class/infiniband/*/ports/*", "net", 5, 10, MIB, sample=True),  # the card's firmware answers
    Rule("tree /sys/class/nvme/*/hwmon*", "disks", 5, 10, MIB),  # each asks its drive
    Rule("read /proc/stat", "files", 2, 2, 4 * MIB, sample=True),
    Rule("read /proc/*/numa_maps", "processes", 5, 60, 8 * MIB),
    Rule("read /dev/kmsg", "files", 5, 10, 16 * MIB),
    Rule("read /sys/bus/pci/devices/*/config", "nvml", 5, 60, MIB),
    Rule("read /redfish/v1/*", "bmc", 30, 60, MIB),
    Rule("read *", "files", 2, 2, 4 * MIB),
    Rule("tree *", "files", 2, 10, MIB),
    Rule("link *", "files", 2, 60, MIB),
    Rule("probe nvml static", "nvml", 15, 300, 4 * MIB),
    Rule("probe nvml state", "nvml", 15, 2, 4 * MIB, sample=True),
    Rule("probe nvml links", "nvml", 15, 10, 4 * MIB, sample=True),
    Rule("probe nvml health", "nvml", 15, 60, 4 * MIB, sample=True),
    Rule("probe nvml processes", "nvml", 15, 10, 4 * MIB, sample=True),
    Rule("probe nvml *", "nvml", 15, 10, 4 * MIB),
    Rule("probe processes*", "processes", 5, 5, 4 * MIB, sample=True),
    Rule("probe bindings*", "processes", 5, 10, 4 * MIB),
    Rule("probe mapped *", "processes", 5, 60, MIB),
    Rule("probe filesystem *", "disks", 2, 30, MIB),
    Rule("probe *", "files", 5, 300, 4 * MIB),
    Rule("run sh -c *nvidia-bug-report.sh*", "nvml", 300, 3600, 64 * MIB),
    Rule("run nvidia-smi*", "nvml", 15, 60, 16 * MIB),
    Rule("run zpool history*", "zfs", 10, 600, 16 * MIB),
    Rule("run z*", "zfs", 10, 30, 4 * MIB),
    Rule("run ipmitool fru*", "bmc", 30, 3600, 4 * MIB),
    Rule("run ipmi*", "bmc", 30, 60, 4 * MIB),
    Rule("run bmc-*", "bmc", 30, 60, 4 * MIB),
    Rule("run smartctl -j -a *", "disks", 10, 600, MIB, sample=True),
    Rule("run nvme smart-log *", "disks", 10, 600, MIB, sample=True),
    Rule("run smartctl *", "disks", 10, 600, 4 * MIB),
    Rule("run nvme *", "disks", 10, 600, 4 * MIB),
    Rule("run ethtool *", "net", 10, 30, 4 * MIB),
    Rule("run journalctl -k *", "tools", 10, 30, 16 * MIB),
    Rule("run dmesg*", "tools", 10, 30, 16 * MIB),
    Rule("run *", "tools", 10, 60, 4 * MIB),
)


def rule_for(key: str) -> Rule:
    """The first rule whose pattern matches."""
    return next(rule for rule in RULES if fnmatchcase(key, rule.questions))


class Lane:
    """One process that answers questions one after the other, made when first asked and again when it hung."""

    def __init__(self, nursery: Nursery, on_stuck: Callable[[str, int], None]) -> None:
        self._nursery = nursery
        self._on_stuck = on_stuck
        self._serial = Lock()
        self._socket: socket.socket | None = None
        self._pid = 0

    def ask(self, key: str, question: tuple[Any, ...], deadline_s: float, until: float) -> Reply:
        """The reply of the process, or a timeout after `deadline_s`, or at `until` on the monotonic clock.

        Time spent waiting for the lane is not the question's own.
        """
        if not self._serial.acquire(timeout=max(0.0, until - time.monotonic())):
            return Reply("timeout", why="not asked: the time of the whole run was over")
        try:
            seconds = min(deadline_s, until - time.monotonic())
            if seconds <= 0:
                return Reply("timeout", why="not asked: the time of the whole run was over")
            try:
                if self._socket is None:
                    self._socket, self._pid = self._nursery.bear()
                self._socket.settimeout(seconds + GRACE_S)
                send(self._socket, marshal.dumps((*question, seconds)))
                reply = Reply(*marshal.loads(receive(self._socket)))
            except TimeoutError:
                self._on_stuck(key, self._pid)
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)  # alive, for its end of the socket is open
                self.close()
                return Reply("timeout", why=f"no answer within {seconds:.3g} s; its process cannot be waited for")
            except (OSError, EOFError, ValueError) as error:
                self.close()
                return Reply("failed", why=f"the process that asks died or could not be made ({type(error).__name__})")
            if reply.left_pid:
                self._on_stuck(key, reply.left_pid)
            return reply
        finally:
            self._serial.release()

    def close(self) -> None:
        """An idle lane ends when its socket does, one that runs a command ends that first."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
