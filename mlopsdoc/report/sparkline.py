"""Numbers over time as a small line."""

from __future__ import annotations

from collections.abc import Sequence

BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
WIDTH = 24


def sparkline(values: Sequence[float], bars: str = BARS, width: int = WIDTH) -> str:
    """``▁▁▂▅█``: the highest value of each of at most `width` stretches of the same number of values."""
    if not values:
        return ""
    n = min(width, len(values))
    tops = [max(values[at * len(values) // n : (at + 1) * len(values) // n]) for at in range(n)]
    low, high = min(values), max(values)
    step = (high - low) / (len(bars) - 1) or 1
    return "".join(bars[round((top - low) / step)] for top in tops)
