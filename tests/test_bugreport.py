"""nvidia-bug-report.log as its script has written it from 2009 to 2026, with what makes it odd."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlopsdoc.hosts.archives import foreign
from mlopsdoc.hosts.pasted.dates import date
from mlopsdoc.hosts.recorder import Recording
from mlopsdoc.hosts.refusals import Refused

from .program import mlopsdoc

SEPARATOR = "_" * 44 + "\n\n"
TAKEN_AT = 1795403400.0  # 2026-11-23T03:10:00Z
SMI = """
==============NVSMI LOG==============

Timestamp                                 : Mon Nov 23 03:10:07 2026
Driver Version                            : 580.95.05
CUDA Version                              : 13.0

Attached GPUs                             : 1
GPU 00000000:1B:00.0
    Product Name                          : NVIDIA H100 80GB HBM3
"""
NVLINK = "GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-6f2b0c1d-5a7e-4b3c-9d11-0a2b3c4d5e6f)\n\t Link 0: 26.562 GB/s\n"
DMESG = """[    0.000000] Linux version 6.8.0-87-generic
[ 8123.551904] NVRM: Xid (PCI:0000:1b:00): 79, GPU has fallen off the bus.
"""
SCAN = """Scanning kernel log files for NVIDIA kernel messages:

  /var/log/kern.log:
old line of another boot

  journalctl -b -0:
Nov 23 02:01:00 gpu-17 kernel: NVRM: Xid (PCI:0000:1b:00): 79

  journalctl -b -1:
Nov 20 02:01:00 gpu-17 kernel: NVRM: Xid (PCI:0000:9b:00): 48

"""
TABLE = f"""Component                           | Details
{"=" * 80}
NVIDIA Driver Version               | 580.95.05
{"-" * 80}
"""
CPUINFO = "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Platinum 8480+\n\n"


def banner(date: str = "Mon Nov 23 03:10:00 UTC 2026", flags: str | None = "", table: str = "") -> str:
    lines = [
        "Start of NVIDIA bug report log file.  Please include this file, along",
        "with a detailed description of your problem, when reporting a graphics",
        "driver bug via the NVIDIA Linux forum (see forums.developer.nvidia.com)",
        "or by sending email to 'linux-bugs@nvidia.com'.",
        "",
        "nvidia-bug-report.sh Version: 37062940",
        "",
        f"Date: {date}",
        "uname: Linux gpu-17 6.8.0-87-generic #88-Ubuntu SMP PREEMPT_DYNAMIC x86_64 x86_64 x86_64 GNU/Linux",
    ]
    lines += [f"command line flags: {flags}"] if flags is not None else []
    return SEPARATOR + "\n".join(lines) + "\n\n" + table


def a_file(path: str, content: str, *, blank: bool = True) -> str:
    ls = f"*** ls: -r--r--r-- 1 root root 0 2026-11-23 03:10:01.000000000 +0000 {path}\n"
    return (SEPARATOR if blank else SEPARATOR[:-1]) + f"*** {path}\n{ls}{content}\n"


def gone(path: str, why: str = "does not exist") -> str:
    return f"{SEPARATOR}*** {path} {why}\n\n"


def commands(*pairs: tuple[str, str]) -> str:
    return SEPARATOR + "".join(f"{line}\n\n{output}\n" for line, output in pairs)


def skipped(what: str, why: str) -> str:
    return f"{SEPARATOR}Skipping: {what}\n{why}\n\n"


END = f"{SEPARATOR[:-1]}\nEnd of NVIDIA bug report log file.\n"
SMI_SECTION = commands(
    ("/usr/bin/nvidia-smi --query", SMI),
    ("/usr/bin/nvidia-smi --query --unit", "\n==============NVSMI LOG==============\n\nAttached Units : 0\n"),
    ("/usr/bin/nvidia-smi nvlink --errorcounters", "GPU 0: x\n\t Link 0: Replay Errors: 0\n"),
    ("/usr/bin/nvidia-smi nvlink --remotelinkinfo", "GPU 0: x\n"),
    ("/usr/bin/nvidia-smi nvlink --status", NVLINK),
    ("/usr/bin/nvidia-smi conf-compute --query-conf-compute", "\n==============CONF-COMPUTE LOG==============\n"),
)
SECTIONS = [
    banner(table=TABLE),
    f"{SEPARATOR}NVIDIA Driver Type Detection:\n\nDetected driver type: Running RM Driver on GPUs\n\n",
    a_file("/sys/bus/pci/devices/0000:1b:00.0/power/control", "on\n"),
    gone("/var/log/nvidia-installer.log"),
    gone("/var/log/kern.log", "is not readable"),
    f"{SEPARATOR}/usr/bin/systemctl status nvidia-suspend.service\n\n",
    a_file("/var/log/Xorg.0.log", f"[     5.8] X\n{'_' * 44}\nnot a header at all\n[     5.9] Y\n"),
    commands(("/usr/bin/lspci -nntv", "-[0000:00]-+-00.0\n")),
    commands(("/usr/bin/lspci -nn", "1b:00.0 3D controller [0302]\n")),
    commands(("/usr/bin/lspci -nnDvvvxxxx", "0000:1b:00.0 3D controller [0302]: NVIDIA\n\t\tLnkSta: Speed 32GT/s\n")),
    commands(("/usr/bin/numactl -H", "available: 2 nodes (0-1)\n")),
    a_file("/proc/sys/kernel/numa_balancing", "1\n"),
    a_file("/sys/bus/pci/devices/0000:1b:00.0/numa_node", "0\n", blank=False),
    SEPARATOR + "/sys/module/nvidia/parameters/NVreg_EnableMSI:1\n/sys/module/nvidia/parameters/NVreg_X:a:b\n",
    SEPARATOR + SCAN,
    f"{SEPARATOR}dmesg:\n\n{DMESG}",
    f"{SEPARATOR}xset -q:\n\nxset:  unable to open display\n",
    a_file("/proc/cpuinfo", CPUINFO),
    a_file("/proc/driver/nvidia/./version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05\n"),
    f'{SEPARATOR}base64 "nvidia-nvml-temp4711.log"\n\nAAAA/usr/bin/nvidia-smi\nBBBB\n\n',
    commands(("/usr/bin/nvidia-debugdump -D", "AAAABBBB\n")),
    SEPARATOR,
    skipped("vulkaninfo output", "vulkaninfo not found"),
    SMI_SECTION,
    SEPARATOR,
]  # fmt: skip


def packed(sections: Sequence[str]) -> bytes:
    """As the script does it: each section is a gzip member of its own."""
    return b"".join(gzip.compress(section.encode()) for section in sections)


def load(tmp_path: Path, data: bytes, name: str = "nvidia-bug-report.log.gz", *, is_partial: bool = False) -> Recording:
    path = tmp_path / name
    path.write_bytes(data)
    return foreign.load(str(path), is_partial=is_partial)[1]


def said(recording: Recording, key: str) -> str:
    answer = recording.answers[key]
    assert answer.said, answer
    return answer.text


@pytest.mark.parametrize("form", ["many members", "one member", "plain", "windows"])
def test_every_form_says_the_same(tmp_path: Path, form: str) -> None:
    text = "".join([*SECTIONS, END])
    data = {
        "many members": packed([*SECTIONS, END]),
        "one member": gzip.compress(text.encode()),
        "plain": text.encode(),
        "windows": text.replace("\n", "\r\n").encode(),
    }[form]
    recording = load(tmp_path, data)
    assert recording.complete and recording.taken_at == TAKEN_AT
    assert said(recording, "run nvidia-smi -q").strip() == SMI.strip()
    assert said(recording, "run nvidia-smi nvlink -s").strip() == NVLINK.strip()
    assert said(recording, "run nvidia-smi nvlink -e") == "GPU 0: x\n\t Link 0: Replay Errors: 0"
    assert said(recording, "run dmesg") == DMESG.strip()
    assert "LnkSta: Speed 32GT/s" in said(recording, "run lspci -vvv")
    assert said(recording, "run numactl -H") == "available: 2 nodes (0-1)"
    assert said(recording, "read /proc/sys/kernel/numa_balancing") == "1"
    assert said(recording, "read /sys/bus/pci/devices/0000:1b:00.0/numa_node") == "0"
    assert said(recording, "read /proc/driver/nvidia/version").startswith("NVRM version")
    assert said(recording, "read /sys/module/nvidia/parameters/NVreg_X") == "a:b\n"
    assert said(recording, "read /var/log/Xorg.0.log").endswith("[     5.9] Y")
    assert said(recording, "read /proc/sys/kernel/hostname") == "gpu-17"
    assert recording.answers["read /var/log/nvidia-installer.log"].status == "absent"
    assert recording.answers["read /var/log/kern.log"].status == "denied"
    assert not any("AAAA" in answer.text for answer in recording.answers.values() if "debugdump" not in answer.key)


def test_a_tool_that_nobody_asks_ends_the_output_before_it(tmp_path: Path) -> None:
    section = commands(("/usr/sbin/ibstat", "CA 'mlx5_0'\n"), ("/usr/sbin/ibnetdiscover -C mlx5_0", "# Topology\n"))
    assert said(load(tmp_path, packed([banner(), section, END])), "run ibstat") == "CA 'mlx5_0'"


def test_it_is_judged(tmp_path: Path) -> None:
    path = tmp_path / "nvidia-bug-report.log.gz"
    path.write_bytes(packed([*SECTIONS, END]))
    ended = mlopsdoc("check", "--json", "--from", str(path), place=tmp_path)
    report = ended.report()
    assert report["host"]["name"] == "gpu-17" and "8480+" in report["host"]["cpus"]
    assert report["sources"][0]["kind"] == "nvidia-bug-report" and report["taken_at"] == "2026-11-23T03:10:00Z"


def test_one_whose_end_is_missing_is_not_complete(tmp_path: Path) -> None:
    assert not load(tmp_path, packed(SECTIONS)).complete


def test_a_cut_member_is_refused_or_salvaged(tmp_path: Path) -> None:
    noise = "".join(f"[ {n}.{n * 7919 % 100000:05d}] line\n" for n in range(20_000))
    head, tail = packed(SECTIONS), gzip.compress(f"{SEPARATOR}/usr/bin/lsusb\n\n{noise}".encode())
    cut = head + tail[: len(tail) // 2]
    with pytest.raises(Refused, match=r"ends in the middle, after section '/usr/bin/nvidia-smi --query'.* --partial"):
        load(tmp_path, cut)
    recording = load(tmp_path, cut, is_partial=True)
    assert not recording.complete and "not all of it could be read: it ends in the middle" in recording.notes
    assert said(recording, "run dmesg") == DMESG.strip()


def test_a_part_of_a_section_is_no_whole(tmp_path: Path) -> None:
    """What stands last where the text ends too early may lack its end."""
    text = "".join([*SECTIONS[:1], f"{SEPARATOR}dmesg:\n\n{DMESG}"])
    assert load(tmp_path, text.encode()).answers["run dmesg"].status == "truncated"


def test_safe_mode_is_said(tmp_path: Path) -> None:
    sections = [
        banner(flags="--safe-mode"),
        f"{SEPARATOR}dmesg:\n\n{DMESG}",
        skipped("nvidia-smi, vulkaninfo etc. Commands", "Skipping due to --safe-mode-argument"),
        skipped("Infiniband Commands", "Skipping due to --safe-mode-argument"),
        END,
    ]
    recording = load(tmp_path, packed(sections))
    answer = recording.answers["run nvidia-smi -q"]
    assert answer.status == "not_captured" and "safe-mode" in answer.why
    assert recording.notes == ["taken in safe mode: nvidia-smi was not asked"]


@pytest.mark.parametrize(
    "text",
    [
        "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that it is running.\n",
        "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.95\n",
        "NVIDIA-SMI couldn't find libnvidia-ml.so library in your system.\n",
        "No devices were found\n",
    ],
)
def test_a_tool_that_failed_is_no_answer(tmp_path: Path, text: str) -> None:
    recording = load(tmp_path, packed([banner(), commands(("/usr/bin/nvidia-smi --query", text)), END]))
    answer = recording.answers["run nvidia-smi -q"]
    assert (
        answer.status == "failed"
        and answer.why == text.partition("\n")[0]
        and answer.data.strip() == text.strip().encode()
    )


def test_the_old_forms_are_read(tmp_path: Path) -> None:
    text = (
        banner("Thu Jul 14 14:11:55 IST 2011", flags=None)
        + a_file("/etc/issue", "Ubuntu 11.04 \\n \\l\n")
        + commands(('/usr/bin/lspci -d "10de:*" -v -xxx', "01:00.0 VGA compatible controller: nVidia\n"))
        + f"{SEPARATOR}Scanning kernel log files for NVIDIA kernel messages:\n\n  /var/log/messages:\nx\n\n"
        + f"{SEPARATOR}dmesg:\n\n[    1.0] NVRM: loading\n"
        + f"{SEPARATOR}Skipping nvidia-smi output (nvidia-smi not found)\n\n"
        + a_file("/proc/meminfo", "MemTotal: 1 kB\n")
        + END
    )
    recording = load(tmp_path, text.encode())
    assert recording.taken_at == 1310652715.0
    assert said(recording, "read /proc/meminfo") == "MemTotal: 1 kB"
    answer = recording.answers["run lspci -v"]
    assert answer.status == "truncated"  # only NVIDIA's devices
    assert "nvidia-smi not found" in recording.answers["run nvidia-smi -q"].why


def test_of_several_boots_only_this_one_counts(tmp_path: Path) -> None:
    sections = [section for section in SECTIONS if "dmesg:\n" not in section]
    answer = load(tmp_path, packed([*sections, END])).answers["run dmesg"]
    assert answer.status == "truncated" and "1b:00" in answer.text and "9b:00" not in answer.text


@pytest.mark.parametrize("has_wrapped", [True, False])
def test_an_xid_that_the_ring_buffer_lost_is_in_the_journal(tmp_path: Path, has_wrapped: bool) -> None:
    first = "[ 9000.000000] usb 1-1: new device" if has_wrapped else "[    0.000000] Linux version 6.8.0-87-generic"
    recording = load(tmp_path, packed([banner(), SEPARATOR + SCAN, f"{SEPARATOR}dmesg:\n\n{first}\n", END]))
    assert first in said(recording, "run dmesg")
    assert ("Xid" in said(recording, "run dmesg")) == has_wrapped
    assert recording.answers["run dmesg"].status == ("truncated" if has_wrapped else "ok")


def test_a_section_that_repeats_counts_once(tmp_path: Path) -> None:
    again = [section.replace("580.95.05", "570.00") for section in SECTIONS]
    recording = load(tmp_path, packed([*SECTIONS, *again, END]))
    assert said(recording, "run nvidia-smi -q").strip() == SMI.strip()


def test_it_may_lie_in_an_archive(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    data = packed([*SECTIONS, END])
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        info = tarfile.TarInfo("case-4711/nvidia-bug-report.log.gz")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
    recording = load(tmp_path, buffer.getvalue(), "logs.tar.gz")
    assert recording.complete and said(recording, "run dmesg") == DMESG.strip()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Mon Nov 23 03:10:00 UTC 2026", TAKEN_AT),
        ("Mon 23 Nov 2026 03:10:00 AM CET", TAKEN_AT),
        ("Mon 23 Nov 2026 03:10:00 PM CET", TAKEN_AT + 43200),
        ("lun. 23 nov. 2026 03:10:00 CET", TAKEN_AT),
        ("lundi 23 novembre 2026, 03:10:00 (UTC+0100)", TAKEN_AT),
        ("mar. 24 nov. 2026 03:10:00 CET", TAKEN_AT + 86400),
        ("Mo 23. Nov 03:10:00 CET 2026", TAKEN_AT),
        ("Mo 23. Nov 2026 03:10:00 CET", TAKEN_AT),
        ("lun 23 nov 2026 03:10:00 CET", TAKEN_AT),
        ("lunes, 23 de noviembre de 2026, 03:10:00 CET", TAKEN_AT),
        ("2026年 11月 23日 星期一 03:10:00 CST", TAKEN_AT),
        ("2026年11月23日 月曜日 03:10:00 JST", TAKEN_AT),
        ("2026-11-23T03:10:00+01:00", TAKEN_AT),
        ("Mon Nov 23 03:10:00 2026", TAKEN_AT),
        ("jeu. 25 août 2022 20:30:39 CEST", 1661459439.0),
        ("Mon Nov 33 03:10:00 UTC 2026", None),
        ("Пн ноя 23 03:10:00 MSK 2026", None),
        ("", None),
    ],
)
def test_dates_of_many_languages(text: str, seconds: float | None) -> None:
    assert date(text) == seconds


@given(st.text(max_size=150))
def test_any_line_is_a_date_or_none(text: str) -> None:
    assert date(text) is None or isinstance(date(text), float)


WHOLE = "".join([*SECTIONS, END])
KNOWN: dict[str, bytes] = {}


def known(tmp_path: Path) -> dict[str, bytes]:
    """What the whole of it says."""
    if not KNOWN:
        KNOWN.update({key: a.data for key, a in load(tmp_path, WHOLE.encode()).answers.items() if a.said})
    return KNOWN


ROUNDS = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=500 if os.environ.get("MLOPSDOC_SOAK") else 15,
)


@ROUNDS
@given(st.integers(600, len(WHOLE) - 50))
def test_what_is_cut_off_is_never_whole(tmp_path: Path, end: int) -> None:
    recording = load(tmp_path, WHOLE[:end].encode())
    assert not recording.complete
    for key, answer in recording.answers.items():
        if answer.status == "ok":
            assert answer.data == known(tmp_path)[key]


@ROUNDS
@given(st.integers(0, len(WHOLE)), st.integers(0, len(WHOLE)))
def test_whatever_is_cut_out_it_ends_in_words(tmp_path: Path, start: int, end: int) -> None:
    try:
        recording = load(tmp_path, (WHOLE[: min(start, end)] + WHOLE[max(start, end) :]).encode())
    except Refused:
        return
    assert all(key.isprintable() for key in recording.answers)


def test_random_bytes_in_a_bug_report_do_no_harm(tmp_path: Path) -> None:
    data = bytearray(WHOLE.encode())
    for n in range(200, len(data), 97):
        data[n] = n * 31 % 256
    path = tmp_path / "nvidia-bug-report.log"
    path.write_bytes(bytes(data))
    ended = mlopsdoc("check", "--json", "--from", str(path), place=tmp_path)
    assert ended.code in (0, 1, 2, 3, 65) and "bug in" not in ended.err
    assert "\x1b" not in json.dumps(ended.out)
