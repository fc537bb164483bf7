"""The words of the two lines above and the one below the panes."""

from __future__ import annotations

from mlopsdoc.model import HostInfo, Source, Status
from mlopsdoc.report.text import age
from mlopsdoc.tui.board import GLYPHS, Board
from mlopsdoc.tui.words import Line, Span, fitted, paragraph, size

# The last two are kept where there is no room for all.
_LIVE_KEYS = ("j/k move", "Enter open", "b runbook", "x step", "f problems", "r again", "? help", "q quit")
_RECORDED_KEYS = ("j/k move", "Enter open", "b runbook", "f problems", "? help", "q quit")
_OVER_KEYS = ("j/k move", "/ find", "y copy", "Esc back", "? help")
_STEP_KEYS = ("X run", "D dry run", "[ ] others", "U undo", "y copy", "Esc back", "? help")
_RUNNING_KEYS = ("^x stop", "y copy", "Esc back, and it goes on", "? help")
_RECORDED_STEP_KEYS = ("D dry run", "[ ] others", "y copy", "Esc back", "? help")

_OF = ("checks:", "dim")
SILENT_S = 45.0  # the slowest question has 30 s, and a round rests for 2


def header(board: Board, width: int) -> list[Line]:
    """Whose machine, live or not, how many checks are in which status; then from when it is and what it is."""
    host = board.report.host if board.report else HostInfo("")
    name = host.name or ("a host without a name" if board.report else "mlopsdoc")
    word, rest, style = _state(board)
    counts = _counts(board, width - size(word) - min(size(name), 12))
    name = fitted(name, max(min(size(name), width - size(word) - _size(counts) - 4), 1))
    about = ", ".join(part for part in (host.gpus, host.product, host.os, host.cpus, host.memory) if part)
    return [
        _between([(f" {name} ", "bold"), (f" {word}", style)], counts, width),
        _between([(f" {rest}", "")], [(about, "dim")] if about else [], width),
    ]


def _between(left: list[Span], right: list[Span], width: int) -> Line:
    """One text at each end of a line, with a blank to the right. The right one loses its end when both do not fit."""
    room = width - 1 - sum(size(text) for text, _ in left)
    kept: list[Span] = []
    for text, style in right:
        if room <= 2:
            break
        kept += [("  ", ""), (text[: room - 2], style)]
        room -= 2 + size(text[: room - 2])
    return (*left, (" " * max(room, 0), ""), *kept)


def _state(board: Board) -> tuple[str, str, str]:
    """In a word, in a sentence, and its style."""
    report = board.report
    clock = board.clock
    if board.trouble:
        return "TROUBLE", (f"of {clock} UTC; " if clock else "") + board.trouble, "critical"
    if report is None:
        done = f"{len(board.results)} of {len(board.plan.checks)} checks" if board.plan.checks else ""
        return "LOOKING", done, "value"
    if report.sources and not board.plan.live:
        return "RECORDING", _recorded(report.sources[0]), "value"
    if board.recalled_s is not None:
        return "LAST RUN", f"{clock} UTC, {age(board.recalled_s + board.waited_s)} ago: looking again", "warning"
    if board.paused:
        return "PAUSED", f"as of {clock} UTC", "warning"
    if board.silent_s > SILENT_S:
        return "SILENT", f"no answer for {age(board.silent_s)}: this is of {clock} UTC", "warning"
    return "LIVE", f"{clock} UTC", "ok"


def _recorded(source: Source) -> str:
    taken = source.taken_at.removesuffix("Z").replace("T", " ")[:16]
    whole = "" if source.complete else ", incomplete"
    return f"of {taken} UTC, {age(source.age_s)} old{whole}; actions are off"


def _counts(board: Board, room: int) -> list[Span]:
    """``1 muted``, ``1 critical``, ``2 warning``, ``1 ok``; where there is no room ``[X]1``, ``[!]2``, ``[ok]1``."""
    muted: list[Span] = [(f"{board.muted()} muted", "dim")] if board.muted() else []
    found = [(status, count) for status, count in board.counts().items() if count and status is not Status.SKIPPED]
    counts = muted + [(f"{count} {status.value}", status.value) for status, count in found]
    if _size([_OF, *counts]) + 4 <= room and found:  # muted are findings
        return [*muted, _OF, *counts[len(muted) :]]
    if _size(counts) + 4 <= room:
        return counts
    return [(f"{GLYPHS[status]}{count}", status.value) for status, count in found] + muted


def _size(spans: list[Span]) -> int:
    """With the blanks before each."""
    return sum(2 + size(text) for text, _ in spans)


def footer(board: Board, at: str, notice: str, width: int) -> list[Line]:
    """The keys that matter most, or a word about what has just been pressed."""
    if notice:
        return paragraph(notice, width - 1, "warning", (" ", ""))
    *keys, help_key, last = _keys(board, at)
    while keys and sum(len(entry) + 2 for entry in (*keys, help_key, last)) > width + 1:
        keys.pop()
    spans: list[Span] = []
    for entry in (*keys, help_key, last):
        key, _, word = entry.partition(" ")
        spans += [("  " if spans else " ", ""), (key, "bold"), (" ", ""), (word, "dim")]
    return [tuple(spans)]


def _keys(board: Board, at: str) -> tuple[str, ...]:
    if at == "step":
        return _STEP_KEYS if board.plan.live else _RECORDED_STEP_KEYS
    if at == "running":
        return _RUNNING_KEYS
    if at in ("book", "help", "doctor", "aside"):
        return _OVER_KEYS
    keys = _LIVE_KEYS if board.plan.live else _RECORDED_KEYS
    return tuple(f"f {board.shown_next}" if entry == "f problems" else entry for entry in keys)
