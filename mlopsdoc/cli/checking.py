"""`check`, the bare command and `demo`: this host or a recording, judged and reported."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from mlopsdoc.cli.arguments import parse
from mlopsdoc.cli.output import (
    BAD_CONFIG,
    LOCKED,
    NO_DATA,
    NO_SOURCE,
    USAGE,
    Stop,
    exit_code,
    note,
    render,
    say,
    write,
)
from mlopsdoc.cli.starting import cheaply
from mlopsdoc.shipped import shipped

if TYPE_CHECKING:
    import argparse

    from mlopsdoc.examination import Setup
    from mlopsdoc.hosts.recorder import Replay
    from mlopsdoc.model import Report, Source


def bare(arguments: argparse.Namespace) -> int:
    """The screen on a terminal, the text report elsewhere; with --plain a conversation."""
    sources: list[str] = arguments.source or []
    options = [f"--from={source}" for source in sources] + [f"--at={arguments.at}"] * bool(arguments.at)
    options += ["--partial"] * bool(arguments.partial)
    is_terminal = all(map(os.isatty, (0, 1, 2))) and os.environ.get("TERM", "dumb") not in ("", "dumb")
    if arguments.plain or is_terminal:
        return _watch(arguments, sources, options)
    return check(parse(["check", *options]))


def _watch(arguments: argparse.Namespace, sources: list[str], options: list[str]) -> int:
    """The screen, or the same in lines."""
    from mlopsdoc.tui import CannotOpen, open_screen

    def opening() -> tuple[Replay, list[Source]]:
        try:
            return open_recording(sources, arguments.at, arguments.partial)
        except Stop as stop:
            raise CannotOpen(stop.why, stop.code) from None

    if options and not sources:
        raise Stop(USAGE, "--at and --partial are for a recording, not for this host")
    start, recall = (opening, lambda: None) if sources else (None, _recalled)
    try:
        if arguments.plain:
            from mlopsdoc.cli.plain import converse

            return converse(sources, options, start, recall)
        return open_screen(start, recall, options)
    except CannotOpen as error:
        raise Stop(error.code, str(error)) from None


def _recalled() -> tuple[Report, float] | None:
    """What the last run found, said in a line: something to begin with."""
    from mlopsdoc import config, latest

    found = latest.find(config.state_folders())
    if found:
        from mlopsdoc.report.text import age, headline

        report, age_s = found
        say(f"{report.host.name}, {age(age_s)} ago: {headline(report)}\n")
    return found


def demo(arguments: argparse.Namespace) -> int:
    """Open the screen on a recorded bad night that comes with mlopsdoc; without a terminal, print its report."""
    return bare(parse([*["--plain"] * arguments.plain, "--from", shipped("snapshots") + "/bad_night"]))


def check(arguments: argparse.Namespace) -> int:
    """Run checks on this host or on a recording. Exit code: 2 critical, 1 warning, 3 unknown, 0 otherwise."""
    if arguments.no_redact and not arguments.save:
        raise Stop(USAGE, "--no-redact is for what --save FILE writes: nothing is redacted without it")
    if arguments.source:
        return _check_recording(arguments, arguments.source)
    return _check_live(arguments)


def _check_live(arguments: argparse.Namespace) -> int:
    from mlopsdoc.hosts.nursery import Nursery

    nursery = Nursery()  # before any thread and any heavy import
    started = time.monotonic()
    cheaply()
    from contextlib import closing

    from mlopsdoc import config, examination, latest, seen
    from mlopsdoc.engine import Ledger
    from mlopsdoc.hosts.live import Live
    from mlopsdoc.hosts.lock import Held, only_run
    from mlopsdoc.hosts.recorder import Recorder

    if arguments.at or arguments.partial:
        raise Stop(USAGE, "--at and --partial are for a recording, not for this host")
    if not os.path.isdir(arguments.root):
        raise Stop(NO_SOURCE, f"no such folder: {arguments.root}")
    states = config.state_folders()
    setup = set_up(arguments.select, arguments.profile)
    deadline_s, bmc = arguments.timeout or setup.settings.timeout_s, setup.settings.bmc
    try:
        with (
            only_run(states),
            closing(Live(nursery, root=arguments.root, states=states, deadline_s=deadline_s, bmc=bmc)) as live,
        ):
            host = Recorder(live)
            ledger = Ledger(host)
            results = list(examination.examine(setup, ledger))
            report = examination.report(setup, ledger, results, [examination.live_source(live)], started)
            examination.remember(host, states)
            if arguments.root == "/":
                report = seen.told(report, ledger, states)
                if not arguments.select:
                    latest.keep(states, report)
    except Held as held:
        raise Stop(LOCKED, str(held)) from None
    code = _deliver(report, arguments)
    if arguments.save:
        from mlopsdoc.cli.snapshots import keep

        keep(host.recording, setup, report, arguments.save, redact=not arguments.no_redact)
    return code


def _check_recording(arguments: argparse.Namespace, paths: list[str]) -> int:
    started = time.monotonic()
    cheaply()
    from mlopsdoc import examination
    from mlopsdoc.engine import Ledger

    if arguments.root != "/" or arguments.save:
        raise Stop(USAGE, "--root and --save are for this host, not for a recording")
    host, sources = open_recording(paths, arguments.at, arguments.partial)
    for remark in host.recording.notes:
        note(remark)
    setup = set_up(arguments.select, arguments.profile, site=False, own=host.recording.profile)
    ledger = Ledger(host)
    with in_time(paths):
        results = list(examination.examine(setup, ledger))
        report = examination.report(setup, ledger, results, sources, started)
    return _deliver(report, arguments)


@contextmanager
def in_time(paths: list[str]) -> Generator[None]:
    """Judge recordings; one that takes too long ends the program."""
    from mlopsdoc import opening

    try:
        with opening.in_time(paths):
            yield
    except opening.BadSource as error:
        raise Stop(NO_DATA, str(error)) from None


def open_recording(paths: list[str], at: str | None, partial: bool = False) -> tuple[Replay, list[Source]]:
    """One host out of recordings; what is wrong with them ends the program."""
    from mlopsdoc import opening
    from mlopsdoc.hosts.merged import Differ

    try:
        return opening.recordings(paths, _moment(at), is_partial=bool(partial))
    except FileNotFoundError as error:
        raise Stop(NO_SOURCE, f"no such file or folder: {error.filename}") from None
    except Differ as differ:
        raise Stop(USAGE, str(differ)) from None
    except opening.BadSource as error:
        raise Stop(NO_DATA, str(error)) from None


def _moment(text: str | None) -> float | None:
    if not text:
        return None
    from mlopsdoc import opening

    try:
        return opening.moment(text)
    except ValueError:
        raise Stop(USAGE, f"--at wants a time such as 2026-11-23T03:10:00Z, not {text!r}") from None


def set_up(
    select: list[str], profile: str, *, site: bool = True, own: Mapping[str, Any] = MappingProxyType({})
) -> Setup:
    """The setup; what is wrong with it stops a person, but a run that nobody watches goes on with defaults."""
    from mlopsdoc import examination
    from mlopsdoc.config import WrongConfig
    from mlopsdoc.profile import WrongProfile

    try:
        setup = examination.set_up(select, profile, site=site, own=own)
    except examination.NoSuchCheck as error:
        raise Stop(USAGE, str(error)) from None
    except (WrongConfig, WrongProfile) as error:
        raise Stop(BAD_CONFIG, str(error)) from None
    if setup.wrong_config and os.isatty(1):
        raise Stop(BAD_CONFIG, "; ".join(setup.wrong_config))
    return setup


def _deliver(report: Report, arguments: argparse.Namespace) -> int:
    """Write the report where it is wanted, and give the exit code."""
    text = render(report, arguments.format)
    if arguments.output:
        write(arguments.output, text.encode())
    else:
        say(text)
    return exit_code(report, arguments.fail_on)
