"""NVIDIA GPUs: what they are, how hot and how fast they run, and what slows them down."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.facts import nvml
from mlopsdoc.facts.machine import container, is_tegra, sees_all_processes
from mlopsdoc.facts.nvml import Table
from mlopsdoc.facts.pci import UEVENTS, PciDevices
from mlopsdoc.model import gpu_subject

if TYPE_CHECKING:
    from mlopsdoc.facts.smi import Row

# Bits of the clocks event (throttle) reasons, nvml.h.
IDLE, BY_SETTING, POWER_CAP = 0x1, 0x2, 0x4
HW_SLOWDOWN, SW_THERMAL, HW_THERMAL, POWER_BRAKE = 0x8, 0x20, 0x40, 0x80
PASSTHROUGH, VGPU_GUEST, VGPU_HOSTS = 1, 2, (3, 4)  # NVML_GPU_VIRTUALIZATION_MODE_
_HOTTER = ("gpu_max", "slowdown", "shutdown")
# Words of the names of boards with GDDR; data centre and workstation boards beside these have HBM.
GDDR = frozenset(
    ("RTX", "Quadro", "GTX", "T400", "T600", "T1000", "M4", "M6", "M10", "M40", "M60", "P4", "P6", "P40", "T4", "T4G",
     "A2", "A10", "A10G", "A10M", "A16", "A40", "L2", "L4", "L20", "L40", "L40G", "L40S")
)  # fmt: skip
DISPLAY = frozenset(
    ("RTX", "Quadro", "Display", "NVS", "T400", "T600", "T1000")
)  # "NVIDIA DGX Display": a DGX Station's
C2C = ("GH200", "GB200", "GB300", "GB10")  # what they copy goes over NVLink-C2C to Grace, not over PCIe
# What nvidia-smi may leave out, and how its errors call it.
CALLED = {"power_limit_w": "power_limit_mw", "power_default_w": "power_default_mw", "utilization": "gpu_percent"}
GIVEN_AWAY = ("vfio-pci", "pci-stub", "xen-pciback")  # drivers that hold a GPU for a virtual machine


class Limits(Fact, frozen=True):
    """Where heat slows a GPU down, C; None where it does not say or says nonsense.

    Ampere and older (and many GeForce cards) have temperatures. Ada and Hopper data centre boards and newer
    have offsets of the margin (T.Limit): clocks drop once the margin is at or below `gpu_max_offset_c` (0),
    the hardware slows down at `slowdown_offset_c` (-2), it shuts down at `shutdown_offset_c` (-8).
    """

    gpu_max_c: int | None = None
    slowdown_c: int | None = None
    shutdown_c: int | None = None
    gpu_max_offset_c: int | None = None
    slowdown_offset_c: int | None = None
    shutdown_offset_c: int | None = None
    memory_max_c: int | None = None


class Slowed(Fact, frozen=True):
    """How long clocks were held back since the driver was loaded, ns by reason; None where it is not counted.

    `thermal_ns` is the older count of both kinds of heat.
    """

    sw_thermal_ns: int | None = None
    hw_thermal_ns: int | None = None
    power_brake_ns: int | None = None
    power_cap_ns: int | None = None
    thermal_ns: int | None = None


class Named(Fact, frozen=True, kw_only=True):
    """A GPU by what is known of it: some outputs of nvidia-smi have no address."""

    index: int | None
    pci: str
    uuid: str
    place: int = 0

    @property
    def label(self) -> str:
        return label_of(self.index, self.pci, self.uuid, self.place)

    @property
    def id(self) -> str:
        """What processes name it by: its address, else its label."""
        return self.pci or self.label


class Gpu(Named, frozen=True, kw_only=True):
    """One GPU as NVML sees it. `pci`: 0000:1b:00.0, the identity (an index shifts when a GPU falls off the bus).

    What could not be read is None, `errors` has the NVML code by name. `reasons` are the clocks event reasons
    that this GPU supports and has now. `margin_c`: degrees left, signed, smaller is hotter. `untold`: which of
    temperature_c and reasons an output of nvidia-smi left out (its table has no reasons, a filtered output has
    gaps); such output may lack the address as well: `place` is which of those without any it was, from 1.
    `pstate`: 0 is full speed. `persistence`: 0 or 1. `app_mhz`: the application clock, and its default.
    `memory_use`: percent of the time that memory was read or written. `energy_mj`: since the driver was loaded,
    `pcie_bytes` as well, both ways.
    """

    name: str
    virtualization: int | None
    temperature_c: int | None
    memory_c: int | None
    margin_c: int | None
    limits: Limits
    reasons: int | None
    slowed: Slowed
    sm_mhz: int | None
    sm_max_mhz: int | None
    power_w: float | None
    power_limit_w: float | None
    utilization: int | None
    errors: dict[str, int]
    line: Line
    untold: tuple[str, ...] = ()
    pstate: int | None = None
    persistence: int | None = None
    power_default_w: float | None = None
    app_mhz: int | None = None
    app_default_mhz: int | None = None
    memory_use: int | None = None
    energy_mj: int | None = None
    pcie_bytes: int | None = None

    @property
    def is_consumer(self) -> bool:
        return "GeForce" in self.name or "TITAN" in self.name

    @property
    def has_hbm(self) -> bool:
        """Whether its memory is HBM: of every board but those that are known for GDDR."""
        words = set(self.name.replace("-", " ").split())
        return not (words & GDDR or self.is_consumer or self.is_laptop)

    @property
    def has_display(self) -> bool:
        """Whether it is a board that people plug screens into."""
        return self.is_consumer or self.is_laptop or bool(DISPLAY & set(self.name.split()))

    @property
    def is_passed_through(self) -> bool:
        return self.virtualization in (PASSTHROUGH, VGPU_GUEST)

    @property
    def is_laptop(self) -> bool:
        return "Laptop" in self.name or "Max-Q" in self.name

    def has(self, reason: int) -> bool:
        """Whether this reason holds the clocks back now."""
        return self.reasons is not None and bool(self.reasons & reason)

    def leaves_out(self, *fields: str) -> bool:
        """Whether the output of nvidia-smi that tells of it is silent on one of CALLED: not even "not offered"."""
        silent = (field for field in fields if getattr(self, field) is None and CALLED[field] not in self.errors)
        return self.line.answer.startswith("run ") and any(silent)


class Lost(Fact, frozen=True):
    """A GPU that the driver holds and NVML cannot speak of, and why; code: NVML's, 0 where it does not name it."""

    index: int | None
    pci: str
    why: str
    line: Line | None = None
    code: int = 0

    @property
    def label(self) -> str:
        return label_of(self.index, self.pci)


class Listed(Fact, frozen=True):
    """A process that nvidia-smi printed, and the id of its GPU."""

    pid: int
    gpu: str
    used_bytes: int | None
    name: str


class Gpus(Fact, frozen=True):
    """The GPUs that NVML answers for, in its order, and those that it lost. `at`: seconds since the epoch, or 0.

    The sign of an NVIDIA GPU: a PCI display device of vendor 10de that is not given to a virtual machine,
    /proc/driver/nvidia/version, or /dev/dxg (WSL); in a recording also any output of nvidia-smi. The GPU of a Jetson is
    left alone: it is on no bus, and NVML tells hardly anything of it.

    Recordings of other people have what nvidia-smi printed, in one form or several; on this machine it is asked
    only where the library cannot be used, never where that hung. `listed`: the processes that it printed; None
    where it printed no list of them. `missing`: how many GPUs it counted and did not show; `is_part`: whether there
    are others is not known, for it was asked for one or only a part of what it said is here.
    """

    gpus: tuple[Gpu, ...]
    lost: tuple[Lost, ...] = ()
    driver: str = ""
    at: float = 0.0
    listed: tuple[Listed, ...] | None = None
    missing: int = 0
    is_part: bool = False

    @classmethod
    def read(cls, host: Host, pci: PciDevices | None) -> Gpus:
        """Raises NothingHere without a sign, CannotSee when the driver does not answer: with its words."""
        sign = sign_of(host, pci)
        if sign == "tegra":
            raise NothingHere("the GPU is a part of a Tegra chip (Jetson): here, not judged")
        if host.is_live and not sign:
            raise _nothing(host, pci)
        trouble: CannotSee | None = None
        try:
            if found := _from_nvml(host, pci, sign):
                return found
        except CannotSee as blind:
            trouble = blind if sign else None
        if (not host.is_live or _wants_library(host)) and (found := _from_smi(host, pci)):
            return found
        if trouble:
            raise trouble
        raise _nothing(host, pci)

    def __iter__(self) -> Iterator[Gpu]:
        return iter(self.gpus)

    def same(self, gpu: Gpu) -> Gpu | None:
        """That GPU among these."""
        wanted = (gpu.pci, gpu.uuid, None if gpu.pci or gpu.uuid else gpu.index)
        return next((g for g in self.gpus if (g.pci, g.uuid, None if g.pci or g.uuid else g.index) == wanted), None)

    def gaps(self, what: str, told: Collection[Gpu] = (), *errors: str) -> Iterator[tuple[str, str, str, str]]:
        """Subject, summary, advice and code of the GPUs of which `what` cannot be judged.

        told: those that tell it, where that is not all; one that neither does nor gives any of these `errors` for it
        is one whose lines are missing.
        """
        for lost in self.lost:
            yield lost.label, f"{what} cannot be judged: {lost.why}", nvml.XID, "lost"
        for gpu in self.gpus if told else ():
            if gpu not in told and not gpu.errors.keys() & set(errors):
                yield gpu.label, f"{what} is not told by what is here", "nvidia-smi -q tells of all", "untold"
        if self.missing or self.is_part:
            many = f"{self.missing} more GPUs" if self.missing else "other GPUs, if there are any,"
            yield "", f"{what} of {many} is not in what is here of nvidia-smi", "nvidia-smi -q tells of all", "missing"


def label_of(index: int | None, pci: str, uuid: str = "", place: int = 0) -> str:
    """What findings call a GPU: by its address, else what else is known of it."""
    if pci:
        return gpu_subject(index, pci)
    if index is not None or uuid:
        return f"GPU {index}" if index is not None else f"GPU {uuid}"
    return "GPU without address" + (f", no. {place}" if place else "")


def sign_of(host: Host, pci: PciDevices | None) -> str:
    """What says that there is a GPU before NVML is asked, which is slow to load; empty where nothing does."""
    if pci and any(gpu.driver not in GIVEN_AWAY for gpu in pci.gpus()):
        return "pci"
    if host.read("/proc/driver/nvidia/version").said:
        return "tegra" if is_tegra(host) else "driver"
    return "wsl" if host.read("/dev/dxg").status not in ("absent", "not_captured") else ""


def _nothing(host: Host, pci: PciDevices | None) -> NothingHere | CannotSee:
    """There is no GPU, or there may be one: whoever would tell was asked and did not answer."""
    if pci is None:
        for answer in (host.tree(UEVENTS).listing, host.read("/proc/driver/nvidia/version")):
            if not answer.said and answer.status not in ("absent", "not_captured"):
                return CannotSee(f"whether there is an NVIDIA GPU: {answer.key}: {answer.why or answer.status}")
    if not host.is_live and (pci is None or not pci.gpus()):
        from mlopsdoc.facts import gpu_signs  # only where somebody else looked

        return gpu_signs.unseen(host)
    return NothingHere("no NVIDIA GPU")


def _from_nvml(host: Host, pci: PciDevices | None, sign: str) -> Gpus | None:
    """None when NVML was never asked, or is not there although only WSL speaks for it."""
    answer = host.probe("nvml", "state")
    if answer.status in ("absent", "not_captured") and not sign:
        return None
    state = nvml.table(answer)
    rows = nvml.rows(state)
    if not rows and (error := nvml.part(state, "error")):
        code = nvml.number(error, "code") or nvml.UNKNOWN
        if code == nvml.LIBRARY_NOT_FOUND and sign == "wsl":
            return None
        raise _no_nvml(host, code, nvml.text(state, "library", 40))
    fixed = {nvml.identity(row): row for row in _static(host)}
    seen = [(nvml.identity(row), row) for row in rows if nvml.LOST not in nvml.codes(row).values()]
    gpus = tuple(_gpu(row, fixed.get(name, {}), answer.key) for name, row in seen if name[0])
    lost = _lost(host, pci, rows, {gpu.pci for gpu in gpus}, answer.key)
    if not gpus and not lost:
        raise CannotSee("NVML names no GPU, although there is one", nvml.XID)
    return Gpus(gpus, lost, nvml.text(state, "driver", 40), answer.at)


def _wants_library(host: Host) -> bool:
    """Whether NVML was not to be had for want of a library, its own or that of Python: nvidia-smi may have one."""
    answer = host.probe("nvml", "state")
    if answer.said:
        return nvml.number(nvml.part(nvml.table(answer), "error"), "code") == nvml.LIBRARY_NOT_FOUND
    return answer.status == "failed" and "ModuleNotFoundError" in answer.why


def _from_smi(host: Host, pci: PciDevices | None) -> Gpus | None:
    """None when there is no output of nvidia-smi; raises CannotSee with the words for why it shows no GPU."""
    from mlopsdoc.facts import smi  # only where there is something of it

    printed = smi.ask(host, smi.FORMS[:1] if host.is_live else smi.FORMS)
    if printed is None:
        return None
    if printed.failure:
        code, library = printed.failure
        raise smi.no_devices() if code == smi.NO_DEVICES else _no_nvml(host, code, library)
    seen = [row for row in printed.rows if "handle" not in row.errors and nvml.LOST not in row.errors.values()]
    gpus = _named(seen, printed.key)
    lost = [_blank(row.table(), row.pci, printed.key) for row in printed.rows if row not in seen]
    missing = max(0, printed.attached - len(printed.rows))
    if printed.whole and not missing and all(row.pci for row in printed.rows):
        lost += _lost(host, pci, [], {row.pci for row in printed.rows}, printed.key)
    listed = [
        Listed(process["pid"], gpu.id, process.get("usedGpuMemory"), process.get("name", ""))
        for gpu, row in zip(gpus, seen)
        for process in row.processes or ()
    ]
    is_told = any(row.processes is not None for row in printed.rows)
    told = tuple(listed) if is_told else None
    return Gpus(gpus, tuple(lost), printed.driver, printed.at, told, missing, printed.is_part)


def _named(rows: list[Row], key: str) -> tuple[Gpu, ...]:
    """The GPUs of what was printed; those without a name are counted where there are several."""
    tables = [(row.table(), row.untold) for row in rows]
    gpus = [replace(_gpu(table, table, key), untold=untold) for table, untold in tables]
    nameless = [n for n, gpu in enumerate(gpus) if gpu.index is None and not gpu.pci and not gpu.uuid]
    for place, n in enumerate(nameless if len(nameless) > 1 else [], 1):
        gpus[n] = replace(gpus[n], place=place)
    return tuple(gpus)


def _static(host: Host) -> list[Table]:
    """What does not change; nothing where that was not seen, as in an earlier sample: then limits are None."""
    try:
        return nvml.rows(nvml.table(host.probe("nvml", "static")))
    except CannotSee:
        return []


def _no_nvml(host: Host, code: int, library: str) -> CannotSee:
    """Why NVML could not be initialised.

    /proc/driver/nvidia/version, whose first line has the version of the module that is loaded::

        NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22)
        NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024
    """
    words = host.read("/proc/driver/nvidia/version").text.partition("\n")[0].split()
    module = next((word for word in words if "." in word and word.replace(".", "").isdigit()), "")
    versions = [f"library {library}" if library else "", f"kernel module {module[:40]}" if module else ""]
    said = ", ".join(filter(None, versions)) if code == nvml.MISMATCH else ""
    return CannotSee(nvml.in_words(code) + (f" ({said})" if said else ""), nvml.CODES.get(code, ("", ""))[1])


def _limits(values: Table) -> Limits:
    """A set whose limits do not get hotter in this order (or are all 0) is stale or invented, and left out."""
    known: dict[str, int] = {}
    for end, sign, low, high in (("_c", 1, 31, 130), ("_offset_c", -1, -60, 60)):
        found = {f"{name}{end}": nvml.degrees(values, f"{name}{end}", low, high) for name in _HOTTER}
        said = {name: value for name, value in found.items() if value is not None}
        if any(said.values()) and sorted(said.values(), key=lambda limit: sign * limit) == list(said.values()):
            known |= said
    return Limits(**known, memory_max_c=nvml.degrees(values, "memory_max_c", 31, 130))


def _slowed(values: Table) -> Slowed:
    counts = {name: nvml.number(values, name) for name in Slowed.__struct_fields__}
    if counts["thermal_ns"] is None:
        counts["thermal_ns"] = nvml.number(nvml.part(values, "thermal_violation"), "violationTime")
    return Slowed(**counts)


def _gpu(row: Table, fixed: Table, key: str) -> Gpu:
    state, static = nvml.part(row, "values"), nvml.part(fixed, "values")
    pci, uuid = nvml.identity(row)
    supported = nvml.number(static, "supported_reasons") or None
    reasons = nvml.number(state, "reasons")
    sent, received = nvml.number(state, "pcie_tx_bytes"), nvml.number(state, "pcie_rx_bytes")
    return Gpu(
        index=nvml.number(row, "index"),
        pci=pci,
        uuid=uuid,
        name=nvml.text(static, "name"),
        virtualization=nvml.number(static, "virtualization"),
        temperature_c=nvml.degrees(state, "temperature_c"),
        memory_c=nvml.degrees(state, "memory_c"),
        margin_c=nvml.degrees(state, "margin_c", -100, 150),
        limits=_limits(static),
        reasons=reasons & supported if reasons is not None and supported else reasons,
        slowed=_slowed(state),
        sm_mhz=nvml.number(state, "sm_mhz"),
        sm_max_mhz=nvml.number(static, "sm_max_mhz"),
        power_w=nvml.watts(state, "power_mw"),
        power_limit_w=nvml.watts(state, "power_limit_mw"),
        utilization=nvml.number(nvml.part(state, "utilization"), "gpu"),
        errors=nvml.codes(fixed) | nvml.codes(row),
        line=_quoted(pci, nvml.text(static, "name"), state, key),
        pstate=nvml.number(state, "pstate"),
        persistence=nvml.number(state, "persistence"),
        power_default_w=nvml.watts(static, "power_default_mw"),
        app_mhz=nvml.number(state, "app_mhz"),
        app_default_mhz=nvml.number(static, "app_default_mhz"),
        memory_use=nvml.number(nvml.part(state, "utilization"), "memory"),
        energy_mj=nvml.number(state, "energy_mj"),
        pcie_bytes=(sent or 0) + (received or 0) if sent is not None or received is not None else None,
    )


def _quoted(pci: str, name: str, state: Table, key: str) -> Line:
    shown = ("temperature_c", "margin_c", "memory_c", "sm_mhz", "power_mw", "hw_thermal_ns", "sw_thermal_ns")
    words = [f"{name}={state[name]}" for name in shown if nvml.number(state, name) is not None]
    reasons = nvml.number(state, "reasons")
    words += [] if reasons is None else [f"reasons={reasons:#x}"]
    if not words:
        return Line(key, " ".join(filter(None, (pci, name))))
    return Line(key, " ".join((f"{pci}:" if pci else "GPU:", *words)))


def sees_all_gpus(host: Host) -> bool:
    """Whether NVML lists to this process every GPU that the driver holds. A container is given some of them, with the
    pids of the machine too, and a step of Slurm those of its job::

        0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0    or 5:devices:/slurm/uid_1000/job_4711/step_0
    """
    return sees_all_processes(host) and not is_job_step(host) and not container(host)


def is_job_step(host: Host) -> bool:
    """Whether this runs within a job of Slurm."""
    groups = host.read("/proc/self/cgroup").text
    return "slurm" in groups and "/job_" in groups


def _lost(host: Host, pci: PciDevices | None, rows: list[Table], seen: set[str], key: str) -> tuple[Lost, ...]:
    """The rows that NVML only has a code for, and the GPUs of the driver that it does not even count.

    A row without an address is the one GPU that is missing, where only one is. A container is given some GPUs
    of the machine while /sys shows all, and so is a job: there only NVML counts.
    """
    held = [gpu.slot for gpu in pci.gpus() if gpu.driver == "nvidia"] if pci and sees_all_gpus(host) else []
    blank = [row for row in rows if nvml.identity(row)[0] not in seen]
    missing = [slot for slot in held if slot not in seen and slot not in {nvml.identity(row)[0] for row in blank}]
    nameless = [row for row in blank if not nvml.identity(row)[0]]
    if len(nameless) == len(missing) == 1:
        return tuple(_blank(row, nvml.identity(row)[0] or missing[0], key) for row in blank)
    lost = [_blank(row, nvml.identity(row)[0], key) for row in blank if nvml.identity(row)[0] or not missing]
    return (*lost, *(Lost(None, slot, "the driver holds it, but NVML does not list it") for slot in missing))


def _blank(row: Table, slot: str, key: str) -> Lost:
    codes = nvml.codes(row)
    name = next((name for name, code in codes.items() if code == nvml.LOST), next(iter(codes), "handle"))
    code = codes.get(name, nvml.UNKNOWN)
    index = nvml.number(row, "index")
    return Lost(index, slot, nvml.in_words(code), Line(key, f"GPU {index}: {name}: NVML code {code}"), code)
