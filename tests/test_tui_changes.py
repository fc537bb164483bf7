"""What changed while somebody watched the screen: marks on rows, numbers as lines."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from mlopsdoc.model import Report, Status
from mlopsdoc.tui import changes, wire
from mlopsdoc.tui.changes import MARKED_S, Changes

from .test_tui import Stage, found, plan_of, play, report, result


def at(clock: str, made: Report) -> Report:
    return replace(made, taken_at=f"2026-11-23T{clock}:00Z")


def hot(degrees: float) -> Report:
    return report(
        result("heat", "gpu", replace(found("heat", Status.CRITICAL, "GPU 1"), metrics={"c": degrees, "why": "x"}))
    )


HOT, COOL = hot(92), report(result("heat", "gpu"))
KEY = HOT.checks[0].findings[0].key


def test_the_first_round_marks_nothing_and_what_changes_is_marked_for_a_while() -> None:
    seen = Changes()
    seen.hear(at("03:10", HOT), 0)
    seen.hear(at("03:11", HOT), 60)
    assert seen.marks == {}
    seen.hear(at("03:12", COOL), 120)
    assert seen.marks == {"heat": "03:12, was critical"}
    seen.hear(at("03:13", COOL), 120 + MARKED_S)
    assert seen.marks == {"heat": "03:12, was critical"}
    seen.hear(at("03:30", COOL), 121 + MARKED_S)
    assert seen.marks == {}


def test_what_comes_back_is_new_and_what_is_gone_has_no_mark() -> None:
    seen = Changes()
    seen.hear(at("03:10", COOL), 0)
    seen.hear(at("03:11", HOT), 1)
    assert seen.marks == {"heat": "03:11, was ok", KEY: "03:11, new"}
    seen.hear(at("03:12", report(result("disks", "storage"))), 2)
    assert seen.marks == {"disks": "03:12, new"}


def test_numbers_are_a_line_once_they_move() -> None:
    seen = Changes()
    for n, degrees in enumerate([70, 70, 71, 80, 92]):
        seen.hear(hot(degrees), 10.0 * n)
        assert bool(list(seen.trends(KEY))) is (n > 1)
    assert list(seen.trends(KEY)) == ["c ▁▁▁▄█ 70 to 92, now 92"]
    seen.hear(hot(30), 41.0)  # too soon after the last
    assert list(seen.trends(KEY)) == ["c ▁▁▁▄█ 70 to 92, now 92"]


def test_a_check_that_turns_green_and_a_line_that_rises_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "APART_S", 0.0)

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 1")
        await stage.hears(wire.Made(at("03:11", hot(95))))
        await stage.sees("trend", "92 to 95, now 95")
        await stage.hears(wire.Made(at("03:12", COOL)))
        await stage.sees("[ok] heat  (03:12, was critical)")

    play(story, plan_of(HOT, live=True), wire.Made(at("03:10", HOT)))


def test_a_finding_that_is_gone_leaves_a_mark_on_its_check() -> None:
    one, two = found("heat", Status.WARNING, "GPU 1"), found("heat", Status.WARNING, "GPU 2")
    seen = Changes()
    seen.hear(at("03:10", report(result("heat", "gpu", one, two))), 0)
    seen.hear(at("03:11", report(result("heat", "gpu", one))), 1)
    assert seen.marks == {"heat": "03:11, GPU 2 gone"}


def test_the_list_shows_what_changed_and_its_key_says_what_comes_next() -> None:
    disk = result("disks", "storage", found("disks", Status.WARNING, "mount /var"))

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 1", "f problems")
        await stage.hears(wire.Made(at("03:11", report(*HOT.checks, result("disks", "storage")))))
        await stage.sees("[ok] disks  (03:11, was warning)")
        await stage.press("f")
        await stage.sees("Problems (1 others hidden)", "f changed")
        await stage.press("f")
        await stage.until(lambda text: ">[ok] disks  (03:11, was w" in text and "[X]" not in text and "f all" in text)
        await stage.sees("Changed (1 others hidden)", "1 critical")
        await stage.press("f")
        await stage.sees("[X]", "f problems")

    before = report(*HOT.checks, disk)
    play(story, plan_of(before, live=True), wire.Made(at("03:10", before)))
