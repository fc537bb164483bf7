"""GPUs that may draw less power than they are made for."""

from collections.abc import Iterator

from mlopsdoc import Before, Finding, NothingHere, check, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpus import HW_SLOWDOWN, HW_THERMAL, POWER_BRAKE, POWER_CAP, SW_THERMAL, Gpu, Gpus
from mlopsdoc.facts.nvml import NOT_OFFERED, XID, in_words
from mlopsdoc.facts.quantities import span

OTHER = HW_SLOWDOWN | HW_THERMAL | POWER_BRAKE | SW_THERMAL  # judged by gpu_thermal
RAISE = (
    "if nobody wants that: `sudo nvidia-smi -i {pci} -pl {watts}`; if it comes back, look who sets it (a boot script, "
    "the BMC's power policy, DCGM): steps in the runbook"
)
FAR = (
    "another limit than its own holds it: look at `nvidia-smi -q -i {pci} -d POWER` (module or board limit), its power "
    "cables and the power policy of the BMC; steps in the runbook"
)


@check(
    area="power",
    title="GPUs may draw the power they are made for",
    params=("GPU",),
    explains=("gpu_clocks",),
    explained_by=("gpu_presence", "driver_stack", "gpu_thermal"),
)
def gpu_power(
    gpus: Gpus,
    before: Before[Gpus],
    processes: GpuProcesses | None,
    *,
    limit_percent: int = 95,
    far_percent: int = 50,
    loaded_percent: int = 50,
    capped_percent: int = 50,
) -> Iterator[Finding]:
    """A power limit that somebody lowered costs every job on that GPU, and nothing complains.

    A limit below `limit_percent` of its default is a warning (NVML: enforced below default means that someone capped
    it); where all GPUs have the same it is one finding, for that may be a policy. GeForce boards are their owner's to
    set: a note; laptops move theirs all the time: not judged. At its limit under load (SW power cap) is normal, no
    finding. Capped although it draws less than `far_percent` of its limit while busy (`loaded_percent`) is a warning:
    by NVML's counter for over `capped_percent` of the time since an earlier sample, else in both samples, or in the
    only one. The power brake and heat are judged by gpu_thermal. A data centre board that does not tell its power is
    unknown (DCGM warns).
    """
    told = [gpu for gpu in gpus if _is_told(gpu)]
    blind = [(gpu, why) for gpu in gpus if (why := _blind(gpu))]
    seconds = before.seconds_to(gpus.at)
    lowered = [gpu for gpu in told if _is_lowered(gpu, limit_percent)]
    found = [*_lowered(lowered, len(gpus.gpus), processes)]
    for gpu in gpus:
        was = before.fact.same(gpu) if before.fact and seconds > 0 else None
        if _is_far(gpu, far_percent, loaded_percent) and (
            since := _since(gpu, was, seconds, far_percent, capped_percent)
        ):
            what = f"capped at {gpu.power_w:.0f} W while busy, although its limit is {gpu.power_limit_w:.0f} W: {since}"
            found.append(_finding(gpu, "far", what, FAR, processes))
    if not told and not found and not blind and not gpus.lost:
        raise NothingHere("the power limit of the GPUs beside its default is not told here")
    yield from found
    for gpu, words in blind:
        yield unknown(f"its power: {words}", subject=gpu.label, code="unseen", advice=XID, evidence=[gpu.line])
    for subject, what, advice, code in gpus.gaps("what power it may draw", told, "power_mw", "power_limit_mw"):
        yield unknown(what, subject=subject or "host", advice=advice, code=code)


def _is_told(gpu: Gpu) -> bool:
    """Whether it tells its power, and both its limit and the default of that where they are offered."""
    has_power = gpu.power_w is not None or gpu.power_limit_w is not None
    return has_power and not gpu.leaves_out("power_limit_w", "power_default_w")


def _blind(gpu: Gpu) -> str:
    """Why a board that should tell its power does not."""
    code = gpu.errors.get("power_mw")
    if gpu.power_w is not None or code is None:
        return ""
    if code in NOT_OFFERED and (not gpu.name or not gpu.has_hbm or gpu.is_passed_through):
        return ""
    return in_words(code)


def _is_lowered(gpu: Gpu, percent: int) -> bool:
    if gpu.is_laptop or not gpu.power_limit_w or not gpu.power_default_w:
        return False
    return 100 * gpu.power_limit_w < percent * gpu.power_default_w


def _lowered(gpus: list[Gpu], count: int, processes: GpuProcesses | None) -> Iterator[Finding]:
    if len(gpus) == count > 1 and len({(gpu.power_limit_w, gpu.power_default_w) for gpu in gpus}) == 1:
        one = gpus[0]
        yield (ok if one.is_consumer else warning)(
            f"all {count} GPUs are limited to {one.power_limit_w:.0f} W, their default is {one.power_default_w:.0f} W",
            code="limit",
            advice=_advice(RAISE, one, several=True),
            covers=[gpu.label for gpu in gpus],
            hurts=processes.hurts(*(gpu.id for gpu in gpus)) if processes else (),
            metrics={"power_limit_w": one.power_limit_w, "power_default_w": one.power_default_w},
            evidence=[gpu.line for gpu in gpus[:2]],
        )
        return
    for gpu in gpus:
        what = f"limited to {gpu.power_limit_w:.0f} W, its default is {gpu.power_default_w:.0f} W"
        yield _finding(gpu, "limit", what, RAISE, processes)


def _is_far(gpu: Gpu, percent: int, loaded: int) -> bool:
    if gpu.is_laptop or not gpu.has(POWER_CAP) or gpu.has(OTHER) or (gpu.utilization or 0) < loaded:
        return False
    return bool(gpu.power_w and gpu.power_limit_w) and 100 * (gpu.power_w or 0) < percent * (gpu.power_limit_w or 0)


def _since(gpu: Gpu, was: Gpu | None, seconds: float, percent: int, capped: int) -> str:
    """For how long, or nothing where it was but for a moment."""
    if was is None:
        return "no earlier sample says since when"
    now, then = gpu.slowed.power_cap_ns, was.slowed.power_cap_ns
    if now is not None and then is not None:
        held = (now - then if now >= then else now) / 1e9
        return f"for {span(min(held, seconds))} of the last {span(seconds)}" if 100 * held > capped * seconds else ""
    return f"{span(seconds)} ago as well" if _is_far(was, percent, 0) else ""


def _advice(advice: str, gpu: Gpu, *, several: bool = False) -> str:
    advice = advice.replace(" -i {pci}", f" -i {gpu.pci}" if gpu.pci and not several else "")
    return advice.replace("{watts}", f"{gpu.power_default_w:.0f}" if gpu.power_default_w else "WATTS")


def _finding(gpu: Gpu, code: str, what: str, advice: str, processes: GpuProcesses | None) -> Finding:
    is_note = code == "limit" and gpu.is_consumer
    return (ok if is_note else warning)(
        what,
        subject=gpu.label,
        code=code,
        advice=_advice(advice, gpu),
        params={"GPU": gpu.pci} if gpu.pci else {},
        metrics={"power_w": gpu.power_w, "power_limit_w": gpu.power_limit_w, "power_default_w": gpu.power_default_w},
        hurts=processes.hurts(gpu.id) if processes and not is_note else (),
        evidence=[gpu.line],
    )
