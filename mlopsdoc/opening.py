"""Opens what is examined, this machine or a recording of one, and keeps runs on one machine apart."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone

from mlopsdoc.examination import iso
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.live import Live
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Source

LOCK_WAIT_S = 3.0


class BadSource(ValueError):
    """A source that cannot be read as evidence: which, and why."""


class Held(RuntimeError):
    """Another run holds the lock."""


def live_source(host: Live) -> Source:
    """How a report names this machine."""
    return Source("live", "" if host.root == "/" else host.root, iso(host.now()))


def recording(path: str, at: float | None = None) -> tuple[Replay, Source]:
    """A recorded host. `at` is its moment where it does not tell; raises BadSource, FileNotFoundError."""
    if not os.path.exists(path):
        raise FileNotFoundError(2, "no such file or folder", path)
    try:
        if not snapshot.is_snapshot(path):
            raise BadSource(f"{path} is no form of evidence that mlopsdoc reads (a snapshot folder or archive)")
        recorded = snapshot.load(path)
    except snapshot.BadSnapshot as error:
        raise BadSource(str(error)) from None
    except OSError as error:
        raise BadSource(f"{path}: {error.strerror}") from None
    recorded.taken_at = recorded.taken_at or at or 0.0
    return Replay(recorded), source_of("snapshot", path, recorded)


def source_of(kind: str, path: str, recorded: Recording) -> Source:
    """How a report names a recording."""
    age_s = max(0.0, round(time.time() - recorded.taken_at, 0))
    return Source(kind, path, iso(recorded.taken_at), age_s, recorded.complete)


def moment(text: str) -> float:
    """Seconds since the epoch of an ISO date, UTC where it names no zone; raises ValueError."""
    when = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (when if when.tzinfo else when.replace(tzinfo=timezone.utc)).timestamp()


@contextmanager
def only_run(states: Sequence[str]) -> Generator[None]:
    """Hold the lock of this machine's state folder, or raise Held. Where nothing can be written there is none."""
    fd = _lock_file(states[0]) if states else None
    if fd is None:
        yield
        return
    try:
        until = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    holder = os.pread(fd, 64, 0).decode("ascii", "replace").strip() or "unknown"
                    raise Held(f"another run (pid {holder}) holds {states[0]}/lock") from None
                time.sleep(0.05)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _lock_file(state: str) -> int | None:
    try:
        os.makedirs(state, 0o755, exist_ok=True)
        return os.open(f"{state}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
