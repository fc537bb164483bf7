"""A small ring of earlier answers, by which growth is judged: samples/BOOT-SECONDS.msgpack in the state folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress

import msgspec

from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.lanes import rule_for
from mlopsdoc.hosts.recorder import Recording

KEEP = 12
APART_S = 30  # a screen that refreshes every 2 s must not push out what is an hour old
YOUNGEST_S, OLDEST_S = 10, 24 * 3600


class Row(msgspec.Struct, array_like=True):
    key: str
    status: AnswerStatus
    data: bytes
    at: float


class Sample(msgspec.Struct, array_like=True):
    taken_at: float
    rows: list[Row]
    trees: dict[str, list[str]]


def store(state: str, boot_id: str, recording: Recording) -> None:
    """Keep the answers that are samples. Without a folder to write to, nothing is kept."""
    stored = _stored(state, boot_id)
    if stored and 0 <= recording.taken_at - stored[-1][0] < APART_S:
        return
    part = recording.part(lambda answer: answer.said and rule_for(answer.key).sample)
    if not part.answers:
        return
    rows = [Row(a.key, a.status, a.data, a.at) for a in part.answers.values()]
    data = msgspec.msgpack.encode(Sample(recording.taken_at, rows, part.trees))
    if replace_file(f"{state}/samples/{boot_id}-{int(recording.taken_at)}.msgpack", data, 0o644):
        for name in _old(state, boot_id, recording.taken_at):
            with suppress(OSError):
                os.unlink(f"{state}/samples/{name}")


def newest(states: Sequence[str], boot_id: str, now: float) -> Recording | None:
    """The newest sample of this boot, in any of the folders, that is old enough to judge growth by."""
    stored = [(at, f"{state}/samples/{name}") for state in states for at, name in _stored(state, boot_id)]
    for at, path in sorted(stored, reverse=True):
        if YOUNGEST_S <= now - at <= OLDEST_S:
            try:
                with open(path, "rb") as file:
                    sample = msgspec.msgpack.decode(file.read(), type=Sample)
            except (OSError, msgspec.DecodeError):
                continue
            recording = Recording(sample.taken_at)
            recording.trees = sample.trees
            recording.answers = {r.key: Answer(r.key, r.status, r.data, at=r.at) for r in sample.rows}
            return recording
    return None


def _stored(state: str, boot_id: str) -> list[tuple[int, str]]:
    """Seconds and file name of the samples of this boot, oldest first."""
    found: list[tuple[int, str]] = []
    for name in _names(state):
        boot, _, seconds = name.removesuffix(".msgpack").rpartition("-")
        if boot == boot_id and seconds.isdigit():
            found.append((int(seconds), name))
    return sorted(found)


def _old(state: str, boot_id: str, now: float) -> list[str]:
    """Samples of other boots, those of a clock that was ahead, and all but the newest of the rest."""
    keep = [name for at, name in _stored(state, boot_id) if at <= now + 1][-KEEP:]
    return [name for name in _names(state) if name.endswith(".msgpack") and name not in keep]


def _names(state: str) -> list[str]:
    try:
        return os.listdir(f"{state}/samples")
    except OSError:
        return []


def replace_file(path: str, data: bytes, mode: int = 0o600) -> bool:
    """Write a file whole or not at all; False when it cannot be written."""
    folder = os.path.dirname(path)
    name = f"{path}.{os.getpid()}.tmp"
    try:
        os.makedirs(folder, 0o755, exist_ok=True)
        with suppress(FileNotFoundError):
            os.unlink(name)  # of a run that was killed, in a container where we always have the same number
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except OSError:
        return False
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        os.rename(name, path)
    except OSError:
        with suppress(OSError):
            os.unlink(name)
        return False
    return True
