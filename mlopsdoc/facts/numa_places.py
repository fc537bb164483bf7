"""At which NUMA node the GPUs and the RDMA network cards are, as the firmware tells it."""

from __future__ import annotations

from mlopsdoc import Fact, Host, Line, NothingHere
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.cpu_topology import CpuTopology
from mlopsdoc.facts.lspci import ports
from mlopsdoc.facts.numa import is_number, number_list
from mlopsdoc.facts.pci import NVIDIA, PciDevices
from mlopsdoc.hosts.recorder import Replay
from mlopsdoc.model import short_pci

DEVICES = "/sys/bus/pci/devices"
UNTOLD = "PCI device"
MELLANOX, ETHERNET, INFINIBAND = "15b3", 0x0200, 0x0207


class Place(Fact, frozen=True):
    """One device. node: -1 where the firmware does not tell it. kind: ``GPU``, ``NIC``, or UNTOLD."""

    slot: str
    kind: str
    node: int
    line: Line

    @property
    def label(self) -> str:
        return f"{self.kind} {short_pci(self.slot)}"


class NumaPlaces(Fact, frozen=True):
    """The NVIDIA GPUs and the network cards of NVIDIA (Mellanox) or of InfiniBand whose numa_node was seen; what they
    are is told by /sys/bus/pci or, in a recording, by `lspci`. nodes: how many NUMA nodes have CPUs.

    Where a recording has neither, somebody has picked the devices whose numa_node is in it, and for a reason: they
    count as they are. Not so where a device of bus 0 is among them, for then all were read, and many have no node.
    """

    places: tuple[Place, ...]
    nodes: int

    @classmethod
    def read(cls, host: Host, pci: PciDevices | None, topology: CpuTopology) -> NumaPlaces:
        """Raises NothingHere where there is one node, or nothing to pair."""
        nodes = topology.numa_nodes or _online(host)
        if nodes < 2:
            raise NothingHere("all CPUs are on one NUMA node" if nodes else "no NUMA node is told of")
        places: list[Place] = []
        for slot, kind in (_kinds(host, pci) or _picked(host)).items():
            answer = host.read(f"{DEVICES}/{slot}/numa_node")
            word = answer.text.strip() if answer.said else ""
            if word == "-1" or is_number(word, 4):
                places.append(Place(slot, kind, int(word), Line(answer.key, f"{slot}: numa_node {word}")))
        if len(places) < 2:
            raise NothingHere("no GPUs or RDMA network cards whose NUMA node is told")
        return cls(tuple(places), nodes)


def _kinds(host: Host, pci: PciDevices | None) -> dict[str, str]:
    if pci:
        nics = {
            device.slot: "NIC"
            for device in pci.devices
            if device.kind >> 8 == INFINIBAND or (device.vendor == MELLANOX and device.kind >> 8 == ETHERNET)
        }
        return {device.slot: "GPU" for device in pci.devices if device.is_gpu and device.vendor == NVIDIA} | nics
    heads = {port.slot: port.head for answer in asked(host, "lspci") for port in ports(answer) if port.slot}
    return {slot: kind for slot, head in heads.items() if (kind := _kind(head))}


def _picked(host: Host) -> dict[str, str]:
    keys = host.keys(f"read {DEVICES}/") if isinstance(host, Replay) else []
    slots = [key.split("/")[5] for key in keys if key.endswith("/numa_node")]
    return {} if any(slot.split(":")[1:2] == ["00"] for slot in slots) else dict.fromkeys(slots, UNTOLD)


def _online(host: Host) -> int:
    """Of ``0-1``, in a recording whose nodes' CPUs nobody told of."""
    answer = host.read("/sys/devices/system/node/online") if isinstance(host, Replay) else None
    return len(number_list(answer.text) or ()) if answer and answer.status == "ok" else 0


def _kind(head: str) -> str:
    """Of ``3D controller: NVIDIA Corporation GA100`` and ``Infiniband controller: Mellanox Technologies MT28908``."""
    what, _, who = head.partition(": ")
    if "NVIDIA" in who and what.startswith(("3D controller", "VGA compatible controller")):
        return "GPU"
    is_nic = what.startswith("Infiniband controller") or (what.startswith("Ethernet controller") and "Mellanox" in who)
    return "NIC" if is_nic else ""
