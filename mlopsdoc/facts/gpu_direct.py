"""Whether RDMA NICs can read and write the memory of the GPUs: by nvidia_peermem or by dma-buf."""

from __future__ import annotations

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts.driver import LOADED, Driver
from mlopsdoc.facts.driver_versions import is_older, numbers

PORTS, DEVICES = "/sys/class/infiniband/*/ports/*", "/sys/class/infiniband/*/device/uevent"
PEER_MODULES = ("nvidia_peermem", "nv_peer_mem", "efa_nv_peermem")
DMABUF_KERNEL, DMABUF_DRIVER = "5.12", "515.43"  # CUDA 11.7


class Nic(Fact, frozen=True):
    """An RDMA device on PCI with a port that is up. gbps: of its fastest port."""

    name: str
    gbps: float
    line: Line


class GpuDirect(Fact, frozen=True):
    """peer_module: the module that does it, or empty. has_dmabuf: None where it is not known which module of the
    driver is loaded. why_not: what dma-buf lacks here."""

    nics: tuple[Nic, ...]
    peer_module: str
    has_dmabuf: bool | None
    why_not: str

    @classmethod
    def read(cls, host: Host, driver: Driver) -> GpuDirect:
        """Raises NothingHere without an RDMA NIC on PCI whose port is up, CannotSee where the modules are not told."""
        nics = tuple(_nics(host))
        if not nics or not driver.loaded:
            raise NothingHere("no RDMA NIC is up beside the GPUs")
        modules = _modules(host)
        if modules is None:
            raise CannotSee("which kernel modules are loaded")
        peer = next((name for name in PEER_MODULES if name in modules), "")
        is_known = driver.loaded.line is not None and driver.loaded.line.answer == f"read {LOADED}"
        kernel = ".".join(driver.kernel.partition("-")[0].split(".")[:2])
        lacks = [] if driver.is_open else ["the driver is loaded as its closed module"]
        lacks += [f"kernel {driver.kernel} is older than {DMABUF_KERNEL}"] if is_older(kernel, DMABUF_KERNEL) else []
        lacks += [f"the driver is older than {DMABUF_DRIVER}"] if is_older(driver.loaded.version, DMABUF_DRIVER) else []
        has_dmabuf = not lacks if is_known and numbers(kernel) else None
        return cls(nics, peer, has_dmabuf, " and ".join(lacks))


def _nics(host: Host) -> list[Nic]:
    """``4: ACTIVE`` and ``400 Gb/sec (4X NDR)`` of a port; software RDMA (rxe, siw) has no device."""
    names = [path.split("/")[4] for path in host.tree(DEVICES)]
    if not names:
        return []
    states, rates = host.tree(f"{PORTS}/state"), host.tree(f"{PORTS}/rate")
    found: list[Nic] = []
    for name in names:
        up = [path for path, answer in states.items() if path.split("/")[4] == name and "ACTIVE" in answer.text]
        answers = [rates[path] for path in (f"{port.removesuffix('state')}rate" for port in up) if path in rates]
        speeds = [(_gbps(answer.text), Line(answer.key, answer.text.strip())) for answer in answers if answer.said]
        if speeds:
            fastest = max(speeds, key=lambda speed: speed[0])
            found.append(Nic(one_line(name, 40), *fastest))
    return found


def _gbps(text: str) -> float:
    word = (text.split() or [""])[0]
    return float(word) if word.replace(".", "", 1).isdecimal() and len(word) < 10 else 0.0


def _modules(host: Host) -> set[str] | None:
    """The names of /proc/modules, else of lsmod: ``nvidia_peermem 16384 0 - Live 0x0000000000000000``."""
    for answer in (host.read("/proc/modules"), host.run("lsmod")):
        if answer.status == "ok":
            return {line.split(" ", 1)[0] for line in answer.text.splitlines()}
    return None
