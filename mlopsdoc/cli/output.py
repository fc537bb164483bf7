"""What goes out: text, notes, reports, exit codes. Nothing else of the program prints or exits."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mlopsdoc.clean import one_line

if TYPE_CHECKING:
    from mlopsdoc.model import Report

USAGE, NO_DATA, NO_SOURCE, BUG, CANNOT_CREATE, NOT_WRITTEN, LOCKED, BAD_CONFIG = 64, 65, 66, 70, 73, 74, 75, 78
NOTHING_RUN, NO_PERMISSION = 69, 77  # of a step


class Stop(Exception):
    """End with an exit code and one line on stderr."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


def note(text: str) -> None:
    """One line to stderr."""
    try:
        os.write(2, f"mlopsdoc: {one_line(text)}\n".encode(errors="backslashreplace"))
    except OSError:
        pass


def say(text: str) -> None:
    """To stdout, whatever the locale."""
    if sys.stdout is None:  # pyright: ignore[reportUnnecessaryComparison] - closed by whoever started us
        raise Stop(NOT_WRITTEN, "standard output is closed")
    try:
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding or "ascii", "backslashreplace"))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise Stop(NOT_WRITTEN, f"standard output could not be written: {error.strerror}") from None


def render(report: Report, format: str) -> str:
    """The report in a form: text as wide and as colourful as stdout takes it."""
    if format == "json":
        from mlopsdoc.report import json

        return json.render(report)
    if format == "markdown":
        from mlopsdoc.report import markdown

        return markdown.render(report)
    from mlopsdoc.report import text

    colour = os.isatty(1) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return text.render(report, width=columns(), colour=colour, command=_own_path())


def columns() -> int:
    """How wide the reader's terminal is: what COLUMNS says, else what stdout is; 80 where that is none."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(1).columns or 80
    except OSError:
        return 80


def _own_path() -> str:
    """How this program is started by root, whose PATH may lack it."""
    name = sys.argv[0]
    return os.path.abspath(name) if "/" in name and os.access(name, os.X_OK) else "mlopsdoc"


def write(name: str, data: bytes) -> None:
    """To a file whole or not at all; what is no plain file (a device, a FIFO) is written to, not replaced."""
    from mlopsdoc.hosts.ring import replace_file

    path = os.path.realpath(name)
    folder = os.path.dirname(path)
    if os.path.exists(path) and not os.path.isfile(path):
        try:
            with open(path, "wb") as file:
                file.write(data)
        except OSError as error:
            raise Stop(NOT_WRITTEN, f"{name}: {error.strerror}") from None
    elif not os.path.isdir(folder):
        raise Stop(CANNOT_CREATE, f"{name}: no such folder: {folder}")
    elif not replace_file(path, data, 0o644):
        raise Stop(CANNOT_CREATE, f"{name} cannot be written")


def exit_code(report: Report, fail_on: str) -> int:
    """2 critical, 1 warning, 3 unknown, 0 otherwise; only what `fail_on` wants."""
    codes = {"critical": 2} if fail_on == "critical" else {"critical": 2, "warning": 1, "unknown": 3}
    return 0 if fail_on == "never" else codes.get(report.status.value, 0)
