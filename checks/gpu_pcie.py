"""PCIe links of GPUs that are narrower or slower than they can be, and traffic that takes a detour."""

from collections.abc import Callable, Iterator
from math import ceil

from mlopsdoc import Before, Finding, check, ok, unknown, warning
from mlopsdoc.facts.gpus import C2C, Gpus
from mlopsdoc.facts.nvml import CODES, XID, in_words
from mlopsdoc.facts.pcie import Hop, PcieLink, PcieLinks, Redirect
from mlopsdoc.facts.quantities import span
from mlopsdoc.model import short_pci

Level = Callable[..., Finding]
SPEEDS = {1: "2.5", 2: "5", 3: "8", 4: "16", 5: "32", 6: "64"}  # GT/s of a lane
REPLAYS = {1: 0.15, 2: 0.3, 3: 0.48, 4: 0.96, 5: 1.92, 6: 3.84}  # a lane and minute at a bit error rate of 1e-12 (DCGM)
RESEAT = (
    "when the host is drained: off, reseat the card and its riser or cable; if it stays, try another slot and look for "
    "a setting of the slot in the BIOS; steps in the runbook"
)
SLOW = (
    "look whether it stays (`nvidia-smi --query-gpu=index,pcie.link.gen.current,utilization.gpu --format=csv -l 1`), "
    "then at the slot's setting in the BIOS, riser and seat; steps in the runbook"
)
UNTOLD = "`nvidia-smi -q`, in full, tells it"
DETOUR = (
    "if no virtual machine needs it, switch ACS off in the BIOS, or on these ports at boot with setpci (and use "
    "iommu=pt): steps in the runbook; until then NCCL_P2P_LEVEL and NCCL_NET_GDR_LEVEL may keep jobs off that way"
)


@check(
    area="pcie",
    title="GPUs have all their PCIe lanes, full speed under load, and a straight way to each other",
    params=("GPU", "PCI"),
    explained_by=("gpu_presence", "driver_stack"),
)
def gpu_pcie(
    links: PcieLinks, before: Before[PcieLinks], gpus: Gpus | None, *, loaded_percent: int = 50
) -> Iterator[Finding]:
    """A link at half its width halves every copy to and from the GPU; nothing else tells of it.

    Width: fewer lanes than both ends of a link can is a warning at any time, at the GPU and at every switch port above
    it (sichek; a device of PCIe never gives lanes up to save power). What the slot or the switch cannot is by design, a
    note; so are virtual machines and laptops, whose wiring is not told or fixed, superchips with Grace, which copy over
    NVLink-C2C, and GeForce boards at 8 lanes where the slot is not known. Generation: lower than both ends can is a
    warning under load only (`loaded_percent`, P0 to P3), for idle GPUs lower it to save power; some boards flap, so an
    earlier look is named. Replays: more in a minute than a bit error rate of 1e-12 makes (DCGM: lanes x 0.96 at Gen4,
    1.92 at Gen5), by growth alone.

    ACS with request redirect (ReqRedir) on the ports of a switch sends what goes from GPU to GPU or NIC below it up to
    the root and back: slow, or it hangs GPUDirect (NCCL's guide). Source validation alone redirects nothing. A root
    port is at the root anyway. Not judged in virtual machines, and where a device is passed through to one.
    """
    told: set[str] = set()
    for link in links.links:
        if not link.is_told:
            advice = CODES.get(link.error, ("", XID))[1]
            yield unknown(f"its PCIe link: {in_words(link.error)}", subject=link.label, code="refused", advice=advice)
            continue
        for n, hop in enumerate(link.hops()):
            if n and hop.lower.slot in told:
                continue
            told.add(hop.lower.slot)
            yield from _width(links, link, hop, n > 0)
            now, possible = hop.generation, hop.possible("max_generation")
            if (link.gpu is None or link.gpu.leaves_out("utilization")) and now and possible and now < possible:
                what = (
                    f"its PCIe link runs at Gen{now} of Gen{possible}; an idle GPU does, and its load is not told here"
                )
                yield _finding(unknown, links, link, hop, n > 0, what, code="load", advice=SLOW)
            elif _is_loaded(link, loaded_percent):
                yield from _generation(links, link, hop, n > 0, before)
        if (slow := _narrowest(link)) and not links.is_virtual:
            yield slow
        yield from _replays(links, link, before)
    for redirect in links.redirects:
        yield _redirect(redirect)
    for subject, what, advice, code in gpus.gaps("the PCIe link") if gpus else ():
        yield unknown(what, subject=subject or "host", advice=advice, code=code)
    for label in links.untold:
        yield unknown("its PCIe link is not in what is here", subject=label, code="untold", advice=UNTOLD)
    if links.acs_unseen:
        yield unknown(links.acs_unseen, code="acs", advice=CODES[4][1])


def _is_loaded(link: PcieLink, percent: int) -> bool:
    gpu = link.gpu
    return gpu is not None and (gpu.utilization or 0) >= percent and (gpu.pstate is None or gpu.pstate <= 3)


def _finding(level: Level, links: PcieLinks, link: PcieLink, hop: Hop, above: bool, what: str, **about: str) -> Finding:
    covers = [one.label for one in links.links if any(port.slot == hop.lower.slot for port in one.path[:-1])]
    end = hop.lower.line or (hop.upper.line if hop.upper else None)
    pci = hop.lower.slot or link.pci
    return level(
        what,
        subject=f"PCIe port {short_pci(pci)}" if above else link.label,
        covers=covers if above else (),
        params={"PCI": pci, **({"GPU": link.pci} if link.gpu else {})} if pci else {},
        metrics={"lanes": hop.width, "generation": hop.generation},
        evidence=[end, hop.upper.line if hop.upper and hop.upper.line is not end else None],
        **about,
    )


def _width(links: PcieLinks, link: PcieLink, hop: Hop, above: bool) -> Iterator[Finding]:
    width, possible = hop.width, hop.possible("max_width")
    if not width or (width >= possible if possible else not hop.lower.downgraded):
        return
    name = link.name
    is_small = links.is_portable or any(word in name for word in ("Laptop", "Max-Q", "Mobile"))
    is_guest = links.is_virtual or bool(link.gpu and link.gpu.virtualization)
    is_desktop = "GeForce" in name and width >= 8 and (hop.upper is None or not hop.upper.max_width)
    is_c2c = any(word in name for word in C2C)
    is_note = is_small or is_guest or is_desktop or is_c2c
    where = f", and with it {_names(links, hop)}" if above else ""
    why = (
        "its copies go over NVLink-C2C"
        if is_c2c
        else "its wiring may be so"
        if is_note
        else f"{100 * width // possible} % of the bandwidth"
        if possible
        else "lspci: downgraded"
    )
    lanes = (
        f"{width} of {possible} lanes (x{width} of x{possible})" if possible else f"x{width}, fewer lanes than it can"
    )
    what = f"its PCIe link has {lanes}{where}: {why}"
    yield _finding(ok if is_note else warning, links, link, hop, above, what, code="width", advice=RESEAT)


def _generation(
    links: PcieLinks, link: PcieLink, hop: Hop, above: bool, before: Before[PcieLinks]
) -> Iterator[Finding]:
    now, possible = hop.generation, hop.possible("max_generation")
    if not now or not possible or now >= possible:
        return
    was = before.fact.same(link) if before.fact else None
    then = next(was.hops()).generation if was and not above else None
    since = ""
    if then and (seconds := before.seconds_to(links.at)) > 0:
        since = f", {'and' if then < possible else 'not'} {span(seconds)} ago"
    speeds = f"{SPEEDS.get(now, '?')} of {SPEEDS.get(possible, '?')} GT/s"
    what = f"its PCIe link runs at Gen{now} of Gen{possible} ({speeds}) under load{since}"
    is_note = links.is_virtual or links.is_portable or any(word in link.name for word in C2C)
    level = ok if is_note else warning
    yield _finding(level, links, link, hop, above, what, code="generation", advice=SLOW)


def _names(links: PcieLinks, hop: Hop) -> str:
    below = [one.label for one in links.links if any(port.slot == hop.lower.slot for port in one.path)]
    return ", ".join(below) if len(below) <= 4 else f"{len(below)} GPUs"


def _narrowest(link: PcieLink) -> Finding | None:
    """Where the way up can do less than the GPU's own link: by how it is built, for what fell short is told before."""
    ways = [(hop, hop.possible("max_width"), hop.possible("max_generation")) for hop in link.hops()]
    full = [(lanes * 2**generation, hop) for hop, lanes, generation in ways if lanes and generation]
    if len(full) < 2 or not ways[0][1] or full[0][0] <= min(full, key=lambda one: one[0])[0]:
        return None
    hop = min(full, key=lambda one: one[0])[1]
    lanes, speed = hop.possible("max_width"), SPEEDS.get(hop.possible("max_generation") or 0)
    at = short_pci(hop.lower.slot)
    what = f"its way to the CPU is {speed} GT/s x{lanes} at port {at}, less than its own link: so it is wired"
    return ok(what, subject=link.label, code="narrowest", params={"PCI": hop.lower.slot}, evidence=[hop.lower.line])


def _replays(links: PcieLinks, link: PcieLink, before: Before[PcieLinks]) -> Iterator[Finding]:
    """A count that fell began anew with the driver; one that is small did not grow by more."""
    hop = next(link.hops())
    most = ceil((hop.width or 0) * REPLAYS.get(hop.generation or 1, 3.84))
    if not most or link.replays is None or link.replays <= most:
        return
    was, seconds = before.fact.same(link) if before.fact else None, before.seconds_to(links.at)
    if was is None or was.replays is None or seconds < 1:
        return
    grown = link.replays - was.replays if link.replays >= was.replays else link.replays
    if (minute := grown * 60 / max(seconds, 60.0)) > most:
        yield warning(
            f"its PCIe link repeats {minute:.0f} packets a minute ({grown} in {span(seconds)}), {most} are usual: "
            "the signal is bad",
            subject=link.label,
            code="replays",
            advice=RESEAT,
            params={"GPU": link.pci, "PCI": link.pci},
            metrics={"replays": grown, "replays_per_minute": round(minute, 1)},
            evidence=[hop.lower.line],
        )


def _redirect(redirect: Redirect) -> Finding:
    if not redirect.slot:
        many = f"{redirect.count} PCIe bridges" if redirect.count > 1 else "a PCIe bridge"
        what = (
            f"ACS is on at {many} (which ones is not told here) and redirects requests: traffic from GPU to GPU or NIC "
            "goes up to the root and back, GPUDirect gets slow or fails"
        )
        return warning(what, code="acs", advice=DETOUR, evidence=[redirect.line])
    return warning(
        f"ACS redirects what goes from {' or '.join(redirect.peers[:1])} to {', '.join(redirect.peers[1:4])} up to the "
        "root and back: GPUDirect gets slow or fails",
        subject=f"PCIe port {short_pci(redirect.slot)}",
        code="acs",
        advice=DETOUR,
        covers=[peer for peer in redirect.peers if peer.startswith("GPU")],
        params={"PCI": redirect.slot},
        evidence=[redirect.line],
    )
