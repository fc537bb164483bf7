"""Versions of the driver, and what processes have loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsdoc import catalog
from mlopsdoc.authoring import NothingHere
from mlopsdoc.engine import run
from mlopsdoc.facts.driver import Driver
from mlopsdoc.facts.driver_versions import branch_of, is_older, is_same, may_be, numbers
from mlopsdoc.facts.machine import Machine
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.probes import mapped
from mlopsdoc.profile import Profile
from tests.program import mlopsdoc


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("535.104.05", "535.104.5", True),
        ("580.95", "580.95.00", True),
        ("570.124.04", "570.124.06", False),
        ("", "", False),
        ("unknown", "unknown", False),
        ("580.95.05", "580.95.05\n", True),
    ],
)
def test_same_versions(one: str, other: str, same: bool) -> None:
    assert is_same(one, other) is same


def test_versions_compare_by_number() -> None:
    assert is_older("535.86.09", "535.104.05")
    assert not is_older("535.104.05", "535.86.09")
    assert not is_older("", "535.86.09")
    assert may_be("570.124", "570.124.06")
    assert not may_be("570.12", "570.124.06")
    assert numbers("1." * 40) == numbers("9" * 400) == ()


def test_branches() -> None:
    branch = branch_of("535.183.01")
    assert branch is not None and (branch.cuda, branch.ended) == ("12.2", "2026-06")
    assert branch_of("590.48.01").ended == ""  # type: ignore[union-attr]
    assert branch_of("999.1") is None


def driver(text: str, *form: str, status: str = "ok") -> Driver:
    recording = Recording(0.0)
    key = " ".join(("run nvidia-smi", *form))
    recording.answers[key] = Answer(key, status, text.encode())  # type: ignore[arg-type]
    host = Replay(recording)
    return Driver.read(host, Machine.read(host, None), None)


def test_part_of_a_version_is_what_nvidia_smi_says() -> None:
    found = driver("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 565.57\n")
    assert (found.code, found.nvml.version, found.loaded.version) == (18, "565.57", "")


@pytest.mark.parametrize(
    "header",
    [
        "| NVIDIA-SMI 550.90.07    Driver Version: 550.90.07    CUDA Version: 12.4     |",
        "| NVIDIA-SMI 550.90.07    KMD Version: 550.90.07    CUDA UMD Version: 12.4     |",
    ],
)
def test_header_alone(header: str) -> None:
    found = driver(header + "\n", status="truncated")
    assert (found.code, found.loaded.version, found.cuda.version) == (0, "550.90.07", "12.4")


def test_cuda_above_the_driver_on_a_geforce(tmp_path: Path) -> None:
    text = (
        "$ nvidia-smi | head -12\n"
        "| NVIDIA-SMI 525.147.05   Driver Version: 525.147.05   CUDA Version: 12.6     |\n"
        "|   0  NVIDIA GeForce RTX 3090   Off  | 00000000:01:00.0 Off |                  N/A |\n"
    )
    (tmp_path / "pasted.txt").write_text(text)
    said = mlopsdoc("check", "cuda_programs", "--json", "--from", str(tmp_path / "pasted.txt"), place=tmp_path)
    finding = said.check("cuda_programs")["findings"][0]
    assert (finding["status"], finding["code"]) == ("critical", "compat")
    assert "12.6" in finding["summary"] and "525.147.05" in finding["summary"] and "12.0" in finding["summary"]


@pytest.mark.parametrize("text", ["", "\x00\xff", "580.95.05 " * 1000, "Kernel Module  ..", "-1.2"])
def test_hostile_versions_say_nothing(text: str) -> None:
    recording = Recording(0.0, unlisted="absent")
    recording.answers["read /sys/module/nvidia/version"] = Answer(
        "read /sys/module/nvidia/version", "ok", text.encode()
    )
    host = Replay(recording)
    with pytest.raises(NothingHere):
        Driver.read(host, Machine.read(host, None), None)


def test_what_a_process_has_loaded(tmp_path: Path) -> None:
    """A real process that maps a file of that name, installed by two wheels."""
    library = tmp_path / "site-packages/nvidia/nccl/lib/libnccl.so.2"
    library.parent.mkdir(parents=True)
    library.write_bytes(bytes(4096))
    for name in ("nvidia_nccl_cu12-2.27.3.dist-info", "nvidia-nccl-cu13-2.28.9.dist-info", "numpy-2.0.dist-info"):
        (tmp_path / "site-packages" / name).mkdir()
    code = (
        "import mmap, sys; file = open(sys.argv[1], 'rb'); m = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ); "
        "print('mapped', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(library)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"mapped\n"
        said = mapped.read("/", str(process.pid))
        os.replace(library, f"{library}.old")
        os.unlink(f"{library}.old")
        later = mapped.read("/", str(process.pid))
        process.communicate(b"")
    wheels = ["nvidia_nccl_cu12-2.27.3", "nvidia_nccl_cu13-2.28.9"]
    assert said == {"libraries": [{"path": str(library), "deleted": False, "wheels": wheels}]}
    assert later["libraries"][0]["deleted"] is True
    assert json.dumps(said)
    with pytest.raises((FileNotFoundError, ProcessLookupError)):
        mapped.read("/", str(process.pid))


@pytest.mark.parametrize(
    "log",
    [
        (
            "[  88.1] NVRM: API mismatch: the client has the version 535.183.01, but\n"
            "[  88.1] NVRM: this kernel module has the version 535.161.08.  Please\n"
            "[  88.1] NVRM: make sure that this kernel module and all NVIDIA driver\n"
        ),
        (
            "Nov 20 03:11:07 n4 kernel: NVRM: API mismatch: the client 'nvidia-smi' (pid 20341)\n"
            "Nov 20 03:11:07 n4 kernel: NVRM: has the version 535.183.01, but this kernel module has\n"
            "Nov 20 03:11:07 n4 kernel: NVRM: the version 535.161.08.  Please make sure that this\n"
        ),
    ],
)
def test_kernel_log_names_both_versions(log: str) -> None:
    recording = Recording(0.0)
    for key, text in {"run dmesg": log, "read /proc/driver/nvidia/version": ""}.items():
        recording.answers[key] = Answer(key, "ok", text.encode())
    host = Replay(recording)
    found = Driver.read(host, Machine.read(host, None), None)
    assert (found.code, found.nvml.version, found.loaded.version) == (18, "535.183.01", "535.161.08")


@pytest.mark.parametrize(
    "log", ["NVRM: API mismatch: ", "NVRM: API mismatch: the client has the version 535.183.01, but"]
)
def test_half_a_message_says_nothing(log: str) -> None:
    recording = Recording(0.0)
    recording.answers["run dmesg"] = Answer("run dmesg", "truncated", log.encode())
    host = Replay(recording)
    with pytest.raises(NothingHere):
        Driver.read(host, Machine.read(host, None), None)


def judge(host: Recording, *ids: str) -> Result:
    """The worst result of these checks."""
    checks = catalog.find(drop_ins=False).checks
    return max(run([checks[id] for id in ids or ("driver_stack",)], Replay(host), Profile()), key=lambda r: r.status)


@pytest.fixture
def reference() -> Recording:
    return snapshot.load(str(Path(catalog.shipped("snapshots")) / "reference"))


def put(host: Recording, texts: dict[str, str], status: AnswerStatus = "ok") -> Recording:
    for key, text in texts.items():
        host.answers[key] = Answer(key, status, text.encode())
    return host


def pasted(texts: dict[str, str]) -> Result:
    """The worst of what somebody typed and saw; a command that failed begins with an exclamation mark."""
    host = Recording(0.0)
    for key, text in texts.items():
        put(host, {key.lstrip("!"): text}, "failed" if key.startswith("!") else "ok")
    return judge(host, "driver_stack", "container_toolkit", "fabric_manager", "cuda_programs")


TABLE = (
    "| NVIDIA-SMI {0}    Driver Version: {0}    CUDA Version: {1}     |\n|   0  {2}      On  | 00000000:01:00.0 Off |\n"
)
NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest\n"
BUILD = (
    "Building module:\nCleaning build area...(bad exit status: 2)\n"
    "Error! Bad return status for module build on kernel: {0} (x86_64)\n"
    "Consult /var/lib/dkms/nvidia/535.216.03/build/make.log for more information.\n"
)
HEADERS = (
    "Error! Your kernel headers for kernel {0} cannot be found at /lib/modules/{0}/build or /lib/modules/{0}/source.\n"
)
OLD = TABLE.format("470.256.02", "11.4", "NVIDIA A30")
NEW = TABLE.format("580.105.08", "13.0", "NVIDIA A30")
UNKNOWN = "Failed to initialize NVML: Unknown Error\n"
IN_CONTAINER, RULES = "run docker exec container nvidia-smi", "run docker exec container cat devices.list"
INSUFFICIENT = "ncclUnhandledCudaError: Cuda failure 'CUDA driver version is insufficient for CUDA runtime version'\n"
STARTING = "RuntimeError: CUDA error: system not yet initialized\n"
MISFIT = (
    "[Nov 20 2026 03:10:07] [ERROR] [tid 1871] fabric manager NVIDIA GPU driver interface version 580.82.07 don't "
    "match with driver version 580.105.08. Please update with matching NVIDIA driver package.\n"
)
LOG, DPKG = "read /var/log/fabricmanager.log", "ii  nvidia-fabricmanager-570  570.172.08-1 amd64\n"


@pytest.mark.parametrize(
    ("texts", "status", "words"),
    [
        # A module that was not built
        ({"!run nvidia-smi": NO_DRIVER, "run dkms autoinstall": BUILD.format("6.14.0-9-generic")}, "critical",
         "is not loaded: DKMS could not build driver 535.216.03 for kernel 6.14.0-9-generic"),
        ({"!run nvidia-smi": NO_DRIVER, "run dkms autoinstall": "nvidia\n" + HEADERS.format("6.14.0-9-generic"),
          "read /proc/sys/kernel/osrelease": "6.14.0-9-generic\n"}, "critical",
         "for the running kernel 6.14.0-9-generic, whose headers are not installed"),
        ({"!run nvidia-smi": NO_DRIVER, "run dkms autoinstall": BUILD.format("6.8.0-31-generic"),
          "read /proc/sys/kernel/osrelease": "6.14.0-9-generic\n"}, "critical", "is not loaded: no program"),
        ({"run apt upgrade": BUILD.format("6.14.0-9-generic")}, "warning", "could not build driver 535.216.03"),
        ({"run nvidia-smi": NEW, "run apt upgrade": BUILD.format("6.14.0-9-generic"),
          "read /proc/sys/kernel/osrelease": "6.8.0-87-generic\n"}, "warning",
         "kernel 6.14.0-9-generic is installed and starts at the next boot"),
        ({"run nvidia-smi": NEW, "run apt upgrade": BUILD.format("6.8.0-31-generic"),
          "read /proc/sys/kernel/osrelease": "6.8.0-87-generic\n"}, "ok", ""),
        ({"run apt upgrade": BUILD.format("6.14.0-9-generic").replace("nvidia", "zfs")}, "skipped", ""),
        # A container that lost its devices
        ({"run nvidia-smi": NEW, f"!{IN_CONTAINER}": UNKNOWN}, "critical", "while nvidia-smi works on the host"),
        ({"!run nvidia-smi": NO_DRIVER, f"!{IN_CONTAINER}": UNKNOWN}, "critical", "module is not loaded"),
        ({RULES: "c 136:* rwm\nc 195:* m\n"}, "critical", "allows no more than `c 195:* m`"),
        ({RULES: "c 136:* rwm\nc 195:* m\nc 195:255 rw\nc 195:0 rw\n"}, "skipped", ""),
        ({RULES: "a *:* rwm\n"}, "skipped", ""),
        ({RULES: "c 136:* rwm\n"}, "skipped", ""),
        ({"run nvidia-smi": NEW, IN_CONTAINER: NEW}, "ok", ""),
        ({"!run nvidia-smi": UNKNOWN}, "unknown", "NVML 999"),
        # CUDA of a program against the driver
        ({"run nvidia-smi": OLD, "run job": INSUFFICIENT}, "warning", "than driver 470.256.02 runs, which is CUDA 11"),
        ({"run job": INSUFFICIENT}, "warning", "error 35"),
        ({"run job": "NCCL INFO NET/Plugin : No plugin found (libnccl-net.so)\n"}, "skipped", ""),
        ({"run nvidia-smi": NEW, "run job": STARTING.replace("CUDA error: ", "file")}, "ok", ""),
        ({"run nvidia-smi": NEW, "run job": "CUDA failed with error forward compatibility was attempted on non "
          "supported HW\n"}, "critical", "error 804"),
        ({"run nvidia-smi": NEW, "run job": "system has unsupported display driver / cuda driver combination\n"},
         "warning", "error 803"),
        # Fabric Manager
        ({"run nvidia-smi": NEW, "run job": STARTING}, "warning", "Fabric Manager does not run"),
        ({"run nvidia-smi": NEW, "run job": STARTING, "run dpkg -l": DPKG},
         "critical", "Fabric Manager is 570.172.08, but the driver is 580.105.08"),
        ({"run nvidia-smi": NEW, "run job": STARTING, "run rpm -qa": "nvidia-fabric-manager-570.172.08-1.x86_64\n"},
         "critical", "Fabric Manager is 570.172.08, but the driver is 580.105.08"),
        ({"run nvidia-smi": NEW, "run dpkg -l": DPKG}, "ok", ""),
        ({"run nvidia-smi": NEW, "run job": STARTING, "run dpkg -l": DPKG.replace("ii", "rc")},
         "warning", "Fabric Manager does not run"),
        ({LOG: MISFIT}, "critical", "Manager is 580.82.07, but the driver is 580.105.08"),
        ({"run nvidia-smi": OLD, LOG: MISFIT}, "ok", ""),
        ({"run nvidia-smi": NEW, LOG: MISFIT + "Successfully configured all the available"
          " NVSwitches\n"}, "ok", ""),
        ({"run nvidia-smi": NEW.replace("A30", "GeForce RTX 4090"), LOG: MISFIT}, "ok", ""),
    ],
)  # fmt: skip
def test_what_others_say_of_it(texts: dict[str, str], status: str, words: str) -> None:
    result = pasted(texts)
    assert result.status.value == status, result.findings or result.reason
    assert words in "\n".join(finding.summary for finding in result.findings)


def test_a_container_that_lost_its_gpus(reference: Recording) -> None:
    """From inside: the module of the host is loaded, and NVML says Unknown Error."""
    error = '{"error": {"call": "nvmlInit", "code": 999}, "library": "580.95.05", "gpus": []}'
    inside = put(reference, {"read /.dockerenv": "", "probe nvml state": error})
    (finding,) = judge(inside, "container_toolkit").findings
    assert (finding.status.value, finding.code) == ("critical", "lost")
    assert "this container cannot open its GPUs" in finding.summary and "restart the container" in finding.advice


@pytest.mark.parametrize(("uid", "status"), [(0, "critical"), (1000, "unknown")])
def test_device_nodes_that_are_gone(reference: Recording, uid: int, status: str) -> None:
    error = '{"error": {"call": "nvmlInit", "code": 9}, "library": "580.95.05", "gpus": []}'
    put(reference, {"probe nvml state": error, "read /proc/self/status": f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n"})
    found = judge(reference).findings[0]
    assert (found.status.value, found.code) == (status, "devices") and "580.95.05 is loaded, but" in found.summary


def test_a_module_that_was_not_seen_is_not_missing() -> None:
    """A recording without /proc and /sys tells nothing of what is loaded."""
    host = put(
        Recording(0.0), {"run modinfo -F version nvidia": "580.95.05\n", "run nvidia-smi -L": "GPU 0: NVIDIA A30\n"}
    )
    assert judge(host).status.value == "ok"


def test_headers_are_asked_for_only_where_a_module_lacks(reference: Recording) -> None:
    del reference.answers["read /lib/modules/6.8.0-87-generic/build/Makefile"]
    assert judge(reference).status.value == "ok"
    missing = Answer("", "failed", stderr=b"modinfo: ERROR: Module nvidia not found.\n", exit=1)
    reference.answers |= dict.fromkeys(
        ("run modinfo -F version nvidia", "run modinfo -F version nvidia-current"), missing
    )
    put(reference, {"run dkms status": "nvidia/580.95.05: added\n"})
    (finding,) = [finding for finding in judge(reference).findings if finding.status.is_alarm]
    assert "kernel 6.8.0-87-generic, whose headers are not installed: after the next boot" in finding.summary
    put(reference, {"run dkms status": "zfs/2.2.7, 6.8.0-87-generic, x86_64: installed\n"})
    (finding,) = [finding for finding in judge(reference).findings if finding.status.is_alarm]
    assert "none is on disk" in finding.summary


LOADED, KERNEL = "read /proc/driver/nvidia/version", "read /proc/sys/kernel/osrelease"
SMI = "Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.105\n"
DKMS = "nvidia/580.95.05, 6.8.0-85-generic, x86_64: installed\nnvidia/580.105.08, 6.8.0-87-generic, x86_64: installed\n"
MODINFO = (
    "filename: /lib/modules/6.8.0-87-generic/updates/dkms/nvidia.ko.zst\nversion:        {}\nsupported: external\n"
)


@pytest.mark.parametrize(
    ("key", "text", "wanted"),
    [
        ("run dkms status", DKMS, "drain the node"),
        ("run modinfo nvidia", MODINFO.format("580.105.08"), "drain the node"),
        ("run modinfo nvidia", MODINFO.format("580.95.05"), "install the same version"),
        ("run modinfo -k 6.8.0-90-generic nvidia", MODINFO.format("580.105.08"), "`modinfo -F version nvidia` says"),
        ("run modinfo nvidia_fs", MODINFO.format("2.24.3"), "`modinfo -F version nvidia` says"),
        ("run dkms status", DKMS.replace("-87-", "-90-"), "`modinfo -F version nvidia` says"),
    ],
)
def test_the_module_on_disk_as_people_ask_for_it(key: str, text: str, wanted: str) -> None:
    loaded = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95.05  Release Build\n"
    result = pasted({LOADED: loaded, "!run nvidia-smi": SMI, KERNEL: "6.8.0-87-generic\n", key: text})
    found = next(found for found in result.findings if found.code == "mismatch")
    assert found.advice.startswith(wanted)
