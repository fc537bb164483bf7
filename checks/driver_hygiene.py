"""Settings, packages and upgrades that work against the NVIDIA driver."""

from collections.abc import Callable, Iterator

from mlopsdoc import Finding, Line, NothingHere, check, critical, ok, warning
from mlopsdoc.facts.auto_upgrades import AutoUpgrades
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_settings import DriverSettings, Variable
from mlopsdoc.facts.driver_versions import is_driver
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.packages import Package, Packages

SETTINGS = "settings"  # the subject of what does not keep the driver from working now
DRIVERS = (
    "nvidia-driver",
    "libnvidia-compute",
    "nvidia-dkms",
    "nvidia-kernel",
    "nvidia-utils",
    "kmod-nvidia",
    "libcuda1",
)
OFF = ("", "0")
# Variable -> what it does to every program. P2P is left out on GeForce cards, which have none.
HARMFUL = {
    "CUDA_VISIBLE_DEVICES": "every program sees these GPUs only, whatever it was given",
    "CUDA_LAUNCH_BLOCKING": "every program waits for each kernel that it starts",
    "CUDA_INJECTION64_PATH": "a profiler is loaded into every CUDA program",
    "COMPUTE_PROFILE": "a profiler is loaded into every CUDA program",
    "CUDA_PROFILE": "a profiler is loaded into every CUDA program",
    "NSIGHT_CUDA_DEBUGGER": "a debugger is loaded into every CUDA program",
    "NCCL_P2P_DISABLE": "no NCCL uses NVLink or PCIe between GPUs",
    "NCCL_SHM_DISABLE": "NCCL goes through the network inside of this host",
}
SET_EVEN_TO_ZERO = ("CUDA_VISIBLE_DEVICES",)


@check(
    area="driver",
    title="Nothing on the host works against the NVIDIA driver",
    explains=("driver_stack", "gpu_presence"),
)
def driver_hygiene(
    driver: Driver,
    settings: DriverSettings,
    packages: Packages | None,
    upgrades: AutoUpgrades | None,
    gpus: Gpus | None,
    machine: Machine,
) -> Iterator[Finding]:
    """Faults of tomorrow: nouveau takes the GPUs at the next boot, a night's upgrade replaces the libraries under the
    loaded module, a variable for everybody makes every job slow or blind.

    nouveau and variables: what DCGM's software test refuses (denylist, bad environment). An upgrade that starts by
    itself and may replace the driver is the usual cause of "Driver/library version mismatch"; it is a warning on
    servers, a note where a GeForce or a laptop is. Packages of NVIDIA's own repositories are not upgraded by Ubuntu's
    settings, so they are left out.
    """
    is_consumer = machine.is_portable or driver.is_consumer or any(gpu.is_consumer for gpu in gpus or ())
    drivers = [
        p for p in (packages.packages if packages else ()) if p.name.startswith(DRIVERS) and is_driver(p.upstream)
    ]
    found = [
        *_nouveau(settings, machine.is_portable),
        *(one for variable in settings.variables for one in _variable(variable, is_consumer)),
        *_stubs(settings),
        *_several(drivers, settings),
        *_upgrades(drivers, upgrades, is_consumer),
    ]
    if not found and not drivers and not settings.has_installer and settings.is_nouveau_free is None:
        raise NothingHere("what was set and installed is not known")
    yield from found
    if not any(one.status.is_alarm for one in found):
        yield ok(_summary(drivers, upgrades, settings), subject=SETTINGS, code="settings")


def _of(level: Callable[..., Finding], code: str, summary: str, advice: str, *lines: Line | None) -> Finding:
    return level(summary, subject=SETTINGS, code=code, advice=advice, evidence=lines)


def _nouveau(settings: DriverSettings, is_portable: bool) -> Iterator[Finding]:
    blacklist = (
        "echo 'blacklist nouveau' | sudo tee /etc/modprobe.d/blacklist-nouveau.conf, then sudo update-initramfs -u "
        "(RHEL: sudo dracut --force) and reboot"
    )
    if settings.nouveau and not is_portable:
        yield critical(
            f"nouveau drives {', '.join(settings.nouveau[:8])}, although the driver of NVIDIA is installed: no CUDA "
            "program can use a GPU that nouveau has",
            code="nouveau",
            advice=blacklist,
            covers=["host"],
        )
    elif settings.is_nouveau_loaded and not is_portable:
        what = "nouveau is loaded beside the driver of NVIDIA: which of the two gets a GPU at the next boot is chance"
        yield _of(warning, "nouveau", what, blacklist)
    elif settings.is_nouveau_free and not is_portable:
        what = (
            "nouveau is installed for this kernel, and nothing keeps it from being loaded: which driver gets a GPU at "
            "the next boot is chance"
        )
        yield _of(warning, "nouveau", what, blacklist)


def _variable(variable: Variable, is_consumer: bool) -> Iterator[Finding]:
    why = HARMFUL.get(variable.name, "")
    if variable.name == "LD_LIBRARY_PATH" and "/stubs" in variable.value:
        why = "CUDA programs load a stub in place of libcuda, and fail with error 34"
    is_off = variable.value in OFF and variable.name not in SET_EVEN_TO_ZERO
    if not why or is_off or (variable.name == "NCCL_P2P_DISABLE" and is_consumer):
        return
    yield _of(
        warning,
        variable.name.lower(),
        f"{variable.path} sets {variable.name}={variable.value} for everybody: {why}",
        f"take it out of {variable.path}, and leave it to the job that needs it; sessions that are open keep it",
        variable.line,
    )


def _stubs(settings: DriverSettings) -> Iterator[Finding]:
    for line in settings.stubs[:1]:
        yield _of(
            warning,
            "stubs",
            f"the loader's path has a folder of stubs, {line.text}: CUDA programs may load the stub in place of "
            "libcuda, and fail with error 34",
            f"take it out of {line.answer.removeprefix('read ')}, then sudo ldconfig",
            line,
        )


def _several(drivers: list[Package], settings: DriverSettings) -> Iterator[Finding]:
    """Packages of several versions, or NVIDIA's own installer over packages."""
    versions: dict[str, Package] = {}
    for package in drivers:
        versions.setdefault(package.upstream, package)
    if len(versions) > 1:
        parts = " and ".join(f"{package.name} {version}" for version, package in list(versions.items())[:4])
        yield _of(
            warning,
            "several",
            f"packages of several drivers are installed: {parts}; the files of one replace those of the other",
            "remove the packages of the version that is not wanted; `dpkg -l '*nvidia*'` or `rpm -qa '*nvidia*'` lists "
            "them",
            *(package.line for package in versions.values()),
        )
    elif drivers and settings.has_installer:
        yield _of(
            warning,
            "installer",
            f"the driver was installed by NVIDIA's own installer and by packages ({drivers[0].name} "
            f"{drivers[0].upstream}): the next upgrade of the packages replaces half of it",
            "keep one: `sudo nvidia-uninstall` takes the installer's away, when no job runs; then install the packages "
            "anew",
            drivers[0].line,
        )


def _upgrades(drivers: list[Package], upgrades: AutoUpgrades | None, is_consumer: bool) -> Iterator[Finding]:
    ours = [p for p in drivers if not p.is_held and (not upgrades or upgrades.by == "dnf-automatic" or _of_ubuntu(p))]
    if not upgrades or upgrades.excluded or not ours:
        return
    hold = (
        "sudo dnf versionlock add 'nvidia*' 'kmod-nvidia*'"
        if upgrades.by == "dnf-automatic"
        else (f"sudo apt-mark hold {' '.join(package.name for package in ours[:6])}")
    )
    yield _of(
        ok if is_consumer else warning,
        "upgrades",
        f"{upgrades.by} may replace driver {ours[0].upstream} any night: {ours[0].name} is not held"
        f"{f', nor are {len(ours) - 1} more' if len(ours) > 1 else ''}, and what starts after that fails with a "
        "version mismatch until the modules are reloaded",
        f"{hold}, and upgrade the driver when the node is drained",
        upgrades.line,
        ours[0].line,
    )


def _of_ubuntu(package: Package) -> bool:
    """``580.95.05-0ubuntu0.24.04.2`` is of the archive, ``580.95.05-0ubuntu1`` of NVIDIA's repository."""
    return "ubuntu0." in package.version


def _summary(drivers: list[Package], upgrades: AutoUpgrades | None, settings: DriverSettings) -> str:
    words = (
        [f"driver packages {drivers[0].upstream}{', held' if all(p.is_held for p in drivers) else ''}"]
        if drivers
        else []
    )
    words += ["the driver of NVIDIA's own installer"] if settings.has_installer else []
    words += ["nouveau is kept away"] if settings.is_nouveau_free is False else []
    words += [f"{upgrades.by} leaves the driver alone"] if upgrades and upgrades.excluded else []
    return "; ".join(words) or "nothing was found"
