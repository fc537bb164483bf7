"""Who runs on which GPU: processes by NVML, their user and job by /proc."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

from msgspec.structs import replace

from mlopsdoc import CannotSee, Fact, Host, Hurt, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts import nvml
from mlopsdoc.facts.gpus import Gpus, Listed, is_job_step, sees_all_gpus
from mlopsdoc.facts.machine import container, sees_all_processes
from mlopsdoc.facts.nvml import Table

LISTS = ("graphics", "mps", "compute")
# What takes over the children of those who ended: init, that of a user, and those of containers.
INITS = ("init", "systemd", "containerd-shim", "conmon", "tini", "docker-init", "dumb-init", "catatonit", "s6-svscan")
_NO_INSTANCE = 0xFFFFFFFF
_IDLE = ("T", "Z", "X")  # of /proc/PID/status: stopped, dead
_HEX = set("0123456789abcdef")


class Use(NamedTuple):
    """Of one process on one GPU, by the lists that it is on: see GpuProcess."""

    used_bytes: int | None
    is_compute: bool = True
    draws: bool = False


class GpuProcess(Fact, frozen=True):
    """One process on one GPU. `pci`: the GPU (Gpu.id). `used_bytes`: of its memory. `started`: seconds since the epoch.

    `here`: /proc knows it. `gone`: NVML names it and /proc of the whole machine has it not. Neither: it could
    not be seen, for it may not be looked at, or /proc is that of a container or of WSL. `state`: the letter of
    /proc/PID/status, `is_killed`: SIGKILL waits for it, `cpu_s`: its CPU time. `is_adopted`: its parent ended, and an
    init has it. `service`: of systemd, outside of a job. `is_compute`: it is not on the list of graphics alone.
    `draws`: it is on that of graphics, as desktops are, which may be on that of compute too.
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
    state: str = ""
    is_killed: bool = False
    cpu_s: float | None = None
    is_adopted: bool = False
    service: str = ""
    is_compute: bool = True
    draws: bool = False

    @property
    def computes_in_job(self) -> bool:
        """Whether it computes in a job of Slurm: not one that was stopped for another, nor one that is about to end."""
        return self.job.isdigit() and self.is_compute and self.state not in _IDLE and not self.is_killed

    @property
    def hurt(self) -> Hurt:
        return Hurt(self.pid, self.user, self.job, self.command)


class GpuProcesses(Fact, frozen=True):
    """The processes on all GPUs, by GPU and pid; none of a GPU whose list NVML refused. now: when.

    used: bytes of memory in use, without what the driver keeps for itself, by the id of each GPU all of whose processes
    are told. sees_all: /proc is that of the machine, not of a container; is_whole: so is the list of GPUs. is_hidden:
    /proc is that of the machine, and hides the processes of others from this user (hidepid).
    """

    processes: tuple[GpuProcess, ...]
    now: float = 0.0
    used: dict[str, int] = {}
    sees_all: bool = False
    is_whole: bool = False
    is_hidden: bool = False

    @classmethod
    def read(cls, host: Host, gpus: Gpus) -> GpuProcesses:
        """Raises CannotSee when neither NVML, of any GPU, nor nvidia-smi says which there are, NothingHere where they
        were not asked or do not offer it."""
        if gpus.listed is not None:
            return cls(_of_listed(host, gpus.listed), host.now())
        answer = host.probe("nvml", "processes")
        if answer.status in ("absent", "not_captured"):
            raise NothingHere("which processes are on the GPUs is not told here")
        said = nvml.table(answer)
        rows = nvml.rows(said)
        if not any(name in nvml.part(row, "values") for row in rows for name in LISTS):
            codes = [code for row in rows for name, code in nvml.codes(row).items() if name != "memory"]
            why = nvml.number(nvml.part(said, "error"), "code") or next(iter(codes), nvml.UNKNOWN)
            if {*codes} and {*codes} <= {*nvml.NOT_OFFERED}:
                raise NothingHere("which processes are on the GPUs is not told on this system")
            raise CannotSee(f"the processes on the GPUs: {nvml.in_words(why)}")
        found: dict[tuple[str, int], Use] = {}
        for row in rows:
            pci = nvml.identity(row)[0]
            found |= {(pci, pid): use for pid, use in _pids(nvml.part(row, "values")).items()}
        about = _looked_up(host, sorted({pid for _, pid in found}))
        whole = sees_all_processes(host)
        processes = tuple(_process(pid, pci, found[pci, pid], about.get(str(pid)), whole) for pci, pid in sorted(found))
        is_hidden = not whole and _hides(host)
        is_whole = sees_all_gpus(host) or (is_hidden and not is_job_step(host))
        return cls(_with_parents(host, processes, about), host.now(), _used(rows), whole, is_whole, is_hidden)

    def hurts(self, *gpus: str) -> list[Hurt]:
        """Who suffers when these GPUs do."""
        return [process.hurt for gpu in gpus for process in self.processes if process.pci == gpu and not process.gone]


def _hides(host: Host) -> bool:
    """Whether /proc is that of the machine and shows to this user no processes but its own::

        24 30 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw,gid=27,hidepid=invisible

    hidepid is also ``noaccess``, ``ptraceable``, or 1, 2 and 4 of kernels before 5.8.
    """
    mounts = [line.split(" ") for line in host.read("/proc/self/mountinfo").text.splitlines()]
    options = next(
        (words[-1].split(",") for words in mounts if words[4:5] == ["/proc"] and "proc" in words[6:]), list[str]()
    )
    hides = any(option.startswith("hidepid=") and option[8:] not in ("0", "off") for option in options)
    return hides and not container(host)


def _of_listed(host: Host, listed: tuple[Listed, ...]) -> tuple[GpuProcess, ...]:
    """What nvidia-smi names, and what else is known of it."""
    about = _looked_up(host, sorted({process.pid for process in listed}))
    whole = sees_all_processes(host) if listed else False
    found = {
        (p.gpu, p.pid): _process(p.pid, p.gpu, Use(p.used_bytes), about.get(str(p.pid)), whole, p.name) for p in listed
    }
    return tuple(found[key] for key in sorted(found))


def _pids(values: Table) -> dict[int, Use]:
    """Each process once: it may be on several lists."""
    found: dict[int, Use] = {}
    drawing = {nvml.number(row, "pid") for row in nvml.tables(values, "graphics")}
    for kind in LISTS:
        for row in nvml.tables(values, kind):
            pid = nvml.number(row, "pid")
            if pid is not None and pid > 0:
                found[pid] = Use(nvml.number(row, "usedGpuMemory"), kind != "graphics", pid in drawing)
    return found


def _used(rows: list[Table]) -> dict[str, int]:
    """Of GPUs without MIG, whose instances keep their lists to themselves."""
    found: dict[str, int] = {}
    for row in rows:
        values, codes = nvml.part(row, "values"), nvml.codes(row)
        used = nvml.number(nvml.part(values, "memory"), "used")
        are_told = "compute" in values and all(codes.get(kind, 3) in nvml.NOT_OFFERED for kind in LISTS)
        instances = {nvml.number(item, "gpuInstanceId") for kind in LISTS for item in nvml.tables(values, kind)}
        if used is not None and are_told and instances <= {None, _NO_INSTANCE}:
            found[nvml.identity(row)[0]] = used
    return found


def _with_parents(host: Host, processes: tuple[GpuProcess, ...], about: Table) -> tuple[GpuProcess, ...]:
    """Which of them an init adopted: each parent is looked up once."""
    parents = {pid: nvml.number(nvml.part(about, pid), "parent") for pid in about}
    rows = _looked_up(host, sorted({parent for parent in parents.values() if parent and parent > 1}))
    names = {parent: nvml.text(nvml.part(rows, str(parent)), "name", 64) for parent in parents.values()}
    adopted = {int(pid) for pid, parent in parents.items() if parent == 1 or names[parent] in INITS}
    return tuple(replace(p, is_adopted=True) if p.pid in adopted else p for p in processes)


def _looked_up(host: Host, pids: list[int]) -> Table:
    """By pid: one question each, so that a recording of one run answers the questions of another."""
    found: dict[str, object] = {}
    for pid in pids:
        with suppress(CannotSee):
            found[str(pid)] = nvml.table(host.probe("processes", str(pid)))
    return found


def _process(pid: int, pci: str, use: Use, about: object, whole: bool, name: str = "") -> GpuProcess:
    said = nvml.part({"about": about}, "about")
    started, cpu_s = said.get("started"), said.get("cpu_s")
    here = "started" in said or "name" in said
    cgroup = str(said.get("cgroup", ""))
    job = job_of(cgroup)
    return GpuProcess(
        pid=pid,
        pci=pci,
        used_bytes=use.used_bytes,
        user=nvml.text(said, "user", 64),
        job=job,
        command=nvml.text(said, "command", 200) or nvml.text(said, "name", 200) or name,
        started=started if isinstance(started, float) else None,
        here=here,
        gone=whole and said.get("gone") is True,
        state=nvml.text(said, "state", 1),
        is_killed=said.get("killed") is True,
        cpu_s=float(cpu_s) if isinstance(cpu_s, (float, int)) else None,
        service="" if job else service_of(cgroup),
        is_compute=use.is_compute,
        draws=use.draws,
    )


def service_of(cgroup: str) -> str:
    """The service of the system that a process belongs to; empty in a session of a user::

    0::/system.slice/nvidia-dcgm.service                          -> nvidia-dcgm.service
    0::/user.slice/user-1000.slice/user@1000.service/app.slice/x  -> (nothing)
    """
    paths = [line.rpartition(":")[2].split("/") for line in cgroup.splitlines()]
    return next((path[2] for path in paths if path[1:2] == ["system.slice"] and path[2:3] and ".s" in path[2]), "")


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
