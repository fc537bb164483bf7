"""Where the files lie that come with mlopsdoc."""

from __future__ import annotations

import os

_HERE = os.path.dirname(os.path.abspath(__file__))


def shipped(kind: str) -> str:
    """The folder of the checks, runbooks, snapshots ...: inside the package (a wheel) or beside it (a checkout)."""
    inside = os.path.join(_HERE, kind)
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(_HERE), kind)
