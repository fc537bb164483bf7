"""Which commands change a machine, and how much at least: what lint holds the touch word of a step against.

A table of what people write into runbooks, and no guard: a command that is not named here may do anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

from msgspec import Struct

from mlopsdoc.runbook.shell import Command, Script, TooDeep, is_name, scan

# Program, or program and first word: the words that make it write, and the least touch it then has.
# "x*" any word that begins so; "x+", "x++" that word with one or two more after it; "!x" it only looks when this is
# there. Without words other than "!x" it always writes. Of two rows for one program the last that matches counts.
_TABLE = """
zpool          tune  scrub clear online offline replace attach detach add remove create set upgrade trim initialize
zpool          tune  import+ resilver reguid split reopen checkpoint sync
zpool          kills destroy export labelclear
zfs            tune  set inherit create snapshot hold release promote rename clone bookmark allow unallow load-key mount
zfs            kills destroy rollback receive recv unmount umount unload-key
nvidia-smi     tune  -pm* --persistence-mode* -pl* --power-limit* -lgc* --lock-gpu-clocks* -rgc --reset-gpu-clocks
nvidia-smi     tune  -lmc* --lock-memory-clocks* -rmc --reset-memory-clocks -ac* --applications-clocks* -rac
nvidia-smi     tune  --reset-applications-clocks -p --reset-ecc-errors* -am --accounting-mode* -caa -e --ecc-config*
nvidia-smi     tune  -f --filename* -acp --auto-boost-default* --auto-boost-permission* -gtt* --gpu-target-temp*
nvidia-smi     jobs  -c --compute-mode* -mig* --multi-instance-gpu* --gom* -fdm* -dm*
nvidia-smi     kills -r --gpu-reset* -r=*
nvidia-smi/nvlink tune -r* --reseterrorcounters* -sLowPwrThres* -sc --setcontrol*
nvidia-smi/mig kills -cgi* -dgi* -cci* -dci* --create* --destroy*
nvidia-smi/drain kills -m* --modify* -r* --remove*
nvidia-smi/dmon tune -f
nvidia-smi/pmon tune -f
nvidia-smi/topo tune !*
nvidia-smi/boost-slider tune --vboost*
nvidia-smi/power-smoothing tune -s* -e* --*
dcgmi          tune  set --set* -s clear --create --delete -c -d
dcgmi/diag     jobs
dcgmi/dmon     tune  !*
dcgmi/discovery tune !*
systemctl      tune  enable disable mask unmask daemon-reload daemon-reexec reset-failed set-property edit preset revert
systemctl      jobs  start stop restart try-restart reload reload-or-restart isolate
systemctl      kills kill reboot poweroff halt kexec suspend hibernate rescue emergency
service        jobs  start stop restart reload force-reload
loginctl       kills kill-session kill-user terminate-session terminate-user
journalctl     tune  --vacuum* --rotate --flush --sync --relinquish-var
sysctl         tune  -w --write -p* --load* --system *=*
modprobe       tune  !-n !--dry-run !--show !-c !--showconfig !--show-depends !-D
modprobe       kills -r --remove
insmod         tune
rmmod          kills
ipmitool       tune  reset clear off on diag soft cycle identify raw set thresh bootdev bootparam activate deactivate
ipmitool       kills off cycle soft diag
racadm         tune  set racreset clrsel jobqueue
racadm         kills serveraction
kill           kills !-0 !-l !-L
pkill          kills
killall        kills
skill          kills
fuser          kills -k -km -mk --kill
rm             tune
rmdir          tune
unlink         tune
shred          kills
truncate       tune
mv             tune
cp             tune
ln             tune
install        tune
mkdir          tune
touch          tune
mktemp         tune  !-u
chmod          tune
chown          tune
chgrp          tune
chattr         tune
setfacl        tune
tee            tune  !/dev/null !/dev/stderr
dd             tune  of=*
sed            tune  -i* --in-place* -ni* -Ei* -ri*
perl           tune  -i* -pi*
patch          tune  !--dry-run
find           tune  -delete -fprint* -fls
tar            tune  -x* --extract xf x*f -c* --create cf c*f
gzip           tune  !-c !--stdout !-t !-l
gunzip         tune  !-c !--stdout
curl           tune  -o -O --output --remote-name -X* --request* -d* --data* -T* --upload-file* -F* --form*
wget           tune  !--spider !-O-
logrotate      tune  !-d !--debug
crontab        tune  !-l
mkfs           kills
mkfs.*         kills
mke2fs         kills
wipefs         kills -a --all -o* --offset*
blkdiscard     kills
parted         kills !print !-l !--list
sgdisk         kills !-p !--print !-i* !--info*
fdisk          kills !-l !--list
sfdisk         kills !-d !--dump !-l !--list
fstrim         tune  !-n !--dry-run
fsck           tune  !-n !-N
e2fsck         tune  !-n
xfs_repair     tune  !-n
tune2fs        tune  !-l
resize2fs      tune
xfs_growfs     tune  !-n
lvcreate       tune
lvextend       tune
lvresize       tune
lvremove       kills
vgextend       tune
pvcreate       kills
cryptsetup     kills luksFormat erase close luksClose
mount          tune  -o* -a --all --bind --rbind --move -B -M -r -w /* $*
umount         kills
swapon         tune  -a --all /* $*
swapoff        jobs
mdadm          tune  --add -a --re-add --assemble -A --grow -G --run -R --readwrite --fail -f --remove -r --set*
mdadm          kills --create -C --stop -S --zero-superblock
smartctl       tune  -t* --test* -X --abort -s* --smart* --set* -S* --saveauto* -o* --offlineauto*
hdparm         tune  -W0 -W1 -B* -S* -y -Y --security*
nvme           tune  set-feature fw-download fw-commit fw-activate device-self-test connect attach-ns create-ns
nvme           kills format sanitize reset subsystem-reset delete-ns detach-ns write write-zeroes dsm disconnect*
storcli        tune  set* start* stop* add* delete* clear*
storcli64      tune  set* start* stop* add* delete* clear*
perccli64      tune  set* start* stop* add* delete* clear*
ip             tune  set add del delete flush change replace append
ifconfig       jobs  up down mtu
ifup           jobs
ifdown         jobs
nmcli          jobs  up down modify add delete reapply disconnect connect
netplan        jobs  apply try
ethtool        tune  -s -K -G -L -A -C -X -N -U -p -E -f -t --set* --change --pause --coalesce --offload --identify
ethtool        jobs  -r --negotiate --reset
tc             tune  add del delete change replace
iptables       jobs  -A* -D* -I* -F* -P* -R* --append --delete --insert --flush --policy
nft            jobs  add delete flush insert replace -f
rdma           tune  set add del delete
devlink        tune  set flash
devlink        kills reload
mlxconfig      tune  set reset -y
mlxfwreset     kills !query !q
mlxlink        jobs  -a* --port_state* --set*
mst            tune  start stop restart
ibportstate    jobs  disable enable reset speed width
perfquery      tune  -r -R
opensm         jobs
cpupower       tune  set frequency-set idle-set
cpufreq-set    tune
tuned-adm      tune  profile off auto_profile
x86_energy_perf_policy tune !-r
wrmsr          tune
setpci         tune  *=*
taskset        tune  -pc++ -cp++ -p++
renice         tune
migratepages   jobs
prlimit        tune  --*=*
swaplabel      tune
update-initramfs tune
dracut         tune
update-grub    tune
grub2-mkconfig tune  -o*
grubby         tune  --update* --args* --remove* --set*
apt            tune  install remove purge upgrade full-upgrade dist-upgrade autoremove update
apt-get        tune  install remove purge upgrade dist-upgrade autoremove update clean
apt-mark       tune  hold unhold auto manual
dpkg           tune  -i* --install -r* --remove -P* --purge --configure
dnf            tune  install remove upgrade update downgrade reinstall autoremove swap clean
yum            tune  install remove upgrade update downgrade reinstall autoremove swap clean
zypper         tune  install in remove rm update up dup patch
rpm            tune  -i* -U* -F* -e* --install --upgrade --erase
pip            tune  install uninstall
snap           tune  install remove refresh
fwupdmgr       kills update install downgrade
docker         jobs  start restart run exec update pause unpause cp
docker         kills stop kill rm rmi prune down
podman         jobs  start restart run exec update pause unpause cp
podman         kills stop kill rm rmi prune
docker/image   tune  prune rm load import pull
docker/builder tune  prune
docker/volume  kills prune rm
podman/image   tune  prune rm load import pull
podman/volume  kills prune rm
kubectl        tune  label annotate cordon uncordon
kubectl        jobs  apply create patch taint scale rollout exec edit replace
kubectl        kills delete drain evict
scontrol       tune  update hold release resume create reconfigure
scontrol       jobs  suspend
scontrol       kills requeue requeuehold reboot delete shutdown state=down* State=down* state=DOWN* State=DOWN*
scancel        kills
sacctmgr       tune  add modify delete create
stress         jobs
stress-ng      jobs
fio            jobs
memtester      jobs
gpu_burn       jobs
nvidia-persistenced tune
nvidia-modprobe tune
nv-fabricmanager jobs
reboot         kills
shutdown       kills
poweroff       kills
halt           kills
init           kills
telinit        kills
kexec          kills
"""
_WRAPPERS = frozenset((
    "sudo", "doas", "su", "runuser", "env", "timeout", "nice", "ionice", "nohup", "time", "command", "exec", "builtin",
    "xargs", "watch", "setsid", "stdbuf", "chrt", "taskset", "numactl", "flock", "find", "ssh", "srun", "parallel",
    "systemd-run", "script", "strace",
))  # fmt: skip
_RUNS_NEXT = _WRAPPERS - frozenset(("find", "ssh", "flock", "su", "runuser", "script"))
_SHELLS = frozenset(("sh", "bash", "dash", "ksh", "zsh"))
_HARMLESS = ("/dev/null", "/dev/stdout", "/dev/stderr", "/dev/tty", "/dev/fd/*")


class Write(Struct, frozen=True):
    """A command that changes the machine: its line in the text, what it is, the least touch it has."""

    line: int
    what: str
    touch: str


@cache
def _table() -> dict[str, list[tuple[str, Sequence[str]]]]:
    rows: dict[str, list[tuple[str, Sequence[str]]]] = {}
    for row in _TABLE.strip().splitlines():
        program, touch, *words = row.split()
        rows.setdefault(program, []).append((touch, words))
    return rows


def writes(script: Script, depth: int = 4) -> Iterator[Write]:
    """Everything in a script that changes the machine, as far as the table knows."""
    for command in script.commands:
        for operator, target in command.redirects:
            if ">" in operator and not _discards(operator, target.text):
                yield Write(target.line, f"{operator} {target.text}", "tune")
        for name, args in invocations(command):
            if touch := least_touch(name, args):
                yield Write(command.line, " ".join([name, *args])[:60], touch)
        for text in inner_scripts(command) if depth else ():
            try:
                inner = scan(text)
            except TooDeep:
                continue
            for found in writes(inner, depth - 1):
                yield Write(command.line + found.line - 1, found.what, found.touch)


def _discards(operator: str, target: str) -> bool:
    if operator.endswith("&") and (target.isdigit() or target == "-"):
        return True
    return any(_fits(target, pattern) for pattern in _HARMLESS)


def invocations(command: Command) -> Iterator[tuple[str, list[str]]]:
    """The program of a command and, behind words like `timeout` and `xargs`, every word that could be another."""
    words = [word.text for word in command.words]
    if not words:
        return
    name = words[0].rpartition("/")[2]
    yield name, words[1:]
    if name in _WRAPPERS:
        for at, word in enumerate(words[1:], 1):
            program = word.rpartition("/")[2]
            if program in _table() or program.startswith("mkfs."):
                yield program, words[at + 1 :]


def program_of(command: Command) -> str:
    """The program that a command needs, behind words like `timeout 5`; empty where that cannot be told."""
    words = [word.text for word in command.words]
    while words:
        word = words.pop(0)
        if not word or word.startswith("-") or word[0].isdigit() or ("=" in word and is_name(word.partition("=")[0])):
            continue
        if word not in _RUNS_NEXT:
            return "" if "$" in word else word
    return ""


def inner_scripts(command: Command) -> Iterator[str]:
    """Texts that a command hands to another shell: ``sh -c 'TEXT'``, ``eval TEXT``."""
    words = [word.text for word in command.words]
    if words[:1] == ["eval"]:
        yield " ".join(words[1:])
    shell = False
    for at, word in enumerate(words):
        shell = shell or word.rpartition("/")[2] in _SHELLS
        if shell and word.startswith("-") and not word.startswith("--") and word.endswith("c"):
            yield from words[at + 1 : at + 2]
            return


def least_touch(name: str, args: list[str]) -> str:
    """The least touch word for a program with these words, or nothing where it only looks."""
    table = _table()
    rows = table.get(f"{name}/{args[0]}") if args else None
    if rows is None:
        rows = table.get("mkfs.*" if name.startswith("mkfs.") else name, [])
    found = ""
    for touch, patterns in rows:
        if _matches(patterns, args):
            found = touch
    return found


def _matches(patterns: Sequence[str], args: list[str]) -> bool:
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    spared = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    if any(_fits(arg, pattern) for arg in args for pattern in spared):
        return False
    for at, arg in enumerate(args):
        for pattern in wanted:
            word = pattern.rstrip("+")
            if _fits(arg, word) and at + len(pattern) - len(word) < len(args):
                return True
    return not wanted


def _fits(word: str, pattern: str) -> bool:
    """Equal, where each "*" stands for any text (there is at most one at each end and one between)."""
    if "*" not in pattern:
        return word == pattern
    head, *rest = pattern.split("*")
    if not word.startswith(head):
        return False
    at = len(head)
    for part in rest[:-1]:
        at = word.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return len(word) - at >= len(rest[-1]) and word.endswith(rest[-1])
