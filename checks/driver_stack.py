"""Parts of the NVIDIA driver that do not fit together."""

from collections.abc import Callable, Iterator

from mlopsdoc import Finding, Hardware, Line, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts import driver_words as said
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_files import DriverFiles
from mlopsdoc.facts.driver_versions import branch_of, is_same, may_be, numbers
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.nvml import LIBRARY_NOT_FOUND, MISMATCH, XID, in_words
from mlopsdoc.facts.quantities import day

NOT_LOADED = 9
DRIVER = "driver"  # the subject of what does not keep NVML from working now; the rest is of the host
ANSWERS = "nvidia-smi can talk to the driver, so module and library fit; more is not in this recording"
RELOAD = "drain the node, end every GPU process and reload the modules, or reboot: the runbook has the steps"
UNSEEN = (
    "`modinfo -F version nvidia` says which module is on disk: where it is that of the libraries, drain the node and "
    "reload the modules, or reboot; else install the same version of both first: the runbook has the steps"
)
BUILD = "`dkms status`, then `sudo dkms autoinstall{}`, or install the module package for this kernel"
INSTALL = "install the same version of both, then reload the modules or reboot: the runbook has the steps"


@check(
    area="driver",
    title="Driver module, driver libraries and the module on disk fit together",
    explains=(
        "container_toolkit",
        "cuda_programs",
        "fabric_manager",
        "gpu_thermal",
        "numa_binding",
        "nvlink_errors",
        "nvlink_links",
    ),
)
def driver_stack(
    driver: Driver, files: DriverFiles | None, machine: Machine, gpus: Gpus | None, hardware: Hardware
) -> Iterator[Finding]:
    """The kernel module of NVIDIA refuses a library of any other version, so an update that only half arrived ends
    in "Driver/library version mismatch": what runs goes on, what starts fails.

    The version of the loaded module, of the module on disk, of libnvidia-ml and of libcuda have to be the same (the
    README of the driver), and DKMS has to have built the module for the kernel that starts next. libnvidia-ml without
    libcuda beside it is a warning (GPUd looks for both), on boards with screens a note. A loaded
    module of another version than the profile wants is a warning. A branch past its end gets a note, no alarm.
    """
    if not driver.loaded and driver.code != 0 and not driver.words:
        if machine.is_portable:
            raise NothingHere("the nvidia module is not loaded: a laptop switches its GPU off")
        if driver.in_container:
            raise NothingHere("no GPU is given to this container")
    is_desktop = machine.is_portable or driver.is_consumer or any(gpu.has_display for gpu in gpus or ())
    trouble = [
        *_module(driver, files, machine.is_root),
        *_libcuda(driver, is_desktop),
        *_wanted(driver, hardware.driver),
        *_next_boot(driver, files),
        *_next_kernel(driver, files),
    ]
    is_told = driver.code in (None, 0, LIBRARY_NOT_FOUND) or (driver.loaded and driver.nvml)
    if not is_told and not any(found.status.is_trouble for found in trouble):
        words = f"NVML does not start: {in_words(driver.code or 0)}; whether the versions fit is not known"
        trouble.append(_of(unknown, "nvml", words, XID, driver.nvml.line, driver.loaded.line))
    if not trouble and driver.code is None and not (driver.loaded or driver.nvml or driver.on_disk):
        raise NothingHere("no version of the driver is in this recording")
    yield from trouble
    yield from _branch(driver)
    if not any(found.status.is_alarm for found in trouble):
        yield ok(_summary(driver, files), code="versions", evidence=[driver.loaded.line, driver.nvml.line])


def _of(level: Callable[..., Finding], code: str, summary: str, advice: str, *lines: Line | None) -> Finding:
    """A finding about the driver."""
    return level(summary, subject=DRIVER, code=code, advice=advice, evidence=lines)


def _module(driver: Driver, files: DriverFiles | None, is_root: bool) -> Iterator[Finding]:
    """Module against libraries: the first that is wrong."""
    loaded, library = driver.loaded, driver.nvml
    is_refused = driver.code == NOT_LOADED and not driver.in_container
    if is_refused and loaded:
        yield _devices(driver, is_root)
    elif not loaded and (is_refused or (driver.on_disk and driver.is_unloaded and not driver.in_container)):
        yield _not_loaded(driver, files)
    elif driver.code == MISMATCH:
        disk = driver.on_disk.version
        is_updated = not library or not loaded or is_same(library.version, disk) or may_be(library.version, disk)
        yield _mismatch(driver, is_updated=is_updated)
    elif loaded and library and not is_same(loaded.version, library.version) and not driver.in_container:
        if is_same(library.version, driver.on_disk.version):
            yield _pending(driver)
        elif driver.code != 0:
            yield _mismatch(driver, is_updated=False)
    elif loaded and driver.libcuda and not is_same(loaded.version, driver.libcuda.version):
        what = (
            f"libcuda is {driver.libcuda.version}, but the loaded kernel module and libnvidia-ml are {loaded.version}: "
            "nvidia-smi works, and CUDA programs that start now fail"
        )
        yield _of(critical, "libcuda", what, INSTALL, loaded.line, driver.libcuda.line)
    elif driver.code == LIBRARY_NOT_FOUND and loaded and not driver.built_in_container and not library:
        what = (
            f"kernel module {loaded.version} is loaded, but no libnvidia-ml.so.1 was found: whether the libraries that "
            "programs use fit it cannot be seen"
        )
        fix = "install the libraries of the same version, if programs are to run here outside of containers"
        yield _of(unknown, "no_library", what, fix)


def _libcuda(driver: Driver, is_desktop: bool) -> Iterator[Finding]:
    if driver.is_without_libcuda and driver.loaded:
        what = (
            f"libnvidia-ml {driver.nvml.version} is installed and libcuda.so.1 is not: nvidia-smi works, and no CUDA "
            "program starts, nor one in a container, which is given the library of its host"
        )
        advice = "install the package that has libcuda, of the same version (libnvidia-compute-580, on RHEL "
        advice += "nvidia-driver-cuda-libs), then sudo ldconfig; jobs that run go on: steps in the runbook"
        yield _of(ok if is_desktop else warning, "no_libcuda", what, advice, driver.nvml.line)


def _wanted(driver: Driver, wanted: str) -> Iterator[Finding]:
    if wanted and driver.loaded and not may_be(wanted, driver.loaded.version):
        what = f"driver {driver.loaded.version} is loaded, the profile wants {wanted}"
        advice = "install the version that the other hosts have when this one is drained, or correct the profile"
        yield _of(warning, "wanted", what, advice, driver.loaded.line)


def _devices(driver: Driver, is_root: bool) -> Finding:
    return _of(
        critical if is_root else unknown,
        "devices",
        f"kernel module {driver.loaded.version} is loaded, but NVML cannot open /dev/nvidiactl: the device nodes are "
        "missing, or not for this user",
        "`ls -l /dev/nvidia*`; `sudo nvidia-modprobe -u -c 0` makes them, and nvidia-persistenced at every boot",
        driver.loaded.line,
        driver.nvml.line,
    )


def _pending(driver: Driver) -> Finding:
    return _of(
        warning,
        "pending",
        f"driver {driver.nvml.version} is installed, module and libraries, but module {driver.loaded.version} is still "
        "loaded: whatever loads the library anew cannot use a GPU until the modules are reloaded or the host reboots",
        RELOAD,
        *_lines(driver),
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
        or (f"{BUILD.format(f' -k {driver.kernel}')}; then sudo modprobe nvidia" if driver.is_missing_on_disk else "")
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


def _mismatch(driver: Driver, *, is_updated: bool) -> Finding:
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
    return critical(
        f"{parts} differ in version{why}{_wanting(driver)}: what runs goes on, whatever starts now cannot use a GPU",
        code="mismatch",
        advice=RELOAD if is_updated else INSTALL if driver.on_disk else UNSEEN,
        covers=["host"],
        evidence=_lines(driver),
    )


def _wanting(driver: Driver) -> str:
    return f"; these packages want a reboot: {', '.join(driver.reboot[:4])}" if driver.reboot else ""


def _next_boot(driver: Driver, files: DriverFiles | None) -> Iterator[Finding]:
    """What this kernel would load at the next boot."""
    loaded, disk, library = driver.loaded, driver.on_disk, driver.nvml
    if driver.is_missing_on_disk and loaded and not (files and driver.kernel in files.built_for):
        why, advice, line = _build(files, driver.kernel, "kernel ")
        yield _of(
            warning,
            "not_on_disk",
            f"kernel module {loaded.version} is loaded, but {why or f'none is on disk for kernel {driver.kernel}'}: "
            "after the next boot no program can use a GPU",
            advice or f"build it before the host reboots: {BUILD.format('')}",
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


def _next_kernel(driver: Driver, files: DriverFiles | None) -> Iterator[Finding]:
    """What another kernel would load."""
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
    elif files and files.failed and not driver.loaded and not driver.on_disk and driver.code is None:
        why, advice, line = _build(files, files.failed[-1].kernel, "kernel ")  # all that a recording tells
        yield _of(warning, "dkms", f"{why}: no program can use a GPU there", advice, line)


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


def _summary(driver: Driver, files: DriverFiles | None) -> str:
    """What was seen, each part once."""
    same = [
        name
        for name, part in (("NVML", driver.nvml), ("libcuda", driver.libcuda), ("the module on disk", driver.on_disk))
        if part and is_same(part.version, driver.loaded.version)
    ]
    kind = "open module" if driver.is_open else "module"
    words = [f"driver {driver.loaded.version}: the {kind} that is loaded" if driver.loaded else ANSWERS]
    words[0] += "".join(f", {name}" for name in same) + (" are the same" if same else "")
    words += [f"CUDA up to {driver.cuda.version}"] if driver.cuda else []
    words += [f"toolkits {', '.join(sorted(files.toolkits.values()))}"] if files and files.toolkits else []
    return "; ".join(words) + _wanting(driver)
