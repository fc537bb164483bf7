"""Xids that belong together: those of one GPU within a minute, and which of them is the cause of the others."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from mlopsdoc import Fact
from mlopsdoc.facts.xid_catalogue import ECHO as FOLLOWS
from mlopsdoc.facts.xid_catalogue import HARMLESS, xid, xid74
from mlopsdoc.facts.xids import CLEAN_UP, NVLINK, Xid, Xids

GAP_S = 60.0  # NVIDIA groups what comes within a minute
OWNED_S = 1.0  # the lines of one exception follow each other within milliseconds
ECHO, PROGRAM, MINOR, SERIOUS = 0, 1, 2, 3  # how bad a line is by itself
DEAD = (46, 48, 62, 79, 95, 119, 120, 140, 143, 158)  # a GPU with one of these makes its peers report NVLink faults
LINK_DOWN = (149, 150)
NOTES = (121, 155, 160, 163)  # corrected, intended or only recorded


class Episode(Fact, frozen=True):
    """Xids of one GPU, in order. cause: the first of the worst. rank: how bad it is. follows: the GPU whose fault this
    one is an echo of. wants: the recovery action that the driver asked for, in words."""

    pci: str
    xids: tuple[Xid, ...]
    cause: Xid
    rank: int
    wants: tuple[int, str] | None = None
    follows: str = ""

    @property
    def last(self) -> Xid:
        return self.xids[-1]


def episodes(said: Xids) -> list[Episode]:
    """All of this boot, in order."""
    bursts: list[list[Xid]] = []
    open_: dict[str, list[Xid]] = {}
    for event in _owned(said.xids):
        burst = open_.get(event.pci)
        if burst is None or _is_apart(said, burst[-1], event):
            burst = open_[event.pci] = []
            bursts.append(burst)
        burst.append(event)
    return _followers([_episode(group) for burst in bursts for group in _by_program(burst)])


def _is_apart(said: Xids, last: Xid, event: Xid) -> bool:
    gap = event.line.seconds_after(last.line)
    reset = said.reset_after(last.n, event.pci)
    return (gap is not None and gap > GAP_S) or (reset is not None and reset.n < event.n)


def _owned(xids: Sequence[Xid]) -> list[Xid]:
    """Lines of an exception that name no process are those of the process that the line which closes them names::

    Xid (PCI:0000:1b:00): 13, Graphics SM Warp Exception on (GPC 1, TPC 2, SM 0): Misaligned Address
    Xid (PCI:0000:1b:00): 43, pid=21531, name=python3, channel 0x0000000a
    """
    owned: list[Xid] = []
    later: dict[tuple[str, str], Xid] = {}
    for event in reversed(xids):
        owner = later.get((event.pci, event.mig))
        if event.number == 13 and event.pid is None and owner:
            gap = owner.line.seconds_after(event.line)
            if gap is None or 0 <= gap <= OWNED_S:
                event = replace(event, pid=owner.pid, process=owner.process)
        if event.pid is not None and event.number in (13, *CLEAN_UP):
            later[event.pci, event.mig] = event
        owned.append(event)
    return owned[::-1]


def _by_program(burst: Sequence[Xid]) -> list[list[Xid]]:
    """What each program did, where nothing in it tells more than that; else all of it is one."""
    if not all(map(_is_of_program, burst)):
        return [[*burst]]
    causes: dict[int | None, int | None] = {event.number: event.pid for event in reversed(burst)}
    found: dict[int | None, list[Xid]] = {}
    pid: int | None = None
    for event in burst:
        pid = causes.get(event.previous, event.pid if event.pid is not None else pid)
        found.setdefault(pid, []).append(event)
    return [*found.values()]


def _is_of_program(event: Xid) -> bool:
    """Whether it may be a program's own fault, or the clean-up after one, and tells nothing of the GPU."""
    code = xid(event.previous) if event.previous else event.code
    return code.by_program in ("maybe", "yes") and code.severity != "critical"


def _episode(group: Sequence[Xid]) -> Episode:
    """The cause is the first of the worst; one that a clean-up names counts though its own line is lost."""
    named = {event.previous for event in group if event.previous} - {event.number for event in group}
    implied = [
        replace(event, code=xid(event.previous)) for event in group if event.previous and event.previous in named
    ]
    every = [*implied, *group]
    wants = next((event.wants for event in reversed(group) if event.wants), None)
    killers = {event.previous for event in group}
    ranks = [_rank(event, every, event.number in killers) for event in every]
    rank = max(ranks)
    cause = every[ranks.index(rank)]
    if wants and wants[0] and rank <= PROGRAM:
        rank = SERIOUS
    return Episode(cause.pci, tuple(group), cause, rank, wants if wants and wants[0] else None)


def _rank(event: Xid, group: Sequence[Xid], killed: bool) -> int:
    """How bad a line is, in view of the others. killed: one of them says that it follows from it."""
    code, number = event.code, event.number
    if number in (*CLEAN_UP, *NOTES, 154) or code.severity == "info":
        return ECHO
    if 144 <= number <= 150 and event.units:
        decoded = event.decoded
        if killed or (decoded.action == "RESET_GPU" if decoded else event.is_fatal):
            return SERIOUS
        return ECHO if decoded and decoded.is_harmless else MINOR
    if number == 74 and event.words and not killed:
        said = xid74(event.words)
        return ECHO if said == (HARMLESS,) else MINOR if said in ((), (FOLLOWS,)) else SERIOUS
    if code.severity == "critical":
        return PROGRAM if code.by_program == "maybe" and _after_program(event, group) else SERIOUS
    return PROGRAM if code.by_program in ("maybe", "yes") else MINOR


def _after_program(event: Xid, group: Sequence[Xid]) -> bool:
    """Whether a program's own error stands before it: its hung kernel makes the switch of contexts time out."""
    return any(
        other.n < event.n and other.code.severity == "warning" and other.code.by_program == "maybe" for other in group
    )


def _followers(found: list[Episode]) -> list[Episode]:
    """NVLink faults that another GPU is the cause of: one that died, or the only ones whose link itself went down."""
    serious = [one for one in found if one.rank == SERIOUS]
    dead = [one for one in serious if one.cause.number in DEAD]
    down = [one for one in serious if one.cause.number in LINK_DOWN]
    result: list[Episode] = []
    for one in found:
        causes = dead if one.cause.number in NVLINK else []
        if not causes and one.cause.number in NVLINK and one.cause.number not in LINK_DOWN and one.cause.number != 74:
            causes = down
        first = next((other.pci for other in causes if other.pci != one.pci and _is_near(other, one)), "")
        result.append(replace(one, follows=first) if first and one.rank >= MINOR else one)
    return result


def _is_near(one: Episode, other: Episode) -> bool:
    """Whether they came within a minute of each other; without times they may have."""
    gap = other.cause.line.seconds_after(one.cause.line)
    return gap is None or abs(gap) <= GAP_S
