"""What is wrong with a runbook, before someone needs it at night: its form, its words, its commands."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, cast

from mlopsdoc.clean import one_line
from mlopsdoc.model import parameter_pattern
from mlopsdoc.runbook.markdown import Block, slug
from mlopsdoc.runbook.parse import BadRunbook, Problem, Runbook, Severity, decoded, parse
from mlopsdoc.runbook.shell import Command, Script, Use, scan
from mlopsdoc.runbook.step import SHELL_HAS, TOUCHES, WITHIN_S, Step, about
from mlopsdoc.runbook.writes import inner_scripts, program_of, writes

SECTIONS = ("Meaning", "Impact", "Diagnosis", "Mitigation", "Verify")
WITH_STEPS = {"Diagnosis": "error", "Mitigation": "warning", "Verify": "error"}
_RANK = {"error": 0, "warning": 1, "note": 2}
_BUILTINS = frozenset((
    ".", ":", "[", "alias", "bg", "break", "cd", "command", "continue", "echo", "eval", "exec", "exit", "export",
    "false", "fg", "getopts", "hash", "jobs", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift",
    "test", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait",
))  # fmt: skip

# Runs a program with that standard input: (exit code, stdout, stderr), or None where the program is not there.
Run: TypeAlias = Callable[[Sequence[str], str], "tuple[int, str, str] | None"]


def lint(
    path: str,
    text: str | bytes,
    checks: Mapping[str, Collection[str]],
    *,
    exists: Callable[[str], bool] = os.path.exists,
    run: Run | None = None,
    has_tool: Callable[[str], bool] | None = None,
) -> list[Problem]:
    """Problems by line.

    text: as it is in the file, not made safe. path: where it is from; its stem is the check it serves, links start
    there.
    checks: id (former ids too) -> the parameters it supplies. run: for ``sh -n`` and shellcheck; without it
    their judgement is missing. has_tool: whether this host has a program; without it nothing is said.
    """
    name = os.path.basename(path).removesuffix(".md")
    try:
        runbook = parse(name, decoded(text) if isinstance(text, bytes) else text)
    except BadRunbook as bad:
        return [Problem(bad.line, "error", bad.why)]
    problems = [*runbook.problems, *_sections(runbook), *_words(runbook)]
    problems += [*_links(runbook, os.path.dirname(path), exists), *_serves(runbook, checks)]
    missing = _once(has_tool)
    for step in runbook.steps:
        problems += _step(step, checks)
        for touch, command, line in (
            (step.touch, step.command, step.command_at),
            (step.touch, step.undo, step.undo_at),
        ):
            if command:
                problems += _at(line, _command(command, touch, run, missing))
    return sorted(set(problems), key=lambda problem: (problem.line, _RANK[problem.severity], problem.text))


def _once(has_tool: Callable[[str], bool] | None) -> Callable[[str], bool]:
    """Whether a program is missing here and it was not said before."""
    said: set[str] = set()

    def missing(program: str) -> bool:
        if has_tool is None or program in said or program in _BUILTINS:
            return False
        said.add(program)
        return not has_tool(program)

    return missing


def _at(line: int, problems: Iterator[Problem]) -> Iterator[Problem]:
    """Lines of a command, counted from 1, become lines of the file."""
    return (Problem(line + found.line - 1, found.severity, found.text) for found in problems)


def _severity(word: str) -> Severity:
    return "error" if word == "error" else "warning" if word == "warning" else "note"


def _sections(runbook: Runbook) -> Iterator[Problem]:
    places: dict[str, int] = {}
    for section in runbook.sections:
        if section.title in places:
            yield Problem(section.line, "error", f"a second section {section.title}")
        places[section.title] = section.line
        if not section.blocks and not section.steps:
            yield Problem(section.line, "error", f"section {section.title} is empty")
        if section.title not in (*SECTIONS, ""):
            yield Problem(section.line, "note", f"section {section.title} is none of {', '.join(SECTIONS)}")
        if section.title in WITH_STEPS and not any(step.command for step in section.steps):
            text = f"section {section.title} has no step: a ### heading with a command"
            yield Problem(section.line, _severity(WITH_STEPS[section.title]), text)
    for title in SECTIONS:
        if title not in places:
            yield Problem(runbook.line, "error", f"section {title} is missing: ## {title}")
    there = [title for title in places if title in SECTIONS]
    if there != [title for title in SECTIONS if title in there]:
        yield Problem(runbook.line, "warning", f"the order of sections is {', '.join(SECTIONS)}")


def _serves(runbook: Runbook, checks: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    """Whether the check of that name supplies what the steps need."""
    if runbook.name not in checks:
        yield Problem(runbook.line, "note", f"no check is named {runbook.name}: every value will be asked for")
        return
    seen: set[str] = set()
    for step in runbook.steps:
        for name in (*step.uses, *step.undo_uses):
            if name not in checks[runbook.name] and parameter_pattern(name) and name not in seen:
                seen.add(name)
                line = step.command_at if name in step.uses else step.undo_at
                yield Problem(line, "warning", f"check {runbook.name} does not supply {name}: it will be asked for")


# Words


@cache
def _placeholder() -> re.Pattern[str]:
    return re.compile(r"<[A-Za-z][A-Za-z0-9_-]*(?: [A-Za-z0-9_-]+)*>|/dev/(?:sd|nvme)[XYN]\b")


@cache
def _unfinished() -> re.Pattern[str]:
    return re.compile(r"\b(?:TODO|FIXME|TBD|XXX)\b")


def _blocks(runbook: Runbook) -> Iterator[Block]:
    yield Block("text", runbook.title, runbook.line)
    yield from runbook.blocks
    for section in runbook.sections:
        yield Block("text", section.title, section.line)
        yield from section.blocks
        for step in section.steps:
            yield Block("text", step.title, step.line)
            yield from step.blocks


def _words(runbook: Runbook) -> Iterator[Problem]:
    for block in _blocks(runbook):
        if block.kind == "code":
            continue
        runs = block.kind in ("command", "undo")
        for number, line in enumerate(block.text.split("\n"), block.line + runs):
            if found := _unfinished().search(line):
                yield Problem(number, "error", f"{found[0]}: not finished")
            if found := _placeholder().search(line):
                how = 'a value is read from the environment, as "$POOL"'
                yield Problem(number, "error" if runs else "warning", f"a placeholder, {one_line(found[0], 40)}: {how}")


@cache
def _link() -> re.Pattern[str]:
    return re.compile(r"\]\(\s*<?([^()\s<>]{1,2000})|^\[[^\]]{1,200}\]:\s*<?([^\s<>]{1,2000})")


def _links(runbook: Runbook, folder: str, exists: Callable[[str], bool]) -> Iterator[Problem]:
    titles = [runbook.title, *(section.title for section in runbook.sections)]
    anchors = {slug(title) for title in titles} | {step.id for step in runbook.steps}
    for block in _blocks(runbook):
        if block.kind in ("code", "command", "undo"):
            continue
        anchors |= {slug(block.text)} if block.kind == "heading" else set()
        for found in _link().finditer(block.text):
            target: str = found[1] or found[2]
            where, _, anchor = target.partition("#")
            if ":" in where:
                if where.partition(":")[0].lower() not in ("http", "https", "mailto"):
                    yield Problem(block.line, "error", f"a link that is not to a page: {one_line(target, 80)}")
            elif where.startswith("/"):
                yield Problem(block.line, "error", f"a link from the root of a site: {one_line(target, 80)}")
            elif where and not exists(os.path.join(folder, where)):
                yield Problem(block.line, "error", f"a dead link: there is no {one_line(where, 80)} beside this file")
            elif not where and anchor not in anchors:
                yield Problem(block.line, "error", f"a dead link: no heading here makes #{one_line(anchor, 80)}")


# Steps


def _step(step: Step, checks: Mapping[str, Collection[str]]) -> Iterator[Problem]:
    if not step.command:
        yield Problem(step.line, "note", "a step without a command: it is done by hand")
        return
    if step.verify and step.verify not in checks:
        yield Problem(step.fence_at, "error", f"verify={step.verify}: there is no such check")
    if step.within_s != WITHIN_S and not step.verify:
        yield Problem(step.fence_at, "error", "within= is the time of verify=, which is missing")
    changes = step.touch != TOUCHES[0]
    if changes and not step.undo and not step.no_undo:
        yield Problem(
            step.fence_at, "error", "how to go back: a second fence, ```sh undo, or undo=none and why in prose"
        )
    if step.no_undo and step.undo:
        yield Problem(step.fence_at, "error", "undo=none, and an undo")
    if step.no_undo and not step.prose:
        yield Problem(step.fence_at, "error", "undo=none needs prose that says why there is no way back")
    if not changes and (step.undo or step.no_undo):
        yield Problem(step.fence_at, "warning", "a step that only looks needs no undo")


def _command(text: str, touch: str, run: Run | None, missing: Callable[[str], bool]) -> Iterator[Problem]:
    """Problems of a command or undo, its first line is 1."""
    script = scan(text)
    yield from _variables(script)
    for name, line in script.assigned.items():
        if parameter_pattern(name):
            yield Problem(line, "error", f"sets {name}, which is a parameter: name it otherwise, in lower case")
    for found in writes(script):
        if TOUCHES.index(found.touch) > TOUCHES.index(touch):
            severity: Severity = "error" if touch == TOUCHES[0] else "warning"
            yield Problem(found.line, severity, f"marked {touch}, but this is {found.touch} at least: {found.what}")
    for command in script.commands:
        yield from _splices(command)
        if command.words and command.words[0].text in ("sudo", "doas", "su"):
            yield Problem(command.line, "error", f"{command.words[0].text} in a command: say needs=root on the fence")
        program = program_of(command)
        if program and program not in script.functions and missing(program):
            yield Problem(command.line, "note", f"not on this host: {one_line(program, 80)}")
    if "\t" in text:
        yield Problem(text[: text.index("\t")].count("\n") + 1, "warning", "a tab: pasted into a terminal it is lost")
    if not script.complete:
        yield Problem(1, "error", "a quote, bracket or here-document that is never closed")
    if run:
        yield from syntax(text, run)


def _variables(script: Script) -> Iterator[Problem]:
    for use in script.uses:
        known = parameter_pattern(use.name) is not None
        if use.free and not known and not use.fallback and use.name not in SHELL_HAS:
            yield Problem(use.line, "error", f"${use.name} is neither a parameter nor set before it is read")
        if not use.quoted and (known or not use.listed):
            yield Problem(use.line, *_unquoted(use, known))


def _unquoted(use: Use, known: bool) -> tuple[Severity, str]:
    what = f"; it is {about(use.name)}" if known else ""
    return ("error" if known else "warning"), f'${use.name} outside of double quotes: write "${use.name}"{what}'


def _splices(command: Command) -> Iterator[Problem]:
    """A value made part of a program's text is run by it: ``sh -c "df $MOUNT"``, ``eval``, ``ssh host "... $UNIT"``."""
    words = command.words
    first = words[0].text.rpartition("/")[2] if words else ""
    texts = set(inner_scripts(command))
    for word in words[1:]:
        if word.uses and (word.text in texts or first in ("eval", "trap", "ssh", "watch")):
            how = "pass it as an argument, or read it there from the environment"
            yield Problem(word.line, "error", f"${word.uses[0]} becomes part of a program that {first} runs: {how}")


# Other programs' judgement


def syntax(text: str, run: Run) -> Iterator[Problem]:
    """What ``sh -n``, and shellcheck where there is one, say of a command."""
    said = run(("/bin/sh", "-n"), text + "\n")
    if said and said[0]:
        yield Problem(*_shell_error(said[2]))
        return
    said = run(("shellcheck", "--shell=sh", "--format=json", "-"), f"set -eu\n{text}\n")
    if said:
        yield from _shellcheck(said[1])


def _shell_error(stderr: str) -> tuple[int, Severity, str]:
    """``sh: 2: Syntax error: "done" unexpected`` or ``sh: line 2: syntax error near ...``."""
    row = next(iter(stderr.splitlines()), "")
    for part in row.split(": ")[1:3]:
        number = part.removeprefix("line ").strip()
        if number.isascii() and number.isdigit() and len(number) < 7:
            return max(int(number), 1), "error", f"sh -n: {one_line(row.partition(part + ': ')[2], 200)}"
    return 1, "error", f"sh -n: {one_line(row, 200) or 'fails'}"


def _shellcheck(stdout: str) -> Iterator[Problem]:
    """``[{"line": 2, "level": "info", "code": 2086, "message": "Double quote to prevent globbing ..."}]``."""
    try:
        rows = json.loads(stdout)
    except (ValueError, RecursionError):
        return
    if not isinstance(rows, list):
        return
    for found in cast("list[dict[str, Any]]", rows):
        line, level = found.get("line"), str(found.get("level"))
        text = one_line(f"shellcheck SC{found.get('code')}: {found.get('message')}", 300)
        yield Problem(line - 1 if isinstance(line, int) and line > 1 else 1, _severity(level), text)
