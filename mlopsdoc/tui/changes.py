"""What changed while somebody watched: statuses, and numbers as small lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from mlopsdoc.model import Report, Status
from mlopsdoc.report.sparkline import BARS, sparkline

MARKED_S = 600.0  # for so long a row is marked
APART_S = 5.0  # a line that grew with every round would cost the most of all
KEPT, SHOWN = 120, 16


class Changes:
    """Statuses of checks and findings between rounds; numbers of findings and GPUs over time.

    marks: what to say of a row, by its key: ``09:31, was critical``. bars: what lines are drawn with.
    """

    def __init__(self) -> None:
        self.marks: dict[str, str] = {}
        self.bars = BARS
        self._until: dict[str, float] = {}
        self._last: dict[str, Status] | None = None
        self._trends: dict[tuple[str, str], deque[float]] = {}
        self._taken: dict[str, float] = {}

    def hear(self, report: Report, now: float) -> None:
        """Compare a round with the one before; `now` is seconds on a clock that only goes on."""
        found = {f.key: f for result in report.checks for f in result.findings if f.status.is_trouble}
        statuses = {result.id: result.status for result in report.checks} | {k: f.status for k, f in found.items()}
        clock = (report.taken_at or "")[11:16]
        for key, status in statuses.items():
            was = self._last.get(key) if self._last is not None else status
            if was is not status:
                self.marks[key] = f"{clock}, was {was.value}" if was else f"{clock}, new"
                self._until[key] = now + MARKED_S
        self._mark_gone(report, statuses, clock, now)
        for key in [key for key, until in self._until.items() if until < now or key not in statuses]:
            del self.marks[key], self._until[key]
        self._last = statuses
        self.count("findings", {key: f.metrics for key, f in found.items()}, now)

    def _mark_gone(self, report: Report, statuses: Mapping[str, Status], clock: str, now: float) -> None:
        """On a check that is as it was but for a finding that is there no more."""
        for result in report.checks if self._last is not None else ():
            gone = [key for key in self._last or () if key.startswith(f"{result.id}/") and key not in statuses]
            if gone and (self._last or {}).get(result.id) is result.status:
                subject = gone[0].split("/", 1)[1].rpartition("/")[0]
                self.marks[result.id] = f"{clock}, {subject}{f' and {len(gone) - 1} more' * (len(gone) > 1)} gone"
                self._until[result.id] = now + MARKED_S

    def count(self, source: str, numbers: Mapping[str, Mapping[str, object]], now: float) -> None:
        """Add to the lines of each subject, unless that was done a moment ago."""
        if now - self._taken.get(source, -APART_S) < APART_S:
            return
        self._taken[source] = now
        for subject, values in numbers.items():
            for name, value in values.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self._trends.setdefault((subject, name), deque(maxlen=KEPT)).append(float(value))

    def line(self, subject: str, name: str) -> str:
        """``▁▂▅█``, or nothing where the number has not changed."""
        values = self._trends.get((subject, name), ())
        return sparkline(list(values), self.bars, SHOWN) if len(set(values)) > 1 else ""

    def trends(self, subject: str) -> Iterator[str]:
        """``temperature_c ▁▂▅█ 71 to 92, now 92`` of each number that changed."""
        for (of, name), values in self._trends.items():
            if of == subject and (line := self.line(of, name)):
                yield f"{name} {line} {min(values):g} to {max(values):g}, now {values[-1]:g}"
