"""What changed between two hosts or moments: worse is told by the exit code, noise is folded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from .program import REPOSITORY, Ended, mlopsdoc

REFERENCE, BAD_NIGHT = (str(REPOSITORY / "snapshots" / name) for name in ("reference", "bad_night"))


def changes(ended: Ended) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(ended.out)["changes"]
    return found


def changed(tmp_path: Path, files: dict[str, str]) -> str:
    """A folder with the reference host, some of its files changed."""
    shutil.copytree(REFERENCE, tmp_path / "reference")
    for name, text in files.items():
        path = tmp_path / "reference" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return str(tmp_path / "reference")


def test_worse_is_1_and_better_is_0(tmp_path: Path) -> None:
    worse = mlopsdoc("diff", REFERENCE, BAD_NIGHT, "--json", place=tmp_path)
    found = {change["name"]: change for change in changes(worse) if change["what"] == "finding"}
    assert worse.code == 1 and worse.err == ""
    assert found["gpu_thermal/GPU 2 (9b:00.0)/hw_thermal"]["how"] == "worse"
    assert found["disk_space/mount /var/space"]["after"].startswith("warning: 94 % full")
    better = mlopsdoc("diff", BAD_NIGHT, REFERENCE, "--json", place=tmp_path)
    assert better.code == 0
    assert {change["how"] for change in changes(better) if change["what"] == "finding"} == {"better"}


def test_nothing_changed(tmp_path: Path) -> None:
    same = mlopsdoc("diff", BAD_NIGHT, BAD_NIGHT, place=tmp_path)
    assert same.code == 0
    assert "nothing of meaning changed; 0 more" in same.out


def test_versions_settings_and_counters_by_meaning_the_rest_folded(tmp_path: Path) -> None:
    other = changed(
        tmp_path,
        {
            "files/sys/module/zfs/version": "2.3.1-1\n",
            "files/proc/loadavg": "9.00 8.00 7.00 2/999 12345\n",
            "files/sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "7\n",
        },
    )
    told = mlopsdoc("diff", REFERENCE, other, "--json", place=tmp_path)
    by_name = {change["name"].split(" ")[-1]: change for change in changes(told)}
    assert by_name["/sys/module/zfs/version"]["what"] == "versions"
    assert by_name["/sys/module/zfs/version"]["after"] == "2.3.1-1"
    count = next(change for name, change in by_name.items() if name.endswith("package_throttle_count"))
    assert count["how"] == "grown" and count["after"] == "7"
    assert not any("loadavg" in name for name in by_name) and json.loads(told.out)["folded"] == 1


def test_what_cannot_be_asked_any_more_is_told_once(tmp_path: Path) -> None:
    """All of NVML is silent after an update of the driver: no value of it has changed."""
    updated = str(REPOSITORY / "snapshots" / "driver_stack_updated")
    found = changes(mlopsdoc("diff", REFERENCE, updated, "--json", place=tmp_path))
    names = [change["name"] for change in found if change["what"] in ("versions", "settings")]
    assert "library" in names and names.count("library") == 1 and not any("power" in name for name in names)
    gone = [change for change in found if change["what"] == "topology" and change["how"] == "gone"]
    assert [change["name"] for change in gone] == [f"GPU {at}:00.0 in NVML" for at in ("1b", "43", "9b", "c3")]
    text = mlopsdoc("diff", REFERENCE, updated, place=tmp_path).out
    assert "1 check finds nothing to judge any more" in text
    assert text.count("NVML 18") <= 2 and " other checks\n    + unknown: NVML 18" in text


def test_the_same_on_every_gpu_is_one_line(tmp_path: Path) -> None:
    text = mlopsdoc("diff", REFERENCE, str(REPOSITORY / "snapshots" / "v100_cube_mesh"), place=tmp_path).out
    assert "changed GPU * vbios (4 times): 96.00.89.00.01 -> 88.00.48.00.02" in text


def test_checks_that_find_nothing_any_more_are_one_line_and_what_was_not_seen_is_no_change(tmp_path: Path) -> None:
    pasted = str(REPOSITORY / "snapshots" / "smi_q_h100")
    text = mlopsdoc("diff", REFERENCE, pasted, place=tmp_path).out
    assert text.count("ok -> skipped") == 1 and "\nHOST\n" not in text
    assert "booted anew" not in mlopsdoc("diff", pasted, pasted, place=tmp_path).out  # no boot is known of either


def test_forms(tmp_path: Path) -> None:
    text = mlopsdoc("diff", REFERENCE, BAD_NIGHT, place=tmp_path).out
    assert text.startswith("gpu-17: 2026-11-23T03:10:00Z to ") and "\nFINDINGS\n" in text
    markdown = mlopsdoc("diff", REFERENCE, BAD_NIGHT, "--format", "markdown", place=tmp_path).out
    assert markdown.startswith("# gpu-17") and "| check | worse | gpu\\_thermal | ok | critical |" in markdown


def test_against_this_host(tmp_path: Path) -> None:
    live = mlopsdoc("diff", REFERENCE, "live", "--json", place=tmp_path)
    told = json.loads(live.out)
    assert live.code in (0, 1) and told["a"]["name"] == "gpu-17" and not told["same_boot"]


def test_no_such_source_is_66_and_no_evidence_65(tmp_path: Path) -> None:
    assert mlopsdoc("diff", REFERENCE, "/no/such/file", place=tmp_path).code == 66
    (tmp_path / "empty").touch()
    assert mlopsdoc("diff", REFERENCE, str(tmp_path / "empty"), place=tmp_path).code == 65
    assert mlopsdoc("diff", REFERENCE, place=tmp_path).code == 64
