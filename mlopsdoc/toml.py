"""TOML, whichever Python reads it. Imported only where a file is there to be read."""

from __future__ import annotations

import sys
from typing import Any


def loads(data: bytes) -> dict[str, Any]:
    """The table that a file holds; raises ValueError with the place of what is wrong."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return tomllib.loads(data.decode())
