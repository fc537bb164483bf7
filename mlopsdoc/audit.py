"""The audit log: who ran which step of a runbook, when, and what came of it. One JSON object a line, append only.

    {"prev": "3f0c...", "n": 12, "at": "2026-11-25T03:12:07Z", "event": "started", "run": "20261125T031207-9be1", ...}

Each line holds the SHA-256 of the one before it, so a line that was edited, removed or moved breaks the chain. Lines
cut off at the end leave a chain that is whole: for these a second file, audit.head, remembers how many there are.
Whoever may write both files can write a new history; against that helps only a copy elsewhere.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Literal

import msgspec
from msgspec.structs import replace

from mlopsdoc.hosts.ring import replace_file

NAME, HEAD, RESERVE = "audit.jsonl", "audit.head", "audit.reserve"
RESERVED = 1 << 16  # bytes: what a step that fills the disk must leave for the line that says so
MAX_BYTES = 1 << 28


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. started: all up to `before`; ended: `exit` and what follows; looked: check, after, summary;
    refused: as started, `why` nothing was run;
    muted, lifted: `step` is what, `why` until when and why.

    exit: negative for a signal, None where nothing was started or it could not be ended. left: processes that live on.
    before, after: the status of what the step was for. user, sudo_user, ssh, tty: who, from where.
    """

    prev: str = ""
    n: int = 0
    at: str
    event: Literal["started", "ended", "looked", "refused", "muted", "lifted"]
    run: str
    host: str = ""
    user: str = ""
    sudo_user: str = ""
    ssh: str = ""
    tty: str = ""
    runbook: str = ""
    step: str = ""
    title: str = ""
    touch: str = ""
    is_undo: bool = False
    argv: list[str] = []
    values: dict[str, str] = {}
    check: str = ""
    before: str = ""
    exit: int | None = None
    seconds: float = 0.0
    why: str = ""
    left: list[str] = []
    output_bytes: int = 0
    output_sha256: str = ""
    log: str = ""
    log_is_cut: bool = False
    after: str = ""
    summary: str = ""


class Log:
    """The audit log of one state folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.path = f"{folder}/{NAME}"

    def reserve(self) -> None:
        """Keep room for the last lines; raises OSError where there is none."""
        os.makedirs(self.folder, 0o755, exist_ok=True)
        fd = os.open(f"{self.folder}/{RESERVE}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, RESERVED)
        finally:
            os.close(fd)

    def release(self) -> None:
        with suppress(OSError):
            os.unlink(f"{self.folder}/{RESERVE}")

    def append(self, entry: Entry) -> None:
        """Add one entry and see it on the disk; raises OSError, then the log is as it was."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        os.makedirs(self.folder, 0o755, exist_ok=True)
        fd = os.open(self.path, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            size = os.fstat(fd).st_size
            last, is_whole = _last_line(fd, size)
            number = _number(last) + 1
            line = msgspec.json.encode(replace(entry, prev=_digest(last) if last else "", n=number))
            try:
                _write(fd, (b"" if is_whole else b"\n") + line + b"\n")
            except OSError:
                os.ftruncate(fd, size)
                raise
            head = f"{number} {_digest(line)}\n".encode()
            replace_file(f"{self.folder}/{HEAD}", head)
        finally:
            os.close(fd)

    def lines(self) -> list[bytes]:
        """Every line; none where there is no log. Raises OSError."""
        try:
            with open(self.path, "rb") as file:
                data = file.read(MAX_BYTES)
        except FileNotFoundError:
            return []
        return data.removesuffix(b"\n").split(b"\n") if data else []

    def entries(self) -> list[Entry]:
        """Every line that can be read."""
        return [entry for line in self.lines() if (entry := _entry(line)) is not None]

    def problems(self) -> list[str]:
        """What shows that the log is not as it was written, a sentence each."""
        lines = self.lines()
        found = list(_breaks(lines))
        try:
            with open(f"{self.folder}/{HEAD}", "rb") as file:
                words = file.read(200).decode("ascii", "replace").split()
            number, digest = int(words[0]), words[1]
        except FileNotFoundError:
            missing = f"{HEAD} is missing: whether lines were cut off at the end cannot be told"
            return [*found, missing] if lines else found
        except (OSError, ValueError, IndexError):
            return [*found, f"{HEAD} cannot be read: whether lines were cut off at the end cannot be told"]
        numbers = [_number(line) for line in lines]
        last = max(numbers, default=0)
        if number > last:
            found.append(f"lines were cut off at the end: there were {number}, the last one here is number {last}")
        elif all(_digest(line) != digest for line in lines):
            found.append(f"line number {number} is not as it was written")
        return found


def unended(entries: Sequence[Entry]) -> list[Entry]:
    """How the runs began whose end is not recorded: they run, or what watched over them was killed."""
    ended = {entry.run for entry in entries if entry.event == "ended"}
    return [entry for entry in entries if entry.event == "started" and entry.run not in ended]


def logs(folders: Sequence[str]) -> list[Log]:
    """The logs that there are."""
    return [log for folder in folders if os.path.lexists((log := Log(folder)).path)]


def _breaks(lines: Sequence[bytes]) -> list[str]:
    """Where the chain does not hold."""
    found: list[str] = []
    before = b""
    number = 0
    for at, line in enumerate(lines, 1):
        entry = _entry(line)
        if entry is None:
            found.append(f"line {at} is no entry: a write that was cut off, or not ours")
        elif _number(line) != number + 1:
            due = f"line {at} has number {_number(line)} where {number + 1} is due"
            found.append(f"{due}: lines were removed, added or moved")
        elif entry.prev != (_digest(before) if before else ""):
            found.append(f"line {at} does not follow from the line before it: one of the two was edited")
        number = _number(line)
        before = line
    return found


def _entry(line: bytes) -> Entry | None:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, RecursionError):
        return None


def _number(line: bytes) -> int:
    """The number of a line; 0 where it has none."""
    entry = _entry(line)
    return entry.n if entry else 0


def _digest(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _last_line(fd: int, size: int) -> tuple[bytes, bool]:
    """The last line, and whether it has its end."""
    at, data = size, b""
    while at and b"\n" not in data.removesuffix(b"\n"):
        step = min(at, 1 << 16)
        at -= step
        data = os.pread(fd, step, at) + data
    return data.removesuffix(b"\n").rpartition(b"\n")[2], not data or data.endswith(b"\n")


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
    os.fsync(fd)
