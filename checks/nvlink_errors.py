"""NVLinks that are down, slow or full of errors, and a fabric that is not complete."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mlopsdoc import Before, Finding, Hurt, Line, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.nvlink import VGPU_GUEST, Fabric, Link, LinkedGpu, NvLinks
from mlopsdoc.facts.nvml import NOT_OFFERED, XID, in_words
from mlopsdoc.facts.quantities import instant, span
from mlopsdoc.facts.throttling import CpuTimes

Level = Callable[..., Finding]
RESET = "save the evidence first (`sudo nvidia-bug-report.sh`), then end its jobs and reset it: steps in the runbook"
MANAGER = (
    "look at `systemctl status nvidia-fabricmanager` and `sudo tail -50 /var/log/fabricmanager.log`; CUDA fails with "
    "error 802 until the fabric is complete; steps in the runbook"
)
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
    "recovered": ("recovery that went well", "recoveries that went well"),
    "recovery_failed": ("failed recovery", "failed recoveries"),
}
# Fields of the fabric's health mask, nvml.h: shift, mask, what a value means, how bad. 0 is not supported; of the
# first four 1 is true and bad, 2 is false and good; of the last two 1 is true and good.
MASK: tuple[tuple[int, int, dict[int, str], Level], ...] = (
    (0, 0x3, {1: "bandwidth is degraded"}, warning),
    (2, 0x3, {1: "a route is being recovered"}, warning),
    (4, 0x3, {1: "a route is unhealthy"}, critical),
    (6, 0x3, {1: "it recovers from an access timeout"}, warning),
    (
        8,
        0xF,
        {
            2: "configured with a wrong system GUID",
            3: "configured with a wrong chassis serial number",
            4: "in no partition",
            5: "too few NVLinks for its configuration",
            6: "its firmware does not fit the others",
            7: "its location is invalid",
            8: "its state is invalid",
        },
        critical,
    ),
    (12, 0x3, {2: "no partition is assigned"}, warning),
    (14, 0x3, {2: "the global fabric manager is not connected"}, warning),
)
SUMMARY: dict[int, tuple[str, Level]] = {2: ("unhealthy", critical), 3: ("of limited capacity", warning)}


class Rates(NamedTuple):
    """How much growth is too much."""

    events_per_min: float
    crc_per_s: float

    def is_too_much(self, name: str, growth: int, seconds: float) -> bool:
        """A minute at least is looked at: one event in ten seconds is not six a minute."""
        if name in ("recovered", "recovery_failed"):
            return growth > 0
        if name == "crc":
            return growth >= self.crc_per_s * max(seconds, 1)
        return growth > 0 and growth >= self.events_per_min * max(seconds, 60) / 60


@check(
    area="fabric",
    title="Every NVLink is up, at full speed and free of errors",
    params=("GPU",),
    explains=("gpu_hang", "nccl_hang"),
)
def nvlink_errors(
    links: NvLinks,
    before: Before[NvLinks],
    times: CpuTimes | None,
    processes: GpuProcesses | None,
    *,
    settle_s: float = 300.0,
    events_per_min: float = 1.0,
    crc_per_s: float = 100.0,
    ber_warning: float = 1e-12,
    speed_percent: float = 95.0,
) -> Iterator[Finding]:
    """A link that is down or replays slows every collective of the job, and often makes NCCL hang.

    Links: what the board has by its PCI device id (A100 SXM 12, H100, H200 and B200 SXM 18: datasheets) must be up;
    NVHealth lets no link be inactive. Cards with bridges, boards whose number varies (H20, H800), and machines that
    share their GPUs with virtual machines are compared with their siblings and with an earlier sample instead: only
    some links of a GPU down, fewer than its siblings have, and no whole number of bridges (4 links each). A card
    without a bridge has none up, and so may a single GPU in a virtual machine; MIG takes links down. In the first
    `settle_s` after boot links still train (NVSentinel issue 1715).

    Errors are judged by growth: a replay, a recovery or another error on average every minute (`events_per_min`,
    DCGM), and `crc_per_s` CRC errors a second, for fewer do not matter (NVIDIA's driver team, DCGM). On Blackwell a
    recovery that went well is a warning, a failed one critical, and an effective bit error rate above `ber_warning`
    (DCGM) a warning. Counts without an earlier sample may be years old: a note, whatever they are (EKS had to take an
    alarm on them back). Speed: below `speed_percent` of what most links of that kind of GPU have.

    Fabric (NVSwitch, Hopper and newer): not completed `settle_s` after boot is critical where there is a switch, and
    so is a status other than success; the health mask is decoded field by field. Four-GPU boards have no switch
    and no fabric.
    """
    seconds = links.seconds_since(before)
    uptime = links.at - times.boot if times and times.boot and links.at else None
    is_settled = uptime is None or not 0 <= uptime < settle_s
    rates = Rates(events_per_min, crc_per_s)
    found: list[Finding] = []
    if is_settled:
        found += _down(links, before, seconds, processes)
        found += _fabric(links)
    usual = _usual_speeds(links)
    for gpu in links:
        was = before.fact.same(gpu) if before.fact and seconds > 0 else None
        found += _errors(gpu, was, seconds, rates, processes)
        found += _quality(gpu, usual.get(gpu.kind), ber_warning, speed_percent)
        found += _unseen(gpu, any(one.links for one in links))
    yield from found
    judged = [gpu for gpu in links if gpu.up and _is_judged(gpu)]
    if judged and not any(one.status.is_trouble for one in found):
        yield _all_well(judged, seconds)
    elif not judged and not found:
        raise NothingHere(
            "no NVLink is connected" if is_settled else f"booted {span(uptime or 0)} ago: NVLinks are still training"
        )


def _is_judged(gpu: LinkedGpu) -> bool:
    """Whether the state of its links says anything: MIG takes links down, a virtual GPU has none."""
    return not gpu.is_mig and gpu.virtualization != VGPU_GUEST


def _down(links: NvLinks, before: Before[NvLinks], seconds: float, processes: GpuProcesses | None) -> Iterator[Finding]:
    gpus = [gpu for gpu in links if _is_judged(gpu)]
    dark = [gpu for gpu in gpus if gpu.is_dark or (gpu.links and not gpu.up and len(gpu.down) == len(gpu.links))]
    fixed = [gpu for gpu in dark if gpu.board and gpu.board.links and not gpu.board.is_bridged]
    if len(fixed) == len(gpus) and len(fixed) > 1:
        yield _all_down(links, fixed, before, seconds)
        return
    for gpu in gpus:
        if not gpu.down:
            if gpu.is_dark and not gpu.board and len(gpus) == 1 and not gpu.kind:
                yield unknown(
                    "nvidia-smi says that all NVLinks are inactive, and not of which GPUs: on cards without bridges "
                    "that is normal, on SXM boards none may be",
                    advice="look at `nvidia-smi -L` and `nvidia-smi topo -m`",
                    evidence=[gpu.line],
                )
            continue
        was = before.fact.same(gpu) if before.fact and seconds > 0 else None
        lost = [link for link in gpu.down if was and any(then.number == link.number for then in was.up)]
        if level := _level(gpu, gpus, links, lost):
            yield _down_finding(gpu, level, lost, seconds, before, processes)


def _level(gpu: LinkedGpu, gpus: Sequence[LinkedGpu], links: NvLinks, lost: Sequence[Link]) -> Level | None:
    """How bad it is that some of its links are down; None where that is as it should be."""
    is_fixed = gpu.board is not None and gpu.board.links > 0 and not gpu.board.is_bridged
    others = [len(one.up) for one in gpus if one is not gpu and one.kind == gpu.kind]
    if is_fixed and not links.is_shared:
        return critical if gpu.up or any(others) else (warning if lost else None)
    if lost:
        return warning
    most = max(others, default=0)
    is_odd = len(gpu.up) % 4 if gpu.up else len(others) > 2 and min(others) == most > 4
    return warning if is_odd and len(gpu.up) < most else None


def _down_finding(
    gpu: LinkedGpu,
    level: Level,
    lost: Sequence[Link],
    seconds: float,
    before: Before[NvLinks],
    processes: GpuProcesses | None,
) -> Finding:
    have = gpu.board.links if gpu.board and not gpu.board.is_bridged else len(gpu.links)
    which = _numbers(gpu.down)
    then = ""
    if lost:
        then = f"; {'it was' if len(gpu.down) == 1 else f'{len(lost)} of them were'} up {span(seconds)} ago"
    elif before.fact:
        then = f", {span(seconds)} ago too"
    return level(
        f"{len(gpu.down)} of {have} NVLinks {'is' if len(gpu.down) == 1 else 'are'} down ({which}){then}",
        subject=gpu.label,
        code="down",
        advice=f"every collective that uses it is slow or hangs; compare with `nvidia-smi nvlink -s`; {RESET}",
        since=instant(before.fact.at) if lost and before.fact and before.fact.at else "",
        params={"GPU": gpu.pci},
        metrics={"links_up": len(gpu.up), "links_down": len(gpu.down)},
        hurts=_hurts(gpu, processes),
        evidence=[gpu.line],
    )


def _all_down(links: NvLinks, gpus: Sequence[LinkedGpu], before: Before[NvLinks], seconds: float) -> Finding:
    """No link of any GPU is up: one cause, most often the Fabric Manager. A100 boards look so in MIG mode."""
    is_mig_known = all(gpu.is_mig is not None for gpu in gpus)
    was_up = before.fact is not None and any(gpu.up for gpu in before.fact)
    then = f"; {span(seconds)} ago some were up" if was_up else ""
    have = gpus[0].board.links if gpus[0].board else 0
    mig = "" if is_mig_known else " (unless they are in MIG mode, which is not told)"
    return (critical if is_mig_known or was_up else warning)(
        f"no NVLink of any of the {len(gpus)} GPUs is up, their boards have {have} each{mig}{then}",
        code="all_down",
        advice=MANAGER if links.has_switch or len(gpus) > 4 else RESET,
        covers=[gpu.label for gpu in gpus],
        evidence=[gpu.line for gpu in gpus],
    )


def _errors(
    gpu: LinkedGpu, was: LinkedGpu | None, seconds: float, rates: Rates, processes: GpuProcesses | None
) -> Iterator[Finding]:
    if was is None:
        yield from _lifetime(gpu)
        return
    then = {link.number: link.counts for link in was.links}
    grown: dict[str, int] = {}
    numbers: set[int] = set()
    for link in gpu.links:
        for name, count in link.counts.items():
            old = then.get(link.number, {}).get(name)
            growth = 0 if old is None else count - old if count >= old else count
            if rates.is_too_much(name, growth, seconds):
                grown[name] = grown.get(name, 0) + growth
                numbers.add(link.number)
    if not grown:
        return
    on = [link for link in gpu.links if link.number in numbers]
    said = ", ".join(f"{count} {WORDS[name][count != 1]}" for name, count in grown.items())
    quoted = "; ".join(f"link {n.number}: " + " ".join(f"{k}={v}" for k, v in n.counts.items() if v) for n in on[:3])
    level = critical if "recovery_failed" in grown else warning
    yield level(
        f"errors on NVLink{'s' * (len(on) > 1)} {_numbers(on)} in the last {span(seconds)}: {said}",
        subject=gpu.label,
        code="errors",
        advice=f"see whether they go on with `nvidia-smi nvlink -e`; where they do, drain the host; {RESET}",
        params={"GPU": gpu.pci},
        metrics=dict(grown),
        hurts=_hurts(gpu, processes),
        evidence=[Line(gpu.line.answer, f"{gpu.pci or gpu.label}: {quoted}")],
    )


def _lifetime(gpu: LinkedGpu) -> Iterator[Finding]:
    """A note: since when these are is not known."""
    totals = Counter[str]()
    for link in gpu.links:
        totals.update({name: count for name, count in link.counts.items() if count})
    if totals:
        on = [link for link in gpu.links if any(link.counts.values())]
        said = ", ".join(f"{count} {WORDS[name][count != 1]}" for name, count in totals.items())
        yield ok(
            f"{said} on NVLink{'s' * (len(on) > 1)} {_numbers(on)} since the counters were reset; whether they grow, a "
            "second look tells",
            subject=gpu.label,
            code="counted",
            params={"GPU": gpu.pci},
            metrics=dict(totals),
            evidence=[gpu.line],
        )


def _usual_speeds(links: NvLinks) -> dict[str, int]:
    """MB/s that most links of a kind of GPU have."""
    by_kind: dict[str, Counter[int]] = {}
    for gpu in links:
        by_kind.setdefault(gpu.kind, Counter()).update(link.speed_mbps for link in gpu.up if link.speed_mbps)
    return {kind: speeds.most_common(1)[0][0] for kind, speeds in by_kind.items() if speeds}


def _quality(gpu: LinkedGpu, usual: int | None, ber: float, percent: float) -> Iterator[Finding]:
    slow = [link for link in gpu.up if usual and link.speed_mbps and link.speed_mbps < usual * percent / 100]
    if slow and usual:
        speed = min(link.speed_mbps or 0 for link in slow)
        yield warning(
            f"NVLink{'s' * (len(slow) > 1)} {_numbers(slow)} at {speed / 1000:g} GB/s, the others at {usual / 1000:g}",
            subject=gpu.label,
            code="slow",
            advice=RESET,
            params={"GPU": gpu.pci},
            metrics={"speed_mbps": speed},
            evidence=[gpu.line],
        )
    noisy = [link for link in gpu.up if link.effective_ber is not None and link.effective_ber > ber]
    if noisy:
        worst = max(link.effective_ber or 0.0 for link in noisy)
        yield warning(
            f"NVLink{'s' * (len(noisy) > 1)} {_numbers(noisy)} with a bit error rate of {worst:.0e} after correction, "
            f"more than {ber:.0e}",
            subject=gpu.label,
            code="bit_errors",
            advice=f"see `nvidia-smi nvlink -e`; {RESET}",
            params={"GPU": gpu.pci},
            metrics={"effective_ber": worst},
            evidence=[gpu.line],
        )


def _fabric(links: NvLinks) -> Iterator[Finding]:
    """One finding for all GPUs that say the same."""
    troubles: dict[tuple[str, Level], list[LinkedGpu]] = {}
    for gpu in links:
        if gpu.fabric and gpu.virtualization != VGPU_GUEST:
            has_switch = links.has_switch or bool(gpu.board and gpu.board.needs_switch)
            for trouble in _fabric_troubles(gpu.fabric, has_switch):
                troubles.setdefault(trouble, []).append(gpu)
    for (what, level), gpus in troubles.items():
        one = gpus[0] if len(gpus) == 1 else None
        who = "" if one else f" of {len(gpus)} GPUs ({', '.join(gpu.label for gpu in gpus)})"
        yield level(
            f"the NVLink fabric{who} {what}",
            subject=one.label if one else "host",
            code="fabric",
            advice=MANAGER,
            covers=[] if one else [gpu.label for gpu in gpus],
            params={"GPU": gpus[0].pci},
            evidence=[Line(gpu.line.answer, f"{gpu.pci}: fabric {_said(gpu.fabric)}") for gpu in gpus],
        )


def _said(fabric: Fabric | None) -> str:
    if fabric is None:
        return ""
    health = f"health_mask={fabric.health_mask:#x} health_summary={fabric.health_summary}"
    return f"state={fabric.state} status={fabric.status} {health}"


def _fabric_troubles(fabric: Fabric, has_switch: bool) -> Iterator[tuple[str, Level]]:
    if fabric.state in (1, 2):
        what = "was never started" if fabric.state == 1 else "is still being set up"
        yield what + ("" if has_switch else ", although no NVSwitch was seen"), critical if has_switch else unknown
    if fabric.state != 3:
        return
    if fabric.status:
        yield f"could not be set up: {in_words(fabric.status)}", critical
    masked = [(words[value], level) for value, words, level in _fields(fabric.health_mask) if value in words]
    for what, level in masked:
        yield f"is not well: {what}", level
    if not masked and fabric.health_summary in SUMMARY:
        word, level = SUMMARY[fabric.health_summary]
        yield f"is {word}", level


def _fields(mask: int) -> Iterator[tuple[int, dict[int, str], Level]]:
    for shift, width, words, level in MASK:
        yield mask >> shift & width, words, level


def _unseen(gpu: LinkedGpu, is_linked: bool) -> Iterator[Finding]:
    """A refusal that is none of "not offered here", of the GPU or of its links."""
    codes = [*gpu.errors.values(), *(code for link in gpu.links for code in link.errors.values())]
    refused = [code for code in codes if code not in NOT_OFFERED]
    is_expected = bool(gpu.board.links and not gpu.board.is_bridged) if gpu.board else is_linked
    if refused and is_expected and gpu.virtualization != VGPU_GUEST:
        yield unknown(
            f"its NVLinks cannot be seen, or not in full: {in_words(refused[0])}",
            subject=gpu.label,
            code="unseen",
            advice=XID,
            params={"GPU": gpu.pci},
            evidence=[gpu.line],
        )


def _all_well(gpus: Sequence[LinkedGpu], seconds: float) -> Finding:
    """A note: how many are up, how fast, and for how long without errors."""
    kinds = Counter((len(gpu.up), max((link.speed_mbps or 0 for link in gpu.up), default=0)) for gpu in gpus)
    said = " and ".join(
        f"{count} GPU{'s' * (count > 1)} with {up} NVLinks up" + (f" at {speed / 1000:g} GB/s" if speed else "")
        for (up, speed), count in kinds.items()
    )
    is_counted = any(link.counts for gpu in gpus for link in gpu.links)
    errors = f", no errors that matter in the last {span(seconds)}" if seconds and is_counted else ""
    return ok(said + errors, code="up", evidence=[gpu.line for gpu in gpus[:1]])


def _numbers(links: Sequence[Link]) -> str:
    """``0-5, 9``."""
    runs: list[list[int]] = []
    for number in sorted(link.number for link in links):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _hurts(gpu: LinkedGpu, processes: GpuProcesses | None) -> list[Hurt]:
    return processes.hurts(gpu.pci) if processes and gpu.pci else []
