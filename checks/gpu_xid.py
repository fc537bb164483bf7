"""What the NVIDIA driver reported to the kernel log: Xids, SXids, GPUs that did not come up."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlopsdoc import Finding, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_health import GpuHealths
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.kernel_log import KernelLine
from mlopsdoc.facts.nvlink import NvLinks
from mlopsdoc.facts.quantities import instant, span
from mlopsdoc.facts.xid_catalogue import in_words, xid74
from mlopsdoc.facts.xid_episodes import ECHO, MINOR, PROGRAM, SERIOUS, Episode, episodes
from mlopsdoc.facts.xid_words import (
    ALL_SWITCHES,
    ECC,
    EVIDENCE,
    INSPECT,
    ONE_PORT,
    OTHER_DRIVER,
    OWNER,
    TROUBLES,
    WANTS,
    WPR2,
)  # fmt: skip
from mlopsdoc.facts.xids import INIT, NVLINK, Trouble, Xids
from mlopsdoc.model import HOST, gpu_subject

Level = Callable[..., Finding]


class Look(NamedTuple):
    """What a judgement needs besides the lines."""

    said: Xids
    gpus: Gpus | None
    processes: GpuProcesses | None
    links: NvLinks | None
    calm: frozenset[str]  # GPUs of which the driver says that nothing must be done
    lookback_s: float
    cleared_s: float

    def label(self, pci: str) -> str:
        known = [*self.gpus, *self.gpus.lost] if self.gpus else []
        return next((one.label for one in known if one.pci == pci), "") or (gpu_subject(None, pci) if pci else HOST)

    def answers_since(self, pci: str, line: KernelLine) -> bool:
        """Whether NVML named that GPU, or any where it is not known which, after the line was written."""
        is_later = self.gpus is not None and line.at is not None and self.gpus.at > line.at
        return is_later and any(pci in ("", gpu.pci) for gpu in self.gpus or ())

    def works_since(self, pci: str, line: KernelLine, number: int) -> str:
        """What shows that the GPU works again, or nothing. A GPU that needs a reset lets no program start; one whose
        NVLink is broken does."""
        linked = {gpu.pci for gpu in self.links or () if gpu.up and not gpu.down}
        if line.at is None or number in ECC or (number in NVLINK and pci not in linked):
            return ""
        started = [p for p in self.processes.processes if p.pci == pci and p.here] if self.processes else []
        if later := next((p for p in started if p.started and p.started > line.at + 5), None):
            return f"it works again: pid {later.pid} started on it at {instant(later.started)}"
        return "it is on the bus again" if number == 79 and self.answers_since(pci, line) else ""

    def links_now(self, pci: str) -> str:
        """That all NVLinks of it are up, or of all GPUs where it is not known which it was; or nothing."""
        found = [gpu for gpu in self.links or () if gpu.links and pci in ("", gpu.pci)]
        return "its NVLinks are up now" if found and not any(gpu.down for gpu in found) else ""

    def is_cleared(self, pci: str, line: KernelLine, number: int) -> bool:
        """Whether the driver has wanted nothing of it for long enough. It does not ask so for its memory and links."""
        is_long_ago = line.at is not None and self.said.log.now - line.at > self.cleared_s
        return is_long_ago and pci in self.calm and number not in (*ECC, *NVLINK)

    def over(self, pci: str, n: int, line: KernelLine, number: int = 0) -> str:
        """Why what was reported is history, or nothing."""
        if reset := self.said.reset_after(n, pci):
            return f"{reset.what}{_clock(reset.line)}"
        return self.works_since(pci, line, number)

    def is_old(self, line: KernelLine) -> bool:
        return line.at is not None and self.said.log.now - line.at > self.lookback_s


@check(
    area="gpu",
    title="The NVIDIA driver reported no fault (Xid) since boot",
    params=("GPU",),
    explains=("gpu_presence", "gpu_thermal", "gpu_hang", "gpu_ecc", "gpu_recovery", "nvlink_errors", "nvlink_links"),
)
def gpu_xid(
    said: Xids,
    gpus: Gpus | None,
    processes: GpuProcesses | None,
    links: NvLinks | None,
    health: GpuHealths | None,
    *,
    lookback_h: float = 72.0,
    cleared_h: float = 1.0,
    programs: int = 3,
    programs_at_place: int = 2,
    covered_h: float = 24.0,
) -> Iterator[Finding]:
    """The driver writes a numbered line (Xid) when a GPU fails, and often a crowd of others that follow from it.

    Lines of one GPU within a minute are one event, and the first of the worst is named (NVIDIA, "Analyzing Xid Errors
    with the Xid Catalog"); 43 and 45 only clean up. How bad a code is, and what to do, is the catalogue's: critical
    takes the GPU out, what a program can cause (13, 31, 109 after one of them) is a note to its owner, unless
    `programs` different programs failed so on one GPU and on no other; of Xid 13 `programs_at_place` are enough where
    it was the same cores each time (NVIDIA's workflow: same GPC and TPC). NVLink faults of Blackwell (144 to 150) and
    the registers of Xid 74 are decoded; those of peers of a dead GPU are its echo. Xid 154 is the driver's own verdict.

    Only this boot counts. What a reset, a reload of the driver or a later program on that GPU has ended is a note, and
    so is a warning older than `lookback_h` (GPUd looks back 3 days). Where the GPU answers and the driver wants nothing
    of it (recovery action none) `cleared_h` after its last line, critical becomes a warning. The same critical code
    before the last reboot or reset asks for an inspection. SXids of NVSwitches count by class (Fabric Manager User
    Guide, appendix D).

    A log that was filtered proves no absence: unknown. One that reaches back `covered_h` without a gap is good enough.
    """
    answer = {gpu.pci for gpu in gpus or ()}
    calm = frozenset(gpu.pci for gpu in health or () if gpu.number("recovery") == 0 and gpu.pci in answer)
    look = Look(said, gpus, processes, links, calm, lookback_h * 3600, cleared_h * 3600)
    found = [*_xids(look, programs, programs_at_place), *_switches(look)]
    serious = {f.subject for f in found if f.status.is_alarm}
    found += _troubles(look, serious)
    yield from found
    if not any(f.status.is_trouble for f in found):
        yield _coverage(look, covered_h * 3600, found)


def _xids(look: Look, programs: int, at_place: int) -> Iterator[Finding]:
    groups: dict[tuple[str, int, bool], list[Episode]] = {}
    quiet: Counter[int] = Counter()
    for one in episodes(look.said):
        if one.rank == ECHO:
            quiet.update(event.number for event in one.xids)
        else:
            groups.setdefault((one.pci, one.cause.number, one.rank == PROGRAM), []).append(one)
    for (pci, number, _), group in groups.items():
        others = {other for other, code, _ in groups if code == number and other != pci}
        new = [one.cause for one in group if not look.is_old(one.cause.line)]
        names = {cause.process for cause in new if cause.process}
        places = {event.place for one in group for event in one.xids if event.place}
        place = places.pop() if len(places) == 1 and len(group) > 1 else ""
        is_suspect = not others and len(names) >= (at_place if place else programs)
        yield _judged(look, group, place, is_suspect=is_suspect)
    if quiet:
        counts = ", ".join(f"{number} (x{count})" for number, count in sorted(quiet.items()))
        yield ok(f"Xid {counts}: nothing but clean-up after jobs that ended, and records", code="quiet")


def _judged(look: Look, group: list[Episode], place: str, *, is_suspect: bool) -> Finding:
    """All events of one GPU with the same cause; those that are over tell of it only where none is not."""
    pci, number = group[0].pci, group[0].cause.number
    ends = [look.over(pci, one.cause.n, one.cause.line, number) for one in group]
    running = [one for one, end in zip(group, ends) if not end]
    over = "" if running else ends[-1]
    main = max(running or group, key=lambda one: (one.rank, one.cause.n))
    cause, code, last = main.cause, main.cause.code, group[-1]
    again = main.rank == SERIOUS and _came_before(look, group)
    is_program = main.rank == PROGRAM
    level: Level = {SERIOUS: critical, MINOR: warning}.get(main.rank, ok)
    level = warning if main.follows or (is_program and is_suspect) else level
    is_cleared = level is critical and not again and look.is_cleared(pci, last.last.line, number)
    level = warning if is_cleared else level if code.is_known else unknown
    if over or (level is warning and look.is_old(last.last.line)):
        level = ok
    words = [f"Xid {code.number}: {code.meaning}{_detail(main)}{_whom(main)}", *_more(look, group, main)]
    words += [f"each time at the same cores ({place})"] if place else []
    words += ["the program's own error, as far as it shows"] if is_program and not is_suspect else []
    words += ["different programs fail so on this GPU and on no other"] if is_program and is_suspect else []
    words += ["the same came before, and a reset or reboot did not end it"] if again else []
    words += ["the driver wants nothing of it any more"] if is_cleared and not over else []
    words += [f"over: {over}"] if over else []
    hurts = look.processes.hurts(pci) if look.processes and level in (critical, warning) else []
    return level(
        "; ".join(words),
        subject=look.label(pci),
        code=f"xid_{number}{'_program' if is_program else ''}",
        advice="" if over else _advice(main, again, is_suspect),
        since=instant(group[0].cause.line.at),
        hurts=hurts,
        params={"GPU": pci},
        metrics={"xid": code.number, "events": len(group), "lines": sum(len(one.xids) for one in group)},
        evidence=[line.line for line in dict.fromkeys((cause.line, main.xids[0].line, last.last.line))],
    )


def _came_before(look: Look, group: list[Episode]) -> bool:
    """Whether the same was there before the last reset, reload or reboot."""
    first, last = group[0].cause, group[-1].cause
    reset = look.said.reset_after(first.n, first.pci)
    before = any(one.pci == first.pci and one.number == first.number for one in look.said.earlier)
    return before or (reset is not None and reset.n < last.n)


def _detail(one: Episode) -> str:
    """What the line itself says more, decoded where it is in code."""
    cause = one.cause
    if cause.number not in {event.number for event in one.xids}:
        return " (its own line is not here: what it cleaned up names it)"
    if cause.units:
        decoded = cause.decoded
        severity = decoded.severity if decoded else "fatal" if cause.is_fatal else "non-fatal"
        link = f", link {cause.link}" if cause.link is not None and cause.link >= 0 else ""
        return f" ({cause.units}{link}, {severity}{'' if decoded else ', of unknown meaning'})"
    if cause.number == 74 and cause.words:
        said = ", ".join(xid74(cause.words)) or "of unknown meaning"
        return f" (link {cause.link}: {said})"
    detail = cause.detail.partition("MMU Fault: ")[2] or cause.detail  # the channel's number tells nobody anything
    return f" ({detail[:160]})" if not cause.code.is_known or one.rank == PROGRAM else ""


def _whom(one: Episode) -> str:
    hit = [one.cause, *one.xids]
    event = next((event for event in hit if event.pid), None)
    mig = f", MIG {one.cause.mig}" if one.cause.mig else ""
    return f"{mig}, hit pid {event.pid}{f' ({event.process})' if event.process else ''}" if event else mig


def _more(look: Look, group: list[Episode], main: Episode) -> Iterator[str]:
    """What came with it."""
    cause = main.cause
    before = [event for event in main.xids if event.n < cause.n and event.number != cause.number]
    after = Counter(event.number for event in main.xids if event.n > cause.n and event.number != cause.number)
    if main.follows:
        yield f"follows the fault of {look.label(main.follows)}"
    if before:
        gap = cause.line.seconds_after(before[0].line)
        when = f" {span(gap)} before" if gap else " before it"
        yield f"{', '.join(f'Xid {number}' for number in dict.fromkeys(event.number for event in before))} came{when}"
    if after.pop(154, 0) or main.wants:
        yield f"the driver asks for: {main.wants[1]}" if main.wants else "the driver took its demand back"
    if after:
        yield f"what followed is its echo: {', '.join(f'{number} (x{count})' for number, count in after.items())}"
    if len(group) > 1:
        yield f"{len(group)} times{_clock(group[0].cause.line, ' since ')}"


def _advice(one: Episode, again: bool, is_suspect: bool) -> str:
    code = one.cause.code
    if one.rank == PROGRAM:
        hung = any(event.code.severity == "critical" for event in one.xids)
        owner = OWNER + (f", but see that it answers (nvidia-smi -i {one.pci})" if hung else "")
        return owner if not is_suspect else "run `dcgmi diag -r 3` on it when its jobs have ended; steps in the runbook"
    if one.follows:
        return "act on that GPU first; restart the job"
    wants = WANTS.get(one.wants[0], f"do what the driver asks for: {one.wants[1]}") if one.wants else ""
    decoded = one.cause.decoded
    action, look = (decoded.action, decoded.investigate) if decoded else (code.action, code.investigate)
    if decoded and one.rank == SERIOUS and action != "RESET_GPU":
        action = "RESET_GPU"  # a job was killed by it, whatever its line calls itself
    now = wants.replace("{pci}", one.pci) or in_words(action, one.pci) or in_words(look, one.pci)
    later = in_words(look, one.pci) if not wants and in_words(look, one.pci) != now else ""
    todo = (INSPECT if again else EVIDENCE if one.rank == SERIOUS else "") + "; then ".join(filter(None, (now, later)))
    return f"{todo or 'keep count of it'}; steps in the runbook"


def _switches(look: Look) -> Iterator[Finding]:
    quiet = [error for error in look.said.switches if error.kind not in ("always_fatal", "fatal_per_port")]
    for error in look.said.switches:
        if error in quiet:
            continue
        over = look.said.reset_after(error.n, "")
        level: Level = ok if over else critical
        every = error.kind == "always_fatal"
        whom = "every GPU of the board is affected" if every else "the GPUs on that port are affected"
        yield level(
            f"SXid {error.number}: {error.name}, fatal: {whom}" + (f"; over: {over.what}" if over else ""),
            subject=f"NVSwitch {error.switch.removeprefix('0000:')}",
            code=f"sxid_{error.number}",
            covers=[gpu.label for gpu in look.gpus or ()] if every else (),
            since=instant(error.line.at),
            advice=EVIDENCE + (ALL_SWITCHES if every else ONE_PORT),
            evidence=[error.line.line],
        )
    if quiet:
        names = ", ".join(sorted({f"{error.number} {error.name}" for error in quiet})[:4])
        yield ok(f"SXid {names}: not fatal", code="sxid_quiet", evidence=[quiet[-1].line.line])


def _troubles(look: Look, serious: set[str]) -> Iterator[Finding]:
    """Lines without a number, one finding a GPU; of a GPU with a fault of its own they are what follows."""
    groups: dict[str, list[Trouble]] = {}
    named = [trouble for trouble in look.said.troubles if trouble.pci]
    for trouble in look.said.troubles:
        near = min(named, key=lambda other: abs(other.n - trouble.n), default=trouble)
        groups.setdefault(trouble.pci or near.pci, []).append(trouble)
    for pci, group in groups.items():
        kinds = {trouble.kind for trouble in group}
        kind = next(kind for kind in TROUBLES if kind in kinds)
        last = group[-1]
        label = look.label(pci)
        if label in serious or (kind == "gsp" and serious) or (kind == "no_gpu" and (serious or len(groups) > 1)):
            continue
        is_later = look.answers_since(pci, last.line)
        over = look.over(pci, last.n, last.line)
        over = over or (look.links_now(pci) if kind == "no_links" else "NVML answers for it now" if is_later else "")
        words, advice = TROUBLES[kind]
        words = WPR2 if any("WPR2" in trouble.line.text for trouble in group) and kind == "gsp_boot" else words
        codes = next((trouble.codes for trouble in reversed(group) if trouble.codes), "")
        is_minor = kind in ("no_gpu", "no_links") or (kind in OTHER_DRIVER and look.gpus is not None and look.gpus.gpus)
        level: Level = ok if over else warning if is_minor else critical
        yield level(
            ("" if pci else "a GPU: ") + words + (f" (RmInitAdapter failed: {codes})" if codes and kind in INIT else "")
            + (f"; over: {over}" if over else ""),
            subject=label,
            code=kind,
            since=instant(group[0].line.at),
            advice="" if over else advice.replace("{pci}", pci or "GPU") + "; steps in the runbook",
            params={"GPU": pci},
            evidence=[trouble.line.line for trouble in group[-3:]],
        )  # fmt: skip


def _coverage(look: Look, covered_s: float, notes: list[Finding]) -> Finding:
    """How far the log reaches, where nothing in it is an alarm."""
    log = look.said.log
    since = log.since
    noted = ", ".join(f"Xid {f.metrics['xid']} of {f.subject}" for f in notes if "xid" in f.metrics)
    what = f"no fault but {noted}, which is noted," if noted else "no other fault" if notes else "no Xid"
    if log.is_part:
        return unknown(
            f"{what} in the part of the kernel log that was seen: the rest may have some",
            code="part",
            advice="look at all of it: `sudo journalctl -k -b | grep -E 'NVRM|Xid'`",
        )
    if log.is_whole or (since is not None and log.now - since >= covered_s):
        return ok(f"{what} in the kernel log since {'boot' if log.is_whole else instant(since)}", code="covered")
    first = instant(since) or "no known time"
    return unknown(
        f"{what} in the kernel log, but it does not reach back far: its first line is of {first}",
        code="part",
        advice="keep the journal on disk (Storage=persistent in journald.conf): the kernel's own buffer has wrapped",
    )


def _clock(line: KernelLine, word: str = " at ") -> str:
    return f"{word}{instant(line.at)}" if line.at is not None else ""
