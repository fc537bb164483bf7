"""Processes that work for a GPU from the wrong NUMA node."""

from collections.abc import Iterator
from typing import NamedTuple

from mlopsdoc import Finding, check, ok, unknown, warning
from mlopsdoc.facts.bindings import Binding, Bindings, Pages
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.numa import Numa, number_list, ranges
from mlopsdoc.facts.quantities import size
from mlopsdoc.model import gpu_subject, pid_subject

MIB = 1 << 20
# No work of a job, by name: display servers, monitoring, the driver's own.
AT_HOME_ANYWHERE = (
    "Xorg", "Xwayland", "gnome-shell", "gnome-remote-de", "kwin_wayland", "kwin_x11", "sddm-greeter", "nvidia-smi",
    "nvidia-persistenced", "nvidia-cuda-mps-server", "nv-hostengine", "dcgm-exporter", "dcgmi", "nvtop", "gpustat",
)  # fmt: skip
SPREAD = ("interleave", "weighted")
SLURM = (
    "`srun --gpu-bind=closest --cpu-bind=cores --mem-bind=local`, the job with `sbatch --gres-flags=enforce-binding`"
)
KUBELET = "kubelet with topologyManagerPolicy single-numa-node and cpuManagerPolicy and memoryManagerPolicy static"


class Memory(NamedTuple):
    """far, total: its bytes on other nodes than the near ones, and on all that have CPUs. nodes: those others.

    is_spread: interleaved, by its policy or because all nodes have as much. is_asked: its policy asks for those others.
    """

    pages: Pages
    far: int
    total: int
    nodes: list[int]
    is_spread: bool
    is_asked: bool

    def is_over(self, percent: int) -> bool:
        """Whether more than that is far, and not on purpose."""
        return self.far * 100 > self.total * percent and not self.is_spread

    @property
    def share(self) -> str:
        share = f"{100 * self.far / self.total:.0f} % of its memory ({size(self.far)} of {size(self.total)})"
        return f"{share} is on {_nodes(self.nodes)}"

    @property
    def why(self) -> str:
        if self.is_asked:
            return f" (its policy asks for that: {self.pages.policy})"
        others = len(self.pages.of) - 1
        return f" (counted with that of {others} more of its job)" if others > 0 else ""


class Place(NamedTuple):
    """A process, the nodes of its GPUs, those near enough to be as good, and which of these have memory.

    is_loose: it may run near and far.
    """

    bound: Binding
    home: list[int]
    near: frozenset[int]
    near_mems: frozenset[int]
    near_cpus: frozenset[int]
    is_loose: bool
    memory: Memory | None

    @property
    def reachable(self) -> frozenset[int]:
        """The near CPUs that its cpuset leaves it."""
        return self.near_cpus if self.bound.cpuset is None else self.near_cpus & self.bound.cpuset


class Wrong(NamedTuple):
    code: str
    words: str


@check(
    area="cpu",
    title="Processes on a GPU run, and have their memory, on the NUMA node of their GPU",
    params=("PID", "NODE", "CPUS", "GPU"),
)
def numa_binding(
    numa: Numa,
    bindings: Bindings,
    gpus: Gpus,
    *,
    near_distance: int = 17,
    far_percent: int = 50,
    part_percent: int = 20,
    far_floor_mib: int = 128,
    far_sure_mib: int = 1024,
    settle_s: float = 300.0,
    gpu_memory_floor_mib: int = 256,
) -> Iterator[Finding]:
    """A process whose CPUs or memory are on another socket than its GPU sends every byte over the link between the
    sockets: copies get slower, kernels are launched later, and all ranks wait for that one.

    Wrong are: all threads, most of them or the main one where they cannot run on the GPU's node; a cpuset that gives
    no memory of it; more than `far_percent` of the anonymous and shared memory of a process on other nodes, if it is
    bound; most of the processes it made (they load data). Above `part_percent` it is a note. Nodes up to
    `near_distance` are as good as the GPU's own: the parts of one socket (sub-NUMA clustering, NPS) have 11 to 17
    (the 17 of three parts: Linux commit 4d6dd05d07d0), sockets 20 to 32 (SLIT, ACPI).

    Not wrong: a process bound to nothing (the default: one note for all of them, wherever its memory is, unless its
    policy or cpuset puts it elsewhere); memory interleaved over all nodes; a process on GPUs of all nodes; less than
    `far_floor_mib` of far memory, or, unless its policy asks for that, less than `far_sure_mib` in the first `settle_s`
    seconds of a process, before it has loaded its data; less than `gpu_memory_floor_mib` of GPU memory, displays and
    monitoring. A GPU whose node the firmware does not tell, and nodes without CPUs (memory of a GPU on Grace,
    expanders), are not judged.

    Where the CPUs are right and the memory may not be seen (numa_maps is for the owner and root), that is unknown.
    """
    labels = {gpu.id: gpu.label for gpu in gpus}
    unseen: list[Place] = []
    loose: list[Place] = []
    for bound in bindings.processes:
        place = _place(bound, numa, near_distance, gpu_memory_floor_mib * MIB)
        if place is None:
            continue
        memory, started = place.memory, bound.about.started
        is_young = started is not None and bindings.taken_at - started < settle_s
        least = far_sure_mib if is_young and memory and not memory.is_asked else far_floor_mib
        wrong = [*_cpus(place, numa), *_memory(place, far_percent, least * MIB)] if bound.is_seen else []
        if wrong or (wrong := list(_children(place, numa))):
            yield _finding(place, wrong, numa, labels)
        elif place.is_loose:
            loose.append(place)
        elif memory is None:
            unseen.append(place)
        elif memory.far >= far_sure_mib * MIB and memory.is_over(part_percent):
            yield _part(place, memory)
    if loose:
        yield _loose(loose)
    for is_seen in (False, True):
        if places := [place for place in unseen if place.bound.is_seen == is_seen]:
            yield _unseen(places, is_seen=is_seen)


def _place(bound: Binding, numa: Numa, distance: int, floor: int) -> Place | None:
    """None for what is not judged."""
    name = bound.about.command.partition(" ")[0].rpartition("/")[2]
    used = bound.about.used_bytes
    if name in AT_HOME_ANYWHERE or (used is not None and used < floor and len(bound.gpus) == 1):
        return None
    home = [numa.gpus.get(gpu, -1) for gpu in bound.gpus]
    near = numa.near(home, distance)
    if -1 in home or near >= numa.with_cpus or not (cpus := numa.cpus(near)):
        return None
    mems = near & {node.number for node in numa.nodes if node.memory_kb != 0}
    may = [bound.main, *(of for of, _ in bound.threads)]
    is_loose = not all(of <= cpus for of in may) and not all(of.isdisjoint(cpus) for of in may)
    memory = _of_pages(bound.pages, near, numa) if bound.pages else None
    return Place(bound, sorted(set(home)), near, mems, cpus, is_loose, memory)


def _of_pages(pages: Pages, near: frozenset[int], numa: Numa) -> Memory:
    """What is on nodes without CPUs counts for nothing; and nothing is far where no near node has memory."""
    nodes = [node.number for node in numa.nodes if node.cpus and node.memory_kb != 0]
    counts = {node: pages.by_node.get(node, 0) for node in nodes}
    others = [node for node in nodes if counts[node] and node not in near]
    total = sum(counts.values())
    is_even = bool(counts) and min(counts.values()) >= 0.8 * total / len(counts)
    asked = pages.policy.startswith(("bind", "prefer")) and number_list(pages.policy.rpartition(":")[2])
    return Memory(
        pages,
        far=sum(counts[node] for node in others) if near & set(nodes) else 0,
        total=total,
        nodes=others,
        is_spread=is_even or pages.policy.startswith(SPREAD),
        is_asked=bool(asked and not asked & near),
    )


def _cpus(place: Place, numa: Numa) -> Iterator[Wrong]:
    """Where its threads may run."""
    bound = place.bound
    far = [(cpus, count) for cpus, count in bound.threads if cpus.isdisjoint(place.near_cpus)]
    count, away = (sum(count for _, count in threads) for threads in (bound.threads, far))
    if away * 2 > count:
        whose = "all its" if away == count else f"{away} of its"
        threads = "its main thread" if count == 1 else f"{whose} {count} threads"
        yield Wrong("cpus", f"{threads} can run on {_where([cpus for cpus, _ in far], numa)} only")
    elif bound.main.isdisjoint(place.near_cpus):
        yield Wrong("main_thread", f"its main thread can run on {_where([bound.main], numa)} only")


def _memory(place: Place, percent: int, least: int) -> Iterator[Wrong]:
    """Where its memory must come from, and where it is."""
    mems, memory = place.bound.mems, place.memory
    if mems is not None and place.near_mems and not mems & place.near_mems:
        yield Wrong("mems", f"its cpuset gives it memory of {_nodes(sorted(mems))} only")
    if memory and (memory.is_asked or not place.is_loose) and memory.far >= least and memory.is_over(percent):
        yield Wrong("memory", memory.share + memory.why)


def _children(place: Place, numa: Numa) -> Iterator[Wrong]:
    """The processes that it made: of a training process these load its data."""
    children = place.bound.children
    far = [cpus for cpus in children if cpus.isdisjoint(place.near_cpus)]
    if far and len(far) * 2 > len(children):
        what = f"{len(far)} of the {len(children)} processes it made (they load its data)"
        yield Wrong("children", f"{what} can run on {_where(far, numa)} only")


def _where(sets: list[frozenset[int]], numa: Numa) -> str:
    """``node 1 (CPUs 56-111,168-223)``"""
    cpus = frozenset[int]().union(*sets)
    text = ranges(cpus)
    return f"{_nodes(numa.of(cpus))} (CPUs {text if len(text) <= 40 else text[:40].rpartition(',')[0] + ',...'})"


def _nodes(numbers: list[int]) -> str:
    return f"node {numbers[0]}" if len(numbers) == 1 else f"nodes {ranges(numbers)}" if numbers else "no known node"


def _finding(place: Place, wrong: list[Wrong], numa: Numa, labels: dict[str, str]) -> Finding:
    bound, pages, memory, codes = place.bound, place.bound.pages, place.memory, [what.code for what in wrong]
    names = [labels.get(gpu) or gpu_subject(None, gpu) for gpu in bound.gpus]
    at = f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} at {_nodes(place.home)}"
    return warning(
        f"{at}, but {' and '.join(what.words for what in wrong)}",
        subject=pid_subject(bound.pid),
        code=codes[0],
        advice=_advice(place, codes),
        hurts=[bound.about.hurt],
        params=_params(place),
        metrics={
            "far_memory_percent": round(100 * memory.far / memory.total, 1) if memory and memory.total else None,
            "far_memory_bytes": memory.far if memory else None,
            "far_threads": sum(count for cpus, count in bound.threads if cpus.isdisjoint(place.near_cpus)),
        },
        evidence=[numa.lines.get(bound.gpus[0]), bound.line, pages.line if pages and "memory" in codes else None],
    )


def _params(place: Place) -> dict[str, str]:
    bound = place.bound
    node, cpus = str(place.home[0]), ranges(place.reachable)
    return {"PID": str(bound.pid), "NODE": node, "CPUS": cpus, "GPU": bound.gpus[0]}


def _advice(place: Place, codes: list[str]) -> str:
    """What moves it now, and what starts it right the next time."""
    pid, cpus, near = place.bound.pid, ranges(place.reachable), ranges(place.near)
    now: list[str] = []
    if {"cpus", "main_thread"} & set(codes) and cpus:
        now.append(f"`sudo taskset -acp {cpus} {pid}`")
    if place.memory and place.memory.far and "mems" not in codes and (cpus or "memory" in codes):
        now.append(f"`sudo migratepages {pid} {ranges(place.memory.nodes)} {near}`")
    moved = f"now, if its owner agrees: {', then '.join(now)}; " if now else ""
    shut = "" if cpus else "its cpuset has no CPU of that node, so it cannot be moved; "
    return f"{shut}{moved}from its next start on: {_next_time(place, near)}; the runbook has the steps"


def _next_time(place: Place, near: str) -> str:
    job = place.bound.about.job
    if job.isdigit():
        return SLURM
    if job.startswith("pod "):
        return KUBELET
    if job.startswith("container "):
        return f"`docker run --cpuset-cpus={ranges(place.near_cpus)} --cpuset-mems={near}`"
    return f"`numactl --cpunodebind={near} --membind={near} COMMAND`"


def _part(place: Place, memory: Memory) -> Finding:
    """A note on memory of which a good part is elsewhere."""
    subject = pid_subject(place.bound.pid)
    return ok(memory.share, subject=subject, code="part", params=_params(place), evidence=[memory.pages.line])


def _loose(loose: list[Place]) -> Finding:
    far = sum(place.memory is not None and place.memory.is_over(50) for place in loose)
    whose = "its memory" if len(loose) == 1 else f"the memory of {far} of them"
    more = f"; most of {whose} is on another node than the GPU" if far else ""
    return ok(
        f"bound to no NUMA node: {_pids(loose)}; each runs wherever the kernel puts it{more}",
        code="unbound",
        advice="nothing is wrong; binding each process to the node of its GPU makes its copies even "
        "(`numactl --cpunodebind=NODE --membind=NODE`, or Slurm's `--gpu-bind=closest --cpu-bind=cores`)",
        evidence=[loose[0].bound.line],
    )


def _unseen(unseen: list[Place], *, is_seen: bool) -> Finding:
    whys = sorted({place.bound.hidden or "they cannot be looked at from here" for place in unseen})
    fixes = [place.bound.fix for place in unseen if place.bound.fix]
    one = len(unseen) == 1
    memory = f"on which NUMA node {'its' if one else 'their'} memory is"
    what = memory if is_seen else f"where {'it runs' if one else 'they run'}, and {memory}"
    return unknown(
        f"not known of {_pids(unseen)}: {what} ({'; '.join(whys[:3])})",
        code="unseen_memory" if is_seen else "unseen",
        advice=fixes[0] if fixes else "",
    )


def _pids(places: list[Place]) -> str:
    names = ", ".join(f"pid {place.bound.pid}" for place in places[:8])
    return names + (f" and {len(places) - 8} more" if len(places) > 8 else "")
