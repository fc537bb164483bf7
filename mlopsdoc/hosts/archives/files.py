"""What a stranger's archive or folder holds: names, links, and where the bytes of each file lie.

Nothing is written under a name that a stranger chose, and no link is followed but in the table of names: what
is worth keeping of an archive goes to the spool, one file without a name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple, TypeAlias

from mlopsdoc.hosts import refusals
from mlopsdoc.hosts.archives.tar import (
    CHUNK,
    DEVICE,
    HARD_LINK,
    LINK,
    MIB,
    PLAIN,
    SPARSE,
    Caps,
    Entry,
    Readable,
    Stream,
    entries,
    is_tar,
    packing_of,
    shown,
)
from mlopsdoc.hosts.base import AnswerStatus, given
from mlopsdoc.hosts.refusals import Cut, OverLimit, Refused

CAPS = Caps(packed=4096 * MIB, unpacked=8192 * MIB, members=250_000, ratio=1000, header=1 << 16)
MAX_KEPT, MAX_FILE = 512 * MIB, 16 * MIB
MAX_NAME, MAX_DEPTH, MAX_HOPS, MAX_NESTED = 1024, 64, 40, 2
DEVICES = ("dev/nvram",)  # that sos copies, as nodes
LOGS = ("/log/", "journalctl", "dmesg", ".log", ".tailed")  # of these the end is what counts
PATIENCE_S, BYTES_A_SECOND = 15.0, 16 * MIB
WORTH: tuple[AnswerStatus, ...] = ("ok", "truncated", "failed", "timeout", "denied", "absent", "not_captured")
NESTED = (".tar", ".tgz", ".txz", ".tbz")


class Piece(NamedTuple):
    """Where bytes lie: in the spool, or in the file at `path`. is_cut: there were more."""

    path: str
    offset: int
    size: int
    is_cut: bool = False


Part: TypeAlias = "Piece | bytes"
EMPTY = Piece("", 0, 0)


class Row(NamedTuple):
    """One answer, its bytes still where they lie: in parts that make it when newlines join them."""

    key: str
    status: AnswerStatus
    parts: tuple[Part, ...] = ()
    exit: int | None = None
    why: str = ""
    at: float = 0.0
    stderr: bytes = b""
    order: int = 0


def joined(found: Iterable[Row]) -> dict[str, Row]:
    """One answer a key: the first whole one, or all parts of it, or else what says why there is none."""
    rows: dict[str, Row] = {}
    for row in found:
        known = rows.get(row.key)
        if known is None or WORTH.index(row.status) < WORTH.index(known.status):
            rows[row.key] = row
        elif known.status == row.status == "truncated" and row.parts not in (known.parts, ()):
            rows[row.key] = known._replace(parts=known.parts + row.parts)
    return rows


def bounded(row: Row) -> Row:
    """The same with no more bytes than facts are given."""
    sizes = [len(part) if isinstance(part, bytes) else part.size for part in row.parts]
    start, stop = given(row.key, sum(sizes))
    if stop - start == sum(sizes):
        return row
    parts, at = list[Part](), 0
    for part, size in zip(row.parts, sizes):
        first, last = max(start - at, 0), min(stop - at, size)
        if first < last and isinstance(part, bytes):
            parts.append(part[first:last])
        elif first < last and not isinstance(part, bytes):
            parts.append(part._replace(offset=part.offset + first, size=last - first))
        at += size
    return row._replace(parts=tuple(parts), status="truncated" if row.status == "ok" else row.status)


class Spool:
    """Bytes kept in a file without a name, so that they need no memory. Past MAX_KEPT it keeps nothing more."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.size = 0
        self.is_full = False

    def keep(self, body: Readable, *, is_log: bool) -> Piece:
        """At most MAX_FILE bytes of a file: see `taken`."""
        return self.keep_bytes(*taken(body, is_log=is_log))

    def fill(self, text: Readable) -> str:
        """Keep all that comes; what is wrong with it where some is missing."""
        try:
            while data := text.read(MIB):
                if not self.keep_bytes(data).size:
                    return refusals.TOO_LARGE_TEXT.format(MAX_KEPT // MIB)
        except Cut as cut:
            return str(cut)
        return ""

    def keep_bytes(self, data: bytes, is_cut: bool = False) -> Piece:
        """All of these."""
        start = self.size
        if start + len(data) > MAX_KEPT:
            self.is_full = True
            return Piece("", start, 0, True)
        view = memoryview(data)
        while len(view):
            view = view[os.write(self._fd, view) :]
        self.size += len(data)
        return Piece("", start, len(data), is_cut)


def taken(body: Readable, *, is_log: bool) -> tuple[bytes, bool]:
    """At most MAX_FILE bytes of a file, the last ones of a log, else the first; and whether there are more."""
    parts: list[bytes] = []
    kept = whole = 0
    while data := body.read(CHUNK):
        whole += len(data)
        if is_log or kept < MAX_FILE:
            parts.append(data)
            kept += len(data)
        if is_log and kept - len(parts[0]) >= MAX_FILE:
            kept -= len(parts.pop(0))
    start = max(0, kept - MAX_FILE) if is_log else 0
    return b"".join(parts)[start : start + MAX_FILE], whole > MAX_FILE


def patience(size: int) -> float:
    """Seconds of a processor that reading so many bytes may take, packed ones or text."""
    return PATIENCE_S + size / BYTES_A_SECOND


def fetch(fd: int, piece: Piece) -> bytes:
    """The bytes of a piece; none where its file is gone."""
    if not piece.path:
        return os.pread(fd, piece.size, piece.offset)
    try:
        file = os.open(piece.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.pread(file, piece.size, piece.offset) if stat.S_ISREG(os.fstat(file).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(file)


class Files:
    """Files and links by name below the top. cut: why there may be more than these; last: the last member before
    that, as it is named; left_out: names refused; denied: files of a folder that may not be read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.files: dict[str, Piece] = {}
        self.links: dict[str, str] = {}
        self.left_out = self.denied = 0
        self.cut = self.last = ""

    def read(self, name: str) -> bytes:
        """The bytes of a file, links followed; none where there is no such file."""
        found = self.find(name)
        return self.fetch(self.files[found]) if found else b""

    def fetch(self, piece: Piece) -> bytes:
        """The bytes of a piece."""
        return fetch(self.fd, piece)

    def bytes_of(self, parts: Iterable[Part]) -> bytes:
        """The bytes of an answer."""
        return b"\n".join(part if isinstance(part, bytes) else self.fetch(part) for part in parts)

    def find(self, name: str) -> str:
        """The file that a name leads to, or empty."""
        found = self.resolve(name)
        return found if found in self.files else ""

    def resolve(self, name: str) -> str:
        """The name without links in it; empty when it leaves the top, or turns in a circle."""
        left = name.split("/")[::-1]
        here: list[str] = []
        hops = 0
        while left:
            part = left.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not here:
                    return ""
                here.pop()
                continue
            here.append(part)
            target = self.links.get("/".join(here)) if self.links else None
            if target is None:
                continue
            hops += 1
            if hops > MAX_HOPS or len(left) > 4 * MAX_DEPTH:
                return ""
            here = [] if target.startswith("/") else here[:-1]
            left += target.split("/")[::-1]
        return "/".join(here)

    def below(self, top: str) -> Files:
        """The same seen from one of the folders, `top` ending in a slash."""
        inner = Files(self.fd)
        inner.files = {name[len(top) :]: piece for name, piece in self.files.items() if name.startswith(top)}
        inner.links = {name[len(top) :]: to for name, to in self.links.items() if name.startswith(top)}
        inner.left_out, inner.denied, inner.cut = self.left_out, self.denied, self.cut
        return inner


def clean_name(name: str) -> str:
    """A member's name, relative and plain; empty for one that is refused (``..``, control characters, too long)."""
    if len(name) > MAX_NAME:
        return ""
    if not name.isprintable() and any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 for char in name):
        return ""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return "" if ".." in parts or len(parts) > MAX_DEPTH else "/".join(parts)


def is_log(name: str) -> bool:
    """Whether of a long file the end matters more than the beginning."""
    return any(sign in name for sign in LOGS)


def read_archive(stream: Stream, files: Files, spool: Spool, under: str = "", depth: int = 0) -> bool:
    """Take in the members of a tar; one that is cut off or damaged gives what came before. Whether it is whole.

    Raises Refused.
    """
    try:
        for entry in entries(stream):
            _take(entry, files, spool, under, depth)
            entry.body.skip(entry.body.left)
            files.last = files.last if depth else entry.name
        while not depth and stream.read(MIB):
            pass  # at the end of what is packed stands its checksum
    except Cut as cut:
        files.cut = str(cut)
        return False
    return True


def _take(entry: Entry, files: Files, spool: Spool, under: str, depth: int) -> None:
    inner = clean_name(entry.name)
    name = under + inner
    if why := _is_hostile(entry, name, files):
        raise OverLimit(why.format(entry.name[:200]))
    if entry.kind not in (PLAIN, LINK, HARD_LINK):
        return
    if not inner or (entry.kind == LINK and len(entry.link) > 4 * MAX_NAME):
        files.left_out += 1
    elif name in files.files or name in files.links:
        if not _is_again(entry, name, files, under):
            raise OverLimit(refusals.OTHER_CONTENT.format(entry.name[:200]))
    elif entry.kind == LINK:
        files.links[name] = entry.link
    elif entry.kind == HARD_LINK:
        earlier = files.files.get(under + clean_name(entry.link))
        files.left_out += earlier is None
        files.files.update({name: earlier} if earlier else {})
    elif not entry.size:
        files.files[name] = EMPTY
    else:
        nested = depth < MAX_NESTED and any(end in name.rpartition("/")[2] for end in NESTED)
        if not nested or not _take_nested(entry, files, spool, f"{name}/", depth + 1):
            files.files[name] = spool.keep(entry.body, is_log=is_log(name))


def _is_hostile(entry: Entry, name: str, files: Files) -> str:
    """What no collector makes, in words, or nothing: then there is more that was not made to be read.

    Links that point out of it are harmless, for nothing follows them, and so are FIFOs: sos copies both.
    """
    if _leaves(entry.name):
        return refusals.BAD_PATH
    if entry.kind == SPARSE:
        return refusals.SPARSE_MEMBER
    if entry.kind == DEVICE and not name.endswith(DEVICES):
        return refusals.DEVICE_MEMBER
    if entry.kind == HARD_LINK and _leaves(entry.link):
        return refusals.LINKS_OUT
    folder = name.rpartition("/")[0]
    return refusals.BEHIND_LINK if files.resolve(folder) != folder else ""


def _leaves(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/")


def _is_again(entry: Entry, name: str, files: Files, under: str) -> bool:
    """Whether a member of a name that is known already says the same: tar writes one twice if it is asked twice."""
    if entry.kind == LINK:
        return files.links.get(name) == entry.link
    known = files.files.get(name)
    if entry.kind == HARD_LINK or known is None:
        return known is not None and known == files.files.get(under + clean_name(entry.link))
    if known.is_cut and not known.size:
        return True  # there was no room for it, the first time
    return files.fetch(known) == taken(entry.body, is_log=is_log(name))[0]


def _take_nested(entry: Entry, files: Files, spool: Spool, under: str, depth: int) -> bool:
    """Whether a member is an archive itself; then its members are taken in."""
    head = entry.body.peek()
    if not is_tar(head) and not packing_of(head):
        return False  # by its first bytes alone: a stream takes more than it gives back
    try:
        read_archive(Stream(entry.body, entry.body.budget, is_inner=True), files, spool, under, depth)
    except OverLimit:
        raise
    except Refused as error:
        files.cut = files.cut or f"{under}: {error}"
    return True


def read_folder(top: str, files: Files) -> None:
    """Take in the names below a folder, without following a link. raises Refused, OSError."""
    for path, kind, size in _walk(top):
        name = clean_name(shown(os.fsencode(path[len(top) :])))
        if not name:
            files.left_out += 1
        elif kind == LINK:
            with suppress(FileNotFoundError):
                files.links[name] = shown(os.fsencode(os.readlink(path)))
        elif size and not os.access(path, os.R_OK):
            files.files[name], files.denied = EMPTY, files.denied + 1
        else:
            start = max(0, size - MAX_FILE) if is_log(name) else 0
            files.files[name] = Piece(path, start, min(size, MAX_FILE), size > MAX_FILE)


def _walk(top: str) -> Iterator[tuple[str, str, int]]:
    folders, count = [(top, 0)], 0
    while folders:
        folder, depth = folders.pop()
        try:
            found = list(os.scandir(folder))
        except OSError:
            if folder == top:
                raise
            continue
        count += len(found)
        if count > CAPS.members:
            raise OverLimit(refusals.FILES.format(CAPS.members))
        for entry in found:
            if entry.is_symlink():
                yield entry.path, LINK, 0
            elif entry.is_dir(follow_symlinks=False):
                folders += [(entry.path, depth + 1)] if depth < MAX_DEPTH else []
            elif entry.is_file(follow_symlinks=False):
                with suppress(FileNotFoundError):  # it has gone since
                    yield entry.path, PLAIN, entry.stat(follow_symlinks=False).st_size
