"""Other verbs of the program beside the screen: which may be typed, and that what they print is shown."""

from __future__ import annotations

import pytest

from mlopsdoc.tui import asides

from .test_tui import SNAPSHOTS, Stage, bad_night, play


@pytest.mark.parametrize("typed", ["explain gpu_xid", "audit show", "diff a b", "snapshot --only gpu", "runbook list"])
def test_what_changes_nothing_may_be_typed(typed: str) -> None:
    assert asides.command(typed) == typed.split()


@pytest.mark.parametrize("typed", ["runbook run x --yes", "runbook", "mute x", "check", "new x", "rm -rf /", "'", ""])
def test_nothing_else_may(typed: str) -> None:
    with pytest.raises(asides.NotHere):
        asides.command(typed)


def test_what_a_verb_prints_is_shown_and_a_refusal_is_one_line() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        await stage.press("colon", *"explain zfs_scrub", "enter")
        await stage.sees("mlopsdoc explain zfs_scrub", "threshold")
        await stage.press("escape", "colon", *"explain zfs_scrap", "enter")
        await stage.sees("do you mean", "zfs_scrub?")
        await stage.press("colon", *"runbook run zfs_scrub", "enter")
        await stage.sees("only what changes nothing is run here")

    play(story, *bad_night())


def test_the_ways_to_the_gpus_are_those_of_the_recording_as_it_was_opened() -> None:
    async def story(stage: Stage) -> None:
        stage.app.options = [f"--from={SNAPSHOTS}/bad_night", "--at=2026-11-23T03:10:00Z"]
        await stage.sees("CRITICAL GPU 2")
        await stage.press("t")
        await stage.sees("NUMA node 1", "GPU 3 (c3:00.0)", "NVLink 18 of 18")

    play(story, *bad_night())


def test_the_difference_to_another_recording() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        await stage.press("d", *f"{SNAPSHOTS}/reference", "enter")
        await stage.sees("mlopsdoc diff", "gpu_thermal")

    play(story, *bad_night())
