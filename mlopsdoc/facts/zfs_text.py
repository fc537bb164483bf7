"""Pools from the text of `zpool status`, OpenZFS 0.7 and later."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.zfs_status import ROLES, STATES, Pool, Scan, Vdev, duration, moment, number
from mlopsdoc.hosts.base import Answer
from mlopsdoc.model import Line
from mlopsdoc.patterns import compiled

LABELS = (
    "pool", "state", "status", "action", "see", "scan", "scrub", "scan warning", "remove", "checkpoint", "expand",
    "comment", "config", "errors",
)  # fmt: skip
MAX_VDEVS = 4096


def from_text(answer: Answer) -> list[Pool]:
    """The pools of::

          pool: tank
         state: ONLINE
        status: One or more devices has experienced an unrecoverable error.  An
                attempt was made to correct the error.  Applications are unaffected.
           see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-9P
          scan: scrub repaired 26.0M in 00:00:21 with 0 errors on Mon Nov 23 15:45:05 2026
        config:

                NAME          STATE     READ WRITE CKSUM
                tank          ONLINE       0     0     0
                  raidz1-0    ONLINE       0     0     0
                    nvme0n1   ONLINE       0     0  1.2K  (repairing)

        errors: No known data errors

    There is no `scan:` for a pool that was never scrubbed (2.3), or it says `none requested`.
    """
    pools: dict[str, Pool] = {}
    for block in _blocks(whole_lines(answer)):
        pool = _pool(block, answer.key)
        pools.pop(pool.name, None)  # of two outputs one after the other the later is how it is
        pools[pool.name] = pool
    return list(pools.values())


def _blocks(lines: list[str]) -> Iterator[list[list[str]]]:
    """Each pool as its entries: a label, what follows it, and the lines that continue it."""
    block: list[list[str]] = []
    for raw in lines:
        line = raw.expandtabs(8)
        label, colon, rest = line.strip().partition(":")
        if not label:
            continue
        if colon and not line.startswith(" " * 8):
            if label == "pool":
                if block:
                    yield block
                block = []
            elif not block:
                continue
            block.append([label, rest.strip()])
        elif block:
            block[-1].append(line)
    if block:
        yield block


def _pool(block: list[list[str]], key: str) -> Pool:
    first: dict[str, list[str]] = {}
    for entry in block:
        first.setdefault(entry[0], entry)
    entries = [entry for entry in block if entry[0] in ("scan", "scrub") and entry[1] != "none requested"]
    scans = [_scan(entry, key) for entry in entries]
    unread = next((f"not understood: {entry[1]!r}" for entry, scan in zip(entries, scans) if scan is None), "")
    if not unread and "scan" not in first and "scrub" not in first:
        strange = [entry[0] for entry in block if entry[0] not in LABELS]
        if "config" not in first:
            unread = "missing: the text ends before it"
        elif strange:
            unread = f"missing, and there is a line {strange[0]!r} that no version of zpool prints"
    state = first.get("state", ["", ""])[1]
    return Pool(
        name=first["pool"][1],
        state=state if state in STATES else "",
        line=Line(key, f"state: {state}"),
        scan=next((scan for scan in scans if scan is not None and scan.kind != "rebuild"), None),
        rebuild=next((scan for scan in reversed(scans) if scan is not None and scan.kind == "rebuild"), None),
        unread=unread,
        vdevs=tuple(_vdevs(first.get("config", [])[2:])),
        data_errors=_errors(first.get("errors", [])),
        message=first.get("see", ["", ""])[1].rpartition("/")[2][:40],
        is_cut="config" in first and "errors" not in first,  # which always follows the table
    )


_VDEV = r"(?P<vdev> \([^()]{1,255}\))?"
_ENDED = r"(?P<size>\S+) in (?P<time>.{3,40}) with (?P<errors>\S+) errors on (?P<at>.+)"
_STATES = {"canceled on": "canceled", "in progress since": "running", "paused since": "paused"}
FORMS = (
    rf"(?:thorough )?(?P<kind>scrub) repaired {_ENDED}",
    rf"(?P<kind>resilver)ed{_VDEV} {_ENDED}",
    r"(?P<kind>scrub)bed (?P<blocks>\S+) error blocks in (?P<time>.{3,40}) on (?P<at>.+)",
    rf"(?:thorough )?(?P<kind>scrub|resilver|error scrub){_VDEV} (?P<state>{'|'.join(_STATES)}) (?P<at>.+)",
)


def _scan(entry: list[str], key: str) -> Scan | None:
    """The scan that an entry describes: None where it has none of FORMS."""
    matches = (compiled(form).fullmatch(entry[1]) for form in FORMS)
    said = next((match.groupdict() for match in matches if match), dict[str, str]())
    at, seconds = moment(said.get("at")), duration(said.get("time", "00:00:00"))
    errors, repaired = number(said.get("errors", "0")), number(said.get("size", "0"))
    if at is None or seconds is None or errors is None or repaired is None:
        return None
    kind = "rebuild" if said.get("vdev") else "error scrub" if "blocks" in said else said["kind"]
    state = _STATES.get(said.get("state", ""), "finished")
    line = Line(key, " ".join([f"scan: {entry[1]}", *(more.strip() for more in entry[2:5])]))
    if state == "canceled":
        return Scan(kind=kind, state=state, end=at, line=line)
    if state == "finished":
        begun = Scan(kind=kind, state=state, start=at - seconds, end=at, seconds=seconds, line=line)
        return begun if kind == "error scrub" else replace(begun, errors=errors, repaired=repaired)
    start, issued, total, repaired = _progress(entry[2:])
    paused = at if state == "paused" else None
    start = at if paused is None else start
    return Scan(
        kind=kind, state=state, start=start, paused=paused, issued=issued, total=total, repaired=repaired, line=line
    )


def _progress(lines: list[str]) -> tuple[float | None, int | None, int | None, int | None]:
    """Start (of a paused one), bytes issued, bytes in all, bytes repaired; from, by version::

    533M / 534M scanned, 165M / 534M issued at 33.1M/s               2.2 and later; no rates when paused
    4.41M repaired, 30.98% done, 00:00:11 to go
    1.15T scanned at 410M/s, 1.02T issued at 380M/s, 2.50T total     0.8 to 2.1
    1.15T scanned out of 2.50T at 120M/s, 3h10m to go                0.7
    scrub started on Mon Nov 23 15:33:29 2026                        paused
    """
    start: float | None = None
    issued: int | None = None
    total: int | None = None
    repaired: int | None = None
    for line in lines[:4]:
        before, started, when = line.strip().partition("scrub started on ")
        if started and before in ("", "thorough ", "error "):
            start = moment(when)
            continue
        words = line.replace(",", " ").split()
        for n, word in enumerate(words):
            if word == "issued" and n >= 3 and words[n - 2] == "/":
                issued, total = number(words[n - 3]), number(words[n - 1])
            elif word == "issued" and n:
                issued = number(words[n - 1])
            elif word == "total" and n:
                total = number(words[n - 1])
            elif word == "of" and 3 <= n < len(words) - 1 and words[n - 2 : n] == ["scanned", "out"]:
                issued, total = number(words[n - 3]), number(words[n + 1])
            elif word in ("repaired", "resilvered") and n:
                repaired = number(words[n - 1])
    return start, issued, total, repaired


def _vdevs(lines: list[str]) -> Iterator[Vdev]:
    rows: list[tuple[str, int, str, str, tuple[int | None, ...], str]] = []
    role = "normal"
    edge = next(
        (len(line) - len(line.lstrip()) for line in lines if line.strip()), 8
    )  # that of the pool: 8, unless moved
    for line in lines[:MAX_VDEVS]:
        words = line.split()
        depth = (len(line) - len(line.lstrip()) - edge) // 2
        if len(words) == 1 and words[0] in ROLES and depth == 0:
            role = ROLES[words[0]]
        at = next((n for n, word in enumerate(words) if n and word in STATES), 0)
        if at:
            counts = tuple(number(word) for word in words[at + 1 : at + 4])
            note = " ".join(words[at + 4 :])
            rows.append((" ".join(words[:at]), depth, role, words[at], (*counts, None, None, None), note))
    for n, (name, depth, role, state, counts, note) in enumerate(rows):
        is_leaf = n + 1 == len(rows) or rows[n + 1][1] <= depth
        yield Vdev(name, depth, role, state, counts[0], counts[1], counts[2], is_leaf, note)


def _errors(entry: list[str]) -> int | None:
    """``No known data errors``; ``571 data errors, use '-v' for a list``; or that list itself, a line an object."""
    said = entry[1] if entry else ""
    if said == "No known data errors":
        return 0
    if said.startswith("Permanent errors"):
        return max(1, len(entry) - 2)
    count, _, rest = said.partition(" ")
    return number(count) if rest.startswith("data error") else None
