"""The table of commands whose output is evidence: how each may be typed, and the key under which facts ask for it.

The key is `run` and the words of a Form, whatever options without meaning were typed: ``run nvidia-smi -q``,
``run dmesg`` (of `journalctl -k` of this boot too), ``run df``, ``run lspci -vvv``. What belongs to it follows:
``run journalctl -u UNIT`` and ``run systemctl status UNIT`` (without .service), ``run smartctl -a DEVICE``,
``run mdadm --detail DEVICE``, ``run ethtool -S NAME``. The tools of AS_TYPED have no forms: their key is all that was
typed. Files are ``read PATH``. In a container that is not judged, ``run docker exec container ...``.
"""

from __future__ import annotations

from typing import NamedTuple


class Form(NamedTuple):
    """One way to call a tool, by the options that are left once those without meaning are dropped.

    key: what facts ask, without ``run``; nothing stands for the command as it was typed. operands: ``none`` may
    follow; ``part``: each leaves out what is not named; ``kept``: they belong to the key; ``must``: so, and there
    is at least one; ``drop``: they change nothing. part: the form itself leaves something out.
    """

    key: str
    operands: str = "none"
    part: bool = False


class Tool(NamedTuple):
    """A tool, or one of its subcommands.

    takes: options with a value. plain: options that change nothing that a fact reads. part: options that leave
    something out. keeps: options whose value belongs to the key. same: long names and synonyms. clusters: whether
    ``-hT`` is ``-h -T``. looks: the form of an operand.
    """

    forms: dict[str, Form]
    takes: str = ""
    plain: str = ""
    part: str = ""
    keeps: str = ""
    same: str = ""
    clusters: bool = True
    looks: str = ".+"


DEVICE = r"(/dev/)?[A-Za-z][A-Za-z0-9/_.:-]*[0-9a-z]"
PATH = r"(/|\./|~|[*.]).*"
_RECORDS = "all|full|compact|event|mclocs|fru|generic"
NUMBER = r"[0-9]{1,6}"
NAME = r"[A-Za-z][A-Za-z0-9_.:@-]*"
UNIT = r"[\w.@:\\-]+"
UNIT_PROPERTIES = "LoadState,ActiveState,SubState,Result,UnitFileState,StateChangeTimestamp"  # that a fact asks for

ALONE = Tool({"": Form("")})


def _forms(tool: str, options: str, operands: str = "none") -> dict[str, Form]:
    """Options that each ask something else: the key is the tool and the option."""
    return {option: Form(f"{tool} {option}", operands) for option in options.split()}


def _of_unit(tool: str, takes: str = "", plain: str = "", same: str = "") -> Tool:
    """What is asked of a service by its name."""
    return Tool({"": Form(tool, "must")}, takes=takes, plain=plain, same=same, looks=UNIT)


# Options with a value that may stand before a subcommand.
LEAD = {
    "ipmitool": "-I -H -U -P -p -L -A -C -N -R -k -y -K -t -b -B -T -l -o -d -S -f -e",
    "nvidia-smi": "-i -f",
    "systemctl": "-p -t -H -n",
    "docker": "-H -c",
    "kubectl": "-n --context",
}


def _scrolling(name: str) -> Tool:
    """dmon and pmon: a line a GPU or a process, every second."""
    return Tool(
        {"": Form(name)},
        takes="-i -d -c -s -o -f",
        plain="-d -c -s -o -f",
        part="-i",
        same="--id=-i --delay=-d --count=-c --select=-s --options=-o --filename=-f",
        clusters=False,
    )


TOOLS: dict[str, Tool] = {
    "nvidia-smi": Tool(
        {
            "": Form("nvidia-smi"),
            "-q -x": Form("nvidia-smi -q -x"),
            "-x": Form("nvidia-smi -q -x"),
            "-q -u": Form("nvidia-smi -q -u"),
        }
        | _forms(
            "nvidia-smi",
            "-q -L --query-gpu --query-compute-apps --query-retired-pages --query-remapped-rows -mig -pm -pl -r -lgc "
            "-lmc -ac -rgc -rac -e -p",
        ),
        takes="-l -lms -f --format -mig -pm -pl -lgc -lmc -ac -e -p -i -d",
        plain="-l -lms -f --format --nounits --dtd",
        part="-i -d",
        same="--query=-q --xml-format=-x --list-gpus=-L --id=-i --display=-d --loop=-l --loop-ms=-lms --filename=-f "
        "--multi-instance-gpu=-mig --persistence-mode=-pm --power-limit=-pl --gpu-reset=-r --lock-gpu-clocks=-lgc "
        "--lock-memory-clocks=-lmc --reset-gpu-clocks=-rgc --applications-clocks=-ac --query-apps=--query-compute-apps "
        "--unit=-u --ecc-config=-e --reset-applications-clocks=-rac --reset-ecc-errors=-p",
        clusters=False,
    ),
    "nvidia-smi topo": Tool(
        _forms("nvidia-smi topo", "-m -mp -p2p -p"),
        takes="-i -p2p",
        keeps="-p2p",
        part="-i",
        same="--matrix=-m --matrix_pci=-mp --p2p=-p2p --path=-p --p2pstatus=-p2p",
        clusters=False,
    ),
    "nvidia-smi nvlink": Tool(
        _forms("nvidia-smi nvlink", "-s -e -c -p -R -gt -ec"),
        takes="-i -l -gt",
        part="-i -l",
        same="--status=-s --errorcounters=-e --capabilities=-c --pcibusid=-p --remotelinkinfo=-R --id=-i --link=-l "
        "--getthroughput=-gt --crcerrorcounters=-ec",
        clusters=False,
    ),
    "nvidia-smi dmon": _scrolling("nvidia-smi dmon"),
    "nvidia-smi pmon": _scrolling("nvidia-smi pmon"),
    "nvidia-smi mig": Tool(
        _forms("nvidia-smi mig", "-lgi -lci -lgip -lcip -lgipp"),
        takes="-i -gi",
        part="-i -gi",
        same="--list-gpu-instances=-lgi --list-compute-instances=-lci --list-gpu-instance-profiles=-lgip",
        clusters=False,
    ),
    "nvidia-smi vgpu": Tool({"": Form("nvidia-smi vgpu"), "-q": Form("nvidia-smi vgpu -q")}, clusters=False),
    "zpool status": Tool(
        {
            "": Form("zpool status", "part"),
            "-x": Form("zpool status", "part", True),
            "-j": Form("zpool status -j", "part"),
        },
        takes="-T -c",
        plain="-T -c -v -P -L -g -D -i -s -t -p -d -e --json-int --json-flat-vdevs --json-pool-key-guid",
        same="--json=-j --power=-p",
        looks=rf"[A-Za-z][A-Za-z0-9_.-]*|{NUMBER}",
    ),
    "zpool list": Tool(
        {"": Form("zpool list", "part")} | _forms("zpool list", "-v -H -j", "part"),
        takes="-T", plain="-T -p -P -L -g --json-int", same="--json=-j",
    ),
    "dmesg": Tool(
        {"": Form("dmesg"), "-J": Form("dmesg -J")},
        takes="-l -f -n -s --since --until --time-format",
        plain="-T -t -H -P -x -k -r -d -e -S -c --color -L --time-format -n --noescape",
        part="-l -f -w -W -u -s --since --until",
        same="--ctime=-T --human=-H --follow=-w --follow-new=-W --nopager=-P --decode=-x --kernel=-k --raw=-r "
        "--reltime=-e --notime=-t --level=-l --facility=-f --userspace=-u --show-delta=-d --syslog=-S "
        "--buffer-size=-s --read-clear=-c --json=-J"
        " --console-level=-n",
    ),
    "journalctl": Tool(
        {
            "": Form("journalctl", "kept"),
            "-k": Form("dmesg"),
            "_TRANSPORT=kernel": Form("dmesg"),
        }
        | _forms("journalctl", "-t -u"),
        takes="-u -p -n -S -U -g -o -t -c",
        plain="-o -a -q -x -r -l --no-hostname --no-full --utc --no-tail -b -0 -d",
        part="-p -n -S -U -g -c -e -f",
        keeps="-u -t",
        same="--dmesg=-k --unit=-u --boot=-b --since=-S --until=-U --grep=-g --priority=-p --lines=-n --output=-o "
        "--identifier=-t --no-pager=-a --all=-a --quiet=-q --catalog=-x --reverse=-r --follow=-f --full=-l "
        "--pager-end=-e --cursor=-c",
        looks=r"[A-Z_]+=\S+|/\S+",
    ),
    "lspci": Tool(
        {"": Form("lspci"), "-v": Form("lspci -v")}
        | {" ".join(["-v"] * n): Form("lspci -vvv") for n in (2, 3, 4)}
        | {option: Form("lspci -t") for option in ("-t", "-t -v", "-t -v -v")},
        takes="-s -d -i -p -A -O -F",
        plain="-n -k -D -b -P -q -Q -i -p -m -x -xxx",
        part="-s -d",
    ),
    "lscpu": Tool(
        {"": Form("lscpu"), "-J": Form("lscpu -J"), "-e": Form("lscpu -e", "kept"), "-p": Form("lscpu -p", "kept"),
         "-a -e": Form("lscpu -e", "kept"), "-C": Form("lscpu -C")},
        same="--json=-J --extended=-e --parse=-p --all=-a --caches=-C",
    ),
    "numactl": Tool(
        {"-H": Form("numactl -H"), "-s": Form("numactl -s")}, same="--hardware=-H --show=-s"
    ),
    "numastat": Tool(
        {"": Form("numastat", "kept"), "-m": Form("numastat -m"), "-n": Form("numastat -n"), "-p": Form("numastat -p")},
        plain="-c -v -z", keeps="-p", takes="-p", looks=NUMBER,
    ),
    "df": Tool(
        {"": Form("df", "part"), "-H": Form("df -H", "part"),
         "-i": Form("df -i", "part"), "-H -i": Form("df -i", "part")},
        takes="-t -x",
        plain="-h -k -T -a -P --sync --no-sync --total",
        part="-t -x -l",
        same="--human-readable=-h --si=-H --print-type=-T --all=-a --portability=-P --inodes=-i --local=-l --type=-t "
        "--exclude-type=-x",
        looks=PATH,
    ),
    "ipmitool sdr": Tool({"": Form("ipmitool sdr list")}),
    "ipmitool sdr list": Tool({"": Form("ipmitool sdr list", "part")}, looks=_RECORDS),
    "ipmitool sdr elist": Tool({"": Form("ipmitool sdr elist", "part")}, looks=_RECORDS),
    **dict.fromkeys(
        ("ipmitool sdr type", "ipmitool sdr entity"), Tool({"": Form("ipmitool sdr elist", "part", True)})
    ),
    **dict.fromkeys(("ipmitool sensor", "ipmitool sensor list"), Tool({"": Form("ipmitool sensor")})),
    **dict.fromkeys(("ipmitool sel", "ipmitool sel info"), Tool({"": Form("ipmitool sel info")})),
    **dict.fromkeys(
        ("ipmitool sel list", "ipmitool sel elist"),
        Tool({"": Form("ipmitool sel elist", "part")}, looks="first|last|[0-9]+"),
    ),
    "ipmi-sensors": Tool(
        {"": Form("ipmi-sensors"), "-v": Form("ipmi-sensors -v")},
        takes="-t -h -u -p -r -s -W -D -l -R -T -n --sensor-types --record-ids",
        plain="-h -u -p -W -D -l --output-sensor-state --no-header-output --comma-separated-output --legacy-output "
        "--output-event-bitmask --no-sensor-type-output --quiet-cache --sdr-cache-recreate --entity-sensor-names "
        "--output-sensor-thresholds --interpret-oem-data --non-abbreviated-units --ignore-not-available-sensors",
        part="-t -r -n -s -R -T",
        same="--sensor-types=-t --record-ids=-r --hostname=-h --username=-u --password=-p --workaround-flags=-W "
        "--driver-type=-D --verbose=-v --exclude-sensor-types=-T --exclude-record-ids=-R --privilege-level=-l",
    ),
    "ipmi-sel": Tool(
        {"": Form("ipmi-sel"), "-v": Form("ipmi-sel -v"), "-i": Form("ipmi-sel -i")},
        takes="-h -u -p -W -D -l --date-range --tail --display -d -T -t",
        plain="-h -u -p -W -D -l --output-event-state --no-header-output --comma-separated-output --legacy-output "
        "--system-event-only --output-manufacturer-id --quiet-cache --interpret-oem-data --entity-sensor-names "
        "--assume-system-event-records --non-abbreviated-units",
        part="--date-range --tail --display -d -T -t",
        same="--hostname=-h --username=-u --password=-p --workaround-flags=-W --driver-type=-D --verbose=-v --info=-i "
        "--sensor-types=-t --exclude-sensor-types=-T --privilege-level=-l --display-range=-d",
    ),
    "mdadm": Tool(
        {"-D": Form("mdadm --detail", "must"), "-E": Form("mdadm --examine", "must"),
         "-D -s": Form("mdadm --detail --scan")},
        plain="-v -b",
        same="--detail=-D --examine=-E --scan=-s --verbose=-v --brief=-b",
        looks=DEVICE,
    ),
    "smartctl": Tool(
        {"": Form("smartctl -a", "must"), "-j": Form("smartctl -j -a", "must"), "--scan": Form("smartctl --scan")},
        takes="-d -l -n -T -v -f",
        plain="-d -a -x -n -T -v -f",
        part="-A -H -i -c -l",
        same="--all=-a --xall=-x --health=-H --attributes=-A --info=-i --json=-j --log=-l --device=-d "
        "--capabilities=-c",
        looks=DEVICE,
    ),
    "nvme smart-log": Tool(
        {"": Form("nvme smart-log", "must"), "-o json": Form("nvme smart-log -o json", "must")},
        takes="-n -o", plain="-n -H -v", keeps="-o",
        same="--output-format=-o --namespace-id=-n --human-readable=-H", looks=DEVICE,
    ),
    "nvme list": Tool({"": Form("nvme list"), "-o json": Form("nvme list -o json")}, takes="-o", keeps="-o", plain="-v",
                      same="--output-format=-o"),
    "ibstat": Tool({"": Form("ibstat", "part")}, part="-s -p -l", looks=NAME),
    "ibstatus": Tool({"": Form("ibstatus", "part")}, looks=NAME),
    "ibv_devinfo": Tool({"": Form("ibv_devinfo"), "-v": Form("ibv_devinfo -v")}, takes="-d -i", part="-d -i -l"),
    "show_gids": Tool({"": Form("show_gids", "part")}, looks=NAME),
    "ethtool": Tool(
        {"": Form("ethtool", "must")}
        | _forms("ethtool", "-S -c -i -g -k -m -a -P -T -l -x --show-fec", "must"),
        same="--statistics=-S --driver=-i --module-info=-m --show-ring=-g --show-pause=-a --show-features=-k "
        "--show-coalesce=-c --show-channels=-l",
        looks=NAME,
    ),
    "cpupower frequency-info": Tool({"": Form("cpupower frequency-info")}, takes="-c", part="-c"),
    "rdmsr": Tool(
        {"": Form("rdmsr", "must"), "-f": Form("rdmsr -f", "must"), "-d": Form("rdmsr -d", "must")},
        takes="-p -f", plain="-0 -c -x", part="-p -a",
        keeps="-f", same="--decimal=-d --processor=-p --bitfield=-f --all=-a", looks=r"(0x)?[0-9A-Fa-f]+",
    ),
    "systemctl status": _of_unit(
        "systemctl status", "-n -o", "-n -o -l -a", "--lines=-n --output=-o --full=-l --all=-a"
    ),
    **{name: _of_unit(name) for name in ("systemctl is-active", "systemctl is-enabled", "systemctl is-failed")},
    "systemctl show": Tool(
        {"": Form(f"systemctl show -p {UNIT_PROPERTIES}", "must")},
        takes="-p", plain="-p -a -l", part="-p", same="--property=-p --all=-a --full=-l", looks=UNIT,
    ),
    "dcgmi": Tool({"-v": Form("dcgmi -v")}, same="--version=-v"),
    **{f"rdma {of}": Tool({"": Form(f"rdma {of}", "drop"), "-d": Form(f"rdma {of}", "drop")}, looks="show|list")
       for of in ("link", "dev")},
    "ibdev2netdev": Tool({"": Form("ibdev2netdev"), "-v": Form("ibdev2netdev -v")}),
    "edac-util": Tool(
        {"": Form("edac-util"), "-r": Form("edac-util -r", "part")} | _forms("edac-util", "-v -s"),
        same="--verbose=-v --status=-s --report=-r",
    ),
    "ras-mc-ctl": Tool(
        _forms("ras-mc-ctl", "--errors --summary --error-count --status --layout --mainboard --print-labels")
    ),
    "dkms status": Tool({"": Form("dkms status", "part"), "-m": Form("dkms status", "part", True)}, takes="-m -v -k",
                        part="-v -k", looks=r"\S+"),
    "uname": Tool({"": Form("uname")} | _forms("uname", "-r -a -m -n -v"),
                  same="--kernel-release=-r --all=-a --nodename=-n"),
    "hostname": Tool({"": Form("hostname"), "-s": Form("hostname"), "-f": Form("hostname -f")}),
    "date": Tool({"": Form("date", "drop")}, plain="-u -R -I -s --iso-8601 --rfc-3339", same="--utc=-u", looks=r"\+.+"),
    "uptime": Tool({"": Form("uptime")} | _forms("uptime", "-s -p")),
    "free": Tool({"": Form("free")} | _forms("free", "-h -m -g -b -k")),
    "dpkg": Tool({"-l": Form("dpkg -l", "part")}, same="--list=-l"),
    **dict.fromkeys(
        ("lsmod", "mount", "env", "nproc", "whoami", "w", "who", "ipmitool sdr info", "ipmitool sel clear"), ALONE
    ),
}  # fmt: skip

# Their output is what they were asked for, whatever that was: the key is the command as it was typed.
AS_TYPED = (
    "apt list, apt policy, apt-cache policy, apt-mark, arc_summary, arcconf, arcstat, bandwidthTest, bcache, "
    "beegfs-ctl, bjobs, blkid, bmc-info, bpftrace, btrfs, chronyc, cma_roce_mode, coredumpctl, cpuid, cpupower "
    "idle-info, cpupower monitor, crictl, cryptsetup, ctr, dcb, dcgmi config, dcgmi diag, dcgmi discovery, "
    "dcgmi dmon, dcgmi group, dcgmi health, dcgmi modules, dcgmi nvlink, dcgmi policy, dcgmi profile, dcgmi stats, "
    "dcgmi topo, deviceQuery, dkms autoinstall, dkms build, dkms install, dmidecode, dnf list, docker info, docker "
    "inspect, docker logs, docker ps, docker stats, dpkg-query, dracut, du, efibootmgr, fdisk, findmnt, flint, fuser, "
    "fwupdmgr, gdrcopy_copybw, getconf, gpustat, grub2-editenv, hdparm, helm, hwloc-ls, ibcheckerrors, ibdiagnet, "
    "iblinkinfo, ibping, ibqueryerrors, id, iostat, ip, ip a, ip addr, ip link, ip route, ipmi-chassis, ipmi-dcmi, "
    "ipmi-fru, ipmi-power, ipmitool bmc, ipmitool channel, ipmitool chassis, ipmitool dcmi, ipmitool delloem, "
    "ipmitool event, ipmitool fru, ipmitool lan, ipmitool mc, ipmitool pef, ipmitool power, ipmitool raw, ipmitool "
    "sdr get, ipmitool sel get, ipmitool sel time, ipmitool sensor get, ipmitool sensor reading, ipmitool session, "
    "ipmitool sunoem, ipmitool supermicro, ipmitool user, irqbalance, kubectl, lctl, ldconfig, lfs, lldpctl, "
    "loginctl, lsb_release, lsblk, lshw, lsinitramfs, lsof, lsscsi, lstopo, lstopo-no-graphics, lvdisplay, lvs, "
    "mcelog, megacli, mlnx_qos, mlxconfig, mlxfwmanager, mlxlink, mmlsfs, modinfo, modprobe, mokutil, mpathadm, "
    "mpstat, mst, mstlink, multipath, mvcli, nccl-tests, nfsiostat, nfsstat, numad, nv-fabricmanager, nvbandwidth, "
    "nvcc, nvidia-bug-report.sh, nvidia-container-cli, nvidia-ctk, nvidia-debugdump, nvidia-imex, nvidia-imex-ctl, "
    "nvidia-modprobe, nvidia-persistenced, nvidia-settings, nvidia-smi conf-compute, nvme error-log, nvme fw-log, "
    "nvme get-feature, nvme get-log, nvme id-ctrl, nvme id-ns, nvme intel, nvme list-subsys, nvme micron, nvme ocp, "
    "nvme sanitize-log, nvme self-test-log, nvme show-regs, nvme wdc, nvswitch-audit, nvtop, ofed_info, "
    "p2pBandwidthLatencyTest, perccli64, perfquery, pidstat, podman info, podman logs, podman ps, printenv, "
    "prlimit, ps, pvdisplay, pvs, qstat, racadm, rdma, rdma res, rdma statistic, redfishtool, rocm-smi, rpcinfo, rpm, "
    "sacct, sacctmgr, saquery, sar, sas2ircu, sas3ircu, scontrol, sdiag, sensors, sestatus, setpci, sg_logs, sg_ses, "
    "showmount, sinfo, sminfo, smpquery, squeue, ss, ssacli, sstat, storcli, storcli64, sysctl, systemctl --failed, "
    "systemctl --version, systemctl cat, systemctl daemon-reload, systemctl disable, systemctl enable, systemctl "
    "list-dependencies, systemctl list-timers, systemctl list-unit-files, systemctl list-units, systemctl reload, "
    "systemctl restart, systemctl start, systemctl stop, systemd-analyze, systemd-cgls, "
    "systemd-detect-virt, taskset, tc, timedatectl, top, tune2fs, tuned-adm, turbostat, ulimit, update-initramfs, "
    "vgdisplay, vgs, virt-what, vmstat, x86_energy_perf_policy, xfs_info, yum list, zdb, zfs get, zfs list, "
    "zpool clear, zpool events, zpool get, zpool history, zpool import, zpool iostat, zpool labelclear, zpool "
    "offline, zpool online, zpool replace, zpool scrub "
)
TOOLS.update({name.strip(): Tool({"*": Form("", "kept")}) for name in AS_TYPED.split(",")})

# They read no health, but say that a command was typed; what they print is looked at for what it is.
OTHERS = frozenset(
    word
    for line in (
        "ls cat grep egrep fgrep zgrep head tail more less zcat sed awk readlink stat find test [ echo printf cd",
        "export sleep clear for if while sudo su ssh curl wget python python3 torchrun mpirun srun sbatch make strings",
        "bash sh docker podman nerdctl kubectl git pip apt yum dnf systemctl kill pkill reboot exit logout watch time",
        "ipmitool zpool zfs nvme dcgmi dkms cpupower which type file wc sort uniq md5sum ping iperf3 ib_write_bw",
        "ib_read_bw nvidia-smi apt-get set unset source mkdir rm cp mv tee fio dd nsys all_reduce_perf",
    )
    for word in line.split()
)
