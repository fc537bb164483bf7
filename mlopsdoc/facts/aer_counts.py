"""What the kernel counted of the PCIe errors of each device since boot, by kind."""

from __future__ import annotations

from mlopsdoc import Fact, Host, Line, NothingHere
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.pcie_errors import CORRECTED, FATAL, NON_FATAL

FILES = "/sys/bus/pci/devices/*/aer_dev_*"
SEVERITIES = {"aer_dev_correctable": CORRECTED, "aer_dev_nonfatal": NON_FATAL, "aer_dev_fatal": FATAL}


class AerCount(Fact, frozen=True):
    """Of one device and one severity: how many errors of each name, without those that are 0."""

    device: str
    severity: str
    counts: dict[str, int]
    line: Line


class AerCounts(Fact, frozen=True):
    """Every device that counted any. at: seconds since the epoch.

    /sys/bus/pci/devices/SLOT/aer_dev_correctable, aer_dev_nonfatal and aer_dev_fatal, which are there where the kernel
    itself handles such errors (not firmware, not the host of a virtual machine)::

        RxErr 412
        BadTLP 0
        TOTAL_ERR_COR 412
    """

    counts: tuple[AerCount, ...]
    at: float

    @classmethod
    def read(cls, host: Host, machine: Machine | None) -> AerCounts:
        """Raises NothingHere where nothing is counted, and on a laptop, whose own parts report errors all day."""
        if machine and machine.is_portable:
            raise NothingHere("PCIe errors of a laptop are not judged")
        found: list[AerCount] = []
        tree = host.tree(FILES)
        for path, answer in sorted(tree.items()):
            device, name = path.split("/")[5:7]
            if (severity := SEVERITIES.get(name)) and (counts := read_counts(answer.text)):
                said = " ".join(f"{kind}={count}" for kind, count in counts.items())
                found.append(AerCount(device, severity, counts, Line(f"read {path}", f"{device}: {severity}: {said}")))
        if not tree:
            raise NothingHere("no PCIe errors are counted here")
        return cls(tuple(found), host.now())

    def same(self, one: AerCount) -> AerCount | None:
        """That device and severity among these."""
        return next((c for c in self.counts if (c.device, c.severity) == (one.device, one.severity)), None)


def read_counts(text: str) -> dict[str, int]:
    """Without zeros and totals."""
    rows = [line.split() for line in text.split("\n")]
    return {
        row[0][:30]: int(row[1])
        for row in rows
        if len(row) == 2 and row[1].isdecimal() and len(row[1]) < 20 and row[1].strip("0") and "TOTAL" not in row[0]
    }
