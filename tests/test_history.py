"""Since when, how often, and numbers over time: what runs leave, and what is made of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlopsdoc import history, seen
from mlopsdoc.engine import Ledger
from mlopsdoc.facts.quantities import instant
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Counts, Finding, HostInfo, Report, Result, Status, Tool, finding
from mlopsdoc.report import history as rendered
from mlopsdoc.report.sparkline import sparkline

from .program import all_gone, environment, mlopsdoc, start

NOW = 1795403400.0
DAY = 86400.0
KEY = "gpu_heat/GPU 2 (9b:00.0)/gpu_heat"


def hot(status: Status = Status.CRITICAL) -> Finding:
    made = finding(status, "slowed by heat", subject="GPU 2 (9b:00.0)", metrics={"temperature_c": 91})
    return replace(made, key=KEY, code="gpu_heat")


def report(at: float, *found: Finding, boot: str = "one", status: Status | None = None) -> Report:
    worst = status or max((f.status for f in found), default=Status.OK)
    result = Result(id="gpu_heat", area="gpu", title="t", status=worst, duration_s=0.0, findings=list(found))
    return Report(
        tool=Tool("mlopsdoc", "0"), host=HostInfo("gpu-17", boot_id=boot), sources=[], taken_at=instant(at),
        duration_s=0.0, profile="generic", status=worst, counts=Counts(), checks=[result],
    )  # fmt: skip


def ran(states: list[str], at: float, *found: Finding, boot: str = "one", status: Status | None = None) -> str:
    """A run at that time; what it says of since when the first finding stands."""
    made = seen.told(report(at, *found, boot=boot, status=status), Ledger(Replay(Recording(at))), states)
    return made.checks[0].findings[0].since if found else ""


def still(_: int) -> float:
    return 1000.0


@pytest.fixture
def states(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One state folder, and a clock of the boot that goes with the other one."""
    monkeypatch.setattr("mlopsdoc.seen.time.clock_gettime", still)
    return [str(tmp_path / "state")]


def test_since_when_is_told_from_the_second_run_on(states: list[str]) -> None:
    assert ran(states, NOW, hot()) == ""
    assert "1 run in 1 boot, " in rendered.render(history.read(states), "text")
    assert ran(states, NOW + 300, hot()).startswith("2026-11-23T03:1")
    found = history.read(states).findings
    assert [(f.key, f.status, f.since, f.times) for f in found] == [(KEY, "critical", NOW, 1)]


def test_what_the_check_says_itself_stands(states: list[str]) -> None:
    said = replace(hot(), since="2026-11-20T00:00:00Z")
    ran(states, NOW, said)
    assert ran(states, NOW + 300, said) == "2026-11-20T00:00:00Z"


def test_on_and_off_and_again_after_a_reboot(states: list[str]) -> None:
    ran(states, NOW, hot(), boot="zero")
    ran(states, NOW + 300)
    ran(states, NOW + 600, hot(Status.WARNING), boot="one")
    assert ran(states, NOW + 900, hot()) == (
        "2026-11-23T03:10:00Z at the latest, on and off (2 times); a reboot did not help"
    )
    (found,) = history.read(states).findings
    assert (found.status, found.since, found.times, found.reboots) == ("critical", NOW + 600, 2, 1)
    text = rendered.render(history.read(states), "text")
    assert "4 runs in 2 boots" in text and "2 times, 1 reboot did not help" in text


def test_a_check_that_could_not_see_ends_nothing(states: list[str]) -> None:
    ran(states, NOW, hot())
    ran(states, NOW + 300, status=Status.UNKNOWN)
    assert ran(states, NOW + 600, hot()).endswith("Z at the latest")
    assert history.read(states).findings[0].times == 1


def test_what_was_gone_for_long_is_new(states: list[str]) -> None:
    ran(states, NOW, hot())
    ran(states, NOW + 300)
    assert ran(states, NOW + 8 * DAY, hot()) == ""


def test_a_clock_that_jumps_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a boot the time since it counts; of an earlier boot nothing is said that lies ahead."""
    up, states = [1000.0], [str(tmp_path)]

    def clock(_: int) -> float:
        return up[0]

    monkeypatch.setattr("mlopsdoc.seen.time.clock_gettime", clock)
    ran(states, NOW, hot())
    up[0] += 600
    assert ran(states, NOW - 3600, hot()) == "2026-11-23T02:00:00Z at the latest"
    up[0] = 50.0
    assert ran(states, NOW - DAY, hot(), boot="two") == ""
    found = history.read(states)
    assert found.runs == 3 and found.findings[0].since <= NOW - DAY
    assert len(found.metrics[0].values) == 3


def test_numbers_over_time(states: list[str]) -> None:
    for at in range(40):
        ran(states, NOW + at * 300, replace(hot(), metrics={"temperature_c": 60 + at, "word": "x"}))
    found = history.read(states, "temperature")
    assert [series.name for series in found.metrics] == ["GPU 2 (9b:00.0) temperature_c"]
    assert found.metrics[0].values == [60.0 + at for at in range(40)]
    assert history.read(states, "*_c").metrics == found.metrics
    assert sparkline([1, 2, 3, 8]) == "▁▂▃█" and sparkline([5, 5]) == "▁▁"
    assert "▁" in rendered.render(found, "text") and rendered.render(found, "text", plain=True).isascii()


def test_it_stays_small(states: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_RUNS", 20)
    monkeypatch.setattr(history, "MOST_CHANGES", 20)
    monkeypatch.setattr(seen, "MAX_BYTES", 2000)
    for at in range(60):
        ran(states, NOW + at * 300, *([hot()] if at % 2 else []))
        assert os.path.getsize(f"{states[0]}/history.spool") < 2500
        history.fold(states)
    found = history.read(states)
    assert found.runs == 20 and found.findings[0].times <= 20


def test_a_full_database_loses_its_older_half(states: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MOST_PAGES", 40)
    numbers: dict[str, int | float | str] = {f"n{n}": n for n in range(150)}
    for at in range(120):
        ran(states, NOW + at * 300, replace(hot(), metrics=numbers))
        if at % 5 == 4:
            history.fold(states)
    assert os.path.getsize(f"{states[0]}/history.db") <= 40 * 4096
    assert history.read(states).until == NOW + 119 * 300


def test_half_a_line_and_a_broken_database_cost_only_themselves(states: list[str]) -> None:
    ran(states, NOW, hot())
    with open(f"{states[0]}/history.spool", "ab") as file:
        file.write(b'["cut off')
    Path(f"{states[0]}/history.db").write_bytes(b"no database at all" * 999)
    ran(states, NOW + 300, hot())
    assert history.read(states).runs == 2


def test_a_run_is_taken_over_once_whoever_was_killed(states: list[str]) -> None:
    ran(states, NOW, hot())
    spool = Path(f"{states[0]}/history.spool")
    lines = spool.read_bytes()
    history.fold(states)
    Path(f"{states[0]}/history.taken").write_bytes(lines)  # killed after it was in the database
    ran(states, NOW + 300, hot())
    assert history.read(states).runs == 2
    assert sorted(os.listdir(states[0])) == ["history.db", "history.lock", "seen.json"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for states in ([], [str(tmp_path / "file" / "below")]):
        assert ran(states, NOW, hot()) == "" and ran(states, NOW, hot()) == ""
        assert history.read(states).runs == 0
    assert "since the boot only" in rendered.render(history.read([]), "text")
    ended = mlopsdoc("history", place=tmp_path, env={"STATE_DIRECTORY": str(tmp_path / "file/below")})
    assert ended.code == 0 and ended.err == ""


JUDGE = '''"""A check that always finds something."""
from mlopsdoc import Fact, Host, check, warning
class Word(Fact, frozen=True):
    @classmethod
    def read(cls, host: Host) -> "Word":
        return cls()
@check(area="host", title="t")
def judge(word: Word):
    """Judges."""
    yield warning("not good", metrics={"words": 3})
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "config/mlopsdoc/checks"
    folder.mkdir(parents=True)
    (folder / "judge.py").write_text(JUDGE)
    return tmp_path


def test_the_program_tells_since_when(place: Path) -> None:
    assert "since" not in mlopsdoc("check", "judge", place=place).out
    assert "at the latest" in mlopsdoc("check", "judge", place=place).out
    ended = mlopsdoc("history", "words", "--json", place=place)
    told = json.loads(ended.out)
    assert told["schema"] == "mlopsdoc.history/1" and told["metrics"][0]["values"] == [3.0, 3.0]
    text = mlopsdoc("history", place=place, env={"PYTHONIOENCODING": "ascii"})
    assert "warning   judge/host/judge" in text.out and text.out.isascii()
    assert mlopsdoc("history", "no such thing", place=place).code == 64


def test_fifty_runs_at_once_lose_nothing_and_leave_nothing_half(place: Path) -> None:
    """Those that could not have the lock in time say so; every report has its line."""
    running = [start("check", "judge", "--json", place=place) for _ in range(50)]
    reader = start("history", place=place)
    codes = [process.communicate(timeout=180) and process.returncode for process in running]
    reader.communicate(timeout=60)
    assert set(codes) <= {1, 75} and codes.count(1) >= 1
    assert json.loads(mlopsdoc("history", "--json", place=place).out)["runs"] == codes.count(1)
    assert not [name for name in os.listdir(place / "state") if name.endswith((".tmp", ".taken"))]


def test_one_that_is_killed_while_it_takes_over_loses_nothing(states: list[str]) -> None:
    for at in range(300):
        ran(states, NOW + at * 300, hot())
    code = "from mlopsdoc import config, history; history.fold(config.state_folders())"
    env = environment(Path(states[0]).parent)
    for wait in (0.05, 0.1, 0.15, 0.2, 0.3):
        process = subprocess.Popen([sys.executable, "-c", code], env=env)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert history.read(states).runs == 300


def test_a_long_spool_is_taken_over_by_a_process_that_nobody_waits_for(
    states: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "FOLD_BYTES", 1)
    for name, value in environment(Path(states[0]).parent).items():
        monkeypatch.setenv(name, value)
    ran(states, NOW, hot())
    assert all_gone(states[0])
    assert sorted(os.listdir(states[0])) == ["history.db", "history.lock", "seen.json"]


def test_a_run_loads_no_database(tmp_path: Path) -> None:
    code = (
        "import sys; from mlopsdoc.cli import guarded; guarded(['check', 'disk_space']); "
        "print([name for name in ('sqlite3', 'mlopsdoc.history', 'mlopsdoc.mutes') if name in sys.modules],"
        " file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path), capture_output=True, check=True)
    assert ended.stderr == b"[]\n"
