"""A fake libnvidia-ml.so.1 for tests: compiled with gcc, driven by a text file, asked through the real pynvml.

build(folder) compiles it; drive(folder) makes the text of its file from the nvml*.json of a snapshot's probes/;
environment(folder, text) is what a child process needs to meet it. The form of the file: see nvml.c.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlopsdoc.probes.nvml import CALLS, FABRIC, FIELDS, LINK_CALLS, LINK_COUNTERS, LINK_FIELDS, SRAM

SOURCE = Path(__file__).parent / "nvml.c"
VERSION = "580.95.05"
SYSTEM = {
    "driver": "nvmlSystemGetDriverVersion",
    "nvml": "nvmlSystemGetNVMLVersion",
    "cuda": "nvmlSystemGetCudaDriverVersion_v2",
    "count": "nvmlDeviceGetCount",
}
UNSIGNED_INT, UNSIGNED_LONG_LONG, SIGNED_INT = 1, 3, 5  # types of a field's value


def build(folder: Path, version: str = VERSION) -> Path:
    """Compile the library into `folder` under the name that the loader looks for; the folder."""
    library = folder / f"libnvidia-ml.so.{version}"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library), str(SOURCE)], check=True, timeout=60
    )
    (folder / "libnvidia-ml.so.1").symlink_to(library.name)
    return folder


def environment(library: Path, text: str) -> dict[str, str]:
    """The environment of a child that meets the fake in `library`, which says `text`."""
    (library / "says.txt").write_text(text, encoding="utf-8")
    return os.environ | {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": str(library / "says.txt")}


def drive(snapshot: Path) -> str:
    """What the fake must be told to give the answers of ``snapshot/probes/nvml *.json`` again."""
    lines: dict[str, None] = {}
    for what in CALLS:
        path = snapshot / "probes" / f"nvml {what}.json"
        if path.exists():
            lines |= dict.fromkeys(_lines(what, json.loads(path.read_bytes())))
    return "".join(f"{line}\n" for line in lines)


def _lines(what: str, said: Mapping[str, Any]) -> Iterator[str]:
    if error := said.get("error"):
        yield f"- {error['call']} !{error['code']}"
        if not said["gpus"]:
            yield f"- nvmlInitWithFlags !{error['code']}"
    for name, function in SYSTEM.items():
        if name in said:
            yield f"- {function} {said[name]}"
    for gpu in said["gpus"]:
        yield from (f"{gpu['index']} {line}" for line in _gpu_lines(what, gpu))


def _gpu_lines(what: str, gpu: Mapping[str, Any]) -> Iterator[str]:
    if "handle" in gpu["errors"]:
        yield f"nvmlDeviceGetHandleByIndex !{gpu['errors']['handle']}"
    if "pci" in gpu:
        yield f"nvmlDeviceGetPciInfo_v3 0000{gpu['pci'].upper()}"
    if "uuid" in gpu:
        yield f"nvmlDeviceGetUUID {gpu['uuid']}"
    for name, ways in CALLS[what].items():
        if name in gpu["values"]:
            yield f"{_question(*ways[0])} {_said(gpu['values'][name])}"
        elif name in gpu["errors"]:
            yield from (f"{_question(*way)} !{gpu['errors'][name]}" for way in ways)
    for name, id in FIELDS[what].items():
        if name in gpu["values"]:
            yield f"field/{id} {_type(gpu['values'][name])} {gpu['values'][name]}"
        elif name in gpu["errors"]:
            yield f"field/{id} !{gpu['errors'][name]}"
    if sram := gpu["values"].get("sram"):
        yield f"nvmlDeviceGetSramEccErrorStatus {' '.join(str(sram[name]) for name in SRAM)}"
    elif "sram" in gpu["errors"]:
        yield f"nvmlDeviceGetSramEccErrorStatus !{gpu['errors']['sram']}"
    yield from (f"nvmlDeviceGetName/{n} {name}" for n, name in enumerate(gpu.get("mig_devices", ())))
    for link in gpu.get("links", ()):
        yield from _link_lines(link)
    yield from (f"nvmlDeviceGetP2PStatus/{n}/2 {s}" for n, s in enumerate(gpu.get("p2p", ())) if s is not None)
    if fabric := gpu["values"].get("fabric"):
        yield f"nvmlDeviceGetGpuFabricInfoV {' '.join(str(fabric.get(name, 0)) for name in FABRIC)}"
    elif "fabric" in gpu["errors"]:
        yield f"nvmlDeviceGetGpuFabricInfoV !{gpu['errors']['fabric']}"


def _link_lines(link: Mapping[str, Any]) -> Iterator[str]:
    """A value is given as a field where there is one; LINK_COUNTERS are the calls of older boards."""
    number, said = link["link"], {name: str(value) for name, value in link["values"].items()}
    said |= {name: f"!{code}" for name, code in link["errors"].items()}
    calls = {"state": ("nvmlDeviceGetNvLinkState",), **LINK_CALLS}
    for name, value in said.items():
        if name in calls:
            yield f"{_question(calls[name][0], number)} {value}"
        else:
            scope = f"/{number}" if number else ""
            yield f"field/{LINK_FIELDS[name]}{scope} {value if value[0] == '!' else f'{_type(int(value))} {value}'}"
        if name in LINK_COUNTERS and value[0] == "!":
            yield f"{_question('nvmlDeviceGetNvLinkErrorCounter', number, LINK_COUNTERS[name])} {value}"


def _question(function: str, *args: int) -> str:
    return "/".join((function, *map(str, args)))


def _said(value: Any) -> str:
    """Numbers of a structure in their order; a process as ``pid:bytes``."""
    kind = value.__class__.__name__
    if kind == "dict":
        return " ".join(str(number) for number in _in_order(value))
    if kind == "list":
        return " ".join(_process(item) if type(item) is dict else str(item) for item in value)
    return str(value)


def _in_order(struct: Mapping[str, int]) -> list[int]:
    names = (
        "gpu",
        "memory",
        "referenceTime",
        "violationTime",
        "max",
        "high",
        "partial",
        "low",
        "none",
        "total",
        "reserved",
        "free",
        "used",
    )
    return [struct[name] for name in names if name in struct]


def _process(item: Any) -> str:
    used = item["usedGpuMemory"]
    return f"{item['pid']}:{'-' if used is None else used}"


def _type(value: int) -> int:
    return SIGNED_INT if value < 0 else UNSIGNED_INT if value < 1 << 31 else UNSIGNED_LONG_LONG
