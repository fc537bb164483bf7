"""Sockets and NUMA nodes that the profile wants."""

from collections.abc import Iterator

from mlopsdoc import Finding, Hardware, NothingHere, check, critical, unknown, warning
from mlopsdoc.facts.cpu_topology import CpuTopology


@check(area="cpu", title="There are as many sockets and NUMA nodes as the profile wants")
def cpu_topology(topology: CpuTopology, hardware: Hardware) -> Iterator[Finding]:
    """A socket that the firmware left out takes its memory and its PCIe slots along. Another number of NUMA nodes means
    that sub-NUMA clustering (SNC) or NPS was set otherwise in the firmware, or NUMA was switched off: then what jobs
    bind to is not what it was.

    Only where the profile says how many there should be; nodes without CPUs (memory of a GPU, expanders) do not count.
    """
    if not hardware.sockets and not hardware.numa_nodes:
        raise NothingHere("the profile does not say how many sockets and NUMA nodes there should be")
    evidence = [topology.line]
    if hardware.sockets and not topology.sockets:
        yield unknown(f"how many sockets there are is not told; the profile wants {hardware.sockets}", code="sockets")
    elif hardware.sockets and topology.sockets != hardware.sockets:
        yield (critical if topology.sockets < hardware.sockets else warning)(
            f"{topology.sockets} of {hardware.sockets} sockets that the profile wants",
            code="sockets",
            advice="see what the firmware and the BMC say of the processors (`sudo dmidecode -t processor`, `sudo "
            "ipmitool sel elist`): steps in the runbook",
            evidence=evidence,
        )
    if hardware.numa_nodes and not topology.numa_nodes:
        yield unknown(
            f"how many NUMA nodes there are is not told; the profile wants {hardware.numa_nodes}", code="nodes"
        )
    elif hardware.numa_nodes and topology.numa_nodes != hardware.numa_nodes:
        yield warning(
            f"{topology.numa_nodes} NUMA nodes with CPUs, the profile wants {hardware.numa_nodes}",
            code="nodes",
            advice="compare SNC (Intel), NPS (AMD) and NUMA in the firmware with a host of the same kind: steps in the "
            "runbook",
            evidence=evidence,
        )
