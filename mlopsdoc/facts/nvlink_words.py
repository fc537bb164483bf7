"""NVLinks in words."""

from __future__ import annotations

from collections.abc import Sequence

from mlopsdoc.facts.numa import ranges
from mlopsdoc.facts.nvlink import Link

RESET = "save the evidence first (`sudo nvidia-bug-report.sh`), then end its jobs and reset it: steps in the runbook"


def named(links: Sequence[Link]) -> str:
    """``NVLink 9``, ``NVLinks 0-5, 9``."""
    return f"NVLink{'s' * (len(links) > 1)} {numbers(links)}"


def numbers(links: Sequence[Link]) -> str:
    """``0-5, 9``."""
    return ranges(link.number for link in links).replace(",", ", ")
