"""Parts of the NVIDIA driver, of CUDA and of NCCL that do not fit together."""

from collections.abc import Iterator

from mlopsdoc import Finding, Hurt, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts.cuda_libraries import CudaLibraries, Loaded, Mapped
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_files import DriverFiles
from mlopsdoc.facts.driver_versions import OLDEST_DRIVER, branch_of, is_older, is_same, may_be, numbers
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.quantities import day
from mlopsdoc.model import pid_subject

NOT_LOADED, MISMATCH, NO_LIBRARY = 9, 18, 12
DRIVER = "driver"  # the subject of what does not keep NVML from working now; the rest is of the host
ANSWERS = "nvidia-smi can talk to the driver, so module and library fit; more is not in this recording"
RELOAD = "drain the node, end every GPU process and reload the modules, or reboot: the runbook has the steps"
LEGACY = "install the same version of both, then reload the modules or reboot: the runbook has the steps"


@check(
    area="driver",
    title="Driver module, driver libraries, CUDA and NCCL fit together",
    params=("PID",),
    explains=("gpu_thermal", "numa_binding", "nvlink_errors"),
)
def driver_stack(
    driver: Driver,
    files: DriverFiles | None,
    cuda: CudaLibraries | None,
    gpus: Gpus | None,
    machine: Machine,
) -> Iterator[Finding]:
    """The kernel module of NVIDIA refuses a library of any other version, so an update that only half arrived ends
    in "Driver/library version mismatch": what runs goes on, what starts fails.

    The version of the loaded module, of the module on disk, of libnvidia-ml and of libcuda have to be the same (the
    README of the driver); the Fabric Manager has to equal the module where an NVSwitch is (NVIDIA Fabric Manager user
    guide). CUDA 11 needs driver 450.80.02, 12 needs 525.60.13, 13 needs 580.65.06, whatever the minor version (CUDA
    Compatibility); a newer driver runs every older CUDA. cuda-compat is for data centre GPUs, and has to be newer
    than the driver. A branch past its end gets a note, no alarm.
    """
    if not driver.loaded and driver.code != 0:
        if machine.is_portable:
            raise NothingHere("the nvidia module is not loaded: a laptop switches its GPU off")
        if driver.in_container:
            raise NothingHere("no GPU is given to this container")
    names = [gpu.name for gpu in gpus or ()]
    is_consumer = driver.is_consumer or any(gpu.is_consumer for gpu in gpus or ())
    trouble = [
        *_module(driver),
        *_on_disk(driver, files),
        *_fabric_manager(driver, cuda),
        *_compat(driver, files, is_consumer, names),
        *(_libraries(driver, cuda, is_consumer) if cuda else ()),
    ]
    yield from trouble
    yield from _branch(driver)
    if not any(found.status.is_alarm for found in trouble):
        yield ok(_summary(driver, files, cuda), code="versions", evidence=[driver.loaded.line, driver.nvml.line])


def _module(driver: Driver) -> Iterator[Finding]:
    """Module against libraries."""
    loaded, library = driver.loaded, driver.nvml
    if not loaded and not driver.in_container and (driver.code == NOT_LOADED or driver.on_disk):
        yield _not_loaded(driver)
    elif driver.code == MISMATCH:
        yield critical(
            _mismatch(driver),
            code="mismatch",
            advice=RELOAD if not library or not loaded or is_same(library.version, driver.on_disk.version) else LEGACY,
            covers=["host"],
            evidence=[loaded.line, library.line, driver.on_disk.line],
        )
    elif loaded and library and not is_same(loaded.version, library.version) and not driver.in_container:
        yield from _differ(driver)
    elif loaded and driver.libcuda and not is_same(loaded.version, driver.libcuda.version):
        yield critical(
            f"libcuda is {driver.libcuda.version}, but the loaded kernel module and libnvidia-ml are {loaded.version}: "
            "nvidia-smi works, and CUDA programs that start now fail",
            subject=DRIVER,
            code="libcuda",
            advice=LEGACY,
            evidence=[loaded.line, driver.libcuda.line],
        )
    elif driver.code == NO_LIBRARY and loaded and not driver.built_in_container and not library:
        yield unknown(
            f"kernel module {loaded.version} is loaded, but no libnvidia-ml.so.1 was found: whether the libraries that "
            "programs use fit it cannot be seen",
            subject=DRIVER,
            code="no_library",
            advice="install the libraries of the same version, if programs are to run here outside of containers",
        )


def _not_loaded(driver: Driver) -> Finding:
    disk = f" (version {driver.on_disk.version} is on disk)" if driver.on_disk else ""
    gone = f": there is none for kernel {driver.kernel}" if driver.is_missing_on_disk else disk
    return critical(
        f"the nvidia kernel module is not loaded{gone}: no program can use a GPU",
        code="not_loaded",
        advice="sudo modprobe nvidia; where that fails `sudo dmesg | grep -i -e nvrm -e nvidia -e lockdown` and "
        "`dkms status` say why: the runbook has the steps",
        covers=["host"],
        evidence=[driver.on_disk.line, driver.nvml.line],
    )


def _mismatch(driver: Driver) -> str:
    loaded, library, disk = driver.loaded.version, driver.nvml.version, driver.on_disk.version
    is_part = bool(library) and may_be(library, loaded)  # 570.124 of 570.124.06: that is all nvidia-smi says
    of = f" ({library}{', as far as nvidia-smi says it' if is_part or len(numbers(library)) < 3 else ''})"
    parts = (
        f"the driver libraries{of if library else ''} and the loaded kernel module{f' ({loaded})' if loaded else ''}"
    )
    why = ""
    if disk and loaded:
        if is_same(disk, library) or may_be(library, disk):
            why = f"; the module on disk is {disk} too: the driver was updated, and the old module is still loaded"
        elif is_same(disk, loaded):
            why = f"; the module on disk is {disk}: the libraries were changed without it"
        else:
            why = f"; the module on disk is a third, {disk}"
    wants = f"; these packages want a reboot: {', '.join(driver.reboot[:4])}" if driver.reboot else ""
    return f"{parts} differ in version{why}{wants}: what runs goes on, whatever starts now cannot use a GPU"


def _differ(driver: Driver) -> Iterator[Finding]:
    """The files differ, and NVML did not fail of it: it still works, or nobody tried."""
    loaded, library, disk = driver.loaded.version, driver.nvml.version, driver.on_disk.version
    lines = [driver.loaded.line, driver.nvml.line, driver.on_disk.line]
    if is_same(library, disk):
        yield warning(
            f"driver {library} is installed, module and libraries, but module {loaded} is still loaded: whatever "
            "loads the library anew cannot use a GPU until the modules are reloaded or the host reboots",
            subject=DRIVER,
            code="pending",
            advice=RELOAD,
            evidence=lines,
        )
    elif driver.code != 0:
        yield critical(_mismatch(driver), code="mismatch", advice=LEGACY, covers=["host"], evidence=lines)


def _on_disk(driver: Driver, files: DriverFiles | None) -> Iterator[Finding]:
    """What the next boot would bring."""
    loaded, disk, library = driver.loaded, driver.on_disk, driver.nvml
    if driver.is_missing_on_disk and loaded and not (files and driver.kernel in files.built_for):
        yield warning(
            f"kernel module {loaded.version} is loaded, but none is on disk for kernel {driver.kernel}: after the next "
            "boot no program can use a GPU",
            subject=DRIVER,
            code="not_on_disk",
            advice="build it before the host reboots: `dkms status`, then `sudo dkms autoinstall`, or install the "
            "module package for this kernel",
            evidence=[loaded.line],
        )
    elif loaded and disk and is_same(loaded.version, library.version) and not is_same(disk.version, loaded.version):
        yield warning(
            f"the module on disk is {disk.version}, the loaded module and the libraries are {loaded.version}: after "
            "the next boot or reload they will not fit, and no program can use a GPU",
            subject=DRIVER,
            code="next_boot",
            advice=f"install the libraries of {disk.version} or the module of {loaded.version} before the host reboots",
            evidence=[loaded.line, library.line, disk.line],
        )
    if files and files.next_kernel:
        yield warning(
            f"kernel {files.next_kernel} is installed and starts at the next boot, but DKMS has built the driver only "
            f"for {', '.join(files.built_for[:4])}: no program can use a GPU then",
            subject=DRIVER,
            code="dkms",
            advice=f"sudo dkms autoinstall -k {files.next_kernel}; its log is below /var/lib/dkms/nvidia",
            evidence=[files.line],
        )


def _fabric_manager(driver: Driver, cuda: CudaLibraries | None) -> Iterator[Finding]:
    loaded, manager = driver.loaded, driver.manager
    if not driver.switches or not loaded or driver.in_container or driver.built_in_container:
        return
    if manager and not is_same(manager.version, loaded.version):
        yield critical(
            f"Fabric Manager is {manager.version}, the driver {loaded.version}: with NVSwitches they have to be the "
            "same, or it does not start and CUDA programs fail with error 802",
            subject=DRIVER,
            code="fabric_manager",
            advice=f"install Fabric Manager {loaded.version}, then sudo systemctl restart nvidia-fabricmanager when no "
            "job runs",
            evidence=[manager.line, loaded.line],
        )
    elif not manager:
        yield unknown(
            f"there are {driver.switches} NVSwitches, and the version of the Fabric Manager could not be seen: "
            f"{driver.manager_gap}",
            subject=DRIVER,
            code="fabric_manager",
            advice=f"without Fabric Manager {loaded.version} CUDA programs fail with error 802: systemctl status "
            "nvidia-fabricmanager",
        )


def _compat(driver: Driver, files: DriverFiles | None, is_consumer: bool, names: list[str]) -> Iterator[Finding]:
    """libcuda of cuda-compat in place of the driver's, by what NVML calls its newest CUDA or by the loader's path."""
    loaded = driver.loaded.version
    branch, cuda = branch_of(loaded), driver.cuda.version
    name = next((name for name in names if name), "a GeForce")
    above = branch is not None and is_older(branch.cuda, cuda)
    on_path = files.compat if files else None
    lines = [driver.loaded.line, driver.cuda.line, on_path.line if on_path else None]
    if above and branch and not is_consumer:
        yield ok(f"driver {loaded} runs CUDA {cuda} through cuda-compat", subject=DRIVER, code="compat", evidence=lines)
    elif (above or on_path) and is_consumer:
        what = f"CUDA {cuda} is more than driver {loaded} has of its own ({branch.cuda})" if above and branch else ""
        yield critical(
            (what or f"libcuda {on_path.version if on_path else ''} of cuda-compat is what the loader takes")
            + f": forward compatibility (cuda-compat) is for data centre GPUs, on {name} it fails with error 804",
            subject=DRIVER,
            code="compat",
            advice="take the folder compat out of LD_LIBRARY_PATH and /etc/ld.so.conf.d (then sudo ldconfig), or use "
            "an image without cuda-compat; for a newer CUDA update the driver itself",
            evidence=lines,
        )
    elif on_path and is_older(on_path.version, loaded):
        yield warning(
            f"the loader takes libcuda {on_path.version} of cuda-compat, older than driver {loaded}: CUDA programs "
            "fail with error 803",
            subject=DRIVER,
            code="compat",
            advice="cuda-compat is not needed with this driver: take its folder out of /etc/ld.so.conf.d, then sudo "
            "ldconfig",
            evidence=lines,
        )


def _libraries(driver: Driver, cuda: CudaLibraries, is_consumer: bool) -> Iterator[Finding]:
    """What running processes have loaded, a finding a job."""
    for job in cuda.jobs():
        hurts = [loaded.hurt for loaded in job]
        first = job[0].process
        subject = f"job {first.job}" if first.job else pid_subject(first.pid)
        params = {"PID": str(first.pid)}
        yield from _too_new(driver, job, subject, params)
        yield from _several_nccl(job, subject, params, hurts)
    if cuda.unseen:
        whys = [why for _, why in cuda.unseen]
        is_denied, why = "Permission denied" in whys, ", ".join(dict.fromkeys(whys))
        pids = ", ".join(f"{p.pid}{f' ({p.user})' if p.user else ''}" for p, _ in cuda.unseen[:8])
        more = f" and {len(cuda.unseen) - 8} more" if len(cuda.unseen) > 8 else ""
        yield unknown(
            f"which NCCL and CUDA libraries pid {pids}{more} loaded could not be seen: {why}",
            code="unseen",
            advice="run as root" if is_denied else "",
        )


def _too_new(driver: Driver, job: list[Loaded], subject: str, params: dict[str, str]) -> Iterator[Finding]:
    """A runtime of CUDA whose major version needs a newer driver."""
    said: set[int] = set()
    for loaded in job:
        compat = next((library.version for library in loaded.of("libcuda") if library.is_compat), "")
        has = compat or driver.loaded.version
        for library in (*loaded.of("libcudart"), *loaded.of("libnccl")):
            major = library.cuda_major or 0
            least = OLDEST_DRIVER.get(major, "")
            if major not in said and is_older(has, least):
                said.add(major)
                what = "NCCL for CUDA" if library.kind == "libnccl" else "the runtime of CUDA"
                yield warning(
                    f"has loaded {what} {major}, which needs driver {least}, and "
                    f"{'cuda-compat' if compat else 'the driver'} is {has}: what it calls fails with error 35",
                    subject=subject,
                    code="too_new",
                    params=params,
                    hurts=[loaded.hurt],
                    advice=f"update the driver to {least} or newer, add cuda-compat on a data centre GPU, or use "
                    f"wheels or an image for CUDA {major - 1}",
                    evidence=[library.line, driver.loaded.line],
                )


def _several_nccl(job: list[Loaded], subject: str, params: dict[str, str], hurts: list[Hurt]) -> Iterator[Finding]:
    """Two NCCLs in one process; different ones in the ranks of one job; wheels that overwrite each other."""
    twice = next((found for loaded in job if len(found := _distinct(loaded.of("libnccl"))) > 1), None)
    first = [found[0] for loaded in job if (found := loaded.of("libnccl"))]
    versions = {library.version: library for library in first if library.version}
    clash = next((library for library in first if len({w.partition("-")[0] for w in library.wheels}) > 1), None)
    if twice:
        yield warning(
            f"one process has loaded {len(twice)} NCCLs: {' and '.join(library.shown for library in twice)}; which one "
            "answers depends on the order of loading",
            subject=subject,
            code="several_nccl",
            params=params,
            hurts=hurts,
            advice="find who brings the second (LD_PRELOAD, LD_LIBRARY_PATH, an image's beside a wheel) and leave one",
            evidence=[library.line for library in twice],
        )
    elif len(versions) > 1:
        yield warning(
            f"its processes have loaded different NCCLs: {' and '.join(lib.shown for lib in versions.values())}; ranks "
            "have to have the same, or they hang or fail when they meet",
            subject=subject,
            code="several_nccl",
            params=params,
            hurts=hurts,
            advice="start all ranks from one environment or image",
            evidence=[library.line for library in versions.values()],
        )
    if clash:
        yield warning(
            f"two wheels install the same libnccl.so.2: {' and '.join(clash.wheels)}; the one that came last is "
            "loaded, whichever framework asks",
            subject=subject,
            code="wheels",
            params=params,
            hurts=hurts,
            advice="pip uninstall both, then install the one that belongs to the CUDA of the framework",
            evidence=[clash.line],
        )


def _distinct(libraries: list[Mapped]) -> list[Mapped]:
    """One of each version; those of unknown version each for themselves."""
    return list({library.version or library.path: library for library in libraries}.values())


def _branch(driver: Driver) -> Iterator[Finding]:
    branch = branch_of(driver.loaded.version)
    if branch and branch.ended and driver.now and day(driver.now)[:7] > branch.ended:
        yield ok(
            f"driver branch R{branch.number} has had no security updates since {branch.ended}",
            subject=DRIVER,
            code="branch",
            advice="plan the move to a branch that is supported",
            evidence=[driver.loaded.line],
        )


def _summary(driver: Driver, files: DriverFiles | None, cuda: CudaLibraries | None) -> str:
    """What was seen, each part once."""
    same = [
        name
        for name, part in (("NVML", driver.nvml), ("libcuda", driver.libcuda), ("the module on disk", driver.on_disk))
        if part and is_same(part.version, driver.loaded.version)
    ]
    kind = "open module" if driver.is_open else "module"
    words = [f"driver {driver.loaded.version}: the {kind} that is loaded" if driver.loaded else ANSWERS]
    words[0] += "".join(f", {name}" for name in same) + (" are the same" if same else "")
    words += [f"Fabric Manager {driver.manager.version}"] if driver.manager else []
    words += [f"CUDA up to {driver.cuda.version}"] if driver.cuda else []
    words += [f"toolkits {', '.join(sorted(files.toolkits.values()))}"] if files and files.toolkits else []
    for kind, name in (("libnccl", "NCCL"), ("libcudart", "CUDA runtime")):
        used = sorted({lib.version for p in (cuda.processes if cuda else ()) for lib in p.of(kind) if lib.version})
        words += [f"{name} {', '.join(used)} in use"] if used else []
    words += [f"these packages want a reboot: {', '.join(driver.reboot[:4])}"] if driver.reboot else []
    return "; ".join(words)
