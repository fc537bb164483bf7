"""All that parts of the screen say to each other."""

from __future__ import annotations

from textual.message import Message

from mlopsdoc.tui.board import Row
from mlopsdoc.tui.wire import Said


class EngineSaid(Message):
    """From the process that asks: a plan, a result, a report or trouble."""

    def __init__(self, said: Said) -> None:
        super().__init__()
        self.said = said


class EngineEnded(Message):
    """That process has gone."""

    def __init__(self, why: str) -> None:
        super().__init__()
        self.why = why


class Chosen(Message):
    """From the list: another row is selected (or none), or what it stands for has changed."""

    def __init__(self, row: Row | None) -> None:
        super().__init__()
        self.row = row
