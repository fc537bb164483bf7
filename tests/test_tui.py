"""The screen: what it shows of recordings, how it behaves on a real terminal, and that no text gets out of hand."""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import shutil
import signal
import socket
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from msgspec.structs import replace
from textual.geometry import Region
from textual.pilot import Pilot

from mlopsdoc import catalog, examination, opening
from mlopsdoc.engine import Ledger
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording
from mlopsdoc.model import (
    Counts,
    Finding,
    HostInfo,
    Line,
    Mute,
    Report,
    Result,
    Source,
    Status,
    Tool,
    finding,
)
from mlopsdoc.tui import bars, terminal, wire
from mlopsdoc.tui.app import Doctor
from mlopsdoc.tui.board import Board, rows
from mlopsdoc.tui.canvas import changed_cells
from mlopsdoc.tui.engine_process import still_fresh
from mlopsdoc.tui.feed import Feed
from mlopsdoc.tui.words import size, wrapped

from .program import REPOSITORY, descendants_named
from .terminal import PATIENCE_S, Terminal

SNAPSHOTS = catalog.shipped("snapshots")
HOSTILE = (
    "\x1b]52;c;cm0gLXJmIC8=\x07",
    "\x1b[2J\x1b[31mred",
    "\x9b31m",
    "\u202egnp.exe",
    "[/dev/sda]",
    "[@click=app.quit]x[/]",
    "[link='x]",
    "a" + "\u0301" * 3000,
    "x" * 10_000,
    "\u6f22\u5b57" * 300,
    "tab\there\rand\nthere",
)


# What is known, and in which rows


def found(check: str, status: Status, subject: str, summary: str = "is wrong", cause: str = "") -> Finding:
    said = finding(status, summary, subject=subject, advice=f"mend {subject}", evidence=[Line("probe x", "a line")])
    return replace(said, key=f"{check}/{subject}/{check}", code=check, caused_by=cause)


def result(check: str, area: str, *findings: Finding, status: Status = Status.OK) -> Result:
    worst = max((f.status for f in findings), default=status)
    return Result(id=check, area=area, title=f"{check} is fine", status=worst, duration_s=0.1, findings=list(findings))


def report(*results: Result) -> Report:
    return Report(
        tool=Tool("mlopsdoc", "0"),
        host=HostInfo("gpu-17"),
        sources=[Source("snapshot", "x", "2026-11-23T03:10:00Z", 7200.0)],
        taken_at="2026-11-23T03:10:00Z",
        duration_s=0.1,
        profile="generic",
        status=Status.OK,
        counts=Counts(),
        checks=list(results),
    )


def plan_of(made: Report, *, live: bool = False, runbooks: dict[str, str] | None = None) -> wire.Plan:
    return wire.Plan(live, [wire.Planned(r.id, r.area, r.title) for r in made.checks], runbooks or {})


def board_of(*results: Result) -> Board:
    board = Board()
    made = report(*results)
    board.hear(plan_of(made))
    board.hear(wire.Made(made))
    return board


def test_areas_with_problems_come_first() -> None:
    board = board_of(
        result("disks", "storage"),
        result("nics", "network", found("nics", Status.WARNING, "eth0")),
        result("gpus", "gpu", found("gpus", Status.CRITICAL, "GPU 1")),
        result("fans", "gpu", status=Status.SKIPPED),
    )
    assert [row.name for row in rows(board)] == ["gpu", "gpus", "network", "nics", "storage", "disks", "gpu", "fans"]
    assert [row.name for row in rows(board, "problems")] == ["gpu", "gpus", "network", "nics"]


def test_checks_of_an_area_that_are_left_out_for_one_reason_are_one_row() -> None:
    why = {"one": "no GPU", "two": "no GPU", "three": "no driver"}
    board = board_of(*(replace(result(id, "gpu", status=Status.SKIPPED), reason=reason) for id, reason in why.items()))
    assert [(row.name, row.text) for row in rows(board)][1:] == [
        ("2 checks", "no GPU: one, two"),
        ("three", "no driver"),
    ]


def test_several_findings_have_lines_of_their_own_and_effects_stand_below_their_cause() -> None:
    hot = found("heat", Status.CRITICAL, "GPU 1")
    slow = found("clocks", Status.WARNING, "GPU 1", cause=hot.key)
    board = board_of(result("heat", "gpu", found("heat", Status.WARNING, "GPU 2"), hot), result("clocks", "gpu", slow))
    assert [(row.depth, row.name) for row in rows(board)] == [
        (0, "gpu"),
        (0, "heat"),
        (1, "GPU 1"),
        (2, "clocks"),
        (1, "GPU 2"),
    ]


def test_what_is_muted_stays_in_sight_and_is_counted_apart() -> None:
    hot = found("heat", Status.CRITICAL, "GPU 1")
    muted = replace(found("heat", Status.WARNING, "GPU 2"), muted=Mute("mara", "2026-11-23T07:10:00Z", "new fan"))
    board = board_of(result("heat", "gpu", muted), result("links", "fabric", replace(hot, key="links/GPU 1/links")))
    assert [(row.name, row.text) for row in rows(board) if row.check == "heat"] == [("heat", "(muted) GPU 2: is wrong")]
    assert board.counts()[Status.WARNING] == 0 and board.counts()[Status.CRITICAL] == 1
    assert board.muted() == 1


def test_a_circle_of_causes_hides_nothing() -> None:
    one, two = found("one", Status.WARNING, "host"), found("two", Status.WARNING, "host")
    one, two = replace(one, caused_by=two.key), replace(two, caused_by=one.key)
    names = [row.name for row in rows(board_of(result("one", "host", one), result("two", "host", two)))]
    assert names == ["host", "one", "two"]


def test_only_answers_that_are_stale_are_asked_for_again() -> None:
    known = Recording(1000.0)
    for key, at in {"read /a": 999.0, "read /b": 990.0, "run zpool status": 990.0, "tree /c/*": 995.0}.items():
        known.answers[key] = Answer(key, "ok", at=at)
    known.answers["read /c/d"] = Answer("read /c/d", "ok", at=995.0)
    known.trees["tree /c/*"] = ["/c/d"]
    assert set(still_fresh(known, 1000.0).answers) == {"read /a", "run zpool status", "tree /c/*", "read /c/d"}
    assert not still_fresh(known, 2000.0).answers


def test_wrapping_counts_cells_and_ends() -> None:
    for text in HOSTILE:
        assert all(size(line) <= 20 for line in wrapped(text, 20))
    assert wrapped("the pool was not scrubbed", 12) == ["the pool was", "not scrubbed"]


# The app, fed by hand


class Stage:
    """The app and what is seen of it."""

    def __init__(self, app: Doctor, pilot: Pilot[int], engine: socket.socket) -> None:
        self.app = app
        self.pilot = pilot
        self.engine = engine

    def text(self) -> str:
        return "\n".join(strip.text for strip in self.app.screen._compositor.render_strips())  # pyright: ignore[reportPrivateUsage]

    async def until(self, is_so: Callable[[str], bool]) -> str:
        end = time.monotonic() + PATIENCE_S
        while not is_so(self.text()):
            assert time.monotonic() < end, self.text()
            await self.pilot.pause(0.01)
        return self.text()

    async def sees(self, *words: str) -> str:
        return await self.until(lambda text: all(word in text for word in words))

    async def hears(self, *said: wire.Said) -> None:
        """What the engine says, in one piece."""
        await asyncio.get_running_loop().sock_sendall(self.engine, b"".join(map(wire.packed, said)))

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)


def play(
    story: Callable[[Stage], Awaitable[None]],
    *said: wire.Said,
    at: tuple[int, int] = (80, 24),
    hang_up: bool = False,
    draws_lines: bool = True,
) -> None:
    async def run() -> None:
        ours, engine = socket.socketpair()
        app = Doctor(Feed(ours, 0))
        with patch.object(terminal, "draws_lines", lambda: draws_lines):
            async with app.run_test(size=at) as pilot:
                engine.setblocking(False)
                stage = Stage(app, pilot, engine)
                await stage.hears(*said)
                if hang_up:
                    engine.close()
                await story(stage)
        ours.close()

    asyncio.run(run())


def bad_night() -> tuple[wire.Plan, wire.Made]:
    """What the engine says of the demo."""
    setup = examination.set_up(site=False)
    host, source = opening.recording(f"{SNAPSHOTS}/bad_night")
    ledger = Ledger(host)
    made = examination.report(setup, ledger, list(examination.examine(setup, ledger)), [source], time.monotonic())
    return plan_of(made, runbooks=setup.catalog.runbooks), wire.Made(made)


def test_the_worst_finding_is_chosen_with_what_to_do_and_its_runbook() -> None:
    async def story(stage: Stage) -> None:
        text = await stage.sees(
            "CRITICAL GPU 2 (9b:00.0)", "hurts", "\u2502 do ", "Runbook gpu_thermal", "1 critical  ",
            "GPU=0000:9b:00.0",
        )  # fmt: skip
        head = text.split("\n")[:2]
        assert "gpu-17  RECORDING" in head[0] and "1 critical  " in head[0]
        assert "of 2026-11-23 03:10 UTC" in head[1] and "actions are off" in head[1]
        assert text.index("[X]") < text.index("[!]") < text.index("[ok]")

    play(story, *bad_night())


def test_moving_through_the_list_shows_what_is_chosen_and_levels_open_and_close() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        await stage.press("j", "j")
        await stage.sees("WARNING mount /var", "MOUNT=/var")
        await stage.press("G")
        await stage.sees(">[ok]")
        await stage.press("g", "enter")
        await stage.sees(">Finding")
        await stage.press("l")
        await stage.sees(">Runbook")
        await stage.press("l")
        await stage.until(lambda text: ">Runbook" in text and "Checks" not in text)
        await stage.press("escape", "h", "escape", "escape")
        await stage.sees(">Checks")

    play(story, *bad_night())


def test_keys_for_problems_runbook_help_and_leaving() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        await stage.press("f")
        await stage.until(lambda text: "[ok]" not in text and "others hidden" in text)
        await stage.press("b")
        await stage.until(lambda text: "Problems" not in text and "Meaning" in text)
        await stage.press("question_mark")
        await stage.sees("back one level; never quits")
        await stage.press("escape")
        await stage.sees(">Runbook", "Meaning")
        await stage.press("escape")
        await stage.sees("Problems", "Finding")
        await stage.press("r")
        await stage.sees("this is a recording: it does not change")
        await stage.press("j")
        await stage.until(lambda text: "it does not change" not in text)
        await stage.press("ctrl+c")
        await stage.sees("q quits")
        await stage.press("q")
        assert stage.app.return_code == 0

    play(story, *bad_night())


def test_finding_a_word_in_the_list_and_in_a_runbook() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        await stage.press("slash", *"q/zfs")
        await stage.sees("/ q/zfs")  # what is typed is no command
        await stage.press("ctrl+u", *"ZFS", "enter")
        await stage.sees("WARNING pool tank")
        await stage.press("b", "slash", *"vendor", "enter")
        await stage.until(lambda text: "vendor" in text.lower() and "Checks" not in text)
        await stage.press("slash", *"no such word", "enter")
        await stage.sees("'no such word' is not here")
        await stage.press("slash", *"x", "escape", "escape")
        await stage.sees("Checks")

    play(story, *bad_night())


def test_what_is_copied_and_saved_is_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.chdir(tmp_path)

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        await stage.press("y")
        await stage.sees("copied the finding (")
        assert stage.app.clipboard == (tmp_path / "state/copied.txt").read_text()
        assert "CRITICAL GPU 2 (9b:00.0)" in stage.app.clipboard
        await stage.press("S")
        await stage.sees("saved")

    play(story, *bad_night())
    saved = {path.suffix: path.read_text() for path in tmp_path.glob("mlopsdoc-*")}
    assert "CRITICAL GPU 2 (9b:00.0)" in saved[".txt"] and saved[".svg"].startswith("<svg")


def test_gpus_stand_below_the_list_where_there_is_room() -> None:
    table = wire.Devices(
        [
            ["GPU 0 (1b:00.0)", "98 %", "61 C", "662 W", "1845 MHz", "mara job 4711"],
            ["GPU 10 (9b:00.0)", "-", "92 C", "-", "1050 MHz", ""],
        ]
    )

    async def story(stage: Stage) -> None:
        text = await stage.sees("GPU 0 (1b:00.0)   98 %  61 C  662 W  1845 MHz")
        assert "GPU 10 (9b:00.0)     -  92 C      -  1050 MHz" in text

    async def without(stage: Stage) -> None:
        assert "1845 MHz" not in await stage.sees("CRITICAL GPU 2")

    play(story, *bad_night(), table, at=(160, 48))
    play(without, *bad_night(), table, at=(80, 24))


def test_what_could_not_be_seen_is_listed_with_what_to_do() -> None:
    plan, made = bad_night()
    checks = [
        replace(r, status=Status.UNKNOWN, reason="the BMC does not answer", fix="power-cycle it", findings=[])
        if r.id == "psu_redundancy"
        else r
        for r in made.report.checks
    ]

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2")
        await stage.press("i")
        await stage.sees("psu_redundancy: the BMC does not answer", "power-cycle it", "This terminal")
        await stage.press("i")
        await stage.sees("Checks")

    play(story, plan, wire.Made(replace(made.report, checks=checks)))


def test_the_report_of_the_last_run_is_shown_until_there_is_a_new_one() -> None:
    plan, made = bad_night()
    live = replace(made.report, sources=[Source("live")])

    async def story(stage: Stage) -> None:
        stage.app.board.recall(live, 180.0)
        await stage.hears(replace(plan, live=True))
        await stage.sees("LAST RUN", "3 min ago", "[X]", "CRITICAL GPU 2")
        await stage.hears(wire.Made(live))
        await stage.until(lambda text: "LAST RUN" not in text and "LIVE" in text)

    play(story)


@pytest.mark.parametrize("at", [(160, 48), (100, 30), (60, 16), (40, 12), (20, 6)])
def test_every_size_shows_what_is_wrong(at: tuple[int, int]) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("[X]", "RECORD" if at[0] < 40 else "RECORDING")
        await stage.press("enter")
        text = await stage.sees("CRITICAL")
        if at[0] >= 140:
            assert any("Checks" in line and "Finding" in line and "Runbook" in line for line in text.split("\n"))
        await stage.press("b")
        await stage.sees(">Runbook")

    play(story, *bad_night(), at=at)


def test_results_show_as_they_come_and_the_rest_is_running() -> None:
    made = report(result("heat", "gpu", found("heat", Status.CRITICAL, "GPU 1")), result("disks", "storage"))

    async def story(stage: Stage) -> None:
        await stage.sees("LOOKING", "1 of 2 checks", "[X]  GPU 1: is wrong", "[..] disks  running")
        await stage.hears(wire.Made(made))
        await stage.sees("LIVE", "03:10 UTC", "[ok] disks")
        await stage.press("r")
        await stage.sees("[..] GPU 1: is wrong")
        await stage.press("p")
        await stage.sees("PAUSED")
        orders = wire.Unpacker().orders(await asyncio.get_running_loop().sock_recv(stage.engine, 1 << 16))
        assert orders == [wire.Again("heat"), wire.Pause(True)]

    play(story, plan_of(made, live=True), wire.Came(made.checks[0]))


def test_an_engine_that_ends_is_said_in_words_and_what_it_said_stays() -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("TROUBLE", "what runs the checks has ended", "CRITICAL GPU 2")
        await stage.press("r", "R", "p", "j", "q")

    play(story, *bad_night(), hang_up=True)


def test_the_choice_stays_with_its_check_when_things_change() -> None:
    heat, disks = found("heat", Status.CRITICAL, "GPU 1"), found("disks", Status.WARNING, "mount /var")
    before = report(result("heat", "gpu", heat), result("disks", "storage", disks))
    after = report(result("heat", "gpu"), result("disks", "storage", status=Status.OK))

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 1")
        await stage.press("j")
        await stage.sees("WARNING mount /var")
        await stage.hears(wire.Made(after))
        await stage.sees(">[ok] disks")

    play(story, plan_of(before), wire.Made(before))


def test_widgets_are_given_no_markup() -> None:
    """Only Canvas draws, and it makes segments; nothing that reads markup is used at all."""
    source = "".join(path.read_text() for path in (REPOSITORY / "mlopsdoc/tui").glob("*.py"))
    for name in ("from textual.widgets", "from_markup", "notify(", "border_title", "Static", "Label"):
        assert name not in source


def test_only_what_changed_is_painted_anew() -> None:
    plan, made = bad_night()
    mend = {f.key: f.summary.replace("94 %", "95 %") for r in made.report.checks for f in r.findings}
    fuller = [replace(r, findings=[replace(f, summary=mend[f.key]) for f in r.findings]) for r in made.report.checks]

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL GPU 2", "94 %")
        await stage.pilot.pause(0.2)
        painted: list[tuple[object, ...]] = []
        body = stage.app.body
        for canvas in (stage.app.header, stage.app.footer, body.checks, body.finding, body.runbook):

            def refresh(*regions: object, old: Callable[..., object] = canvas.refresh, **more: object) -> object:
                painted.append((*regions, more))
                return old(*regions, **more)

            setattr(canvas, "refresh", refresh)  # noqa: B010
        later = wire.Made(replace(made.report, checks=fuller))
        await stage.hears(made, later)
        await stage.sees("95 % f")
        row, line = next(found for found in enumerate(stage.text().split("\n")) if "95 % f" in found[1])
        assert painted == [(Region(line.index("95 %") + 1, row - 2, 1, 1), {})]  # which was 94 % f

    play(story, plan, made)


def test_cells_that_differ_are_told_whatever_the_spans() -> None:
    plain, split = (("ab cd", "dim"),), (("ab", "dim"), (" cd", "dim"))
    assert not changed_cells(plain, split, 80)
    assert changed_cells(plain, (("ab xd", "dim"),), 80) == range(3, 4)
    assert changed_cells(plain, (("ab", "dim"), (" cd", "bold")), 80) == range(2, 5)
    assert (
        changed_cells(plain, (("ab c", "dim"),), 80) == changed_cells(plain, (("\u6f22 cd", "dim"),), 80) == range(80)
    )


# A real terminal


ALLOWED = re.compile(
    rb"\x1b\[\d+;\d+H|\x1b\[[0-9;]*m|\x1b\[\?(1049|25|1004|2004|7|2048|2026)[hl]|\x1b\[\?(2026|2048)\$p"
    rb"|\x1b\[>\d+u|\x1b\[<u|\x1b\]22;[a-z]*\x07|\r\n"
)


Opener = Callable[..., Terminal]


@pytest.fixture
def open_terminal(tmp_path: Path) -> Iterator[Opener]:
    if shutil.which("setsid") is None:
        pytest.skip("a terminal of its own is given by setsid, which is not installed")
    opened: list[Terminal] = []

    def make(*argv: str) -> Terminal:
        opened.append(Terminal(*argv, place=tmp_path))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


def processes_end(place: Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while left := descendants_named(str(place)):
        assert time.monotonic() < end, left
        select.select([], [], [], 0.05)


def test_this_machine_on_a_terminal(open_terminal: Opener, tmp_path: Path) -> None:
    terminal = open_terminal()
    out = terminal.until(lambda out: b"LIVE" in out)
    assert b"Checks" in out
    seen = len(terminal.until(lambda out: b"[ok]" in out))
    os.write(terminal.master, b"R?")  # a round that is through at once may show nothing: help comes all the same
    terminal.until(lambda out: b"Keys" in out[seen:] or b"Help" in out[seen:])
    os.write(terminal.master, b"q")
    assert terminal.ended() == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before
    processes_end(tmp_path)


def test_the_demo_starts_within_nine_kilobytes(open_terminal: Opener) -> None:
    terminal = open_terminal("demo")
    terminal.until(lambda out: b"RECORDING" in out and b"Meaning" in out)
    for _ in range(10):
        terminal.take(0.05)
    assert len(terminal.out) < 9000
    assert ALLOWED.sub(b"", terminal.out).decode().replace("\u2502", "|").isprintable()


def test_what_is_typed_ahead_is_meant_for_what_it_opens(open_terminal: Opener) -> None:
    """Over a slow link a line arrives at once; the letters of a search are no keys of the list."""
    terminal = open_terminal("demo")
    terminal.until(lambda out: b"Meaning" in out)
    os.write(terminal.master, b"/tank: the scrub\rjkb")
    terminal.until(lambda out: b"Runbook zfs_scrub" in out)
    assert b"saved already" not in terminal.out and b"choose a finding" not in terminal.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_gives_the_terminal_back(open_terminal: Opener, tmp_path: Path, number: signal.Signals) -> None:
    terminal = open_terminal("demo")
    terminal.until(lambda out: b"RECORDING" in out)
    terminal.process.send_signal(number)
    assert terminal.ended() == 128 + number
    assert b"\x1b[?1049l" in terminal.out
    assert termios.tcgetattr(terminal.slave) == terminal.before
    processes_end(tmp_path)


def test_a_signal_ends_it_on_a_terminal_that_nobody_reads(open_terminal: Opener, tmp_path: Path) -> None:
    terminal = open_terminal("demo")
    terminal.until(lambda out: b"RECORDING" in out)
    termios.tcflow(terminal.slave, termios.TCOOFF)
    os.write(terminal.master, b"?" * 100)
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
    assert termios.tcgetattr(terminal.slave) == terminal.before
    processes_end(tmp_path)


def test_all_of_it_ends_when_the_terminal_goes(open_terminal: Opener, tmp_path: Path) -> None:
    terminal = open_terminal()
    terminal.until(lambda out: b"LIVE" in out)
    os.close(terminal.slave)
    os.close(terminal.master)
    terminal.process.wait(PATIENCE_S)
    processes_end(tmp_path)


def test_hostile_names_in_a_recording_never_reach_the_terminal(open_terminal: Opener, tmp_path: Path) -> None:
    (tmp_path / "reference").symlink_to(f"{SNAPSHOTS}/reference")
    recording = tmp_path / "hostile"
    shutil.copytree(f"{SNAPSHOTS}/bad_night", recording)
    for processes in (Path(SNAPSHOTS) / "reference/probes").glob("processes *.json"):
        row = json.loads(processes.read_text())
        row["command"] = row["name"] = "".join(HOSTILE[:7])
        row["user"] = "[/dev/sda]"
        (recording / "probes" / processes.name).write_text(json.dumps(row))
    hostname = recording / "files/proc/sys/kernel/hostname"
    hostname.parent.mkdir(parents=True)
    hostname.write_text(HOSTILE[0] + HOSTILE[5])
    terminal = open_terminal("--from", str(recording))
    terminal.until(lambda out: b"x1b]52" in out and b"RECORDING" in out)
    os.write(terminal.master, b"jjjjfbb?q")
    assert terminal.ended() == 0
    rest = ALLOWED.sub(b"", terminal.out).decode()
    assert b"[@click=app.quit]" in terminal.out
    assert rest.replace("\u2502", "|").isprintable(), rest


def test_an_engine_that_says_nothing_is_not_called_live() -> None:
    board = Board()
    plan, made = bad_night()
    for said in (replace(plan, live=True), replace(made, report=replace(made.report, sources=[]))):
        board.hear(said)
    board.silent_s = 10
    assert "LIVE" in str(bars.header(board, 80))
    board.silent_s = 75
    assert "no answer for 75 s" in str(bars.header(board, 80))
    assert "LIVE" not in str(bars.header(board, 80))
