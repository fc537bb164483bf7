"""``nvidia-smi`` without arguments: the table, of the layouts up to R450, R470 and R550, and R610's header.

    | NVIDIA-SMI 580.95.05              Driver Version: 580.95.05      CUDA Version: 13.0     |
    |=========================================+========================+======================|
    |   0  NVIDIA H100 80GB HBM3          On  |   00000000:1B:00.0 Off |                    0 |
    | N/A   61C    P0            662W /  700W |   71844MiB /  81559MiB |     98%      Default |
    |                                         |                        |             Disabled |
    ...
    |  GPU   GI   CI              PID   Type   Process name                        GPU Memory |
    |    0   N/A  N/A           41230      C   ...train/bin/python3                  71840MiB |

It tells temperature, power and use, in the last column uncorrected errors since the driver was loaded (``Off``: ECC
is) and the mode of MIG, but not what holds the clocks back.
"""

from __future__ import annotations

from typing import Any

from mlopsdoc.clean import one_line
from mlopsdoc.facts.smi import REFUSALS, Printed, Row, read_value, slot

_VERSIONS = ("Driver Version:", "KMD Version:")


def parse(text: str, whole: bool) -> Printed:
    """A row a GPU, by the two lines that each has."""
    printed = Printed()
    row: Row | None = None  # whose second line comes next
    third: Row | None = None  # whose third line comes next
    here: dict[str, Row] = {}  # the rows of this table by index
    for number, line in enumerate(text.split("\n")):
        cells = [cell.strip() for cell in line[:1024].strip().strip("|").split("|")]
        if "NVIDIA-SMI" in line:
            printed.driver = _driver(line) or printed.driver
            here = {}
        elif len(cells) == 3 and (begun := _first(number, cells)):
            row = begun
            printed.rows.append(row)
            here[str(row.index)] = row
        elif len(cells) == 3 and row:
            _second(row, cells)
            row, third = None, row
        elif len(cells) == 3 and third and not cells[0]:
            _mig_mode(third, cells[2])
            third = None
        elif len(cells) == 1 and "no mig devices found" in cells[0].casefold():
            for one in here.values():
                one.values["mig_devices"] = 0
        elif len(cells) == 4 and (found := here.get(cells[0].partition(" ")[0])) and found.values.get("mig_now"):
            found.values["mig_devices"] = found.values.get("mig_devices", 0) + 1
        elif len(cells) == 1 and line.strip().startswith("|"):
            _process(here, cells[0].split())
    return printed


def _driver(line: str) -> str:
    for label in _VERSIONS:
        if label in line:
            return one_line("".join(line.partition(label)[2].split()[:1]), 40)
    return ""


def _first(number: int, cells: list[str]) -> Row | None:
    """``0  NVIDIA H100 80GB HBM3          On`` and ``00000000:1B:00.0 Off``."""
    words, bus = cells[0].split(), cells[1].split()
    pci = slot(bus[0]) if bus else ""
    if len(words) < 2 or not words[0].isdecimal() or len(words[0]) > 4 or not pci:
        return None
    row = Row(number, index=int(words[0]), pci=pci)
    row.put("name", "text", " ".join(words[1:-1]) or words[1])
    if words[-1] in ("On", "Off", "ERR!"):
        row.put("persistence", "mode", words[-1])
    if cells[2] == "Off":
        row.values["ecc_now"] = 0
        row.put("ecc_uncorrected_volatile_total", "", "N/A")  # nothing is counted, so no count is missing
    elif cells[2].isdecimal():
        row.values["ecc_now"] = 1
        row.put("ecc_uncorrected_volatile_total", "", cells[2])
    elif cells[2]:
        row.put("ecc_now", "mode", cells[2])
    return row


def _mig_mode(row: Row, text: str) -> None:
    """``Disabled``, ``Enabled``, ``N/A``; with a star another one is pending: ``Enabled*``."""
    row.put("mig_now", "mode", text.removesuffix("*"))
    if text.endswith("*") and "mig_now" in row.values:
        row.values["mig_then"] = 1 - row.values["mig_now"]


def _second(row: Row, cells: list[str]) -> None:
    """Fan, temperature, state, power: ``N/A   61C    P0   662W /  700W``, ``ERR!  ERR! ERR!    ERR! / ERR!``."""
    lost = next((cell for cell in cells if "is lost" in cell.casefold()), "")
    words = cells[0].replace("/", " / ").replace("N / A", "N/A").split()
    _fan, celsius, state, power, slash, limit = words if len(words) == 6 else [""] * 6
    for name, kind, word in (
        ("temperature_c", "C", celsius),
        ("pstate", "pstate", state),
        ("power_mw", "W", power if slash == "/" else ""),
        ("power_limit_mw", "W", limit if slash == "/" else ""),
    ):
        row.put(name, kind, lost or _spaced(word, kind))
    if use := cells[2].split()[:1]:
        row.put("gpu_percent", "%", _spaced(use[0], "%"))


def _spaced(word: str, unit: str) -> str:
    """``61 C`` of ``61C``."""
    return word if word.casefold() in REFUSALS else f"{word.removesuffix(unit)} {unit}" if word.endswith(unit) else word


def _process(rows: dict[str, Row], words: list[str]) -> None:
    """GPU, since R450 its MIG instances, pid, type, name, memory."""
    if words[:1] == ["GPU"] and "PID" in words:
        for row in rows.values():
            row.processes = row.processes or []
        return
    at = 3 if words[1:3] and all(word == "N/A" or word.isdecimal() for word in words[1:3]) and len(words) > 6 else 1
    if len(words) < at + 4 or not words[0].isdecimal() or not words[at].isdecimal() or len(words[at]) > 10:
        return
    if not set(words[at + 1]) <= set("CGM+"):
        return
    used = read_value("MiB", _spaced(words[-1], "MiB"))[0]
    process: dict[str, Any] = {"pid": int(words[at]), "usedGpuMemory": used, "name": " ".join(words[at + 2 : -1])}
    if (found := rows.get(words[0])) and found.processes is not None:
        found.processes.append(process)
