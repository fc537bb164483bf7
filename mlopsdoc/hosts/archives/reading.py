"""The process that reads other people's evidence: what it is, and the rows of its answers. See foreign.py."""

from __future__ import annotations

import io
import marshal
import os
import subprocess
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import IO, Any, NamedTuple, cast

from mlopsdoc.hosts import refusals
from mlopsdoc.hosts.archives import bugreport, redfish, sosreport
from mlopsdoc.hosts.archives.files import CAPS, MAX_NESTED, Files, Row, Spool, bounded, read_archive, read_folder
from mlopsdoc.hosts.archives.foreign import ABOUT
from mlopsdoc.hosts.archives.tar import BLOCK, HEAD, MIB, ZSTD, Budget, Readable, Stream, is_tar, packing_of
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.merged import Differ
from mlopsdoc.hosts.pasted import dates, transcript
from mlopsdoc.hosts.recorder import Recording
from mlopsdoc.hosts.refusals import Cut, Refused

BATCH = 500
JOURNAL = b"LPKSHHRH"
MARKS = ("sos_commands", "insights_commands", "redfish")
MAX_LOOKED_AT = 4000  # entries of a folder, until it is clear that it is no evidence


class Found(NamedTuple):
    """What it is, the answers in it, a Recording without them, and those of its `before`."""

    form: str
    rows: list[Row]
    about: Recording
    before: Sequence[Row] = ()


def work(given: str) -> None:
    """Read what is on standard input, or a folder, and say on standard output what is in it."""
    folder, spool_fd, seconds, memory, is_partial = cast(
        tuple[str, int, float, int, bool], marshal.loads(bytes.fromhex(given))
    )
    try:
        _limit(seconds, memory)
        form, rows, about, before = _examine(folder, spool_fd, Budget(CAPS, seconds), is_partial)
        for start in range(0, len(rows), BATCH):
            _say(["rows", [_plain(row) for row in rows[start : start + BATCH]]])
        if about.before:
            _say(["before", about.before.taken_at, [_plain(row) for row in before]])
        _say(["about", form, {name: getattr(about, name) for name in ABOUT}])
    except Differ as differ:
        _say(["differ", str(differ)])
    except Refused as error:
        _say(["refused", str(error)])
    except MemoryError:
        _say(["refused", refusals.MEMORY.format(memory // MIB)])
    except OSError as error:
        _say(["error", error.errno or 5, error.strerror or "it cannot be read"])
    except Exception as error:
        import traceback

        _say(["bug", f"{type(error).__name__}: {error}", traceback.format_exc()])


def _limit(seconds: float, memory: int) -> None:
    import resource

    limits = ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, int(seconds) + 1), (resource.RLIMIT_CORE, 0))
    for kind, most in limits:
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _say(message: list[Any]) -> None:
    data = marshal.dumps(message)
    view = memoryview(len(data).to_bytes(4, "big") + data)
    while len(view):
        view = view[os.write(1, view) :]


def _plain(row: Row) -> tuple[Any, ...]:
    row = bounded(row)
    parts = tuple(part if isinstance(part, bytes) else tuple(part) for part in row.parts)
    return (row.key, row.status, parts, *row[3:])


def _examine(folder: str, spool_fd: int, budget: Budget, is_partial: bool) -> Found:
    files, spool = Files(spool_fd), Spool(spool_fd)
    if folder:
        if not _holds_evidence(folder):
            raise Refused(refusals.NO_COLLECTION)
        read_folder(folder, files)
        return _of_files(files, spool, budget)
    source = _source()
    stream = Stream(source, budget)
    packed = bool(stream.packing) or isinstance(source, _Zstd)
    for _ in range(MAX_NESTED):
        if packing_of(stream.peek()):
            stream = Stream(stream, budget, is_inner=True)  # of a text that was packed twice
    head = stream.peek()
    if head.startswith(JOURNAL):
        raise Refused(refusals.JOURNAL)
    if bugreport.is_bug_report(head):
        return _of_bug_report(stream, spool, files, is_partial=is_partial)
    if is_tar(head[:BLOCK]):
        if not read_archive(stream, files, spool) and not is_partial:
            where = f"after member {files.last[:200]!r}" if files.last else "within its first member"
            raise Refused(refusals.CUT_OFF.format(files.cut, where))
        return _of_files(files, spool, budget)
    if head and transcript.is_text(head):
        return _of_text(stream if packed else None, spool, spool_fd, is_partial=is_partial)
    raise Refused(refusals.NO_FORM if head else refusals.EMPTY)


class _Zstd:
    """What the program zstd makes of standard input: Python cannot read it before 3.14."""

    def __init__(self) -> None:
        command = ["zstd", "-dcq", "--memory=64MB"]
        try:
            self._process = subprocess.Popen(command, stdin=0, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except FileNotFoundError:
            raise Refused(refusals.NEEDS_PROGRAM.format("zstd")) from None

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        data = cast(IO[bytes], self._process.stdout).read(size)
        if not data and self._process.wait():
            raise Cut(refusals.DAMAGED.format("zstd"))
        return data


def _source() -> Readable:
    return _Zstd() if os.pread(0, HEAD, 0).startswith(ZSTD) else os.fdopen(0, "rb", buffering=0)


def _holds_evidence(top: str) -> bool:
    """Whether one of the uppermost entries of a folder has the name of something in an archive."""
    folders, seen = [top], 0
    for folder in folders:  # grows as it is walked
        try:
            entries = list(islice(os.scandir(folder), MAX_LOOKED_AT))
        except OSError:
            if folder == top:
                raise
            continue
        if any(entry.name in MARKS or "nvidia-bug-report" in entry.name for entry in entries):
            return True
        seen += len(entries)
        if seen > MAX_LOOKED_AT:
            return False
        folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    return False


def _of_text(packed: Stream | None, spool: Spool, spool_fd: int, *, is_partial: bool) -> Found:
    """Text as it is, or packed: then it is unpacked into the spool first."""
    path, notes = "/proc/self/fd/0", list[str]()
    if packed is not None:
        path = f"/proc/self/fd/{spool_fd}"
        why = spool.fill(packed)
        if why and (spool.is_full or not is_partial):
            after = f"after {spool.size} bytes of text"
            raise Refused(why if spool.is_full else refusals.CUT_OFF.format(why, after))
        notes = [f"not all of it could be read: {why}"] if why else []
    about = transcript.load(path)
    about.notes += notes
    before = about.before.answers.values() if about.before else ()
    kept = [[_kept(answer, spool) for answer in answers] for answers in (about.answers.values(), before)]
    return Found("text", kept[0], about, kept[1])


def _kept(answer: Answer, spool: Spool) -> Row:
    parts = (spool.keep_bytes(answer.data),) if answer.data else ()
    return Row(answer.key, answer.status, parts, answer.exit, answer.why, answer.at, answer.stderr, answer.order)


def _of_bug_report(stream: Stream, spool: Spool, files: Files, *, is_partial: bool) -> Found:
    report = bugreport.read(stream, spool, files)
    if report.cut and not (is_partial or spool.is_full):
        raise Refused(refusals.CUT_OFF.format(report.cut, f"after section {report.last[:80]!r}"))
    report.notes.extend([f"not all of it could be read: {report.cut}"] if report.cut else [])
    about = _about(report.taken, report.is_complete, report.notes, report.rows, files)
    return Found("nvidia-bug-report", report.rows, about)


def _about(taken: dates.Moment, complete: bool, notes: list[str], rows: Iterable[Row], files: Files) -> Recording:
    """Where it does not tell when it was taken, its answers tell what is the earliest that it may be."""
    about = Recording(taken.at)
    about.complete, about.notes = complete, notes
    if not taken.at:
        said = (Answer(row.key, row.status, files.bytes_of(row.parts)) for row in rows if row.key.startswith("run "))
        taken = max((dates.newest_moment({answer.key: answer}) for answer in said), default=dates.NEVER)
        about.taken_at, about.is_lower_bound = taken.at, True
    about.notes += [] if taken.is_sure else [dates.NO_ZONE]
    return about


def _of_files(files: Files, spool: Spool, budget: Budget) -> Found:
    """The answers in a tree of files, whatever made it."""
    notes = [f"{files.left_out} of its files have names or kinds that are refused"] if files.left_out else []
    notes += [f"{files.denied} of its files may not be read by this user"] if files.denied else []
    notes += [f"not all of it could be read: {files.cut}"] if files.cut else []
    notes += ["it holds more than is read at once: some files were left out"] if spool.is_full else []
    root = sosreport.root_of(files)
    if root is not None:
        files = files.below(root)
        rows, told = sosreport.read(files)
        is_complete = told.is_complete and not spool.is_full
        return Found(told.form, rows, _about(told.taken, is_complete, told.notes + notes, rows, files))
    if (root := redfish.root_of(files)) is not None:
        rows = redfish.read(files.below(root))
        return Found("Redfish mockup", rows, _about(dates.NEVER, not notes, notes, rows, files))
    for name, piece in files.files.items():
        if "nvidia-bug-report" not in name.rpartition("/")[2]:
            continue
        stream = Stream(io.BytesIO(files.fetch(piece)), budget, is_inner=not piece.path)
        if bugreport.is_bug_report(stream.peek()):
            found = _of_bug_report(stream, spool, files, is_partial=True)
            found.about.complete = found.about.complete and not piece.is_cut
            found.about.notes += notes
            return found
    raise Refused(files.cut or refusals.NO_COLLECTION)
