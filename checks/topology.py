"""A GPU that does not share its PCIe switch with a network card, as its siblings do."""

from collections.abc import Iterator

from mlopsdoc import Finding, NothingHere, check, ok, warning
from mlopsdoc.facts.topology import Topology

ADVICE = (
    "is a network card missing, or a card in another slot? Compare `ls /sys/class/infiniband`, `lspci -tv` and "
    "`nvidia-smi topo -m` with an equal host; `mlopsdoc explain topology` draws this one; steps in the runbook"
)


@check(
    area="pcie",
    title="Each GPU is as near to an RDMA network card as its siblings",
    params=("GPU",),
    explained_by=("gpu_presence",),
)
def topology(ways: Topology, *, least_switches: int = 3) -> Iterator[Finding]:
    """Servers for training pair GPUs and RDMA cards below switches, and NCCL sends from each GPU through the card
    beside it. A card that died or went to another slot leaves one GPU whose traffic crosses the roots and sockets; each
    collective between hosts then waits for that one.

    A warning where GPUs below at least `least_switches` switches have a card below the same switch (PIX or PXB of
    `nvidia-smi topo -m`), and all GPUs that have none are below one switch, or are one GPU. Fewer switches say nothing
    of what should be: servers with cards on one side only are made so. Virtual machines show paths that were made up.
    Where devices are at NUMA node -1, and where ACS redirects what goes between peers: numa_topology and gpu_pcie.
    """
    if ways.is_virtual or len(ways.gpus) < 2:
        raise NothingHere("a virtual machine" if ways.is_virtual else "there is one GPU")
    if len(ways.places) == len(ways.gpus):
        raise NothingHere("there is no RDMA network card")
    paired = [gpu for gpu in ways.gpus if ways.near(gpu)]
    apart = [gpu for gpu in ways.gpus if not ways.near(gpu)]
    switches = {gpu.switches for gpu in paired}
    homes = {gpu.switches or gpu.label for gpu in apart}
    if apart and len(homes) == 1 and len(switches) >= least_switches and len(apart) < len(paired):
        many = len(apart) > 1
        who = f"{' and '.join(gpu.label for gpu in apart)} share" if many else "shares"
        yield warning(
            f"{who} a switch with no RDMA network card, the other {len(paired)} GPUs do: what "
            f"{'they send' if many else 'it sends'} to other hosts crosses the root of the PCIe bus",
            subject="host" if many else apart[0].label,
            code="apart",
            advice=ADVICE,
            covers=[gpu.label for gpu in apart] if many else (),
            params={"GPU": apart[0].slot} if apart[0].slot else {},
            evidence=[*(gpu.line for gpu in apart[:2]), paired[0].line],
        )
    elif paired and not apart:
        yield ok(f"each of {len(paired)} GPUs shares a switch with an RDMA network card", code="paired")
