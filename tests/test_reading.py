"""The process that reads evidence: its limits, its bugs, and what it opens besides archives."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from mlopsdoc import cli, opening
from mlopsdoc.hosts.archives import foreign
from mlopsdoc.hosts.archives.files import CAPS, Files, Spool, read_archive
from mlopsdoc.hosts.archives.tar import Budget, Stream
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.hosts.refusals import OverLimit, Refused
from mlopsdoc.model import Source
from mlopsdoc.tui import engine_process, wire

from .program import measured
from .test_foreign import member, tarred

TEXT = "$ dmesg -T\n[Mon Nov 23 03:09:00 2026] usb 1-1: new device\n$ hostname\ngpu17\n$ \n"
KEYS = {"run dmesg": "[Mon Nov 23 03:09:00 2026] usb 1-1: new device\n", "run hostname": "gpu17\n"}


def zstd(data: bytes) -> bytes:
    if not shutil.which("zstd"):
        pytest.skip("needs the program zstd")
    return subprocess.run(["zstd", "-cq"], input=data, capture_output=True, check=True).stdout


PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstd,
}  # fmt: skip


@pytest.mark.parametrize("how", PACK)
def test_packed_text_is_text(tmp_path: Path, how: str) -> None:
    path = tmp_path / "night.txt"
    path.write_bytes(PACK[how](TEXT.encode()))
    form, recording = foreign.load(str(path))
    assert form == "text"
    assert {key: recording.answers[key].text for key in KEYS} == KEYS
    assert recording.understood == (2, 2) and recording.is_lower_bound


@pytest.mark.parametrize("how", ["gz", "xz", "bz2"])
def test_packed_text_that_is_cut_off_gives_what_came_before(tmp_path: Path, how: str) -> None:
    log = "".join(f"[{n:5}.000000] usb 1-{n * 7919 % 1000}: line {n * n}\n" for n in range(90_000))
    data = PACK[how](f"$ hostname\ngpu17\n$ dmesg\n{log}$ \n".encode())
    path = tmp_path / "night.txt"
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(Refused, match=r"it ends in the middle, after [0-9]{6,7} bytes of text: .* --partial"):
        foreign.load(str(path))
    _, recording = foreign.load(str(path), is_partial=True)
    assert recording.answers["run hostname"].text == "gpu17\n"
    assert recording.answers["run dmesg"].status == "truncated"
    assert any("ends in the middle" in note for note in recording.notes)


# ---- how the process ends

GOES_WRONG = {
    "bug": ("return [][7]", foreign.ReaderFailed, "IndexError: list index out of range"),
    "value": ("return int('seven')", foreign.ReaderFailed, "ValueError: invalid literal"),
    "deep": ("return load(path)", foreign.ReaderFailed, "RecursionError"),
    "gone": ("os._exit(3)", foreign.ReaderFailed, "ended with code 3"),
    "signal": ("os.kill(os.getpid(), 11)", foreign.ReaderFailed, "ended with code -11"),
    "memory": ("return bytearray(1 << 30)", Refused, "takes more memory than 208 MiB"),
    "killed": ("os.kill(os.getpid(), 9)", Refused, "takes more memory"),
    "unreadable": ("return open('/nowhere')", FileNotFoundError, "No such file"),
    "refused": ("raise transcript.Refused('a word')", Refused, "a word"),
}


def goes_wrong(monkeypatch: pytest.MonkeyPatch, body: str, path: Path) -> None:
    """Let the reader of text do that."""
    path.write_text(TEXT)
    code = f"""
import os, sys, time; sys.path.insert(0, sys.argv[2])
from mlopsdoc.hosts.archives import reading
from mlopsdoc.hosts.pasted import transcript
def load(path):
    {body}
transcript.load = load
reading.work(sys.argv[1])
"""
    monkeypatch.setattr(foreign, "_CODE", code)


@pytest.mark.parametrize("how", GOES_WRONG)
def test_a_bug_a_limit_and_an_unreadable_file_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    body, error, words = GOES_WRONG[how]
    goes_wrong(monkeypatch, body, tmp_path / "x.txt")
    with pytest.raises(error, match=words) as raised:
        foreign.load(str(tmp_path / "x.txt"))
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("body", "words"), [("while True: pass", r"more than 0.* s"), ("time.sleep(60)", r"more than 1 s")]
)
def test_time_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, words: str) -> None:
    goes_wrong(monkeypatch, body, tmp_path / "x.txt")

    def patience(size: int) -> float:
        return 0.3 if "sleep" in body else 0.4

    monkeypatch.setattr(foreign, "patience", patience)
    monkeypatch.setattr(foreign, "WAITS", 3 if "sleep" in body else 100)
    with pytest.raises(Refused, match=words):
        foreign.load(str(tmp_path / "x.txt"))


def test_a_bug_is_70_with_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    goes_wrong(monkeypatch, "return [][7]", tmp_path / "x.txt")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert cli.guarded(["check", "--from", str(tmp_path / "x.txt")]) == 70
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and "a bug in mlopsdoc" in said and "IndexError" in said
    crash = Path(said.split()[-1])
    text = crash.read_text()
    crash.unlink()
    assert "in load" in text and "IndexError: list index out of range" in text


def test_an_unreadable_file_says_so_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_wrong(monkeypatch, "raise PermissionError(13, 'Permission denied')", tmp_path / "x.txt")
    with pytest.raises(opening.BadSource, match=r"x.txt: Permission denied$"):
        opening.recording(str(tmp_path / "x.txt"))


# ---- one budget


@pytest.mark.parametrize(
    ("changed", "words"), [({"members": 12}, "more than 12 members"), ({"unpacked": 400_000}, "larger than 0 MiB")]
)
def test_archives_in_an_archive_share_its_budget(tmp_path: Path, changed: dict[str, int], words: str) -> None:
    inner = gzip.compress(tarred(*(member(f"sos/proc/{n}", bytes(30_000)) for n in range(5))))
    data = tarred(*(member(f"{n}.tar.gz", inner) for n in range(3)))
    with (tmp_path / "spool").open("w+b") as spool:
        files = Files(spool.fileno())
        read_archive(Stream(io.BytesIO(data), Budget(CAPS)), files, Spool(spool.fileno()))
        assert len(files.files) == 15
        budget = Budget(CAPS._replace(**changed))
        with pytest.raises(OverLimit, match=words):
            read_archive(Stream(io.BytesIO(data), budget), Files(spool.fileno()), Spool(spool.fileno()))


def test_a_bomb_in_a_bomb_is_one_bomb(tmp_path: Path) -> None:
    """Each grows to less than 1000 times its size, both together to more."""
    inner = gzip.compress(tarred(member("sos/var/log/zeros", bytes(64 << 20))))
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(gzip.compress(tarred(member("a.tar.gz", inner)))))
    code, out, err, seconds, mib = measured("check", "--from", str(path), place=tmp_path)
    assert (code, out, err.count("\n")) == (65, "", 1)
    assert seconds < 20 and mib < 300


# ---- snapshots of ours that a stranger wrote: they are read in the program itself

MIB = 1 << 20
ANSWER = b'{"key":"%s","path":"x","sha256":"%s"}\n'


def answering(key: bytes, data: bytes) -> dict[str, bytes]:
    return {"x": data, "items.jsonl": ANSWER % (key, sha256(data).hexdigest().encode())}


SNAPSHOTS: dict[str, tuple[dict[str, bytes], str]] = {
    "paths in a line": ({"items.jsonl": b'{"key":"tree /*","paths":[%s"a"]}\n' % (b'"a",' * MIB)}, "larger than 2 MiB"),
    "paths": ({"items.jsonl": b'{"key":"tree /*","paths":[%s"a"]}\n' % (b'"a",' * 100_000) * 3}, "more than 200000"),
    "rows": ({"items.jsonl": b'{"key":"a"}\n' * 200_001}, "more than 200000 answers"),
    "items": ({"items.jsonl": b"\n" * 9 * MIB}, "items.jsonl is larger than 8 MiB"),
    "profile": ({"manifest.json": b'{"profile":{"a":[%s[]]}}' % (b"[]," * MIB)}, "manifest.json is larger than 1 MiB"),
    "JSON": (answering(b"probe nvml static", b"[%s[]]" % (b"[]," * 5 * MIB)), ""),
    "what facts need long for": (answering(b"run nvidia-smi -q", b"a\n" * 8 * MIB), "judging it takes more than 12 s"),
    "controls": (answering(b"read /proc/mounts", b"\x01" * 16 * MIB), ""),
    "lines": (answering(b"read /proc/self/mountinfo", b"a\n" * 8 * MIB), ""),
}


@pytest.mark.parametrize("how", SNAPSHOTS)
def test_a_hostile_snapshot_ends_soon_in_little_memory(tmp_path: Path, how: str) -> None:
    """The noise lets it grow as much as it does."""
    files, words = SNAPSHOTS[how]
    plain = {"SNAPSHOT": b"mlopsdoc-snapshot 1\n", "manifest.json": b"{}", "noise": os.urandom(MIB)}
    path = tmp_path / "x.tar.gz"
    path.write_bytes(gzip.compress(tarred(*(member(f"x/{name}", data) for name, data in (plain | files).items())), 1))
    code, out, err, seconds, mib = measured("check", "--from", str(path), place=tmp_path)
    assert seconds < 20 and mib < 300, (seconds, mib)
    assert "bug" not in out + err
    if words:
        assert (code, out, err.count("\n")) == (65, "", 1) and words in err
    else:
        assert code in (0, 3)


def test_the_screen_gives_up_what_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "JUDGED_S", 1.0)
    key = "run nvidia-smi -q"
    recording = Recording(0.0)
    recording.answers[key] = Answer(key, "ok", b"a\n" * 8 * MIB)
    ours, theirs = socket.socketpair()
    if (pid := os.fork()) == 0:
        ours.close()
        engine_process.serve(theirs, lambda: (Replay(recording), [Source("text", "night.txt")]))
    theirs.close()
    ours.settimeout(60)
    said, unpacker = list[wire.Said](), wire.Unpacker()
    while not any(isinstance(message, wire.Trouble | wire.Made) for message in said):
        said += unpacker.said(ours.recv(1 << 16))
    ours.close()
    os.waitpid(pid, 0)
    assert [message.why for message in said if isinstance(message, wire.Trouble)] == [
        "night.txt: judging it takes more than 1 s"
    ]
