"""The kernel log of this boot: what of it can be seen, and the lines that have a word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timezone
from functools import lru_cache

from mlopsdoc import Answer, CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.authoring import NEEDS_ROOT
from mlopsdoc.clean import decode, one_line
from mlopsdoc.facts.machine import Machine
from mlopsdoc.patterns import compiled

MOST = 20000  # lines of a boot that are asked for: as many as a few weeks have
JOURNAL = ("journalctl", "-k", "-b", "-o", "short-iso", "--no-pager", "-n", str(MOST))
FILES = ("/var/log/kern.log", "/var/log/messages", "/var/log/syslog")  # of a recording that has no more
BANNER = b"Linux version "  # the first line of every boot
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
SAME_BOOT_S = 300  # two lines of one boot differ no more in when they say that it began
# Lines that are no log but what journalctl and dmesg say of themselves.
OWN_WORDS = (
    b"-- No entries",
    b"-- Logs begin",
    b"-- Journal begins",
    b"dmesg: ",
    b"No journal files",
    b"Hint: ",
    b"      ",
)
FORMS = ("up", "[", "day", "month")  # [ 12.5] ..., [Mon Nov 23 ...] ..., 2026-11-23T..., Nov 23 ...
ON_HOST = "run mlopsdoc on the host: its kernel log is not the container's"

_ISO = (
    r"(?:[A-Z][a-z]{2} )?(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})[T ](?P<clock>[0-9:]{8})(?:[.,](?P<part>[0-9]{1,9}))?"
    r" ?(?P<zone>Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_CTIME = (
    r"\[?(?:[A-Z][a-z]{2} )?(?P<month>[A-Z][a-z]{2}) {1,2}(?P<date>[0-9]{1,2}) (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    r"(?:\.[0-9]{1,9})?(?: (?P<year>[0-9]{4}))?\]?"
)
_PREFIX = "|".join(
    (
        r"\[ {0,8}(?P<up>[0-9]{1,10}\.[0-9]{1,9})(?: [< ][0-9. ]{7,17}[> ]{0,2})?\]", _ISO, _CTIME,
        r"\[ {0,6}(?:[TC]|\+[0-9]{0,6}\.)[0-9]{1,8}\]", r"\[< {0,6}[0-9]{1,9}\.[0-9]{6}>\]",
        r"(?P<epoch>[0-9]{10}\.[0-9]{6})(?= )",
        r"\[[A-Z][a-z]{2}[ 0-9][0-9] [0-9:]{5}\]", r"<[0-9]{1,3}>", r"[a-z0-9]{3,8} {0,4}:[a-z]{3,8} {0,4}:",
        r"[0-9]{1,4},[0-9]{1,12},(?P<us>[0-9]{1,17}),[^;]{0,80};",
    )
)  # fmt: skip


class KernelLine(Fact, frozen=True):
    """One line: the message without what stands before it, and `raw`, all of it; key: the answer it was read from.

    at: seconds since the epoch, up: seconds since boot; None where the line does not tell. boot: which boot it is
    of, 0 this one, 1 the one before it in the same text, and so on.
    """

    text: str
    raw: str
    key: str
    at: float | None = None
    up: float | None = None
    boot: int = 0

    @property
    def line(self) -> Line:
        """To be quoted."""
        return Line(self.key, one_line(self.raw, 400))

    def seconds_after(self, other: KernelLine) -> float | None:
        """How long after the other it was written; None where that is not known."""
        if self.at is not None and other.at is not None:
            return self.at - other.at
        return self.up - other.up if self.up is not None and other.up is not None else None


class KernelLog(Fact, frozen=True):
    """What the kernel wrote since this boot. Nothing is parsed before it is asked for: a log may have 16 MiB.

    is_part: it was filtered or cut: what is not in it may have been written all the same. Otherwise it reaches without
    a gap from its first line to `now`; is_whole: its first line is that of the boot. booted: when that was, if known.
    Live `journalctl -k -b` is asked, which needs a group, else `dmesg`, whose buffer may have wrapped.
    """

    key: str
    data: bytes
    is_part: bool
    is_whole: bool
    booted: float | None
    now: float

    @classmethod
    def read(cls, host: Host, machine: Machine) -> KernelLog:
        """Raises CannotSee where it may not be read or did not come in time, NothingHere where nobody asked for it."""
        asked = [journal := host.run(*JOURNAL)]
        if not (journal.said and _has_lines(journal)):
            asked.append(host.run("dmesg"))
        if not host.is_live and not any(_has_lines(answer) for answer in asked):
            asked += [host.read(path) for path in FILES]
        found = next((answer for answer in asked if _has_lines(answer)), None)
        if found is None:
            raise _unseen(asked, bool(machine.container))
        data = found.data
        begun = _start(data) >= 0
        is_cut = found is journal and data.count(b"\n") >= MOST
        is_part = not found.said or found.status == "truncated" or found.key.startswith("read ")
        return cls(found.key, data, is_part, begun and not is_part and not is_cut, _booted(host), host.now())

    def lines(self, *signs: bytes) -> list[KernelLine]:
        """The lines of this boot that have one of these words, in order of time; of a part, which may be several
        outputs that overlap, each once."""
        return [line for line in self.all_lines(*signs) if not line.boot]

    def all_lines(self, *signs: bytes) -> list[KernelLine]:
        """The same, those of earlier boots that stand in the same text too."""
        places = _places(self.data, signs)
        begun = self._boots() if places else []
        lines: list[KernelLine] = []
        seen: set[str] = set()
        told: Counter[tuple[str, str]] = Counter()
        for start, end in places:
            raw = decode(self.data[start : min(end, start + 4000)])
            if raw in seen:
                continue
            line = self._parsed(raw, sum(start < place for place in begun))
            if self.is_part:
                seen.add(raw)
                told[line.text, form := _form(line)] += 1
                if told[line.text, form] <= max(told[line.text, other] for other in FORMS if other != form):
                    continue  # the same in another form: dmesg, and dmesg -T below it
            lines.append(line)
        if not begun:
            lines = _by_boot(lines)
        return _in_order(lines)

    @property
    def since(self) -> float | None:
        """When its first line of this boot was written, seconds since the epoch."""
        start = max(0, _start(self.data))
        for raw in decode(self.data[start : start + 4000]).split("\n")[:4]:
            if (line := self._parsed(raw, 0)).at is not None:
                return line.at
        return None

    def _boots(self) -> list[int]:
        """Where the boots in this text begin, the newest last; none where no line tells."""
        return [
            start
            for start, _ in _places(self.data, (BANNER, b"-- Reboot --", b"-- Boot "))
            if _is_start(self.data, start)
        ]

    def _parsed(self, raw: str, boot: int) -> KernelLine:
        text, at, up = split(raw, self.now)
        if at is None and up is not None and self.booted is not None and not boot:
            at = self.booted + up
        return KernelLine(text, raw, self.key, at, up, boot)


def split(raw: str, now: float) -> tuple[str, float | None, float | None]:
    """The message of a line, when it was written, and how long after boot. Years that are not told are guessed by
    `now`; a clock without a zone is UTC. All of these are ``NVRM: ...`` at some time::

        [ 1234.567890] NVRM: ...                                    4,1203,1234567890,-;NVRM: ...
        [Mon Nov 23 03:10:00 2026] NVRM: ...                        kern  :warn  : [ 1234.567890] NVRM: ...
        2026-11-23T03:10:00+0000 gpu-17 kernel: NVRM: ...           <4>[ 1234.567890][ T2210] NVRM: ...
        Nov 23 03:10:00 gpu-17 kernel: [ 1234.567890] NVRM: ...     2026-11-23T03:10:00,123456+00:00 NVRM: ...
        Mon 2026-11-23 03:10:00 UTC gpu-17 kernel: NVRM: ...        [ 1234.567890 <    0.000012>] NVRM: ...
        1795489800.123456 gpu-17 kernel: NVRM: ...                  [Nov23 03:10] NVRM: ...
    """  # fmt: skip
    head, name, _ = raw[:200].partition("kernel: ")
    at = up = None
    text = raw
    prefix = compiled(_PREFIX)
    for part in (head, raw[len(head) + len(name) :]) if name else (raw,):
        text = part
        while match := prefix.match(text):
            if match["up"] or match["us"]:
                up = float(match["up"] or int(match["us"]) / 1e6)
            elif match["epoch"]:
                at = float(match["epoch"])
            elif match["day"]:
                at = _iso(match["day"], match["clock"], match["zone"] or "Z")
                at = at if at is None else at + float(f"0.{match['part'] or 0}")
            elif match["month"]:
                at = _ctime(match["month"], match["date"], match["time"], match["year"] or "", now)
            text = text[match.end() :].lstrip()
    return text.strip(), at, up


@lru_cache(64)
def _iso(day: str, clock: str, zone: str) -> float | None:
    zone = zone.replace("Z", "+00:00")
    try:
        return datetime.fromisoformat(f"{day}T{clock}{zone[:3]}:{zone[-2:]}").timestamp()
    except (ValueError, OverflowError):
        return None


@lru_cache(64)
def _ctime(month: str, date: str, clock: str, year: str, now: float) -> float | None:
    try:
        if not year and not now:
            return None
        years = int(year) if year else datetime.fromtimestamp(now, timezone.utc).year
        hour, minute, second = (int(part) for part in clock.split(":"))
        when = datetime(years, MONTHS.index(month) + 1, int(date), hour, minute, second, tzinfo=timezone.utc)
        return (when if year or when.timestamp() <= now + 86400 else when.replace(year=years - 1)).timestamp()
    except (ValueError, OverflowError):
        return None


def _form(line: KernelLine) -> str:
    """How its time is written, one of FORMS."""
    first = line.raw[:1]
    return "up" if line.up is not None else "[" if first == "[" else "day" if first.isdigit() else "month"


def _has_lines(answer: Answer) -> bool:
    """Whether it is a log: more than ``-- No entries --`` or ``dmesg: read kernel buffer failed: ...``."""
    if answer.status not in ("ok", "truncated", "timeout"):
        return False
    return any(line.strip() and not line.startswith(OWN_WORDS) for line in answer.data[:4000].split(b"\n"))


def _places(data: bytes, signs: Sequence[bytes]) -> list[tuple[int, int]]:
    """Where the lines that have a sign begin and end."""
    found: dict[int, int] = {}
    for sign in signs:
        at = data.find(sign)
        while at >= 0:
            end = data.find(b"\n", at)
            end = len(data) if end < 0 else end
            found[data.rfind(b"\n", 0, at) + 1] = end
            at = data.find(sign, end)
    return sorted(found.items())


def _is_start(data: bytes, start: int) -> bool:
    line = data[start : start + 400].partition(b"\n")[0]
    if line.startswith((b"-- Reboot --", b"-- Boot ")):
        return True
    return split(decode(line), 0.0)[0].startswith("Linux version ")


def _start(data: bytes) -> int:
    """Where the newest boot begins in a text; -1 where its first line is not there."""
    return max((start for start, _ in _places(data, (BANNER,)) if _is_start(data, start)), default=-1)


def _by_boot(lines: list[KernelLine]) -> list[KernelLine]:
    """Lines that say both times tell which boot they are of, though its first line is not there."""
    from msgspec.structs import replace

    begun = [line.at - line.up for line in lines if line.at is not None and line.up is not None]
    if not begun or max(begun) - min(begun) < SAME_BOOT_S:
        return lines
    newest: list[float] = []
    for when in sorted(begun, reverse=True):
        if not newest or newest[-1] - when > SAME_BOOT_S:
            newest.append(when)
    last = newest[0]
    boots: list[KernelLine] = []
    for line in lines:
        if line.at is not None and line.up is not None:
            last = line.at - line.up
        boot = min(range(len(newest)), key=lambda n: abs(newest[n] - last))
        boots.append(replace(line, boot=boot))
    return boots


def _in_order(lines: list[KernelLine]) -> list[KernelLine]:
    """By time, where every line tells it; outputs that were pasted one below the other, and journalctl -r, overlap."""
    for key in ("at", "up"):
        if all(getattr(line, key) is not None for line in lines):
            return sorted(lines, key=lambda line: (-line.boot, getattr(line, key)))
    return lines


def _booted(host: Host) -> float | None:
    """``btime 1795366200`` of /proc/stat."""
    answer = host.read("/proc/stat")
    at = answer.data.find(b"\nbtime ") if answer.said else -1
    word = answer.data[at + 7 : at + 30].split(b"\n")[0] if at >= 0 else b""
    return float(word) if word.isdigit() else None


def _unseen(asked: list[Answer], in_container: bool) -> NothingHere | CannotSee:
    """Why no log is to be had. Of both tools the last refusal counts: only root may ask dmesg on many hosts::

    dmesg: read kernel buffer failed: Operation not permitted
    """
    tried = [answer for answer in asked if answer.status not in ("absent", "not_captured")]
    if not tried:
        where = "is not in this recording" if any(a.status == "not_captured" for a in asked) else "cannot be read here"
        return NothingHere(f"the kernel log {where}: neither journalctl -k nor dmesg")
    words = one_line(decode(tried[-1].stderr).strip() or tried[-1].text.strip() or tried[-1].why or "no line", 200)
    is_refused = "not permitted" in words or "ermission" in words
    return CannotSee(f"the kernel log: {words}", ON_HOST if in_container else NEEDS_ROOT if is_refused else "")
