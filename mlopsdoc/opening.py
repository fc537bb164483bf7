"""Opens recordings, and what a report says of each."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone

from mlopsdoc.facts.quantities import instant
from mlopsdoc.hosts import merged, snapshot
from mlopsdoc.hosts.archives import foreign
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.hosts.refusals import EMPTY, JUDGED, TOO_LARGE, Refused
from mlopsdoc.model import Source

MAX_PIPE = 256 << 20
WAIT_S = 10.0
JUDGED_S = 12.0  # seconds of a processor; the largest real ones need 2


class BadSource(Refused):
    """A source that cannot be read as evidence: which, and why."""


class _Over(BaseException):
    """Its time is up: no reader of facts may take this for something that it cannot understand."""


@contextmanager
def in_time(names: Sequence[str]) -> Generator[None]:
    """Judge recordings in the main thread; raises BadSource when that takes too long: they may be made for it."""
    import signal

    def over(*_: object) -> None:
        raise _Over

    before = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, JUDGED_S)
    try:
        yield
    except _Over:
        raise BadSource(f"{', '.join(names)}: {JUDGED.format(JUDGED_S)}") from None
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def recording(path: str, at: float | None = None) -> tuple[Replay, Source]:
    """A recorded host. `at` is its moment where it does not tell; raises BadSource, FileNotFoundError."""
    host, sources = recordings([path], at)
    return host, sources[0]


def recordings(
    paths: Sequence[str], at: float | None = None, *, is_partial: bool = False
) -> tuple[Replay, list[Source]]:
    """One recorded host out of several sources: the first that has an answer wins. is_partial: what is in an archive
    before the place where it is cut off or damaged is wanted.

    Raises merged.Differ when they, or the outputs in one of them, are of different hosts or boots; BadSource,
    FileNotFoundError.
    """
    found: list[tuple[str, Recording]] = []
    sources: list[Source] = []
    for path in paths:
        kind, recorded = _load(path, is_partial)
        _set_moment(recorded, at)
        name = "standard input" if path == "-" else path
        found.append((name, recorded))
        sources.append(source_of(kind, name, recorded))
    return Replay(merged.merge(found)), sources


def _load(path: str, is_partial: bool) -> tuple[str, Recording]:
    """The kind of a source, and its recording."""
    if path == "-":
        return _spooled(0, "standard input", is_partial)
    if not os.path.exists(path):
        raise FileNotFoundError(2, "no such file or folder", path)
    if os.path.isdir(path) or (os.path.isfile(path) and os.path.getsize(path)):
        return _loaded(path, path, is_partial)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        raise BadSource(f"{path}: {error.strerror}") from None
    try:  # the pipe of <(ssh gpu-17 ...) has somebody who writes into it; of others nobody knows
        is_pipe = os.readlink(f"/proc/self/fd/{fd}").startswith("pipe:")
        return _spooled(fd, path, is_partial, wait_s=None if is_pipe else WAIT_S)
    finally:
        os.close(fd)


def _loaded(path: str, name: str, is_partial: bool) -> tuple[str, Recording]:
    """A snapshot of ours is read here, what strangers made in a process of its own."""
    try:
        if os.path.isfile(path) and not os.path.getsize(path):
            raise Refused(EMPTY)
        if snapshot.is_snapshot(path):
            return "snapshot", snapshot.load(path)
        return foreign.load(path, is_partial=is_partial)
    except merged.Differ as differ:
        raise merged.Differ(f"{name}: {differ}") from None
    except Refused as error:
        raise BadSource(str(error) if str(error).startswith(path) else f"{name}: {error}") from None
    except OSError as error:
        raise BadSource(f"{name}: {error.strerror or error}") from None


def _spooled(fd: int, name: str, is_partial: bool, wait_s: float | None = None) -> tuple[str, Recording]:
    """What comes out of a pipe, kept in a file without a name. wait_s: how long it may say nothing."""
    import tempfile

    with tempfile.TemporaryFile() as spool:
        size = 0
        while chunk := _chunk(fd, name, wait_s):
            size += len(chunk)
            if size > MAX_PIPE:
                raise BadSource(f"{name}: {TOO_LARGE.format(MAX_PIPE >> 20)}")
            spool.write(chunk)
        spool.flush()
        return _loaded(f"/proc/self/fd/{spool.fileno()}", name, is_partial)


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
    """Of --at and what the source tells of itself one counts; where both are there, a note says which."""
    told, is_exact = recorded.taken_at, not recorded.is_lower_bound
    if not at or told == at:
        return
    if told and is_exact:
        recorded.notes.append(
            f"--at {instant(at)} does not count: it tells itself that it was taken at {instant(told)}"
        )
        return
    if told:
        late = ", and has later times" if told > at else ""
        recorded.notes.append(
            f"--at {instant(at)} counts: it tells of itself only that it is of {instant(told)} or later{late}"
        )
    recorded.taken_at, recorded.is_lower_bound = at, False


def source_of(kind: str, path: str, recorded: Recording) -> Source:
    """How a report names a recording."""
    kind = f"{kind} of {recorded.place}" if recorded.place else kind
    if not recorded.taken_at:
        return Source(kind, path, complete=recorded.complete)
    age_s = max(0.0, round(time.time() - recorded.taken_at, 0))
    return Source(kind, path, instant(recorded.taken_at), age_s, recorded.complete, recorded.is_lower_bound)


def moment(text: str) -> float:
    """Seconds since the epoch of an ISO date, UTC where it names no zone; raises ValueError."""
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()
