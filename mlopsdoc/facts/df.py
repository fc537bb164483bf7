"""Room on file systems from what df printed, for recordings of other people: they have nothing else.

However it was called: a table with a header of any language, or rows of one (``df -h | grep md1``)::

    Filesystem     Type      Size  Used Avail Use% Mounted on
    /dev/md0       ext4      1.8T  405G  1.3T  25% /

    Dateisystem     Größe Benutzt Verf. Verw% Eingehängt auf
    /dev/md1         187G    185G  1,5G  100% /var

    Filesystem           1K-blocks      Used Available Use% Mounted on
    /dev/mapper/vg_system-lv_root
                         461227008 125829120 311967928  29% /
"""

from __future__ import annotations

from msgspec.structs import replace

from mlopsdoc import Fact, Host, Line
from mlopsdoc.facts.asked import asked
from mlopsdoc.hosts.base import Answer

UNITS = "KMGTPE"
# How a header names the blocks, before the dash -> bytes of one.
BLOCKS = {
    "512": 512, "512b": 512, "1k": 1 << 10, "1024": 1 << 10, "1m": 1 << 20, "1048576": 1 << 20, "1g": 1 << 30, "1": 1,
    "1b": 1, "1kb": 1000, "1mb": 1000**2, "1gb": 1000**3,
}  # fmt: skip
TYPES = ("type", "typ", "tipo")
KINDS = (
    "ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "devtmpfs", "nfs", "nfs4", "cifs", "smb3", "ceph",
    "lustre", "beegfs", "gpfs", "wekafs", "overlay", "squashfs", "iso9660", "vfat", "efivarfs", "autofs",
)  # fmt: skip
MAX_ROWS = 4096


class Row(Fact, frozen=True):
    """One line: kind is empty where df did not say it; whole, used and left are bytes or inodes. printed: left and
    whole as df wrote them, where it did so for humans: ``1.5G of 187G`` (decimal ones with -H).
    """

    source: str
    kind: str
    path: str
    whole: int
    used: int
    left: int
    line: Line
    printed: str = ""


class Tables(Fact, frozen=True):
    """All that df printed: rows of bytes and of inodes by mount point, the last that tells of each.

    gap: why there may be other file systems, or empty. was_asked: whether there is any output of df.
    """

    room: dict[str, Row]
    inodes: dict[str, Row]
    gap: str
    was_asked: bool


def read(host: Host) -> Tables:
    """What a recording has of df, however it was called; nothing on this machine."""
    room: dict[str, Row] = {}
    inodes: dict[str, Row] = {}
    unread: list[str] = []
    answers = [answer for answer in asked(host, "df") if answer.status not in ("absent", "not_captured")]
    is_part = any(answer.status in ("truncated", "denied", "timeout") for answer in answers)
    for answer in answers:
        for row, of_inodes in _rows(answer, unread):
            known = (inodes if of_inodes else room).get(row.path)
            kind = row.kind or (known.kind if known and known.source == row.source else "")
            (inodes if of_inodes else room)[row.path] = replace(row, kind=kind)
    gap = "df printed only a part: other file systems were not judged" if is_part else ""
    if unread:
        gap = f"{len(unread)} lines of what df printed could not be read, the first is {unread[0][:120]!r}"
    return Tables(room, inodes, gap, bool(answers))


def _rows(answer: Answer, unread: list[str]) -> list[tuple[Row, bool]]:
    """Rows, and whether they count inodes; lines that are none go to `unread`."""
    found: list[tuple[Row, bool]] = []
    of_inodes = any(word.startswith("-") and "i" in word for word in answer.key.split())
    one, has_kinds = 1 if of_inodes else 1 << 10, False  # 1K-blocks, where no header tells
    before = ""  # a long device name stands in a line of its own
    lines = answer.text.split("\n")
    if answer.status == "truncated":
        del lines[-1]  # it may be half a line
    for line in (line.strip()[:4096] for line in lines[:MAX_ROWS]):
        words = line.split()
        if not words or line.startswith("df:") or words[0] in ("--", "total"):
            continue
        if is_header(words):
            of_inodes, has_kinds = _is_of_inodes(words), words[1].casefold() in TYPES
            one = 1 if of_inodes else _unit(words)
            continue
        row = _row(answer.key, f"{before} {line}".strip(), one, has_kinds)
        if row is None and before:
            unread.append(before)
            row = _row(answer.key, line, one, has_kinds)
        before = line if row is None and len(words) == 1 else ""
        if row is not None:
            found.append((row, of_inodes))
        elif not before and words.count("-") < 3:  # a pseudo file system counts nothing
            unread.append(line)
    unread += [before] if before else []
    return found


def is_header(words: list[str]) -> bool:
    """Words in any language, one with a percent sign, and none of them a path or a number."""
    has_percent = any("%" in word or word == "Capacity" for word in words)
    has_number = any(word[:1].isdecimal() and "-" not in word for word in words)
    return len(words) >= 5 and has_percent and not has_number and not any("/" in word for word in words)


def _unit(words: list[str]) -> int:
    """Bytes of a block; 1 where the header names none: then each number has its own unit."""
    named = (word.casefold().partition("-") for word in words)
    return next((BLOCKS[size] for size, dash, _ in named if dash and size in BLOCKS), 1)


def _is_of_inodes(words: list[str]) -> bool:
    return any("inode" in word.casefold() or word.casefold() in ("iuse%", "ifree") for word in words)


def _row(key: str, line: str, one: int, has_kinds: bool) -> Row | None:
    """By its shape: three numbers, a percentage, a path; before them a name, which may have blanks, and a type."""
    words = line.split()
    at = next((n for n, word in enumerate(words) if n >= 4 and _is_percent(word)), 0)
    thousand = 1000 if {"-H", "--si"}.intersection(key.split()) else 1024
    path = line.partition(f" {words[at]} ")[2].strip() if at else ""
    counts = [_count(word, one, thousand) for word in words[at - 3 : at]] if path.startswith("/") else [None]
    name = words[: at - 3]
    if any(count is None for count in counts):
        return None
    whole, used, left = (count or 0 for count in counts)
    kind = name.pop() if len(name) > 1 and (has_kinds or name[-1] in KINDS or name[-1].startswith("fuse.")) else ""
    is_for_humans = words[at - 1][-1:].isalpha()
    printed = f"{words[at - 1]} of {words[at - 3]}" if is_for_humans else ""
    return Row(" ".join(name), kind, path, whole, used, left, Line(key, line), printed)


def _is_percent(word: str) -> bool:
    return word == "-" or (word.endswith("%") and word[:-1].isdecimal() and len(word) < 6)


def _count(text: str, one: int, thousand: int) -> int | None:
    """Bytes of ``1843200000`` (in blocks of `one`), ``1.8T``, ``1,5G``, ``0``; None for ``-`` and anything
    else. thousand: bytes of a K, 1000 with -H."""
    power = UNITS.find(text[-1:].upper()) + 1 if text else 0
    value = (text[:-1] if power else text).replace(",", ".", 1)
    if not value.replace(".", "", 1).isdecimal() or not value.isascii() or len(value) > 20:
        return None
    return int(float(value) * (thousand**power if power else one))
