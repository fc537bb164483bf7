"""Settings files as people leave them."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.profile import Profile

ON = 'APT::Periodic::Unattended-Upgrade "1";\n'
FREE = "ii  nvidia-driver-580-server 580.95.05-0ubuntu0.24.04.2 amd64 driver\n"
APT, UPGRADES = "read /etc/apt/apt.conf.d/", "link /usr/bin/unattended-upgrades"
BLACKLIST = "Unattended-Upgrade::Package-Blacklist"
MODINFO, KO = "run modinfo -F filename nouveau", "/lib/modules/6.8.0/kernel/drivers/gpu/drm/nouveau/nouveau.ko\n"


@pytest.mark.parametrize(
    ("texts", "code"),
    [
        ({f"{APT}20auto": ON, UPGRADES: "x"}, "upgrades"),
        ({f"{APT}20auto": ON}, ""),
        ({f"{APT}20auto": "// " + ON, UPGRADES: "x"}, ""),
        ({f"{APT}20auto": ON, f"{APT}99local": ON.replace("1", "0"), UPGRADES: "x"}, ""),
        ({f"{APT}20auto": ON, f"{APT}50x": BLACKLIST + ' {\n// "nvidia-";\n};\n', UPGRADES: "x"}, "upgrades"),
        ({f"{APT}20auto": ON, f"{APT}50x": BLACKLIST + ' {\n"nvidia-";\n};\n', UPGRADES: "x"}, ""),
        ({f"{APT}20auto": ON, f"{APT}50x": BLACKLIST + ':: "^.*nvidia.*";\n', UPGRADES: "x"}, ""),
        ({f"{APT}20auto": ON, f"{APT}50x": BLACKLIST + ' {\n"linux-";\n};\n"nvidia";\n', UPGRADES: "x"}, "upgrades"),
        ({MODINFO: KO}, "nouveau"),
        ({MODINFO: KO, "read /etc/modprobe.d/a.conf": "#blacklist nouveau\n"}, "nouveau"),
        ({MODINFO: KO, "read /run/modprobe.d/a.conf": " blacklist  nouveau # x\n"}, ""),
        ({MODINFO: KO, "read /usr/lib/modprobe.d/a.conf": "install nouveau /bin/false\n"}, ""),
        ({MODINFO: KO, "read /proc/cmdline": "ro module_blacklist=nouveau\n"}, ""),
        ({"read /etc/environment": "NCCL_P2P_DISABLE=1 # once\n"}, "nccl_p2p_disable"),
        ({"read /etc/environment": "NCCL_P2P_DISABLE\nexport\n=1\n\x00NCCL_P2P_DISABLE=1\n"}, ""),
        ({"read /etc/profile.d/a.sh": "if x; then\n  export CUDA_LAUNCH_BLOCKING=1\nfi\n"}, "cuda_launch_blocking"),
        ({"read /etc/profile.d/a.sh": "MY_NCCL_P2P_DISABLE=1\n"}, ""),
        ({"read /etc/environment": "CUDA_VISIBLE_DEVICES=\n"}, "cuda_visible_devices"),
    ],
)  # fmt: skip
def test_settings(texts: dict[str, str], code: str) -> None:
    recording = Recording(0.0, unlisted="absent")
    loaded = {
        "read /proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  R\n",
        "run dpkg -l": FREE,
    }
    for key, text in (loaded | texts).items():
        recording.answers[key] = Answer(key, "ok", text.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["driver_hygiene"]], Replay(recording), Profile())
    assert [finding.code for finding in result.findings] == [code or "settings"], result
