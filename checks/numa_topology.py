"""GPUs and RDMA network cards whose NUMA node is hidden."""

from collections.abc import Iterator

from mlopsdoc import Finding, NothingHere, check, warning
from mlopsdoc.facts.numa_places import UNTOLD, NumaPlaces


@check(area="fabric", title="GPUs and RDMA network cards tell at which NUMA node they are")
def numa_topology(places: NumaPlaces) -> Iterator[Finding]:
    """NCCL pairs each GPU with the network card that is near it by their places in sysfs. Where some of them have a
    NUMA node and others have none (-1), as in virtual machines whose devices are handed through without their bridges,
    it pairs wrongly or routes through the other socket, and binding by node fails.

    Left out where all CPUs are on one node, and where no GPU or card has one: such clouds hide all of them.
    """
    blind = [place for place in places.places if place.node < 0]
    seen = [place for place in places.places if place.node >= 0]
    if not seen:
        raise NothingHere("neither GPUs nor network cards tell their NUMA node here")
    if not blind:
        return
    names = ", ".join(place.label for place in blind[:8]) + (f" and {len(blind) - 8} more" if len(blind) > 8 else "")
    others = ", ".join(f"{place.label} at node {place.node}" for place in seen[:4])
    is_told = all(place.kind != UNTOLD for place in places.places)
    means = "NCCL cannot tell which GPU and network card are near each other"
    yield warning(
        f"numa_node is -1 (not known) of {names}, on a host with {places.nodes} NUMA nodes where others have one "
        f"({others}): {means if is_told else 'if these are GPUs and network cards, ' + means}",
        advice="in a virtual machine: have them handed through below a bridge of their node (pxb-pcie, vNUMA), or give "
        "NCCL the true topology (NCCL_TOPO_FILE); on bare metal: a firmware update. The runbook has the steps",
        covers=[place.label for place in blind],
        evidence=[place.line for place in (*blind[:3], seen[0])],
    )
