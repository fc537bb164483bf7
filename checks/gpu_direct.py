"""Traffic between GPUs and RDMA NICs goes through the memory of the host."""

from collections.abc import Iterator

from mlopsdoc import Finding, NothingHere, check, ok, unknown, warning
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.gpu_direct import GpuDirect
from mlopsdoc.facts.gpus import Gpus


@check(
    area="network",
    title="RDMA NICs reach the memory of the GPUs directly",
    explained_by=("driver_stack",),
)
def gpu_direct(
    direct: GpuDirect,
    driver: Driver,
    gpus: Gpus | None,
    *,
    least_gbps: float = 100.0,
) -> Iterator[Finding]:
    """Without GPUDirect RDMA every message between hosts is copied through the memory of the host: NCCL over many
    hosts runs at a fraction of its speed, and nothing fails.

    It needs the module nvidia_peermem, or dma-buf: the open module of the driver, Linux 5.12, CUDA 11.7 (driver 515);
    either is enough (NVIDIA, GPUDirect RDMA; NCCL). GeForce cards have neither. NICs slower than `least_gbps` are those
    for everything else, which happen to speak RDMA.
    """
    fast = [nic for nic in direct.nics if nic.gbps >= least_gbps]
    if not fast or driver.is_consumer or any(gpu.is_consumer for gpu in gpus or ()):
        raise NothingHere(f"no RDMA NIC of {least_gbps:.0f} Gbit/s, or GPUs that cannot do it")
    names = f"{', '.join(nic.name for nic in fast[:4])}{f' and {len(fast) - 4} more' if len(fast) > 4 else ''}"
    evidence = [driver.loaded.line, *(nic.line for nic in fast[:2])]
    if direct.peer_module or direct.has_dmabuf:
        by = " and ".join(filter(None, (direct.peer_module, "dma-buf" if direct.has_dmabuf else "")))
        yield ok(f"{names}: by {by}", code="direct", evidence=evidence)
    elif direct.has_dmabuf is None:
        yield unknown(
            f"{names}: nvidia_peermem is not loaded, and whether dma-buf can do it could not be seen",
            code="direct",
            advice="head -1 /proc/driver/nvidia/version: `Open Kernel Module` has dma-buf",
            evidence=evidence,
        )
    else:
        yield warning(
            f"nvidia_peermem is not loaded and dma-buf cannot be used ({direct.why_not}): what goes between the GPUs "
            f"and {names} is copied through the memory of the host, so NCCL between hosts is slow",
            code="direct",
            advice="sudo modprobe nvidia-peermem, and for the next boot `echo nvidia-peermem | sudo tee "
            "/etc/modules-load.d/nvidia-peermem.conf`; jobs use it when they start anew; or install the open module of "
            "the driver",
            evidence=evidence,
        )
