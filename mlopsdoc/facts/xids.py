"""What the NVIDIA driver wrote to the kernel log: Xids, SXids of NVSwitches, and lines without a number."""

from __future__ import annotations

from mlopsdoc import Fact, Host
from mlopsdoc.facts import xid_catalogue
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.gpu_signs import nothing_here, was_listed
from mlopsdoc.facts.gpus import GIVEN_AWAY
from mlopsdoc.facts.kernel_log import MOST, KernelLine, KernelLog
from mlopsdoc.facts.pci import PciDevices
from mlopsdoc.facts.xid_catalogue import Code, Decoded
from mlopsdoc.patterns import compiled

EARLIER = ("journalctl", "-k", "-b", "-1", "-o", "short-iso", "--no-pager", "-n", str(MOST))
_PCI = r"([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-7])?"
_XID = rf"(S?)Xid \((?:PCI:)?{_PCI}([^)]{{0,40}})\): ([0-9]{{1,5}})\b,? ?(.*)"
_PROCESS = r"pid='?([0-9]{1,10}|<unknown>)'?(?:, name=([^,]{0,64}))?(?:, |$)"
_LINK5 = r"([A-Za-z_0-9/]{3,60}(?: Degraded)?) (Nonfatal|Fatal) XC[01] i[01] Link (-?[0-9]{1,3}) \(([^)]{1,200})\)"
_LINK74 = r"link ([0-9]{1,3}) ?\(([^)]{1,200})\)"
_ACTION = r"to 0x([0-9a-fA-F]{1,2}) \(([^)]{1,60})\)"
_HEX = r"0x([0-9a-fA-F]{1,8})"
NVLINK = (74, 136, 144, 145, 146, 147, 148, 149, 150)
CLEAN_UP = (43, 45)
VERSION = "/proc/driver/nvidia/version"

# What a line without a number says -> kind; the first that fits counts.
KINDS = (
    ("fallen off the bus", "off_bus"),
    ("WPR2 already up", "gsp_boot"),
    ("GFW_BOOT", "gfw_boot"),
    ("GFW boot complete", "gfw_boot"),
    ("Cannot initialize GSP firmware RM", "gsp_boot"),
    ("RmInitAdapter failed!", "init"),
    ("rm_init_adapter failed", "init"),
    ("not supported by open nvidia.ko", "open_module"),
    ("NVIDIA open kernel modules", "closed_module"),
    ("Legacy drivers", "other_branch"),
    ("is not supported by the", "other_branch"),
    ("PCI I/O region assigned to your NVIDIA device is invalid", "bar"),
    ("GSP RM heartbeat timed out", "gsp"),
    ("of waiting for RPC response from GPU", "gsp"),
    ("postRxDetLinkMask failed", "no_links"),
    ("knvlinkUpdatePostRxDetectLinkMask", "no_links"),
    ("No NVIDIA GPU found", "no_gpu"),
    ("None of the NVIDIA devices were initialized", "no_gpu"),
)
INIT = ("gsp_boot", "gfw_boot", "init")


class Xid(Fact, frozen=True):
    """One Xid line. n: its place in the log. pci: ``0000:1b:00.0``. pid, process: whom it hit. previous: the Xid
    that the driver names as its cause. wants: of Xid 154 the recovery action, number and words. units, is_fatal,
    link, words: of an NVLink error. place: of Xid 13, ``GPC 2, TPC 5``."""

    n: int
    pci: str
    code: Code
    detail: str
    line: KernelLine
    mig: str = ""
    pid: int | None = None
    process: str = ""
    previous: int | None = None
    wants: tuple[int, str] | None = None
    units: str = ""
    is_fatal: bool | None = None
    link: int | None = None
    words: tuple[int, ...] = ()
    place: str = ""

    @property
    def number(self) -> int:
        return self.code.number

    @property
    def decoded(self) -> Decoded | None:
        """Of Xid 144 to 150 what the words mean, where the table has them."""
        return xid_catalogue.nvlink5(self.number, self.units, self.words) if self.units else None


class SwitchError(Fact, frozen=True):
    """One SXid line. switch: ``0000:05:00.0``. kind: as in the catalogue, else as the line says it."""

    n: int
    switch: str
    number: int
    kind: str
    name: str
    line: KernelLine


class Trouble(Fact, frozen=True):
    """One line without a number. pci may be empty. codes: ``0x62:0x40:2168`` of a failed initialisation."""

    n: int
    pci: str
    kind: str
    codes: str
    line: KernelLine


class Reset(Fact, frozen=True):
    """What ends all that stood before it. pci: of one GPU; empty: of all."""

    n: int
    pci: str
    what: str
    line: KernelLine


class DriverSign(Fact, frozen=True):
    """That there is an NVIDIA GPU here: on PCI and not given to a virtual machine, else by its driver's version in
    /proc, by a line of its driver, or in a recording of other people by what nvidia-smi printed."""

    @classmethod
    def read(cls, host: Host, pci: PciDevices | None, log: KernelLog | None) -> DriverSign:
        """Raises NothingHere without a sign."""
        is_here = any(gpu.driver not in GIVEN_AWAY for gpu in pci.gpus()) if pci else host.read(VERSION).said
        signs = (b"Xid (", b"fallen off the bus") if pci else (b"NVRM: ", b"Xid (")  # a driver may load where no GPU is
        is_logged = log and any(sign in log.data for sign in signs)
        if is_here or is_logged or (not was_listed(host) and any(answer.said for answer in asked(host, "nvidia-smi"))):
            return cls()
        raise nothing_here(host)


class Xids(Fact, frozen=True):
    """What the driver wrote since this boot, in order. earlier: Xids of the boot before, where its log is at hand."""

    log: KernelLog
    xids: tuple[Xid, ...]
    switches: tuple[SwitchError, ...]
    troubles: tuple[Trouble, ...]
    resets: tuple[Reset, ...]
    earlier: tuple[Xid, ...]

    @classmethod
    def read(cls, host: Host, sign: DriverSign, log: KernelLog) -> Xids:
        every = log.all_lines(b"Xid (", b"NVRM: ", b"[10de:", b"nvidia-nvswitch")
        lines = [line for line in every if not line.boot]
        xids, switches = _xids(lines)
        before = [line for line in every if line.boot == 1]
        if host.is_live or not before:
            before += _boot_before(host, log) if any(xid.code.severity == "critical" for xid in xids) else []
        return cls(log, xids, switches, _troubles(lines), _resets(lines, xids), _xids(before)[0])

    def reset_after(self, n: int, pci: str) -> Reset | None:
        """The first reset of a GPU, a reload of the driver included, after a place in the log."""
        return next((reset for reset in self.resets if reset.n > n and reset.pci in ("", pci)), None)


def address(text: str) -> str:
    """``0000:1b:00.0`` of ``0000:1b:00``, ``00000000:1B:00`` or ``0000:1B:00.0``."""
    domain, _, rest = text.lower().partition(":")
    return f"{domain[-4:] if domain[:-4].strip('0') == '' else domain}:{rest.partition('.')[0]}.0"


def _xids(lines: list[KernelLine]) -> tuple[tuple[Xid, ...], tuple[SwitchError, ...]]:
    """Of lines such as::

    NVRM: Xid (PCI:0000:1b:00): 79, pid=4123, name=python3, GPU has fallen off the bus.
    NVRM: Xid (PCI:0000:1b:00 GPU-I:07): 31, pid='<unknown>', name=<unknown>, Ch 00000010, intr 00000000. MMU Fault: ...
    NVRM: Xid (0000:03:00): 31, Ch 00000010
    NVRM: Xid (PCI:0000:1b:00): 13, pid=4123, name=python3, Graphics SM Warp Exception on (GPC 2, TPC 5, SM 1): ...
    NVRM: Xid (PCI:0000:1b:00): 45, pid=4123, name=python3, Ch 00000001 caused by previous Xid 149
    NVRM: Xid (PCI:0000:1b:00): 154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)
    nvidia-nvswitch0: SXid (PCI:0000:05:00.0): 20034, Fatal, Link 48 LTSSM Fault Up
    """  # fmt: skip
    xids: list[Xid] = []
    switches: dict[tuple[str, str], SwitchError] = {}
    for n, line in enumerate(lines):
        match = compiled(_XID).search(line.text) if "Xid (" in line.text else None
        if match is None:
            continue
        pci, number, rest = address(match[2]), int(match[4]), match[5]
        if match[1]:
            kind, name = xid_catalogue.sxid(number)
            says = "non_fatal" if rest.startswith("Non-fatal") else "fatal_per_port" if rest.startswith("Fatal") else ""
            error = SwitchError(n, pci, number, kind or says, name if kind else rest[:120], line)
            if says:  # the newest of a kind
                switches[pci, match[4]] = error
            elif kind:  # the lines that follow one are its registers
                switches.setdefault((pci, match[4]), error)
        else:
            xids.append(_xid(n, line, pci, number, match[3].strip(), rest))
    return tuple(xids), tuple(switches.values())


def _xid(n: int, line: KernelLine, pci: str, number: int, mig: str, rest: str) -> Xid:
    process = compiled(_PROCESS).search(rest)
    detail = rest[process.end() :] if process else rest
    previous = compiled(r"caused by previous Xid ([0-9]{1,5})").search(detail)
    wants = compiled(_ACTION).search(detail) if number == 154 else None
    link5 = compiled(_LINK5).search(detail) if 144 <= number <= 150 else None
    link74 = compiled(_LINK74).search(detail) if number == 74 else None
    words = link5[4] if link5 else link74[2] if link74 else ""
    place = compiled(r"\((GPC [0-9]{1,2}, TPC [0-9]{1,2})[,)]").search(detail) if number == 13 else None
    return Xid(
        n=n,
        pci=pci,
        code=xid_catalogue.xid(number),
        detail=detail.strip(" .,"),
        line=line,
        mig=mig,
        pid=int(process[1]) if process and process[1].isdecimal() else None,
        process=(process[2] or "").replace("<unknown>", "") if process else "",
        previous=int(previous[1]) if previous else None,
        wants=(int(wants[1], 16), wants[2]) if wants else None,
        units=link5[1].replace(" ", "_") if link5 else "",
        is_fatal=link5[2] == "Fatal" if link5 else None,
        link=int(link5[3]) if link5 else int(link74[1]) if link74 else None,
        words=tuple(int(word, 16) for word in compiled(_HEX).findall(words)),
        place=place[1] if place else "",
    )


def _troubles(lines: list[KernelLine]) -> tuple[Trouble, ...]:
    """Of lines such as these; an address stands in the line itself, or up to two lines above it::

    NVRM: The NVIDIA GPU 0000:b3:00.0
    NVRM: (PCI ID: 10de:26b5) installed in this system has
    NVRM: fallen off the bus and is not responding to commands.
    NVRM: GPU6 _kgspBootGspRm: unexpected WPR2 already up, cannot proceed with booting GSP
    NVRM: GPU 0000:a1:00.0: RmInitAdapter failed! (0x62:0x40:2168)
    NVRM: GPU 0000:a1:00.0: rm_init_adapter failed, device minor number 7
    NVRM: GPU2 knvlinkUpdatePostRxDetectLinkMask_IMPL: Failed to update Rx Detect Link mask!
    """
    found: list[Trouble] = []
    for n, line in enumerate(lines):
        if "NVRM" not in line.text or "Xid (" in line.text:
            continue
        above = " ".join(one.text.partition("NVRM:")[2].strip() for one in lines[max(0, n - 1) : n])
        text = line.text.partition("NVRM:")[2].strip()
        kind = next((kind for words, kind in KINDS if words in text), "")
        if not kind and above and not any(words in above for words, _ in KINDS):
            kind = next((kind for words, kind in KINDS if words in f"{above} {text}"), "")
        if kind:
            near = (text, *(one.text for one in reversed(lines[max(0, n - 2) : n]) if "The NVIDIA GPU" in one.text))
            pci = next((address(m[1]) for part in near if (m := compiled(_PCI).search(part))), "")
            codes = compiled(r"\((0x[0-9a-fA-F:x]{3,40})\)").search(text)
            found.append(Trouble(n, pci, kind, codes[1] if codes else "", line))
    return tuple(found)


def _resets(lines: list[KernelLine], xids: tuple[Xid, ...]) -> tuple[Reset, ...]:
    """Of lines such as::

    NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build
    nvidia-nvswitch0: Probing device 0000:05:00.0, Vendor Id = 0x10de, Device Id = 0x22a3, Class = 0x68000
    pci 0000:1b:00.0: [10de:2330] type 00 class 0x030200 PCIe Endpoint
    """
    found = [
        Reset(xid.n, xid.pci, "the driver took its demand back", xid.line)
        for xid in xids
        if xid.wants and not xid.wants[0]
    ]
    for n, line in enumerate(lines):
        if "loading NVIDIA UNIX" in line.text:
            found.append(Reset(n, "", "the driver was loaded anew", line))
        elif line.text.startswith("nvidia-nvswitch") and ": Probing device" in line.text:
            found.append(Reset(n, "", "the switches were set up anew", line))
        elif line.text.startswith("pci ") and "[10de:" in line.text and " class 0x03" in line.text:
            found.append(Reset(n, address(line.text.split()[1].rstrip(":")), "it was found on the bus anew", line))
    return tuple(sorted(found, key=lambda reset: reset.n))


def _boot_before(host: Host, log: KernelLog) -> list[KernelLine]:
    """The lines of the boot before; asked only where something is wrong."""
    answers = [host.run(*EARLIER)] if host.is_live else asked(host, " ".join(EARLIER[:4]))
    logs = [KernelLog(answer.key, answer.data, True, False, None, log.now) for answer in answers if answer.said]
    return [line for earlier in logs for line in earlier.lines(b"Xid (")]
