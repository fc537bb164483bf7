"""PCIe errors that devices reported (AER), by device, from the kernel log."""

from __future__ import annotations

from mlopsdoc import Fact, Host, NothingHere
from mlopsdoc.facts.kernel_log import KernelLine, KernelLog
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.pci import PciDevices
from mlopsdoc.patterns import compiled

CORRECTED, NON_FATAL, FATAL = "corrected", "non-fatal", "fatal"
_DEVICE = r"([a-z0-9_-]{1,40}) ([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]): (?:AER: )?(.{1,200})"
_SEVERITY = r"PCIe Bus Error: severity=([A-Za-z-]{4,20})(?: \(([A-Za-z-]{4,12})\))?, type=([A-Za-z ]{4,40})"
_BIT = r"\[ ?[0-9]{1,2}\] ([A-Za-z0-9]{3,20})"


class PcieError(Fact, frozen=True):
    """One message. severity: corrected, non-fatal or fatal. layer: ``Data Link Layer``. names: ``BadTLP``, ..."""

    device: str
    driver: str
    severity: str
    layer: str
    names: tuple[str, ...]
    line: KernelLine


class PcieErrors(Fact, frozen=True):
    """All of this boot, in order. is_part: the log was filtered or cut."""

    errors: tuple[PcieError, ...]
    log: KernelLog

    @classmethod
    def read(cls, host: Host, log: KernelLog | None, machine: Machine, pci: PciDevices | None) -> PcieErrors:
        """Raises NothingHere where none could be seen: a virtual machine, or a part of a log without any; and on a
        laptop, whose own parts report corrected errors all day.

        An error is a block of lines, of kernels from 4 to 6::

            pcieport 0000:00:03.1: AER: Corrected error received: 0000:01:00.0
            nvidia 0000:01:00.0: PCIe Bus Error: severity=Corrected, type=Physical Layer, (Receiver ID)
            nvidia 0000:01:00.0:   device [10de:2330] error status/mask=00000001/00002000
            nvidia 0000:01:00.0:    [ 0] RxErr                  (First)
            pcieport 0000:64:01.0: AER: PCIe Bus Error: severity=Uncorrectable (Fatal), type=Transaction Layer, (...)
        """  # fmt: skip
        if machine.is_portable:
            raise NothingHere("PCIe errors of a laptop are not judged")
        if log is None and (machine.container or machine.virtual):
            raise NothingHere("PCIe errors stand in the kernel log of the host of this machine")
        if log is None:
            log = KernelLog.read(host, machine)  # which says why not
        found = _errors(log.lines(b"PCIe Bus Error", b"error status/mask=", b":    ["))
        if not found and (log.is_part or machine.virtual or machine.container or not (pci and pci.devices)):
            raise NothingHere("no PCIe error in what was seen of the kernel log")
        return cls(tuple(found), log)


def _errors(lines: list[KernelLine]) -> list[PcieError]:
    found: list[PcieError] = []
    for line in lines:
        match = compiled(_DEVICE).match(line.text)
        if match is None:
            continue
        said = compiled(_SEVERITY).match(match[3].strip())
        bit = compiled(_BIT).match(match[3].strip())
        if said:
            kind = said[1].lower()
            severity = FATAL if said[2] == "Fatal" or kind == "fatal" else NON_FATAL if said[2] else CORRECTED
            severity = NON_FATAL if severity == CORRECTED and not kind.startswith("correct") else severity
            found.append(PcieError(match[2], match[1], severity, said[3].strip(), (), line))
        elif bit and found and found[-1].device == match[2]:
            last = found[-1]
            found[-1] = PcieError(last.device, last.driver, last.severity, last.layer, (*last.names, bit[1]), last.line)
    return found
