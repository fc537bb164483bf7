"""Output that says itself what it is: the table of its first lines, and of the lines that go on with it."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from mlopsdoc.hosts.base import words
from mlopsdoc.patterns import compiled

LOGS = ("run dmesg", "run journalctl", "read /var/log/", "run job")
_STATES = "ONLINE|DEGRADED|FAULTED|UNAVAIL|OFFLINE|REMOVED|SUSPENDED|AVAIL|INUSE"
_SECTIONS = (
    "Remapped Rows|ECC Errors|Clocks Event Reasons(?: Counters)?|Clocks Throttle Reasons|Retired Pages|Temperature"
    "|(?:GPU |Module |GPU Memory )?Power Readings|(?:FB |BAR1 )?Memory Usage|Utilization|Max Clocks|Applications Clocks"
    "|ECC Mode|MIG Mode|GPU Virtualization Mode|GPU Operation Mode|Max Customer Boost Clocks|Encoder Stats|Fabric"
    "|GPU Link Info|PCIe Generation|Ecc Mode|Default Applications Clocks|Row Remapping|Histogram|Clocks"
)
_FIELD = r"[a-z][A-Za-z0-9_.]*(?: \[[^\]]{1,12}\])?"
_KNOWN_FIELD = (
    r"(?=.*\b(?:index|name|uuid|gpu_\w+|pcie?\.\w+|power\.\w+|temperature\.\w+|utilization\.\w+|memory\.\w+|clocks[\w.]*"
    r"|driver_version|vbios_version|persistence_mode|compute_mode|enforced\.\w+|inforom\.\w+|fabric\.\w+|ecc\.\w+"
    r"|mig\.\w+|pstate|fan\.speed|retired_pages\.\w+|remapped_rows\.\w+)\b)"
)
_NO = r"(?!)"
MAX_LOOK = 4096  # characters of a line


class Shape(NamedTuple):
    """key: the question that such output answers; ``{}`` in it is the group `what` of `start`. start: what its first
    line, or any line that no other output has, begins with. more: lines that go on with it."""

    key: str
    start: str
    more: str = _NO


ROW = r"\s*\S+ +\S"
COLON = r"\s*\S[^|]{0,80}:(?:\s|$)"
INDENTED = r"[ \t]+\S"

# As dmesg, journalctl and syslog write it, in all their formats of time, the priority in front or not.
_PRIORITY = r"(?:<[0-9]{1,3}>|[a-z0-9]{3,8} {0,4}:[a-z]{3,6} {0,4}: )?"
_STAMP = (
    r"(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9:]{5}(?:\.[0-9]{1,9})?"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:]{8}\S{0,18}"
    r"|[A-Z][a-z]{2} [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}(?:\.[0-9]{1,9})?(?: (?:[A-Z]{2,5}|[+-][0-9]{2,4}))?"
    r"|[0-9]{10}\.[0-9]{6}) "
)
LOG_LINE = (
    rf"{_PRIORITY}(?:\[ {{0,8}}[0-9]{{1,9}}\.[0-9]{{6}}(?: [< ][0-9. ]{{7,17}}[> ]{{0,2}})?\](?: |$)"
    r"|\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8} [0-9]{4}\] "
    r"|\[(?:[A-Z][a-z]{2}[ 0-9][0-9] [0-9:]{5}|(?: {0,6}\+|< {0,6})[0-9]{1,9}\.[0-9]{6}>?)\] "
    rf"|{_STAMP}[\w.-]{{1,255}} [^\s:]{{1,128}}: )"
)
SHAPES: tuple[Shape, ...] = (
    Shape("read /proc/driver/nvidia/version", r"NVRM version: ", r"GCC version:"),
    # ---- logs: which of the two a line belongs to, log_key tells
    Shape("log", LOG_LINE),
    Shape("log", r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8},[0-9]{6}[+-][0-9:]{4,5} "),
    Shape("log", r"(?:<[0-9]{1,3}>)?(?:kernel: |NVRM: |nvidia-(?:nvlink|nvswitch|uvm|modeset|peermem)\S{0,12}[: ]"
                 r"|EDAC MC[0-9]|mce: |pcieport [0-9a-f:.]{7,16}: |mlx5_core [0-9a-f:.]{7,16}|nvme nvme[0-9]+: "
                 r"|md/raid[0-9]*:|\{[0-9]{1,3}\}\[Hardware Error\]|Out of memory: |oom-kill:|watchdog: BUG"
                 r"|INFO: task \S)"),
    Shape("run journalctl -u thermald", r"\[[0-9]{10}\]\[[A-Z]{3,8}\]"),
    Shape("read /var/log/fabricmanager.log",
          r"\[[A-Z][a-z]{2} [0-9]{2} [0-9]{4} [0-9:]{8}\] \[[A-Z]+\]|[Ff]abric ?[Mm]anager |Please update with match"),
    Shape("log", r"[A-Za-z][\w.@/-]{0,63}\[[0-9]{1,7}\]: "),
    Shape("log", r"systemd: \S+\.service"),
    Shape("run job", r"[^\s:]{1,64}:[0-9]{1,8}:[0-9]{1,8} \[[0-9]{1,3}\] "
                     r"|(?:\S{1,60} ){0,5}NCCL (?:WARN|INFO|TRACE|ERROR)"
                     r"|NCCL version |Traceback \(most recent|(?:[\w.]{1,80}\.)?[A-Z]\w{2,40}(?:Error|Exception): "
                     r"|CUDA (?:error|Error|failure|runtime|driver)|ggml_cuda|terminate called|time=\S+ level="
                     r"|level=\w+ msg=|slurmstepd: |srun: |mpirun|torch\.\S{1,80}Error"),
    # ---- tools
    Shape("read /proc/mdstat", r"Personalities :|md[\w/-]{1,32} : (?:active|inactive) ",
          r" {6,}\S|unused devices:|\s+\[[=>.]+\]|\s+bitmap:"),
    Shape("run zpool status", r" {0,4}pool: \S|no pools available$|all pools are healthy$|pool '\S{1,255} is healthy$",
          r" {0,4}(?:state|status|action|see|scan|config|errors|remove|checkpoint|expand|scrub|trim|dedup|comment):"
          r"(?: |$)"
          rf"|[ \t]+\S|NAME +STATE +READ|\S+ +(?:{_STATES})\b|(?:logs|cache|spares|special|dedup)(?:\s|$)"),
    Shape("run nvidia-smi -q",
          r"=+NVSMI LOG=+$|Timestamp +: [A-Z0-9]|Driver Version +: [0-9]|CUDA Version +: [0-9N]|Attached GPUs +: [0-9]"
          rf"|GPU [0-9A-F]{{8}}:[0-9A-F]{{2}}:[0-9A-F]{{2}}\.[0-7]$|(?: {{4}})?(?:{_SECTIONS})\s*$"
          r"|    (?:Product Name|Product Architecture|Persistence Mode|Performance State|Fan Speed|Serial Number"
          r"|GPU UUID|VBIOS Version|Minor Number|Processes|GPU Reset Status|GPU Recovery Action) +: ",
          r"\s{4,}\S|\s*$|[A-Z][A-Za-z0-9 ]+ +: "),
    Shape("run nvidia-smi", r"\| NVIDIA-SMI [0-9]|\| {1,3}[0-9]{1,3}  \S.{8,48}\| +[0-9A-F]{8}:[0-9A-F:]{5}\.[0-7] "
                            r"|NVIDIA-SMI has failed|Failed to initialize NVML|No devices were found"
                            r"|Unable to determine the device handle|NVIDIA-SMI couldn't find|NVML library version: ",
          r"[|+]|\s+$|NVML library|Please also try|Make sure"),
    Shape("run nvidia-smi nvlink -s", r"\s{1,16}Link [0-9]{1,2}: (?:<?inactive|[0-9.]+ GB/s|N/A)"
                                      r"|NVML: Unable to retrieve NvLink", r"GPU [0-9]{1,3}: \S"),
    Shape("run nvidia-smi nvlink -e", r"\s{1,16}Link [0-9]{1,2}: (?:Replay|Recovery|CRC|Data|ECC|Malformed|Buffer"
                                      r"|Local|Rx|Tx|Effective|Symbol|Link|Total)\b|\s{1,16}Link [0-9]{1,2}$",
          r"GPU [0-9]{1,3}: \S|\s{4,}\S+.{0,60}:"),
    Shape("run nvidia-smi -L", r"GPU [0-9]{1,3}: \S", r"\s+MIG \S"),
    Shape("run nvidia-smi topo -m", r"\s+(?:\x1b\[4m)?GPU[0-9]+\s+(?:GPU[0-9]|NIC[0-9]|mlx5_|CPU Aff)",
          r"(?:GPU|NIC)[0-9]+\s|mlx5_\w+\s|Legend:|NIC Legend:|\s+(?:X|SYS|NODE|PHB|PXB|PIX|NV#)\s+=|\s+NIC[0-9]+: "),
    Shape("run nvidia-smi pmon", r"# gpu +pid ", r"#|\s*[0-9]"),
    Shape("run nvidia-smi dmon", r"# gpu +\S|#Time +gpu|#Date +Time +gpu", r"#|\s*[0-9]"),
    # A header may be longer than what is looked at.
    Shape("run nvidia-smi --query-gpu",
          rf"(?={_FIELD},){_KNOWN_FIELD}{_FIELD}(?:, ?{_FIELD})+,? ?(?:\[[^\]]{{0,12}})?$",
          r"[^,]{1,80}, ?[^,]"),
    Shape("run numactl -H", r"available: [0-9]+ nodes?",
          r"node [0-9]+ (?:cpus|size|free):|node distances:|node\s+[0-9]|\s+[0-9]+: "),
    Shape("run numactl -s", r"policy: \S+", r"\w+: "),
    Shape("run lscpu", r"Architecture: ", COLON),
    Shape("run lspci -vvv", r"(?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7] \S"
                            r"|\s*(?:LnkCap|LnkSta|LnkCtl|ACSCtl|ACSCap|DevSta|DevCtl|UESta|CESta|UESvrt)2?:\s",
          INDENTED),
    Shape("run nvme smart-log {}", r"Smart Log for NVME device:(?P<what>[\w/]{1,32})", COLON),
    Shape("run nvme smart-log", r"critical_warning\s+: ", COLON),
    Shape("run smartctl -a", r"smartctl [0-9]|=== START OF |(?:Model Number|Device Model|Model Family):\s+\S"
                             r"|SMART overall-health|SMART/Health Information|SMART Attributes Data|Vendor Specific SM",
          rf"{COLON}|\s*[0-9]+ \S+|- |ID# |Copyright|\S.{{0,100}}\.$|\s*$|No Errors Logged|Num |Id |St "),
    Shape("run ipmitool sel elist", r" {0,6}[0-9a-f]{1,4} \| (?:[0-9]{2}/[0-9]{2}/[0-9]{2,4}|[Pp]re-[Ii]nit) *\|"),
    Shape("run ipmitool sensor", r"[^|]{1,24}\|[^|]{1,24}\|[^|]{1,24}\|[^|]{1,24}\|(?:[^|]{1,24}\|){5}[^|]{1,24}$"),
    Shape("run ipmitool sdr elist", r"[^|]{1,24}\| [0-9A-Fa-f]{2}h \| ?[a-z]{2,3} *\|"),
    Shape("run ipmitool sdr list", r"[^|]{1,24}\|[^|]{1,32}\| (?:ok|ns|nc|cr|nr|lnc|lcr|unc|ucr)\s*$"),
    Shape("run ipmi-sel", r"ID\s*[|,]\s*Date\s*[|,]\s*Time\b"
                          r"|[0-9]{1,6}\s*[|,]\s*(?:[A-Z][a-z]{2}-[0-9]{2}-[0-9]{4}|PostInit)\s*[|,]\s*[0-9:]{8}"),
    Shape("run ipmi-sensors", r"ID\s*[|,]\s*(?:Sensor )?Name\s*[|,]\s*(?:Type|Sensor)"
                              r"|[0-9]{1,6}\s*\|[^|]{1,80}\|\s*[A-Z][A-Za-z/ -]{2,40}\|(?:[^|]{0,40}\|){2,12}[^|]*$"
                              r"|[0-9]{1,6},[^,|]{1,80},[A-Z][A-Za-z/ -]{2,40},(?:[^,]{0,40},){2,12}"),
    Shape("run df -i", r"Filesystem .*\bInodes .*Mounted on$", rf"{ROW}.*(?:%| -) +/"),
    Shape("run df", r"Filesystem .*(?:Size|1K-blocks|1024-blocks) .*Mounted on$", rf"{ROW}.*(?:%| -) +/"),
    Shape("run df", r"/dev/\S{1,200} +(?:[a-z]\w{1,12} +)?[0-9.,]{1,6}[GTP](?: +[0-9.,]{1,6}[KMGTP]?){2} +[0-9]{1,3}%"
          r" +/", rf"{ROW}.*(?:%| -) +/"),
    Shape("run mdadm --detail {}", r"(?P<what>/dev/md[\w/-]{1,40}):$", INDENTED),
    Shape("run numastat -p", r"Per-node process memory usage", r".*[0-9.]{4,}|-{5,}| +Node "),
    Shape("run numastat -m", r"Per-node system memory usage", r".*[0-9.]{4,}|-{5,}| +Node "),
    Shape("run numastat", r" +node[0-9]+(?: +node[0-9]+)*\s*$|numa_hit ", r"(?:numa_|interleave_|local_|other_)\w+ "),
    Shape("run ibstat", r"CA '[\w.-]{1,64}'", INDENTED),
    Shape("run ibstatus", r"Infiniband device '", INDENTED),
    Shape("run ibv_devinfo", r"hca_id:\s", INDENTED),
    Shape("run ibv_devinfo -v", r"\s*GID\[ *[0-9]+\]:\s", INDENTED),
    Shape("run show_gids", r"DEV\s+PORT\s+INDEX\s+GID", r"\S+\s+[0-9]+\s+[0-9]+\s+[0-9a-f:]{20}|-{3}|n_gids"),
    Shape("run ethtool {}", r"Settings for (?P<what>[\w.@-]{1,16}):$", INDENTED),
    Shape("run ethtool -S", r"NIC statistics:$", INDENTED),
    Shape("run cpupower frequency-info",
          r"analyzing CPU [0-9]+:|\s+(?:driver: [a-z_]+|hardware limits: [0-9]|current policy: )",
          r"\s{2,}\S"),
    Shape("run dcgmi", r"\|\s*(?:-> |Overall Health|Diagnostic |GPU ID )|\+-+\[? ?Deployment", r"[|+]"),
    Shape("run dkms status", r"nvidia[\w-]*[/,] ?[0-9.]+.{0,80}: (?:installed|built|added)", _NO),
    Shape("run dpkg -l", r"(?:ii|rc|hi|iF|iU) {1,3}[a-z0-9][a-z0-9.+:-]+ +[0-9]|Desired=Unknown/Install", r"[|+/]"),
    Shape("run lsmod", r"Module +Size +Used by", r"\w+ +[0-9]+ +[0-9]+"),
    Shape("run systemctl status {}", r"[●○\u00d7*] (?P<what>[\w.@:-]{1,120}\.(?:service|timer|mount|socket|target))"
          r"(?: |$)",
          r"\s+[A-Z][\w ]{1,16}:|\s{5,}\S"),
    Shape("run sensors", r"[a-z0-9_]+-(?:isa|pci|virtual|i2c|acpi)-[0-9a-f]{1,4}$", rf"{COLON}|\s+\("),
    Shape("read /proc/meminfo", r"MemTotal:\s+[0-9]+ kB", r"\w+(?:\(\w+\))?:\s+[0-9]+"),
    Shape("read /proc/cpuinfo", r"processor\s*: [0-9]+$", r"[\w ]+\s*: ?"),
    Shape("read /etc/os-release", r"PRETTY_NAME=", r"[A-Z_]+="),
    Shape("run env", r"(?:NCCL|CUDA|UCX|NVIDIA)_\w+=", _NO),
    Shape("run uptime", r"\s*[0-9]{2}:[0-9]{2}:[0-9]{2} up .*load average:"),
)  # fmt: skip
# What `lspci -v` does not print.
LSPCI_DEEP = r"(?m)^[ \t]*(?:Control|Status|(?:Lnk|Dev|ACS|UE|CE|AER|Root)(?:Cap|Sta|Ctl|Svrt|Msk)2?|Region [0-9]):"
# A line that any table may begin with.
BORDER = r"\+[-=]{5,}\+$|\+-[-+]{10,}\+$|[A-Z][a-z]{2} [A-Z][a-z]{2} +[0-9]{1,2} [0-9:]{8} [0-9]{4}\s*$|={10,}$"
# Shapes so plain that they never interrupt the output of a command.
PLAIN = (
    "run env",
    "run uptime",
    "run lspci -vvv",
    "run dcgmi",
    "run nvidia-smi -q",
    "read /proc/cpuinfo",
    "run smartctl -a",
)


@cache
def _starts() -> re.Pattern[str]:
    """All of them in one. The group with the number comes last: so their first characters tell most of them apart."""
    parts = (f"(?:{shape.start.replace('(?P<what>', f'(?P<w{n}>')})(?P<s{n}>)" for n, shape in enumerate(SHAPES))
    return re.compile("|".join(parts))


@cache
def _more(n: int) -> re.Pattern[str]:
    return re.compile(SHAPES[n].more)


class Start(NamedTuple):
    """Which shape a line begins, and the question it answers."""

    number: int
    key: str


def start_of(line: str) -> Start | None:
    """The shape that a line is the beginning of."""
    match = _starts().match(line[:MAX_LOOK])
    if match is None or match.lastgroup is None:
        return None
    found = int(match.lastgroup[1:])
    key = SHAPES[found].key
    if "{}" in key:
        what = match[f"w{found}"]
        what = f"/dev/{what}" if "nvme" in key and not what.startswith("/") else what
        return Start(found, key.replace("{}", words((what.removesuffix(".service"),))))
    return Start(found, log_key(line) if key == "log" else key)


def goes_on(number: int, line: str) -> bool:
    """Whether a line goes on with a shape."""
    return _more(number).match(line[:MAX_LOOK]) is not None


HIDDEN = r"\x08\r\x1b&\xa0\u200b\ufeff"  # what a terminal shows as something else
_STAMPED = rf"(?:<[0-9]{{1,3}}>)?{_STAMP}\S+ "
_OF_KERNEL = rf"^(?:<[0-9]{{1,3}}>)?{_STAMP}([\w.-]{{1,255}}) kernel: "
NAMELESS = ("localhost", "ubuntu", "debian", "rocky", "linux", "host")
_IDENT = rf"{_STAMPED}([^\s:\[]+)(?:\[[0-9]+\])?: |([A-Za-z][\w.@/-]{{0,63}})\[[0-9]{{1,7}}\]: |(systemd): "
_OTHERS = rf"^{_STAMPED}(?!kernel[\[:])[^\s:\[]+(?:\[[0-9]+\])?: .*$"


def log_key(line: str) -> str:
    """``run dmesg`` of a line of the kernel; ``run journalctl`` of one of another program."""
    match = compiled(_IDENT).match(line)
    name = match[1] or match[2] or match[3] if match else "kernel"
    return "run dmesg" if name == "kernel" else "run journalctl"


def is_log_line(line: str) -> bool:
    """Whether a line of a log begins here."""
    return compiled(LOG_LINE).match(line) is not None


def end_of_log(text: str, at: int) -> int:
    """Where the whole lines of a log end that stand there one below the other, each as a terminal shows it."""
    match = compiled(rf"^(?!(?:{LOG_LINE})[^\n{HIDDEN}]*\n)", re.MULTILINE).search(text, at)
    return match.start() if match else len(text)


def log_hosts(text: str) -> list[str]:
    """The hosts whose kernels wrote the lines of a log, each once; not what a host is called that has no name yet."""
    names = dict.fromkeys(match[1] for match in compiled(_OF_KERNEL, re.MULTILINE).finditer(text))
    return [name for name in names if re.search("[A-Za-z]", name) and name.partition(".")[0] not in NAMELESS]


def logs_in(lines: str) -> dict[str, str]:
    """Lines of a log by `log_key`."""
    others = "\n".join(match[0] for match in compiled(_OTHERS, re.MULTILINE).finditer(lines))
    kernel = compiled(rf"{_OTHERS}\n?", re.MULTILINE).sub("", lines).removesuffix("\n") if others else lines
    return {key: text for key, text in (("run dmesg", kernel), ("run journalctl", others)) if text}
