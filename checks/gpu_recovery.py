"""What the driver itself says must be done to a GPU."""

from collections.abc import Callable, Iterator, Sequence

from mlopsdoc import Finding, check, critical, unknown, warning
from mlopsdoc.facts.gpu_health import GpuHealth, GpuHealths
from mlopsdoc.facts.gpu_processes import GpuProcesses

Level = Callable[..., Finding]
NAMES = ("recovery", "reset_required", "drain_recommended")
NEED_RESET = 16  # NVML_ERROR_RESET_REQUIRED
RESET = "end its jobs, then `sudo nvidia-smi --gpu-reset -i {}`; look for the Xid that led to it: steps in the runbook"
DRAIN = "let no new job start on it and its jobs end, then `sudo nvidia-smi --gpu-reset -i {}`: steps in the runbook"
REBOOT = "end all jobs and reboot the host; look for the Xid that led to it: steps in the runbook"
# NVML_GPU_RECOVERY_ACTION_: level, what is wanted, what to do.
ACTIONS: dict[int, tuple[Level, str, str]] = {
    1: (critical, "a reset of this GPU", RESET),
    2: (critical, "a reboot of the host", REBOOT),
    3: (warning, "that jobs over peer-to-peer be drained from it", DRAIN),
    4: (critical, "that it be drained and then reset", DRAIN),
    5: (warning, "that the IMEX domain be recovered", "restart nvidia-imex on every node of the domain: runbook"),
    6: (critical, "a reset of its bus", "end its jobs; a bus reset or a reboot brings it back: runbook"),
    7: (critical, "a reboot of the system", REBOOT),
}


@check(
    area="gpu",
    title="The driver wants no recovery of a GPU",
    params=("GPU",),
    explained_by=("driver_stack", "gpu_presence", "gpu_xid"),
)
def gpu_recovery(health: GpuHealths, processes: GpuProcesses | None) -> Iterator[Finding]:
    """The driver keeps, by GPU, what must be done after an error: NVML's recovery action, the best single verdict.

    From R560 on: none, reset, reboot, drain P2P, drain and reset, and since R590 recovery of the IMEX domain, a bus
    reset and a reboot of the system. DCGM fails on reset, reboot, and drain and reset, and warns on drain P2P. It goes
    back to none once the fault is cleared. Older drivers have two flags instead (reset required, drain and reset
    recommended). A number or a word that is not known here is shown as it is, and unknown.
    """
    told = health.telling("the recovery action of the driver", *NAMES)
    wanted: dict[tuple[Level, str, str], list[GpuHealth]] = {}
    for gpu in told:
        if trouble := _trouble(gpu):
            wanted.setdefault(trouble, []).append(gpu)
    for (level, what, advice), gpus in wanted.items():
        if "{}" in advice or len(gpus) == 1:
            yield from (_finding(level, what, advice, [gpu], processes) for gpu in gpus)
        else:  # it is done once, for all of them
            yield _finding(level, f"{what} (for {len(gpus)} GPUs)", advice, gpus, processes)
    for gap in health.gaps("the recovery action of the driver", (NAMES,)):
        yield unknown(gap.why, subject=gap.subject, code=gap.code, advice=gap.advice)


def _finding(
    level: Level, what: str, advice: str, gpus: Sequence[GpuHealth], processes: GpuProcesses | None
) -> Finding:
    gpu = gpus[0]
    return level(
        what,
        subject=gpu.label if len(gpus) == 1 else "host",
        code="imex" if "IMEX" in what else "action",
        advice=advice.format(gpu.pci or "GPU"),
        covers=[one.label for one in gpus] if len(gpus) > 1 else (),
        hurts=processes.hurts(*(one.id for one in gpus)) if processes else (),
        params={"GPU": gpu.pci},
        evidence=[one.line(*NAMES) for one in gpus[:4]],
    )


def _trouble(gpu: GpuHealth) -> tuple[Level, str, str] | None:
    action = gpu.values.get("recovery")
    if isinstance(action, int) and action in ACTIONS:
        level, what, advice = ACTIONS[action]
        return level, f"the driver wants {what}", advice
    if action not in (None, 0):
        return unknown, f"the driver wants a recovery that is not known here: {action}", REBOOT
    if gpu.number("reset_required") or NEED_RESET in gpu.errors.values():
        return critical, "the driver says that this GPU must be reset before it can be used", RESET
    if gpu.number("drain_recommended"):
        return critical, "the driver recommends to drain this GPU and to reset it", DRAIN
    return None
