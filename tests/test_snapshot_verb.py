"""`snapshot`: one private file, whole or not at all, and readable for ever."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import run_key
from mlopsdoc.hosts.collecting import BUG_REPORT
from mlopsdoc.hosts.recorder import Recording

from .program import REPOSITORY, environment, mlopsdoc, shim, start, with_shims

FROZEN = REPOSITORY / "tests" / "frozen" / "format_1"
TRIES = 200 if os.environ.get("MLOPSDOC_SOAK") else 6


def test_one_private_redacted_file(tmp_path: Path) -> None:
    shim(tmp_path / "bin", "zpool", f"echo pool of {socket.gethostname()} at 10.20.3.11")
    env = with_shims(tmp_path / "bin")
    ended = mlopsdoc("snapshot", "--only", "storage", "--only", "kernel", place=tmp_path, env=env)
    assert ended.code == 0, ended.err
    path = tmp_path / ended.out.strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [name for name in os.listdir(tmp_path) if name.endswith(".part")] == []
    said = snapshot.load(str(path)).answers["run zpool history"].text
    assert said.startswith("pool of ") and "10.20.3.11" not in said
    assert "replaced: " in ended.err and "zpool history" in ended.err
    assert (tmp_path / "state" / "redaction.key").stat().st_mode & 0o777 == 0o600
    again = mlopsdoc("snapshot", "--only", "storage", "-o", str(tmp_path / "again.tar.gz"), place=tmp_path, env=env)
    assert again.code == 0
    assert snapshot.load(str(tmp_path / "again.tar.gz")).answers["run zpool history"].text == said, "the same key"


def test_as_it_is_when_asked(tmp_path: Path) -> None:
    shim(tmp_path / "bin", "zpool", "echo at 10.20.3.11")
    path = str(tmp_path / "raw.tar.gz")
    env = with_shims(tmp_path / "bin")
    ended = mlopsdoc("snapshot", "--no-redact", "--only", "storage", "-o", path, place=tmp_path, env=env)
    assert snapshot.load(path).answers["run zpool history"].text == "at 10.20.3.11\n"
    assert "not redacted" in ended.err


def test_no_redact_without_a_file_is_a_wrong_use(tmp_path: Path) -> None:
    ended = mlopsdoc("check", "--no-redact", "disk_space", place=tmp_path)
    assert ended.code == 64 and "--save" in ended.err


def test_a_fleet_shares_its_key(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "mlopsdoc"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('redaction_key = "of the whole fleet, long"\n')
    shim(tmp_path / "bin", "zpool", "echo at 10.20.3.11")
    said: set[str] = set()
    for state in ("one", "two"):
        path = str(tmp_path / f"{state}.tar.gz")
        env = {**with_shims(tmp_path / "bin"), "STATE_DIRECTORY": str(tmp_path / state)}
        assert mlopsdoc("snapshot", "--only", "storage", "-o", path, place=tmp_path, env=env).code == 0
        said.add(snapshot.load(path).answers["run zpool history"].text)
    assert len(said) == 1
    assert "of the whole fleet" not in mlopsdoc("config", "show", place=tmp_path).out


@pytest.mark.parametrize(
    ("argv", "code"), [(["--only", "gpus"], 64), (["--since", "soon"], 64), (["-o", "no/x.tar.gz"], 73)]
)
def test_what_cannot_be(argv: list[str], code: int, tmp_path: Path) -> None:
    ended = mlopsdoc("snapshot", *argv, place=tmp_path)
    assert ended.code == code and ended.out == ""


def test_a_disk_that_fills_up_is_74_and_leaves_nothing(tmp_path: Path) -> None:
    command = f"ulimit -f 8; exec {sys.executable} -m mlopsdoc snapshot --only kernel --only cpu -o full.tar.gz"
    shim(tmp_path / "bin", "dmesg", "head -c 3000000 /dev/urandom | od -An -tx1")
    env = environment(tmp_path, **with_shims(tmp_path / "bin"))
    ended = subprocess.run(["sh", "-c", command], env=env, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert ended.returncode == 74, ended.stderr
    assert not [name for name in os.listdir(tmp_path) if "full" in name]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_whoever_ends_it_leaves_no_half_archive(number: signal.Signals, tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    begun = time.monotonic()
    assert mlopsdoc("snapshot", "--only", "storage", "-o", str(path), place=tmp_path).code == 0
    whole = time.monotonic() - begun
    path.unlink()
    chance = random.Random(7)
    for _ in range(TRIES):
        process = start("snapshot", "--only", "storage", "-o", str(path), place=tmp_path)
        try:
            process.communicate(timeout=chance.uniform(0, whole * 1.1))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.communicate(timeout=60)
        if path.exists():
            assert snapshot.load(str(path)).complete
            path.unlink()
        if number == signal.SIGINT:
            assert not [name for name in os.listdir(tmp_path) if name.endswith(".part")]


def test_what_killed_runs_left_is_swept(tmp_path: Path) -> None:
    old = time.time() - 7200
    left = {
        "a.tar.gz.4194304.part": old,  # a pid that no Linux gives
        f"b.tar.gz.{os.getpid()}.part": old,
        "c.tar.gz.4194304.part": time.time(),
        "thesis.4194304.part": old,
        "d.tar.gz": old,
    }
    for name, at in left.items():
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (at, at))
    snapshot.save({"SNAPSHOT": b"x"}, str(tmp_path / "new.tar.gz"))
    assert sorted(os.listdir(tmp_path)) == sorted([*left, "new.tar.gz"])[1:]


def test_the_report_of_the_vendor_when_asked(tmp_path: Path) -> None:
    script = "echo collecting; echo NVRM of $(hostname) at 10.20.3.11 | gzip > nvidia-bug-report.log.gz"
    shim(tmp_path / "bin", "nvidia-bug-report.sh", script)
    env = with_shims(tmp_path / "bin") | {"TMPDIR": str(tmp_path / "tmp")}
    (tmp_path / "tmp").mkdir()
    path = str(tmp_path / "x.tar.gz")
    ended = mlopsdoc("snapshot", "--bug-report", "--only", "fabric", "-o", path, place=tmp_path, env=env)
    assert ended.code == 0, ended.err
    said = snapshot.load(path).answers[run_key(BUG_REPORT)]
    assert said.text.startswith("NVRM of ") and "10.20.3.11" not in said.text and said.stderr == b"collecting\n"
    assert os.listdir(tmp_path / "tmp") == []
    mlopsdoc("snapshot", "--only", "fabric", "-o", str(tmp_path / "y.tar.gz"), place=tmp_path, env=env)
    assert run_key(BUG_REPORT) not in snapshot.load(str(tmp_path / "y.tar.gz")).answers


def test_a_snapshot_of_format_1_is_read_for_ever(tmp_path: Path) -> None:
    """Written by version 0.1.0, with the digest of every answer. It is never written anew."""
    recording = snapshot.load(str(FROZEN))
    assert (recording.taken_at, len(recording.answers)) == (1795403400.0, 21)
    ended = mlopsdoc("check", "disk_space", "--json", "--from", str(FROZEN), place=tmp_path)
    findings = ended.check("disk_space")["findings"]
    assert [(found["status"], found["subject"]) for found in findings] == [("warning", "mount /")]
    assert findings[0]["summary"].startswith("97 % full: 64 GiB of 1.72 TiB left")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("format_1", "10313316403659aba5c7dc14fcadfa7045a65fcc8e911eaf894476a9bc974383"),
        ("format_1.tar.gz", "02a170df0d035196fd183144b2d78d620f7e975f0c561636c2a544a01ab21fe1"),
    ],
)
def test_all_that_format_1_says_is_read_as_it_was(name: str, says: str) -> None:
    """The archive has rows of every kind, each status, stderr, links, trees, a profile, ``before/``; it is redacted."""
    recording = snapshot.load(str(FROZEN.parent / name))
    assert sha256(json.dumps(said(recording), sort_keys=True).encode()).hexdigest() == says


def said(recording: Recording) -> list[Any]:
    """Everything that a recording says."""
    answers = [
        [one.key, one.status, one.data.hex(), one.stderr.hex(), one.exit, one.why, one.at, one.seconds]
        for one in recording.answers.values()
    ]
    about = [recording.taken_at, recording.complete, recording.unlisted, recording.is_redacted, recording.profile]
    return [*about, sorted(answers), recording.trees, recording.before and said(recording.before)]


def of_format(tmp_path: Path, format: str) -> str:
    shutil.copytree(FROZEN, tmp_path / "newer")
    (tmp_path / "newer" / "SNAPSHOT").write_text(f"mlopsdoc-snapshot {format}\n")
    manifest = json.loads((tmp_path / "newer" / "manifest.json").read_text())
    (tmp_path / "newer" / "manifest.json").write_text(json.dumps(manifest | {"tool": "4.2.0", "of_a_later_day": 1}))
    return str(tmp_path / "newer")


def test_a_newer_minor_is_read(tmp_path: Path) -> None:
    assert isinstance(snapshot.load(of_format(tmp_path, "1.7")), Recording)


def test_a_newer_major_is_refused_with_the_version_it_needs(tmp_path: Path) -> None:
    with pytest.raises(
        snapshot.BadSnapshot, match=r"format 2, .* use mlopsdoc 4\.2\.0, which wrote it, or a newer one"
    ):
        snapshot.load(of_format(tmp_path, "2"))
    ended = mlopsdoc("check", "--from", str(tmp_path / "newer"), place=tmp_path)
    assert ended.code == 65
