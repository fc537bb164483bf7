"""The screen on a terminal, told by a file what its engine says: messages as they travel, one after the other."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path


def main() -> None:
    ours, theirs = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        theirs.sendall(Path(sys.argv[1]).read_bytes())
        theirs.recv(1)  # until the screen has gone
        os._exit(0)
    theirs.close()
    from mlopsdoc.tui.app import show
    from mlopsdoc.tui.feed import Feed

    raise SystemExit(show(Feed(ours, pid), None))


if __name__ == "__main__":
    main()
