"""Copying out of a terminal that may be far away: the buffer of tmux, else the terminal's own clipboard, always a file.

tmux drops what a program sends to the clipboard unless it was told otherwise, so inside it tmux itself is asked.
Nobody answers OSC 52, so whether the terminal took it is not known: hence the file, whose name is said.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone

from mlopsdoc import config
from mlopsdoc.hosts.ring import replace_file

MAX_OSC52 = 74_994  # what fits into 100,000 bytes of base64, beyond which terminals cut or drop it
TMUX_S = 2.0
# What TERM begins with where there is a clipboard.
WINDOWS = ("xterm", "screen", "tmux", "rxvt", "alacritty", "kitty", "foot", "wezterm", "st-", "konsole", "gnome")


def copy(what: str, text: str, to_terminal: Callable[[str], None] | None) -> str:
    """Copy, and say what and where to, in words. to_terminal: sends OSC 52, where that is any use."""
    places: list[str] = []
    if os.environ.get("TMUX") and _tmux(text):
        places.append("the tmux buffer (prefix ] pastes it)")
    elif to_terminal and len(text.encode()) <= MAX_OSC52:
        to_terminal(text)
        places.append("the clipboard, if the terminal lets us")
    states = config.state_folders()
    if kept := _file(text, states):
        places.append(kept)
    if not any(kept.startswith(f"{state}/") for state in states):
        places[-1:] = [
            f"{''.join(places[-1:]) or 'nowhere'} ({' and '.join(states) or 'a state folder'} cannot be written)"
        ]
    lines = text.count("\n")
    return f"copied {what} ({lines} line{'s' * (lines != 1)}) to {' and '.join(places)}"


def takes_osc52() -> bool:
    """Whether stdout is a terminal that is no console: there an escape sequence would be in the way."""
    return os.isatty(1) and os.environ.get("TERM", "").startswith(WINDOWS)


def by_osc52(text: str) -> None:
    """Send it to the terminal's own clipboard."""
    from base64 import b64encode

    os.write(1, b"\x1b]52;c;" + b64encode(text.encode()) + b"\a")


def saved(parts: Mapping[str, bytes]) -> str:
    """Write files of one name and those endings, here or in the state folder; where they are, in words."""
    name = datetime.now(timezone.utc).strftime("mlopsdoc-%Y%m%d-%H%M%S")
    for folder in (os.getcwd(), *config.state_folders()):
        stem = os.path.join(folder, name)
        if all(replace_file(f"{stem}{end}", data) for end, data in parts.items()):
            return f"saved {' and '.join([f'{stem}{next(iter(parts))}', *list(parts)[1:]])}"
    return "not saved: no folder to write to"


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


def _file(text: str, states: Sequence[str]) -> str:
    """The name of the file that has it now, for us alone; nothing where even that of all cannot be written."""
    temporary = f"{os.environ.get('TMPDIR') or '/tmp'}/mlopsdoc-copied-{os.geteuid()}.txt"
    paths = (*(f"{state}/copied.txt" for state in states), temporary)
    return next((path for path in paths if replace_file(path, text.encode())), "")
