"""NVMe drives: what the kernel says of their controllers, what they say of their own health, what was logged."""

from __future__ import annotations

from mlopsdoc import Answer, Fact, Host, Line, NothingHere
from mlopsdoc.authoring import NEEDS_ROOT
from mlopsdoc.clean import one_line
from mlopsdoc.facts.kernel_log import KernelLine, KernelLog
from mlopsdoc.facts.machine import Machine
from mlopsdoc.patterns import compiled

CLASS = "/sys/class/nvme"
FILES = f"{CLASS}/*/[amst][deort]*"  # address, model, serial, state, transport
HEAT = f"{CLASS}/*/hwmon*/temp1_[acim]*"  # alarm, crit, input, max
LINKS = f"{CLASS}/*/device/current_link_*"
SMART_LOG = ("nvme", "smart-log", "-o", "json")
SMARTCTL = ("smartctl", "-j", "-a")
# Models that a host makes up for its virtual machines: what they say of their health nobody measured.
MADE_UP = ("qemu", "amazon elastic", "amazon ec2", "nvme_card", "msft nvme", "vmware", "vbox", "orcl")


class Smart(Fact, frozen=True):
    """What a drive says of its own health. None where it is not told.

    warning: its critical warnings, a bit each. temperature_c: composite. spare, spare_threshold, used: percent; used
    may be more than 100. media_errors: data that could not be read back, ever. warm_min, hot_min: how many minutes it
    was above its warning and its critical temperature, ever.
    """

    warning: int | None = None
    temperature_c: int | None = None
    spare: int | None = None
    spare_threshold: int | None = None
    used: int | None = None
    media_errors: int | None = None
    warm_min: int | None = None
    hot_min: int | None = None
    line: Line | None = None
    model: str = ""
    serial: str = ""


class Drive(Fact, frozen=True):
    """One controller. name: ``nvme3``, empty where an output does not name it. What is not told is empty or None.

    slot: on PCI. state: ``live``, ``resetting``, ``dead`` ... width, speed: of its link now, ``4`` and ``16.0 GT/s
    PCIe``. temperature_c, warning_c, critical_c: without SMART. smart: None where it was not told; `why` is why, empty
    where nobody expects it.
    """

    name: str
    model: str = ""
    serial: str = ""
    slot: str = ""
    state: str = ""
    transport: str = ""
    width: str = ""
    speed: str = ""
    temperature_c: float | None = None
    warning_c: float | None = None
    critical_c: float | None = None
    smart: Smart | None = None
    why: str = ""
    line: Line | None = None

    @property
    def label(self) -> str:
        return f"NVMe {self.name or ' '.join(filter(None, (self.model, self.serial))) or 'drive'}"

    def is_called(self, name: str) -> bool:
        """Whether a disk of a pool or array is this drive: ``nvme3n1p1``, or a name with its serial number."""
        match = compiled(r"(?:/dev/)?(nvme[0-9]{1,4})n[0-9]{1,4}(?:p[0-9]{1,3})?").fullmatch(name)
        return match[1] == self.name if match else len(self.serial) > 5 and self.serial in name


class NvmeDrives(Fact, frozen=True):
    """Every NVMe controller. fix: how those could be seen whose `why` says that they were not.

    Signs, world-readable: /sys/class/nvme/nvme3/{state,model,serial,address,transport}, and below it
    hwmon*/temp1_{input,max,crit}, in thousandths of a degree. What a drive says of its health (SMART) only root may
    ask: by `nvme smart-log`, else `smartctl`. In recordings any of their outputs.
    """

    drives: tuple[Drive, ...]
    fix: str = ""

    @classmethod
    def read(cls, host: Host, machine: Machine | None) -> NvmeDrives:
        """Raises NothingHere where there is no drive, and in a container, which sees those of its host."""
        if machine and machine.container:
            raise NothingHere("NVMe drives are those of the host of this container")
        told: dict[str, dict[str, Answer]] = {}
        for path, answer in host.tree(FILES).items():
            name, _, file = path[len(CLASS) + 1 :].partition("/")
            told.setdefault(name, {})[file] = answer
        if not told and host.is_live:
            raise NothingHere("no NVMe drive")
        for pattern in (HEAT, LINKS) if told else ():
            for path, answer in host.tree(pattern).items():
                if (name := path.split("/")[4]) in told:
                    told[name][path.rpartition("/")[2]] = answer
        known: dict[str, Smart] = {}
        loose: list[Smart] = []
        refused: list[str] = []
        if not host.is_live:
            from mlopsdoc.facts.nvme_smart import recorded

            known, loose, refused = recorded(host)
        names = sorted({*told, *known, *refused}, key=lambda name: (len(name), name))
        asked = _Asked(host, machine, refused)
        drives = [_drive(name, told.get(name, {}), known.get(name), asked) for name in names]
        drives += [Drive("", smart.model, smart.serial, smart=smart, line=smart.line) for smart in loose]
        if not drives:
            raise NothingHere("no NVMe drive is told of")
        return cls(tuple(drives), asked.fix)

    def same(self, drive: Drive) -> Drive | None:
        """That drive among these."""
        return next((one for one in self.drives if one.name == drive.name), None) if drive.name else None


class _Asked:
    """Asks drives about their health. fix: what would let it, where it could not."""

    def __init__(self, host: Host, machine: Machine | None, refused: list[str]) -> None:
        self.fix = ""
        self._host = host
        self._refused = refused
        self._tools = [SMART_LOG, SMARTCTL]
        self._is_nobody = not (machine and machine.is_root) and host.read("/proc/self/status").said

    def about(self, name: str, model: str, state: str, transport: str) -> tuple[Smart | None, str]:
        """What it says, or why it does not; neither where that is not to be expected, or asking would hang."""
        is_made_up = any(sign in model.lower() for sign in MADE_UP)
        if is_made_up or state not in ("live", "") or transport not in ("pcie", ""):
            return None, ""
        if self._is_nobody or name in self._refused:
            self.fix = NEEDS_ROOT
            return None, "only root may ask it"
        while self._tools:
            answer = self._host.run(*self._tools[0], f"/dev/{name}")
            if answer.status != "absent":
                from mlopsdoc.facts.nvme_smart import parsed

                smart = parsed(answer)
                return smart, "" if smart else answer.why or "the answer tells nothing of it"
            del self._tools[0]
        self.fix = "install nvme-cli or smartmontools"
        return None, "neither nvme nor smartctl is installed"


def _drive(name: str, files: dict[str, Answer], smart: Smart | None, asked: _Asked) -> Drive:
    said = {file: one_line(answer.text.strip(), 80) for file, answer in files.items() if answer.said}
    state, transport = said.get("state", ""), said.get("transport", "")
    model = said.get("model") or (smart.model if smart else "")
    why = ""
    if smart is None:
        smart, why = asked.about(name, model, state, transport)
    heat = [_celsius(said.get(f"temp1_{kind}", "")) for kind in ("input", "max", "crit")]
    line = Line(f"read {CLASS}/{name}/state", f"{name}: {state}, {model}") if said else smart.line if smart else None
    return Drive(
        name=one_line(name, 40),
        model=model,
        serial=said.get("serial") or (smart.serial if smart else ""),
        slot=said.get("address", "").lower() if transport in ("pcie", "") else "",
        state=state,
        transport=transport,
        width=said.get("current_link_width", ""),
        speed=said.get("current_link_speed", ""),
        temperature_c=heat[0],
        warning_c=heat[1],
        critical_c=heat[2],
        smart=smart,
        why=why,
        line=line,
    )


def _celsius(text: str) -> float | None:
    """41 of ``41850``; None of limits that no drive has (65261850 stands for none)."""
    return int(text) / 1000 if text.isdecimal() and 0 < len(text) < 7 and int(text) <= 130_000 else None


# ---- the kernel log

ALIVE = "alive"
# What a line has -> what happened.
EVENTS = (
    ("default/read/poll queues", ALIVE),
    ("Disabling device after reset failure", "gone"),
    ("Removing after probe failure", "gone"),
    ("Device not ready; aborting", "gone"),
    ("controller is down; will reset", "reset"),
    ("timeout, reset controller", "reset"),
    ("timeout, disable controller", "reset"),
    ("frozen state error detected", "reset"),
    ("timeout, aborting", "timeout"),
    ("timeout, completion polled", "timeout"),
    ("critical medium error", "medium"),
)
SIGNS = (b"nvme nvme", b"medium error, dev nvme")


class NvmeEvent(Fact, frozen=True):
    """drive: ``nvme3``. kind: as in EVENTS."""

    drive: str
    kind: str
    line: KernelLine


class NvmeEvents(Fact, frozen=True):
    """What the kernel wrote of NVMe drives since boot, in order of time. now: seconds since the epoch."""

    events: tuple[NvmeEvent, ...]
    now: float

    @classmethod
    def read(cls, host: Host, log: KernelLog) -> NvmeEvents:
        """Lines of all versions::

        nvme nvme3: I/O 12 QID 4 timeout, aborting
        nvme nvme3: I/O tag 12 (700c) opcode 0x2 (I/O Cmd) QID 4 timeout, aborting req_op:READ(0) size:4096
        nvme nvme3: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0xffff
        nvme nvme3: Device not ready; aborting reset, CSTS=0x1
        nvme nvme3: Disabling device after reset failure: -19
        nvme nvme3: frozen state error detected, reset controller
        nvme nvme3: 64/0/0 default/read/poll queues
        critical medium error, dev nvme3n1, sector 7814037 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2
        """
        found = tuple(event for line in log.lines(*SIGNS) if (event := _event(line)))
        if not found:
            raise NothingHere("the kernel log says nothing of NVMe drives")
        return cls(found, log.now)


def _event(line: KernelLine) -> NvmeEvent | None:
    kind = next((kind for sign, kind in EVENTS if sign in line.text), "")
    match = compiled(r"\b(?:nvme|dev) (nvme[0-9]{1,4})(?:c[0-9]{1,4})?(?:n[0-9]{1,4})?\b").search(line.text[:200])
    return NvmeEvent(match[1], kind, line) if kind and match else None
