"""`--plain`: the screen a line at a time, as a screen reader, a pipe or a serial console gets it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlopsdoc import catalog
from mlopsdoc.again import program
from mlopsdoc.cli.plain_help import TOPICS, help_of
from mlopsdoc.model import Mute, Result, Status
from mlopsdoc.tui import lines, wire
from mlopsdoc.tui.lines import Lines

from .program import Ended, mlopsdoc
from .terminal import Terminal
from .test_tui import HOSTILE, found, plan_of, report, result
from .test_tui_changes import at
from .test_walks import FULL

SNAPSHOTS = catalog.shipped("snapshots")


def conversation(place: Path, *lines: str, source: str = f"{SNAPSHOTS}/bad_night") -> Ended:
    typed = "".join(f"{line}\n" for line in lines).encode()
    return mlopsdoc("--plain", "--from", source, place=place, stdin=typed)


def test_findings_are_numbered_and_each_is_shown_with_what_was_seen_and_what_it_means(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "1", "q")
    assert ended.code == 0
    assert ended.out.startswith("gpu-17: 1 critical, ")
    assert "\n1. critical: GPU 2 (9b:00.0): slowed down" in ended.out
    assert "bad_night, taken 2026-11-23T03:10:00Z" in ended.out and "nothing is run here" in ended.out
    assert "   hence 5. warning: pool tank: the scrub of 2026-11-01" in ended.out
    assert "   hurts: pid 41232 " in ended.out and "(mara, job 4711)" in ended.out
    assert "\nseen     0000:9b:00.0: temperature_c=92" in ended.out and "(probe nvml state)" in ended.out
    assert "\nThe GPU has reached a temperature limit" in ended.out
    assert "b 1 has its runbook" in ended.out


def test_runbooks_and_steps_have_the_values_of_their_finding(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "b 1", "x 1", "x 1 1", "D 1 1", "x 3 1", "x psu_redundancy")
    assert "export GPU=0000:9b:00.0" in ended.out
    assert "\n1. See its temperatures, its limits and what holds it back (look)\n" in ended.out
    assert "\nwith     GPU=0000:9b:00.0\n" in ended.out and "\nwith     MOUNT=/var\n" in ended.out
    assert "\ntouches  GPU 9b:00.0: pid 41232 " in ended.out and "a dry run: nothing was run" in ended.err
    assert "actions are off; y copies it" in ended.out


def test_what_changes_something_is_off_for_a_recording_and_says_why(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "r", "p", "m 1", "X 1 1", "U 1 6", "s", ": history", "?", "? X")
    assert ended.err.count("this is a recording") == 7
    assert "X N STEP     (off) run it" in ended.out and "s            (off) save" in ended.out
    assert "Off here: this is a recording" in ended.out
    assert "d FILE       what changed since a snapshot" in ended.out


def test_the_list_has_problems_all_or_what_changed(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "f", "f", "f", "f all", "f none")
    problems, changed, all_of_them, again, _ = ended.out.split("gpu-17: ")[1:]
    assert "gpu_ecc" not in problems and "more are fine or not here" in problems
    assert "\ngpu_ecc: ok: ECC is on" in all_of_them and "\n1. critical" in all_of_them
    assert "nothing has changed" in changed and "1 critical" in changed
    assert again == problems.replace("? tells what may be typed\n", "")
    assert "f wants one of all, problems, changed" in ended.err


def test_finding_copying_saving_and_other_verbs(tmp_path: Path) -> None:
    said = ("/ repaired 41.5", "/ 41232", "/ no such word", "y 1", "e 1", "y", "t", "g", "i", "a", "S")
    ended = conversation(tmp_path, *said, f"d {SNAPSHOTS}/reference", ": explain gpu_xid", ": rm -rf /")
    assert "\n5: the scrub" in ended.out and "'no such word' is not here" in ended.err
    assert "copied finding 1 (10 lines) to " in ended.err
    assert (tmp_path / "state/copied.txt").read_text().startswith("gpu_thermal (gpu): "), "what was said last"
    assert "+- GPU 2 (9b:00.0)" in ended.out and "92 C" in ended.out and "This terminal" in ended.out
    assert "ok        container_toolkit" in ended.out, "the whole report"
    (path,) = tmp_path.glob("mlopsdoc-*.txt")
    assert f"saved {path}" in ended.err and "CRITICAL  GPU 2" in path.read_text()
    assert "gpu_xid (" in ended.out and "only what changes nothing is run here" in ended.err
    assert "\x1b" not in ended.out + ended.err


def test_what_is_not_known_is_one_line_and_the_end_of_input_ends_it(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "99", "0", "zz", "x", "x 1 99", "r 1 2", "", "1 1", "\x1b[2J", "b \u0661")
    assert ended.code == 0
    assert "there is no finding 99: they are numbered 1 to 5" in ended.err
    assert ended.err.count("is not known here: see ?") == 3
    assert "x N [STEP]: " in ended.err and "has no step 99" in ended.err
    assert "\x1b" not in ended.out + ended.err


def test_every_letter_has_its_help_and_what_a_screen_has_is_here() -> None:
    for letter, (usage, _, _) in TOPICS.items():
        assert f"{letter} {usage}".strip() in help_of("", "")
        assert help_of(letter, "").startswith(letter)
    assert all(len(line) < 80 for line in help_of("", "").split("\n"))


def test_the_demo_is_a_source_and_a_pipe_is_enough(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "1", "q", source="demo")
    assert ended.code == 0 and ended.out.startswith("gpu-17: ") and "The GPU has reached" in ended.out
    assert mlopsdoc("--plain", "demo", place=tmp_path, stdin=b"1\nq\n").out == ended.out


def test_an_ascii_console_gets_ascii(tmp_path: Path) -> None:
    typed = b"1\nb zfs_scrub\n: history\n?\nq\n"
    ended = mlopsdoc("--plain", "--from", "demo", place=tmp_path, stdin=typed, env={"LC_ALL": "C"})
    assert ended.code == 0 and ended.out.isascii() and ended.err.isascii()


def test_a_source_that_is_none_ends_it_with_its_code(tmp_path: Path) -> None:
    assert mlopsdoc("--plain", "--from", "/no/such", place=tmp_path, stdin=b"q\n").code == 66
    assert mlopsdoc("--plain", "--at", "2026-11-23T03:10:00Z", place=tmp_path, stdin=b"q\n").code == 64


def test_nothing_is_imported_from_the_folder_we_are_in(tmp_path: Path) -> None:
    for name in ("json.py", "mlopsdoc.py", "msgspec.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the folder')\n")
    command = program("--plain", "--from", f"{SNAPSHOTS}/bad_night")
    ended = subprocess.run(command, cwd=tmp_path, input=b"b 1\nq\n", capture_output=True, timeout=60, check=False)
    assert ended.stdout.startswith(b"gpu-17: ") and b"export GPU=" in ended.stdout, ended.stderr


def test_a_hostile_recording_sends_no_escape_whatever_is_typed(tmp_path: Path) -> None:
    (tmp_path / "reference").symlink_to(f"{SNAPSHOTS}/reference")
    recording = tmp_path / "hostile"
    shutil.copytree(f"{SNAPSHOTS}/bad_night", recording)
    for processes in (Path(SNAPSHOTS) / "reference/probes").glob("processes *.json"):
        row = json.loads(processes.read_text())
        row["command"] = row["name"] = "".join(HOSTILE[:7])
        (recording / "probes" / processes.name).write_text(json.dumps(row))
    hostname = recording / "files/proc/sys/kernel/hostname"
    hostname.parent.mkdir(parents=True)
    hostname.write_text(HOSTILE[0] + HOSTILE[5])
    ended = conversation(tmp_path, "f", "1", "x 1 1", "D 1 1", "/ red", "g", "i", "y 1", "a", source=str(recording))
    assert "x1b]52" in ended.out and ended.code == 0
    assert ended.out.replace("\n", "").isprintable() and ended.err.replace("\n", "").isprintable()


# What changes while somebody listens


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Lines, socket.socket]]:
    monkeypatch.setattr(lines, "SPOKEN_APART_S", 0.0)
    ours, engine = socket.socketpair()
    yield Lines(ours), engine
    ours.close()
    engine.close()


def hear(told: tuple[Lines, socket.socket], *said: wire.Said) -> None:
    board, engine = told
    engine.sendall(b"".join(map(wire.packed, said)))
    board.next()


def made(clock: str, *results: Result) -> wire.Made:
    return wire.Made(at(clock, replace(report(*results), sources=[])))


def test_only_what_changed_is_said_and_a_number_stays_with_its_finding(told: tuple[Lines, socket.socket]) -> None:
    board, _ = told
    heat, disk = found("heat", Status.CRITICAL, "GPU 1"), found("disk", Status.WARNING, "mount /var")
    hear(told, made("03:10", result("heat", "gpu", heat), result("disk", "storage", disk)))
    board.heard()
    hear(told, made("03:11", result("heat", "gpu", heat), result("disk", "storage", disk)))
    assert board.news() == []
    worse = replace(disk, status=Status.CRITICAL)
    hear(told, made("03:12", result("heat", "gpu"), result("disk", "storage", worse)))
    assert board.news() == [
        "03:12 UTC: worse, it was warning: 2. critical: mount /var: is wrong",
        "03:12 UTC: gone: 1. critical: GPU 1: is wrong",
    ]
    fan = found("fan", Status.WARNING, "PSU 1")
    muted = replace(disk, muted=Mute("mara", "2026-11-23T07:10:00Z", "known"))
    hear(told, made("03:13", result("fan", "power", fan), result("heat", "gpu"), result("disk", "storage", muted)))
    assert board.news() == [
        "03:13 UTC: new: 3. warning: PSU 1: is wrong",
        "03:13 UTC: better, it was critical: 2. muted until 2026-11-23T07:10:00Z: warning: mount /var: is wrong",
    ]
    assert board.news() == []


def test_what_its_check_cannot_see_any_more_is_not_called_gone(told: tuple[Lines, socket.socket]) -> None:
    board, engine = told
    hear(told, made("03:10", result("heat", "gpu", found("heat", Status.CRITICAL, "GPU 1"))))
    board.heard()
    blind = found("heat", Status.UNKNOWN, "host", "NVML does not answer")
    hear(told, made("03:11", result("heat", "gpu", blind)))
    assert board.news() == [
        "03:11 UTC: new: 2. unknown: host: NVML does not answer",
        "03:11 UTC: it cannot be seen any more, and may still be so: 1. critical: GPU 1: is wrong",
    ]
    engine.close()
    assert not board.again()
    assert "what runs the checks has ended" in board.news()[0]


def test_a_round_that_is_not_through_yet_neither_unmutes_nor_forgets_since_when() -> None:
    from mlopsdoc.tui.board import Board

    heat = found("heat", Status.CRITICAL, "GPU 1")
    known = replace(heat, muted=Mute("mara", "2026-11-23T07:10:00Z", "known"), since="2 days ago")
    board = Board()
    board.hear(plan_of(report(result("heat", "gpu", known)), live=True))
    board.hear(made("03:10", result("heat", "gpu", known)))
    board.hear(wire.Came(result("heat", "gpu", replace(heat, summary="93 C"))))
    (now,) = board.results["heat"].findings
    assert (now.summary, now.since, now.muted) == ("93 C", "2 days ago", known.muted)
    assert board.counts()[Status.CRITICAL] == 0 and board.muted() == 1


def test_from_the_page_to_green_on_a_console(tmp_path: Path) -> None:
    """A real file system that is full, a real step, on a terminal without any capability."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "fuser", "setsid"))):
        pytest.skip("mounting needs root, the step needs fuser")
    start = f"{FULL}\ncd {tmp_path}; exec {sys.executable} -m mlopsdoc --plain"
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", start]
    terminal = Terminal(place=tmp_path, program=argv, TERM="vt100")

    def types(text: str, *words: str) -> None:
        seen = len(terminal.out)
        os.write(terminal.master, f"{text}\n".encode())
        terminal.until(lambda out: all(word.encode() in out[seen:] for word in words))

    try:
        out = terminal.until(lambda out: b"? tells" in out).decode()
        number = next(line.partition(".")[0] for line in out.splitlines() if ". critical: mount /dev/shm" in line)
        types(f"m {number}", "for how long?")
        types("soon", "how long is a number with m, h or d", "for how long?")
        types("4h", "why?")
        types("it is known", "is muted until", f"{number}. muted until")
        types(f"m {number}", "Lift that? y/N")
        types("y", "muted no longer")
        types("p", "paused: nothing is asked", "paused> ")
        types("p", "> ")
        types(f"y {number}", f"copied finding {number}", f"to {tmp_path}/state/copied.txt")
        types("s", f"saved {tmp_path}/")
        types(f"x {number}", "Remove shared memory")
        step = next(line for line in terminal.out.decode().splitlines() if "Remove shared memory" in line).split(".")[0]
        os.write(terminal.master, b"\x03")
        terminal.until(lambda out: b"q quits" in out)
        types(f"X {number} {step}", "y/N")
        types("y", "ended with 0", f"gone: {number}. critical: mount /dev/shm")
        types("q")
        assert terminal.ended() == 0
    finally:
        terminal.close()
    assert b"\x1b" not in terminal.out
    recorded_after_mutes(tmp_path)


def recorded_after_mutes(place: Path) -> None:
    """The audit log is whole and has all three."""
    from mlopsdoc.audit import Log

    log = Log(str(place / "state"))
    assert log.problems() == []
    assert [entry.event for entry in log.entries()] == ["muted", "lifted", "started", "ended", "looked"]
