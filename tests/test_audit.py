"""The audit log: what is written, and what shows that it is not as it was written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from mlopsdoc.audit import Entry, Log
from mlopsdoc.report.steps import audit_markdown, audit_text

from .program import mlopsdoc


def started(number: int, step: str = "start") -> Entry:
    return Entry(
        at=f"2026-11-25T03:1{number}:00Z", event="started", run=f"r{number}", runbook="zfs_scrub", step=step,
        touch="tune", host="gpu-17", user="root", sudo_user="mara" if number == 1 else "", tty="/dev/pts/3",
        ssh="10.0.0.7 51234 10.0.0.17 22", before="warning",
    )  # fmt: skip


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log of six lines."""
    log = Log(str(tmp_path / "state"))
    for number in range(6):
        log.append(started(number, step=f"step-{number}"))
    return log


def test_a_log_as_it_was_written(log: Log) -> None:
    assert log.problems() == []
    assert [entry.n for entry in log.entries()] == [1, 2, 3, 4, 5, 6]
    assert os.stat(log.path).st_mode & 0o777 == 0o600
    assert os.stat(f"{log.folder}/audit.head").st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ([1, 2, 3, 4, 5], "line 1 has number 2 where 1 is due"),
        ([0, 1, 3, 4, 5], "line 3 has number 4 where 3 is due"),
        ([0, 1, 3, 2, 4, 5], "line 3 has number 4 where 3 is due"),
        ([0, 1, 2, 2, 3, 4, 5], "line 4 has number 3 where 4 is due"),
        ([0, 1, 2, 3], "lines were cut off at the end: there were 6, the last one here is number 4"),
        ([], "lines were cut off at the end: there were 6"),
    ],
)
def test_lines_that_were_removed_or_moved_are_seen(log: Log, order: list[int], said: str) -> None:
    lines = Path(log.path).read_bytes().splitlines(keepends=True)
    Path(log.path).write_bytes(b"".join(lines[at] for at in order))
    assert any(said in problem for problem in log.problems()), log.problems()


@pytest.mark.parametrize(
    ("at", "line", "said"),
    [
        (2, b"", "line 4 does not follow from the line before it"),
        (5, b"", "line number 6 is not as it was written"),
        (3, b"{}", "line 4 is no entry"),
        (3, b"\xff[[[[", "line 4 is no entry"),
        (5, b'{"prev":"12', "line 6 is no entry"),
    ],
)
def test_a_line_that_was_edited_is_seen(log: Log, at: int, line: bytes, said: str) -> None:
    lines = Path(log.path).read_bytes().splitlines()
    lines[at] = line or lines[at].replace(b"step-", b"stop-")
    Path(log.path).write_bytes(b"\n".join([*lines, b""]))
    assert any(said in problem for problem in log.problems()), log.problems()


def test_without_its_head_a_cut_end_cannot_be_told(log: Log) -> None:
    os.unlink(f"{log.folder}/audit.head")
    assert log.problems() == ["audit.head is missing: whether lines were cut off at the end cannot be told"]


def test_a_line_that_was_cut_off_by_a_crash_does_not_spoil_the_next(log: Log) -> None:
    with open(log.path, "ab") as file:
        file.write(b'{"prev":"12')
    log.append(started(7))
    (problem,) = log.problems()
    assert problem.startswith("line 7 is no entry")
    assert log.entries()[-1].run == "r7"


def test_a_crash_between_log_and_head_is_no_problem(log: Log) -> None:
    head = Path(f"{log.folder}/audit.head").read_bytes()
    log.append(started(7))
    Path(f"{log.folder}/audit.head").write_bytes(head)
    assert log.problems() == []


def test_a_full_disk_leaves_the_log_as_it_was(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def full(fd: int, data: bytes) -> int:
        if len(data) > 50:
            return write(fd, data[:50])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        log.append(started(7))
    monkeypatch.undo()
    assert log.problems() == []
    assert len(log.entries()) == 6


def test_many_write_at_once(tmp_path: Path) -> None:
    log = Log(str(tmp_path))
    threads = [threading.Thread(target=log.append, args=(started(number),)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.n for entry in log.entries()] == list(range(1, 10))
    assert log.problems() == []


def test_a_log_that_is_a_link_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        Log(str(tmp_path)).append(started(1))


def test_a_timeline_for_a_ticket(tmp_path: Path) -> None:
    log = Log(str(tmp_path))
    log.append(started(1))
    log.append(Entry(at="2026-11-25T03:11:02Z", event="ended", run="r1", exit=0, seconds=1.5, left=["pid 7 x\x1b[2J|"]))
    log.append(
        Entry(at="2026-11-25T03:11:03Z", event="looked", run="r1", check="zfs_scrub", after="ok", summary="fine")
    )
    log.append(started(2))
    text, page = audit_text(log.entries()), audit_markdown(log.entries())
    assert "mara as root from 10.0.0.7 at /dev/pts/3 on gpu-17" in text
    assert "zfs_scrub: warning before, ok after (fine)" in text
    assert text.count("no end was recorded") == 1
    (row,) = [line for line in page.splitlines() if line.startswith("| 1.")]
    assert "\x1b" not in text + page
    assert row.replace("\\|", "").count("|") == 5, "what was said cannot add a column"


def test_the_command_line(tmp_path: Path) -> None:
    assert "there is no audit log" in mlopsdoc("audit", "show", place=tmp_path).err
    log = Log(str(tmp_path / "state"))
    log.append(started(1))
    assert mlopsdoc("audit", "verify", place=tmp_path).out.startswith(f"{log.path}: 1 lines, unbroken; whoever may")
    Path(log.path).write_bytes(Path(log.path).read_bytes().replace(b'start"', b'stop"'))
    ended = mlopsdoc("audit", "verify", place=tmp_path)
    assert ended.code == 1
    assert "line number 1 is not as it was written" in ended.out
    assert "zfs_scrub/stop" in mlopsdoc("audit", "show", place=tmp_path).out
