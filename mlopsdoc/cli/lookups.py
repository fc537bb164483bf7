"""What is only looked up or written down: checks, configuration, schema, reports, versions, snapshots as folders."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mlopsdoc import __version__
from mlopsdoc.cli.checking import in_time, open_recording, set_up
from mlopsdoc.cli.output import CANNOT_CREATE, NO_DATA, NO_SOURCE, USAGE, Stop, exit_code, render, say

if TYPE_CHECKING:
    import argparse

    from mlopsdoc.hosts.base import Host


def version(arguments: argparse.Namespace) -> int:
    """The version, and with --verbose what a bug report needs."""
    say(f"mlopsdoc {__version__}\n")
    if arguments.verbose:
        from mlopsdoc import about

        say("".join(f"{name}: {value}\n" for name, value in about.details()))
    return 0


def list_checks(arguments: argparse.Namespace) -> int:
    """List the checks that are found, shipped ones and the site's own."""
    from mlopsdoc import describe

    setup = set_up([], "")
    rows = describe.rows(setup)
    if arguments.json:
        import json

        say(json.dumps(rows, indent=1) + "\n")
    else:
        wide = max((len(row["id"]) for row in rows), default=0)
        say("".join(f"{row['id']:<{wide}} {row['area']:<8} {row['title']}\n" for row in rows))
    return 0


def explain(arguments: argparse.Namespace) -> int:
    """Print what a check judges and why, its thresholds, what it reads and where its runbook is."""
    from mlopsdoc import describe
    from mlopsdoc.report import topology

    setup = set_up([arguments.check], "")
    say("\n".join(describe.explained(check, setup) for check in setup.checks))
    if {check.id for check in setup.checks} & {*topology.CHECKS}:
        say("".join(f"{line}\n" for line in _drawing(arguments)))
    return 0


def _drawing(arguments: argparse.Namespace) -> list[str]:
    """The ways to the GPUs of this host or of a recording, or why there is nothing to draw."""
    from contextlib import ExitStack, closing

    from mlopsdoc import CannotSee, NothingHere, config, engine
    from mlopsdoc.facts.nvlink import NvLinks
    from mlopsdoc.facts.topology import Topology
    from mlopsdoc.hosts.live import Live
    from mlopsdoc.hosts.nursery import Nursery
    from mlopsdoc.hosts.recorder import Recorder
    from mlopsdoc.report import topology

    setup = set_up(list(topology.CHECKS), "", site=not arguments.source)
    with ExitStack() as stack:
        if arguments.source:
            host: Host = open_recording(arguments.source, arguments.at, arguments.partial)[0]
            stack.enter_context(in_time(arguments.source))
        else:
            states, settings = config.state_folders(), setup.settings
            live = Live(Nursery(), states=states, deadline_s=settings.timeout_s, bmc=settings.bmc)
            host = Recorder(stack.enter_context(closing(live)))
        ledger = engine.Ledger(host)
        marked = topology.marks(engine.judge(setup.checks, ledger, setup.profile))
        try:
            return ["", *topology.drawn(ledger.get(Topology), ledger.known(NvLinks), marked)]
        except (NothingHere, CannotSee) as why:
            return ["", f"no drawing: {why}"]


def new(arguments: argparse.Namespace) -> int:
    """Write checks/CHECK.py, runbooks/CHECK.md and snapshots/CHECK_trips/ to start from. No file is changed."""
    from mlopsdoc import scaffold

    try:
        made = scaffold.make(arguments.check, arguments.dir)
    except scaffold.CannotMake as error:
        raise Stop(USAGE, str(error)) from None
    except OSError as error:
        raise Stop(CANNOT_CREATE, f"{error.filename}: {error.strerror}") from None
    say("".join(f"{path}\n" for path in made))
    return 0


def schema(_: argparse.Namespace) -> int:
    """Print the JSON Schema of the report."""
    from mlopsdoc.report import json

    say(json.schema())
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print a JSON report as text, JSON or markdown; the exit code is that of the report."""
    from mlopsdoc.report import json

    try:
        if arguments.report == "-":
            data = sys.stdin.buffer.read()
        else:
            with open(arguments.report, "rb") as file:
                data = file.read()
        report = json.read(data)
    except FileNotFoundError:
        raise Stop(NO_SOURCE, f"no such file: {arguments.report}") from None
    except OSError as error:
        raise Stop(NO_DATA, f"{arguments.report}: {error.strerror}") from None
    except json.NotAReport as error:
        raise Stop(NO_DATA, f"{arguments.report}: {error}") from None
    say(render(report, arguments.format))
    return exit_code(report, "warning")


def configuration(_: argparse.Namespace) -> int:
    """Print the configuration in force."""
    from mlopsdoc import describe

    setup = set_up([], "")
    say(describe.configuration(setup))
    return 0


def seal(arguments: argparse.Namespace) -> int:
    """Write the digests of a folder's answers."""
    from mlopsdoc.hosts import snapshot

    if not os.path.isdir(arguments.folder):
        raise Stop(NO_SOURCE, f"no such folder: {arguments.folder}")
    try:
        count = snapshot.seal(arguments.folder)
    except snapshot.BadSnapshot as error:
        raise Stop(NO_DATA, f"{arguments.folder}: {error}") from None
    except OSError as error:
        raise Stop(CANNOT_CREATE, f"{arguments.folder}: {error.strerror}") from None
    say(f"{arguments.folder}: {count} answers sealed\n")
    return 0
