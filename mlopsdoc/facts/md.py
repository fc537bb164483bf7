"""Linux software RAID: the arrays of the kernel's md driver."""

from __future__ import annotations

from collections.abc import Iterator

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.model import array_subject
from mlopsdoc.patterns import compiled

MDSTAT = "/proc/mdstat"
DETAIL = "mdadm --detail"
ACTIONS = {
    "recovering": "recovery", "resyncing": "resync", "reshaping": "reshape", "checking": "check", "repairing": "repair",
}  # fmt: skip
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
        """The sign is /proc/mdstat, which is there once the md driver is loaded. Raises NothingHere, CannotSee.

        Where a recording has it not, or not all of it, `mdadm --detail` tells of the arrays that it was asked of.
        """
        answer = host.read(MDSTAT)
        details = {} if answer.status == "ok" else {array.name: array for array in _details(host)}
        if answer.status == "absent" and not details:
            raise NothingHere("the md driver (software RAID) is not loaded")
        if answer.status == "not_captured" and not details:
            raise NothingHere("/proc/mdstat is not in this recording")
        if not answer.said and not details:
            raise CannotSee(f"{MDSTAT}: {answer.why or answer.status}")
        is_part = answer.status != "ok"
        known = {array.name: array for array in _arrays(whole_lines(answer), answer.key)}
        arrays = tuple({**known, **details}.values())
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


def _details(host: Host) -> Iterator[Array]:
    """The arrays of `mdadm --detail`, the latest that is said of each::

    /dev/md1:
               Version : 1.2
            Raid Level : raid1
          Raid Devices : 2
                 State : clean, degraded, recovering
        Active Devices : 1
        Rebuild Status : 34% complete
        Number   Major   Minor   RaidDevice State
           0     259        6        0      active sync   /dev/nvme4n1p2
           2     259        9        1      spare rebuilding   /dev/nvme6n1p2
           1     259        8        -      faulty   /dev/nvme5n1p2
    """
    for answer in asked(host, DETAIL):
        block: list[str] = []
        for line in [*(whole_lines(answer) if answer.said else ()), "/dev/:"]:
            if not compiled(r"/dev/\S{0,60}:\s*").fullmatch(line):
                block += [line] if block else []
                continue
            if any(compiled(r" +State : \S").match(row) for row in block):
                yield _detail(block, answer.key)
            block = [line]


def _detail(block: list[str], key: str) -> Array:
    said = {name.strip(): value.strip() for name, colon, value in (line.partition(" : ") for line in block) if colon}
    found = (compiled(r" +(?:[0-9]+|-) +[0-9]+ +[0-9]+ +([0-9]+|-) +(\S.*)").fullmatch(line) for line in block)
    rows = [(match[1], match[2].split()) for match in found if match]
    places = {int(place): "U" if words[:2] == ["active", "sync"] else "_" for place, words in rows if place != "-"}
    flags = {"faulty": "F", "spare": "S", "journal": "J"}
    states = said.get("State", "").lower().replace(",", " ").split()
    done = next((value for name, value in said.items() if name.endswith(" Status")), "").partition("%")[0]
    counts = [said.get(name, "") for name in ("Raid Devices", "Active Devices")]
    is_counted = all(count.isdecimal() and len(count) < 5 for count in counts)
    is_container = said.get("Raid Level") == "container"
    return Array(
        name=block[0].strip()[5:-1],
        state="inactive" if {"inactive", "not"}.intersection(states) else "active",
        mode="read-only" if {"readonly", "read-only"}.intersection(states) else "",
        level=said.get("Raid Level", ""),
        members=tuple(
            Member(words[-1].rpartition("/")[2], flags.get(words[0], "")) for _, words in rows if "/" in words[-1]
        ),
        line=Line(key, f"{block[0].strip()} {said.get('Raid Level', '')} State : {said.get('State', '')}"),
        wanted=int(counts[0]) if is_counted else None,
        working=int(counts[1]) if is_counted else None,
        places="".join(places[n] for n in sorted(places)),
        action=next((ACTIONS[state] for state in states if state in ACTIONS), ""),
        percent=float(done) if done.isdecimal() and len(done) < 4 else None,
        metadata=f"external:{said.get('Version', '')}" if is_container else said.get("Version", ""),
    )
