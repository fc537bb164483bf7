"""Libraries of CUDA as running GPU processes have loaded them: NCCL, the CUDA runtime, libcuda, the net plugin."""

from __future__ import annotations

from typing import Any

from mlopsdoc import Fact, Host, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts import nvml
from mlopsdoc.facts.driver_versions import numbers
from mlopsdoc.facts.gpu_processes import GpuProcess, GpuProcesses
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.nvml import Table
from mlopsdoc.hosts.base import Answer
from mlopsdoc.model import Line

MAX_ASKED = 64
KINDS = ("libnccl-net", "libnccl", "libcudart", "libcuda", "libnvidia-ml")


class Mapped(Fact, frozen=True):
    """One file that a process has loaded. kind: one of KINDS. version: ``2.27.3``, or empty where nothing tells it.

    is_deleted: the file was replaced since. wheels: those that installed a file of this name here: where there are
    two, the one that came last is what is loaded.
    """

    kind: str
    path: str
    version: str
    is_deleted: bool
    wheels: tuple[str, ...]
    line: Line

    @property
    def is_compat(self) -> bool:
        """Whether it is the libcuda of a package cuda-compat: ``/usr/local/cuda-12.8/compat/libcuda.so.570.124.06``."""
        return self.kind == "libcuda" and "/compat/" in self.path

    @property
    def cuda_major(self) -> int | None:
        """The CUDA that it is of: ``libcudart.so.12`` (11.0 stands for all of 11), or a wheel's ``cu12``."""
        if self.kind == "libcudart":
            return next(iter(numbers(self.path.rpartition(".so.")[2])), None)
        majors = {wheel.partition("-")[0].rpartition("_cu")[2] for wheel in self.wheels}
        only = majors.pop() if len(majors) == 1 else ""
        return int(only) if only.isdecimal() and len(only) == 2 else None

    @property
    def shown(self) -> str:
        """``2.27.3 (/opt/x/libnccl.so.2)``."""
        return f"{self.version} ({self.path})" if self.version else self.path


class Loaded(Fact, frozen=True):
    """What one process has loaded."""

    process: GpuProcess
    libraries: tuple[Mapped, ...]

    @property
    def program(self) -> str:
        """What ranks have in common: ``/opt/x/bin/python3 train.py`` of ``/opt/x/bin/python3 -u train.py --rank 3``."""
        first, *rest = self.process.command.split() or [""]
        script = next((word for word in rest if word[:1] != "-"), "")
        return f"{first} {script}".rstrip("0123456789 ")  # workers are named `VLLM::Worker_TP3`, too

    def of(self, kind: str) -> list[Mapped]:
        return [library for library in self.libraries if library.kind == kind]


class CudaLibraries(Fact, frozen=True):
    """By process. unseen: those that could not be looked into, and why; their users or root may.

    In a container the pids that NVML names are those of the machine: nothing is asked there.
    """

    processes: tuple[Loaded, ...]
    unseen: tuple[tuple[GpuProcess, str], ...] = ()

    @classmethod
    def read(cls, host: Host, listed: GpuProcesses, machine: Machine) -> CudaLibraries:
        """Raises NothingHere where no process is on a GPU."""
        by_pid = {process.pid: process for process in listed.processes if not process.gone}
        if not by_pid or machine.container or machine.is_wsl:
            raise NothingHere("no process on a GPU")
        found: list[Loaded] = []
        unseen: list[tuple[GpuProcess, str]] = []
        for number, (pid, process) in enumerate(sorted(by_pid.items())):
            if number >= MAX_ASKED:
                unseen.append((process, f"not asked: more than {MAX_ASKED} processes"))
                continue
            answer = host.probe("mapped", str(pid))
            if answer.said and (said := _table(answer)) is not None:
                found.append(Loaded(process, tuple(_libraries(said, answer.key))))
            elif answer.status not in ("absent", "not_captured"):
                unseen.append((process, answer.why or answer.status))
        return cls(tuple(found), tuple(unseen))

    def jobs(self) -> list[list[Loaded]]:
        """The processes of one job together; those of none each alone."""
        groups: dict[str, list[Loaded]] = {}
        for loaded in self.processes:
            process = loaded.process
            groups.setdefault(process.job or f"pid {process.pid}", []).append(loaded)
        return list(groups.values())


def _table(answer: Answer) -> Table | None:
    try:
        said = answer.json()
    except ValueError:
        return None
    return nvml.part({"said": said}, "said")


def _libraries(said: Table, key: str) -> list[Mapped]:
    found: list[Mapped] = []
    for row in nvml.tables(said, "libraries"):
        path = nvml.text(row, "path", 400)
        name = path.rpartition("/")[2]
        kind = "libnccl-net" if name.startswith("libnccl-net") else name.partition(".so")[0]
        if kind not in KINDS:
            continue
        wheels = _words(row.get("wheels"))
        line = Line(key, path + (f" ({', '.join(wheels)})" if wheels else ""))
        is_deleted = row.get("deleted") is True
        version = _version(name, () if is_deleted else wheels)  # those wheels are not what it has loaded
        found.append(Mapped(kind, path, version, is_deleted, wheels, line))
    return found


def _words(value: Any) -> tuple[str, ...]:
    words: list[Any] = value if value.__class__ is list else []
    return tuple(one_line(str(word), 80) for word in words[:8])


def _version(name: str, wheels: tuple[str, ...]) -> str:
    """By the name of the file, where it has three numbers or a driver's; else by the one wheel that installed it."""
    version = name.partition(".so.")[2]
    if len(version.split(".")) >= 3 and numbers(version):
        return version
    if name.startswith("libcuda.so.") and len(version.split(".")) == 2 and numbers(version):
        return version
    return wheels[0].rpartition("-")[2] if len(wheels) == 1 else ""
