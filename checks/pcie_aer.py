"""PCIe errors of devices and ports."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from mlopsdoc import Before, Finding, check, critical, ok, warning
from mlopsdoc.facts.aer_counts import AerCount, AerCounts
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.pcie_errors import CORRECTED, FATAL, PcieError, PcieErrors
from mlopsdoc.facts.quantities import instant, span
from mlopsdoc.model import short_pci

Level = Callable[..., Finding]
SIGNAL = (
    "the signal on that link is bad: see which device is behind it (lspci -tv), and at the next pause reseat the card, "
    "its riser or cable, or lower the generation of the slot in the BIOS; steps in the runbook"
)
PROTOCOL = (
    "a device did not answer, or was asked or sent what it may not: see which one is behind it (lspci -tv), what its "
    "driver said then (sudo dmesg -T); its firmware and driver first, its seat next; steps in the runbook"
)
LINK = ("RxErr", "BadTLP", "BadDLLP", "Rollover", "Timeout", "DLP", "SDES")  # those of a bad signal
QUIET = ("UnsupReq", "NonFatalErr")  # a question that the device does not know: probing and firmware do that
# How errors are called in the log -> in words.
NAMES = {
    "RxErr": "receiver error", "BadTLP": "bad packet (BadTLP)", "BadDLLP": "bad link packet (BadDLLP)",
    "Rollover": "replay counter rolled over", "Timeout": "replay timer timeout", "CmpltTO": "completion timeout",
    "SDES": "surprise down", "MalfTLP": "malformed packet", "ACSViol": "ACS violation",
    "DLP": "data link protocol error",
}  # fmt: skip


@check(
    area="pcie",
    title="No PCIe device or port reports errors",
    params=("PCI",),
)
def pcie_aer(
    errors: PcieErrors,
    counts: AerCounts | None,
    before: Before[AerCounts],
    gpus: Gpus | None,
    *,
    per_min_warning: int = 16,
    lookback_h: float = 24.0,
) -> Iterator[Finding]:
    """A bad signal between a port and its card costs retries first, and in the end the GPU falls off the bus.

    Corrected errors: as many as DCGM allows replays of a Gen4 x16 link in a minute (`per_min_warning`: 16, a bit error
    rate of 1e-12), within one minute. Of a part of a log its own span counts instead, from two errors on. Uncorrected
    ones: fatal is critical, others are a warning, but for requests that a device does not support (edac and AER rules
    of the kernel's documentation). What is older than `lookback_h` is a note.

    The kernel's counters (aer_dev_*) tell of what the log left out, for it is limited and overwritten: by what they
    grew since an earlier look, by the same rules; without one they are a note, for what they have may be of the start.
    """
    groups: dict[tuple[str, str], list[PcieError]] = {}
    for error in errors.errors:
        groups.setdefault((error.device, error.severity), []).append(error)
    for group in groups.values():
        yield _judged(errors, group, gpus, per_min_warning, lookback_h * 3600)
    seconds = counts.at - before.fact.at if counts and before.fact else 0.0
    for one in counts.counts if counts else ():
        if (one.device, one.severity) not in groups:
            was = before.fact.same(one) if before.fact else None
            yield _counted(one, was.counts if was else {}, seconds, gpus, per_min_warning)


def _counted(one: AerCount, was: dict[str, int], seconds: float, gpus: Gpus | None, most: int) -> Finding:
    """A count that fell began anew, with the device."""
    grown = {k: n - was.get(k, 0) if n >= was.get(k, 0) else n for k, n in one.counts.items()} if seconds > 0 else {}
    much = {name: n for name, n in grown.items() if n and name not in QUIET}
    minute = sum(much.values()) * 60 / max(seconds, 60.0)
    is_much = bool(much) and (one.severity != CORRECTED or minute >= most)
    level: Level = ok if not is_much else critical if one.severity == FATAL else warning
    shown = much if is_much else one.counts
    when = f"in the last {span(seconds)}" if is_much else "since boot" + ("" if seconds else ", nothing says when")
    words = one.severity if one.severity == CORRECTED else f"uncorrected, {one.severity}"
    total = sum(shown.values())
    return level(
        f"{total} PCIe error{'s' * (total > 1)} (AER), {words}, counted {when}: {_kinds(list(shown.items())[:4])}",
        subject=_label(gpus, one.device) or f"PCI device {short_pci(one.device)}",
        code=f"counted_{one.severity}",
        advice=_advice(level, shown),
        params={"PCI": one.device},
        metrics={"errors": total},
        evidence=[one.line],
    )


def _judged(said: PcieErrors, group: list[PcieError], gpus: Gpus | None, most: int, lookback_s: float) -> Finding:
    first, last = group[0], group[-1]
    names = Counter(name for error in group for name in error.names)
    is_quiet = bool(names) and set(names) <= set(QUIET)
    count, words = len(group), first.severity
    level: Level = critical if first.severity == FATAL else ok if is_quiet else warning
    if first.severity == CORRECTED:
        count, seconds = _busiest(group)
        is_fast = seconds is not None and count > 1 and count >= most * max(seconds, 1) / 60
        level = warning if (count >= most or (is_fast and said.log.is_part)) and not is_quiet else ok
        words = "corrected" + (f", {count} of them within {span(seconds)}" if seconds and count > 1 else "")
    if last.line.at is not None and said.log.now - last.line.at > lookback_s:
        level = ok
    kinds = _kinds(names.most_common(4)) or first.layer
    what = "PCIe port" if first.driver == "pcieport" else f"PCI device ({first.driver})"
    uncorrected = "" if first.severity == CORRECTED else "uncorrected, "
    return level(
        f"{len(group)} PCIe error{'s' * (len(group) > 1)} (AER), {uncorrected}{words}: {kinds}"
        + ("" if level is not ok else "; no storm"),
        subject=_label(gpus, first.device) or f"{what} {short_pci(first.device)}",
        code=first.severity,
        advice=_advice(level, names),
        since=instant(first.line.at),
        params={"PCI": first.device},
        metrics={"errors": len(group)},
        evidence=[first.line.line, last.line.line],
    )


def _label(gpus: Gpus | None, device: str) -> str:
    return next((gpu.label for gpu in gpus or () if gpu.pci == device), "")


def _kinds(counts: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{NAMES.get(name, name)} (x{count})" for name, count in counts)


def _advice(level: Level, names: Mapping[str, int]) -> str:
    """By what errors are called; where nothing calls them, they are those of a bad signal."""
    return "" if level is ok else SIGNAL if not names or names.keys() & set(LINK) else PROTOCOL


def _busiest(group: list[PcieError]) -> tuple[int, float | None]:
    """The most errors in a minute, and in how many seconds those came; without times all of them, and None."""
    gaps = [error.line.seconds_after(group[0].line) for error in group]
    times = sorted(gap for gap in gaps if gap is not None)
    if len(times) < len(group):
        return len(group), None
    best, start = (0, 0.0), 0
    for end, when in enumerate(times):
        while when - times[start] > 60:
            start += 1
        best = max(best, (end - start + 1, when - times[start]))
    return best
