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

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from hashlib import sha256
from itertools import islice
from stat import S_ISREG
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias, cast, get_args
from urllib.parse import quote, unquote

from msgspec import Meta, MsgspecError, Struct, convert, field, json

from mlopsdoc import toml
from mlopsdoc.hosts import refusals
from mlopsdoc.hosts.archives import archive
from mlopsdoc.hosts.base import Answer, AnswerStatus, given, read_key, run_key, split, words
from mlopsdoc.hosts.recorder import Recording
from mlopsdoc.hosts.refusals import Refused

MAGIC = "mlopsdoc-snapshot"
VERSION = 1
MAX_ABOUT, MAX_ITEMS, MAX_LINE = 1 << 20, 8 << 20, 2 << 20  # bytes of manifest.json, items.jsonl and a line of it
MAX_ROWS = 200_000  # rows, and paths in them
STALE_S = 3600  # a run on another host, or in a container, may still be writing
_MAX_NAME = 85
_FIRST = 2000  # members among which the magic must be: a stranger's archive is not read whole to be recognised
_MAX_FOLDER = archive.CAPS.unpacked
Digests: TypeAlias = Literal["required", "given", "ignored"]


class BadSnapshot(Refused):
    """What is wrong with a snapshot, on one line that names it."""


class Manifest(Struct):
    """manifest.json. taken_at: seconds since the epoch, 0 where that is not known. profile: what the host should be.

    redaction: what was replaced, if anything was.
    """

    taken_at: Annotated[float, Meta(ge=0, lt=1e11)] = 0.0
    unlisted: Literal["not_captured", "absent"] = "not_captured"
    complete: bool = True
    profile: dict[str, Any] = field(default_factory=dict[str, Any])
    redaction: dict[str, Any] | None = None


class Row(Struct):
    """A line of items.jsonl. path, stderr: files that hold the bytes; text: the bytes themselves."""

    key: str
    status: str = "ok"
    path: str = ""
    text: str = ""
    stderr: str = ""
    sha256: str = ""
    exit: int | None = None
    why: str = ""
    at: Annotated[float, Meta(ge=0, lt=1e11)] | None = None
    ms: float = 0.0
    paths: list[str] | None = None


class Expect(Struct, forbid_unknown_fields=True):
    """expect.toml of a host that was written by hand: see the top of this file."""

    about: str = ""
    base: str = ""
    absent: list[str] = field(default_factory=list[str])
    healthy: bool = False
    demo: bool = False
    verdicts: dict[str, str] = field(default_factory=dict[str, str])
    says: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


def load(path: str) -> Recording:
    """The recording in a snapshot folder or archive; raises BadSnapshot, OSError."""
    try:
        if os.path.isdir(path):
            return _bounded(_load_folder(os.path.realpath(path), seen=()))
        with open(path, "rb") as file:
            return _bounded(_parse(dict(archive.members(file))))
    except (ValueError, KeyError, RecursionError, MsgspecError) as error:
        why = refusals.NO_FILE.format(error) if isinstance(error, KeyError) else str(error)
        raise BadSnapshot(f"{path}: {why}") from None


def _bounded(recording: Recording) -> Recording:
    """The same with no more of an answer than facts are given."""
    for key, answer in recording.answers.items():
        start, stop = given(key, len(answer.data))
        if stop - start < len(answer.data):
            recording.answers[key] = answer.cut(start, stop)
    if recording.before is not None:
        _bounded(recording.before)
    return recording


def is_snapshot(path: str) -> bool:
    """Whether this is one of ours: a folder with the file SNAPSHOT, or an archive that has it below one folder."""
    if os.path.isdir(path):
        return os.path.isfile(f"{path}/SNAPSHOT")
    try:
        with open(path, "rb") as file:
            return any(name == "SNAPSHOT" for name, _ in islice(archive.members(file), _FIRST))
    except (OSError, Refused):
        return False


def expectations(folder: str) -> Expect:
    """What expect.toml of a folder says; raises BadSnapshot."""
    try:
        data = _Folder(folder)["expect.toml"]
    except KeyError:
        return Expect()
    try:
        return convert(toml.loads(_short("expect.toml", data)), Expect)
    except (ValueError, MsgspecError) as error:
        raise BadSnapshot(f"expect.toml: {error}") from None


def _load_folder(folder: str, seen: tuple[str, ...]) -> Recording:
    if folder in seen:
        raise BadSnapshot(refusals.OWN_BASE.format(folder))
    files = _Folder(folder)
    about = expectations(folder)
    recording = _parse(files, "given" if "expect.toml" in files else "required")
    if about.base:
        if "/" in about.base or about.base.startswith("."):
            raise BadSnapshot(refusals.BAD_BASE.format(about.base))
        over, recording = recording, _load_folder(f"{os.path.dirname(folder)}/{about.base}", (*seen, folder))
        _lay_over(recording, over, about.absent)
    return recording


def _lay_over(base: Recording, over: Recording, absent: list[str]) -> None:
    gone = [key for key in base.answers if any(fnmatchcase(key, pattern) for pattern in absent)]
    for key in gone:
        del base.answers[key]
    base.answers.update(over.answers)
    base.trees = {}  # patterns are matched against what there is now
    base.taken_at = over.taken_at or base.taken_at
    base.before = over.before or base.before
    base.profile = over.profile or base.profile


class _Folder(Mapping[str, bytes]):
    """The files of a folder by relative path, read when asked for. It may be a stranger's: nothing outside it."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder)
        self.left = _MAX_FOLDER

    def __getitem__(self, name: str) -> bytes:
        path = os.path.realpath(f"{self.folder}/{name}")
        if path != os.path.normpath(f"{self.folder}/{name}") or not path.startswith(f"{self.folder}/"):
            raise BadSnapshot(refusals.OUTSIDE.format(name))
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise KeyError(name) from None
        with os.fdopen(fd, "rb") as file:
            about = os.fstat(fd)
            if not S_ISREG(about.st_mode):
                raise KeyError(name)
            self.left -= about.st_size
            if about.st_size > archive.MAX_MEMBER or self.left < 0:
                raise BadSnapshot(refusals.TOO_LARGE_FILE.format(name))
            return file.read(archive.MAX_MEMBER)

    def __iter__(self) -> Iterator[str]:
        for folder, folders, files in os.walk(self.folder):
            folders.sort()
            for name in sorted(files):
                yield os.path.relpath(f"{folder}/{name}", self.folder)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _parse(files: Mapping[str, bytes], digests: Digests = "required", prefix: str = "") -> Recording:
    """The recording that these files are; those below `prefix` only. `digests`: which of them must be right."""
    _must_be_ours(files.get(f"{prefix}SNAPSHOT", b""), files.get(f"{prefix}manifest.json", b""))
    manifest = json.decode(_short("manifest.json", files.get(f"{prefix}manifest.json", b"{}")), type=Manifest)
    recording = Recording(manifest.taken_at, unlisted=manifest.unlisted)
    recording.complete = manifest.complete
    recording.profile = manifest.profile
    recording.is_redacted = manifest.redaction is not None
    named, left = set[str](), MAX_ROWS
    items = _short("items.jsonl", files.get(f"{prefix}items.jsonl", b""), MAX_ITEMS)
    for number, line in enumerate(items.splitlines(), 1):
        try:
            row = json.decode(_short("it", line, MAX_LINE), type=Row)
            left -= 1 + len(row.paths or ())
            if left < 0:
                raise ValueError(refusals.ROWS.format(MAX_ROWS))
            _take(recording, row, files, prefix, digests)
        except (ValueError, KeyError, MsgspecError, RecursionError) as error:
            why = refusals.NO_FILE.format(error) if isinstance(error, KeyError) else error
            raise BadSnapshot(refusals.ROW.format(number, why)) from None
        named |= {prefix + row.path, prefix + row.stderr}
    for name in files:
        if name.startswith(prefix) and name not in named and (key := _key_of(name.removeprefix(prefix))):
            exit = 0 if key.startswith("run ") else None
            recording.answers.setdefault(key, Answer(key, "ok", files[name], exit=exit, at=recording.taken_at))
    recording.complete = recording.complete and bool(recording.answers)
    if not prefix and "before/SNAPSHOT" in files:
        recording.before = _parse(files, digests, "before/")
    return recording


def _short(name: str, data: bytes, most: int = MAX_ABOUT) -> bytes:
    """The same bytes; raises BadSnapshot for more than there may be."""
    if len(data) > most:
        raise BadSnapshot(refusals.LARGER.format(name, most >> 20))
    return data


def _must_be_ours(magic: bytes, manifest: bytes) -> None:
    """A newer minor ("1.2") only adds; a newer major means something else."""
    words = magic.decode("utf-8", "replace").split()
    major, _, minor = words[1].partition(".") if len(words) == 2 else ("", "", "")
    if words[:1] != [MAGIC] or not major.isdecimal() or not (minor or "0").isdecimal():
        raise BadSnapshot(refusals.NO_SNAPSHOT)
    if int(major) > VERSION:
        try:
            by = f"mlopsdoc {json.decode(manifest)['tool']}, which wrote it, or a newer one"
        except (MsgspecError, KeyError, TypeError):
            by = "a newer one"
        raise BadSnapshot(refusals.NEWER.format(words[1], VERSION, by))


def _take(recording: Recording, row: Row, files: Mapping[str, bytes], prefix: str, digests: Digests) -> None:
    data = files[prefix + row.path] if row.path else row.text.encode()
    wanted = digests == "required" or (digests == "given" and row.sha256)
    if row.path and wanted and sha256(data).hexdigest() != row.sha256:
        raise ValueError(refusals.OTHER_DIGEST.format(row.path))
    known = row.status in get_args(AnswerStatus)
    recording.answers[row.key] = Answer(
        row.key,
        cast(AnswerStatus, row.status) if known else "not_captured",  # of a newer version
        data,
        stderr=files[prefix + row.stderr] if row.stderr else b"",
        exit=row.exit,
        why=row.why,
        at=recording.taken_at if row.at is None else row.at,
        seconds=row.ms / 1000,
    )
    if row.paths is not None:
        recording.trees[row.key] = row.paths


def _key_of(name: str) -> str:
    """The question that a file answers which no row names, or nothing."""
    folder, _, rest = name.partition("/")
    if folder == "files":
        return read_key("/" + "/".join(unquote(part) for part in rest.split("/")))
    if folder == "commands" and rest.endswith(".out"):
        return run_key(split(rest.removesuffix(".out")))
    if folder == "probes" and rest.endswith(".json"):
        return "probe " + words(split(rest.removesuffix(".json")))
    return ""


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


def files_of(
    recording: Recording, manifest: Mapping[str, Any], places: Mapping[str, str] = MappingProxyType({})
) -> dict[str, bytes]:
    """The files of the snapshot of a recording, in the order in which an archive has them.

    places: where the bytes of an answer lie, by key, if not where path_of says.
    """
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
            row |= {
                "path": places.get(key) or path_of(key),
                "size": len(answer.data),
                "sha256": sha256(answer.data).hexdigest(),
            }
            blobs[row["path"]] = answer.data
        if answer.stderr:
            row["stderr"] = path_of(key).removesuffix(".out") + ".err"
            blobs[row["stderr"]] = answer.stderr
        rows.append(json.encode(row).decode())
    about = {"taken_at": round(recording.taken_at, 3), "complete": recording.complete} | dict(manifest)
    if recording.unlisted != "not_captured":
        about["unlisted"] = recording.unlisted
    if recording.profile:
        about["profile"] = recording.profile
    files = {
        "SNAPSHOT": f"{MAGIC} {VERSION}\n".encode(),
        "manifest.json": json.format(json.encode(about), indent=1) + b"\n",
        "items.jsonl": "".join(f"{row}\n" for row in rows).encode(),
        **dict(sorted(blobs.items())),
    }
    if recording.before is not None:
        files |= {f"before/{name}": data for name, data in files_of(recording.before, {}).items()}
    return files


def save(files: Mapping[str, bytes], path: str) -> None:
    """Write a snapshot to PATH, whole or not at all: an archive when it ends in .tar.gz or .tgz, else a folder."""
    if path.endswith((".tar.gz", ".tgz")):
        _whole(path, lambda name: archive.write(name, _top(files), files))
    else:
        _whole(path, lambda name: _write_folder(name, files))


def _top(files: Mapping[str, bytes]) -> str:
    """The folder in an archive: another for each. Not the archive's name, which may tell whose host it is."""
    return f"snapshot-{sha256(files.get('items.jsonl', b'')).hexdigest()[:8]}"


def _whole(path: str, write: Callable[[str], None]) -> None:
    """Write under another name first; raises OSError, and leaves nothing half-written behind."""
    import shutil

    half = f"{path.rstrip('/')}.{os.getpid()}.part"
    if os.path.isdir(path):
        raise FileExistsError(17, "there is such a folder already", path)
    _sweep(os.path.dirname(os.path.abspath(half)))
    try:
        write(half)
        os.rename(half, path)
    except BaseException:
        if os.path.isdir(half):
            shutil.rmtree(half, ignore_errors=True)
        elif os.path.exists(half):
            os.unlink(half)
        raise


def _sweep(folder: str) -> None:
    """Remove archives of ours that were left half-written by a run that was killed, not lately."""
    with suppress(OSError):
        for name in os.listdir(folder):
            half = re.fullmatch(r".{1,200}\.t(?:ar\.)?gz\.([0-9]{1,10})\.part", name)
            if half and not os.path.exists(f"/proc/{half[1]}"):
                about = os.lstat(f"{folder}/{name}")
                if about.st_uid == os.geteuid() and time.time() - about.st_mtime > STALE_S:
                    os.unlink(f"{folder}/{name}")


def _write_folder(folder: str, files: Mapping[str, bytes]) -> None:
    os.makedirs(folder, 0o700)
    for name, data in files.items():
        os.makedirs(os.path.dirname(f"{folder}/{name}"), 0o700, exist_ok=True)
        with open(os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)


def seal(folder: str) -> int:
    """Write items.jsonl anew with the digest of every answer of a folder; how many there are. Raises BadSnapshot."""
    from mlopsdoc.hosts.ring import replace_file

    files = _Folder(folder)
    recording = _parse(files, "ignored")
    rows = [json.decode(line, type=Row) for line in files.get("items.jsonl", b"").splitlines()]
    places = {_key_of(name): name for name in files} | {row.key: row.path for row in rows if row.path}
    items = files_of(recording, {}, places)["items.jsonl"]
    if not replace_file(f"{folder}/items.jsonl", items, 0o644):
        raise PermissionError(13, "cannot be written", f"{folder}/items.jsonl")
    return len(recording.answers)
