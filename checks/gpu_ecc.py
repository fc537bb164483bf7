"""Memory errors of GPUs: uncorrectable ones, those of SRAM past their threshold, corrected ones in a storm, ECC off."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlopsdoc import Before, Finding, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_health import GpuHealth, GpuHealths
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.quantities import span

Level = Callable[..., Finding]
SINCE, EVER = "ecc_uncorrected_volatile", "ecc_uncorrected_aggregate"
PLACES = ("sram", "dram", "total")
VOLATILE = tuple(f"{SINCE}_{place}" for place in PLACES)
NAMES = (
    "ecc_now", *VOLATILE, *(f"{EVER}_{place}" for place in PLACES), "sram_threshold", "unrepairable", "channel_repair",
    "tpc_repair", "retired_dbe", "retired_sbe", "retired_pending",
)  # fmt: skip
SAVE = "save the evidence (`sudo nvidia-bug-report.sh`)"
RESET = (
    f"{SAVE}, let no new job start on it, then `sudo nvidia-smi --gpu-reset -i {{}}` or reboot: steps in the runbook"
)
REPLACE = f"take it out of service, {SAVE}, run the field diagnostics and call the vendor to exchange it: runbook"


class Limits(NamedTuple):
    """The thresholds of gpu_ecc."""

    corrected_per_s: float
    sram_lifetime: int
    retired_pages: int


@check(
    area="gpu",
    title="GPUs have ECC on and no uncorrectable memory error",
    params=("GPU",),
    explains=("gpu_recovery",),
    explained_by=("driver_stack", "gpu_presence", "gpu_row_remap"),
)
def gpu_ecc(
    health: GpuHealths,
    before: Before[GpuHealths],
    processes: GpuProcesses | None,
    *,
    corrected_per_s: float = 1000.0,
    sram_lifetime: int = 4,
    retired_pages: int = 60,
) -> Iterator[Finding]:
    """An uncorrectable error ends a job, or spoils its numbers where ECC is off.

    Critical: uncorrectable errors since the driver was loaded (the counters that a reset clears; DCGM, gcm and IMB
    fail on them), the driver's own SRAM threshold, memory that cannot be repaired. Errors of an earlier life are
    history and a note: alarms on them were taken back (GPUd issue 108); whether the row was replaced, gpu_row_remap
    tells. Where the SRAM threshold is not told, more than `sram_lifetime` uncorrectable SRAM errors in the life of the
    GPU are a warning (the rule of sites: stas00, Sichek). A memory channel or a TPC that waits for its repair wants a
    reset.

    Corrected errors did no harm and their number is no alarm, only their rate: `corrected_per_s` on average since an
    earlier sample is far above what healthy boards have; failing HBM was seen with 4647 a second (NVSentinel issue
    1748). Boards before Ampere retire pages: one that waits wants a reset, `retired_pages` (60 of a table of 64) is
    the maker's reason to exchange. ECC off is a warning on data centre boards, which leave the factory with it on;
    workstation and GeForce boards are left alone, and off on all GPUs is one finding.
    """
    told = health.telling("ECC", *NAMES)
    limits = Limits(corrected_per_s, sram_lifetime, retired_pages)
    seconds = before.seconds_to(health.at)
    found: list[Finding] = []
    for gpu in told:
        was = before.fact.same(gpu) if before.fact and seconds > 0 else None
        for level, code, what, advice in _troubles(gpu, limits):
            found.append(_finding(level, code, what, advice, gpu, processes))
        found += _storm(gpu, was, seconds, limits, processes)
    found += _off(told, processes)
    gaps = [
        unknown(gap.why, subject=gap.subject, code=gap.code, advice=gap.advice)
        for gap in health.gaps("ECC", (("ecc_now",), VOLATILE))
    ]
    gaps += _threshold_unseen(told)
    yield from (*found, *gaps)
    yield from _history(told)
    on = [gpu for gpu in told if gpu.number("ecc_now") and any(gpu.number(name) == 0 for name in VOLATILE)]
    if on and not found and not gaps:
        yield ok(f"ECC is on, no uncorrectable error since the driver was loaded: {_several(on)}", code="on")


def _troubles(gpu: GpuHealth, limits: Limits) -> Iterator[tuple[Level, str, str, str]]:
    """Level, code, what, advice."""
    ever = gpu.number(f"{EVER}_sram") or 0
    reset = RESET.format(gpu.pci or "GPU")
    if gpu.number("unrepairable"):
        yield critical, "unrepairable", "it has memory that cannot be repaired any more", REPLACE
    if gpu.number("sram_threshold"):
        yield (
            critical,
            "sram_threshold",
            f"uncorrectable SRAM errors passed the threshold of the driver{_ever(gpu)}",
            REPLACE,
        )
    elif ever > limits.sram_lifetime and "sram_threshold" not in gpu.values:
        what = f"{ever} uncorrectable SRAM errors in its life, more than {limits.sram_lifetime}"
        yield warning, "sram_lifetime", what, f"run the field diagnostics; {SAVE} and ask the vendor: runbook"
    if new := _uncorrected(gpu):
        yield critical, "uncorrected", f"{new} since the driver was loaded{_ever(gpu)}", reset
    for name, part in (("channel_repair", "a memory channel"), ("tpc_repair", "a TPC (a group of its cores)")):
        if gpu.number(name) or gpu.errors.get(name) == 16:
            yield warning, name, f"{part} waits to be repaired, which needs a reset", reset
    pages = [gpu.number("retired_dbe") or 0, gpu.number("retired_sbe") or 0]
    how_many = f"{pages[0]} memory pages retired for uncorrectable errors, {pages[1]} for corrected ones"
    if sum(pages) >= limits.retired_pages:
        yield critical, "retired", f"{how_many}: {limits.retired_pages} are the limit", REPLACE
    elif gpu.number("retired_pending"):
        yield warning, "retired_pending", f"a memory page waits to be retired, at the next reset ({how_many})", reset


def _off(told: list[GpuHealth], processes: GpuProcesses | None) -> Iterator[Finding]:
    """One finding where it is off on all GPUs: somebody wanted that, or forgot it, once."""
    off = [gpu for gpu in told if gpu.number("ecc_now") == 0 and gpu.has_ecc]
    is_every = len(off) == len(told) > 1
    for gpu in off[:1] if is_every else off:
        where = f" on all {len(off)} GPUs" if is_every else ""
        then = "; it comes on at the next reset or reboot" if gpu.number("ecc_then") else ""
        which = "" if is_every else f" -i {gpu.pci or 'GPU'}"
        what = f"ECC is off{where}: memory errors go unseen and spoil results{then}"
        advice = (
            f"`sudo nvidia-smi{which} -e 1`, then reset {'them' if is_every else 'it'} or reboot when idle: runbook"
        )
        if is_every:
            covers, evidence = [one.label for one in off], [one.line("ecc_now") for one in off[:2]]
            yield warning(what, code="off", advice=advice, covers=covers, evidence=evidence)
        else:
            yield _finding(warning, "off", what, advice, gpu, processes)


def _uncorrected(gpu: GpuHealth) -> str:
    """``2 uncorrectable errors of DRAM``; of the counts since the driver was loaded."""
    sram, dram, total = (gpu.number(f"{SINCE}_{place}") or 0 for place in PLACES)
    parts = [f"{count} of {name}" for count, name in ((sram, "SRAM"), (dram, "DRAM")) if count]
    count = max(total, sram + dram)
    return (
        f"{count} uncorrectable memory error{'s' * (count > 1)}{' (' + ', '.join(parts) + ')' if parts else ''}"
        if count
        else ""
    )


def _lifetime(gpu: GpuHealth) -> int:
    sram, dram, total = (gpu.number(f"{EVER}_{place}") or 0 for place in PLACES)
    return max(total, sram + dram)


def _ever(gpu: GpuHealth) -> str:
    ever = _lifetime(gpu)
    return f" ({ever} in its life)" if ever else ""


def _storm(
    gpu: GpuHealth, was: GpuHealth | None, seconds: float, limits: Limits, processes: GpuProcesses | None
) -> Iterator[Finding]:
    """Corrected errors that come fast. A count that is smaller than before was reset in between."""
    growth = 0
    for places in (("dram", "sram"), ("total",)):
        names = [f"ecc_corrected_volatile_{place}" for place in places]
        pairs = [(gpu.number(name), was.number(name) if was else None) for name in names]
        grown = sum(now - (then if now >= then else 0) for now, then in pairs if now is not None and then is not None)
        growth = max(growth, grown)
    if seconds > 0 and growth / seconds >= limits.corrected_per_s:
        what = f"{growth / seconds:,.0f} corrected memory errors a second in the last {span(seconds)}"
        advice = f"nothing was lost, but this memory is failing and slow: drain it; {SAVE} and call the vendor: runbook"
        yield _finding(warning, "corrected", what, advice, gpu, processes)


def _threshold_unseen(told: list[GpuHealth]) -> Iterator[Finding]:
    """Only root may see the threshold; without an uncorrectable SRAM error it cannot have been passed."""
    hidden = [gpu for gpu in told if gpu.errors.get("sram_threshold") == 4 and gpu.number(f"{EVER}_sram") != 0]
    if hidden:
        what = f"whether uncorrectable SRAM errors passed the threshold of the driver, of {_several(hidden)}"
        yield unknown(what, code="threshold", advice="run as root")


def _history(told: list[GpuHealth]) -> Iterator[Finding]:
    for gpu in told:
        if (ever := _lifetime(gpu)) and not _uncorrected(gpu):
            none = ", none since the driver was loaded" if any(gpu.number(name) == 0 for name in VOLATILE) else ""
            what = f"{ever} uncorrectable memory error{'s' * (ever > 1)} in its life{none}"
            yield ok(what, subject=gpu.label, code="history", evidence=[gpu.line(EVER)])


def _several(gpus: list[GpuHealth]) -> str:
    return gpus[0].label if len(gpus) == 1 else f"{len(gpus)} GPUs"


def _finding(
    level: Level, code: str, what: str, advice: str, gpu: GpuHealth, processes: GpuProcesses | None
) -> Finding:
    quoted = gpu.about(processes, SINCE, EVER, "ecc_now", "sram", "unrep", "channel", "tpc", "retired")
    return level(what, code=code, advice=advice, **quoted)
