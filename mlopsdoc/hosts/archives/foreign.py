"""Other people's evidence, read by a process that may use little memory and little time.

Whatever is not our own snapshot was packed or typed by a stranger. So a process of its own (see reading.py) takes
it apart, with limits that the system enforces, and hands back rows that say where the bytes of each answer lie: in
a file without a name, or in the files of a folder. They are fetched when a fact asks for them.
"""

from __future__ import annotations

import marshal
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from functools import partial
from typing import IO, Any, cast

from mlopsdoc.hosts import refusals
from mlopsdoc.hosts.archives.files import Piece, fetch, patience
from mlopsdoc.hosts.archives.tar import MIB
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.merged import Differ
from mlopsdoc.hosts.recorder import Recording
from mlopsdoc.hosts.refusals import Refused

MEMORY_MIB = 208  # of the process; the rest of 300 is for us
WAITS = 4  # times as long as it may compute: other processes want the processor too
MAX_ANSWERS_MIB = 96  # of rows, from the process to us
_CODE = (
    "import sys; sys.path.insert(0, sys.argv[2]); "
    "from mlopsdoc.hosts.archives import reading; reading.work(sys.argv[1])"
)
_PACKAGES = __file__.removesuffix("/mlopsdoc/hosts/archives/foreign.py")
ABOUT = ("taken_at", "complete", "is_lower_bound", "notes", "is_known", "understood", "place")  # of a Recording


class ReaderFailed(RuntimeError):
    """A bug in what reads evidence: the process that did so has ended with this exception."""


class _Traceback(Exception):
    """Where it happened, in that process."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


def load(path: str, *, is_partial: bool = False) -> tuple[str, Recording]:
    """What a file or folder is, and the recording in it; raises Refused with what is wrong with it, Differ, OSError,
    ReaderFailed. is_partial: an archive that is cut off or damaged gives what comes before.
    """
    folder = os.path.abspath(path) if os.path.isdir(path) else ""
    spool = tempfile.TemporaryFile(prefix="mlopsdoc-")
    recording, form = Recording(0.0), ""
    with open(os.devnull if folder else path, "rb") as file, closing(_ask(folder, file, spool, is_partial)) as messages:
        for kind, *said in messages:
            if kind == "rows":
                for row in said[0]:
                    answer = _answer(spool, row, folder)
                    recording.answers[answer.key] = answer
            elif kind == "before":
                before = recording.before = Recording(said[0])
                before.complete = False
                before.answers = {answer.key: answer for answer in (_answer(spool, row, folder) for row in said[1])}
            elif kind == "about":
                form, about = said
                for name, value in about.items():
                    setattr(recording, name, value)
            else:
                raise _trouble(kind, *said)
    return form, recording


def _trouble(kind: str, *said: Any) -> Exception:
    """The exception that a message stands for."""
    if kind == "bug":
        error = ReaderFailed(said[0])
        error.__cause__ = _Traceback(said[1])
        return error
    return OSError(*said) if kind == "error" else Differ(said[0]) if kind == "differ" else Refused(said[0])


def _answer(spool: IO[bytes], row: tuple[Any, ...], folder: str) -> Answer:
    """The answer that a row describes; its bytes lie in the spool or below the folder, wherever else it points."""
    key, status, parts, exit, why, at, stderr, order = row
    for part in parts or ():
        path = "" if isinstance(part, bytes) else Piece(*part).path
        if path and (not folder or not path.startswith(f"{folder}/") or ".." in path.split("/")):
            raise Refused(refusals.POINTS_OUT)
    data: bytes | Callable[[], bytes] = partial(_data, spool, parts) if parts else b""
    answer = Answer(key, status, data, stderr=stderr, exit=exit, why=why, at=at)
    answer.order = order
    return answer


def _data(spool: IO[bytes], parts: tuple[Any, ...]) -> bytes:
    """The bytes of an answer, from where they lie."""
    fd = spool.fileno()
    return b"\n".join(part if isinstance(part, bytes) else fetch(fd, Piece(*part)) for part in parts)


def _ask(folder: str, file: IO[bytes], spool: IO[bytes], is_partial: bool) -> Generator[list[Any]]:
    """What the process says, in order; it is ended at the latest when its time is up."""
    seconds = patience(0 if folder else os.fstat(file.fileno()).st_size)
    given = marshal.dumps((folder, spool.fileno(), seconds, MEMORY_MIB * MIB, is_partial))
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _CODE, given.hex(), _PACKAGES],
            stdin=file,
            stdout=subprocess.PIPE,
            stderr=words,
            pass_fds=(spool.fileno(),),
            cwd="/",
        )
        assert process.stdout is not None
        try:
            with process.stdout:
                is_told = yield from _messages(process.stdout.fileno(), seconds)
            if not is_told:
                code = process.wait()
                words.seek(0)
                yield _last_words(code, words.read(1 << 16).decode("utf-8", "replace"), seconds)
        finally:
            process.kill()
            process.wait()


def _last_words(code: int, words: str, seconds: float) -> list[Any]:
    """The message for a process that has ended without one."""
    if code == -signal.SIGXCPU:
        return ["refused", refusals.TIME.format(seconds)]
    if code == -signal.SIGKILL or "memory" in words.lower():
        return ["refused", refusals.MEMORY.format(MEMORY_MIB)]
    return ["bug", f"the process that reads evidence has ended with code {code}", words]


def _messages(fd: int, seconds: float) -> Generator[list[Any], None, bool]:
    """Each message, its length in front; whether the last one, `about` or what went wrong, was among them."""
    until = time.monotonic() + WAITS * seconds
    data, size, kind = bytearray(), 0, ""
    while True:
        if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            yield ["refused", refusals.TIME.format(WAITS * seconds)]
            return True
        more = os.read(fd, MIB)
        size += len(more)
        data += more
        while len(data) >= 4 and len(data) >= 4 + (length := int.from_bytes(data[:4], "big")):
            message = cast(list[Any], marshal.loads(data[4 : 4 + length]))
            del data[: 4 + length]
            kind = message[0]
            yield message
        if size > MAX_ANSWERS_MIB * MIB:
            yield ["refused", refusals.TOO_MANY_ANSWERS.format(MAX_ANSWERS_MIB)]
            return True
        if not more:
            return kind not in ("", "rows", "before")
