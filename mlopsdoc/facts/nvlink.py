"""NVLinks: which are up, how fast, what errors they counted; and the fabric that they make with NVSwitches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from mlopsdoc import CannotSee, Fact, Hardware, Host, Line, NothingHere
from mlopsdoc.facts import nvml
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpu_signs import nothing_here
from mlopsdoc.facts.gpus import GIVEN_AWAY, PASSTHROUGH, VGPU_GUEST, Gpus, Named
from mlopsdoc.facts.nvml import Table
from mlopsdoc.facts.pci import PciDevices

# Values that NVML encodes, nvml.h.
REMOTE_SWITCH, INACTIVE = 2, 0
COUNTS = frozenset(
    ("replay", "recovery", "crc", "malformed", "overrun", "rx", "rx_remote", "rx_general", "integrity", "discards",
     "recovered", "recovery_failed", "effective", "symbol")
)  # fmt: skip
_TELLING = ("handle", "nvlink_links", "fabric")  # what must be had to know of the links
_RACKS = ("GB200", "GB300")  # their NVSwitches are outside of the host, so PCI does not show them


class Board(Fact, frozen=True):
    """What a GPU board has by its maker's datasheet. is_bridged: links work only where bridges are fitted."""

    names: tuple[str, ...]
    links: int
    is_bridged: bool = False
    needs_switch: bool = False

    @property
    def is_wired(self) -> bool:
        """Whether its links are always connected."""
        return self.links > 0 and not self.is_bridged


# PCI device id -> board: never by a part of the name ("GH200" contains "H200"). Boards whose links vary by product
# (H20, H800) and those whose id is not certain are left out: they are compared with their siblings.
BOARDS = {
    "20b0": Board(("NVIDIA A100-SXM4-40GB", "A100-SXM4-40GB"), 12),
    "20b2": Board(("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"), 12),
    "20f1": Board(("NVIDIA A100-PCIE-40GB", "A100-PCIE-40GB"), 12, is_bridged=True),
    "20b5": Board(("NVIDIA A100 80GB PCIe",), 12, is_bridged=True),
    "2330": Board(("NVIDIA H100 80GB HBM3",), 18),
    "2331": Board(("NVIDIA H100 PCIe",), 12, is_bridged=True),
    "2321": Board(("NVIDIA H100 NVL",), 12, is_bridged=True),
    "2335": Board(("NVIDIA H200",), 18),
    "233b": Board(("NVIDIA H200 NVL",), 18, is_bridged=True),
    "2901": Board(("NVIDIA B200",), 18, needs_switch=True),
    "26b9": Board(("NVIDIA L40S",), 0),
}


class Link(Fact, frozen=True):
    """One NVLink of a GPU. What is not told is None or missing. speed_mbps: MB/s in one direction.

    counts: errors by name since they were last reset, which a reset of the GPU or a reload of the driver does.
    effective_ber: bit errors a bit after error correction (Blackwell and newer).
    """

    number: int
    state: int | None
    speed_mbps: int | None
    remote: int | None
    counts: dict[str, int]
    effective_ber: float | None
    errors: dict[str, int]

    @property
    def is_up(self) -> bool | None:
        """Asleep is up; None where it is not told."""
        return None if self.state is None else self.state != INACTIVE


class Fabric(Fact, frozen=True):
    """state: 0 not supported, 1 not started, 2 in progress, 3 completed; status: an NVML code, valid with state 3.
    clique: of a fabric of several hosts, the partition; 0 where nothing tells one."""

    state: int
    status: int
    health_mask: int
    health_summary: int
    clique: int


class LinkedGpu(Named, frozen=True, kw_only=True, dict=True):
    """One GPU and its links. is_dark: nvidia-smi said that all are inactive, and named none. is_sxm: its name says that
    it is a module on a baseboard, whose links are always wired, however many they are. is_meshed: P100 and V100 of SXM2
    baseboards, which link up to 8 GPUs with each other and have no switch. is_rack: it may be one of a rack
    whose switches are outside of the host. p2p: NVML_P2P_STATUS_ over NVLink with the GPU of each index, 0 is well,
    None where it is not told."""

    kind: str
    board: Board | None
    is_mig: bool | None
    virtualization: int | None
    links: tuple[Link, ...]
    fabric: Fabric | None
    errors: dict[str, int]
    line: Line
    is_dark: bool
    is_sxm: bool
    is_meshed: bool
    is_rack: bool
    p2p: tuple[int | None, ...] = ()

    @property
    def is_wired(self) -> bool:
        return self.board.is_wired if self.board else self.is_sxm

    @cached_property
    def up(self) -> tuple[Link, ...]:
        return tuple([link for link in self.links if link.is_up])

    @cached_property
    def down(self) -> tuple[Link, ...]:
        return tuple([link for link in self.links if link.is_up is False])

    def about(self, processes: GpuProcesses | None, **more: object) -> dict[str, object]:
        """What every finding about this GPU alone says, but where `more` says otherwise."""
        hurts = processes.hurts(self.pci) if processes and self.pci else []
        return {"subject": self.label, "params": {"GPU": self.pci}, "evidence": [self.line], "hurts": hurts, **more}


class NvLinks(Fact, frozen=True):
    """The NVLinks of every GPU. `at`: seconds since the epoch, or 0.

    From NVML, else from what nvidia-smi printed. has_switch: an NVSwitch was seen, on PCI or behind a link, or must be
    there, for boards of four GPUs are the largest without. is_shared: other GPUs of this machine are given to virtual
    machines, or this is one that was given some. lost: the labels of GPUs that the driver lost. off: where no link is
    up, what tells the driver to leave them off, in /proc/driver/nvidia/params::

        NvLinkDisable: 1
    """

    gpus: tuple[LinkedGpu, ...]
    at: float = 0.0
    has_switch: bool = False
    is_shared: bool = False
    lost: tuple[str, ...] = ()
    off: Line | None = None

    @classmethod
    def read(cls, host: Host, pci: PciDevices | None, named: Gpus | None, hardware: Hardware) -> NvLinks:
        """Raises NothingHere where no GPU has NVLinks, CannotSee where a board that has them does not tell."""
        listed = pci.gpus() if pci else ()
        devices = {gpu.slot: gpu.device for gpu in listed}
        held = [gpu for gpu in listed if gpu.driver not in GIVEN_AWAY]
        is_here = bool(held) or host.read("/proc/driver/nvidia/version").said
        nothing = NothingHere("no GPU with NVLinks") if is_here else nothing_here(host)
        if named and not is_here and not host.is_live:
            nothing = NothingHere("the NVLinks of the GPUs are not in this recording")
        if host.is_live and not is_here:
            raise nothing
        answer = host.probe("nvml", "links")
        if answer.status in ("absent", "not_captured"):
            if named and any(gpu.line.answer.startswith("probe ") for gpu in named):
                raise nothing  # an earlier sample, which has not all questions
            from mlopsdoc.facts import nvlink_text  # only where it was printed

            rows, key = nvlink_text.rows(host), "run nvidia-smi nvlink -s"
        else:
            key = answer.key
            try:
                said = nvml.table(answer)
                if error := nvml.part(said, "error"):
                    raise CannotSee(nvml.in_words(nvml.number(error, "code") or nvml.UNKNOWN), nvml.XID)
            except CannotSee:
                if any(board.is_wired for gpu in held if (board := BOARDS.get(gpu.device))):
                    raise
                raise nothing from None
            rows = nvml.rows(said)
        names = {gpu.pci: gpu.name for gpu in named or () if gpu.pci}
        gone = named.lost if named else ()
        slots = {one.index: one.pci for one in gone if one.index is not None}
        gpus = tuple(_gpu(row, devices, names, slots, hardware.nvlinks, key) for row in rows)
        if not any(gpu.links or gpu.is_dark or gpu.fabric or _is_refused(gpu) for gpu in gpus):
            raise nothing
        has_switch = (
            bool(pci and pci.switches())
            or any(link.remote == REMOTE_SWITCH for gpu in gpus for link in gpu.links)
            or any(gpu.board and gpu.board.needs_switch for gpu in gpus)
            or any(gpu.is_rack and gpu.fabric and gpu.fabric.state for gpu in gpus)
            or sum(gpu.is_wired and not gpu.is_meshed for gpu in gpus) > 4
        )
        is_guest = any(gpu.virtualization == PASSTHROUGH for gpu in gpus)
        off = None if any(gpu.up for gpu in gpus) else _off(host)
        lost = tuple(one.label for one in gone)
        return cls(gpus, answer.at or host.now(), has_switch, len(held) < len(listed) or is_guest, lost, off)

    def __iter__(self) -> Iterator[LinkedGpu]:
        return iter(self.gpus)

    def refused(self, gpu: LinkedGpu) -> int:
        """The code of a refusal that is none of "not offered here", of a GPU that has links, or of its links; or 0."""
        codes = [*gpu.errors.values(), *(code for link in gpu.links for code in link.errors.values())]
        is_expected = gpu.is_wired if gpu.board else any(one.links for one in self.gpus)
        if not is_expected or gpu.virtualization == VGPU_GUEST:
            return 0
        return next((code for code in codes if code not in nvml.NOT_OFFERED), 0)

    def same(self, gpu: LinkedGpu) -> LinkedGpu | None:
        """That GPU among these: by address, else UUID, else index."""
        wanted = _identity(gpu)
        return next((one for one in self.gpus if _identity(one) == wanted), None)


def _off(host: Host) -> Line | None:
    answer = host.read("/proc/driver/nvidia/params")
    return next((Line(answer.key, line) for line in answer.text.splitlines() if line == "NvLinkDisable: 1"), None)


def _identity(gpu: LinkedGpu) -> str:
    return gpu.pci or gpu.uuid or f"{gpu.index}"


def _is_refused(gpu: LinkedGpu) -> bool:
    return bool(gpu.board and gpu.board.links) and bool({*gpu.errors.values()} - {*nvml.NOT_OFFERED})


def _gpu(
    row: Table,
    devices: Mapping[str, str],
    names: Mapping[str, str],
    lost: Mapping[int, str],
    expected: int | None,
    key: str,
) -> LinkedGpu:
    """lost: the addresses of lost GPUs by index, for they do not tell theirs any more."""
    pci, uuid = nvml.identity(row)
    index = nvml.number(row, "index")
    pci = pci or (lost.get(index, "") if index is not None else "")
    device, name = devices.get(pci, ""), nvml.text(row, "name") or names.get(pci, "")
    values = nvml.part(row, "values")
    mig = (nvml.items(values, "mig") or [None])[0]
    links = tuple([_link(link) for link in nvml.tables(row, "links")])
    up = sum(1 for link in links if link.is_up)
    quoted = f"{pci or f'GPU {index}'}: {up} of {len(links)} links up"
    board = BOARDS.get(device) or next((board for board in BOARDS.values() if name in board.names), None)
    return LinkedGpu(
        index=index,
        pci=pci,
        uuid=uuid,
        kind=device or name,
        board=board if expected is None else Board((), expected, needs_switch=bool(board and board.needs_switch)),
        is_mig=mig == 1 if mig is not None else None,
        virtualization=nvml.number(values, "virtualization"),
        links=links,
        fabric=_fabric(nvml.part(values, "fabric")),
        errors={name: code for name, code in nvml.codes(row).items() if name in _TELLING or code == nvml.LOST},
        line=Line(key, quoted if links else nvml.text(row, "failure", 200) or quoted),
        is_dark=bool(row.get("failure")),
        is_sxm="SXM" in name,
        is_meshed="SXM2" in name,
        is_rack=any(rack in name for rack in _RACKS),
        p2p=tuple([said if said.__class__ is int else None for said in nvml.items(row, "p2p")]),
    )


def _link(row: Table) -> Link:
    """Of 18 links of each of 8 GPUs: hence no call a value."""
    values = nvml.part(row, "values")
    numbers = {name: value for name, value in values.items() if value.__class__ is int}
    return Link(
        nvml.number(row, "link") or 0,
        numbers.get("state"),
        numbers.get("speed_mbps"),
        numbers.get("remote"),
        {name: count for name, count in numbers.items() if name in COUNTS and count >= 0},
        _ber(numbers["effective_ber"]) if "effective_ber" in numbers else None,
        nvml.codes(row) if row.get("errors") else {},
    )


def _ber(encoded: int) -> float:
    """Of NVML's exponent (bits 0-7) and mantissa (bits 8-11): mantissa x 10^-exponent; 15 and 255 are no errors."""
    return (encoded >> 8 & 0xF) * 10.0 ** -(encoded & 0xFF)


def _fabric(said: Table) -> Fabric | None:
    numbers = {name: nvml.number(said, name) or 0 for name in Fabric.__struct_fields__}
    return Fabric(**numbers) if "state" in said else None
