"""Room on file systems from what df printed, for recordings of other people: they have nothing else."""

from __future__ import annotations

from mlopsdoc import Fact, Host, Line
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.hosts.base import Answer

BYTES = (
    ("-al", "-x", "autofs"),
    ("-h",),
    ("-hT",),
    ("-Th",),
    ("-k",),
    ("-T",),
    (),
    ("-PT",),
    ("-P",),
    ("-hl",),
    ("-ah",),
)
INODES = (("-aliT", "-x", "autofs"), ("-i",), ("-ih",), ("-hi",), ("-iT",))
UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}


class Row(Fact, frozen=True):
    """One line: kind is empty where df did not say it; whole, used and left are bytes or inodes."""

    source: str
    kind: str
    path: str
    whole: int
    used: int
    left: int
    line: Line


def bytes_of(host: Host) -> dict[str, Row]:
    """Rows by mount point, of the first way to call df that the recording has."""
    return _first(host, BYTES)


def inodes_of(host: Host) -> dict[str, Row]:
    """The same for inodes."""
    return _first(host, INODES)


def is_part(host: Host) -> bool:
    """Whether something that df printed is not all that it had to say."""
    return any(host.run("df", *way).status == "truncated" for way in (*BYTES, *INODES))


def _first(host: Host, ways: tuple[tuple[str, ...], ...]) -> dict[str, Row]:
    for way in ways:
        answer = host.run("df", *way)
        if rows := {row.path: row for row in rows_of(answer)}:
            return rows
    return {}


def rows_of(answer: Answer) -> list[Row]:
    """Of such text; a failed df (a dead mount among others) keeps its good lines::

    Filesystem     Type      Size  Used Avail Use% Mounted on
    /dev/md0       ext4      1.8T  405G  1.3T  25% /
    """
    header, *lines = whole_lines(answer) or [""]
    names = header.split()
    if names[:1] != ["Filesystem"] or names[-2:] != ["Mounted", "on"]:
        return []
    kinds = names[1:2] == ["Type"]
    one = 1 << 10 if any(name.lower() in ("1k-blocks", "1024-blocks") for name in names) else 1
    return [row for line in lines if (row := _row(answer.key, line, kinds, one))]


def _row(key: str, line: str, kinds: bool, one: int) -> Row | None:
    words = line.split()
    kind = words.pop(1) if kinds and len(words) > 6 else ""
    if len(words) < 6 or not words[5].startswith("/"):
        return None
    counts = [_count(word, one) for word in words[1:4]]
    if any(count is None for count in counts):
        return None
    whole, used, left = (count or 0 for count in counts)
    return Row(words[0], kind, " ".join(words[5:]), whole, used, left, Line(key, line))


def _count(text: str, one: int) -> int | None:
    """Of ``1843200000`` (in units of `one`), ``1.8T``, ``0``; None for ``-`` and anything else."""
    unit = UNITS.get(text[-1:], 0)
    value = text[:-1] if unit else text
    if not value.replace(".", "", 1).isdecimal() or len(value) > 20:
        return None
    return int(float(value) * (unit or one))
