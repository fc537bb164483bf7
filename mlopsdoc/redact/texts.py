"""Bytes of answers as text, in pieces that end where nothing is cut in two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mlopsdoc.hosts.base import split
from mlopsdoc.redact.rules import compiled

PIECE, BLOCK = 1 << 18, 1 << 22


def pieces(text: str) -> Iterator[str]:
    """Parts of about PIECE characters that end with a line (else a word), and never within a private key."""
    at = 0
    while len(text) - at > 2 * PIECE:
        end = text.rfind("\n", at, at + PIECE) + 1
        if not end:
            match = compiled(r"[\s,;\"]").search(text, at + PIECE)
            end = match.end() if match else len(text)
        if text.rfind("-----BEGIN", at, end) > text.rfind("-----END", at, end):
            closed = text.find("-----END", end, end + (1 << 16))
            end = text.find("\n", closed) + 1 if closed >= 0 else end
            end = end or len(text)
        yield text[at:end]
        at = end
    if at < len(text):
        yield text[at:]


def blocks(data: bytes) -> Iterator[bytes]:
    """Parts of about BLOCK bytes that end with a line, and not soon after a private key began."""
    at = 0
    while len(data) - at > BLOCK:
        end = data.find(b"\n", at + BLOCK)
        key = data.rfind(b"-----BEGIN", max(at, end - (1 << 16)), end)
        if key >= 0 and (closed := data.find(b"-----END", key, key + (1 << 17))) >= 0:
            end = max(end, data.find(b"\n", closed))
        if end < 0:
            break
        yield data[at : end + 1]
        at = end + 1
    yield data[at:] if at else data


def decoded(data: bytes) -> str:
    """Text that gives the same bytes again, whatever they are."""
    return data.decode("utf-8", "surrogateescape")


def readable(data: bytes) -> Iterator[str]:
    """The text of an answer, a block at a time; of JSON with escapes, what they stand for."""
    value = parsed(data) if b"\\" in data else None
    yield from map(decoded, blocks(data)) if value is None else ("\n".join(_lines(value)),)


def _lines(value: Any, name: str = "") -> Iterator[str]:
    """``name=value`` for every text in JSON."""
    if isinstance(value, dict):
        for key, item in value.items():  # pyright: ignore
            yield from _lines(item, str(key))  # pyright: ignore
    elif isinstance(value, list):
        for item in value:  # pyright: ignore
            yield from _lines(item, name)
    elif isinstance(value, str):
        yield f"{name}={value}"


def parsed(data: bytes) -> Any:
    """What the JSON says, or None where it is none."""
    if data.lstrip()[:1] not in (b"{", b"["):
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def plain_key(key: str) -> str:
    """The words of the key of an answer as they were before they were quoted."""
    kind, _, rest = key.partition(" ")
    return " ".join(split(rest)) if kind in ("run", "probe") else rest


def is_binary(data: bytes) -> bool:
    """Whether in much of it no text can be found: a value in UTF-16 has a zero after every letter."""
    head = data[: 1 << 20]
    odd = sum(map(head.count, b"\x01\x02\x03\x04\x05\x06\x0e\x0f\xff"))
    return head.count(0) * 5 > len(head) or odd * 20 > len(head)


def without_serial(config: bytes) -> bytes:
    """PCI configuration space with zeros in place of the device's serial number (extended capability 3)."""
    at, seen = 0x100, set[int]()
    made = bytearray(config)
    while 0x100 <= at <= len(made) - 12 and at not in seen:
        seen.add(at)
        head = int.from_bytes(made[at : at + 4], "little")
        if head & 0xFFFF == 3:
            made[at + 4 : at + 12] = bytes(8)
        at = head >> 20
    return bytes(made)
