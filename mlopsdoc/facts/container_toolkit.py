"""The NVIDIA Container Toolkit: its version, the devices that it describes (CDI), and Docker's runtimes."""

from __future__ import annotations

from typing import Any

from mlopsdoc import Answer, Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts import nvml
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_versions import is_driver, numbers

SPECS = ("/etc/cdi/*.yaml", "/etc/cdi/*.json", "/run/cdi/*.yaml", "/run/cdi/*.json")
DOCKER = "/etc/docker/daemon.json"
OURS = ("nvidia-container-runtime", "/usr/bin/nvidia-container-runtime")  # as nvidia-ctk configures it
MAX_SPECS = 16


class Spec(Fact, frozen=True):
    """A description of devices for containers, and the driver whose libcuda it names."""

    path: str
    driver: str
    line: Line


class ContainerToolkit(Fact, frozen=True):
    """version: empty where not known; is_absent: nvidia-ctk is not installed. specs: those that name a driver.
    runtime: of Docker, the line that names this toolkit; is_default: for every container."""

    version: str
    is_absent: bool
    specs: tuple[Spec, ...]
    runtime: Line | None
    is_default: bool
    line: Line | None

    @classmethod
    def read(cls, host: Host, driver: Driver) -> ContainerToolkit:
        """Raises NothingHere without a sign: no nvidia-ctk, no description of devices, no runtime in Docker."""
        if driver.in_container:
            raise NothingHere("the toolkit is that of the host of this container")
        answer = host.run("nvidia-ctk", "--version")
        version, line = _version(answer)
        specs = tuple(_specs(host))
        runtime, is_default = _docker(host)
        if not version and not specs and not runtime:
            raise NothingHere("no NVIDIA Container Toolkit")
        return cls(version, answer.status == "absent", specs, runtime, is_default, line)


def _version(answer: Answer) -> tuple[str, Line | None]:
    """``NVIDIA Container Toolkit CLI version 1.17.8``, ``1.18.0-rc.2``."""
    for line in answer.text.splitlines() if answer.said else ():
        word = line.rpartition(" version ")[2].strip()
        if numbers(word.partition("-")[0]):
            return one_line(word, 40), Line(answer.key, line)
    return "", None


def _specs(host: Host) -> list[Spec]:
    """The driver of each, in YAML and in JSON::

        - hostPath: /usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05
    "hostPath": "/usr/lib/x86_64-linux-gnu/libcuda.so.580.95.05",
    """
    found: list[Spec] = []
    for pattern in SPECS:
        for path, answer in list(host.tree(pattern).items())[:MAX_SPECS]:
            for line in answer.text.splitlines() if answer.said else ():
                version = line.partition("libcuda.so.")[2].strip().strip('",')
                if "hostPath" in line and is_driver(version):
                    found.append(Spec(one_line(path, 200), version, Line(answer.key, line.strip())))
                    break
    return found


def _docker(host: Host) -> tuple[Line | None, bool]:
    """Whether Docker was told of the runtime, and whether it is for every container::

    {"default-runtime": "nvidia", "runtimes": {"nvidia": {"args": [], "path": "nvidia-container-runtime"}}}
    """
    answer = host.read(DOCKER)
    try:
        said: Any = answer.json() if answer.said else None
    except ValueError:
        return None, False
    table = nvml.part({"said": said}, "said")
    path = nvml.text(nvml.part(nvml.part(table, "runtimes"), "nvidia"), "path", 200)
    if path not in OURS:
        return None, False
    return Line(answer.key, f"runtimes: nvidia: {path}"), nvml.text(table, "default-runtime", 40) == "nvidia"
