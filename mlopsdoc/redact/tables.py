"""Values that stand below a name instead of behind it: columns of tables, and the hosts beside this one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from re import Match

from mlopsdoc.redact.rules import WORDS, compiled

MOST_SERIES = 20
# ``USER  PID %CPU``, ``Node  Generic  SN  Model``, ``JOBID PARTITION NAME USER ST``: a header begins with one of these.
_HEADER = r"(?m)^ {0,24}(?:USER|UID|JOBID|NAME|Node|PID|COMMAND|NODELIST|LOGIN|DEVICE|HOST) [^\n]{1,512}$"
_COLUMNS = {
    "USER": "user",
    "UID": "user",
    "LOGIN": "user",
    "SN": "serial",
    "SERIAL": "serial",
    "WWN": "serial",
    "HOST": "host",
    "NODE": "host",
    "NODELIST": "host",
    "NODELIST(REASON)": "host",
}


def columns(text: str) -> Iterator[tuple[str, str]]:
    """Kind and value of what stands in columns that name somebody: up to an empty line, or the next such header."""
    headers = [(header, names) for header in compiled(_HEADER).finditer(text) if (names := _names(header[0]))]
    ends = [header.start() for header, _ in headers[1:]]
    for (header, names), end in zip(headers, [*ends, len(text)]):
        for row in text[header.end() + 1 : end].partition("\n\n")[0].split("\n"):
            for name, kind in names:
                yield kind, _below(row, name.start(), name.end()).strip("+")


def _names(header: str) -> list[tuple[Match[str], str]]:
    """Where in a header the columns are named that name somebody, and the kind of each."""
    return [(match, _COLUMNS[match[0]]) for match in compiled(r"\S+").finditer(header) if match[0] in _COLUMNS]


def _below(row: str, start: int, end: int) -> str:
    """The word of a row that stands below these columns."""
    while start > 0 and row[start - 1 : start].strip() and row[start : start + 1].strip():
        start -= 1
    return row[start:].split(maxsplit=1)[0] if row[start:end].strip() else ""


def cells(text: str) -> Iterator[tuple[str, str]]:
    """The same of ``index, serial, uuid`` above ``0, 1652323004417, GPU-...``."""
    header, _, rows = text.partition("\n")
    names = [name.strip().lower() for name in header.split(",")]
    for at in [n for n, name in enumerate(names) if name in ("serial", "gpu_serial")]:
        for row in rows.split("\n"):
            found = row.split(",")
            if len(found) == len(names):
                yield "serial", found[at].strip()


def series(hosts: Iterable[str]) -> list[str]:
    """What the names of hosts with a number begin with: ``trainbox`` of trainbox-17."""
    stems = {host.rstrip("0123456789").rstrip("-_") for host in hosts if host[-1].isdecimal()}
    return [stem for stem in sorted(stems - WORDS)[:MOST_SERIES] if len(stem) > 3]


def siblings(stems: Iterable[str], text: str) -> Iterator[str]:
    """The hosts of some series: ``trainbox-18`` and ``trainbox`` of ``trainbox-[18-20]``."""
    for stem in stems:
        if stem in text:
            yield from set(compiled(rf"({stem}(?:[-_]?[0-9]{{1,5}})?)(?![A-Za-z0-9])").findall(text))
