"""Containers that lost their GPUs, or cannot be given any."""

from collections.abc import Iterator

from mlopsdoc import Finding, NothingHere, check, critical, ok, warning
from mlopsdoc.facts import driver_words as said
from mlopsdoc.facts.container_toolkit import ContainerToolkit, Spec
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_versions import is_older, is_same
from mlopsdoc.facts.nvml import UNKNOWN

LOST = (
    "restart the container; to keep it, give it the devices by CDI or `--device`, use the cgroupfs driver of the "
    "container runtime, or add the links in /dev/char (nvidia-ctk system create-dev-char-symlinks); the GPUs are well"
)
CONTAINERS = "containers"  # the subject
WHY = "; mostly a systemctl daemon-reload on the host took /dev/nvidia* out of the device cgroup of the container"
INSTALL = "install nvidia-container-toolkit, or take the runtime out of /etc/docker/daemon.json and restart Docker"


@check(
    area="driver",
    title="Containers can be given the GPUs, and keep them",
    explains=(
        "driver_stack", "gpu_clocks", "gpu_ecc", "gpu_hang", "gpu_health", "gpu_mig", "gpu_persistence", "gpu_power",
        "gpu_presence", "gpu_recovery", "gpu_row_remap", "gpu_thermal", "numa_binding", "nvlink_errors", "nvlink_links",
    ),
    explained_by=("driver_stack",),
)  # fmt: skip
def container_toolkit(
    driver: Driver,
    toolkit: ContainerToolkit | None,
    *,
    least_version: str = "1.17.8",
) -> Iterator[Finding]:
    """A container loses its GPUs when systemd rewrites its device rules (NVIDIA Container Toolkit, "Containers losing
    access to GPUs"): what runs goes on, what starts in it fails with NVML's Unknown Error.

    A description of devices (CDI) names the driver's libraries by version, so after an update it names files that are
    gone, until it is made again (nvidia-ctk cdi generate; from 1.18 on a service does it). Toolkits older than
    `least_version` let a container become root on the host (CVE-2025-23266).
    """
    found = [*_lost(driver), *(_given(driver, toolkit, least_version) if toolkit else ())]
    yield from found
    if toolkit is None and not found:
        raise NothingHere("nothing tells how the NVIDIA Container Toolkit is set up here")
    if toolkit and not found:
        words = [f"toolkit {toolkit.version}" if toolkit.version else "its version is not known"]
        words += [f"{spec.path} is of driver {spec.driver}" for spec in toolkit.specs[:4]]
        words += [f"a runtime of Docker{', its default' if toolkit.is_default else ''}"] if toolkit.runtime else []
        yield ok("; ".join(words), subject=CONTAINERS, code="toolkit", evidence=[toolkit.line])


def _lost(driver: Driver) -> Iterator[Finding]:
    """Containers that were given GPUs and may no longer open them, while the driver of the host is well."""
    rules, failed = driver.said(said.DEVICES), driver.said(said.CONTAINER)
    is_inside = driver.in_container and driver.code == UNKNOWN and bool(driver.loaded)
    if is_inside:
        what = (
            f"this container cannot open its GPUs: NVML says Unknown Error, with driver {driver.loaded.version} loaded"
        )
    elif rules:
        what = f"a container has lost its GPUs: its cgroup allows no more than `{rules.line.text}` of /dev/nvidia*"
    elif failed and driver.code in (0, None):
        well = "while nvidia-smi works on the host" if driver.code == 0 else "where nvidia-smi works on the host"
        what = f"a container has lost its GPUs: NVML says Unknown Error in it, {well}"
    else:
        return
    lines = (rules.line if rules else None, failed.line if failed else None, driver.loaded.line)
    yield critical(
        what + WHY,
        subject=CONTAINERS,
        code="lost",
        advice=LOST,
        covers=["host"] if is_inside else [],
        evidence=lines,
    )


def _given(driver: Driver, toolkit: ContainerToolkit, least_version: str) -> Iterator[Finding]:
    """What a container that starts now would get."""
    for spec in toolkit.specs:
        yield from _stale(driver, spec)
    if toolkit.runtime and toolkit.is_absent:
        level, whom = (
            (critical, "no container starts") if toolkit.is_default else (warning, "no container with GPUs starts")
        )
        yield level(
            f"Docker is told to use nvidia-container-runtime, which is not installed: {whom}",
            subject=CONTAINERS,
            code="no_runtime",
            advice=INSTALL,
            evidence=[toolkit.runtime],
        )
    if is_older(toolkit.version.partition("-")[0], least_version):
        yield warning(
            f"NVIDIA Container Toolkit {toolkit.version} is older than {least_version}: an image can become root on "
            "this host (CVE-2025-23266)",
            subject=CONTAINERS,
            code="version",
            advice=f"update nvidia-container-toolkit to {least_version} or newer; running containers go on",
            evidence=[toolkit.line],
        )


def _stale(driver: Driver, spec: Spec) -> Iterator[Finding]:
    library = driver.libcuda or driver.loaded
    is_pending = bool(driver.loaded) and not is_same(library.version, driver.loaded.version)  # one alarm is enough
    if library and not is_pending and not is_same(spec.driver, library.version):
        yield warning(
            f"{spec.path} gives containers libcuda {spec.driver}, but the driver is {library.version}: containers that "
            "are given GPUs by CDI do not start",
            subject=CONTAINERS,
            code=f"cdi_{spec.path.rpartition('/')[2]}",
            advice=f"sudo nvidia-ctk cdi generate --output={spec.path}",
            evidence=[spec.line, library.line],
        )
