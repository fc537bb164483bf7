"""What is replaced: by its label, by its form, and what stays although it looks like it. Data, no branches.

Every pattern is bounded and begins with something fixed or a single class, so that none backtracks far. A rule is
tried only on a piece of text that holds one of its `signs`.
"""

# ruff: noqa: E501 - a pattern is read in one piece

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


class Rule(NamedTuple):
    """`kind` of what group 1 of `pattern` is.

    signs: one of them, in small letters and without a blank, is in every match (before ``\\n``: at the end of a word);
    after ``#`` with every hexadecimal digit written x, after ``~`` with one x for many; after ``?`` it is a pattern.
    Without a sign, or for matches of more than a line, all text is searched.
    """

    kind: str
    signs: tuple[str, ...]
    pattern: str
    keys: tuple[str, ...] = ("*",)

    @property
    def is_of_all(self) -> bool:
        """Whether a match may be longer than a line."""
        return any(sign in self.pattern for sign in ("(?s:", r"\A", r"\s{", r"\W"))


# An escape stands for a character that no name has: ``0::/user.slice\\nmara``, ``%2Fhome%2Fmara``, ``by\\x2did``.
ESCAPE = r"\\(?:[nrtbf]|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|[0-7]{3})|%[0-9A-Fa-f]{2}"
START = (
    r"(?:(?<![A-Za-z0-9])|(?<=\\[nrtbf])|(?<=%[0-9A-Fa-f]{2})|(?<=\\x[0-9A-Fa-f]{2})|(?<=\\u[0-9A-Fa-f]{4})"
    r"|(?<=\\[0-7]{3})|(?<=0x))"
)
END = r"(?![A-Za-z0-9])"
_IS = r"""["']?(?:[ \t]{0,60}[=:][ \t]{0,24}|>| value=)["']?"""
_NAME = r"([A-Za-z0-9](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?)"
_USER = r"([A-Za-z_](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?)"
_VALUE = r"""((?<=")[^"\n]{1,2048}|(?<=')[^'\n]{1,2048}|[^\s"',;&<>]{1,2048})"""
_LOGS = ("run journalctl*", "read /var/log/*")
_TLD = (
    "com|net|org|edu|gov|mil|int|io|ai|cloud|co|local|internal|lan|intra|corp|home|arpa|example|test|invalid"
    "|de|fr|uk|nl|ch|se|eu|ca|jp|cn|kr|au"
)
DOMAINS = _words("com net org edu gov mil int io ai cloud co de fr uk nl ch se eu ca jp cn kr au")

# Order counts: what is found by its label comes first.
RULES = (
    # secrets
    Rule("secret", ("-----begin",), r"((?s:-----BEGIN [A-Z ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:.{0,65536}?-----END [A-Z ]{0,40}-----|.{0,65536})))"),
    Rule("user", ("://",), r"""://([^\s/@:"'<>]{1,256}):[^\s/@"'<>]{1,1024}@"""),
    Rule("secret", ("://",), r"""://[^\s/@:"'<>]{0,256}:([^\s/@"'<>]{1,1024})@"""),
    Rule("secret", ("://",), r"""://([^\s/@:"'<>]{8,1024})@"""),
    Rule(
        "secret",
        ("passw", "passphrase", "secret", "token", "_key", "-key", "ikey", "skey", "ekey", "hkey", "tkey", "credential", "community", "cookie", "sig"),
        r"(?i)(?:password|passwd|passphrase|secret|token|api[_-]?key|(?:access|private|auth|secret)[_-]?key"
        r"|credentials?|community(?: string)?|cookie|[?&]sig|signature)(?:_id)?" + _IS + _VALUE,
    ),
    Rule("secret", ("-passw", "-token", "-secret", "-key"), r"(?i)(?<![a-z-])--?(?:[a-z]{1,16}-){0,3}(?:password|passwd|token|secret|key)(?:[ =\0][\"']?|[\"'], ?[\"'])" + _VALUE),
    Rule("secret", ("ipmi",), r"\bipmi[a-z-]{1,12} [^\n]{0,200}? -P ?" + _VALUE),
    Rule(
        "secret", ("_key", "_pass", "_pwd", "_salt", "_dsn", "_pat", "_auth", "_cred"),
        r"(?<=[A-Z0-9])_(?:KEY|PASS|PWD|SALT|DSN|PAT|AUTH|CREDS?)=" + _VALUE,
    ),
    Rule("secret", ("bearer", "basic"), r"(?i)\b(?:bearer|authorization: basic) ([A-Za-z0-9+/=_.~-]{8,4096})"),
    Rule("secret", ("gh", "github_pat_", "glpat-", "hf_", "sk-", "xox", "nvapi-", "ya29"),
         r"\b((?:gh[pousr]_|github_pat_|glpat-|hf_|sk-|xox[abeprs]-|nvapi-|ya29\.)[A-Za-z0-9_-]{12,512})"),
    Rule("secret", ("akia", "asia", "aiza", "eyj"),
         r"\b((?:AKIA|ASIA)[0-9A-Z]{16}|AIza[A-Za-z0-9_-]{35}|eyJ[A-Za-z0-9_-]{8,4096}\.[A-Za-z0-9_-]{2,8192}(?:\.[A-Za-z0-9_-]{0,4096})?)"),
    Rule("secret", ("ssh-", "ecdsa-"), r"\b(?:ssh|ecdsa)-[a-z0-9@.-]{3,40} (AAAA[A-Za-z0-9+/=]{16,4096}(?: [^\s]{1,128})?)"),
    Rule("secret", ("sha256:",), r"\bSHA256:([A-Za-z0-9+/]{20,44})(?![A-Za-z0-9+/])"),
    Rule("secret", ("slack.com/", "webhooks/"), r"(?:hooks\.slack\.com/[a-z]{1,16}|/webhooks)/([A-Za-z0-9/_-]{16,256})"),
    Rule("secret", ("%3a%2f%2f",), r"(?i)%3A%2F%2F[^%\s]{1,256}%3A([^%\s]{1,256})%40"),
    Rule("secret", ('"name"',), r"(?i)\"name\"\s{0,8}:\s{0,8}\"[A-Z0-9_]{0,64}(?:PASS|PWD|TOKEN|SECRET|KEY|CRED)[A-Z0-9_]{0,64}\",\s{0,64}\"value\"\s{0,8}:\s{0,8}\"([^\"\n]{1,2048})\""),
    Rule("secret", ("mysql", "mariadb"), r"\b(?:mysql|mariadb)[a-z]{0,8} [^\n]{0,200}?-p" + _VALUE),
    Rule("secret", ("login",), r"\b(?:docker|podman|nerdctl|helm) [^\n]{0,40}?login [^\n]{0,200}?-p " + _VALUE),
    Rule("secret", ("redis-cli", "smbclient", "-passin", "-passout"),
         r"(?:\bredis-cli [^\n]{0,200}?-a |\bsmbclient [^\n]{0,200}?-U [^\s%]{1,64}%|-pass(?:in|out) pass:)" + _VALUE),
    Rule("secret", ("sshpass", "curl", "wget"), r"\b(?:sshpass -p ?|(?:curl|wget) [^\n]{0,200}?(?:-u|--user|--proxy-user)[ =][^\s:]{1,64}:)" + _VALUE),
    # machines
    Rule("host", (), r"\A\s{0,8}" + _NAME + r"\s{0,8}\Z",
         ("read /proc/sys/kernel/hostname", "read /etc/hostname", "run hostname*", "run uname -n")),
    Rule("host", ("linux",), r"(?m)^Linux " + _NAME + r" [0-9]\.?[0-9]"),
    Rule("host", (), r"(?m)^(?:[A-Z][a-z]{2} [ 0-9][0-9] [0-9:]{8}|[0-9]{4}-[0-9-]{5}T[0-9:.,+-]{8,24}Z?) "
         + _NAME + r" [A-Za-z_][^\s:]{0,63}: ", _LOGS),
    Rule("host", ("hostname", "host\n", "rhost", "nodename", "nodehost", "nodeaddr", "node\n", "fqdn", "submit_host", "submithost", "batch", "nodelist"),
         r"(?i)(?:\b|_)(?:hostname|host name|rhost|nodename|nodehostname|nodeaddr|fqdn|node name|(?:submit_|batch)host|nodelist)" + _IS + _NAME),
    Rule("host", ("master_addr", "rdzv"), r"(?i)(?:master_addr|rdzv[_-]endpoint)[ =]" + _NAME),
    Rule("host", ("ip=",), r"\bip=(?:[^:\s]{0,45}:){4}" + _NAME, ("read /proc/cmdline",)),
    Rule("host", ("pod",), r"(?i)\bpod(?:_?name)?[\"']?[=:] ?[\"']?(?:[a-z0-9-]{1,63}/)?([a-z0-9][a-z0-9.-]{2,250}[a-z0-9])"),
    Rule("host", ("@tcp", "@o2ib"), r"(?m)(?:^|[ ,:])" + _NAME + r"@(?:tcp|o2ib)"),
    Rule("host", ("//",), r"(?m)(?:^|[ -] ?(?:cifs|smb3) |mount )//" + _NAME + r"/"),
    Rule("host", (":/",), r"(?m)(?:^| - nfs4? )" + _NAME + r":/",
         ("read /etc/fstab", "read /proc/*/mountinfo", "read /proc/mounts", "run df*", "run mount*")),
    Rule("host", (":linux",), r" on " + _NAME + r":linux\b"),
    Rule("user", ("[user",), r"\[user [0-9]{1,10} \(" + _USER + r"\) on "),
    Rule("host", ("server",), r"(?i)\bnfs[^\n]{0,80}? server " + _NAME),
    Rule("domain", ("search", "domain"), r"(?m)^(?:search|domain)[ \t]{1,8}" + _NAME, ("read /etc/resolv.conf",)),
    Rule("host", (), r"(?m)^[0-9A-Fa-f.:]{2,45}[ \t]{1,16}" + _NAME, ("read /etc/hosts",)),
    Rule("host", (), r"(?m)^[0-9A-Fa-f.:]{2,45}[ \t]{1,16}[^\s#]{1,253}[ \t]{1,16}" + _NAME, ("read /etc/hosts",)),
    Rule("user", ("@host-",), r"(?<![A-Za-z0-9_.@-])" + _USER + r"@host-[a-z2-7]{6}(?![a-z0-9])"),
    # people
    Rule("user", ("/home/", "/users/"), r"/(?:home|Users)/" + _USER),
    Rule("user", ("2fhome",), r"(?i)(?:%2F|\\x2f)home(?:%2F|\\x2f)" + _USER),
    Rule("user", ("user", "logname", "acct", "login", "owner"),
         r"(?i)(?:\b|_)(?:r?user|user_?name|logname|acct|login|owner|userid)" + _IS + _USER),
    Rule("user", ("user",), r"(?i)\b(?:for|of|by|invalid|authenticating) (?:invalid )?user " + _USER),
    Rule("user", ("(to",), r"\(to [^\s()]{1,64}\) " + _USER + r" on "),
    Rule("user", ("pts/", "tty"), r"(?m)^" + _USER + r" {1,16}(?:pts/|tty)[0-9]"),
    Rule("user", ("accepted", "failed"), r"\b(?:Accepted|Failed) [a-z/-]{4,24} for (?:invalid user )?" + _USER),
    Rule("user", ("sudo",), r"\bsudo(?:\[[0-9]{1,8}\])?: {1,8}" + _USER + r" : "),
    Rule("user", (), r"(?m)^([^:\s]{1,64}):[^:\n]{0,128}:[1-9][0-9]{3,8}:[0-9]{1,9}:", ("read /etc/passwd",)),
    Rule("user", (), r"(?m)^[^:\n]{1,64}:[^:\n]{0,128}:[1-9][0-9]{3,8}:[0-9]{1,9}:([^:,\n]{3,128})", ("read /etc/passwd",)),
    # things
    Rule("serial", ("serial", "asset", "tag", "sn", "s/n"),
         r"(?i)(?:serial(?:[ _-]?(?:number|no\.?|num))?|asset[ _-]?tag|service ?tag|\[SN\]|(?<![A-Za-z0-9])S/?N)" + _IS + r"([A-Za-z0-9][A-Za-z0-9_./-]{3,63})"),
    Rule("serial", ("<serial", "serial>"), r"<[a-z_]{0,24}serial>([A-Za-z0-9][A-Za-z0-9_./-]{3,63})<"),
    Rule("serial", (), r"\A\s{0,40}([A-Za-z0-9][A-Za-z0-9_./-]{3,63})\s{0,40}\Z",
         ("read */*serial", "read /sys/class/dmi/id/*asset_tag")),
    Rule("serial", ("t10.",), r"\bt10\.[^\n]{8,80}[ _]([A-Za-z0-9-]{6,40})(?![A-Za-z0-9_-])"),
    Rule("serial", ("nqn.", "iqn."), r"\b[in]qn\.[0-9]{4}-[0-9]{2}\.[^\s\"']{3,160}[:.](?![0-9a-f]{8}-[0-9a-f]{4}-)([A-Za-z0-9_-]{6,64})(?![A-Za-z0-9:._-])"),
    Rule("serial", ("nvme.",), r"\bnvme\.[0-9a-f]{4}-([0-9a-f]{8,64})-"),
    Rule("serial", ("uuid",), r"(?i)uuid" + _IS + r"([0-9a-f]{4}-?[0-9a-f]{4})(?![0-9a-f:]|-[0-9a-f]{4})"),
    Rule("serial", ("pdi",), r"(?i)\bpdi" + _IS + r"(?:0x)?([0-9a-f]{16})\b"),  # of nvidia-smi -q: one a chip
    Rule("serial", ("0x5",), r"(?i)\b0x(5[0-9a-f]{15})(?![0-9a-f])"),
    Rule("serial", ("logical", "address"), r"(?i)(?:logical unit id|sas address)" + _IS + r"(?:0x)?([0-9a-f]{16})\b"),
    Rule("serial", ("eui-64",), r"EUI-64: {0,20}([0-9a-f]{6} [0-9a-f]{10})\b"),
    Rule("serial", ("wwn:",), r"WWN:([0-9a-f]-[0-9a-f]{6}-[0-9a-f]{9})"),
    Rule("uuid", ("vendor",), r"\[V[0-9A-Z]\] Vendor specific: ([0-9a-f]{32})\b"),
    Rule("serial", ("nvme-", "ata-", "scsi-", "usb-", "virtio-", "x2d"),
         r"\b(?:nvme|ata|scsi|usb|virtio)(?:-|\\x2d)[A-Za-z0-9_.+\\-]{2,80}_([A-Za-z0-9][A-Za-z0-9-]{4,39}?)(?:_[0-9]{1,2})?(?:-part[0-9]{1,3})?(?![A-Za-z0-9_.-])"),
    Rule("serial", ("wwn-", "naa.", "eui.", "scsi-3"), r"(?i)\b(?:wwn-0x|wwn-|naa\.|eui\.|scsi-3)([0-9a-f]{16,32})"),
    Rule("serial", ("wwn",), r"WWN Device Id: {0,8}([0-9a-f] [0-9a-f]{6} [0-9a-f]{9})"),
    Rule("serial", ('"wwn"', '"eui64"'), r'"(?:wwn|eui64)"\s{0,8}:\s{0,8}\{[^{}]{0,200}?"(?:ext_)?id"\s{0,8}:\s{0,8}([0-9]{5,20})'),
    Rule("serial", ("guid", "eui64", "wwn"), r"(?i)(?:guid|eui64|wwn)" + _IS + r"(?:0x)?(?![0-9]{16,32}\b)([0-9a-f]{16,32})\b"),
    Rule("mac", ("serial",), r"Device Serial Number ([0-9a-f]{2}(?:-[0-9a-f]{2}){7})"),
    Rule("uuid", (), r"\A\s{0,4}([0-9a-f]{32})\s{0,4}\Z", ("read /etc/machine-id", "read /var/lib/dbus/machine-id")),
    Rule("uuid", ("machine", "journal/"), r"(?i)(?:machine[-_ ]?id[\"']?[^\w\n]{1,8}|/var/log/journal/)([0-9a-f]{32})"),
    # forms; what stands before them is looked at by the judge of their kind
    Rule("uuid", ("#xxxxxxxx-xxxx", "#xxxxxxxx_xxxx"),
         r"(?:(?<![0-9A-Fa-f])|(?<=pod))([0-9A-Fa-f]{8}[-_][0-9A-Fa-f]{4}[-_][0-9A-Fa-f]{4}[-_][0-9A-Fa-f]{4}[-_][0-9A-Fa-f]{12})(?![0-9A-Fa-f])"),
    Rule("uuid", ("#xxxxxxxx:xxxxxxxx",), r"(?<![0-9A-Fa-f:])([0-9a-f]{8}(?::[0-9a-f]{8}){3})(?![0-9A-Fa-f:])"),
    Rule("mac", ("#xx:xx:xx:xx:xx:xx", "#xx-xx-xx-xx-xx-xx"),
         r"([0-9A-Fa-f]{2}(?::(?:[0-9A-Fa-f]{2}:){4,18}|-(?:[0-9A-Fa-f]{2}-){4,6})[0-9A-Fa-f]{2})(?![0-9A-Fa-f:-])"),
    Rule("guid", ("#xxxx:xxxx:xxxx:xxxx",), r"([0-9a-f]{4}(?::[0-9a-f]{4}){3})(?![0-9A-Fa-f:.])"),
    Rule("mac", ("#xxxx.xxxx.xxxx",), r"([0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4}\.[0-9A-Fa-f]{4})(?![0-9A-Za-z]|\.[0-9A-Za-z])"),
    Rule("mac", ("enx", "wlx", "mac", "hwaddr", "lladdr", "portid", "switchid"),
         r"(?i)(?:\b(?:en|wl)x|(?:\bmac|hwaddr|lladdr)(?:ess)?" + _IS + r"|\b(?:mac|portid|switchid) )([0-9a-f]{12})(?![0-9A-Za-z])"),
    Rule("ipv6", ("::",), r"([0-9A-Fa-f:]{3,4096}(?:(?:\.[0-9]{1,3}){3})?)"),
    Rule("ipv6", ("~x:x:x:x:x:x:x",), r"((?:[0-9A-Fa-f]{1,4}:){6}(?:[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}|(?:[0-9]{1,3}\.){3}[0-9]{1,3}))"),
    Rule("ipv4", ("~x.x.x.x",), r"([0-9][0-9]{0,2}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3})(?![A-Za-z0-9_+~]|\.[0-9])"),
    Rule("host", ("ip-",), r"\b(ip-[0-9]{1,3}(?:-[0-9]{1,3}){3})(?![0-9])"),
    Rule("email", ("@",), r"([A-Za-z0-9_.+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,6}(?:" + _TLD + r"))(?![A-Za-z0-9.-])"),
    Rule("host", (rf"?\.(?:{_TLD})(?![a-z0-9_-])",), r"(?<![A-Za-z0-9_.@/-])((?:[a-z0-9][a-z0-9-]{0,62}\.){1,6}(?:" + _TLD + r"))(?![A-Za-z0-9_-]|\.[A-Za-z0-9])"),
    Rule("host", ("://",), r"://(?:[^\s/@]{0,512}@)?" + _NAME),
)  # fmt: skip


# Never replaced, in small letters. Accounts of systems and images, which name nobody; what tools say for "none".
KEPT = {
    "user": _words(
        "_apt account accounts adm admin administrator almalinux and apache avahi backup bin by centos chrony"
        " colord common containerd core daemon data dbus debian default dnsmasq docker ec2-user etcd false"
        " fedora from games gdm geoclue gnats group guest haproxy id in irc is kube kvm landscape libvirt-qemu"
        " lightdm limit linuxbrew list login lost lost+found lp mail man messagebus mode munge mysql n/a na"
        " name news nginx nobody node-exporter none not ntp null nvidia nvidia-persistenced of or polkitd"
        " pollinate postgres process project projects prometheus proxy public redis rocky root rtkit service"
        " session shared slurm slurmrestd space sshd sync sys syslog system systemd-coredump systemd-network"
        " systemd-oom systemd-resolve systemd-timesync tcpdump telegraf the true tss ubuntu unknown usbmux"
        " user user.slice username users uucp uuidd with www-data zabbix"
    ),
    "host": _words(
        "boot broadcasthost default false host ip6-allnodes ip6-allrouters ip6-localhost ip6-localnet"
        " ip6-loopback ip6-mcastprefix is kernel linux localdomain localhost localhost.localdomain n name none"
        " not null reboot the true unknown unsupported version"
    ),
    "domain": _words("local localdomain localhost"),
    "serial": _words(
        "00000000 0000000000 0000000000000000 0123456789 123456789 1234567890 16550a 8250/16550 default n/a"
        " none not null string to-be-filled ttys0 unknown unspecified xxxxxxxx"
    ),
    "secret": _words("(null) [n/a] absent false file n/a no none null ok present required set true unset yes"),
}
# Names of everybody's: of makers, distributions and projects.
PUBLIC = (
    "nvidia.com", "amd.com", "intel.com", "mellanox.com", "github.com", "github.io", "githubusercontent.com",
    "kernel.org", "freedesktop.org", "ubuntu.com", "debian.org", "redhat.com", "centos.org", "fedoraproject.org",
    "openzfs.org", "zfsonlinux.org", "zfs.io", "kubernetes.io", "k8s.io", "docker.io", "docker.com", "gcr.io", "quay.io",
    "python.org", "pytorch.org", "gnu.org", "dmtf.org", "slurm.net", "schedmd.com", "rockylinux.org", "suse.com",
    "smartmontools.org", "sourceforge.net", "w3.org", "canonical.com", "openibd.org", "open-mpi.org", "openucx.org",
    "linuxfoundation.org", "oracle.com", "microsoft.com", "sun.com",
)  # fmt: skip
# Words that are no name when they are found as one: replaced where they stand, not everywhere.
WORDS = _words(
    "absent active amd api auth backup bmc board chassis compute config container cpu cpus critical cuda data db"
    " debian degraded dell dev disabled disk disks dns docker down driver enabled error errors etc failed false"
    " fan faulted git gpu gpus health home host hosts hpe intel ipmi job jobs kerberos kernel ldap lenovo library"
    " link links linux local login logs mail master memory mnt model models monitor mount name nfs no node nodes"
    " none normal nqn ntp null number nvidia nvme ok online opt pod pool pools port ports power power_supply"
    " present proc proxy psu python python3 read redfish registry remote root router run scan scratch scrub self"
    " serial server servers slurm smtp socket sso state status storage supermicro supply sys syslog system tank"
    " temperature test tests tmp train training true ubuntu unknown up user users usr var version vm warning"
    " worker workspace write www yes zfs zpool"
)
# No counter is replaced because somebody's serial number is as short as it.
SHORTEST = {
    "user": 3,
    "host": 3,
    "domain": 4,
    "serial": 6,
    "secret": 6,
    "uuid": 16,
    "mac": 12,
    "guid": 16,
    "ipv4": 7,
    "email": 6,
}
# What is not kept in a redacted snapshot at all.
NEVER = (
    "read */environ", "read */shadow*", "read */.ssh/*", "read *.pem", "read *.key", "read *kube*config*",
    "read *_history", "read */.netrc", "read /etc/ssl/*", "read */vpd",
)  # fmt: skip
# Where four numbers with dots are a version.
VERSION = r"(?:version|firmware|revision|release|bios|driver|build|package|image|inforom|(?<![a-z])(?:ver|rev|fw))\.?[\"']?[\s:=]{1,40}[\"']?v?\Z"
PACKAGES = ("run dpkg*", "run rpm*", "run pip*", "run modinfo*", "probe mapped *", "read /var/log/dpkg.log*")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """One pattern of the tables, compiled when it is first used."""
    return re.compile(pattern, re.ASCII)
