"""What DKMS has built of the driver."""

from __future__ import annotations

from typing import NamedTuple

from mlopsdoc import Answer, Line

OTHER_MODULES = ("nvidia-fs", "nvidia-peermem", "nvidia_peermem")


class Built(NamedTuple):
    """A driver that is installed for a kernel."""

    version: str
    kernel: str
    line: Line


def installed(answer: Answer) -> list[Built]:
    """Of ``dkms status``, new and old form; others than NVIDIA's are left out::

    nvidia/580.95.05, 6.8.0-87-generic, x86_64: installed
    nvidia, 470.256.02, 5.4.0-216-generic, x86_64: installed (WARNING! Diff between built and installed module!)
    nvidia/580.95.05: added
    """
    found: list[Built] = []
    for line in answer.text.splitlines() if answer.said else ():
        what, _, state = line.replace("/", ", ", 1).partition(":")
        parts = [part.strip() for part in what.split(",")]
        is_driver_module = parts[0].startswith("nvidia") and parts[0] not in OTHER_MODULES
        if is_driver_module and len(parts) >= 4 and state.strip().startswith("installed"):
            found.append(Built(parts[1], parts[2], Line(answer.key, line)))
    return found
