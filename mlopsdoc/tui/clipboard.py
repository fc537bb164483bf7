"""Copying out of a terminal that may be far away: the buffer of tmux, else the terminal's own clipboard, always a file.

tmux drops what a program sends to the clipboard unless it was told otherwise, so inside it tmux itself is asked.
Nobody answers OSC 52, so whether the terminal took it is not known: hence the file, whose name is said.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from mlopsdoc import config
from mlopsdoc.hosts.ring import replace_file

MAX_OSC52 = 74_994  # what fits into 100,000 bytes of base64, beyond which terminals cut or drop it
TMUX_S = 2.0


def copy(text: str, to_terminal: Callable[[str], None]) -> str:
    """Copy, and say where to, in words. to_terminal: sends OSC 52."""
    kept = _file(text)
    if os.environ.get("TMUX") and _tmux(text):
        where = "the tmux buffer (prefix ] pastes it)"
    elif len(text.encode()) <= MAX_OSC52:
        to_terminal(text)
        where = "the clipboard, if the terminal lets us"
    else:
        where = ""
    return "copied to " + (" and ".join(place for place in (where, kept) if place) or "nowhere: no folder to write to")


def _tmux(text: str) -> bool:
    for flags in (["-w"], []):  # -w, since 3.2, hands it on to the terminal as well
        try:
            subprocess.run(
                ["tmux", "load-buffer", *flags, "-"],
                input=text.encode(),
                timeout=TMUX_S,
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        return True
    return False


def _file(text: str) -> str:
    """The name of the file that has it now, or nothing."""
    for state in config.state_folders():
        path = f"{state}/copied.txt"
        if replace_file(path, text.encode()):
            return path
    return ""
