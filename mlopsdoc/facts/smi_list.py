"""``nvidia-smi -L``: which GPUs there are, and nothing of how they are.

GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-5f0c9a1e-7b34-4d2f-9a61-0e8c2b7d4f10)
  MIG 3g.40gb     Device  0: (UUID: MIG-...)
"""

from __future__ import annotations

from mlopsdoc.clean import one_line
from mlopsdoc.facts.smi import Printed, Row


def parse(text: str, whole: bool) -> Printed:
    """A row a GPU; its MIG devices are none, and counted."""
    rows: list[Row] = []
    for number, line in enumerate(text.split("\n")):
        if rows and line[:1].isspace() and line.lstrip().startswith("MIG "):
            rows[-1].values["mig_devices"] = rows[-1].values.get("mig_devices", 0) + 1
            continue
        head, colon, rest = line[:1024].partition(":")
        words = head.split()
        if colon and len(words) == 2 and words[0] == "GPU" and words[1].isdecimal() and len(words[1]) < 5:
            name, _, uuid = rest.partition("(UUID:")
            row = Row(number, index=int(words[1]), uuid=one_line(uuid.strip(" )"), 80))
            row.put("name", "text", name)
            if whole:
                row.values["mig_devices"] = 0
            rows.append(row)
    return Printed(rows)
