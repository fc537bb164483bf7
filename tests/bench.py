"""`make bench`: the table of budgets, each measured against `python3 -c pass` in the same run.

CPU is that of all our processes, counted in a control group (version 1 or 2), for an abandoned child is in no
rusage; what the tools that they ran cost by themselves is taken off. Where no group can be made, that row says so.
"""

from __future__ import annotations

import gc
import math
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeAlias

from mlopsdoc import catalog, engine
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, split
from mlopsdoc.hosts.recorder import Replay
from mlopsdoc.profile import Profile

from . import nvml_cost
from .program import REPOSITORY, environment, shim, with_shims
from .terminal import Terminal

ROUNDS = 9
NO_GPU = ("host without GPU", 14, 20)  # the budgets are those of such a host
LIBRARIES = sysconfig.get_path("purelib")


class Group:
    """A control group in which commands run, and its CPU time."""

    def __init__(self) -> None:
        name = f"mlopsdoc-bench-{os.getpid()}"
        self.folder: Path | None = None
        for root, usage in (("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat")):
            folder = Path(root) / name
            try:
                folder.mkdir()
                if (folder / usage).exists():
                    self.folder, self.usage = folder, folder / usage
                    return
                folder.rmdir()
            except OSError:
                continue

    def seconds(self) -> float:
        text = self.usage.read_text()
        if "usage_usec" in text:
            return int(text.split()[1]) / 1e6
        return int(text) / 1e9

    def inside(self, command: list[str]) -> list[str]:
        """The command, entering the group by a shell first: a fork of this process would be counted as well."""
        return ["/bin/sh", "-c", f'echo $$ > {self.folder}/cgroup.procs; exec "$@"', "sh", *command]

    def close(self) -> None:
        if self.folder is not None:
            self.folder.rmdir()


def cost(command: list[str], group: Group, env: dict[str, str]) -> tuple[float, float]:
    """CPU and wall seconds of one run."""
    start, before = time.monotonic(), group.seconds()
    quiet = subprocess.DEVNULL
    # Not from here: `python -m` would find the checkout first.
    subprocess.run(group.inside(command), env=env, cwd="/", stdin=quiet, stdout=quiet, stderr=quiet, check=False)
    wall = time.monotonic() - start
    while group.folder is not None and (group.folder / "cgroup.procs").read_text():
        time.sleep(0.001)  # what is ending still costs
    return group.seconds() - before, wall


Cost: TypeAlias = Callable[[], tuple[float, float]]


def in_turn(run: Cost, passes: Cost, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """What a run gives, CPU and wall, and beside it the CPU of pass: in turn, for a machine changes its pace."""
    taken = [(*run(), passes()[0]) for _ in range(rounds)]
    cpu, wall, passed = (median(values) for values in zip(*taken))
    return cpu, wall, passed


def typical(run: Cost, rounds: int = ROUNDS) -> tuple[float, float]:
    run()
    runs = [run() for _ in range(rounds)]
    return median(cpu for cpu, _ in runs), median(wall for _, wall in runs)


def rows(group: Group, place: Path) -> Iterator[tuple[str, str, str, bool]]:
    """What, measured, budget, whether it holds."""
    # A bare interpreter, as a wheel has it: start-up hooks of an editable install would cost at every start.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
    python = str(place / "venv/bin/python")
    env = environment(place, PYTHONPATH=f"{REPOSITORY}:{LIBRARIES}")
    program = [python, "-m", "mlopsdoc"]

    def passes() -> tuple[float, float]:
        return cost([python, "-c", "pass"], group, env)

    asked = _asked(env, program)
    ran = [split(key)[1:] for key, answer in asked.items() if key.startswith("run ") and answer.exit is not None]
    theirs = sum(typical(partial(cost, list(argv), group, env))[0] for argv in ran)

    def ratio(argv: list[str], budget: float, env: dict[str, str] = env, less: float = 0) -> tuple[str, str, bool]:
        cpu, _, passed = in_turn(lambda: cost([*program, *argv], group, env), passes)
        times = (cpu - less) / passed
        return f"{times:.1f} x pass", f"{budget:g} x" if budget < math.inf else "", times <= budget

    yield "python3 -c pass, CPU", f"{typical(passes)[0] * 1000:.1f} ms", "", True
    yield "mlopsdoc --help, CPU", *ratio(["--help"], 4)
    has_gpu = any(key.startswith("probe nvml") and answer.said for key, answer in asked.items())
    host, most, bare_most = ("with what NVML itself takes", math.inf, math.inf) if has_gpu else NO_GPU
    yield f"check --json, {host}, CPU", *ratio(["check", "--json"], most, less=theirs)
    bare = place / "no-bytecode"
    shutil.copytree(REPOSITORY, bare, ignore=shutil.ignore_patterns(".*", "__pycache__", "snapshots", "tests"))
    without = environment(place, PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=f"{bare}:{LIBRARIES}")
    yield "the same, no bytecode beside the sources", *ratio(["check", "--json"], bare_most, without, theirs)

    slowest = max((answer.seconds for answer in asked.values()), default=0.0)
    _, wall, passed = in_turn(lambda: cost([*program, "check", "--json"], group, env), passes)
    yield (
        "check --json, wall beyond its slowest question",
        f"{(wall - slowest) / passed:.1f} x pass",
        "15 x",
        wall - slowest <= 15 * passed,
    )
    yield _with_a_hang(group, place, program, passes)
    yield _replayed()
    yield _nvml(place)
    yield from _screen(place, program, passes, env)


def _screen(place: Path, program: list[str], passes: Cost, env: dict[str, str]) -> Iterator[tuple[str, str, str, bool]]:
    """The screen at 80x24: the demo's first paint and bytes; this machine's bytes at rest, memory, and its end."""

    def opened(*argv: str) -> Terminal:
        return Terminal(*argv, place=place, program=program, PYTHONPATH=env["PYTHONPATH"])

    def first_paint() -> tuple[float, float]:
        start = time.monotonic()
        terminal = opened("demo")
        terminal.until(lambda out: b"Checks" in out)
        wall = time.monotonic() - start
        terminal.until(lambda out: b"Meaning" in out)
        terminal.rest(1.0)
        size = len(terminal.out)
        terminal.close()
        return wall, size

    wall, size, passed = in_turn(first_paint, passes)
    yield "screen: first paint, wall", f"{wall / passed:.1f} x pass", "22 x", wall <= 22 * passed
    yield "screen: start bytes at 80x24", f"{size / 1000:.1f} kB", "9 kB", size <= 9000

    terminal = opened()
    terminal.until(lambda out: b"LIVE" in out and b"[ok]" in out)
    rate = _bytes_a_second(terminal, 10)
    yield "screen: bytes a second when nothing changes", f"{rate:.0f} B/s", "0 B/s", rate < 20
    busy = Terminal(place=place, program=[program[0], "-m", "tests.busy"], PYTHONPATH=env["PYTHONPATH"])
    busy.until(lambda out: b"fan 9" in out)
    rate = _bytes_a_second(busy, 20)
    busy.close()
    yield "screen: bytes a second when 10 of 100 numbers change", f"{rate:.0f} B/s", "250 B/s", rate <= 250
    memory = [_resident_mb(pid) for pid in family(terminal.process.pid)]
    yield "screen: memory of its own process", f"{memory[0]:.0f} MB", "55 MB", memory[0] <= 55
    yield "screen: memory of all processes", f"{sum(memory):.0f} MB", "80 MB", sum(memory) <= 80
    start = time.monotonic()
    terminal.process.terminate()
    terminal.ended()
    seconds = time.monotonic() - start
    yield "screen: gone after SIGTERM", f"{seconds:.1f} s", "1 s", seconds <= 1
    terminal.close()


def _bytes_a_second(terminal: Terminal, seconds: int) -> float:
    """Once it has come to rest."""
    terminal.rest(3.0)
    before = len(terminal.out)
    terminal.rest(seconds)
    return (len(terminal.out) - before) / seconds


def family(pid: int) -> list[int]:
    """A process and all below it; nothing of one that has ended meanwhile."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(one for child in children for one in family(int(child)))]


def _resident_mb(pid: int) -> float:
    """Memory that is not shared with a parent that was forked is counted once: the proportional share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _asked(env: dict[str, str], program: list[str]) -> dict[str, Answer]:
    """What a run asks of this machine, and how long each answer took."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/saved"
        subprocess.run(
            [*program, "check", "--save", path, "--no-redact"], env=env, stdout=subprocess.DEVNULL, check=False
        )
        return snapshot.load(path).answers


def _with_a_hang(group: Group, place: Path, program: list[str], passes: Cost) -> tuple[str, str, str, bool]:
    """A zpool that never answers, on a host with a pool: the deadline is that of the whole run."""
    deadline = 3.0
    shim(place / "bin", "zpool", "trap '' TERM; exec sleep 600")
    shim(place / "bin", "zfs", "trap '' TERM; exec sleep 600")
    root = place / "root"
    state = root / "proc/spl/kstat/zfs/tank/state"
    state.parent.mkdir(parents=True)
    state.write_text("ONLINE\n")
    argv = [*program, "check", "zfs_scrub", "--json", "--timeout", f"{deadline:g}", "--root", str(root)]
    env = environment(place, PYTHONPATH=f"{REPOSITORY}:{LIBRARIES}", **with_shims(place / "bin"))
    _, wall, passed = in_turn(lambda: cost(argv, group, env), passes, rounds=3)
    beyond = (wall - deadline) / passed
    return "a question that never ends, wall beyond its deadline", f"{beyond:.1f} x pass", "15 x", beyond <= 15


def _replayed() -> tuple[str, str, str, bool]:
    checks = catalog.find(drop_ins=False).checks.values()

    def once() -> float:
        host = Replay(snapshot.load(catalog.shipped("snapshots") + "/reference"))  # none of it decoded yet
        start = time.process_time()
        list(engine.run(checks, host, Profile()))
        return time.process_time() - start

    once()
    best = median(once() for _ in range(ROUNDS)) * 1000
    return "the reference snapshot replayed", f"{best:.1f} ms", "10 ms", best <= 10


def _nvml(place: Path) -> tuple[str, str, str, bool]:
    if shutil.which("gcc") is None:
        return "8 GPUs with 18 NVLinks each, CPU beyond NVML's", "needs gcc", "40 ms", True
    spent = nvml_cost.measured(place)
    return "8 GPUs with 18 NVLinks each, CPU beyond NVML's", f"{spent:.1f} ms", "40 ms", spent <= 40


def main() -> None:
    gc.set_threshold(100_000)  # as the program has it
    group = Group()
    if group.folder is None:
        print("no control group can be made here (root is needed): CPU is not measured")
        return
    try:
        with tempfile.TemporaryDirectory() as place:
            print(f"{'what':<56}{'measured':>14}{'budget':>9}")
            for what, measured, budget, holds in rows(group, Path(place)):
                print(f"{what:<56}{measured:>14}{budget:>9}{'' if holds else '  OVER'}", flush=True)
    finally:
        group.close()


if __name__ == "__main__":
    main()
