"""Reads the answers of probes/nvml.py: hostile or damaged ones become CannotSee or None, never a guess."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mlopsdoc import Answer, CannotSee
from mlopsdoc.clean import one_line

Table = Mapping[str, Any]
LIBRARY_NOT_FOUND, CORRUPT, LOST, RESET, MISMATCH, UNKNOWN = 12, 14, 15, 16, 18, 999
DAMAGED = -1  # no code of NVML: what was printed is neither a value nor a reason why there is none
NOT_OFFERED = (3, 13, 25, 26)  # not supported, or this driver does not know the question: not a trouble
XID = "look at `sudo dmesg | grep -i -e nvrm -e xid`"

# NVML return code -> what it means, what to do.
CODES = {
    3: ("not supported on this GPU", ""),
    4: ("not permitted", "run as root"),
    8: ("a GPU has no power on its auxiliary connectors", "check its power cables"),
    9: (
        "the nvidia kernel module is not loaded",
        "sudo modprobe nvidia; where that fails, look at `sudo dmesg | grep -i nvrm`",
    ),
    10: ("the driver gave up waiting for a GPU", "look for Xid messages: `sudo dmesg | grep -i xid`"),
    11: ("interrupts of a GPU do not arrive", "look at `sudo dmesg | grep -i nvrm`"),
    12: ("libnvidia-ml.so.1 is not installed", "install the NVIDIA driver"),
    13: ("the driver is too old for that question", ""),
    14: ("the InfoROM of a GPU is corrupt", "save nvidia-bug-report.sh and call the vendor"),
    15: ("a GPU is lost: it has fallen off the bus", "look for Xid 79: `sudo dmesg | grep -i xid`"),
    16: ("a GPU must be reset before it can be used", "stop its jobs, then sudo nvidia-smi --gpu-reset"),
    17: ("the operating system refused access", "look at /dev/nvidia* and `sudo dmesg | grep -i nvrm`"),
    18: (
        "driver library and kernel module have different versions",
        "after a driver update: stop all GPU processes and reload the modules, or reboot",
    ),
    23: ("resources were insufficient", ""),
    999: ("an unknown error of the driver", "look at `sudo dmesg | grep -i -e nvrm -e xid`"),
}


def in_words(code: int) -> str:
    """``NVML 15: a GPU is lost: it has fallen off the bus``."""
    if code == DAMAGED:
        return "the text of the value is damaged"
    return f"NVML {code}: {CODES[code][0]}" if code in CODES else f"NVML error {code}"


def table(answer: Answer) -> Table:
    """The whole answer. Raises CannotSee when it says nothing, or no table."""
    if not answer.said:
        late = answer.status == "timeout"
        raise CannotSee(f"NVML: {answer.why or answer.status}", f"{XID}: a GPU may be off the bus" if late else "")
    try:
        data = answer.json()
    except ValueError as error:
        raise CannotSee(f"the answer of NVML is damaged: {error}") from None
    if not isinstance(data, dict):
        raise CannotSee("the answer of NVML is no table")
    return cast("Table", data)


def rows(said: Table) -> list[Table]:
    """A table a GPU."""
    return tables(said, "gpus")


def tables(row: Table, name: str) -> list[Table]:
    """The tables of a list, none when there is no list."""
    found: Any = row.get(name)
    return [item for item in found if item.__class__ is dict] if found.__class__ is list else []


def items(row: Table, name: str) -> list[Any]:
    """What a list has, nothing when there is no list."""
    found: Any = row.get(name)
    return list(found) if found.__class__ is list else []


def part(row: Table, name: str) -> Table:
    """A table inside a table, empty when there is none."""
    found: Any = row.get(name)
    return found if found.__class__ is dict else {}


def codes(row: Table) -> dict[str, int]:
    """The NVML return code of what could not be read, by name."""
    return {one_line(name, 40): code for name, code in part(row, "errors").items() if isinstance(code, int)}


def identity(row: Table) -> tuple[str, str]:
    """PCI address and UUID; empty where they are not known."""
    return text(row, "pci", 20), text(row, "uuid", 80)


def text(values: Table, name: str, limit: int = 96) -> str:
    """On one line; empty where there is none."""
    value = values.get(name)
    return one_line(value, limit) if isinstance(value, str) else ""


def number(values: Table, name: str) -> int | None:
    """None where there is none."""
    value: Any = values.get(name)
    return value if value.__class__ is int else None  # True is none


def degrees(values: Table, name: str, low: int = 1, high: int = 150) -> int | None:
    """C. Some fields come unsigned although they are signed; 127, 128 and 255 are a sensor without a value."""
    value = number(values, name)
    if value is None:
        return None
    value -= (1 << 32) if value >= 1 << 31 else 0
    return value if low <= value <= high and value not in (127, 128, 255) else None


def watts(values: Table, name: str) -> float | None:
    """W, of mW."""
    value = number(values, name)
    return None if value is None else value / 1000
