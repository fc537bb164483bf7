"""The last whole report of this machine, kept so that the screen shows something before it has asked anything."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

from mlopsdoc.hosts.ring import replace_file
from mlopsdoc.model import Report
from mlopsdoc.report import json

MAX_AGE_S = 15 * 60  # three runs of cron
MAX_BYTES = 8 << 20


def keep(states: Sequence[str], report: Report) -> None:
    """Where there is no folder to write to, nothing is kept. It names users and jobs: for ourselves only."""
    if states:
        replace_file(_path(states[0]), json.render(report).encode())


def find(states: Sequence[str]) -> tuple[Report, float] | None:
    """The newest report of this boot in any of the folders and its age in seconds, or None where it is too old."""
    found: list[tuple[float, Report]] = []
    for state in states:
        try:
            with open(_path(state), "rb") as file:
                report = json.read(file.read(MAX_BYTES))
            age_s = time.time() - datetime.fromisoformat((report.taken_at or "").replace("Z", "+00:00")).timestamp()
        except (OSError, ValueError):
            continue
        if 0 <= age_s < MAX_AGE_S and report.host.boot_id == _boot_id():
            found.append((age_s, report))
    if not found:
        return None
    age_s, report = min(found, key=lambda pair: pair[0])
    return report, age_s


def _boot_id() -> str:
    """Not asked of a host: it is this machine, before any question."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _path(state: str) -> str:
    return f"{state}/latest.json"
