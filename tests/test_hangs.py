"""What never answers: each costs its deadline and no more, leaves nothing that could be ended, is one finding."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import catalog
from mlopsdoc.hosts import snapshot

from .program import all_gone, descendants_named, mlopsdoc, shim, start, with_shims
from .serving import serve

FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A root with one ZFS pool, as /proc shows it."""
    state = tmp_path / "root/proc/spl/kstat/zfs/tank/state"
    state.parent.mkdir(parents=True)
    state.write_text("ONLINE\n")
    (tmp_path / "root/dev").mkdir()
    (tmp_path / "root/dev/zfs").touch()
    return tmp_path


def hung_zpool(host: Path, script: str) -> tuple[dict[str, Any], float]:
    """The check zfs_scrub where zpool and zfs are this script, and how long the run took."""
    for tool in ("zpool", "zfs"):
        shim(host / "bin", tool, script)
    begin = time.monotonic()
    argv = ["check", "zfs_scrub", "--json", "--timeout", "2", "--root", str(host / "root")]
    ended = mlopsdoc(*argv, place=host, env=with_shims(host / "bin") | {"MARK": str(host)})
    assert ended.code == 3, ended.err
    return ended.check("zfs_scrub"), time.monotonic() - begin


def one_unknown(check: dict[str, Any]) -> str:
    """The summary of the only finding, which says that the check could not see."""
    assert check["status"] == "unknown"
    (finding,) = check["findings"]
    assert finding["status"] == "unknown"
    summary: str = finding["summary"]
    return summary


def test_a_zpool_that_ignores_every_signal_it_can(host: Path) -> None:
    check, seconds = hung_zpool(host, "trap '' TERM INT HUP QUIT PIPE; while :; do sleep 600; done")
    assert "no answer within" in one_unknown(check)
    assert seconds < 2 + 6, "its deadline, and what a start costs on a slow machine"
    assert all_gone(f"MARK={host}")


def test_a_reader_of_our_output_does_not_wait_for_the_abandoned(host: Path) -> None:
    """The end of the pipe comes with the end of the report, though the child lives on."""
    with frozen_group() as group:
        shim(host / "bin", "zpool", _freeze_me(group))
        shim(host / "bin", "zfs", "exit 1")
        argv = ["check", "zfs_scrub", "--json", "--timeout", "2", "--root", str(host / "root")]
        process = start(*argv, place=host, env=with_shims(host / "bin"))
        out, _ = process.communicate(timeout=30)
        assert json.loads(out)["status"] == "unknown"
        assert group.pids(), "the child is still there, frozen with its KILL pending"


def test_what_is_frozen_is_named_and_not_asked_again_while_it_lives(host: Path) -> None:
    with frozen_group() as group:
        first, seconds = hung_zpool(host, _freeze_me(group))
        assert "cannot be ended" in one_unknown(first)
        assert seconds < 2 + 6
        left = group.pids()
        again, _ = hung_zpool(host, _freeze_me(group))
        assert "stuck since" in one_unknown(again)
        assert group.pids() == left, "no second one was added"
    check, _ = hung_zpool(host, "exec sleep 600")
    assert "stuck since" not in one_unknown(check), "it is asked again once the stuck one is gone"


class Group:
    """A control group of version 1 whose processes are frozen: state D, no signal ends them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def pids(self) -> list[int]:
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]


@contextmanager
def frozen_group() -> Generator[Group]:
    """A group that is thawed and emptied at the end."""
    if os.geteuid() != 0 or not (FREEZER / "cgroup.procs").exists():
        pytest.skip("a process in D state needs root and the freezer of control groups version 1")
    group = Group(FREEZER / f"mlopsdoc-test-{os.getpid()}")
    group.folder.mkdir()
    try:
        yield group
    finally:
        (group.folder / "freezer.state").write_text("THAWED")
        until = time.monotonic() + 10
        while group.pids() and time.monotonic() < until:
            for pid in group.pids():
                os.kill(pid, signal.SIGKILL)
        group.folder.rmdir()


def _freeze_me(group: Group) -> str:
    """A script that is frozen a moment after it joined the group; who freezes it is outside."""
    freeze = f"until grep -q . {group.folder}/cgroup.procs; do :; done; echo FROZEN > {group.folder}/freezer.state"
    return f"({freeze}) & echo $$ > {group.folder}/cgroup.procs; sleep 600"


def test_a_fifo_in_place_of_a_file(host: Path) -> None:
    state = host / "root/proc/spl/kstat/zfs/tank/state"
    state.unlink()
    os.mkfifo(state)
    for name in ("uevent",):
        device = host / "root/sys/bus/pci/devices/0000:1b:00.0" / name
        device.parent.mkdir(parents=True)
        os.mkfifo(device)
    begin = time.monotonic()
    ended = mlopsdoc("check", "--json", "--root", str(host / "root"), place=host)
    assert time.monotonic() - begin < 20
    assert ended.code in (0, 1, 2, 3)
    assert ended.err == ""


def test_a_file_whose_read_never_ends(host: Path) -> None:
    """A file system that nobody serves: whoever looks into it waits in D state, and KILL does nothing."""
    with unserved(host / "root/proc/sys/kernel/random"):
        check, seconds = hung_zpool(host, "exit 1")
        assert check["status"] == "unknown", "zpool failed; the boot id, which hangs, is another's matter"
        assert seconds < 2 + 8
        begin = time.monotonic()
        again, seconds = hung_zpool(host, "exit 1")
        assert again["status"] == check["status"]
        assert time.monotonic() - begin < 8


@contextmanager
def unserved(folder: Path) -> Generator[None]:
    """A FUSE mount whose server takes requests and answers none."""
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("a file system that hangs needs root and /dev/fuse")
    folder.mkdir(parents=True)
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(folder)], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        if server.stdout.readline() != "mounted\n":
            pytest.skip("FUSE cannot be mounted here")
        yield
    finally:
        server.kill()
        server.communicate()
        subprocess.run(["umount", "-l", str(folder)], check=False)


# Mounts FUSE by hand, answers INIT and nothing else.
SERVER = """
import ctypes, os, struct, sys
fd = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={fd},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"hang", sys.argv[1].encode(), b"fuse", 0, options):
    print("refused", flush=True)
    sys.exit()
print("mounted", flush=True)
while True:
    request = os.read(fd, 1 << 20)
    length, opcode, unique = struct.unpack_from("IIQ", request)
    if opcode == 26:
        body = struct.pack("IIIIHHIIHHI32x", 7, 31, 0, 0, 12, 10, 4096, 1, 0, 0, 0)[:64]
        os.write(fd, struct.pack("IiQ", 16 + len(body), 0, unique) + body)
"""


def test_an_nvml_call_that_never_returns(tmp_path: Path, library: Path) -> None:
    reference = catalog.shipped("snapshots") + "/reference"
    env = serve(snapshot.load(reference), tmp_path, library)
    says = Path(env["FAKE_NVML"])
    says.write_text("0 nvmlDeviceGetPerformanceState hang\n" + says.read_text())
    begin = time.monotonic()
    argv = ["check", "gpu_thermal", "cpu_thermal", "--json", "--timeout", "3", "--root", str(tmp_path / "root")]
    ended = mlopsdoc(*argv, place=tmp_path, env=env | {"MARK": str(tmp_path)})
    assert time.monotonic() - begin < 3 + 8
    assert ended.code == 3
    assert "no answer within" in one_unknown(ended.check("gpu_thermal"))
    assert ended.check("cpu_thermal")["status"] == "ok", "what hangs apart is judged"
    assert all_gone(f"MARK={tmp_path}")


def test_the_program_leaves_nothing_when_it_is_killed(host: Path) -> None:
    for tool in ("zpool", "zfs"):
        shim(host / "bin", tool, "echo started > started; exec sleep 600")
    argv = ["check", "zfs_scrub", "--root", str(host / "root")]
    process = start(*argv, place=host, env=with_shims(host / "bin") | {"MARK": str(host)})
    until = time.monotonic() + 20
    while not any("sleep" in _command_of(pid) for pid in descendants_named(f"MARK={host}")):
        assert time.monotonic() < until
    process.kill()
    process.communicate(timeout=10)
    assert all_gone(f"MARK={host}"), "lanes and commands end with the program"


def _command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("latin-1")
    except OSError:
        return ""
