"""What other programs say of the driver, in recordings: jobs that did not start, containers, packages, DKMS."""

from __future__ import annotations

from collections.abc import Iterator

from mlopsdoc import Answer, Fact, Host, Line
from mlopsdoc.clean import decode
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.driver_versions import is_driver

TOO_NEW, NO_COMPAT, OLD_COMPAT, NO_FABRIC = "too_new", "no_compat", "old_compat", "no_fabric"
CONTAINER, DEVICES, MANAGER, BUILD, HEADERS = "container", "devices", "manager", "build", "headers"
# Words of CUDA, of PyTorch and of what is built on them -> what they say.
PROGRAMS = {
    "driver version is insufficient for cuda runtime version": TOO_NEW,
    "the nvidia driver on your system is too old": TOO_NEW,
    "the provided ptx was compiled with an unsupported toolchain": TOO_NEW,
    "forward compatibility was attempted on non supported hw": NO_COMPAT,
    "unsupported display driver / cuda driver combination": OLD_COMPAT,
    "system not yet initialized": NO_FABRIC,
}
INSTALLERS = ("dkms", "apt", "apt-get", "dnf", "yum", "zypper", "dpkg")
NVIDIA_MAJOR = "195:"  # of /dev/nvidia0, /dev/nvidiactl


class Word(Fact, frozen=True):
    """kind: one of those above. version: of what it is about, where it tells; kernel: of a build; other: the version
    that it does not fit."""

    kind: str
    line: Line
    version: str = ""
    other: str = ""
    kernel: str = ""


def words(host: Host) -> tuple[Word, ...]:
    """The last of each kind; nothing live, where it is looked at itself."""
    if host.is_live:
        return ()
    found = [*_programs(host), *_containers(host), *_manager(host)]
    for tool in INSTALLERS:
        found += [word for answer in asked(host, tool) for word in builds(answer)]
    return tuple(found)


def _programs(host: Host) -> Iterator[Word]:
    """``init.cc:1582 NCCL WARN Cuda failure 'CUDA driver version is insufficient for CUDA runtime version'``."""
    last: dict[str, Word] = {}
    for answer in asked(host, "job"):
        for line in answer.text.splitlines():
            said = line.casefold()
            for sign, kind in PROGRAMS.items():
                if sign in said and any(word in said for word in ("cuda", "nvidia", "ptx", "802")):
                    last[kind] = Word(kind, Line(answer.key, line))
    yield from last.values()


def _containers(host: Host) -> Iterator[Word]:
    """What was asked inside of a container that is none of the host's own::

        Failed to initialize NVML: Unknown Error

    and /sys/fs/cgroup/devices/devices.list, where without `rw` nothing but mknod is allowed::

        c 195:* m
        c 195:255 rw
    """
    for answer in asked(host, "docker exec container"):
        text = answer.text or decode(answer.stderr)
        last = text.strip().rpartition("\n")[2]
        if "nvidia-smi" in answer.key and last.startswith("Failed to initialize NVML: Unknown Error"):
            yield Word(CONTAINER, Line(answer.key, last))
        elif answer.key.endswith("devices.list"):
            rules = [line.split() for line in text.splitlines()]
            ours = [rule for rule in rules if len(rule) == 3 and rule[1].startswith(NVIDIA_MAJOR)]
            if ours and not any("r" in rule[2] for rule in ours) and ["a", "*:*", "rwm"] not in rules:
                yield Word(DEVICES, Line(answer.key, " ".join(ours[-1])))


def _manager(host: Host) -> Iterator[Word]:
    """What the Fabric Manager said when it last started::

    fabric manager NVIDIA GPU driver interface version 570.172.08 don't match with driver version 575.57.08. Please ...
    """
    answer = host.read("/var/log/fabricmanager.log")
    start, _, rest = answer.text.rpartition("driver interface version ") if answer.said else ("", "", "")
    line = rest.partition("\n")[0]
    versions = [word.rstrip(".,") for word in line.split() if is_driver(word.rstrip(".,"))][:2]
    if "match" in line and len(versions) == 2 and "uccessfully configured" not in rest:
        said = Line(answer.key, f"{start.rpartition(chr(10))[2]}driver interface version {line}")
        yield Word(MANAGER, said, version=versions[0], other=versions[1])


def builds(answer: Answer) -> Iterator[Word]:
    """What DKMS could not build of the driver, for whichever program it ran::

    Error! Bad return status for module build on kernel: 6.8.0-90-generic (x86_64)
    Consult /var/lib/dkms/nvidia/550.54.14/build/make.log for more information.
    Error! Your kernel headers for kernel 6.8.0-90-generic cannot be found at /lib/modules/6.8.0-90-generic/build ...
    """
    text = answer.text + decode(answer.stderr)
    if "rror! " not in text or "nvidia" not in answer.key + text:
        return
    asked_for = answer.key.replace("%2F", " ").replace("/", " ").split()
    consulted = text.rpartition("/dkms/nvidia")[2].replace("/", " ").split()[:3]
    version = next((word for word in (*consulted, *asked_for) if is_driver(word)), "")
    for line in text.splitlines():
        for sign, kind in (("module build on kernel: ", BUILD), ("kernel headers for kernel ", HEADERS)):
            if kernel := line.partition(sign)[2].split()[:1]:
                yield Word(kind, Line(answer.key, line), version=version, kernel=kernel[0])
