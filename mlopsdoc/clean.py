"""Text made safe: the one place where bytes of a machine become words that may reach a terminal.

Process names, pool names and kernel lines may hold escape sequences that set the clipboard, the title or
the colours of whoever looks at them, and bidirectional marks that make one word look like another. What
cannot be printed is shown as an escape such as ``\\x1b``; nothing is dropped silently but colours.
"""

import re
from functools import cache

MAX_LINE = 65536
_PLAIN = bytes(range(0x20, 0x7F)) + b"\n\t"


@cache
def _colour() -> re.Pattern[str]:
    return re.compile(r"\x1b\[[0-9;]{0,32}m")


@cache
def _unsafe() -> re.Pattern[str]:
    return re.compile(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
        "\ud800-\udfff\U000e0000-\U000e007f]"
    )


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def decode(data: bytes) -> str:
    """The text of an answer: safe characters, tabs and newlines; lines end at MAX_LINE characters."""
    if not data.translate(None, _PLAIN):
        return _cut(data.decode("ascii"))
    return clean(data.decode("utf-8", "backslashreplace"))


def clean(text: str) -> str:
    """The same for text that is already decoded, of several lines."""
    return _cut(_unsafe().sub(_escape, _colour().sub("", text.replace("\r\n", "\n"))))


def _cut(text: str) -> str:
    if len(text) <= MAX_LINE:
        return text
    return "\n".join(line[:MAX_LINE] for line in text.split("\n"))


def one_line(text: str, limit: int = 2000) -> str:
    """The same on one line of at most `limit` characters, for names and sentences."""
    if len(text) <= limit and text.isascii() and text.isprintable():
        return text
    text = " ".join(clean(text).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
