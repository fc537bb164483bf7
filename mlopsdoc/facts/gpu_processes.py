"""Who runs on which GPU: processes by NVML, their user and job by /proc."""

from __future__ import annotations

from contextlib import suppress

from mlopsdoc import CannotSee, Fact, Host, Hurt
from mlopsdoc.clean import one_line
from mlopsdoc.facts import nvml
from mlopsdoc.facts.gpus import Gpus, Listed, sees_all_processes
from mlopsdoc.facts.nvml import Table

_HEX = set("0123456789abcdef")


class GpuProcess(Fact, frozen=True):
    """One process on one GPU. `pci`: the GPU (Gpu.id). `used_bytes`: of its memory. `started`: seconds since the epoch.

    `here`: /proc knows it. `gone`: NVML names it and /proc of the whole machine has it not. Neither: it could
    not be seen, for it may not be looked at, or /proc is that of a container or of WSL.
    """

    pid: int
    pci: str
    used_bytes: int | None = None
    user: str = ""
    job: str = ""
    command: str = ""
    started: float | None = None
    here: bool = False
    gone: bool = False


class GpuProcesses(Fact, frozen=True):
    """The processes on all GPUs, by GPU and pid; none of a GPU whose list NVML refused. now: when."""

    processes: tuple[GpuProcess, ...]
    now: float = 0.0

    @classmethod
    def read(cls, host: Host, gpus: Gpus) -> GpuProcesses:
        """Raises CannotSee when neither NVML, of any GPU, nor nvidia-smi says which there are."""
        if gpus.listed is not None:
            return cls(_of_listed(host, gpus.listed), host.now())
        said = nvml.table(host.probe("nvml", "processes"))
        rows = nvml.rows(said)
        if not any(nvml.part(row, "values") for row in rows):
            codes = [code for row in rows for code in nvml.codes(row).values()]
            why = nvml.number(nvml.part(said, "error"), "code") or next(iter(codes), nvml.UNKNOWN)
            raise CannotSee(f"the processes on the GPUs: {nvml.in_words(why)}")
        found: dict[tuple[str, int], int | None] = {}
        for row in rows:
            pci = nvml.identity(row)[0]
            found |= {(pci, pid): used for pid, used in _pids(nvml.part(row, "values"))}
        about = _looked_up(host, sorted({pid for _, pid in found}))
        whole = sees_all_processes(host) if found else False
        processes = [_process(pid, pci, used, about.get(str(pid)), whole) for (pci, pid), used in found.items()]
        return cls(tuple(sorted(processes, key=lambda process: (process.pci, process.pid))), host.now())

    def hurts(self, pci: str) -> list[Hurt]:
        """Who suffers when this GPU does."""
        return [Hurt(p.pid, p.user, p.job, p.command) for p in self.processes if p.pci == pci and not p.gone]


def _of_listed(host: Host, listed: tuple[Listed, ...]) -> tuple[GpuProcess, ...]:
    """What nvidia-smi names, and what else is known of it."""
    about = _looked_up(host, sorted({process.pid for process in listed}))
    whole = sees_all_processes(host) if listed else False
    found = {(p.gpu, p.pid): _process(p.pid, p.gpu, p.used_bytes, about.get(str(p.pid)), whole, p.name) for p in listed}
    return tuple(found[key] for key in sorted(found))


def _pids(values: Table) -> list[tuple[int, int | None]]:
    """Each process once: a process may be on the list of compute, graphics and MPS."""
    found: dict[int, int | None] = {}
    for kind in ("graphics", "mps", "compute"):
        for row in nvml.tables(values, kind):
            pid = nvml.number(row, "pid")
            if pid is not None and pid > 0:
                found[pid] = nvml.number(row, "usedGpuMemory")
    return list(found.items())


def _looked_up(host: Host, pids: list[int]) -> Table:
    """By pid: one question each, so that a recording of one run answers the questions of another."""
    found: dict[str, object] = {}
    for pid in pids:
        with suppress(CannotSee):
            found[str(pid)] = nvml.table(host.probe("processes", str(pid)))
    return found


def _process(pid: int, pci: str, used: int | None, about: object, whole: bool, name: str = "") -> GpuProcess:
    said = nvml.part({"about": about}, "about")
    started = said.get("started")
    here = "started" in said or "name" in said
    return GpuProcess(
        pid=pid,
        pci=pci,
        used_bytes=used,
        user=nvml.text(said, "user", 64),
        job=job_of(str(said.get("cgroup", ""))),
        command=nvml.text(said, "command", 200) or nvml.text(said, "name", 200) or name,
        started=started if isinstance(started, float) else None,
        here=here,
        gone=whole and said.get("gone") is True,
    )


def job_of(cgroup: str) -> str:
    """The job that a process belongs to, of its /proc/PID/cgroup; empty when it is in none. Slurm, Kubernetes,
    and containers of docker, podman or containerd::

        0::/system.slice/slurmstepd.scope/job_4711/step_0/user/task_0                  -> 4711
        4:memory:/slurm/uid_1000/job_4711/step_batch                                   -> 4711
        0::/kubepods.slice/kubepods-pod1f0e_7c.slice/cri-containerd-ab12...cd.scope    -> pod 1f0e-7c
        0::/kubepods/burstable/pod1f0e-7c/ab12...cd                                    -> pod 1f0e-7c
        0::/system.slice/docker-0123456789ab...scope                                   -> container 0123456789ab
    """
    parts = [part for line in cgroup.splitlines() for part in line.rpartition(":")[2].split("/")]
    for part in parts:
        if part.startswith("job_") and part[4:].isdigit():
            return part[4:]
    for part in parts:
        name = part.removesuffix(".slice").rpartition("-pod" if part.endswith(".slice") else "pod")
        if name[1] and (part.startswith("kubepods-") or not name[0]) and "kubepods" in cgroup:
            return one_line(f"pod {name[2].replace('_', '-')}", 64)
    for part in parts:
        id = part.removesuffix(".scope").rpartition("-")[2]
        if len(id) == 64 and set(id) <= _HEX:
            return f"container {id[:12]}"
    return ""
