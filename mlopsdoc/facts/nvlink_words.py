"""NVLinks in words."""

from __future__ import annotations

from collections.abc import Sequence

from mlopsdoc.facts.nvlink import Link


def named(links: Sequence[Link]) -> str:
    """``NVLink 9``, ``NVLinks 0-5, 9``."""
    return f"NVLink{'s' * (len(links) > 1)} {numbers(links)}"


def numbers(links: Sequence[Link]) -> str:
    """``0-5, 9``."""
    runs: list[list[int]] = []
    for number in sorted(link.number for link in links):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)
