"""GPU slowed down by heat, or close to it."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlopsdoc import Before, Finding, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpus import (
    HW_SLOWDOWN,
    HW_THERMAL,
    IDLE,
    POWER_BRAKE,
    SW_THERMAL,
    VGPU_GUEST,
    Gpu,
    Gpus,
)
from mlopsdoc.facts.nvml import DAMAGED, NOT_OFFERED, XID, in_words

Level = Callable[..., Finding]
FLAGS = {"hw_thermal": HW_THERMAL, "power_brake": POWER_BRAKE}
# The newer count of each reason, and the older one of both kinds of heat.
COUNTERS = {
    "hw_thermal": ("hw_thermal_ns",),
    "sw_thermal": ("sw_thermal_ns", "thermal_ns"),
    "power_brake": ("power_brake_ns",),
}
REASONS = {
    "hw_thermal": "slowed down by the hardware because of heat",
    "power_brake": "slowed down by a power brake from outside, not by heat",
}
RANK: list[Level] = [ok, warning, critical]
LOOK = "look at it with `nvidia-smi -q -i {pci} -d TEMPERATURE,PERFORMANCE,POWER`"
COOL = "check inlet temperature and fans (`ipmitool sdr type Temperature`, `ipmitool sdr type Fan`), "
ADVICE = {
    "hw_thermal": COOL + "then cap its power while you find the cause: steps in the runbook",
    "sw_thermal": COOL + "then cap its power if it goes on: steps in the runbook",
    "power_brake": "this is not heat: a power supply, the BMC or the rack asks the GPU to slow down; "
    "look at `ipmitool sdr type 'Power Supply'` and `ipmitool sel elist | tail -20`",
    "hw_slowdown": LOOK + "; at the power supplies too",
    "near_limit": COOL + "before it slows down: steps in the runbook",
    "memory_temperature": COOL + "then cap its power: steps in the runbook",
    "hotter_than_siblings": "the room is not the cause, this GPU's own cooling is: airflow, dust, heat sink or "
    "cold plate, the fan before it; steps in the runbook",
    "margin_misread": "compare with `nvidia-smi -q -i {pci} -d TEMPERATURE`; a newer driver or VBIOS may mend it",
}


class Held(NamedTuple):
    """How long one reason held the clocks back: `s` of the last `of_s` seconds."""

    s: float
    of_s: float

    @property
    def percent(self) -> float:
        return 100 * self.s / self.of_s


class Heat(NamedTuple):
    """One judgement before it becomes a finding."""

    level: Level
    code: str
    summary: str


@check(area="gpu", title="GPUs run at full clock, not slowed by heat", params=("GPU",), explains=("gpu_clocks",))
def gpu_thermal(
    gpus: Gpus,
    before: Before[Gpus],
    processes: GpuProcesses | None,
    *,
    hw_floor_ms: int = 1,
    sw_warning_percent: float = 1.0,
    sw_critical_percent: float = 10.0,
    recent_min: int = 60,
    margin_warning_c: int = 5,
    margin_believed_from_c: int = 75,
    memory_warning_c: int = 90,
    memory_critical_c: int = 95,
    sibling_warning_c: int = 12,
    load_percent: int = 50,
) -> Iterator[Finding]:
    """A GPU past its slowdown temperature drops its clocks, and every rank of the job waits for it.

    Slowdown is judged by NVML's counters (fields 269-271, ns) over the time since an earlier sample, not by one
    look at the flags; without an earlier sample a flag that is set says "now", and totals since the driver was
    loaded are a note. HW thermal slowdown halves the clocks or worse (nvml.h): critical when it grew by
    `hw_floor_ms` (a watch that alarms on one nanosecond was found active on 69 % of a fleet, NVSentinel issue
    1666); a warning when it is over and the sample older than `recent_min`. SW thermal slowdown: above
    `sw_warning_percent` and `sw_critical_percent` of the time. A power brake is not heat and has its own code.
    HW slowdown that names neither also flashes when the performance state changes: it counts only in two samples.

    Close to the limit: `margin_warning_c` left of the margin (T.Limit, Hopper and Ada data centre boards and
    newer; smaller is hotter, the limit is field 196) or of the max operating temperature (Ampere and older);
    critical at 0. Some H100 report a margin of 0 or less wrongly (GPUd leaves its margin alarm off for that). A
    margin that says "at the limit" must show as a thermal flag, hot memory, or a hot core: below
    `margin_believed_from_c` (sichek warns at 75) without any of them it is a note. GeForce and laptop boards are
    built to run into their limit: only reaching it counts, and as a warning.

    HBM: `memory_warning_c` and `memory_critical_c` (A100: memory max 95). Siblings: hotter than the median of at
    least two GPUs of the same kind at the same load by more than `sibling_warning_c`, in both samples; loaded is
    `load_percent` or more. Idle, SW power cap, application clocks, sync boost and display are not heat.

    Output of nvidia-smi may tell less: by temperatures alone no GPU is found well, for one that is slowed down may
    have cooled by that; by the reasons alone it is.
    """
    seconds = gpus.seconds_since(before)
    judged = 0
    for gpu in gpus:
        was = before.fact.same(gpu) if before.fact and seconds > 0 else None
        excess = _excess(gpu, gpus, load_percent)
        if excess is not None and before.fact and was:
            earlier = _excess(was, before.fact, load_percent)
            excess = min(excess, earlier) if earlier is not None else None
        beside = excess if excess is not None and excess > sibling_warning_c else None
        near = _near(gpu, margin_warning_c, margin_believed_from_c, memory_warning_c)
        memory = _memory(gpu, memory_warning_c, memory_critical_c)
        held = {code: _held(gpu, was, names, seconds) for code, names in COUNTERS.items()}
        slow = (
            _hardware(gpu, "hw_thermal", held["hw_thermal"], hw_floor_ms, recent_min, sw_warning_percent)
            or _software(gpu, held["sw_thermal"], sw_warning_percent, sw_critical_percent)
            or _unnamed(gpu, was, seconds, recent_min)
        )
        brake = _hardware(gpu, "power_brake", held["power_brake"], hw_floor_ms, recent_min, sw_warning_percent)
        for heat in _worth_saying(slow, near, memory, brake, _beside(gpu, beside)):
            yield _finding(gpu, heat, processes, held.get(heat.code), beside)
        if blind := _blind(gpu):
            yield unknown(
                blind,
                subject=gpu.label,
                code="unseen",
                advice=XID,
                params={"GPU": gpu.pci},
                evidence=[gpu.line],
            )
        judged += not _is_mute(gpu)
    if gap := [gpu for gpu in gpus if "reasons" in gpu.untold]:
        yield _gap(gap)
    if gpus.missing:
        every = gpus.missing + len(gpus.gpus) + len(gpus.lost)
        yield unknown(
            f"{gpus.missing} of {every} GPUs are missing in the output of nvidia-smi that is here", code="missing"
        )
    for lost in gpus.lost:
        yield unknown(
            f"cannot be judged: {lost.why}",
            subject=lost.label,
            code="lost",
            advice=XID,
            params={"GPU": lost.pci},
            evidence=[lost.line],
        )
    if not judged and not gpus.lost:
        raise NothingHere("virtual GPUs do not tell their temperature: the host that runs them knows it")


def _held(gpu: Gpu, was: Gpu | None, names: tuple[str, ...], seconds: float) -> Held | None:
    """By the first counter that both samples have. One that went back began anew when the driver was reloaded."""
    if was is None:
        return None
    for name in names:
        now, then = getattr(gpu.slowed, name), getattr(was.slowed, name)
        if now is not None and then is not None:
            return Held(min((now - then if now >= then else now) / 1e9, seconds), seconds)
    return None


def _hardware(
    gpu: Gpu, code: str, held: Held | None, floor_ms: int, recent_min: int, share_percent: float
) -> Heat | None:
    now, what = gpu.has(FLAGS[code]), REASONS[code]
    if held is None:
        if now:
            return Heat(critical, code, f"{what} now{_state(gpu)}; no earlier sample says since when")
        total = (getattr(gpu.slowed, COUNTERS[code][0]) or 0) / 1e9
        return (
            Heat(ok, code, f"{what} for {_lasting(total)} since the driver was loaded, not now") if total >= 1 else None
        )
    if held.s * 1000 < floor_ms:
        summary = f"{what} at this moment, not in the {_lasting(held.of_s)} before{_state(gpu)}"
        return Heat(warning, code, summary) if now else None
    is_recent = now or held.of_s <= recent_min * 60 or held.percent > share_percent
    summary = (
        f"{what} for {_lasting(held.s)} of the last {_lasting(held.of_s)}, {'still' if now else 'not'} now{_state(gpu)}"
    )
    return Heat(critical if is_recent else warning, code, summary)


def _software(gpu: Gpu, held: Held | None, warning_percent: float, critical_percent: float) -> Heat | None:
    what = "slowed down by the driver because of heat"
    if held is None:
        return Heat(warning, "sw_thermal", f"{what} now{_state(gpu)}") if gpu.has(SW_THERMAL) else None
    if held.percent <= warning_percent:
        return None
    for_how_long = f"{_lasting(held.s)} of the last {_lasting(held.of_s)} ({held.percent:.0f} %)"
    level = critical if held.percent > critical_percent and not gpu.is_laptop else warning
    return Heat(level, "sw_thermal", f"{what} for {for_how_long}{_state(gpu)}")


def _unnamed(gpu: Gpu, was: Gpu | None, seconds: float, recent_min: int) -> Heat | None:
    """HW slowdown in two samples, without the flags that tell heat from a power brake."""
    both = (gpu, was) if was and seconds <= recent_min * 60 else ()
    if not both or not all(g.has(HW_SLOWDOWN) and not g.has(IDLE | HW_THERMAL | POWER_BRAKE) for g in both if g):
        return None
    what = f"held back by the hardware now and {_lasting(seconds)} ago{_state(gpu)}"
    return Heat(warning, "hw_slowdown", f"{what}; it does not say whether for heat or for power")


def _near(gpu: Gpu, warning_c: int, believed_from_c: int, memory_warning_c: int) -> Heat | None:
    limits, celsius = gpu.limits, gpu.temperature_c
    if gpu.margin_c is not None:
        left = gpu.margin_c - (limits.gpu_max_offset_c or 0)
        limit = "where heat slows it down"
    elif limits.gpu_max_offset_c is None and celsius is not None and (most := limits.gpu_max_c or limits.slowdown_c):
        left = most - celsius
        limit = f"its {'max operating' if limits.gpu_max_c else 'slowdown'} temperature, {most} C"
    else:
        return None
    is_built_for_it = gpu.is_consumer or gpu.is_laptop
    if left > (0 if is_built_for_it else warning_c):
        return None
    is_hot = celsius is None or celsius >= believed_from_c or (gpu.memory_c or 0) >= memory_warning_c
    if gpu.margin_c is not None and not is_hot and not gpu.has(SW_THERMAL | HW_THERMAL):
        summary = f"reports a margin of {gpu.margin_c} C at {celsius} C with no thermal flag set: not believed"
        return Heat(ok, "margin_misread", summary)
    if left > 0:
        return Heat(warning, "near_limit", f"{left} C below {limit}{_state(gpu)}")
    past = f"{-left} C past {limit}" if left else f"at {limit}"
    return Heat(warning if is_built_for_it else critical, "near_limit", f"too hot: {past}{_state(gpu)}")


def _memory(gpu: Gpu, warning_c: int, critical_c: int) -> Heat | None:
    celsius = gpu.memory_c
    if celsius is None or celsius < warning_c or gpu.is_consumer or gpu.is_laptop:
        return None
    level = critical if celsius >= critical_c else warning
    return Heat(level, "memory_temperature", f"its memory is at {celsius} C, {critical_c} C is the most for HBM")


def _beside(gpu: Gpu, beside: int | None) -> Heat | None:
    if beside is None:
        return None
    what = f"{beside} C hotter than the other GPUs at the same load{_state(gpu)}"
    return Heat(warning, "hotter_than_siblings", what)


def _worth_saying(
    slow: Heat | None, near: Heat | None, memory: Heat | None, brake: Heat | None, beside: Heat | None
) -> list[Heat]:
    """The slowdown itself says that the limit is near; what comes with it is in its own sentence."""
    heat = [slow] if slow else []
    heat += [found for found in (near, memory) if found and (not heat or _rank(found) > _rank(heat[0]))]
    if beside and not any(_rank(found) for found in heat):
        heat.append(beside)
    return heat + ([brake] if brake else [])


def _rank(heat: Heat) -> int:
    return RANK.index(heat.level)


def _excess(gpu: Gpu, gpus: Gpus, load_percent: int) -> int | None:
    """How much hotter it is than the median of the GPUs of its kind at its load; None without two of them.

    Of two in the middle the hotter one counts.
    """
    if gpu.temperature_c is None or (_load(gpu) or 0) < load_percent:
        return None
    others = [g.temperature_c for g in gpus if g is not gpu and g.name == gpu.name and _same_load(g, gpu)]
    degrees = sorted(celsius for celsius in others if celsius is not None)
    return gpu.temperature_c - degrees[len(degrees) // 2] if len(degrees) >= 2 else None


def _load(gpu: Gpu) -> float | None:
    """Percent: by use, or by power where use is not told (MIG)."""
    if gpu.utilization is not None:
        return gpu.utilization
    return 100 * gpu.power_w / gpu.power_limit_w if gpu.power_w and gpu.power_limit_w else None


def _same_load(one: Gpu, other: Gpu) -> bool:
    """Within 20 points of use, and within 15 % of power where that is told."""
    load, wanted = _load(one), _load(other)
    if load is None or wanted is None or abs(load - wanted) > 20:
        return False
    return not one.power_w or not other.power_w or abs(one.power_w - other.power_w) <= 0.15 * other.power_w


def _blind(gpu: Gpu) -> str:
    """What could not be seen of this GPU although it should be there, or nothing."""
    wanted = {"temperature_c": "its temperature", "reasons": "what holds its clocks back", "margin_c": "its margin"}
    refused = {name: code for name, code in gpu.errors.items() if name in wanted and code not in NOT_OFFERED}
    if gpu.errors.get("memory_c") == DAMAGED:
        wanted["memory_c"] = "the temperature of its memory"
        refused["memory_c"] = DAMAGED
    if refused:
        codes = {in_words(code): None for code in refused.values()}
        return f"{', '.join(wanted[name] for name in refused)} could not be read: {', '.join(codes)}"
    is_blind = gpu.temperature_c is None and gpu.reasons is None and gpu.margin_c is None
    is_blind = is_blind and not _is_mute(gpu) and not gpu.untold
    return "tells neither its temperature nor what holds its clocks back" if is_blind else ""


def _gap(gpus: list[Gpu]) -> Finding:
    """Of these the output of nvidia-smi does not tell what holds their clocks back."""
    names = ", ".join(gpu.label for gpu in gpus) if len(gpus) <= 4 else f"{len(gpus)} GPUs"
    cold = all("temperature_c" in gpu.untold for gpu in gpus)
    what = "neither how hot they are nor what holds their clocks back" if cold else "what holds their clocks back"
    if len(gpus) == 1:
        what = what.replace("they are", "it is").replace("their", "its")
    return unknown(
        f"{names}: {what} is {'' if cold else 'not '}told by the output of nvidia-smi that is here",
        code="untold",
        advice="nvidia-smi -q -d PERFORMANCE,TEMPERATURE tells it",
        evidence=[gpu.line for gpu in gpus[:1]],
    )


def _is_mute(gpu: Gpu) -> bool:
    """A slice of a GPU in a virtual machine."""
    return gpu.virtualization == VGPU_GUEST and gpu.temperature_c is None and gpu.reasons is None


def _finding(gpu: Gpu, heat: Heat, processes: GpuProcesses | None, held: Held | None, beside: int | None) -> Finding:
    is_more = beside is not None and heat.level is not ok and heat.code not in ("hotter_than_siblings", "power_brake")
    advice = ADVICE[heat.code].replace(" -i {pci}", f" -i {gpu.pci}" if gpu.pci else "")
    return heat.level(
        heat.summary + (f"; {beside} C hotter than the other GPUs at the same load" if is_more else ""),
        subject=gpu.label,
        code=heat.code,
        advice=advice if heat.level is not ok or "misread" in heat.code else "",
        params={"GPU": gpu.pci},
        metrics={
            "temperature_c": gpu.temperature_c,
            "margin_c": gpu.margin_c,
            "memory_c": gpu.memory_c,
            "sm_mhz": gpu.sm_mhz,
            "held_percent": None if held is None else round(held.percent, 2),
        },
        hurts=processes.hurts(gpu.id) if processes and heat.level is not ok else (),
        evidence=[gpu.line],
    )


def _state(gpu: Gpu) -> str:
    """`` (91 C, margin -3 C, memory 88 C, 990 of 1980 MHz)``: as much of it as is known."""
    said = [
        "" if gpu.temperature_c is None else f"{gpu.temperature_c} C",
        "" if gpu.margin_c is None else f"margin {gpu.margin_c} C",
        "" if gpu.memory_c is None else f"memory {gpu.memory_c} C",
        "" if gpu.sm_mhz is None else f"{gpu.sm_mhz}{f' of {gpu.sm_max_mhz}' if gpu.sm_max_mhz else ''} MHz",
    ]
    return f" ({', '.join(filter(None, said))})" if any(said) else ""


def _lasting(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
