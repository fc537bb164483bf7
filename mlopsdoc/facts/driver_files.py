"""What waits on disk: modules that DKMS built or could not build, toolkits of CUDA, libcuda on the loader's path."""

from __future__ import annotations

from mlopsdoc import Fact, Host, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts import nvml
from mlopsdoc.facts.dkms import OTHER_MODULES, installed
from mlopsdoc.facts.driver import Driver, Part
from mlopsdoc.facts.driver_versions import is_driver
from mlopsdoc.facts.driver_words import BUILD, HEADERS, Word
from mlopsdoc.model import Line

MAX_FOLDERS = 32


class DriverFiles(Fact, frozen=True):
    """toolkits: version by folder, ``/usr/local/cuda-12.8`` -> ``12.8.1``. compat: the libcuda of cuda-compat that the
    loader takes for everybody. next_kernel: the newest that is installed, where DKMS built the driver for the running
    one but not for it; built_for: the kernels that it is built for; failed: what could not be built for others."""

    toolkits: dict[str, str]
    compat: Part
    next_kernel: str
    built_for: tuple[str, ...]
    failed: tuple[Word, ...]
    line: Line | None

    def failure(self, kernel: str) -> Word | None:
        """Why there is no module for a kernel: its headers lack, or the build failed."""
        of = [word for word in self.failed if word.kernel == kernel]
        return next((word for word in of if word.kind == HEADERS), of[-1] if of else None)

    @classmethod
    def read(cls, host: Host, driver: Driver) -> DriverFiles:
        """Raises NothingHere where the files here are not those that count: in a container."""
        if driver.in_container or driver.built_in_container:
            raise NothingHere("the files of the driver are those of another place")
        found = host.tree("/usr/local/cuda-*/version.json")
        toolkits: dict[str, str] = {}
        for path, answer in list(found.items())[:MAX_FOLDERS]:
            try:
                said = answer.json() if answer.said else None
            except ValueError:
                continue
            version = nvml.text(nvml.part(nvml.part({"said": said}, "said"), "cuda"), "version", 20)
            toolkits |= {path.removesuffix("/version.json"): version} if version else {}
        dkms = host.run("dkms", "status")
        built = installed(dkms) if dkms.status == "ok" else []
        kernels = [one.kernel for one in built]
        newest = _newest_kernel(host, driver.kernel) if driver.kernel in kernels else ""
        late = newest if newest and newest not in kernels and _by_age(newest) > _by_age(driver.kernel) else ""
        failed = [word for word in driver.words if word.kind in (BUILD, HEADERS)] + _build_logs(host)
        failing = [word.kernel for word in failed if driver.kernel and _by_age(word.kernel) > _by_age(driver.kernel)]
        late = late or max((kernel for kernel in failing if kernel not in kernels), key=_by_age, default="")
        lacking = [kernel for kernel in (late, driver.kernel) if kernel and kernel not in kernels]
        failed += [word for kernel in lacking if b"nvidia" in dkms.data and (word := _no_headers(host, kernel))]
        failed = [word for word in failed if word.kernel not in kernels]
        line = built[-1].line if built else None
        return cls(toolkits, _compat(host), late, tuple(kernels), tuple(failed), line)


def _no_headers(host: Host, kernel: str) -> Word | None:
    """Whether the folder in which modules for a kernel are built has no Makefile."""
    answer = host.read(f"/lib/modules/{kernel}/build/Makefile")
    return Word(HEADERS, Line(answer.key, "is not there"), kernel=kernel) if answer.status == "absent" else None


def _build_logs(host: Host) -> list[Word]:
    """DKMS keeps the log here only of a build that failed (or goes on)::

    DKMS (dkms-3.0.11) make.log for nvidia/550.54.14 for kernel 6.8.0-90-generic (x86_64)
    DKMS make.log for nvidia-470.86 for kernel 5.13.18-generic (x86_64)
    Fri Nov 20 03:10:41 UTC 2026
    /var/lib/dkms/nvidia/470.86/build/nvidia/nv-acpi.c:84:19: error: initialization of 'void (*)(struct ...
    make[1]: *** [Makefile:1875: /var/lib/dkms/nvidia/470.86/build] Error 2
    """
    found: list[Word] = []
    for path, answer in host.tree("/var/lib/dkms/nvidia*/*/build/make.log").items():
        module, version = path.split("/")[4:6]
        lines = answer.text.splitlines() if answer.said else []
        kernel = lines[0].partition(" for kernel ")[2].split(" ")[0] if lines else ""
        wrong = next((line for line in lines if "error: " in line), "")
        wrong = wrong or next((line for line in lines if " *** " in line), "")
        if kernel and wrong and module not in OTHER_MODULES:
            found.append(Word(BUILD, Line(answer.key, wrong.strip()), version=one_line(version, 40), kernel=kernel))
    return found


def _compat(host: Host) -> Part:
    """A folder of cuda-compat in /etc/ld.so.conf.d: ``/usr/local/cuda-12.8/compat``."""
    for path, answer in host.tree("/etc/ld.so.conf.d/*.conf").items():
        for line in answer.text.splitlines() if answer.said else ():
            folder = line.partition("#")[0].strip().rstrip("/")
            if not folder.startswith("/") or not folder.endswith("/compat"):
                continue
            link = host.link(f"{folder}/libcuda.so.1")
            version = link.text.strip().rpartition("/")[2].partition(".so.")[2] if link.said else ""
            if is_driver(version):
                return Part(version, Line(f"read {path}", one_line(f"{folder}: libcuda.so.1 -> {version}", 200)))
    return Part()


def _newest_kernel(host: Host, like: str) -> str:
    """Of those that have a file in /lib/modules: this one is small, and depmod writes it for every kernel.

    Only of the same kind: ``5.14.0-503.el9.x86_64+debug`` and ``+rt`` do not start by themselves beside one without.
    """
    tree = host.tree("/lib/modules/*/modules.softdep")
    if tree.listing.status != "ok":
        return ""
    kernels = (path.split("/")[3] for path in tree)
    same = (kernel for kernel in kernels if kernel.partition("+")[2] == like.partition("+")[2])
    return max(same, key=_by_age, default="")


def _by_age(kernel: str) -> list[tuple[int, int | str]]:
    """For sorting: ``6.8.0-90-generic`` is newer than ``6.8.0-9-generic``."""
    words = "".join(char if char.isalnum() else " " for char in kernel).split()
    return [(1, int(word)) if word.isascii() and word.isdecimal() else (0, word) for word in words]
