"""The report that a run leaves for the screen."""

from __future__ import annotations

import os
from pathlib import Path

from msgspec.structs import replace

from mlopsdoc import latest
from mlopsdoc.facts.quantities import instant
from mlopsdoc.model import Counts, HostInfo, Report, Status, Tool

from .program import mlopsdoc

BOOT_ID = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def report(age_s: float, boot_id: str = BOOT_ID) -> Report:
    import time

    return Report(
        tool=Tool("mlopsdoc", "0"),
        host=HostInfo("gpu-17", boot_id=boot_id),
        sources=[],
        taken_at=instant(time.time() - age_s),
        duration_s=0,
        profile="generic",
        status=Status.OK,
        counts=Counts(),
        checks=[],
    )


def test_the_newest_report_of_this_boot_is_found(tmp_path: Path) -> None:
    own, roots = str(tmp_path / "own"), str(tmp_path / "root")
    assert latest.find([own, roots]) is None
    latest.keep([own], report(600))
    latest.keep([roots], report(120))
    found = latest.find([own, roots])
    assert found is not None and 119 < found[1] < 180


def test_what_is_too_old_of_another_boot_of_the_future_or_no_report_is_not(tmp_path: Path) -> None:
    for wrong in (report(3600), report(60, boot_id="another"), report(-600), replace(report(60), taken_at="never")):
        latest.keep([str(tmp_path)], wrong)
        assert latest.find([str(tmp_path)]) is None
    (tmp_path / "latest.json").write_bytes(b"\xff{")
    assert latest.find([str(tmp_path)]) is None


def test_a_whole_run_is_kept_for_us_alone_and_a_part_of_one_is_not(tmp_path: Path) -> None:
    kept = tmp_path / "state/latest.json"
    mlopsdoc("check", "cpu_thermal", "--json", place=tmp_path)
    assert not kept.exists()
    ended = mlopsdoc("check", "--json", place=tmp_path)
    assert kept.read_text() == ended.out
    assert os.stat(kept).st_mode & 0o777 == 0o600
