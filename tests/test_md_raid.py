"""Arrays as mdadm describes them, where /proc/mdstat is not there."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.pasted import transcript
from mlopsdoc.hosts.recorder import Replay
from mlopsdoc.profile import Profile

DETAIL = """\
/dev/md1:
           Version : 1.2
     Creation Time : Mon Nov  9 08:00:00 2026
        Raid Level : {level}
        Array Size : 488253440 (465.63 GiB 499.97 GB)
      Raid Devices : 2
     Total Devices : 2

       Update Time : Mon Nov 23 03:09:58 2026
             State : {state}
    Active Devices : {active}
   Working Devices : 2
{more}
    Number   Major   Minor   RaidDevice State
       0     259        6        0      {first}
       1     259        8        1      active sync   /dev/nvme5n1p2
"""
WELL = {"level": "raid1", "state": "clean", "active": "2", "more": "", "first": "active sync   /dev/nvme4n1p2"}
LOST = {"state": "clean, degraded", "active": "1"}


def judged(text: str) -> tuple[str, str]:
    replay = Replay(transcript.parse(text))
    (result,) = run([catalog.find(drop_ins=False).checks["md_raid"]], replay, Profile())
    return result.status.value, " ".join([result.reason or "", *(finding.summary for finding in result.findings)])


@pytest.mark.parametrize(
    ("changed", "status", "words"),
    [
        ({}, "unknown", "whether there are other arrays is not known"),
        (LOST | {"first": "removed"}, "critical", "raid1 works with 1 of 2 disks [_U]: the next disk that fails"),
        (
            LOST
            | {"state": "active, degraded, recovering", "more": "    Rebuild Status : 34% complete"}
            | {"first": "spare rebuilding   /dev/nvme6n1p2"},
            "critical",
            "a recovery is 34 % done",
        ),
        ({"first": "faulty   /dev/nvme4n1p2"}, "warning", "nvme4n1p2 is marked faulty"),
        ({"state": "inactive"}, "critical", "it is inactive"),
        ({"state": "active, FAILED, Not Started", "active": "0"}, "critical", "it is inactive"),
        ({"active": "?"}, "unknown", "how many of its disks work is not told"),
        ({"state": ""}, "skipped", ""),
    ],
)
def test_an_array_as_mdadm_describes_it(changed: dict[str, str], status: str, words: str) -> None:
    said = judged(f"$ sudo mdadm --detail /dev/md1\n{DETAIL.format(**WELL | changed)}$ ")
    assert said[0] == status and words in said[1], said


def test_mdstat_counts_where_it_is_whole() -> None:
    mdstat = (
        "Personalities : [raid1]\nmd1 : active raid1 a1[0] b1[1]\n      9 blocks [2/2] [UU]\n\nunused devices: <none>\n"
    )
    text = f"$ mdadm -D /dev/md1\n{DETAIL.format(**WELL | LOST)}$ cat /proc/mdstat\n{mdstat}$ "
    assert judged(text)[0] == "ok"


def test_several_arrays_in_one_answer() -> None:
    other = DETAIL.replace("/dev/md1:", "/dev/md2:").format(**WELL | LOST | {"first": "removed"})
    status, words = judged(f"$ mdadm --detail /dev/md1 /dev/md2\n{DETAIL.format(**WELL)}{other}$ ")
    assert status == "critical" and "works with 1 of 2" in words
