"""What is known of the host at this moment, and the rows in which the list of checks shows it."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from mlopsdoc.model import AREAS, HOST, Finding, Report, Result, Status
from mlopsdoc.tui.changes import Changes
from mlopsdoc.tui.wire import Came, Closed, Devices, Made, Plan, Planned, Said, Trouble

GLYPHS: dict[Status | None, str] = {
    Status.CRITICAL: "[X]",
    Status.WARNING: "[!]",
    Status.UNKNOWN: "[?]",
    Status.OK: "[ok]",
    Status.SKIPPED: "[-]",
    None: "[..]",
}
SHOWN = ("all", "problems", "changed")
_ORDER = {Status.CRITICAL: 0, Status.WARNING: 1, Status.UNKNOWN: 2, None: 3, Status.OK: 4, Status.SKIPPED: 5}


# What each finding explains, as (check, finding), by its key.
Folded: TypeAlias = dict[str, list[tuple[str, Finding]]]


class Row(Struct, frozen=True):
    """One line of the list: an area (its `check` is empty), a check, or a finding of one.

    key: stays the same between rounds. depth: how far below its check or its cause a finding stands.
    running: it is being asked again. changed: when it became what it is, while somebody watched.
    """

    key: str
    check: str
    finding: str
    status: Status | None
    depth: int
    name: str
    text: str
    running: bool = False
    changed: str = ""


class Board:
    """The plan, the newest result of each check, and the report of the last round that was finished."""

    def __init__(self) -> None:
        self.plan = Plan(True, [], {})
        self.results: dict[str, Result] = {}
        self.report: Report | None = None
        self.recalled_s: float | None = None  # the age of the report while it is that of an earlier run
        self.devices: list[list[str]] = []
        self.awaited: set[str] = set()
        self.trouble = ""
        self.paused = False
        self.shown = SHOWN[0]  # in the list
        self.changes = Changes()
        self.waited_s = 0.0  # for how long the report of an earlier run has been shown
        self.silent_s = 0.0  # how long the engine has said nothing

    def recall(self, report: Report, age_s: float) -> None:
        """Show what an earlier run found until this one has found it anew."""
        self.hear(Made(report))
        self.recalled_s = age_s

    def hear(self, said: Said) -> None:
        if isinstance(said, Plan):
            self.plan = said
            self.awaited = {check.id for check in said.checks}
        elif isinstance(said, Came):
            self.results[said.result.id] = _as_known(said.result, self.results.get(said.result.id))
            self.awaited.discard(said.result.id)
        elif isinstance(said, Made):
            self.report, self.recalled_s = said.report, None
            self.changes.hear(said.report, monotonic())
            self.results = {result.id: result for result in said.report.checks}
            self.awaited = set()
            self.trouble = ""
        elif isinstance(said, Devices):
            self.devices = said.rows
            self.changes.count("devices", {row[0]: _numbers(row) for row in said.rows}, monotonic())
        elif isinstance(said, Trouble | Closed):
            self.trouble = said.why
            self.awaited = set()

    @property
    def shown_next(self) -> str:
        """What the list would show next; a recording does not change."""
        known = SHOWN if self.plan.live else SHOWN[:2]
        return known[(known.index(self.shown) + 1) % len(known)]

    @property
    def clock(self) -> str:
        """When the report was made: ``03:10``, or nothing."""
        return ((self.report and self.report.taken_at) or "")[11:16]

    def counts(self) -> dict[Status, int]:
        """How many checks are in each status, worst first; what is muted is not counted."""
        found = [_counted(result) for result in self.results.values()]
        return {status: found.count(status) for status in sorted(Status, reverse=True)}

    def muted(self) -> int:
        """How many findings are."""
        return sum(bool(f.muted) for result in self.results.values() for f in result.findings)

    def finding(self, row: Row) -> Finding | None:
        result = self.results.get(row.check)
        return next((f for f in result.findings if f.key == row.finding), None) if result else None

    def params(self, row: Row) -> dict[str, str]:
        """The values that the runbook of a row is given: those of the finding, or of the worst of the check."""
        result = self.results.get(row.check)
        found = self.finding(row) or max(result.findings if result else (), key=lambda f: f.status, default=None)
        return found.params if found else {}

    def effects(self, cause: Finding) -> list[Finding]:
        return [f for result in self.results.values() for f in result.findings if f.caused_by == cause.key]

    def runbook(self, row: Row) -> str:
        """The name of the runbook that helps with a row, or nothing."""
        found = self.finding(row)
        name = (found and found.runbook) or row.check
        return name if name in self.plan.runbooks else ""


def _as_known(result: Result, before: Result | None) -> Result:
    """A result that is not in a report yet: since when, and whether it is muted, is that of the last one."""
    known = {f.key: f for f in before.findings} if before else {}
    findings = [
        replace(f, muted=known[f.key].muted, since=f.since or known[f.key].since) if f.key in known else f
        for f in result.findings
    ]
    return replace(result, findings=findings)


def _numbers(device: list[str]) -> dict[str, int]:
    """Temperature and power, of ``92 C`` and ``418 W``."""
    words = zip(("temperature", "power"), (text.partition(" ")[0] for text in device[2:4]))
    return {name: int(word) for name, word in words if word.isdecimal()}


def _counted(result: Result) -> Status | None:
    """Its status without what is muted; None where all of its trouble is."""
    if not any(f.muted for f in result.findings):
        return result.status
    return max((f.status for f in result.findings if f.status.is_trouble and not f.muted), default=None)


def rows(board: Board, shown: str = "all") -> list[Row]:
    """Areas and their checks: those with problems, then those that are fine. Effects stand below their cause.

    shown: one of SHOWN; of what changed, what stands above it is shown as well.
    """
    planned = {check.id: check for check in board.plan.checks}
    for result in board.results.values():
        planned.setdefault(result.id, Planned(result.id, result.area, result.title))
    folded = _folded(board)
    marks = board.changes.marks
    areas: list[tuple[int, list[Row]]] = []
    for area in AREAS:
        groups = [_check_rows(board, check, folded) for check in planned.values() if check.area == area]
        for is_fine in (False,) if shown == "problems" else (False, True):
            some = sorted((g for g in groups if g and (_order(g) > _ORDER[None]) is is_fine), key=_order)
            marked = [[replace(row, changed=marks.get(row.key, "")) for row in group] for group in some]
            if shown == "changed":
                marked = [_changed(group) for group in marked]
            if found := _merged([row for group in marked for row in group]):
                areas.append((_order(found), [Row(f"area {area} {is_fine}", "", "", None, 0, area, ""), *found]))
    return [row for _, area_rows in sorted(areas, key=lambda pair: pair[0]) for row in area_rows]


def _changed(group: list[Row]) -> list[Row]:
    """The rows that changed, and those that they stand below."""
    kept: list[Row] = []
    depth = -1
    for row in reversed(group):
        if row.changed or row.depth < depth:
            kept.append(row)
            depth = row.depth
    return list(reversed(kept))


def _merged(rows: list[Row]) -> list[Row]:
    """Checks of an area that are left out for one reason are one row."""
    alike: dict[str, list[Row]] = {}
    for row in rows:
        if row.status is Status.SKIPPED and not row.running:
            alike.setdefault(row.text, []).append(row)
    merged: list[Row] = []
    for row in rows:
        same = alike.get(row.text, [])
        if len(same) < 2 or row.status is not Status.SKIPPED:
            merged.append(row)
        elif row is same[0]:
            names = ", ".join(one.name for one in same)
            merged.append(replace(row, name=f"{len(same)} checks", text=f"{row.text}: {names}"))
    return merged


def _order(group: list[Row]) -> int:
    return min(_ORDER[row.status] for row in group)


def _folded(board: Board) -> Folded:
    """A circle of causes folds nothing."""
    found = {f.key: (result.id, f) for result in board.results.values() for f in result.findings}
    below: Folded = {}
    for check, finding in found.values():
        seen = {finding.key}
        cause = finding.caused_by
        while cause in found and cause not in seen:
            seen.add(cause)
            cause = found[cause][1].caused_by
        if finding.caused_by in found and cause not in seen:
            below.setdefault(finding.caused_by, []).append((check, finding))
    return below


def _check_rows(board: Board, check: Planned, folded: Folded) -> list[Row]:
    """A check and what it found wrong; none when all of that stands below a cause."""
    result = board.results.get(check.id)
    running = check.id in board.awaited and board.recalled_s is None
    if result is None:
        return [Row(check.id, check.id, "", None, 0, check.id, "running", running)]
    elsewhere = {finding.key for effects in folded.values() for _, finding in effects}
    wrong = [f for f in result.findings if f.status.is_trouble]
    own = sorted((f for f in wrong if f.key not in elsewhere), key=lambda f: -f.status.rank)
    if len(own) > 1:
        head = Row(check.id, check.id, "", result.status, 0, check.id, f"{len(own)} findings", running)
        return [head, *(row for f in own for row in _finding_rows(check.id, f, folded, 1, f.subject, f.summary))]
    if own:
        first, *below = _finding_rows(check.id, own[0], folded, 0, check.id, sentence(own[0]))
        return [replace(first, running=running), *below]
    if wrong:
        return []
    text = sentence(result.findings[0]) if len(result.findings) == 1 else result.reason or result.title
    return [Row(check.id, check.id, "", result.status, 0, check.id, text, running)]


def _finding_rows(check: str, found: Finding, folded: Folded, depth: int, name: str, text: str) -> Iterator[Row]:
    if found.muted:
        text = f"(muted) {text}"
    yield Row(found.key, check, found.key, found.status, depth, name, text)
    for effect_check, effect in folded.get(found.key, ()):
        yield from _finding_rows(effect_check, effect, folded, depth + 1, effect_check, sentence(effect))


def sentence(found: Finding) -> str:
    """What is wrong, and of which subject where there are several."""
    return found.summary if found.subject == HOST else f"{found.subject}: {found.summary}"
