"""Processes that work for a GPU from the wrong NUMA node."""

from collections.abc import Iterator
from typing import NamedTuple

from mlopsdoc import Finding, Hurt, check, ok, unknown, warning
from mlopsdoc.facts.bindings import Binding, Bindings, Pages
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.numa import Numa, ranges
from mlopsdoc.facts.quantities import size
from mlopsdoc.model import gpu_subject, pid_subject

MIB = 1 << 20
# No work of a job, by name: display servers, monitoring, the driver's own.
AT_HOME_ANYWHERE = (
    "Xorg", "Xwayland", "gnome-shell", "gnome-remote-de", "kwin_wayland", "kwin_x11", "sddm-greeter", "nvidia-smi",
    "nvidia-persistenced", "nvidia-cuda-mps-server", "nv-hostengine", "dcgm-exporter", "dcgmi", "nvtop", "gpustat",
)  # fmt: skip
SPREAD = ("interleave", "weighted")


class Bounds(NamedTuple):
    far_percent: int
    part_percent: int
    floor: int
    sure: int
    settle_s: float


class Place(NamedTuple):
    """A process, the nodes of its GPUs, and those near enough to be as good."""

    bound: Binding
    home: list[int]
    near: frozenset[int]
    near_cpus: frozenset[int]


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
    near_distance: int = 15,
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
    `near_distance` are as good as the GPU's own: the parts of one socket (sub-NUMA clustering, NPS) have 11 to 17,
    sockets 20 to 32 (SLIT, ACPI).

    Not wrong: a process bound to nothing (the default: one note for all of them, wherever its memory is, unless its
    policy or cpuset puts it elsewhere); memory interleaved over all nodes; a process on GPUs of all nodes; less than
    `far_floor_mib` of far memory, or less than `far_sure_mib` in the first `settle_s` seconds of a process, before it
    has loaded its data; less than `gpu_memory_floor_mib` of GPU memory, displays and monitoring. A GPU whose node the
    firmware does not tell, and nodes without CPUs (memory of a GPU on Grace, expanders), are not judged.

    Where the CPUs are right and the memory may not be seen (numa_maps is for the owner and root), that is unknown.
    """
    bounds = Bounds(far_percent, part_percent, far_floor_mib * MIB, far_sure_mib * MIB, settle_s)
    labels = {gpu.id: gpu.label for gpu in gpus}
    unseen: list[Place] = []
    loose: list[Place] = []
    for bound in bindings.processes:
        place = _place(bound, numa, near_distance, gpu_memory_floor_mib * MIB)
        if place is None:
            continue
        if not bound.is_seen:
            unseen.append(place)
            continue
        is_loose = bool(_union(bound) & place.near_cpus and _union(bound) - place.near_cpus)
        wrong = [*_cpus(place, numa), *_memory(place, numa, bounds, bindings.taken_at, is_loose=is_loose)]
        if wrong or (wrong := list(_children(place, numa))):
            yield _finding(place, wrong, numa, labels)
        elif is_loose:
            loose.append(place)
        elif bound.pages is None:
            unseen.append(place)
        elif part := _part(place, numa, bounds):
            yield part
    if loose:
        yield _loose(loose, numa)
    if unseen:
        yield _unseen(unseen)


def _place(bound: Binding, numa: Numa, distance: int, floor: int) -> Place | None:
    """None for what is not judged."""
    name = bound.about.command.partition(" ")[0].rpartition("/")[2]
    used = bound.about.used_bytes
    if name in AT_HOME_ANYWHERE or (used is not None and used < floor and len(bound.gpus) == 1):
        return None
    home = [numa.gpus.get(gpu, -1) for gpu in bound.gpus]
    near = numa.near(home, distance)
    if -1 in home or near >= numa.with_cpus or not numa.cpus(near):
        return None
    return Place(bound, sorted(set(home)), near, numa.cpus(near))


def _union(bound: Binding) -> frozenset[int]:
    return bound.main.union(*(cpus for cpus, _ in bound.threads))


def _cpus(place: Place, numa: Numa) -> Iterator[Wrong]:
    """Where it may run."""
    bound = place.bound
    count = sum(count for _, count in bound.threads)
    far = [(cpus, count) for cpus, count in bound.threads if not cpus & place.near_cpus]
    there = frozenset[int]().union(*(cpus for cpus, _ in far))
    away = sum(count for _, count in far)
    where = f"{_nodes(numa.of(there))} (CPUs {_short(ranges(there))})"
    if away == count:
        what = "its one thread" if count == 1 else f"all its {count} threads"
        yield Wrong("cpus", f"{what} can run on {where} only")
    elif away * 2 > count:
        yield Wrong("cpus", f"{away} of its {count} threads can run on {where} only")
    elif not bound.main & place.near_cpus:
        where = f"{_nodes(numa.of(bound.main))} (CPUs {_short(ranges(bound.main))})"
        yield Wrong("main_thread", f"its main thread can run on {where} only")


def _memory(place: Place, numa: Numa, bounds: Bounds, now: float, *, is_loose: bool) -> Iterator[Wrong]:
    """Where its memory is, and where it must come from."""
    bound, pages = place.bound, place.bound.pages
    full = {node.number for node in numa.nodes if node.memory_kb is None or node.memory_kb > 0}
    if not place.near & full:
        return  # there is none where it should be
    if bound.mems is not None and not bound.mems & place.near:
        yield Wrong("mems", f"its cpuset gives it memory of {_nodes(sorted(bound.mems))} only")
    if pages is None or _is_spread(pages, numa):
        return
    far, total = _far(place, pages, numa)
    started = bound.about.started
    is_young = started is not None and now - started < bounds.settle_s
    is_meant = pages.policy.startswith(("bind", "prefer"))
    if (is_loose and not is_meant) or far < (bounds.sure if is_young and not is_meant else bounds.floor):
        return
    if far * 100 > total * bounds.far_percent:
        yield Wrong("memory", f"{_share(place, pages, numa)}{_why(pages)}")


def _children(place: Place, numa: Numa) -> Iterator[Wrong]:
    """The processes that it made: of a training process these load its data."""
    children = place.bound.children
    far = [cpus for cpus in children if not cpus & place.near_cpus]
    if far and len(far) * 2 > len(children):
        there = frozenset[int]().union(*far)
        what = f"{len(far)} of the {len(children)} processes it made (they load its data)"
        yield Wrong("children", f"{what} can run on {_nodes(numa.of(there))} (CPUs {_short(ranges(there))}) only")


def _far(place: Place, pages: Pages, numa: Numa) -> tuple[int, int]:
    """Bytes on other nodes, and on all; those of nodes without CPUs count for neither."""
    counted = {node: count for node, count in pages.by_node.items() if node in numa.with_cpus}
    return sum(count for node, count in counted.items() if node not in place.near), sum(counted.values())


def _is_spread(pages: Pages, numa: Numa) -> bool:
    """Interleaved, by its policy or because all nodes have as much of it."""
    if pages.policy.startswith(SPREAD):
        return True
    counts = [pages.by_node.get(node.number, 0) for node in numa.nodes if node.cpus and node.memory_kb != 0]
    return min(counts) >= 0.8 * sum(counts) / len(counts)


def _share(place: Place, pages: Pages, numa: Numa) -> str:
    far, total = _far(place, pages, numa)
    share = f"{100 * far / total:.0f} % of its memory ({size(far)} of {size(total)})"
    return f"{share} is on {_nodes(_others(place, pages, numa))}"


def _others(place: Place, pages: Pages, numa: Numa) -> list[int]:
    return sorted(node for node in numa.with_cpus - place.near if pages.by_node.get(node, 0))


def _why(pages: Pages) -> str:
    if pages.policy.startswith(("bind", "prefer")):
        return f" (its policy asks for that: {pages.policy})"
    return f" (counted with that of {len(pages.of) - 1} more of its job)" if len(pages.of) > 1 else ""


def _nodes(numbers: list[int]) -> str:
    return f"node {numbers[0]}" if len(numbers) == 1 else f"nodes {ranges(numbers)}" if numbers else "no known node"


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:40].rpartition(",")[0] + ",..."


def _at(place: Place, labels: dict[str, str]) -> str:
    names = [labels.get(gpu) or gpu_subject(None, gpu) for gpu in place.bound.gpus]
    return f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} at {_nodes(place.home)}"


def _finding(place: Place, wrong: list[Wrong], numa: Numa, labels: dict[str, str]) -> Finding:
    bound, pages, codes = place.bound, place.bound.pages, [what.code for what in wrong]
    far, total = _far(place, pages, numa) if pages else (0, 0)
    return warning(
        f"{_at(place, labels)}, but {' and '.join(what.words for what in wrong)}",
        subject=pid_subject(bound.pid),
        code=codes[0],
        advice=_advice(place, codes, numa),
        hurts=[_hurt(bound)],
        params=_params(place),
        metrics={
            "far_memory_percent": round(100 * far / total, 1) if total else None,
            "far_memory_bytes": far if pages else None,
            "far_threads": sum(count for cpus, count in bound.threads if not cpus & place.near_cpus),
        },
        evidence=[numa.lines.get(bound.gpus[0]), bound.line, pages.line if pages and "memory" in codes else None],
    )


def _params(place: Place) -> dict[str, str]:
    bound = place.bound
    return {
        "PID": str(bound.pid),
        "NODE": str(place.home[0]),
        "CPUS": ranges(_reachable(place)),
        "GPU": bound.gpus[0],
    }


def _reachable(place: Place) -> frozenset[int]:
    """The near CPUs that its cpuset leaves it."""
    return place.near_cpus if place.bound.cpuset is None else place.near_cpus & place.bound.cpuset


def _hurt(bound: Binding) -> Hurt:
    return Hurt(bound.pid, bound.about.user, bound.about.job, bound.about.command)


def _advice(place: Place, codes: list[str], numa: Numa) -> str:
    """What moves it now, and what starts it right the next time."""
    bound, pages, cpus = place.bound, place.bound.pages, ranges(_reachable(place))
    near = ranges(place.near)
    now: list[str] = []
    if {"cpus", "main_thread"} & set(codes) and cpus:
        now.append(f"`sudo taskset -acp {cpus} {bound.pid}`")
    far = ranges(_others(place, pages, numa)) if pages and _far(place, pages, numa)[0] else ""
    if far and "mems" not in codes and (cpus or "memory" in codes):
        now.append(f"`sudo migratepages {bound.pid} {far} {near}`")
    moved = f"now, if its owner agrees: {', then '.join(now)}; " if now else ""
    shut = "" if cpus else "its cpuset has no CPU of that node, so it cannot be moved; "
    return f"{shut}{moved}from its next start on: {_next_time(place, near)}; the runbook has the steps"


def _next_time(place: Place, near: str) -> str:
    job = place.bound.about.job
    if job.isdigit():
        return (
            "`srun --gpu-bind=closest --cpu-bind=cores --mem-bind=local`, the job with "
            "`sbatch --gres-flags=enforce-binding`"
        )
    if job.startswith("pod "):
        return "kubelet with topologyManagerPolicy single-numa-node and cpuManagerPolicy and memoryManagerPolicy static"
    if job.startswith("container "):
        return f"`docker run --cpuset-cpus={ranges(place.near_cpus)} --cpuset-mems={near}`"
    return f"`numactl --cpunodebind={near} --membind={near} COMMAND`"


def _part(place: Place, numa: Numa, bounds: Bounds) -> Finding | None:
    """A note on memory of which a good part is elsewhere."""
    pages = place.bound.pages
    if pages is None or _is_spread(pages, numa):
        return None
    far, total = _far(place, pages, numa)
    if far < bounds.sure or far * 100 <= total * bounds.part_percent:
        return None
    subject = pid_subject(place.bound.pid)
    return ok(_share(place, pages, numa), subject=subject, code="part", params=_params(place), evidence=[pages.line])


def _loose(loose: list[Place], numa: Numa) -> Finding:
    pids = _pids(loose)
    far = sum(1 for place in loose if place.bound.pages and _is_mostly_far(place, place.bound.pages, numa))
    whose = "its memory" if len(loose) == 1 else f"the memory of {far} of them"
    more = f"; most of {whose} is on another node than the GPU" if far else ""
    return ok(
        f"bound to no NUMA node: {pids}; each runs wherever the kernel puts it{more}",
        code="unbound",
        advice="nothing is wrong; binding each process to the node of its GPU makes its copies even "
        "(`numactl --cpunodebind=NODE --membind=NODE`, or Slurm's `--gpu-bind=closest --cpu-bind=cores`)",
        evidence=[loose[0].bound.line],
    )


def _is_mostly_far(place: Place, pages: Pages, numa: Numa) -> bool:
    far, total = _far(place, pages, numa)
    return far * 2 > total and not _is_spread(pages, numa)


def _unseen(unseen: list[Place]) -> Finding:
    whys = sorted({place.bound.hidden or "they cannot be looked at from here" for place in unseen})
    fixes = [place.bound.fix for place in unseen if place.bound.fix]
    blind = [place for place in unseen if not place.bound.is_seen]
    what = "where they run and where their memory is" if blind else "on which NUMA node their memory is"
    return unknown(
        f"not known of {_pids(unseen)}: {what} ({'; '.join(whys[:3])})",
        code="unseen",
        advice=fixes[0] if fixes else "",
        hurts=[],
    )


def _pids(places: list[Place]) -> str:
    names = ", ".join(f"pid {place.bound.pid}" for place in places[:8])
    return names + (f" and {len(places) - 8} more" if len(places) > 8 else "")
