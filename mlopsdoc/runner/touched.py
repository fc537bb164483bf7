"""What a step would touch, as far as it can be told without running it: for its dry run, and before a question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from posixpath import join
from string import Template

from mlopsdoc.authoring import CannotSee, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.engine import Ledger
from mlopsdoc.facts import nvml
from mlopsdoc.facts.gpu_processes import GpuProcess, GpuProcesses
from mlopsdoc.hosts.base import Host
from mlopsdoc.model import short_pci
from mlopsdoc.runbook.shell import Command, scan

MOST = 20


def touched(text: str, touch: str, uses: Mapping[str, str], ledger: Ledger) -> list[str]:
    """A line each: processes on the GPU, datasets of the pool, the process, settings with their value now and then."""
    commands = scan(text).commands
    rows = [*_processes(commands, touch, uses, ledger), *_values(uses, ledger.host)]
    folder = "/"
    for command in commands:
        words = [_filled(word.text, uses) for word in command.words]
        if words[:1] == ["cd"] and len(words) == 2:
            folder = join(folder, words[1])
        rows += _settings(command, words, folder, uses, ledger.host)
    rows = list(dict.fromkeys(one_line(row, 300) for row in rows))
    return [*rows[:MOST], f"and {len(rows) - MOST} more"] if len(rows) > MOST else rows


def _filled(text: str, uses: Mapping[str, str]) -> str:
    return Template(text).safe_substitute(uses)


def _processes(commands: tuple[Command, ...], touch: str, uses: Mapping[str, str], ledger: Ledger) -> Iterator[str]:
    """Those on the GPU of the step; on all, where it disturbs jobs on GPUs and names none."""
    is_for_all = touch in ("jobs", "kills") and any(c.words and c.words[0].text == "nvidia-smi" for c in commands)
    if "GPU" not in uses and not is_for_all:
        return
    try:
        found: GpuProcesses = ledger.get(GpuProcesses)
    except (NothingHere, CannotSee) as error:
        yield f"processes on the GPU: not known, {error.why}"
        return
    there = [p for p in found.processes if not p.gone and p.pci == uses.get("GPU", p.pci)]
    yield from map(_process, there)
    if not there:
        yield "no process is on the GPU" if "GPU" in uses else "no process is on any GPU"


def _process(process: GpuProcess) -> str:
    job = f", job {process.job}" if process.job else ""
    who = f"{process.user or 'unknown user'}{job}"
    return f"GPU {short_pci(process.pci)}: pid {process.pid} {process.command} ({who})"


def _values(uses: Mapping[str, str], host: Host) -> Iterator[str]:
    if pool := uses.get("POOL"):
        said = host.run("zfs", "list", "-H", "-o", "name,used,mountpoint", "-r", pool)
        rows = [line.split("\t") for line in said.text.splitlines()] if said.said else []
        yield from (f"dataset {row[0]} ({row[1]} at {row[2]})" for row in rows if len(row) == 3)
        if not rows:
            yield f"datasets of pool {pool}: not known, {said.why or said.status}"
    if pid := uses.get("PID"):
        said = host.read(f"/proc/{pid}/cmdline")
        words = said.text.replace("\\x00", " ").strip() if said.said else f"not there ({said.status})"
        yield f"pid {pid}: {words or 'a process without a command line'}"


def _settings(command: Command, words: list[str], folder: str, uses: Mapping[str, str], host: Host) -> Iterator[str]:
    """Settings that a command writes, where both the old and the new value can be told."""
    match words:
        case ["echo", *rest]:
            for operator, target in command.redirects:
                path = join(folder, _filled(target.text, uses))
                if operator == ">" and path.startswith(("/sys/", "/proc/")) and "$" not in path and "*" not in path:
                    yield f"{path}: now {_now(host, path)}, then {' '.join(rest)}"
        case ["sysctl", *rest]:
            for name, _, value in (word.partition("=") for word in rest if "=" in word[1:]):
                path = "/proc/sys/" + name.strip().replace(".", "/")
                yield f"{name.strip()}: now {_now(host, path)}, then {value.strip()}"
        case ["taskset", flags, cpus, pid] if flags.startswith("-") and "p" in flags:
            yield f"CPUs of pid {pid}: now {_cpus(host, pid)}, then {cpus}"
        case ["systemctl", "start" | "stop" | "restart" | "enable" | "disable" as verb, *rest]:
            for unit in (word for word in rest if not word.startswith("-") and "$" not in word):
                state = host.run("systemctl", "is-active", unit).text.strip()
                yield f"{unit}: now {state or 'not known'}, {verb}"
        case _:
            return


def _cpus(host: Host, pid: str) -> str:
    try:
        return nvml.text(nvml.table(host.probe("bindings", pid)), "main", 400)
    except CannotSee as error:
        return f"not known ({error.why})"


def _now(host: Host, path: str) -> str:
    answer = host.read(path)
    return answer.text.strip() or "empty" if answer.said else f"not known ({answer.status})"
