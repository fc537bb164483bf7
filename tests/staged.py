"""The screen on a terminal, told by a test what its engine says; as a program, by a file of messages as they travel."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path


def show(engine: Callable[[socket.socket], None]) -> int:
    """The screen over an engine that ends when it is through or nobody listens; the exit code."""
    ours, theirs = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        try:
            engine(theirs)
        except OSError:
            pass
        os._exit(0)
    theirs.close()
    from mlopsdoc.tui import app
    from mlopsdoc.tui.feed import Feed

    return app.show(Feed(ours, pid), None)


def main() -> None:
    def engine(channel: socket.socket) -> None:
        channel.sendall(Path(sys.argv[1]).read_bytes())
        channel.recv(1)  # until the screen has gone

    raise SystemExit(show(engine))


if __name__ == "__main__":
    main()
