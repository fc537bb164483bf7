"""``nvidia-smi --query-gpu=... --format=csv``: a header of fields, a line a GPU; several one after another.

    index, pci.bus_id, temperature.gpu, clocks.current.sm [MHz], clocks_event_reasons.active
    0, 00000000:1B:00.0, 61, 1845 MHz, 0x0000000000000000

With ``nounits`` the units are missing, in the header too.
"""

from __future__ import annotations

from mlopsdoc.clean import one_line
from mlopsdoc.facts import smi_health
from mlopsdoc.facts.smi import Printed, Row, slot

# Field -> name and kind; of several fields for one name the first that has a value counts.
FIELDS = {
    "name": ("name", "text"),
    "gpu_name": ("name", "text"),
    "persistence_mode": ("persistence", "mode"),
    "pstate": ("pstate", "pstate"),
    "temperature.gpu": ("temperature_c", "C"),
    "temperature.gpu.tlimit": ("margin_c", "C"),
    "temperature.memory": ("memory_c", "C"),
    "clocks.sm": ("sm_mhz", "MHz"),
    "clocks.current.sm": ("sm_mhz", "MHz"),
    "clocks.max.sm": ("sm_max_mhz", "MHz"),
    "clocks.applications.graphics": ("app_mhz", "MHz"),
    "clocks.applications.gr": ("app_mhz", "MHz"),
    "clocks.default_applications.graphics": ("app_default_mhz", "MHz"),
    "clocks.default_applications.gr": ("app_default_mhz", "MHz"),
    "pcie.link.gen.current": ("pcie_generation", ""),
    "pcie.link.gen.gpucurrent": ("pcie_generation", ""),
    "pcie.link.gen.max": ("pcie_max_generation", ""),
    "pcie.link.width.current": ("pcie_width", "lanes"),
    "pcie.link.width.max": ("pcie_max_width", "lanes"),
    "utilization.gpu": ("gpu_percent", "%"),
    "utilization.memory": ("memory_percent", "%"),
    "power.draw": ("power_mw", "W"),
    "power.draw.average": ("power_mw", "W"),
    "power.draw.instant": ("power_mw", "W"),
    "enforced.power.limit": ("power_limit_mw", "W"),
    "power.limit": ("power_limit_mw", "W"),
    "power.default_limit": ("power_default_mw", "W"),
    "reasons.active": ("reasons", "mask"),
    "reasons.supported": ("supported_reasons", "mask"),
    "counters.sw_power_cap": ("power_cap_ns", "us"),
    "counters.sync_boost": ("sync_boost_ns", "us"),
    "counters.sw_thermal_slowdown": ("sw_thermal_ns", "us"),
    "counters.hw_thermal_slowdown": ("hw_thermal_ns", "us"),
    "counters.hw_power_brake_slowdown": ("power_brake_ns", "us"),
    **smi_health.FIELDS,
}
IDENTITY = ("index", "uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id")
_SHORT = (
    ("clocks_event_reasons_counters.", "counters."),
    ("clocks_event_reasons.", "reasons."),
    ("clocks_throttle_reasons.", "reasons."),
)
_SIGNS = ("timestamp", "count", "serial", "driver_version", "compute_mode", "compute_cap", "vbios_version")


def parse(text: str, whole: bool) -> Printed:
    """A row a line. The last value of a text that was cut is not believed."""
    printed = Printed()
    fields: list[str] = []
    ordinal = 0
    lines = text.split("\n")
    last = next((n for n in range(len(lines) - 1, 0, -1) if lines[n].strip()), 0)
    for number, line in enumerate(lines):
        cells = [cell.strip() for cell in line[:16384].split(",")]
        if _is_header(cells):
            fields, ordinal = [_field(cell) for cell in cells], 0
            continue
        if not fields or len(cells) > len(fields) or not cells[0] or (len(cells) == 1 < len(fields)):
            continue
        is_last = number >= last
        if len(cells) < len(fields) and not is_last:
            cells = ["?"] * len(fields)  # a comma was lost: which cell is of which field is not known
        is_cut = len(cells) < len(fields) or (is_last and not whole and not _is_entire(cells[-1]))
        row = _row(number, fields, cells[:-1] if is_cut else cells)
        if whole and not any(field in IDENTITY for field in fields):
            row.index = ordinal  # they come in the order of their index
        ordinal += 1
        printed.rows.append(row)
        if "driver_version" in fields[: len(cells)]:
            printed.driver = one_line(cells[fields.index("driver_version")], 40)
    return printed


def _is_entire(cell: str) -> bool:
    """Whether it ends as it should: a number with its unit, a mask after 16 digits."""
    return cell.endswith((" MHz", " W", " %", " MiB")) or (cell.startswith("0x") and len(cell) == 18)


def _is_header(cells: list[str]) -> bool:
    """Whether every cell could be the name of a field, and one is."""
    fields = [_field(cell) for cell in cells]
    known = any(field in FIELDS or field in IDENTITY or "." in field or field in _SIGNS for field in fields)
    return known and all(
        field and field[0].islower() and field.replace(".", "").replace("_", "").isalnum() for field in fields
    )


def _field(cell: str) -> str:
    """``clocks.current.sm`` of ``clocks.current.sm [MHz]``; the reasons by their short names."""
    name = cell.partition(" [")[0].strip()
    for long, short in _SHORT:
        if name.startswith(long):
            return short + name.removeprefix(long)
    return name


def _row(number: int, fields: list[str], cells: list[str]) -> Row:
    row = Row(number)
    for field, cell in zip(fields, cells):
        if field == "index":
            row.index = int(cell) if cell.isdecimal() and len(cell) < 5 else None
        elif field in ("uuid", "gpu_uuid") and cell.startswith("GPU-"):
            row.uuid = one_line(cell, 80)
        elif field in ("pci.bus_id", "gpu_bus_id"):
            row.pci = slot(cell)
        elif field in FIELDS:
            row.put(*FIELDS[field], cell, bare=True)
        elif field.startswith("reasons."):
            row.flag(field.removeprefix("reasons."), cell)
    return row
