"""The ways to GPUs and NICs as a tree in text: plain ASCII, so that any terminal and any log can show it.

NUMA node 0
+- PCIe root pci0000:16
|  +- port 16:01.0
|     +- switch 17:00.0  Gen4 x16  <== its PCIe link runs at Gen4 of Gen5
|        +- GPU 0 (1b:00.0)  Gen5 x16  NVLink 18 of 18
|        +- NIC mlx5_0 (1c:00.0)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap

from mlopsdoc.clean import one_line
from mlopsdoc.facts.lspci import PciPort
from mlopsdoc.facts.nvlink import NvLinks
from mlopsdoc.facts.topology import Place, Topology
from mlopsdoc.model import Result, short_pci

WIDTH = 80
CHECKS = ("topology", "gpu_pcie", "nvlink_links", "nvlink_errors", "pcie_aer")  # what they find is marked
Tree = dict[str, "Tree"]


def marks(results: Iterable[Result]) -> dict[str, str]:
    """What is wrong, by the address of the port or the GPU."""
    found: dict[str, str] = {}
    for result in results:
        for one in result.findings if result.id in CHECKS else ():
            if one.status.is_alarm and (slot := one.params.get("PCI") or one.params.get("GPU")):
                found.setdefault(slot, one.summary)
    return found


def drawn(ways: Topology, links: NvLinks | None, marked: Mapping[str, str], width: int = WIDTH) -> list[str]:
    """One line a node, root, port, switch and device; none is longer than `width`."""
    up = {gpu.pci: f"NVLink {len(gpu.up)} of {len(gpu.links)}" for gpu in links or () if gpu.links}
    known = {port.slot: port for place in ways.places for port in place.path if port.is_told}
    nodes: dict[int, Tree] = {}
    texts: dict[str, str] = {}
    for place in ways.places:
        if place.root:
            tree = nodes.setdefault(-1 if place.node is None else place.node, {})
            for slot, text in _way(place, known):
                texts[slot] = text
                tree = tree.setdefault(slot, {})
            texts[place.slot] += f"  {up[place.slot]}" if place.slot in up else ""
    hidden = {place.path[-2].slot: place.slot for place in ways.places if len(place.path) > 3}
    shown = {**{hidden.get(slot, slot): mark for slot, mark in marked.items()}, **marked}
    lines: list[str] = []
    for node, tree in sorted(nodes.items()):
        lines.append(f"NUMA node {node}" if node >= 0 else "NUMA node not known")
        lines += _branches(tree, "", texts, shown, width)
    if up and lines:
        lines.append(f"NVLinks lead {'to NVSwitches' if links and links.has_switch else 'from GPU to GPU'}")
    return [line.encode("ascii", "replace").decode() for line in lines]


def _way(place: Place, known: Mapping[str, PciPort]) -> Iterator[tuple[str, str]]:
    """Its root, root port, switches and itself, each with its own link; the ports down of a switch have no line."""
    yield place.root, f"PCIe root {place.root}"
    for n, port in enumerate(place.path[:-1]):
        if not n:
            yield port.slot, f"port {short_pci(port.slot)}"
        elif n % 2:
            yield port.slot, f"switch {short_pci(port.slot)}{_link(known.get(port.slot))}"
    name = place.label if place.is_gpu else f"{place.label} ({short_pci(place.slot)})"
    yield place.slot, f"{name}{_link(known.get(place.slot))}"


def _link(port: PciPort | None) -> str:
    if port is None:
        return ""
    return f"  {f'Gen{port.generation} ' if port.generation else ''}x{port.width}"


def _branches(
    tree: Tree, indent: str, texts: Mapping[str, str], marked: Mapping[str, str], width: int
) -> Iterator[str]:
    """What is wrong stands below the line that it is about, from ``<==`` on."""
    for n, (slot, below) in enumerate(tree.items(), 1):
        yield f"{indent}+- {one_line(texts[slot])}"[:width]
        inner = indent + ("|  " if n < len(tree) else "   ")
        if slot in marked:
            yield from wrap(
                one_line(marked[slot]), width, initial_indent=f"{inner}<== ", subsequent_indent=f"{inner}    "
            )
        yield from _branches(below, inner, texts, marked, width)
