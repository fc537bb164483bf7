"""A step before it is run, and the audit log: for a terminal, and as a timeline for a ticket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from shlex import quote
from typing import NamedTuple

from mlopsdoc.audit import Entry
from mlopsdoc.clean import clean, one_line
from mlopsdoc.model import Finding
from mlopsdoc.runbook.step import SHELL, Step, command_line


def preview(
    step: Step,
    values: Mapping[str, str],
    *,
    user: str,
    undo: bool = False,
    as_root: bool = False,
    found: Sequence[Finding] = (),
    vanished: str = "",
    touched: Sequence[str] = (),
) -> str:
    """What would be run, as whom, for which finding, and what it would touch."""
    rows = [("step", f"{step.id}: {step.title}"), ("may", _may(step, undo=undo)), ("user", user)]
    rows += [("for", f"{one.status.value} {one.subject}: {one.summary}") for one in found]
    rows += [("for", f"nothing: {vanished}")] if vanished else []
    rows += [("touches", line) for line in touched]
    rows += [("hurts", hurt.named) for one in found for hurt in one.hurts]
    rows += [("with", f"{name}={quote(values[name])}") for name in (step.undo_uses if undo else step.uses)]
    rows.append(("runs", command_line(step, values, undo=undo, as_root=as_root)))
    rows.append(("back", "this takes it back" if undo else _back(step)))
    if step.verify and not undo:
        rows.append(("then", f"check {step.verify} must be ok within {step.within_s} s"))
    return "".join(f"{line}\n" for name, text in rows for line in _row(name, text))


def _row(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(clean(text).split("\n")):
        yield f"{'' if number else name:<9}{line}"


def _may(step: Step, *, undo: bool) -> str:
    needs_root = step.undo_root if undo else step.root
    end = "goes on" if step.on_hup == "finish" else "is ended"
    root = ", as root" if needs_root else ""
    return f"{step.touch}{root}, {step.timeout_s} s at most; when the terminal is gone it {end}"


def _back(step: Step) -> str:
    if step.undo:
        return step.undo
    return "there is none" if step.no_undo or step.touch != "look" else "not needed"


# The audit log


class Told(NamedTuple):
    """One run in words, all of it made safe."""

    at: str
    step: str
    who: str
    command: str
    came: list[str]


def told(entries: Iterable[Entry], living: Mapping[str, Sequence[str]] = {}) -> list[Told]:
    """The runs in the order in which they began. living: run -> processes of it that are there now."""
    runs: dict[str, list[Entry]] = {}
    for entry in entries:
        runs.setdefault(entry.run, []).append(entry)
    return [_told(run, living.get(run[0].run, ())) for run in sorted(runs.values(), key=lambda run: run[0].at)]


def audit_text(entries: Iterable[Entry], living: Mapping[str, Sequence[str]] = {}) -> str:
    """Some lines a run, a run after the other."""
    return "\n".join(
        "".join(f"{line}\n" for line in (f"{one.at}  {one.step}", *(f"    {line}" for line in _lines(one))))
        for one in told(entries, living)
    )


def _lines(one: Told) -> list[str]:
    return [one.who, *f"$ {one.command}".split("\n"), *one.came]


def audit_markdown(entries: Iterable[Entry], living: Mapping[str, Sequence[str]] = {}) -> str:
    """A table of the runs, then each command."""
    rows = ["| when (UTC) | step | by | what came of it |", "| --- | --- | --- | --- |"]
    commands: list[str] = []
    for number, one in enumerate(told(entries, living), 1):
        cells = [f"{number}. {one.at}", one.step, one.who, "; ".join(one.came)]
        rows.append(f"| {' | '.join(map(_cell, cells))} |")
        fence = "```" + "`" * one.command.count("`")
        commands += ["", f"{number}. {_cell(one.step)}", "", f"{fence}sh", one.command, fence]
    return "\n".join(["# What was run", "", *rows, *commands, ""])


def _cell(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\|`*_[]<>" else char for char in text)


def _told(run: Sequence[Entry], living: Sequence[str]) -> Told:
    first = run[0]
    via = (
        f"as {first.user}" if first.sudo_user else "",
        f"from {first.ssh.split(' ')[0]}" if first.ssh else "",
        f"at {first.tty}" if first.tty else "",
        f"on {first.host}" if first.host else "",
    )
    words = [first.sudo_user or first.user or "unknown user", *filter(None, via)]
    step = f"{'the undo of ' * first.is_undo}{first.runbook}/{first.step} ({first.touch})"
    came = [one_line(text, 1000) for entry in run for text in _came(entry, first.before)]
    why = "it still runs: " + ", ".join(living) if living else "what watched over it was killed, or the host went down"
    came = came or [one_line(f"no end was recorded: {why}", 1000)]
    return Told(one_line(first.at), one_line(step), one_line(" ".join(words)), clean(_command(first)), came)


def _command(first: Entry) -> str:
    """The command with its values, as it can be pasted."""
    own = first.argv[:1] == list(SHELL[:1])
    given = [f"{name}={quote(value)}" for name, value in first.values.items()] if own else []
    return " ".join([*given, *map(quote, first.argv)])


def _came(entry: Entry, before: str) -> Iterator[str]:
    if entry.event == "looked":
        yield f"{entry.check}: {before or 'not asked'} before, {entry.after} after ({entry.summary})"
    elif entry.event == "refused":
        yield f"nothing was run: {entry.why}"
    elif entry.event in ("muted", "lifted"):
        yield f"{entry.event}: {entry.why}"
    elif entry.event == "ended":
        how = "no exit code" if entry.exit is None else f"exit {entry.exit}"
        yield f"{how} after {entry.seconds} s" + (f": {entry.why}" if entry.why else "")
        log = f", {'in part ' * entry.log_is_cut}in {entry.log}" if entry.log else ""
        yield f"{entry.output_bytes} bytes of output{log} (sha256 {entry.output_sha256})"
        if entry.left:
            yield f"left running: {', '.join(entry.left)}"
