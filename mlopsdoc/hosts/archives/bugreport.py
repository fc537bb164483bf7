"""nvidia-bug-report.log and .log.gz: what the driver's own script gathered, of 2009 to 2026.

A concatenation of gzip members, or plain text. Sections begin with a line of exactly 44 underscores::

    ____________________________________________

    *** /proc/driver/nvidia/./version
    *** ls: -r--r--r-- 1 root root 0 2026-11-23 03:10:01.000000000 +0000 /proc/driver/nvidia/./version
    NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024

    ____________________________________________

    /usr/bin/nvidia-smi --query

    ==============NVSMI LOG==============
    ...
    /usr/bin/nvidia-smi nvlink --status

A file that is not there: ``*** /etc/X11 does not exist``, ``*** /x is not readable``. What was left out:
``Skipping nvidia-smi output (safe mode)``. There are no exit codes, the order is not reliable, sections may be
empty, and the date is in the user's language.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

from mlopsdoc.hosts.archives.files import MAX_FILE, Files, Piece, Row, Spool, joined
from mlopsdoc.hosts.archives.tar import CHUNK, Stream
from mlopsdoc.hosts.base import AnswerStatus, read_key
from mlopsdoc.hosts.pasted.commands import argv_of, canonical, is_command
from mlopsdoc.hosts.pasted.dates import NEVER, Moment, moment_of
from mlopsdoc.hosts.refusals import NO_BUG_REPORT, Refused

SEPARATOR = b"_" * 44
START, END = "Start of NVIDIA bug report log file", "End of NVIDIA bug report log file"
SCAN = "Scanning kernel log files for NVIDIA kernel messages"
TITLES = (START, END, SCAN, "Skipping", "Summary of", "NVIDIA Driver", "base64 ", "*** ", "/")  # that end a file
FAILURES = (
    "NVIDIA-SMI has failed", "NVIDIA-SMI couldn't", "Failed to initialize NVML", "No devices were found",
    "Failed to", "Unable to", "bash:", "sh:", "command not found",
)  # fmt: skip
GONE: tuple[tuple[str, AnswerStatus], ...] = ((" does not exist", "absent"), (" is not readable", "denied"))
MAX_SECTIONS, MAX_COMMANDS = 4000, 64  # real ones have some 400 sections, and up to 30 commands in one
MAX_LINES = 4 << 20  # bytes of a section that is read by lines


class Section(NamedTuple):
    """Where a section lies, its first line that is not empty, and where the next line begins."""

    start: int
    end: int
    header: str
    body: int


class Report(NamedTuple):
    """taken: NEVER where it is not told. is_complete: whether its last line is there. cut: why bytes are missing;
    last: the header of the last section before that."""

    rows: list[Row]
    taken: Moment
    is_complete: bool
    notes: list[str]
    cut: str
    last: str


def is_bug_report(head: bytes) -> bool:
    """Whether text begins like one."""
    return START.encode() in head[:2048]


def read(stream: Stream, spool: Spool, files: Files) -> Report:
    """The answers in a bug report; raises Refused when it is none."""
    start = spool.size
    cut = spool.fill(stream)
    sections = list(_sections(files, start, spool.size))
    first = next((section for section in sections[:3] if section.header.startswith(START)), None)
    if first is None:
        raise Refused(NO_BUG_REPORT)
    is_complete = not cut and any(section.header.startswith(END) for section in sections[-3:])
    rows: list[Row] = []
    for section in (mended := list(_mended(sections))):
        found = next(read for start, read in READERS if section.header.startswith(start))(files, section)
        is_last = section is mended[-1] and not is_complete
        rows += (row._replace(status="truncated") if is_last and row.status == "ok" else row for row in found)
    banner = _lines(files, first)
    taken, notes = _of_banner(banner)
    rows += _of_uname(banner)
    return Report(
        list(joined(_of_one_boot(files, rows)).values()), taken, is_complete, notes, cut, sections[-2:][0].header
    )


def _sections(files: Files, start: int, end: int) -> Iterator[Section]:
    """Found in steps, so that the text is never in memory as a whole."""
    begun, at, rest = start, start, b""
    for _ in range(MAX_SECTIONS):
        while (found := _separator(rest)) < 0 and at < end:
            data = files.fetch(Piece("", at, min(CHUNK * 16, end - at)))
            keep = len(rest) - 64 if len(rest) > 64 else 0
            rest, at = rest[keep:] + data, at + len(data)
        stop = at - len(rest) + found if found >= 0 else end
        head = files.fetch(Piece("", begun, min(4096, max(0, stop - begun))))
        text = head.lstrip()
        if text:
            line = text.partition(b"\n")[0]
            body = min(stop, begun + len(head) - len(text) + len(line) + 1)
            yield Section(begun, stop, line.decode("utf-8", "replace").strip(), body)
        if found < 0:
            return
        begun = stop + len(SEPARATOR)
        rest = rest[found + len(SEPARATOR) :]


def _separator(data: bytes) -> int:
    """Where a line of exactly 44 underscores begins, or -1."""
    match = _pattern().search(data)
    return match.start(1) if match else -1


def _pattern() -> re.Pattern[bytes]:
    return re.compile(rb"(?:^|(?<=\n))(_{44})(?=\r?\n)")


def _mended(sections: list[Section]) -> Iterator[Section]:
    """Sections whose header is none belong to the file before them, in which the line of underscores stood."""
    last: Section | None = None
    for section in sections:
        if last is not None and last.header.startswith("*** ") and not _is_header(section.header):
            last = last._replace(end=section.end)
            continue
        if last is not None:
            yield last
        last = section
    if last is not None:
        yield last


def _is_header(line: str) -> bool:
    return line.startswith(TITLES) or line.endswith(":") or is_command(argv_of(line[:1024]))


def _lines(files: Files, section: Section) -> list[str]:
    data = files.fetch(Piece("", section.start, min(section.end - section.start, MAX_LINES)))
    return data.decode("utf-8", "replace").replace("\r\n", "\n").split("\n")


def _of_one_boot(files: Files, rows: list[Row]) -> list[Row]:
    """The ring buffer may have lost an Xid that the journal of the boot still has: then each is a part of the log."""
    logs = {row.status: files.bytes_of(row.parts) for row in reversed(rows) if row.key == "run dmesg"}
    ring, journal = logs.get("ok", b"Linux version"), logs.get("truncated", b"")
    if b"NVRM: Xid" not in journal or b"NVRM: Xid" in ring or b"Linux version" in ring:
        return rows
    return [row._replace(status="truncated") if (row.key, row.status) == ("run dmesg", "ok") else row for row in rows]


def _nothing(files: Files, section: Section) -> Iterator[Row]:
    yield from ()


def _kernel_log(files: Files, section: Section) -> Iterator[Row]:
    yield _answer("run dmesg", _trimmed(files, section.body, section.end))


def _trimmed(files: Files, start: int, end: int) -> Piece:
    """Without the empty lines around it. Of a long one the end is kept."""
    head = files.fetch(Piece("", start, min(256, max(0, end - start))))
    start += len(head) - len(head.lstrip(b"\n\r"))
    tail = files.fetch(Piece("", max(start, end - 256), min(256, max(0, end - start))))
    end -= len(tail) - len(tail.rstrip())
    size = max(0, end - start)
    return Piece("", max(start, end - MAX_FILE), min(size, MAX_FILE), size > MAX_FILE)


def _answer(key: str, piece: Piece, *, is_part: bool = False, failed: str = "") -> Row:
    if not piece.size:
        return Row(key, "not_captured", why="empty in the bug report")
    if failed:
        return Row(key, "failed", (piece,), why=failed, stderr=failed.encode())
    return Row(key, "truncated" if piece.is_cut or is_part else "ok", (piece,))


def _files(files: Files, section: Section) -> Iterator[Row]:
    """``*** /path`` and ``*** ls: ...`` and the content; several of them where lines between were left out."""
    if section.end - section.start > MAX_FILE:
        yield from _file(files, section.header[4:], section.start, section.end)
        return
    data = files.fetch(Piece("", section.start, section.end - section.start))
    marks = [match for match in re.finditer(rb"(?m)^\*\*\* (/[^\r\n]{1,1000})\r?$", data) if _is_mark(data, match)]
    for mark, following in zip(marks, [*marks[1:], None]):
        end = section.start + (following.start() if following else len(data))
        yield from _file(files, mark[1].decode("utf-8", "replace"), section.start + mark.start(), end)


def _is_mark(data: bytes, mark: re.Match[bytes]) -> bool:
    """Whether it is the script's own line: what follows tells, or the line itself."""
    line = mark[1].rstrip()
    following = data[mark.end() : mark.end() + 12].lstrip(b"\r\n")
    return line.endswith(tuple(sign.encode() for sign, _ in GONE)) or following.startswith(b"*** ls:")


def _file(files: Files, name: str, start: int, end: int) -> Iterator[Row]:
    path = name.strip().replace("/./", "/")
    for sign, status in GONE:
        if path.endswith(sign):
            yield Row(read_key(path.removesuffix(sign)), status, why=f"it says: {sign.strip()}")
            return
    if not path.startswith("/") or " " in path:
        return
    head = files.fetch(Piece("", start, min(8192, end - start)))
    at = head.find(b"\n", max(0, head.find(b"*** ")))
    if at >= 0 and head[at + 1 :].startswith(b"*** ls:"):
        at = head.find(b"\n", at + 1)
    if at < 0:
        return
    yield _answer(read_key(path), _trimmed(files, start + at + 1, end))


def _scan(files: Files, section: Section) -> Iterator[Row]:
    """Kernel lines of NVIDIA from the logs of the last boots: only this boot's count here.

    Sub-blocks begin with two spaces, what was read and a colon: ``  journalctl -b -0:``, ``  /var/log/kern.log:``.
    """
    boot: list[str] = []
    is_this = False
    for line in _lines(files, section)[1:]:
        block = re.fullmatch(r"  (/\S+|journalctl .{0,80}|dmesg.{0,40}):", line)
        if block:
            is_this = bool(re.fullmatch(r"journalctl .*-b -?0|dmesg.*", block[1]))
        elif is_this and line.strip():
            boot.append(line.strip())
    if boot:
        yield Row("run dmesg", "truncated", ("\n".join(boot).encode()[-MAX_FILE:],))


def _skipped(files: Files, section: Section) -> Iterator[Row]:
    """``Skipping nvidia-smi output (safe mode)``; newer ``Skipping: nvidia-smi`` and the reason below."""
    text = [line.strip() for line in _lines(files, section) if line.strip()]
    old = re.fullmatch(r"Skipping (.{1,80}?) output \((.{1,200})\)?", text[0])
    what = old[1] if old else text[0].removeprefix("Skipping:").strip()
    reason = (old[2] if old else text[1] if len(text) > 1 else "").rstrip(".)")
    tool = what.split()[0].rpartition("/")[2].strip(",") if what.split() else ""
    for key in ("run nvidia-smi -q", "run nvidia-smi") if tool == "nvidia-smi" else ():
        yield Row(key, "not_captured", why=f"the bug report left it out: {reason or 'no reason given'}")


def _parameters(files: Files, section: Section) -> Iterator[Row]:
    """``/sys/module/nvidia/parameters/NVreg_EnableMSI:1``."""
    for line in _lines(files, section):
        path, colon, value = line.partition(":")
        if colon and path.startswith("/sys/module/") and " " not in path:
            yield Row(read_key(path), "ok", (value.strip().encode("utf-8", "replace") + b"\n",))


def _commands(files: Files, section: Section) -> Iterator[Row]:
    """One command, or several, each with its line, an empty one, and its output."""
    data = files.fetch(Piece("", section.body, min(section.end - section.body, MAX_FILE)))
    found = [(0, 0, section.header)]
    for match in islice(re.finditer(rb"(?m)^(/[A-Za-z][^\r\n]{1,400})\r?$", data), MAX_COMMANDS):
        line = match[1].decode("utf-8", "replace").strip()
        following = data[match.end() : match.end() + 3].replace(b"\r", b"")
        is_tool = "bin/" in line.partition(" ")[0] and following.startswith(b"\n\n")
        if is_tool or canonical(argv_of(line[:1024])) is not None:
            found.append((match.start(), match.end(), line))
    ends = [section.body + start for start, _, _ in found[1:]]
    for (_, start, line), end in zip(found, [*ends, section.end]):
        asked = canonical(argv_of(line[:1024]))
        if asked is None:
            continue
        piece = _trimmed(files, section.body + start, end)
        row = _answer(asked.key, piece, is_part=asked.is_part, failed=_failure(files, piece))
        yield row._replace(parts=(asked.header.encode(), *row.parts)) if asked.header and row.parts else row


def _failure(files: Files, piece: Piece) -> str:
    """The words with which a tool failed, where they stand in place of its output."""
    head = files.fetch(piece._replace(size=min(piece.size, 400))).decode("utf-8", "replace").strip()
    first = head.partition("\n")[0]
    return first if first.startswith(FAILURES) or "command not found" in first else ""


def _of_banner(lines: list[str]) -> tuple[Moment, list[str]]:
    """When it was taken, and what is to be known about it."""
    taken, notes = NEVER, list[str]()
    for line in lines[:60]:
        key, _, value = line.partition(":")
        if key == "Date":
            taken = moment_of(value)
        elif key == "command line flags" and "--safe-mode" in value:
            notes.append("taken in safe mode: nvidia-smi was not asked")
    return taken, notes


def _of_uname(lines: list[str]) -> Iterator[Row]:
    """``uname: Linux gpu17 6.8.0-87-generic #88-Ubuntu SMP ... x86_64 GNU/Linux``."""
    for line in lines[:60]:
        words = line.split()
        if words[:2] == ["uname:", "Linux"] and len(words) > 3:
            yield Row("run uname -a", "ok", (line.partition(":")[2].strip().encode(),))
            yield Row("read /proc/sys/kernel/osrelease", "ok", (words[3].encode(),))
            yield Row("read /proc/sys/kernel/hostname", "ok", (words[2].encode(),))


# What reads a section, by how its first line begins: the first row that fits counts.
READERS: tuple[tuple[str, Callable[[Files, Section], Iterator[Row]]], ...] = (
    ("*** ", _files),
    ("dmesg:", _kernel_log),
    (SCAN, _scan),
    ("Skipping", _skipped),
    ("/sys/module/", _parameters),
    (START, _nothing),
    (END, _nothing),
    ("base64 ", _nothing),
    ("", _commands),
)
