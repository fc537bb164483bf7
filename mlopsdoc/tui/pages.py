"""What the panes beside the list say: a finding, a runbook, the keys. Pure: from data to lines of a width."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache

from mlopsdoc.clean import clean, one_line
from mlopsdoc.model import HOST, Finding, Result, Status
from mlopsdoc.report.runbooks import value
from mlopsdoc.runbook import parse as runbook
from mlopsdoc.runbook.markdown import Block
from mlopsdoc.runbook.parse import BadRunbook, Runbook
from mlopsdoc.runbook.step import Step, about
from mlopsdoc.tui import terminal
from mlopsdoc.tui.board import Board, Row, sentence
from mlopsdoc.tui.words import Line, beside, fitted, joined, literal, paragraph, size

HERE = {
    "checks": "The list: areas with trouble first, the worst first. A line further in than the one above is one of its "
    "findings, or is explained by it. What is chosen stands beside it; Enter goes there.",
    "finding": "What is chosen in the list: whom it hurts, what to do, what was seen and in which answer. y copies it, "
    "m mutes it, Enter goes to its runbook.",
    "runbook": "The runbook of what is chosen, its values filled in. Enter has it on the whole screen, x goes through "
    "its steps.",
    "step": "A step, as it would be run. D says what it would touch; X runs it: those marked look at once, tune and "
    "jobs ask, kills want the name of this host. Then its check is asked again. Nothing is run in a recording.",
    "doctor": "What could not be judged, and what to do about that; then what there is nothing of here.",
    "aside": "What another verb printed; o shows it again later.",
}
HERE["book"] = HERE["runbook"]
HELP = """\
j k g G, arrows  move; PgUp PgDn a page
Enter l          open: from the list to the finding, to its runbook
Esc h            back one level; never quits
Tab              next pane
f                problems only; what changed in the last 10 min; all checks
/ n N            find in what is looked at; the next one, the one before
b                the runbook on the whole screen
x                a step of it: [ ] other steps, D what it would touch (nothing is run)
X U              run the step that is shown, take it back; ctrl+x stops it
r R              ask again: what the selected check reads, everything
p                pause: nothing is asked until p is pressed again
y                copy what is looked at: to tmux or the clipboard, and into a file
s                save a snapshot of this machine, redacted, to send away
d                what has changed since a snapshot
m                mute the finding for a while (it stays in sight and does not count), or lift that
o                what the last of these verbs printed
t                how GPUs, switches, network cards and NUMA nodes are joined
: ctrl+p         other verbs: explain CHECK, history, audit show, diff A B, ...
S                save the screen as a picture (SVG) and as text
i                what could not be seen, and how to change that
ctrl+l           draw the screen again; ctrl+z leaves it, fg comes back
? q              this page, quit

[X]  critical: work or data suffer or are unprotected now
[!]  warning: wrong, and work goes on
[?]  unknown: it should be possible to tell, and was not
[ok] judged, and nothing is wrong
[-]  there is nothing of the kind here
[..] being asked

Steps marked look run at once, tune and jobs ask, kills want the name of this host.
A time in brackets: what this became a short while ago, and what it was.
Only X and U change the machine."""


def finding_page(board: Board, row: Row, width: int) -> list[Line]:
    """What is wrong, since when, whom it hurts, how it was seen, what to do."""
    result = board.results.get(row.check)
    found = board.finding(row)
    if result is None:
        title = next((check.title for check in board.plan.checks if check.id == row.check), "")
        return joined([paragraph(title, width, "bold"), paragraph("being asked", width, "dim")])
    return _result_page(board, result, width) if found is None else _finding(board, result, found, width)


def _result_page(board: Board, result: Result, width: int) -> list[Line]:
    """A check without a finding that is chosen: how it is, what was seen, when."""
    head = paragraph(result.title, width, "bold")
    status = paragraph(result.status.value, width, result.status.value)
    why = [
        *(beside("why", result.reason, width) if result.reason else []),
        *(beside("do", result.fix, width) if result.fix else []),
    ]
    said = [[*beside(f.status.value, f"{f.subject}: {f.summary}", width), *_seen(f, width)] for f in result.findings]
    values = [line for f in result.findings if f.metrics for line in beside("values", _values(f), width)]
    gpus = devices_page(board) if result.area == "gpu" and result.status is Status.OK else []
    when = beside("as of", f"{board.clock} UTC", width, "dim") if board.clock else []
    more = beside("more", f":explain {result.id} tells what it reads, and from where on it warns", width, "dim")
    return joined([[*head, *status], why, *said, values, gpus, [*when, *more]])


def _values(found: Finding) -> str:
    about = "" if found.subject == HOST else f"{found.subject}: "
    return about + ", ".join(f"{name}={number}" for name, number in found.metrics.items())


def _finding(board: Board, result: Result, found: Finding, width: int) -> list[Line]:
    name = result.id if found.subject == HOST else found.subject
    head = [
        *paragraph(name, width, "bold", (found.status.value.upper() + " ", found.status.value)),
        *paragraph(found.summary, width),
    ]
    trends = [line for text in board.changes.trends(found.key) for line in beside("trend", text, width)]
    return joined([head, _urgent(found, width), _seen(found, width), trends, _about(board, result, found, width)])


def _urgent(found: Finding, width: int) -> list[Line]:
    lines = beside("since", found.since, width) if found.since else []
    if found.muted:
        lines += beside("muted", f"until {found.muted.until} by {found.muted.by}: {found.muted.reason}", width)
    for n, hurt in enumerate(found.hurts[:5]):
        lines += beside("" if n else "hurts", hurt.named, width, "warning")
    if len(found.hurts) > 5:
        lines += beside("", f"and {len(found.hurts) - 5} more processes", width)
    if found.advice:
        lines += beside("do", found.advice, width, "bold")
    return lines


def _seen(found: Finding, width: int) -> list[Line]:
    """Each line that was read, and after the last one of an answer which answer that was."""
    lines: list[Line] = []
    for n, line in enumerate(found.evidence):
        if line.excerpt:
            lines += beside("" if n else "seen", line.excerpt, width)
        if line.answer not in {later.answer for later in found.evidence[n + 1 :]}:
            lines += beside("" if lines else "seen", f"({line.answer})", width, "dim")
    return lines


def _about(board: Board, result: Result, found: Finding, width: int) -> list[Line]:
    lines: list[Line] = []
    for cause in (f for other in board.results.values() for f in other.findings if f.key == found.caused_by):
        lines += beside("cause", f"{cause.subject}: {cause.summary}", width)
    for n, effect in enumerate(board.effects(found)):
        lines += beside("" if n else "explains", f"{effect.subject}: {effect.summary}", width)
    for note in result.findings:
        if note.status is Status.OK:
            lines += beside("note", f"{note.subject}: {note.summary}", width)
    return [*lines, *beside("check", f"{result.id}: {result.title}", width, "dim")]


def runbook_page(book: Runbook, params: dict[str, str], width: int) -> list[Line]:
    """The runbook as it reads on paper, above it the values that its commands are given."""
    values = [value(name, params) for name in params]
    missing = [name for name in book.params if name not in params]
    lines = [
        *paragraph(book.title, width, "bold"),
        *(line for text in values for line in paragraph(text, width, "value")),
        *(paragraph(f"to be filled in: {', '.join(missing)}", width, "dim") if missing else []),
    ]
    parts = [lines, *_blocks(book.blocks, width)]
    for section in book.sections:
        parts.append(paragraph(section.title, width, "heading") if section.title else [])
        parts += _blocks(section.blocks, width)
        for step in section.steps:
            parts += _step(step, width)
    return joined(parts)


def _step(step: Step, width: int) -> list[list[Line]]:
    about = ", ".join(word for word in (step.touch, "as root" if step.root else "") if word)
    return [paragraph(step.title + (f" ({about})" if about else ""), width, "bold"), *_blocks(step.blocks, width)]


def preview(
    step: Step, values: Mapping[str, str], result: Result | None, *, live: bool, undo: bool = False,
    touched: Sequence[str] = (),
) -> str:  # fmt: skip
    """What a step would run, as whom, for which finding; or which values it lacks."""
    from mlopsdoc.report.steps import preview
    from mlopsdoc.runner.judging import meant
    from mlopsdoc.runner.prepare import stands, wrong_values

    missing = wrong_values(step, values, undo=undo)
    if missing:
        needs = "".join(f"needs    {name} {why}: {about(name)}\n" for name, why in missing.items())
        return f"{needs}\n{step.undo if undo else step.command}\n"
    is_root = os.geteuid() == 0
    return preview(
        step,
        values,
        user="root" if is_root else "root, by sudo" if step.root else f"you (uid {os.geteuid()})",
        undo=undo,
        as_root=is_root,
        found=meant(result, values) if result else (),
        vanished=stands(result, values) if result and live else "",
        touched=touched,
    )


def _blocks(blocks: tuple[Block, ...], width: int) -> list[list[Line]]:
    """A part a block; the items of a list are one part."""
    parts: list[list[Line]] = []
    before = ""
    for block in blocks:
        lines = _block(block, width)
        if parts and block.kind == before == "item":
            parts[-1] += lines
        else:
            parts.append(lines)
        before = block.kind
    return parts


def _block(block: Block, width: int) -> list[Line]:
    text = clean(block.text)
    if block.kind in ("command", "undo"):
        lead = [] if block.kind == "command" else paragraph("to undo it:", width, "dim")
        return [*lead, *literal(text, width, "command", "  ")]
    if block.kind in ("code", "table"):
        return literal(text, width, "", "  ")
    first = {"item": f"{block.marker} ", "quote": "> "}.get(block.kind, "")
    indent = " " * min(block.indent, 8)
    return paragraph(text, width, "bold" if block.kind == "heading" else "", (indent + first, ""))


def runbook_file(path: str, params: dict[str, str], width: int) -> list[Line]:
    """The page of a runbook, or why there is none."""
    try:
        return runbook_page(load(path), params, width)
    except (BadRunbook, OSError) as error:
        return paragraph(f"this runbook cannot be read: {one_line(str(error))}", width, "unknown")


@lru_cache(32)
def load(path: str) -> Runbook:
    """The runbook in a file, read once; raises BadRunbook, OSError."""
    return runbook.load(path)


def doctor_page(board: Board, width: int) -> list[Line]:
    """What could not be judged and why, what there is nothing of, and which terminal this is."""
    parts: list[list[Line]] = []
    for status, title in ((Status.UNKNOWN, "Not seen, or not all of it"), (Status.SKIPPED, "Not here")):
        alike: dict[tuple[str, str], list[str]] = {}
        for result in board.results.values():
            for why in _reasons(result, status):
                alike.setdefault(why, []).append(result.id)
        count = len({id for ids in alike.values() for id in ids})
        parts.append(paragraph(f"{title}: {count or 'nothing'}", width, "heading"))
        for (reason, fix), ids in alike.items():
            lines = paragraph(f"{', '.join(ids)}: {reason}", width, status.value)
            parts.append([*lines, *(beside("do", fix, width) if fix else [])])
    parts.append(paragraph("This terminal", width, "heading"))
    parts.append([line for word, text in terminal.facts() for line in beside(word, text, width)])
    return joined(parts)


def _reasons(result: Result, status: Status) -> list[tuple[str, str]]:
    """Why a check, or a part of what it judges, has a status, and what to do about it."""
    found = [(sentence(f), f.advice) for f in result.findings if f.status is status]
    return found or ([(result.reason, result.fix)] if result.status is status else [])


def devices_page(board: Board, _: int = 0) -> list[Line]:
    """A table: names to the left, numbers to the right, then how temperature and power went where there is room."""
    rows = board.devices
    if not rows:
        return []
    widths = [max(size(row[n]) for row in rows) for n in range(len(rows[0]))]
    lines: list[Line] = []
    for name, *numbers, who in rows:
        spans = [(f"  {number.rjust(wide)}", "") for number, wide in zip(numbers, widths[1:])]
        trends = [board.changes.line(name, what) for what in ("temperature", "power")]
        lines.append(
            (
                (fitted(name, widths[0]), ""),
                *spans,
                *((f"  {line}", "value") for line in trends if line),
                (f"  {who}", "dim"),
            )
        )
    return lines


def help_page(at: str, width: int) -> list[Line]:
    """What is looked at, what keys do and what signs mean; what goes on in the next line stands below its column."""
    lines = [*paragraph(HERE.get(at, ""), width), ()] if at in HERE else []
    for text in HELP.split("\n"):
        head, _, rest = text.partition("  ")
        words = rest.lstrip()
        lines += (
            paragraph(words, width, "", (head, "bold"), len(text) - len(words)) if words else paragraph(text, width)
        )
    return lines
