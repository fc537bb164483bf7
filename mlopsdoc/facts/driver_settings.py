"""What on this host works against the NVIDIA driver: nouveau, variables that are set for everybody, stub libraries."""

from __future__ import annotations

from collections.abc import Iterator

from mlopsdoc import Answer, Fact, Host, Line, NothingHere
from mlopsdoc.clean import decode, one_line
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.pci import PciDevices

NOUVEAU = ("nouveau", "nova", "nova_core")
MODPROBE = ("/etc/modprobe.d/*.conf", "/usr/lib/modprobe.d/*.conf", "/lib/modprobe.d/*.conf", "/run/modprobe.d/*.conf")
GLOBAL = ("/etc/environment", "/etc/nccl.conf")
SCRIPTS = "/etc/profile.d/*.sh"
LOADER = ("/etc/ld.so.conf.d/*.conf",)
INSTALLER = "/usr/bin/nvidia-uninstall"  # NVIDIA's own installer leaves it, no package has it
NAMES = ("CUDA_", "NCCL_", "LD_LIBRARY_PATH", "NSIGHT_", "COMPUTE_PROFILE", "NVIDIA_")


class Variable(Fact, frozen=True):
    """One that every session (or every NCCL) gets."""

    name: str
    value: str
    path: str
    line: Line


class DriverSettings(Fact, frozen=True):
    """nouveau: the GPUs that it drives. is_nouveau_loaded: in the kernel. is_nouveau_free: it is on disk for this
    kernel, and nothing keeps it from being loaded at boot; None where that is not known. variables: those with NAMES.
    stubs: folders of stub libraries on the path of the loader. has_installer: NVIDIA's own installer was used."""

    nouveau: tuple[str, ...]
    is_nouveau_loaded: bool
    is_nouveau_free: bool | None
    variables: tuple[Variable, ...]
    stubs: tuple[Line, ...]
    has_installer: bool

    @classmethod
    def read(cls, host: Host, driver: Driver, pci: PciDevices | None) -> DriverSettings:
        """Raises NothingHere where the files here are not those that count: in a container."""
        if driver.in_container:
            raise NothingHere("the settings are those of the host of this container")
        return cls(
            nouveau=tuple(gpu.slot for gpu in (pci.gpus() if pci else ()) if gpu.driver in NOUVEAU),
            is_nouveau_loaded=host.read("/sys/module/nouveau/refcnt").said,
            is_nouveau_free=_is_free(host) if driver.loaded else None,
            variables=tuple(_variables(host)),
            stubs=tuple(_stubs(host)),
            has_installer=host.link(INSTALLER).status not in ("absent", "not_captured"),
        )


def _is_free(host: Host) -> bool | None:
    """``modinfo: ERROR: Module nouveau not found.``, ``blacklist nouveau``, ``modprobe.blacklist=nouveau``."""
    answer = host.run("modinfo", "-F", "filename", "nouveau")
    if not answer.said:
        return False if "not found" in decode(answer.stderr) + answer.text else None
    words = host.read("/proc/cmdline").text.split()
    if any("blacklist=" in word and "nouveau" in word for word in words) or "nouveau.modeset=0" in words:
        return False
    trees = [host.tree(pattern) for pattern in MODPROBE]
    rules = [line.split()[:2] for tree in trees for answer in tree.values() for line in _lines(answer)]
    return ["blacklist", "nouveau"] not in rules and ["install", "nouveau"] not in rules


def _variables(host: Host) -> Iterator[Variable]:
    """``NCCL_P2P_DISABLE=1``, ``export LD_LIBRARY_PATH="/usr/local/cuda/lib64/stubs:$LD_LIBRARY_PATH"``."""
    answers = {path: host.read(path) for path in GLOBAL} | dict(host.tree(SCRIPTS))
    for path, answer in answers.items():
        for line in _lines(answer):
            name, equals, value = line.removeprefix("export ").strip().partition("=")
            if equals and name.startswith(NAMES) and name.isidentifier():
                value = one_line(value.strip().strip("\"'"), 200)
                yield Variable(one_line(name, 60), value, one_line(path, 200), Line(answer.key, f"{name}={value}"))


def _stubs(host: Host) -> Iterator[Line]:
    """``/usr/local/cuda/lib64/stubs``."""
    for pattern in LOADER:
        for answer in host.tree(pattern).values():
            for line in _lines(answer):
                if line.startswith("/") and "/stubs" in line:
                    yield Line(answer.key, line)


def _lines(answer: Answer) -> list[str]:
    lines = [line.partition("#")[0].strip() for line in answer.text.splitlines()] if answer.said else []
    return [line for line in lines if line]
