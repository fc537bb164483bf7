"""Whole fixes, walked for real: a check finds something, a step of its runbook mends it, the check is ok, the audit
log is whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlopsdoc.audit import Log
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording

from .bmc import configure, simulator
from .program import REPOSITORY, Ended, environment, mlopsdoc, shim, start
from .serving import serve

Program = Callable[..., Ended]
CPU = "sys/devices/system/cpu"


def recorded(place: Path, *, before: str, after: str) -> None:
    """The audit log is whole, and says that one run made it better."""
    log = Log(str(place / "state"))
    assert log.problems() == []
    started, ended, looked = log.entries()
    assert (started.before, ended.exit, looked.after) == (before, 0, after)
    assert mlopsdoc("audit", "verify", place=place).code == 0


@contextmanager
def apart(place: Path, script: str) -> Generator[Program]:
    """The program in a world of mounts of its own, which a script has made."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("fuser")):
        pytest.skip("mounting needs root, the step needs fuser")
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-euc", f"{script}\necho ready; exec sleep 600"]
    holder = subprocess.Popen(argv, stdout=subprocess.PIPE)

    def run(*words: str, env: Mapping[str, str] = {}) -> Ended:
        command = [
            shutil.which("nsenter") or "nsenter",
            "--mount",
            f"--target={holder.pid}",
            sys.executable,
            "-m",
            "mlopsdoc",
            *words,
        ]
        said = subprocess.run(command, env=environment(place, **env), cwd="/", capture_output=True, check=False)
        return Ended(said.returncode, said.stdout, said.stderr)

    with holder:
        assert holder.stdout is not None
        try:
            if holder.stdout.readline() != b"ready\n":
                pytest.skip("nothing can be mounted here")
            yield run
        finally:
            holder.kill()


def of(ended: Ended, id: str, subject: str) -> list[dict[str, Any]]:
    """What a check found of a subject."""
    return [found for found in ended.check(id)["findings"] if found["subject"] == subject]


def mended(
    run: Program,
    check: str,
    subject: str,
    step: str,
    *options: str,
    env: Mapping[str, str] = {},
    status: str = "critical",
) -> Ended:
    """What a step said after which its check, which found something, finds nothing."""
    root = options[options.index("--root") :] if "--root" in options else ()

    def found() -> set[str]:
        return {one["status"] for one in of(run("check", check, "--json", *root, env=env), check, subject)} - {"ok"}

    assert found() == {status}
    ended = run("runbook", "run", check, "--step", step, *options, "--allow", "kills", env=env)
    assert ended.code == 0, ended.err
    assert not found()
    return ended


FULL = """
mount -t tmpfs -o size=16m tmpfs /dev/shm; cd /dev/shm; head -c 15M /dev/zero >left; head -c 800K /dev/zero >used
touch -d '2 days ago' *; cd /; exec 3</dev/shm/used; mount --bind "/proc/$$/mountinfo" /proc/1/mountinfo
"""


def test_a_full_file_system_is_cleaned(tmp_path: Path) -> None:
    """Of shared memory that killed jobs left behind, not of what a process has open."""
    with apart(tmp_path, FULL) as run:
        step = "remove-shared-memory-that-no-process-has-open-devshm"
        said = mended(run, "disk_space", "mount /dev/shm", step, "--set", "MOUNT=/dev/shm").out
    assert [line for line in said.splitlines() if line.startswith("removed")] == ["removed '/dev/shm/left'"]
    recorded(tmp_path, before="critical", after="ok")


BROKEN = """
cd {place}; truncate -s 64M image; mkfs.ext4 -q image; mkdir data; losetup --find --show image >loop
loop=$(cat loop); mount -t tmpfs tmpfs /dev/shm; mknod /dev/shm/disk b 7 "${{loop#/dev/loop}}"
echo "/dev/shm/disk {place}/data ext4 errors=remount-ro" >fstab; mount --bind fstab /etc/fstab; mount data
echo test >"/sys/fs/ext4/${{loop#/dev/}}/trigger_fs_error"; mount --bind "/proc/$$/mountinfo" /proc/1/mountinfo
"""


def test_a_file_system_that_turned_read_only_is_checked_and_mounted_again(tmp_path: Path) -> None:
    """A real one, to which the kernel was told that it has an error."""
    try:
        with apart(tmp_path, BROKEN.format(place=tmp_path)) as run:
            mended(run, "disk_space", f"mount {tmp_path}/data", "read-only-unmount-it-check-it-mount-it-again")
    finally:
        if (loop := tmp_path / "loop").exists():
            subprocess.run(["losetup", "-d", loop.read_text().strip()], check=False)
    recorded(tmp_path, before="critical", after="ok")


def test_scrubs_read_again(tmp_path: Path, library: Path) -> None:
    """The setting of the module is a file of a snapshot, mounted where the step writes."""
    made = snapshot.load(str(REPOSITORY / "snapshots/zfs_scrub_no_scrub_io"))
    key, when = "run zpool status", time.strftime("%a %b %e %H:%M:%S %Y").encode()
    made.answers[key] = Answer(key, "ok", re.sub(rb"(errors on ).*", rb"\g<1>" + when, made.answers[key].data))
    env = serve(made, tmp_path, library)
    root = ("--root", str(tmp_path / "root"))
    with apart(tmp_path, f"mount --bind {tmp_path}/root/sys/module /sys/module") as run:
        planned = run("runbook", "run", "zfs_scrub", "--step", "let-scrubs-read-again", "--dry-run", *root, env=env)
        assert "/sys/module/zfs/parameters/zfs_no_scrub_io: now 1, then 0" in planned.out
        mended(run, "zfs_scrub", "host", "let-scrubs-read-again", *root, env=env)
    recorded(tmp_path, before="critical", after="ok")


def test_a_wrongly_bound_process_is_moved(tmp_path: Path, library: Path) -> None:
    """The GPUs and nodes are those of a snapshot; the process, its CPUs and taskset are real."""
    if shutil.which("taskset") is None or len(cpus := sorted(os.sched_getaffinity(0))) < 2:
        pytest.skip("needs taskset and two CPUs")
    near, far, *_ = cpus
    with subprocess.Popen(["taskset", "-c", str(far), "sleep", "600"]) as process:
        try:
            env = serve(one_process(near, far, process.pid), tmp_path, library)
            proc = tmp_path / f"root/proc/{process.pid}"
            proc.mkdir()
            for name in ("stat", "status", "cmdline", "cgroup", "task"):
                (proc / name).symlink_to(f"/proc/{process.pid}/{name}")
            (proc / "numa_maps").write_text("344a8000 default heap anon=5 dirty=5 N0=5 kernelpagesize_kB=4\n")
            root = ["--root", str(tmp_path / "root")]
            subject = f"pid {process.pid}"
            (found,) = of(mlopsdoc("check", "--json", *root, place=tmp_path, env=env), "numa_binding", subject)
            assert found["status"] == "warning"
            step = "move-its-threads-to-the-cpus-of-the-gpus-node"
            argv = ["runbook", "run", "numa_binding", "--step", step, *root]
            planned = mlopsdoc(*argv, "--dry-run", place=tmp_path, env=env)
            assert f"CPUs of pid {process.pid}: now {far}, then {near}\n" in planned.out
            assert os.sched_getaffinity(process.pid) == {far}
            ended = mlopsdoc(*argv, "--yes", place=tmp_path, env=env)
            assert ended.code == 0, ended.err
            assert os.sched_getaffinity(process.pid) == {near}
            assert not [
                one
                for one in of(mlopsdoc("check", "--json", *root, place=tmp_path, env=env), "numa_binding", subject)
                if one["status"] != "ok"
            ]
        finally:
            process.kill()
    recorded(tmp_path, before="warning", after="ok")


def test_memory_on_the_wrong_node_is_moved(tmp_path: Path, library: Path) -> None:
    """The process, its memory and migratepages are real. This machine may have one node: what the kernel says of pages
    is told as of another, with the policy that puts them there, until the tool has moved them.
    """
    if shutil.which("migratepages") is None or len(cpus := sorted(os.sched_getaffinity(0))) < 2:
        pytest.skip("needs migratepages and two CPUs")
    near, far, *_ = cpus
    holds = "import time; held = b'x' * (300 << 20); print('ready', flush=True); time.sleep(600)"
    argv = ["taskset", "-c", str(near), sys.executable, "-c", holds]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
            env = serve(one_process(near, far, process.pid), tmp_path, library)
            proc, real = tmp_path / f"root/proc/{process.pid}", Path(f"/proc/{process.pid}")
            proc.mkdir()
            for name in ("stat", "status", "cmdline", "cgroup", "task"):
                (proc / name).symlink_to(real / name)
            maps = (real / "numa_maps").read_text()
            assert " N0=" in maps and " N1=" not in maps
            (proc / "numa_maps").write_text(maps.replace(" default ", " bind:1 ").replace(" N0=", " N1="))
            tool, moved = shutil.which("migratepages"), f"/bin/cat {real}/numa_maps >{proc}/numa_maps"
            shim(tmp_path / "shims", "migratepages", f'{tool} "$@" && {moved} && echo "moved $*"')

            def run(*words: str, env: Mapping[str, str] = env) -> Ended:
                return mlopsdoc(*words, place=tmp_path, env=env)

            step = "move-its-memory-to-the-gpus-node"
            root = ("--root", str(tmp_path / "root"))
            said = mended(run, "numa_binding", f"pid {process.pid}", step, *root, env=env, status="warning").out
            assert f"moved {process.pid} all 0" in said
        finally:
            process.kill()
    recorded(tmp_path, before="warning", after="ok")


def one_process(near: int, far: int, pid: int) -> Recording:
    """The reference host with two CPUs, one on each node, and one process, on the GPU at node 0."""
    made = snapshot.load(str(REPOSITORY / "snapshots/reference"))
    for node, cpu in ((0, near), (1, far)):
        key = f"read /sys/devices/system/node/node{node}/cpulist"
        made.answers[key] = Answer(key, "ok", f"{cpu}\n".encode())
    key = "probe nvml processes"
    said = json.loads(made.answers[key].data)
    for gpu in said["gpus"]:
        for kind in ("compute", "graphics"):
            rows = gpu["values"].get(kind, [])
            gpu["values"][kind] = [row | {"pid": pid} for row in rows if row["pid"] == 41230]
    made.answers[key] = Answer(key, "ok", json.dumps(said).encode())
    return made


def test_a_governor_is_set_and_its_limit_lifted(tmp_path: Path) -> None:
    """The settings are files, mounted where the step writes; the clock is what the limit says."""
    files = {"proc/loadavg": "3.90 3.80 3.70 5/100 77\n", f"{CPU}/online": "0-3\n"}
    for number in range(4):
        policy = f"{CPU}/cpufreq/policy{number}"
        files |= {f"{policy}/{name}": text for name, text in GOVERNED.items()}
        files[f"{CPU}/cpu{number}/topology/physical_package_id"] = "0\n"
    for name, text in files.items():
        (path := tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for number in range(4):
        (tmp_path / "root" / f"{CPU}/cpu{number}/cpufreq").symlink_to(f"../cpufreq/policy{number}")
        (tmp_path / "root" / f"{CPU}/cpufreq/policy{number}/scaling_cur_freq").symlink_to("scaling_max_freq")
    root = ("--root", str(tmp_path / "root"))
    with apart(tmp_path, f"mount --bind {tmp_path}/root/{CPU} /{CPU}") as run:
        step = "held-by-a-setting-governor-performance-no-upper-limit"
        mended(run, "cpu_thermal", "CPU package 0", step, *root, status="warning")
        governor = tmp_path / "root" / f"{CPU}/cpufreq/policy3/scaling_governor"
        assert governor.read_text() == "performance\n"
        recorded(tmp_path, before="warning", after="ok")
        assert run("runbook", "run", "cpu_thermal", "--step", step, "--undo", "--yes", *root).code == 0
        assert governor.read_text() == "schedutil\n"  # powersave of this driver is the lowest clock


def test_a_supply_gets_its_input_back(tmp_path: Path) -> None:
    """A step that waits for hands: the check is asked, over the network, until the supply says that all is well."""
    with simulator(tmp_path) as bmc:
        configure(tmp_path, "ipmi", bmc.port, more="cipher = 3\n")
        bmc.set(2, b3=1)
        bmc.set(bmc.redundancy, b0=0, b1=1)
        books = tmp_path / "config/mlopsdoc/runbooks"
        books.mkdir()
        (books / "psu_redundancy.md").write_text(PLUG)
        (found,) = of(mlopsdoc("check", "psu_redundancy", "--json", place=tmp_path), "psu_redundancy", "PSU 2")
        assert found["code"] == "no_input"
        argv = ["runbook", "run", "psu_redundancy", "--step", "push-the-cord-home", "--yes"]
        process = start(*argv, "--set", f"DONE_PATH={tmp_path}/done", place=tmp_path)
        while not (tmp_path / "done").exists() and process.poll() is None:
            time.sleep(0.05)
        bmc.set(2, b3=0)
        bmc.set(bmc.redundancy, b0=1, b1=0)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    recorded(tmp_path, before="critical", after="ok")


class Walk(NamedTuple):
    """A fix. command: what the tool obeys; asked: what else it is asked, and what it prints then."""

    check: str
    snapshot: str
    subject: str
    step: str
    tool: str
    command: str
    to: str = "reference"
    asked: Mapping[str, str] = {}


RESET = "--gpu-reset -i 0000:"
GPU_2, GPU_3 = "GPU 2 (9b:00.0)", "GPU 3 (c3:00.0)"
WATTS = "-i 0000:{}:00.0 --query-gpu=power.{}_limit --format=csv,noheader,nounits"
WALKS = (
    Walk(
        "gpu_row_remap", "gpu_row_remap_pending", GPU_2, "reset-the-gpu-when-nothing-runs-on-it",
        "nvidia-smi", f"{RESET}9b:00.0",
    ),
    Walk("gpu_recovery", "gpu_recovery_reset", GPU_3, "reset-the-gpu", "nvidia-smi", f"{RESET}c3:00.0"),
    Walk(
        "gpu_ecc", "gpu_ecc_uncorrected", GPU_2, "reset-the-gpu-when-nothing-runs-on-it",
        "nvidia-smi", f"{RESET}9b:00.0",
    ),
    Walk(
        "gpu_health", "gpu_health_ecc_pending", "GPU 0 (1b:00.0)", "keep-ecc-on-where-nobody-wants-it-off",
        "nvidia-smi", "-i 0000:1b:00.0 -e 1",
    ),
    Walk(
        "gpu_thermal", "gpu_thermal_hw", GPU_3, "lower-its-power-limit-to-80",
        "nvidia-smi", "-i 0000:c3:00.0 -pl 560",
        asked={WATTS.format("c3", "default"): "700.00", WATTS.format("c3", "min"): "200.00"},
    ),
    Walk("nvlink_links", "nvlink_links_one_down", GPU_3, "reset-the-gpus", "nvidia-smi", "--gpu-reset"),
    Walk(
        "md_raid", "md_raid_mirror_lost_one", "array md1", "put-a-disk-back-that-had-only-lost-its-connection",
        "mdadm", "/dev/md1 --re-add /dev/nvme9n1p3", asked={"/dev/md1 --remove /dev/nvme9n1p3": "removed"},
    ),
    Walk(
        "zfs_pools", "zfs_pools_suspended_0_8", "pool tank", "resume-a-pool-whose-io-is-suspended",
        "zpool", "clear tank",
    ),
    Walk(
        "fabric_manager", "fabric_manager_stopped", "host", "start-it-again",
        "systemctl", "restart nvidia-fabricmanager", to="fabric_manager_same",
    ),
    Walk(
        "container_toolkit", "container_toolkit_stale", "containers", "describe-the-devices-again",
        "nvidia-ctk", "cdi generate --output=/etc/cdi/nvidia.yaml", to="container_toolkit_cdi",
    ),
    Walk(
        "gpu_pcie", "gpu_pcie_acs", "PCIe port 19:00.0", "switch-the-redirect-off-until-the-next-boot",
        "setpci", "-s 0000:19:00.0 ECAP_ACS+0x6.w=0:4", to="gpu_pcie_acs_valid",
    ),
    Walk(
        "gpu_power", "gpu_power_limit", GPU_2, "back-to-the-default-limit",
        "nvidia-smi", "-i 0000:9b:00.0 -pl 700", asked={WATTS.format("9b", "default"): "700.00"},
    ),
    Walk(
        "gpu_persistence", "gpu_persistence_off", "host", "switch-it-on-until-the-next-boot", "nvidia-smi", "-pm 1",
    ),
)  # fmt: skip


@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: walk.check)
def test_a_fix_with_a_tool_that_is_not_here(tmp_path: Path, library: Path, walk: Walk) -> None:
    """The machine is that of a snapshot: its files, its commands, its NVML. The tool is a fake that obeys one command,
    spelt as the runbook has it, and then the machine is that of another snapshot. All else is real.
    """
    mended = tmp_path / "mended"
    mended.mkdir()
    env = serve(snapshot.load(str(REPOSITORY / "snapshots" / walk.snapshot)), tmp_path, library)
    serve(snapshot.load(str(REPOSITORY / "snapshots" / walk.to)), mended, library)
    fake = tmp_path / "shims" / walk.tool
    old = fake.read_text().partition("\n")[2] if fake.exists() else "exit 99"
    copy = f"/bin/cp -rT --remove-destination {mended}/{{0}} {tmp_path}/{{0}}"
    mends = "; ".join(copy.format(part) for part in ("root", "shims", "nvml/says.txt"))
    asked = "".join(f'[ "$*" = "{words}" ] && echo {said} && exit\n' for words, said in walk.asked.items())
    shim(fake.parent, walk.tool, f'if [ "$*" = "{walk.command}" ]; then {mends}; exit; fi\n{asked}{old}')
    root = ["--root", str(tmp_path / "root")]
    begin = mlopsdoc("check", walk.check, "--json", *root, place=tmp_path, env=env)
    (found,) = of(begin, walk.check, walk.subject)
    values = [word for name, value in found["params"].items() for word in ("--set", f"{name}={value}")]
    argv = ["runbook", "run", walk.check, "--step", walk.step, *values, "--allow", "kills", *root]
    ended = mlopsdoc(*argv, place=tmp_path, env=env)
    assert ended.code == 0, ended.err
    after = mlopsdoc("check", walk.check, "--json", *root, place=tmp_path, env=env)
    assert {one["status"] for one in of(after, walk.check, walk.subject)} <= {"ok"}
    recorded(tmp_path, before=found["status"], after="ok")


PLUG = """# A supply has no input

## Mitigation

### Push the cord home

```sh tune verify=psu_redundancy within=90s undo=none
echo "at supply $PSU" >"$DONE_PATH"
```
"""
GOVERNED = {
    "scaling_governor": "powersave\n", "scaling_driver": "acpi-cpufreq\n", "base_frequency": "2000000\n",
    "cpuinfo_max_freq": "2600000\n", "scaling_max_freq": "800000\n",
}  # fmt: skip
