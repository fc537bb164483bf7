"""What the screen knows, for whoever reads lines: the same process asks, the same board keeps what it says.

Without textual.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from time import monotonic

from mlopsdoc.model import Finding, Status
from mlopsdoc.tui import CannotOpen
from mlopsdoc.tui.bars import SILENT_S
from mlopsdoc.tui.board import Board
from mlopsdoc.tui.wire import Again, Closed, Made, Order, Pause, Said, Touch, Touched, Trouble, Unpacker, send

SPOKEN_APART_S = 10.0  # a fault that comes and goes must not talk all the time
PATIENCE_S = 90.0  # a whole run has 60


class Lines:
    """The board, kept up; lines that are typed; and what is to be said of changes.

    Findings have numbers that stay theirs: what was number 3 is never another one.
    """

    def __init__(self, channel: socket.socket) -> None:
        """channel: to the process that asks."""
        self._channel = channel
        self.board = Board()
        self.keys: list[str] = []
        self.has_ended = False
        self._typed = b""
        self._unpacker = Unpacker()
        self._spoken: dict[str, Finding] = {}
        self._spoken_at = 0.0
        self._heard = monotonic()
        self._was_silent = False
        self.rounds = 0
        self._touched: list[str] | None = None
        self._remarks: list[str] = []

    # Lines

    def typed(self) -> Iterator[str | None]:
        """Lines as they are typed; None when there may be something to say. Ends with the input."""
        while True:
            yield None  # first of all, and after each line
            while b"\n" not in self._typed:
                if self._wait(5.0, lines=True):
                    data = os.read(0, 1 << 16)
                    if not data:
                        if self._typed:
                            yield self._typed.decode("utf-8", "replace")
                        return
                    self._typed += data
                else:
                    yield None
            line, _, self._typed = self._typed.partition(b"\n")
            yield line.decode("utf-8", "replace")

    def answer(self) -> str:
        """The next line, whatever is heard meanwhile; nothing at the end of the input."""
        return next((line for line in self.typed() if line is not None), "").strip()

    # The other process

    def _wait(self, seconds: float, *, lines: bool) -> bool:
        """Take what is heard for so long at most; whether something was typed."""
        watched: list[int | socket.socket] = [0] if lines else []
        if not self.has_ended:
            watched.append(self._channel)
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._channel in ready:
            self._take()
        return 0 in ready

    def _take(self) -> None:
        try:
            data = self._channel.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self._end()
        self._heard = monotonic()
        for said in self._unpacker.said(data):
            self._hear(said)

    def _end(self) -> None:
        if not self.has_ended:
            self._remarks.append("what runs the checks has ended: nothing is asked any more; q, then start again")
        self.has_ended = True

    def _hear(self, said: Said) -> None:
        if isinstance(said, Closed):
            raise CannotOpen(said.why, said.code)
        if isinstance(said, Touched):
            self._touched = said.rows
            return
        if isinstance(said, Trouble) and said.why != self.board.trouble:
            self._remarks.append(f"trouble: {said.why}")
        self.board.hear(said)
        self.rounds += isinstance(said, Made | Trouble)

    def order(self, order: Order) -> bool:
        """Whether it is heard."""
        try:
            send(self._channel, order)
        except OSError:
            self._end()
        return not self.has_ended

    def next(self) -> None:
        """Wait until a round is through; raises CannotOpen where a recording cannot be opened."""
        before = self.rounds
        self._wait_for(lambda: self.rounds > before)

    def again(self, check: str = "") -> bool:
        """Ask anew, and wait for a round that began after that, or for that which goes on; whether it was heard."""
        before, rounds = self.clock, self.rounds

        def is_through() -> bool:
            """One that began in the same second may be that which went on: then the next one, if there is any."""
            silent = monotonic() - self._heard > 3
            return self.rounds > rounds + (self.clock == before and not silent)

        self._spoken_at = 0.0  # what comes of it is said at once
        if self.order(Again(check)):
            self._wait_for(is_through)
        return not self.has_ended

    @property
    def clock(self) -> str:
        """When the report was made."""
        return (self.board.report and self.board.report.taken_at) or ""

    def pause(self) -> bool:
        if self.order(Pause(not self.board.paused)):
            self.board.paused = not self.board.paused
            self._heard = monotonic()
        return not self.has_ended

    def touches(self, touch: Touch) -> list[str]:
        """What a step would touch."""
        self._touched = None
        if self.order(touch):
            self._wait_for(lambda: self._touched is not None)
        return self._touched or ["nothing that can be told without running it"]

    def _wait_for(self, is_so: Callable[[], bool]) -> None:
        end = monotonic() + PATIENCE_S
        while not is_so() and not self.has_ended and (left := end - monotonic()) > 0:
            self._wait(min(left, 1.0), lines=False)

    # What is said of changes

    def number(self, found: Finding) -> int:
        if found.key not in self.keys:
            self.keys.append(found.key)
        return self.keys.index(found.key) + 1

    def troubles(self) -> dict[str, Finding]:
        """The findings that stand, by key, the worst first and what is muted last; they have numbers now."""
        checks = self.board.report.checks if self.board.report else ()
        found = [f for result in checks for f in result.findings if f.status.is_trouble]
        found.sort(key=lambda f: (f.muted is not None, -f.status.rank))
        for one in found:
            self.number(one)
        return {f.key: f for f in found}

    def is_silent(self) -> float:
        """For how many seconds nothing was heard, where something should be; else 0."""
        silent = monotonic() - self._heard
        return silent if self.board.plan.live and not self.board.paused and silent > SILENT_S else 0.0

    def heard(self) -> None:
        """All that stands has been said."""
        self._spoken, self._spoken_at = self.troubles(), monotonic()

    def news(self) -> list[str]:
        """A line for each change since what was said last."""
        said, self._remarks = self._remarks, []
        if (silent := self.is_silent() > 0) and not self._was_silent:
            said.append(f"no answer for {SILENT_S:.0f} s: what was said is of {self.clock[11:16]} UTC")
        self._was_silent = silent
        if self.board.report is None or monotonic() - self._spoken_at < SPOKEN_APART_S:
            return said
        clock = f"{self.clock[11:16]} UTC: "
        now, before = self.troubles(), self._spoken
        for key, found in now.items():
            was = before.get(key)
            if was is None:
                said.append(f"{clock}new: {self.line(found)}")
            elif was.status is not found.status:
                word = "worse" if was.status < found.status else "better"
                said.append(f"{clock}{word}, it was {was.status.value}: {self.line(found)}")
            elif (was.muted is None) is not (found.muted is None):
                said.append(f"{clock}{'muted' if found.muted else 'no longer muted'}: {self.line(found)}")
        for key, found in before.items():
            if key not in now:
                said.append(f"{clock}{self._fate(found)}: {self.line(found)}")
        if now != before:
            self._spoken = now
        if said:
            self._spoken_at = monotonic()
        return said

    def _fate(self, found: Finding) -> str:
        """What has become of a finding that is not there: only a check that could see says that it has gone."""
        result = self.board.results.get(found.key.partition("/")[0])
        can_tell = result is not None and result.status not in (Status.UNKNOWN, Status.SKIPPED)
        return "gone" if can_tell else "it cannot be seen any more, and may still be so"

    def line(self, found: Finding) -> str:
        muted = f"muted until {found.muted.until}: " if found.muted else ""
        return f"{self.number(found)}. {muted}{found.status.value}: {found.subject}: {found.summary}"
