"""What the host is: name, system, processors, memory, GPUs by maker; virtual, in a container, or neither."""

from __future__ import annotations

from mlopsdoc import Fact, Host
from mlopsdoc.facts.pci import AMD, INTEL, NVIDIA, PciDevice, PciDevices
from mlopsdoc.model import HostInfo

HABANA = "1da3"
MAKERS = {NVIDIA: "NVIDIA", AMD: "AMD", INTEL: "Intel", HABANA: "Intel Gaudi"}

# PCI device id -> the name that NVML gives; from the makers' datasheets. Others are looked up in udev's database.
NVIDIA_NAMES = {
    "20b0": "NVIDIA A100-SXM4-40GB", "20b2": "NVIDIA A100-SXM4-80GB", "20f1": "NVIDIA A100-PCIE-40GB",
    "20b5": "NVIDIA A100 80GB PCIe", "2330": "NVIDIA H100 80GB HBM3", "2331": "NVIDIA H100 PCIe",
    "2321": "NVIDIA H100 NVL", "2335": "NVIDIA H200", "233b": "NVIDIA H200 NVL", "2901": "NVIDIA B200",
    "26b9": "NVIDIA L40S",
}  # fmt: skip

# ARM processors say numbers, not names, in /proc/cpuinfo: (implementer, part).
ARM_NAMES = {
    ("0x41", "0xd4f"): "ARM Neoverse-V2", ("0x41", "0xd40"): "ARM Neoverse-V1",
    ("0x41", "0xd49"): "ARM Neoverse-N2", ("0x41", "0xd0c"): "ARM Neoverse-N1", ("0xc0", "0xac3"): "Ampere-1",
}  # fmt: skip

# DMI makers and products of virtual machines, for processors without the x86 flag `hypervisor`.
VIRTUAL = ("qemu", "kvm", "vmware", "virtualbox", "xen", "virtual machine", "bochs", "openstack", "parallels")
CONTAINER_GROUPS = ("/docker/", "/docker-", "/kubepods", "/lxc/", "/libpod", "/machine.slice/machine-")
# Where the root of a container lies, or its layers: containerd leaves no other sign in a pod.
STORES = {"/io.containerd.": "containerd", "/docker/": "docker", "/containers/storage/": "podman"}
PORTABLE_CHASSIS = ("8", "9", "10", "11", "14", "30", "31", "32")  # SMBIOS type 3: laptops and tablets


class Machine(Fact, frozen=True):
    """What this host is, by world-readable answers. What is not known is empty; reading never raises.

    cpu_vendor: ``GenuineIntel``, ``AuthenticAMD``, ``ARM`` or empty. virtual: what tells that it is a virtual
    machine, or empty. container: which kind, or empty. memory_kib: MemTotal. gpus: names, one a GPU.
    """

    name: str
    kernel: str
    os: str
    product: str
    boot_id: str
    cpu_model: str
    cpu_vendor: str
    sockets: int
    threads: int
    memory_kib: int
    virtual: str
    container: str
    is_wsl: bool
    is_root: bool
    is_portable: bool
    gpus: tuple[str, ...]

    @classmethod
    def read(cls, host: Host, pci: PciDevices | None) -> Machine:
        kernel = _line(host, "/proc/sys/kernel/osrelease")
        cpu = first_cpu(cpuinfo := host.read("/proc/cpuinfo").text)
        maker, model = (_line(host, f"/sys/class/dmi/id/{name}") for name in ("sys_vendor", "product_name"))
        return cls(
            name=_line(host, "/proc/sys/kernel/hostname"),
            kernel=kernel,
            os=_os_name(host.read("/etc/os-release").text),
            product=model if model.startswith(maker) else f"{maker} {model}".strip(),
            boot_id=_line(host, "/proc/sys/kernel/random/boot_id"),
            cpu_model=cpu.get("model name") or _arm_name(cpu),
            cpu_vendor=cpu.get("vendor_id", "ARM" if "CPU implementer" in cpu else ""),
            sockets=len({line for line in cpuinfo.splitlines() if line.startswith("physical id")}),
            threads=len(cpu_list(_line(host, "/sys/devices/system/cpu/online"))) or cpuinfo.count("processor\t:"),
            memory_kib=_mem_total(host.read("/proc/meminfo").text),
            virtual=_virtual(cpu, f"{maker} {model}"),
            container=container(host),
            is_wsl="microsoft" in kernel.lower(),
            is_root=_is_root(host.read("/proc/self/status").text),
            is_portable=_line(host, "/sys/class/dmi/id/chassis_type") in PORTABLE_CHASSIS,
            gpus=_gpus(host, pci),
        )

    def info(self) -> HostInfo:
        """The host as a report names it."""
        sockets = f"{self.sockets} x " if self.sockets else ""
        return HostInfo(
            name=self.name,
            kernel=self.kernel,
            os=self.os,
            product=self.product,
            boot_id=self.boot_id,
            cpus=", ".join(filter(None, (self.cpu_model and sockets + self.cpu_model, _threads(self.threads)))),
            memory=_memory(self.memory_kib),
            gpus=", ".join(f"{self.gpus.count(name)} x {name}" for name in dict.fromkeys(self.gpus)),
        )


def first_cpu(text: str) -> dict[str, str]:
    """The first block of /proc/cpuinfo: 224 of them say the same, in half a megabyte."""
    block = text.partition("\n\n")[0]
    pairs = (line.partition(":") for line in block.splitlines())
    return {key.strip(): value.strip() for key, colon, value in pairs if colon}


def cpu_list(text: str) -> list[int]:
    """The numbers of ``0-3,8,10-11``; what is no number is left out, and ranges over 8192 are no such list."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, dash, last = part.strip().partition("-")
        if first.isdecimal() and (last.isdecimal() or not dash) and len(part) < 12:
            start, end = int(first), int(last or first)
            numbers += range(start, end + 1) if end - start < 8192 else ()
    return numbers


def _line(host: Host, path: str) -> str:
    answer = host.read(path)
    return answer.text.strip().partition("\n")[0][:200] if answer.said else ""


def _os_name(text: str) -> str:
    """``Ubuntu 24.04.3 LTS`` of ``PRETTY_NAME="Ubuntu 24.04.3 LTS"``."""
    named = [line.partition("=")[2] for line in text.splitlines() if line.startswith("PRETTY_NAME=")]
    return named[-1].strip().strip("\"'")[:200] if named else ""


def _arm_name(cpu: dict[str, str]) -> str:
    who = cpu.get("CPU implementer", ""), cpu.get("CPU part", "")
    return ARM_NAMES.get(who, f"ARM {who[0]}/{who[1]}" if who[0] else "")


def _mem_total(text: str) -> int:
    """KiB of ``MemTotal:       2113425152 kB``."""
    for line in text.splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == "MemTotal:" and words[1].isdecimal():
            return int(words[1][:15])
    return 0


def _virtual(cpu: dict[str, str], product: str) -> str:
    """By the processor flag where there are flags (cloud makers sell bare metal too), else by DMI."""
    if "flags" in cpu:
        return "the processor has the flag `hypervisor`" if "hypervisor" in cpu["flags"].split() else ""
    named = [sign for sign in VIRTUAL if sign in product.lower()]
    return f"its product is {product.strip()}" if named else ""


def is_tegra(host: Host) -> bool:
    """A Jetson, by its kernel (``5.15.148-tegra``): its GPU is a part of the chip, and on no bus."""
    return "tegra" in _line(host, "/proc/sys/kernel/osrelease")


def container(host: Host) -> str:
    """systemd's own note, else the files that Docker and Podman leave, else the control group, else the root::

    700 650 0:55 / / rw,relatime - overlay overlay rw,lowerdir=/var/lib/containerd/io.containerd.snapshotter...

    A machine whose disk was made of the image of a container has such files too, and a shell that entered the host
    from a pod (nsenter) is still in its control group. Both see the kernel's own processes, and a root that is no
    container's: they are on the host.
    """
    files = (("/.dockerenv", "docker"), ("/run/.containerenv", "podman"))  # only root may read Podman's
    left = (kind for path, kind in files if host.read(path).status not in ("absent", "not_captured"))
    groups = host.read("/proc/self/cgroup").text
    of_group = (sign.strip("/-") for sign in CONTAINER_GROUPS if sign in groups)
    noted = _line(host, "/run/systemd/container") or next(left, "") or next(of_group, "")
    mounts = host.read("/proc/self/mountinfo").text.splitlines()
    root = next((line for line in reversed(mounts) if line.split(" ", 5)[4:5] == ["/"]), "")
    stored = next((kind for store, kind in STORES.items() if store in root), "")
    if noted and root and not stored and "overlay" not in root and sees_all_processes(host):
        return ""  # of layers nobody needs to say where they lie: many are named by relative paths
    return noted or stored


def sees_all_processes(host: Host) -> bool:
    """Whether pids here are those of the machine: pid 2 is kthreadd there, and not in a container or in WSL."""
    return host.read("/proc/2/comm").text.strip() == "kthreadd"


def _is_root(status: str) -> bool:
    r"""Whether the effective user is root: ``Uid:\t1000\t0\t0\t0`` is."""
    uids = [line.split()[1:3] for line in status.splitlines() if line.startswith("Uid:")]
    return bool(uids) and uids[0][-1:] == ["0"]


def _threads(count: int) -> str:
    return f"{count} thread{'s' if count != 1 else ''}" if count else ""


def _memory(kib: int) -> str:
    """``2.0 TiB``, ``62.5 GiB``."""
    return "" if not kib else f"{kib / 2**30:.1f} TiB" if kib >= 2**30 else f"{kib / 2**20:.1f} GiB"


def _gpus(host: Host, pci: PciDevices | None) -> tuple[str, ...]:
    """Names, one a GPU. The hardware database is asked once for each kind whose name is not known here."""
    found = [device for device in (pci.devices if pci else ()) if device.is_accelerator and device.vendor in MAKERS]
    names: dict[tuple[str, str], str] = {}
    for device in found:
        kind = device.vendor, device.device
        if kind not in names:
            names[kind] = _gpu_name(host, device) + ("" if device.vendor == NVIDIA else " (here, not judged)")
    return tuple(names[device.vendor, device.device] for device in found)


def _gpu_name(host: Host, device: PciDevice) -> str:
    """``AMD Instinct MI300X`` of ``Aqua Vanjaram [Instinct MI300X]``: what is in brackets is the product."""
    if device.vendor == NVIDIA and device.device in NVIDIA_NAMES:
        return NVIDIA_NAMES[device.device]
    maker = MAKERS[device.vendor]
    answer = host.probe("devices", device.slot)
    try:
        model = str(answer.json().get("model") or "") if answer.said else ""
    except (ValueError, AttributeError):
        model = ""
    inside = model.partition("[")[2].partition("]")[0]
    return f"{maker} {(inside or model or f'GPU {device.device}').removeprefix(maker).strip()}"
