"""Whether an output is there from its beginning to its end, by its own form."""

from __future__ import annotations

import json
from typing import NamedTuple

from mlopsdoc.patterns import compiled


class Form(NamedTuple):
    """What stands in a whole output. needs: what is found in it. counts: what is found equally often, each line of
    which a block has one. number: what tells how often that is."""

    needs: tuple[str, ...] = ()
    counts: tuple[str, ...] = ()
    number: str = ""


# ``-d ECC`` of nvidia-smi prints the same head as ``-q``, and sections only.
FORMS = {
    "read /proc/mdstat": Form((r"\APersonalities", r"\nunused devices:"), (r"(?m)^md\S* : ", r"(?m)^ +[0-9]+ blocks ")),
    "run nvidia-smi": Form(("NVIDIA-SMI", "Processes:", r"\+\s*\Z")),
    "run nvidia-smi -q": Form(
        counts=(r"(?m)^GPU [0-9A-Fa-f]{8}:", r"(?m)^    Product Name +: ", r"(?m)^    Processes +:|^    Processes$"),
        number=r"(?m)^Attached GPUs +: ([0-9]{1,4})[ \t]*$",
    ),
    "run nvidia-smi -q -x": Form(
        ("<nvidia_smi_log", r"</nvidia_smi_log>\s*\Z"),
        (r"<gpu id=", r"<product_name>", r"<processes\b"),
        r"<attached_gpus>([0-9]{1,4})</attached_gpus>",
    ),
    "run nvidia-smi topo -m": Form(("Legend:",)),
    "run numactl -H": Form(
        counts=(r"(?m)^node [0-9]+ cpus:", r"(?m)^node [0-9]+ size:", r"(?m)^ +[0-9]+: "),
        number=r"\Aavailable: ([0-9]{1,4}) node",
    ),
    "run lscpu": Form((r"\AArchitecture", r"\nNUMA node")),
}
# Whose form tells that nothing is missing; of the others it only tells that something is.
SURE = (
    "read /proc/mdstat", "run nvidia-smi -q", "run nvidia-smi -q -x", "run nvidia-smi topo -m", "run numactl -H",
)  # fmt: skip
ENDED = (*SURE, "run nvidia-smi")
ONE_LINE_TOOLS = ("run date", "run hostname", "run uname", "run uptime", "run whoami")


def is_whole(key: str, text: str) -> bool | None:
    """Whether nothing of an output is missing, None where the form does not tell."""
    if key == "run zpool status":
        return _is_whole_zpool(text)
    if key not in FORMS:
        return None
    needs, counts, number = FORMS[key]
    found = [len(compiled(row).findall(text)) for row in counts]
    if number:
        said = compiled(number).findall(text)
        found += [int(said[0]) if len(said) == 1 else -1]
    is_square = key != "run nvidia-smi topo -m" or _is_whole_topo(text)
    return len(set(found)) <= 1 and is_square and all(compiled(one).search(text) for one in needs)


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


def _is_whole_zpool(text: str) -> bool:
    pools = compiled(r"(?m)^ {0,4}pool: ").findall(text)
    ends = compiled(r"(?m)^errors: ").findall(text)
    tables = compiled(r"(?m)^[ \t]*NAME +STATE +READ").findall(text)
    return "no pools available" in text or (bool(pools) and len(pools) <= len(ends) and len(pools) == len(tables))


def _is_whole_topo(text: str) -> bool:
    rows = len(compiled(r"(?m)^(?:\x1b\[[0-9;]*m)?GPU[0-9]+\s").findall(text))
    columns = compiled(r"(?m)^[ \t]+[^\n]*?GPU[0-9][^\n]*$").search(text)
    return columns is not None and rows == len(compiled(r"GPU[0-9]+").findall(columns[0]))
