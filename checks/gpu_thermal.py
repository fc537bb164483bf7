"""GPU slowed down by heat, or close to it."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlopsdoc import Before, Finding, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpus import HW_SLOWDOWN, HW_THERMAL, IDLE, POWER_BRAKE, SW_THERMAL, VGPU_GUEST, Gpu, Gpus, Lost
from mlopsdoc.facts.nvml import NOT_OFFERED, XID, in_words
from mlopsdoc.facts.quantities import span

Level = Callable[..., Finding]
RANK: tuple[Level, ...] = (ok, warning, critical)
LOOK = "`nvidia-smi -q -i {pci} -d TEMPERATURE,PERFORMANCE,POWER`"
COOL = "check inlet temperature and fans (`sudo ipmitool sdr type Temperature`, `sudo ipmitool sdr type Fan`), "
CAP = COOL + "then cap its power while you find the cause: steps in the runbook"
COUNTED = "how long its clocks were held back"
# What must be readable where it is offered -> in words.
WANTED = {
    "temperature_c": "its temperature",
    "margin_c": "its margin",
    "memory_c": "the temperature of its memory",
    "reasons": "what holds its clocks back",
    **dict.fromkeys(("hw_thermal_ns", "sw_thermal_ns", "power_brake_ns"), COUNTED),
}


class Reason(NamedTuple):
    """Why clocks are held back: its flag, its counts (the newer first), its words. A hard one halves the clocks."""

    code: str
    flag: int
    counts: tuple[str, ...]
    words: str
    advice: str
    is_hard: bool


HW = Reason("hw_thermal", HW_THERMAL, ("hw_thermal_ns",), "slowed down by the hardware because of heat", CAP, True)
SW = Reason(
    "sw_thermal", SW_THERMAL, ("sw_thermal_ns", "thermal_ns"), "slowed down by the driver because of heat", CAP, False
)
BRAKE = Reason(
    "power_brake",
    POWER_BRAKE,
    ("power_brake_ns",),
    "slowed down by a power brake from outside (not by heat)",
    "a power supply, the BMC or the rack asks for it: look at `sudo ipmitool sdr type 'Power Supply'` and "
    "`sudo ipmitool sel elist | tail -20`; steps in the runbook",
    True,
)


class Bounds(NamedTuple):
    """Percent of the time that clocks may be held back; less than `floor_s` seconds is no more than a flicker."""

    floor_s: float
    warning: float
    critical: float


class Heat(NamedTuple):
    """One judgement before it becomes a finding."""

    level: Level
    code: str
    summary: str
    advice: str
    percent: float | None = None  # of the time that it was held back


@check(area="gpu", title="GPUs run at full clock, not slowed by heat", params=("GPU",), explains=("gpu_clocks",))
def gpu_thermal(
    gpus: Gpus,
    before: Before[Gpus],
    processes: GpuProcesses | None,
    *,
    slowdown_floor_s: float = 1.0,
    hw_warning_percent: float = 0.1,
    hw_critical_percent: float = 1.0,
    sw_warning_percent: float = 1.0,
    sw_critical_percent: float = 10.0,
    margin_warning_c: int = 5,
    margin_believed_from_c: int = 75,
    unlimited_max_c: int = 90,
    memory_warning_c: int = 90,
    memory_critical_c: int = 95,
    sibling_warning_c: int = 12,
    load_percent: int = 50,
) -> Iterator[Finding]:
    """A GPU past its slowdown temperature drops its clocks, and every rank of the job waits for it.

    Slowdown is judged by the share of the time since an earlier sample that NVML's counters (fields 269-271, ns)
    gained. HW thermal slowdown and the power brake halve the clocks or worse (nvml.h) and count when they persist:
    critical above `hw_critical_percent`, or set now and above `hw_warning_percent`; else a warning when set now or
    above `hw_warning_percent`. Less than `slowdown_floor_s` is a flicker: DCGM alarms on one nanosecond, and that
    was found active on 69 % of a fleet (NVSentinel issue 1666), while peers ask for 3 polls of 15 s (NVSentinel) to 6
    of 10 minutes (GPUd). Where nothing is counted, set in both samples is what persists. One look alone, without
    an earlier sample, is a warning, and critical where the temperature bears it out. SW thermal slowdown:
    `sw_warning_percent`, `sw_critical_percent`. A power brake is not heat; on several GPUs at once it is one finding
    on the host, for its cause is there, and so is heat that all of more than two have. HW slowdown that names neither
    also flashes when the performance state changes: it counts only in two samples. A laptop is never critical.

    Close to the limit: `margin_warning_c` left of the margin (T.Limit, Hopper and Ada data centre boards and
    newer; smaller is hotter, the limit is field 196) or of the max operating temperature (Ampere and older);
    critical at 0. Where neither can be seen (NVML tells no margin before R555 or so) `unlimited_max_c` stands for
    the limit: A100, H100 and H200 slow down at 89 C; on boards without HBM, whose limits differ, only reaching it
    counts, and as a warning. A margin and a temperature may contradict each other, as on some
    H100 (GPUd leaves its margin alarm off for that). A margin that says "at the limit" must show as a thermal flag,
    hot memory, or a hot core: below `margin_believed_from_c` (sichek warns at 75) without any of them it is a note.
    One that says "far from it" at `unlimited_max_c` (with HBM) is a warning. GeForce and laptop boards are built to
    run into their limit: only reaching it counts, and as a warning.

    HBM: hot from `margin_warning_c` below the limit that the board tells (A100: 95, V100: 85), critical at it; by
    `memory_warning_c` and `memory_critical_c` where it tells none (95 is usual). GDDR is not judged. Siblings:
    hotter than the median of at least two GPUs of the same kind at the same load by more than `sibling_warning_c`, in
    both samples, and not a third of them as well (the second row of the air is warmer by design); loaded is
    `load_percent` or more. Idle, SW power cap, application clocks, sync boost and display are not heat.

    Output of nvidia-smi may tell less: by temperatures alone no GPU is found well, for one that is slowed down may
    have cooled by that; by the reasons alone it is.
    """
    seconds = before.seconds_to(gpus.at)
    hard = Bounds(slowdown_floor_s, hw_warning_percent, hw_critical_percent)
    soft = Bounds(slowdown_floor_s, sw_warning_percent, sw_critical_percent)
    braked: list[tuple[Gpu, Heat]] = []
    hot: list[tuple[Gpu, Heat, int | None]] = []
    blinds: list[Finding] = []
    for gpu in gpus:
        was = before.fact.same(gpu) if before.fact and seconds > 0 else None
        beside = _excess(gpu, gpus, load_percent)
        if beside is not None and before.fact and was:
            beside = min(beside, _excess(was, before.fact, load_percent) or 0)
        beside = beside if beside is not None and beside > sibling_warning_c else None
        near = _near(gpu, margin_warning_c, margin_believed_from_c, unlimited_max_c, memory_warning_c)
        memory = _memory(gpu, margin_warning_c, memory_warning_c, memory_critical_c)
        hw = _held_back(HW, gpu, was, seconds, hard)
        if hw and not was and near and near.level is critical:
            hw = hw._replace(level=critical)
        sw = _held_back(SW, gpu, was, seconds, soft)
        for heat in _worth_saying(max(hw, sw, _unnamed(gpu, was, seconds), key=_rank), near, memory, beside):
            hot.append((gpu, heat, beside))
        if brake := _held_back(BRAKE, gpu, was, seconds, hard):
            braked.append((gpu, brake))
        if blind := _blind(gpu):
            blinds.append(_unseen(blind, "unseen", gpu))
    yield from _hot(hot, len(gpus.gpus), processes)
    yield from blinds
    yield from _braked(braked, processes)
    if gap := [gpu for gpu in gpus if "reasons" in gpu.untold]:
        yield _gap(gap)
    if gpus.missing:
        every = gpus.missing + len(gpus.gpus) + len(gpus.lost)
        yield unknown(
            f"{gpus.missing} of {every} GPUs are missing in the output of nvidia-smi that is here", code="missing"
        )
    elif gpus.is_part:
        yield unknown(
            "only a part of what nvidia-smi says is here: whether there are other GPUs is not known",
            code="missing",
            advice="nvidia-smi -L names them all",
        )
    for lost in gpus.lost:
        yield _unseen(f"cannot be judged: {lost.why}", "lost", lost)
    if not gpus.lost and all(map(_is_mute, gpus)):
        raise NothingHere("virtual GPUs do not tell their temperature: the host that runs them knows it")


def _held(gpu: Gpu, was: Gpu | None, counts: tuple[str, ...]) -> float | None:
    """Seconds, by the first counter that both samples have; one that went back began anew with the driver."""
    if was is None:
        return None
    for name in counts:
        now, then = getattr(gpu.slowed, name), getattr(was.slowed, name)
        if now is not None and then is not None:
            return float(now - then if now >= then else now) / 1e9
    return None


def _held_back(reason: Reason, gpu: Gpu, was: Gpu | None, seconds: float, bounds: Bounds) -> Heat | None:
    """By the share of the time, where it is counted; else by what is set now, and was."""
    now, held = gpu.has(reason.flag), _held(gpu, was, reason.counts)
    percent = None if held is None else 100 * min(held / seconds, 1.0)
    share = percent if held and percent and held >= bounds.floor_s else 0.0
    persists = now and (was is not None and was.has(reason.flag) if held is None else share > bounds.warning)
    if share <= bounds.warning and not (now and (reason.is_hard or held is None)):
        return None
    if held is None:
        then = f"{'and' if persists else 'not'} {span(seconds)} ago" if was else "no earlier sample says since when"
        how = f"now{' ' if persists else ', '}{then}"
    elif share:
        how = f"for {span(min(held, seconds))} of the last {span(seconds)}"
        how += f", {'still' if now else 'not'} now" if reason.is_hard else f" ({share:.0f} %)"
    else:
        how = f"at this moment, not for long in the {span(seconds)} before"
    is_critical = (share > bounds.critical or (persists and reason.is_hard)) and not gpu.is_laptop
    level, rounded = critical if is_critical else warning, None if percent is None else round(percent, 2)
    return Heat(level, reason.code, f"{reason.words} {how}", reason.advice, rounded)


def _unnamed(gpu: Gpu, was: Gpu | None, seconds: float) -> Heat | None:
    """HW slowdown in two samples, without the flags that tell heat from a power brake."""
    if was is None or not all(g.has(HW_SLOWDOWN) and not g.has(IDLE | HW_THERMAL | POWER_BRAKE) for g in (gpu, was)):
        return None
    what = f"held back by the hardware now and {span(seconds)} ago, it does not say whether for heat or for power"
    return Heat(warning, "hw_slowdown", what, f"look at it with {LOOK}; at the power supplies too")


def _near(gpu: Gpu, warning_c: int, believed_from_c: int, unlimited_c: int, memory_warning_c: int) -> Heat | None:
    margin, celsius = gpu.margin_c, gpu.temperature_c
    is_built_for_it, is_hbm = gpu.is_consumer or gpu.is_laptop, bool(gpu.name) and gpu.has_hbm
    if margin is not None:
        left, limit = margin - (gpu.limits.gpu_max_offset_c or 0), "where heat slows it down"
    elif celsius is None:
        return None
    elif most := gpu.limits.gpu_max_c or gpu.limits.slowdown_c:
        left, limit = (
            most - celsius,
            f"its {'max operating' if gpu.limits.gpu_max_c else 'slowdown'} temperature, {most} C",
        )
    else:
        left, limit = unlimited_c - celsius, f"{unlimited_c} C; its own limit and margin cannot be seen"
        is_built_for_it = not is_hbm
    compare = f"compare with {LOOK}; a newer driver or VBIOS may mend it"
    if left > (0 if is_built_for_it else warning_c):
        if margin is None or celsius is None or celsius < unlimited_c or not is_hbm:
            return None
        return Heat(warning, "margin_misread", f"{celsius} C and a margin of {margin} C contradict each other", compare)
    is_hot = celsius is None or celsius >= believed_from_c or (gpu.memory_c or 0) >= memory_warning_c
    if margin is not None and not is_hot and not gpu.has(SW_THERMAL | HW_THERMAL):
        summary = f"reports a margin of {margin} C at {celsius} C with no thermal flag set: not believed"
        return Heat(ok, "margin_misread", summary, compare)
    if left > 0:
        advice = COOL + "before it slows down: steps in the runbook"
        return Heat(warning, "near_limit", f"{left} C below {limit}", advice)
    past = f"{-left} C past {limit}" if left else f"at {limit}"
    return Heat(warning if is_built_for_it else critical, "near_limit", f"too hot: {past}", CAP)


def _memory(gpu: Gpu, margin_c: int, warning_c: int, critical_c: int) -> Heat | None:
    own = gpu.limits.memory_max_c
    hot, most = (own - margin_c, own) if own else (warning_c, critical_c)
    if gpu.memory_c is None or gpu.memory_c < hot or not gpu.has_hbm:
        return None
    summary = f"its memory is at {gpu.memory_c} C, {most} C is {'its limit' if own else 'the most for HBM'}"
    return Heat(critical if gpu.memory_c >= most else warning, "memory_temperature", summary, CAP)


def _worth_saying(slow: Heat | None, near: Heat | None, memory: Heat | None, beside: int | None) -> list[Heat]:
    """The slowdown itself says that the limit is near; what comes with it is in its own sentence."""
    heat = [slow] if slow else []
    heat += [found for found in (near, memory) if found and (not slow or _rank(found) > _rank(slow))]
    if beside is not None and all(found.level is ok for found in heat):
        what = f"{beside} C hotter than the other GPUs at the same load"
        advice = (
            "the room is not the cause, this GPU's own cooling is: airflow, dust, heat sink or cold plate, the fan "
            "before it; steps in the runbook"
        )
        heat.append(Heat(warning, "hotter_than_siblings", what, advice))
    return heat


def _rank(heat: Heat | None) -> int:
    return RANK.index(heat.level) if heat else -1


def _excess(gpu: Gpu, gpus: Gpus, load_percent: int) -> int | None:
    """How much hotter it is than the median of the GPUs of its kind at its load; None without two of them.

    Of two in the middle the hotter one counts. None too where a third of the others or more are as hot (nearer to it
    than to the median): those stand in the second row of the air, as they were built.
    """
    if gpu.temperature_c is None or (_load(gpu) or 0) < load_percent:
        return None
    others = [g.temperature_c for g in gpus if g is not gpu and g.name == gpu.name and _same_load(g, gpu)]
    degrees = sorted(celsius for celsius in others if celsius is not None)
    if len(degrees) < 2:
        return None
    excess = gpu.temperature_c - degrees[len(degrees) // 2]
    as_hot = sum(gpu.temperature_c - celsius < excess / 2 for celsius in degrees)
    return None if 3 * as_hot >= len(degrees) else excess


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
    refused = {name: gpu.errors[name] for name in WANTED if gpu.errors.get(name, NOT_OFFERED[0]) not in NOT_OFFERED}
    if not gpu.has_hbm:
        refused.pop("memory_c", None)
    if refused:
        what = dict.fromkeys(WANTED[name] for name in refused)
        return f"{', '.join(what)} could not be read: {', '.join(dict.fromkeys(map(in_words, refused.values())))}"
    counts = (getattr(gpu.slowed, name) for reason in (HW, SW, BRAKE) for name in reason.counts)
    if gpu.reasons is not None or any(count is not None for count in counts):
        return ""
    if "reasons" in gpu.untold or gpu.virtualization == VGPU_GUEST:
        return ""
    cold = "" if gpu.temperature_c is not None or gpu.margin_c is not None else "its temperature, "
    return f"tells neither {cold}what holds its clocks back nor how long that did"


def _names(gpus: list[Gpu]) -> str:
    return ", ".join(gpu.label for gpu in gpus) if len(gpus) <= 4 else f"{len(gpus)} GPUs"


def _gap(gpus: list[Gpu]) -> Finding:
    """Of these the output of nvidia-smi does not tell what holds their clocks back."""
    cold = all("temperature_c" in gpu.untold for gpu in gpus)
    what = "neither how hot they are nor what holds their clocks back" if cold else "what holds their clocks back"
    if len(gpus) == 1:
        what = what.replace("they are", "it is").replace("their", "its")
    return unknown(
        f"{_names(gpus)}: {what} is {'' if cold else 'not '}told by the output of nvidia-smi that is here",
        code="untold",
        advice="nvidia-smi -q -d PERFORMANCE,TEMPERATURE tells it",
        evidence=[gpu.line for gpu in gpus[:1]],
    )


def _is_mute(gpu: Gpu) -> bool:
    """A slice of a GPU in a virtual machine."""
    return gpu.virtualization == VGPU_GUEST and gpu.temperature_c is None and gpu.reasons is None


def _unseen(what: str, code: str, gpu: Gpu | Lost) -> Finding:
    return unknown(what, subject=gpu.label, code=code, advice=XID, params={"GPU": gpu.pci}, evidence=[gpu.line])


def _hot(hot: list[tuple[Gpu, Heat, int | None]], count: int, processes: GpuProcesses | None) -> Iterator[Finding]:
    """By GPU; what all of several have at once is one finding, of the host's fans or its room."""
    codes = Counter(heat.code for _, heat, _ in hot if heat.level is not ok)
    common = [code for code, times in codes.items() if times == count > 2]
    for gpu, heat, beside in hot:
        if heat.code not in common:
            yield _finding(gpu, heat, processes, beside)
    for code in common:
        same = [(gpu, heat) for gpu, heat, _ in hot if heat.code == code]
        worst, heat = max(same, key=lambda one: (_rank(one[1]), one[1].percent or 0, one[0].temperature_c or 0))
        yield heat.level(
            f"all {count} GPUs, {worst.label} most of all: {heat.summary}{_state(worst)}",
            code=code,
            advice=heat.advice.replace(" -i {pci}", ""),
            covers=[gpu.label for gpu, _ in same],
            params={"GPU": worst.pci},
            metrics={"gpus": count, "temperature_c": worst.temperature_c, "held_percent": heat.percent},
            hurts=processes.hurts(*(gpu.id for gpu, _ in same)) if processes else (),
            evidence=[gpu.line for gpu, _ in same[:3]],
        )


def _braked(braked: list[tuple[Gpu, Heat]], processes: GpuProcesses | None) -> Iterator[Finding]:
    """One GPU for itself; several at once are slowed down by the power of the host."""
    if len(braked) == 1:
        yield _finding(*braked[0], processes, None)
    elif braked:
        gpus = [gpu for gpu, _ in braked]
        worst = max((heat for _, heat in braked), key=lambda heat: (_rank(heat), heat.percent or 0))
        yield worst.level(
            f"{_names(gpus)} are {worst.summary}",
            code=worst.code,
            advice=worst.advice,
            covers=[gpu.label for gpu in gpus],
            metrics={"gpus": len(gpus), "held_percent": worst.percent},
            hurts=processes.hurts(*(gpu.id for gpu in gpus)) if processes else (),
            evidence=[gpu.line for gpu in gpus],
        )


def _finding(gpu: Gpu, heat: Heat, processes: GpuProcesses | None, beside: int | None) -> Finding:
    is_more = beside is not None and heat.level is not ok and heat.code != "hotter_than_siblings"
    return heat.level(
        heat.summary + _state(gpu) + (f"; {beside} C hotter than the other GPUs at the same load" if is_more else ""),
        subject=gpu.label,
        code=heat.code,
        advice=heat.advice.replace(" -i {pci}", f" -i {gpu.pci}" if gpu.pci else ""),
        params={"GPU": gpu.pci},
        metrics={
            "temperature_c": gpu.temperature_c,
            "margin_c": gpu.margin_c,
            "memory_c": gpu.memory_c,
            "sm_mhz": gpu.sm_mhz,
            "held_percent": heat.percent,
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
