"""The report for a person: what is wrong first, one line for what is fine, at the end what could not be seen."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from mlopsdoc.authoring import NEEDS_ROOT
from mlopsdoc.model import HOST, Finding, Report, Source, Status

MARGIN = 10
FEW = 3  # so many checks were asked for by name: their notes are wanted too
_COLOUR = {Status.CRITICAL: "1;31", Status.WARNING: "33", Status.UNKNOWN: "35", Status.OK: "32"}


def render(report: Report, *, width: int = 80, colour: bool = False, command: str = "mlopsdoc") -> str:
    """Lines of at most `width` columns. `command` is how the reader starts the program as root."""
    page = _Page(max(width, 40), colour)
    lines = [*_head(page, report), *_wrong(page, report), *_fine(page, report), *_unseen(page, report, command)]
    return "".join(f"{line}\n" for line in lines)


class _Page:
    def __init__(self, width: int, colour: bool) -> None:
        self.width = width
        self.colour = colour

    def row(self, word: str, text: str, status: Status | None = None, first: str = "") -> Iterator[str]:
        """Text beside a word in the margin, wrapped."""
        before = " " * MARGIN
        wide = max(self.width - MARGIN - len(first), 20)
        wrapped = textwrap.wrap(text, wide, break_on_hyphens=False) or [""]
        yield (self.paint(f"{word:<{MARGIN}}", status) if word else before) + first + wrapped[0]
        for line in wrapped[1:]:
            yield before + " " * len(first) + line

    def paint(self, text: str, status: Status | None) -> str:
        code = _COLOUR.get(status) if status and self.colour else None
        return f"\x1b[{code}m{text}\x1b[0m" if code else text


def headline(report: Report) -> str:
    """The verdict in one sentence."""
    counts = report.counts
    judged = counts.ok + counts.warning + counts.critical + (counts.muted or 0)
    if not judged and not counts.unknown:
        return "nothing here that mlopsdoc judges"
    is_all = all(source.complete for source in report.sources)
    muted = f", {counts.muted} muted" if counts.muted else ""
    fine = "nothing wrong" if is_all else "nothing wrong in what it holds"
    unseen = "" if is_all or not counts.skipped else f", {counts.skipped} had nothing to go by"
    parts = [f"{n} {word}" for word in ("critical", "warning", "unknown") if (n := getattr(counts, word))]
    return f"{', '.join(parts) or fine}; {judged} of {judged + counts.unknown} checks could be judged{unseen}{muted}"


def describe_host(report: Report) -> str:
    """Name, product, system, processors, memory and GPUs on one line."""
    host = report.host
    about = [host.product, host.os, host.kernel and f"Linux {host.kernel}", host.cpus, host.memory, host.gpus]
    return f"{host.name or 'a host without a name'}: {', '.join(part for part in about if part) or 'nothing is known'}"


def describe_source(report: Report) -> str:
    """Where the answers came from, how old they are and whether any are missing."""
    said: list[str] = []
    for source in report.sources:
        if source.kind == "live":
            return f"live, {report.taken_at}, {report.duration_s:.1f} s"
        whole = "complete" if source.complete else "incomplete"
        said.append(f"{source.kind} {source.path}, {taken(source)}, {whole}")
    return "; ".join(said)


def taken(source: Source) -> str:
    """``taken 2026-11-23T03:10:00Z, 2 h old``; of a time that is only a lower bound, that it is."""
    if not source.taken_at:
        return "taken at an unknown time"
    old = f"{source.taken_at}{' or later' if source.is_lower_bound else ''}, {age(source.age_s)} old"
    return f"taken {old}{' at most' if source.is_lower_bound else ''}"


def age(seconds: float) -> str:
    """``3 days``, ``2 h``, ``40 s``."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _head(page: _Page, report: Report) -> Iterator[str]:
    yield from textwrap.wrap(describe_host(report), page.width)
    yield from textwrap.wrap(describe_source(report), page.width)
    if report.profile != "generic":
        yield f"profile {report.profile}"
    yield from (page.paint(line, report.status) for line in textwrap.wrap(headline(report), page.width))


def _wrong(page: _Page, report: Report) -> Iterator[str]:
    """Every warning and critical finding, worst first; one that another explains stands below it."""
    found = [f for result in report.checks for f in result.findings if f.status.is_alarm]
    keys = {f.key for f in found}
    roots = [f for f in found if f.caused_by not in keys]
    for finding in sorted(roots, key=lambda f: (f.muted is not None, -f.status.rank)):
        yield ""
        yield from _finding(page, finding)
        yield from _effects(page, finding, found)
    if any(f.runbook for f in roots) and all(source.kind == "live" for source in report.sources):
        yield ""
        yield from page.row(
            "steps", "`mlopsdoc runbook run` in place of `show`, with --step ID, runs one: it asks first"
        )


def _effects(page: _Page, cause: Finding, found: Sequence[Finding]) -> Iterator[str]:
    for effect in found:
        if effect.caused_by == cause.key:
            yield from page.row("", f"{effect.subject}: {effect.summary}", first="hence ")
            yield from _effects(page, effect, found)


def _finding(page: _Page, f: Finding) -> Iterator[str]:
    yield from page.row(f.status.value.upper(), f"{f.subject}: {f.summary}", f.status)
    if f.muted:
        yield from page.row("", f"until {f.muted.until} by {f.muted.by}: {f.muted.reason}", first="muted ")
    if f.since:
        yield from page.row("", f.since, first="since ")
    for hurt in f.hurts[:5]:
        yield from page.row("", hurt.named, first="hurts ")
    if len(f.hurts) > 5:
        yield from page.row("", f"and {len(f.hurts) - 5} more processes", first="hurts ")
    for line in f.evidence[:3]:
        yield from page.row("", line.excerpt or line.answer, first="seen  ")
    if f.advice:
        yield from page.row("", f.advice, first="do    ")
    if f.runbook:
        values = "".join(f" --set {name}={_word(value)}" for name, value in f.params.items())
        yield from page.row("", f"mlopsdoc runbook show {f.runbook}{values}", first="steps ")


def _word(value: str) -> str:
    from shlex import quote

    return quote(value)


def _fine(page: _Page, report: Report) -> Iterator[str]:
    fine = [result for result in report.checks if result.status is Status.OK]
    if not fine and not report.checks:
        return
    yield ""
    if fine:
        yield from page.row("ok", ", ".join(result.id for result in fine), Status.OK)
    for result in report.checks if len(report.checks) <= FEW else ():
        for note in result.findings:
            if note.status is Status.OK:
                yield from page.row("note", f"{note.subject}: {note.summary}")


def _unseen(page: _Page, report: Report, command: str) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for result in report.checks:
        if result.status is Status.SKIPPED:
            reasons.setdefault(result.reason, []).append(result.id)
    for reason, ids in reasons.items():
        yield from page.row("skipped", f"{', '.join(ids)}: {reason}")
    blind: dict[tuple[str, str, str], list[str]] = {}
    for result in report.checks:
        for f in result.findings:
            if f.status is Status.UNKNOWN:
                blind.setdefault((f.subject, f.summary, f.advice), []).append(result.id)
    for (subject, why, advice), ids in blind.items():
        about = "" if subject == HOST else f"{subject}: "
        yield from page.row("unknown", f"{', '.join(dict.fromkeys(ids))}: {about}{why}", Status.UNKNOWN)
        if advice and advice != NEEDS_ROOT:
            yield from page.row("", advice, first="do    ")
    is_live = bool(report.sources) and report.sources[0].kind == "live"
    if root := sum(result.fix == NEEDS_ROOT for result in report.checks):
        how = f": sudo {command}" if is_live else ", and this was not recorded by root"
        yield from page.row("", f"{root} check{'s' * (root > 1)} need{'s' * (root == 1)} root{how}")
    if is_live and not report.host.gpus:
        yield from textwrap.wrap(
            "No GPU here. `mlopsdoc demo` shows what a bad night on a GPU server looks like.", page.width
        )
