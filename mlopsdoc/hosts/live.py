"""This machine, asked through lanes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from threading import Lock
from typing import Any, cast

import msgspec

from mlopsdoc.hosts import ring
from mlopsdoc.hosts.asking import Reply
from mlopsdoc.hosts.base import (
    Answer,
    AnswerStatus,
    Host,
    Tree,
    link_key,
    probe_key,
    read_key,
    run_key,
    tree_key,
)
from mlopsdoc.hosts.bmc import Bmc
from mlopsdoc.hosts.lanes import Lane, rule_for
from mlopsdoc.hosts.nursery import Nursery
from mlopsdoc.hosts.recorder import Replay

BOOT_ID = "/proc/sys/kernel/random/boot_id"
OURS_ONLY = ("nvml", "devices", "cpu")  # probes that see this kernel, whatever the root


class Live(Host):
    """This machine. `root` is where its files are seen from, `states` the folders of what runs remember, ours first.

    Questions end at `deadline_s` after now, answered or not. Commands always run on this machine. With a `bmc` what
    ipmitool or Redfish is asked goes to that one, under the same keys.
    """

    is_live = True

    def __init__(
        self,
        nursery: Nursery,
        *,
        root: str = "/",
        states: Sequence[str] = (),
        deadline_s: float = 60,
        bmc: Bmc | None = None,
    ) -> None:
        self._nursery = nursery
        self._bmc = bmc
        self.root = os.path.realpath(root)
        self._states = states
        self.renew(deadline_s)
        self._lanes: dict[str, Lane] = {}
        self._lock = Lock()
        self._stuck = Stuck(states[0] if states else None)
        self._ours = self.root == "/" or self.read(BOOT_ID).data == Live._boot_id_of_this_kernel()

    def renew(self, deadline_s: float) -> None:
        """Begin another run, with the lanes of the last."""
        self._until = time.monotonic() + deadline_s
        self._now = round(time.time(), 3)  # as a snapshot keeps it: growth must be the same in a replay

    @staticmethod
    def _boot_id_of_this_kernel() -> bytes:
        with open(BOOT_ID, "rb") as file:
            return file.read()

    def _ask(self, key: str, kind: str, *args: Any) -> Reply:
        rule = rule_for(key)
        if why := self._stuck.why(key):
            return Reply("timeout", why=why, at=self._now)
        with self._lock:
            if rule.lane not in self._lanes:
                self._lanes[rule.lane] = Lane(self._nursery, self._stuck.note)
            lane = self._lanes[rule.lane]
        question = (kind, *args) if kind in ("probe", "link") else (kind, *args, rule.cap)
        reply = lane.ask(key, question, rule.deadline_s, self._until)
        return reply._replace(at=round(reply.at or time.time(), 3))  # as a snapshot keeps it

    def read(self, path: str) -> Answer:
        key = read_key(path)
        if self._bmc and path.startswith("/redfish/v1/"):
            how = json.dumps(self._bmc.redfish())
            return _answer(key, self._ask(key, "probe", self.root, "redfish", (path, how)))
        return _answer(key, self._ask(key, "read", self.root, path))

    def link(self, path: str) -> Answer:
        key = link_key(path)
        return _answer(key, self._ask(key, "link", self.root, path))

    def tree(self, pattern: str) -> Tree:
        key = tree_key(pattern)
        reply = self._ask(key, "tree", self.root, pattern)
        files = {
            path: Answer(read_key(path), cast(AnswerStatus, status), data, why=why, at=reply.at)
            for path, (status, data, why) in (reply.files or {}).items()
        }
        return Tree(_answer(key, reply), files)

    def run(self, *argv: str) -> Answer:
        key = run_key(argv)
        if self._bmc and self._bmc.over == "ipmi" and argv[0] == "ipmitool":
            argv = self._bmc.ipmitool(argv[1:])
        return _answer(key, self._ask(key, "run", argv))

    def probe(self, name: str, *args: str) -> Answer:
        key = probe_key(name, args)
        if name == "bmc":
            over = json.dumps({"over": self._bmc.over}).encode() if self._bmc else b""
            return Answer(key, "ok" if over else "absent", over, why="" if over else "config.toml has no [bmc]")
        if name in OURS_ONLY and not self._ours:
            return Answer(key, "not_captured", why=f"{self.root} is not this machine")
        return _answer(key, self._ask(key, "probe", self.root, name, args))

    def now(self) -> float:
        return self._now

    def before(self) -> Host | None:
        boot_id = self.read(BOOT_ID)
        if not boot_id.said:
            return None
        found = ring.newest(self._states, boot_id.text.strip(), self._now)
        return Replay(found) if found else None

    def close(self) -> None:
        for lane in self._lanes.values():
            lane.close()


def _answer(key: str, reply: Reply) -> Answer:
    return Answer(
        key,
        cast(AnswerStatus, reply.status),
        reply.data,
        stderr=reply.stderr,
        exit=reply.exit,
        why=reply.why,
        at=reply.at,
        seconds=reply.seconds,
    )


class Stuck:
    """Questions whose process could not be ended. While it lives they are not put again, in no later run.

    Otherwise a run every five minutes would leave 288 dead processes a day.
    """

    def __init__(self, state: str | None) -> None:
        self._path = f"{state}/stuck.json" if state else ""
        self._lock = Lock()
        self._known = self._living()

    def _living(self) -> dict[str, tuple[int, str, float]]:
        """What is noted, by any run, of processes that are still there."""
        try:
            with open(self._path, "rb") as file:
                rows = msgspec.json.decode(file.read(), type=dict[str, tuple[int, str, float]])
        except (OSError, msgspec.DecodeError):
            return {}
        return {key: row for key, row in rows.items() if _start_of(row[0]) == row[1]}

    def why(self, key: str) -> str:
        """Why the question is not put, or nothing."""
        pid, start, since = self._known.get(key, (0, "", 0.0))
        if not pid or _start_of(pid) != start:
            return ""
        clock = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(since))
        return f"stuck since {clock}: process {pid} still waits for an answer and cannot be ended"

    def note(self, key: str, pid: int) -> None:
        if start := _start_of(pid):
            with self._lock:
                self._known = self._living() | self._known | {key: (pid, start, time.time())}
                if self._path:
                    ring.replace_file(self._path, msgspec.json.encode(self._known))


def _start_of(pid: int) -> str:
    """When a process started, in clock ticks since boot; nothing when it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
