"""Hosts: what lanes answer, that a hang costs its deadline, and that a recording says what the machine said."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import catalog
from mlopsdoc.hosts import ring, snapshot
from mlopsdoc.hosts.archives import archive
from mlopsdoc.hosts.base import Answer, split, words
from mlopsdoc.hosts.lanes import RULES, rule_for
from mlopsdoc.hosts.recorder import Recorder, Recording, Replay
from mlopsdoc.hosts.refusals import Refused

from .program import all_gone, environment


def ask(script: str, place: Path, **env: str) -> Any:
    """Run lines that ask a live host `h`, in a process of their own; what they leave in `said`, as JSON."""
    program = (
        "import json, os, sys, time\nfrom mlopsdoc.hosts.nursery import Nursery\nnursery = Nursery()\n"
        "from mlopsdoc.hosts.live import Live\nfrom mlopsdoc.hosts.recorder import Recorder\n"
        f"state = [{str(place / 'state')!r}]\n"
        f"h = Live(nursery, states=state, deadline_s=float(os.environ.get('RUN_S', 60)))\n{textwrap.dedent(script)}\n"
        "h.close()\nprint(json.dumps(said))\nsys.stdout.flush()\nos._exit(0)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment(place, **env), stdout=subprocess.PIPE, timeout=60, check=True
    )
    import json

    return json.loads(ended.stdout)


def test_answers_tell_absent_denied_failed_and_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text\xff\x1b[2J\n")
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    said = ask(
        f"""
        p = {str(tmp_path)!r}
        a = h.read(p + "/file")
        said = {{
            "file": [a.status, a.data.decode("latin-1"), a.text],
            "none": h.read(p + "/none").status,
            "folder": h.read(p).status,
            "fifo": [h.read(p + "/fifo").status, h.read(p + "/fifo").why],
            "link": h.link(p + "/link").text,
            "no_link": h.link(p + "/file").status,
            "tool": h.run("no-such-tool-anywhere").status,
            "exit": [h.run("sh", "-c", "echo out; echo err >&2; exit 3").status, h.run("sh", "-c", "exit 3").exit],
            "locale": h.run("sh", "-c", "echo $LC_ALL $TZ; cat").text,
            "tree": sorted(h.tree(p + "/f*")),
        }}
        """,
        tmp_path,
        LC_ALL="C.UTF-8",
    )
    assert said["file"] == ["ok", "text\xff\x1b[2J\n", "text\\xff\\x1b[2J\n"]
    assert said["none"] == "absent"
    assert said["folder"] == "failed"
    assert said["fifo"] == ["failed", "is a FIFO, not a file"]
    assert said["link"] == "file"
    assert said["no_link"] == "failed"
    assert said["tool"] == "absent"
    assert said["exit"] == ["failed", 3]
    assert said["locale"] == "C UTC\n"
    assert said["tree"] == [f"{tmp_path}/fifo", f"{tmp_path}/file"]


def test_a_denied_file_is_denied_not_absent(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    tmp_path.chmod(0o755)
    said = ask(
        f"""
        import mlopsdoc.hosts.asking as asking
        os.setegid(65534); os.seteuid(65534)
        reply = asking._content({str(secret)!r}, 100)
        said = reply.status
        os.seteuid(0)
        """,
        tmp_path,
    )
    assert said == "denied"


def test_a_command_that_ignores_signals_costs_its_deadline_and_leaves_nothing(tmp_path: Path) -> None:
    mark = f"mark-{os.getpid()}"
    said = ask(
        f"""
        start = time.monotonic()
        a = h.run("sh", "-c", "trap '' TERM INT HUP; sleep 600 {mark} & sleep 600; wait", "{mark}")
        b = h.run("sh", "-c", "echo next")
        said = [a.status, a.why, b.text, time.monotonic() - start]
        """,
        tmp_path,
        RUN_S="1.5",
    )
    assert said[0] == "timeout"
    assert "no answer within" in said[1]
    assert all_gone(mark)


def test_a_command_that_leaves_a_child_with_our_pipe_does_not_keep_us_waiting(tmp_path: Path) -> None:
    said = ask(
        """
        start = time.monotonic()
        a = h.run("sh", "-c", "sleep 600 & echo done")
        said = [a.status, a.text, time.monotonic() - start < 5]
        """,
        tmp_path,
    )
    assert said == ["ok", "done\n", True]


def test_endless_output_ends_at_the_cap(tmp_path: Path) -> None:
    said = ask("a = h.run('yes'); said = [a.status, len(a.data)]", tmp_path)
    assert said == ["truncated", 4 << 20]


def test_lanes_hang_apart(tmp_path: Path) -> None:
    """While one lane waits, the others answer; a question behind the hung one is answered after its deadline."""
    said = ask(
        """
        import threading
        slow = threading.Thread(target=lambda: h.run("zpool", "status"))
        slow.start()
        start = time.monotonic()
        quick = h.read("/proc/version").status
        said = [quick, time.monotonic() - start < 1]
        """,
        tmp_path,
        RUN_S="2",
        PATH=_hung_zpool(tmp_path),
    )
    assert said == ["ok", True]


def _hung_zpool(place: Path) -> str:
    from .program import shim

    shim(place / "bin", "zpool", "exec sleep 600")
    return f"{place / 'bin'}:{os.environ['PATH']}"


def test_what_cannot_be_ended_is_not_asked_again_while_it_lives(tmp_path: Path) -> None:
    hung = subprocess.Popen(["sleep", "600"])
    try:
        script = f"""
        key = "run echo hello"
        h._stuck.note(key, {hung.pid})
        again = Live(nursery, states=state)
        a = again.run("echo", "hello")
        said = [a.status, a.why]
        """
        status, why = ask(script, tmp_path)
        assert status == "timeout"
        assert f"process {hung.pid} still waits" in why
        assert why.startswith("stuck since ")
    finally:
        hung.kill()
        hung.wait()
    assert ask("a = h.run('echo', 'hello'); said = a.text", tmp_path) == "hello\n"


def test_root_is_not_left_by_absolute_links(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "real").write_text("inside\n")
    (root / "etc/name").symlink_to("/real")
    (root / "etc/up").symlink_to("../../../../../../real")
    (root / "etc/loop").symlink_to("loop")
    said = ask(
        f"""
        r = Live(nursery, root={str(root)!r})
        said = [r.read("/etc/name").text, r.read("/etc/up").text, r.read("/etc/loop").status,
                sorted(r.tree("/etc/n*")), r.probe("nvml", "state").status]
        """,
        tmp_path,
    )
    assert said == ["inside\n", "inside\n", "failed", ["/etc/name"], "not_captured"]


def test_every_question_has_a_rule() -> None:
    for key in ("read /x", "tree /x/*", "link /x", "run x", "probe x"):
        assert rule_for(key) in RULES
    assert rule_for("run zpool status -j").lane == "zfs"
    assert rule_for("run nvidia-smi -q").lane == "nvml"
    assert rule_for("probe nvml state").sample


def test_words_come_back() -> None:
    for argv in (("zpool", "status", "-j"), ("sh", "-c", "a b; c/d % ü"), ("x", "")):
        assert split(words(argv)) == argv


def recorded() -> Recording:
    recording = Recording(1_800_000_000.0)
    for answer in (
        Answer("read /proc/mdstat", "ok", b"Personalities\n\xff", at=1.0),
        Answer("read /etc/none", "absent", why="No such file or directory"),
        Answer("read /sys/a/0000:1b:00.0/x", "ok", b"1\n"),
        Answer("link /sys/a/l", "ok", b"../b"),
        Answer("run zpool status", "failed", b"out", stderr=b"err", exit=1, why="exit code 1", seconds=0.5),
        Answer("run sh -c " + "x" * 400, "ok", b"long", exit=0),
        Answer("probe nvml state", "ok", b"{}"),
        Answer("tree /sys/a/*/x", "ok"),
        Answer("run slow", "timeout", why="no answer within 10 s"),
    ):
        recording.answers[answer.key] = answer
    recording.trees["tree /sys/a/*/x"] = ["/sys/a/0000:1b:00.0/x"]
    recording.before = Recording(1_799_999_000.0)
    recording.before.answers["read /proc/stat"] = Answer("read /proc/stat", "ok", b"cpu 1")
    return recording


def same(one: Recording, other: Recording) -> None:
    assert one.answers.keys() == other.answers.keys()
    for key, answer in one.answers.items():
        for name in ("status", "data", "stderr", "exit", "why", "at"):
            assert getattr(other.answers[key], name) == getattr(answer, name), (key, name)
    assert one.trees == other.trees
    assert one.taken_at == other.taken_at
    assert (one.before is None) == (other.before is None)
    if one.before and other.before:
        same(one.before, other.before)


@pytest.mark.parametrize("name", ["folder", "archive.tar.gz"])
def test_a_snapshot_gives_back_what_was_recorded(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    snapshot.save(snapshot.files_of(recorded(), {}), path)
    assert snapshot.is_snapshot(path)
    same(recorded(), snapshot.load(path))
    assert (tmp_path / name).stat().st_mode & 0o077 == 0


def test_the_same_recording_gives_the_same_archive(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        snapshot.save(snapshot.files_of(recorded(), {}), str(tmp_path / name / "x.tar.gz"))
    assert (tmp_path / "one/x.tar.gz").read_bytes() == (tmp_path / "two/x.tar.gz").read_bytes()


def test_a_changed_answer_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    snapshot.save(snapshot.files_of(recorded(), {}), str(path))
    (path / "files/proc/mdstat").write_bytes(b"other")
    with pytest.raises(snapshot.BadSnapshot, match="sha256"):
        snapshot.load(str(path))


def test_newer_formats_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    snapshot.save(snapshot.files_of(recorded(), {}), str(path))
    (path / "SNAPSHOT").write_text("mlopsdoc-snapshot 2\n")
    with pytest.raises(snapshot.BadSnapshot, match="format 2"):
        snapshot.load(str(path))


def test_absent_and_never_asked_differ() -> None:
    host = Replay(recorded())
    assert host.read("/etc/none").status == "absent"
    assert host.read("/etc/other").status == "not_captured"
    assert host.tree("/sys/b/*").listing.status == "not_captured"
    for pattern in ("/sys/a/*/x", "/sys/a/0000:??:00.0/x", "/sys/[a-c]/*/x"):
        assert list(host.tree(pattern)) == ["/sys/a/0000:1b:00.0/x"]


def test_a_recorder_asks_once() -> None:
    class Counting(Replay):
        asked = 0

        def run(self, *argv: str) -> Answer:
            Counting.asked += 1
            return super().run(*argv)

    recorder = Recorder(Counting(recorded()))
    assert recorder.run("zpool", "status") is recorder.run("zpool", "status")
    assert Counting.asked == 1


def test_the_ring_keeps_samples_of_this_boot(tmp_path: Path) -> None:
    state = str(tmp_path)
    for at in (1000.0, 1010.0, 1060.0, 1120.0):
        recording = Recording(at)
        recording.answers["read /proc/stat"] = Answer("read /proc/stat", "ok", str(at).encode(), at=at)
        recording.answers["read /proc/version"] = Answer("read /proc/version", "ok", b"no sample")
        ring.store(state, "boot-a", recording)
    found = ring.newest([state], "boot-a", 1125.0)
    assert found is not None
    assert found.taken_at == 1060.0, "the one of 5 s ago is too young"
    assert list(found.answers) == ["read /proc/stat"]
    assert ring.newest([state], "boot-b", 1125.0) is None
    assert ring.newest([state], "boot-a", 1120.0 + 25 * 3600) is None


def test_a_broken_sample_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples/boot-a-1000.msgpack").write_bytes(b"\xc1half")
    assert ring.newest([str(tmp_path)], "boot-a", 1100.0) is None


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("link", "not a plain file"),
        ("device", "not a plain file"),
        ("sparse", "not a plain file"),
        ("pax", "not a plain file"),
        ("traversal", "not allowed"),
        ("absolute", "not allowed"),
        ("escape", "not allowed"),
        ("twice", "there twice"),
        ("huge", "larger than"),
        ("bomb", "times its size"),
        ("short", "ends in the middle"),
        ("garbage", "no gzip"),
        ("empty", "ends in the middle"),
    ],
)
def test_hostile_archives_are_refused(tmp_path: Path, kind: str, why: str) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(_hostile(kind))
    with path.open("rb") as file, pytest.raises(Refused, match=why):
        dict(archive.members(file))
    with pytest.raises(snapshot.BadSnapshot):
        snapshot.load(str(path))


def _hostile(kind: str) -> bytes:
    import gzip
    import io
    import tarfile

    if kind in ("garbage", "empty"):
        return b"" if kind == "empty" else b"not an archive at all" * 100
    raw = io.BytesIO()
    format = tarfile.PAX_FORMAT if kind == "pax" else tarfile.GNU_FORMAT
    with tarfile.open(fileobj=raw, mode="w", format=format) as tar:
        member = tarfile.TarInfo("s/files/a")
        names = {"traversal": "s/../../etc/passwd", "absolute": "/etc/passwd", "escape": "s/\x1b[2J"}
        member.name = names.get(kind, member.name)
        member.type = {"link": tarfile.SYMTYPE, "device": tarfile.CHRTYPE, "sparse": tarfile.GNUTYPE_SPARSE}.get(
            kind, tarfile.REGTYPE
        )
        if kind == "pax":
            member.pax_headers = {"comment": "x" * 1000}
        data = b"\0" * (17 << 20 if kind == "huge" else 15 << 20 if kind == "bomb" else 10)
        member.size = len(data)
        for _ in range(2 if kind == "twice" else 1):
            tar.addfile(member, io.BytesIO(data))
        if kind == "bomb":
            member.name = "s/files/b"
            tar.addfile(member, io.BytesIO(data))
    packed = gzip.compress(raw.getvalue())
    return packed[: len(packed) // 2] if kind == "short" else packed


def strange(place: Path, row: str = "", expect: str = "", manifest: str = "{}") -> str:
    """A snapshot folder from a stranger, and a secret beside it."""
    (place / "secret").write_text("secret")
    folder = place / "strange"
    (folder / "files/proc").mkdir(parents=True)
    (folder / "SNAPSHOT").write_text("mlopsdoc-snapshot 1\n")
    (folder / "manifest.json").write_text(manifest)
    (folder / "items.jsonl").write_text(row)
    if expect:
        (folder / "expect.toml").write_text(expect)
    return str(folder)


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "files/../../secret", "files/link"])
def test_a_strangers_folder_shows_nothing_outside_it(tmp_path: Path, path: str) -> None:
    folder = strange(tmp_path, f'{{"key":"read /x","path":"{path}"}}\n', 'about = "x"')
    (Path(folder) / "files/link").symlink_to("../../secret")
    with pytest.raises(snapshot.BadSnapshot, match=r"inside|no such file"):
        snapshot.load(folder)


def test_a_strangers_folder_with_a_fifo_or_a_base_elsewhere(tmp_path: Path) -> None:
    folder = strange(tmp_path, expect='base = "../../etc"')
    with pytest.raises(snapshot.BadSnapshot, match="base is the name"):
        snapshot.load(folder)
    (Path(folder) / "expect.toml").unlink()
    os.mkfifo(Path(folder) / "files/proc/fifo")
    with pytest.raises(snapshot.BadSnapshot, match="no such file"):
        snapshot.load(folder)


@pytest.mark.parametrize(
    ("row", "manifest"),
    [
        ("", '{"taken_at": "abc"}'),
        ("", '{"taken_at": 1e300}'),
        ("", '{"taken_at": -5}'),
        ("", '{"unlisted": "ok"}'),
        ("", "[]"),
        ("", "no json"),
        ("[" * 100_000, "{}"),
        ('{"key": 5}', "{}"),
        ('{"key": "read /x", "path": "files/none"}', "{}"),
        ('{"key": "read /x", "at": "now"}', "{}"),
    ],
)
def test_what_is_wrong_with_a_snapshot_is_said(tmp_path: Path, row: str, manifest: str) -> None:
    with pytest.raises(snapshot.BadSnapshot) as error:
        snapshot.load(strange(tmp_path, row, manifest=manifest))
    assert len(str(error.value).splitlines()) == 1


def test_a_snapshot_without_an_answer_is_not_complete(tmp_path: Path) -> None:
    assert snapshot.load(strange(tmp_path)).complete is False


def test_a_base_is_found_from_within_the_folder_of_snapshots(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(catalog.shipped("snapshots"))
    assert snapshot.load("bad_night").answers


def test_a_snapshot_that_was_packed_again_is_read(tmp_path: Path) -> None:
    snapshot.save(snapshot.files_of(recorded(), {}), str(tmp_path / "x/live"))
    subprocess.run(["tar", "czf", str(tmp_path / "again.tar.gz"), "live"], cwd=tmp_path / "x", check=True)
    subprocess.run(["tar", "czf", str(tmp_path / "dot.tar.gz"), "."], cwd=tmp_path / "x/live", check=True)
    for name in ("again", "dot"):
        assert snapshot.is_snapshot(str(tmp_path / f"{name}.tar.gz"))
        same(recorded(), snapshot.load(str(tmp_path / f"{name}.tar.gz")))


def test_sealing_changes_nothing_that_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "reference"
    subprocess.run(["cp", "-r", catalog.shipped("snapshots") + "/reference", str(folder)], check=True)
    before = snapshot.load(str(folder))
    assert snapshot.seal(str(folder)) == len(before.answers)
    same(before, snapshot.load(str(folder)))


def test_json_of_an_answer_is_safe() -> None:
    answer = Answer("probe x", "ok", b'{"\\u001b]0;x": ["\\u202e", 1, null, {"a": "\\u0007"}]}')
    assert answer.json() == {"\\x1b]0;x": ["\\u202e", 1, None, {"a": "\\x07"}]}


def test_a_lane_that_was_slow_once_is_asked_again(tmp_path: Path) -> None:
    """Only a process that cannot be ended makes a question stuck."""
    said = ask(
        """
        h._stuck.note("run echo hello", os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "0"))
        os.wait()
        said = h.run("echo", "hello").text
        """,
        tmp_path,
    )
    assert said == "hello\n"


def test_a_command_holds_no_line_of_ours(tmp_path: Path) -> None:
    said = ask("said = h.run('sh', '-c', 'ls /proc/self/fd').text.split()", tmp_path)
    assert said == ["0", "1", "2", "3"], "3 is the folder that ls reads"


def test_without_processes_to_ask_every_answer_fails_and_the_run_goes_on(tmp_path: Path) -> None:
    said = ask(
        """
        nursery._socket.close()
        a = h.run("echo", "x")
        said = [a.status, a.why]
        """,
        tmp_path,
    )
    assert said[0] == "failed"
    assert "could not be made" in said[1]


def test_a_folder_that_may_not_be_listed_is_said(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    (tmp_path / "shut").mkdir(mode=0o700)
    said = ask(
        f"""
        os.chmod({str(tmp_path)!r}, 0o755)
        import mlopsdoc.hosts.asking as asking
        os.setegid(65534); os.seteuid(65534)
        reply = asking._tree(None, "/", {str(tmp_path)!r} + "/shut/*", 100, 1)
        said = [reply.status, reply.files]
        os.seteuid(0)
        """,
        tmp_path,
    )
    assert said == ["denied", {}]


def test_samples_of_a_clock_that_was_ahead_are_dropped(tmp_path: Path) -> None:
    for at in (9000.0, 1000.0, 1060.0):
        recording = Recording(at)
        recording.answers["read /proc/stat"] = Answer("read /proc/stat", "ok", b"x", at=at)
        ring.store(str(tmp_path), "b", recording)
    found = ring.newest([str(tmp_path)], "b", 1100.0)
    assert found is not None
    assert found.taken_at == 1060.0
    assert not list(tmp_path.glob("samples/*9000*"))
