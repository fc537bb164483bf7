"""What is left on GPUs: memory without a process, processes that cannot end, workers whose program is gone."""

from collections.abc import Iterator, Sequence

from mlopsdoc import Before, Finding, NothingHere, check, ok, unknown, warning
from mlopsdoc.facts.gpu_health import GpuHealths
from mlopsdoc.facts.gpu_processes import GpuProcess, GpuProcesses
from mlopsdoc.facts.gpus import C2C, VGPU_GUEST, VGPU_HOSTS, Gpu, Gpus
from mlopsdoc.facts.quantities import size, span
from mlopsdoc.facts.slurm_sharing import SlurmSharing, jobs_beside_each_other
from mlopsdoc.model import pid_subject

# What only another process starts: of Python's multiprocessing, and the names that engines give their workers.
WORKERS = ("multiprocessing.spawn import", "multiprocessing.forkserver import", "--multiprocessing-fork")
TITLES = ("VLLM::", "sglang::", "ray::")
RESET = "then end what uses this GPU and reset it, or reboot: steps in the runbook"
STUCK = (
    "no signal ends it: see where it waits (`sudo cat /proc/{pid}/stack`) and what the kernel says (`sudo dmesg -T | "
    f"grep -i -e nvrm -e 'blocked for more'`), {RESET}"
)
WAITS = (
    "see where it waits (`sudo cat /proc/{pid}/stack`): in a file system (nfs, fuse, lustre, ceph), mend that one, and "
    f"it goes on; in the driver (nvidia), {RESET}"
)
ORPHAN = "if its owner agrees, end it (`sudo kill {pid}`), and look for the others of its program: steps in the runbook"
FIRST = " (seen once: look again in a minute, for what ends takes a moment)"
GONE = f"see who else holds the GPU (`sudo fuser -v /dev/nvidia*`), {RESET}"
SHARE = (
    "see what each was given (`scontrol show job -d {job}`: GRES), who started what is outside of a job, and whether "
    "Slurm keeps jobs to their GPUs (ConstrainDevices=yes in cgroup.conf): steps in the runbook"
)


@check(
    area="gpu",
    title="No GPU holds what a job left behind, nor two jobs by accident",
    params=("GPU", "PID"),
    explained_by=("gpu_presence", "gpu_xid", "driver_stack", "gpu_recovery"),
)
def gpu_processes(
    gpus: Gpus,
    processes: GpuProcesses,
    before: Before[GpuProcesses],
    health: GpuHealths | None,
    sharing: SlurmSharing | None,
    *,
    unowned_gib: float = 1.0,
    waits_s: float = 60.0,
) -> Iterator[Finding]:
    """What a job left keeps memory of a GPU, and the next one fails for want of it, far from the cause.

    A warning: memory in use (`unowned_gib`, without what the driver keeps for itself: an idle GPU uses a few MiB)
    and no process; a process that the driver lists and the kernel does not know; a zombie that still holds memory, or
    one that was killed and does not end (SIGKILL waits for it), or waits in the kernel (D) without any CPU time for
    `waits_s` (a slow file server is no fault of a GPU). All of these in an earlier look too, for what ends takes a
    moment, or where there was no look and no moment explains it. A worker (multiprocessing, vLLM, SGLang, Ray) that
    init adopted, for nothing gives it work any more. Several Slurm jobs on a GPU that no shard or MPS shares (without
    Slurm's configuration a note), or a stranger beside a job.

    Left alone: a program that was started to outlive its shell, whatever it does; services, displays, pods and
    containers that share a GPU (time slicing); jobs that Slurm stopped for others; MPS, MIG, vGPU hosts and guests.
    Unknown where /proc hides the processes of others (hidepid). Not seen from within a container, and GH200
    and its like, whose GPU memory is memory of the whole system.
    """
    if not (processes.sees_all or processes.is_hidden):
        raise NothingHere("the processes of the whole machine are not to be seen from here, or not recorded")
    labels = {gpu.id: gpu.label for gpu in gpus}
    by_pid: dict[int, list[GpuProcess]] = {}
    for process in processes.processes:
        by_pid.setdefault(process.pid, []).append(process)
    for its in by_pid.values():
        yield from _leftover(its, before, labels, waits_s)
    hidden = {one.pid for one in processes.processes if not one.here} if processes.is_hidden else set[int]()
    if hidden:
        yield unknown(
            f"{len(hidden)} process{'es' * (len(hidden) > 1)} on its GPUs cannot be looked at: /proc hides those of "
            "other users (hidepid)",
            code="hidden",
            advice="look as root: `sudo mlopsdoc check gpu_processes`",
        )
    split = {gpu.id for gpu in health or () if gpu.number("mig_now") == 1}
    jobs = jobs_beside_each_other(processes)
    for gpu in gpus:
        here = [process for process in processes.processes if process.pci == gpu.id]
        if processes.is_whole and not here and gpu.id not in split:
            yield from _unowned(gpu, processes, before, unowned_gib * (1 << 30))
        is_shared_by_mps = any("nvidia-cuda-mps" in process.command for process in here)
        if gpu.id not in split and not is_shared_by_mps:
            yield from _several(gpu, here, jobs.get(gpu.id, []), sharing)
    for subject, what, advice, code in gpus.gaps("what is left on a GPU"):
        yield unknown(what, subject=subject or "host", advice=advice, code=code)


def _leftover(
    its: Sequence[GpuProcess], before: Before[GpuProcesses], labels: dict[str, str], waits_s: float
) -> Iterator[Finding]:
    one = its[0]
    was = _earlier(one, before)
    if before.fact and was is None:
        return  # what is new may be about to end
    is_worker = one.command.startswith(TITLES) or any(sign in one.command for sign in WORKERS)
    is_still = was is not None and one.cpu_s is not None and one.cpu_s == was.cpu_s and one.state == was.state == "D"
    is_dead = one.state in ("Z", "X") and not (was and was.cpu_s != one.cpu_s)  # only its first thread may have ended
    was_dead = was is not None and was.state in ("Z", "X")
    since = f", {span(before.seconds)} ago too" if was else FIRST
    if one.gone:
        if was:
            what = "the driver lists it, and there is no such process: its memory was not given back"
            yield _finding(its, "gone", what + since, GONE, labels)
    elif is_dead and (was is None or was_dead):
        yield _finding(its, "zombie", f"a zombie, of which a part hangs in the kernel{since}", STUCK, labels)
    elif one.is_killed and (was is None or was.is_killed):
        waits = " and waits in the kernel (state D)" if one.state == "D" else ""
        yield _finding(
            its, "killed", f"was killed and {'does not end' if was else 'has not ended'}{waits}{since}", STUCK, labels
        )
    elif is_still and before.seconds >= waits_s:
        what = f"waits in the kernel (state D) and has not run in the last {span(before.seconds)}"
        yield _finding(its, "waits", what, WAITS, labels)
    elif one.is_adopted and is_worker and (was is None or was.is_adopted):
        yield _finding(its, "orphan", f"an orphan: the program that gave it work has ended{since}", ORPHAN, labels)


def _earlier(one: GpuProcess, before: Before[GpuProcesses]) -> GpuProcess | None:
    """The same process in the earlier look: the number alone may be another's by now."""
    then = [p for p in before.fact.processes if p.pid == one.pid] if before.fact else []
    if one.gone:
        return next((p for p in then if not p.here), None)
    return next((p for p in then if abs((p.started or 0) - (one.started or 0)) < 2), None)


def _finding(its: Sequence[GpuProcess], code: str, what: str, advice: str, labels: dict[str, str]) -> Finding:
    one = its[0]
    known = [process.used_bytes for process in its if process.used_bytes]
    where = ", ".join(labels.get(process.pci, process.pci) for process in its[:4])
    holds = f"{size(sum(known))} on {where}" if known else f"memory on {where}"
    whose = " of ".join(filter(None, (one.command[:60], one.user)))
    return warning(
        f"{f'{whose}: ' if whose else ''}{what}; it holds {holds}",
        subject=pid_subject(one.pid),
        code=code,
        advice=advice.format(pid=one.pid),
        covers=[labels[process.pci] for process in its if process.pci in labels],
        params={"PID": str(one.pid), "GPU": one.pci},
        metrics={"used_bytes": sum(known) if known else None},
    )


def _unowned(gpu: Gpu, processes: GpuProcesses, before: Before[GpuProcesses], most: float) -> Iterator[Finding]:
    used = processes.used.get(gpu.id, 0)
    is_of_all = any(name in gpu.name for name in C2C)
    if used < most or is_of_all or gpu.virtualization in (VGPU_GUEST, *VGPU_HOSTS):
        return
    if before.fact:
        had = any(process.pci == gpu.id for process in before.fact.processes)
        if had or before.fact.used.get(gpu.id, 0) < most:
            return
        since = f", {span(before.seconds)} ago too"
    else:
        since = FIRST
    yield warning(
        f"{size(used)} of its memory are in use and no process is on it{since}: the next job may find too little",
        subject=gpu.label,
        code="unowned",
        advice=GONE,
        params={"GPU": gpu.pci},
        metrics={"used_bytes": used},
    )


def _several(gpu: Gpu, here: Sequence[GpuProcess], jobs: list[str], sharing: SlurmSharing | None) -> Iterator[Finding]:
    in_jobs = [process for process in here if process.computes_in_job]
    if jobs and not (sharing and sharing.is_meant):
        asks = "" if sharing else " (whether Slurm shares it on purpose is not to be read here)"
        yield (warning if sharing else ok)(
            f"jobs {', '.join(jobs)} compute on it at once{asks}: each slows the others and may take their memory",
            subject=gpu.label,
            code="jobs",
            advice=SHARE.format(job=jobs[0]),
            hurts=[process.hurt for process in in_jobs],
            params={"GPU": gpu.pci, "PID": str(in_jobs[-1].pid)},
            evidence=[sharing.line] if sharing else [],
        )
    owners = {process.user for process in in_jobs} | {"root", "0", ""}
    computing = [p for p in here if p.here and p.is_compute and not p.draws and p.state != "T"]
    strangers = [p for p in computing if not p.job and not p.service and p.user not in owners]
    if in_jobs and strangers:
        names = ", ".join(f"pid {p.pid} ({p.command.split(' ')[0]} of {p.user})" for p in strangers[:3])
        yield warning(
            f"{names} computes on it outside of any job, beside job {in_jobs[0].job} of {in_jobs[0].user}",
            subject=gpu.label,
            code="outside",
            advice=SHARE.format(job=in_jobs[0].job),
            hurts=[process.hurt for process in in_jobs],
            params={"GPU": gpu.pci, "PID": str(strangers[0].pid)},
        )
