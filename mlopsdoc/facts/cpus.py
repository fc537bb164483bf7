"""Processors: clocks, heat, what slows them down, and how busy they are."""

from __future__ import annotations

from collections.abc import Iterable

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.facts.asked import kernel_line
from mlopsdoc.facts.machine import Machine, cpu_list
from mlopsdoc.facts.throttling import COUNTERS, CPU, Throttling, cpu_of, number
from mlopsdoc.hosts.base import Answer, Tree
from mlopsdoc.model import package_subject

LOW = 0.7  # of the base clock: then it is worth asking what holds it there
SENSORS = ("coretemp", "k10temp", "zenpower")
NEAR_MINIMUM = 1.05
POLICY_FILES = ("scaling_driver", "scaling_governor", "cpuinfo_min_freq", "cpuinfo_max_freq", "scaling_max_freq")


class Cpu(Fact, frozen=True):
    """One logical CPU. mhz: its clock now; base_mhz: the one the maker promises under full load. None: not known."""

    number: int
    package: int
    mhz: float | None
    base_mhz: float | None


class Package(Fact, frozen=True):
    """One socket. limit_c is where the processor slows itself down (TjMax). node: its first NUMA node, or None."""

    number: int
    node: int | None
    temperature_c: float | None
    limit_c: float | None
    power_limit_w: float | None
    power_max_w: float | None
    line: Line | None

    @property
    def subject(self) -> str:
        return package_subject(self.number)


class Policy(Fact, frozen=True):
    """How the kernel sets clocks. min_mhz, max_mhz: what the hardware offers; cap_mhz: what software allows."""

    driver: str = ""
    governor: str = ""
    min_mhz: float | None = None
    max_mhz: float | None = None
    cap_mhz: float | None = None
    max_percent: int | None = None
    no_turbo: bool | None = None
    thermald: bool = False
    line: Line | None = None


class Cpus(Fact, frozen=True):
    """Clocks and heat of a bare-metal host.

    prochot: the line that says that PROCHOT# is asserted now, where MSRs can be read. load: the share of all
    CPUs that have work now (by /proc/loadavg, processes that wait for a disk not counted), None when not known.

    Signs: any clock, throttle counter or heat sensor in sysfs. A virtual machine has none of its own.
    """

    vendor: str
    is_portable: bool
    cpus: tuple[Cpu, ...]
    packages: tuple[Package, ...]
    policy: Policy
    load: float | None
    prochot: Line | None
    taken_at: float

    @classmethod
    def read(cls, host: Host, machine: Machine, throttling: Throttling) -> Cpus:
        """Raises NothingHere for virtual machines, and where nothing shows clocks or heat."""
        if machine.virtual:
            raise NothingHere(f"a virtual machine ({machine.virtual}): clocks and heat are its host's")
        cpus = _cpus(host, throttling, machine.cpu_vendor)
        policy = _policy(host)
        sensors = _sensors(host)
        if not throttling.by_cpu and not sensors and policy == Policy() and all(cpu.mhz is None for cpu in cpus):
            if throttling.unseen and (machine.cpu_model or throttling.is_here):
                raise CannotSee(f"clocks and heat of the {machine.cpu_model or 'processor'}: {throttling.unseen}")
            raise _nothing(host)
        low = _are_low(cpus, policy)
        return cls(
            vendor=machine.cpu_vendor,
            is_portable=machine.is_portable,
            cpus=cpus,
            packages=_packages(host, cpus, sensors, low),
            policy=policy,
            load=_load(host.read("/proc/loadavg"), machine.threads),
            prochot=_prochot(host, machine) if low else None,
            taken_at=host.now(),
        )

    @property
    def is_seen(self) -> bool:
        """Whether a clock or a temperature is known. A setting is none: it tells what may be, not what is."""
        return any(cpu.mhz for cpu in self.cpus) or any(one.temperature_c is not None for one in self.packages)

    def of(self, package: Package) -> list[Cpu]:
        return [cpu for cpu in self.cpus if cpu.package == package.number]


def middle(values: Iterable[float]) -> float:
    """The median (the upper one of an even number); the standard library's imports too much. 0 of nothing."""
    ordered = sorted(values)
    return ordered[len(ordered) // 2] if ordered else 0.0


def _by_cpu(tree: Tree) -> dict[int, int]:
    pairs = ((cpu_of(path), number(answer)) for path, answer in tree.items())
    return {cpu: value for cpu, value in pairs if cpu is not None and value is not None}


def _nothing(host: Host) -> NothingHere | CannotSee:
    """Nothing in /sys shows clocks or heat: there is none, or a recording of other people has nothing of it."""
    if host.is_live or host.tree(COUNTERS).listing.status != "not_captured":
        return NothingHere("no clock, throttle counter or heat sensor of the processor in /sys")
    if line := kernel_line(host, b"cpu clock throttled", b"temperature above threshold"):
        return CannotSee(f"clocks and heat of the processor: the kernel saw it throttle ({line[:160]}), nothing more")
    return NothingHere("clocks and heat of the processor are not in this recording")


def _cpus(host: Host, throttling: Throttling, vendor: str) -> tuple[Cpu, ...]:
    """Clocks of now from /proc/cpuinfo, else from scaling_cur_freq.

    In this order because on x86 with kernels before 5.18 every scaling_cur_freq of a busy CPU sleeps 10 ms to
    measure: over two seconds on 224 of them, where /proc/cpuinfo sleeps once for all.
    """
    packages, clocks = _cpuinfo(host.read("/proc/cpuinfo").text)
    if not clocks:
        tree = host.tree(f"{CPU}/cpu*/cpufreq/scaling_cur_freq")
        clocks = {cpu: khz / 1000 for cpu, khz in _by_cpu(tree).items()}
    if not packages:
        packages = _by_cpu(host.tree(f"{CPU}/cpu*/topology/physical_package_id"))
    base = {cpu: khz / 1000 for cpu, khz in _by_cpu(host.tree(f"{CPU}/cpu*/cpufreq/base_frequency")).items()}
    common = None if base else _base_clock(host, vendor, bool(clocks))
    numbers = sorted({*packages, *clocks, *throttling.by_cpu})
    return tuple(Cpu(n, max(0, packages.get(n, 0)), clocks.get(n), base.get(n, common)) for n in numbers)


def _cpuinfo(text: str) -> tuple[dict[int, int], dict[int, float]]:
    """Package and MHz by CPU number, of the blocks of /proc/cpuinfo.

        processor	: 112
        cpu MHz		: 3000.001
        physical id	: 0
    """  # fmt: skip
    packages: dict[int, int] = {}
    clocks: dict[int, float] = {}
    cpu = -1
    for line in text.splitlines():
        if not line.startswith(("processor", "cpu MHz", "physical id")):
            continue
        key, _, value = line.partition(":")
        key, value = key.strip(), value.strip()
        if key == "processor":
            cpu = int(value) if value.isdecimal() and len(value) < 7 else -1
        elif cpu >= 0 and key == "physical id" and value.isdecimal():
            packages[cpu] = int(value[:6])
        elif cpu >= 0 and key == "cpu MHz" and value.replace(".", "", 1).isdecimal():
            clocks[cpu] = float(value)
    return packages, clocks


def _base_clock(host: Host, vendor: str, is_wanted: bool) -> float | None:
    """MHz where cpufreq has no base_frequency: of ACPI (AMD, ARM), else what the brand of an Intel advertises."""
    if nominal := number(host.read(f"{CPU}/cpu0/acpi_cppc/nominal_freq")):
        return float(nominal)
    if vendor != "GenuineIntel" or not is_wanted:
        return None
    answer = host.probe("cpu")
    try:
        return float(answer.json()["hz_advertised"]) / 1e6 or None if answer.said else None
    except (ValueError, KeyError, TypeError):
        return None


def _policy(host: Host) -> Policy:
    """Of CPU 0, which stands for all; of `cpupower frequency-info` where a recording has only that."""
    read = {name: host.read(f"{CPU}/cpu0/cpufreq/{name}") for name in POLICY_FILES}
    mhz = {name: value / 1000 for name, answer in read.items() if (value := number(answer))}
    high = read["cpuinfo_max_freq"]
    percent, no_turbo = (number(host.read(f"{CPU}/intel_pstate/{name}")) for name in ("max_perf_pct", "no_turbo"))
    if not host.is_live and percent is no_turbo is None and not any(answer.said for answer in read.values()):
        return _cpupower(host.run("cpupower", "frequency-info"))
    is_capped = percent is not None and percent < 100
    return Policy(
        driver=_word(read["scaling_driver"]),
        governor=_word(read["scaling_governor"]),
        min_mhz=mhz.get("cpuinfo_min_freq"),
        max_mhz=mhz.get("cpuinfo_max_freq"),
        cap_mhz=mhz.get("scaling_max_freq"),
        max_percent=percent,
        no_turbo=None if no_turbo is None else no_turbo == 1,
        thermald=is_capped and host.run("systemctl", "is-active", "thermald").text.strip() == "active",
        line=Line(high.key, f"cpuinfo_max_freq {high.text.strip()}") if high.said else None,
    )


def _word(answer: Answer | None) -> str:
    return answer.text.strip()[:32] if answer and answer.said else ""


def _cpupower(answer: Answer) -> Policy:
    """Of such text::

    driver: intel_pstate
    hardware limits: 800 MHz - 3.80 GHz
    The governor "performance" may decide which speed to use
    """
    found: dict[str, str] = {}
    for line in answer.text.splitlines():
        key, colon, value = line.strip().partition(":")
        if colon:
            found.setdefault(key, value.strip())
    low, _, high = found.get("hardware limits", "").partition(" - ")
    if not found.get("driver") and not high:
        return Policy()
    quote = Line(answer.key, f"hardware limits: {low} - {high}")
    return Policy(driver=found.get("driver", ""), min_mhz=_mhz(low), max_mhz=_mhz(high), line=quote)


def _mhz(text: str) -> float | None:
    """800.0 of ``800 MHz``, 3800.0 of ``3.80 GHz``."""
    value, _, unit = text.strip().partition(" ")
    scale = {"MHz": 1, "GHz": 1000, "kHz": 0.001}.get(unit)
    return float(value) * scale if scale and value.replace(".", "", 1).isdecimal() else None


def _sensors(host: Host) -> list[tuple[int | None, float, float | None, Line]]:
    """Package (None: not said), degrees, limit and line of each sensor of a whole processor.

    Only the sensors' own folders are read: some others ask the firmware of a network card. coretemp's first is
    ``Package id 0``, k10temp's first is ``Tctl``; hwmon numbers change from boot to boot.
    """
    found: list[tuple[int | None, float, float | None, Line]] = []
    names = host.tree("/sys/class/hwmon/hwmon*/name")
    for path in sorted(names, key=lambda path: (len(path), path)):
        if names[path].text.strip() not in SENSORS:
            continue
        files = {name.rpartition("/")[2]: a for name, a in host.tree(path[:-4] + "temp1_[cil]*").items()}
        value = files.get("temp1_input")
        degrees = number(value) if value else None
        if value is None or degrees is None or not 0 < degrees < 127_000:
            continue  # 0, 127, 128 and 255 are what broken sensors say
        label = _word(files.get("temp1_label"))
        package = label.removeprefix("Package id ")
        limit = number(files["temp1_crit"]) if "temp1_crit" in files else None
        line = Line(value.key, f"{label or names[path].text.strip()} {degrees / 1000:g} C")
        found.append(
            (int(package) if package.isdecimal() else None, degrees / 1000, limit / 1000 if limit else None, line)
        )
    return found


def _packages(
    host: Host, cpus: tuple[Cpu, ...], sensors: list[tuple[int | None, float, float | None, Line]], low: bool
) -> tuple[Package, ...]:
    numbers = sorted({cpu.package for cpu in cpus} or {sensor[0] or 0 for sensor in sensors} or {0})
    unnamed = [sensor for sensor in sensors if sensor[0] is None]
    if len(unnamed) == len(numbers):  # AMD's do not say which; they come in the order of the sockets
        sensors = [(number, *sensor[1:]) for number, sensor in zip(numbers, unnamed)]
    heat = {number: (degrees, limit, line) for number, degrees, limit, line in sensors if number is not None}
    nodes = _nodes(host)
    power = _power_limits(host) if low else {}
    packages: list[Package] = []
    for n in numbers:
        first = next((cpu.number for cpu in cpus if cpu.package == n), -1)
        degrees, limit, line = heat.get(n, (None, None, None))
        packages.append(Package(n, nodes.get(first), degrees, limit, *power.get(n, (None, None)), line))
    return tuple(packages)


def _nodes(host: Host) -> dict[int, int]:
    """The NUMA node of each CPU."""
    found: dict[int, int] = {}
    for path, answer in host.tree("/sys/devices/system/node/node*/cpulist").items():
        node = path.split("/")[5].removeprefix("node")
        if node.isdecimal():
            found.update(dict.fromkeys(cpu_list(answer.text), int(node)))
    return found


def _power_limits(host: Host) -> dict[int, tuple[float | None, float | None]]:
    """Watts that each package may use for long, as set and as designed; world-readable, unlike its energy."""
    tree = host.tree("/sys/class/powercap/intel-rapl:*/[cn]*")
    found: dict[int, tuple[float | None, float | None]] = {}
    for path, answer in tree.items():
        name = answer.text.strip()
        if path.endswith("/name") and name.startswith("package-") and name[8:].isdecimal():
            limits = [tree.get(path[:-4] + f"constraint_0_{end}") for end in ("power_limit_uw", "max_power_uw")]
            watts = [(number(limit) or 0) / 1e6 or None if limit else None for limit in limits]
            found[int(name[8:])] = watts[0], watts[1]
    return found


def _load(answer: Answer, threads: int) -> float | None:
    """Of ``98.40 97.10 95.02 113/2873 991234``: the smaller of the last minute's load and what runs now.

    The load alone counts processes that wait for a dead NFS server, what runs now is one moment.
    """
    words = answer.text.split()
    running = words[3].partition("/")[0] if len(words) > 3 else ""
    if not running.isdecimal() or not words[0].replace(".", "", 1).isdecimal() or not threads:
        return None
    return min(float(words[0]), max(0, int(running) - 1)) / threads


def _are_low(cpus: tuple[Cpu, ...], policy: Policy) -> bool:
    """Whether the CPUs of some package are slow enough to ask why; idle ones are too."""
    floor = (policy.min_mhz or 0) * NEAR_MINIMUM
    for package in {cpu.package for cpu in cpus}:
        clocks = [cpu for cpu in cpus if cpu.package == package and cpu.mhz is not None]
        slow = [cpu for cpu in clocks if (cpu.mhz or 0) <= (cpu.base_mhz * LOW if cpu.base_mhz else floor)]
        if clocks and len(slow) * 2 > len(clocks):
            return True
    return False


def _prochot(host: Host, machine: Machine) -> Line | None:
    """PERF_LIMIT_REASONS (MSR 0x64f, Intel): bit 0 says that PROCHOT# is asserted now; 16 that it once was."""
    if machine.cpu_vendor not in ("GenuineIntel", "") or (host.is_live and not machine.is_root):
        return None
    answer = host.run("rdmsr", "0x64f")
    try:
        value = int(answer.text.split()[0], 16) if answer.said else 0
    except (ValueError, IndexError):
        return None
    return Line(answer.key, answer.text.strip()) if value & 1 else None
