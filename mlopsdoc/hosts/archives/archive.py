"""The archive form of a snapshot: a gzipped tar of plain files, written and read in memory, never unpacked.

Our own archives hold plain files below one folder, and nothing else is accepted.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from mlopsdoc.hosts.archives.tar import FOLDER, MIB, PLAIN, Budget, Caps, Stream, entries
from mlopsdoc.hosts.refusals import BAD_NAME, DAMAGED, LARGE_MEMBER, NOT_PLAIN, TWICE, Refused

MAX_MEMBER = 16 * MIB
# It is in memory as a whole, and so less than what strangers' archives may hold.
CAPS, SECONDS = Caps(packed=128 * MIB, unpacked=128 * MIB, members=50_000, ratio=200, header=0), 15.0


def members(file: BinaryIO) -> Iterator[tuple[str, bytes]]:
    """Name below the top folder and content of each file; raises Refused."""
    stream = Stream(file, Budget(CAPS, SECONDS))
    if stream.packing != "gzip" and not stream.is_empty:
        raise Refused(DAMAGED.format("gzip"))
    names: set[str] = set()
    for entry in entries(stream):
        if entry.kind == FOLDER:
            continue
        name = entry.name
        if entry.kind != PLAIN:
            raise Refused(NOT_PLAIN.format(name))
        if entry.size > MAX_MEMBER:
            raise Refused(LARGE_MEMBER.format(name, MAX_MEMBER // MIB))
        data = entry.body.take(entry.size)
        inner = name.partition("/")[2]
        if not inner or name.startswith("/") or ".." in name.split("/") or not name.isprintable():
            raise Refused(BAD_NAME.format(name))
        if inner in names:
            raise Refused(TWICE.format(name))
        names.add(inner)
        yield inner, data


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
