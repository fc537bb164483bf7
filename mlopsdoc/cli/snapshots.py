"""`snapshot`: everything that checks and vendors ask of this host, redacted, in one file. `diff`: what changed."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING

from mlopsdoc.cli.checking import in_time, open_recording, set_up
from mlopsdoc.cli.output import CANNOT_CREATE, LOCKED, NOT_WRITTEN, USAGE, Stop, note, say

if TYPE_CHECKING:
    import argparse

    from mlopsdoc.examination import Setup
    from mlopsdoc.hosts.base import Answer, Host
    from mlopsdoc.hosts.nursery import Nursery
    from mlopsdoc.hosts.recorder import Recording
    from mlopsdoc.model import Report, Source
    from mlopsdoc.saving import Saved

TIMEOUT_S = 300.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


def snapshot(arguments: argparse.Namespace) -> int:
    """Ask everything that checks and vendors ask for, and write it as one redacted file."""
    from mlopsdoc.hosts.nursery import Nursery

    nursery = Nursery()  # before any thread and any heavy import
    from contextlib import closing

    from msgspec.structs import replace

    from mlopsdoc import config, examination
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
    if arguments.only:
        setup = replace(setup, checks=[check for check in setup.checks if check.area in arguments.only])
    deadline_s = arguments.timeout or TIMEOUT_S * (1 + arguments.bug_report)
    try:
        with (
            only_run(states),
            closing(Live(nursery, states=states, deadline_s=deadline_s, bmc=setup.settings.bmc)) as live,
        ):
            host = Recorder(live)
            report = _asked(host, setup, [examination.live_source(live)])
            note(f"{len(setup.checks)} checks are done after {report.duration_s:.1f} s")
            _collect(host, arguments.only, since, bug_report=arguments.bug_report)
    except Held as held:
        raise Stop(LOCKED, str(held)) from None
    saved = keep(host.recording, setup, report, path, redact=not arguments.no_redact)
    note(f"{saved.answers} answers, {saved.bytes} bytes; {_redaction(saved)}")
    say(f"{saved.path}\n")
    return 0


def _asked(host: Host, setup: Setup, sources: list[Source]) -> Report:
    """The report of a host that answers now."""
    from mlopsdoc import examination
    from mlopsdoc.engine import Ledger

    started = time.monotonic()
    ledger = Ledger(host)
    results = list(examination.examine(setup, ledger))
    return examination.report(setup, ledger, results, sources, started)


def _collect(host: Host, areas: list[str], since: float | None, *, bug_report: bool) -> None:
    """Put the questions of vendors, and say how it goes on."""
    from mlopsdoc.hosts.collecting import BUG_REPORT, collect, questions

    asked = list(questions(host, areas, since))

    def told(number: int, argv: tuple[str, ...], answer: Answer) -> None:
        said = f"{len(answer.data)} bytes" if answer.said else f"{answer.status} ({answer.why})"
        note(f"{number}/{len(asked)} {' '.join(argv)}: {said}")

    collect(host, asked, told)
    if bug_report:  # it takes minutes, and whoever asks a GPU meanwhile waits for it
        note("nvidia-bug-report.sh is running")
        collect(host, [BUG_REPORT], told)


def diff(arguments: argparse.Namespace) -> int:
    """Print what changed from A to B, each a recording or `live`. Exit code: 1 when a status got worse, else 0."""
    from mlopsdoc.hosts.nursery import Nursery

    nursery = Nursery() if "live" in (arguments.a, arguments.b) else None  # before any heavy import
    from mlopsdoc import diff
    from mlopsdoc.report import diff as rendered

    a, b = (_judged(source, nursery) for source in (arguments.a, arguments.b))
    found = diff.diff(*a, *b)
    say(rendered.render(found, arguments.format))
    return int(found.is_worse)


def _judged(source: str, nursery: Nursery | None) -> tuple[Report, Recording]:
    """What the shipped checks say of a recording, or of this host, and its answers."""
    from contextlib import closing

    from mlopsdoc import config, examination, saving
    from mlopsdoc.hosts.live import Live
    from mlopsdoc.hosts.recorder import Recorder

    if source != "live" or nursery is None:
        host, sources = open_recording([source], None)
        setup = set_up([], "", site=False, own=host.recording.profile)
        with in_time([source]):
            return saving.judged(host.recording, setup, sources), host.recording
    setup = set_up([], "", site=False)
    with closing(Live(nursery, states=config.state_folders())) as live:
        recorder = Recorder(live)
        return _asked(recorder, setup, [examination.live_source(live)]), recorder.recording


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
