"""How a tired reader might be misled by the screen, and is not."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.events import Paste

from mlopsdoc.audit import logs
from mlopsdoc.model import Source, Status
from mlopsdoc.tui import asides, bars, wire
from mlopsdoc.tui.board import Board
from mlopsdoc.tui.words import as_text

from .test_tui import Stage, bad_night, found, plan_of, play, report, result
from .test_tui_changes import at
from .test_tui_steps import BOOK, said, state

__all__ = ["state"]
MANY = [found("heat", Status.CRITICAL, f"GPU {n} (0{n % 10}:00.0) {'of the upper tray ' * 9}") for n in range(30)]


def test_what_is_read_stays_when_worse_things_come() -> None:
    disk, heat = found("disks", Status.WARNING, "mount /var"), found("heat", Status.CRITICAL, "GPU 1")
    before = report(result("heat", "gpu"), result("disks", "storage", disk))
    after = report(result("heat", "gpu", heat), result("disks", "storage", disk))

    async def story(stage: Stage) -> None:
        await stage.sees("WARNING mount /var")
        await stage.press("enter")
        await stage.hears(wire.Made(after))
        await stage.sees("[X]  (03:10, new) GPU 1", ">Finding", "WARNING mount /var", "1 critical")

    async def unread(stage: Stage) -> None:
        await stage.sees("WARNING mount /var")
        await stage.hears(wire.Made(after))
        await stage.sees("CRITICAL GPU 1")

    play(story, plan_of(before, live=True), wire.Made(before))
    play(unread, plan_of(before, live=True), wire.Made(before))


def test_it_is_said_when_what_is_read_has_gone_and_something_else_stands_there() -> None:
    one, two = found("heat", Status.CRITICAL, "GPU 1"), found("heat", Status.CRITICAL, "GPU 2")
    before = report(result("heat", "gpu", one, two))

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 1")
        await stage.press("enter")
        await stage.hears(wire.Made(at("03:11", report(result("heat", "gpu", two)))))
        await stage.sees("GPU 1 is not in the list any more: this is heat", "CRITICAL GPU 2")

    play(story, plan_of(before, live=True), wire.Made(before))


def test_a_step_shows_how_its_finding_is_now_and_is_not_run_for_one_that_has_gone(tmp_path: Path, state: Path) -> None:
    plan, made = said(tmp_path)
    gone = wire.Made(at("03:11", report(result("disk_space", "storage"))))

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", "right_square_bracket", "right_square_bracket")
        await stage.sees(">Step 3 of 5", "for      critical pool tank")
        await stage.press("X")
        await stage.sees("This kills")
        await stage.hears(gone)
        await stage.sees("for      nothing: disk_space finds nothing wrong now")
        await stage.press(*os.uname().nodename, "enter")
        await stage.sees("what it is for has gone meanwhile: nothing was run")
        await stage.press("X")
        await stage.sees("Mind: disk_space finds nothing wrong now")
        await stage.press("ctrl+c")
        await stage.sees("nothing was run", "X run")

    play(story, plan, made)
    assert not logs([str(state)])


def test_one_press_too_many_runs_a_step_once(tmp_path: Path, state: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", *["right_square_bracket"] * 3)
        await stage.sees(">Step 4 of 5: Wait for ever")
        await stage.press("X", "X", "D", "right_square_bracket")
        await stage.sees(">Step 4 of 5", "a step is running")
        await stage.press("ctrl+x")
        await stage.until(lambda _: not stage.app.step.is_running)

    play(story, *said(tmp_path))
    (log,) = logs([str(state)])
    assert [entry.event for entry in log.entries()].count("started") == 1


def test_a_dry_run_that_comes_late_is_not_shown_on_another_step(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", "D", "right_square_bracket")
        await stage.sees(">Step 2 of 5")
        await stage.hears(wire.Touched(["pool tank"]))
        await stage.press("left_square_bracket")
        await stage.sees(">Step 1 of 5")
        await stage.hears(wire.Devices([]))
        await stage.pilot.pause(0.1)
        assert "a dry run" not in stage.text()

    play(story, *said(tmp_path))


def test_esc_leads_back_one_level_at_a_time_and_never_out(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        for sign in (">Finding", ">Runbook", ">Runbook", ">Step 1"):
            await stage.press("enter")
            await stage.sees(sign)
        await stage.press("enter", "question_mark")
        await stage.sees(">Keys")
        for sign in (">Step 1", ">Runbook", ">Runbook", ">Finding", ">Checks", ">Checks"):
            await stage.press("escape")
            await stage.sees(sign)
        assert stage.app.return_code is None

    play(story, *said(tmp_path))


def test_a_question_stays_whatever_comes_and_however_large_the_terminal_is(monkeypatch: pytest.MonkeyPatch) -> None:
    came = asyncio.Event()

    async def slow(*_: object) -> tuple[int, str, str]:
        await came.wait()
        return 0, "what changed\n", ""

    async def story(stage: Stage) -> None:
        monkeypatch.setattr(asides, "output", slow)
        await stage.sees("CRITICAL GPU 2")
        await stage.press("d", *"/a", "enter")
        await stage.sees("on its way")
        await stage.press("d")
        stage.app.post_message(Paste("/some/where\x1b[31m"))
        for size in ((40, 12), (160, 48), (80, 24)):
            await stage.pilot.resize_terminal(*size)
            await stage.sees("diff with which snapshot?", "/some/where")
        came.set()
        await stage.pilot.pause(0.1)
        await stage.sees(">Checks", "/some/where")
        await stage.press("ctrl+c")
        # The checkout's path decides where the line is wrapped.
        await stage.until(lambda text: "o shows what it printed" in " ".join(text.split()))
        await stage.press("o")
        await stage.sees("what changed")
        await stage.press("o")
        await stage.sees(">Checks")

    play(story, *bad_night())


def test_a_paste_into_the_list_does_nothing() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        stage.app.post_message(Paste("q\rXy\rG:snapshot\r"))
        await stage.press("f")
        await stage.sees("CRITICAL GPU 2", "Problems")

    play(story, *bad_night())


@pytest.mark.parametrize("size", [(160, 48), (100, 30), (80, 24), (60, 16), (40, 12)])
def test_thirty_findings_with_long_names_are_counted_and_none_scrolls_away_unseen(size: tuple[int, int]) -> None:
    made = report(result("heat", "gpu", *MANY), result("disks", "storage"))

    async def story(stage: Stage) -> None:
        fits = size[1] > 40
        text = await stage.sees("" if fits else "more below", "[X]", "30 findings", "1 critical")
        assert all(len(line) <= size[0] for line in text.split("\n"))
        await stage.press("G")
        await stage.sees("" if fits else " above", ">[ok] disks")
        await stage.press("g")
        await stage.until(lambda text: " above" not in text.split("\n")[2])
        await stage.press("j", "m")
        await stage.sees("mute GPU 0", "how long?")  # whatever its name is

    play(story, plan_of(made, live=True), wire.Made(made), at=size)


def test_the_report_of_the_last_run_grows_older_while_it_is_shown() -> None:
    board = Board()
    board.recall(replace(report(result("disks", "storage")), sources=[Source("live")]), 100.0)
    assert "100 s ago" in as_text(bars.header(board, 80)[1])
    board.waited_s = 60.0
    assert "3 min ago: looking again" in as_text(bars.header(board, 80)[1])


def test_a_runbook_that_its_finding_takes_with_it_leaves_no_empty_screen(tmp_path: Path) -> None:
    (tmp_path / "pools.md").write_text(BOOK)
    ill = replace(found("own", Status.CRITICAL, "pool tank"), runbook="pools")
    before = report(result("own", "storage", ill))

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL" if stage.app.size.width > 60 else "[X]")
        await stage.press("enter", "enter")
        await stage.sees(">Runbook pools")
        await stage.hears(wire.Made(at("03:11", report(result("own", "storage")))))
        await stage.sees(">Finding", "own is fine")

    for size in ((80, 24), (60, 16)):
        play(
            story,
            plan_of(before, live=True, runbooks={"pools": str(tmp_path / "pools.md")}),
            wire.Made(before),
            at=size,
        )


def test_a_snapshot_that_is_being_made_is_not_lost_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    came = asyncio.Event()

    async def slow(*_: object) -> tuple[int, str, str]:
        await came.wait()
        return 0, "gpu-17.tar.gz\n", "86 answers"

    async def story(stage: Stage) -> None:
        monkeypatch.setattr(asides, "output", slow)
        await stage.sees("LIVE")
        await stage.press("s", "s")
        await stage.sees("snapshot is still on its way")
        await stage.press("q")
        await stage.sees("Quit without it? y/N")
        await stage.press("enter")
        came.set()
        await stage.sees(f"saved {os.path.abspath('gpu-17.tar.gz')}; 86 answers")
        await stage.press("q")
        assert stage.app.return_code == 0

    made = report(result("disks", "storage"))
    play(story, plan_of(made, live=True), wire.Made(made), at=(160, 48))
