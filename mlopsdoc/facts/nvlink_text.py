"""What `nvidia-smi nvlink -s` and `-e` printed, in the shape and under the names of probes/nvml.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mlopsdoc import Host
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.nvml import Table

INACTIVE = 0


def rows(host: Host) -> list[Table]:
    """What `nvidia-smi nvlink -s` and `-e` printed, as rows of probes/nvml.py."""
    found: dict[str, dict[str, Any]] = {}
    for option, read in (("-s", _status), ("-e", _error)):
        answer = host.run("nvidia-smi", "nvlink", option)
        if answer.text:
            _printed(whole_lines(answer), read, found)
    is_mig = any(line.lstrip().startswith("MIG ") for line in host.run("nvidia-smi", "-L").text.split("\n"))
    for row in found.values():
        row["values"] = {"mig": [1, 1]} if is_mig else {}
        row["links"] = [{"link": number, "values": values} for number, values in sorted(row["links"].items())]
    return [*found.values()]


def _printed(lines: Iterable[str], read: Callable[[str], dict[str, int]], rows: dict[str, dict[str, Any]]) -> None:
    """The lines of one output::

        GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5f0c9a1e-7b34-4d2f-9a61-0e8c2b7d4f10)
                 Link 0: 26.562 GB/s
                 Link 1: <inactive>
        NVML: Unable to retrieve NVLink information as all links are inActive

    and of -e ``Link 0: Replay Errors: 0``, or ``Link 0`` and then ``Replay Errors: 0``.
    """
    row, number = None, -1
    for line in lines:
        words = line.strip()
        label, _, rest = words.partition(": ")
        kind, _, digits = label.partition(" ")
        if kind == "GPU" and digits.isdecimal() and len(digits) < 4:
            name, _, uuid = rest.partition(" (UUID: ")
            row, number = rows.setdefault(digits, {"index": int(digits), "links": {}}), -1
            row |= {"name": name.strip(), "uuid": uuid.rstrip(") ")}
        elif "unable to retrieve nvlink information" in words.casefold() and "inactive" in words.casefold():
            row = row or rows.setdefault("", {"links": {}})
            row["failure"] = words
        elif row is not None:
            if kind == "Link" and digits.isdecimal() and len(digits) < 3:
                number, words = int(digits), rest
            if number >= 0 and words and (found := read(words)):
                row["links"].setdefault(number, {}).update(found)


def _status(words: str) -> dict[str, int]:
    """``26.562 GB/s``, ``<inactive>`` or ``inactive``; nothing of anything else."""
    if words.strip("<>").casefold() == "inactive":
        return {"state": INACTIVE}
    amount, _, unit = words.partition(" ")
    whole, _, part = amount.partition(".")
    if unit != "GB/s" or not whole.isdecimal() or not (part or "0").isdecimal() or len(amount) > 12:
        return {}
    return {"state": 1, "speed_mbps": round(float(amount) * 1000)}


# Labels of `nvidia-smi nvlink -e` -> names of probes/nvml.py.
_LABELS = {
    "replay errors": "replay", "recovery errors": "recovery", "crc errors": "crc", "crc flit errors": "crc",
    "malformed packet errors": "malformed", "buffer overrun errors": "overrun", "rx errors": "rx",
    "rx remote errors": "rx_remote", "rx general errors": "rx_general", "local link integrity errors": "integrity",
    "tx discards": "discards", "link recovery successful events": "recovered",
    "link recovery failed events": "recovery_failed", "effective errors": "effective", "effective ber": "effective_ber",
}  # fmt: skip


def _error(words: str) -> dict[str, int]:
    """``Replay Errors: 0``; a rate as ``15e-255``."""
    label, _, value = words.rpartition(":")
    name, value = _LABELS.get(label.strip().casefold(), ""), value.strip()
    if name == "effective_ber":
        mantissa, _, exponent = value.partition("e-")
        if not (mantissa.isdecimal() and exponent.isdecimal() and int(mantissa[:9]) < 16 and int(exponent[:9]) < 256):
            return {}
        return {name: int(mantissa) << 8 | int(exponent)}
    return {name: int(value)} if name and value.isdecimal() and len(value) < 21 else {}
