"""The words of the two lines above and the one below the panes."""

from __future__ import annotations

from mlopsdoc.model import HostInfo, Report, Source, Status
from mlopsdoc.report.text import age
from mlopsdoc.tui.board import Board
from mlopsdoc.tui.words import Line, Span, fitted, size

_LIVE_KEYS = ("j/k move", "Enter open", "b runbook", "f problems", "r again", "p pause", "? help", "q quit")
_RECORDED_KEYS = ("j/k move", "Enter open", "b runbook", "f problems", "? help", "q quit")


def header(board: Board, width: int) -> list[Line]:
    """Whose machine, from when, how many checks are in which status; and what the machine is."""
    host = board.report.host if board.report else HostInfo("")
    name = host.name or ("a host without a name" if board.report else "mlopsdoc")
    state, style = _state(board)
    first = _between(((f" {name}", "bold"),), (*_counts(board), (" ", "")), width)
    about = ", ".join(part for part in (host.gpus, host.product, host.os, host.cpus, host.memory) if part)
    return [first, _between(((f" {state}", style),), ((f"  {about} ", "dim"),), width)]


def _between(left: tuple[Span, ...], right: tuple[Span, ...], width: int) -> Line:
    """One text at each end of a line; the right one is cut when both do not fit."""
    used, wanted = (sum(size(text) for text, _ in spans) for spans in (left, right))
    gap = max(width - used - wanted, 0)
    return (*left, (" " * gap, ""), *right)


def _state(board: Board) -> Span:
    if board.trouble:
        return board.trouble, "critical"
    report = board.report
    if report and report.sources and not board.plan.live:
        return _recorded(report.sources[0]), "value"
    if report is None:
        done = len(board.results)
        return f"looking: {done} of {len(board.plan.checks)} checks" if board.plan.checks else "looking ...", "dim"
    seen = f"{_clock(report)} UTC"
    return (f"PAUSED, as of {seen}", "warning") if board.paused else (f"LIVE, {seen}", "ok")


def _recorded(source: Source) -> str:
    taken = source.taken_at.removesuffix("Z").replace("T", " ")[:16]
    whole = "" if source.complete else ", incomplete"
    return f"RECORDING of {taken} UTC, {age(source.age_s)} old{whole}; actions are off"


def _clock(report: Report) -> str:
    return report.taken_at[11:16]


def _counts(board: Board) -> list[Span]:
    """``1 critical  2 warning  1 ok``."""
    spans: list[Span] = []
    for status, count in board.counts().items():
        if count and status is not Status.SKIPPED:
            spans.append((f"{'  ' if spans else ''}{count} {status.value}", status.value))
    return spans


def footer(board: Board, notice: str, width: int) -> list[Line]:
    """The keys that matter most, or a word about what has just been pressed."""
    if notice:
        return [((fitted(f" {notice}", width), "warning"),)]
    spans: list[Span] = []
    used = 1
    for entry in _LIVE_KEYS if board.plan.live else _RECORDED_KEYS:
        if used + len(entry) + 2 > width + 1:
            break
        key, _, word = entry.partition(" ")
        spans += [("  " if spans else " ", ""), (key, "bold"), (f" {word}", "dim")]
        used += len(entry) + 2
    return [tuple(spans)]
