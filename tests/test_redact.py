"""Redaction: what was planted is gone from every byte, what was judged is judged the same."""

from __future__ import annotations

import gzip
import json
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsdoc import examination, saving
from mlopsdoc.engine import Ledger, run
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, probe_key, read_key, run_key
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result, Source
from mlopsdoc.profile import Profile
from mlopsdoc.redact.judges import JUDGES
from mlopsdoc.redact.redactor import Leak, Redactor
from mlopsdoc.redact.rules import RULES, Rule, compiled
from mlopsdoc.redact.words import Words

from .program import REPOSITORY

KEY = b"of these tests only, 32 bytes...."
FOLDERS = sorted(path.parent for path in REPOSITORY.glob("snapshots/*/SNAPSHOT"))
CHECKS = list(examination.set_up(site=False).catalog.checks.values())


def judged(recording: Recording) -> list[Result]:
    return list(run(CHECKS, Replay(recording), Profile()))


def said(results: list[Result]) -> list[Any]:
    """What results say. A key is check, subject and code, which are compared by themselves."""
    plain = msgspec.to_builtins([msgspec.structs.replace(result, duration_s=0.0) for result in results])
    for result in plain:
        for finding in result["findings"]:
            del finding["key"]
        result["findings"].sort(key=in_order)
    return list(plain)


def in_order(finding: dict[str, Any]) -> tuple[str, ...]:
    return finding["status"], finding["code"], finding["subject"]


def through_archive(recording: Recording, path: Path) -> Recording:
    snapshot.save(snapshot.files_of(recording, {}), str(path))
    return snapshot.load(str(path))


def said_by(recording: Recording) -> Any:
    """All that a recording says; times as far as a row tells them."""
    answers = {
        key: (one.status, one.data, one.stderr, one.exit, one.why, round(one.at, 3), round(one.seconds, 4))
        for key, one in recording.answers.items()
    }
    before = recording.before and said_by(recording.before)
    return answers, recording.trees, round(recording.taken_at, 3), recording.unlisted, recording.profile, before


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_a_redacted_snapshot_is_judged_the_same(folder: Path, tmp_path: Path) -> None:
    """Folder and archive say the same, and the redacted archive is judged as the folder is."""
    recording = snapshot.load(str(folder))
    again = through_archive(recording, tmp_path / "as_it_is.tar.gz")
    assert said_by(again) == said_by(recording)
    original = json.loads(msgspec.json.encode(said(judged(recording))))
    redactor = Redactor(KEY)
    redactor.learn(recording)
    sent = through_archive(redactor.recording(recording), tmp_path / "redacted.tar.gz")
    redacted = json.loads(msgspec.json.encode(said(judged(sent))))
    assert redactor.left_out == {}
    expected = redactor.json_value(original)
    for result in expected:
        result["findings"].sort(key=in_order)
    assert redacted == expected


PLANTED = {
    "host": "trainbox-17",
    "domain": "corp.acme-labs.example",
    "other host": "filer-03.corp.acme-labs.example",
    "user": "mlindqvist",
    "person": "Mara Lindqvist",
    "private IPv4": "10.77.3.41",
    "public IPv4": "93.184.216.34",
    "IPv6": "2001:470:1f0b:9a2::17",
    "link-local": "fe80::63f:72ff:feaa:1",
    "MAC": "04:3f:72:aa:00:01",
    "InfiniBand GUID": "0xb83fd2030091a4e6",
    "drive": "S6CKNT0WA09917",
    "GPU serial": "1652399004417",
    "CSV serial": "1652399004999",
    "curl": "Curl-Pa55word",
    "sshpass": "Ssh-Pa55word",
    "BMC token": "c0ffee00c0ffee11",
    "board": "Z9X8Y7W6V5",
    "number": "1652399004888",
    "GPU UUID": "GPU-5f0c9a1e-7b34-4d2f-9a61-0e8c2b7d4f10",
    "GPU PDI": "0x7be9d1a04c3f52e8",
    "system UUID": "4c4c4544-0042-3510-8056-b4c04f565a33",
    "machine id": "7d3f0c5a9be14f0c8a6de3b3c2f1a977",
    "WWN": "0x5002538e40a1b2c3",
    "password": "tr0ub4dor-and-3",
    "token": "hf_abcDEFghiJKLmnoPQRstuVWX",
    "environment": "wandb0123456789abcdef0123456789",
    "URL": "s3cr3t-in-url",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtYXJhIn0.c2lnbmF0dXJl",
    "key": "MIIEowIBAAKCAQEAtqfz8LkFvZ4hOaGw7Yd1c6wJ9dB0kPqv",
    "AWS": "AKIAIOSFODNN7EXAMPLE",
}


def planted() -> Recording:
    """A host that tells everything it should not, in the forms that real tools have."""
    p = PLANTED
    host, user = p["host"], p["user"]
    drive = f"nvme-SAMSUNG_MZQL27T6HBLA-00A07_{p['drive']}"
    files = {
        "/proc/sys/kernel/hostname": f"{host}\n",
        "/etc/passwd": f"root:x:0:0:root:/root:/bin/bash\n{user}:x:10417:100:{p['person']},,,:/home/{user}:/bin/bash\n",
        "/etc/machine-id": p["machine id"] + "\n",
        f"/home/{user}/.bash_history": f"export HF_TOKEN={p['token']}\n",
        "/proc/4711/environ": f"WANDB_API_KEY={p['environment']}\0HOME=/home/{user}\0",
        "/sys/class/dmi/id/product_serial": p["board"] + "\n",
        "/proc/1/mountinfo": f"40 29 0:50 / /home rw - nfs4 {p['other host']}:/x rw,addr={p['private IPv4']}\n"
        f"41 29 0:51 / /home/{user}/x\\040y rw - zfs tank/{user} rw\n",
        "/var/log/app.log": f"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n{p['key']}\n"
        "-----END RSA PRIVATE KEY-----\n"
        f"Nov 23 03:10:00 {host} app[1]: password={p['password']} Bearer {p['JWT']} id {p['AWS']}\n",
    }
    runs = {
        "hostname -f": f"{host}.{p['domain']}\n",
        "zpool status": f"  pool: tank\n\t    {drive}  ONLINE  0 0 0\n\t    {drive}-part1  ONLINE  0 0 0\n",
        "journalctl -k": f"2026-11-23T03:10:00+0000 {host} kernel: NVRM: Xid (PCI:0000:1b:00): 79, pid=4711\n"
        f"2026-11-23T03:10:01+0000 {host} sshd[77]: Accepted publickey for {user} from {p['public IPv4']} port 22\n",
        "ip addr": f"    link/ether {p['MAC']} brd ff:ff:ff:ff:ff:ff\n    inet {p['private IPv4']}/24 scope global\n"
        f"    inet6 {p['IPv6']}/64 scope global\n    inet6 {p['link-local']}/64 scope link\n",
        "ibstat": f"\tPort GUID: {p['InfiniBand GUID']}\n",
        "zpool history": f"2026-11-01.00:24:01 zpool scrub tank [user 10417 ({user}) on {host}:linux]\n",
        "nvidia-smi --query-gpu": f"index, serial, name\n0, {p['CSV serial']}, NVIDIA H100 80GB HBM3\n",
        "cat x": f"curl -s -u bot:{p['curl']} x\nsshpass -p {p['sshpass']} ssh y\nX-Auth-Token: {p['BMC token']}\n",
        "dmidecode": f"\tSerial Number: {p['board']}\n\tUUID: {p['system UUID'].upper()}\n",
        "nvidia-smi -q": f"    Serial Number         : {p['GPU serial']}\n    GPU UUID : {p['GPU UUID']}\n"
        f"    GPU PDI                                            : {p['GPU PDI']}\n",
        "nvidia-smi -q -x": f"\t\t<pdi>{p['GPU PDI']}</pdi>\n",
        f"smartctl -x /dev/disk/by-id/{drive}": f"Serial Number:    {p['drive']}\nwwn-{p['WWN']}\n",
        "ps aux": f"{user} 4711 python3 t.py --api-key {p['token']} s3=https://bot:{p['URL']}@{p['other host']}/\n",
        f"ipmitool -I lanplus -U admin -P {p['password']} sel list": "",
    }
    recording = Recording(1795403400.0)
    for path, text in files.items():
        recording.answers[read_key(path)] = Answer(read_key(path), "ok", text.encode())
    for command, text in runs.items():
        key = run_key(tuple(command.split(" ")))
        recording.answers[key] = Answer(key, "ok", text.encode(), stderr=f"{host}: as {user}\n".encode(), exit=0)
    key = probe_key("processes", ("4711",))
    about = {
        "4711": {
            "user": user,
            "serial": int(p["number"]),
            "command": f"sh -c 'cd\n{user}/x; TOKEN={p['token']}'",
            "cgroup": f"0::/{user}\n",
        }
    }
    recording.answers[key] = Answer(key, "ok", json.dumps(about).replace(user, "\\u006d" + user[1:]).encode())
    key = probe_key("filesystem", (f"/home/{user}/x y",))
    recording.answers[key] = Answer(key, "denied", why=f"{user} may not look at /home/{user}")
    utf16 = read_key("/var/log/other.log")
    recording.answers[utf16] = Answer(utf16, "ok", host.encode("utf-16") * 99)
    return recording


def archived(tmp_path: Path) -> tuple[bytes, Recording]:
    """The bytes of the archive of the planted host, unpacked, and what is read from it."""
    setup = examination.set_up(site=False)
    recording = planted()
    root = Source("live", f"/home/{PLANTED['user']}/root", "")
    report = examination.report(setup, Ledger(Replay(recording)), [], [root], 0.0)
    path = str(tmp_path / "trainbox-17.tar.gz")
    saving.save(recording, setup, report, path, KEY)
    return gzip.decompress(Path(path).read_bytes()), snapshot.load(path)


def test_nothing_planted_is_left_in_any_byte(tmp_path: Path) -> None:
    data, _ = archived(tmp_path)
    low = data.lower()
    for kind, value in PLANTED.items():
        plain = value.lower().encode()
        forms = [plain, plain.replace(b":", b""), plain.replace(b"-", b""), plain.removeprefix(b"0x")]
        forms += [plain.removeprefix(b"gpu-"), value.lower().encode("utf-16-le")]
        assert not [form for form in forms if form in low], kind
    assert b"trainbox" not in low and b"lindqvist" not in low and b"acme" not in low


def test_what_diagnosis_needs_is_left(tmp_path: Path) -> None:
    _, recording = archived(tmp_path)
    host = Replay(recording)
    journal = host.run("journalctl", "-k").text
    assert "NVRM: Xid (PCI:0000:1b:00): 79, pid=4711" in journal and "2026-11-23T03:10:00+0000" in journal
    zpool = host.run("zpool", "status").text.split()
    name = next(word for word in zpool if word.startswith("nvme-SAMSUNG_MZQL27T6HBLA-00A07_"))
    smart = host.run("smartctl", "-x", f"/dev/disk/by-id/{name}").text
    assert smart.split()[2] == name.rpartition("_")[2], "the same drive in zpool and smartctl"
    assert f"{name}-part1" in zpool
    user = host.read("/proc/1/mountinfo").text.partition("tank/")[2].split()[0]
    assert host.probe("filesystem", f"/home/{user}/x y").status == "denied"
    assert host.probe("processes", "4711").json()["4711"]["user"] == user
    statuses = {
        key: answer.status for key, answer in recording.answers.items() if "environ" in key or "other.log" in key
    }
    assert set(statuses.values()) == {"not_captured"} and len(statuses) == 2


@pytest.mark.parametrize(
    "text",
    [
        "0000:1b:00.0 0000:07:00.1 00000000:C3:00.0 PCI:0000:1b:00 pci0000:00/0000:00:01.0",
        "580.95.05, NVML 13.580.95.05, vbios 96.00.89.00.01, libcurand.so.10.3.9.90, nvidia_cublas_cu12-12.8.4.1",
        "Firmware Version: 3.0.5.12\nVersion 1.2.3.4\n6.8.0-87-generic 28.39.1002",
        "0::/system.slice/slurmstepd.scope/job_4711 12:34:56 2026-11-23T03:10:00.123456+00:00 std::string",
        "inet 127.0.0.1/8 netmask 255.255.255.0 ::1 0.0.0.0 ff:ff:ff:ff:ff:ff 00:00:00:00:00:00",
        "see: https://openzfs.github.io/openzfs-docs/msg/ZFS-8000-9P nvidia.com/gpu org.debian:periodic-scrub",
        "zfs-scrub-monthly@tank.timer user-1003.slice uid=1000(root) /home/ localhost",
        "ereport.fs.zfs.io sysevent.fs.zfs.history_event https://ldap.gnu.org LDAP: off nqn",
        "nvidia-cublas-cu12==12.8.4.1 Linux version 6.8.0-87-generic (Ubuntu 13.3.0-6ubuntu2~24.04)",
        "RIP: 0010:nvlink_core_init+0x1f/0x30 ffffffff81a2b3c4 CR2: 00007f3a12b4c5d6 STATUS 0x8c00004000010090 0x1b00",
        "Failed user units: none; owner: root; host: pcie 0; token ring; tokens/s: 5123; pods: 12; S/N ratio: 12dB",
        "session opened for user root(uid=0) by (uid=0); error -512 server not responding; SAS address: unknown",
        "mlx5_0 MT_0000000838 M393A8G40AB2-CWE 900-21010-0000-000 NUMA node0 cpu0-63 nvme0n1 G520.0200.00.05 // a/b",
        "node_pages 1652323004418 4711 rx_bytes: 123456789012 Serial Number : N/A Serial Number: Not Specified",
    ],
)
def test_what_is_never_touched(text: str) -> None:
    redactor = Redactor(KEY)
    recording = Recording(0.0)
    recording.answers["run x"] = Answer("run x", "ok", text.encode())
    redactor.learn(recording)
    assert redactor.text(text) == text


VALUES = st.one_of(
    st.builds("10.{}.{}.{}".format, *[st.integers(1, 254)] * 3),
    st.builds("inet 203.0.{}.{}".format, *[st.integers(1, 254)] * 2),
    st.uuids().map(str),
    st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":")),
    st.from_regex(r"user=[a-z]{5,9}[0-9]", fullmatch=True),
    st.from_regex(r"Serial Number: [A-Z]{3}[0-9]{5,9}", fullmatch=True),
    st.from_regex(r"password=[a-zA-Z0-9]{7,20}", fullmatch=True),
    st.from_regex(r"https://[a-z]{4,8}:[a-z0-9]{6,9}@[a-z]{3,9}[0-9]\.corp\.example/", fullmatch=True),
    st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", fullmatch=True),
    st.text(max_size=20),
)


@settings(deadline=None, max_examples=150)
@given(st.lists(VALUES, max_size=6).map("\n".join))
def test_redaction_is_consistent_and_done_once(text: str) -> None:
    redactor = Redactor(KEY)
    recording = Recording(0.0)
    recording.answers["run x"] = Answer("run x", "ok", text.encode("utf-8", "surrogatepass"))
    redactor.learn(recording)
    once = redactor.text(text)
    assert redactor.text(once) == once
    assert redactor.text(text) == once
    other = Redactor(KEY)
    other.learn(recording)
    assert other.text(text) == once, "the key alone decides"
    redactor.prove(once)


@given(st.from_regex(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", fullmatch=True), st.integers(1, 999))
def test_pci_addresses_and_versions_stay(pci: str, minor: int) -> None:
    text = f"gpu {pci} driver {minor}.95.05 at {pci}: fell off"
    assert Redactor(KEY).text(text) == text


def test_subnets_stay_together() -> None:
    redactor = Redactor(KEY)
    made = redactor.text("inet 10.20.3.11 inet 10.20.3.200 inet 10.20.4.11").split()[1::2]
    same = IPv4Network(f"{made[0]}/24", strict=False)
    wider = IPv4Network(f"{made[0]}/16", strict=False)
    second, third = (IPv4Network(address) for address in made[1:])
    assert second.subnet_of(same) and third.subnet_of(wider) and not third.subnet_of(same)


def test_another_key_gives_other_names() -> None:
    assert Redactor(KEY).pseudonyms.of("host", "gpu-17") != Redactor(b"x" * 32).pseudonyms.of("host", "gpu-17")


def test_what_is_left_is_noticed() -> None:
    redactor = Redactor(KEY)
    with pytest.raises(Leak):
        redactor.prove("inet 10.20.3.11")


def test_pci_configuration_loses_its_serial_number_only() -> None:
    config = bytearray(4096)
    config[0x100:0x104] = (3 | 1 << 16 | 0x200 << 20).to_bytes(4, "little")
    config[0x104:0x10C] = b"\x01\x02\x03\x04\x05\x06\x07\x08"
    config[0x200:0x204] = (1 | 1 << 16).to_bytes(4, "little")
    made = Redactor(KEY).data(bytes(config), "read /sys/bus/pci/devices/0000:1b:00.0/config")
    assert made[0x104:0x10C] == bytes(8) and made[0x200:] == config[0x200:] and len(made) == 4096


@pytest.mark.parametrize(
    "text",
    ["a" * 9, ":", "ab:", "1.1", "://a:", "user=", "%2F", "nvme-A_", "-----BEGIN PRIVATE KEY-----", "HOST a1 NODE\n"],
)
def test_no_text_takes_long(text: str) -> None:
    """A pattern that backtracks would take hours: this is 200 kB."""
    redactor = Redactor(KEY)
    recording = Recording(0.0)
    recording.answers["run x"] = Answer("run x", "ok", (text * (200_000 // len(text))).encode())
    redactor.learn(recording)
    redactor.recording(recording)


def test_many_values_do_not_take_long() -> None:
    """Each value held against all text would take an hour: an attack on sshd tries as many names."""
    lines = [
        f"Invalid user u{n:05x}x peer_10.{n % 250}.{n // 250}.7 10.9.{n // 250}.{n % 250}\n" for n in range(20_000)
    ]
    (made,) = redacted("".join(lines))
    assert made.count("\n") == len(lines) and "u00007x" not in made and "10.9.0.7\n" not in made


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind} {' '.join(rule.signs)}")
def test_a_rule_is_tried_on_every_line_where_it_finds_something(rule: Rule) -> None:
    """Else what it finds would be in no pass: not in that which replaces, and not in that which proves."""

    @settings(max_examples=20, database=None, deadline=None)
    @given(st.from_regex(compiled(rule.pattern)))
    def look(text: str) -> None:
        for found in compiled(rule.pattern).finditer(text):
            if found[1] is not None and (rule.kind not in JUDGES or JUDGES[rule.kind](found[1], found)):
                words = Words.split(text)
                assert words.likely([rule]) and text.count("\n", 0, found.start(1)) in words.rows(rule)

    look()


def redacted(*texts: str, key: str = "run x") -> list[str]:
    """Answers of one recording, redacted."""
    recording = Recording(0.0)
    for n, text in enumerate(texts):
        recording.answers[f"{key} {n}"] = Answer(f"{key} {n}", "ok", text.encode())
    redactor = Redactor(KEY)
    redactor.learn(recording)
    made = redactor.recording(recording)
    assert redactor.left_out == {}
    return [made.answers[f"{key} {n}"].data.decode() for n in range(len(texts))]


@pytest.mark.parametrize("end", ["", ' , "x": "a\\\\b"'])
def test_a_wwn_as_separate_numbers(end: str) -> None:
    text = '{\n "wwn": {\n  "naa": 5,\n  "oui": 9528,\n  "id": 61203283969\n }, "id": 7' + end + "}"
    (made,) = redacted(text)
    assert "61203283969" not in made and json.loads(made)["wwn"]["oui"] == 9528 and json.loads(made)["id"] == 7
    (made,) = redacted('{"eui64": {"oui": 9528, "ext_id": 592705501716}}')
    assert "592705501716" not in made and "9528" in made


def test_the_bare_digits_of_a_mac_of_another_answer() -> None:
    label, bare = redacted("link/ether 04:3f:72:aa:00:01", "Interfaces/043F72AA0001 and 043f72aa0001")
    digits = label.split()[1].replace(":", "")
    assert bare == f"Interfaces/{digits.upper()} and {digits}"


def test_an_array_has_one_uuid_however_it_is_written() -> None:
    (made,) = redacted("UUID : c2a203d7:77c8b313:6e38f8c2:ebd1e913 c2a203d7-77c8-b313-6e38-f8c2ebd1e913")
    groups, dashes = made.split()[2:]
    assert groups.replace(":", "") == dashes.replace("-", "") and "77c8" not in made


def test_a_mac_as_switches_write_it_is_the_same_mac() -> None:
    cisco, plain = redacted("neighbour 043f.72aa.0001 on eth0", "link/ether 04:3f:72:aa:00:01")
    mac = plain.split()[1]
    assert cisco.split()[1].replace(".", "") == mac.replace(":", "") and "72aa.0001" not in cisco


LEAKS = {
    "user": (
        "New session 7 of user {}.",
        "Invalid user {} from",
        "Connection closed by authenticating user {} from",
        "su: (to root) {} on pts/0",
        "{}   pts/0        Mon Nov 23 03:00",
        "<username>{}</username>",
        "  PID USER      PR\n 4711 {}  20",
        "             JOBID PARTITION     NAME     USER ST\n                11       gpu    train  {}  R",
    ),
    "serial": (
        "sn        : {}",
        "\tVendor SN                                 : {}",
        "S/N:{}, FW:80.00A80",
        "nqn.1994-11.com.samsung:nvme:PM9A3:2.5-inch:{}",
        "iqn.2003-01.org.linux-iscsi.x8664:sn.{}",
        "Node          SN                   Model\n----- ---------- -----\n/dev/nvme0n1  {}       X 1",
        "NAME SERIAL       WWN\nsda  {} 0x5",
    ),
    "host": (
        "SLURM_SUBMIT_HOST={}",
        "NodeList={}",
        "MASTER_ADDR={}",
        "--rdzv_endpoint={}:29500",
        'pod="team/{}" err',
        "{}@tcp:/lustre",
        "//{}/share",
        "CIFS: Attempting to mount //{}/share",
        "NFS: nfs4_x unhandled error -512 server {}",
        "<hostname>{}</hostname>",
        '<info name="HostName" value="{}"/>',
    ),
    "secret": (
        "mysql -u x -p{}",
        "ipmitool -H bmc -UADMIN -P{} sdr",
        "curl --user x:{} y",
        "redis-cli -a {}",
        "smbclient -U x%{}",
        "docker login -u x -p {}",
        "openssl -passin pass:{}",
        "python3 t.py -password {}",
        "--db-password 'with {}'",
        '"--api-key", "{}"',
        '{{"name": "DB_PASSWORD", "value": "{}"}}',
        "<password>{}</password>",
        "https://x/?a=1&sig={}",
        "https://hooks.slack.com/services/T0/B0/{}",
        "https%3A%2F%2Fx%3A{}%40h",
        "github_pat_{}",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\n{}\n-----END PGP PRIVATE KEY BLOCK-----",
        "sk-ssh-ed25519@openssh.com AAAA{}",
    ),
}
VALUE = {"user": "quentin7", "serial": "Z9KCNT0WA02222", "host": "filer66", "secret": "Tk77vvQ1zzTk77vvQ1zz"}


@pytest.mark.parametrize(("kind", "form"), [(kind, form) for kind, forms in LEAKS.items() for form in forms])
def test_no_form_leaks(kind: str, form: str) -> None:
    (made,) = redacted(form.format(VALUE[kind]))
    assert VALUE[kind].lower() not in made.lower()


@pytest.mark.parametrize(
    ("key", "text", "secret"),
    [
        ("read /sys/class/nvme/nvme1/serial", "S6CKNT0WA07778      \n", "S6CKNT0WA07778"),
        ("read /sys/block/sdc/device/wwid", "t10.ATA     WDC WD40EFRX-68N32N0    WD-WCC7K7654321\n", "WD-WCC7K7654321"),
        ("run smartctl -x", "Logical Unit id:      0x5000c500a1b2c3d4\n", "5000c500a1b2c3d4"),
        ("run smartctl -x", "SAS address = 500605b00a1b2c3d\n", "500605b00a1b2c3d"),
        ("run smartctl -x", "IEEE EUI-64:            002538 b111a0c2f4\n", "b111a0c2f4"),
        ("run lspci", "\t\t[V3] Vendor specific: 3a0d4e6b8f1ce811800098039b9f1234\n", "3a0d4e6b8f1c"),
        ("run ipmitool lan print", "SNMP Community String   : s3crcomm\n", "s3crcomm"),
        ("run ip link", "portid 043f72aa0062 switchid 043f72aa0063\n", "043f72aa006"),
        ("run ip link", "wlx043f72aa0005 HWaddr=043f72aa0006\n", "043f72aa000"),
        ("run zpool status", "nvme-nvme.144d-53364b4e5730-53414d-00000001 ONLINE\n", "53364b4e5730"),
        ("read /etc/resolv.conf", "nameserver 10.9.9.53\n", "10.9.9.53"),
        ("read /proc/cmdline", "ip=10.3.4.5::10.3.4.1:255.255.255.0:boothost9:eth0:off\n", "boothost9"),
        ("run lsblk", '"partuuid": "1234abcd-01"', "1234abcd"),
        ("run x", "100% of 0x5002538e40a1b2c3 and wwn-0x5002538e40a1b2c3", "5002538e40a1b2c3"),
    ],
)
def test_no_form_of_one_answer_leaks(key: str, text: str, secret: str) -> None:
    recording = Recording(0.0)
    recording.answers[key] = Answer(key, "ok", text.encode())
    redactor = Redactor(KEY)
    redactor.learn(recording)
    assert secret not in redactor.data(text.encode(), key).decode()


def test_hosts_of_one_series_go_together() -> None:
    _, made = redacted("hostname=trainbox-17", "NodeList=trainbox-[17-19] trainbox-18 trainbox20 gpu-3 node1")
    assert "trainbox" not in made and made.endswith("gpu-3 node1")


def test_a_guid_is_the_same_with_colons_with_a_label_and_bare() -> None:
    dotted, label, bare = redacted(
        "b83f:d203:0091:a4e6\n", "Port GUID: 0xb83fd2030091a4e6\n", "seen 0xb83fd2030091a4e6\n"
    )
    plain = dotted.strip().replace(":", "")
    assert plain != "b83fd2030091a4e6" and label.endswith(f"0x{plain}\n") and bare == f"seen 0x{plain}\n"


def test_a_bare_wwn_of_another_answer() -> None:
    _, bare = redacted('"wwn": "0x5002538e40a1b2c3"', "disk 0x5002538e40a1b2c3 and 0x00007f3a12b4c5d6")
    assert "5002538e40a1b2c3" not in bare and "0x00007f3a12b4c5d6" in bare


def test_an_address_after_an_underscore() -> None:
    _, known, private, version = redacted(
        "inet 10.20.3.11/16", "peer_10.20.3.11", "peer_192.168.7.9", "libcurand_10.3.9.90 cudnn_9.1.0.70"
    )
    assert "10.20.3.11" not in known and "192.168.7.9" not in private
    assert version == "libcurand_10.3.9.90 cudnn_9.1.0.70"


def test_a_long_journal_is_swept_in_parts_and_nothing_is_cut_in_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlopsdoc.redact.texts.BLOCK", 1 << 12)
    monkeypatch.setattr("mlopsdoc.redact.texts.PIECE", 1 << 10)
    key = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEowIBAAKCAQEAtqfz8LkF\n" * 60 + "-----END RSA PRIVATE KEY-----\n"
    line = "2026-11-23T03:10:00+0000 trainbox-17 sshd[7]: Accepted publickey for mlindqvist from 10.20.3.11 port 22\n"
    text = "".join(line * (n % 7 + 1) + key + "kernel: usb 1-1: SerialNumber: 3, nothing here\n" * n for n in range(40))
    (made,) = redacted(text, key="run journalctl -b")
    assert not [word for word in ("trainbox", "mlindqvist", "10.20.3.11", "MIIEow") if word in made]
    assert made.count("Accepted publickey") == text.count("Accepted publickey")
    assert made.count("nothing here") == text.count("nothing here")


def test_what_is_redacted_already_is_not_redacted_again(tmp_path: Path) -> None:
    _, recording = archived(tmp_path)
    setup = examination.set_up(site=False)
    report = examination.report(setup, Ledger(Replay(recording)), [], [], 0.0)
    with pytest.raises(saving.CannotRedact, match="already"):
        saving.save(recording, setup, report, str(tmp_path / "again.tar.gz"), KEY)
    assert not (tmp_path / "again.tar.gz").exists()
