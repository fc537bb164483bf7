"""What other people's collectors gathered: sosreports (3.x, 4.x) and the archives of insights-client.

    sosreport-gpu17-2026-11-23-abcdefg/
        version.txt  sos_reports/manifest.json  sos_logs/sos.log
        sos_commands/nvidia/nvidia-smi_-q          output of `nvidia-smi -q`, stdout and stderr in one
        sos_strings/kernel/dmesg.tailed            the end of what was too long
        proc/cpuinfo  sys/...  etc/...             files of the host

What was run is told by manifest.json (4.x), else by sos.json (3.5 and later), else by the names of the files, in
which every character but letters, digits and ``_.-/`` has become ``_`` and every ``/`` a dot.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, NamedTuple, cast

from mlopsdoc.hosts import refusals
from mlopsdoc.hosts.archives.files import Files, Part, Piece, Row, joined
from mlopsdoc.hosts.base import SAID, read_key, run_key
from mlopsdoc.hosts.pasted.commands import argv_of, canonical
from mlopsdoc.hosts.pasted.dates import Moment, moment_of
from mlopsdoc.hosts.refusals import Refused

# The folder of a collector's commands; what it is.
LAYOUTS = (("sos_commands/", "sosreport"), ("insights_commands/", "insights archive"))
OWN = ("sos_commands/", "insights_commands/", "sos_reports/", "sos_logs/", "sos_strings/", "meta_data/", "version.txt")

# Commands whose name cannot be turned back, by how the file's name begins.
BY_NAME = (
    ("nvidia-smi_--query-gpu_", "nvidia-smi --query-gpu=as-named --format=csv"),
    ("nvidia-smi_--query-retired-pages_", "nvidia-smi --query-retired-pages=as-named --format=csv"),
    ("nvidia-smi_--query-remapped-rows_", "nvidia-smi --query-remapped-rows=as-named --format=csv"),
    ("mdadm_-D_.dev.md", "mdadm --detail /dev/md"),
)

# Files of the host that are not among the files, by the answers that hold their text: many locators for one key.
ELSEWHERE = (
    ("read /proc/sys/kernel/hostname", ("run hostname", "read /etc/hostname")),
    ("read /proc/mounts", ("read /proc/self/mounts",)),
    ("run dmesg", ("read /var/log/dmesg", "run journalctl")),
    ("run lspci -vvv", ("run lspci -v",)),
)
PREFERRED = ("dmesg -T", "lspci -nnvv", "date")  # of several outputs for one key these
MAX_ALIASES, MAX_ALIAS_DEPTH, MAX_COMMANDS = 100_000, 4, 20_000
MAX_LOOKS = 2_000_000  # at names, to find what lies behind links to folders
MAX_TEXT = 2 << 20  # of an output that is read here; `sysctl -a` has some 100 kB
EMPTY = "empty in the {}: it may have been empty, or could not be read"
DAY_S = 86400.0
MISSING, NOT_RUNNABLE, TOO_LONG = 127, 126, 124  # exit codes of the shell and of timeout


class Command(NamedTuple):
    """One that was run. path: of its output below the top, or empty. exit: None where it is not told."""

    argv: tuple[str, ...]
    path: str
    exit: int | None = None
    is_cut: bool = False
    end: float = 0.0


class About(NamedTuple):
    """form: what it is. taken: NEVER where not told. is_complete: whether the collector had all it wanted."""

    form: str
    taken: Moment
    is_complete: bool
    notes: list[str]


def root_of(files: Files) -> str | None:
    """The folder in which such an archive lies, ending in a slash or empty; None where there is none.

    Raises Refused for several of them, as `sos collect` makes them.
    """
    roots = {name[: at + 1] for name in files.files for mark, _ in LAYOUTS if (at := _at(name, mark)) is not None}
    tops = [root for root in sorted(roots, key=len) if not any(r != root and root.startswith(r) for r in roots)]
    if len(tops) > 1:
        names = ", ".join(sorted(top.rstrip("/").rpartition("/")[2] for top in tops)[:8])
        raise Refused(refusals.SEVERAL_HOSTS.format(len(tops), names))
    return tops[0] if tops else None


def _at(name: str, mark: str) -> int | None:
    """Where the slash before a folder stands, -1 at the beginning."""
    if name.startswith(mark):
        return -1
    at = name.find(f"/{mark}")
    return at if at >= 0 else None


def read(files: Files) -> tuple[list[Row], About]:
    """The answers in such an archive, `files` seen from its own folder."""
    kind = next(kind for mark, kind in LAYOUTS if any(name.startswith(mark) for name in files.files))
    manifest = _json(files, "sos_reports/manifest.json")
    commands = list(islice(_of_manifest(manifest), MAX_COMMANDS))
    commands = commands or list(islice(_of_report(_json(files, "sos_reports/sos.json")), MAX_COMMANDS))
    told = {command.path for command in commands}
    commands += [command for command in islice(_of_names(files), MAX_COMMANDS) if command.path not in told]
    rows = joined(_command_rows(files, commands, kind))
    for row in _file_rows(files, kind):
        rows.setdefault(row.key, row)
    _elsewhere(rows, files)
    return list(rows.values()), _about(rows, files, manifest, kind)


def _about(rows: dict[str, Row], files: Files, manifest: Any, kind: str) -> About:
    plugins = _plugins(manifest)
    late = sorted(name for name, plugin in plugins.items() if plugin.get("timeout_hit") is True)
    notes = [f"{', '.join(late)} of sos ended early, at its time limit"] if late else []
    if _is_obfuscated(files, manifest):
        notes.append("names and addresses in it were replaced by sos clean")
    begun = moment_of(str(_table(manifest).get("start_time")))
    told = moment_of(_text(rows, files, "run date").partition("\n")[0])
    if begun.at and told.at and abs(told.at - begun.at) > DAY_S:  # zones apart they are minutes apart
        notes.append("its date is not that of its manifest, which counts")
        told = begun
    is_complete = (
        bool(plugins) and bool(manifest.get("end_time")) and not (late or files.cut or files.left_out or files.denied)
    )
    return About(kind, told if told.at else begun, is_complete, notes)


def _is_obfuscated(files: Files, manifest: Any) -> bool:
    cleaned = any(name.startswith("sos_logs/cleaner") for name in files.files)
    return cleaned or "cleaner" in _table(_table(manifest).get("components"))


def _json(files: Files, name: str) -> Any:
    try:
        return json.loads(files.read(name) or b"null")
    except (ValueError, RecursionError, MemoryError):
        return None


def _table(value: Any) -> dict[str, Any]:
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return list(cast(Iterable[Any], value)) if isinstance(value, list) else []


def _plugins(manifest: Any) -> dict[str, dict[str, Any]]:
    """By name; empty where the manifest is not in the form of sos."""
    report = _table(_table(_table(manifest).get("components")).get("report"))
    return {name: _table(plugin) for name, plugin in _table(report.get("plugins")).items()}


def _of_manifest(manifest: Any) -> Iterator[Command]:
    """Of ``{"exec": "lspci -nnvv", "filepath": "sos_commands/pci/lspci_-nnvv", "return_code": 0, ...}``."""
    for plugin in _plugins(manifest).values():
        for row in map(_table, _list(plugin.get("commands"))):
            end = row.get("end_time")
            end = float(end) if isinstance(end, (int, float)) and 0 < end < 1e11 else 0.0
            yield from _command(row, "exec", "filepath", is_cut=row.get("truncated") is True, end=end)


def _of_report(report: Any) -> Iterator[Command]:
    """Of ``[["pci", {"commands": [{"name": "lspci -nnvv", "return_code": 0, "href": "../sos_commands/..."}]}]]``."""
    for plugin in map(_list, _list(report)):
        for row in map(_table, _list(_table(plugin[-1]).get("commands")) if plugin else ()):
            yield from _command(row, "name", "href")


def _command(row: dict[str, Any], line: str, path: str, *, is_cut: bool = False, end: float = 0.0) -> Iterator[Command]:
    typed, where, code = row.get(line), row.get(path), row.get("return_code")
    if argv := argv_of(typed) if isinstance(typed, str) and len(typed) <= 4096 else ():
        where = where.removeprefix("../") if isinstance(where, str) else ""
        yield Command(argv, where, code if isinstance(code, int) else None, is_cut, end)


def _of_names(files: Files) -> Iterator[Command]:
    """What the names of the outputs tell: ``sos_commands/zfs/zpool_status_-vx``."""
    for name in files.files:
        if not name.startswith(("sos_commands/", "insights_commands/")):
            continue
        typed = name.rpartition("/")[2]
        line = next((line for start, line in BY_NAME if typed.startswith(start)), "")
        if line or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", typed):
            words = line.split() or [_unmangled(word) for word in typed.split("_") if word]
            yield Command(tuple(words), name)


def _unmangled(word: str) -> str:
    """``/dev/sda`` of ``.dev.sda``; what else begins with a dot was a path, too."""
    return word.replace(".", "/") if word.startswith(".") else word


def _command_rows(files: Files, commands: list[Command], kind: str) -> Iterator[Row]:
    """An answer for each command, those to prefer first."""
    for command in sorted(commands, key=lambda command: " ".join(command.argv) not in PREFERRED):
        argv = command.argv
        asked = canonical(argv)
        key, header = (asked.key, asked.header) if asked else (run_key((argv[0].rpartition("/")[2], *argv[1:])), "")
        is_part = command.is_cut or (asked is not None and asked.is_part)
        row = _command_row(files, command, key, is_part=is_part, kind=kind)
        if header and row.parts:
            row = row._replace(parts=(header.encode(), *row.parts))
        yield row


def _command_row(files: Files, command: Command, key: str, *, is_part: bool, kind: str) -> Row:
    tool = command.argv[0]
    piece = files.files.get(files.find(command.path)) if command.path else None
    code, at = command.exit, command.end
    if code == MISSING:
        return Row(key, "absent", exit=code, why=f"{tool} was not installed there", at=at)
    if code == TOO_LONG:
        return Row(key, "timeout", (piece,) if piece else (), code, f"{tool} did not answer in time there", at)
    if piece is None:
        return Row(key, "not_captured", exit=code, why=f"its output is not in the {kind}", at=at)
    if code and piece.size:
        said = files.fetch(piece._replace(size=min(piece.size, 4096)))  # sos has stdout and stderr in one
        words = "it could not be started there" if code == NOT_RUNNABLE else f"it ended with exit code {code} there"
        return Row(key, "failed", (piece,), code, words, at, said)
    return _said(key, piece, kind, is_part=is_part, exit=code, at=at)


def _file_rows(files: Files, kind: str) -> Iterator[Row]:
    """The files of the host and its links, those too that are reached through a link to a folder."""
    for name, piece in files.files.items():
        if _is_hosts(name):
            yield _file_row(name, piece, kind)
    aliases, looks = 0, iter(range(MAX_LOOKS))
    names = sorted(name for name in files.files if _is_hosts(name))
    for name, target in sorted(files.links.items()):
        if name.startswith(OWN) or (found := files.resolve(name)).startswith(OWN):
            continue
        yield Row(f"link /{name}", "ok", (target.encode("utf-8", "replace"),))
        if found in files.files:
            yield _file_row(name, files.files[found], kind)
        elif aliases < MAX_ALIASES:
            below = list(_below(names, f"{found}/", looks)) if found else []
            aliases += len(below)
            yield from (_file_row(name + inner[len(found) :], files.files[inner], kind) for inner in below)
            if not below:
                yield Row(read_key(f"/{name}"), "not_captured", why=f"a link to {target}, which is not in the {kind}")


def _is_hosts(name: str) -> bool:
    return "/" in name and not name.startswith(OWN)


def _below(names: list[str], folder: str, looks: Iterator[int]) -> Iterator[str]:
    from bisect import bisect_left

    for n, _ in zip(range(bisect_left(names, folder), len(names)), looks):
        if not names[n].startswith(folder):
            return
        if names[n].count("/") - folder.count("/") < MAX_ALIAS_DEPTH:
            yield names[n]


def _file_row(name: str, piece: Piece, kind: str) -> Row:
    return _said(read_key(f"/{name}"), piece, kind)


def _said(key: str, piece: Piece, kind: str, *, is_part: bool = False, exit: int | None = None, at: float = 0.0) -> Row:
    if not piece.size:
        why = "left out: it would be too large" if piece.is_cut else EMPTY.format(kind)
        return Row(key, "not_captured", exit=exit, why=why, at=at)
    return Row(key, "truncated" if is_part or piece.is_cut else "ok", (piece,), exit, "", at)


def _elsewhere(rows: dict[str, Row], files: Files) -> None:
    """What has no file of its own but stands in the output of something else."""
    for key, values in _of_sysctl(rows, files):
        rows.setdefault(key, Row(key, "ok", (values,)))
    for key, places in ELSEWHERE:
        found = next((rows[place] for place in places if place in rows and rows[place].status in SAID), None)
        if found is not None and (key not in rows or rows[key].status not in SAID):
            rows[key] = found._replace(key=key)
    name = _text(rows, files, "run uname -a").split()
    if len(name) > 2 and name[0] == "Linux":
        key = "read /proc/sys/kernel/osrelease"
        rows.setdefault(key, Row(key, "ok", (name[2].encode(),)))


def _of_sysctl(rows: dict[str, Row], files: Files) -> Iterator[tuple[str, Part]]:
    """``read /proc/sys/kernel/numa_balancing`` of ``kernel.numa_balancing = 1`` in `sysctl -a`."""
    for line in _text(rows, files, "run sysctl -a").splitlines():
        name, equals, value = line.partition(" = ")
        if equals and name.startswith(("kernel.", "vm.")) and "/" not in name and ".." not in name:
            yield read_key("/proc/sys/" + name.replace(".", "/")), value.encode("utf-8", "replace") + b"\n"


def _text(rows: dict[str, Row], files: Files, key: str) -> str:
    row = rows.get(key)
    if row is None or row.status not in SAID:
        return ""
    parts = (p if isinstance(p, bytes) else files.fetch(p._replace(size=min(p.size, MAX_TEXT))) for p in row.parts)
    return b"\n".join(parts).decode("utf-8", "replace")
