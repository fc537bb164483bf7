"""Archives of strangers: they end soon, in little memory, in one line or with what is good in them."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsdoc.hosts.archives import foreign
from mlopsdoc.hosts.archives.files import CAPS, Files, Spool, clean_name, read_archive, read_folder
from mlopsdoc.hosts.archives.tar import Budget, Stream, entries
from mlopsdoc.hosts.refusals import OverLimit, Refused

from .program import environment, measured, mlopsdoc

SOAK = pytest.mark.skipif(not os.environ.get("MLOPSDOC_SOAK"), reason="takes long: MLOPSDOC_SOAK=1")
TOP = "sosreport-gpu17-2026-11-23-abcdefg"
MOUNTS = "/dev/md1 / ext4 rw,relatime 0 0\n"
DF = "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/md1 1000000 400000 550000 43% /\n"
GOOD = {
    "proc/mounts": MOUNTS,
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: Test CPU\n",
    "etc/hostname": "gpu17\n",
    "sos_commands/date/date": "Mon Nov 23 03:10:00 UTC 2026\n",
    "sos_commands/filesys/df_-al_-x_autofs": DF,
    "sos_commands/host/hostname": "gpu17\n",
}


def member(name: str, data: bytes = b"", **more: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def tarred(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def begun(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A tar that goes on."""
    return b"".join(info.tobuf(tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512) for info, data in members)


def good(**more: str) -> list[tuple[tarfile.TarInfo, bytes]]:
    return [member(f"{TOP}/{name}", text.encode()) for name, text in (GOOD | more).items()]


def ended(path: Path, place: Path) -> tuple[int, str, str]:
    """What `check --from` says of it, which it must in 20 s of a processor and 300 MB, without a traceback."""
    code, out, err, seconds, mib = measured("check", "--json", "--from", str(path), place=place)
    assert seconds < 20 and mib < 300, (seconds, mib, err)
    assert "Traceback" not in out + err and "bug in mlopsdoc" not in err
    return code, out, err


def refused(path: Path, place: Path) -> str:
    code, out, err = ended(path, place)
    assert (code, out, err.count("\n")) == (65, "", 1), err
    assert err.startswith(f"mlopsdoc: {path}: ")
    return err


def read(data: bytes, tmp_path: Path, *, is_partial: bool = False) -> tuple[dict[str, bytes], bool]:
    """The bytes of what was said, and whether it is complete."""
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    recording = foreign.load(str(path), is_partial=is_partial)[1]
    return {key: answer.data for key, answer in recording.answers.items() if answer.said}, recording.complete


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["tar", "gz", "bz2", "xz"])
def test_any_packing_is_told_by_its_content(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    said, _ = read(pack(tarred(*good())), tmp_path)
    assert said["read /proc/mounts"] == MOUNTS.encode()
    assert said["run df"] == DF.encode()


def link(name: str, target: str, *, is_hard: bool = False) -> tuple[tarfile.TarInfo, bytes]:
    return member(f"{TOP}/{name}", type=tarfile.LNKTYPE if is_hard else tarfile.SYMTYPE, linkname=target)


# What hosts have, and collectors copy as it is.
HARMLESS = {
    "control": [member(f"{TOP}/proc/\x1b]0;x\x07", b"x"), member(f"{TOP}/proc/a\nb", b"x")],
    "fifo": [member(f"{TOP}/run/x", type=tarfile.FIFOTYPE), member(f"{TOP}/dev/nvram", type=tarfile.CHRTYPE)],
    "links": [
        link("proc/out", "../../../../../etc/shadow"),
        link("proc/abs", "/etc/shadow"),
        link("proc/me", "me"),
        link("proc/a", "b"),
        link("proc/b", "a"),
        link("proc/up", "."),
        link("proc/hard", "etc/not-here", is_hard=True),
    ],
    "again": [member(f"{TOP}/proc/mounts", MOUNTS.encode()), link("etc/x", "y"), link("etc/x", "y")],
    "depth": [member(f"{TOP}/" + "d/" * 100 + "x", b"x")],
    "long": [member(f"{TOP}/" + "n" * 5000, b"x")],
    "latin": [member(f"{TOP}/proc/\udcff\udcfe", b"x")],
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_odd_members_take_nothing_from_the_others(tmp_path: Path, kind: str) -> None:
    data = tarred(*good(), *HARMLESS[kind])
    plain, _ = read(tarred(*good()), tmp_path)
    said, _ = read(data, tmp_path)
    assert {key: said[key] for key in plain} == plain
    new = {key: value for key, value in said.items() if key not in plain}
    assert all(key.isprintable() and ".." not in key.split("/") for key in new)
    if kind == "latin":
        assert new == {"read /proc/%ff%fe": b"x"}
    elif kind == "links":
        assert new["link /proc/out"] == b"../../../../../etc/shadow"
        assert not any(b"root" in value for value in new.values())
        assert "read /proc/out" not in new and "read /proc/hard" not in new and "read /proc/me" not in new
    else:
        assert new == ({"link /etc/x": b"y"} if kind == "again" else {})


def packed_members(*members: tuple[tarfile.TarInfo, bytes]) -> Callable[[Path], object]:
    """What writes an archive that holds evidence, and these members after it."""
    return lambda path: path.write_bytes(gzip.compress(tarred(*good(), *members), 1))


def large_header(path: Path) -> None:
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 200_000_000
    with gzip.open(path, "wb", 1) as file:
        file.write(begun(*good()) + info.tobuf(tarfile.USTAR_FORMAT) + b"200000000 path=")
        for _ in range(190):
            file.write(b"a" * (1 << 20))


def bomb(path: Path, opener: Callable[..., IO[bytes]] = lzma.open) -> None:
    info = tarfile.TarInfo(f"{TOP}/var/log/zeros")
    info.size = 1 << 30
    with opener(path, "wb") as file:
        file.write(begun(*good()) + info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(256):
            file.write(bytes(1 << 20))


def many_members(path: Path, count: int = 300_000) -> None:
    with gzip.open(path, "wb", 1) as file:
        file.write(begun(*good()))
        for n in range(count):
            file.write(tarfile.TarInfo(f"{TOP}/proc/{n}").tobuf(tarfile.USTAR_FORMAT))
        file.write(bytes(1024))


def sparse_64_gib(path: Path) -> None:
    """A member that claims 64 GiB and has no byte."""
    data = bytearray(tarred(member(f"{TOP}/proc/huge", type=tarfile.GNUTYPE_SPARSE), *good()))
    data[483:495] = b"\x80" + (64 << 30).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    path.write_bytes(data)


ENTITIES = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
ENTITY_BOMB = (
    f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a0 "aaaaaaaaaa">{ENTITIES}]><nvidia_smi_log>&a11;</nvidia_smi_log>'
)
UNKNOWN = "nothing in this text is output that mlopsdoc knows"
# Every archive below holds evidence too; what is no archive is the source itself.
HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "traversal": (packed_members(member(f"{TOP}/../../proc/x", b"x")), "/../../proc/x' would lie outside it"),
    "absolute": (packed_members(member("/etc/cron.d/x", b"x")), "member '/etc/cron.d/x' would lie outside it"),
    "behind a link": (
        packed_members(link("etc/x", "/etc"), member(f"{TOP}/etc/x/passwd", b"x")),
        "/etc/x/passwd' lies behind a link",
    ),
    "hard link": (packed_members(link("etc/x", "/etc/shadow", is_hard=True)), "is a hard link to a file outside it"),
    "device": (packed_members(member(f"{TOP}/dev/x", type=tarfile.CHRTYPE, devmajor=1)), "/dev/x' is a device"),
    "block device": (packed_members(member(f"{TOP}/x", type=tarfile.BLKTYPE, devmajor=8)), "/x' is a device"),
    "duplicate": (packed_members(member(f"{TOP}/proc/mounts", b"x")), "is there twice, with different content"),
    "file and link": (packed_members(link("proc/mounts", "x")), "is there twice, with different content"),
    "sparse": (sparse_64_gib, "/proc/huge' is a sparse file"),
    "header": (large_header, "a header of it is 200000000 bytes long"),
    "members": (many_members, "it has more than 250000 members"),
    "xz bomb": (bomb, "grows to more than 1000 times"),
    "bz2 bomb": (lambda path: bomb(path, bz2.open), "grows to more than 1000 times"),
    "truncated": (
        lambda path: path.write_bytes(gzip.compress(tarred(*good(), member("x", os.urandom(9000))))[:-4000]),
        f"it ends in the middle, after member '{TOP}/",
    ),
    "not UTF-8": (lambda path: path.write_bytes(b"caf\xe9 \xff\xfe\n" * 5000), UNKNOWN),
    "entity bomb": (lambda path: path.write_text(ENTITY_BOMB), UNKNOWN),
    "deep JSON": (lambda path: path.write_text("[" * 500_000), UNKNOWN),
    "deep JSON in lines": (lambda path: path.write_text('{"a":\n' * 200_000), UNKNOWN),
    "in an archive": (
        packed_members(member(f"{TOP}/x.tar.gz", gzip.compress(tarred(member("../x", b"x"))))),
        "'../x' would lie outside it",
    ),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_was_made_to_do_harm_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    write, words = HOSTILE[kind]
    path = tmp_path / "evidence"
    write(path)
    assert words in refused(path, tmp_path)


def test_hard_links_are_their_target(tmp_path: Path) -> None:
    linked = member(f"{TOP}/etc/again", type=tarfile.LNKTYPE, linkname=f"{TOP}/etc/hostname")
    assert read(tarred(*good(), linked), tmp_path)[0]["read /etc/again"] == b"gpu17\n"


def test_links_are_followed_within_the_archive_only(tmp_path: Path) -> None:
    links = [
        member(f"{TOP}/lib", type=tarfile.SYMTYPE, linkname="usr/lib"),
        member(f"{TOP}/proc/self", type=tarfile.SYMTYPE, linkname="417"),
        member(f"{TOP}/etc/abs", type=tarfile.SYMTYPE, linkname="/lib/systemd/x.service"),
    ]
    files = [member(f"{TOP}/proc/417/mountinfo", b"29 1\n"), member(f"{TOP}/usr/lib/systemd/x.service", b"[Unit]\n")]
    said, _ = read(tarred(*good(), *links, *files), tmp_path)
    assert said["read /proc/self/mountinfo"] == b"29 1\n"
    assert said["read /lib/systemd/x.service"] == said["read /etc/abs"] == b"[Unit]\n"


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names_are_read(tmp_path: Path, form: int) -> None:
    name = "proc/" + "/".join(["a" * 60] * 6)
    said, _ = read(tarred(*good(), member(f"{TOP}/{name}", b"long"), form=form), tmp_path)
    assert said[f"read /{name}"] == b"long"


@SOAK
def test_too_many_packed_parts_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "parts.gz"
    path.write_bytes(gzip.compress(b"") * 250_001)
    assert "more than 250000 packed parts" in refused(path, tmp_path)


@SOAK
@pytest.mark.parametrize("text", ["[" + "[]," * 5_000_000 + "[]]", "[" * 16_000_000, '{"a": "' + "x" * 16_000_000])
def test_a_manifest_that_needs_much_memory_is_passed_over(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tarred(*good(**{"sos_reports/manifest.json": text})))
    code, out, err = ended(path, tmp_path)
    assert code in (0, 3) and json.loads(out)["host"]["name"] == "gpu17", err


@SOAK
def test_many_links_to_many_files_end_soon(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    links = [member(f"{TOP}/proc/l{n}", type=tarfile.SYMTYPE, linkname=".") for n in range(5000)]
    chain = [member(f"{TOP}/proc/c{n}", type=tarfile.SYMTYPE, linkname=f"c{n + 1}") for n in range(20000)]
    for deep in ("", "a/b/c/d/e/f/"):
        files = (member(f"{TOP}/proc/{deep}f{n}", b"x") for n in range(20000))
        path.write_bytes(tarred(*good(), *links, *chain, *files))
        assert ended(path, tmp_path)[0] in (0, 3)


@SOAK
def test_a_log_of_100_mb_is_judged_by_its_end(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.gz"
    line = b"[    1.000000] usb 1-1: a line of a long log that says nothing\n"
    info = tarfile.TarInfo(f"{TOP}/sos_commands/kernel/dmesg")
    info.size = len(line) * 1_600_000
    with gzip.open(path, "wb", 1) as file:
        file.write(begun(*good()))
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        for _ in range(1600):
            file.write(line * 1000)
        file.write(bytes(-info.size % 512 + 1024))
    code, _, _ = ended(path, tmp_path)
    assert code in (0, 1, 2, 3)
    answer = foreign.load(str(path))[1].answers["run dmesg"]
    assert answer.status == "truncated" and len(answer.data) == 16 << 20 and answer.data.endswith(line)


def packed_times(count: int, data: bytes) -> bytes:
    return packed_times(count - 1, gzip.compress(data)) if count else data


REFUSED = {
    "empty": (b"", "is empty"),
    "garbage": (b"\x00\x01\x02\x7f" * 5000, ""),
    "no evidence": (tarred(member("a/b", b"x")), "it is not what a collector makes"),
    "journal": (b"LPKSHHRH" + bytes(500), "journalctl --file"),
    "a wrong checksum at the end": (gzip.compress(tarred(*good()) + bytes(1 << 20))[:-1] + b"x", "it is no gzip, or"),
    "packed four times": (packed_times(4, tarred(*good())), "it is no form of evidence"),
    "RAR": (b"Rar!\x1a\x07\x01\0" + bytes(100), "packed with RAR, which is not read"),
    "gzip of garbage": (gzip.compress(b"\x01" * 5000), "it is no form of evidence"),
    "half a gzip header": (b"\x1f\x8b\x08", "it ends in the middle"),
    "broken gzip": (b"\x1f\x8b\x08" + b"\xff" * 100, "it is no gzip, or damaged"),
    "zip": (b"PK\x03\x04" + bytes(100), "packed with zip, which is not read"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd"),
    "gpg": (b"\x8c\x0d" + bytes(100), "packed with GPG"),
    "claims 8 EiB": (tarred(member("a", b""))[:124] + b"\x80" + b"\0" * 3 + b"\x7f" * 8 + bytes(400), ""),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_no_evidence_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "sosreport-x.tar.xz"
    path.write_bytes(REFUSED[kind][0])
    code, out, err = ended(path, tmp_path)
    assert (code, out, err.count("\n")) == (65, "", 1)
    assert REFUSED[kind][1] in err


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_archive_gives_what_came_before_to_whom_asks(tmp_path: Path, share: float) -> None:
    data = gzip.compress(tarred(*good(), *(member(f"{TOP}/proc/{n}", os.urandom(2000)) for n in range(50))))
    whole, _ = read(data, tmp_path)
    cut = data[: int(len(data) * share)]
    said, complete = read(cut, tmp_path, is_partial=True)
    assert not complete and said.items() <= whole.items() and "run df" in said
    last = max(int(key[11:]) for key in said if key.startswith("read /proc/") and key[11:].isdecimal())
    line = refused(tmp_path / "x.tar", tmp_path)
    assert f"it ends in the middle, after member '{TOP}/proc/{last}': get the whole of it" in line
    assert line.endswith("`check --partial`\n")
    ended = mlopsdoc("check", "--json", "--partial", "--from", str(tmp_path / "x.tar"), place=tmp_path)
    assert ended.report()["host"]["name"] == "gpu17" and "not all of it could be read: it ends in the" in ended.err


def test_one_that_is_cut_off_in_its_first_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tarred(member(f"{TOP}/proc/x", bytes(9000)))[:1500])
    assert "it ends in the middle, within its first member" in refused(path, tmp_path)


def test_hostile_content_is_judged_and_ends(tmp_path: Path) -> None:
    more = {
        "sos_commands/nvidia/nvidia-smi_-q_-x": ENTITY_BOMB,
        "sos_commands/nvidia/nvidia-smi_-q": "[" * 100_000,
        "sos_reports/manifest.json": "[" * 1_000_000,
        "sos_reports/sos.json": '{"a":' * 100_000,
        "proc/self/mountinfo": "\x1b]52;c;x\x07" * 1000,
        "sos_commands/zfs/zpool_status_-vx": "pool: " * 100_000,
    }
    path = tmp_path / "x.tar"
    path.write_bytes(tarred(*good(**more)))
    code, out, _ = ended(path, tmp_path)
    assert code in (0, 1, 2, 3) and "\\u001b" not in out
    assert json.loads(out)["host"]["name"] == "gpu17"


def nested(*names: str) -> bytes:
    return tarred(
        *(
            member(
                f"collector/{name}.tar.xz", lzma.compress(tarred(*good(**{"etc/hostname": name, f"etc/{name}": "x"})))
            )
            for name in names
        )
    )


def test_an_archive_in_an_archive_is_read(tmp_path: Path) -> None:
    said, _ = read(nested("gpu17"), tmp_path)
    assert said["read /etc/gpu17"] == b"x" and said["run df"] == DF.encode()


def test_several_hosts_in_one_archive_are_refused(tmp_path: Path) -> None:
    a, b = (lzma.compress(tarred(*(member(f"sosreport-{n}/{k}", v.encode()) for k, v in GOOD.items()))) for n in "ab")
    path = tmp_path / "x.tar"
    path.write_bytes(tarred(member("c/a.tar.xz", a), member("c/b.tar.xz", b)))
    assert "it holds 2 hosts, which are judged one at a time: sosreport-a, sosreport-b" in refused(path, tmp_path)


def test_a_folder_is_the_same_as_its_archive(tmp_path: Path) -> None:
    data = tarred(
        *good(), member(f"{TOP}/proc/self", type=tarfile.SYMTYPE, linkname="417"), member(f"{TOP}/proc/417/x", b"y")
    )
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(tmp_path / "x")  # our own
    os.mkfifo(tmp_path / "x" / TOP / "proc/fifo")
    (tmp_path / "x" / TOP / "proc/out").symlink_to("/etc/passwd")
    for folder in (tmp_path / "x", tmp_path / "x" / TOP):
        recording = foreign.load(str(folder))[1]
        said = {key: answer.data for key, answer in recording.answers.items() if answer.said}
        assert said.pop("link /proc/out") == b"/etc/passwd"
        assert said == read(data, tmp_path)[0]


def test_what_was_packed_again_on_its_way_is_read(tmp_path: Path) -> None:
    assert read(packed_times(3, tarred(*good())), tmp_path)[0]["run df"] == DF.encode()


def test_files_that_may_not_be_read_are_not_empty_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tarfile.open(fileobj=io.BytesIO(tarred(*good()))) as tar:
        tar.extractall(tmp_path)  # our own

    def access(path: str, _: int) -> bool:
        return not path.endswith("/mounts")

    monkeypatch.setattr(os, "access", access)
    with open(tmp_path / "spool", "w+b") as spool:
        files = Files(spool.fileno())
        read_folder(str(tmp_path), files)
    assert files.denied == 1 and files.files[f"{TOP}/proc/mounts"].size == 0 < files.files[f"{TOP}/etc/hostname"].size


def test_a_folder_may_change_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("x")
    os.symlink("y", tmp_path / "l")
    paths = [str(tmp_path / name) for name in ("l", "x")]
    entries = list(os.scandir(tmp_path))
    for path in paths:
        os.unlink(path)

    def scandir(_: str) -> list[os.DirEntry[str]]:
        return entries

    monkeypatch.setattr(os, "scandir", scandir)
    files = Files(0)
    read_folder(str(tmp_path), files)
    assert not files.files and not files.links


def test_a_redfish_mockup_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "mockup/redfish/v1/Chassis/1"
    folder.mkdir(parents=True)
    (folder / "index.json").write_text('{"Id": "1"}')
    (tmp_path / "mockup/redfish/v1/index.json").write_text("{}")
    recording = foreign.load(str(tmp_path / "mockup"))[1]
    assert {key: answer.data for key, answer in recording.answers.items()} == {
        "read /redfish/v1": b"{}",
        "read /redfish/v1/Chassis/1": b'{"Id": "1"}',
    }


def test_from_a_pipe(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mlopsdoc", "check", "--json", "--from", "-"]
    data = gzip.compress(tarred(*good()))
    said = subprocess.run(command, input=data, env=environment(tmp_path), capture_output=True, timeout=60)
    assert json.loads(said.stdout)["host"]["name"] == "gpu17"


def test_slow_ones_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    budget = Budget(CAPS, 15)
    now = time.process_time()
    budget.add_bytes(10, 100)
    monkeypatch.setattr(time, "process_time", lambda: now + 16)
    with pytest.raises(OverLimit, match="takes more than 15 s"):
        budget.add_bytes(10, 100)


@given(st.text(max_size=200))
def test_names_are_plain(name: str) -> None:
    cleaned = clean_name(name)
    assert not cleaned.startswith("/") and ".." not in cleaned.split("/")
    assert not any(char < " " or "\x7f" <= char < "\xa0" for char in cleaned)


ARCHIVE = tarred(*good(), *HARMLESS["links"], *HARMLESS["long"])


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=1000 if os.environ.get("MLOPSDOC_SOAK") else 60,
)
@given(
    st.lists(st.tuples(st.integers(0, len(ARCHIVE) - 1), st.integers(0, 255)), max_size=20),
    st.integers(0, len(ARCHIVE)),
)
def test_damaged_archives_end_in_words(tmp_path: Path, changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(ARCHIVE)
    for at, value in changes:
        data[at] = value
    with open(tmp_path / "spool", "w+b") as spool:
        files = Files(spool.fileno())
        try:
            read_archive(Stream(io.BytesIO(bytes(data[:end])), Budget(CAPS)), files, Spool(spool.fileno()))
        except Refused:
            pass
        assert all(name == clean_name(name) for name in files.files)


@given(st.binary(max_size=3000))
def test_any_bytes_are_a_tar_or_not(data: bytes) -> None:
    try:
        for entry in entries(Stream(io.BytesIO(data), Budget(CAPS))):
            entry.body.read(100)
    except Refused:
        pass


def test_a_file_whose_name_looks_like_an_archive_keeps_its_first_bytes(tmp_path: Path) -> None:
    content = bytes(range(32, 120)) * 1000
    path = tmp_path / "sos.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in (("sos-x/sos_commands/date/date", b"x"), ("sos-x/etc/multi-user.target", content)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    answer = foreign.load(str(path))[1].answers["read /etc/multi-user.target"]
    assert (answer.status, answer.data) == ("ok", content)
