"""Parts of the NVIDIA driver, of CUDA and of NCCL that do not fit together."""

from collections.abc import Callable, Iterator

from mlopsdoc import Finding, Line, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts import driver_words as said
from mlopsdoc.facts.cuda_libraries import CudaLibraries, Loaded, Mapped
from mlopsdoc.facts.driver import Driver, Part
from mlopsdoc.facts.driver_files import DriverFiles
from mlopsdoc.facts.driver_versions import OLDEST_DRIVER, branch_of, is_older, is_same, may_be, numbers
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.nvml import LIBRARY_NOT_FOUND, MISMATCH, UNKNOWN, XID, in_words
from mlopsdoc.facts.quantities import day
from mlopsdoc.model import pid_subject

NOT_LOADED = 9
DRIVER = "driver"  # the subject of what does not keep NVML from working now; the rest is of the host
ANSWERS = "nvidia-smi can talk to the driver, so module and library fit; more is not in this recording"
RELOAD = "drain the node, end every GPU process and reload the modules, or reboot: the runbook has the steps"
LEGACY = "install the same version of both, then reload the modules or reboot: the runbook has the steps"
MANAGING = "then sudo systemctl restart nvidia-fabricmanager when no job runs"
CONTAINERS = (
    "restart the container; to keep it, give it the devices by CDI or `--device`, use the cgroupfs driver of the "
    "container runtime, or add the links in /dev/char (nvidia-ctk system create-dev-char-symlinks); the GPUs are well"
)


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
    than the driver. A container loses its GPUs when systemd rewrites its device rules (NVIDIA Container Toolkit,
    "Containers losing access to GPUs"). A branch past its end gets a note, no alarm.
    """
    if not driver.loaded and driver.code != 0 and not driver.words:
        if machine.is_portable:
            raise NothingHere("the nvidia module is not loaded: a laptop switches its GPU off")
        if driver.in_container:
            raise NothingHere("no GPU is given to this container")
    names = [gpu.name for gpu in gpus or ()]
    is_consumer = driver.is_consumer or any(gpu.is_consumer for gpu in gpus or ())
    trouble = [
        *_module(driver, files, machine.is_root),
        *_containers(driver),
        *_on_disk(driver, files),
        *_fabric_manager(driver, is_consumer),
        *_compat(driver, files, is_consumer, names),
        *_programs(driver),
        *(_libraries(driver, cuda) if cuda else ()),
    ]
    is_told = driver.code in (None, 0, LIBRARY_NOT_FOUND) or (driver.loaded and driver.nvml)
    if not is_told and not any(found.status.is_trouble for found in trouble):
        words = f"NVML does not start: {in_words(driver.code or 0)}; whether the versions fit is not known"
        trouble.append(_of(unknown, "nvml", words, XID, driver.nvml.line, driver.loaded.line))
    yield from trouble
    yield from _branch(driver)
    if not any(found.status.is_alarm for found in trouble):
        yield ok(_summary(driver, files, cuda), code="versions", evidence=[driver.loaded.line, driver.nvml.line])


def _of(level: Callable[..., Finding], code: str, summary: str, advice: str, *lines: Line | None) -> Finding:
    """A finding about the driver."""
    return level(summary, subject=DRIVER, code=code, advice=advice, evidence=lines)


def _module(driver: Driver, files: DriverFiles | None, is_root: bool) -> Iterator[Finding]:
    """Module against libraries."""
    loaded, library = driver.loaded, driver.nvml
    is_refused = driver.code == NOT_LOADED and not driver.in_container
    if is_refused and loaded:
        yield _of(
            critical if is_root else unknown,
            "devices",
            f"kernel module {loaded.version} is loaded, but NVML cannot open /dev/nvidiactl: the device nodes are "
            "missing, or not for this user",
            "`ls -l /dev/nvidia*`; `sudo nvidia-modprobe -u -c 0` makes them, and nvidia-persistenced at every boot",
            loaded.line,
            library.line,
        )
    elif not loaded and (is_refused or (driver.on_disk and driver.is_unloaded and not driver.in_container)):
        yield _not_loaded(driver, files)
    elif driver.code == MISMATCH:
        is_updated = not library or not loaded or is_same(library.version, driver.on_disk.version)
        yield _mismatch(driver, RELOAD if is_updated else LEGACY)
    elif loaded and library and not is_same(loaded.version, library.version) and not driver.in_container:
        if is_same(library.version, driver.on_disk.version):
            yield _of(
                warning,
                "pending",
                f"driver {library.version} is installed, module and libraries, but module {loaded.version} is still "
                "loaded: whatever loads the library anew cannot use a GPU until the modules are reloaded or the host "
                "reboots",
                RELOAD,
                *_lines(driver),
            )
        elif driver.code != 0:
            yield _mismatch(driver, LEGACY)
    elif loaded and driver.libcuda and not is_same(loaded.version, driver.libcuda.version):
        yield _of(
            critical,
            "libcuda",
            f"libcuda is {driver.libcuda.version}, but the loaded kernel module and libnvidia-ml are {loaded.version}: "
            "nvidia-smi works, and CUDA programs that start now fail",
            LEGACY,
            loaded.line,
            driver.libcuda.line,
        )
    elif driver.code == LIBRARY_NOT_FOUND and loaded and not driver.built_in_container and not library:
        yield _of(
            unknown,
            "no_library",
            f"kernel module {loaded.version} is loaded, but no libnvidia-ml.so.1 was found: whether the libraries that "
            "programs use fit it cannot be seen",
            "install the libraries of the same version, if programs are to run here outside of containers",
        )


def _lines(driver: Driver) -> list[Line | None]:
    return [driver.loaded.line, driver.nvml.line, driver.on_disk.line]


def _not_loaded(driver: Driver, files: DriverFiles | None) -> Finding:
    why, advice, line = _build(files, driver.kernel, "the running kernel ")
    if not driver.kernel and files and files.failed:
        why, advice, line = _build(files, files.failed[-1].kernel, "kernel ")
    disk = f" (version {driver.on_disk.version} is on disk)" if driver.on_disk else ""
    gone = f": there is none for kernel {driver.kernel}" if driver.is_missing_on_disk else disk
    return critical(
        f"the nvidia kernel module is not loaded{f': {why}' if why else gone}: no program can use a GPU",
        code="not_loaded",
        advice=advice
        or "sudo modprobe nvidia; where that fails `sudo dmesg | grep -i -e nvrm -e nvidia -e nouveau -e lockdown` and "
        "`dkms status` say why: the runbook has the steps",
        covers=["host"],
        evidence=[driver.on_disk.line, driver.nvml.line, line],
    )


def _build(files: DriverFiles | None, kernel: str, called: str) -> tuple[str, str, Line | None]:
    """Why DKMS has no module for a kernel, what to do, and what was seen; nothing where nothing tells."""
    found = files.failure(kernel) if files else None
    if found is None:
        return "", "", None
    driver = f"driver {found.version}" if found.version else "the driver"
    again = f"then sudo dkms autoinstall -k {kernel}"
    if found.kind == said.HEADERS:
        why = f"DKMS cannot build {driver} for {called}{kernel}, whose headers are not installed"
        return why, f"install linux-headers-{kernel} (on RHEL kernel-devel-{kernel}), {again}", found.line
    log = f"/var/lib/dkms/nvidia/{found.version or '*'}/build/make.log"
    advice = (
        f"the first error in {log} says why; where the kernel is too new for this driver, install a newer driver or "
        f"start a kernel that it supports; {again}"
    )
    return f"DKMS could not build {driver} for {called}{kernel}", advice, found.line


def _mismatch(driver: Driver, advice: str) -> Finding:
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
    return critical(
        f"{parts} differ in version{why}{wants}: what runs goes on, whatever starts now cannot use a GPU",
        code="mismatch",
        advice=advice,
        covers=["host"],
        evidence=_lines(driver),
    )


def _containers(driver: Driver) -> Iterator[Finding]:
    """Containers that were given GPUs and may no longer open them, while the driver of the host is well."""
    rules, failed = driver.said(said.DEVICES), driver.said(said.CONTAINER)
    if driver.in_container and driver.code == UNKNOWN and driver.loaded:
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
    why = "; mostly a systemctl daemon-reload on the host took /dev/nvidia* out of the device cgroup of the container"
    lines = (rules.line if rules else None, failed.line if failed else None, driver.loaded.line)
    yield _of(critical, "container", what + why, CONTAINERS, *lines)


def _on_disk(driver: Driver, files: DriverFiles | None) -> Iterator[Finding]:
    """What the next boot would bring."""
    loaded, disk, library = driver.loaded, driver.on_disk, driver.nvml
    if driver.is_missing_on_disk and loaded and not (files and driver.kernel in files.built_for):
        why, advice, line = _build(files, driver.kernel, "kernel ")
        yield _of(
            warning,
            "not_on_disk",
            f"kernel module {loaded.version} is loaded, but {why or f'none is on disk for kernel {driver.kernel}'}: "
            "after the next boot no program can use a GPU",
            advice
            or "build it before the host reboots: `dkms status`, then `sudo dkms autoinstall`, or install the module "
            "package for this kernel",
            loaded.line,
            line,
        )
    elif loaded and disk and is_same(loaded.version, library.version) and not is_same(disk.version, loaded.version):
        yield _of(
            warning,
            "next_boot",
            f"the module on disk is {disk.version}, the loaded module and the libraries are {loaded.version}: after "
            "the next boot or reload they will not fit, and no program can use a GPU",
            f"install the libraries of {disk.version} or the module of {loaded.version} before the host reboots",
            *_lines(driver),
        )
    if files and files.next_kernel:
        why, advice, line = _build(files, files.next_kernel, "")
        only = f"DKMS has built the driver only for {', '.join(files.built_for[:4])}"
        yield _of(
            warning,
            "dkms",
            f"kernel {files.next_kernel} is installed and starts at the next boot, but {why or only}: no program can "
            "use a GPU then",
            advice or f"sudo dkms autoinstall -k {files.next_kernel}; its log is below /var/lib/dkms/nvidia",
            line or files.line,
        )
    elif files and files.failed and not loaded and not disk and driver.code is None:  # all that a recording tells
        why, advice, line = _build(files, files.failed[-1].kernel, "kernel ")
        yield _of(warning, "dkms", f"{why}: no program can use a GPU there", advice, line)


def _fabric_manager(driver: Driver, is_consumer: bool) -> Iterator[Finding]:
    """Against the driver, where there are NVSwitches; words of it or of CUDA tell of them as well."""
    refused, started = driver.said(said.MANAGER), driver.said(said.NO_FABRIC)
    is_needed = driver.switches or ((refused or started) and not is_consumer)
    if not is_needed or driver.in_container or driver.built_in_container:
        return
    manager, loaded = driver.manager, driver.loaded or driver.installed
    if refused and (not loaded or is_same(refused.other, loaded.version)):
        manager, loaded = Part(refused.version, refused.line), loaded or Part(refused.other)
    if manager and loaded and not is_same(manager.version, loaded.version):
        yield _of(
            critical,
            "fabric_manager",
            f"Fabric Manager is {manager.version}, but the driver is {loaded.version}: with NVSwitches they have to be "
            "of the same version, or it does not start and CUDA programs fail with error 802",
            f"install Fabric Manager {loaded.version}, {MANAGING}",
            manager.line,
            loaded.line,
        )
    elif started and not driver.switches:
        yield _of(
            warning,
            "fabric_manager",
            "CUDA says that the system is not yet initialized (error 802): the NVLink fabric is not set up, so the "
            "Fabric Manager does not run, or has not the version of the driver",
            "systemctl status nvidia-fabricmanager; `nv-fabricmanager -v` has to print the version of the driver",
            started.line,
        )
    elif driver.switches and loaded and not manager:
        yield _of(
            unknown,
            "fabric_manager",
            f"there are {driver.switches} NVSwitches, and the version of the Fabric Manager could not be seen: "
            f"{driver.manager_gap}",
            f"without Fabric Manager {loaded.version} CUDA programs fail with error 802: systemctl status "
            "nvidia-fabricmanager",
        )


def _compat(driver: Driver, files: DriverFiles | None, is_consumer: bool, names: list[str]) -> Iterator[Finding]:
    """libcuda of cuda-compat in place of the driver's, by what NVML calls its newest CUDA, by the loader's path, or by
    what CUDA said of it."""
    loaded, cuda = driver.loaded.version, driver.cuda.version
    branch = branch_of(loaded)
    name = next((name for name in names if name), "a GeForce")
    above = branch is not None and is_older(branch.cuda, cuda)
    on_path = files.compat if files else None
    refused, old = driver.said(said.NO_COMPAT), driver.said(said.OLD_COMPAT)
    lines = [driver.loaded.line, driver.cuda.line, on_path.line if on_path else None]
    lines += [word.line for word in (refused, old) if word]
    if above and branch and not is_consumer and not refused:
        yield _of(ok, "compat", f"driver {loaded} runs CUDA {cuda} through cuda-compat", "", *lines)
    elif refused or ((above or on_path) and is_consumer):
        what = f"libcuda {on_path.version} of cuda-compat is what the loader takes" if on_path else ""
        what = f"CUDA {cuda} is more than driver {loaded} has of its own ({branch.cuda})" if above and branch else what
        on = f"on {name} it fails" if is_consumer else "this GPU refuses it"
        yield _of(
            critical,
            "compat",
            f"{what or 'a program took libcuda of cuda-compat'}: forward compatibility (cuda-compat) is for data "
            f"centre GPUs, {on} with error 804",
            "take the folder compat out of LD_LIBRARY_PATH and /etc/ld.so.conf.d (then sudo ldconfig), or use an "
            "image without cuda-compat; for a newer CUDA update the driver itself",
            *lines,
        )
    elif old or (on_path and is_older(on_path.version, loaded)):
        what = f"the loader takes libcuda {on_path.version} of cuda-compat" if on_path else "a program took a libcuda"
        yield _of(
            warning,
            "compat",
            f"{what}, older than driver {loaded or 'that is loaded'}: CUDA programs fail with error 803",
            "cuda-compat is not needed with this driver: take its folder out of LD_LIBRARY_PATH and "
            "/etc/ld.so.conf.d, then sudo ldconfig",
            *lines,
        )


def _programs(driver: Driver) -> Iterator[Finding]:
    """A program that the driver is too old for, by its own words."""
    word = driver.said(said.TOO_NEW)
    if word is None:
        return
    has = f"driver {driver.loaded.version}" if driver.loaded else "the driver"
    newest = driver.cuda.version or getattr(branch_of(driver.loaded.version), "cuda", "")
    major = max(
        (major for major, least in OLDEST_DRIVER.items() if not is_older(driver.loaded.version, least)), default=0
    )
    older = f"for CUDA {major}" if driver.loaded and major else "for an older CUDA"
    yield _of(
        warning,
        "too_new",
        f"a program (or its NCCL, or its framework) is built for a newer CUDA than {has} runs"
        + (f", which is CUDA {newest} at most" if newest else "")
        + ", or it found an older libcuda or none: it ends with error 35",
        f"use a build {older} (wheels, image, NCCL), or update the driver (CUDA 12 needs {OLDEST_DRIVER[12]}, 13 needs "
        f"{OLDEST_DRIVER[13]}); a container that was started without its GPUs says the same",
        word.line,
        driver.loaded.line,
        driver.cuda.line,
    )


def _libraries(driver: Driver, cuda: CudaLibraries) -> Iterator[Finding]:
    """What running processes have loaded, a finding a job."""
    for job in cuda.jobs():
        yield from _too_new(driver, job)
        yield from _several_nccl(job)
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


def _of_job(job: list[Loaded], code: str, summary: str, advice: str, *lines: Line | None) -> Finding:
    """A warning for the owner of a job, or of a process that is in none."""
    first = job[0].process
    return warning(
        summary,
        subject=f"job {first.job}" if first.job else pid_subject(first.pid),
        code=code,
        advice=advice,
        params={"PID": str(first.pid)},
        hurts=[loaded.hurt for loaded in job],
        evidence=lines,
    )


def _too_new(driver: Driver, job: list[Loaded]) -> Iterator[Finding]:
    """A runtime of CUDA whose major version needs a newer driver: each major once."""
    found: dict[int, tuple[Loaded, Mapped, str]] = {}
    for loaded in job:
        compat = next((library.version for library in loaded.of("libcuda") if library.is_compat), "")
        for library in (*loaded.of("libcudart"), *loaded.of("libnccl")):
            major = library.cuda_major or 0
            if is_older(compat or driver.loaded.version, OLDEST_DRIVER.get(major, "")):
                found.setdefault(major, (loaded, library, compat))
    for major, (loaded, library, compat) in found.items():
        what = "NCCL for CUDA" if library.kind == "libnccl" else "the runtime of CUDA"
        has = f"cuda-compat is {compat}" if compat else f"the driver is {driver.loaded.version}"
        yield _of_job(
            [loaded],
            "too_new",
            f"has loaded {what} {major}, which needs driver {OLDEST_DRIVER[major]}, and {has}: what it calls fails "
            "with error 35",
            f"update the driver to {OLDEST_DRIVER[major]} or newer, add cuda-compat on a data centre GPU, or use "
            f"wheels or an image for CUDA {major - 1}",
            library.line,
            driver.loaded.line,
        )


def _several_nccl(job: list[Loaded]) -> Iterator[Finding]:
    """Two NCCLs in one process; different ones in the ranks of one job; wheels that overwrite each other."""
    twice = next((found for loaded in job if len(found := _distinct(loaded.of("libnccl"))) > 1), None)
    first = [found[0] for loaded in job if (found := loaded.of("libnccl"))]
    versions = {library.version: library for library in first if library.version}
    clash = next((library for library in first if len({w.partition("-")[0] for w in library.wheels}) > 1), None)
    if twice:
        yield _of_job(
            job,
            "several_nccl",
            f"one process has loaded {len(twice)} NCCLs: {' and '.join(library.shown for library in twice)}; which one "
            "answers depends on the order of loading",
            "find who brings the second (LD_PRELOAD, LD_LIBRARY_PATH, an image's beside a wheel) and leave one",
            *(library.line for library in twice),
        )
    elif len(versions) > 1:
        yield _of_job(
            job,
            "several_nccl",
            f"its processes have loaded different NCCLs: {' and '.join(lib.shown for lib in versions.values())}; ranks "
            "have to have the same, or they hang or fail when they meet",
            "start all ranks from one environment or image",
            *(library.line for library in versions.values()),
        )
    if clash:
        yield _of_job(
            job,
            "wheels",
            f"two wheels install the same libnccl.so.2: {' and '.join(clash.wheels)}; the one that came last is "
            "loaded, whichever framework asks",
            "pip uninstall both, then install the one that belongs to the CUDA of the framework",
            clash.line,
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
