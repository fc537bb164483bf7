"""``nvidia-smi --query-gpu=... --format=csv``: a header of fields, a line a GPU; several one after another.

    index, pci.bus_id, temperature.gpu, clocks.current.sm [MHz], clocks_event_reasons.active
    0, 00000000:1B:00.0, 61, 1845 MHz, 0x0000000000000000

With ``nounits`` the units are missing, in the header too.
"""

from __future__ import annotations

from mlopsdoc.clean import one_line
from mlopsdoc.facts.smi import Printed, Row, slot, small
from mlopsdoc.facts.smi_labels import FIELDS

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
        cells = cells[:-1] if is_cut else cells
        row = _row(number, fields, cells)
        if whole and not any(field in IDENTITY for field in fields):
            row.index = ordinal  # they come in the order of their index
        ordinal += 1
        printed.rows.append(row)
        if "driver_version" in fields[: len(cells)]:
            printed.driver = one_line(cells[fields.index("driver_version")], 40)
        if "count" in fields[: len(cells)]:
            printed.attached = small(cells[fields.index("count")]) or 0
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
            row.index = small(cell)
        elif field in ("uuid", "gpu_uuid") and cell.startswith("GPU-"):
            row.uuid = one_line(cell, 80)
        elif field in ("pci.bus_id", "gpu_bus_id"):
            row.pci = slot(cell)
        elif field in FIELDS:
            row.put(*FIELDS[field], cell, bare=True)
        elif field.startswith("reasons."):
            row.flag(field.removeprefix("reasons."), cell)
    return row
