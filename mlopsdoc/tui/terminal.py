"""What is known of the terminal, for whoever wonders why it looks as it does."""

from __future__ import annotations

import os
import pwd
import sys


def facts() -> list[tuple[str, str]]:
    """Name and value, a line each."""
    env = os.environ
    try:
        columns, lines = os.get_terminal_size()
        size = f"{columns} x {lines}"
    except OSError:
        size = "unknown"
    inside = [word for word, name in (("tmux", "TMUX"), ("screen", "STY"), ("ssh", "SSH_CONNECTION")) if env.get(name)]
    encoding = getattr(sys.__stderr__, "encoding", "") or "unknown"
    return [
        ("TERM", f"{env.get('TERM', 'not set')}, {size}, {encoding}"),
        ("colours", "off: NO_COLOR is set" if env.get("NO_COLOR") else "those of your terminal"),
        ("inside", ", ".join(inside) or "nothing"),
        ("you are", f"{_user()}{'' if os.geteuid() == 0 else '; what only root may see was not asked'}"),
    ]


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
