"""CUDA and NCCL of the programs on the GPUs do not fit the driver, or one another."""

from collections.abc import Callable, Iterator

from mlopsdoc import Finding, Line, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.facts import driver_words as said
from mlopsdoc.facts.cuda_libraries import CudaLibraries, Loaded, Mapped
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_files import DriverFiles
from mlopsdoc.facts.driver_versions import OLDEST_DRIVER, branch_of, is_older
from mlopsdoc.facts.gpus import Gpus
from mlopsdoc.model import pid_subject

DRIVER = "driver"  # the subject of what is not of one job
KINDS = {"libnccl": "NCCL", "libcudart": "CUDA runtime", "libcuda": "libcuda", "libnccl-net": "a net plugin"}


@check(
    area="driver",
    title="CUDA and NCCL of running programs fit the driver and one another",
    params=("PID",),
)
def cuda_programs(
    driver: Driver,
    files: DriverFiles | None,
    cuda: CudaLibraries | None,
    gpus: Gpus | None,
) -> Iterator[Finding]:
    """What a process on a GPU has really loaded counts, not what is installed: wheels and images bring their own.

    CUDA 11 needs driver 450.80.02, 12 needs 525.60.13, 13 needs 580.65.06, whatever the minor version (CUDA
    Compatibility); a newer driver runs every older CUDA. NCCL is built for one major version of CUDA and has to be the
    same in every rank of a job (NCCL, "Mismatched NCCL version detected"). cuda-compat is for data centre GPUs, and has
    to be newer than the driver (CUDA Compatibility, forward compatibility). In recordings, errors 35, 803 and 804 that
    a program printed tell the same.
    """
    is_consumer = driver.is_consumer or any(gpu.is_consumer for gpu in gpus or ())
    name = next((gpu.name for gpu in gpus or () if gpu.name), "a GeForce")
    found = [
        *_compat(driver, files, is_consumer, name),
        *_programs(driver),
        *(_libraries(driver, cuda) if cuda else ()),
    ]
    yield from found
    used = _used(cuda)
    if not found and not used:
        raise NothingHere("no program that has loaded CUDA is known")
    if used and not any(one.status.is_alarm for one in found):
        yield ok(f"{'; '.join(used)}; driver {driver.loaded.version or 'of unknown version'}", code="versions")


def _used(cuda: CudaLibraries | None) -> list[str]:
    """``NCCL 2.27.3 (4 processes)``."""
    words: list[str] = []
    for kind, name in KINDS.items():
        having = [loaded for loaded in (cuda.processes if cuda else ()) if loaded.of(kind)]
        versions = sorted({library.version for loaded in having for library in loaded.of(kind) if library.version})
        count = f"({len(having)} process{'es' if len(having) > 1 else ''})"
        words += [" ".join((name, *versions, count))] if having else []
    return words


def _of(level: Callable[..., Finding], code: str, summary: str, advice: str, *lines: Line | None) -> Finding:
    """A finding about no single job."""
    return level(summary, subject=DRIVER, code=code, advice=advice, evidence=[*dict.fromkeys(lines)])


def _compat(driver: Driver, files: DriverFiles | None, is_consumer: bool, name: str) -> Iterator[Finding]:
    """libcuda of cuda-compat in place of the driver's, by what NVML calls its newest CUDA, by the loader's path, or by
    what CUDA said of it."""
    loaded, cuda = driver.loaded.version, driver.cuda.version
    branch = branch_of(loaded)
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
        hurts=[loaded.process.hurt for loaded in job],
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
    programs: dict[str, dict[str, Mapped]] = {}
    for loaded in job:
        its = programs.setdefault(loaded.program, {})
        its |= {one.version: one for one in loaded.of("libnccl")[:1] if one.version}
    versions = max(programs.values(), key=len)
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
    elif len(together := {version: one for found in programs.values() for version, one in found.items()}) > 1:
        yield ok(
            f"the programs of job {job[0].process.job} have loaded different NCCLs: "
            f"{' and '.join(one.shown for one in together.values())}; that is "
            "wrong only if they talk to each other",
            code="programs",
            evidence=[one.line for one in together.values()],
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
