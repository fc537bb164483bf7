"""Whether Slurm may give one GPU to several jobs on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from mlopsdoc import Fact, Host, Line, NothingHere
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.lines import whole_lines

FOLDERS = ("/etc/slurm", "/etc/slurm-llnl", "/run/slurm/conf", "/var/spool/slurmd/conf-cache")
NAMES = ("slurm.conf", "gres.conf")


class SlurmSharing(Fact, frozen=True):
    """is_meant: GRES that share GPUs (`shard`, `mps`) are configured. Read only where two jobs are on one GPU.

    slurm.conf and gres.conf, in one of FOLDERS (the last two: hosts that get them from slurmctld)::

        GresTypes=gpu,shard
        Name=shard Count=32
        NodeName=gpu-[01-16] Gres=gpu:h100:4,mps:400 ...
    """

    is_meant: bool
    line: Line

    @classmethod
    def read(cls, host: Host, processes: GpuProcesses) -> SlurmSharing:
        """Raises NothingHere where no GPU has two jobs, or no configuration can be read."""
        if not jobs_beside_each_other(processes):
            raise NothingHere("no GPU has processes of several Slurm jobs")
        seen: Line | None = None
        for line, words in _of_gres(host):
            if "shard" in words or "mps" in words:
                return cls(True, line)
            seen = seen or line
        if seen is None:
            raise NothingHere("the configuration of Slurm is not to be read here")
        return cls(False, seen)


def _of_gres(host: Host) -> Iterator[tuple[Line, list[str]]]:
    """The lines that tell of GRES, with their words."""
    for folder, name in product(FOLDERS, NAMES):
        answer = host.read(f"{folder}/{name}")
        for line in whole_lines(answer) if answer.said else ():
            said = line.partition("#")[0].casefold()
            if said.startswith(("grestypes", "name=", "nodename=", "autodetect")):
                words = said.replace("=", " ").replace(",", " ").replace(":", " ").split()
                yield Line(answer.key, line.strip()[:200]), words


def jobs_beside_each_other(processes: GpuProcesses) -> dict[str, list[str]]:
    """The Slurm jobs that compute on each GPU that has more than one."""
    jobs: dict[str, set[str]] = {}
    for process in processes.processes:
        if process.computes_in_job:
            jobs.setdefault(process.pci, set()).add(process.job)
    return {pci: sorted(found, key=int) for pci, found in jobs.items() if len(found) > 1}
