"""GPUs that should be here and do not answer."""

from collections.abc import Iterator

from mlopsdoc import Finding, NothingHere, check, critical, unknown, warning
from mlopsdoc.facts.gpu_presence import GpuPresence, Missing
from mlopsdoc.facts.gpu_processes import GpuProcesses

LOST = (
    "look at what the kernel said (`sudo dmesg | grep -i -e nvrm -e xid -e {}`), save `sudo nvidia-bug-report.sh`, "
    "drain the host and reboot it; gone again afterwards: seating, power, the slot, the board: steps in the runbook"
)
NONE = (
    "see why it starts none: `sudo dmesg | grep -i -e nvrm -e nvidia`; a driver branch or kind of module (open, "
    "proprietary) that does not support this GPU or its firmware is as likely as a broken GPU: steps in the runbook"
)
BESIDE = (
    "see which driver holds it (`lspci -k -d 10de:`): vfio-pci has given it to a virtual machine; with nvidia it could "
    "not be started or fell off the bus (`sudo dmesg | grep -i -e nvrm -e xid`): steps in the runbook"
)
# How bad, and what to do; else critical, and LOST.
KINDS = {
    "refused": (unknown, "run as root"),
    "none": (critical, NONE),
    "none_given": (unknown, "look from the host, or at what the container was started with (--gpus, nvidia.com/gpu)"),
    "not_always": (warning, NONE),
    "beside_lspci": (warning, BESIDE),
    "other_model": (warning, "see what was exchanged (`nvidia-smi -L`, `lspci -nn -d 10de:`), or correct the profile"),
}


@check(
    area="gpu",
    title="Every GPU that is on PCI answers",
    params=("GPU",),
    explains=(
        "gpu_thermal",
        "nvlink_errors",
        "nvlink_links",
        "gpu_ecc",
        "gpu_row_remap",
        "gpu_mig",
        "gpu_recovery",
        "gpu_health",
    ),
    explained_by=("driver_stack", "gpu_xid"),
)
def gpu_presence(presence: GpuPresence, processes: GpuProcesses | None) -> Iterator[Finding]:
    """A GPU that has fallen off the bus takes its job with it, and the next one starts with a GPU too few.

    NVML is held against PCI (display devices of vendor 10de that the nvidia driver holds), against the list of the
    kernel module, what the profile wants, and lspci where it was recorded: a GPU that is missing since boot leaves no
    Xid at all. A handle that NVML refuses is critical, with its code by name. GPUs that were given to virtual machines,
    left out with NVreg_ExcludedGpus, those of another make, those that a container was not given, and sleeping GPUs of
    laptops are not missing. Another model than the profile wants is a warning: all ranks wait for the slowest. "No
    devices were found" is critical, in a container unknown, and a warning where the evidence shows GPUs at a later
    moment. Where only a part of an output is here, nothing is missing for want of it.
    """
    if not presence.missing and not presence.is_whole:
        raise NothingHere("a part of what nvidia-smi says does not tell which GPUs there are")
    for gpu in presence.missing:
        yield _finding(gpu, presence.seen, processes)


def _finding(gpu: Missing, seen: int, processes: GpuProcesses | None) -> Finding:
    is_of_all = gpu.label == "host" and gpu.code in ("not_always", "other_model", "beside_lspci")
    others = f"; {seen} other GPU{'s' * (seen > 1)} answer{'s' * (seen == 1)}" if seen and not is_of_all else ""
    say, advice = KINDS.get(gpu.code, (critical, LOST.format(gpu.pci.rpartition(".")[0] or "nvidia")))
    return say(
        gpu.what + others,
        subject=gpu.label,
        code=gpu.code,
        advice=advice,
        hurts=processes.hurts(gpu.pci) if processes and gpu.pci else (),
        params={"GPU": gpu.pci},
        evidence=[gpu.line],
    )
