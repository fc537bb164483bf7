"""NUMA: the nodes of the machine, how far they are from each other, and at which of them each GPU is."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from mlopsdoc import Answer, CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.facts.gpu_signs import nothing_here
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.pci import PciDevices

NODES = "/sys/devices/system/node/node*/"
MAX_NUMBER = 1 << 14  # CPUs of a machine; Linux allows 8192


class Node(Fact, frozen=True):
    """One NUMA node. distances: to each node, by its number; itself is 10. memory_kb: None where that is not told.

    A node without a CPU is memory only: that of a GPU (Grace), or of an expander.
    """

    number: int
    cpus: frozenset[int]
    distances: dict[int, int]
    memory_kb: int | None


class Numa(Fact, frozen=True):
    """The nodes of a machine that has CPUs on at least two, and the node of each GPU whose node is known.

    From /sys/devices/system/node/nodeN/cpulist (``0-55,112-167``), distance (``10 21``) and meminfo::

        Node 0 MemTotal:       1056488412 kB

    or, in a recording, `numactl -H`; and /sys/bus/pci/devices/SLOT/numa_node: a number, -1 where the firmware does
    not say; where nothing tells of a GPU there, the column NUMA Affinity of `nvidia-smi topo -m`. The sign: a second
    folder of a node that has CPUs.
    """

    nodes: tuple[Node, ...]
    gpus: dict[str, int]
    lines: dict[str, Line]

    @classmethod
    def read(cls, host: Host, pci: PciDevices | None, known: Gpus | None) -> Numa:
        """Raises NothingHere where all CPUs are on one node, or the node of no GPU is known."""
        nodes = _nodes(host)
        if sum(bool(node.cpus) for node in nodes) < 2:
            raise NothingHere("all CPUs are on one NUMA node" if nodes else "no NUMA node is told of")
        if not all(node.distances for node in nodes if node.cpus):
            raise CannotSee("how far the NUMA nodes are from each other", "look at `numactl -H`")
        numbers = {node.number for node in nodes}
        gpus: dict[str, int] = {}
        lines: dict[str, Line] = {}
        refused = ""
        slots = _slots(host, pci)
        for slot in slots:
            answer = host.read(f"/sys/bus/pci/devices/{slot}/numa_node")
            word = answer.text.strip()
            if is_number(word, 5) and int(word) in numbers:
                gpus[slot], lines[slot] = int(word), Line(answer.key, f"{slot}: numa_node {word}")
            elif not answer.said and answer.status not in ("absent", "not_captured"):
                refused = f"{answer.key}: {answer.why or answer.status}"
        if not host.is_live and known:
            topo = topology(host.run("nvidia-smi", "topo", "-m"))
            for gpu in known.gpus:
                number, line = topo.get(f"GPU{gpu.index}", (-1, None))
                if line and gpu.id not in slots and number in numbers:
                    gpus[gpu.id], lines[gpu.id] = number, line
        if not gpus and refused:
            raise CannotSee(f"at which NUMA node the GPUs are: {refused}")
        if not gpus:
            at_none = NothingHere("the firmware tells of no GPU at which NUMA node it is")
            raise at_none if slots else nothing_here(host)
        return cls(nodes, gpus, lines)

    def near(self, numbers: Iterable[int], distance: int) -> frozenset[int]:
        """The nodes no further than that from one of these."""
        wanted = set(numbers)
        found = {
            to for node in self.nodes if node.number in wanted for to, far in node.distances.items() if far <= distance
        }
        return frozenset(found | wanted)

    def cpus(self, numbers: Iterable[int]) -> frozenset[int]:
        """All CPUs of these nodes."""
        wanted = set(numbers)
        return frozenset[int]().union(*[node.cpus for node in self.nodes if node.number in wanted])

    def of(self, cpus: frozenset[int]) -> list[int]:
        """The nodes that these CPUs belong to."""
        return [node.number for node in self.nodes if node.cpus & cpus]

    @property
    def with_cpus(self) -> frozenset[int]:
        return frozenset(node.number for node in self.nodes if node.cpus)


def is_number(word: str, digits: int) -> bool:
    """Whether it is a whole number of at most so many digits."""
    return word.isascii() and word.isdigit() and len(word) <= digits


@lru_cache(256)
def number_list(text: str) -> frozenset[int] | None:
    """``0-55,112-167`` as numbers, ``0 1 2`` too; empty of nothing, None of anything else."""
    found: set[int] = set()
    for item in text.replace(",", " ").split():
        first, dash, last = item.partition("-")
        ends = (first, last if dash else first)
        if not all(is_number(end, 5) and int(end) < MAX_NUMBER for end in ends):
            return None
        found |= set(range(int(first), int(ends[1]) + 1))
    return frozenset(found)


def ranges(numbers: Iterable[int]) -> str:
    """``0-55,112-167``."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _slots(host: Host, pci: PciDevices | None) -> list[str]:
    if pci is not None or host.is_live:
        return [gpu.slot for gpu in pci.gpus()] if pci else []
    return [path.split("/")[5] for path in host.tree("/sys/bus/pci/devices/*/numa_node")]


def topology(answer: Answer) -> dict[str, tuple[int, Line]]:
    """The node of each GPU by `nvidia-smi topo -m`, with its row; none of one that is at several, or at N/A::

                GPU0    GPU1    NIC0    CPU Affinity    NUMA Affinity   GPU NUMA ID
        GPU0     X      NV18    PIX     0-55,112-167    0               N/A

    Its columns are parted by tabs, or, where a terminal was copied, by spaces.
    """
    found: dict[str, tuple[int, Line]] = {}
    column = 0
    for line in whole_lines(answer) if answer.said else ():
        cells = [cell.strip() for cell in line.replace("  ", "\t").split("\t") if cell.strip()]
        if "NUMA Affinity" in cells:
            column = cells.index("NUMA Affinity") + 1
        elif column and len(cells) > column and cells[0].startswith("GPU") and is_number(cells[column], 5):
            found[cells[0]] = int(cells[column]), Line(answer.key, " ".join(cells))
    return found


def _nodes(host: Host) -> tuple[Node, ...]:
    tree = host.tree(NODES + "cpulist")
    if not tree:
        if not tree.listing.said and tree.listing.status not in ("absent", "not_captured"):
            raise CannotSee(f"the NUMA nodes: {tree.listing.why or tree.listing.status}")
        return () if host.is_live else _of_numactl(host)
    cpus = {_number(path): number_list(answer.text) for path, answer in tree.items() if answer.said}
    numbers = sorted(cpus)
    if sum(bool(of) for of in cpus.values()) < 2:
        return tuple(Node(number, cpus[number] or frozenset(), {}, None) for number in numbers)
    if any(of is None for of in cpus.values()):
        raise CannotSee("the CPUs of a NUMA node: its list is damaged")
    far = {_number(path): answer.text.split() for path, answer in host.tree(NODES + "distance").items()}
    memory = {_number(path): _total(answer.text) for path, answer in host.tree(NODES + "meminfo").items()}
    return tuple(
        Node(number, cpus[number] or frozenset(), _distances(numbers, far.get(number, [])), memory.get(number))
        for number in numbers
    )


def _number(path: str) -> int:
    name = path.split("/")[5].removeprefix("node")
    return int(name) if is_number(name, 5) else -1


def _distances(numbers: list[int], words: list[str]) -> dict[int, int]:
    """Empty where it is not one number a node."""
    if len(words) != len(numbers) or not all(is_number(word, 5) for word in words):
        return {}
    return dict(zip(numbers, map(int, words)))


def _total(text: str) -> int | None:
    for line in text.split("\n"):
        words = line.split()
        if words[2:3] == ["MemTotal:"] and len(words) > 3 and is_number(words[3], 15):
            return int(words[3])
    return None


def _of_numactl(host: Host) -> tuple[Node, ...]:
    """Of `numactl -H`, whole or in part; a newer one may write ``0-55, 112-167 (112)``::

    available: 2 nodes (0-1)
    node 0 cpus: 0 1 2 3
    node 0 size: 1905 MB
    node distances:
    node   0   1
      0:  10  21
      1:  21  10
    """
    cpus: dict[int, frozenset[int]] = {}
    sizes: dict[int, int] = {}
    far: dict[int, list[str]] = {}
    for line in whole_lines(host.run("numactl", "-H")):
        words = line.split()
        name = words[0].removesuffix(":") if words else ""
        if name == "node" and len(words) > 2 and is_number(words[1], 5):
            if words[2] == "cpus:":
                cpus[int(words[1])] = number_list(line.partition(":")[2].partition("(")[0]) or frozenset()
            elif words[2] == "size:" and words[3:4] and is_number(words[3], 12):
                sizes[int(words[1])] = int(words[3]) << 10
        elif is_number(name, 5):
            far[int(name)] = words[1:]
    numbers = sorted(cpus)
    return tuple(Node(n, cpus[n], _distances(numbers, far.get(n, [])), sizes.get(n)) for n in numbers)
