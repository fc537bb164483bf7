"""The lines of an answer, without the one in whose middle it was cut."""

from __future__ import annotations

from mlopsdoc import Answer


def whole_lines(answer: Answer) -> list[str]:
    """Every line; of an answer that was cut only those that end with a newline, for the last may be half a word."""
    lines = answer.text.split("\n")
    if answer.status == "truncated":
        del lines[-1]
    return lines
