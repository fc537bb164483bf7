"""Regular expressions, compiled when they are first needed: none costs the start of a program that does not use it."""

from __future__ import annotations

import re
from functools import cache


@cache
def compiled(source: str, flags: int = 0) -> re.Pattern[str]:
    """The compiled pattern. Only for constants: every source is kept."""
    return re.compile(source, flags)
