"""`snapshot`: everything that checks and vendors ask of this host, redacted, in one file."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from mlopsdoc.cli.checking import set_up
from mlopsdoc.cli.output import CANNOT_CREATE, LOCKED, NOT_WRITTEN, USAGE, Stop, note, say

if TYPE_CHECKING:
    import argparse

    from mlopsdoc.examination import Setup
    from mlopsdoc.hosts.base import Answer
    from mlopsdoc.hosts.live import Live
    from mlopsdoc.hosts.recorder import Recorder, Recording
    from mlopsdoc.model import Report
    from mlopsdoc.saving import Saved

TIMEOUT_S = 300.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


def snapshot(arguments: argparse.Namespace) -> int:
    """Ask everything that checks and vendors ask for, and write it as one redacted file."""
    from mlopsdoc.hosts.nursery import Nursery

    nursery = Nursery()  # before any thread and any heavy import
    from contextlib import closing

    from mlopsdoc import config
    from mlopsdoc.hosts.live import Live
    from mlopsdoc.hosts.lock import Held, only_run
    from mlopsdoc.hosts.recorder import Recorder
    from mlopsdoc.model import AREAS
    from mlopsdoc.saving import check_room

    if unknown := [area for area in arguments.only if area not in AREAS]:
        raise Stop(USAGE, f"no such area: {', '.join(unknown)} (known: {', '.join(AREAS)})")
    since = _since(arguments.since)
    path = arguments.output or ""
    try:
        check_room(path or "snapshot")
    except OSError as error:
        raise _cannot(path or ".", error) from None
    states = config.state_folders()
    setup = set_up([], "")
    deadline_s = arguments.timeout or TIMEOUT_S
    try:
        with (
            only_run(states),
            closing(Live(nursery, states=states, deadline_s=deadline_s, bmc=setup.settings.bmc)) as live,
        ):
            host = Recorder(live)
            report = _asked(host, live, setup, arguments.only, since)
    except Held as held:
        raise Stop(LOCKED, str(held)) from None
    saved = keep(host.recording, setup, report, path, redact=not arguments.no_redact)
    note(f"{saved.answers} answers, {saved.bytes} bytes; {_redaction(saved)}")
    say(f"{saved.path}\n")
    return 0


def _asked(host: Recorder, live: Live, setup: Setup, areas: list[str], since: float | None) -> Report:
    """Put all questions of checks, then those of vendors; the report of the checks."""
    from msgspec.structs import replace

    from mlopsdoc import examination
    from mlopsdoc.engine import Ledger
    from mlopsdoc.hosts.collecting import collect, questions

    started = time.monotonic()
    wanted = [check for check in setup.checks if not areas or check.area in areas]
    setup = replace(setup, checks=wanted)
    ledger = Ledger(host)
    results = list(examination.examine(setup, ledger))
    report = examination.report(setup, ledger, results, [examination.live_source(live)], started)
    note(f"{len(wanted)} checks are done after {time.monotonic() - started:.1f} s")
    asked = list(questions(host, areas, since))

    def told(number: int, argv: tuple[str, ...], answer: Answer) -> None:
        said = f"{len(answer.data)} bytes" if answer.said else f"{answer.status} ({answer.why})"
        note(f"{number}/{len(asked)} {' '.join(argv)}: {said}")

    collect(host, asked, told)
    return report


def keep(recording: Recording, setup: Setup, report: Report, path: str, *, redact: bool) -> Saved:
    """Write a snapshot, redacted unless told otherwise. The recording is used up."""
    from mlopsdoc import config, saving

    key = saving.key_of(setup.settings, config.state_folders()) if redact else None
    path = path or saving.default_name(setup, recording, key)
    try:
        return saving.save(recording, setup, report, path, key)
    except saving.CannotRedact as why:
        raise Stop(NOT_WRITTEN, str(why)) from None
    except OSError as error:
        raise _cannot(path, error) from None


def _redaction(saved: Saved) -> str:
    """``redacted: 2 hosts, 8 serials; left out: 1 answer``."""
    if saved.redaction is None:
        return "not redacted: it names this host, its users, addresses and serial numbers"
    counts = [f"{about['values']} {kind}" for kind, about in saved.redaction["replaced"].items()]
    left_out = saved.redaction["left_out"]
    return f"replaced: {', '.join(counts) or 'nothing'}; left out: {', '.join(left_out) or 'nothing'}"


def _cannot(path: str, error: OSError) -> Stop:
    code = NOT_WRITTEN if error.errno in FULL else CANNOT_CREATE
    return Stop(code, f"{path}: {error.strerror}")


def _since(text: str | None) -> float | None:
    """Seconds since the epoch of ``2026-11-23T03:10:00Z``, or of ``90m``, ``12h``, ``3d`` ago."""
    from mlopsdoc.opening import moment

    if not text:
        return None
    try:
        if text[-1:] in "mhd" and text[:-1].isdecimal():
            return time.time() - int(text[:-1]) * {"m": 60, "h": 3600, "d": 86400}[text[-1]]
        return moment(text)
    except ValueError:
        raise Stop(USAGE, f"--since wants a time such as 2026-11-23T03:10:00Z or 12h, not {text!r}") from None
