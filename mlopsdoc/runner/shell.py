"""The only place that knows the package `sh`: starts the command of a step, and says how it ended.

What makes `sh` fit for this: it reads nothing itself (a descriptor takes the output, so no thread of it can hang on a
daemon that keeps the pipe open, and no byte is decoded), the child has no terminal and a session of its own, nothing
is raised in a thread, and SIGHUP, which `sh` would have the child and every daemon of it ignore, is as usual.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from typing import Any, cast


class CannotStart(RuntimeError):
    """No process came of it: why."""


class Command:
    """A command that runs. Its process is the head of its own session, or (`in_session`) only of its own group."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], output: int, *, in_session: bool = False) -> None:
        import sh

        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        options: dict[str, Any] = {
            "_in": null, "_out": output, "_err_to_out": True, "_tty_in": False, "_tty_out": False, "_no_out": True,
            "_bg": True, "_bg_exc": False, "_return_cmd": True, "_ok_code": range(256), "_truncate_exc": False,
            "_new_session": not in_session, "_new_group": in_session, "_close_fds": True, "_cwd": "/",
            "_encoding": "utf-8", "_decode_errors": "surrogateescape", "_env": dict(env), "_preexec_fn": _as_usual,
        }  # fmt: skip
        try:
            self._process: Any = cast(Any, sh).Command(argv[0])(*argv[1:], **options).process
        except (sh.CommandNotFound, sh.ForkException, OSError, ValueError) as error:
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise CannotStart(f"{argv[0]}: {lines[-1]}") from None
        finally:
            os.close(null)
        self.pid: int = self._process.pid

    def ended(self) -> int | None:
        """The exit code, negative where a signal ended it; None while it runs."""
        is_alive, code = self._process.is_alive()
        return None if is_alive or code is None else int(code)


def _as_usual() -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
