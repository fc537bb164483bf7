"""Snapshots: the recorded answers of one host, as a folder anyone can read or as one archive.

    SNAPSHOT               "mlopsdoc-snapshot 1"
    manifest.json          when, by which version, what a question says that was never put
    items.jsonl            one row an answer: key, status, exit, times, size, digest
    files/proc/mdstat      commands/zpool%20...  ->  commands/zpool status -j.out (and .err)
    probes/nvml state.json before/               (an earlier state of the same boot, same layout)

A file that no row of items.jsonl names answers all the same: what lies there is what was said. So a host
can be written by hand. ``expect.toml`` may name a `base`, a folder beside this one: then this one holds only
what differs, and `absent` lists the keys (with wildcards) that the base has and this host has not. Its own
``before/`` takes the place of the base's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from hashlib import sha256
from typing import Any, Literal, TypeAlias, cast
from urllib.parse import quote, unquote

from mlopsdoc import toml
from mlopsdoc.hosts import archive
from mlopsdoc.hosts.base import Answer, AnswerStatus, read_key, run_key, split, words
from mlopsdoc.hosts.recorder import Recording

MAGIC = "mlopsdoc-snapshot"
VERSION = 1
_STATUSES = ("ok", "absent", "denied", "failed", "timeout", "truncated", "not_captured")
_MAX_NAME = 85
Digests: TypeAlias = Literal["required", "given", "ignored"]


class BadSnapshot(ValueError):
    """What is wrong with a snapshot, on one line that names it."""


def load(path: str) -> Recording:
    """The recording in a snapshot folder or archive; raises BadSnapshot, FileNotFoundError."""
    if os.path.isdir(path):
        return _load_folder(path, seen=())
    with open(path, "rb") as file:
        try:
            return _parse(path, dict(archive.members(file)))
        except (archive.BadArchive, ValueError) as error:
            raise BadSnapshot(f"{path}: {error}") from None


def is_snapshot(path: str) -> bool:
    """Whether this looks like one of ours: a folder with the magic, or an archive that begins with it."""
    if os.path.isdir(path):
        return os.path.isfile(f"{path}/SNAPSHOT")
    try:
        with open(path, "rb") as file:
            return next(archive.members(file))[0] == "SNAPSHOT"
    except (OSError, archive.BadArchive, StopIteration):
        return False


def expectations(folder: str) -> dict[str, Any]:
    """expect.toml of a folder: base, absent, healthy, demo, verdicts ...; empty when there is none."""
    try:
        with open(f"{folder}/expect.toml", "rb") as file:
            return toml.loads(file.read())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise BadSnapshot(f"{folder}/expect.toml: {error}") from None


def _load_folder(folder: str, seen: tuple[str, ...]) -> Recording:
    folder = folder.rstrip("/")
    if folder in seen:
        raise BadSnapshot(f"{folder} is its own base")
    about = expectations(folder)
    recording = _parse(folder, _Folder(folder), "given" if about else "required")
    if base := about.get("base"):
        over, recording = recording, _load_folder(f"{os.path.dirname(folder)}/{base}", (*seen, folder))
        _lay_over(recording, over, about.get("absent", []))
    return recording


def _lay_over(base: Recording, over: Recording, absent: list[str]) -> None:
    gone = [key for key in base.answers if any(fnmatchcase(key, pattern) for pattern in absent)]
    for key in gone:
        del base.answers[key]
    base.answers.update(over.answers)
    base.trees = {}  # patterns are matched against what there is now
    base.taken_at = over.taken_at or base.taken_at
    base.before = over.before or base.before


class _Folder(Mapping[str, bytes]):
    """The files of a folder by relative path, read when asked for."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> bytes:
        try:
            with open(f"{self.folder}/{name}", "rb") as file:
                return file.read(archive.MAX_MEMBER + 1)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.folder):
            folders.sort()
            for name in sorted(files):
                yield os.path.relpath(f"{folder}/{name}", self.folder)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _parse(where: str, files: Mapping[str, bytes], digests: Digests = "required", prefix: str = "") -> Recording:
    """The recording that these files are; those below `prefix` only. `digests`: which of them must be right."""
    manifest = _manifest(where, files, prefix)
    recording = Recording(
        float(manifest.get("taken_at", 0)), unlisted=cast(AnswerStatus, manifest.get("unlisted", "not_captured"))
    )
    recording.complete = bool(manifest.get("complete", True))
    named: set[str] = set()
    for number, line in enumerate(files.get(f"{prefix}items.jsonl", b"").splitlines(), 1):
        try:
            row: dict[str, Any] = json.loads(line)
            _take(recording, row, files, prefix, named, digests)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadSnapshot(f"{where}: items.jsonl line {number}: {type(error).__name__}: {error}") from None
    for name in files:
        if name.startswith(prefix) and name not in named:
            _take_unnamed(recording, name.removeprefix(prefix), files[name])
    if not prefix and f"before/{MAGIC.partition('-')[2].upper()}" in files:
        recording.before = _parse(where, files, digests, "before/")
    return recording


def _manifest(where: str, files: Mapping[str, bytes], prefix: str) -> dict[str, Any]:
    magic = files.get(f"{prefix}SNAPSHOT", b"").decode("utf-8", "replace").split()
    if len(magic) != 2 or magic[0] != MAGIC or not magic[1].isdigit():
        raise BadSnapshot(f"{where} is not a snapshot of mlopsdoc: its file SNAPSHOT is not there or says otherwise")
    if int(magic[1]) > VERSION:
        raise BadSnapshot(f"{where} has format {magic[1]}, this mlopsdoc reads up to {VERSION}: use a newer one")
    try:
        manifest: Any = json.loads(files.get(f"{prefix}manifest.json", b"{}"))
    except (ValueError, RecursionError) as error:
        raise BadSnapshot(f"{where}: manifest.json: {error}") from None
    if not isinstance(manifest, dict):
        raise BadSnapshot(f"{where}: manifest.json is no object")
    return cast(dict[str, Any], manifest)


def _take(
    recording: Recording,
    row: dict[str, Any],
    files: Mapping[str, bytes],
    prefix: str,
    named: set[str],
    digests: Digests,
) -> None:
    key, status = row["key"], row.get("status", "ok")
    if status not in _STATUSES:
        status = "not_captured"  # of a newer version
    if not isinstance(key, str):
        raise TypeError("key is no text")
    data, stderr = b"", b""
    if path := row.get("path"):
        named.add(prefix + path)
        data = files[prefix + path]
        digest = row.get("sha256")
        if (digests == "required" or (digests == "given" and digest)) and sha256(data).hexdigest() != digest:
            raise ValueError(f"{path} is not what was recorded (its sha256 differs)")
    elif "text" in row:
        data = row["text"].encode()
    if path := row.get("stderr"):
        named.add(prefix + path)
        stderr = files[prefix + path]
    recording.answers[key] = Answer(
        key,
        status,
        data,
        stderr=stderr,
        exit=row.get("exit"),
        why=str(row.get("why", "")),
        at=float(row.get("at", recording.taken_at)),
        seconds=float(row.get("ms", 0)) / 1000,
    )
    if "paths" in row:
        recording.trees[key] = [str(path) for path in row["paths"]]


def _take_unnamed(recording: Recording, name: str, data: bytes) -> None:
    """An answer that has a file and no row."""
    folder, _, rest = name.partition("/")
    if folder == "files":
        key = read_key("/" + "/".join(unquote(part) for part in rest.split("/")))
    elif folder == "commands" and rest.endswith(".out"):
        key = run_key(split(rest.removesuffix(".out")))
    elif folder == "probes" and rest.endswith(".json"):
        key = "probe " + words(split(rest.removesuffix(".json")))
    else:
        return
    recording.answers.setdefault(key, Answer(key, "ok", data, exit=0 if folder == "commands" else None))


def path_of(key: str) -> str:
    """Where the bytes of an answer lie: ``files/proc/mdstat``, ``commands/zpool status -j.out``.

    A name too long for the header of an archive is a digest instead; its row tells.
    """
    kind, _, rest = key.partition(" ")
    folder, end = {"read": ("files", ""), "run": ("commands", ".out")}.get(kind, ("probes", ".json"))
    name = rest if kind != "read" else "/".join(quote(part, safe="._+=@,-") for part in rest.strip("/").split("/"))
    if len(name) > _MAX_NAME:
        name = "~" + sha256(key.encode()).hexdigest()
    return f"{folder}/{name}{end}"


def files_of(recording: Recording, manifest: Mapping[str, Any]) -> dict[str, bytes]:
    """The files of the snapshot of a recording, in the order in which an archive has them."""
    rows: list[str] = []
    blobs: dict[str, bytes] = {}
    for key in sorted(recording.answers):
        answer = recording.answers[key]
        row: dict[str, Any] = {"key": key, "status": answer.status, "at": round(answer.at, 3)}
        row |= {"ms": round(answer.seconds * 1000, 1)} if answer.seconds else {}
        row |= {"exit": answer.exit} if answer.exit is not None else {}
        row |= {"why": answer.why} if answer.why else {}
        if key.startswith("tree "):
            row["paths"] = recording.trees.get(key, [])
        elif key.startswith("link "):
            row["text"] = answer.data.decode("utf-8", "replace")
        elif answer.data or answer.said:
            row |= {"path": path_of(key), "size": len(answer.data), "sha256": sha256(answer.data).hexdigest()}
            blobs[row["path"]] = answer.data
        if answer.stderr:
            row["stderr"] = path_of(key).removesuffix(".out") + ".err"
            blobs[row["stderr"]] = answer.stderr
        rows.append(json.dumps(row))
    about = {"taken_at": round(recording.taken_at, 3), "complete": recording.complete} | dict(manifest)
    if recording.unlisted != "not_captured":
        about["unlisted"] = recording.unlisted
    files = {
        "SNAPSHOT": f"{MAGIC} {VERSION}\n".encode(),
        "manifest.json": (json.dumps(about, indent=1) + "\n").encode(),
        "items.jsonl": "".join(f"{row}\n" for row in rows).encode(),
        **dict(sorted(blobs.items())),
    }
    if recording.before is not None:
        files |= {f"before/{name}": data for name, data in files_of(recording.before, {}).items()}
    return files


def save(files: Mapping[str, bytes], path: str) -> None:
    """Write a snapshot to PATH, whole or not at all: an archive when it ends in .tar.gz or .tgz, else a folder."""
    if path.endswith((".tar.gz", ".tgz")):
        _whole(path, lambda name: archive.write(name, _top(path), files))
    else:
        _whole(path, lambda name: _write_folder(name, files))


def _top(path: str) -> str:
    """The folder in an archive: the archive's name, made plain."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", os.path.basename(path).partition(".")[0])[:40] or "snapshot"


def _whole(path: str, write: Callable[[str], None]) -> None:
    """Write under another name first; raises OSError, and leaves nothing half-written behind."""
    import shutil

    half = f"{path.rstrip('/')}.{os.getpid()}.part"
    if os.path.isdir(path):
        raise FileExistsError(17, "there is such a folder already", path)
    try:
        write(half)
        os.rename(half, path)
    except BaseException:
        if os.path.isdir(half):
            shutil.rmtree(half, ignore_errors=True)
        elif os.path.exists(half):
            os.unlink(half)
        raise


def _write_folder(folder: str, files: Mapping[str, bytes]) -> None:
    os.makedirs(folder, 0o700)
    for name, data in files.items():
        os.makedirs(os.path.dirname(f"{folder}/{name}"), 0o700, exist_ok=True)
        with open(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)


def seal(folder: str) -> int:
    """Write items.jsonl anew with the digest of every answer of a folder; how many there are."""
    from mlopsdoc.hosts.ring import replace_file

    recording = _parse(folder, _Folder(folder), "ignored")
    files = files_of(recording, {})
    if not replace_file(f"{folder}/items.jsonl", files["items.jsonl"], 0o644):
        raise PermissionError(13, "cannot be written", f"{folder}/items.jsonl")
    return len(recording.answers)
