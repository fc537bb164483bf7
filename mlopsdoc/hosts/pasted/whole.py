"""Whether an output is there from its beginning to its end, by its own form."""

from __future__ import annotations

import json
from collections.abc import Callable

from mlopsdoc.patterns import compiled


def is_whole(key: str, text: str) -> bool | None:
    """Whether nothing of an output is missing, None where the form does not tell."""
    if key in COUNTED:
        return _whole_counted(key, text)
    return _WHOLE[key](text) if key in _WHOLE else None


def is_ended(key: str, text: str) -> bool:
    """Whether the end of an output whose beginning is there shows that no line is missing."""
    if key.startswith(("read /sys/", "read /proc/sys/", *ONE_LINE_TOOLS)):
        return len(text.splitlines()) == 1
    if text[:1] in ("{", "["):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            return False
        return True
    return key.startswith("link ") or (key in ENDED and is_whole(key, text) is True)


def _whole_mdstat(text: str) -> bool:
    arrays, sizes = (len(compiled(form).findall(text)) for form in (r"(?m)^md\S* : ", r"(?m)^ +[0-9]+ blocks "))
    return text.startswith("Personalities") and "\nunused devices:" in text and arrays == sizes


def _whole_zpool(text: str) -> bool:
    pools = compiled(r"(?m)^ {0,4}pool: ").findall(text)
    ends = compiled(r"(?m)^errors: ").findall(text)
    tables = compiled(r"(?m)^[ \t]*NAME +STATE +READ").findall(text)
    return "no pools available" in text or (bool(pools) and len(pools) <= len(ends) and len(pools) == len(tables))


# How many blocks an output says that it has, and lines of which each block has one: ``-d ECC`` of nvidia-smi prints the
# same head as ``-q``, and sections only.
COUNTED = {
    "run nvidia-smi -q": (
        r"(?m)^Attached GPUs +: ([0-9]{1,4})[ \t]*$",
        (r"(?m)^GPU [0-9A-Fa-f]{8}:", r"(?m)^    Product Name +: ", r"(?m)^    Processes +:|^    Processes$"),
    ),
    "run nvidia-smi -q -x": (
        r"<attached_gpus>([0-9]{1,4})</attached_gpus>",
        (r"<gpu id=", r"<product_name>", r"<processes\b"),
    ),
    "run numactl -H": (
        r"\Aavailable: ([0-9]{1,4}) node",
        (r"(?m)^node [0-9]+ cpus:", r"(?m)^node [0-9]+ size:", r"(?m)^ +[0-9]+: "),
    ),
}


def _whole_counted(key: str, text: str) -> bool:
    form, rows = COUNTED[key]
    if key.endswith(" -x") and not ("<nvidia_smi_log" in text and text.rstrip().endswith("</nvidia_smi_log>")):
        return False
    said = compiled(form).findall(text)
    return len(said) == 1 and all(len(compiled(row).findall(text)) == int(said[0]) for row in rows)


def _whole_table(text: str) -> bool:
    return "NVIDIA-SMI" in text and "Processes:" in text and text.rstrip().endswith("+")


def _whole_topo(text: str) -> bool:
    rows = len(compiled(r"(?m)^(?:\x1b\[[0-9;]*m)?GPU[0-9]+\s").findall(text))
    columns = compiled(r"(?m)^[ \t]+[^\n]*?GPU[0-9][^\n]*$").search(text)
    return columns is not None and rows == len(compiled(r"GPU[0-9]+").findall(columns[0])) and "Legend:" in text


def _whole_lscpu(text: str) -> bool:
    return text.startswith("Architecture") and "\nNUMA node" in text


# Whose form tells that nothing is missing; of the others it only tells that something is.
SURE = (
    "read /proc/mdstat", "run nvidia-smi -q", "run nvidia-smi -q -x", "run nvidia-smi topo -m", "run numactl -H",
)  # fmt: skip
ENDED = (*SURE, "run nvidia-smi")
ONE_LINE_TOOLS = ("run date", "run hostname", "run uname", "run uptime", "run whoami")
_WHOLE: dict[str, Callable[[str], bool]] = {
    "read /proc/mdstat": _whole_mdstat,
    "run zpool status": _whole_zpool,
    "run nvidia-smi": _whole_table,
    "run nvidia-smi topo -m": _whole_topo,
    "run lscpu": _whole_lscpu,
}
