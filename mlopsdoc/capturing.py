"""A profile of what a host has: only what is known for certain, so that the host is as its own profile wants."""

from __future__ import annotations

from typing import Any, TypeVar

from mlopsdoc.authoring import CannotSee, Fact, Hardware, NothingHere
from mlopsdoc.engine import Ledger
from mlopsdoc.facts.cpu_topology import CpuTopology
from mlopsdoc.facts.gpus import GIVEN_AWAY, Gpus
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.nvlink import NvLinks
from mlopsdoc.facts.pci import NVIDIA, PciDevices
from mlopsdoc.facts.power import PowerSupplies
from mlopsdoc.profile import Profile

F = TypeVar("F", bound=Fact)


def captured(ledger: Ledger) -> Profile:
    """The hardware of a host that answers; what could not be seen, or is not whole, is left out."""
    machine = _got(ledger, Machine)
    said: dict[str, Any] = _gpus(_got(ledger, Gpus), _got(ledger, PciDevices)) | _links(_got(ledger, NvLinks))
    if machine and not machine.virtual and not machine.container:
        if topology := _got(ledger, CpuTopology):
            said |= {"sockets": topology.sockets or None, "numa_nodes": topology.numa_nodes or None}
        said |= _supplies(_got(ledger, PowerSupplies))
    info = machine.info() if machine else None
    about = ", ".join(filter(None, (info.product, info.cpus, info.gpus))) if info else ""
    return Profile("captured", about, Hardware(**said))


def _got(ledger: Ledger, fact: type[F]) -> F | None:
    try:
        found: F = ledger.get(fact)
    except (NothingHere, CannotSee):
        return None
    return found


def _gpus(gpus: Gpus | None, pci: PciDevices | None) -> dict[str, Any]:
    """Those on PCI, else all that nvidia-smi shows."""
    is_whole = gpus is not None and not (gpus.lost or gpus.missing or gpus.is_part)
    names = {gpu.name for gpu in gpus or () if gpu.name}
    said: dict[str, Any] = {"gpu_model": names.pop() if is_whole and len(names) == 1 else ""}
    if pci and (listed := pci.gpus()) and not any(gpu.driver in GIVEN_AWAY for gpu in listed):
        kinds = {gpu.device for gpu in listed}
        return said | {"gpus": len(listed), "gpu_pci_id": f"{NVIDIA}:{kinds.pop()}" if len(kinds) == 1 else ""}
    return said | {"gpus": len(gpus.gpus)} if gpus and is_whole and not pci else {}


def _links(links: NvLinks | None) -> dict[str, Any]:
    """Of boards whose links are wired, where all are up: between cards there may be a bridge or none."""
    counts = {len(gpu.up) if gpu.is_wired and len(gpu.up) == len(gpu.links) else 0 for gpu in links or ()}
    return {"nvlinks": counts.pop()} if len(counts) == 1 and 0 not in counts else {}


def _supplies(power: PowerSupplies | None) -> dict[str, Any]:
    """Where all that are there work and nothing is unseen."""
    there = [supply for supply in power.supplies if supply.presence == "present"] if power else []
    if not power or power.unseen or not there or not all(supply.works for supply in there):
        return {}
    watts = {supply.watts for supply in there if not supply.at_line}
    one = watts.pop() if len(watts) == 1 else None
    return {"supplies": len(there), "supply_w": int(one) if one else None}
