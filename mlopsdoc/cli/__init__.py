"""The command line: reads arguments, wires the rest, prints and exits. The only room that does either."""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from mlopsdoc import __version__
from mlopsdoc.cli.arguments import parse
from mlopsdoc.cli.output import BUG, USAGE, Stop, note, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable


TAKE_A_SOURCE = ("checking:bare", "lookups:explain", "checking:check", "running:run", "profiles:capture")


def main() -> None:
    """Run the program and exit."""
    gc.set_threshold(100_000)  # what is made at the start stays: looking for waste among it costs a fifth of the start
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, this one: or a socket of ours would get it
    _exit(guarded(sys.argv[1:]))


def guarded(argv: list[str]) -> int:
    """The exit code; whatever goes wrong is one line on stderr."""
    try:
        arguments = parse(argv)
        if (arguments.source or arguments.at or arguments.partial) and arguments.run not in TAKE_A_SOURCE:
            raise Stop(
                USAGE,
                "--from, --at and --partial are for the screen, `check`, `explain`, `runbook run`, `profile capture`",
            )
        module, _, function = arguments.run.partition(":")
        command: Callable[[argparse.Namespace], int] = getattr(import_module(f"mlopsdoc.cli.{module}"), function)
        return command(arguments)
    except Stop as stop:
        note(stop.why)
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
        say("")
    except BrokenPipeError:
        pass
    except Stop as stop:
        if code != stop.code:  # or it is said already
            note(stop.why)
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
    note(f"a bug in mlopsdoc {__version__}: {type(error).__name__}: {error}; please report it with {file.name}")
    return BUG
