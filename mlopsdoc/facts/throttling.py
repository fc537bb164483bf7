"""What throttled the processors and how busy they were, counted since boot: both are judged by growth."""

from __future__ import annotations

from collections.abc import Iterable

from mlopsdoc import CannotSee, Fact, Host
from mlopsdoc.hosts.base import Answer

CPU = "/sys/devices/system/cpu"
COUNTERS = f"{CPU}/cpu*/thermal_throttle/*_throttle_[ct]*"  # counts and total times, not the longest times


class Counter(Fact, frozen=True):
    """Throttling of one CPU since boot: how often, and for how many milliseconds (None before kernel 5.8)."""

    core: int
    core_ms: int | None
    package: int
    package_ms: int | None


ZERO = Counter(0, 0, 0, 0)


class Throttling(Fact, frozen=True):
    """Throttle counters by CPU number; only Intel has them. `unseen` is why they could not be read, in whole or in
    part; `is_here` whether there is any.

    From /sys/devices/system/cpu/cpu0/thermal_throttle/{core,package}_throttle_{count,total_time_ms}, a number
    each. The package's are repeated on each of its CPUs, so they are never summed.
    """

    by_cpu: dict[int, Counter]
    unseen: str = ""
    is_here: bool = False

    @classmethod
    def read(cls, host: Host) -> Throttling:
        tree = host.tree(COUNTERS)
        seen: dict[int, dict[str, int]] = {}
        broken: list[Answer] = []
        for path, answer in tree.items():
            cpu, name = cpu_of(path), path.rpartition("/")[2]
            if cpu is not None and (value := number(answer)) is not None:
                seen.setdefault(cpu, {})[name] = value
            elif answer.status != "absent":  # a CPU may go while it is asked
                broken.append(answer)
        counters = {
            cpu: Counter(
                values.get("core_throttle_count", 0),
                values.get("core_throttle_total_time_ms"),
                values.get("package_throttle_count", 0),
                values.get("package_throttle_total_time_ms"),
            )
            for cpu, values in sorted(seen.items())
        }
        unseen = "" if tree.listing.said else tree.listing.why or tree.listing.status
        if broken:
            first = broken[0].why or (broken[0].status if not broken[0].said else "no number in it")
            unseen = f"{len(broken)} of {len(tree)} files, {broken[0].key.partition(' ')[2]}: {first}"
        return cls(counters, unseen, bool(tree))

    def growth(self, cpus: Iterable[int], earlier: Throttling | None, seconds: float) -> Growth | None:
        """Since the earlier counters, or since boot where `earlier` is None; None without counters or time.

        A CPU that was not seen earlier is left out; counters that fell were reset, and count from zero.
        """
        then_by_cpu = earlier.by_cpu if earlier else dict.fromkeys(self.by_cpu, ZERO)
        pairs = [(self.by_cpu[cpu], then_by_cpu[cpu]) for cpu in cpus if cpu in self.by_cpu and cpu in then_by_cpu]
        if not pairs or seconds <= 0:
            return None
        package = [_grown(now.package_ms, then.package_ms) / 1000 for now, then in pairs if now.package_ms is not None]
        cores = [_grown(now.core_ms, then.core_ms) / 1000 for now, then in pairs if now.core_ms is not None]
        return Growth(
            seconds=seconds,
            package_share=max(package) / seconds if package else None,
            core_share=max(cores) / seconds if cores else None,
            hot_cpus=sum(one > seconds / 100 for one in cores),
            events=max(max(_grown(n.package, t.package), _grown(n.core, t.core)) for n, t in pairs),
        )


class Growth(Fact, frozen=True):
    """Throttling of some CPUs over `seconds`: the share of the time of the worst, and how often at most.

    package_share is that of the package's own counters, core_share that of its cores' (None: no times here);
    hot_cpus: CPUs throttled for over 1 % of the time.
    """

    seconds: float
    package_share: float | None
    core_share: float | None
    hot_cpus: int
    events: int

    @property
    def share(self) -> float | None:
        shares = [share for share in (self.package_share, self.core_share) if share is not None]
        return max(shares) if shares else None

    @property
    def is_credible(self) -> bool:
        """Whether nothing was throttled for longer than there was time; two samples are never exactly so far apart."""
        return (self.share or 0) * self.seconds <= 1.1 * self.seconds + 2

    @property
    def events_per_hour(self) -> float:
        return self.events * 3600 / self.seconds


class CpuTimes(Fact, frozen=True):
    """Busy and whole time since boot by CPU number, in clock ticks; `boot` is when that was (0: not known).

    From /proc/stat, whose fields are user nice system idle iowait irq softirq steal::

        cpu0 4705 150 1120 16250 520 0 88 0 0 0
        btime 1795398123
    """

    busy: dict[int, int]
    whole: dict[int, int]
    boot: int

    @classmethod
    def read(cls, host: Host) -> CpuTimes:
        answer = host.read("/proc/stat")
        busy: dict[int, int] = {}
        whole: dict[int, int] = {}
        boot = 0
        for line in answer.text.splitlines():
            name, *words = line.split()[:9] or [""]
            if name.startswith("cpu") and name[3:].isdecimal() and all(word.isdecimal() for word in words):
                ticks = [int(word) for word in words]
                whole[int(name[3:])] = sum(ticks)
                busy[int(name[3:])] = sum(ticks) - sum(ticks[3:5])
            elif name == "btime" and words and words[0].isdecimal():
                boot = int(words[0])
        if not whole and not boot:
            raise CannotSee(f"how busy the CPUs are: /proc/stat: {answer.why or 'no line of a CPU'}")
        return cls(busy, whole, boot)

    def busy_since(self, earlier: CpuTimes) -> dict[int, float]:
        """The share of the time between in which each CPU worked, 0 to 1."""
        spans = {number: whole - earlier.whole.get(number, whole) for number, whole in self.whole.items()}
        return {
            number: min(1.0, max(0.0, (self.busy[number] - earlier.busy[number]) / span))
            for number, span in spans.items()
            if span > 0
        }


def _grown(now: int | None, then: int | None) -> int:
    grown = (now or 0) - (then or 0)
    return grown if grown >= 0 else now or 0


def number(answer: Answer) -> int | None:
    """The whole number that a file holds, or None."""
    text = answer.text.strip() if answer.said else ""
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 20 else None


def cpu_of(path: str) -> int | None:
    """12 of ``/sys/devices/system/cpu/cpu12/...``."""
    name = path[len(CPU) + 1 :].partition("/")[0].removeprefix("cpu")
    return int(name) if name.isdecimal() and len(name) < 7 else None
