"""The screen: one process asks the machine, another one draws. The only package that imports textual."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlopsdoc.hosts.recorder import Replay
    from mlopsdoc.model import Report, Source


def open_screen(opened: tuple[Replay, list[Source]] | None, recalled: tuple[Report, float] | None = None) -> int:
    """Show this machine, or a recording that was opened, until the reader has had enough; the exit code.

    Call it on a terminal, before any thread is started: it forks the process that runs the checks. recalled: the
    report of an earlier run and its age, to be shown until there is a new one.
    """
    import os
    import socket

    ours, theirs = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        from mlopsdoc.tui import engine_process

        engine_process.serve(theirs, opened)
    theirs.close()
    from mlopsdoc.tui.app import show  # the slow import, while the other process already asks
    from mlopsdoc.tui.feed import Feed

    return show(Feed(ours, pid), recalled)
