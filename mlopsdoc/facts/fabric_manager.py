"""The Fabric Manager: whether this host needs one, whether it runs, its version, and what its log says."""

from __future__ import annotations

from mlopsdoc import Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts import driver_words
from mlopsdoc.facts.driver import Driver, Part
from mlopsdoc.facts.driver_versions import is_driver, is_same
from mlopsdoc.facts.driver_words import Word
from mlopsdoc.facts.gpu_signs import nothing_here
from mlopsdoc.facts.gpus import GIVEN_AWAY, Gpus
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.nvlink import NvLinks
from mlopsdoc.facts.packages import Packages
from mlopsdoc.facts.pci import PciDevices
from mlopsdoc.facts.units import PROPERTIES, Unit, unit

UNIT, SUBNET_MANAGER, LOG = "nvidia-fabricmanager", "nvlsm", "/var/log/fabricmanager.log"
COMMANDS = "nv-fabricmanager,nv-fabricmanage,nvlsm"  # the kernel keeps 15 letters of a name
NO_SWITCH = "no NVSwitch: these GPUs need no Fabric Manager"
STARTED, CONFIGURED = "Fabric Manager Log initializing", "uccessfully configured"
COMPLETED = 3
PACKAGES = ("nvidia-fabricmanager", "nvidia-fabric-manager")
DRIVERS = ("nvidia-driver", "libnvidia-compute-", "nvidia-kernel-", "nvidia-dkms-", "kmod-nvidia")


class LogLine(Fact, frozen=True):
    """A line of the log that names an error. at: as it stands there, ``Nov 20 2026 03:10:07``, local time."""

    at: str
    line: Line


class FabricManager(Fact, frozen=True):
    """A host that needs one, or where somebody says so.

    sign: what tells that one is needed. switches: the NVSwitches on PCI. version, gap: of it, and why that was not
    seen. driver: what it has to equal. unit: its service. running: its programs that run, None where not known.
    is_complete: what NVML says of the fabric, None where it says nothing (A100). is_nvlink5: a board whose NVSwitches
    need nvlsm as well. not_started: a program that says so. errors: in its log, since it last started, which
    is_unfinished where the log does not say that the switches were set up. at: as host.now().
    """

    sign: str
    switches: int
    version: Part
    gap: str
    driver: Part
    unit: Unit | None
    running: tuple[str, ...] | None
    is_complete: bool | None
    is_nvlink5: bool
    not_started: Word | None
    errors: tuple[LogLine, ...]
    is_unfinished: bool
    at: float

    @classmethod
    def read(
        cls,
        host: Host,
        driver: Driver | None,
        pci: PciDevices | None,
        links: NvLinks | None,
        gpus: Gpus | None,
        packages: Packages | None,
        machine: Machine,
    ) -> FabricManager:
        """Raises NothingHere where none is needed: no NVSwitch, a container, one that the driver's container runs."""
        if driver is None:
            raise nothing_here(host)
        if driver.in_container or driver.built_in_container:
            raise NothingHere("the driver is that of another place, and so is what manages the fabric")
        if links and links.off:
            raise NothingHere("the driver was told to leave all NVLinks off (NvLinkDisable): no fabric is to be set up")
        is_consumer = driver.is_consumer or any(gpu.is_consumer for gpu in gpus or ())
        words = [] if is_consumer else [driver.said(kind) for kind in (driver_words.MANAGER, driver_words.NO_FABRIC)]
        refused, not_started = words if words else (None, None)
        switches = _switches(pci)
        sign = _sign(switches, links, machine)
        if not sign and not refused and not not_started:
            is_told = host.is_live or pci or links
            raise NothingHere(NO_SWITCH if is_told else "whether there is an NVSwitch is not in this recording")
        module = driver.loaded or _packaged(packages, DRIVERS)
        version, gap = _version(host)
        version = version or (Part() if host.is_live else _packaged(packages, PACKAGES))
        if refused and (not module or is_same(refused.other, module.version)):
            version, module = Part(refused.version, refused.line), module or Part(refused.other)
        errors, is_unfinished = _log(host)
        found = cls(
            sign=sign, switches=switches, version=version, gap=gap, driver=module, unit=unit(host, UNIT),
            running=_running(host), is_complete=_is_complete(links),
            is_nvlink5=any(gpu.board and gpu.board.needs_switch for gpu in links or ()),
            not_started=not_started, errors=tuple(errors), is_unfinished=is_unfinished, at=host.now(),
        )  # fmt: skip
        was_asked = host.run("systemctl", "show", "-p", PROPERTIES, UNIT).status != "not_captured"
        if not was_asked and not switches and not not_started and not version and found.unit is None:
            raise NothingHere("what the Fabric Manager does is not in this recording")
        return found


def _switches(pci: PciDevices | None) -> int:
    """How many NVSwitches are on PCI, none where they are given to a virtual machine."""
    found = pci.switches() if pci else ()
    return 0 if all(device.driver in GIVEN_AWAY for device in found) else len(found)


def _sign(switches: int, links: NvLinks | None, machine: Machine) -> str:
    """What tells that a Fabric Manager is needed here: NVSwitches on PCI, else the board, on a host of its own.

    The switches of a virtual machine are often managed by its host, those of a rack by themselves.
    """
    if switches:
        return f"{switches} NVSwitch{'es' if switches > 1 else ''}"
    is_ours = links is not None and links.has_switch and not links.is_shared and not machine.virtual
    if not is_ours or any(gpu.is_rack for gpu in links or ()):
        return ""
    return f"{len(links.gpus) if links else 0} GPUs on NVSwitches"


def _packaged(packages: Packages | None, names: tuple[str, ...]) -> Part:
    """The first of these packages whose version is that of a driver."""
    for package in packages.packages if packages else ():
        if package.name.startswith(names) and is_driver(package.upstream):
            return Part(package.upstream, package.line)
    return Part()


def _version(host: Host) -> tuple[Part, str]:
    """``Fabric Manager version is : 580.95.05``, or why it was not seen."""
    answer = host.run("nv-fabricmanager", "-v")
    for line in answer.text.splitlines():
        word = line.rpartition(":")[2].strip()
        if "version" in line.lower() and is_driver(word):
            return Part(word, Line(answer.key, line)), ""
    why = "nv-fabricmanager is not installed" if answer.status == "absent" else answer.why or answer.status
    return Part(), one_line(why, 100)


def _running(host: Host) -> tuple[str, ...] | None:
    """The names of those that run, a line each; exit code 1 is none."""
    answer = host.run("ps", "-C", COMMANDS, "-o", "comm=")
    if answer.status == "ok" or (answer.status == "failed" and answer.exit == 1):
        return tuple(dict.fromkeys(one_line(line.strip(), 40) for line in answer.text.splitlines() if line.strip()))
    return None


def _is_complete(links: NvLinks | None) -> bool | None:
    states = [gpu.fabric for gpu in links or () if gpu.fabric and gpu.fabric.state]
    return all(fabric.state == COMPLETED and fabric.status == 0 for fabric in states) if states else None


def _log(host: Host) -> tuple[list[LogLine], bool]:
    """Its errors since it last started, but for those of a start that went well in the end; and whether it did not::

    Fabric Manager Log initializing at: 11/20/2026 03:10:05.112
    [Nov 20 2026 03:10:07] [ERROR] [tid 1871] failed to get NVSwitch device information ...
    [Nov 20 2026 03:10:09] [INFO] [tid 1871] Successfully configured all the available NVSwitches ...
    """
    answer = host.run("tail", "-n", "400", LOG)
    answer = answer if answer.said else host.read(LOG)
    text = answer.text if answer.said else ""
    _, started, text = text.rpartition(STARTED)
    is_unfinished = bool(started) and CONFIGURED not in text
    text = text.rpartition(CONFIGURED)[2] if CONFIGURED in text else text
    found: list[LogLine] = []
    for line in text.splitlines():
        at, _, rest = line.partition("] [")
        if line.startswith("[") and rest.startswith(("ERROR]", "CRITICAL]")):
            said = rest.rpartition("] ")[2] if "[tid" in rest else rest
            found.append(LogLine(one_line(at[1:], 40), Line(answer.key, said)))
    return found, is_unfinished
