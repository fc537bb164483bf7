"""Pools from the JSON of `zpool status`, OpenZFS 2.3 and later."""

from __future__ import annotations

from typing import cast

from mlopsdoc.facts.zfs_status import ROLES, STATES, Pool, Scan, Vdev, moment, number
from mlopsdoc.hosts.base import Answer
from mlopsdoc.model import Line

VDEV_STATES = {"CANT_OPEN": "UNAVAIL", "HEALTHY": "ONLINE"}  # where JSON has other words than the text
NOTES = {
    "OPEN_FAILED": "cannot open", "CORRUPT_DATA": "corrupted data", "NO_REPLICAS": "insufficient replicas",
    "ERR_EXCEEDED": "too many errors", "EXTERNAL": "external device fault", "TOO_SMALL": "too small",
}  # fmt: skip
KINDS = {"SCRUB": "scrub", "RESILVER": "resilver"}
REBUILDS = {"ACTIVE": "running", "COMPLETE": "finished", "CANCELED": "canceled"}
MAX_DEPTH, MAX_VDEVS = 12, 4096


def from_json(answer: Answer) -> list[Pool]:
    """The pools of `zpool status -j`, with --json-int or without (then numbers are texts as a human reads them).

    Raises ValueError for anything else. An answer of OpenZFS 2.3::

        {"output_version": {...}, "pools": {"tank": {"name": "tank", "state": "ONLINE", "error_count": 0,
          "scan_stats": {"function": "SCRUB", "state": "FINISHED", "start_time": 1795448062, "end_time": 1795448065,
            "to_examine": 559882240, "skipped": 368640, "processed": 0, "errors": 0, "scrub_pause": 0,
            "scrub_spent_paused": 0, "issued": 559513600, ...},
          "vdevs": {"tank": {"vdev_type": "root", "state": "ONLINE", "vdevs": {"raidz1-0": {...}}}}}}}

    A pool that was never scrubbed has no `scan_stats`.
    """
    said: object = answer.json()
    pools = _object(said).get("pools")
    if not isinstance(pools, dict):
        raise ValueError("no pools in it")
    return [_pool(name, _object(pool), answer.key) for name, pool in _object(cast(object, pools)).items()]


def _object(value: object) -> dict[str, object]:
    """The object, or an empty one in place of anything else."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _pool(name: str, said: dict[str, object], key: str) -> Pool:
    stats = _object(said.get("scan_stats"))
    scan, unread = None, ""
    if "scan_stats" in said and stats.get("function") != "NONE":
        scan = _scan(stats, key)
        unread = "" if scan else f"not understood: {str(said['scan_stats'])[:120]}"
    elif "vdevs" not in said:
        unread = "missing, and so are the devices"
    state = str(said.get("state"))
    vdevs: list[Vdev] = []
    _vdevs(said.get("vdevs"), "normal", 0, vdevs)
    for part, role in ROLES.items():
        _vdevs(said.get(part), role, 1, vdevs)
    return Pool(
        name=name,
        state=state if state in STATES else "",
        line=Line(key, f"state: {state}"),
        scan=scan,
        rebuild=_rebuild(stats, key),
        unread=unread,
        vdevs=tuple(vdevs),
        data_errors=number(said.get("error_count")),
        message=str(said.get("msgid", ""))[:40],
    )


def _scan(stats: dict[str, object], key: str) -> Scan | None:
    """A paused scrub is SCANNING too, with the time in `scrub_pause`: otherwise that is 0 or ``-``."""
    pause, start, end = (moment(stats.get(name)) for name in ("scrub_pause", "start_time", "end_time"))
    states = {"SCANNING": "paused" if pause else "running", "FINISHED": "finished", "CANCELED": "canceled"}
    kind, state = KINDS.get(str(stats.get("function"))), states.get(str(stats.get("state")))
    errors, ended = number(stats.get("errors")), state in ("finished", "canceled")
    if not kind or not state or start is None or errors is None or (ended and end is None):
        return None
    total, skipped = number(stats.get("to_examine")), number(stats.get("skipped")) or 0
    words = [f"{name} {stats.get(name)}" for name in ("function", "state", "start_time", "end_time", "errors")]
    return Scan(
        kind=kind,
        state=state,
        start=start,
        end=end if ended else None,
        paused=pause if state == "paused" else None,
        spent_paused=float(number(stats.get("scrub_spent_paused")) or 0),
        seconds=round(end - start) if end is not None and state == "finished" else None,
        errors=errors,
        repaired=number(stats.get("processed")),
        issued=number(stats.get("issued")),
        total=None if total is None else max(0, total - skipped),
        line=Line(key, "scan_stats: " + ", ".join(words)),
    )


def _rebuild(stats: dict[str, object], key: str) -> Scan | None:
    """The last of ``"rebuild_stats": {"mirror-0": {"state": "COMPLETE", "start_time": ..., "end_time": ...}}``."""
    found: list[Scan] = []
    for name, value in _object(stats.get("rebuild_stats")).items():
        said = _object(value)
        if state := REBUILDS.get(str(said.get("state"))):
            line = Line(key, f"rebuild_stats: {name} {said.get('state')}")
            start, end = moment(said.get("start_time")), moment(said.get("end_time"))
            found.append(Scan(kind="rebuild", state=state, start=start, end=end, line=line))
    return max(found, key=lambda scan: scan.end or scan.start or 0.0, default=None)


def _vdevs(tree: object, role: str, depth: int, into: list[Vdev]) -> None:
    for name, value in _object(tree).items():
        said = _object(value)
        if not said or depth > MAX_DEPTH or len(into) >= MAX_VDEVS:
            continue
        state, children = str(said.get("state")), said.get("vdevs")
        read, write, checksum = (number(said.get(f"{count}_errors")) for count in ("read", "write", "checksum"))
        state = VDEV_STATES.get(state, state)
        words = [NOTES.get(str(said.get("aux")), ""), f"was {said['was']}" if "was" in said else ""]
        note = ", ".join(word for word in words if word)
        into.append(Vdev(name, depth, role, state, read, write, checksum, is_leaf=not children, note=note))
        _vdevs(children, role, depth + 1, into)
