"""What 8 GPUs with 18 NVLinks each cost us beyond the calls of NVML: CPU ms of asking and of judging, for `make bench`.

As a program, with the fake NVML in its environment, it prints that number; measured() runs it so.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from mlopsdoc import catalog, engine
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.probes import nvml
from mlopsdoc.profile import Profile

from . import fake_nvml
from .program import REPOSITORY

ROUNDS = 9
MODULE = "read /proc/driver/nvidia/version"


def measured(place: Path) -> float:
    """The reference host's four GPUs, twice."""
    twice = place / "twice/probes"
    twice.mkdir(parents=True)
    for what in nvml.CALLS:
        said = json.loads((REPOSITORY / f"snapshots/reference/probes/nvml {what}.json").read_bytes())
        others = copy.deepcopy(said["gpus"])
        for gpu in others:
            gpu |= {
                "index": gpu["index"] + 4,
                "pci": gpu["pci"].replace("0000:", "0001:", 1),
                "uuid": f"{gpu['uuid']}2",
            }
        (twice / f"nvml {what}.json").write_text(json.dumps(said | {"count": 8, "gpus": said["gpus"] + others}))
    (place / "library").mkdir()
    env = fake_nvml.environment(fake_nvml.build(place / "library"), fake_nvml.drive(twice.parent))
    argv = [sys.executable, "-m", "tests.nvml_cost"]
    return float(subprocess.run(argv, env=env, cwd=REPOSITORY, capture_output=True, check=True, text=True).stdout)


def main() -> None:
    import pynvml

    within = [0.0]
    pointer: Callable[[str], Callable[..., Any]] = getattr(pynvml, "_nvmlGetFunctionPointer")  # noqa: B009

    def timed(name: str) -> Callable[..., Any]:
        function = pointer(name)

        def call(*args: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args)
            finally:
                within[0] += time.process_time() - start

        return call

    setattr(pynvml, "_nvmlGetFunctionPointer", timed)  # noqa: B010
    checks = [c for c in catalog.find(drop_ins=False).checks.values() if c.id.startswith(("gpu_", "nvlink_"))]

    def once() -> float:
        within[0], start = 0.0, time.process_time()
        host = Recording(time.time())
        host.answers[MODULE] = Answer(MODULE, "ok", b"NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05\n")
        for what in nvml.CALLS:
            key = f"probe nvml {what}"
            host.answers[key] = Answer(key, "ok", json.dumps(nvml.read("/", what)).encode(), at=host.taken_at)
        results = {result.id: result.status.value for result in engine.run(checks, Replay(host), Profile())}
        assert results["nvlink_links"] == results["gpu_thermal"] == "ok", results
        return (time.process_time() - start - within[0]) * 1000

    once()
    print(median(once() for _ in range(ROUNDS)))


if __name__ == "__main__":
    main()
