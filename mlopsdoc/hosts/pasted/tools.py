"""The table of commands whose output is evidence: how each may be typed, and the key under which facts ask for it.

The key is `run` and the words of a Form, whatever options without meaning were typed: ``run nvidia-smi -q``,
``run dmesg`` (of `journalctl -k` of this boot too), ``run df``, ``run lspci -vvv``. What belongs to it follows:
``run journalctl -u UNIT`` and ``run systemctl status UNIT`` (without .service), ``run smartctl -a DEVICE``,
``run mdadm --detail DEVICE``, ``run ethtool -S NAME``. The tools of AS_TYPED have no forms: their key is all that was
typed. Files are ``read PATH``. In a container that is not judged, ``run docker exec container ...``.
"""

from __future__ import annotations

from itertools import chain
from typing import NamedTuple


class Form(NamedTuple):
    """One way to call a tool, by the options that are left once those without meaning are dropped.

    key: what facts ask, without ``run``. operands: ``none`` may follow; ``part``: each leaves out what is not named;
    ``kept``: they belong to the key; ``must``: so, and there is at least one; ``drop``: they change nothing. part: the
    form itself leaves something out.
    """

    key: str
    operands: str = "none"
    part: bool = False


class Tool(NamedTuple):
    """A tool, or one of its subcommands, as `tool` makes it: sets of options, each by the one of its names that counts.

    forms: by the options that are left, none where the key is all that was typed. same: that name of all other ones.
    takes: options with a value. plain: options that change nothing that a fact reads. part: options that leave
    something out. keeps: options whose value belongs to the key. looks: the form of an operand. clusters: whether
    ``-hT`` is ``-h -T``.
    """

    forms: dict[str, Form]
    same: dict[str, str] = {}
    takes: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    part: frozenset[str] = frozenset()
    keeps: frozenset[str] = frozenset()
    looks: str = ".+"
    clusters: bool = True


def tool(
    key: str,
    asks: str = ".",
    operands: str = "none",
    forms: dict[str, Form] | None = None,
    *,
    plain: str = "",
    part: str = "",
    keeps: str = "",
    names: str = "",
    looks: str = ".+",
) -> Tool:
    """A row. Options are written with all their names: ``-i=/--id`` takes a value. asks: options that each ask
    something else, the key is the tool and the option; a dot stands for none. forms: where that is not so. names:
    options that only forms have."""
    columns = [[word.split("/") for word in column.split()] for column in (asks, plain, part, keeps, names)]
    spelled = list(chain(*columns))
    takes = frozenset(first[:-1] for first, *_ in spelled if first[-1] == "=")
    same = {other: first.rstrip("=") for first, *others in spelled for other in others}
    asked, plains, parts, kept, _ = (frozenset(first.rstrip("=") for first, *_ in column) for column in columns)
    own = {"" if option == "." else option: Form(f"{key} {option}".removesuffix(" ."), operands) for option in asked}
    return Tool(own | (forms or {}), same, takes, plains, parts, kept, looks, not key.startswith("nvidia-smi"))


DEVICE = r"(/dev/)?[A-Za-z][A-Za-z0-9/_.:-]*[0-9a-z]"
PATH = r"(/|\./|~|[*.]).*"
_RECORDS = "all|full|compact|event|mclocs|fru|generic"
NUMBER = r"[0-9]{1,6}"
NAME = r"[A-Za-z][A-Za-z0-9_.:@-]*"
UNIT = r"[\w.@:\\-]+"
UNIT_PROPERTIES = "LoadState,ActiveState,SubState,Result,UnitFileState,StateChangeTimestamp"  # that a fact asks for
_FREEIPMI = (
    "-h=/--hostname -u=/--username -p=/--password -W=/--workaround-flags -D=/--driver-type -l=/--privilege-level "
    "--no-header-output --comma-separated-output --legacy-output --quiet-cache --interpret-oem-data "
    "--entity-sensor-names --non-abbreviated-units "
)

# Options with a value that may stand before a subcommand.
LEAD = {
    "ipmitool": "-I -H -U -P -p -L -A -C -N -R -k -y -K -t -b -B -T -l -o -d -S -f -e",
    "nvidia-smi": "-i -f",
    "systemctl": "-p -t -H -n",
    "docker": "-H -c",
    "kubectl": "-n --context",
}

TOOLS: dict[str, Tool] = {
    "nvidia-smi": tool(
        "nvidia-smi",
        ". -q/--query -L/--list-gpus --query-gpu --query-compute-apps/--query-apps --query-retired-pages "
        "--query-remapped-rows -mig=/--multi-instance-gpu -pm=/--persistence-mode -pl=/--power-limit -r/--gpu-reset "
        "-lgc=/--lock-gpu-clocks -lmc=/--lock-memory-clocks -ac=/--applications-clocks -rgc/--reset-gpu-clocks "
        "-rac/--reset-applications-clocks -e=/--ecc-config -p=/--reset-ecc-errors",
        forms={"-q -x": Form("nvidia-smi -q -x"), "-x": Form("nvidia-smi -q -x"), "-q -u": Form("nvidia-smi -q -u")},
        plain="-l=/--loop -lms=/--loop-ms -f=/--filename --format= --nounits --dtd",
        part="-i=/--id -d=/--display",
        names="-x/--xml-format -u/--unit",
    ),
    "nvidia-smi topo": tool("nvidia-smi topo", "-m/--matrix -mp/--matrix_pci -p2p -p/--path", part="-i=",
                             keeps="-p2p=/--p2p/--p2pstatus"),
    "nvidia-smi nvlink": tool(
        "nvidia-smi nvlink",
        "-s/--status -e/--errorcounters -c/--capabilities -p/--pcibusid -R/--remotelinkinfo -gt=/--getthroughput "
        "-ec/--crcerrorcounters",
        part="-i=/--id -l=/--link",
    ),
    **{f"nvidia-smi {of}": tool(
        f"nvidia-smi {of}", plain="-d=/--delay -c=/--count -s=/--select -o=/--options -f=/--filename", part="-i=/--id"
    ) for of in ("dmon", "pmon")},
    "nvidia-smi mig": tool(
        "nvidia-smi mig",
        "-lgi/--list-gpu-instances -lci/--list-compute-instances -lgip/--list-gpu-instance-profiles -lcip -lgipp",
        part="-i= -gi=",
    ),
    "nvidia-smi vgpu": tool("nvidia-smi vgpu", ". -q"),
    "zpool status": tool(
        "zpool status", ". -j/--json", "part", {"-x": Form("zpool status", "part", True)},
        plain="-T= -c= -v -P -L -g -D -i -s -t -p/--power -d -e --json-int --json-flat-vdevs --json-pool-key-guid",
        looks=rf"[A-Za-z][A-Za-z0-9_.-]*|{NUMBER}",
    ),
    "zpool list": tool("zpool list", ". -v -H -j/--json", "part", plain="-T= -p -P -L -g --json-int"),
    "dmesg": tool(
        "dmesg", ". -J/--json",
        plain="-T/--ctime -t/--notime -H/--human -P/--nopager -x/--decode -k/--kernel -r/--raw -d/--show-delta "
        "-e/--reltime -S/--syslog -c/--read-clear --color -L --time-format= -n=/--console-level --noescape",
        part="-l=/--level -f=/--facility -w/--follow -W/--follow-new -u/--userspace -s=/--buffer-size --since= "
        "--until=",
    ),
    "journalctl": tool(
        "journalctl", "-t -u", forms={"": Form("journalctl", "kept"), "-k": Form("dmesg")},
        plain="-o=/--output -a/--all/--no-pager -q/--quiet -x/--catalog -r/--reverse -l/--full --no-hostname --no-full "
        "--utc --no-tail -b/--boot -0 -d",
        part="-p=/--priority -n=/--lines -S=/--since -U=/--until -g=/--grep -c=/--cursor -e/--pager-end -f/--follow",
        keeps="-u=/--unit -t=/--identifier", names="-k/--dmesg", looks=r"[A-Z_]+=\S+|/\S+",
    ),
    "lspci": tool(
        "lspci", ". -v",
        forms={" ".join(["-v"] * n): Form("lspci -vvv") for n in (2, 3, 4)}
        | {option: Form("lspci -t") for option in ("-t", "-t -v", "-t -v -v")},
        plain="-n -k -D -b -P -q -Q -i= -p= -m -x -xxx", part="-s= -d=",
    ),
    "lscpu": tool(
        "lscpu", ". -J/--json -C/--caches",
        forms={"-e": Form("lscpu -e", "kept"), "-a -e": Form("lscpu -e", "kept"), "-p": Form("lscpu -p", "kept")},
        names="-e/--extended -p/--parse -a/--all",
    ),
    "numactl": tool("numactl", "-H/--hardware -s/--show"),
    "numastat": tool("numastat", "-m -n -p", forms={"": Form("numastat", "kept")}, plain="-c -v -z", keeps="-p=",
                      looks=NUMBER),
    "df": tool(
        "df", ". -H/--si -i/--inodes", "part", {"-H -i": Form("df -i", "part")},
        plain="-h/--human-readable -k -T/--print-type -a/--all -P/--portability --sync --no-sync --total",
        part="-t=/--type -x=/--exclude-type -l/--local", looks=PATH,
    ),
    "ipmitool sdr": tool("ipmitool sdr list"),
    "ipmitool sdr list": tool("ipmitool sdr list", ".", "part", looks=_RECORDS),
    "ipmitool sdr elist": tool("ipmitool sdr elist", ".", "part", looks=_RECORDS),
    **dict.fromkeys(
        ("ipmitool sdr type", "ipmitool sdr entity"), Tool({"": Form("ipmitool sdr elist", "part", True)})
    ),
    **dict.fromkeys(("ipmitool sensor", "ipmitool sensor list"), tool("ipmitool sensor")),
    **dict.fromkeys(("ipmitool sel", "ipmitool sel info"), tool("ipmitool sel info")),
    **dict.fromkeys(
        ("ipmitool sel list", "ipmitool sel elist"), tool("ipmitool sel elist", ".", "part", looks="first|last|[0-9]+")
    ),
    "ipmi-sensors": tool(
        "ipmi-sensors", ". -v/--verbose",
        plain=_FREEIPMI + "--output-sensor-state --output-event-bitmask --no-sensor-type-output "
        "--sdr-cache-recreate --output-sensor-thresholds --ignore-not-available-sensors",
        part="-t=/--sensor-types -r=/--record-ids -R=/--exclude-record-ids -T=/--exclude-sensor-types -n= -s=",
    ),
    "ipmi-sel": tool(
        "ipmi-sel", ". -v/--verbose -i/--info",
        plain=_FREEIPMI + "--output-event-state --system-event-only --output-manufacturer-id "
        "--assume-system-event-records",
        part="--date-range= --tail= --display= -d=/--display-range -t=/--sensor-types -T=/--exclude-sensor-types",
    ),
    "mdadm": tool(
        "mdadm", "",
        forms={"-D": Form("mdadm --detail", "must"), "-E": Form("mdadm --examine", "must"),
               "-D -s": Form("mdadm --detail --scan")},
        plain="-v/--verbose -b/--brief", names="-D/--detail -E/--examine -s/--scan", looks=DEVICE,
    ),
    "smartctl": tool(
        "smartctl", "--scan",
        forms={"": Form("smartctl -a", "must"), "-j": Form("smartctl -j -a", "must")},
        plain="-d=/--device -a/--all -x/--xall -n= -T= -v= -f=", names="-j/--json",
        part="-A/--attributes -H/--health -i/--info -c/--capabilities -l=/--log", looks=DEVICE,
    ),
    "nvme smart-log": tool(
        "nvme smart-log", ".", "must", {"-o json": Form("nvme smart-log -o json", "must")},
        plain="-n=/--namespace-id -H/--human-readable -v", keeps="-o=/--output-format", looks=DEVICE,
    ),
    "nvme list": tool("nvme list", forms={"-o json": Form("nvme list -o json")}, keeps="-o=/--output-format",
                       plain="-v"),
    "ibstat": tool("ibstat", ".", "part", part="-s -p -l", looks=NAME),
    "ibstatus": tool("ibstatus", ".", "part", looks=NAME),
    "ibv_devinfo": tool("ibv_devinfo", ". -v", part="-d= -i= -l"),
    "show_gids": tool("show_gids", ".", "part", looks=NAME),
    "ethtool": tool(
        "ethtool",
        ". -S/--statistics -c/--show-coalesce -i/--driver -g/--show-ring -k/--show-features -m/--module-info "
        "-a/--show-pause -P -T -l/--show-channels -x --show-fec",
        "must", looks=NAME,
    ),
    "cpupower frequency-info": tool("cpupower frequency-info", part="-c="),
    "rdmsr": tool(
        "rdmsr", ". -f -d/--decimal", "must", plain="-0 -c -x", part="-p=/--processor -a/--all", keeps="-f=/--bitfield",
        looks=r"(0x)?[0-9A-Fa-f]+",
    ),
    "systemctl status": tool("systemctl status", ".", "must", plain="-n=/--lines -o=/--output -l/--full -a/--all",
                              looks=UNIT),
    **{name: tool(name, ".", "must", looks=UNIT)
       for name in ("systemctl is-active", "systemctl is-enabled", "systemctl is-failed")},
    "systemctl show": tool(f"systemctl show -p {UNIT_PROPERTIES}", ".", "must", plain="-a/--all -l/--full",
                            part="-p=/--property", looks=UNIT),
    "dcgmi": tool("dcgmi", "-v/--version"),
    **{f"rdma {of}": tool(f"rdma {of}", ".", "drop", {"-d": Form(f"rdma {of}", "drop")}, looks="show|list")
       for of in ("link", "dev")},
    "ibdev2netdev": tool("ibdev2netdev", ". -v"),
    "edac-util": tool("edac-util", ". -v/--verbose -s/--status", forms={"-r": Form("edac-util -r", "part")},
                       names="-r/--report"),
    "ras-mc-ctl": tool(
        "ras-mc-ctl", "--errors --summary --error-count --status --layout --mainboard --print-labels"
    ),
    "dkms status": tool("dkms status", ".", "part", {"-m": Form("dkms status", "part", True)}, part="-v= -k=",
                         names="-m=", looks=r"\S+"),
    "uname": tool("uname", ". -r/--kernel-release -a/--all -m -n/--nodename -v"),
    "hostname": tool("hostname", ". -f", forms={"-s": Form("hostname")}),
    "date": tool("date", ".", "drop", plain="-u/--utc -R -I -s --iso-8601 --rfc-3339", looks=r"\+.+"),
    "uptime": tool("uptime", ". -s -p"),
    "free": tool("free", ". -h -m -g -b -k"),
    "dpkg": tool("dpkg", "-l/--list", "part"),
    **{name: tool(name) for name in (
        "lsmod", "mount", "env", "nproc", "whoami", "w", "who", "ipmitool sdr info", "ipmitool sel clear")},
}  # fmt: skip

# Their output is what they were asked for, whatever that was: the key is the command as it was typed.
AS_TYPED = (
    "apt (list policy); apt-cache (policy); apt-mark; arc_summary; arcconf; arcstat; bandwidthTest; bcache; "
    "beegfs-ctl; bjobs; blkid; bmc-info; bpftrace; btrfs; chronyc; cma_roce_mode; coredumpctl; cpuid; cpupower "
    "(idle-info monitor); crictl; cryptsetup; ctr; dcb; dcgmi (config diag discovery dmon group health modules nvlink "
    "policy profile stats topo); deviceQuery; dkms (autoinstall build install); dmidecode; dnf (list); docker (info "
    "inspect logs ps stats); dpkg-query; dracut; du; efibootmgr; fdisk; findmnt; flint; fuser; fwupdmgr; "
    "gdrcopy_copybw; getconf; gpustat; grub2-editenv; hdparm; helm; hwloc-ls; ibcheckerrors; ibdiagnet; iblinkinfo; "
    "ibping; ibqueryerrors; id; iostat; ip; ip (a addr link route); ipmi-chassis; ipmi-dcmi; ipmi-fru; ipmi-power; "
    "ipmitool (bmc channel chassis dcmi delloem event fru lan mc pef power raw session sunoem supermicro user); "
    "ipmitool sdr (get); ipmitool sel (get time); ipmitool sensor (get reading); irqbalance; kubectl; lctl; ldconfig; "
    "lfs; lldpctl; loginctl; lsb_release; lsblk; lshw; lsinitramfs; lsof; lsscsi; lstopo; lstopo-no-graphics; "
    "lvdisplay; lvs; mcelog; megacli; mlnx_qos; mlxconfig; mlxfwmanager; mlxlink; mmlsfs; modinfo; modprobe; mokutil; "
    "mpathadm; mpstat; mst; mstlink; multipath; mvcli; nccl-tests; nfsiostat; nfsstat; numad; nv-fabricmanager; "
    "nvbandwidth; nvcc; nvidia-bug-report.sh; nvidia-container-cli; nvidia-ctk; nvidia-debugdump; nvidia-imex; "
    "nvidia-imex-ctl; nvidia-modprobe; nvidia-persistenced; nvidia-settings; nvidia-smi (conf-compute); nvme "
    "(error-log fw-log get-feature get-log id-ctrl id-ns intel list-subsys micron ocp sanitize-log self-test-log "
    "show-regs wdc); nvswitch-audit; nvtop; ofed_info; p2pBandwidthLatencyTest; perccli64; perfquery; pidstat; podman "
    "(info logs ps); printenv; prlimit; ps; pvdisplay; pvs; qstat; racadm; rdma; rdma (res statistic); redfishtool; "
    "rocm-smi; rpcinfo; rpm; sacct; sacctmgr; saquery; sar; sas2ircu; sas3ircu; scontrol; sdiag; sensors; sestatus; "
    "setpci; sg_logs; sg_ses; showmount; sinfo; sminfo; smpquery; squeue; ss; ssacli; sstat; storcli; storcli64; "
    "sysctl; systemctl (--failed --version cat daemon-reload disable enable list-dependencies list-timers "
    "list-unit-files list-units reload restart start stop); systemd-analyze; systemd-cgls; systemd-detect-virt; "
    "taskset; tc; timedatectl; top; tune2fs; tuned-adm; turbostat; ulimit; update-initramfs; vgdisplay; vgs; "
    "virt-what; vmstat; x86_energy_perf_policy; xfs_info; yum (list); zdb; zfs (get list); zpool (clear events get "
    "history import iostat labelclear offline online replace scrub)"
)
for _typed in AS_TYPED.split(";"):
    _name, _, _subcommands = _typed.strip().rstrip(")").partition(" (")
    TOOLS.update(dict.fromkeys([f"{_name} {of}" for of in _subcommands.split()] or [_name], Tool({})))

# They read no health, but say that a command was typed; what they print is looked at for what it is.
_OTHERS = (
    "ls cat grep egrep fgrep zgrep head tail more less zcat sed awk readlink stat find test [ echo printf cd "
    "export sleep clear for if while sudo su ssh curl wget python python3 torchrun mpirun srun sbatch make strings "
    "bash sh docker podman nerdctl kubectl git pip apt yum dnf systemctl kill pkill reboot exit logout watch time "
    "ipmitool zpool zfs nvme dcgmi dkms cpupower which type file wc sort uniq md5sum ping iperf3 ib_write_bw "
    "ib_read_bw nvidia-smi apt-get set unset source mkdir rm cp mv tee fio dd nsys all_reduce_perf"
)
OTHERS = frozenset(_OTHERS.split())
