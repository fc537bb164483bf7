"""The screen: one process asks the machine, another one draws. The only package that imports textual."""

from __future__ import annotations

import gc
from types import ModuleType
from typing import TYPE_CHECKING

from mlopsdoc.imports import without

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
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


# Of textual what a screen without command palette, messages, mistakes in its CSS, downloads and network never uses:
# a fifth of what it loads at its start.
_UNUSED = (
    "textual.command", "textual.css._help_renderables", "textual.css._help_text", "textual.file_monitor",
    "textual.suggestions", "textual.widgets._toast", "textual.widgets._tooltip", "mimetypes", "platformdirs",
)  # fmt: skip


def start_engine(opening: Opening | None) -> tuple[socket.socket, int]:
    """Start the process that runs the checks, and opens the recording: our end of the channel to it, and its pid.

    Call it before any thread is started: it forks.
    """
    import os
    import socket

    ours, theirs = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        from mlopsdoc.tui import engine_process

        engine_process.serve(theirs, opening)
    theirs.close()
    return ours, pid


def open_screen(opening: Opening | None, recall: Recalling = lambda: None, options: Sequence[str] = ()) -> int:
    """Show this machine, or the recording that `opening` opens, until the reader has had enough; the exit code.

    Call it on a terminal, before any thread is started: the engine asks while this process loads textual. Raises
    CannotOpen, as `opening` does. recall: the report of an earlier run and its age, to be shown until there is a new
    one. options: of the command line, which say what recording it is.
    """
    ours, pid = start_engine(opening)
    recalled = recall()
    with without({name: _Absent(name) for name in _UNUSED} | {"ssl": None}):  # asyncio does without
        from mlopsdoc.tui.app import show  # the slow import, while the other process already asks
        from mlopsdoc.tui.feed import Feed

    feed = Feed(ours, pid)
    if opening:
        feed.wait()
    return show(feed, recalled, options)
