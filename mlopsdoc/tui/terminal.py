"""What is known of the terminal, for whoever wonders why it looks as it does."""

from __future__ import annotations

import os
import pwd


def draws_lines() -> bool:
    """Whether the terminal can show more than ASCII: by the locale as it was given to us, and not on the console of the
    kernel, whose font has no such signs. (Python takes UTF-8 itself where the locale is C, and sets LC_CTYPE.)"""
    try:
        with open("/proc/self/environ", "rb") as file:
            given = {name: value for name, _, value in (one.partition(b"=") for one in file.read().split(b"\0"))}
    except OSError:
        given = dict(os.environb)
    locale = next((value for name in (b"LC_ALL", b"LC_CTYPE", b"LANG") if (value := given.get(name))), b"C")
    is_utf8 = locale.lower().replace(b"-", b"").endswith((b"utf8", b"utf8@euro"))
    return is_utf8 and os.environ.get("TERM") not in ("linux", "dumb")


def for_programs() -> dict[str, str]:
    """What makes our own programs print what this terminal can show."""
    return {} if draws_lines() else {"PYTHONIOENCODING": "ascii:backslashreplace"}


def facts() -> list[tuple[str, str]]:
    """Name and value, a line each."""
    env = os.environ
    try:
        columns, lines = os.get_terminal_size()
        size = f"{columns} x {lines}"
    except OSError:
        size = "unknown"
    inside = [word for word, name in (("tmux", "TMUX"), ("screen", "STY"), ("ssh", "SSH_CONNECTION")) if env.get(name)]
    signs = "lines are drawn" if draws_lines() else "ASCII signs"
    return [
        ("TERM", f"{env.get('TERM', 'not set')}, {size}, {signs}"),
        ("colours", "off: NO_COLOR is set" if env.get("NO_COLOR") else "those of your terminal"),
        ("inside", ", ".join(inside) or "nothing"),
        ("you are", f"{_user()}{'' if os.geteuid() == 0 else '; what only root may see was not asked'}"),
    ]


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"user {os.geteuid()}"
