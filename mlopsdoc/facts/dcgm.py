"""DCGM: its host engine, the version that runs against the one that is installed, and programs it cannot share with."""

from __future__ import annotations

from mlopsdoc import Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts.asked import none_here
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_versions import numbers
from mlopsdoc.facts.packages import Package, Packages
from mlopsdoc.facts.pci import PciDevices
from mlopsdoc.facts.units import Unit, unit

UNITS = ("nvidia-dcgm", "dcgm")  # the second up to DCGM 2
PACKAGE = "datacenter-gpu-manager"
BLACKWELL = ("29", "2b", "31")  # how PCI device ids of its boards begin: B200, RTX PRO 6000, B300
ENGINE, PROFILERS = "nv-hostengine", ("ncu", "nv-nsight-cu-cli")  # both want the same counters of a GPU
COMMANDS = ",".join((ENGINE, *PROFILERS))


class Dcgm(Fact, frozen=True):
    """package: the first of DCGM. unit: its service. running: the programs of ENGINE and PROFILERS that run, None where
    not known. local, engine: versions of `dcgmi -v`, empty where not told. is_blackwell: a GPU that needs DCGM 4."""

    package: Package | None
    unit: Unit | None
    running: tuple[str, ...] | None
    local: str
    engine: str
    line: Line | None
    is_blackwell: bool

    @classmethod
    def read(cls, host: Host, driver: Driver, packages: Packages | None, pci: PciDevices | None) -> Dcgm:
        """Raises NothingHere without its package, its service or its program."""
        if driver.in_container:
            raise NothingHere("DCGM is that of the host of this container")
        package = packages.first(PACKAGE) if packages else None
        local, engine, line = _versions(host)
        services = [found for name in UNITS if (found := unit(host, name)) and found.is_there]
        if package is None and not local and not services:
            looked = host.run("dcgmi", "-v").status != "not_captured" or packages is not None
            raise none_here(host, "no DCGM", "whether DCGM runs", looked)
        is_blackwell = any(gpu.device.startswith(BLACKWELL) for gpu in (pci.gpus() if pci else ()))
        return cls(package, services[0] if services else None, _running(host), local, engine, line, is_blackwell)


def _versions(host: Host) -> tuple[str, str, Line | None]:
    """Of the program and of the engine that answers it, which is asked only where it runs::

    Local build info:
    Version : 4.4.1
    Hostengine build info:
    Version : 4.2.3
    """
    answer = host.run("dcgmi", "-v")
    found = {"Local": "", "Hostengine": ""}
    part = "Local"
    for line in answer.text.splitlines():
        part = line.split()[0] if line.strip().endswith("build info:") else part
        name, _, value = line.partition(":")
        if name.strip() == "Version" and part in found and numbers(value):
            found[part] = found[part] or one_line(value.strip(), 40)
    local, engine = found["Local"], found["Hostengine"]
    return local, engine, Line(answer.key, f"local {local}, host engine {engine or 'none'}") if local else None


def _running(host: Host) -> tuple[str, ...] | None:
    """Their names, a line each; exit code 1 is none."""
    answer = host.run("ps", "-C", COMMANDS, "-o", "comm=")
    if answer.status == "ok" or (answer.status == "failed" and answer.exit == 1):
        return tuple(dict.fromkeys(one_line(line.strip(), 40) for line in answer.text.splitlines() if line.strip()))
    return None
