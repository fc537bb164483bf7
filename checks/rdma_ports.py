"""Ports of RDMA network cards: links, errors, addresses."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlopsdoc import Before, Finding, Line, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.quantities import instant, span
from mlopsdoc.facts.rdma import RdmaEvent, RdmaEvents, RdmaPort, RdmaPorts, nic_label
from mlopsdoc.facts.throttling import CpuTimes
from mlopsdoc.model import short_pci

Level = Callable[..., Finding]
DAY_S = 86400
CABLE = (
    "look at both ends: cable and transceiver (`sudo mlxlink -d {0} -m -e`), then the port of the switch; steps in the "
    "runbook"
)
LOSS = (
    "flow control has to be set from end to end: compare `sudo mlnx_qos -i IF` and the switch (PFC for the priority of "
    "RoCE, ECN), and see where packets are dropped (`ethtool -S IF | grep -E 'discard|pause'`); steps in the runbook"
)
DEAD = (
    "drain the node and power it off and on (a restart of the driver seldom helps); if it comes back, replace the "
    "card; steps in the runbook"
)
HOT = "read it (`sudo mlxlink -d {0} -m`), then look at the fans and at the transceiver; steps in the runbook"
# Counter -> how many of it are much in an hour, how few are never much, how bad that is, what it means.
LINK = {
    "link_downed": (0.0, 1, critical, "the link went down and came back"),
    "symbol_error": (120.0, 10, warning, "symbol errors"),
    "link_error_recovery": (300.0, 1, warning, "the link was trained anew"),
    "port_rcv_errors": (36_000.0, 10, warning, "packets came in broken"),
    "local_link_integrity_errors": (0.0, 1, warning, "more errors of the link than it bears"),
    "excessive_buffer_overrun_errors": (0.0, 1, warning, "the buffer of the port overran"),
    "port_xmit_discards": (360_000.0, 10, warning, "packets that could not be sent were dropped"),
    "rnr_nak_retry_err": (0.0, 1, warning, "requests were given up, for the other side was never ready"),
}
# What says that packets were lost or came in another order; local_ack_timeout_err: no answer came in time.
LOST = ("out_of_sequence", "packet_seq_err", "local_ack_timeout_err", "implied_nak_seq_err")
# What mlx5 wrote -> how bad, what it means, what to do.
LOGGED = {
    "dead": (critical, "its firmware answers no more", DEAD),
    "hot": (warning, "its transceiver is too hot", HOT),
    "module": (warning, "its transceiver or cable reports an error", CABLE),
    "stuck": (warning, "a queue of its network interface was stuck and was reset", CABLE),
}


class Seen(NamedTuple):
    """A port, the same ports of equal cards, how it was `seconds` ago, and what its driver wrote."""

    port: RdmaPort
    peers: list[RdmaPort]
    was: RdmaPort | None
    seconds: float
    links: list[RdmaEvent]
    now: float

    @property
    def up(self) -> list[RdmaPort]:
        return [peer for peer in self.peers if peer.is_up]

    @property
    def lost(self) -> RdmaEvent | None:
        """What says that its link was lost, if it was up before and not since."""
        ups = [number for number, event in enumerate(self.links) if event.kind == "link up"]
        return self.links[ups[-1] + 1] if ups and ups[-1] + 1 < len(self.links) else None


class Fault(NamedTuple):
    """What a finding will say."""

    level: Level
    code: str
    what: str
    advice: str = CABLE
    lines: tuple[Line | None, ...] = ()
    since: str = ""


@check(
    area="network",
    title="Ports of RDMA network cards are up, as fast as their peers, and lose nothing",
    params=("RDMA", "PCI"),
    explained_by=("pcie_aer",),
)
def rdma_ports(
    rdma: RdmaPorts | None,
    before: Before[RdmaPorts],
    events: RdmaEvents | None,
    times: CpuTimes | None,
    processes: GpuProcesses | None,
    *,
    least_peers: int = 3,
    lost_per_s_warning: float = 1.0,
    no_manager_s: float = 60.0,
    lookback_h: float = 24.0,
) -> Iterator[Finding]:
    """NCCL between hosts uses every port: one that is down or slow holds up all ranks, one that loses packets ends it.

    A port without a link is mostly one without a cable, so it counts only where something says that it should have one:
    it had a link earlier (an earlier look, the kernel log, InfiniBand's count of lost links), or the same ports of at
    least `least_peers` equal cards have one and it is one in four of them at most. One whose network interface nobody
    brought up does not. Slower than its peers: one alone, with at least as many faster ones; several slower ones are
    another network. One lane of InfiniBand is never meant; Ethernet names rates in lanes.

    Link up and still not active: no subnet manager sweeps it (InfiniBand); critical once it lasts `no_manager_s`.

    Counters count by growth alone, for they go back to before the boot and stick at their largest value. Limits are
    those of NVIDIA's NVSentinel: a lost link at once, 120 symbol errors an hour (NDR always has some), 5 new trainings
    a minute, 10 broken packets and 100 discards a second. Packets that were lost or came in another order (RoCE), and
    answers that did not come, from `lost_per_s_warning` (NVSentinel's for local_ack_timeout_err); without an earlier
    look by their mean since boot, where that is not known by what this makes in a day. InfiniBand that spreads packets
    over several ways reorders them by design. Congestion notices (CNP, ECN) are how RoCE works.

    Of the kernel log what mlx5 wrote in the last `lookback_h`: firmware that answers no more, a transceiver too hot.
    """
    if rdma is None and (events is None or not any(event.kind in LOGGED for event in events.events)):
        raise NothingHere("no RDMA device tells of its ports here")
    ports = rdma.ports if rdma else ()
    dead: set[str] = set()
    for event in _worst(events, lookback_h * 3600) if events else ():
        port = next((port for port in ports if port.slot == event.slot), None)
        dead |= {event.slot} if event.kind == "dead" else set()
        yield _logged(event, port, processes)
    for port in ports:
        if port.slot in dead:
            continue
        peers = [one for one in ports if one.place == port.place and port.board and one is not port]
        links = events.of(port.slot, "link up", "link down") if events and port.slot else []
        was = before.fact.same(port) if before.fact else None
        seen = Seen(port, peers, was, before.seconds, links, events.now if events else 0.0)
        if fault := _state(seen, least_peers, no_manager_s, lookback_h * 3600):
            yield _say(port, fault, processes)
        uptime = rdma.at - times.boot if rdma and rdma.at and times and times.boot else None
        for fault in _errors(seen, uptime, lost_per_s_warning):
            yield _say(port, fault, processes)
    if rdma:
        yield from _addresses(rdma)
        for port, fault in _strays(rdma, least_peers):
            yield _say(port, fault, processes)
        yield from _of_all(rdma)


def _say(port: RdmaPort, fault: Fault, processes: GpuProcesses | None) -> Finding:
    short = short_pci(port.slot) if port.slot else ""
    jobs = {p.pid: p.hurt for p in processes.processes if p.computes_in_job} if processes else {}
    return fault.level(
        fault.what,
        subject=port.label,
        code=fault.code,
        advice=fault.advice.format(port.device or "NAME"),
        since=fault.since,
        hurts=list(jobs.values()) if fault.level is critical else (),
        covers=[f"PCI device ({port.driver}) {short}", f"PCI device {short}"] if short else (),
        params={"RDMA": port.device, "PCI": port.slot},
        evidence=[port.line if port.state else None, *fault.lines],
    )


# ---- state


def _state(seen: Seen, least: int, no_manager_s: float, lookback_s: float) -> Fault | None:
    port = seen.port
    if port.state in ("INIT", "ARMED") and port.layer != "Ethernet":
        lasts = seen.was is not None and seen.was.state == port.state and seen.seconds >= no_manager_s
        return Fault(
            critical if lasts else warning,
            "no_manager",
            f"its link is up, but no subnet manager brought it into the network: {port.state}, should be ACTIVE"
            + (f"; {span(seen.seconds)} ago too" if lasts else ""),
            "see whether a subnet manager answers (`sudo sminfo -C {0}`), and whether other hosts on this switch have "
            "it too; steps in the runbook",
        )
    if port.state == "DOWN":
        return _down(seen, least, lookback_s)
    if port.is_up and port.layer == "InfiniBand" and "(1X " in port.rate:
        return Fault(warning, "narrow", f"one lane of its link works: {port.rate}")
    rates = {peer.gbps for peer in seen.up}
    if port.is_up and 0 < port.gbps < min(rates, default=0) and len(rates) == 1 and len(seen.up) >= least:
        peers = f"the same port of {len(seen.up)} equal cards at {seen.up[0].rate}"
        return Fault(warning, "slow", f"runs at {port.rate}, {peers}", lines=(seen.up[0].line,))
    return None


def _down(seen: Seen, least: int, lookback_s: float) -> Fault | None:
    port, up, lost = seen.port, len(seen.up), seen.lost
    how = f"down ({port.physical})" if port.physical else "down"
    is_odd = up >= least and (len(seen.peers) - up + 1) * 3 <= up
    peers = f", while the same port of {up} equal cards is up" if is_odd else ""
    if port.physical == "linkerrorrecovery":
        return Fault(critical, "down", f"its link does not hold: it is trained again and again{peers}")
    if port.is_off:
        return None
    if seen.was and seen.was.is_up:
        return Fault(critical, "down", f"{how}, it was up {span(seen.seconds)} ago{peers}")
    if lost:
        is_recent = lost.line.at is None or seen.now - lost.line.at <= lookback_s
        since = instant(lost.line.at)
        when = f" since {since}" if since else ""
        level = critical if is_recent or is_odd else warning
        return Fault(level, "down", f"{how}{when}, it was up before{peers}", CABLE, (lost.line.line,), since)
    downed = port.counters.get("link_downed", 0) if port.physical == "polling" else 0
    if not is_odd and not downed:
        return None
    once = f"; it had a link, which was lost {'once' if downed == 1 else f'{downed} times'}" if downed else ""
    return Fault(critical if is_odd and downed else warning, "down", f"{how}{peers}{once}")


# ---- errors


def _errors(seen: Seen, uptime: float | None, lost_per_s: float) -> Iterator[Fault]:
    """What grew, by the hour. A counter that fell began anew; one at the end of its range says nothing."""
    now, was = seen.port.counters, seen.was.counters if seen.was else {}
    grown = {k: n - was[k] if n >= was[k] else n for k, n in now.items() if k in was} if seen.seconds > 0 else {}
    when = f"in the last {span(seen.seconds)}"
    for name, (per_h, least, level, words) in LINK.items():
        count = grown.get(name, 0)
        if count >= least and count * 3600 > per_h * seen.seconds and (name != "link_downed" or seen.port.is_up):
            yield Fault(level, name, f"{words}: {name} grew by {count} {when}", CABLE, (_line(seen.port, name),))
    names = LOST if seen.port.is_roce else LOST[1:]
    told = {name: grown[name] for name in names if name in grown}
    limit = seen.seconds * lost_per_s
    if not told:
        told, limit = {name: now[name] for name in names if name in now}, (uptime or DAY_S) * lost_per_s
        when = f"in {span(uptime)} since boot" if uptime else "since its counters began, nothing says when"
    much = {name: count for name, count in told.items() if count > limit}
    if much:
        counts = ", ".join(f"{name} {count}" for name, count in much.items())
        what = f"packets are lost or come in another order and are sent again, which stops NCCL: {counts} {when}"
        yield Fault(warning, "lost", what, LOSS, tuple(_line(seen.port, name) for name in list(much)[:2]))


def _line(port: RdmaPort, name: str) -> Line:
    return Line(
        f"read /sys/class/infiniband/{port.device}/ports/{port.number}",
        f"{port.device} port {port.number}: {name} {port.counters[name]}",
    )


# ---- the kernel log


def _worst(events: RdmaEvents, lookback_s: float) -> Iterator[RdmaEvent]:
    """The last line of each kind and device that is not old, and after which the driver did not start anew."""
    loaded = {event.slot: number for number, event in enumerate(events.events) if event.kind == "loaded"}
    last = {
        (event.slot, event.kind): event
        for number, event in enumerate(events.events)
        if event.kind in LOGGED and number > loaded.get(event.slot, -1)
        and (event.line.at is None or events.now - event.line.at <= lookback_s)
    }  # fmt: skip
    return iter(last.values())


def _logged(event: RdmaEvent, port: RdmaPort | None, processes: GpuProcesses | None) -> Finding:
    level, what, advice = LOGGED[event.kind]
    since = instant(event.line.at)
    when = f" at {since}" if since else ""
    fault = Fault(level, event.kind, f"{what}, says the kernel log{when}", advice, (event.line.line,), since)
    return _say(port or RdmaPort("", slot=event.slot, driver="mlx5_core"), fault, processes)


# ---- addresses and firmware


def _addresses(rdma: RdmaPorts) -> Iterator[Finding]:
    """The row that NCCL was told to use, of each table that has an address to route by in another one."""
    index = rdma.addresses.index
    for (device, number), rows in rdma.addresses.tables.items():
        good = [gid for gid in rows.values() if gid.version == 2 and gid.is_routed]
        row = rows.get(index) if index is not None else None
        ends = min(rows) < (index or 0) < max(rows) and {gid.version for gid in rows.values()} == {1, 2}
        if index is None or not good or (row and row.is_routed) or (row is None and not ends):
            continue
        is_local = row is not None and row.is_local
        what = "is a link-local address, which nothing routes" if is_local else "is empty, there is no address"
        yield warning(
            f"NCCL_IB_GID_INDEX={index}, and GID {index} {what}: connections to other hosts fail or time out; the RoCE "
            f"v2 address {good[0].shown} is at index {good[0].index}",
            subject=nic_label(device, number) if device else "host",
            code="gid_index",
            advice="unset NCCL_IB_GID_INDEX (NCCL 2.21 and newer find the address themselves), or set it to "
            f"{good[0].index}; rows move when a link or an interface goes down and comes back; steps in the runbook",
            params={"RDMA": device},
            evidence=[rdma.addresses.line, row.line if row else None, good[0].line],
        )


def _strays(rdma: RdmaPorts, least: int) -> Iterator[tuple[RdmaPort, Fault]]:
    """RoCE ports that are up without an address to route by, where those of equal cards have one."""
    tables = rdma.addresses.tables
    ports = [port for port in rdma.ports if port.is_up and port.board and (port.device, port.number) in tables]
    has = {port.label: any(gid.is_routed for gid in tables[port.device, port.number].values()) for port in ports}
    for port in ports:
        peers = [has[one.label] for one in ports if one.place == port.place]
        if not has[port.label] and peers.count(True) >= max(least, 3 * peers.count(False)):
            what = f"up, but without an IP address, the same port of {peers.count(True)} equal cards has one: no GID"
            advice = "give its interface its address again (`ip -br addr`, netplan or nmcli); steps in the runbook"
            yield port, Fault(warning, "no_address", f"{what} that leads to other hosts", advice)


def _of_all(rdma: RdmaPorts) -> Iterator[Finding]:
    boards: dict[str, dict[str, RdmaPort]] = {}
    for port in rdma.ports:
        if port.board and port.firmware:
            boards.setdefault(port.board, {}).setdefault(port.device, port)
    for board, devices in boards.items():
        versions = sorted({port.firmware for port in devices.values()})
        if len(versions) > 1:
            named = "; ".join(f"{v} on {', '.join(n for n, p in devices.items() if p.firmware == v)}" for v in versions)
            yield warning(
                f"{len(devices)} equal cards ({board}) run different firmware: {named}",
                code="firmware",
                advice="bring them to one version when the node is drained; steps in the runbook",
                params={"RDMA": next(iter(devices))},
                evidence=[port.line for port in list(devices.values())[:2]],
            )
    if rdma.idle:
        yield warning(
            f"InfiniBand card{'s' * (len(rdma.idle) > 1)} {', '.join(map(short_pci, rdma.idle[:8]))} without an RDMA "
            "device: NCCL cannot use what is not there",
            code="idle",
            advice="sudo modprobe mlx5_ib, then see what the kernel says (`sudo dmesg`, mlx5); steps in the runbook",
            params={"PCI": rdma.idle[0]},
        )
    dark = [port.device for port in rdma.ports if not port.state]
    if rdma.unseen or dark or not (rdma.ports or rdma.idle):
        which = f" of {', '.join(dark[:8])}" if dark else ""
        why = f": {rdma.unseen}" if rdma.unseen else ""
        yield unknown(f"whether the links{which} are up could not be seen{why}", code="unseen", advice="ibstat tells")
    up = [port.rate or "an unknown rate" for port in rdma.ports if port.is_up]
    if up:
        rates = ", ".join(f"{up.count(rate)} at {rate}" for rate in dict.fromkeys(up))
        yield ok(f"{len(up)} of {len(rdma.ports)} ports up: {rates}", code="ports")
