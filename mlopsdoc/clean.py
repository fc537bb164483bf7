"""Text made safe: the one place where bytes of a machine become words that may reach a terminal.

Process names, pool names and kernel lines may hold escape sequences that set the clipboard, the title or
the colours of whoever looks at them, and bidirectional marks that make one word look like another. What
cannot be printed is shown as an escape such as ``\\x1b``; nothing is dropped silently but colours.
"""

import re
from functools import cache

MAX_LINE = 65536
# For bytes.translate: what is plain as itself, all else as a space. (With bytes to delete it is slow for short ones.)
_PLAIN = b" " * 9 + b"\t\n" + b" " * 21 + bytes(range(0x20, 0x7F)) + b" " * 129


@cache
def _colour() -> re.Pattern[str]:
    return re.compile(r"\x1b\[[0-9;]{0,32}m")


def is_plain(data: bytes) -> bool:
    """Whether there is nothing to be made safe, nor an escape that JSON would turn into such: none but ``\\n``."""
    escapes = data.replace(b"\\n", b"") if b"\\" in data else b""
    return data.translate(_PLAIN) == data and b"\\" not in escapes


def decode(data: bytes) -> str:
    """The text of an answer: safe characters, tabs and newlines; lines end at MAX_LINE characters."""
    if data.translate(_PLAIN) == data:
        text = data.decode("ascii")
        return text if len(text) <= MAX_LINE else _cut(text)
    return clean(data.decode("utf-8", "backslashreplace"))


def clean(text: str) -> str:
    """The same for text that is already decoded, of several lines."""
    if "\x1b[" in text:
        text = _colour().sub("", text)
    text = text.replace("\r\n", "\n")
    if not text.replace("\n", "").replace("\t", "").isprintable():
        text = text.translate(_Safe())
    return _cut(text)


class _Safe(dict[int, str]):
    """For str.translate, which needs no memory for each character."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        shown = char if char.isprintable() or char in "\n\t" else _shown(char)
        if code < 0x3000:
            self[code] = shown
        return shown


def _shown(char: str) -> str:
    code = ord(char)
    if char.isspace() and code > 0x85 and char not in "\u2028\u2029":
        return " "  # a space of another width
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _cut(text: str) -> str:
    if len(text) <= MAX_LINE:
        return text
    return "\n".join(line[:MAX_LINE] for line in text.split("\n"))


def one_line(text: str, limit: int = 2000) -> str:
    """The same on one line of at most `limit` characters, for names and sentences."""
    if len(text) <= limit and text.isprintable():
        return text
    text = " ".join(clean(text).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
