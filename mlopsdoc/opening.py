"""Opens recordings: a table of the forms of evidence, and what a report says of each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from itertools import islice
from typing import NamedTuple

from mlopsdoc.examination import iso
from mlopsdoc.hosts import merged, snapshot
from mlopsdoc.hosts.archives import foreign
from mlopsdoc.hosts.pasted import transcript
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Source

HEAD = 4096
MAX_PIPE = 256 << 20
WAIT_S = 10.0
MARKS = ("sos_commands", "insights_commands", "redfish")
MAX_LOOKED_AT = 4000  # entries of a folder, until it is clear that it is no evidence


class BadSource(ValueError):
    """A source that cannot be read as evidence: which, and why."""


class Form(NamedTuple):
    """A form of evidence. looks_like: whether a path, whose first bytes are `head`, is one (a folder has none).

    load: the recording in it; raises ValueError with what is wrong with it, on one line.
    """

    kind: str
    looks_like: Callable[[str, bytes], bool]
    load: Callable[[str], Recording]


def _is_snapshot(path: str, head: bytes) -> bool:
    return snapshot.is_snapshot(path)


def _is_text(path: str, head: bytes) -> bool:
    return not os.path.isdir(path) and transcript.is_text(head)


def _is_archive(path: str, head: bytes) -> bool:
    """An archive of somebody, or a folder that looks like one: the whole of a file system is not walked for it."""
    return _holds_evidence(path) if os.path.isdir(path) else foreign.is_archive(path, head)


def _holds_evidence(path: str) -> bool:
    """Whether one of the uppermost entries of a folder has the name of something in an archive."""
    folders, seen = [path], 0
    for folder in folders:  # grows as it is walked
        try:
            entries = list(islice(os.scandir(folder), MAX_LOOKED_AT))
        except OSError:
            continue
        if any(entry.name in MARKS or "nvidia-bug-report" in entry.name for entry in entries):
            return True
        seen += len(entries)
        if seen > MAX_LOOKED_AT:
            return False
        folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return False


# The first that fits. Text stands last: it takes whatever can be read.
FORMS: tuple[Form, ...] = (
    Form("snapshot", _is_snapshot, snapshot.load),
    Form("nvidia-bug-report", foreign.is_bug_report, foreign.load),
    Form("Redfish mockup", foreign.is_mockup, foreign.load),
    Form("sosreport", _is_archive, foreign.load),
    Form("text", _is_text, transcript.load),
)


def recording(path: str, at: float | None = None) -> tuple[Replay, Source]:
    """A recorded host. `at` is its moment where it does not tell; raises BadSource, FileNotFoundError."""
    host, sources = recordings([path], at)
    return host, sources[0]


def recordings(paths: Sequence[str], at: float | None = None) -> tuple[Replay, list[Source]]:
    """One recorded host out of several sources: the first that has an answer wins.

    Raises merged.Differ when they, or the outputs in one of them, are of different hosts or boots; BadSource,
    FileNotFoundError.
    """
    found: list[tuple[str, Recording]] = []
    sources: list[Source] = []
    for path in paths:
        kind, recorded = _load(path)
        _set_moment(recorded, at)
        name = "standard input" if path == "-" else path
        found.append((name, recorded))
        sources.append(source_of(kind, name, recorded))
    return Replay(merged.merge(found)), sources


def _load(path: str) -> tuple[str, Recording]:
    """The kind of a source, and its recording."""
    if path == "-":
        return _spooled(0, "standard input")
    if not os.path.exists(path):
        raise FileNotFoundError(2, "no such file or folder", path)
    if os.path.isdir(path) or (os.path.isfile(path) and os.path.getsize(path)):
        return _loaded(path, path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise BadSource(f"{path}: {error.strerror}") from None
    try:  # the pipe of <(ssh gpu-17 ...) has somebody who writes into it; of others nobody knows
        return _spooled(fd, path, wait_s=None if os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:") else WAIT_S)
    finally:
        os.close(fd)


def _loaded(path: str, name: str) -> tuple[str, Recording]:
    try:
        head = _head(path)
        if not head and os.path.isfile(path):
            raise BadSource(f"{name} is empty")
        for form in FORMS:
            if form.looks_like(path, head):
                return form.kind, form.load(path)
    except BadSource:
        raise
    except merged.Differ as differ:
        raise merged.Differ(f"{name}: {differ}") from None
    except ValueError as error:
        raise BadSource(str(error) if str(error).startswith(path) else f"{name}: {error}") from None
    except OSError as error:
        raise BadSource(f"{name}: {error.strerror or error}") from None
    raise BadSource(f"{name} is no form of evidence that mlopsdoc reads ({', '.join(form.kind for form in FORMS)})")


def _head(path: str) -> bytes:
    """The first bytes of a file; a folder has none."""
    if os.path.isdir(path):
        return b""
    with open(path, "rb") as file:
        return file.read(HEAD)


def _spooled(fd: int, name: str, wait_s: float | None = None) -> tuple[str, Recording]:
    """What comes out of a pipe, kept in a file without a name. wait_s: how long it may say nothing."""
    import tempfile

    spool = tempfile.TemporaryFile()  # open for as long as answers may be fetched from it
    size = 0
    while chunk := _chunk(fd, name, wait_s):
        size += len(chunk)
        if size > MAX_PIPE:
            raise BadSource(f"{name} has more than {MAX_PIPE >> 20} MiB")
        spool.write(chunk)
    spool.flush()
    _SPOOLS.append(spool)
    return _loaded(f"/proc/self/fd/{spool.fileno()}", name)


_SPOOLS: list[object] = []


def _chunk(fd: int, name: str, wait_s: float | None) -> bytes:
    """The next bytes, none at the end."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while True:
        if not poll.poll(None if wait_s is None else wait_s * 1000):
            raise BadSource(f"{name}: nothing came out of it in {wait_s:.0f} s")
        try:
            return os.read(fd, 1 << 20)
        except BlockingIOError:
            continue
        except OSError as error:
            raise BadSource(f"{name}: {error.strerror}") from None


def _set_moment(recorded: Recording, at: float | None) -> None:
    if at and (not recorded.taken_at or recorded.is_lower_bound):
        recorded.taken_at, recorded.is_lower_bound = at, False


def source_of(kind: str, path: str, recorded: Recording) -> Source:
    """How a report names a recording."""
    kind = f"{kind} of {recorded.place}" if recorded.place else kind
    if not recorded.taken_at:
        return Source(kind, path, complete=recorded.complete)
    age_s = max(0.0, round(time.time() - recorded.taken_at, 0))
    return Source(kind, path, iso(recorded.taken_at), age_s, recorded.complete, recorded.is_lower_bound)


def moment(text: str) -> float:
    """Seconds since the epoch of an ISO date, UTC where it names no zone; raises ValueError."""
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
