"""The packages that have to do with NVIDIA: names, versions, and whether they are held back from updates."""

from __future__ import annotations

from mlopsdoc import Answer, Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.driver import Driver

# Debian and its kin; then RPM. Both take patterns, and say no more than what matches.
PATTERNS = ("*nvidia*", "libcuda1", "nvlsm", "datacenter-gpu-manager*")
QUESTIONS = (("dpkg", "-l", *PATTERNS), ("rpm", "-qa", *PATTERNS))
INSTALLED = ("ii", "hi")


class Package(Fact, frozen=True):
    """version: the maker's and the distribution's, ``580.95.05-0ubuntu0.24.04.2``, without an epoch."""

    name: str
    version: str
    is_held: bool
    line: Line

    @property
    def upstream(self) -> str:
        """``580.95.05``."""
        return self.version.partition("-")[0].partition("~")[0].partition("+")[0]


class Packages(Fact, frozen=True):
    """Those that are installed, in the order in which they were listed. is_dpkg: whether dpkg listed them."""

    packages: tuple[Package, ...]
    is_dpkg: bool

    @classmethod
    def read(cls, host: Host, driver: Driver) -> Packages:
        """Raises NothingHere where no package manager tells of one; nothing is asked on a host without the driver."""
        if driver.in_container:
            raise NothingHere("the packages are those of a container")
        found: list[Package] = []
        for argv in QUESTIONS:
            if not found:
                answers = [host.run(*argv)] if host.is_live else asked(host, argv[0])
                found = [package for answer in answers for package in _packages(answer)]
        if not found:
            raise NothingHere("no package of NVIDIA")
        return cls(tuple(found), found[0].line.answer.startswith("run dpkg"))

    def first(self, *starts: str) -> Package | None:
        """The first whose name begins with one of these."""
        return next((package for package in self.packages if package.name.startswith(starts)), None)


def _packages(answer: Answer) -> list[Package]:
    """Of `dpkg -l`, whose exit code is 1 where one of several patterns matches nothing, and of `rpm -qa`::

    ii  nvidia-driver-580-server  580.95.05-0ubuntu0.24.04.2  amd64  NVIDIA Server Driver metapackage
    hi  libnvidia-compute-580-server:amd64  580.95.05-0ubuntu0.24.04.2  amd64  NVIDIA libcompute package
    nvidia-fabric-manager-580.95.05-1.x86_64
    """
    found: list[Package] = []
    is_rpm = answer.key.startswith("run rpm")
    for line in answer.text.splitlines():
        columns = line.split()
        if is_rpm and len(columns) == 1 and line.count("-") > 1:
            name, version, release = columns[0].rsplit("-", 2)
            columns = ["ii", name, f"{version}-{release}"]
        if len(columns) >= 3 and columns[0] in INSTALLED:
            name, version = columns[1].partition(":")[0], columns[2].rpartition(":")[2]
            held = columns[0].startswith("h")
            found.append(
                Package(one_line(name, 80), one_line(version, 80), held, Line(answer.key, " ".join(columns[:3])))
            )
    return found
