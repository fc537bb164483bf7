"""The screen as text, at three sizes: all of it over a healthy host, one with one fault, and a bad night.

`make accept` renews them; read what changed before it is committed. The checks are named here, so that a new one
changes no golden.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlopsdoc import catalog, examination, opening
from mlopsdoc.audit import Log
from mlopsdoc.engine import Ledger
from mlopsdoc.tui import wire

from .test_audit import started
from .test_history import NOW, hot, ran, still
from .test_tui import Stage, plan_of, play

GOLDENS = Path(__file__).parent / "goldens"
SNAPSHOTS = catalog.shipped("snapshots")
CHECKS = ("gpu_thermal", "cpu_thermal", "zfs_scrub", "zfs_pools", "disk_space", "numa_binding", "md_raid")
SIZES = ((80, 24), (100, 30), (160, 48))
# Screen -> the keys that lead there from the list, and what is seen there.
SCREENS = {
    "list": ((), ">Checks"),
    "finding": (("enter",), ">Finding"),
    "runbook": (("b",), ">Runbook"),
    "step": (("x",), ">Step 1 of"),
    "what could not be seen": (("i",), ">What could not be seen"),
    "help": (("question_mark",), ">Keys and signs"),
}


def heard(name: str) -> tuple[wire.Plan, wire.Made]:
    setup = examination.set_up(list(CHECKS), site=False)
    host, source = opening.recording(f"{SNAPSHOTS}/{name}")
    ledger = Ledger(host)
    made = examination.report(setup, ledger, list(examination.examine(setup, ledger)), [source], 0.0)
    return plan_of(made, runbooks=setup.catalog.runbooks), wire.Made(made)


def shown(text: str) -> str:
    """Without what is of the day or of this machine."""
    text = re.sub(r"[0-9]+ (?:days|h|min|s) old", "N old", text)
    text = re.sub(r"(TERM +).*", r"\1...", re.sub(r"((?:inside|you are|colours) +).*", r"\1...", text))
    text = re.sub(r"(user +).*", r"\1...", text)
    return "".join(f"{line.rstrip()}\n" for line in text.split("\n"))


async def at_rest(stage: Stage) -> str:
    """What is seen once nothing changes any more."""
    same, text = 0, ""
    while same < 5:
        await stage.pilot.pause(0.1)
        same, text = (same + 1, text) if stage.text() == text else (0, stage.text())
    return text


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", ["reference", "zfs_degraded_offline", "bad_night"])
def test_screens_look_as_they_did(name: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    pages: list[str] = []

    async def story(stage: Stage) -> None:
        for screen, (keys, sign) in SCREENS.items():
            await stage.sees(">Checks")
            await stage.press(*keys)
            await stage.sees(sign)
            pages.append(f"=== {screen}\n{shown(await at_rest(stage))}")
            await stage.press("escape")

    play(story, *heard(name), at=size)
    compare(name, size, pages)


def compare(name: str, size: tuple[int, int], pages: list[str]) -> None:
    golden = GOLDENS / f"{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("MLOPSDOC_ACCEPT"):
        GOLDENS.mkdir(exist_ok=True)
        golden.write_text("".join(pages))
    assert golden.read_text() == "".join(pages), "if it is meant so: make accept, and read the difference"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_what_was_looks_as_it_did(size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Difference, history and audit log, of a machine whose state was written by the functions that write it."""
    state = str(tmp_path / "state")
    monkeypatch.setenv("STATE_DIRECTORY", state)
    monkeypatch.setattr("mlopsdoc.seen.time.clock_gettime", still)
    for at in range(40):
        ran([state], NOW + at * 300, *[replace(hot(), metrics={"temperature_c": 60 + at})] * (at % 9 > 2))
    for number in range(3):
        Log(state).append(started(number, step=f"step-{number}"))
    monkeypatch.chdir(SNAPSHOTS)
    pages: list[str] = []

    async def story(stage: Stage) -> None:
        for typed in ("diff zfs_raidz_expanded zfs_degraded_offline", "history", "audit show"):
            await stage.sees(">Checks")
            await stage.press("colon", *typed, "enter")
            await stage.sees(f">mlopsdoc {typed}")
            pages.append(f"=== {typed}\n{shown(await at_rest(stage))}")
            await stage.press("escape")

    plan, made = heard("bad_night")
    play(story, replace(plan, live=True), wire.Made(replace(made.report, sources=[])), at=size)
    compare("what-was", size, pages)
