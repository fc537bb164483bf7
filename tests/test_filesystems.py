"""Which file systems matter, which turned read-only, and how much room is too little."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsdoc import catalog
from mlopsdoc.engine import Ledger, run
from mlopsdoc.facts.filesystems import FileSystems, unescaped
from mlopsdoc.hosts.base import Answer, AnswerStatus, probe_key, read_key, run_key
from mlopsdoc.hosts.recorder import Recorder, Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.probes import filesystem
from mlopsdoc.profile import Profile

GIB = 1 << 30
MIB = 1 << 20
IMAGE = "1 0 8:9 / / ro - ext4 /dev/sdz ro\n"  # a root that is read-only on purpose
ROOT = "29 1 9:0 / / rw,relatime shared:1 - ext4 /dev/md0 rw,errors=remount-ro\n"


def space(size: float, left: float, *, kept: float = 0, inodes: int = 0, free: int = 0, device: str = "") -> str:
    said = {"size": int(size), "free": int(left + kept), "available": int(left), "inodes": inodes, "inodes_free": free}
    return json.dumps(said | {"flags": 0, "device": device})


def recording(
    mountinfo: str,
    spaces: Mapping[str, str | AnswerStatus] | None = None,
    files: Mapping[str, str] | None = None,
    unlisted: AnswerStatus = "absent",
) -> Recording:
    made = Recording(1_790_000_000.0, unlisted=unlisted)
    texts = dict(files or {}) | ({"/proc/1/mountinfo": mountinfo} if mountinfo else {})
    for path, text in texts.items():
        made.answers[read_key(path)] = Answer(read_key(path), "ok", text.encode())
    for mount, said in (spaces or {}).items():
        key = probe_key("filesystem", (mount,))
        if said.startswith("{"):
            made.answers[key] = Answer(key, "ok", said.encode())
        else:
            made.answers[key] = Answer(key, "timeout", why=said)
    return made


def judged(made: Recording) -> Result:
    check = catalog.load_check("disk_space", f"{catalog.shipped('checks')}/disk_space.py")
    return next(iter(run([check], Replay(made), Profile())))


def said(made: Recording) -> list[str]:
    return [f"{found.status.value} {found.subject} {found.code}" for found in judged(made).findings]


def mounts(made: Recording) -> list[str]:
    found = Ledger(Replay(made)).get(FileSystems)
    assert isinstance(found, FileSystems)
    return [fs.mount.path for fs in found.all]


@pytest.mark.parametrize(
    ("size", "left", "status"),
    [
        (60e12, 3e12, "ok"),  # 95 % of a big disk
        (60e12, 90 * GIB, "warning"),
        (100 * GIB, 11 * GIB, "ok"),
        (100 * GIB, 9 * GIB, "warning"),
        (100 * GIB, 4 * GIB, "critical"),
        (1000 * GIB, 30 * GIB, "warning"),
        (9 * GIB, 499 * MIB, "critical"),
        (64 * MIB, 60 * MIB, "ok"),  # small by design and nearly empty
        (64 * MIB, 2 * MIB, "critical"),
        (0, 0, "unknown"),  # no size at all
    ],
)
def test_room(size: float, left: float, status: str) -> None:
    assert judged(recording(ROOT, {"/": space(size, left)})).status.value == status


def test_counted_as_df_does_without_the_blocks_of_root() -> None:
    found = judged(recording(ROOT, {"/": space(100 * GIB, 0, kept=5 * GIB)})).findings[0]
    assert found.summary.startswith("100 % full: 0 B of 100 GiB left (5 GiB more are kept for root)")
    assert found.params == {"MOUNT": "/", "DISK": "/dev/md0"}


@pytest.mark.parametrize(
    ("inodes", "free", "expected"),
    [
        (0, 0, []),  # btrfs has no such limit
        (1000, 500, []),
        (100_000, 9_000, ["warning mount / inodes"]),
        (100_000, 1_000, ["critical mount / inodes"]),
        (100_000_000, 5_000_000, []),  # 5 % of many is many
    ],
)
def test_inodes(inodes: int, free: int, expected: list[str]) -> None:
    assert said(recording(ROOT, {"/": space(100 * GIB, 50 * GIB, inodes=inodes, free=free)})) == expected


@pytest.mark.parametrize(
    ("line", "fstab", "expected"),
    [
        ("29 1 9:0 / /d rw - ext4 /dev/md0 ro,errors=remount-ro", "", True),
        ("29 1 9:0 / /d rw - ext4 /dev/md0 rw,emergency_ro", "", True),
        ("29 1 9:0 / /d rw - xfs /dev/md0 rw,shutdown", "", True),
        ("29 1 9:0 / /d ro - ext4 /dev/md0 rw,errors=remount-ro", "/dev/md0 /d ext4 defaults 0 0", False),  # bind, ro
        ("29 1 9:0 / /d ro - ext4 /dev/md0 ro", "/dev/md0 /d ext4 defaults 0 0", True),
        ("29 1 9:0 / /d ro - ext4 /dev/md0 ro", "/dev/md0 /d ext4 defaults,ro 0 0", False),
        ("29 1 9:0 / /d ro - ext4 /dev/md0 ro", "/dev/md0 /d ext4 noauto 0 0", False),
        ("29 1 9:0 / /d ro - ext4 /dev/md0 ro", "#/dev/md0 /d ext4 defaults 0 0", False),
        ("29 1 9:0 / /d ro - ext4 /dev/md0 ro", "", False),
        ("29 1 0:9 / /d rw - overlay overlay ro,lowerdir=/a:/b", "", False),
        ("29 1 7:0 / /d ro - squashfs /dev/loop0 ro", "/x /d squashfs defaults 0 0", False),
    ],
)
def test_turned_read_only(line: str, fstab: str, expected: bool) -> None:
    made = recording(IMAGE + line + "\n", files={"/etc/fstab": fstab})
    assert said(made) == (["critical mount /d read_only"] if expected else [])


def test_a_container_has_no_fstab_of_its_own() -> None:
    line = IMAGE + "29 1 9:0 / /d ro - ext4 /dev/md0 ro\n"
    files = {"/proc/self/mountinfo": line, "/.dockerenv": "", "/etc/fstab": "/dev/md0 /d ext4 rw 0 0\n"}
    assert judged(recording("", files=files)).status.value == "skipped"


def test_which_matter() -> None:
    made = recording(
        ROOT
        + "30 29 0:5 / /dev rw - devtmpfs udev rw\n"
        + "31 29 0:6 / /dev/shm rw - tmpfs tmpfs rw\n"
        + "32 29 0:7 / /run/user/1000 rw - tmpfs tmpfs rw\n"
        + "33 29 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro\n"
        + "34 29 7:2 / /mnt/image rw - ext4 /dev/loop2 rw\n"
        + "35 29 0:8 / /tank rw - zfs tank rw\n"
        + "36 29 8:1 /sub /srv rw - xfs /dev/sda1 rw\n"
        + "37 29 8:1 / /data\\040sets rw - xfs /dev/sda1 rw\n"
        + "38 29 0:9 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw,upperdir=/u\n"
        + "39 29 8:2 / /var/lib/docker rw - xfs /dev/sda2 rw\n"
        + "40 29 0:11 / /home rw - nfs4 nas:/home rw\n"
        + "41 29 8:3 / /boot/efi rw - vfat /dev/sda3 rw\n"
        + "42 29 0:12 / /mnt/c rw - 9p drvfs rw\n"
        + "43 29 0:13 / /auto rw - autofs systemd-1 rw\n"
        + "not a line of mountinfo\n44 29\n"
    )
    assert mounts(made) == ["/", "/data sets", "/dev/shm", "/var/lib/docker", "/home"]


def test_where_it_can_be_written_rather_than_its_root() -> None:
    """On image-based systems the root of the file system is mounted read-only, /var of it is not."""
    lines = "29 1 8:1 / /sysroot ro - xfs /dev/sda1 rw\n30 29 8:1 /ostree/deploy/os/var /var rw - xfs /dev/sda1 rw\n"
    assert mounts(recording(lines)) == ["/var"]


def test_a_server_that_is_dead_is_asked_once() -> None:
    lines = ROOT + "".join(f"{n} 29 0:{n} / /mnt/{n} rw - nfs4 nas:/x/{n} rw\n" for n in range(40, 60))
    lines += "70 29 0:70 / /mnt/other rw - nfs4 nas2:/x rw\n"
    made = recording(lines, {"/": space(GIB, GIB)} | {f"/mnt/{n}": "no answer within 2 s" for n in range(40, 60)})
    made.answers[probe_key("filesystem", ("/mnt/other",))] = Answer("", "ok", space(1e15, 1e14).encode())
    recorder = Recorder(Replay(made))
    found = Ledger(recorder).get(FileSystems)
    asked = [key for key in recorder.recording.answers if key.startswith("probe filesystem")]
    assert asked == [probe_key("filesystem", (mount,)) for mount in ("/", "/mnt/40", "/mnt/other")]
    assert [fs.mount.path for fs in found.all if fs.unseen] == [f"/mnt/{n}" for n in range(40, 60)]


def test_network_file_systems_are_never_critical() -> None:
    line = IMAGE + "40 29 0:11 / /home rw - nfs4 nas:/home rw\n"
    assert said(recording(line, {"/home": space(10e12, 0)})) == ["warning mount /home space"]
    assert said(recording(line, {"/home": space(10e12, 400e9)})) == []


def test_what_was_not_recorded_does_not_hang() -> None:
    made = recording(ROOT + "40 29 0:11 / /home rw - nfs4 nas:/home rw\n", {"/": space(1e12, 5e11)})
    (found,) = judged(made).findings
    assert found.summary.startswith("its room is not known: ")


def test_another_file_system_at_that_place_is_not_judged() -> None:
    """ProtectHome= of our own unit puts an empty one over /home."""
    line = IMAGE + "40 29 8:1 / /home rw - ext4 /dev/sda1 rw\n"
    made = recording(line, {"/home": space(0, 0, device="0:77")})
    assert said(made) == ["unknown mount /home unseen"]
    made = recording(
        line.replace("ext4 /dev/sda1", "btrfs /dev/sda1"), {"/home": space(100 * GIB, 50 * GIB, device="0:77")}
    )
    assert said(made) == []


def test_without_mountinfo() -> None:
    files = {
        "/proc/mounts": "/dev/sda1 / ext4 ro,errors=remount-ro 0 0\n",
        "/etc/fstab": "/dev/sda1 / ext4 defaults 0 1\n",
    }
    assert said(recording("", files=files)) == ["critical mount / read_only"]
    assert judged(recording("", unlisted="not_captured")).status.value == "skipped"
    assert judged(recording("", unlisted="not_captured")).reason.endswith("is not in this recording")


@pytest.mark.parametrize(
    ("status", "data", "words"),
    [
        ("denied", b"", "/proc/1/mountinfo: may not be read"),
        ("truncated", b"29 1 9:0 / /home rw - ext", "/proc/1/mountinfo: no line of it can be understood"),
        ("ok", b"what is this", "/proc/1/mountinfo: no line of it can be understood"),
        ("absent", b"", "/proc/1/mountinfo: not there"),
    ],
)
def test_every_linux_has_mounts(status: AnswerStatus, data: bytes, words: str) -> None:
    made = recording("")
    key = read_key("/proc/1/mountinfo")
    made.answers[key] = Answer(
        key, status, data, why={"denied": "may not be read", "absent": "not there"}.get(status, "")
    )
    result = judged(made)
    assert result.status.value == "unknown"
    assert result.reason == f"which file systems are mounted: {words}"


def test_a_table_that_was_cut_is_not_whole() -> None:
    made = recording("", {"/": space(100 * GIB, 50 * GIB), "/d": space(100 * GIB, 50 * GIB)})
    key = read_key("/proc/1/mountinfo")
    made.answers[key] = Answer(
        key, "truncated", (ROOT + "30 29 8:1 / /d rw - ext4 /dev/sda1 rw\n31 29 8:2 / /da").encode()
    )
    assert mounts(made) == ["/", "/d"]
    assert said(made) == ["unknown host not_judged"]
    made.answers[key] = Answer(key, "ok", b"30 29 8:1 / /d rw - ext4 /dev/sda1 rw\n")
    assert "has no root file system" in judged(made).findings[0].summary


def test_more_than_can_be_asked_is_said() -> None:
    lines = ROOT + "".join(f"{n} 29 8:{n} / /mnt/{n:04} rw - xfs /dev/disk{n} rw\n" for n in range(600))
    made = recording(
        lines, {"/": space(GIB * 900, GIB * 400)} | {f"/mnt/{n:04}": space(9e12, 5e12) for n in range(600)}
    )
    (found,) = judged(made).findings
    assert found.summary == "89 of 601 file systems were not judged, the first of them is /mnt/0511"
    assert found.status.value == "unknown"


DF = """Filesystem      Size  Used Avail Use% Mounted on
udev            1.0T     0  1.0T   0% /dev
/dev/md0        1.8T  1.7T     0 100% /
tmpfs           1.0T  1.0T  2.0G 100% /dev/shm
/dev/loop0       64M   64M     0 100% /snap/core22/1963
/dev/sda1       512M  506M  6.1M  99% /boot/efi
nas:/export      98T   31T   67T  32% /mnt/my data
"""


def printed(**commands: str) -> Recording:
    made = recording("", unlisted="not_captured")
    for flags, text in commands.items():
        key = run_key(("df", f"-{flags}"))
        made.answers[key] = Answer(key, "ok", text.encode(), exit=0)
    return made


def test_what_df_printed_is_judged() -> None:
    assert said(printed(h=DF)) == ["critical mount / space", "critical mount /dev/shm space", DOUBT]
    inodes = "Filesystem Inodes IUsed IFree IUse% Mounted on\n/dev/md0 1000000 999000 1000 100% /\n"
    assert said(printed(i=inodes)) == ["critical mount / inodes", PART, DOUBT]
    (found, *_) = judged(printed(i=inodes)).findings
    assert found.summary == "1000 of 1000000 inodes left: soon no new file can be made"
    both = said(printed(h=DF.replace("1.7T     0 100%", "0.5T  1.2T  30%"), i=inodes))
    assert both == ["critical mount / inodes", "critical mount /dev/shm space", DOUBT]


PART, DOUBT = "unknown host not_judged", "unknown host writability"
FULL = ["critical mount /var space", DOUBT]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("Filesystem Size Used Avail Use% Mounted on\n/dev/md1 187G 180G 1,5G 100% /var\n", FULL),
        ("Dateisystem Größe Benutzt Verf. Verw% Eingehängt auf\n/dev/md1 187G 180G 1,5G 100% /var\n", FULL),
        ("Filesystem 512-blocks Used Avail Capacity Mounted on\n/dev/md1 99999999 9800000 999999 99% /var\n", FULL),
        ("Filesystem 1M-blocks Used Available Use% Mounted on\n/dev/md1 187000 180000 1500 100% /var\n", FULL),
        ("Filesystem 1G-blocks Used Available Use% Mounted on\n/dev/md1 187G 180G 2G 100% /var\n", FULL),
        ("Filesystem 1K-blocks Used Avail Use% Mounted on\n/dev/mapper/a\n9999999 9800000 199999 99% /var\n", FULL),
        ("df: /n: Stale file handle\nFilesystem Size Used Avail Use% Mounted on\n/dev/md1 99G 98G 1G 99% /var\n", FULL),
        ("/dev/md1 187G 180G 1.5G 100% /var\n", FULL),
        ("/dev/md1 196083712 194083712 1000000 100% /var\n", FULL),
        ("/dev/md1 ext4 187G 180G 1.5G 100% /var\n", FULL),
        ("/dev/md1 187G 180G 1.5G 100% /var\nFilesystem Size Used Avail Use% Mounted on\n", FULL),
        ("//nas/My Share 14T 14T 0 100% /mnt/my share\n/dev/md1 187G 180G 1.5G 100% /var\n", FULL),
        ("/dev/md0 187G 80G 107G 43% /\n/dev/md1 ", [PART, DOUBT]),
        ("/dev/md0 187G 80G 107G 43% /\n/dev/md1 187G what 1.5G 100% /var\n", [PART, DOUBT]),
        ("Mounted on Use% Avail\n/ 29% 311967928\n", ["unknown host disk_space"]),
        ("df: no file systems processed\n", ["unknown host disk_space"]),
    ],
)  # fmt: skip
def test_df_however_it_was_called(table: str, expected: list[str]) -> None:
    assert said(printed(h=table)) == expected


def test_room_is_printed_as_df_wrote_it() -> None:
    (found, _) = judged(printed(h="/dev/md1 187G 180G 1,5G 100% /var\n")).findings
    assert found.summary.startswith("100 % full: 1,5G of 187G left; ")


def test_of_two_calls_the_later_holds() -> None:
    made = printed(h="/dev/md1 187G 80G 107G 43% /var\n", hT="/dev/md1 ext4 187G 180G 1.5G 100% /var\n")
    first, second = made.answers.values()
    first.order, second.order = 1, 2
    assert said(made) == FULL
    first.order, second.order = 2, 1
    assert said(made) == [DOUBT]
    assert said(printed(h="/dev/md1 9T 8T 107G 43% /var\n/dev/md1 187G 180G 1.5G 100% /var\n")) == FULL


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("/dev/md1 on /var type ext4 (ro,relatime)", ["critical mount /var read_only"]),
        ("/dev/md1 on /var type ext4 (rw,relatime)", []),
        ("/dev/sdb1 on /data type xfs (ro,relatime)", [DOUBT]),
        ("/dev/sr0 on /mnt type iso9660 (ro,relatime)", []),
    ],
)
def test_what_mount_printed_tells_what_is_read_only(line: str, expected: list[str]) -> None:
    made = printed(h="/dev/md0 187G 80G 107G 43% /\n/dev/md1 187G 80G 107G 43% /var\n/dev/sdb1 9T 1T 8T 12% /data\n")
    rest = [f"/dev/{name} on {at} type ext4 (rw)" for name, at in (("md0", "/"), ("md1", "/var"), ("sdb1", "/data"))]
    text = "\n".join([*(one for one in rest if one.split()[2] != line.split()[2]), line, ""])
    made.answers["run mount"] = Answer("run mount", "ok", text.encode())
    assert said(made) == expected


def test_the_kernel_tells_that_something_turned_read_only() -> None:
    made = printed(h="/dev/md0 187G 80G 107G 43% /\n")
    log = b"[ 9.2] EXT4-fs (md0): Remounting filesystem read-only\n"
    made.answers["run dmesg"] = Answer("run dmesg", "truncated", log)
    (found,) = judged(made).findings
    assert found.summary.endswith("the kernel says: [ 9.2] EXT4-fs (md0): Remounting filesystem read-only")


def test_a_part_of_what_df_printed_is_a_part() -> None:
    made = recording("", unlisted="not_captured")
    key = run_key(("df", "-h"))
    made.answers[key] = Answer(
        key, "truncated", DF.partition("udev")[0].encode() + b"/dev/sda3 9T 1T 8T 12% /data\n/dev/s"
    )
    assert said(made) == [PART, DOUBT]


def test_mounts_of_a_recording_and_room_of_its_df() -> None:
    made = printed(h=DF)
    made.answers[read_key("/proc/self/mountinfo")] = Answer("", "ok", ROOT.encode())
    assert said(made) == ["critical mount / space"]


@pytest.mark.parametrize("said_of_it", ["{}", '{"size": "x"}', "{", '{"size": null}', '{"size": -5}'])
def test_strange_answers_are_unknown(said_of_it: str) -> None:
    assert said(recording(ROOT, {"/": said_of_it})) == ["unknown mount / unseen"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        (r"/a\040b", "/a b"),
        (r"/a\134b", r"/a\b"),
        ("/ä", "/ä"),
        (r"/a\9", r"/a\9"),
        ("/a\\", "/a\\"),
        (r"/\011\012", "/\t\n"),
    ],
)
def test_unescaped(text: str, meant: str) -> None:
    assert unescaped(text) == meant


@given(st.text())
def test_escaping_goes_there_and_back(text: str) -> None:
    escaped = text.replace("\\", r"\134").replace(" ", r"\040").replace("\t", r"\011").replace("\n", r"\012")
    assert unescaped(escaped) == text


@given(st.text(), st.text())
def test_any_text_is_judged(line: str, other: str) -> None:
    made = recording(line + ROOT, {"/": "{" + other}, {"/etc/fstab": line, "/proc/mounts": other})
    assert "could not be understood:" not in judged(made).reason
    made = printed(h=f"Filesystem {other} Mounted on\n{line}", i=other)
    assert "could not be understood:" not in judged(made).reason


def test_the_probe_on_this_machine(tmp_path: Path) -> None:
    said = filesystem.read(str(tmp_path), "/")
    assert int(said["available"]) <= int(said["free"]) <= int(said["size"])
    with pytest.raises(FileNotFoundError):
        filesystem.read(str(tmp_path), "/not there")
