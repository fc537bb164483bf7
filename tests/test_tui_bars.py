"""The lines above and below the panes, where there is little room, and what is typed there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from textual.events import Paste

from mlopsdoc.cli.output import Stop
from mlopsdoc.cli.remembering import _seconds  # pyright: ignore[reportPrivateUsage]
from mlopsdoc.model import HostInfo, Mute, Status
from mlopsdoc.tui import bars, clipboard, muting, pages, wire
from mlopsdoc.tui.board import rows
from mlopsdoc.tui.words import as_text

from .program import REPOSITORY
from .test_tui import Stage, bad_night, board_of, found, plan_of, play, report, result


@pytest.mark.parametrize("at", ["checks", "step", "book", "help"])
@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_last_line_keeps_how_to_get_on_and_away(at: str, width: int) -> None:
    (line,) = bars.footer(board_of(result("disks", "storage")), at, "", width)
    assert len(as_text(line)) <= width
    assert as_text(line).endswith("?" + (" help  q quit" if at == "checks" else " help"))
    assert at == "checks" or "Esc back" in as_text(line)
    assert "X run" not in as_text(line)  # it is a recording


def test_no_name_is_so_long_that_the_counts_are_not_seen() -> None:
    made = report(result("heat", "gpu", found("heat", Status.CRITICAL, "GPU 1")), result("disks", "storage"))
    for name in ("gpu-17", "gpu-node-0017.rack-12.pod-3.cluster.example.com", "\u6f22" * 40):
        board = board_of()
        board.hear(wire.Made(replace(made, host=HostInfo(name))))
        for width in (30, 40, 80):
            first = as_text(bars.header(board, width)[0])
            assert "1 critical  1 ok" in first or "[X]1  [ok]1" in first, (name, width, first)
            assert name[:2] in first


def test_an_engine_that_ended_says_of_when_the_screen_is_and_answers_no_key_with_silence() -> None:
    made = report(result("disks", "storage"))

    async def story(stage: Stage) -> None:
        await stage.sees("TROUBLE", "of 03:10 UTC; what runs the checks has ended")
        for key in ("r", "R", "p"):
            await stage.press(key)
            await stage.sees("nothing is asked any more")
            await stage.press("j")

    play(story, plan_of(made, live=True), wire.Made(made), hang_up=True)


def test_what_is_typed_and_pasted_is_seen_where_the_question_is_long() -> None:
    heat = found("heat", Status.CRITICAL, "GPU 1")
    made = report(result("heat", "gpu", heat))

    async def story(stage: Stage) -> None:
        await stage.sees("LIVE", "CRITICAL GPU 1" if stage.app.size.width > 60 else "GPU 1")
        stage.app.post_message(Paste("rq"))  # nothing was asked
        await stage.press("m", *"4h a new")
        await stage.sees("like)", " 4h a new")
        stage.app.post_message(Paste(" one\x1b[31m comes\rtoday\r\n"))
        await stage.sees(" 4h a new one comes today")
        await stage.press("escape")
        await stage.sees("nothing is muted")
        await stage.press("j")
        await stage.until(lambda text: "one comes" not in text and "? help  q quit" in text)

    for at in ((80, 24), (60, 16), (40, 20)):
        play(story, plan_of(made, live=True), wire.Made(made), at=at)


def test_a_long_word_to_the_reader_is_read_whole() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("[X]")
        stage.app.tell(f"saved /{'very/long/' * 9}mlopsdoc.svg and .txt")
        await stage.sees("mlopsdoc.svg and .txt")
        await stage.press("j")
        await stage.until(lambda text: "saved" not in text)

    play(story, *bad_night(), at=(60, 16))


def test_little_room_for_a_while_does_not_hide_the_first_area() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        await stage.pilot.resize_terminal(80, 6)
        await stage.until(lambda text: "driver" not in text)
        await stage.pilot.resize_terminal(80, 24)
        await stage.until(lambda text: text.split("\n")[3].startswith(" gpu "))

    play(story, *bad_night())


def test_a_part_of_a_check_that_was_not_seen_is_listed_with_why_and_what_to_do() -> None:
    blind = found("ecc", Status.UNKNOWN, "GPU 3", "its counters could not be read")
    board = board_of(result("ecc", "gpu", found("ecc", Status.CRITICAL, "GPU 1"), blind))
    text = " ".join(as_text(line) for line in pages.doctor_page(board, 80))
    assert (
        "Not seen, or not all of it: 1" in text
        and "ecc: GPU 3: its counters could not be read" in text
        and "mend GPU 3" in text
    )


def test_what_goes_on_in_the_next_line_of_the_help_is_no_key() -> None:
    for width in (38, 78):
        lines = [as_text(line) for line in pages.help_page("step", width)]
        at = next(n for n, line in enumerate(lines) if line.startswith("y  "))
        assert all(len(line) <= width for line in lines)
        assert lines[at + 1].startswith(" " * 17)


def test_help_begins_with_what_is_looked_at() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        for keys, said in (
            ((), "The list: areas"),
            (("enter",), "What is chosen in the list"),
            (("x",), "A step, as it"),
        ):
            await stage.press(*keys, "question_mark")
            await stage.sees(">Keys and signs", said)
            await stage.press("question_mark")

    play(story, *bad_night())


def test_a_muted_finding_says_so_first_and_the_key_that_mutes_lifts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    hot = replace(found("heat", Status.WARNING, "GPU 2"), muted=Mute("mara", "2026-11-25T07:10:00Z", "new fan"))
    made = report(result("heat", "gpu", hot))

    async def story(stage: Stage) -> None:
        monkeypatch.setattr(stage.app, "_aside", asked.append)
        text = await stage.sees("(muted) GPU 2", "muted    until 2026-11-25T07:10:00Z by mara: new fan")
        assert text.index("muted    until") < text.index("do       mend GPU 2")
        await stage.press("m")
        await stage.sees("It is muted until 2026-11-25T07:10:00Z. Lift that? y/N")
        await stage.press("enter", "m", "y", "enter")
        await stage.until(lambda _: asked == [["mute", "lift", hot.key]])

    play(story, plan_of(made, live=True), wire.Made(made), at=(100, 30))


def test_a_mute_asks_in_words_for_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    hot = found("heat", Status.WARNING, "GPU 2")
    made = report(result("heat", "gpu", hot))

    async def story(stage: Stage) -> None:
        monkeypatch.setattr(stage.app, "_aside", asked.append)
        await stage.sees("WARNING GPU 2")
        await stage.press("m", *"soon", "enter")
        await stage.sees("how long is a number with m, h or d, a year at most, not 'soon'")
        await stage.press(*"4h", "enter")
        await stage.sees("why?")
        await stage.press("enter")
        await stage.sees("nothing is muted")
        await stage.press("m", *"4h", "enter", *"new fan", "enter")
        await stage.press("m", *"3d known", "enter")
        await stage.until(lambda _: len(asked) == 2)

    play(story, plan_of(made, live=True), wire.Made(made))
    mute = ["mute", hot.key, "--for"]
    assert asked == [[*mute, "4h", "--reason", "new fan"], [*mute, "3d", "--reason", "known"]]


@pytest.mark.parametrize("duration", ["", "4", "h", "0h", "-4h", "4w", "400d", "4 h", "99999999999h"])
def test_how_long_a_mute_holds_is_checked_as_the_verb_does(duration: str) -> None:
    assert muting.misfit(duration)
    with pytest.raises(Stop):
        _seconds(duration)
    assert not muting.misfit("90m") and not muting.misfit("366d")


def test_a_copy_says_what_went_where_even_where_the_state_folder_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/file/state")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    sent: list[str] = []
    said = clipboard.copy("the finding", "one\ntwo\n", sent.append)
    kept = f"{tmp_path}/mlopsdoc-copied-{os.geteuid()}.txt"
    assert said == (
        "copied the finding (2 lines) to the clipboard, if the terminal lets us and "
        f"{kept} ({tmp_path}/file/state cannot be written)"
    )
    assert Path(kept).read_text() == "one\ntwo\n" and sent == ["one\ntwo\n"]
    monkeypatch.setenv("TMPDIR", f"{tmp_path}/file")
    assert "to nowhere (" in clipboard.copy("it", "x" * 100_000, sent.append)


def test_a_terminal_without_line_signs_gets_none() -> None:
    text = ""

    async def story(stage: Stage) -> None:
        nonlocal text
        await stage.sees("CRITICAL GPU 2 ")
        stage.app.tell("caf\u00e9 \u6f22")
        text = await stage.sees("caf? ??")

    for at in ((80, 24), (160, 48)):
        play(story, *bad_night(), at=at, draws_lines=False)
        assert text.isascii() and text.count("|") > 20


@pytest.mark.parametrize(
    ("env", "draws"),
    [
        ({"LANG": "C.UTF-8"}, True), ({"LC_ALL": "en_US.utf8"}, True), ({"LC_ALL": "C", "LANG": "C.UTF-8"}, False),
        ({}, False), ({"LANG": "C"}, False), ({"LANG": "C.UTF-8", "TERM": "linux"}, False),
        ({"LC_CTYPE": "POSIX", "PYTHONUTF8": "1"}, False), ({"LANG": "C.UTF-8", "LC_CTYPE": "C"}, False),
    ],
)  # fmt: skip
def test_lines_are_drawn_where_the_locale_and_the_terminal_have_them(env: dict[str, str], draws: bool) -> None:
    code = "from mlopsdoc.tui import terminal; print(terminal.draws_lines())"
    env = {"TERM": "xterm", "PYTHONPATH": str(REPOSITORY), **env}
    said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert said.stdout == f"{draws}\n"


def test_a_check_that_is_fine_shows_what_was_seen_and_when() -> None:
    note = replace(found("heat", Status.OK, "GPU 2", "61 C"), metrics={"temperature_c": 61})
    made = report(result("heat", "gpu", note))
    board = board_of(*made.checks)
    board.devices = [["GPU 2 (9b:00.0)", "98 %", "61 C", "400 W", "1980 MHz", "mara"]]
    (_, row) = rows(board)
    text = "\n".join(as_text(line) for line in pages.finding_page(board, row, 80))
    assert "ok       GPU 2: 61 C\nseen     a line\n         (probe x)" in text
    assert "values   GPU 2: temperature_c=61" in text and "98 %" in text
    assert "as of    03:10 UTC" in text and ":explain heat" in text
