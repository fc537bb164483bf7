"""What nvidia-smi printed, in any of its forms, in the shape and under the names of probes/nvml.py.

Each form is a module with a table of its labels and `parse(text, whole) -> Printed`. What several forms, or
several outputs joined one after another, say of one GPU comes together here: by PCI address, else UUID, else
index. Of two outputs of one form the later holds, of two forms the one that stands later in the text they come
from, else the first in FORMS; what the other one says besides counts as long as it may be the same moment.

A value is told (a number), refused (`errors` has the NVML code: ``N/A``, ``[Not Supported]``, ``ERR!``, ``GPU is
lost``), damaged (refused with `nvml.DAMAGED`: there is text, and it is none of these), or not told at all: a
filtered output proves no absence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any, cast

from mlopsdoc import CannotSee, Host
from mlopsdoc.clean import decode, one_line
from mlopsdoc.facts import nvml
from mlopsdoc.facts.asked import order
from mlopsdoc.hosts.base import Answer

# The arguments of each form, and the module that reads it.
FORMS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("-q", "-x"), "smi_xml"),
    (("-q",), "smi_text"),
    (("--query-gpu",), "smi_csv"),
    (("--query-remapped-rows",), "smi_csv"),
    ((), "smi_table"),
    (("dmon",), "smi_scrolling"),
    (("pmon",), "smi_scrolling"),
    (("-L",), "smi_list"),
    (("mig", "-lgi"), "smi_mig"),
    (("-mig",), "smi_mig"),
)
# What stands where a value should be -> NVML return code.
REFUSALS = {
    "n/a": 3, "not supported": 3, "insufficient permissions": 4, "timeout": 10, "function not found": 13,
    "gpu is lost": nvml.LOST, "gpu requires reset": nvml.RESET, "reset required": nvml.RESET,
    "unknown error": nvml.UNKNOWN, "err!": nvml.UNKNOWN, "unknown": nvml.UNKNOWN,
    "requested functionality has been deprecated": 26,
}  # fmt: skip
# What it says instead of its output -> NVML return code; NO_DEVICES is ours. It says so on stdout, mostly.
NO_DEVICES = -2
FAILURES = (
    ("couldn't communicate with the nvidia driver", 9),
    ("couldn't find libnvidia-ml", nvml.LIBRARY_NOT_FOUND),
    ("driver/library version mismatch", nvml.MISMATCH),
    ("failed to initialize nvml: driver not loaded", 9),
    ("failed to initialize nvml: gpu access blocked", 17),
    ("failed to initialize nvml: insufficient permissions", 4),
    ("failed to initialize nvml: gpu is lost", nvml.LOST),
    ("failed to initialize nvml", nvml.UNKNOWN),
    ("no devices were found", NO_DEVICES),
    ("no devices found", NO_DEVICES),
)
# Unit -> how many of NVML's it is.
UNITS = {"": 1, "C": 1, "MHz": 1, "%": 1, "W": 1000, "us": 1000, "MiB": 1 << 20, "bank(s)": 1}
# The clocks event (throttle) reasons by the end of their names, nvml.h.
REASONS = {
    "gpu_idle": 0x1, "idle": 0x1, "applications_clocks_setting": 0x2, "sw_power_cap": 0x4, "hw_slowdown": 0x8,
    "sync_boost": 0x10, "sw_thermal_slowdown": 0x20, "hw_thermal_slowdown": 0x40, "hw_power_brake_slowdown": 0x80,
    "display_clocks_setting": 0x100, "display_clock_setting": 0x100,
}  # fmt: skip
MAX_GPUS = 512
SAME_MOMENT_C = 5  # two outputs whose temperatures of a GPU differ by more are of two moments
# What changes from moment to moment: faults that were counted, and what waits for a reset, stay.
MOMENTARY = frozenset(
    ("temperature_c", "memory_c", "margin_c", "sm_mhz", "power_mw", "gpu_percent", "memory_percent", "reasons",
     "pstate", "pcie_generation", "power_cap_ns", "sync_boost_ns", "sw_thermal_ns", "hw_thermal_ns", "power_brake_ns")
)  # fmt: skip
_HW_SLOWDOWN, _SW_THERMAL, _HW_THERMAL = 0x8, 0x20, 0x40
_ENUMS = {
    "mode": {"enabled": 1, "on": 1, "disabled": 0, "off": 0},
    "yes": {"yes": 1, "no": 0, "1": 1, "0": 0},
    "checksum": {"valid": 0},
    "devices": {"none": 0},
    "virtualization": {"none": 0, "pass-through": 1, "vgpu": 2, "host vgpu": 3, "host vsga": 4},
    "pstate": {f"p{n}": n for n in range(16)},
    "lanes": {f"{n}{x}": n for n in (1, 2, 4, 8, 16, 32) for x in ("x", "")},
}
_HANDLE = "unable to determine the device handle for gpu"


class Row:
    """What one output says of one GPU. `line`: where in its text, for the order of several."""

    def __init__(self, line: int, *, index: int | None = None, pci: str = "", uuid: str = "") -> None:
        self.line = line
        self.index = index
        self.pci = pci
        self.uuid = uuid
        self.values: dict[str, Any] = {}
        self.errors: dict[str, int] = {}
        self.active = 0  # the reasons that are said to be active
        self.seen = 0  # those of which anything was said
        self.offered = 0  # those of which it was said whether they are active
        self.processes: list[dict[str, Any]] | None = None  # None: not told

    def put(self, name: str, kind: str, text: str, *, bare: bool = False) -> None:
        """One value; the first that is one holds. `kind`: its unit, or how to read it. bare: the unit may lack."""
        if name in self.values or self.errors.get(name, 3) not in nvml.NOT_OFFERED:
            return
        value, code = read_value(kind, text, bare=bare)
        if code:
            self.errors.setdefault(name, code)
        else:
            self.errors.pop(name, None)
            self.values[name] = value

    def flag(self, reason: str, text: str) -> bool:
        """One of REASONS, ``Active`` or ``Not Active``; whether it is one of them."""
        bit = REASONS.get(reason, 0)
        said = text.casefold().strip("[] ")
        if not bit:
            return False
        if said in ("active", "not active"):
            self.seen |= bit
            self.offered |= bit
            self.active |= bit if said == "active" else 0
        elif (code := REFUSALS.get(said)) in nvml.NOT_OFFERED:
            self.seen |= bit
        else:
            self.errors["reasons"] = code or nvml.DAMAGED
        return True

    def add(self, other: Row, *, later: bool) -> None:
        """What another output says of the same GPU: instead of this where it is the later one, else beside it."""
        self.index = other.index if self.index is None else self.index
        self.pci, self.uuid = self.pci or other.pci, self.uuid or other.uuid
        if not self._may_be_of_the_moment_of(other):
            (self if later else other).forget()
        known: set[str] = set() if later else {*self.values, *self.errors}
        for name in {*other.values, *other.errors} - known:
            self.values.pop(name, None)
            self.errors.pop(name, None)
            self.values |= {name: other.values[name]} if name in other.values else {}
            self.errors |= {name: other.errors[name]} if name in other.errors else {}
        bits = other.seen if later else other.seen & ~self.seen
        if later and bits and "reasons" not in other.errors:
            self.errors.pop("reasons", None)
        if later and other.values:
            self.errors.pop("handle", None)
        self.active = (self.active & ~bits) | (other.active & bits)
        self.offered = (self.offered & ~bits) | (other.offered & bits)
        self.seen |= bits
        if other.processes is not None and (later or self.processes is None):
            self.processes = other.processes

    def _may_be_of_the_moment_of(self, other: Row) -> bool:
        here, there = self.values.get("temperature_c"), other.values.get("temperature_c")
        return here is None or there is None or abs(int(here) - int(there)) <= SAME_MOMENT_C

    def forget(self) -> None:
        """Keep only what lasts: the rest is of an earlier moment, and nothing may be judged by both."""
        self.values = {name: value for name, value in self.values.items() if name not in MOMENTARY}
        self.errors = {name: code for name, code in self.errors.items() if name not in MOMENTARY}
        self.active = self.seen = self.offered = 0

    @property
    def untold(self) -> tuple[str, ...]:
        """Which of temperature and reasons were not told. HW slowdown that is not active speaks for its kinds."""
        hardware = self.seen & _HW_THERMAL or (self.offered & ~self.active & _HW_SLOWDOWN)
        reasons = {"reasons"} & {*self.values, *self.errors} or (hardware and self.seen & _SW_THERMAL)
        heat = {"temperature_c", "margin_c"} & {*self.values, *self.errors}
        return tuple(name for name, told in (("temperature_c", heat), ("reasons", reasons)) if not told)

    def table(self) -> dict[str, Any]:
        """In the shape of a row of probes/nvml.py."""
        values, errors = dict(self.values), dict(self.errors)
        if "gpu_percent" in values:
            values["utilization"] = {"gpu": values.pop("gpu_percent"), "memory": values.pop("memory_percent", None)}
        if self.seen and "reasons" not in errors:
            values["reasons"] = values.get("reasons", 0) | self.active
            values.setdefault("supported_reasons", self.offered)
            if not self.offered:
                del values["reasons"]
                errors["reasons"] = 3
        elif self.active:
            values["reasons"] = self.active
        return {"index": self.index, "pci": self.pci, "uuid": self.uuid, "values": values, "errors": errors}


class Printed:
    """What one form said. `attached`: how many GPUs it says there are, 0 where it does not; `whole`: no part of it
    is missing; `failure`: NVML code and library version, where it ended with one; `order`: where it stands in the
    text that it comes from. `is_part`: of all forms together, whether there may be GPUs that none of them shows.
    `corrupt`: addresses of the GPUs whose InfoROM it says is corrupt; `no_instances`: it found no MIG instance.
    """

    def __init__(self, rows: Iterable[Row] = (), driver: str = "", attached: int = 0) -> None:
        self.rows = list(rows)
        self.driver = driver
        self.attached = attached
        self.key = ""
        self.at = 0.0
        self.whole = True
        self.is_part = False
        self.corrupt: set[str] = set()
        self.no_instances = False
        self.order = 0
        self.failure: tuple[int, str] | None = None


def ask(host: Host, forms: Iterable[tuple[tuple[str, ...], str]] = FORMS) -> Printed | None:
    """What all these forms say together; None where nvidia-smi said nothing. Raises CannotSee: it cannot be read."""
    said: list[Printed] = []
    trouble: CannotSee | None = None
    for arguments, module in forms:
        try:
            said += [printed] if (printed := _asked(host, arguments, module)) else []
        except CannotSee as blind:
            trouble = trouble or blind
    if not any(printed.rows for printed in said) and trouble:
        raise trouble
    if not said:
        return None
    said.sort(key=lambda printed: -printed.order)
    if said[0].failure and len(said) > 1 and said[0].order > said[1].order:
        said = said[:1]  # what worked before does not any more
    result = Printed(driver=next((printed.driver for printed in said if printed.driver), ""))
    first = next((printed for printed in said if printed.rows), said[0])
    result.key, result.at = first.key, first.at
    result.whole = all(printed.whole for printed in said)
    result.attached = max(printed.attached for printed in said)
    result.corrupt = set().union(*(printed.corrupt for printed in said))
    result.is_part = not result.attached and not any(printed.whole and printed.rows for printed in said)
    for printed in said:
        _lay_beside(result.rows, printed.rows)
    for row in result.rows:
        if row.values.get("mig_now") and any(printed.no_instances for printed in said):
            row.values.setdefault("mig_devices", 0)
    result.failure = None if result.rows else next((p.failure for p in said if p.failure), None)
    if not result.rows and result.failure is None:
        what = "the output of" if any(printed.whole for printed in said) else "what is here of the output of"
        raise CannotSee(f"{what} nvidia-smi names no GPU that could be read")
    return result


def _asked(host: Host, arguments: tuple[str, ...], module: str) -> Printed | None:
    answer = host.run("nvidia-smi", *arguments)
    if answer.status == "timeout":
        raise CannotSee(f"nvidia-smi: {answer.why or answer.status}", f"{nvml.XID}: a GPU may be off the bus")
    text = f"{answer.text}\n{decode(answer.stderr)}"
    if answer.status not in ("ok", "truncated", "failed") or not (text.strip() or answer.exit):
        return None
    parse = cast("Callable[[str, bool], Printed]", import_module(f"mlopsdoc.facts.{module}").parse)
    printed = parse(answer.text, answer.status != "truncated")
    printed.key, printed.at = answer.key, answer.at
    printed.whole = printed.whole and answer.status != "truncated"
    printed.order = order(answer)
    printed.corrupt = _corrupt_in(text)
    failure = failure_in(text)
    rows = sorted([*printed.rows, *_lost_in(text)], key=lambda row: row.line)
    last = max((row.line for row in rows), default=-1)
    printed.rows = [] if failure and failure[0] > last else _brought_together(rows)
    if not printed.rows:
        printed.failure = failure[1:] if failure else _by_exit(answer)
    return printed


def failure_in(text: str) -> tuple[int, int, str] | None:
    """Line, NVML code and version of the library of the last failure that a text tells::

    Failed to initialize NVML: Driver/library version mismatch
    NVML library version: 570.124
    """
    found: tuple[int, int, str] | None = None
    library = ""
    for number, line in enumerate(text.split("\n")):
        words = line.casefold()
        if "nvml" in words or "nvidia" in words or "no devices" in words:
            code = next((code for sign, code in FAILURES if sign in words), 0)
            found = (number, code, "") if code else found
            if words.startswith("nvml library version:"):
                library = one_line(line.partition(":")[2].strip(), 40)
    return (*found[:2], library) if found else None


def _by_exit(answer: Answer) -> tuple[int, str] | None:
    """The exit code of nvidia-smi is that of NVML, but for 2 (its arguments) and 255."""
    return (answer.exit, "") if answer.exit in nvml.CODES else None


def _lost_in(text: str) -> Iterator[Row]:
    """GPUs that it could not even open::

    Unable to determine the device handle for GPU0000:C3:00.0: Unknown Error
    Unable to determine the device handle for GPU 0000:C3:00.0: GPU is lost.  Reboot the system to recover ...
    Unable to determine the device handle for GPU1: 0000:34:00.0: Unknown Error
    """
    for number, line in enumerate(text.split("\n")):
        if (start := line.casefold().find(_HANDLE)) >= 0:
            rest = line[start + len(_HANDLE) :]
            words = [word.strip(":") for word in rest.split()[:2]]
            row = Row(number, pci=next((pci for pci in map(slot, words) if pci), ""))
            row.index = small(words[0]) if words else None
            row.errors["handle"] = _refusal(rest.rpartition(": ")[2]) or nvml.UNKNOWN
            yield row


def _corrupt_in(text: str) -> set[str]:
    """``WARNING: infoROM is corrupted at gpu 0000:3B:00.0``, behind the output of every form."""
    parts = text.casefold().split("inforom is corrupted at gpu ")[1:]
    return {pci for part in parts if (pci := slot(part[:20].partition("\n")[0].strip()))}


def _refusal(text: str) -> int:
    said = text.casefold().strip("[]. ")
    return nvml.LOST if said.startswith("gpu is lost") else REFUSALS.get(said, 0)


def _brought_together(rows: Iterable[Row]) -> list[Row]:
    """One row a GPU, of rows in the order of time."""
    found: list[Row] = []
    known: dict[str | int, Row] = {}
    for row in rows:
        names = [name for name in (row.pci, row.uuid, row.index) if name is not None and name != ""]
        same = next((old for name in names if (old := known.get(name)) and _is_same(old, row)), None)
        if same:
            same.add(row, later=True)
        elif len(found) < MAX_GPUS:
            found.append(row)
        known |= dict.fromkeys(names, same or row)
    return found


def _lay_beside(known: list[Row], rows: list[Row]) -> None:
    """Add what another form says. GPUs without a name are those that are known, where there are as many."""
    nameless = [row for row in rows if not _is_named(row)]
    bare = [row for row in known if not _is_named(row)]
    named = [row for row in known if _is_named(row)]
    pairs = dict(zip(map(id, nameless), named)) if len(nameless) == len(named) else {}
    for row in rows:
        same = pairs.get(id(row)) or next((old for old in known if _is_same(old, row)), None)
        if same is None and _is_named(row) and len(bare) == len(rows) and not named:
            same = bare[rows.index(row)]
        if same is None:
            known.append(row)
        else:
            same.add(row, later=False)


def _is_named(row: Row) -> bool:
    return bool(row.pci or row.uuid) or row.index is not None


def _is_same(one: Row, other: Row) -> bool:
    if one.pci and other.pci:
        return one.pci == other.pci
    if one.uuid and other.uuid:
        return one.uuid == other.uuid
    return one.index is not None and one.index == other.index


def small(text: str) -> int | None:
    """An index or a count of GPUs; None where it is none."""
    return int(text) if text.isdecimal() and len(text) < 5 else None


def no_devices() -> CannotSee:
    """There is a driver, and it could start no GPU."""
    return CannotSee("nvidia-smi finds no GPU that the driver could start", nvml.XID)


def slot(text: str) -> str:
    """``0000:1b:00.0`` as sysfs writes it, of ``00000000:1B:00.0``; empty where it is no PCI address."""
    parts = text.lower().replace(".", ":").split(":")
    sizes = [len(part) for part in parts]
    if len(parts) != 4 or sizes[0] not in (4, 8) or sizes[1:] != [2, 2, 1] or text.count(".") != 1:
        return ""
    if not set("".join(parts)) <= set("0123456789abcdef"):
        return ""
    domain = parts[0][-4:] if parts[0].startswith("0000") else parts[0]
    return f"{domain}:{parts[1]}:{parts[2]}.{parts[3]}"


def read_value(kind: str, text: str, *, bare: bool = False) -> tuple[Any, int]:
    """A value in NVML's unit and 0, or None and the NVML code of why there is none.

    ``91 C``, ``418.73 W``, ``0 us``; of ``610.43.02 [Deprecated; ...]`` only the first word counts. A number
    without its unit was cut, unless it may be bare.
    """
    if code := _refusal(text):
        return None, code
    if kind == "text":
        said = one_line(text.strip(), 96)
        return (said, 0) if said else (None, nvml.DAMAGED)
    if kind in _ENUMS:
        value = _ENUMS[kind].get(text.casefold().strip())
        return (None, nvml.DAMAGED) if value is None else (value, 0)
    if kind == "mask":
        digits = text.strip().casefold().removeprefix("0x")
        fits = 0 < len(digits) <= 16 and set(digits) <= set("0123456789abcdef") and digits != text.strip().casefold()
        return (int(digits, 16), 0) if fits else (None, nvml.DAMAGED)
    words = text.split()
    number = words[0].removeprefix("-") if words else ""
    unit = words[1] if len(words) > 1 else ""
    has_unit = unit == kind or (bare and (not unit or unit.startswith("[")))
    whole, point, rest = number.partition(".")
    is_number = number.isascii() and whole.isdecimal() and (rest.isdecimal() or not point) and len(number) < 20
    if not has_unit or not is_number or (point and kind != "W"):
        return None, nvml.DAMAGED
    return round(float(words[0]) * UNITS[kind]) if point else int(words[0]) * UNITS[kind], 0
