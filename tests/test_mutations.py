"""Text of which something was destroyed: nothing of that is ok, and nothing ends in a traceback."""

from __future__ import annotations

import os
import random
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.merged import Differ
from mlopsdoc.hosts.pasted import transcript
from mlopsdoc.hosts.recorder import Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

HEALTHY = Path(catalog.shipped("snapshots")) / "reference"
CHECKS = list(catalog.find(drop_ins=False).checks.values())
DF = """\
Filesystem     Type 1K-blocks      Used Available Use% Mounted on
/dev/md1       ext4 459854336  91970868 344450412  22% /
tmpfs          tmpfs 52800000      1024  52798976   1% /run
"""
MOUNTS = "/dev/md1 / ext4 rw,relatime 0 0\ntmpfs /run tmpfs rw,nosuid,nodev 0 0\n"
# A command, what it says of a healthy host, and the checks that are ok by it.
SECTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "cat /proc/mdstat": ((HEALTHY / "files/proc/mdstat").read_text(), ("md_raid",)),
    "zpool status": ((HEALTHY / "commands/zpool status.out").read_text(), ("zfs_pools", "zfs_scrub")),
    "ipmitool sdr elist": ((HEALTHY / "commands/ipmitool sdr elist.out").read_text(), ("psu_redundancy",)),
    "df -T": (DF, ("disk_space",)),
}
HOW = ("gone", "empty", "noise", "refused", "filtered", "cut")
PROMPT = "root@gpu-17:~# "
EXAMPLES = settings(deadline=None, max_examples=2000 if os.environ.get("MLOPSDOC_SOAK") else 30)


def pasted(destroyed: dict[str, str]) -> str:
    """All of it, with some sections destroyed, each in its way."""
    said = [f"{PROMPT}date\nMon Nov 23 03:10:00 UTC 2026\n{PROMPT}cat /proc/mounts\n{MOUNTS}"]
    for command, (text, _) in SECTIONS.items():
        how = destroyed.get(command, "")
        half = "".join(text.splitlines(keepends=True)[: text.count("\n") // 2])
        said += {
            "gone": [],
            "empty": [f"{PROMPT}{command}\n"],
            "noise": [f"{PROMPT}{command}\n", "\x00\x1b[2J%s{[(<|:" * 30, "\n"],
            "refused": [f"{PROMPT}{command}\n-bash: {command.split()[0]}: Permission denied\n"],
            "filtered": [f"{PROMPT}{command} | head -{text.count(chr(10)) // 2}\n{half}"],
            "cut": [f"{PROMPT}{command}\n{half}[...]\n"],
        }.get(how, [f"{PROMPT}{command}\n{text}"])
    return "".join([*said, PROMPT])


def judged(text: str) -> dict[str, Result]:
    """What each check says; none may have failed itself."""
    results = {result.id: result for result in run(CHECKS, Replay(transcript.parse(text)), Profile())}
    for result in results.values():
        said = [result.reason, *(finding.advice for finding in result.findings)]
        assert not any("please report" in (words or "") or "could not be understood" in (words or "") for words in said)
    return results


def test_what_is_there_is_ok() -> None:
    results = judged(pasted({}))
    for _, ids in SECTIONS.values():
        assert [results[id].status.value for id in ids] == ["ok"] * len(ids)


@EXAMPLES
@given(st.dictionaries(st.sampled_from(sorted(SECTIONS)), st.sampled_from(HOW), min_size=1))
def test_what_was_destroyed_is_never_ok(destroyed: dict[str, str]) -> None:
    results = judged(pasted(destroyed))
    for command, (_, ids) in SECTIONS.items():
        for id in ids:
            assert (results[id].status.value == "ok") == (command not in destroyed), (id, destroyed.get(command))


@EXAMPLES
@given(st.randoms(use_true_random=False))
def test_whatever_was_changed_it_ends_in_words(chance: random.Random) -> None:
    lines = pasted({}).splitlines(keepends=True)
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(lines))
        line = lines[at]
        where = chance.randrange(len(line) or 1)
        lines[at] = chance.choice(
            (
                "",
                line * 2,
                line[:where],
                line[:where] + chance.choice("\x00\x1b\n\r\x08 0-9:|[{%\u202e\udcc4") + line[where + 1 :],
                lines[chance.randrange(len(lines))],
                line.replace("0", str(chance.choice((-1, 7, 10**30, "NaN", "")))),
            )
        )
        lines = [*lines, "\n"]
    try:
        judged("".join(lines))
    except Differ:
        pass  # a prompt names another host now
