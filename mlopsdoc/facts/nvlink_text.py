"""What nvidia-smi printed of NVLinks (`nvlink -s`, `nvlink -e`) and of the fabric (`-q`), as rows of probes/nvml.py."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mlopsdoc import CannotSee, Host
from mlopsdoc.facts import nvml, smi
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.nvlink import INACTIVE
from mlopsdoc.facts.nvml import Table

STATES = {"not started": 1, "in progress": 2, "completed": 3}
STATUS = {"success": 0, "insufficient resources": 23}  # in NVML's codes
# What -q says of a fabric's health -> shift in NVML's mask, and the value of each word.
HEALTH = {
    "fabric_bandwidth": (0, {"degraded": 1, "full": 2}),
    "fabric_recovery": (2, {"true": 1, "false": 2}),
    "fabric_route": (4, {"true": 1, "false": 2}),
    "fabric_timeout": (6, {"true": 1, "false": 2}),
}
PAIRS = {"OK": 0, "CNS": 1, "GNS": 2, "TNS": 3, "DR": 4, "NS": 5, "U": 6}  # NVML_P2P_STATUS_; X is itself
SUMMARY = {"healthy": 1, "unhealthy": 2, "limited capacity": 3}


def rows(host: Host) -> list[Table]:
    """A row a GPU, of all that was printed."""
    found: dict[str, dict[str, Any]] = {}
    for option, read in (("-s", _status), ("-e", _error)):
        answer = host.run("nvidia-smi", "nvlink", option)
        if answer.text:
            _printed(whole_lines(answer), read, found)
    for row in found.values():
        row["links"] = [{"link": number, "values": values} for number, values in sorted(row["links"].items())]
    _add_queried(host, found)
    _add_mig(host.run("nvidia-smi", "-L").text, found)
    _add_pairs(whole_lines(host.run("nvidia-smi", "topo", "-p2p", "n")), found)
    return [*found.values()]


def _add_queried(host: Host, found: dict[str, dict[str, Any]]) -> None:
    """Addresses, names and fabric by the other outputs of nvidia-smi. What `nvlink -s` says of no GPU is of all."""
    try:
        printed = smi.ask(host)
    except CannotSee:
        return
    if printed is None or not printed.rows:
        return
    dark = found.pop("", None)
    for number, said in enumerate(printed.rows):
        row = found.get(f"{said.index}") or next(
            (row for row in found.values() if row["uuid"] == said.uuid != ""), None
        )
        if row is None:
            row = found[f"{said.index}, {number}"] = {"index": said.index, "uuid": "", "name": "", "links": []}
            row |= {"failure": dark["failure"]} if dark else {}
        name = said.values.get("name") or row["name"]
        row |= {"pci": said.pci, "uuid": said.uuid or row["uuid"], "name": name}
        values = {"virtualization": said.values.get("virtualization")}
        values |= {"mig": [said.values["mig_now"]] * 2} if "mig_now" in said.values else {}
        row["values"] = values | _fabric(said)


def _fabric(said: smi.Row) -> dict[str, Any]:
    """Of the section Fabric; of its status only words that are known are told from other failures."""
    words = {name: str(value).casefold() for name, value in said.values.items() if name.startswith("fabric_")}
    if (state := STATES.get(words.get("fabric_state", ""))) is None:
        return {}
    status = STATUS.get(words.get("fabric_status", "success"), nvml.UNKNOWN)
    clique = words.get("fabric_clique", "")
    return {
        "fabric": {
            "state": state,
            "status": code if (code := said.errors.get("fabric_status", 0)) not in (0, *nvml.NOT_OFFERED) else status,
            "health_mask": sum(bits.get(words.get(name, ""), 0) << shift for name, (shift, bits) in HEALTH.items()),
            "health_summary": SUMMARY.get(words.get("fabric_summary", ""), 0),
            "clique": int(clique) if clique.isdecimal() and len(clique) < 10 else 0,
        }
    }


def _add_mig(listed: str, found: dict[str, dict[str, Any]]) -> None:
    """What -L lists below a GPU: ``  MIG 3g.40gb     Device  0: (UUID: MIG-...)``."""
    index = ""
    for line in listed.split("\n"):
        words = line.split(None, 2)
        index = words[1].rstrip(":") if words[:1] == ["GPU"] and len(words) > 1 else index
        if words[:1] == ["MIG"] and index in found:
            found[index].setdefault("values", {})["mig"] = [1, 1]


def _add_pairs(lines: Iterable[str], found: dict[str, dict[str, Any]]) -> None:
    """What `nvidia-smi topo -p2p n` shows, of GPUs that are known::

    \tGPU0\tGPU1\tGPU2
    GPU0\tX\tOK\tTNS
    """
    columns: list[str] = []
    for line in lines:
        words = line.split()
        if not columns and words and all(word.startswith("GPU") and word[3:].isdecimal() for word in words):
            columns = words
        elif columns and words[:1] and words[0] in columns and len(words) == len(columns) + 1:
            row = found.get(words[0][3:])
            if row is not None and columns == [f"GPU{number}" for number in range(len(columns))]:
                row["p2p"] = [PAIRS.get(word) for word in words[1:]]


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
            row, number = rows.setdefault(digits, {"index": int(digits), "uuid": "", "links": {}}), -1
            row |= {"name": name.strip(), "uuid": uuid.rstrip(") ")}
        elif "unable to retrieve nvlink information" in words.casefold() and "inactive" in words.casefold():
            row = row or rows.setdefault("", {"index": None, "uuid": "", "links": {}})
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
    "symbol errors": "symbol",
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
