"""What was wrong since when, and numbers over time as small lines."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import json

from mlopsdoc.facts.quantities import instant
from mlopsdoc.history import History, Series, Trouble
from mlopsdoc.report.sparkline import BARS, PLAIN_BARS, WIDTH, sparkline


def render(history: History, format: str, *, plain: bool = False) -> str:
    """JSON, or text; plain: in ASCII."""
    if format == "json":
        return json.encode(history).decode() + "\n"
    return "".join(f"{line}\n" for line in _text(history, PLAIN_BARS if plain else BARS))


def _text(history: History, bars: str) -> Iterator[str]:
    if history.since is None or history.until is None:
        yield "no run is remembered: what stands is known since the boot only"
        return
    runs, boots = (f"{n} {word}{'s' * (n != 1)}" for n, word in ((history.runs, "run"), (history.boots, "boot")))
    yield f"{runs} in {boots}, {instant(history.since)} to {instant(history.until)}"
    if history.findings:
        yield ""
        for trouble in history.findings:
            yield from _trouble(trouble)
    if history.metrics:
        yield ""
        wide = min(max(len(series.name) for series in history.metrics), 60)
        for series in history.metrics:
            yield f"{series.name:<{wide}}  {sparkline(series.values, bars):<{WIDTH}}  {_range(series)}"


def _trouble(trouble: Trouble) -> Iterator[str]:
    yield f"{trouble.status or 'over':<9} {trouble.key}"
    until = "" if trouble.status else f" until {instant(trouble.until)}"
    often = f", {trouble.times} times" if trouble.times > 1 else ""
    boots = f", {trouble.reboots} reboot{'s' * (trouble.reboots > 1)} did not help" if trouble.reboots else ""
    yield f"          since {instant(trouble.since)}{until}{often}{boots}"


def _range(series: Series) -> str:
    low, high, last = min(series.values), max(series.values), series.values[-1]
    return f"{low:g}" if low == high else f"{low:g} to {high:g}, last {last:g}"
