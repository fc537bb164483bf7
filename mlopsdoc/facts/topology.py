"""How GPUs and RDMA NICs are reached from the CPUs: NUMA node, root of the PCIe bus, switches."""

from __future__ import annotations

from mlopsdoc import Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts.gpus import Gpus, label_of
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.lspci import PciPort
from mlopsdoc.facts.numa import is_number
from mlopsdoc.facts.pcie import DEVICES, MAX_HOPS, PcieLinks, slots_of
from mlopsdoc.facts.rdma import DEVICES as RDMA
from mlopsdoc.model import short_pci

NEAR = ("PIX", "PXB")  # below one switch, or one of switches; not through a root


class Place(Fact, frozen=True):
    """One GPU or NIC. node: None where it is not told. root: ``pci0000:1a``. path: the ports from the root down, itself
    last. switches: the names of those above it, the outermost first."""

    label: str
    is_gpu: bool
    slot: str
    node: int | None
    root: str
    path: tuple[PciPort, ...]
    switches: tuple[str, ...]
    line: Line | None


class Topology(Fact, frozen=True):
    """All of them, GPUs first. is_virtual: a virtual machine, whose paths are made up.

    From the links /sys/bus/pci/devices/SLOT (see PcieLinks) and numa_node beside them; RDMA NICs by
    /sys/class/infiniband. In a recording else from the matrix of `nvidia-smi topo -m`, where a switch has the names of
    those below it.
    """

    places: tuple[Place, ...]
    is_virtual: bool = False

    @classmethod
    def read(cls, host: Host, links: PcieLinks | None, gpus: Gpus | None) -> Topology:
        """Raises NothingHere where the way to no GPU is told."""
        known = [(link.label, link.pci, link.path) for link in links.links if link.pci] if links else []
        places = [_place(host, label, slot, path, is_gpu=True) for label, slot, path in known]
        if any(place.root for place in places):
            nics = [_place(host, f"NIC {name}", slot, (), is_gpu=False) for name, slot in _nics(host)]
            return cls((*places, *nics), links.is_virtual if links else False)
        found = () if host.is_live else matrix(host, gpus)
        if not found:
            raise NothingHere("the way to the GPUs is not told here")
        return cls(found)

    @property
    def gpus(self) -> tuple[Place, ...]:
        return tuple(place for place in self.places if place.is_gpu)

    def near(self, gpu: Place) -> list[Place]:
        """The NICs that a GPU reaches without going through a root."""
        return [place for place in self.places if not place.is_gpu and set(place.switches) & set(gpu.switches)]


def _nics(host: Host) -> list[tuple[str, str]]:
    """Name and slot, of ``PCI_SLOT_NAME=0000:9a:00.0``; software RDMA has none."""
    found: list[tuple[str, str]] = []
    for path, answer in sorted(host.tree(RDMA).items()):
        said = dict(line.split("=", 1) for line in answer.text.splitlines() if "=" in line)
        if said.get("PCI_SLOT_NAME", "").count(":") == 2:
            found.append((one_line(path.split("/")[4], 40), said["PCI_SLOT_NAME"].lower()))
    return found


def _place(host: Host, label: str, slot: str, path: tuple[PciPort, ...], *, is_gpu: bool) -> Place:
    answer = host.link(f"{DEVICES}/{slot}")
    words = answer.text.strip().split("/")
    slots = slots_of(answer.text)[-MAX_HOPS:]
    root = next((word for word in words if word.startswith("pci") and word.count(":") == 1), "")
    ports = path if [port.slot for port in path] == slots else tuple(PciPort(one) for one in slots)
    node = host.read(f"{DEVICES}/{slot}/numa_node").text.strip()
    switches = [short_pci(one) for one in slots[1:-1:2]]  # root port, port up, port down, ..., itself
    line = Line(answer.key, "/".join(words[-len(slots) - 1 :])) if slots else None
    return Place(label, is_gpu, slot, int(node) if is_number(node, 4) else None, root, ports, tuple(switches), line)


def matrix(host: Host, gpus: Gpus | None) -> tuple[Place, ...]:
    """Of `nvidia-smi topo -m`, if it is here in full::

        GPU0    GPU1    NIC0    CPU Affinity    NUMA Affinity   GPU NUMA ID
    GPU0     X      NV18    PIX     0-55,112-167    0               N/A
    GPU1    NV18     X      SYS     56-111,168-223  1               N/A
    NIC0    PIX     SYS      X
    """
    answer = host.run("nvidia-smi", "topo", "-m")
    names: list[str] = []
    rows: dict[str, list[str]] = {}
    for text in whole_lines(answer) if answer.said else ():
        words = text.split()
        if not names and words[:1] == ["GPU0"] and "CPU" in words:
            names = words[: words.index("CPU")]
        elif names and words and words[0] in names:
            rows[words[0]] = words[1 : len(names) + 1]
    if not names or set(rows) != set(names) or any(len(row) != len(names) for row in rows.values()):
        return ()
    labels = {f"GPU{gpu.index}": gpu.label for gpu in gpus or () if gpu.index is not None}
    found: list[Place] = []
    for name in names:
        below = [other for other, word in zip(names, rows[name]) if word in NEAR or other == name]
        is_gpu = name.startswith("GPU")
        label = labels.get(name, label_of(int(name[3:]), "")) if is_gpu and name[3:].isdecimal() else f"NIC {name}"
        switch = (" ".join(below),) if len(below) > 1 else ()
        line = Line(answer.key, " ".join((name, *rows[name])))
        found.append(Place(label, is_gpu, "", None, "", (), switch, line))
    return tuple(found)
