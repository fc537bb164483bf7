"""How GPUs are split into MIG instances: a mode that waits, GPUs that CUDA cannot use, and the layout."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mlopsdoc import Finding, check, ok, unknown, warning
from mlopsdoc.facts.gpu_health import IN_USE, GpuHealth, GpuHealths
from mlopsdoc.facts.gpu_processes import GpuProcess, GpuProcesses

NAMES, DEVICES = ("mig_now", "mig_then"), "mig_devices"
STOP = (
    "stop what holds the GPU (jobs, and monitors such as nvidia-dcgm or an exporter: `sudo fuser -v /dev/nvidia*` "
    "names them), then `sudo nvidia-smi --gpu-reset -i {}`, or reboot: steps in the runbook"
)
SPLIT = (
    "make instances (`sudo nvidia-smi mig -i {} -cgi PROFILE -C`; `nvidia-smi mig -lgip` lists the profiles), or turn "
    "MIG off (`sudo nvidia-smi -i {} -mig 0`): steps in the runbook"
)


@check(
    area="gpu",
    title="GPUs in MIG mode have instances, and no change of the mode waits",
    params=("GPU",),
    explained_by=("driver_stack", "gpu_presence"),
)
def gpu_mig(health: GpuHealths, processes: GpuProcesses | None) -> Iterator[Finding]:
    """CUDA finds no device on a GPU in MIG mode that has no instance, and sees one MIG device at most in a process.

    A mode that is to change and has not is a warning: the GPU must be reset (A100 and A30; Hopper and newer change at
    once when idle), which fails while a job or a monitor holds it. MIG on and no instance is a warning, alone or on
    some of several GPUs, where a job that asks for all of them fails. A layout is a note, so is one that differs from
    GPU to GPU on purpose. GPUs that cannot do MIG are left alone (NVIDIA, MIG user guide).
    """
    told = health.telling("MIG", *NAMES)
    pending = [gpu for gpu in told if _is_pending(gpu)]
    is_every = len(pending) == len(told) > 1 and len({gpu.number("mig_then") for gpu in pending}) == 1
    found = [_all_wait(pending, processes)] if is_every else [_waits(gpu, processes) for gpu in pending]
    on = [gpu for gpu in told if gpu.number("mig_now") == 1]
    off = [gpu for gpu in told if gpu.number("mig_now") == 0]
    empty = [gpu for gpu in on if gpu.number(DEVICES) == 0 and not _is_pending(gpu)]
    found += _without_instances(empty, on, off)
    gaps = [
        unknown(gap.why, subject=gap.subject, code=gap.code, advice=gap.advice)
        for gap in health.gaps("MIG", (("mig_now", "mig_then"),))
    ]
    silent = [gpu for gpu in on if not gpu.tells(DEVICES) and gpu.number("mig_then") != 0]
    if silent:
        what = f"MIG is on on {_names(silent)}; whether instances were made is not told"
        gaps.append(unknown(what, code="instances", advice="`nvidia-smi -L` lists them"))
    yield from (*found, *gaps)
    if on and not found and not gaps:
        yield ok(_layout(on, off), code="layout")


def _is_pending(gpu: GpuHealth) -> bool:
    now, then = gpu.number("mig_now"), gpu.number("mig_then")
    return now is not None and then is not None and now != then


def _waits(gpu: GpuHealth, processes: GpuProcesses | None) -> Finding:
    holders = [p for p in processes.processes if p.pci == gpu.id and not p.gone] if processes else []
    why = "it needs a reset of the GPU"
    if holders:
        why += f", which is in use by {_holders(holders)}"
    elif gpu.number("mig_why") == IN_USE:
        why += ", which was refused: in use by another client"
    return warning(
        f"MIG mode is pending: to be {'on' if gpu.number('mig_then') else 'off'} and not yet in effect; {why}",
        code="pending",
        advice=STOP.format(gpu.pci or "GPU"),
        **gpu.about(processes, "mig"),
    )


def _all_wait(gpus: Sequence[GpuHealth], processes: GpuProcesses | None) -> Finding:
    """Set for all of them at once: one finding."""
    on = "on" if gpus[0].number("mig_then") else "off"
    return warning(
        f"MIG mode is pending on all {len(gpus)} GPUs: to be {on} and not yet in effect; it needs a reset of each",
        code="pending",
        advice=STOP.replace(" -i {}", ""),
        covers=[gpu.label for gpu in gpus],
        hurts=processes.hurts(*(gpu.id for gpu in gpus)) if processes else (),
        params={"GPU": gpus[0].pci},
        evidence=[gpu.line("mig") for gpu in gpus[:4]],
    )


def _holders(holders: Sequence[GpuProcess]) -> str:
    """``pid 41230 python3 train.py, 2 more``."""
    more = f", {len(holders) - 1} more" if len(holders) > 1 else ""
    return f"pid {holders[0].pid} {holders[0].command[:60]}".rstrip() + more


def _without_instances(
    empty: Sequence[GpuHealth], on: Sequence[GpuHealth], off: Sequence[GpuHealth]
) -> Iterator[Finding]:
    """One finding, whatever the number of GPUs: they were forgotten together."""
    if not empty:
        return
    one = empty[0] if len(empty) == 1 else None
    others = len(on) - len(empty)
    beside = f", MIG is off on {_names(off)}" if off else ""
    beside += f", {others} other{'s' * (others > 1)} with instances" if others else ""
    yield warning(
        f"MIG is on without any instance{'' if one else f' on {_names(empty)}'}{beside}: CUDA finds no device there",
        subject=one.label if one else "host",
        code="no_instances",
        advice=SPLIT.replace("{}", empty[0].pci or "GPU"),
        covers=[gpu.label for gpu in empty],
        params={"GPU": empty[0].pci},
        evidence=[gpu.line("mig") for gpu in empty],
    )


def _names(gpus: Sequence[GpuHealth]) -> str:
    """``GPU 3 (c3:00.0)``, ``3 GPUs (1, 2, 3)``."""
    return gpus[0].label if len(gpus) == 1 else f"{len(gpus)} GPUs ({', '.join(gpu.short for gpu in gpus)})"


def _layout(on: Sequence[GpuHealth], off: Sequence[GpuHealth]) -> str:
    parts = [f"MIG is off on {_names(off)}"] if off else []
    for gpu in on:
        kinds = Counter(name.rpartition("MIG ")[2] for name in gpu.mig_names)
        made = " + ".join(f"{count} x {kind}" for kind, count in kinds.items() if kind)
        parts.append(f"{gpu.label} is split into {made or _count(gpu.number(DEVICES) or 0)}")
    return "; ".join(parts)


def _count(devices: int) -> str:
    return f"{devices} MIG device{'s' * (devices != 1)}"
