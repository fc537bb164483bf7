"""The line at the bottom: keys or a word to the reader, and while something is asked, what is typed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from textual.events import Key, Resize

from mlopsdoc.clean import clean
from mlopsdoc.tui.canvas import Canvas
from mlopsdoc.tui.words import Line, literal, paragraph, size

# Told what was typed, or None when the reader thought better of it.
Answered: TypeAlias = Callable[[str | None], None]
MAX_TYPED = 1000
MAX_LINES = 6


class Prompt(Canvas):
    """As many lines as its words need.

    (Textual's own Input blinks, which costs bytes on a slow link for as long as it is open.)
    """

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Line] = ()
        self._question = ""
        self._typed = ""
        self._answered: Answered | None = None

    @property
    def is_asking(self) -> bool:
        """Whether what is typed is an answer."""
        return self._answered is not None

    def say(self, lines: Sequence[Line]) -> None:
        """What stands here while nothing is asked."""
        self._lines = lines[:MAX_LINES]
        self._draw(self.size.width)

    def ask(self, question: str, answered: Answered) -> None:
        self._question, self._typed, self._answered = question, "", answered
        self._draw(self.size.width)

    def on_resize(self, event: Resize) -> None:
        self._draw(event.size.width)

    def _draw(self, width: int) -> None:
        lines = self._lines if self._answered is None else self._asked(width)
        self.styles.height = max(len(lines), 1)
        self.paint(lines)

    def _asked(self, width: int) -> list[Line]:
        """What is typed stands beside the question, or below it where both do not fit; of a long text its end."""
        if size(self._question) + size(self._typed) + 3 <= width:
            return [((f" {self._question} ", "bold"), (self._typed, ""), (" ", "cursor"))]
        question = paragraph(self._question, width - 1, "bold", (" ", ""))[:MAX_LINES]
        *lines, last = literal(self._typed, width - 2, "", " ")[-MAX_LINES:]
        return [*question, *lines, (*last, (" ", "cursor"))]

    def takes(self, event: Key) -> bool:
        """Whether something is asked, so that the key is part of the answer."""
        if self._answered is None:
            return False
        if event.key in ("enter", "escape", "ctrl+c"):
            answered, self._answered = self._answered, None
            self._draw(self.size.width)
            answered(self._typed if event.key == "enter" else None)
        elif event.key in ("backspace", "ctrl+h"):
            self._type(self._typed[:-1])
        elif event.key == "ctrl+u":
            self._type("")
        elif event.character and event.is_printable:
            self._type(self._typed + event.character)
        return True

    def paste(self, text: str) -> None:
        """Add a text to the answer, if something is asked; its end is not taken for Enter."""
        if self._answered is not None:
            lines = text.replace("\r\n", "\n").replace("\r", "\n").strip("\n")  # terminals send either
            self._type(self._typed + clean(lines).replace("\n", " ").expandtabs(1))

    def _type(self, text: str) -> None:
        self._typed = text[:MAX_TYPED]
        self._draw(self.size.width)
