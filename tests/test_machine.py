"""What a host is: read from whatever of it is known, never raising for what is not."""

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsdoc import CannotSee
from mlopsdoc.engine import Ledger
from mlopsdoc.facts.machine import Machine, cpu_list, first_cpu
from mlopsdoc.facts.pci import PciDevices
from mlopsdoc.hosts.base import Answer, probe_key, read_key, tree_key
from mlopsdoc.hosts.recorder import Recording, Replay

TAKEN = 1_790_000_000.0


def machine(files: Mapping[str, str], probes: Mapping[str, object] | None = None) -> Machine:
    recording = Recording(TAKEN, unlisted="absent")
    for path, text in files.items():
        recording.answers[read_key(path)] = Answer(read_key(path), "ok", text.encode())
    for slot, said in (probes or {}).items():
        key = probe_key("devices", (slot,))
        recording.answers[key] = Answer(key, "ok", json.dumps(said).encode())
    found = Ledger(Replay(recording)).get(Machine)
    assert isinstance(found, Machine)
    return found


def gpu(slot: str, vendor: str, device: str, kind: str = "30200") -> dict[str, str]:
    text = f"DRIVER=x\nPCI_CLASS={kind}\nPCI_ID={vendor}:{device}\nPCI_SLOT_NAME={slot}\n"
    return {f"/sys/bus/pci/devices/{slot}/uevent": text}


def test_nothing_known_is_empty_and_not_an_error() -> None:
    nothing = machine({})
    assert (nothing.name, nothing.gpus, nothing.virtual, nothing.container, nothing.is_root) == ("", (), "", "", False)
    info = nothing.info()
    assert (info.cpus, info.memory, info.gpus, info.product) == ("", "", "", "")


def test_names_of_a_server() -> None:
    cpu = "processor\t: {}\nvendor_id\t: GenuineIntel\nmodel name\t: Xeon X\nphysical id\t: {}\nflags\t\t: fpu\n"
    found = machine(
        {
            "/proc/cpuinfo": "\n".join(cpu.format(n, n // 2) for n in range(4)),
            "/sys/devices/system/cpu/online": "0-3,8-11\n",
            "/proc/meminfo": "MemTotal:       2113488832 kB\n",
            "/etc/os-release": 'NAME="X"\nPRETTY_NAME="Some Linux 9"\n',
            "/sys/class/dmi/id/sys_vendor": "Dell Inc.\n",
            "/sys/class/dmi/id/product_name": "PowerEdge XE9640\n",
        }
        | gpu("0000:1b:00.0", "10DE", "2330")
        | gpu("0000:43:00.0", "10DE", "2330")
    )
    info = found.info()
    assert info.cpus == "2 x Xeon X, 8 threads"
    assert (info.memory, info.os, info.product) == ("2.0 TiB", "Some Linux 9", "Dell Inc. PowerEdge XE9640")
    assert info.gpus == "2 x NVIDIA H100 80GB HBM3"


def test_gpus_of_other_makers_are_here_and_not_judged() -> None:
    files = gpu("0000:05:00.0", "1002", "74A1", "120000") | gpu("0000:26:00.0", "1002", "74A1", "120000")
    files |= gpu("0000:03:00.0", "1A03", "2000", "30000")  # the BMC's display
    named = {"0000:05:00.0": {"model": "Aqua Vanjaram [Instinct MI300X]"}}
    assert machine(files, named).info().gpus == "2 x AMD Instinct MI300X (here, not judged)"
    assert machine(files).gpus == ("AMD GPU 74a1 (here, not judged)",) * 2


@pytest.mark.parametrize("said", [[], None, 7, {"model": None}, {"model": ["x"]}, {"vendor": "x"}])
def test_a_strange_answer_of_the_hardware_database_is_no_error(said: object) -> None:
    found = machine(gpu("0000:01:00.0", "10DE", "ffff"), {"0000:01:00.0": said})
    assert found.gpus[0].startswith("NVIDIA ")


@pytest.mark.parametrize(
    ("files", "is_virtual"),
    [
        ({"/proc/cpuinfo": "flags\t: fpu hypervisor sse\n"}, True),
        ({"/proc/cpuinfo": "flags\t: fpu\n", "/sys/class/dmi/id/sys_vendor": "QEMU\n"}, False),
        ({"/proc/cpuinfo": "CPU part\t: 0xd4f\n", "/sys/class/dmi/id/product_name": "KVM Virtual Machine\n"}, True),
        ({"/proc/cpuinfo": "CPU part\t: 0xd4f\n", "/sys/class/dmi/id/product_name": "Grace C2\n"}, False),
    ],
)
def test_virtual(files: dict[str, str], is_virtual: bool) -> None:
    assert bool(machine(files).virtual) == is_virtual


POD = (
    "700 650 0:55 / / rw,relatime master:210 - overlay overlay rw,lowerdir=/var/lib/containerd/io.containerd."
    "snapshotter.v1.overlayfs/snapshots/90/fs,upperdir=/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/"
    "snapshots/91/fs\n"
)
DISK = "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
ZFS = "1 1 0:2 / / rw - rootfs rootfs rw\n28 1 0:26 / / rw,relatime - zfs rpool/ROOT/ubuntu rw\n"
NODE_SHELL = "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1.slice/cri-containerd-abc.scope\n"
LAYERS = "700 650 0:55 / / rw,relatime - overlay overlay rw,lowerdir=l/A:l/B,upperdir=9f1c/diff\n"  # they fill a page
MOVED = LAYERS.replace("=", "=/mnt/docker-data/overlay2/")  # the data-root of a host with a small system disk
BTRFS = "700 650 0:31 /@/var/lib/docker/btrfs/subvolumes/5f1c / rw - btrfs /dev/sda2 rw\n"


@pytest.mark.parametrize(
    ("files", "container"),
    [
        ({"/run/systemd/container": "lxc\n"}, "lxc"),
        ({"/.dockerenv": ""}, "docker"),
        ({"/run/.containerenv": 'engine="podman"\n'}, "podman"),
        ({"/proc/self/cgroup": "12:pids:/kubepods/burstable/pod1/2\n"}, "kubepods"),
        ({"/proc/self/cgroup": "0::/system.slice/docker.service\n"}, ""),
        ({"/proc/self/mountinfo": POD}, "containerd"),
        ({"/proc/self/mountinfo": POD.replace("/ / rw", "/ /run/containerd/r rw")}, ""),
        ({"/proc/self/mountinfo": "25 1 0:23 / / rw - overlay overlayroot rw,lowerdir=/media/root-ro\n"}, ""),
        ({"/proc/self/cgroup": "0::/user.slice/user-0.slice/session-4.scope\n"}, ""),
        # A virtual machine started from the image of a container; a container that sees the pids of its host; LXC.
        ({"/run/systemd/container": "docker\n", "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": DISK}, ""),
        ({"/.dockerenv": "", "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": DISK}, ""),
        ({"/.dockerenv": "", "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": POD}, "docker"),
        ({"/.dockerenv": "", "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": BTRFS}, "docker"),
        ({"/.dockerenv": "", "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": LAYERS}, "docker"),
        ({"/.dockerenv": "", "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": MOVED}, "docker"),
        ({"/run/systemd/container": "lxc\n", "/proc/2/comm": "bash\n", "/proc/self/mountinfo": DISK}, "lxc"),
        ({"/proc/self/cgroup": NODE_SHELL, "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": DISK}, ""),
        ({"/proc/self/cgroup": NODE_SHELL, "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": POD}, "kubepods"),
        ({"/.dockerenv": "", "/proc/2/comm": "kthreadd\n", "/proc/self/mountinfo": ZFS}, ""),
    ],
)
def test_containers(files: dict[str, str], container: str) -> None:
    assert machine(files).container == container


def test_a_name_of_the_hardware_database_is_made_safe() -> None:
    named = {"0000:05:00.0": {"model": "\x1b[2JX [Y\x1b]0;z\x07]"}}
    assert "\x1b" not in machine(gpu("0000:05:00.0", "1002", "74A1"), named).info().gpus


def test_a_sign_that_only_root_may_read_is_a_sign() -> None:
    recording = Recording(TAKEN, unlisted="absent")
    key = read_key("/run/.containerenv")
    recording.answers[key] = Answer(key, "denied")
    assert Ledger(Replay(recording)).get(Machine).container == "podman"
    recording.answers[key] = Answer(key, "not_captured")
    assert Ledger(Replay(recording)).get(Machine).container == ""


def test_devices_that_were_read_count_though_the_list_was_cut() -> None:
    recording = Recording(TAKEN)
    for path, text in gpu("0000:1b:00.0", "10DE", "2330").items():
        recording.answers[read_key(path)] = Answer(read_key(path), "ok", text.encode())
    key = tree_key("/sys/bus/pci/devices/*/uevent")
    recording.trees[key] = ["/sys/bus/pci/devices/0000:1b:00.0/uevent"]
    recording.answers[key] = Answer(key, "denied", why="may not be listed")
    assert [device.slot for device in Ledger(Replay(recording)).get(PciDevices).devices] == ["0000:1b:00.0"]
    recording.trees[key] = []
    with pytest.raises(CannotSee, match="may not be listed"):
        Ledger(Replay(recording)).get(PciDevices)


def test_root_is_the_effective_user() -> None:
    assert machine({"/proc/self/status": "Name:\tx\nUid:\t1000\t0\t0\t0\n"}).is_root
    assert not machine({"/proc/self/status": "Uid:\t0\t1000\t0\t0\n"}).is_root


def test_wsl() -> None:
    assert machine({"/proc/sys/kernel/osrelease": "5.15.167.4-microsoft-standard-WSL2\n"}).is_wsl


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-3,8", [0, 1, 2, 3, 8]), ("5\n", [5]), ("", []), ("x,1-,-2,3", [3]), ("0-99999999", []), ("3-1", [])],
)
def test_cpu_lists(text: str, numbers: list[int]) -> None:
    assert cpu_list(text) == numbers


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    assert isinstance(first_cpu(text), dict) and isinstance(cpu_list(text), list)
    paths = ["/proc/cpuinfo", "/proc/meminfo", "/etc/os-release", "/proc/self/status", "/proc/self/cgroup"]
    paths += ["/sys/devices/system/cpu/online", "/sys/bus/pci/devices/0000:01:00.0/uevent"]
    every = dict.fromkeys(paths, text)
    machine(every).info()
