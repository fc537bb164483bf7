"""What a vendor asks for besides what checks ask: a table, one row a question. Deadlines and caps are those of lanes.

None of it changes anything, and what a host has not is an answer too. Logs begin at `since`, or at the boot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

from mlopsdoc.hosts.base import Answer, Host

LINES = "40000"  # of a log, the newest: about 6 MiB


class Item(NamedTuple):
    """One question. `of`: a pattern of paths, whose component after `under` takes the place of ``{}``."""

    area: str
    argv: tuple[str, ...]
    of: str = ""
    under: str = ""


def _run(area: str, command: str, of: str = "", under: str = "") -> Item:
    return Item(area, tuple(command.split()), of, under)


ITEMS = (
    _run("host", "uname -a"),
    _run("host", "uptime"),
    _run("host", "timedatectl"),
    _run("host", "dpkg-query -W"),
    _run("host", "rpm -qa"),
    _run("host", "systemctl list-units --failed --no-legend --plain"),
    _run("driver", "nvidia-smi"),
    _run("driver", "modinfo nvidia"),
    _run("driver", "nvidia-container-cli --version"),
    _run("gpu", "nvidia-smi -q"),
    _run("gpu", "nvidia-smi -q -x"),
    _run("fabric", "nvidia-smi topo -m"),
    _run("fabric", "nvidia-smi nvlink -s"),
    _run("fabric", "nvidia-smi nvlink -e"),
    _run("fabric", f"tail -n {LINES} /var/log/fabricmanager.log"),
    _run("fabric", f"journalctl -u nvidia-fabricmanager -b --no-pager -n {LINES}"),
    _run("cpu", "lscpu"),
    _run("memory", "numactl -H"),
    _run("memory", "numastat -m"),
    _run("pcie", "lspci -vvv"),
    _run("pcie", "lspci -tv"),
    _run("network", "ip -s -d link"),
    _run("network", "rdma link"),
    _run("network", "ethtool -i {}", "/sys/class/net/*/device/uevent", "net"),
    _run("network", "ethtool -S {}", "/sys/class/net/*/device/uevent", "net"),
    _run("storage", "zpool status"),
    _run("storage", "zpool list -v"),
    _run("storage", "zpool history"),
    _run("storage", "zpool events -v"),
    _run("storage", "lsblk -O -J"),
    _run("storage", "nvme list -o json"),
    _run("storage", "smartctl -x -j /dev/{}", "/sys/block/*/device/model", "block"),
    _run("power", "ipmitool sdr elist"),
    _run("power", "ipmitool sel elist"),
    _run("power", "ipmitool fru print"),
    _run("power", "dmidecode"),
    _run("kernel", "dmesg"),
    _run("kernel", f"journalctl -k -b --no-pager -n {LINES}"),
    _run("kernel", f"journalctl -b --no-pager -p warning -n {LINES}"),
    _run("kernel", "lsmod"),
)


# The vendor's own report goes to a file; ours alone, as text, in a folder of its own that is removed again.
BUG_REPORT = ("sh", "-c", 'd=$(mktemp -d) && cd "$d" && { nvidia-bug-report.sh >&2; gzip -dc *.log.gz; rm -r "$d"; }')


def questions(host: Host, areas: Sequence[str] = (), since: float | None = None) -> Iterator[tuple[str, ...]]:
    """The command lines of the areas (of all, where none is named), one for every device that there is."""
    for item in ITEMS:
        if areas and item.area not in areas:
            continue
        argv = item.argv
        if argv[0] == "journalctl" and since is not None:
            argv = (*argv, f"--since=@{since:.0f}")
        if not item.of:
            yield argv
            continue
        parts = (path.split("/") for path in host.tree(item.of))
        for name in sorted({path[path.index(item.under) + 1] for path in parts if item.under in path}):
            yield tuple(word.replace("{}", name) for word in argv)


def collect(host: Host, asked: Sequence[tuple[str, ...]], told: Callable[[int, tuple[str, ...], Answer], None]) -> None:
    """Put all questions, those that hang apart at once. told: is called with the number and answer of each."""
    with ThreadPoolExecutor(8) as pool:
        waiting = {pool.submit(host.run, *argv): argv for argv in asked}
        for number, done in enumerate(as_completed(waiting), 1):
            told(number, waiting[done], done.result())
