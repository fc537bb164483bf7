"""The live road and the replay of what it recorded say the same, for every snapshot that can be served live."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc.hosts import snapshot
from mlopsdoc.profile import as_toml

from .program import REPOSITORY, mlopsdoc
from .serving import serve

FOLDERS = sorted(path.parent for path in REPOSITORY.glob("snapshots/*/SNAPSHOT"))
# Judged by the snapshot's moment or by a system call, so not alike on another day or another disk.
OF_ITS_MOMENT = ("zfs_scrub", "disk_space", "gpu_xid", "pcie_aer", "rdma_ports", "nvme_health")


def findings(report: dict[str, Any]) -> list[Any]:
    """What a report says, without durations."""
    return [
        [check["id"], check["status"], check.get("reason"), check["findings"]]
        for check in sorted(report["checks"], key=lambda check: check["id"])
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_live_equals_replay(folder: Path, tmp_path: Path, library: Path) -> None:
    if os.geteuid() != 0 and "nobody" in folder.name:
        pytest.skip("what nobody sees is served to root")
    recording = snapshot.load(str(folder))
    env = serve(recording, tmp_path, library)
    saved, profile = str(tmp_path / "saved.tar.gz"), tmp_path / "profile.toml"
    profile.write_text(as_toml(recording.profile))
    wanted = ["--profile", str(profile)] if recording.profile else []
    args = ["check", "--json", "--root", str(tmp_path / "root"), "--save", saved, "--no-redact", *wanted]
    live = mlopsdoc(*args, place=tmp_path, env=env)
    assert live.err == ""
    replay = mlopsdoc("check", "--json", "--from", saved, place=tmp_path)
    assert findings(replay.report()) == findings(live.report())
    assert replay.code == live.code
    verdicts = snapshot.expectations(str(folder)).verdicts
    for check in live.report()["checks"]:
        if check["id"] not in OF_ITS_MOMENT:
            expected = {verdicts[check["id"]]} if check["id"] in verdicts else {"ok", "skipped"}
            assert check["status"] in expected, check
