"""The screen: one process asks the machine, another one draws. The only package that imports textual."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import TypeAlias

    from mlopsdoc.hosts.recorder import Replay
    from mlopsdoc.model import Report, Source

    Opening: TypeAlias = Callable[[], tuple[Replay, list[Source]]]
    Recalling: TypeAlias = Callable[[], tuple[Report, float] | None]


class CannotOpen(Exception):
    """A recording that there is nothing of to show: why, and the exit code."""

    def __init__(self, why: str, code: int) -> None:
        super().__init__(why)
        self.code = code


def settle() -> None:
    """What the start has made stays; from now on waste is looked for as usual, which the command line puts off."""
    gc.freeze()
    gc.set_threshold(700)


class _Absent(ModuleType):
    """Whose every name is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


# Of textual what a screen without command palette, messages, mistakes in its CSS, downloads and network never uses.
_UNUSED = (
    "textual.command", "textual.css._help_renderables", "textual.css._help_text", "textual.file_monitor",
    "textual.suggestions", "textual.widgets._toast", "textual.widgets._tooltip", "mimetypes", "platformdirs",
)  # fmt: skip


@contextmanager
def _less_to_load() -> Generator[None, None, None]:
    """Without _UNUSED: a fifth of what textual loads at its start."""
    absent = {name: _Absent(name) for name in _UNUSED} | {"ssl": None}  # asyncio does without
    absent = {name: module for name, module in absent.items() if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def open_screen(opening: Opening | None, recall: Recalling = lambda: None, options: Sequence[str] = ()) -> int:
    """Show this machine, or the recording that `opening` opens, until the reader has had enough; the exit code.

    Call it on a terminal, before any thread is started: it forks the process that runs the checks, which also opens
    the recording, while this one loads textual. Raises CannotOpen, as `opening` does. recall: the report of an earlier
    run and its age, to be shown until there is a new one. options: of the command line, which say what recording it is.
    """
    import os
    import socket

    ours, theirs = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        from mlopsdoc.tui import engine_process

        engine_process.serve(theirs, opening)
    theirs.close()
    recalled = recall()
    with _less_to_load():
        from mlopsdoc.tui.app import show  # the slow import, while the other process already asks
        from mlopsdoc.tui.feed import Feed

    feed = Feed(ours, pid)
    if opening:
        feed.wait()
    return show(feed, recalled, options)
