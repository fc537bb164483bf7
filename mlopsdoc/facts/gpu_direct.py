"""Whether RDMA NICs can read and write the memory of the GPUs: by nvidia_peermem or by dma-buf."""

from __future__ import annotations

from collections.abc import Iterator

from mlopsdoc import CannotSee, Fact, Host, Line
from mlopsdoc.facts.asked import none_here
from mlopsdoc.facts.driver import LOADED, Driver
from mlopsdoc.facts.driver_versions import is_older, numbers
from mlopsdoc.facts.rdma import DEVICES, RdmaPorts

PEER_MODULES = ("nvidia_peermem", "nv_peer_mem", "efa_nv_peermem")
DMABUF_KERNEL, DMABUF_DRIVER = "5.12", "515.43"  # CUDA 11.7


class Nic(Fact, frozen=True):
    """An RDMA device on PCI with a port that is up. gbps: of its fastest port."""

    name: str
    gbps: float
    line: Line | None


class GpuDirect(Fact, frozen=True):
    """peer_module: the module that does it, or empty. has_dmabuf: None where it is not known which module of the
    driver is loaded. why_not: what dma-buf lacks here."""

    nics: tuple[Nic, ...]
    peer_module: str
    has_dmabuf: bool | None
    why_not: str

    @classmethod
    def read(cls, host: Host, driver: Driver, rdma: RdmaPorts | None) -> GpuDirect:
        """Raises NothingHere without an RDMA NIC on PCI whose port is up, CannotSee where the modules are not told."""
        nics = tuple(_nics(rdma)) if rdma else ()
        if not nics or not driver.loaded:
            looked = rdma is not None or host.tree(DEVICES).listing.status != "not_captured"
            raise none_here(
                host, "no RDMA NIC is up beside the GPUs", "whether an RDMA NIC is up beside the GPUs", looked
            )
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


def _nics(rdma: RdmaPorts) -> Iterator[Nic]:
    """The fastest port that is up of each; software RDMA (rxe, siw) has no driver."""
    up = [port for port in rdma.ports if port.is_up and port.rate and port.driver]
    for name in dict.fromkeys(port.device for port in up):
        fastest = max((port for port in up if port.device == name), key=lambda port: port.gbps)
        yield Nic(name, fastest.gbps, fastest.line)


def _modules(host: Host) -> set[str] | None:
    """The names of /proc/modules, else of lsmod: ``nvidia_peermem 16384 0 - Live 0x0000000000000000``."""
    for answer in (host.read("/proc/modules"), host.run("lsmod")):
        if answer.status == "ok":
            return {line.split(" ", 1)[0] for line in answer.text.splitlines()}
    return None
