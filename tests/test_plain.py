"""`--plain`: the screen a line at a time, as a screen reader or a serial console gets it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from mlopsdoc import catalog
from mlopsdoc.again import program

from .program import Ended, mlopsdoc

SNAPSHOTS = catalog.shipped("snapshots")


def conversation(place: Path, *lines: str) -> Ended:
    typed = "".join(f"{line}\n" for line in lines).encode()
    return mlopsdoc("--plain", "--from", f"{SNAPSHOTS}/bad_night", place=place, stdin=typed)


def test_findings_are_numbered_and_their_runbooks_filled_in(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "1", "q")
    assert ended.code == 0
    assert ended.out.startswith("gpu-17: 1 critical, ")
    assert "\n1. critical: GPU 2 (9b:00.0): slowed down" in ended.out
    assert "export GPU=0000:9b:00.0" in ended.out
    assert "bad_night, taken 2026-11-23T03:10:00Z" in ended.out and "nothing is run here" in ended.out
    assert "   hence: pool tank: the scrub of 2026-11-01" in ended.out
    assert "   hurts: pid 41232 " in ended.out and "(mara, job 4711)" in ended.out


def test_the_other_verbs_are_those_of_the_command_line(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "a", f"c {SNAPSHOTS}/reference", "x 1 1", "s", "?")
    assert "ok        " in ended.out, "the whole report"
    assert "gpu_thermal" in ended.out, "the difference"
    assert "nothing is run on a recording" in ended.err
    assert "it is saved already" in ended.err
    assert "check again" in ended.out


def test_what_is_not_known_is_one_line_and_the_end_of_input_ends_it(tmp_path: Path) -> None:
    ended = conversation(tmp_path, "99", "0", "zz", "x", "x 1", "r 1", "", "\x1b[2J")
    assert ended.code == 0
    assert "there is no finding 99: they are numbered 1 to" in ended.err
    assert ended.err.count("is not known here: see ?") == 5
    assert "\x1b" not in ended.out + ended.err


def test_a_source_that_is_none_ends_it_with_its_code(tmp_path: Path) -> None:
    assert mlopsdoc("--plain", "--from", "/no/such", place=tmp_path, stdin=b"q\n").code == 66


def test_nothing_is_imported_from_the_folder_we_are_in(tmp_path: Path) -> None:
    for name in ("json.py", "mlopsdoc.py", "msgspec.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the folder')\n")
    command = program("--plain", "--from", f"{SNAPSHOTS}/bad_night")
    ended = subprocess.run(command, cwd=tmp_path, input=b"q\n", capture_output=True, timeout=60, check=False)
    assert ended.stdout.startswith(b"gpu-17: "), ended.stderr
