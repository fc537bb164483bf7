"""Memory rows of GPUs that were replaced by spare ones: those that wait, those that could not be, and what is left."""

from collections.abc import Callable, Iterator

from mlopsdoc import Finding, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_health import GpuHealth, GpuHealths
from mlopsdoc.facts.gpu_processes import GpuProcesses

NAMES = ("remap_pending", "remap_failure", "remap_uncorrected", "remap_corrected", "banks_none", "banks_low")
NEEDED = (("remap_pending",), ("remap_failure",))
RESET = (
    "nothing more is lost until then: let its jobs end, start no new one, then `sudo nvidia-smi --gpu-reset -i {}` (or "
    "reboot) makes the spare row take its place. Where rows go on failing after that, run the field diagnostics and "
    "call the vendor: steps in the runbook"
)
REPLACE = (
    "take it out of service and call the vendor: a GPU that cannot remap is exchanged; save "
    "`sudo nvidia-bug-report.sh` first, steps in the runbook"
)
PLAN = "it works on; open a case with the vendor and plan to exchange it before the next row fails: runbook"


@check(
    area="gpu",
    title="No memory row of a GPU waits for a spare one or was refused one",
    params=("GPU",),
    explains=("gpu_recovery",),
    explained_by=("driver_stack", "gpu_presence"),
)
def gpu_row_remap(
    health: GpuHealths, processes: GpuProcesses | None, *, rows_warning: int = 512, low_banks_warning: int = 1
) -> Iterator[Finding]:
    """From Ampere on a GPU replaces a row of its memory that fails by a spare one, at its next reset.

    A row that waits is a warning: error containment protects the work until the reset (NVIDIA, GPU Memory Error
    Management; GPUd and NVSentinel map it to a reset). A remap that failed is critical and stays so for life: the GPU
    is to be exchanged. Rows that were replaced and are in effect are a note, however many: their number alone is no
    reason (NVIDIA), except at `rows_warning`, which is all that the table can hold (DCGM). Each bank has 8 spare
    rows; a bank with few or none left (``Low``, ``None`` of the histogram) is a warning from `low_banks_warning` on.
    """
    told = health.telling("row remapping", *NAMES)
    for gpu in told:
        yield from _judged(gpu, processes, rows_warning, low_banks_warning)
    for gap in health.gaps("row remapping", NEEDED):
        yield unknown(gap.why, subject=gap.subject, code=gap.code, advice=gap.advice)


def _judged(gpu: GpuHealth, processes: GpuProcesses | None, most: int, low: int) -> Iterator[Finding]:
    rows, corrected = gpu.number("remap_uncorrected") or 0, gpu.number("remap_corrected") or 0
    count = f"{_rows(rows)} for uncorrectable errors" + (f", {corrected} for corrected ones" if corrected else "")
    banks = [gpu.number(f"banks_{level}") or 0 for level in ("none", "low")]
    trouble: tuple[Callable[..., Finding], str, str, str] | None = None
    if gpu.number("remap_failure"):
        trouble = (critical, "failure", f"a failing memory row could not be remapped ({count} in its life)", REPLACE)
    elif gpu.number("remap_pending"):
        what = f"memory rows wait to be remapped: not in effect before a reset ({count} in its life)"
        trouble = (warning, "pending", what, RESET.format(gpu.pci or "GPU"))
    elif banks[0] or banks[1] >= low > 0:
        what = f"{banks[0]} memory banks have no spare row left, {banks[1]} few ({count} in its life)"
        trouble = (warning, "banks", what, PLAN)
    elif rows + corrected >= most:
        trouble = (warning, "many", f"{count} were remapped, the table holds {most}", PLAN)
    metrics = {"remap_uncorrected": rows, "remap_corrected": corrected}
    if trouble:
        level, code, what, advice = trouble
        yield level(what, code=code, advice=advice, metrics=metrics, **gpu.about(processes, "remap", "banks"))
    elif rows + corrected and gpu.number("remap_pending") is not None:
        said = f"{count} remapped and in effect: keep it in service"
        yield ok(said, subject=gpu.label, code="remapped", metrics=metrics, evidence=[gpu.line("remap", "banks")])


def _rows(count: int) -> str:
    return f"{count} row{'s' * (count != 1)}"
