"""Tar files read by hand from a stream, within caps: the one reader for our own archives and for strangers'.

The standard library's reader lets a stranger's 123 bytes be a file of 64 GiB and one header take 600 MB of
memory. Here every byte is counted, headers of headers have a cap, nothing is kept but what the caller takes,
and nothing is ever written anywhere.
"""

from __future__ import annotations

import bz2
import lzma
import time
import zlib
from collections.abc import Iterator
from typing import NamedTuple, Protocol

from mlopsdoc.hosts import refusals
from mlopsdoc.hosts.refusals import Cut, OverLimit, Refused
from mlopsdoc.patterns import compiled

BLOCK, MIB = 512, 1 << 20
CHUNK, HEAD = 1 << 16, 4096
XZ_MEMORY = 96 * MIB  # what `xz -9` asks for is 65 MiB
MAGICS = ((b"\x1f\x8b", "gzip"), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"))
ZSTD = b"\x28\xb5\x2f\xfd"
OTHER_MAGICS = (
    (ZSTD, "zstd"), (b"PK\3\4", "zip"), (b"7z\xbc\xaf", "7z"), (b"\x8c\x0d", "GPG"), (b"Rar!", "RAR"),
    (b"\x04\x22\x4d\x18", "lz4"), (b"LZIP", "lzip"), (b"\x1f\x9d", "compress"), (b"\x5d\0\0", "lzma"),
)  # fmt: skip
PLAIN, LINK, HARD_LINK, DEVICE, FOLDER, SPARSE = "file", "link", "hard link", "device", "folder", "sparse"
KINDS = {b"0": PLAIN, b"\0": PLAIN, b"7": PLAIN, b"1": HARD_LINK, b"2": LINK, b"3": DEVICE, b"4": DEVICE,
         b"5": FOLDER, b"S": SPARSE}  # fmt: skip
WITHOUT_DATA = (b"1", b"2", b"3", b"4", b"5", b"6")


class Caps(NamedTuple):
    """Bytes of the archive, bytes in it, members, and by how much it may grow after the first 10 MiB.

    header: bytes of a header that says more of the next member (a long name), 0 where there may be none.
    """

    packed: int
    unpacked: int
    members: int
    ratio: int
    header: int


class Budget:
    """What a source may cost, whatever is packed in it included: all streams of it count here. raises OverLimit.

    seconds: of a processor.
    """

    def __init__(self, caps: Caps, seconds: float = 1e9) -> None:
        self.caps = caps
        self._seconds, self._until = seconds, time.process_time() + seconds
        self.packed = self.unpacked = self._members = self._parts = 0

    def add_bytes(self, packed: int, unpacked: int) -> None:
        """Bytes that were read of the source itself, and that came out of it or of what is packed in it."""
        self.packed += packed
        self.unpacked += unpacked
        if time.process_time() > self._until:
            raise OverLimit(refusals.TIME.format(self._seconds))
        if self.packed > self.caps.packed or self.unpacked > self.caps.unpacked:
            raise OverLimit(refusals.TOO_LARGE.format(self.caps.unpacked // MIB))
        if self.unpacked > 10 * MIB and self.unpacked > self.caps.ratio * self.packed:
            raise OverLimit(refusals.GROWS.format(self.caps.ratio))

    def add_member(self) -> None:
        """One more member."""
        self._members += 1
        if self._members > self.caps.members:
            raise OverLimit(refusals.MEMBERS.format(self.caps.members))

    def add_part(self) -> None:
        """One more stream."""
        self._parts += 1
        if self._parts > self.caps.members:
            raise OverLimit(refusals.PARTS.format(self.caps.members))


class Readable(Protocol):
    """What bytes come from."""

    def read(self, size: int, /) -> bytes: ...


class _Gunzip:
    """zlib's with the ways of the other two: it keeps what it was given and has not used."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


def packing(head: bytes) -> str:
    """``gzip``, ``xz``, ``bzip2``, or empty for what is not packed; raises Refused for what cannot be read."""
    for magic, name in OTHER_MAGICS:
        if head.startswith(magic):
            raise Refused(refusals.PACKED.format(name))
    return next((name for magic, name in MAGICS if head.startswith(magic)), "")


class Stream:
    """The bytes of a stream, unpacked as far as they are asked for and counted against the budget.

    Packed streams one after the other are read as one, as their own tools do. is_inner: it comes out of another
    stream of the same budget. Raises Refused, Cut, OverLimit.
    """

    def __init__(self, file: Readable, budget: Budget, *, is_inner: bool = False) -> None:
        self._file, self.budget, self._is_inner = file, budget, is_inner
        budget.add_part()
        self._raw = b""
        self._fill()
        self.is_empty = not self._raw
        self.packing = packing(self._raw)
        self._unpack = self._unpacker()
        self._buffer = memoryview(b"")

    def _unpacker(self) -> _Gunzip | lzma.LZMADecompressor | bz2.BZ2Decompressor | None:
        if self.packing == "gzip":
            return _Gunzip()
        if self.packing == "xz":
            return lzma.LZMADecompressor(memlimit=XZ_MEMORY)
        return bz2.BZ2Decompressor() if self.packing == "bzip2" else None

    def peek(self) -> bytes:
        """The next bytes, HEAD where there are as many; none at the end."""
        try:
            while len(self._buffer) < HEAD and (data := self._unpacked_part()) is not None:
                self._buffer = memoryview(bytes(self._buffer) + data)
                self.budget.add_bytes(0, len(data))
        except Cut:  # what comes before may be read
            if not self._buffer:
                raise
        return bytes(self._buffer[:HEAD])

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        if not self._more():
            return b""
        part, self._buffer = self._buffer[:size], self._buffer[size:]
        return bytes(part)

    def take(self, size: int) -> bytes:
        """Exactly so many bytes; raises Cut when there are not as many."""
        if len(self._buffer) >= size:
            part, self._buffer = self._buffer[:size], self._buffer[size:]
            return bytes(part)
        parts: list[bytes] = []
        while size > 0:
            part_read = self.read(size)
            if not part_read:
                raise Cut(refusals.ENDS_EARLY)
            size -= len(part_read)
            parts.append(part_read)
        return b"".join(parts)

    def skip(self, size: int) -> None:
        """Pass over so many bytes; raises Cut when there are not as many."""
        while size > 0:
            if not self._more():
                raise Cut(refusals.ENDS_EARLY)
            step = min(size, len(self._buffer))
            self._buffer = self._buffer[step:]
            size -= step

    def _more(self) -> bool:
        while not len(self._buffer):
            data = self._unpacked_part()
            if data is None:
                return False
            self._buffer = memoryview(data)
            self.budget.add_bytes(0, len(data))
        return True

    def _fill(self) -> bytes:
        self._raw = self._file.read(CHUNK)
        self.budget.add_bytes(0 if self._is_inner else len(self._raw), 0)
        return self._raw

    def _unpacked_part(self) -> bytes | None:
        """The next bytes, perhaps none; None at the end."""
        unpack = self._unpack
        if unpack is None:
            data, self._raw = self._raw or self._fill(), b""
            return data or None
        if unpack.eof:
            self._raw = unpack.unused_data or self._raw or self._fill()
            if packing_of(self._raw) != self.packing:
                return None  # zeros and the like behind the end
            self.budget.add_part()
            self._unpack = unpack = self._unpacker()
            assert unpack is not None
        if unpack.needs_input and not self._raw and not self._fill():
            raise Cut(refusals.ENDS_EARLY)
        try:
            data = unpack.decompress(self._raw if unpack.needs_input else b"", MIB)
        except (zlib.error, lzma.LZMAError, OSError, ValueError, EOFError):
            raise Cut(refusals.DAMAGED.format(self.packing)) from None
        self._raw = b""
        return data


def packing_of(head: bytes) -> str:
    """The same as `packing`, empty for what cannot be read too."""
    try:
        return packing(head)
    except Refused:
        return ""


class Entry(NamedTuple):
    """One member: its name and the name that it links to as they are written, bytes that are no UTF-8 escaped.

    kind: file, link, hard link, device, folder, sparse, or empty for what is none of these (a FIFO).
    """

    name: str
    kind: str
    size: int
    link: str
    body: Body


class Body:
    """The content of a member, to be taken before the next one is asked for."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream, self.left = stream, size
        self.budget = stream.budget

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""
        part = self._stream.read(min(size, self.left)) if self.left else b""
        if self.left and not part and size:
            raise Cut(refusals.ENDS_EARLY)
        self.left -= len(part)
        return part

    def take(self, size: int) -> bytes:
        """Exactly so many bytes of those that are left."""
        self.left -= size
        return self._stream.take(size)

    def peek(self) -> bytes:
        """The first bytes that are left."""
        return self._stream.peek()[: self.left] if self.left else b""

    def skip(self, size: int) -> None:
        self._stream.skip(size)
        self.left -= size


def is_tar(head: bytes) -> bool:
    """Whether these 512 bytes are the header of a member."""
    try:
        return len(head) >= BLOCK and bool(_header(head[:BLOCK]))
    except Refused:
        return False


def entries(stream: Stream) -> Iterator[Entry]:
    """The members of a tar, in order; raises OverLimit, Refused, and Cut where it is not whole."""
    caps = stream.budget.caps
    said: dict[str, str] = {}
    while True:
        block = stream.take(BLOCK)
        if not block.strip(b"\0"):
            return
        stream.budget.add_member()
        name, size, kind, link = _header(block)
        if size > caps.unpacked:
            raise OverLimit(refusals.CLAIMS.format(size // MIB))
        if kind in (b"x", b"g", b"L", b"K", b"N"):
            if not caps.header:
                raise Refused(refusals.NOT_PLAIN.format(name))
            if size > caps.header:
                raise OverLimit(refusals.LONG_HEADER.format(size))
            said |= _about(stream, size, kind)
            continue
        if kind == b"S":
            _skip_map(stream, block)
        size = _size_of(said.get("size"), size, caps)
        size = 0 if kind in WITHOUT_DATA else size
        body = Body(stream, size)
        kind_name = SPARSE if "sparse" in said else KINDS.get(kind, "")
        yield Entry(said.get("path", name), kind_name, size, said.get("linkpath", link), body)
        said = {}
        body.skip(body.left)
        stream.skip(-size % BLOCK)


def _size_of(told: str | None, size: int, caps: Caps) -> int:
    if told is None:
        return size
    if not told.isdecimal() or len(told) > 18 or int(told) > caps.unpacked:
        raise Refused(refusals.BAD_SIZE)
    return int(told)


def _skip_map(stream: Stream, block: bytes) -> None:
    """Pass over the blocks that go on with the map of a sparse member."""
    more = block[482]
    while more:
        more = stream.take(BLOCK)[504]


def _about(stream: Stream, size: int, kind: bytes) -> dict[str, str]:
    """What a header says of the member that follows it: path, linkpath, size, whether it is sparse."""
    data = stream.take(size)
    stream.skip(-size % BLOCK)
    if kind in (b"L", b"K"):
        return {"path" if kind == b"L" else "linkpath": shown(data.partition(b"\0")[0])}
    found: dict[str, str] = {}
    while data and kind == b"x":
        digits, space, _ = data.partition(b" ")
        length = int(digits) if digits.isdigit() and len(digits) < 8 else 0
        if not space or not len(digits) + 1 < length <= len(data):
            raise Cut(refusals.BAD_HEADER)
        key, equals, value = data[len(digits) + 1 : length].removesuffix(b"\n").partition(b"=")
        if equals and key in (b"path", b"linkpath", b"size"):
            found[key.decode()] = shown(value)
        elif key.startswith(b"GNU.sparse"):
            found["sparse"] = ""
        data = data[length:]
    return found


def shown(name: bytes) -> str:
    """A name; what is no UTF-8 is written as ``%ff``."""
    raw = name.decode("utf-8", "surrogateescape")
    return compiled("[\udc80-\udcff]").sub(lambda match: f"%{ord(match[0]) - 0xDC00:02x}", raw)


def _number(field: bytes) -> int:
    """Octal, or what GNU writes of larger ones."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big") if field[0] == 0x80 else -1
    return int(field.strip(b"\0 ") or b"0", 8)


def _header(block: bytes) -> tuple[str, int, bytes, str]:
    """Name, size, kind and link."""
    try:
        checksum, size = _number(block[148:156]), _number(block[124:136])
    except ValueError:
        raise Cut(refusals.NO_TAR) from None
    if checksum != sum(block) - sum(block[148:156]) + 8 * 32 or size < 0:
        raise Cut(refusals.BAD_HEADER)
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and (prefix := block[345:500].partition(b"\0")[0]):
        name = prefix + b"/" + name
    return shown(name), size, block[156:157], shown(block[157:257].partition(b"\0")[0])
