"""What NVIDIA says of each Xid and SXid: what failed, whether a program can be at fault, how bad it is, what to do.

From NVIDIA's Xid catalogue (2025-10), the header nverror.h of the open kernel modules 595.45.04 (173 and later: names
only), and appendix D of the Fabric Manager User Guide for SXids.
"""

from __future__ import annotations

from functools import cache

from mlopsdoc import Fact

# Codes|how bad it is by itself|whether a program can cause it|cause classes|what to do now|what to look into|what it is
_XIDS = """
1-7,9-10,12,15-24,26-30,33-36,42,47,49-53,55,59,73,81,87|warning|no|-|CONTACT_SUPPORT|-|not in use on A100 and later
90-91,111-118,122-125,138|warning|no|-|CONTACT_SUPPORT|-|not in use on A100 and later
8|warning|maybe|driver+app+bus+thermal|RESTART_APP|CONTACT_SUPPORT|a channel made no progress
11|warning|maybe|driver+bus+sysmem+fb|RESTART_APP|CHECK_APP/CUDA|bad command stream reached the graphics engine
13|warning|maybe|hw+driver+app+bus+sysmem+fb+thermal|RESTART_APP|WORKFLOW_XID_13|an exception in a CUDA kernel
14|info|yes|-|IGNORE|CONTACT_SUPPORT|an error that was injected from user space
25|warning|maybe|driver+app+bus+sysmem+fb|RESTART_APP|CHECK_APP/CUDA|illegal command stream
31|warning|maybe|hw+driver+app|RESTART_APP|WORKFLOW_XID_31|MMU fault: an address was used that is not mapped
32|warning|rare|driver+bus+sysmem+fb+thermal|RESTART_APP|CHECK_APP/CUDA|command stream rejected (program or PCIe)
37|warning|maybe|driver+bus+sysmem|IGNORE|CHECK_APP/CUDA|context-switch firmware got an unknown method
38|warning|no|driver|IGNORE|CONTACT_SUPPORT|context-switch firmware watchdog expired
39|warning|no|-|RESTART_APP|CONTACT_SUPPORT|copy engine 0 fault
40|warning|no|-|RESTART_APP|CONTACT_SUPPORT|copy engine 1 fault
41|warning|no|-|RESTART_APP|CONTACT_SUPPORT|copy engine 2 fault
43|info|yes|driver+app|IGNORE|CONTACT_SUPPORT|a program failed and its channel was torn down; the GPU itself is healthy
44|warning|no|driver|IGNORE|CONTACT_SUPPORT|graphics fault during a context switch
45|info|yes|driver|WORKFLOW_XID_45|-|channels were cleaned up, for a process ended or an earlier fault happened
46|critical|no|driver|RESET_GPU|CONTACT_SUPPORT|the GPU stopped processing
48|critical|no|hw|WORKFLOW_XID_48|WORKFLOW_XID_48|uncorrectable (double-bit) ECC error
54|critical|no|-|CHECK_MECHANICALS|CONTACT_SUPPORT|an auxiliary power cable is missing
56|warning|no|hw+driver|CONTACT_SUPPORT|-|display channel exception
57|warning|no|hw+driver+fb|CONTACT_SUPPORT|-|framebuffer link training failed
58|warning|no|hw+driver|CONTACT_SUPPORT|-|framebuffer memory error
60|warning|no|driver|RESTART_APP|INVESTIGATE_SW|SEC2/video processor exception
61|warning|no|-|CONTACT_SUPPORT|-|internal microcontroller breakpoint
62|critical|no|hw+driver+thermal|RESET_GPU|CONTACT_SUPPORT|an internal microcontroller (PMU) halted
63|warning|no|hw+driver+fb|IGNORE|IGNORE|a row remap (or page retirement) was recorded for the next reset
64|critical|no|hw+driver|RESET_GPU|CONTACT_SUPPORT|a row remap (or page retirement) could not be recorded
65|warning|no|hw+driver|CONTACT_SUPPORT|-|video encoder fault
66|warning|maybe|driver+app|IGNORE|INVESTIGATE_SW|illegal register access by driver
67|warning|maybe|driver+app|IGNORE|CONTACT_SUPPORT|illegal access by driver
68|warning|maybe|hw+driver|RESTART_APP|CONTACT_SUPPORT|video decoder 0 fault
69|warning|maybe|hw+driver|RESTART_APP|CHECK_APP/CUDA|graphics class error: bad class or method
70-72,75-77,85,126-135|warning|no|hw+driver|RESTART_APP|CONTACT_SUPPORT|copy engine fault
74|critical|no|hw+driver+bus|WORKFLOW_NVLINK_ERR|CONTACT_SUPPORT|NVLink fault
78|warning|no|driver|UPDATE_SWFW|UPDATE_SWFW|vGPU could not start
79|critical|no|hw+driver+bus+sysmem+thermal|RESTART_BM|CONTACT_SUPPORT|fallen off the bus: it does not answer over PCIe
80|warning|maybe|hw+driver+bus+sysmem+fb|RESTART_APP|CHECK_APP/CUDA|command buffer CRC mismatch
82,99-105|warning|no|hw+driver|RESTART_APP|CONTACT_SUPPORT|JPEG engine fault
83-84,88-89,96-98|warning|no|hw+driver|RESTART_APP|CONTACT_SUPPORT|video decoder fault
86,139|warning|no|hw+driver|RESTART_APP|CONTACT_SUPPORT|optical-flow engine fault
92|warning|no|hw+driver|IGNORE|CONTACT_SUPPORT|corrected ECC errors arrive at a high rate
93|warning|no|driver+app|IGNORE|CONTACT_SUPPORT|InfoROM write-wear limit hit
94|warning|no|hw+driver+fb|RESTART_APP|SYMPATHETIC|uncorrectable ECC error, contained to one program
95|critical|no|hw+driver+fb|RESET_GPU|SYMPATHETIC|uncorrectable ECC error, not contained: all its programs are affected
106|info|yes|app|IGNORE|IGNORE|test message of the management controller
107|info|yes|app|IGNORE|IGNORE|test message of the management controller, silent
108|info|no|-|IGNORE|XID_137_FLOW|NVLink remote translation error
109|critical|maybe|hw+driver+app+bus+sysmem+fb+thermal|RESET_GPU|CONTACT_SUPPORT|a context switch timed out
110|critical|no|hw|RESET_GPU|INVESTIGATE_SW|security fault
119|critical|no|hw+driver+bus+sysmem+fb+thermal|RESET_GPU|INVESTIGATE_SW|the GSP firmware did not answer in time
120|critical|no|hw+driver+bus+sysmem+fb+thermal|RESET_GPU|INVESTIGATE_SW|the GSP firmware failed
121|warning|no|hw+bus|IGNORE|CONTACT_SUPPORT|corrected error on chip-to-chip link to Grace CPU
136|critical|no|nvlink+hw|RESET_GPU|INVESTIGATE_LINK_SI|NVLink training failed
137|warning|maybe|hw+driver+app|IGNORE|XID_137_FLOW|remote MMU refused an NVLink peer access
140|critical|no|hw+driver+fb|RESET_GPU|CONTACT_SUPPORT|uncorrectable ECC error that got around the retirement of pages
141|warning|no|-|IGNORE|CONTACT_SUPPORT|CUDA fast-path error
142|warning|no|hw+driver|CONTACT_SUPPORT|-|video encoder 3 fault
143|critical|no|hw+driver+fb|RESET_GPU|CONTACT_SUPPORT|the GPU failed to initialise
144|critical|no|nvlink+hw|WORKFLOW_NVLINK5_ERR|WORKFLOW_NVLINK5_ERR|NVLink fault in unit SAW
145|critical|no|nvlink+hw|WORKFLOW_NVLINK5_ERR|WORKFLOW_NVLINK5_ERR|NVLink fault in unit RLW
146|critical|no|nvlink+hw|WORKFLOW_NVLINK5_ERR|WORKFLOW_NVLINK5_ERR|NVLink fault in unit TLW
147|critical|no|nvlink+hw|WORKFLOW_NVLINK5_ERR|WORKFLOW_NVLINK5_ERR|NVLink fault in unit TREX
148|critical|no|nvlink+hw|WORKFLOW_NVLINK5_ERR|WORKFLOW_NVLINK5_ERR|NVLink fault in the wrapper
149|critical|no|nvlink+hw|WORKFLOW_NVLINK5_ERR|WORKFLOW_NVLINK5_ERR|NVLink fault of the network port
150|critical|no|nvlink+hw|WORKFLOW_NVLINK5_ERR|WORKFLOW_NVLINK5_ERR|NVLink fault of the management engine
151|info|no|-|RESTART_VM|CONTACT_SUPPORT|confidential-computing key rotation failed
152|warning|no|-|IGNORE|CONTACT_SUPPORT|DLA SMMU fault
153|warning|no|-|IGNORE|CONTACT_SUPPORT|DLA timeout
154|info|no|derived|XID_154|-|driver announces the recovery action it now recommends
155|warning|no|admin|RESET_GPU|INVESTIGATE_SW_USER|intended change of NVLink state (sleep, disable)
156|critical|no|hw+fb|RESET_GPU|IGNORE|a resource of the chip was retired: it takes effect at the next reset
157|warning|no|hw+fb|IGNORE|CONTACT_SUPPORT|a resource of the chip could not be retired, none is spare
158|critical|no|hw+driver|RESET_GPU|CONTACT_SUPPORT|fatal timeout of the GPU
159|warning|no|c2c+hw|CHECK_UVM|SYMPATHETIC_REPORT_SOLO|CHI non-data error on C2C-connected GPU
160|warning|no|hw+fb|IGNORE|INVESTIGATE_SW|a memory channel was retired
161|warning|no|hw+fb|IGNORE|INVESTIGATE_SW|a memory channel could not be retired
162|info|no|power|-|-|power-smoothing circuit active again
163|warning|no|power|-|-|power-smoothing circuit switched off
164|warning|no|power|-|-|power-smoothing circuit near end of life
165|warning|no|power|-|-|power-smoothing circuit at end of life
166|warning|no|nvlink+hw|-|-|NVLink traffic before encryption ready (CC mode)
167|critical|no|bus+hw|-|-|PCIe transaction timed out fatally
168|warning|no|-|-|-|less GPU memory is usable, for errors in the protected region (ECC off)
169|critical|no|-|-|-|the microcontroller SEC2 halted
170|warning|no|nvlink+hw|-|-|NVLink interrupt in CC mode
171|critical|no|hw+fb|-|-|uncorrectable DRAM error
172|critical|no|hw+fb|-|-|uncorrectable SRAM error
173|critical|no|c2c+hw|-|-|C2C link failed fatally
174|info|no|driver|-|-|channel reset that kills the process silently
175|warning|no|hw+fb|-|-|memory subsystem error
"""
# Xid, names of the unit, bits 25:20 of the first word, error status (bits; for NETIR a value; - is any), what to do,
# what to look into, how bad. ALT: IGNORE, but RESET_GPU where the bit above the unit's own bits is set.
_NVLINK5 = """
144 SAW_MVB 0 1,8 IGNORE CONTACT_SUPPORT Non-fatal
144 SAW_MVB 0 2,10 RESET_GPU CONTACT_SUPPORT Fatal
144 SAW_MVB 0 4,20 IGNORE IGNORE Non-fatal
145 RLW_CTRL 0 80000000 IGNORE CONTACT_SUPPORT Non-fatal
145 RLW_REMAP 0 1,2 XID_154_EVAL CONTACT_SUPPORT Non-fatal
145 RLW_REMAP 0 4,8,10,20 XID_154_EVAL CHECK_NVLINK_FAILURE_FLOW Non-fatal
145 RLW_REMAP 0 40,80 RESET_GPU CONTACT_SUPPORT Fatal
145 RLW_REMAP 0 100,200 IGNORE IGNORE Non-fatal
145 RLW_REMAP 0 80000000 IGNORE CONTACT_SUPPORT Non-fatal
145 RLW_RSPCOL 0 1 IGNORE IGNORE Non-fatal
145 RLW_RSPCOL 0 2 RESET_GPU CONTACT_SUPPORT Fatal
145 RLW_RSPCOL 0 80000000 IGNORE CONTACT_SUPPORT Non-fatal
145 RLW_RXPIPE 0 1,2,4 ALT CONTACT_SUPPORT Non-fatal
145 RLW_RXPIPE 0 8,80000000 IGNORE CONTACT_SUPPORT Non-fatal
145 RLW_SRC_TRACK 0 1,10,20 RESET_GPU CONTACT_SUPPORT Fatal
145 RLW_SRC_TRACK 0 2 IGNORE IGNORE Non-fatal
145 RLW_SRC_TRACK 0 4,8 XID_154_EVAL IGNORE Non-fatal
145 RLW_SRC_TRACK 0 80000000 IGNORE CONTACT_SUPPORT Non-fatal
145 RLW_TAGSTATE 0 1,10000 IGNORE IGNORE Non-fatal
145 RLW_TAGSTATE 0 2,20000,100000 RESET_GPU CONTACT_SUPPORT Fatal
145 RLW_TAGSTATE 0 80000000 IGNORE CONTACT_SUPPORT Non-fatal
146 TLW_CTRL 0 1 IGNORE IGNORE Non-fatal
146 TLW_CTRL 0 2,80000000 IGNORE CONTACT_SUPPORT Non-fatal
146 TLW_CTRL 0 4 RESET_GPU CONTACT_SUPPORT Fatal
146 TLW_RX/TLW_RX_PIPE0/TLW_RX_PIPE1 0 1 IGNORE IGNORE Non-fatal
146 TLW_RX/TLW_RX_PIPE0/TLW_RX_PIPE1 0 2,80000000 IGNORE CONTACT_SUPPORT Non-fatal
146 TLW_RX/TLW_RX_PIPE0/TLW_RX_PIPE1 0 4 RESET_GPU CONTACT_SUPPORT Fatal
146 TLW_TX/TLW_TX_PIPE0/TLW_TX_PIPE1 0 1 IGNORE IGNORE Non-fatal
146 TLW_TX/TLW_TX_PIPE0/TLW_TX_PIPE1 0 2,80000000 IGNORE CONTACT_SUPPORT Non-fatal
146 TLW_TX/TLW_TX_PIPE0/TLW_TX_PIPE1 0 4 RESET_GPU CONTACT_SUPPORT Fatal
147 TREX 0 1,80000000 IGNORE CONTACT_SUPPORT Non-fatal
148 NVLPW_CTRL/NVLPW 0 80000000 IGNORE CONTACT_SUPPORT Non-fatal
149 NETIR/NETIR_INT 0 - RESET_GPU SYMPATHETIC_REPORT_SOLO Link-Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN 0 - RESET_GPU SYMPATHETIC_REPORT_SOLO Link-Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN 1 - RESET_GPU REPORT_ISSUE_DAILY Link-Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN 2,4,a - RESET_GPU INVESTIGATE_LINK_SI Link-Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN f,11,16 - RESET_GPU INVESTIGATE_SW_USER Link-Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN 10,12 - RESET_GPU INVESTIGATE_SW_USER_LINK_SI Link-Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN 15,20,21,22,23,24,25 - RESET_GPU INVESTIGATE_PEER_DEVICE Link-Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN 26 - IGNORE INVESTIGATE_SW_USER Link-Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN 28 - IGNORE INVESTIGATE_HOST Fatal
149 NETIR_LINK_EVT/NETIR_LINK_DOWN 2a,2b - RESET_GPU INVESTIGATE_LINK_SI_AND_CABLES Link-Fatal
149 NETIR_BER_EVENT 0 0,1,2,3 IGNORE INVESTIGATE_LINK_SI_AND_CABLES Non-fatal
149 NETIR_MFDE_EVENT 0 1,4,5,7 RESET_GPU CONTACT_SUPPORT Fatal
149 NETIR_MFDE_EVENT 0 3 IGNORE IGNORE Non-fatal
150 MSE_Degraded 0 - RESET_GPU CONTACT_SUPPORT Fatal
150 MSE_WATCHDOG 0 - RESET_GPU CONTACT_SUPPORT Fatal
"""
_RXPIPE = (0x0C2, 0x4C2, 0x86)  # its bits before R575; then those that mean a reset before and since R575
# Class of an NVSwitch error -> its codes and their name.
_SXIDS = {
    "always_fatal": """
10003 host_unhandled_interrupt; 12020 egress sequence id; 22003 minion halt; 22011 minion exterror; 23001 23010
ingress src-vc buffer overflow; 23002 23011 ingress src-vc buffer underflow; 23003 23012 egress dst-vc credit
overflow; 23004 23013 egress dst-vc credit underflow; 23005 23014 ingress packet burst; 23006 23015 ingress packet
sticky; 23007 23016 possible bubbles at ingress; 23008 ingress packet invalid dst; 23009 ingress packet parity;
23017 ingress credit parity
""",
    "fatal_per_port": """
10001 host_priv_error; 10002 host_priv_timeout; 10004 host_thermal_event_start; 10005 host_thermal_event_end; 11001
ingress invalid command; 11009 ingress invalid vcset; 11013 ingress header dbe; 11018 ingress rid dbe; 11019 ingress
rlan dbe; 11020 ingress control parity; 12001 egress crossbar overflow; 12002 egress packet route; 12022 egress
input dbe; 12024 egress output dbe; 12025 egress credit overflow; 12026 egress destination request id; 12027 egress
destination response id; 12030 egress control parity; 12031 egress credit parity; 12032 egress flit type mismatch;
14017 ts ato timeout; 15001 route buffer over/underflow; 15006 route transdone over/underflow; 15009 route glt dbe;
15010 route parity; 15012 route incoming dbe; 15013 route credit parity; 19047 ncisoc hdr dbe; 19048 ncisoc dat dbe;
19054 hdr ram dbe; 19056 dat0 ram dbe; 19058 dat1 ram dbe; 19060 creq ram hdr dbe; 19061 creq ram dat dbe; 19063
response ram hdr dbe; 19064 response ram dat dbe; 19066 com ram hdr dbe; 19067 com ram dat dbe; 19069 rsp1 ram hdr
dbe; 19070 rsp1 ram dat dbe; 20034 ltssm fault up; 22012 minion link na interrupt; 24004 sourcetrack tcen0
crubmstore dbe; 24005 sourcetrack tcen0 td crubmstore dbe; 24006 sourcetrack tcen1 crubmstore dbe; 24007 sourcetrack
timeout
""",
    "non_fatal": """
11004 ingress invalid acl; 11012 11021 11022 11023 12021 12023 15008 15011 19049 19055 19057 19059 19062 19065 19068
19071 24001 24002 24003 single bit ECC error; 12028 egress nonposted priv; 19084 an1 heartbeat timeout; 20001 tx
replay; 20009 rx short rate; 20012 broken/inconsistent connection; 22013 minion link dlreq interrupt
""",
}
# Xid 74 on Ampere and Hopper: (register from 0, its bits, what they mean); bits that are harmless are left out.
XID74 = (
    (0, (4, 5), "ECC or parity error"),
    (0, (8, 9, 12, 16, 17, 24, 28), "check seating"),
    (0, (21, 22), "marginal signal: check seating"),
    (0, (27, 29), "report it if it comes again"),
    (2, (0, 1, 2, 6), "ECC or parity error"),
    (2, (13,), "not expected: report it"),
    (2, (16, 17, 18, 19), "report it if it comes again"),
    (3, (18,), "the fabric needs a reset"),
    (4, (18, 19, 21, 22, 24, 25, 27, 28), "ECC or parity error"),
    (4, (20, 23, 26, 29), "a threshold of corrected errors was passed"),
)
XID74_HARMLESS = 1 << 0 | 1 << 23 | 1 << 30  # of the first register
XID74_ECHO = ((0, 1 << 1 | 1 << 20), (3, 1 << 16 | 1 << 17))
ECHO, HARMLESS = "an echo of another fault", "harmless"
# What to do, in words.
ACTIONS = {
    "RESTART_APP": "restart the job",
    "RESTART_VM": "restart the virtual machine that has the GPU",
    "RESET_GPU": "end its jobs, then reset it (sudo nvidia-smi -r -i {pci})",
    "RESTART_BM": "drain the host and reboot it",
    "CHECK_MECHANICALS": "check its power cables and its seat",
    "UPDATE_SWFW": "bring the driver of guest and host to versions that fit each other",
    "CONTACT_SUPPORT": "open a case with the vendor (sudo nvidia-bug-report.sh)",
    "CHECK_UVM": "reset it if programs use managed memory or vGPU",
    "WORKFLOW_XID_48": "end its jobs, then reset it (sudo nvidia-smi -r -i {pci}); then see whether rows were remapped "
    "(nvidia-smi -q -i {pci} -d ROW_REMAPPER)",
    "WORKFLOW_NVLINK_ERR": "end its jobs, then reset it (sudo nvidia-smi -r -i {pci}) and look at its links",
    "WORKFLOW_NVLINK5_ERR": "end its jobs, then reset it (sudo nvidia-smi -r -i {pci}) and look at its links",
    "XID_154_EVAL": "restart the job, and do what an Xid 154 says if one came",
    "INVESTIGATE_LINK_SI": "if it comes again, check the signal of that link: temperature, seat",
    "INVESTIGATE_LINK_SI_AND_CABLES": "if it comes again, check the signal of that link: cables, transceivers",
    "INVESTIGATE_PEER_DEVICE": "look at what is at the other end of that link",
    "INVESTIGATE_HOST": "look at the host first",
    "INVESTIGATE_SW": "if it comes again, update the driver",
}


class Code(Fact, frozen=True):
    """severity: critical (take the GPU out), warning or info, by itself. by_program: whether a program can be the
    cause: yes, maybe, rare, no. classes: what may be at fault. action, investigate: NVIDIA's words, may be empty.
    is_known: it is in the catalogue."""

    number: int
    severity: str
    by_program: str
    classes: tuple[str, ...]
    action: str
    investigate: str
    meaning: str
    is_known: bool = True


class Decoded(Fact, frozen=True):
    """An NVLink 5 error: severity: fatal (all links of the GPU go down), link-fatal, non-fatal."""

    action: str
    investigate: str
    severity: str

    @property
    def is_harmless(self) -> bool:
        return self.action == self.investigate == "IGNORE"


@cache
def _codes() -> dict[int, Code]:
    found: dict[int, Code] = {}
    for row in _XIDS.strip().split("\n"):
        numbers, severity, program, classes, action, look, meaning = row.split("|")
        for part in numbers.split(","):
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                parts = tuple(classes.strip("-").split("+")) if classes != "-" else ()
                found[number] = Code(number, severity, program, parts, action.strip("-"), look.strip("-"), meaning)
    return found


def xid(number: int) -> Code:
    """What is known of an Xid; of one that is not in the catalogue nothing but its number."""
    unknown = Code(number, "unknown", "no", (), "CONTACT_SUPPORT", "", "not in the catalogue", is_known=False)
    return _codes().get(number, unknown)


@cache
def _nvlink5() -> dict[tuple[int, str], list[tuple[str, ...]]]:
    found: dict[tuple[int, str], list[tuple[str, ...]]] = {}
    for row in _NVLINK5.strip().split("\n"):
        number, names, *rest = row.split(" ")
        for name in names.split("/"):
            found.setdefault((int(number), name), []).append(tuple(rest))
    return found


def nvlink5(number: int, names: str, words: tuple[int, ...]) -> Decoded | None:
    """What an Xid 144 to 150 means, by its unit (``NETIR_LINK_EVT`` or both names), its interrupt word and its error
    status; the worst where several bits are set, None where the table has no such row."""
    if len(words) < 2:
        return None
    rows = [row for name in names.split("/") for row in _nvlink5().get((number, name), ())]
    event, status = f"{words[0] >> 20 & 0x3F:x}", words[1]
    found: list[Decoded] = []
    for events, bits, action, look, severity in rows:
        values = [] if bits == "-" else [int(bit, 16) for bit in bits.split(",")]
        is_value = names.startswith("NETIR")
        if event in events.split(",") and (not values or any(status == v if is_value else status & v for v in values)):
            if action == "ALT":
                old, *alternate = _RXPIPE
                is_old = words[0] & 0x3FF == old
                action = "RESET_GPU" if words[0] & (0x7FF if is_old else 0xFF) in alternate else "IGNORE"
            found.append(Decoded(action, look, severity.lower()))
    return max(found, key=lambda one: (one.action == "RESET_GPU", not one.is_harmless), default=None)


def xid74(words: tuple[int, ...]) -> tuple[str, ...]:
    """What the seven registers of an Xid 74 say; alone ECHO or HARMLESS where no bit tells of its own fault, nothing
    where no bit is known."""
    said = dict.fromkeys(text for n, bits, text in XID74 if n < len(words) and any(words[n] >> bit & 1 for bit in bits))
    if said:
        return tuple(said)
    if any(n < len(words) and words[n] & mask for n, mask in XID74_ECHO):
        return (ECHO,)
    is_harmless = words[:1] and words[0] and not words[0] & ~XID74_HARMLESS and not any(words[1:])
    return (HARMLESS,) if is_harmless else ()


def sxid(number: int) -> tuple[str, str]:
    """Class (``always_fatal``, ``fatal_per_port``, ``non_fatal``; empty where not known) and name of an SXid."""
    for kind, rows in _SXIDS.items():
        for row in rows.replace("\n", " ").split("; "):
            words = row.split()
            if str(number) in words:
                return kind, " ".join(word for word in words if not word.isdigit() or len(word) != 5)
    return "", "not in the catalogue"


def in_words(action: str, pci: str) -> str:
    """What to do, as a clause; empty for what asks for nothing."""
    return ACTIONS.get(action, "").replace("{pci}", pci or "GPU")
