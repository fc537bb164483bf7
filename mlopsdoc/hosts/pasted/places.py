"""Where a command runs: on this machine, in a container on it, on another machine, or on many; a table."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from mlopsdoc.patterns import compiled


class Placed(NamedTuple):
    """The command itself, and where it runs.

    host: of ssh. container: as in ``pod job-0``, ``container train``. target: the host of an ssh that opens a shell.
    script: a command line that the words hold, as in ``bash -c 'dmesg | tail'``. is_many: several machines answer.
    """

    words: tuple[str, ...]
    host: str = ""
    container: str = ""
    target: str = ""
    script: str = ""
    is_many: bool = False


class Runner(NamedTuple):
    """A program that starts another one elsewhere.

    kind: ``host``, ``many``, or how the place is called before its name. takes: options with a value. named: whether
    the first operand is the place; else an option among `names` may tell it.
    """

    kind: str
    takes: str = ""
    named: bool = True
    names: str = ""


# Words in front of a command that change nothing of its output, and their options with a value.
WRAPPERS = {
    "sudo": "-u -g -p -C -h -r -t", "doas": "-u", "env": "-u -C", "timeout": "-k -s", "time": "-f -o", "nice": "-n",
    "nohup": "", "stdbuf": "-o -i -e", "watch": "-n", "unbuffer": "", "command": "", "exec": "", "ionice": "-c -n",
    "chrt": "", "setsid": "", "busybox": "", "runuser": "-u -g",
}  # fmt: skip
# What runs the command line after -c: the same machine.
SHELLS = ("bash", "sh", "zsh", "ash", "dash", "fish", "su", "runuser", "script", "ksh")
WITH_OPTIONS = "-n --namespace --context -H -c --kubeconfig"  # kubectl -n ml exec
SSH_TAKES = "-p -i -l -o -J -F -c -b -e -m -L -R -D -W -w"
_EXEC = (
    "-u -w -e -c -n -f --user --workdir --env --container --namespace --context --detach-keys --env-file --kubeconfig"
)
_RUN = (
    "-v -e -w -u -p -m -h -l --gpus --name --network --net --ipc --shm-size --runtime --entrypoint --device --ulimit "
    "--cap-add --cap-drop --security-opt --mount --memory --cpus --hostname --env --volume --pid --user --workdir "
    "--label --platform --restart --group-add --add-host --log-driver --pull --tmpfs --env-file --cpuset-cpus "
    "--cpuset-mems --publish --uts --userns --volumes-from --cgroupns --annotation --hooks-dir"
)
_SLURM = "-N -n -w -p -A -t -c -J -G -q -x -C -D -o -e --partition --account --time --jobid --qos --container-image"
_MPI = "-np -n -H -N --host --hostfile -hostfile --map-by --bind-to -x --mca -mca -npernode --npernode -machinefile"
_SIF = "-B --bind --pwd --env -H"
_IN = "container"
RUNNERS: dict[str, Runner] = {
    "ssh": Runner("host", SSH_TAKES), "rsh": Runner("host", "-l"), "multipass exec": Runner("host"),
    "docker exec": Runner(_IN, _EXEC), "docker container exec": Runner(_IN, _EXEC),
    "docker compose exec": Runner(_IN, _EXEC), "docker-compose exec": Runner(_IN, _EXEC),
    "podman exec": Runner(_IN, _EXEC), "podman container exec": Runner(_IN, _EXEC), "nerdctl exec": Runner(_IN, _EXEC),
    "crictl exec": Runner(_IN, _EXEC), "docker run": Runner(_IN, _RUN), "docker container run": Runner(_IN, _RUN),
    "podman run": Runner(_IN, _RUN), "nerdctl run": Runner(_IN, _RUN),
    "docker compose run": Runner(_IN, _RUN),
    "singularity exec": Runner(_IN, _SIF), "apptainer exec": Runner(_IN, _SIF),
    "enroot start": Runner(_IN, "-e -m --env --mount"), "enroot exec": Runner(_IN), "lxc exec": Runner(_IN),
    "incus exec": Runner(_IN), "lxc-attach": Runner(_IN, "-n --name", False, "-n --name"),
    "machinectl shell": Runner(_IN), "systemd-nspawn": Runner(_IN, "-D -M", False, "-D -M"),
    "distrobox enter": Runner(_IN), "toolbox run": Runner(_IN, "-c --container", False, "-c --container"),
    "chroot": Runner("root"), "arch-chroot": Runner("root"),
    "nsenter": Runner("namespace of pid", "-t --target", False, "-t --target"),
    "ip netns exec": Runner("network namespace"),
    "kubectl exec": Runner("pod", _EXEC), "oc exec": Runner("pod", _EXEC), "oc rsh": Runner("pod", _EXEC),
    "kubectl debug": Runner("pod", "-n --image --profile --target --context"),
    "oc debug": Runner("pod", "-n --image --profile"),
    "srun": Runner("many", _SLURM, False), "flux run": Runner("many", "-N -n -g -c", False),
    "mpirun": Runner("many", _MPI, False), "mpiexec": Runner("many", _MPI, False),
    "mpirun.openmpi": Runner("many", _MPI, False), "aprun": Runner("many", "-n -N", False),
    "jsrun": Runner("many", "-n -r -a -g -c", False), "prun": Runner("many", "-n -N", False),
}  # fmt: skip
# What asks other hosts, many at once: whose output is whose, only their own headings tell.
MANY_HOSTS = (
    "pssh", "parallel-ssh", "pdsh", "clush", "ansible", "salt", "dsh", "mussh", "cssh", "parallel", "bolt", "fab",
    "kubectl", "gcloud", "aws", "oc", "xdsh", "psh", "ansible-playbook",
)  # fmt: skip
NODES = ("-N", "--nodes", "-n", "--ntasks", "-np")
# Of a container on this machine: what it says of the hardware and the kernel, which it shares with its host.
SHARED = (
    "run nvidia-smi", "run dcgmi ", "run dmesg", "run lspci", "run lscpu", "run numactl -H", "run uname", "run lsmod",
    "run ipmitool ", "run ipmi-", "run smartctl ", "run nvme ", "run mdadm ", "run ibstat", "run ibv_devinfo",
    "run zpool ", "run dmidecode", "run rdmsr ", "run cpupower ", "run edac-util", "run ras-mc-ctl",
    "read /proc/driver/nvidia/", "read /proc/mdstat", "read /proc/cpuinfo", "read /proc/meminfo", "read /proc/version",
    "read /proc/sys/kernel/osrelease", "read /sys/bus/", "read /sys/devices/", "read /sys/module/",
    "read /sys/class/hwmon/", "read /sys/class/infiniband/", "read /sys/class/nvme/", "link /sys/bus/",
)  # fmt: skip


def is_shared(key: str) -> bool:
    """Whether what a container on this machine answers is true of the machine as well."""
    return key.startswith(SHARED)


def bmc_of(argv: tuple[str, ...]) -> str:
    """The BMC that is asked over the network: ``ipmitool -I lanplus -H bmc-17 sdr``, ``ipmi-sel -h bmc-17``."""
    if argv[:1] == ("ipmitool",):
        return _option(argv, ["-H"])
    return _option(argv, ["-h", "--hostname"]) if argv and argv[0].startswith("ipmi-") else ""


@lru_cache(4096)
def place(argv: tuple[str, ...]) -> Placed:
    """The command itself, without what starts it, and where it runs: ``ssh gpu-17 sudo docker exec job nvidia-smi``."""
    found = Placed(argv)
    for _ in range(8):
        argv = _unwrapped(found.words)
        name = _runner(argv)
        is_line = name is None and len(argv) == 1 and " " in argv[0] and bool(found.host or found.container)
        if script := argv[0] if is_line else _script(argv):  # ssh host 'nvidia-smi -q'
            found = found._replace(words=tuple(script.split()))
            if re.search(r"[|;&<>$`\"'\\]", script):
                return found._replace(script=script)
            continue
        found = found._replace(words=argv)
        moved = _moved(found, name) if name else None
        if moved is None or moved.words == found.words:
            return moved or found
        found = moved
    return found


def _moved(found: Placed, name: str) -> Placed | None:
    """One runner taken off; None where it starts nothing that can be told."""
    runner = RUNNERS[name]
    argv = found.words[len(name.split()) :]
    left = after_options(argv, runner.takes)
    options = argv[: len(argv) - len(left)]
    where = _option(options, runner.names.split())
    if runner.named:
        if not left:
            return None
        where, left = left[0], left[1:]
        if runner.kind == "pod":
            left = after_options(left, runner.takes)  # kubectl exec job-0 -n ml -- nvidia-smi
    left = left[1:] if left[:1] == ("--",) else left
    if runner.kind == "host":
        where = where.rpartition("@")[2]
        return found._replace(words=left, host=where) if left else found._replace(target=where)
    if not left:
        return None
    if runner.kind == "many":
        return _of_nodes(found, name, options, left)
    if runner.kind == "pod" and where.startswith("node/"):
        return found._replace(words=left, host=where[5:])
    if (name == "chroot" and where == "/host") or (name == "nsenter" and where == "1"):
        return found._replace(words=left, container="")
    return found._replace(words=left, container=f"{runner.kind} {where.removeprefix('pod/') or 'unnamed'}")


def _of_nodes(found: Placed, name: str, options: tuple[str, ...], left: tuple[str, ...]) -> Placed:
    """What `srun` or `mpirun` start: on the one node that is named, on one node, or on many."""
    host = _option(options, ["-w", "--nodelist", "-H", "--host"])
    if re.fullmatch(r"[A-Za-z][\w.-]*", host):
        return found._replace(words=left, host=host)
    counts = [value for value in (_option(options, [flag]) for flag in NODES) if value]
    if "1" in counts and set(counts) <= {"1"}:
        return found._replace(words=left, container=f"step of {name}")
    return found._replace(words=left, is_many=True)


def _option(options: tuple[str, ...], names: list[str]) -> str:
    """The value of the first of these options: ``-N 1``, ``-N1``, ``--nodes=1``; nothing where there is none."""
    for n, word in enumerate(options):
        if word in names:
            return options[n + 1] if n + 1 < len(options) else ""
        for name in names:
            if word.startswith(f"{name}=") or (len(name) == 2 and word.startswith(name) and word[2:]):
                return word[len(name) :].removeprefix("=")
    return ""


def _runner(argv: tuple[str, ...]) -> str | None:
    """The name in the table that the words begin with."""
    return next((name for depth in (3, 2, 1) if (name := " ".join(argv[:depth])) in RUNNERS), None)


def _script(argv: tuple[str, ...]) -> str:
    """The command line that ``bash -lc '...'`` or ``su - root -c '...'`` runs."""
    if not argv or argv[0].rpartition("/")[2] not in SHELLS:
        return ""
    for n, word in enumerate(argv[1:-1], 1):
        if re.fullmatch(r"-[a-z]{0,4}c|--command", word):
            return argv[n + 1]
    return next((word.partition("=")[2] for word in argv[1:] if word.startswith("--command=")), "")


def _unwrapped(argv: tuple[str, ...]) -> tuple[str, ...]:
    while argv:
        name = argv[0].rpartition("/")[2]
        if name in WRAPPERS and not (name == "runuser" and _script((name, *argv[1:]))):
            inner = after_options(argv[1:], WRAPPERS[name])[1 if name == "timeout" else 0 :]
            inner = inner[1:] if inner[:1] == ("--",) else inner
            if not inner:
                return argv  # env, or sudo -i
            argv = inner
        elif compiled(r"[A-Za-z_][A-Za-z0-9_]*=").match(argv[0]):
            argv = argv[1:]
        else:
            rest = after_options(argv[1:], WITH_OPTIONS) if name in ("kubectl", "docker", "oc", "podman") else argv[1:]
            return (name, *(rest if f"{name} {' '.join(rest[:1])}" in RUNNERS else argv[1:])) if name else argv
    return argv


def after_options(argv: tuple[str, ...], takes: str) -> tuple[str, ...]:
    """The words after the options in front of them."""
    n, valued = 0, takes.split()
    while n < len(argv) and argv[n].startswith("-") and argv[n] != "--" and argv[n] != "-":
        n += 2 if argv[n] in valued else 1
    return argv[n:]
