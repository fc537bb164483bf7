"""The archive form of a snapshot: a gzipped tar of plain files, written and read in memory, never unpacked.

Read by hand, for tarfile lets a stranger's 123 bytes be a file of 64 GiB and one header 200 MB of memory: our
own archives hold plain ustar files below one folder, and nothing else is accepted.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import BinaryIO

MIB = 1 << 20
MAX_PACKED, MAX_UNPACKED, MAX_MEMBER, MAX_MEMBERS = 256 * MIB, 512 * MIB, 16 * MIB, 50_000
MAX_RATIO, RATIO_FROM = 200, 10 * MIB
_BLOCK = 512


class BadArchive(ValueError):
    """Why an archive is refused."""


class _Unpacked:
    """The bytes of a gzip stream, counted against the caps."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._unzip = zlib.decompressobj(wbits=31)
        self._buffer = b""
        self._packed = self._unpacked = 0

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes; raises BadArchive when there are not as many."""
        parts: list[bytes] = []
        while size > 0:
            if not self._buffer and not self._fill():
                raise BadArchive("it ends in the middle")
            parts.append(self._buffer[:size])
            self._buffer = self._buffer[size:]
            size -= len(parts[-1])
        return b"".join(parts)

    def _fill(self) -> bool:
        while not self._buffer:
            packed = self._unzip.unconsumed_tail or self._file.read(1 << 16)
            if not packed:
                return False
            if not self._unzip.unconsumed_tail:
                self._packed += len(packed)
            try:
                self._buffer = self._unzip.decompress(packed, MIB)
            except zlib.error:
                raise BadArchive("it is not gzip, or damaged") from None
            if self._unzip.eof and not self._buffer:
                return False
            self._unpacked += len(self._buffer)
            if self._packed > MAX_PACKED or self._unpacked > MAX_UNPACKED:
                raise BadArchive(f"it is larger than {MAX_UNPACKED // MIB} MiB")
            if self._unpacked > RATIO_FROM and self._unpacked > MAX_RATIO * self._packed:
                raise BadArchive(f"it grows to more than {MAX_RATIO} times its size")
        return True


def members(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Name below the top folder and content of each file; raises BadArchive."""
    stream = _Unpacked(file)
    names: set[str] = set()
    while True:
        header = stream.take(_BLOCK)
        if not header.strip(b"\0"):
            return
        name, size, kind = _header(header)
        if len(names) >= MAX_MEMBERS:
            raise BadArchive(f"it has more than {MAX_MEMBERS} members")
        if kind == b"5":
            continue
        if kind not in (b"0", b"\0"):
            raise BadArchive(f"member {name!r} is not a plain file")
        if size > MAX_MEMBER:
            raise BadArchive(f"member {name!r} is larger than {MAX_MEMBER // MIB} MiB")
        data = stream.take(size)
        stream.take(-size % _BLOCK)
        inner = name.partition("/")[2]
        if not inner or name.startswith("/") or ".." in name.split("/") or not name.isprintable():
            raise BadArchive(f"member {name!r} has a name that is not allowed")
        if inner in names:
            raise BadArchive(f"member {name!r} is there twice")
        names.add(inner)
        yield inner, data


def _header(block: bytes) -> tuple[str, int, bytes]:
    try:
        checksum = int(block[148:156].strip(b"\0 "), 8)
        size = int(block[124:136].strip(b"\0 ") or b"0", 8)
        name = block[:100].rstrip(b"\0").decode()
        prefix = block[345:500].rstrip(b"\0").decode() if block[257:262] == b"ustar" else ""
    except ValueError:
        raise BadArchive("a header is not that of a plain tar file") from None
    if checksum != sum(block[:148]) + sum(block[156:]) + 8 * 32 or size < 0:
        raise BadArchive("a header is damaged")
    return (f"{prefix}/{name}" if prefix else name), size, block[156:157]


def write(path: str, top: str, files: Mapping[str, bytes]) -> None:
    """Write the files below folder `top`; raises OSError. The same files give the same bytes."""
    import gzip
    import tarfile

    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with (
        os.fdopen(fd, "wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, data in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size, member.mode = len(data), 0o644
            tar.addfile(member, io.BytesIO(data))
