"""The kernel log: every form of its lines, which boot they are of, and what a part of it does not prove."""

from __future__ import annotations

import pytest

from mlopsdoc import CannotSee, NothingHere
from mlopsdoc.engine import Ledger
from mlopsdoc.facts.kernel_log import JOURNAL, KernelLog, split
from mlopsdoc.hosts.base import Answer, AnswerStatus, run_key
from mlopsdoc.hosts.recorder import Recording, Replay

NOW = 1795403400.0  # 2026-11-23T03:10:00Z
AT = NOW - 600
BANNER = "[    0.000000] Linux version 6.8.0-87-generic (buildd@lcy02) #88-Ubuntu SMP\n"
DMESG, JOURNALCTL = "run dmesg", run_key(JOURNAL)


def recording(
    said: dict[str, str | Answer], status: AnswerStatus = "ok", unlisted: AnswerStatus = "absent"
) -> Recording:
    made = Recording(NOW, unlisted=unlisted)
    for key, text in said.items():
        made.answers[key] = text if isinstance(text, Answer) else Answer(key, status, text.encode())
    return made


def read(host: Replay) -> KernelLog:
    found: KernelLog = Ledger(host).get(KernelLog)
    return found


def log(text: str, status: AnswerStatus = "ok", key: str = DMESG) -> KernelLog:
    return read(Replay(recording({key: text}, status, "not_captured")))


@pytest.mark.parametrize(
    ("line", "at", "up"),
    [
        ("[ 1234.567890] NVRM: x", None, 1234.56789),
        ("[1234567.890123][ T2210] NVRM: x", None, 1234567.890123),
        ("<4>[ 1234.5] NVRM: x", None, 1234.5),
        ("4,1203,1234567890,-;NVRM: x", None, 1234.56789),
        ("kern  :warn  : [ 1234.567890] NVRM: x", None, 1234.56789),
        ("kern  :err   : [Mon Nov 23 03:00:00 2026] NVRM: x", AT, None),
        ("[Mon Nov 23 03:00:00 2026] NVRM: x", AT, None),
        ("2026-11-23T03:00:00+0000 gpu-17 kernel: NVRM: x", AT, None),
        ("2026-11-23T04:00:00.000000+01:00 gpu-17 kernel: [ 77.5] NVRM: x", AT, 77.5),
        ("2026-11-23T03:00:00,500000+00:00 NVRM: x", AT + 0.5, None),
        ("Nov 23 03:00:00 gpu-17 kernel: NVRM: x", AT, None),
        ("Nov 23 03:00:00.123456 gpu-17 kernel: [ 77.5] NVRM: x", AT, 77.5),
        ("Mon 2026-11-23 03:00:00 UTC gpu-17 kernel: NVRM: x", AT, None),
        ("Dec 24 03:00:00 gpu-17 kernel: NVRM: x", 1766545200.0, None),  # of last year
        ("[Nov23 03:00] NVRM: x", None, None),
        ("[  +0.000012] NVRM: x", None, None),
        ("kernel: [68183.615790] NVRM: x", None, 68183.61579),
        ("kernel: NVRM: x", None, None),
        ("NVRM: x", None, None),
        ("Nov 31 27:00:00 gpu-17 kernel: NVRM: x", None, None),
    ],
)
def test_forms_of_lines(line: str, at: float | None, up: float | None) -> None:
    text, when, since_boot = split(line, NOW)
    assert text == "NVRM: x"
    assert when == (pytest.approx(at) if at is not None else None)
    assert since_boot == (pytest.approx(up) if up is not None else None)


def test_what_a_message_begins_with_is_no_time() -> None:
    assert split("[   12.5] [drm] [nvidia-drm] loading", NOW)[0] == "[drm] [nvidia-drm] loading"
    assert split("[   12.5]    [ 6] BadTLP", NOW)[0] == "[ 6] BadTLP"


def test_only_this_boot_counts() -> None:
    text = "[ 9000.1] NVRM: old\n" + BANNER + "[   11.0] NVRM: one\n[   12.0] other\n[   13.0] NVRM: two"
    assert [line.text for line in log(text).lines(b"NVRM")] == ["NVRM: one", "NVRM: two"]
    assert [(line.text, line.boot) for line in log(text).all_lines(b"NVRM: o")] == [("NVRM: old", 1), ("NVRM: one", 0)]
    journal = "Nov 22 01:00:00 h kernel: NVRM: old\n-- Reboot --\nNov 22 02:00:00 h kernel: NVRM: new\n"
    assert [line.text for line in log(journal, "truncated").lines(b"NVRM")] == ["NVRM: new"]
    two = "Nov 22 01:00:00 h kernel: [500000.0] NVRM: old\nNov 22 02:00:00 h kernel: [ 300.0] NVRM: new\n"
    assert [line.text for line in log(two, "truncated").lines(b"NVRM")] == ["NVRM: new"]


def test_lines_twice_and_out_of_order_are_one_log() -> None:
    text = "[ 30.0] NVRM: b\n[ 10.0] NVRM: a\n[ 30.0] NVRM: b\n"
    assert [line.text for line in log(text, "truncated").lines(b"NVRM")] == ["NVRM: a", "NVRM: b"]
    assert len(log(text).lines(b"NVRM")) == 3  # one whole log says twice what came twice


def test_what_is_whole() -> None:
    assert log(BANNER + "[ 1.0] x\n").is_whole
    wrapped = log("[ 99.0] x\n")
    assert not wrapped.is_whole
    assert not wrapped.is_part
    for part in (log(BANNER, "truncated"), log(BANNER, key="read /var/log/kern.log")):
        assert part.is_part
        assert not part.is_whole


def test_when_it_begins() -> None:
    host = Replay(recording({DMESG: "[ 60.0] x\n", "read /proc/stat": "cpu 1\nbtime 1795400000\n"}))
    assert read(host).since == 1795400060.0
    assert read(host).lines(b"x")[0].at == 1795400060.0
    assert log("[ 60.0] x\n").since is None


def test_the_journal_first_then_dmesg() -> None:
    both: dict[str, str | Answer] = {JOURNALCTL: "2026-11-23T03:00:00+0000 h kernel: a\n", DMESG: "[ 1.0] b\n"}
    assert read(Replay(recording(both))).lines(b"a")
    for nothing in (
        Answer(JOURNALCTL, "ok", b"-- No entries --\n", stderr=b"Hint: You are currently not seeing messages\n"),
        Answer(JOURNALCTL, "failed", stderr=b"No journal files were opened due to insufficient permissions.\n", exit=1),
        Answer(JOURNALCTL, "timeout", why="no answer within 10 s"),
    ):
        assert read(Replay(recording(both | {JOURNALCTL: nothing}))).key == DMESG


def test_a_log_that_may_not_be_read() -> None:
    refused = Answer(DMESG, "failed", stderr=b"dmesg: read kernel buffer failed: Operation not permitted\n", exit=1)
    with pytest.raises(CannotSee, match="Operation not permitted") as blind:
        read(Replay(recording({DMESG: refused})))
    assert "root" in blind.value.fix
    with pytest.raises(CannotSee) as blind:
        read(Replay(recording({DMESG: refused, "read /run/systemd/container": "docker\n"})))
    assert "on the host" in blind.value.fix
    with pytest.raises(NothingHere):
        read(Replay(recording({})))
    with pytest.raises(NothingHere, match="not in this recording"):
        read(Replay(recording({}, unlisted="not_captured")))


def test_hostile_text_is_read() -> None:
    text = "\x1b]0;title\x07[" + "9" * 5000 + "\n[ 1.0] NVRM: \x1b[31mred\xff\n" + "x" * 70000
    (line,) = log(text).lines(b"NVRM")
    assert "\x1b" not in line.text + line.line.text
    assert not log("\n".join(["[[[[[[[" * 500] * 5)).lines(b"NVRM")
