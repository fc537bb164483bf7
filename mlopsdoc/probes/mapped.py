"""Which libraries of CUDA a process has really loaded, and by which Python wheels they were installed."""

from __future__ import annotations

import os
from typing import Any

NAMES = ("libcuda.so", "libcudart.so", "libnccl.so", "libnccl-net", "libnvidia-ml.so")
WHEELS = {"libnccl.so": "nvidia_nccl_cu", "libcudart.so": "nvidia_cuda_runtime"}
MAX_FOUND, MAX_LINES = 64, 200_000


def read(root: str, pid: str) -> dict[str, Any]:
    """Of /proc/PID/maps, each file once::

        7f2c40000000-7f2c52000000 r-xp 00000000 fd:01 7341235   /opt/x/site-packages/nvidia/nccl/lib/libnccl.so.2

        {"libraries": [{"path": "/opt/x/site-packages/nvidia/nccl/lib/libnccl.so.2", "deleted": false,
                        "wheels": ["nvidia_nccl_cu12-2.27.3"]}]}

    deleted: the file was replaced since. wheels: those beside it that install a file of that name; the process's own
    root is where they are looked for. Raises FileNotFoundError when the process is gone, PermissionError when it is
    another user's.
    """
    place = f"{root.rstrip('/')}/proc/{int(pid)}"
    found: dict[str, dict[str, Any]] = {}
    with open(f"{place}/maps", encoding="utf-8", errors="replace") as maps:
        for number, line in enumerate(maps):
            path = line.rstrip("\n").split(None, 5)[-1]
            name = path.rpartition("/")[2]
            if number >= MAX_LINES or len(found) >= MAX_FOUND:
                break
            if path.startswith("/") and name.startswith(NAMES) and path not in found:
                real = path.removesuffix(" (deleted)")
                found[path] = {"path": real, "deleted": real != path, "wheels": _wheels(place, real)}
    return {"libraries": list(found.values())}


def _wheels(place: str, path: str) -> list[str]:
    """The wheels in the folder that has ``nvidia/``, by their notes: ``nvidia_nccl_cu12-2.27.3.dist-info``."""
    folder, inside, rest = path.partition("/nvidia/")
    wanted = next((wheel for name, wheel in WHEELS.items() if rest.rpartition("/")[2].startswith(name)), "")
    if not inside or not wanted:
        return []
    try:
        names = os.listdir(f"{place}/root{folder}")
    except OSError:
        return []
    found: list[str] = []
    for name in names:
        wheel, _, version = name.removesuffix(".dist-info").rpartition("-")
        wheel = wheel.lower().replace("-", "_")
        if name.endswith(".dist-info") and wheel.startswith(wanted):
            found.append(f"{wheel}-{version}")
    return sorted(found)
