"""The screen: one process asks the machine, another one draws. The only package that imports textual."""

from __future__ import annotations


def open_screen(sources: list[str], at: float | None) -> int:
    """Show this machine, or a recording of one (of several sources), until the reader has had enough; the exit code.

    Call it on a terminal, before any thread is started: it forks the process that runs the checks. `at` is
    the moment of a recording that does not tell it. The caller has found out that the sources can be read.
    """
    import os
    import socket

    ours, theirs = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        from mlopsdoc.tui import engine_process

        engine_process.serve(theirs, sources, at)
    theirs.close()
    from mlopsdoc.tui.app import show  # the slow import, while the other process already asks
    from mlopsdoc.tui.feed import Feed

    return show(Feed(ours, pid))
