"""Text copied from a terminal as a recording."""

from __future__ import annotations

from mlopsdoc.hosts.recorder import Recording


def is_text(head: bytes) -> bool:
    """Whether a file that begins so is text."""
    return False


def load(path: str) -> Recording:
    """The recording in a file; raises ValueError."""
    raise ValueError("not yet")
