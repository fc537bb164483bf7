"""Other people's evidence, read by a process that may use little memory and little time.

What it holds was packed by a stranger. So a process of its own takes it apart, with limits that the system
enforces, and hands back rows that say where the bytes of each answer lie: in a file without a name, or in the
files of a folder. They are fetched when a fact asks for them.
"""

from __future__ import annotations

import io
import marshal
import os
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import IO, Any, cast

from mlopsdoc.hosts.archives import bugreport, redfish, sosreport
from mlopsdoc.hosts.archives.files import (
    CAPS,
    LIMIT_S,
    Files,
    Pace,
    Piece,
    Row,
    Spool,
    fetch,
    read_archive,
    read_folder,
)
from mlopsdoc.hosts.archives.tar import MIB, OTHER_MAGICS, BadArchive, Stream, is_tar, packing_of
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.pasted import moments
from mlopsdoc.hosts.recorder import Recording

MEMORY, CPU_S = 272 * MIB, 110
MAX_ANSWER = 256 * MIB  # of rows, from the process to us
BATCH = 500
NOTHING = (
    "it holds no evidence that mlopsdoc knows: no sosreport, insights archive, nvidia-bug-report or Redfish mockup"
)
_CODE = (
    "import sys; sys.path.insert(0, sys.argv[2]); "
    "from mlopsdoc.hosts.archives import foreign; foreign.work(sys.argv[1])"
)
_PACKAGES = __file__.removesuffix("/mlopsdoc/hosts/archives/foreign.py")
Found = tuple[list[Row], float, bool, list[str]]  # the answers, when they were taken, whether all are there, notes


def is_archive(path: str, head: bytes) -> bool:
    """Whether a file may be an archive of somebody, packed or not, read or not; or a folder what was in one."""
    if os.path.isdir(path):
        return True
    packed = packing_of(head) or any(head.startswith(magic) for magic, _ in OTHER_MAGICS)
    return bool(packed) or is_tar(head[:512])


def is_bug_report(path: str, head: bytes) -> bool:
    """Whether a file begins like an nvidia-bug-report, packed or not."""
    try:
        return bool(head) and bugreport.is_bug_report(Stream(io.BytesIO(head), CAPS).peek())
    except BadArchive:
        return False


def is_mockup(path: str, head: bytes) -> bool:
    """Whether it is a folder with a Redfish service in it."""
    return os.path.isfile(f"{path}/{redfish.SERVICE}")


def load(path: str) -> Recording:
    """The recording in a file or folder; raises BadArchive with what is wrong with it, OSError."""
    spool = tempfile.TemporaryFile(prefix="mlopsdoc-")
    recording = Recording(0.0)
    recording.complete = False
    folder = os.path.abspath(path) if os.path.isdir(path) else ""
    with (
        open(os.devnull if folder else path, "rb") as file,
        closing(_ask(folder, file.fileno(), spool.fileno())) as messages,
    ):
        for kind, *said in messages:
            if kind == "error":
                raise BadArchive(said[0])
            if kind == "about":
                recording.taken_at, recording.complete, recording.notes = said
            for row in said[0] if kind == "rows" else ():
                answer = _answer(spool, row, folder)
                recording.answers[answer.key] = answer
    if not recording.taken_at:
        telling = {key: answer for key, answer in recording.answers.items() if key.startswith("run ")}
        recording.taken_at, recording.is_lower_bound = moments.newest(telling), True
    return recording


def _answer(spool: IO[bytes], row: tuple[Any, ...], folder: str) -> Answer:
    """The answer that a row describes; its bytes lie in the spool or below the folder, wherever else it points."""
    key, status, parts, exit, why, at, stderr = row
    for part in parts or ():
        path = "" if isinstance(part, bytes) else Piece(*part).path
        if path and (not folder or not path.startswith(f"{folder}/") or ".." in path.split("/")):
            raise BadArchive("the process that read it pointed outside it")
    data: bytes | Callable[[], bytes] = partial(_data, spool, parts) if parts else b""
    return Answer(key, status, data, stderr=stderr, exit=exit, why=why, at=at)


def _data(spool: IO[bytes], parts: tuple[Any, ...]) -> bytes:
    """The bytes of an answer, from where they lie."""
    fd = spool.fileno()
    return b"\n".join(part if isinstance(part, bytes) else fetch(fd, Piece(*part)) for part in parts)


def _ask(folder: str, file: int, spool: int) -> Generator[list[Any]]:
    """What the process says, in order; it is ended at the latest when its time is up."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _CODE, marshal.dumps((folder, spool)).hex(), _PACKAGES],
        stdin=file,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=(spool,),
        cwd="/",
    )
    assert process.stdout is not None
    with process.stdout:
        try:
            yield from _messages(process.stdout.fileno(), time.monotonic() + LIMIT_S + 5)
        finally:
            process.kill()
            process.wait()


def _messages(fd: int, until: float) -> Iterator[list[Any]]:
    """Each message, its length in front; the last is `about` or `error`."""
    data, size = bytearray(), 0
    kind = ""
    while True:
        if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            yield ["error", "reading it takes too long"]
            return
        more = os.read(fd, MIB)
        size += len(more)
        data += more
        while len(data) >= 4 and len(data) >= 4 + (length := int.from_bytes(data[:4], "big")):
            message = cast(list[Any], marshal.loads(data[4 : 4 + length]))
            del data[: 4 + length]
            kind = message[0]
            yield message
        if size > MAX_ANSWER:
            yield ["error", "there is too much in it"]
            return
        if not more:
            if kind not in ("about", "error"):
                yield ["error", "reading it took more memory or time than it may"]
            return


# ---- in the process


def work(given: str) -> None:
    """Read what is on standard input, or a folder, and say on standard output what is in it."""
    folder, spool_fd = cast(tuple[str, int], marshal.loads(bytes.fromhex(given)))
    try:
        _limit()
        rows, taken_at, is_complete, notes = _examine(folder, Files(spool_fd), Spool(spool_fd))
        for start in range(0, len(rows), BATCH):
            _say(["rows", [_plain(row) for row in rows[start : start + BATCH]]])
        _say(["about", taken_at, is_complete, notes])
    except BadArchive as error:
        _say(["error", str(error)])
    except (MemoryError, RecursionError):
        _say(["error", "reading it takes more memory than it may"])
    except OSError as error:
        _say(["error", error.strerror or "it cannot be read"])


def _limit() -> None:
    import resource

    for kind, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, CPU_S), (resource.RLIMIT_CORE, 0)):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most, most))


def _say(message: list[Any]) -> None:
    data = marshal.dumps(message)
    view = memoryview(len(data).to_bytes(4, "big") + data)
    while len(view):
        view = view[os.write(1, view) :]


def _plain(row: Row) -> tuple[Any, ...]:
    parts = tuple(part if isinstance(part, bytes) else tuple(part) for part in row.parts)
    return (row.key, row.status, parts, *row[3:])


def _examine(folder: str, files: Files, spool: Spool) -> Found:
    if folder:
        read_folder(folder, files)
        return _of_files(files, spool)
    with os.fdopen(0, "rb", buffering=0) as file:
        stream = Stream(file, CAPS, Pace(os.fstat(0).st_size))
        head = stream.peek()
        if bugreport.is_bug_report(head):
            return _of_bug_report(stream, spool, files)
        if not is_tar(head):
            raise BadArchive(NOTHING if head else "there is nothing in it")
        read_archive(stream, files, spool)
    return _of_files(files, spool)


def _of_bug_report(stream: Stream, spool: Spool, files: Files) -> Found:
    report = bugreport.read(stream, spool, files)
    return report.rows, report.taken_at, report.is_complete, report.notes


def _of_files(files: Files, spool: Spool) -> Found:
    """The answers in a tree of files, whatever made it."""
    notes = [f"{files.left_out} of its files have names or kinds that are refused"] if files.left_out else []
    notes += [f"not all of it could be read: {files.cut}"] if files.cut else []
    notes += ["it holds more than is read at once: some files were left out"] if spool.is_full else []
    root = sosreport.root_of(files)
    if root is not None:
        files = files.below(root)
        rows, about = sosreport.read(files)
        return rows, about.taken_at, about.is_complete and not spool.is_full, about.notes + notes
    if (root := redfish.root_of(files)) is not None:
        return redfish.read(files.below(root)), 0.0, not notes, notes
    reports = [piece for name, piece in files.files.items() if "nvidia-bug-report" in name.rpartition("/")[2]]
    for piece in reports:
        stream = Stream(io.BytesIO(files.fetch(piece)), CAPS)
        if bugreport.is_bug_report(stream.peek()):
            rows, taken_at, is_complete, more = _of_bug_report(stream, spool, files)
            return rows, taken_at, is_complete and not piece.is_cut, more + notes
    raise BadArchive(files.cut or NOTHING)
