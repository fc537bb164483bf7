"""NVLinks: which are up, how fast, what errors they counted; and the fabric that they make with NVSwitches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlopsdoc import Before, CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.facts import nvlink_text, nvml
from mlopsdoc.facts.gpu_signs import nothing_here
from mlopsdoc.facts.gpus import GIVEN_AWAY
from mlopsdoc.facts.nvml import Table
from mlopsdoc.facts.pci import NVIDIA, PciDevices
from mlopsdoc.model import gpu_subject

# Values that NVML encodes, nvml.h.
REMOTE_SWITCH = 2
VGPU_GUEST, PASSTHROUGH = 2, 1
COUNTS = (
    "replay", "recovery", "crc", "malformed", "overrun", "rx", "rx_remote", "rx_general", "integrity", "discards",
    "recovered", "recovery_failed", "effective",
)  # fmt: skip
_TELLING = ("handle", "nvlink_links", "fabric")  # what must be had to know of the links
_BRIDGE_OTHER = 0x0680  # the PCI class of an NVSwitch


class Board(Fact, frozen=True):
    """What a GPU board has by its maker's datasheet. is_bridged: links work only where bridges are fitted."""

    names: tuple[str, ...]
    links: int
    is_bridged: bool = False
    needs_switch: bool = False


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
        return None if self.state is None else self.state != nvlink_text.INACTIVE


class Fabric(Fact, frozen=True):
    """state: 0 not supported, 1 not started, 2 in progress, 3 completed; status: an NVML code, valid with state 3."""

    state: int
    status: int
    health_mask: int
    health_summary: int


class LinkedGpu(Fact, frozen=True):
    """One GPU and its links. is_dark: nvidia-smi said that all are inactive, and named none."""

    index: int | None
    pci: str
    uuid: str
    kind: str
    board: Board | None
    is_mig: bool | None
    virtualization: int | None
    links: tuple[Link, ...]
    fabric: Fabric | None
    errors: dict[str, int]
    line: Line
    is_dark: bool = False

    @property
    def label(self) -> str:
        return (
            gpu_subject(self.index, self.pci) if self.pci else f"GPU {self.uuid if self.index is None else self.index}"
        )

    @property
    def up(self) -> tuple[Link, ...]:
        return tuple(link for link in self.links if link.is_up)

    @property
    def down(self) -> tuple[Link, ...]:
        return tuple(link for link in self.links if link.is_up is False)


class NvLinks(Fact, frozen=True):
    """The NVLinks of every GPU. `at`: seconds since the epoch, or 0.

    From NVML, else from what nvidia-smi printed. has_switch: an NVSwitch was seen, on PCI or behind a link.
    is_shared: other GPUs of this machine are given to virtual machines, or this is one that was given some.
    """

    gpus: tuple[LinkedGpu, ...]
    at: float = 0.0
    has_switch: bool = False
    is_shared: bool = False

    @classmethod
    def read(cls, host: Host, pci: PciDevices | None) -> NvLinks:
        """Raises NothingHere where no GPU has NVLinks, CannotSee where a board that has them does not tell."""
        devices = {gpu.slot: gpu.device for gpu in pci.gpus()} if pci else {}
        given_away = [gpu for gpu in pci.gpus() if gpu.driver in GIVEN_AWAY] if pci else []
        held = {slot for slot in devices if slot not in {gpu.slot for gpu in given_away}}
        is_here = bool(held) or host.read("/proc/driver/nvidia/version").said
        nothing = NothingHere("no GPU with NVLinks") if is_here else nothing_here(host)
        if host.is_live and not is_here:
            raise nothing
        answer = host.probe("nvml", "links")
        at = answer.at or host.now()
        if answer.status in ("absent", "not_captured"):
            rows, key = nvlink_text.rows(host), "run nvidia-smi nvlink -s"
        else:
            key = answer.key
            try:
                said = nvml.table(answer)
                if error := nvml.part(said, "error"):
                    raise CannotSee(nvml.in_words(nvml.number(error, "code") or nvml.UNKNOWN), nvml.XID)
            except CannotSee:
                if any(_has_links(devices[slot]) for slot in held):
                    raise
                raise nothing from None
            rows = nvml.rows(said)
        gpus = tuple(_gpu(row, devices, key) for row in rows)
        if not any(gpu.links or gpu.is_dark or gpu.fabric or _is_refused(gpu) for gpu in gpus):
            raise nothing
        switches = [d for d in pci.devices if d.vendor == NVIDIA and d.kind >> 8 == _BRIDGE_OTHER] if pci else []
        behind = any(link.remote == REMOTE_SWITCH for gpu in gpus for link in gpu.links)
        is_guest = any(gpu.virtualization == PASSTHROUGH for gpu in gpus)
        return cls(gpus, at, bool(switches) or behind, bool(given_away) or is_guest)

    def __iter__(self) -> Iterator[LinkedGpu]:
        return iter(self.gpus)

    def same(self, gpu: LinkedGpu) -> LinkedGpu | None:
        """That GPU among these: by address, else UUID, else index."""
        wanted = _identity(gpu)
        return next((one for one in self.gpus if _identity(one) == wanted), None)

    def seconds_since(self, before: Before[NvLinks]) -> float:
        """By how much these are later; 0 when there are no earlier ones."""
        if before.fact is None:
            return 0.0
        return max(0.0, self.at - before.fact.at if self.at and before.fact.at else before.seconds)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _identity(gpu: LinkedGpu) -> str:
    return gpu.pci or gpu.uuid or f"{gpu.index}"


def _has_links(device: str) -> bool:
    """Whether a GPU of this PCI device id has NVLinks that are always connected."""
    board = BOARDS.get(device)
    return board is not None and board.links > 0 and not board.is_bridged


def _is_refused(gpu: LinkedGpu) -> bool:
    return bool(gpu.board and gpu.board.links) and bool({*gpu.errors.values()} - {*nvml.NOT_OFFERED})


def _gpu(row: Table, devices: Mapping[str, str], key: str) -> LinkedGpu:
    pci, uuid = nvml.identity(row)
    values, name = nvml.part(row, "values"), nvml.text(row, "name")
    mig: Any = values.get("mig") or [None]
    links = tuple(_link(link) for link in nvml.tables(row, "links"))
    up = [link for link in links if link.is_up]
    index = nvml.number(row, "index")
    quoted = f"{pci or f'GPU {index}'}: {len(up)} of {len(links)} links up"
    return LinkedGpu(
        index=index,
        pci=pci,
        uuid=uuid,
        kind=devices.get(pci, name),
        board=BOARDS.get(devices.get(pci, "")) or next((b for b in BOARDS.values() if name in b.names), None),
        is_mig=nvml.number({"mig": mig[0]}, "mig") == 1 if _is_list(mig) and mig[0] is not None else None,
        virtualization=nvml.number(values, "virtualization"),
        links=links,
        fabric=_fabric(nvml.part(values, "fabric")),
        errors={name: code for name, code in nvml.codes(row).items() if name in _TELLING or code == nvml.LOST},
        line=Line(key, quoted if links else nvml.text(row, "failure", 200) or quoted),
        is_dark=bool(row.get("failure")),
    )


def _link(row: Table) -> Link:
    values = nvml.part(row, "values")
    counts = {name: nvml.number(values, name) for name in COUNTS}
    return Link(
        number=nvml.number(row, "link") or 0,
        state=nvml.number(values, "state"),
        speed_mbps=nvml.number(values, "speed_mbps"),
        remote=nvml.number(values, "remote"),
        counts={name: count for name, count in counts.items() if count is not None and count >= 0},
        effective_ber=_ber(nvml.number(values, "effective_ber")),
        errors=nvml.codes(row),
    )


def _ber(encoded: int | None) -> float | None:
    """Of NVML's exponent (bits 0-7) and mantissa (bits 8-11): mantissa x 10^-exponent; 15 and 255 are no errors."""
    return None if encoded is None else (encoded >> 8 & 0xF) * 10.0 ** -(encoded & 0xFF)


def _fabric(said: Table) -> Fabric | None:
    numbers = {name: nvml.number(said, name) or 0 for name in Fabric.__struct_fields__}
    return Fabric(**numbers) if "state" in said else None
