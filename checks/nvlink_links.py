"""NVLinks that are down or slow, and a fabric that is not complete."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mlopsdoc import Before, Finding, Line, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpus import VGPU_GUEST
from mlopsdoc.facts.nvlink import Fabric, Link, LinkedGpu, NvLinks
from mlopsdoc.facts.nvlink_fabric import decoded
from mlopsdoc.facts.nvlink_words import RESET, named, numbers
from mlopsdoc.facts.nvml import XID, in_words
from mlopsdoc.facts.quantities import instant, span
from mlopsdoc.facts.throttling import CpuTimes

Level = Callable[..., Finding]
MANAGER = (
    "look at `systemctl status nvidia-fabricmanager` and `sudo tail -50 /var/log/fabricmanager.log`; CUDA fails with "
    "error 802 until the fabric is complete; steps in the runbook"
)
RACK = (
    "the switches of a rack are set up outside of its hosts (NMX controller): see whether other hosts of the rack say "
    "the same (`nvidia-smi -q | grep -A 4 Fabric`), and whether its switch trays and partition are well: runbook"
)
# NVML_P2P_STATUS_
REFUSED = {
    1: "the chipset does not support it",
    2: "the GPU does not support it",
    3: "the topology does not support it",
    4: "NVreg_RegistryDwords switches it off",
    5: "not supported",
    6: "of unknown state",
}
UNSEEN = "its NVLinks cannot be seen, or not in full"


class Seen(NamedTuple):
    """What every question is asked of. seconds: since the earlier sample, 0 where there is none."""

    links: NvLinks
    before: Before[NvLinks]
    seconds: float
    processes: GpuProcesses | None

    def was(self, gpu: LinkedGpu) -> LinkedGpu | None:
        return self.before.fact.same(gpu) if self.before.fact and self.seconds > 0 else None

    def of(self, level: Level, gpu: LinkedGpu, code: str, summary: str, advice: str, **about: object) -> Finding:
        """A finding about one GPU."""
        return level(summary, code=code, advice=advice, **gpu.about(self.processes, **about))


@check(
    area="fabric",
    title="Every NVLink is up and at full speed, and their fabric is complete",
    params=("GPU",),
    explains=("gpu_hang", "nccl_hang", "nvlink_errors"),
)
def nvlink_links(
    links: NvLinks,
    before: Before[NvLinks],
    times: CpuTimes | None,
    processes: GpuProcesses | None,
    *,
    settle_s: float = 300.0,
    speed_percent: float = 95.0,
) -> Iterator[Finding]:
    """A link that is down slows every collective of the job, and often makes NCCL hang.

    Links: what the profile says, else the board has by its PCI device id (A100 SXM 12, H100, H200 and B200 SXM 18:
    datasheets), must be up; NVHealth lets no link be inactive. Cards with bridges and boards whose number varies (H20,
    H800) are compared with their siblings and with an earlier sample instead: only some links of a GPU down, fewer
    than its siblings have, and no whole number of bridges (4 links each). Where GPUs are shared with virtual machines
    only the earlier sample counts, or that all are down where there is a switch. Nothing is judged where the driver
    was told to leave NVLinks off (NVreg_NvLinkDisable=1). A card without a bridge has no link up, and so may a single
    GPU in a virtual machine; MIG takes links down. In the first `settle_s` after boot links still train (NVSentinel
    issue 1715).

    Without switches each two GPUs share the same number of links: those to a GPU that was lost are down with it.

    Speed: below `speed_percent` of what most links of that kind of GPU have.

    Pairs: GPUs with links up whose driver refuses to let them reach each other over them (NVML's P2P status): all
    signs are green and NCCL goes through the host (Dstack-TEE/dstack issue 1167). Critical where it is every pair
    (GPUd), else a warning for the GPU that most of them have in common.

    Fabric (NVSwitch, Hopper and newer): not completed `settle_s` after boot is critical where there is a switch, and
    so is a status other than success; the health mask is decoded field by field. Four-GPU boards have no switch
    and no fabric.
    """
    if links.off:
        yield ok("the driver was told to leave all NVLinks off (NvLinkDisable)", code="off", evidence=[links.off])
        return
    seen = Seen(links, before, before.seconds_to(links.at), processes)
    uptime = links.at - times.boot if times and times.boot and links.at else None
    is_settled = uptime is None or not 0 <= uptime < settle_s
    found = [*_down(seen), *_fabric(links)] if is_settled else []
    usual = _usual_speeds(links)
    for gpu in links:
        found += _slow(seen, gpu, usual.get(gpu.kind, 0), speed_percent)
        if code := links.refused(gpu):
            found.append(seen.of(unknown, gpu, "unseen", f"{UNSEEN}: {in_words(code)}", XID, hurts=[]))
    found += _pairs(seen, {name for one in found for name in (one.subject, *one.covers)}) if is_settled else []
    yield from found
    judged = [gpu for gpu in links if gpu.up and _is_judged(gpu)]
    if judged and not any(one.status.is_trouble for one in found):
        yield _all_well(judged)
    elif not judged and not found:
        raise NothingHere(
            "no NVLink is connected" if is_settled else f"booted {span(uptime or 0)} ago: NVLinks are still training"
        )


def _is_judged(gpu: LinkedGpu) -> bool:
    """Whether the state of its links says anything: MIG takes links down, a virtual GPU has none."""
    return not gpu.is_mig and gpu.virtualization != VGPU_GUEST


def _down(seen: Seen) -> Iterator[Finding]:
    gpus = [gpu for gpu in seen.links if _is_judged(gpu)]
    dark = [gpu for gpu in gpus if gpu.is_wired and not gpu.up and (gpu.is_dark or gpu.down)]
    is_fault = not seen.links.is_shared or seen.links.has_switch or any(gpu.up for gpu in seen.before.fact or ())
    if len(dark) == len(gpus) > 1 and is_fault:
        yield _all_down(seen, dark)
        return
    for gpu in gpus:
        was = seen.was(gpu)
        up_then = {link.number for link in was.up} if was else set[int]()
        lost = [link for link in gpu.down if link.number in up_then]
        if gpu.down and (level := _level(gpu, gpus, seen.links.is_shared, bool(lost))):
            yield _some_down(seen, gpu, level, lost)
        elif gpu.is_dark and gpu.board and gpu.is_wired and len(dark) < len(gpus) and not seen.links.is_shared:
            said = f"none of its {gpu.board.links} NVLinks is up"
            said += " (unless it is in MIG mode, which is not told)" if gpu.is_mig is None else ""
            yield seen.of(warning if gpu.is_mig is None else critical, gpu, "down", said, RESET)
        elif gpu.is_dark and not gpu.kind and len(gpus) == 1:
            yield unknown(
                "nvidia-smi says that all NVLinks are inactive, and not of which GPUs: on cards without bridges "
                "that is normal, on SXM boards none may be",
                advice="look at `nvidia-smi -L` and `nvidia-smi topo -m`",
                evidence=[gpu.line],
            )


def _level(gpu: LinkedGpu, gpus: Sequence[LinkedGpu], is_shared: bool, is_lost: bool) -> Level | None:
    """How bad it is that some of its links are down; None where that is as it should be."""
    others = [len(one.up) for one in gpus if one is not gpu and one.kind == gpu.kind]
    if gpu.board and gpu.board.is_wired and not is_shared:
        return critical if gpu.up or any(others) else (warning if is_lost else None)
    if is_lost:
        return warning
    if is_shared:  # its links may lead to GPUs of others
        return None
    most = max(others, default=0)
    if gpu.up:
        return warning if len(gpu.up) % 4 and len(gpu.up) < most else None
    # The only dark one: of bridged cards, which come in pairs, one may be left over.
    is_only = len(others) > 2 and len(others) % 2 == 1 and min(others) == most > 4
    return warning if is_only else None


def _some_down(seen: Seen, gpu: LinkedGpu, level: Level, lost: Sequence[Link]) -> Finding:
    have = gpu.board.links if gpu.board and gpu.board.is_wired else len(gpu.links)
    ends = _lost_at_their_ends(seen.links, gpu, have)
    then = f", {span(seen.seconds)} ago too" if seen.was(gpu) else ""
    if lost:
        then = f"; {'it was' if len(gpu.down) == 1 else f'{len(lost)} of them were'} up {span(seen.seconds)} ago"
    return seen.of(
        level,
        gpu,
        "down",
        f"{len(gpu.down)} of {have} NVLinks {'is' if len(gpu.down) == 1 else 'are'} down ({numbers(gpu.down)}){then}"
        + (f"; as many as lead to {' and '.join(ends)}, which is lost" if ends else ""),
        "act on the GPU that is lost first; see afterwards whether they are up again (`nvidia-smi nvlink -s`)"
        if ends
        else f"every collective that uses it is slow or hangs; compare with `nvidia-smi nvlink -s`; {RESET}",
        since=instant(seen.before.fact.at) if lost and seen.before.fact and seen.before.fact.at else "",
        metrics={"links_up": len(gpu.up), "links_down": len(gpu.down)},
        covers=ends,
    )


def _lost_at_their_ends(links: NvLinks, gpu: LinkedGpu, have: int) -> tuple[str, ...]:
    """The GPUs that were lost, where they are at the other ends: without switches each two share the same number."""
    others = sum(1 for one in links if one is not gpu and one.links) + len(links.lost)
    is_theirs = bool(others) and len(gpu.down) * others == have * len(links.lost)
    return links.lost if is_theirs and gpu.is_wired and not links.has_switch and not gpu.is_meshed else ()


def _all_down(seen: Seen, gpus: Sequence[LinkedGpu]) -> Finding:
    """No link of any GPU is up: one cause, most often the Fabric Manager. A100 boards look so in MIG mode."""
    is_mig_known = all(gpu.is_mig is not None for gpu in gpus)
    was_up = any(gpu.up for gpu in seen.before.fact or ())
    have = gpus[0].board.links if gpus[0].board else max(len(gpu.links) for gpu in gpus)
    return (critical if is_mig_known or was_up else warning)(
        f"no NVLink of any of the {len(gpus)} GPUs is up"
        + (f", their boards have {have} each" if have else ", and SXM boards have them wired")
        + ("" if is_mig_known else " (unless they are in MIG mode, which is not told)")
        + (f"; {span(seen.seconds)} ago some were up" if was_up else ""),
        code="all_down",
        advice=_advice(seen.links),
        covers=[gpu.label for gpu in gpus],
        evidence=[gpu.line for gpu in gpus],
    )


def _usual_speeds(links: NvLinks) -> dict[str, int]:
    """MB/s that most links of a kind of GPU have."""
    by_kind: dict[str, Counter[int]] = {}
    for gpu in links:
        by_kind.setdefault(gpu.kind, Counter()).update([link.speed_mbps for link in gpu.up if link.speed_mbps])
    return {kind: speeds.most_common(1)[0][0] for kind, speeds in by_kind.items() if speeds}


def _slow(seen: Seen, gpu: LinkedGpu, usual: int, percent: float) -> Iterator[Finding]:
    least = usual * percent / 100
    slow = [link for link in gpu.up if link.speed_mbps and link.speed_mbps < least]
    if slow:
        speed = min(link.speed_mbps or 0 for link in slow)
        said = f"{named(slow)} at {speed / 1000:g} GB/s, the others at {usual / 1000:g}"
        yield seen.of(warning, gpu, "slow", said, RESET, metrics={"speed_mbps": speed})


def _pairs(seen: Seen, told: set[str]) -> Iterator[Finding]:
    """GPUs that cannot reach each other over links that are up. told: those of which there is a finding already."""
    can = [gpu for gpu in seen.links if gpu.p2p and gpu.up and gpu.is_wired and not gpu.is_meshed and _is_judged(gpu)]
    gpus = {gpu.index: gpu for gpu in can if gpu.index is not None and gpu.label not in told}
    pairs = [(one, n, said) for one, gpu in gpus.items() for n, said in enumerate(gpu.p2p) if n in gpus and n != one]
    broken: list[tuple[int, int, int]] = [(one, n, said) for one, n, said in pairs if said]
    if not broken or seen.links.is_shared:
        return
    why = " and ".join(sorted({REFUSED.get(said, f"status {said}") for _, _, said in broken}))
    advice = _advice(seen.links)
    if len(broken) == len(pairs):
        yield critical(
            f"the links of {len(gpus)} GPUs are up, and none may reach another over them (P2P: {why}): NCCL takes the "
            "way through the host",
            code="p2p",
            advice=advice,
            covers=[gpu.label for gpu in gpus.values()],
            evidence=[_quoted(gpu) for gpu in gpus.values()],
        )
        return
    while broken:
        worst = Counter(one for one, _, _ in broken).most_common(1)[0][0]
        others = ", ".join(str(other) for one, other, _ in broken if one == worst)
        what = f"its NVLinks are up, and it may not reach GPU {others} over them (P2P: {why}): NCCL takes another way"
        yield seen.of(warning, gpus[worst], "p2p", what, advice, evidence=[_quoted(gpus[worst])])
        broken = [pair for pair in broken if worst not in pair[:2]]


def _advice(links: NvLinks) -> str:
    """What to do about all GPUs: who sets up their switches."""
    return RACK if any(gpu.is_rack for gpu in links) else MANAGER if links.has_switch else RESET


def _quoted(gpu: LinkedGpu) -> Line:
    pairs = " ".join("X" if said is None else str(said) for said in gpu.p2p)
    return Line(gpu.line.answer, f"{gpu.pci or gpu.label}: p2p {pairs}")


def _fabric(links: NvLinks) -> Iterator[Finding]:
    """One finding for all GPUs that say the same."""
    fabrics = [(gpu, gpu.fabric) for gpu in links if gpu.fabric and gpu.virtualization != VGPU_GUEST]
    troubles: dict[tuple[str, Level], list[LinkedGpu]] = {}
    for gpu, fabric in fabrics:
        for trouble in _fabric_troubles(fabric, links.has_switch):
            troubles.setdefault(trouble, []).append(gpu)
    cliques = Counter(fabric.clique for _, fabric in fabrics if fabric.state == 3)
    if len(cliques) > 1:
        said = ", ".join(f"{count} in clique {clique}" for clique, count in sorted(cliques.items()))
        split = f"is split ({said}): they reach each other only within one"
        troubles[split, warning] = [gpu for gpu, _ in fabrics]
    for (what, level), gpus in troubles.items():
        one = gpus[0] if len(gpus) == 1 else None
        who = "" if one else f" of {len(gpus)} GPUs ({', '.join(gpu.label for gpu in gpus)})"
        yield level(
            f"the NVLink fabric{who} {what}",
            subject=one.label if one else "host",
            code="fabric",
            advice=_advice(links) if links.has_switch else MANAGER,
            covers=[] if one else [gpu.label for gpu in gpus],
            params={"GPU": gpus[0].pci},
            evidence=[Line(gpu.line.answer, f"{gpu.pci or gpu.label}: fabric {_said(gpu.fabric)}") for gpu in gpus],
        )


def _said(fabric: Fabric | None) -> str:
    if fabric is None:
        return ""
    health = f"health_mask={fabric.health_mask:#x} health_summary={fabric.health_summary}"
    return f"state={fabric.state} status={fabric.status} {health} clique={fabric.clique}"


def _fabric_troubles(fabric: Fabric, has_switch: bool) -> Iterator[tuple[str, Level]]:
    if fabric.state in (1, 2):
        what = "was never started" if fabric.state == 1 else "is still being set up"
        yield what + ("" if has_switch else ", although no NVSwitch was seen"), critical if has_switch else unknown
    for what, is_critical in decoded(fabric):
        yield what, critical if is_critical else warning


def _all_well(gpus: Sequence[LinkedGpu]) -> Finding:
    """A note: how many are up, and how fast."""
    kinds = Counter((len(gpu.up), max((link.speed_mbps or 0 for link in gpu.up), default=0)) for gpu in gpus)
    said = " and ".join(
        f"{count} GPU{'s' * (count > 1)} with {up} NVLinks up" + (f" at {speed / 1000:g} GB/s" if speed else "")
        for (up, speed), count in kinds.items()
    )
    return ok(said, code="up", evidence=[gpu.line for gpu in gpus[:1]])
