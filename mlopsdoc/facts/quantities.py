"""How findings say durations, sizes and moments: one way everywhere."""

from __future__ import annotations

from datetime import datetime, timezone


def span(seconds: float) -> str:
    """``68 days``, ``31 h``, ``52 min``, ``8 s``, ``90 ms``: those that are over, and at least two of a unit.

    The last 5 % count as over: two samples are never exactly 300 s apart.
    """
    if 0 < seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit_s, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if (count := int(seconds / unit_s + 0.05)) >= 2:
            return f"{count} {unit}"
    return f"{seconds:.0f} s"


def size(count: float) -> str:
    """``0 B``, ``19 MiB``, ``1008 GiB``, ``1.75 TiB``, of bytes: three digits or the whole number."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1023.5:
            return f"{count:.3g} {unit}" if count < 999.5 else f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.3g} PiB"


def instant(seconds: float | None) -> str:
    """``2026-11-08T00:24:01Z``, or nothing."""
    return "" if seconds is None else datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def day(seconds: float | None) -> str:
    """``2026-11-08``."""
    return instant(seconds)[:10] or "at an unknown time"
