"""Linux software RAID: the arrays of the kernel's md driver."""

from __future__ import annotations

from collections.abc import Iterator

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.model import array_subject
from mlopsdoc.patterns import compiled

MDSTAT = "/proc/mdstat"
REDUNDANT = ("raid1", "raid4", "raid5", "raid6", "raid10")


class Member(Fact, frozen=True):
    """A disk of an array. flag: F faulty, S spare, J journal, R replacement, W write-mostly, or nothing."""

    name: str
    flag: str = ""


class Array(Fact, frozen=True):
    """One array. state: active or inactive; mode: read-only, auto-read-only (nobody wrote since boot), or nothing.

    wanted, working: how many disks, None where the level has none to lose. places: ``U_``, a sign a disk. action:
    recovery, resync, reshape, check or repair, or nothing; percent: how far, None while it is delayed or pending.
    metadata: ``1.2``, ``external:imsm``.
    """

    name: str
    state: str
    mode: str
    level: str
    members: tuple[Member, ...]
    line: Line
    wanted: int | None = None
    working: int | None = None
    places: str = ""
    action: str = ""
    percent: float | None = None
    finish: str = ""
    metadata: str = ""

    @property
    def label(self) -> str:
        return array_subject(self.name)

    @property
    def device(self) -> str:
        return f"/dev/{self.name}"

    @property
    def missing(self) -> int:
        return (self.wanted or 0) - (self.working or 0)

    @property
    def left(self) -> int:
        """How many more disks it could lose; of a RAID 10 one more, if that is not the other copy of what is gone."""
        spare = {"raid1": (self.wanted or 1) - 1, "raid6": 2, "raid10": 2}.get(self.level, 1)
        return spare - self.missing

    @property
    def is_container(self) -> bool:
        """Of external metadata (Intel VROC): it holds disks for other arrays and is always inactive."""
        return self.metadata.startswith("external:") and not self.metadata.startswith("external:/")


class MdArrays(Fact, frozen=True):
    """Every array. is_part: there may be others, and what is told of these may be cut."""

    arrays: tuple[Array, ...]
    is_part: bool

    @classmethod
    def read(cls, host: Host) -> MdArrays:
        """The sign is /proc/mdstat, which is there once the md driver is loaded. Raises NothingHere, CannotSee."""
        answer = host.read(MDSTAT)
        if answer.status == "absent":
            raise NothingHere("the md driver (software RAID) is not loaded")
        if answer.status == "not_captured":
            raise NothingHere("/proc/mdstat is not in this recording")
        if not answer.said:
            raise CannotSee(f"{MDSTAT}: {answer.why or answer.status}")
        is_part = answer.status == "truncated"
        arrays = tuple(_arrays(whole_lines(answer), answer.key))
        if not arrays and is_part:
            raise CannotSee(f"{MDSTAT} is here in part only, without an array")
        if not arrays and "Personalities" not in answer.text:
            raise CannotSee(f"{MDSTAT} does not say what it should")
        if not arrays:
            raise NothingHere("no software RAID array")
        return cls(arrays, is_part)


def _arrays(lines: list[str], key: str) -> Iterator[Array]:
    """The arrays of::

    Personalities : [raid1] [raid6] [raid5] [raid4]
    md1 : active raid1 nvme5n1[2] nvme4n1[0](F)
          261120 blocks super 1.2 [2/1] [_U]
          [>....................]  recovery =  4.8% (13184/261120) finish=0.9min speed=4394K/sec

    md127 : inactive sdb[1](S) sda[0](S)
          6306 blocks super external:imsm

    unused devices: <none>
    """
    block: list[str] = []
    for line in [*lines, ""]:
        is_head = compiled(r"md\S{0,60} : ").match(line) is not None
        if block and (is_head or line.startswith(("unused devices", "Personalities"))):
            yield _array(block, key)
            block = []
        if is_head or (block and line.strip()):
            block.append(line)
    if block:
        yield _array(block, key)


def _array(block: list[str], key: str) -> Array:
    name, _, rest = block[0].partition(" : ")
    words = rest.split()
    mode = next((word[1:-1] for word in words[1:2] if word in ("(read-only)", "(auto-read-only)")), "")
    found = [compiled(r"([^\s\[]{1,60})\[[0-9]{1,6}\]((?:\([A-Z]\))*)").fullmatch(word) for word in words]
    members = tuple(Member(m[1], m[2][1:2] if "F" not in m[2] else "F") for m in found if m)
    level = next((word for word in words[1:] if compiled(r"raid[0-9]+|linear|multipath|faulty").fullmatch(word)), "")
    counts = next((m for line in block[1:] if (m := compiled(r"\[([0-9]{1,4})/([0-9]{1,4})\]").search(line))), None)
    places = next((m for line in block[1:] if (m := compiled(r"\[([U_]{1,400})\]").search(line))), None)
    metadata = next((m for line in block[1:] if (m := compiled(r" super (\S{1,60})").search(line))), None)
    action, percent, finish = _action(block[1:])
    return Array(
        name=name,
        state=words[0] if words else "",
        mode=mode,
        level=level,
        members=members,
        line=Line(key, " ".join(" ".join(block[:2]).split())),
        wanted=int(counts[1]) if counts else None,
        working=int(counts[2]) if counts else None,
        places=places[1] if places else "",
        action=action,
        percent=percent,
        finish=finish,
        metadata=metadata[1] if metadata else "",
    )


def _action(lines: list[str]) -> tuple[str, float | None, str]:
    """Of ``[>....]  recovery =  4.8% (13184/261120) finish=0.9min speed=4394K/sec`` or ``resync=DELAYED``."""
    form = r"\b(recovery|resync|reshape|check|repair) *= *(?:([0-9]{1,3}\.[0-9])%|([A-Z]{4,10}))"
    for line in lines:
        if match := compiled(form).search(line):
            ends = compiled(r"finish=(\S{1,20})").search(line)
            return match[1], float(match[2]) if match[2] else None, ends[1] if ends else ""
    return "", None, ""
