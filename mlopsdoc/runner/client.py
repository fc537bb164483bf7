"""Starts a step and follows it: for the command line and the screen alike.

run = client.start(plan)
for event in run.events():      # or: await readability of run.fileno(), then run.read()
    ...
run.stop()                      # at any time: asks it to end the step
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

import mlopsdoc
from mlopsdoc.runner.plan import Done, Event, Plan, event, packed
from mlopsdoc.runner.process import STOP

# Nothing is imported from the folder that we happen to be in.
_CODE = (
    "import sys; sys.path = [p for p in sys.path if p] + [sys.argv[1]]; "
    "from mlopsdoc.runner.process import main; main()"
)
NO_LAST_WORD = "the process that watched over it ended without a word: see `mlopsdoc audit show`"


class Run:
    """A step on its way. It goes on, or is stopped, as the step says, when this is closed before it is over."""

    def __init__(self, channel: socket.socket, process: subprocess.Popen[bytes]) -> None:
        self._channel = channel
        self._process = process
        self._rest = b""
        self.is_over = False

    def fileno(self) -> int:
        """Readable when there are events."""
        return self._channel.fileno()

    def read(self) -> list[Event]:
        """The events that came since the last time; waits for some. The last of all is Done."""
        try:
            data = self._channel.recv(1 << 18)
        except OSError:
            data = b""
        *lines, self._rest = (self._rest + data).split(b"\n")
        found: list[Event] = [event(line) for line in lines]
        if not data and not self.is_over:
            found.append(Done("failed", NO_LAST_WORD))
        self.is_over = self.is_over or any(isinstance(one, Done) for one in found)
        return found

    def events(self) -> Iterator[Event]:
        while not self.is_over:
            yield from self.read()

    def stop(self) -> None:
        with suppress(OSError):
            self._channel.send(STOP)

    def close(self) -> None:
        self._channel.close()
        if self.is_over:
            self._process.wait()


def start(plan: Plan) -> Run:
    """Start the process that runs a step; raises OSError. Threads of the caller do not matter."""
    ours, theirs = socket.socketpair()
    home = os.path.dirname(os.path.dirname(os.path.abspath(mlopsdoc.__file__)))
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE, home, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], start_new_session=not plan.in_session, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    ours.sendall(packed(plan))
    return Run(ours, process)
