"""/proc/PID of the processes that a snapshot recorded, as far as the probes look at it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from mlopsdoc.hosts.base import split
from mlopsdoc.hosts.recorder import Recording


def write_processes(recording: Recording, root: Path) -> None:
    """Write what the probes `processes`, `bindings` and `mapped` said where they read it, below `root`."""
    stat = recording.answers.get("read /proc/stat")
    lines = stat.text.split("\n") if stat else []
    boot = next((int(line[6:]) for line in lines if line.startswith("btime ")), 0)
    for key, answer in sorted(recording.answers.items()):
        name, *_ = split(key.removeprefix("probe "))
        if answer.status != "ok" or not key.startswith("probe ") or name not in _WRITE:
            continue
        row: dict[str, Any] = json.loads(answer.data)
        if not row.get("gone") and not row.get("denied"):
            _WRITE[name](root / "proc", split(key)[2], row, boot)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _process(proc: Path, pid: str, row: dict[str, Any], boot: int) -> None:
    hertz = os.sysconf("SC_CLK_TCK")
    since, ran = round((row.get("started", boot) - boot) * hertz), round(row.get("cpu_s", 0) * hertz)
    times = f"{'0 ' * 9}{ran} {'0 ' * 7}{since} {'0 ' * 30}"
    _put(proc / pid / "stat", f"{pid} ({row.get('name', '')}) {row.get('state', 'S')} 1 {times}\n")
    _put(proc / pid / "cmdline", row.get("command", "").replace(" ", "\0") + "\0")
    _put(proc / pid / "cgroup", row.get("cgroup", ""))
    user = row.get("user", "mara")
    uids = "\t".join([str(0 if user == "root" else 1000 + sum(user.encode()) % 1000)] * 4)
    more = f"Uid:\t{uids}\nPPid:\t{row.get('parent', 1)}\nState:\t{row.get('state', 'S')} (as recorded)\n"
    more += f"ShdPnd:\t{1 << 8 if row.get('killed') else 0:016x}\n"
    status = proc / pid / "status"  # of a binding, it has more
    old = status.read_text() if status.exists() else _status(row, "", "")
    kept = [line for line in old.splitlines(keepends=True) if not line.startswith(("Uid:", "PPid:"))]
    _put(status, "".join(kept) + more)


def _binding(proc: Path, pid: str, row: dict[str, Any], boot: int) -> None:
    parents = row.get("parents", [])
    main, mems = row.get("main", ""), row.get("mems", "")
    more = f"Threads:\t{row.get('threads', 1)}\nRssAnon:\t{row.get('rss_kb', 0)} kB\nRssShmem:\t0 kB\n"
    _put(proc / pid / "status", _status(row, main, mems, next(iter(parents), 1), more))
    _put(proc / pid / "cgroup", row.get("cgroup", ""))
    threads = [cpus for cpus, count in row.get("cpus", {}).items() for _ in range(count)]
    for number, cpus in enumerate(threads):
        _put(proc / pid / "task" / str(int(pid) + number) / "status", _status(row, cpus, mems))
    _put(proc / pid / "task" / pid / "children", " ".join(row.get("children", {})))
    for child, cpus in row.get("children", {}).items():
        _put(proc / child / "status", _status(row, cpus, mems, int(pid)))
    for parent, above in zip(parents, [*parents[1:], 1]):
        _put(proc / str(parent) / "status", _status(row, main, mems, above))


def _status(row: dict[str, Any], cpus: str, mems: str, parent: int = 1, more: str = "") -> str:
    name = row.get("name", "python3")
    return f"Name:\t{name}\nPPid:\t{parent}\n{more}Cpus_allowed_list:\t{cpus}\nMems_allowed_list:\t{mems}\n"


def _mapped(proc: Path, pid: str, row: dict[str, Any], boot: int) -> None:
    lines: list[str] = []
    for library in row.get("libraries", []):
        path = library["path"] + (" (deleted)" if library["deleted"] else "")
        lines.append(f"7f2c40000000-7f2c52000000 r-xp 00000000 fd:01 7341235   {path}\n")
        folder = proc / pid / "root" / library["path"].partition("/nvidia/")[0].lstrip("/")
        for wheel in library["wheels"]:
            (folder / f"{wheel}.dist-info").mkdir(parents=True, exist_ok=True)
    _put(proc / pid / "maps", "".join(lines))


_WRITE = {"processes": _process, "bindings": _binding, "mapped": _mapped}
