"""Entries of journals in forms of several lines or of other tools, as ``journalctl -o short-iso`` prints them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlopsdoc.hosts.pasted.json_shapes import journal_line, line_of
from mlopsdoc.patterns import compiled

MAX_FIELDS = 200
_BEGINS = r"(?:__CURSOR=|[A-Z][a-z]{2} [0-9-]{10} [0-9:.]{8,15} \S{1,8} \[)s=[0-9a-f]{32};.{0,100};t=([0-9a-f]{1,16});"
_FIELD = r"(?: {4})?([A-Z_][A-Z0-9_]{0,63})=(.*)"
_SYSLOG = (
    r"(?:<[0-9]{1,3}>)?1 ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\S{0,18}) (\S{1,255}) (\S{1,48}) (\S{1,128}) \S{1,32}"
    r" (?:-|(?:\[(?:[^\]\\]|\\.){1,1024}\]){1,20})(?: \ufeff?(.*)|$)"
)


def as_short(lines: Iterable[str]) -> Iterator[str]:
    """The lines, entries of these forms as one line each::

    __CURSOR=s=0a...;i=1;b=0f...;m=3e8;t=66123be04d000;x=65     journalctl -o export: fields, then an empty line
    __REALTIME_TIMESTAMP=1795656000000000
    Tue 2026-11-24 01:00:00.000000 UTC [s=0a...;...;t=66...;x=65]    -o verbose: its fields are indented
        MESSAGE=NVRM: ...
    data: {"MESSAGE": "NVRM: ...", ...}                                -o json-sse; json-seq begins with \\x1e
    <4>1 2026-11-24T14:23:33.654321+00:00 gpu-21 kernel - - - NVRM: ...        RFC 5424, as rsyslog forwards it
    """
    row: dict[str, str] = {}
    for line in lines:
        if row:
            field = compiled(_FIELD).match(line)
            if field is not None and len(row) < MAX_FIELDS:
                row.setdefault(field[1], field[2])
                continue
            if line.startswith(" " * 12):
                continue  # a field of several lines
            yield from [line_of(row)] if "MESSAGE" in row else []
            row = {}
        if line.startswith("__CURSOR=") or line.endswith("]"):
            begins = compiled(_BEGINS).match(line)
            row = {"__REALTIME_TIMESTAMP": str(int(begins[1], 16))} if begins else {}
        if not row:
            yield journal_line(_of_syslog(line[line.index("{") :] if line.startswith(("\x1e{", "data: {")) else line))
    if "MESSAGE" in row:
        yield line_of(row)


def _of_syslog(line: str) -> str:
    if not line.startswith(("<", "1 ")) or (match := compiled(_SYSLOG).match(line)) is None:
        return line
    stamp, host, app, process, said = match.groups("")
    return f"{stamp} {host} {app}{'' if process == '-' else f'[{process}]'}: {said}"
