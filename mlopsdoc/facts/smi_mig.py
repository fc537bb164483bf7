"""What ``nvidia-smi mig -lgi`` lists, and what ``nvidia-smi -mig 1`` said of a mode that waits.

+-------------------------------------------------------+
| GPU instances:                                        |
| GPU   Name             Profile  Instance   Placement  |
|                          ID       ID       Start:Size |
|=======================================================|
|   0  MIG 1g.10gb         19        7          4:1     |

No MIG-enabled GPU instances found.

Warning: MIG mode is in pending enable state for GPU 00000000:C3:00.0:In use by another client
"""

from __future__ import annotations

from mlopsdoc.facts.smi import Printed, Row, slot

_PENDING = "mig mode is in pending "
IN_USE = 19  # NVML_ERROR_IN_USE
_WHY = (("in use", IN_USE), ("not supported", 3), ("timeout", 10))


def parse(text: str, whole: bool) -> Printed:
    """A row a GPU that is named."""
    rows: dict[str, Row] = {}
    printed = Printed()
    for number, line in enumerate(text.split("\n")):
        said = line[:1024].casefold()
        words = said.strip().strip("|").split()
        if said.strip().startswith("no ") and "instances found" in said:
            printed.no_instances = True
        elif words[1:2] == ["mig"] and words[0].isdecimal() and len(words[0]) < 5:
            row = rows.setdefault(words[0], Row(number, index=int(words[0])))
            row.values |= {"mig_now": 1, "mig_devices": row.values.get("mig_devices", 0) + 1}
        elif _PENDING in said:
            mode, _, rest = said.partition(_PENDING)[2].partition(" state for gpu ")
            pci = slot(rest[:16])
            if pci and mode in ("enable", "disable"):
                row = rows.setdefault(pci, Row(number, pci=pci))
                row.values |= {"mig_now": int(mode == "disable"), "mig_then": int(mode == "enable")}
                row.values["mig_why"] = next((code for sign, code in _WHY if sign in rest), 0)
    printed.rows = list(rows.values())
    printed.whole = False  # GPUs without MIG are not in it
    return printed
