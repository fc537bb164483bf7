"""The screen as a picture and as text, for a ticket."""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import Any

from textual.app import App

from mlopsdoc import config
from mlopsdoc.hosts.ring import replace_file
from mlopsdoc.tui.canvas import Canvas
from mlopsdoc.tui.words import as_text


def exported(app: App[Any]) -> str:
    """Write both; where they are, in words."""
    name = datetime.now(timezone.utc).strftime("mlopsdoc-%Y%m%d-%H%M%S")
    shown = [widget for widget in app.screen.query(Canvas) if widget.region.area]
    text = "\n".join(
        "".join(f"{as_text(line).rstrip()}\n" for line in widget.painted[: widget.size.height]) for widget in shown
    )
    picture = app.export_screenshot(title="mlopsdoc")
    for folder in (os.getcwd(), *config.state_folders()):
        stem = f"{folder}/{name}"
        if os.access(folder, os.W_OK) and all(
            replace_file(f"{stem}{end}", data.encode()) for end, data in ((".svg", picture), (".txt", text))
        ):
            return f"saved {stem}.svg and .txt"
    return "not saved: no folder to write to"
