"""The screen as a picture and as text, for a ticket."""

from __future__ import annotations

from typing import Any

from textual.app import App

from mlopsdoc.tui.canvas import Canvas
from mlopsdoc.tui.clipboard import saved
from mlopsdoc.tui.words import as_text


def exported(app: App[Any]) -> str:
    """Write both; where they are, in words."""
    shown = [widget for widget in app.screen.query(Canvas) if widget.region.area]
    text = "\n".join(
        "".join(f"{as_text(line).rstrip()}\n" for line in widget.painted[: widget.size.height]) for widget in shown
    )
    picture = app.export_screenshot(title="mlopsdoc")
    return saved({".svg": picture.encode(), ".txt": text.encode()})
