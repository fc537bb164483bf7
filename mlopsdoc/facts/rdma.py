"""Ports of RDMA devices, InfiniBand or Ethernet (RoCE): state, rate, error counters, and what their driver said."""

from __future__ import annotations

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts.kernel_log import KernelLine, KernelLog
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.pci import PciDevices
from mlopsdoc.model import short_pci
from mlopsdoc.patterns import compiled

CLASS = "/sys/class/infiniband"
DEVICES, PORTS = f"{CLASS}/*/device/uevent", f"{CLASS}/*/ports/*/*"
BOARDS = f"{CLASS}/*/[bf][ow]*_[iv]*"  # board_id, fw_ver
COUNTERS = CLASS + "/{}/ports/*/*counters/*_[abdes]*"  # of errors, in counters/ and hw_counters/
FLAGS = f"{CLASS}/*/device/net/*/flags"
VIRTUAL_FUNCTIONS = ("1004", "1014", "1016", "1018", "101a", "101c", "101e")  # of 15b3: mlx4, mlx5
MOST_FUNCTIONS = 2  # that a network card has
INFINIBAND = 0x0207  # PCI class of a controller
Told = dict[tuple[str, int], dict[str, str]]  # by device and port: names of files -> what they hold


def nic_label(device: str, number: int) -> str:
    """``NIC mlx5_0``, ``NIC mlx5_0 port 2``."""
    return f"NIC {device}" + (f" port {number}" if number != 1 else "")


class RdmaPort(Fact, frozen=True):
    """One port. What is not told is empty.

    slot: of its device on PCI. board: equal cards have the same, equal chips may not. state: ``ACTIVE``, ``DOWN``,
    ``INIT``, ``ARMED``. physical: ``linkup``, ``polling``, ``disabled``, ``linkerrorrecovery``. layer: ``InfiniBand``
    or ``Ethernet``. rate: ``100 Gb/sec (4X EDR)``. counters: by file name. is_off: its network interface (Ethernet) was
    not brought up.
    """

    device: str
    number: int = 1
    slot: str = ""
    driver: str = ""
    board: str = ""
    firmware: str = ""
    state: str = ""
    physical: str = ""
    layer: str = ""
    rate: str = ""
    counters: dict[str, int] = {}
    is_off: bool = False
    line: Line | None = None

    @property
    def label(self) -> str:
        """``NIC mlx5_0``; by its slot where it has no name."""
        if not self.device:
            return f"PCI device ({self.driver}) {short_pci(self.slot)}"
        return nic_label(self.device, self.number)

    @property
    def is_up(self) -> bool:
        return self.state.startswith("ACTIVE")

    @property
    def place(self) -> tuple[str, str, str, int]:
        """What its peers have too: the ports of equal cards at the same place of the card."""
        return self.board, self.layer, self.slot[-1:], self.number

    @property
    def is_roce(self) -> bool:
        """By its layer, else by what only RoCE counts: congestion notices and marks."""
        counts = self.counters.get("np_cnp_sent", 0) + self.counters.get("np_ecn_marked_roce_packets", 0)
        return self.layer == "Ethernet" or (not self.layer and counts > 0)

    @property
    def gbps(self) -> float:
        """100 of ``100 Gb/sec (4X EDR)``, and of ``100``; 0 where it is not told."""
        word = (self.rate.split() or [""])[0]
        return float(word) if word.replace(".", "", 1).isdecimal() and len(word) < 10 else 0.0


class Gid(Fact, frozen=True):
    """A row of the table of addresses of a port. address: as IPv6. version: 1 or 2, of RoCE."""

    device: str
    number: int
    index: int
    address: str
    version: int
    line: Line

    @property
    def is_local(self) -> bool:
        return self.address.startswith("fe80:")

    @property
    def is_routed(self) -> bool:
        """Whether it is an address that may leave its network; an empty row is none."""
        return not self.is_local and bool(self.address.strip("0:"))

    @property
    def shown(self) -> str:
        """``10.0.0.7`` of ``0000:0000:0000:0000:0000:ffff:0a00:0007``."""
        start, ffff, last = self.address.rpartition("ffff:")
        if not ffff or start.strip("0:"):
            return self.address
        match = compiled(r"([0-9a-f]{2})([0-9a-f]{2}):([0-9a-f]{2})([0-9a-f]{2})").fullmatch(last)
        return ".".join(str(int(part, 16)) for part in match.groups()) if match else last


class Addresses(Fact, frozen=True):
    """The GIDs of Ethernet ports, and the row that NCCL_IB_GID_INDEX asks for, None where it is not set."""

    gids: tuple[Gid, ...] = ()
    index: int | None = None
    line: Line | None = None

    @property
    def tables(self) -> dict[tuple[str, int], dict[int, Gid]]:
        """By device and port, then by index."""
        found: dict[tuple[str, int], dict[int, Gid]] = {}
        for gid in self.gids:
            found.setdefault((gid.device, gid.number), {})[gid.index] = gid
        return found


class RdmaPorts(Fact, frozen=True):
    """Every port that is this host's to use. unseen: why others could not be seen. at: seconds since the epoch.

    idle: PCI addresses of InfiniBand cards where there is no RDMA device at all.

    From /sys/class/infiniband/mlx5_0/{board_id,fw_ver} and, of each port, ports/1/{state,phys_state,rate,link_layer}
    and the files of counters/ and hw_counters/, a number each::

        4: ACTIVE                    5: LinkUp                    200 Gb/sec (4X HDR)           InfiniBand

    In recordings also from what rdma_text reads. Left out are software RDMA (rxe, siw), which has no device; virtual
    functions beside their card; and cards with more than two functions: those that NVLink 5 boards have belong to the
    Fabric Manager, and reading their counters fills the kernel log (NVIDIA, Fabric Manager: limited functions).
    """

    ports: tuple[RdmaPort, ...]
    at: float
    unseen: str = ""
    idle: tuple[str, ...] = ()
    addresses: Addresses = Addresses()

    @classmethod
    def read(cls, host: Host, pci: PciDevices | None, machine: Machine | None) -> RdmaPorts:
        """The sign is /sys/class/infiniband, or an InfiniBand card on PCI. Raises NothingHere, CannotSee."""
        devices = {path.split("/")[4]: _pairs(answer.text) for path, answer in host.tree(DEVICES).items()}
        kept = _kept(devices)
        told: Told = {}
        unseen = ""
        if kept or not host.is_live:
            told, unseen = _files(host, kept, is_all=len(kept) == len(devices))
        if not host.is_live and not devices:
            from mlopsdoc.facts.rdma_text import add

            add(host, told)
        if not told and kept and unseen:
            raise CannotSee(f"the ports of {', '.join(kept[:8])}: {unseen}")
        up = _brought_up(host) if any("DOWN" in said.get("state", "") for said in told.values()) else {}
        ports = tuple(_port(*key, said, devices.get(key[0], {}), up.get(key[0])) for key, said in sorted(told.items()))
        idle = () if devices or told or (machine and machine.container) else _idle(pci)
        addresses = _addresses(host, ports)
        if not ports and not idle and not addresses.gids:
            raise NothingHere("no RDMA device" if host.is_live else "no RDMA device is told of")
        return cls(ports, host.now(), unseen, idle, addresses)

    def same(self, port: RdmaPort) -> RdmaPort | None:
        """That port among these."""
        return next((one for one in self.ports if (one.device, one.number) == (port.device, port.number)), None)


def _pairs(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _kept(devices: dict[str, dict[str, str]]) -> list[str]:
    """The devices whose ports are judged."""
    cards = {
        name: said.get("PCI_SLOT_NAME", name)
        for name, said in devices.items()
        if said.get("PCI_ID", "").lower().removeprefix("15b3:") not in VIRTUAL_FUNCTIONS
    }
    if not cards:  # a virtual machine has nothing but them
        return sorted(devices)
    functions = [slot.rpartition(".")[0] or slot for slot in cards.values()]
    return sorted(n for n, slot in cards.items() if functions.count(slot.rpartition(".")[0] or slot) <= MOST_FUNCTIONS)


def _files(host: Host, kept: list[str], *, is_all: bool) -> tuple[Told, str]:
    """What /sys says of these devices, of any in a recording without their list; and why something is missing."""
    told: Told = {}
    trees = [host.tree(PORTS), *(host.tree(COUNTERS.format(name)) for name in (["*"] if is_all else kept))]
    for tree in trees:
        for path, answer in tree.items():
            name, _, number, file = path[len(CLASS) + 1 :].split("/", 3)
            if number.isdecimal() and len(number) < 4 and (name in kept or not kept):
                told.setdefault((name, int(number)), {})[file] = answer.text.strip()[:200] if answer.said else ""
    for path, answer in host.tree(BOARDS).items() if told else ():
        name, file = path.split("/")[4:6]
        for key, files in told.items():
            if key[0] == name and answer.said:
                files[file] = answer.text.strip()[:200]
    unsaid = [tree.listing for tree in trees if not tree.listing.said]
    return told, (unsaid[0].why or unsaid[0].status) if unsaid and host.is_live else ""


def _port(device: str, number: int, said: dict[str, str], card: dict[str, str], is_up: bool | None) -> RdmaPort:
    words = {
        name: one_line(said.get(name, "").rpartition(": ")[2], 60) for name in ("state", "phys_state", "link_layer")
    }
    state = words["state"].upper().partition(" ")[0].removeprefix("PORT_")
    rate = one_line(said.get("rate", ""), 60)
    counts = {name.rpartition("/")[2]: value for name, value in said.items() if "counters/" in name}
    told = ", ".join(filter(None, (words["state"], words["phys_state"], rate, words["link_layer"])))
    return RdmaPort(
        device=one_line(device, 63),
        number=number,
        slot=card.get("PCI_SLOT_NAME", "").lower(),
        driver=card.get("DRIVER", ""),
        board=one_line(said.get("board_id", ""), 60),
        firmware=one_line(said.get("fw_ver", ""), 60),
        state={"INITIALIZE": "INIT", "INITIALIZING": "INIT"}.get(state, state),
        physical=words["phys_state"].lower().replace("_", "").replace(" ", ""),
        layer=words["link_layer"],
        rate=rate,
        counters={name: int(text) for name, text in counts.items() if text.isdecimal() and len(text) < 21},
        is_off=is_up is False and words["link_layer"] == "Ethernet",  # InfiniBand needs no interface
        line=Line(said.get("key", f"read {CLASS}/{device}/ports/{number}"), f"{device} port {number}: {told}"),
    )


def _idle(pci: PciDevices | None) -> tuple[str, ...]:
    """InfiniBand cards that no driver has, or one that made no RDMA device; not those given to a virtual machine."""
    cards = [one for one in pci.devices if one.kind >> 8 == INFINIBAND] if pci else []
    return tuple(one.slot for one in cards if one.driver in ("", "mlx5_core", "mlx4_core"))


def _brought_up(host: Host) -> dict[str, bool]:
    """Whether any network interface of a device was brought up: bit 0 of ``0x1003``."""
    found: dict[str, bool] = {}
    for path, answer in host.tree(FLAGS).items():
        text = answer.text.strip()
        if compiled(r"0x[0-9a-f]{1,8}").fullmatch(text):
            name = path.split("/")[4]
            found[name] = found.get(name, False) or bool(int(text, 16) & 1)
    return found


def _addresses(host: Host, ports: tuple[RdmaPort, ...]) -> Addresses:
    """Only where they may be judged: of RoCE."""
    if (ports or host.is_live) and not any(port.layer in ("Ethernet", "") for port in ports):
        return Addresses()
    from mlopsdoc.facts.rdma_gids import addresses

    return addresses(host, has_peers=sum(port.is_up and port.layer == "Ethernet" for port in ports) > 2)


# ---- what the driver wrote

LINK_UP, LINK_DOWN, LOADED = "link up", "link down", "loaded"
# What a line of mlx5_core has -> what happened.
EVENTS = (
    ("Link up", LINK_UP),
    ("Link down", LINK_DOWN),
    ("Cable unplugged", LINK_DOWN),
    ("firmware version: ", LOADED),
    ("High Temperature", "hot"),
    ("Port module event[error]", "module"),
    ("reached miss count", "dead"),
    ("Will cause a leak of a command resource", "dead"),
    ("TX timeout detected", "stuck"),
)  # fmt: skip


class RdmaEvent(Fact, frozen=True):
    """kind: as in EVENTS. slot: of the device."""

    slot: str
    kind: str
    line: KernelLine


class RdmaEvents(Fact, frozen=True):
    """What mlx5 wrote to the kernel log since boot, in order of time. now: seconds since the epoch."""

    events: tuple[RdmaEvent, ...]
    now: float

    @classmethod
    def read(cls, host: Host, rdma: RdmaPorts | None, log: KernelLog) -> RdmaEvents:
        """Lines of all versions::

        mlx5_core 0000:1a:00.0 ens1np0: Link down
        mlx5_core 0000:1a:00.0: Port module event: module 0, Cable unplugged
        mlx5_core 0000:1a:00.0: Port module event[error]: module 0, Cable error, High Temperature
        mlx5_core 0000:d2:00.0: poll_health:825:(pid 0): device's health compromised - reached miss count
        mlx5_core 0000:1a:00.0: wait_func:1195:(pid 967): ACCESS_REG(0x805) timeout. Will cause a leak of a command ...
        mlx5_core 0000:1a:00.0: firmware version: 28.39.1002
        """  # fmt: skip
        if rdma is None and host.is_live:
            raise NothingHere("no RDMA device")
        found: list[RdmaEvent] = []
        for line in log.lines(b"mlx5_core "):
            match = compiled(r"mlx5_core ([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])[: ]").match(line.text)
            kind = next((kind for sign, kind in EVENTS if sign in line.text), "")
            if match and kind:
                found.append(RdmaEvent(match[1], kind, line))
        if not found:
            raise NothingHere("the kernel log says nothing of RDMA devices")
        return cls(tuple(found), log.now)

    def of(self, slot: str, *kinds: str) -> list[RdmaEvent]:
        return [event for event in self.events if event.slot == slot and event.kind in kinds]
