"""ZFS: what zpool says, in the words of every version, whole and broken, becomes the same facts or is not known."""

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlopsdoc import CannotSee, NothingHere, catalog
from mlopsdoc.engine import run
from mlopsdoc.facts.zfs import ZfsPools
from mlopsdoc.facts.zfs_json import from_json
from mlopsdoc.facts.zfs_schedule import ZfsSchedules
from mlopsdoc.facts.zfs_status import Pool, Scan, duration, moment, number
from mlopsdoc.facts.zfs_text import from_text
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.base import Answer, AnswerStatus, read_key, run_key, tree_key
from mlopsdoc.hosts.pasted import transcript
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result, Status
from mlopsdoc.profile import Profile

SNAPSHOTS = Path(catalog.shipped("snapshots"))
JSON = run_key(("zpool", "status", "-j", "--json-int"))
TEXT = run_key(("zpool", "status"))
CHECK = catalog.find(drop_ins=False).checks["zfs_scrub"]
K, M, G, T = 1024, 1024**2, 1024**3, 1024**4


def at(month: int, day: int, clock: str) -> float:
    hour, minute, second = map(int, clock.split(":"))
    return datetime(2026, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp()


NOW = at(11, 23, "03:10:00")
TABLE = "config:\n\n\tNAME        STATE     READ WRITE CKSUM\n\ttank        ONLINE       0     0     0\n\t  sda       ONLINE       0     0     0\n\nerrors: No known data errors\n"  # noqa: E501


def text(scan: str, table: str = TABLE) -> str:
    return f"  pool: tank\n state: ONLINE\n{scan}{table}"


def pool_of(scan: str) -> Pool:
    (pool,) = from_text(Answer("zpool", "ok", text(scan).encode()))
    return pool


def host(answers: dict[str, str], statuses: dict[str, AnswerStatus] | None = None, exit: int | None = None) -> Replay:
    recording = Recording(NOW, unlisted="absent")
    for key, said in answers.items():
        recording.answers[key] = Answer(key, "ok", said.encode())
    for key, status in (statuses or {}).items():
        recording.answers[key] = Answer(key, status, exit=exit)
    return Replay(recording)


def judged(where: Replay) -> Result:
    (result,) = run([CHECK], where, Profile())
    return result


# ---- every row of the table of scan lines: what it says, and what that means

NOV_8 = at(11, 8, "05:54:12")
ENDED = "Sun Nov  8 05:54:12 2026"
BEGUN = "Sun Nov 22 00:24:01 2026"
NOV_22 = at(11, 22, "00:24:01")
LONG = 86400 + 10 * 3600 + 6 * 60 + 44

FINISHED = {
    "scrub 0.7": (f"scrub repaired 0B in 5h30m with 0 errors on {ENDED}", "scrub", 19800, 0, 0),
    "scrub 0.8": (f"scrub repaired 12K in 0 days 05:30:00 with 2 errors on {ENDED}", "scrub", 19800, 12 * K, 2),
    "scrub 2.0": (f"scrub repaired 1.50M in 05:30:00 with 0 errors on {ENDED}", "scrub", 19800, 3 * M // 2, 0),
    "scrub 2.0, days": (f"scrub repaired 0B in 1 days 10:06:44 with 0 errors on {ENDED}", "scrub", LONG, 0, 0),
    "thorough, after 2.4": (f"thorough scrub repaired 0B in 05:30:00 with 0 errors on {ENDED}", "scrub", 19800, 0, 0),
    "resilver 0.7": (f"resilvered 3.25T in 5h30m with 0 errors on {ENDED}", "resilver", 19800, 13 * T // 4, 0),
    "resilver 0.8": (f"resilvered 512G in 0 days 05:30:00 with 1 errors on {ENDED}", "resilver", 19800, 512 * G, 1),
    "resilver 2.0": (f"resilvered 64.5M in 05:30:00 with 0 errors on {ENDED}", "resilver", 19800, 129 * M // 2, 0),
    "rebuild 2.0": (f"resilvered (mirror-0) 2G in 05:30:00 with 0 errors on {ENDED}", "rebuild", 19800, 2 * G, 0),
}


@pytest.mark.parametrize("row", FINISHED.values(), ids=FINISHED)
def test_a_scan_that_finished(row: tuple[str, str, int, int, int]) -> None:
    line, kind, seconds, repaired, errors = row
    pool = pool_of(f"  scan: {line}\n")
    scan = pool.rebuild if kind == "rebuild" else pool.scan
    assert scan is not None
    assert (scan.kind, scan.state, scan.start, scan.end) == (kind, "finished", NOV_8 - seconds, NOV_8)
    assert (scan.seconds, scan.repaired, scan.errors) == (seconds, repaired, errors)
    assert line in scan.line.text
    assert pool.unread == ""


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (f"scrub canceled on {ENDED}", "scrub"),
        (f"resilver canceled on {ENDED}", "resilver"),
        (f"resilver (mirror-0) canceled on {ENDED}", "rebuild"),
        (f"error scrub canceled on {ENDED}", "error scrub"),
    ],
)
def test_a_scan_that_was_canceled(line: str, kind: str) -> None:
    pool = pool_of(f"  scan: {line}\n")
    scan = pool.rebuild if kind == "rebuild" else pool.scan
    assert scan is not None
    assert (scan.kind, scan.state, scan.end, scan.start) == (kind, "canceled", NOV_8, None)


PROGRESS_07 = "\t1.25T scanned out of 2.50T at 121M/s, 3h15m to go\n\t0B {}, 50.00% done\n"
PROGRESS_07_SLOW = "\t1.25T scanned out of 2.50T at 1B/s, (scan is slow, no estimated time)\n\t0B {}, 50.00% done\n"
PROGRESS_08 = "\t2.00T scanned at 410M/s, 1.25T issued at 380M/s, 2.50T total\n\t0B {}, 50.00% done, 01:08:02 to go\n"
PROGRESS_22 = (
    "\t2.00T / 2.50T scanned at 1G/s, 1.25T / 2.50T issued at 900M/s\n\t0B {}, 50.00% done, 0 days 01:08:02 to go\n"
)
PROGRESS_22_NEW = "\t2.00T / 2.50T scanned, 1.25T / 2.50T issued\n\t0B {}, 50.00% done, no estimated completion time\n"
RUNNING = {
    "scrub 0.7": (f"scrub in progress since {BEGUN}", PROGRESS_07, "scrub"),
    "scrub 0.7, slow": (f"scrub in progress since {BEGUN}", PROGRESS_07_SLOW, "scrub"),
    "scrub 0.8 to 2.1": (f"scrub in progress since {BEGUN}", PROGRESS_08, "scrub"),
    "scrub 2.2": (f"scrub in progress since {BEGUN}", PROGRESS_22, "scrub"),
    "scrub 2.2, just begun": (f"scrub in progress since {BEGUN}", PROGRESS_22_NEW, "scrub"),
    "resilver": (f"resilver in progress since {BEGUN}", PROGRESS_22, "resilver"),
    "rebuild": (f"resilver (mirror-0) in progress since {BEGUN}", PROGRESS_22, "rebuild"),
    "thorough": (f"thorough scrub in progress since {BEGUN}", PROGRESS_22, "scrub"),
}


@pytest.mark.parametrize("row", RUNNING.values(), ids=RUNNING)
def test_a_scan_that_runs(row: tuple[str, str, str]) -> None:
    line, progress, kind = row
    pool = pool_of(f"  scan: {line}\n" + progress.format("repaired" if kind == "scrub" else "resilvered"))
    scan = pool.rebuild if kind == "rebuild" else pool.scan
    assert scan is not None
    assert (scan.kind, scan.state, scan.start, scan.end, scan.paused) == (kind, "running", NOV_22, None, None)
    assert (scan.issued, scan.total, scan.repaired, scan.percent) == (5 * T // 4, 5 * T // 2, 0, 50.0)


@pytest.mark.parametrize("thorough", ["", "thorough "])
@pytest.mark.parametrize(
    "progress", ["\t2T scanned, 1.25T issued, 2.50T total\n", "\t2T / 2.50T scanned, 1.25T / 2.50T issued\n"]
)
def test_a_scrub_that_is_paused(thorough: str, progress: str) -> None:
    line = f"  scan: {thorough}scrub paused since {BEGUN}\n\t{thorough}scrub started on {ENDED}\n{progress}"
    scan = pool_of(line + "\t8K repaired, 50.00% done\n").scan
    assert scan is not None
    assert (scan.kind, scan.state, scan.start, scan.paused) == ("scrub", "paused", NOV_8, NOV_22)
    assert (scan.percent, scan.repaired) == (50.0, 8192)


@pytest.mark.parametrize("line", ["", "  scan: none requested\n"])
def test_a_pool_that_was_never_scrubbed(line: str) -> None:
    pool = pool_of(line)
    assert pool.scan is None
    assert pool.unread == ""


def test_a_scrub_of_errors_is_no_scrub() -> None:
    scan = pool_of(f" scrub: scrubbed 12 error blocks in 0 days 00:00:03 on {ENDED}\n").scan
    assert scan is not None
    assert (scan.kind, scan.state, scan.end) == ("error scrub", "finished", NOV_8)


def test_a_rebuild_and_a_scrub_in_one_text() -> None:
    pool = pool_of(f"  scan: {FINISHED['scrub 2.0'][0]}\n  scan: {FINISHED['rebuild 2.0'][0]}\n")
    assert pool.scan is not None
    assert pool.rebuild is not None
    assert (pool.scan.kind, pool.rebuild.kind) == ("scrub", "rebuild")


def test_text_that_was_pasted_has_blanks_in_place_of_tabs_and_colours() -> None:
    said = text("  scan: scrub in progress since " + BEGUN + "\n" + PROGRESS_22.format("repaired")).expandtabs(8)
    (pool,) = from_text(Answer("zpool", "ok", f"$ zpool status\n\x1b[1m{said}\x1b[0m$ ".replace("\n", "\r\n").encode()))
    assert pool.scan is not None
    assert (pool.scan.percent, [disk.name for disk in pool.disks]) == (50.0, ["sda"])


def test_numbers_and_times() -> None:
    assert [number(said) for said in (7, "7", "0B", "1.50K", "2T", "1.2K3", "-1", -1, None, True, "1e9")] == [
        7, 7, 0, 1536, 2 * T, None, None, None, None, None, None,
    ]  # fmt: skip
    assert moment("Mon Nov 23 15:47:15 UTC 2026") == at(11, 23, "15:47:15")
    for wrong in ("Mon Nov 31 15:47:15 2026", "Mon Nov 23 15:47:15 20", "Mon Nov 23 2026", "-", 0, None, 1 << 63):
        assert moment(wrong) is None
    assert [duration(said) for said in ("5h30m", "30m", "1:00:00", "x days 00:00:01")] == [19800, None, 3600, None]


# ---- text and JSON of one state are the same facts

WITH_JSON = sorted(path.parent.parent for path in SNAPSHOTS.glob("zfs_*/commands/zpool status -j --json-int.out"))
BOTH = [folder for folder in WITH_JSON if (folder / "commands/zpool status.out").exists()]


def close(one: Scan | None, other: Scan | None) -> bool:
    """The same, but for what text leaves out, and for what it rounds to three digits."""
    if one is None or other is None:
        return one is other
    begun = one.state in ("finished", "canceled") or one.paused == other.paused
    same = (one.kind, one.state, one.end, one.seconds) == (other.kind, other.state, other.end, other.seconds)
    sizes = one.state == "running" or abs((one.repaired or 0) - (other.repaired or 0)) <= (one.repaired or 0) / 200
    return begun and same and sizes and (one.errors or 0) == (other.errors or 0)


@pytest.mark.parametrize("folder", BOTH, ids=lambda path: path.name)
def test_text_and_json_of_one_state(folder: Path) -> None:
    answers = [
        (folder / f"commands/{name}.out").read_bytes() for name in ("zpool status -j --json-int", "zpool status")
    ]
    (by_json,) = from_json(Answer("json", "ok", answers[0]))
    (by_text,) = from_text(Answer("text", "ok", answers[1]))
    assert close(by_json.scan, by_text.scan)
    for name in ("name", "state", "unread", "data_errors"):
        assert getattr(by_json, name) == getattr(by_text, name)
    seen = [[(v.name, v.depth, v.role, v.state, v.is_leaf) for v in pool.vdevs] for pool in (by_json, by_text)]
    assert seen[0] == seen[1]
    recording = snapshot.load(str(folder))
    whole = judged(Replay(recording))
    recording.answers[JSON] = Answer(JSON, "failed", exit=2)
    alone = judged(Replay(recording))
    assert [(found.code, found.status) for found in whole.findings] == [(f.code, f.status) for f in alone.findings]


# ---- what is broken is never ok

OLD = {
    read_key("/sys/module/zfs/version"): "2.1.5\n",
    read_key("/proc/spl/kstat/zfs/tank/state"): "ONLINE\n",
    run_key(("zfs", "get", "-Hp", "-d", "0", "-t", "filesystem", "-o", "name,property,value",
             "creation,org.debian:periodic-scrub")): "tank\tcreation\t1700000000\n",
}  # fmt: skip
FINISHED_LINES = [f"  scan: {row[0]}\n" for row in FINISHED.values()]
LINES = FINISHED_LINES + [f"  scan: {row[0]}\n{row[1]}" for row in RUNNING.values()]


def facts_or_none(where: Replay) -> ZfsPools | None:
    try:
        return ZfsPools.read(where, None)
    except (CannotSee, NothingHere):
        return None


@given(st.sampled_from(LINES), st.data())
@settings(max_examples=150, deadline=None)
def test_a_scan_line_that_was_destroyed_is_never_ok(line: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(7, line.index("\n") - 2), "from")
    end = data.draw(st.integers(start + 1, line.index("\n")), "to")
    mess = data.draw(st.sampled_from(["", "?", "\x1b[2J", "\ufffd\ufffd", "scan:", "{}", "\x00"]))
    broken = line[:start] + mess + line[end:]
    result = judged(host(OLD | {TEXT: text(broken)}, {JSON: "failed"}, exit=2))
    if result.status is Status.OK:  # then it still says what an undamaged line may say
        scan = pool_of(broken).scan or pool_of(broken).rebuild
        assert scan is not None
        assert scan.state in ("running", "finished")
        assert (scan.end or scan.start or 0) > NOW - 35 * 86400


@given(st.sampled_from(BOTH), st.data())
@settings(max_examples=150, deadline=None)
def test_answers_that_were_cut_or_changed_raise_nothing_else(folder: Path, data: st.DataObject) -> None:
    recording = snapshot.load(str(folder))
    for key in (JSON, TEXT):
        said = recording.answers[key].data
        at = data.draw(st.integers(0, len(said)))
        mess = data.draw(st.binary(max_size=12))
        rest = data.draw(st.integers(0, 40))
        changed = said[:at] + (mess + said[at + rest :] if data.draw(st.booleans()) else b"")
        recording.answers[key] = Answer(key, "ok", changed, exit=0)
    facts_or_none(Replay(recording))
    assert "could not be understood" not in judged(Replay(recording)).reason


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.sampled_from(["SCRUB", "FINISHED", "ONLINE"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["pools", "tank", "scan_stats", "function", "state", "end_time", "vdevs", "errors", "name"]),
        inner, max_size=5)))  # fmt: skip
@settings(max_examples=200, deadline=None)
def test_any_json_at_all_is_never_ok(said: object) -> None:
    result = judged(host(OLD | {JSON: json.dumps({"pools": {"tank": said}})}))
    assert result.status is not Status.OK
    assert "Error" not in result.reason


@given(st.text(max_size=400))
@settings(max_examples=100, deadline=None)
def test_any_text_at_all_is_never_ok(said: str) -> None:
    result = judged(host(OLD | {TEXT: said.encode("utf-8", "replace").decode()}, {JSON: "failed"}, exit=2))
    assert result.status is not Status.OK
    assert "Error" not in result.reason


def test_json_that_is_nested_without_end_is_refused() -> None:
    result = judged(host(OLD | {JSON: '{"pools":' * 100_000}))
    assert result.status is Status.UNKNOWN


# ---- what the host is asked, and what it is not asked


class Asked(Replay):
    """Remembers the commands."""

    def run(self, *argv: str) -> Answer:
        self.argvs = [*getattr(self, "argvs", ()), argv[:2]]
        return super().run(*argv)


@pytest.mark.parametrize(
    ("scan", "asked"),
    [
        (FINISHED["scrub 2.0"][0], []),
        (f"scrub in progress since {BEGUN}", [("zfs", "get")]),
        (f"scrub canceled on {ENDED}", [("zfs", "get"), ("zpool", "history")]),
        (FINISHED["resilver 2.0"][0], [("zfs", "get"), ("zpool", "history")]),
        ("scrub repaired 0B in 05:30:00 with 0 errors on Thu Jan  1 05:54:12 2026", [("zfs", "get")]),
    ],
)  # fmt: skip
def test_history_is_asked_for_only_when_it_is_needed(scan: str, asked: list[tuple[str, str]]) -> None:
    where = Asked(host(OLD | {TEXT: text(f"  scan: {scan}\n")}, {JSON: "failed"}, exit=2).recording)
    facts_or_none(where)
    assert [argv for argv in where.argvs if argv != ("zpool", "status")] == asked


def test_zpool_that_hangs_is_not_asked_twice() -> None:
    where = Asked(host(OLD, {JSON: "timeout"}).recording)
    assert facts_or_none(where) is None
    assert where.argvs == [("zpool", "status")]


LIST = """\
NAME   SIZE  ALLOC   FREE  CKPOINT  EXPANDSZ   FRAG    CAP  DEDUP    HEALTH  ALTROOT
tank  54.5T  31.9T  22.6T        -         -    12%    58%  1.00x    ONLINE  -
"""
X_HEALTHY = "$ zpool status -x\nall pools are healthy\n"


@pytest.mark.parametrize(
    ("said", "pools", "scrub", "words"),
    [
        (f"$ zpool list\n{LIST}", "unknown", "unknown", "ONLINE: what its disks say is missing"),
        (f"{X_HEALTHY}$ zpool list\n{LIST}", "ok", "unknown", "only the state of the pool is here"),
        (f"{X_HEALTHY}$ zpool list\n{LIST.replace('ONLINE', 'DEGRADED')}", "warning", "unknown", "state is DEGRADED"),
        (f"$ zpool list\n{LIST.replace('ONLINE', 'FAULTED')}", "critical", "unknown", "it is FAULTED"),
        (f"$ zpool list | grep tank\n{LIST.splitlines()[1]}\n", "unknown", "unknown", "whether there are other pools"),
        (X_HEALTHY, "unknown", "unknown", "all pools are healthy; which there are is not in this recording"),
        ("$ zpool status -x tank\npool 'tank' is healthy\n", "unknown", "unknown", "whether there are other pools"),
        ("$ zpool status -x\nbash: zpool: command not found\n", "skipped", "skipped", "nothing shows ZFS"),
    ],
)  # fmt: skip
def test_what_a_list_of_pools_proves(said: str, pools: str, scrub: str, words: str) -> None:
    checks = catalog.find(drop_ins=False).checks
    replay = Replay(transcript.parse(f"{said}$ "))
    results = list(run([checks["zfs_pools"], checks["zfs_scrub"]], replay, Profile()))
    assert [result.status.value for result in results] == [pools, scrub]
    assert words in " ".join([r.reason + " ".join(f.summary for f in r.findings) for r in results])


def test_a_host_without_the_module_runs_nothing() -> None:
    where = Asked(Recording(NOW, unlisted="absent"))
    with pytest.raises(NothingHere):
        ZfsPools.read(where, None)
    assert not hasattr(where, "argvs")


# ---- what starts scrubs

WANTS = "/etc/systemd/system/timers.target.wants"


@pytest.mark.parametrize(
    ("files", "covered"),
    [
        ({f"{WANTS}/zfs-scrub-monthly@tank.timer": "[Timer]"}, {"tank"}),
        ({f"{WANTS}/zfs-scrub-weekly@tank\\x2ddata.timer": "[Timer]"}, {"tank-data"}),
        ({f"{WANTS}/zpool-scrub-monthly@tank.timer": "[Timer]"}, {"tank"}),
        ({f"{WANTS}/zfs-trim-monthly@tank.timer": "[Timer]"}, set[str]()),
        ({"/etc/cron.d/scrub": "30 2 1 * * root /usr/sbin/zpool scrub tank\n"}, {"tank"}),
        ({"/etc/cron.d/scrub": "# 30 2 1 * * root /usr/sbin/zpool scrub tank\n"}, set[str]()),
        ({"/etc/cron.monthly/zfs": "#!/bin/sh\nfor p in $(zpool list -H -o name); do zpool scrub $p; done\n"},
         {"tank", "tank-data"}),
        ({"/etc/crontab": "0 1 * * 0 root zpool scrub -a\n"}, {"tank", "tank-data"}),
        ({"/etc/cron.d/zfsutils-linux": "24 0 8-14 * * root /usr/lib/zfs-linux/scrub; fi\n"}, {"tank", "tank-data"}),
        ({"/etc/crontab": "0 1 * * 0 root zpool scrub oldpool\n"}, set[str]()),
        ({"/etc/crontab": "0 1 * * 0 root zpool scrub oldpool; zpool scrub tank >/tmp/log 2>&1\n"}, {"tank"}),
        ({"/etc/crontab": "0 6 * * 1 root zpool scrub -p tank\n0 6 * * 2 root zpool scrub -s tank\n"}, set[str]()),
        ({"/etc/crontab": "0 1 * * 0 root zpool list -Ho name | xargs -n1 zpool scrub\n"}, {"tank", "tank-data"}),
        ({"/etc/crontab": "0 1 * * 0 root zpool scrub $(zpool list -H -o name)\n"}, {"tank", "tank-data"}),
        ({"/etc/crontab": "0 1 * * 0 root zpool list -Ho name | xargs -I{} zpool scrub {} && echo done\n"},
         {"tank", "tank-data"}),
        ({f"{WANTS}/zfs-scrub-monthly@tank-data.timer": "[Timer]"}, {"tank-data"}),
        ({"/etc/cron.d/middlewared": "0 0 * * 7 root midclt call pool.scrub.run tank 35\n"}, {"tank"}),
    ],
)  # fmt: skip
def test_what_scrubs_of_itself(files: dict[str, str], covered: set[str]) -> None:
    said = text(f"  scan: {FINISHED['scrub 2.0'][0]}\n")
    both = said + "\n" + said.replace("pool: tank", "pool: tank-data")
    where = host(OLD | {TEXT: both} | {read_key(path): said for path, said in files.items()}, {JSON: "failed"}, exit=2)
    zfs = ZfsPools.read(where, None)
    schedules = ZfsSchedules.read(where, zfs)
    assert {pool.name for pool in zfs.pools if schedules.of(pool.name)} == covered


def test_a_debian_pool_may_opt_out_and_a_table_may_be_hidden() -> None:
    files = {read_key("/etc/cron.d/zfsutils-linux"): "24 0 8-14 * * root /usr/lib/zfs-linux/scrub\n"}
    said = {TEXT: text(f"  scan: {FINISHED['scrub 2.0'][0]}\n")}
    where = host(OLD | said | files, {JSON: "failed"}, exit=2)
    key = read_key("/var/spool/cron/crontabs/root")
    where.recording.answers[key] = Answer(key, "denied")
    schedules = ZfsSchedules.read(where, ZfsPools.read(where, None))
    assert schedules.of("tank") is not None
    assert schedules.of("tank", "disable") is None
    assert schedules.hidden == ("/var/spool/cron/crontabs/root",)


def test_a_folder_that_may_not_be_listed_is_named() -> None:
    stale = "  scan: scrub repaired 0B in 05:30:00 with 0 errors on Sun Aug  2 05:54:12 2026\n"
    where = host(OLD | {TEXT: text(stale)}, {JSON: "failed", tree_key("/etc/cron.d/*"): "denied"}, exit=2)
    (found,) = judged(where).findings
    assert "no timer or cron job for it was found (could not be read: /etc/cron.d/*)" in found.summary


def test_a_recording_without_timers_and_cron_does_not_say_that_there_are_none() -> None:
    where = Replay(Recording(NOW))
    where.recording.answers[TEXT] = Answer(TEXT, "ok", text(f"  scan: {FINISHED['scrub 2.0'][0]}\n").encode())
    (found,) = [found for found in judged(where).findings if found.code == "age"]
    assert found.summary.endswith("; what would start one is not in this recording")


# ---- a pool in trouble


@pytest.mark.parametrize(
    ("state", "status"),
    [("ONLINE", "ok"), ("DEGRADED", "ok"), *((state, "unknown") for state in ("SUSPENDED", "FAULTED", "UNAVAIL"))],
)
def test_a_pool_that_does_not_work_is_not_ok(state: str, status: str) -> None:
    said = text(f"  scan: {FINISHED['scrub 2.0'][0]}\n").replace("state: ONLINE", f"state: {state}")
    result = judged(host(OLD | {TEXT: said}, {JSON: "failed"}, exit=2))
    assert result.status.value == status
    assert state == "ONLINE" or f"{state}: " in result.findings[0].summary


@pytest.mark.parametrize("cut", ["  po", "  pool: ta", "  pool: tank-d", "\n  pool: x\n state: ONL"])
def test_a_cut_answer_names_no_pool_that_is_not_there(cut: str) -> None:
    whole = text(f"  scan: {FINISHED['scrub 2.0'][0]}\n")
    pools = from_text(Answer("zpool", "truncated", (whole + "\n" + cut).encode()))
    assert [pool.name for pool in pools][:1] == ["tank"]
    assert {pool.name for pool in pools} <= {"tank", "x"}
    assert all(pool.unread for pool in pools[1:])


def test_without_a_clock_a_scrub_is_late_but_never_in_time() -> None:
    """A text that tells no time was taken at its newest time or later: ages are at least what they seem."""
    recording = Recording(0.0)
    text = "  pool: tank\n state: ONLINE\n"
    text += "  scan: scrub repaired 0B in 01:00:00 with 0 errors on Sun Nov  1 01:24:00 2026\n"
    text += "config:\n\n\tNAME  STATE  READ WRITE CKSUM\n\ttank  ONLINE  0 0 0\n\nerrors: No known data errors\n"
    recording.answers["run zpool status"] = Answer("run zpool status", "ok", text.encode())
    for now, is_lower_bound, status in (
        (0.0, False, Status.UNKNOWN),
        (moment_of("2026-11-01"), True, Status.UNKNOWN),
        (moment_of("2026-12-24"), True, Status.WARNING),
        (moment_of("2026-11-10"), False, Status.OK),
    ):
        recording.taken_at, recording.is_lower_bound = now, is_lower_bound
        (result,) = run([CHECK], Replay(recording), Profile())
        assert max(found.status for found in result.findings if found.subject == "pool tank") is status


def moment_of(day: str) -> float:
    from datetime import datetime, timezone

    return datetime.fromisoformat(day).replace(tzinfo=timezone.utc).timestamp() + 7200


def foreign(said: str, status: AnswerStatus = "ok") -> Replay:
    recording = Recording(NOW)
    recording.answers[TEXT] = Answer(TEXT, status, said.encode())
    return Replay(recording)


def test_of_two_outputs_the_later_holds() -> None:
    good = text(f"  scan: {FINISHED['scrub 2.0'][0]}\n")
    bad = good.replace("repaired 1.50M", "repaired 3M").replace("with 0 errors", "with 7 errors")
    bad = bad.replace("No known data errors", "7 data errors, use '-v' for a list")
    assert judged(foreign(f"{good}\n{bad}")).status is Status.CRITICAL
    assert judged(foreign(f"{bad}\n{good}")).status is Status.OK


def test_of_two_forms_the_later_holds() -> None:
    where = foreign(text(f"  scan: {FINISHED['scrub 2.0'][0]}\n"))
    where.recording.answers[JSON] = older = Answer(JSON, "failed", b"", exit=1, why="cannot open /dev/zfs")
    assert judged(where).status is Status.UNKNOWN
    older.order, where.recording.answers[TEXT].order = 1, 2
    assert judged(where).status is Status.OK
    older.order = 3
    assert judged(where).status is Status.UNKNOWN


def test_disks_in_a_table_that_is_cut_are_not_cleared() -> None:
    said = text(f"  scan: scrub repaired 41.5M in 05:30:00 with 0 errors on {ENDED}\n")
    result = judged(foreign(said[: said.index("sda")]))
    assert result.status is Status.WARNING
    found = {one.code: one for one in result.findings}
    assert "their counters are not all known" in found["repaired"].summary
    assert found["unseen"].status is Status.UNKNOWN
    assert "cleared" in {one.code: one for one in judged(foreign(said)).findings}["repaired"].summary


def test_durations_are_at_least_what_they_seem_where_nothing_tells_the_time() -> None:
    running = f"  scan: scrub in progress since {BEGUN}\n\t1T / 2T scanned, 1T / 2T issued at 300M/s\n"
    where = foreign(text(running))
    where.recording.is_lower_bound = True
    for now, says in ((NOV_22, "running, 50 %"), (NOV_22 + 7300, "running for at least 2 h, 50 %")):
        where.recording.taken_at = now
        assert any(says in found.summary for found in judged(Replay(where.recording)).findings)
