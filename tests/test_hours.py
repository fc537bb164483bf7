"""The screen that is kept open: hours of rounds over this machine leave neither memory nor processes behind."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bench import family
from .terminal import Terminal

SPEED = 100.0
WARM = 60  # rounds after which all that is loaded once is there
ROUNDS = 6 * 3600 // 2 if os.environ.get("MLOPSDOC_SOAK") else 300  # six hours, and else ten minutes
MOST_MB = 8.0


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    program = [sys.executable, "-m", "tests.hours", str(tmp_path / "rounds"), str(SPEED)]
    opened = Terminal(place=tmp_path, program=program)
    yield opened
    opened.close()


def after(rounds: int, terminal: Terminal, counter: Path) -> tuple[dict[int, str], float]:
    """The processes that there are, and the MB of their own that they hold, once so many rounds were held."""
    held, silent = 0, 0
    while held < rounds:
        terminal.take(1.0)
        before, held = held, int(counter.read_text() or 0) if counter.exists() else 0
        silent = silent + 1 if held == before else 0
        assert terminal.process.poll() is None and silent < 300, terminal.out[-1000:]
    pids = {*family(terminal.process.pid)}
    for _ in range(20):  # a tool that runs at the moment is not left behind
        terminal.take(0.1)
        pids &= {*family(terminal.process.pid)}
    return {pid: told(pid) for pid in pids}, sum(own_mb(pid) for pid in pids)


def told(pid: int) -> str:
    """Name, state, parent, and command of a process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().split()
        return f"{' '.join(stat[1:4])} {Path(f'/proc/{pid}/cmdline').read_bytes()!r}"
    except OSError:
        return "ended"


def own_mb(pid: int) -> float:
    try:
        rows = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    except OSError:
        return 0.0
    return sum(int(row[1]) for row in rows if row[0] in ("Private_Dirty:", "Swap:")) / 1024


def test_nothing_is_left_behind(terminal: Terminal, tmp_path: Path) -> None:
    processes, mb = after(WARM, terminal, tmp_path / "rounds")
    processes_then, mb_then = after(WARM + ROUNDS, terminal, tmp_path / "rounds")
    assert len(processes_then) <= len(processes), (processes, processes_then)
    assert mb_then - mb < MOST_MB, f"{mb:.1f} MB, then {mb_then:.1f}"
    print(f"{ROUNDS} rounds: {len(processes)} processes, {mb:.1f} MB, then {mb_then:.1f}")
