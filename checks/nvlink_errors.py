"""NVLinks that are full of errors."""

from collections import Counter
from collections.abc import Callable, Iterator

from mlopsdoc import Before, Finding, Line, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.nvlink import Link, LinkedGpu, NvLinks
from mlopsdoc.facts.nvlink_words import RESET, named
from mlopsdoc.facts.nvml import XID, in_words
from mlopsdoc.facts.quantities import span

Level = Callable[..., Finding]
# What is counted -> in words, one and several.
WORDS = {
    "replay": ("replay", "replays"),
    "recovery": ("recovery", "recoveries"),
    "crc": ("CRC error", "CRC errors"),
    "malformed": ("malformed packet", "malformed packets"),
    "overrun": ("buffer overrun", "buffer overruns"),
    "rx": ("receive error", "receive errors"),
    "rx_remote": ("remote receive error", "remote receive errors"),
    "rx_general": ("general receive error", "general receive errors"),
    "integrity": ("integrity error", "integrity errors"),
    "discards": ("discarded packet", "discarded packets"),
    "effective": ("uncorrected error", "uncorrected errors"),
    "symbol": ("symbol error", "symbol errors"),
    "recovered": ("recovery that went well", "recoveries that went well"),
    "recovery_failed": ("failed recovery", "failed recoveries"),
}


@check(
    area="fabric",
    title="No NVLink replays, recovers or loses data",
    params=("GPU",),
    explains=("gpu_hang", "nccl_hang"),
)
def nvlink_errors(
    links: NvLinks,
    before: Before[NvLinks],
    processes: GpuProcesses | None,
    *,
    events_per_min: float = 1.0,
    crc_per_s: float = 100.0,
    ber_warning: float = 1e-12,
) -> Iterator[Finding]:
    """A link that replays sends everything twice and slows every collective of the job; it may go down next.

    Errors are judged by growth: a replay, a recovery or another error on average every minute (`events_per_min`,
    DCGM), and `crc_per_s` CRC errors a second, for fewer do not matter (NVIDIA's driver team, DCGM). So are the symbol
    errors of Blackwell: DCGM's limit of their rate, none ever, alarms on old ones. There a recovery that went well is a
    warning, a failed one critical, and an effective bit error rate above `ber_warning` (DCGM) a warning. Counts without
    an earlier sample may be years old: a note, whatever they are (EKS had to take an alarm on them back).
    """
    told = [gpu for gpu in links if any(link.counts or link.effective_ber is not None for link in gpu.links)]
    refused = [(gpu, code) for gpu in links if (code := links.refused(gpu))]
    if not told and not refused:
        raise NothingHere("no NVLink tells of errors here")
    seconds = before.seconds_to(links.at)
    found: list[Finding] = []
    for gpu in told:
        was = before.fact.same(gpu) if before.fact and seconds > 0 else None
        if was is None:
            found += _lifetime(gpu)
        else:
            found += _grown(gpu, was, seconds, processes, events_per_min, crc_per_s)
        found += _noisy(gpu, processes, ber_warning)
    for gpu, code in refused:
        found.append(_of(unknown, gpu, None, "unseen", f"errors of its NVLinks cannot be seen: {in_words(code)}", XID))
    yield from found
    if seconds and not any(one.status.is_trouble for one in found):
        yield ok(f"no errors that matter in the last {span(seconds)}", code="clean", evidence=[told[0].line])


def _of(
    level: Level,
    gpu: LinkedGpu,
    processes: GpuProcesses | None,
    code: str,
    summary: str,
    advice: str = "",
    **about: object,
) -> Finding:
    return level(summary, code=code, advice=advice, **gpu.about(processes, **about))


def _grown(
    gpu: LinkedGpu, was: LinkedGpu, seconds: float, processes: GpuProcesses | None, per_min: float, crc_per_s: float
) -> Iterator[Finding]:
    """What was counted since the earlier sample: of a minute at least, for one in ten seconds is not six a minute."""
    minutes = max(seconds, 60) / 60
    least = dict.fromkeys(WORDS, max(1.0, per_min * minutes)) | {"recovered": 1, "recovery_failed": 1}
    least["crc"] = crc_per_s * max(seconds, 1)
    then = {link.number: link.counts for link in was.links}
    grown = Counter[str]()
    on: list[Link] = []
    for link in gpu.links:
        old = then.get(link.number, {})
        # A count that is smaller than before was reset in between.
        growth = {k: n - old[k] if n >= old[k] else n for k, n in link.counts.items() if k in old and n != old[k]}
        much = {name: more for name, more in growth.items() if more >= least[name]}
        grown.update(much)
        on += [link] if much else []
    if on:
        quoted = "; ".join(
            f"link {n.number}: " + " ".join(f"{k}={v}" for k, v in n.counts.items() if v) for n in on[:3]
        )
        yield _of(
            critical if "recovery_failed" in grown else warning,
            gpu,
            processes,
            "errors",
            f"errors on {named(on)} in the last {span(seconds)}: {_counted(grown)}",
            f"see whether they go on with `nvidia-smi nvlink -e`; where they do, drain the host; {RESET}",
            metrics=dict(grown),
            evidence=[Line(gpu.line.answer, f"{gpu.pci or gpu.label}: {quoted}")],
        )


def _lifetime(gpu: LinkedGpu) -> Iterator[Finding]:
    """A note: since when these are is not known."""
    on = [link for link in gpu.links if any(link.counts.values())]
    if on:
        totals = sum((Counter(link.counts) for link in on), Counter[str]())
        yield _of(
            ok,
            gpu,
            None,
            "counted",
            f"{_counted(totals)} on {named(on)} since the counters were reset; whether they grow, a second look tells",
            metrics=dict(totals),
        )


def _noisy(gpu: LinkedGpu, processes: GpuProcesses | None, most: float) -> Iterator[Finding]:
    noisy = [link for link in gpu.up if link.effective_ber and link.effective_ber > most]
    if noisy:
        worst = max(link.effective_ber or 0.0 for link in noisy)
        said = f"{named(noisy)} with a bit error rate of {worst:.0e} after correction, more than {most:.0e}"
        advice = f"see `nvidia-smi nvlink -e`; {RESET}"
        yield _of(warning, gpu, processes, "bit_errors", said, advice, metrics={"effective_ber": worst})


def _counted(counts: Counter[str]) -> str:
    """``412 replays, 1 recovery``."""
    return ", ".join(f"{count} {WORDS[name][count != 1]}" for name, count in counts.items())
