"""How many sockets and NUMA nodes the host has."""

from __future__ import annotations

from mlopsdoc import Fact, Host, Line
from mlopsdoc.facts.machine import Machine

NODES = "/sys/devices/system/node/node*/cpulist"


class CpuTopology(Fact, frozen=True):
    """sockets, numa_nodes: how many, 0 where that is not known. A node without a CPU, of a GPU's memory, is none.

    From /proc/cpuinfo and /sys/devices/system/node, else the lines of `lscpu` in a recording::

        Socket(s):                               2
        NUMA node(s):                            2
    """

    sockets: int
    numa_nodes: int
    line: Line | None

    @classmethod
    def read(cls, host: Host, machine: Machine) -> CpuTopology:
        tree = host.tree(NODES)
        nodes = sum(bool(answer.text.strip()) for answer in tree.values()) if tree.listing.status == "ok" else 0
        if host.is_live or (machine.sockets and nodes):
            seen = f"{machine.sockets} sockets, {nodes} NUMA nodes with CPUs"
            return cls(machine.sockets, nodes, Line("read /proc/cpuinfo", seen))
        answer = host.run("lscpu")
        said = dict(line.split(":", 1) for line in answer.text.split("\n") if ":" in line) if answer.said else {}
        sockets, told = (_number(said.get(name, "")) for name in ("Socket(s)", "NUMA node(s)"))
        line = Line(answer.key, f"Socket(s): {sockets}, NUMA node(s): {told}") if said else None
        return cls(machine.sockets or sockets, nodes or told, line)


def _number(text: str) -> int:
    word = text.strip()
    return int(word) if word.isascii() and word.isdigit() and len(word) < 5 else 0
