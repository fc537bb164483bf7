"""GPUs that are busy and slow, and nothing says why; clocks that somebody set."""

from collections.abc import Iterator

from mlopsdoc import Before, Finding, NothingHere, check, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpus import BY_SETTING, Gpu, Gpus
from mlopsdoc.facts.nvml import NOT_OFFERED, XID, in_words
from mlopsdoc.facts.quantities import span

WHAT = "how fast it runs and why"
STUCK = (
    "stop its job and reset it (`sudo nvidia-smi --gpu-reset -i {pci}`); if it stays, take all power away, the standby "
    "supply or adapter too, for a minute: power delivery that got stuck clears only so; then newer firmware; runbook"
)
UNSET = (
    "if nobody wants that: `sudo nvidia-smi -i {pci} -rgc` and `-rac`; find who sets it at boot or in a prolog: runbook"
)


@check(
    area="gpu",
    title="Busy GPUs run fast, and nobody holds their clocks down",
    params=("GPU",),
    explained_by=("gpu_presence", "driver_stack", "gpu_power"),
)
def gpu_clocks(
    gpus: Gpus,
    before: Before[Gpus],
    processes: GpuProcesses | None,
    *,
    loaded_percent: int = 90,
    slow_percent: int = 50,
    locked_percent: int = 85,
    setting_percent: int = 95,
) -> Iterator[Finding]:
    """A GPU that is slow names the reason (heat, power, a setting), and gpu_thermal and gpu_power judge those. One that
    is busy, slow and names none is stuck: its power delivery, its firmware or a driver that lost its state.

    Busy is `loaded_percent`, slow is less than `slow_percent` of the highest SM clock (sichek: below 800 MHz for 15
    minutes, not idle and in P0). That in two samples, or in the only one there is, is a warning; a busy GPU that was
    not so in the earlier one is still on its way up, a note. Boards with screens have many reasons to stay slow at P5
    and lower. One clock to the MHz in both samples, below `locked_percent` and without a reason, is a locked clock.

    An application clock below `setting_percent` of its default, or the reason "clocks setting" on a busy GPU below
    that share of what it can, is a warning: somebody asked for it once, and the job waits for it now. Where all GPUs
    are set the same it is one finding. GeForce boards are their owner's to set: a note.
    """
    seconds = before.seconds_to(gpus.at)
    told = [gpu for gpu in gpus if (gpu.sm_mhz and gpu.sm_max_mhz) or gpu.app_mhz]
    refused = [gpu for gpu in gpus if gpu.errors.get("sm_mhz", NOT_OFFERED[0]) not in NOT_OFFERED]
    if not told and not refused and not gpus.lost:
        raise NothingHere("how fast the GPUs run is not told here")
    settings: dict[str, list[Gpu]] = {}
    for gpu in told:
        was = before.fact.same(gpu) if before.fact and seconds > 0 else None
        if setting := _setting(gpu, loaded_percent, setting_percent):
            settings.setdefault(setting, []).append(gpu)
        elif _is_slow(gpu, loaded_percent, slow_percent, gpu):
            yield _slow(gpu, was, seconds, _is_slow(was, loaded_percent, slow_percent, gpu) if was else None, processes)
        elif (
            was
            and gpu.sm_mhz == was.sm_mhz
            and all(_is_slow(g, loaded_percent, locked_percent, gpu) for g in (gpu, was))
        ):
            what = (
                f"busy ({gpu.utilization} %) at exactly {gpu.sm_mhz} of {gpu.sm_max_mhz} MHz, now and {span(seconds)}"
            )
            yield _finding(gpu, "locked", f"{what} ago, no reason given: its clocks are locked", UNSET, processes)
    for what, same in settings.items():
        yield from _set(what, same, len(told), processes)
    for gpu in refused:
        yield unknown(f"its clocks: {in_words(gpu.errors['sm_mhz'])}", subject=gpu.label, code="refused", advice=XID)
    for subject, what, advice, code in gpus.gaps(WHAT, told, "sm_mhz", "sm_max_mhz"):
        yield unknown(what, subject=subject or "host", advice=advice, code=code)


def _is_slow(gpu: Gpu, loaded: int, slow: int, same: Gpu) -> bool:
    """Busy (or that is not told), below that percentage of its highest clock, and without a reason (or with one that
    is not told).

    An earlier sample has not what does not change: that is of the `same` GPU now.
    """
    is_idle = (gpu.utilization or 0) < loaded and not gpu.leaves_out("utilization")
    if is_idle or not gpu.sm_mhz or not same.sm_max_mhz:
        return False
    is_at_rest = same.has_display and (same.is_laptop or (gpu.pstate or 0) >= 5)
    return 100 * gpu.sm_mhz < slow * same.sm_max_mhz and not gpu.reasons and not is_at_rest


def _slow(gpu: Gpu, was: Gpu | None, seconds: float, was_slow: bool | None, processes: GpuProcesses | None) -> Finding:
    power = f" and {gpu.power_w:.0f} W" if gpu.power_w else ""
    is_told = gpu.utilization is not None
    busy = f"busy ({gpu.utilization} %), yet " if is_told else ""
    what = f"{busy}its clocks are at {gpu.sm_mhz} of {gpu.sm_max_mhz} MHz{power}"
    if gpu.reasons is None or not is_told:
        advice = "`nvidia-smi -q -d UTILIZATION,PERFORMANCE,CLOCK,POWER` tells it"
        return unknown(
            f"{what}; whether it {'gives a reason' if is_told else 'is busy'} is not told",
            subject=gpu.label,
            code="untold",
            advice=advice,
            evidence=[gpu.line],
        )
    what += ", without any reason given"
    if was_slow is False:
        note = f"{what}; not so {span(seconds)} ago: look again"
        return ok(note, subject=gpu.label, code="no_reason", evidence=[gpu.line])
    return _finding(gpu, "no_reason", f"{what}, now and {span(seconds)} ago" if was_slow else what, STUCK, processes)


def _setting(gpu: Gpu, loaded: int, percent: int) -> str:
    """What somebody set, in words, or nothing."""
    app, usual = gpu.app_mhz, gpu.app_default_mhz
    if app and usual and 100 * app < percent * usual:
        return f"application clocks are set to {app} MHz, {usual} MHz is their default"
    limit = usual or gpu.sm_max_mhz
    if not gpu.has(BY_SETTING) or not gpu.sm_mhz or not limit or (gpu.utilization or 0) < loaded:
        return ""
    return f"a setting holds the clocks at {gpu.sm_mhz} of {limit} MHz" if 100 * gpu.sm_mhz < percent * limit else ""


def _set(what: str, same: list[Gpu], count: int, processes: GpuProcesses | None) -> Iterator[Finding]:
    if len(same) == count > 1:
        yield (ok if all(gpu.is_consumer for gpu in same) else warning)(
            f"{what} on all {count} GPUs",
            code="setting",
            advice=UNSET.replace(" -i {pci}", ""),
            covers=[gpu.label for gpu in same],
            hurts=processes.hurts(*(gpu.id for gpu in same)) if processes else (),
            evidence=[gpu.line for gpu in same[:2]],
        )
        return
    for gpu in same:
        yield _finding(gpu, "setting", what, UNSET, processes)


def _finding(gpu: Gpu, code: str, what: str, advice: str, processes: GpuProcesses | None) -> Finding:
    is_note = code != "no_reason" and (gpu.is_consumer or gpu.is_laptop)
    return (ok if is_note else warning)(
        what,
        subject=gpu.label,
        code=code,
        advice=advice.replace(" -i {pci}", f" -i {gpu.pci}" if gpu.pci else ""),
        params={"GPU": gpu.pci} if gpu.pci else {},
        metrics={"sm_mhz": gpu.sm_mhz, "utilization": gpu.utilization, "power_w": gpu.power_w},
        hurts=processes.hurts(gpu.id) if processes and not is_note else (),
        evidence=[gpu.line],
    )
