"""The NVIDIA driver: the module that is loaded, the one on disk, the libraries, and what NVML says of them."""

from __future__ import annotations

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.clean import decode, one_line
from mlopsdoc.facts import driver_words, nvml
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.dkms import installed
from mlopsdoc.facts.driver_versions import is_driver, is_same, may_be
from mlopsdoc.facts.driver_words import Word
from mlopsdoc.facts.gpu_signs import nothing_here
from mlopsdoc.facts.gpus import GIVEN_AWAY
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.pci import PciDevices

LOADED, LOADED_SYS = "/proc/driver/nvidia/version", "/sys/module/nvidia/version"
# Debian and Ubuntu, RHEL and SUSE, Debian on ARM, Arch, NixOS; the first that has the library counts.
FOLDERS = (
    "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/run/opengl-driver/lib",
)  # fmt: skip
LIBRARIES = ("libnvidia-ml.so.1", "libcuda.so.1")
OPERATOR = "/run/nvidia/driver"  # the root of the container that loads the driver, where one does
MAX_LINKS = 8
OUTPUTS = ((), ("-q",), ("-q", "-x"))  # of nvidia-smi: those that say versions
CUDA_LABELS = ("CUDA Version", "CUDA UMD Version", "<cuda_version>", "<cuda_umd_version>")
DRIVER_LABELS = ("Driver Version", "KMD Version", "<driver_version>")


class Part(Fact, frozen=True):
    """One part of the driver: its version (empty where not known) and where it was read."""

    version: str = ""
    line: Line | None = None

    def __bool__(self) -> bool:
        return bool(self.version)


class Driver(Fact, frozen=True):
    """The parts of the driver, each as far as it could be seen.

    is_unloaded: it is known that no module is loaded. on_disk: what the running kernel would load;
    is_missing_on_disk: there is none. nvml: the library that NVML programs load; libcuda: beside it;
    is_without_libcuda: libnvidia-ml lies in one of FOLDERS, and libcuda in none. code: what initialising NVML returned,
    0 when it works, None where nobody tried. cuda: the newest CUDA by what NVML says, ``13.0``. is_consumer: nvidia-smi
    shows a GeForce. built_in_container: the driver came with a container (GPU Operator), in whose root its libraries
    are. reboot: the packages that want a restart. words: what other programs say of it. now: as host.now().

    The sign: a PCI display device of vendor 10de that is not given to a virtual machine, /proc/driver/nvidia/version,
    or any output of nvidia-smi, or words of others about it. The driver of WSL is that of Windows.
    """

    loaded: Part
    is_open: bool
    is_unloaded: bool
    on_disk: Part
    is_missing_on_disk: bool
    nvml: Part
    libcuda: Part
    is_without_libcuda: bool
    code: int | None
    cuda: Part
    is_consumer: bool
    in_container: bool
    built_in_container: bool
    reboot: tuple[str, ...]
    words: tuple[Word, ...]
    kernel: str
    now: float

    def said(self, *kinds: str) -> Word | None:
        """The last that somebody said of these kinds."""
        return next((word for word in reversed(self.words) if word.kind in kinds), None)

    @classmethod
    def read(cls, host: Host, machine: Machine, pci: PciDevices | None) -> Driver:
        """Raises NothingHere without a sign, CannotSee when a sign is all there is."""
        held = [gpu for gpu in (pci.gpus() if pci else ()) if gpu.driver not in GIVEN_AWAY]
        loaded, is_open = _loaded(host)
        if machine.is_wsl:
            raise NothingHere("the driver of WSL is that of Windows")
        if not held and "tegra" in machine.kernel:
            raise NothingHere("the driver of a Jetson is a part of its system image")
        nothing = NothingHere("the GPUs are given away") if pci and pci.gpus() else nothing_here(host)
        if host.is_live and not held and not loaded:
            raise nothing  # before NVML is loaded
        printed = "" if host.is_live else "\n".join(_printed(host, *form) for form in OUTPUTS)
        code, library, cuda, driver = _asked(host, printed)
        client, module = (Part(), Part()) if host.is_live or code not in (None, nvml.MISMATCH) else _refused(host)
        if client and (not loaded or is_same(loaded.version, module.version)):
            code, loaded = nvml.MISMATCH, loaded or module
            library = client if not library or may_be(library.version, client.version) else library
        words = driver_words.words(host)
        is_ours = host.probe("nvml", "state").status not in ("absent", "not_captured")
        if not held and not loaded and not words and (code is None or pci is not None or is_ours):
            raise nothing
        in_container = bool(machine.container)
        operator = not in_container and host.read(f"{OPERATOR}/etc/os-release").said
        near = not in_container and not operator
        on_disk, missing = _on_disk(host, machine.kernel) if near else (Part(), False)
        below = OPERATOR if operator else ""
        linked, libcuda = (Part() if in_container else _library(host, below, name) for name in LIBRARIES)
        without = linked and not libcuda and all(_is_absent(host, f"{below}{folder}") for folder in FOLDERS)
        if code == 0 or may_be(library.version, linked.version):
            library = linked or library  # what is loaded from now on: a program that runs keeps the one it has
        found = cls(
            loaded=loaded or driver, is_open=is_open, is_unloaded=host.read(LOADED_SYS).status == "absent",
            on_disk=on_disk, is_missing_on_disk=missing,
            nvml=library or linked, libcuda=libcuda, is_without_libcuda=bool(without),
            code=code, cuda=cuda, is_consumer="GeForce" in printed,
            in_container=in_container, built_in_container=operator, reboot=_reboot(host) if near else (),
            words=words, kernel=machine.kernel, now=host.now(),
        )  # fmt: skip
        if code in (None, nvml.LIBRARY_NOT_FOUND) and not (found.loaded or found.nvml or found.on_disk or words):
            if all(gpu.driver in ("", "nouveau", "nova") for gpu in held):
                raise NothingHere("no driver of NVIDIA is installed")
            raise CannotSee("the version of the NVIDIA driver could not be read")
        return found


def _loaded(host: Host) -> tuple[Part, bool]:
    """The module in the kernel, and whether it is the open one. The first line of /proc/driver/nvidia/version::

    NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build  (dvs-builder@U22)
    NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024
    """
    answer = host.read(LOADED)
    first = answer.text.partition("\n")[0] if answer.said else ""
    for word in first.split():
        if is_driver(word):
            return Part(word, Line(answer.key, first)), "Open Kernel Module" in first
    answer = host.read(LOADED_SYS)
    word = answer.text.strip() if answer.said else ""
    return (Part(word, Line(answer.key, word)) if is_driver(word) else Part()), False


def _refused(host: Host) -> tuple[Part, Part]:
    """What a recorded kernel log says last of a library that the module refused: both versions in full, old and new::

    NVRM: API mismatch: the client has the version 535.183.01, but
    NVRM: this kernel module has the version 535.161.08.  Please
    NVRM: API mismatch: the client 'nvidia-smi' (pid 20341)
    NVRM: has the version 570.124.04, but this kernel module has
    NVRM: the version 570.124.06.  Please make sure that this
    """
    answer = host.run("dmesg")
    if (
        not answer.said or b"API mismatch: " not in answer.data
    ):  # a log is long: its text is made only when it is needed
        return Part(), Part()
    text = answer.text.rpartition("API mismatch: ")[2]
    lines = [line.rpartition("NVRM: ")[2] for line in text.split("\n", 4)[:3]]
    words = [word.rstrip(".,") for word in " ".join(lines).split()]
    versions = [word for word in words if is_driver(word)][:2]
    if len(versions) < 2:
        return Part(), Part()
    line = Line(answer.key, "API mismatch: " + " ".join(lines))
    return Part(versions[0], line), Part(versions[1], line)


def _on_disk(host: Host, kernel: str) -> tuple[Part, bool]:
    """What modinfo finds for the running kernel, and whether it found that there is none. Debian names it otherwise::

    modinfo: ERROR: Module nvidia not found.
    """
    for name in ("nvidia", "nvidia-current"):
        answer = host.run("modinfo", "-F", "version", name)
        word = answer.text.strip().partition("\n")[0]
        if answer.said and is_driver(word):
            return Part(word, Line(answer.key, word)), False
        if answer.status != "failed" or "not found" not in decode(answer.stderr) + answer.text:
            return (Part(), False) if host.is_live else _as_typed(host, kernel)
    return Part(), True


def _as_typed(host: Host, kernel: str) -> tuple[Part, bool]:
    """The same of a recording of others: of `modinfo nvidia`, else of what DKMS has installed for the running kernel::

    version:        580.95.05
    """
    is_missing = False
    for answer in asked(host, "modinfo"):
        words = answer.key.split(" ")
        text = answer.text + decode(answer.stderr)
        if words[-1] not in ("nvidia", "nvidia-current") or "-k" in words:
            continue
        is_missing = is_missing or "Module nvidia not found" in text
        for line in text.splitlines():
            if (name := line.partition(":"))[0] == "version" and is_driver(name[2].strip()):
                return Part(name[2].strip(), Line(answer.key, " ".join(line.split()))), False
    for built in installed(host.run("dkms", "status")):
        if kernel and built.kernel == kernel and is_driver(built.version):
            return Part(built.version, built.line), False
    return Part(), is_missing


def _library(host: Host, below: str, name: str) -> Part:
    """The version that the links of a library end at: ``libnvidia-ml.so.1 -> libnvidia-ml.so.580.95.05``."""
    for folder in FOLDERS:
        path = f"{below}{folder}/{name}"
        for _ in range(MAX_LINKS):
            answer = host.link(path)
            if not answer.said:
                break
            target = one_line(answer.text.strip(), 400)
            version = target.rpartition("/")[2].partition(".so.")[2]
            if is_driver(version):
                return Part(version, Line(answer.key, f"{path} -> {target}"))
            path = below + target if target.startswith("/") else f"{path.rpartition('/')[0]}/{target}"
    return Part()


def _is_absent(host: Host, folder: str) -> bool:
    return host.link(f"{folder}/{LIBRARIES[1]}").status == "absent"


def _printed(host: Host, *form: str) -> str:
    answer = host.run("nvidia-smi", *form)
    return f"{answer.text}\n{decode(answer.stderr)}" if answer.status in ("ok", "truncated", "failed") else ""


def _asked(host: Host, printed: str) -> tuple[int | None, Part, Part, Part]:
    """What NVML said, or nvidia-smi in a recording: its code, the library that was used, CUDA, the module."""
    answer = host.probe("nvml", "state")
    if answer.said:
        try:
            said = nvml.table(answer)
        except CannotSee:
            return None, Part(), Part(), Part()
        code = nvml.number(nvml.part(said, "error"), "code") or 0
        number = nvml.number(said, "cuda")
        driver = nvml.text(said, "driver", 40)
        library = "" if code == nvml.LIBRARY_NOT_FOUND else nvml.text(said, "library", 40)
        cuda = f"{number // 1000}.{number % 1000 // 10}" if number else ""
        module = Part(driver, Line(answer.key, f"driver {driver}")) if is_driver(driver) else Part()
        newest = Part(cuda, Line(answer.key, f"cuda {number}")) if cuda else Part()
        return code, Part(library, Line(answer.key, f"library {library}")) if library else Part(), newest, module
    return _of_smi(host, printed)


def _of_smi(host: Host, printed: str) -> tuple[int | None, Part, Part, Part]:
    """From outputs of nvidia-smi: its words where it failed, and its header."""
    if host.is_live:
        return None, Part(), Part(), Part()
    from mlopsdoc.facts import smi

    cuda, driver = _labelled(printed, CUDA_LABELS), _labelled(printed, DRIVER_LABELS)
    try:
        said = smi.ask(host)
    except CannotSee:
        return (0 if driver else None), Part(), cuda, driver
    if said is None:
        return None, Part(), Part(), Part()
    if said.failure and said.failure[0] != smi.NO_DEVICES:
        code, library = said.failure
        key = said.key or "run nvidia-smi"
        lines = [line.strip() for line in printed.splitlines() if "nvml" in line.casefold() or "failed" in line]
        return code, Part(library, Line(key, " ".join(lines[-2:]))), cuda, driver
    return 0, Part(), cuda, driver or Part(said.driver, Line(said.key, f"driver {said.driver}"))


def _labelled(text: str, labels: tuple[str, ...]) -> Part:
    """``13.0`` of ``... CUDA Version: 13.0     |``, ``CUDA Version : 13.0``, ``<cuda_version>13.0</cuda_version>``."""
    for line in text.splitlines():
        for label in labels:
            words = line.partition(label)[2].partition("</")[0].replace("|", " ").replace(":", " ").split()[:1]
            if words and words[0].replace(".", "").isdecimal() and "." in words[0]:
                return Part(one_line(words[0], 40), Line("run nvidia-smi", " ".join(line.split())))
    return Part()


def _reboot(host: Host) -> tuple[str, ...]:
    """The packages of /run/reboot-required.pkgs (Debian, Ubuntu) that have to do with the driver or the kernel."""
    answer = host.read("/run/reboot-required.pkgs")
    names = dict.fromkeys(answer.text.split()) if answer.said else {}
    return tuple(name[:80] for name in names if "nvidia" in name or name.startswith(("linux-image", "linux-modules")))
