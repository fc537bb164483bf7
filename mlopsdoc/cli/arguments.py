"""Every verb and option, and which function each verb runs; that is imported only when it is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from mlopsdoc.cli.output import USAGE, Stop, columns

FORMATS = ("text", "json", "markdown")


class Parser(argparse.ArgumentParser):
    """One whose errors are ours."""

    def __init__(self, **of_it: Any) -> None:
        super().__init__(formatter_class=Formatter, **of_it)

    def error(self, message: str) -> NoReturn:
        raise Stop(USAGE, f"{message} (see `{self.prog} --help`)")


class Formatter(argparse.HelpFormatter):
    """One that is told the width: to learn it, argparse loads shutil and all formats of archives."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns() - 2)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments; their `run` is ``module:function`` below mlopsdoc.cli. Raises Stop.

    First only the verb that is named is made known: to make all costs as much as to start an interpreter.
    """
    named = [name for name in VERBS if name in argv]
    if len(named) == 1 and not {"-h", "--help"}.intersection(argv):
        try:
            return _parser(named).parse_args(argv)
        except Stop:
            pass  # what is wrong is told by one that knows all
    return _parser(VERBS).parse_args(argv)


def _parser(names: Iterable[str]) -> Parser:
    top = Parser(prog="mlopsdoc", description="Health checks, runbooks and snapshots for GPU and ML servers.")
    top.set_defaults(run="checking:bare")
    top.add_argument(
        "--version", dest="run", action="store_const", const="lookups:version",
        help="print the version; with --verbose all of a bug report",
    )  # fmt: skip
    top.add_argument(
        "--plain", action="store_true", help="a line at a time instead of the screen: for screen readers and consoles"
    )
    top.add_argument("--verbose", action="store_true", help=argparse.SUPPRESS)
    _add_source(top, default=None)
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for name in names:
        help, about, fill = VERBS[name]
        fill(verbs.add_parser(name, help=help, description=about or f"{help[0].upper()}{help[1:]}."))
    return top


def _check(verb: Parser) -> None:
    verb.set_defaults(run="checking:check")
    verb.add_argument("select", nargs="*", metavar="SELECT", help="check id, area or pattern (default: all)")
    verb.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")
    verb.add_argument("--format", choices=FORMATS, default="text", help="form of the report (default: text)")
    verb.add_argument("-o", "--output", metavar="FILE", help="write the report there instead of stdout")
    verb.add_argument("--profile", default="", help="name or file of a profile: what this host should be")
    verb.add_argument("--timeout", type=_seconds, metavar="S", help="for the whole run (default: 60)")
    verb.add_argument("--fail-on", choices=("warning", "critical", "never"), default="warning", help="see exit codes")
    verb.add_argument("--save", metavar="FILE", help="keep the answers as a snapshot (.tar.gz, or a folder)")
    verb.add_argument("--no-redact", action="store_true", help="with --save: keep names, addresses, serial numbers")
    verb.add_argument("--root", default="/", metavar="DIR", help="where the files of the host are seen from")
    _add_source(verb, default=argparse.SUPPRESS)  # or it would undo what stands before the verb


def _list(verb: Parser) -> None:
    verb.set_defaults(run="lookups:list_checks")
    verb.add_argument("--json", action="store_true")


def _explain(verb: Parser) -> None:
    verb.set_defaults(run="lookups:explain")
    verb.add_argument("check", metavar="CHECK")
    _add_source(verb, default=argparse.SUPPRESS)


def _new(verb: Parser) -> None:
    verb.set_defaults(run="lookups:new")
    verb.add_argument("check", metavar="CHECK")
    verb.add_argument("--dir", default=".", help="a folder with checks/, runbooks/ and snapshots/ (default: this one)")


def _show(verb: Parser) -> None:
    verb.set_defaults(run="lookups:show")
    verb.add_argument("report", metavar="REPORT", help="a file, or - for stdin")
    verb.add_argument("--format", choices=FORMATS, default="text")


def _config(verb: Parser) -> None:
    verb.set_defaults(run="lookups:configuration")
    verb.add_argument("verb", choices=("show",))


def _snapshot(verb: Parser) -> None:
    verb.set_defaults(run="snapshots:snapshot")
    verb.add_argument("-o", "--output", metavar="FILE", help="a .tar.gz, or a folder (default: HOST-TIME.tar.gz)")
    verb.add_argument("--no-redact", action="store_true", help="keep names, addresses and serial numbers")
    verb.add_argument("--only", action="append", default=[], metavar="AREA", help="only this area; may be repeated")
    verb.add_argument("--since", metavar="TIME", help="how far back logs go: a time, or 90m, 12h, 3d (default: boot)")
    verb.add_argument("--bug-report", action="store_true", help="run nvidia-bug-report.sh too: it takes minutes")
    verb.add_argument("--timeout", type=_seconds, metavar="S", help="for all questions (default: 300)")
    seal = verb.add_subparsers(metavar="seal DIR", parser_class=Parser).add_parser(
        "seal", help="write the digest of every answer of a snapshot folder"
    )
    seal.add_argument("folder", metavar="DIR")
    seal.set_defaults(run="lookups:seal")


def _diff(verb: Parser) -> None:
    verb.set_defaults(run="snapshots:diff")
    verb.add_argument("a", metavar="A", help="a recording, or `live`: this host, now")
    verb.add_argument("b", metavar="B")
    verb.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")
    verb.add_argument("--format", choices=FORMATS, default="text")


def _history(verb: Parser) -> None:
    verb.set_defaults(run="remembering:history")
    verb.add_argument("metric", nargs="?", default="", metavar="METRIC", help="part of a name, or a pattern")
    verb.add_argument("--json", dest="format", action="store_const", const="json", default="text")


def _mute(verb: Parser) -> None:
    verb.set_defaults(run="remembering:mute")
    verb.add_argument("words", nargs="+", metavar="KEY", help="a check, a key of the JSON report, or a pattern")
    verb.add_argument("--for", dest="duration", metavar="TIME", help="how long: 90m, 12h, 3d")
    verb.add_argument("--reason", metavar="TEXT", help="why, for whoever sees it")
    verb.add_argument("--by", metavar="NAME", help="whose it is (default: you)")


def _runbook(verb: Parser) -> None:
    actions = verb.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    actions.add_parser("list", help="list the runbooks").set_defaults(run="runbooks:list_runbooks")
    shown = actions.add_parser("show", help="print a runbook", description=SHOW_RUNBOOK)
    shown.add_argument("name", metavar="NAME")
    shown.add_argument("--set", action="append", default=[], metavar="K=V", help="a value for the commands")
    shown.add_argument("--format", choices=("text", "markdown", "html"), default="text")
    shown.set_defaults(run="runbooks:show_runbook")
    running = actions.add_parser("run", help="run one step of a runbook", description=RUN)
    running.add_argument("name", metavar="NAME")
    running.add_argument("--step", default="", metavar="ID", help="which step: its id or number (without: list them)")
    running.add_argument("--set", action="append", default=[], metavar="K=V", help="a value, else the finding's")
    running.add_argument("--undo", action="store_true", help="run what takes the step back")
    running.add_argument("--dry-run", action="store_true", help="say what would be run and touched, and run nothing")
    running.add_argument("--yes", action="store_true", help="do not ask before a step marked tune or jobs")
    running.add_argument("--allow", choices=("kills",), help="do not ask before a step marked kills either")
    running.add_argument("--unrecorded", action="store_true", help="run it though it cannot be recorded")
    running.add_argument("--root", default="/", metavar="DIR", help="where checks see files; steps run on this host")
    running.set_defaults(run="running:run")
    _add_source(running, default=argparse.SUPPRESS)
    lint = actions.add_parser("lint", help="look for mistakes in runbooks", description=LINT)
    lint.add_argument("paths", nargs="*", metavar="PATH", help="files or folders (default: all that are found)")
    lint.add_argument("--json", action="store_true")
    lint.set_defaults(run="runbooks:lint_runbooks")


def _profile(verb: Parser) -> None:
    actions = verb.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    actions.add_parser("list", help="list the profiles, ours and the site's").set_defaults(run="profiles:list_profiles")
    one = actions.add_parser("show", help="print a profile as TOML")
    one.add_argument("name", metavar="NAME")
    one.set_defaults(run="profiles:show_profile")
    captured = actions.add_parser("capture", help="print what a host has as a profile", description=CAPTURE)
    captured.add_argument("-o", "--output", metavar="FILE", help="write it there instead of stdout")
    captured.set_defaults(run="profiles:capture")
    _add_source(captured, default=argparse.SUPPRESS)


def _audit(verb: Parser) -> None:
    verb.set_defaults(run="auditing:audit")
    verb.add_argument("verb", choices=("show", "verify"))
    verb.add_argument("--markdown", action="store_true", help="show it as a timeline for a ticket")


CHECK = "Run checks on this host or on a recording. Exit code: 2 critical, 1 warning, 3 unknown, 0 otherwise."
NEW = "Write checks/CHECK.py, runbooks/CHECK.md and snapshots/CHECK_trips/ to start from. No file is changed."
SHOW = "Print a JSON report as text, JSON or markdown; the exit code is that of the report."
EXPLAIN = """Prints what a check judges, why, and what may be set; of topology, gpu_pcie and the NVLinks also a drawing
of this host, or of a recording with --from, on which what is wrong is marked."""
DEMO = "Open the screen on a recorded bad night that comes with mlopsdoc; without a terminal, print its report."
SNAPSHOT = (
    "Ask this host everything that checks and vendors ask for, replace names, addresses, serial numbers and secrets, "
    "and write it as one file. Nothing is changed, nothing is sent anywhere."
)
DIFF = (
    "Print what changed from A to B, of one host or of two: findings, statuses, versions, settings, topology, "
    "counters. Exit code 1 when a status got worse, 0 otherwise."
)
HISTORY = (
    "Print since when each finding stands, how often it came back, whether a reboot helped, and numbers over time, "
    "from what runs of `check` have left."
)
MUTE = (
    "Mute findings of this host until a time: they are shown and counted apart, and the exit code of `check` is that "
    "of the others. `mute list` prints the mutes, `mute lift KEY` ends one."
)
SHOW_RUNBOOK = "Print a runbook. Values given with --set are set before each command that uses them; nothing is run."
RUN = (
    "Run one step of a runbook and record it: its finding must stand, and its check is asked again afterwards. Exit "
    "code: 0 well, 1 the step failed, 2 its check is still not ok, 3 the check cannot tell, 69 nothing was run."
)
CAPTURE = (
    "Print what this host has (GPUs, links, sockets, NUMA nodes, supplies) as a profile for /etc/mlopsdoc/profiles. "
    "What could not be seen for certain is left out."
)
AUDIT = "Show which steps were run; verify: whether the log is as it was written (exit code 1 when it is not)."
LINT = "Print what is wrong with runbooks, a line each. Exit code 1 when there is an error, 0 otherwise."


# What each is for, in a line and for its own help, and what it may be told.
VERBS: dict[str, tuple[str, str, Callable[[Parser], None]]] = {
    "check": ("run checks and print a report", CHECK, _check),
    "list": ("list the checks", "", _list),
    "explain": ("what a check judges, and why", EXPLAIN, _explain),
    "new": ("start a check: its file, runbook and snapshot", NEW, _new),
    "schema": ("print the JSON Schema of the report", "", lambda verb: verb.set_defaults(run="lookups:schema")),
    "show": ("print a JSON report in another form", SHOW, _show),
    "demo": ("the screen, on a recorded bad night", DEMO, lambda verb: verb.set_defaults(run="checking:demo")),
    "config": ("print the configuration in force", "", _config),
    "snapshot": ("keep all that checks and vendors ask for, redacted", SNAPSHOT, _snapshot),
    "diff": ("what changed from one recording to another", DIFF, _diff),
    "history": ("what was wrong since when, and numbers over time", HISTORY, _history),
    "mute": ("let a finding not count for a while: KEY, `list`, or `lift KEY`", MUTE, _mute),
    "runbook": ("list, show, run and lint runbooks", "", _runbook),
    "profile": ("list and show profiles; make one of a host", "", _profile),
    "audit": ("what was run, by whom, with what result", AUDIT, _audit),
}


def _add_source(to: Parser, *, default: str | None) -> None:
    help = "a recording instead of this host, - for stdin, or demo for one that comes with mlopsdoc"
    to.add_argument("--from", dest="source", action="append", type=_source, default=default, metavar="SRC", help=help)
    to.add_argument("--at", default=default, metavar="TIME", help="the moment of a recording that does not tell it")
    partial = "judge what comes before the end of an archive that is cut off or damaged"
    to.add_argument("--partial", action="store_true", default=default, help=partial)


def _source(name: str) -> str:
    import os

    from mlopsdoc.shipped import shipped

    return shipped("snapshots") + "/bad_night" if name == "demo" and not os.path.exists(name) else name


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"want seconds, more than 0 and less than a day, not {text!r}")
    return value
