"""The Fabric Manager does not run, or is not that of the driver, where NVSwitches need it."""

from collections.abc import Callable, Iterator

from mlopsdoc import Finding, Line, check, critical, ok, unknown, warning
from mlopsdoc.facts.driver_versions import is_same
from mlopsdoc.facts.fabric_manager import SUBNET_MANAGER, FabricManager
from mlopsdoc.facts.quantities import span
from mlopsdoc.facts.throttling import CpuTimes

STATUS = "systemctl status nvidia-fabricmanager"
RESTART = "then sudo systemctl restart nvidia-fabricmanager when no job runs"
START = (
    f"`{STATUS}` and `sudo tail -50 /var/log/fabricmanager.log` say why; when no job runs: sudo systemctl enable --now "
    "nvidia-fabricmanager; steps in the runbook"
)
ERROR = "CUDA programs that start now fail with error 802 (system not yet initialized)"


@check(
    area="fabric",
    title="The Fabric Manager runs, in the version of the driver, where NVSwitches need it",
    explains=("nvlink_errors", "nvlink_links", "cuda_programs"),
    explained_by=("driver_stack",),
)
def fabric_manager(
    manager: FabricManager,
    times: CpuTimes | None,
    *,
    settle_s: float = 300.0,
) -> Iterator[Finding]:
    """Boards with NVSwitches (HGX and DGX with 8 GPUs, and 16) have no NVLink and no CUDA before it has set up the
    fabric; when it ends later, errors of links are no longer handled and jobs may be ended.

    Its version has to equal the driver's (NVIDIA Fabric Manager user guide); boards of NVLink 5 need nvlsm besides.
    Boards with 4 GPUs, PCIe cards and bridges have no NVSwitch: it fails there by design (NV_WARN_NOTHING_TO_DO), and
    nobody needs it. In a virtual machine, in a rack and with the GPU Operator it runs elsewhere. In the first
    `settle_s` after boot the fabric is still being set up (NVSentinel issue 1715).
    """
    uptime = manager.at - times.boot if times and times.boot and manager.at else None
    is_settled = uptime is None or not 0 <= uptime < settle_s
    found = [*_version(manager)] or [*_state(manager, is_settled)]
    yield from found
    if not found and manager.unit is None and not manager.running and not manager.is_complete:
        yield _unseen(manager)
    elif not found:
        words = [manager.sign, f"Fabric Manager {manager.version.version}".strip()]
        words += [manager.unit.active] if manager.unit else []
        words += ["NVML says that the fabric is complete"] if manager.is_complete else []
        words += [] if is_settled else [f"booted {span(uptime or 0)} ago"]
        yield ok(
            ", ".join(words), code="state", evidence=[manager.version.line, manager.unit.line if manager.unit else None]
        )


def _of(level: Callable[..., Finding], code: str, summary: str, advice: str, *lines: Line | None) -> Finding:
    return level(summary, code=code, advice=advice, evidence=lines)


def _version(manager: FabricManager) -> Iterator[Finding]:
    """Against the driver; what CUDA says tells of it as well."""
    ours, driver = manager.version, manager.driver
    if ours and driver and not is_same(ours.version, driver.version):
        yield _of(
            critical,
            "version",
            f"Fabric Manager is {ours.version}, but the driver is {driver.version}: with NVSwitches they have to be of "
            "the same version, or it does not start and CUDA programs fail with error 802",
            f"install Fabric Manager {driver.version}, {RESTART}",
            ours.line,
            driver.line,
        )
    elif manager.not_started and not manager.switches and manager.unit is None:
        yield _of(
            warning,
            "not_started",
            "CUDA says that the system is not yet initialized (error 802): the NVLink fabric is not set up, so the "
            "Fabric Manager does not run, or has not the version of the driver",
            f"{STATUS}; `nv-fabricmanager -v` has to print the version of the driver",
            manager.not_started.line,
        )


def _state(manager: FabricManager, is_settled: bool) -> Iterator[Finding]:
    """Whether it runs."""
    unit, lines = manager.unit, [error.line for error in manager.errors[-2:]]
    is_running = (unit is not None and unit.active in ("active", "reloading")) or bool(manager.running)
    if is_running:
        yield from _running(manager)
        return
    if unit is None or (not unit.is_failing and not is_settled):
        return
    level = warning if manager.is_complete and not unit.is_failing else critical
    what = f"is {unit.shown}" if unit.is_there else f"is {'masked' if unit.load == 'masked' else 'not installed'}"
    then = ERROR if level is critical else "the fabric was set up before, and nobody handles errors of its links now"
    lacks = manager.is_nvlink5 and manager.running is not None and SUBNET_MANAGER not in manager.running
    also = f"; {SUBNET_MANAGER}, without which it does not start on NVLink 5, does not run either" if lacks else ""
    last = f"; its log says: {manager.errors[-1].line.text}" if manager.errors else ""
    yield _of(
        level, "state", f"the Fabric Manager {what}, with {manager.sign}: {then}{also}{last}", START, unit.line, *lines
    )


def _running(manager: FabricManager) -> Iterator[Finding]:
    if manager.is_nvlink5 and manager.running and SUBNET_MANAGER not in manager.running:
        yield _of(
            warning,
            "nvlsm",
            f"the Fabric Manager runs and {SUBNET_MANAGER} does not: on NVLink 5 no GPU joins the fabric again without "
            "it, not even after a reset",
            START,
            manager.unit.line if manager.unit else None,
        )
    is_incomplete = (
        manager.is_unfinished if manager.is_complete is None else not manager.is_complete
    )  # A100 says nothing
    if is_incomplete and manager.errors:
        last = manager.errors[-1]
        yield _of(
            critical,
            "log",
            f"the Fabric Manager runs and has not set up the fabric; its log says, at {last.at}: {last.line.text}",
            START,
            last.line,
        )


def _unseen(manager: FabricManager) -> Finding:
    """No service, no process and no word of NVML."""
    what = f"the version of the Fabric Manager could not be seen: {manager.gap}"
    if manager.version:
        what = "whether the Fabric Manager runs could not be seen: systemctl tells nothing"
    wanted = f"Fabric Manager {manager.driver.version}".strip()
    return _of(
        unknown,
        "unseen",
        f"there are {manager.sign}, and {what}",
        f"without {wanted} CUDA programs fail with error 802: {STATUS}",
        manager.version.line,
    )
