"""Jobs that keep their GPUs busy with waiting."""

from collections.abc import Iterable, Iterator

from mlopsdoc import Before, Finding, NothingHere, check, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcess, GpuProcesses
from mlopsdoc.facts.gpus import Gpu, Gpus
from mlopsdoc.facts.quantities import span

MB = 1_000_000
ADVICE = (
    "see where its processes stand (`sudo py-spy dump --pid {pid}`), read the end of its log (NCCL timeouts), look at "
    "the other hosts of the job: one rank died or waits; steps in the runbook"
)


@check(
    area="gpu",
    title="Busy GPUs do something",
    params=("GPU", "PID"),
    explained_by=(
        "gpu_presence",
        "driver_stack",
        "gpu_xid",
        "nvlink_errors",
        "nvlink_links",
    ),
)
def gpu_hang(
    gpus: Gpus,
    before: Before[Gpus],
    processes: GpuProcesses | None,
    *,
    busy_percent: int = 95,
    memory_percent: int = 5,
    power_percent: int = 25,
    clock_percent: int = 70,
    traffic_mb_s: int = 300,
    floor_s: float = 240.0,
    started_s: float = 1800.0,
) -> Iterator[Finding]:
    """A collective that waits for a rank that is gone spins: full use and clock, hardly any memory access, power or
    PCIe traffic. To every monitor that looks at use alone the job seems well.

    The figures are sichek's: use above `busy_percent`, memory below `memory_percent`, 100 W of 400 W and 160 W of 700 W
    (`power_percent` of the limit), high clock, less than `traffic_mb_s` over PCIe. Ranks wait for good reasons too: for
    one that writes a checkpoint, compiles or starts. So all of it must hold in two samples `floor_s` or more apart, the
    average power between them (NVML's energy counter) must be as low where it is counted, it must be so on every GPU
    of the job and on at least two, and the job must be older than `started_s`. Less than that is a note. One sample
    alone finds nothing.
    """
    if processes is None and not gpus.lost:
        raise NothingHere("which processes are on the GPUs is not told here")
    told = [gpu for gpu in gpus if gpu.utilization is not None and gpu.power_w is not None]
    if not gpus.lost and not told:
        raise NothingHere("how busy the GPUs are and what they draw is not told here")
    seconds = before.seconds_to(gpus.at)
    spinning = {gpu.id for gpu in gpus if _spins(gpu, busy_percent, memory_percent, power_percent, clock_percent)}
    lasting: set[str] = set()
    for gpu in gpus:
        was = before.fact.same(gpu) if before.fact else None
        if gpu.id in spinning and was and seconds >= floor_s:
            is_same = _spins(was, busy_percent, memory_percent, power_percent, clock_percent)
            if is_same and _did_little(gpu, was, seconds, power_percent, traffic_mb_s):
                lasting.add(gpu.id)
    for job, its in _jobs(processes.processes if processes else ()).items():
        places = {process.pci for process in its}
        if not places <= spinning:
            continue
        them = [gpu for gpu in gpus if gpu.id in places]
        age = _age(its, processes.now if processes else 0.0)
        is_sure = places <= lasting and len(places) > 1 and age is not None and age > started_s
        yield _finding(job, them, its, seconds if places <= lasting else 0.0, is_sure)
    for subject, what, advice, code in gpus.gaps("whether a job hangs", told, "utilization", "power_mw"):
        yield unknown(what, subject=subject or "host", advice=advice, code=code)


def _spins(gpu: Gpu, busy: int, memory: int, power: int, clock: int) -> bool:
    limit = gpu.power_default_w or gpu.power_limit_w
    if gpu.utilization is None or gpu.memory_use is None or not gpu.power_w or not limit or gpu.has_display:
        return False
    is_fast = not gpu.sm_mhz or not gpu.sm_max_mhz or 100 * gpu.sm_mhz >= clock * gpu.sm_max_mhz
    return gpu.utilization > busy and gpu.memory_use < memory and 100 * gpu.power_w < power * limit and is_fast


def _did_little(gpu: Gpu, was: Gpu, seconds: float, power: int, traffic_mb_s: int) -> bool:
    """Between the samples as well, where it is counted; counts that fell began anew: something happened."""
    limit = gpu.power_default_w or gpu.power_limit_w or 0.0
    if gpu.energy_mj is not None and was.energy_mj is not None:
        watts = (gpu.energy_mj - was.energy_mj) / 1000 / seconds
        if not 0 <= 100 * watts < power * limit:
            return False
    if gpu.pcie_bytes is not None and was.pcie_bytes is not None:
        return 0 <= gpu.pcie_bytes - was.pcie_bytes < traffic_mb_s * MB * seconds
    return True


def _jobs(processes: Iterable[GpuProcess]) -> dict[str, list[GpuProcess]]:
    """By job, else by user and command: a job without a scheduler starts one program many times."""
    found: dict[str, list[GpuProcess]] = {}
    for process in processes:
        words = f"{process.command.split(' ')[0]} of {process.user or 'an unknown user'}"
        found.setdefault(f"job {process.job}" if process.job else words, []).append(process)
    return found


def _age(its: list[GpuProcess], now: float) -> float | None:
    starts = [process.started for process in its]
    known = [start for start in starts if start is not None]
    return now - max(known) if now and len(known) == len(starts) else None


def _finding(job: str, gpus: list[Gpu], its: list[GpuProcess], seconds: float, is_sure: bool) -> Finding:
    watts = sum(gpu.power_w or 0 for gpu in gpus) / len(gpus)
    use = min(gpu.utilization or 0 for gpu in gpus)
    since = f"for {span(seconds)} at least" if seconds else "at this moment"
    many, each = ("a GPU", "") if len(gpus) == 1 else (f"{len(gpus)} GPUs", " each")
    what = f"{job} keeps {many} busy ({use} %) {since} and does nothing: {watts:.0f} W{each}, no memory access"
    first = min(its, key=lambda process: process.pid)
    return (warning if is_sure else ok)(
        what + (": it hangs, or waits for another host" if is_sure else "; it may wait for a good reason"),
        code="spins",
        advice=ADVICE.replace("{pid}", str(first.pid)),
        covers=[gpu.label for gpu in gpus],
        params={"PID": str(first.pid), **({"GPU": gpus[0].pci} if gpus[0].pci else {})},
        metrics={"gpus": len(gpus), "power_w": round(watts, 1)},
        hurts=GpuProcesses(tuple(its)).hurts(*(gpu.id for gpu in gpus)) if is_sure else (),
        evidence=[gpu.line for gpu in gpus[:2]],
    )
