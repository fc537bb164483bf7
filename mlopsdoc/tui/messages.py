"""All that parts of the screen say to each other."""

from __future__ import annotations

from textual.message import Message

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


class Notice(Message):
    """A word to the reader, to stand in the last line until the next key."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text


class DryRun(Message):
    """From the step that is shown: find out what it would touch."""

    def __init__(self, text: str, touch: str, values: dict[str, str]) -> None:
        super().__init__()
        self.question = (text, touch, values)


class StepDone(Message):
    """A step is over: what its check says may have changed."""
