"""The line at the bottom: keys or a word to the reader, and while something is asked, what is typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from textual.events import Key

from mlopsdoc.tui.canvas import Canvas
from mlopsdoc.tui.words import Line

# Told what was typed, or None when the reader thought better of it.
Answered: TypeAlias = Callable[[str | None], None]
MAX_TYPED = 200


class Prompt(Canvas):
    """(Textual's own Input blinks, which costs bytes on a slow link for as long as it is open.)"""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Line] = ()
        self._question = ""
        self._typed = ""
        self._answered: Answered | None = None

    def say(self, lines: Sequence[Line]) -> None:
        """What stands here while nothing is asked."""
        self._lines = lines
        self._draw()

    def ask(self, question: str, answered: Answered) -> None:
        self._question, self._typed, self._answered = question, "", answered
        self._draw()

    def _draw(self) -> None:
        if self._answered is None:
            self.paint(self._lines)
        else:
            self.paint([((f" {self._question} ", "bold"), (self._typed, ""), (" ", "cursor"))])

    def takes(self, event: Key) -> bool:
        """Whether something is asked, so that the key is part of the answer."""
        if self._answered is None:
            return False
        if event.key in ("enter", "escape"):
            answered, self._answered = self._answered, None
            self._draw()
            answered(self._typed if event.key == "enter" else None)
        elif event.key in ("backspace", "ctrl+h"):
            self._typed = self._typed[:-1]
            self._draw()
        elif event.key == "ctrl+u":
            self._typed = ""
            self._draw()
        elif event.character and event.is_printable and len(self._typed) < MAX_TYPED:
            self._typed += event.character
            self._draw()
        return True
