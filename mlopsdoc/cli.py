"""The command line: reads arguments, wires the rest, prints and exits. The only module that does either."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from mlopsdoc import __version__
from mlopsdoc.clean import decode, one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from mlopsdoc.examination import Setup
    from mlopsdoc.hosts.recorder import Recorder, Replay
    from mlopsdoc.model import Report, Source
    from mlopsdoc.runbook.parse import Runbook

USAGE, NO_DATA, NO_SOURCE, BUG, CANNOT_CREATE, NOT_WRITTEN, LOCKED, BAD_CONFIG = 64, 65, 66, 70, 73, 74, 75, 78
FORMATS = ("text", "json", "markdown")


class Stop(Exception):
    """End with an exit code and one line on stderr."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def main() -> None:
    """Run the program and exit."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, this one: or a socket of ours would get it
    _exit(_guarded(sys.argv[1:]))


def _guarded(argv: list[str]) -> int:
    """The exit code; whatever goes wrong is one line on stderr."""
    try:
        arguments = _parser().parse_args(argv)
        if arguments.version:
            return _version(arguments.verbose)
        command = arguments.run if "run" in arguments else _bare
        return command(arguments)
    except Stop as stop:
        _note(stop.why)
        return stop.code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return _closed_pipe()
    except Exception as error:
        return _crash(error)


def _exit(code: int) -> NoReturn:
    """Leave without waiting for threads that may wait for ever."""
    try:
        _print("")
    except BrokenPipeError:
        pass
    except Stop as stop:
        _note(stop.why)
        code = stop.code
    os._exit(code)


def _closed_pipe() -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 0


def _crash(error: Exception) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="mlopsdoc-crash-", suffix=".txt", delete=False) as file:
        traceback.print_exception(error, file=file)
    _note(f"a bug in mlopsdoc {__version__}: {type(error).__name__}: {error}; please report it with {file.name}")
    return BUG


def _note(text: str) -> None:
    try:
        os.write(2, f"mlopsdoc: {one_line(text)}\n".encode(errors="backslashreplace"))
    except OSError:
        pass


def _print(text: str) -> None:
    """To stdout, whatever the locale."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - closed by whoever started us
        raise Stop(NOT_WRITTEN, "standard output is closed")
    try:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "ascii", "backslashreplace"))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Stop(NOT_WRITTEN, f"the report could not be written: {error.strerror}") from None


def _parser() -> argparse.ArgumentParser:
    import argparse

    class Parser(argparse.ArgumentParser):
        def error(self, message: str) -> NoReturn:
            raise Stop(USAGE, f"{message} (see `{self.prog} --help`)")

    parser = Parser(prog="mlopsdoc", description="Health checks, runbooks and snapshots for GPU and ML servers.")
    parser.add_argument("--version", action="store_true", help="print the version; with --verbose all of a bug report")
    parser.add_argument("--verbose", action="store_true", help=argparse.SUPPRESS)
    _add_source(parser)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)

    check = verbs.add_parser("check", help="run checks and print a report", description=_check.__doc__)
    check.add_argument("select", nargs="*", metavar="SELECT", help="check id, area or pattern (default: all)")
    check.add_argument("--json", dest="format", action="store_const", const="json", help="same as --format json")
    check.add_argument("--format", choices=FORMATS, default="text", help="form of the report (default: text)")
    check.add_argument("-o", "--output", metavar="FILE", help="write the report there instead of stdout")
    check.add_argument("--profile", default="", help="name or file of a profile: what this host should be")
    check.add_argument("--timeout", type=_seconds, metavar="S", help="for the whole run (default: 60)")
    check.add_argument("--fail-on", choices=("warning", "critical", "never"), default="warning", help="see exit codes")
    check.add_argument("--save", metavar="FILE", help="keep the answers as a snapshot (.tar.gz, or a folder)")
    check.add_argument("--root", default="/", metavar="DIR", help="where the files of the host are seen from")
    _add_source(check)
    check.set_defaults(run=_check)

    listing = verbs.add_parser("list", help="list the checks", description=_list.__doc__)
    listing.add_argument("--json", action="store_true")
    listing.set_defaults(run=_list)

    explain = verbs.add_parser("explain", help="what a check judges, and why", description=_explain.__doc__)
    explain.add_argument("check", metavar="CHECK")
    explain.set_defaults(run=_explain)

    new = verbs.add_parser("new", help="start a check: its file, runbook and snapshot", description=_new.__doc__)
    new.add_argument("check", metavar="CHECK")
    new.add_argument("--dir", default=".", help="a folder with checks/ and runbooks/ (default: this one)")
    new.set_defaults(run=_new)

    schema = verbs.add_parser("schema", help="print the JSON Schema of the report")
    schema.set_defaults(run=_schema)

    show = verbs.add_parser("show", help="print a JSON report in another form", description=_show.__doc__)
    show.add_argument("report", metavar="REPORT", help="a file, or - for stdin")
    show.add_argument("--format", choices=FORMATS, default="text")
    show.set_defaults(run=_show)

    demo = verbs.add_parser("demo", help="the screen, on a recorded bad night", description=_demo.__doc__)
    demo.set_defaults(run=_demo)

    config = verbs.add_parser("config", help="print the configuration in force")
    config.add_argument("verb", choices=("show",))
    config.set_defaults(run=_config)

    snapshot = verbs.add_parser("snapshot", help="work on snapshot folders")
    snapshot.add_argument("verb", choices=("seal",), help="seal: write the digest of every answer")
    snapshot.add_argument("folder", metavar="DIR")
    snapshot.set_defaults(run=_seal)

    runbook = verbs.add_parser("runbook", help="list, show and lint runbooks")
    actions = runbook.add_subparsers(metavar="VERB", required=True, parser_class=Parser)
    actions.add_parser("list", help="list the runbooks").set_defaults(run=_runbook_list)
    shown = actions.add_parser("show", help="print a runbook", description=_runbook_show.__doc__)
    shown.add_argument("name", metavar="NAME")
    shown.add_argument("--set", action="append", default=[], metavar="K=V", help="a value for the commands")
    shown.add_argument("--format", choices=("text", "markdown", "html"), default="text")
    shown.set_defaults(run=_runbook_show)
    lint = actions.add_parser("lint", help="look for mistakes in runbooks", description=_runbook_lint.__doc__)
    lint.add_argument("paths", nargs="*", metavar="PATH", help="files or folders (default: all that are found)")
    lint.add_argument("--json", action="store_true")
    lint.set_defaults(run=_runbook_lint)
    return parser


def _add_source(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--from", dest="source", action="append", metavar="SRC", help="a recording instead of this host, or - for stdin"
    )
    parser.add_argument("--at", metavar="TIME", help="the moment of a recording that does not tell it")


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 86400:
        raise ValueError
    return value


def _version(verbose: bool) -> int:
    _print(f"mlopsdoc {__version__}\n")
    if verbose:
        from mlopsdoc import about

        _print("".join(f"{name}: {value}\n" for name, value in about.details()))
    return 0


def _bare(arguments: argparse.Namespace) -> int:
    """The screen on a terminal, the text report elsewhere."""
    if all(map(os.isatty, (0, 1, 2))) and os.environ.get("TERM", "dumb") not in ("", "dumb"):
        return _screen(arguments.source, arguments.at)
    sources: list[str] = arguments.source or []
    at = [f"--at={arguments.at}"] if arguments.at else []
    return _guarded(["check", *(f"--from={source}" for source in sources), *at])


def _screen(sources: list[str] | None, at: str | None) -> int:
    from mlopsdoc.tui import open_screen

    if sources:
        _open_recording(sources, at)  # so that what is wrong with it is said in words, here
    return open_screen(sources or [], _moment(at))


def _check(arguments: argparse.Namespace) -> int:
    """Run checks on this host or on a recording. Exit code: 2 critical, 1 warning, 3 unknown, 0 otherwise."""
    if arguments.source:
        return _check_recording(arguments, arguments.source)
    return _check_live(arguments)


def _check_live(arguments: argparse.Namespace) -> int:
    from mlopsdoc.hosts.nursery import Nursery

    nursery = Nursery()  # before any thread and any heavy import
    started = time.monotonic()
    from contextlib import closing

    from mlopsdoc import config, examination
    from mlopsdoc.engine import Ledger
    from mlopsdoc.hosts.live import Live
    from mlopsdoc.hosts.lock import Held, only_run
    from mlopsdoc.hosts.recorder import Recorder

    if arguments.at:
        raise Stop(USAGE, "--at is for a recording, not for this host")
    if not os.path.isdir(arguments.root):
        raise Stop(NO_SOURCE, f"no such folder: {arguments.root}")
    states = config.state_folders()
    setup = _set_up(arguments.select, arguments.profile)
    deadline_s = arguments.timeout or setup.settings.timeout_s
    try:
        with (
            only_run(states),
            closing(Live(nursery, root=arguments.root, states=states, deadline_s=deadline_s)) as live,
        ):
            host = Recorder(live)
            ledger = Ledger(host)
            results = list(examination.examine(setup, ledger))
            report = examination.report(setup, ledger, results, [examination.live_source(live)], started)
            examination.remember(host, states)
    except Held as held:
        raise Stop(LOCKED, str(held)) from None
    if arguments.save:
        _save(host, report, arguments.save)
    return _deliver(report, arguments)


def _save(host: Recorder, report: Report, path: str) -> None:
    from mlopsdoc.hosts import snapshot

    files = snapshot.files_of(host.recording, {"tool": __version__})
    try:
        snapshot.save(files | {"report.json": _render(report, "json").encode()}, path)
    except OSError as error:
        raise Stop(CANNOT_CREATE, f"{path}: {error.strerror}") from None


def _check_recording(arguments: argparse.Namespace, paths: list[str]) -> int:
    started = time.monotonic()
    from mlopsdoc import examination
    from mlopsdoc.engine import Ledger

    if arguments.root != "/" or arguments.save:
        raise Stop(USAGE, "--root and --save are for this host, not for a recording")
    host, sources = _open_recording(paths, arguments.at)
    for note in host.recording.notes:
        _note(note)
    setup = _set_up(arguments.select, arguments.profile, site=False)
    ledger = Ledger(host)
    results = list(examination.examine(setup, ledger))
    return _deliver(examination.report(setup, ledger, results, sources, started), arguments)


def _open_recording(paths: list[str], at: str | None) -> tuple[Replay, list[Source]]:
    from mlopsdoc import opening
    from mlopsdoc.hosts.merged import Differ

    try:
        return opening.recordings(paths, _moment(at))
    except FileNotFoundError as error:
        raise Stop(NO_SOURCE, f"no such file or folder: {error.filename}") from None
    except Differ as differ:
        raise Stop(USAGE, str(differ)) from None
    except opening.BadSource as error:
        raise Stop(NO_DATA, str(error)) from None


def _moment(text: str | None) -> float | None:
    from mlopsdoc import opening

    try:
        return opening.moment(text) if text else None
    except ValueError:
        raise Stop(USAGE, f"--at wants a time such as 2026-11-23T03:10:00Z, not {text!r}") from None


def _set_up(select: list[str], profile: str, *, site: bool = True) -> Setup:
    """The setup; what is wrong with it stops a person, but a run that nobody watches goes on with defaults."""
    from mlopsdoc import examination
    from mlopsdoc.config import WrongConfig
    from mlopsdoc.profile import WrongProfile

    try:
        setup = examination.set_up(select, profile, site=site)
    except examination.NoSuchCheck as error:
        raise Stop(USAGE, str(error)) from None
    except (WrongConfig, WrongProfile) as error:
        raise Stop(BAD_CONFIG, str(error)) from None
    if setup.wrong_config and os.isatty(1):
        raise Stop(BAD_CONFIG, "; ".join(setup.wrong_config))
    return setup


def _render(report: Report, format: str) -> str:
    if format == "json":
        from mlopsdoc.report import json

        return json.render(report)
    if format == "markdown":
        from mlopsdoc.report import markdown

        return markdown.render(report)
    import shutil

    from mlopsdoc.report import text

    colour = os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return text.render(report, width=shutil.get_terminal_size((80, 24)).columns, colour=colour, command=_own_path())


def _own_path() -> str:
    """How this program is started by root, whose PATH may lack it."""
    name = sys.argv[0]
    return os.path.abspath(name) if "/" in name and os.access(name, os.X_OK) else "mlopsdoc"


def _deliver(report: Report, arguments: argparse.Namespace) -> int:
    """Write the report where it is wanted, and give the exit code."""
    text = _render(report, arguments.format)
    if arguments.output:
        _write(arguments.output, text.encode())
    else:
        _print(text)
    return _code(report, arguments.fail_on)


def _write(name: str, data: bytes) -> None:
    """To a file whole or not at all; what is no plain file (a device, a FIFO) is written to, not replaced."""
    from mlopsdoc.hosts.ring import replace_file

    path = os.path.realpath(name)
    if os.path.exists(path) and not os.path.isfile(path):
        try:
            with open(path, "wb") as file:
                file.write(data)
        except OSError as error:
            raise Stop(NOT_WRITTEN, f"{name}: {error.strerror}") from None
    elif not os.path.isdir(os.path.dirname(path)) or not replace_file(path, data, 0o644):
        raise Stop(CANNOT_CREATE, f"{name} cannot be written")


def _code(report: Report, fail_on: str) -> int:
    codes = {"critical": 2} if fail_on == "critical" else {"critical": 2, "warning": 1, "unknown": 3}
    return 0 if fail_on == "never" else codes.get(report.status.value, 0)


def _list(arguments: argparse.Namespace) -> int:
    """List the checks that are found, shipped ones and the site's own."""
    from mlopsdoc import describe

    setup = _set_up([], "")
    rows = describe.rows(setup)
    if arguments.json:
        import json

        _print(json.dumps(rows, indent=1) + "\n")
    else:
        _print("".join(f"{row['id']:<16} {row['area']:<8} {row['title']}\n" for row in rows))
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    """Print what a check judges and why, its thresholds, what it reads and where its runbook is."""
    from mlopsdoc import describe

    setup = _set_up([arguments.check], "")
    _print("\n".join(describe.explained(check, setup) for check in setup.checks))
    return 0


def _new(arguments: argparse.Namespace) -> int:
    """Write checks/CHECK.py, runbooks/CHECK.md and snapshots/CHECK_trips/ to start from. No file is changed."""
    from mlopsdoc import scaffold

    try:
        made = scaffold.make(arguments.check, arguments.dir)
    except scaffold.CannotMake as error:
        raise Stop(USAGE, str(error)) from None
    except OSError as error:
        raise Stop(CANNOT_CREATE, f"{error.filename}: {error.strerror}") from None
    _print("".join(f"{path}\n" for path in made))
    return 0


def _schema(_: argparse.Namespace) -> int:
    from mlopsdoc.report import json

    _print(json.schema())
    return 0


def _show(arguments: argparse.Namespace) -> int:
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
    _print(_render(report, arguments.format))
    return _code(report, "warning")


def _demo(_: argparse.Namespace) -> int:
    """Open the screen on a recorded bad night that comes with mlopsdoc; without a terminal, print its report."""
    from mlopsdoc import catalog

    return _guarded(["--from", catalog.shipped("snapshots") + "/bad_night"])


def _config(_: argparse.Namespace) -> int:
    from mlopsdoc import describe

    setup = _set_up([], "")
    _print(describe.configuration(setup))
    return 0


def _seal(arguments: argparse.Namespace) -> int:
    from mlopsdoc.hosts import snapshot

    try:
        count = snapshot.seal(arguments.folder)
    except snapshot.BadSnapshot as error:
        raise Stop(NO_DATA, str(error)) from None
    except OSError as error:
        raise Stop(CANNOT_CREATE, f"{arguments.folder}: {error.strerror}") from None
    _print(f"{arguments.folder}: {count} answers sealed\n")
    return 0


def _runbook_list(_: argparse.Namespace) -> int:
    """List the runbooks, shipped ones and the site's own."""
    from mlopsdoc import catalog

    for name, path in sorted(catalog.find().runbooks.items()):
        try:
            title = _parsed(path).title
        except Stop as stop:
            title = f"({stop.why})"
        _print(f"{name:<16} {one_line(title)}\n")
    return 0


def _parsed(path: str) -> Runbook:
    from mlopsdoc.runbook import parse as runbook

    try:
        return runbook.load(path)
    except runbook.BadRunbook as error:
        raise Stop(NO_DATA, f"{path}: {error}") from None
    except OSError as error:
        raise Stop(NO_SOURCE, f"{path}: {error.strerror}") from None


def _runbook_show(arguments: argparse.Namespace) -> int:
    """Print a runbook. Values given with --set are set before each command that uses them; nothing is run."""
    from mlopsdoc import catalog
    from mlopsdoc.model import parameter_fits
    from mlopsdoc.report import runbooks

    path = catalog.find().runbooks.get(arguments.name)
    if path is None:
        raise Stop(USAGE, f"no such runbook: {arguments.name} (see `mlopsdoc runbook list`)")
    values: dict[str, str] = {}
    for pair in arguments.set:
        name, _, values[name] = pair.partition("=")
        if not parameter_fits(name, values[name]):
            raise Stop(USAGE, f"--set {pair}: no parameter has that name and form")
    if arguments.format == "markdown":
        with open(path, "rb") as file:
            _print(decode(file.read()))
    elif arguments.format == "html":
        _print(runbooks.render_html(_parsed(path)))
    else:
        _print(runbooks.render_text(_parsed(path), values))
    return 0


def _runbook_lint(arguments: argparse.Namespace) -> int:
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

        _print(json.dumps(rows, indent=1) + "\n")
    else:
        _print("".join(f"{row['path']}:{row['line']}: {row['severity']}: {row['text']}\n" for row in rows))
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
