"""`runbook list | show | lint`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlopsdoc.clean import decode, one_line
from mlopsdoc.cli.output import NO_DATA, NO_SOURCE, USAGE, Stop, columns, note, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from mlopsdoc.runbook.parse import Runbook


def list_runbooks(_: argparse.Namespace) -> int:
    """List the runbooks, shipped ones and the site's own."""
    from mlopsdoc import catalog

    for name, path in sorted(catalog.find().runbooks.items()):
        try:
            title = _parsed(path).title
        except Stop as stop:
            title = f"({stop.why})"
        say(f"{name:<16} {one_line(title)}\n")
    return 0


def _parsed(path: str) -> Runbook:
    from mlopsdoc.runbook import parse as runbook

    try:
        return runbook.load(path)
    except runbook.BadRunbook as error:
        raise Stop(NO_DATA, f"{path}: {error}") from None
    except OSError as error:
        raise Stop(NO_SOURCE, f"{path}: {error.strerror}") from None


def _path_of(wanted: str) -> str:
    """Where the runbook of that name is: a site's own before ours, if it may be loaded."""
    from mlopsdoc import catalog

    found = catalog.find()
    for path, why in found.refused.items():
        if os.path.basename(path) == f"{wanted}.md":
            note(f"{path} is not loaded: {why}")
    if wanted not in found.runbooks:
        raise Stop(USAGE, f"no such runbook: {wanted} (see `mlopsdoc runbook list`)")
    return found.runbooks[wanted]


def book_of(name: str) -> Runbook:
    """The runbook of that name."""
    return _parsed(_path_of(name))


def given_values(pairs: Sequence[str]) -> dict[str, str]:
    """The values of --set."""
    from mlopsdoc.runbook.step import misfit

    values: dict[str, str] = {}
    for pair in pairs:
        name, _, values[name] = pair.partition("=")
        if why := misfit(name, values[name]):
            raise Stop(USAGE, f"--set {pair}: {name} {why}")
    return values


def show_runbook(arguments: argparse.Namespace) -> int:
    """Print a runbook. Values given with --set are set before each command that uses them; nothing is run."""
    from mlopsdoc.report import runbooks

    path, values = _path_of(arguments.name), given_values(arguments.set)
    if arguments.format == "markdown":
        with open(path, "rb") as file:
            say(decode(file.read()))
    elif arguments.format == "html":
        say(runbooks.render_html(_parsed(path)))
    else:
        say(runbooks.render_text(_parsed(path), values, width=min(columns(), 100)))
    return 0


def lint_runbooks(arguments: argparse.Namespace) -> int:
    """Print what is wrong with runbooks, a line each. Exit code 1 when there is an error, 0 otherwise."""
    from mlopsdoc import catalog
    from mlopsdoc.hosts.asking import find_tool
    from mlopsdoc.runbook.lint import lint

    found = catalog.find()
    checks = {name: check.params for name, check in found.by_name().items()}
    rows: list[dict[str, object]] = []
    for path in _markdown_files(arguments.paths) or found.runbooks.values():
        try:
            with open(path, "rb") as file:
                text = file.read()
        except OSError as error:
            raise Stop(NO_SOURCE, f"{path}: {error.strerror}") from None
        for problem in lint(path, text, checks, run=_feed, has_tool=lambda tool: find_tool(tool) is not None):
            rows.append({"path": path, "line": problem.line, "severity": problem.severity, "text": problem.text})
    if arguments.json:
        import json

        say(json.dumps(rows, indent=1) + "\n")
    else:
        say("".join(f"{row['path']}:{row['line']}: {row['severity']}: {row['text']}\n" for row in rows))
    return int(any(row["severity"] == "error" for row in rows))


def _markdown_files(paths: list[str]) -> list[str]:
    """Those named, and those in folders that are named; a README is no runbook."""
    files: list[str] = []
    for path in paths:
        if os.path.isdir(path):
            names = (name for name in sorted(os.listdir(path)) if name.endswith(".md") and name != "README.md")
            files += [os.path.join(path, name) for name in names]
        else:
            files.append(path)
    return files


def _feed(argv: Sequence[str], text: str) -> tuple[int, str, str] | None:
    """Run a program that reads text and judges it (``sh -n``, shellcheck); None where it is not installed."""
    import subprocess

    try:
        ended = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.returncode, ended.stdout, ended.stderr
