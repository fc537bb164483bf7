"""The PCIe links of GPUs: each hop from the root of the bus down, what it runs at and what it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from mlopsdoc import Fact, Host, Line, NothingHere
from mlopsdoc.facts import nvml
from mlopsdoc.facts.gpus import GIVEN_AWAY, Gpu, Gpus, label_of
from mlopsdoc.facts.lspci import GENERATIONS, PciPort, ports
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.nvml import Table
from mlopsdoc.facts.pci import PciDevices

DEVICES = "/sys/bus/pci/devices"
MAX_HOPS = 16
_DISPLAYS = ("3D controller", "VGA compatible controller", "Processing accelerators")
_ACS, _REQUEST_REDIRECT = 0x0D, 0x04  # the extended capability, the bit of its control register (PCI_ACS_RR)


class Hop(Fact, frozen=True):
    """One link: the port above and the device below. Either end may be unknown, and what it can with it."""

    upper: PciPort | None
    lower: PciPort

    @property
    def width(self) -> int | None:
        return self.lower.width or (self.upper.width if self.upper else None)

    @property
    def generation(self) -> int | None:
        return self.lower.generation or (self.upper.generation if self.upper else None)

    def possible(self, what: str) -> int | None:
        """What both ends can: of ``max_width`` or ``max_generation``."""
        ends: list[int | None] = [getattr(end, what) for end in (self.upper, self.lower) if end]
        return min((end for end in ends if end), default=None)


class PcieLink(Fact, frozen=True):
    """The way of one GPU: `path` are the ports from the root down, the GPU last. `gpu` is None where only PCI tells of
    it. replays: since the driver was loaded. error: NVML code of why its link is not told, 0 where there is none."""

    label: str
    pci: str
    path: tuple[PciPort, ...]
    gpu: Gpu | None = None
    replays: int | None = None
    error: int = 0
    name: str = ""

    def hops(self) -> Iterator[Hop]:
        """From the GPU upwards: a switch has a port up and ports down, between which there is no link."""
        for n in range(len(self.path) - 1, -1, -2):
            if n or len(self.path) == 1:
                yield Hop(self.path[n - 1] if n else None, self.path[n])

    @property
    def is_told(self) -> bool:
        return next(self.hops()).width is not None


class Redirect(Fact, frozen=True):
    """A port that sends what is meant for another device below its switch up to the root. slot: empty where unknown."""

    slot: str
    count: int
    peers: tuple[str, ...]
    line: Line | None


class PcieLinks(Fact, frozen=True):
    """The links of all GPUs, and redirects between them and other GPUs or RDMA NICs below one switch.

    From /sys/bus/pci/devices/SLOT, a link whose components are the ports above
    (``../../../devices/pci0000:16/0000:16:01.0/0000:17:00.0/0000:1b:00.0``), and of each of those
    current_link_speed (``32.0 GT/s PCIe``), current_link_width (``16``), max_link_speed and max_link_width; ACS from
    ``config``, of which only root sees all. In recordings also from `lspci -vvv`. NVML and nvidia-smi tell of the GPU.
    """

    links: tuple[PcieLink, ...]
    redirects: tuple[Redirect, ...]
    at: float = 0.0
    is_virtual: bool = False
    is_portable: bool = False
    acs_unseen: str = ""
    untold: tuple[str, ...] = ()  # GPUs of which an output that was cut says nothing, and of others it does

    @classmethod
    def read(cls, host: Host, gpus: Gpus | None, pci: PciDevices | None, machine: Machine) -> PcieLinks:
        """Raises NothingHere where nothing tells of a link, and what Gpus raises where no GPU can be asked."""
        listed = [] if host.is_live else ports(host.run("lspci", "-vvv"))
        said, at = _told(host) if gpus is not None else ([], 0.0)
        rows = {nvml.identity(row): row for row in said}
        links = [
            _of_gpu(host, gpu, rows.get((gpu.pci, gpu.uuid)) or _nameless(said, gpu), listed) for gpu in gpus or ()
        ]
        links = links or _without_nvml(host, pci, listed)
        untold = tuple(link.label for link in links if not link.is_told and not link.error and link.gpu)
        links = [link for link in links if link.is_told or link.error not in (0, *nvml.NOT_OFFERED)]
        is_virtual = bool(machine.virtual or machine.is_wsl)
        redirects, unseen = ([], "") if is_virtual else _redirects(host, links, pci, listed)
        if not links and not redirects and not any(port.redirects is not None for port in listed):
            if gpus is None:
                Gpus.read(host, pci)  # raises what stands in the way
            raise NothingHere("the PCIe links of the GPUs are not told here")
        return cls(tuple(links), tuple(redirects), at, is_virtual, machine.is_portable, unseen, untold if links else ())

    def same(self, link: PcieLink) -> PcieLink | None:
        """That GPU's link among these."""
        return next((one for one in self.links if link.pci and one.pci == link.pci), None)


def _told(host: Host) -> tuple[list[Table], float]:
    """What NVML says of each GPU, or nvidia-smi in a recording, and when."""
    answer = host.probe("nvml", "links")
    if answer.said or host.is_live:
        return nvml.rows(nvml.table(answer)) if answer.said else [], answer.at
    from mlopsdoc.facts import smi  # only where there is something of it

    printed = smi.ask(host)
    return [row.table() for row in printed.rows] if printed else [], answer.at


def _nameless(rows: list[Table], gpu: Gpu) -> Table:
    """The row of a GPU that has no address there: by its index, else it is the only one."""
    same = [row for row in rows if not nvml.identity(row)[0] or nvml.identity(row)[0] == gpu.pci]
    if gpu.place and gpu.place <= len(same):
        return same[gpu.place - 1]
    found = [row for row in same if row.get("index") == gpu.index and gpu.index is not None]
    return found[0] if found else same[0] if len(rows) == 1 and same else {}


def _of_gpu(host: Host, gpu: Gpu, row: Table, listed: list[PciPort]) -> PcieLink:
    values, codes = nvml.part(row, "values"), nvml.codes(row)
    names = ("generation", "width", "max_generation", "max_width")
    told = {name: number for name in names if (number := nvml.number(values, f"pcie_{name}"))}
    path = _path(host, gpu.pci, listed) or (PciPort(gpu.pci),)
    if "pcie_max_width" not in {*values, *codes} and not any(port.max_width for port in path[-2:]):
        told.pop("width", None)  # whether these are all that it can have is not told
    words = [f"{name}={told[name]}" for name in names if name in told]
    line = path[-1].line or Line(gpu.line.answer, " ".join((f"{gpu.label}: pcie", *words)))
    last = replace(path[-1], line=line, **{n: told[n] for n in told if getattr(path[-1], n) is None})
    replays, error = nvml.number(values, "pcie_replays"), codes.get("pcie_width", 0)
    return PcieLink(gpu.label, gpu.pci, (*path[:-1], last), gpu, replays, error, gpu.name)


def _without_nvml(host: Host, pci: PciDevices | None, listed: list[PciPort]) -> list[PcieLink]:
    """By PCI alone: the GPUs of the driver, or those that lspci shows, or the one device whose lines are here."""
    slots = {gpu.slot: "" for gpu in (pci.gpus() if pci else ()) if gpu.driver not in GIVEN_AWAY}
    for port in listed:
        if "NVIDIA" in port.head and any(kind in port.head for kind in _DISPLAYS):
            slots[port.slot] = port.head
    links = [PcieLink(label_of(None, slot), slot, _path(host, slot, listed), name=name) for slot, name in slots.items()]
    if not links and len(listed) == 1 and listed[0].is_told and not listed[0].head:
        links = [PcieLink("PCI device without address", "", (listed[0],))]
    return [link for link in links if link.path]


def slots_of(path: str) -> list[str]:
    """``0000:16:01.0``, ``0000:1b:00.0`` of ``../../../devices/pci0000:16/0000:16:01.0/0000:1b:00.0``."""
    return [word for word in path.strip().split("/") if word.count(":") == 2]


def _path(host: Host, slot: str, listed: list[PciPort]) -> tuple[PciPort, ...]:
    """The ports down to this one, itself last; only itself where those above are not known."""
    if not slot:
        return ()
    answer = host.link(f"{DEVICES}/{slot}")
    slots = slots_of(answer.text)[-MAX_HOPS:]
    known = {port.slot: port for port in listed}
    if slots[-1:] != [slot]:
        slots = [*_above(slot, listed), slot]
    path = tuple(_port(host, one, known.get(one)) for one in slots)
    return path if any(port.is_told for port in path) else ()


def _above(slot: str, listed: list[PciPort]) -> list[str]:
    """The bridges over this bus, the widest range first."""
    bus = int(slot.split(":")[1], 16)
    domain = slot.partition(":")[0]
    over = [port for port in listed if port.buses and port.slot.startswith(domain) and port.slot != slot]
    over = [port for port in over if port.buses and port.buses[0] <= bus <= port.buses[1]]
    return [port.slot for port in sorted(over, key=lambda port: port.buses or (0, 0))]


def _port(host: Host, slot: str, listed: PciPort | None) -> PciPort:
    port = listed or PciPort(slot)
    tree = host.tree(f"{DEVICES}/{slot}/*_link_*")
    said = {path.rpartition("/")[2]: answer.text.strip() for path, answer in tree.items() if answer.said}
    told = {name: value for name, value in _link(said).items() if value is not None}
    if not told:
        return port
    shown = " ".join(f"{name}={said[name]}" for name in sorted(said))
    return replace(port, line=Line(f"tree {DEVICES}/{slot}/*_link_*", f"{slot}: {shown}"), **told)


def _link(said: Mapping[str, str]) -> dict[str, Any]:
    """0, 63 and 255 lanes and ``Unknown`` are a link that is down, or a device that sleeps."""
    found: dict[str, Any] = {}
    for prefix, name in (("current_link", ""), ("max_link", "max_")):
        lanes = said.get(f"{prefix}_width", "")
        found[f"{name}width"] = int(lanes) if lanes.isdecimal() and 0 < int(lanes[:4]) <= 32 else None
        found[f"{name}generation"] = GENERATIONS.get(said.get(f"{prefix}_speed", "").partition(" ")[0])
    return found


def _redirects(
    host: Host, links: list[PcieLink], pci: PciDevices | None, listed: list[PciPort]
) -> tuple[list[Redirect], str]:
    """Ports of switches between a GPU and a peer; what could not be seen. A passed-through device needs them."""
    if pci and any(device.driver in GIVEN_AWAY for device in pci.devices):
        return [], ""
    if not links and listed and not any(port.head for port in listed):
        on = [port for port in listed if port.redirects]
        return ([Redirect("", len(on), (), on[0].line)] if on else []), ""
    nics = [d.slot for d in pci.devices if d.driver in ("mlx5_core", "bnxt_en", "ice", "irdma")] if pci else []
    nics += [port.slot for port in listed if "Mellanox" in port.head and "bridge" not in port.head]
    ways = {link.label: [port.slot for port in link.path] for link in links}
    for slot in dict.fromkeys(nics if any(len(way) > 3 for way in ways.values()) else ()):
        ways[f"NIC {slot}"] = _way(host, slot, listed)
    known = {port.slot: port for link in links for port in link.path}
    found: list[Redirect] = []
    for link in links:
        way = ways[link.label]
        for n in range(2, len(way) - 1, 2):  # root, up, down, up, down, ..., GPU
            peers = [
                who
                for who, other in ways.items()
                if other[n - 1 : n] == [way[n - 1]] and other[n:] and other[n] != way[n]
            ]
            if not peers or way[n] in [redirect.slot for redirect in found]:
                continue
            told = known[way[n]].redirects
            redirects, line = (told, known[way[n]].line) if told is not None else _config(host, way[n])
            if redirects is None and host.read(f"{DEVICES}/{way[n]}/config").status in ("ok", "denied"):
                return found, f"whether ACS redirects what {link.label} sends to {peers[0]} could not be seen"
            if redirects:
                found.append(Redirect(way[n], 1, (link.label, *peers), line))
    return found, ""


def _way(host: Host, slot: str, listed: list[PciPort]) -> list[str]:
    return slots_of(host.link(f"{DEVICES}/{slot}").text) or [*_above(slot, listed), slot]


def _config(host: Host, slot: str) -> tuple[bool | None, Line | None]:
    """Whether ACS redirects requests, of the extended capabilities; None where they are not to be seen."""
    answer = host.read(f"{DEVICES}/{slot}/config")
    data = answer.data if answer.said else b""
    at, seen = 0x100, 0
    while 0x100 <= at <= len(data) - 8 and seen < 96:
        head = int.from_bytes(data[at : at + 4], "little")
        if head & 0xFFFF == _ACS:
            control = int.from_bytes(data[at + 6 : at + 8], "little")
            return bool(control & _REQUEST_REDIRECT), Line(answer.key, f"{slot}: ACS control {control:#06x}")
        at, seen = head >> 20, seen + 1
    return (None, None) if len(data) <= 0x100 else (False, None)
