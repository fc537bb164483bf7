"""Xids: every form of a line, the catalogue, the first cause of a crowd, and what ends one."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.facts.xid_catalogue import nvlink5, sxid, xid, xid74
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Finding, Result, Status
from mlopsdoc.profile import Profile

NOW = 1795403400.0  # 2026-11-23T03:10:00Z
BANNER = "[    0.000000] Linux version 6.8.0-87-generic (buildd@lcy02) #88-Ubuntu SMP\n"


def judge(text: str, status: AnswerStatus = "truncated", more: dict[str, str] | None = None) -> Result:
    """What the check says of a kernel log; of a part of one where it is not said to be whole."""
    recording = Recording(NOW)
    for key, said in {"run dmesg": text, **(more or {})}.items():
        recording.answers[key] = Answer(key, status if key == "run dmesg" else "ok", said.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["gpu_xid"]], Replay(recording), Profile())
    return result


def one(text: str, status: AnswerStatus = "truncated") -> Finding:
    """The one finding about an object."""
    (found,) = [f for f in judge(text, status).findings if f.code not in ("part", "covered")]
    return found


@pytest.mark.parametrize(
    ("line", "gpu", "number"),
    [
        ("[ 9.5] NVRM: Xid (PCI:0000:41:00): 79, pid=7, name=python3, GPU has fallen off the bus.", "41:00.0", 79),
        ("NVRM: Xid (PCI:0000:41:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.", "41:00.0", 79),
        ("kernel: NVRM: Xid (PCI:0000:41:00.0): 79, GPU has fallen off the bus.", "41:00.0", 79),
        ("Nov 23 03:00:00 h kernel: NVRM: Xid (PCI:00000000:41:00): 62, 2a", "41:00.0", 62),
        ("4,3,9500000,-;NVRM: Xid (0000:41:00): 62, 2a", "41:00.0", 62),
        ("NVRM: Xid (PCI:0008:01:00): 62, 2a", "0008:01:00.0", 62),
        ("Xid (PCI:0000:41:00): 62, 2a", "41:00.0", 62),
        ("NVRM: Xid (PCI:0000:41:00 GPU-I:02 GPU-CI:00): 62, pid=8, name=a, b", "41:00.0", 62),
    ],
)
def test_forms_of_lines(line: str, gpu: str, number: int) -> None:
    found = one(line)
    assert (found.status, found.subject, found.metrics["xid"]) == (Status.CRITICAL, f"GPU {gpu}", number)


def test_process_and_instance_are_named() -> None:
    line = "NVRM: Xid (PCI:0000:41:00 GPU-I:02): 62, pid=812, name=ray::train, it, halted"
    assert "MIG GPU-I:02, hit pid 812 (ray::train)" in one(line).summary


@pytest.mark.parametrize(
    ("lines", "status", "says"),
    [
        (["31, pid=1, name=a, x", "43, pid=1, name=a, x"], Status.OK, "program's own error"),
        (["13, pid=1, name=a, x", "109, pid=1, name=a, CTX SWITCH TIMEOUT"], Status.OK, "Xid 13"),
        (["109, pid=1, name=a, CTX SWITCH TIMEOUT"], Status.CRITICAL, "a context switch timed out"),
        (["45, pid=1, name=a, x"] * 3, Status.OK, "nothing but clean-up"),
        (["31, pid=1, name=a, x", "62, y", "45, z", "45, w"], Status.CRITICAL, "Xid 62"),
        (["45, z", "79, y"], Status.CRITICAL, "Xid 79"),
        (["63, Row Remapper", "48, DBE"], Status.CRITICAL, "Xid 48"),
        (["63, pid=1, name=a, Row Remapper"], Status.WARNING, "next reset"),
        (["94, pid=1, name=a, Contained"], Status.WARNING, "contained to one program"),
        (["154, GPU recovery action changed from 0x0 (None) to 0x2 (OS Reboot)"], Status.CRITICAL, "OS Reboot"),
        (["13, pid=1, name=a, x", "154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"],
         Status.CRITICAL, "GPU Reset Required"),
        (["154, GPU recovery action changed from 0x1 (GPU Reset Required) to 0x0 (None)"], Status.OK, "154"),
        (["14, test"], Status.OK, "14 (x1)"),
        (["155, NVLink: disabled"], Status.OK, "155"),
        (["56, CMDre"], Status.WARNING, "display channel exception"),
        (["61, 2a"], Status.WARNING, "microcontroller breakpoint"),
        (["3, old"], Status.WARNING, "not in use on A100 and later"),
        (["188, pid=1, name=a, new"], Status.UNKNOWN, "not in the catalogue"),
    ],
)  # fmt: skip
def test_the_first_cause_is_named(lines: list[str], status: Status, says: str) -> None:
    found = one("\n".join(f"[ 10.{n}] NVRM: Xid (PCI:0000:41:00): {line}" for n, line in enumerate(lines)))
    assert found.status is status
    assert says in found.summary


def test_an_application_error_is_no_reason_to_replace_a_gpu() -> None:
    found = one("[ 10.0] NVRM: Xid (PCI:0000:41:00): 31, pid=1, name=a, MMU Fault")
    assert "owner" in found.advice
    assert "replace" not in found.advice + found.summary


def test_the_same_program_again_is_no_suspicion_but_different_ones_are() -> None:
    def log(names: list[str], gpus: str = "41") -> str:
        return "\n".join(
            f"[ {n * 500}.0] NVRM: Xid (PCI:0000:{gpu}:00): 31, pid={n + 7}, name={name}, MMU Fault"
            for n, name in enumerate(names) for gpu in gpus.split()
        )  # fmt: skip

    assert one(log(["python3"] * 6)).status is Status.OK
    assert one(log(["python3", "gmx"])).status is Status.OK
    assert one(log(["python3", "gmx", "lmp"])).status is Status.WARNING
    assert (
        judge(log(["python3", "gmx", "lmp"], "41 61")).status is Status.UNKNOWN
    )  # two GPUs: the programs; a part of a log


CRASHES = """
[  146.768966] NVRM: Xid (PCI:0000:41:00): 13, Graphics SM Warp Exception on (GPC 1, TPC 2, SM 0): Misaligned Address
[  146.771948] NVRM: Xid (PCI:0000:41:00): 13, Graphics Exception: ESR 0x517730=0x501000f 0x517734=0x4
[  146.787350] NVRM: Xid (PCI:0000:41:00): 13, pid=21462, name=python3, Graphics Exception: channel 0x0000000a
[  149.804020] NVRM: Xid (PCI:0000:41:00): 13, Graphics SM Warp Exception on (GPC 1, TPC 4, SM 0): Out Of Range Address
[  149.823055] NVRM: Xid (PCI:0000:41:00): 43, pid=21531, name=python3, channel 0x0000000a
[  151.455532] NVRM: Xid (PCI:0000:41:00): 31, pid=21577, name=python3, channel 0x0000000a, intr 00000000. \
MMU Fault: ENGINE GRAPHICS GPC1 GPCCLIENT_T1_4 faulted @ 0x7f55_00000000. \
Fault is of type FAULT_PDE ACCESS_TYPE_VIRT_READ
[  152.270506] NVRM: Xid (PCI:0000:41:00): 43, pid=21600, name=python3, channel 0x0000000a
"""


def test_programs_that_crash_one_after_the_other_are_no_echo_of_each_other() -> None:
    """As driver 580 writes it: the lines of an exception name no process, the one that closes them does."""
    found = {finding.code: finding for finding in judge(CRASHES).findings}
    assert found["xid_13_program"].metrics["events"] == 2
    assert "Out Of Range Address), hit pid 21531 (python3); what followed is its echo: 43 (x1)" in (
        found["xid_13_program"].summary
    )
    assert "FAULT_PDE ACCESS_TYPE_VIRT_READ), hit pid 21577 (python3)" in found["xid_31_program"].summary
    assert "echo" not in found["xid_31_program"].summary
    assert "43 (x1)" in found["quiet"].summary


def test_what_a_dead_gpu_does_to_all_its_programs_is_its_echo() -> None:
    dead = (
        "[ 10.0] NVRM: Xid (PCI:0000:41:00): 119, pid=7, name=python3, Timeout after 45s of waiting for RPC response\n"
    )
    found = one(dead + "".join(f"[ 10.{n}] NVRM: Xid (PCI:0000:41:00): 31, pid={n}, name=a, x\n" for n in range(1, 4)))
    assert (found.status, "its echo: 31 (x3)" in found.summary) == (Status.CRITICAL, True)


def test_a_hung_kernel_is_the_echo_of_the_program_before_whomever_it_hits() -> None:
    xid = "NVRM: Xid (PCI:0000:41:00): "
    found = one(f"[ 10.0] {xid}31, pid=7, name=a, x\n[ 10.5] {xid}109, pid=8, name=b, CTX SWITCH TIMEOUT\n")
    assert (found.status, "its echo: 109 (x1)" in found.summary) == (Status.OK, True)


def test_an_exception_in_one_part_of_a_gpu_is_not_of_the_program_in_another() -> None:
    mine, other = (f"NVRM: Xid (PCI:0000:41:00 GPU-I:0{part}): " for part in (7, 8))
    lines = [f"{mine}13, Warp Exception", f"{other}43, pid=9, name=other, y", f"{mine}43, pid=5, name=mine, y"]
    found = judge("\n".join(f"[ 10.{n}] {line}" for n, line in enumerate(lines))).findings
    assert ["hit pid 5 (mine)" in one.summary for one in found if one.code == "xid_13_program"] == [True]


RESET = "154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"


@pytest.mark.parametrize(
    ("lines", "status", "says"),
    [
        (["31, pid=5, name=a, x", "45, pid=6, name=b, Ch 1 caused by previous Xid 31", RESET], Status.CRITICAL,
         "Xid 31: MMU fault: an address was used that is not mapped, hit pid 5 (a); the driver asks for: GPU Reset"),
        (["31, pid=5, name=a, x", "43, pid=6, name=b, y", RESET, "31, pid=7, name=c, z"], Status.CRITICAL,
         "hit pid 5 (a); the driver asks for: GPU Reset Required; what followed is its echo: 43 (x1)"),
        (["43, pid=5, name=a, x", "43, pid=6, name=b, y", "45, pid=5, name=a, Ch 1 caused by previous Xid 95",
          "45, pid=6, name=b, Ch 2 caused by previous Xid 95"], Status.CRITICAL, "its echo: 45 (x1)"),
        (["45, pid=5, name=a, x", "45, pid=6, name=b, y", "95, Uncontained", RESET], Status.CRITICAL, "Xid 45 came"),
    ],
)  # fmt: skip
def test_what_the_gpu_does_itself_joins_what_its_programs_wrote(lines: list[str], status: Status, says: str) -> None:
    found = one("\n".join(f"[ 10.{n}] NVRM: Xid (PCI:0000:41:00): {line}" for n, line in enumerate(lines)))
    assert (found.status, found.metrics["events"]) == (status, 1)
    assert says in found.summary


def test_an_exception_without_a_process_is_of_the_one_that_is_stopped_for_it() -> None:
    """Not of one that fails in another way in between; and without times the next line counts."""
    lines = ["13, Warp Exception", "31, pid=777, name=other, x", "43, pid=500, name=python3, y"]
    for time in ("[ 10.0] ", "Nov 23 03:10:00 gpu-17 kernel: ", ""):
        text = "\n".join(f"{time}NVRM: Xid (PCI:0000:41:00): {line}" for line in lines)
        found = {finding.code: finding.summary for finding in judge(text).findings}
        assert "hit pid 500 (python3); what followed is its echo: 43 (x1)" in found["xid_13_program"]
        assert "hit pid 777 (other)" in found["xid_31_program"]


def test_a_log_that_was_pasted_in_two_forms_counts_once() -> None:
    lines = [f"NVRM: Xid (PCI:0000:41:00): 31, pid={pid}, name=a, x" for pid in (500, 600)]
    forms = ("[ 10{n}.0] ", "[Mon Nov 23 03:10:0{n} 2026] ", "2026-11-23T03:10:0{n}+0000 gpu-17 kernel: ")
    text = "\n".join(form.replace("{n}", str(n)) + line for form in forms for n, line in enumerate(lines))
    found = one(text)
    assert (found.metrics["events"], found.metrics["lines"]) == (2, 2)
    assert one("\n".join(f"[ 10{n}.0] {lines[0]}" for n in range(3))).metrics["lines"] == 3, "three times the same"


def test_programs_without_a_name_are_not_known_to_differ() -> None:
    lines = [f"[ {n}00.0] NVRM: Xid (PCI:0000:41:00): 31, pid={n}, Ch 00000010, x" for n in range(1, 6)]
    assert one("\n".join(lines)).status is Status.OK


def test_the_same_cores_each_time_make_two_programs_enough() -> None:
    def log(names: str, *places: str) -> str:
        return "\n".join(
            f"[ {n * 500}.0] NVRM: Xid (PCI:0000:41:00): 13, pid={n + 7}, name={name}, Graphics SM Warp Exception on "
            f"({place}, SM 1): Out Of Range Address"
            for n, (name, place) in enumerate(zip(names.split(), places))
        )

    here, there = "GPC 2, TPC 5", "GPC 0, TPC 3"
    same = one(log("python3 gmx", here, here))
    assert (same.status, "same cores (GPC 2, TPC 5)" in same.summary) == (Status.WARNING, True)
    assert one(log("python3 gmx", here, there)).status is Status.OK
    again = one(log("python3 python3 python3", here, here, here))
    assert (again.status, "each time at the same cores" in again.summary) == (Status.OK, True), "one program's own"
    assert "same cores" not in one(log("python3", here)).summary


def test_links_that_were_not_found_at_the_start_are_over_once_they_are_up() -> None:
    line = "[ 5.0] NVRM: GPU2 knvlinkUpdatePostRxDetectLinkMask_IMPL: Failed to update Rx Detect Link mask!"
    (found,) = (f for f in judge(line).findings if f.code == "no_links")
    assert (found.status, found.summary.startswith("a GPU: its NVLinks")) == (Status.WARNING, True)


def test_a_minute_apart_is_another_event() -> None:
    text = "[ 10.0] NVRM: Xid (PCI:0000:41:00): 31, pid=1, name=a, x\n[ 90.0] NVRM: Xid (PCI:0000:41:00): 62, y"
    assert "came" not in next(f for f in judge(text).findings if f.code == "xid_62").summary


@pytest.mark.parametrize(
    "end",
    [
        "[ 50.0] NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.183.01  Sun May 12 19:39:15 UTC 2024",
        "[ 50.0] nvidia-nvswitch0: Probing device 0000:05:00.0, Vendor Id = 0x10de, Device Id = 0x22a3",
        "[ 50.0] pci 0000:41:00.0: [10de:2330] type 00 class 0x030200 PCIe Endpoint",
        "[ 50.0] NVRM: Xid (PCI:0000:41:00): 154, GPU recovery action changed from 0x1 (x) to 0x0 (None)",
        "[    0.000000] Linux version 6.8.0-90-generic (buildd@lcy02) #1 SMP",
    ],
)
def test_what_ends_a_fault(end: str) -> None:
    assert judge(f"[ 10.0] NVRM: Xid (PCI:0000:41:00): 62, x\n{end}\n").status is Status.UNKNOWN  # of a part, never ok
    again = f"[ 10.0] NVRM: Xid (PCI:0000:41:00): 62, x\n{end}\n[ 300.0] NVRM: Xid (PCI:0000:41:00): 62, x\n"
    found = next(f for f in judge(again).findings if f.code == "xid_62")
    assert found.status is Status.CRITICAL
    assert "did not end it" in found.summary
    assert "inspected" in found.advice


def test_what_a_reset_ended_is_not_said_of_what_came_later() -> None:
    demand = "154, GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)"
    lines = [
        "[ 10.0] NVRM: Xid (PCI:0000:41:00): 31, pid=1, name=a, x",
        f"[ 10.1] NVRM: Xid (PCI:0000:41:00): {demand}",
    ]
    lines += ["[ 50.0] NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.183.01"]
    lines += ["[ 900.0] NVRM: Xid (PCI:0000:41:00): 31, pid=2, name=a, x"]
    assert judge("\n".join(lines[:2])).status is Status.CRITICAL
    assert [f.status for f in judge("\n".join(lines)).findings if f.code != "part"] == [Status.OK, Status.OK]


def test_a_reset_of_another_gpu_ends_nothing() -> None:
    other = "[ 50.0] pci 0000:61:00.0: [10de:2330] type 00 class 0x030200 PCIe Endpoint"
    assert judge(f"[ 10.0] NVRM: Xid (PCI:0000:41:00): 62, x\n{other}\n").status is Status.CRITICAL


def test_the_boot_before_is_history_that_counts_when_it_comes_again() -> None:
    old = "[ 9000.0] NVRM: Xid (PCI:0000:41:00): 79, GPU has fallen off the bus.\n"
    assert judge(old + BANNER, "ok").status is Status.OK
    earlier = {"run journalctl -k -b -1": "Nov 20 01:00:00 h kernel: NVRM: Xid (PCI:0000:41:00): 79, x\n"}
    found = judge("[ 10.0] NVRM: Xid (PCI:0000:41:00): 79, x\n", more=earlier).findings[0]
    assert "did not end it" in found.summary


def test_a_part_of_a_log_proves_nothing_and_a_whole_one_does() -> None:
    assert judge(BANNER + "[ 4.0] NVRM: loading NVIDIA UNIX Open Kernel Module\n", "ok").status is Status.OK
    assert judge("[ 4.0] NVRM: loading NVIDIA UNIX Open Kernel Module\n").status is Status.UNKNOWN
    wrapped = "[Sun Nov 22 {:02}:00:00 2026] NVRM: a line\n"
    assert judge(wrapped.format(1), "ok").status is Status.OK
    assert judge(wrapped.format(9), "ok").status is Status.UNKNOWN


def test_no_sign_of_a_gpu() -> None:
    assert judge(BANNER + "[ 4.0] usb 1-1: new device\n", "ok").status is Status.SKIPPED
    cpu_node = {"read /sys/bus/pci/devices/0000:00:02.0/uevent": "DRIVER=i915\nPCI_CLASS=30000\nPCI_ID=8086:4C8A\n"}
    assert judge(BANNER + "[ 4.0] NVRM: No NVIDIA GPU found.\n", "ok", cpu_node).status is Status.SKIPPED


@pytest.mark.parametrize(
    ("lines", "subject", "status", "says"),
    [
        (["GPU 0000:41:00.0: GPU has fallen off the bus."], "GPU 41:00.0", Status.CRITICAL, "fallen off the bus"),
        (["The NVIDIA GPU 0000:41:00.0", "(PCI ID: 10de:2330) installed in this system has",
          "fallen off the bus and is not responding to commands."], "GPU 41:00.0", Status.CRITICAL, "off the bus"),
        (["The NVIDIA GPU 0000:41:00.0 (PCI ID: 10de:1db4)",
          "installed in this system is not supported by open nvidia.ko",
          "because it does not include the required GPU System Processor (GSP)."], "GPU 41:00.0", Status.CRITICAL,
         "does not support it"),
        (["The NVIDIA GPU 0000:41:00.0 (PCI ID: 10de:2b85)",
          "installed in this system requires use of the NVIDIA open kernel modules."],
         "GPU 41:00.0", Status.CRITICAL, "needs the open kernel module"),
        (["The NVIDIA GPU 0000:41:00.0 (PCI ID: 10de:1d01)", "installed in this system is supported through the",
          "NVIDIA 580.xx Legacy drivers. Please"], "GPU 41:00.0", Status.CRITICAL, "does not support it"),
        (["The NVIDIA GPU 0000:41:00.0 (PCI ID: 10de:2901)", "installed in this system is not supported by the",
          "NVIDIA 535.183.01 driver release."], "GPU 41:00.0", Status.CRITICAL, "does not support it"),
        (["GPU1 _kgspBootGspRm: unexpected WPR2 already up, cannot proceed with booting GSP",
          "GPU 0000:41:00.0: RmInitAdapter failed! (0x62:0x40:2028)"], "GPU 41:00.0", Status.CRITICAL, "WPR2"),
        (["GPU 0000:41:00.0: rm_init_adapter failed, device minor number 0",
          "gpuWaitForGfwBootComplete_TU102: failed to wait for GFW_BOOT: (progress 0x1)"],
         "GPU 41:00.0", Status.CRITICAL, "GFW"),
        (["GPU 0000:41:00.0: RmInitAdapter failed! (0x24:0x72:1568)"], "GPU 41:00.0", Status.CRITICAL, "0x24:0x72"),
        (["This PCI I/O region assigned to your NVIDIA device is invalid:", "BAR1 is 0M @ 0x0 (PCI:0000:41:00.0)"],
         "host", Status.CRITICAL, "BAR"),
        (["_kgspRpcRecvPoll: GSP RM heartbeat timed out"], "host", Status.CRITICAL, "stopped answering"),
    ],
)  # fmt: skip
def test_lines_without_a_number(lines: list[str], subject: str, status: Status, says: str) -> None:
    found = one("\n".join(f"[ 10.{n}] NVRM: {line}" for n, line in enumerate(lines)))
    assert (found.subject, found.status) == (subject, status)
    assert says in found.summary


def test_lines_that_are_no_fault() -> None:
    text = BANNER + "".join(
        f"[ 5.{n}] {line}\n"
        for n, line in enumerate(
            (
                "nvidia-nvlink: Nvlink Core is being initialized, major device number 234",
                "NVRM: loading NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build",
                "NVRM: GPU at PCI:0000:41:00: GPU-0d1b7c44-92f5-4a3e-8c60-7be19f2d5a08",
                "NVRM: API mismatch: the client 'nvidia-smi' (pid 7) has the version 570.1.1, but this module 570.1.2",
                "nvidia-peermem nv_get_p2p_free_callback:127 ERROR detected invalid context, skipping",
                "NVRM: krcWatchdogCallbackPerf_IMPL: watchdog",
            )
        )
    )
    assert judge(text, "ok").status is Status.OK


def test_a_clean_up_names_a_cause_whose_line_is_lost() -> None:
    found = one("NVRM: Xid (PCI:0000:41:00): 45, pid=7, name=a, Ch 00000001 caused by previous Xid 149")
    assert (found.status, found.metrics["xid"]) == (Status.CRITICAL, 149)
    assert "its own line is not here" in found.summary


def test_nvlink5_is_as_bad_as_its_words_or_what_it_killed() -> None:
    harmless = "[ 1.0] NVRM: Xid (PCI:0000:41:00): 146, TLW_CTRL Nonfatal XC0 i0 Link 02 (0x00000009 0x00000001 0x0)"
    assert one(harmless).status is Status.OK
    assert one(harmless.replace("0x00000001", "0x00000002")).status is Status.WARNING
    assert one(harmless.replace("0x00000001", "0x00000004")).status is Status.CRITICAL
    strange = harmless.replace("TLW_CTRL", "NEW_UNIT")
    assert "NEW_UNIT, link 2, non-fatal, of unknown meaning" in one(strange).summary
    assert one(strange).status is Status.WARNING
    assert one(strange.replace("Nonfatal", "Fatal")).status is Status.CRITICAL
    killed = "\n[ 1.1] NVRM: Xid (PCI:0000:41:00): 45, pid=7, name=a, Ch 00000001 caused by previous Xid 146"
    assert one(harmless.replace("0x00000001", "0x00000002") + killed).status is Status.CRITICAL


def test_peers_of_a_dead_gpu_follow_it() -> None:
    link = "NVLink: fatal error detected on link 4(0x10000, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0)"
    text = f"[ 10.0] NVRM: Xid (PCI:0000:61:00): 74, {link}\n[ 10.2] NVRM: Xid (PCI:0000:41:00): 79, x\n"
    found = {f.subject: f for f in judge(text).findings}
    assert found["GPU 41:00.0"].status is Status.CRITICAL
    assert found["GPU 61:00.0"].status is Status.WARNING
    assert "follows the fault of GPU 41:00.0" in found["GPU 61:00.0"].summary
    alone = one(f"[ 10.0] NVRM: Xid (PCI:0000:61:00): 74, {link}")
    assert alone.status is Status.CRITICAL
    assert "link 4: check seating" in alone.summary
    assert one(f"[ 10.0] NVRM: Xid (PCI:0000:61:00): 74, {link.replace('0x10000', '0x2')}").status is Status.WARNING
    assert one(f"[ 10.0] NVRM: Xid (PCI:0000:61:00): 74, {link.replace('0x10000', '0x1')}").status is Status.OK


def test_switches_by_class() -> None:
    fatal = "[ 1.0] nvidia-nvswitch2: SXid (PCI:0000:07:00.0): 23005, Fatal, Link 10 ingress packet burst error"
    assert one(fatal).status is Status.CRITICAL
    assert "every GPU of the board" in one(fatal).summary
    loaded = "\n[ 2.0] NVRM: loading NVIDIA UNIX x86_64 Kernel Module  570.1\n"
    assert one(fatal + loaded).status is Status.OK
    assert one(fatal + loaded + fatal.replace("1.0", "3.0")).status is Status.CRITICAL
    assert one("[ 1.0] nvidia-nvswitch2: SXid (PCI:0000:07:00.0): 12021, Non-fatal, Link 1 x").status is Status.OK
    assert one("[ 1.0] nvidia-nvswitch2: SXid (PCI:0000:07:00.0): 29999, Fatal, Link 1 new").status is Status.CRITICAL


def test_the_catalogue() -> None:
    assert (xid(79).severity, xid(79).action, xid(31).by_program) == ("critical", "RESTART_BM", "maybe")
    assert xid(140).classes == ("hw", "driver", "fb")
    assert not xid(500).is_known
    assert all(xid(number).is_known for number in range(1, 176))
    assert sxid(20034) == ("fatal_per_port", "ltssm fault up")
    assert sxid(99999)[0] == ""


def test_registers() -> None:
    decoded = nvlink5(149, "NETIR_LINK_EVT", (0x004505C6, 0))  # NVIDIA's own example
    assert decoded is not None
    assert (decoded.action, decoded.investigate) == ("RESET_GPU", "INVESTIGATE_LINK_SI")
    assert nvlink5(149, "NETIR_LINK_EVT", (0x03F00000, 0)) is None
    assert nvlink5(145, "RLW_RXPIPE", ()) is None
    assert xid74((1 << 4, 0, 1 << 13, 0, 0, 0, 0)) == ("ECC or parity error", "not expected: report it")
    assert xid74((1 << 1, 0, 0, 0, 0, 0, 0)) == ("an echo of another fault",)
    assert xid74((1 << 23, 0, 0, 0, 0, 0, 0)) == ("harmless",)
    assert xid74((1 << 23, 0, 0, 0, 0, 1, 0)) == ()


@pytest.mark.parametrize(
    "text",
    [
        "NVRM: Xid (",
        "NVRM: Xid (PCI:0000:41:00): 79999999999999, x",
        "NVRM: Xid (PCI:zz:41:00): 79, x",
        "NVRM: Xid (PCI:0000:41:00): 154, to 0x (",
        "NVRM: Xid (PCI:0000:41:00): 149, NETIR Fatal XC0 i0 Link -1 (0x 0x",
        "NVRM: " + "Xid (" * 9000,
        "NVRM: RmInitAdapter failed! (" + "0x" * 9000,
    ],
)
def test_hostile_lines_break_nothing(text: str) -> None:
    assert "failed:" not in judge(text).reason
