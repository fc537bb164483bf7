"""The command line: exit codes, forms of the report, and what is said when something is wrong."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlopsdoc import catalog
from mlopsdoc.hosts import snapshot

from .program import REPOSITORY, Ended, environment, mlopsdoc, start

REFERENCE = catalog.shipped("snapshots") + "/reference"

JUDGE = '''"""A site's own check."""
from mlopsdoc import Fact, Host, check, critical, ok, unknown, warning


class Word(Fact, frozen=True):
    text: str

    @classmethod
    def read(cls, host: Host) -> "Word":
        return cls(host.read("{path}").text.strip())


@check(area="host", title="The word is good")
def judge(word: Word, *, bad: str = "bad"):
    """Judges a word."""
    kinds = {{"note": ok, "dunno": unknown, "warn": warning, "crit": critical}}
    if word.text in kinds:
        yield kinds[word.text](f"the word is {{word.text}} \\x1b[2J", subject="word \\x1b]0;title\\x07")
    if word.text == bad:
        raise KeyError("boom")
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A place with one drop-in check that judges the word in a file."""
    checks = tmp_path / "config/mlopsdoc/checks"
    checks.mkdir(parents=True)
    (checks / "judge.py").write_text(JUDGE.format(path=tmp_path / "word"))
    (tmp_path / "word").write_text("fine")
    return tmp_path


def say(place: Path, word: str, *more: str) -> Ended:
    (place / "word").write_text(word)
    return mlopsdoc("check", "judge", *more, place=place)


@pytest.mark.parametrize(
    ("word", "code", "critical_only"), [("fine", 0, 0), ("note", 0, 0), ("dunno", 3, 0), ("warn", 1, 0), ("crit", 2, 2)]
)
def test_exit_codes_follow_the_worst_status(place: Path, word: str, code: int, critical_only: int) -> None:
    assert say(place, word).code == code
    assert say(place, word, "--fail-on", "critical").code == critical_only
    assert say(place, word, "--fail-on", "never").code == 0


def test_a_broken_check_is_one_unknown_result(place: Path) -> None:
    ended = say(place, "bad", "--json")
    assert ended.code == 3
    check = ended.check("judge")
    assert check["status"] == "unknown"
    assert [f["status"] for f in check["findings"]] == ["unknown"]
    assert "KeyError: 'boom' (judge.py:" in check["reason"]


def test_a_check_that_does_not_load_is_one_unknown_result(place: Path) -> None:
    (place / "config/mlopsdoc/checks/broken.py").write_text("this is no python")
    ended = mlopsdoc("check", "judge", "--json", place=place)
    assert ended.code == 3
    assert "broken.py is not loaded" in ended.check("config")["reason"]


def test_a_drop_in_that_others_may_write_is_refused(place: Path) -> None:
    path = place / "config/mlopsdoc/checks/judge.py"
    path.chmod(0o666)
    ended = mlopsdoc("list", place=place)
    assert "judge" not in ended.out
    ended = mlopsdoc("check", "--json", place=place)
    assert "may be written by others" in ended.check("config")["reason"]


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (["check", "no_such_check"], 64, "no check, area or pattern"),
        (["check", "gpu_thermla"], 64, "do you mean gpu_thermal?"),
        (["chekc"], 64, "invalid choice"),
        (["check", "--timeout", "never"], 64, "--timeout"),
        (["check", "--from", "/no/such/file"], 66, "/no/such/file"),
        (["check", "--from", "/etc/passwd"], 65, "/etc/passwd"),
        (["check", "--root", "/no/such/folder"], 66, "/no/such/folder"),
        (["check", "--profile", "no_such"], 78, "no such profile"),
        (["check", "--from", REFERENCE, "--at", "yesterday"], 64, "--at"),
        (["check", "-o", "/no/such/folder/report"], 73, "/no/such/folder/report"),
        (["show", "/etc/passwd"], 65, "no report of mlopsdoc"),
        (["explain", "no_such_check"], 64, "no check"),
        (["runbook", "show", "no_such"], 64, "no such runbook"),
        (["runbook", "show", "zfs_scrub", "--set", "POOL=-f"], 64, "POOL=-f"),
        (["runbook", "show", "gpu_thermal", "--set", "GPU=2"], 64, "never its index"),
        (["runbook", "show", "gpu_thermal", "--set", "x"], 64, "x is no parameter"),
        (["new", "Bad-Name"], 64, "no name for a check"),
        (["--from", REFERENCE, "snapshot"], 64, "--from, --at and --partial are for"),
        (["check", "--timeout", "-1"], 64, "want seconds"),
        (["snapshot", "seal", "/no/such/folder"], 66, "/no/such/folder"),
        (["snapshot", "seal", "/dev"], 65, "/dev: it is no snapshot"),
        (["snapshot", "-o", "/dev"], 73, "/dev: there is such a folder already"),
        (["mute", "lift"], 64, "`mute lift KEY`"),
    ],
)
def test_bad_input_gets_one_line_and_its_exit_code(place: Path, argv: list[str], code: int, said: str) -> None:
    ended = mlopsdoc(*argv, place=place)
    assert ended.code == code
    assert said in ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""


def test_the_json_report_keeps_its_contract(place: Path) -> None:
    ended = say(place, "crit", "--json")
    report = ended.report()
    assert report["schema"] == "mlopsdoc.report/1"
    for key in ("tool", "host", "sources", "taken_at", "duration_s", "profile", "status", "counts", "checks"):
        assert key in report
    assert report["counts"] == {"ok": 0, "warning": 0, "critical": 1, "unknown": 0, "skipped": 0}
    (finding,) = report["checks"][0]["findings"]
    for key in ("key", "status", "code", "subject", "summary", "hurts", "covers", "params", "metrics", "evidence"):
        assert key in finding
    assert finding["key"] == f"judge/{finding['subject']}/judge"


@pytest.mark.parametrize("form", ["text", "markdown", "json"])
def test_escapes_reach_no_terminal(place: Path, form: str) -> None:
    ended = say(place, "crit", "--format", form)
    assert "\x1b" not in ended.out
    assert "\x07" not in ended.out
    assert "x1b" in ended.out


def test_a_saved_run_replays_alike(place: Path) -> None:
    live = mlopsdoc("check", "--json", "--save", str(place / "s.tar.gz"), "--no-redact", place=place)
    replay = mlopsdoc("check", "--json", "--from", str(place / "s.tar.gz"), place=place)
    verdicts = {c["id"]: c["status"] for c in live.report()["checks"] if c["id"] != "judge"}
    assert {c["id"]: c["status"] for c in replay.report()["checks"]} == verdicts
    assert replay.report()["sources"][0]["kind"] == "snapshot"
    assert replay.report()["host"] == live.report()["host"]


def test_a_report_is_shown_again(place: Path) -> None:
    say(place, "crit", "--json", "-o", str(place / "report.json"))
    shown = mlopsdoc("show", str(place / "report.json"), place=place)
    assert shown.code == 2
    assert "CRITICAL" in shown.out
    piped = mlopsdoc("show", "-", "--format", "markdown", place=place, stdin=(place / "report.json").read_bytes())
    assert "## CRITICAL" in piped.out


def test_a_wrong_config_does_not_blind_a_run_that_nobody_watches(place: Path) -> None:
    (place / "config/mlopsdoc/config.toml").write_text("profil = 'x'\n")
    ended = say(place, "crit", "--json")
    assert ended.code == 2
    assert ended.check("judge")["status"] == "critical"
    assert "no such key: profil" in ended.check("config")["reason"]


def test_thresholds_and_skips_of_the_config_count(place: Path) -> None:
    path = place / "config/mlopsdoc/config.toml"
    path.write_text("[checks.judge]\nbad = 'fine'\n")
    assert say(place, "fine").code == 3
    path.write_text("[skip]\njudge = 'not here'\n")
    assert say(place, "crit", "--json").check("judge")["reason"] == "left out by profile generic: not here"
    path.write_text("[checks.judge]\nbad = 7\n")
    assert "wanted is a value like 'bad'" in say(place, "fine", "--json").check("config")["reason"]


def test_a_second_run_waits_and_then_gives_up(place: Path) -> None:
    import fcntl

    (place / "state").mkdir()
    with (place / "state/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = say(place, "fine")
    assert ended.code == 75
    assert "another run" in ended.err


def test_many_runs_at_once_lose_nothing(place: Path) -> None:
    (place / "word").write_text("warn")
    runs = [start("check", "judge", "--json", place=place) for _ in range(12)]
    ended = [(process.communicate(timeout=60), process.returncode) for process in runs]
    for (out, _), code in ended:
        assert code in (1, 75)
        assert (json.loads(out)["status"] == "warning") if code == 1 else not out
    assert any(code == 1 for _, code in ended)
    assert not list((place / "state").rglob("*.tmp"))


def test_a_closed_pipe_is_quiet(place: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    process = start("check", place=place, stdout=write)
    os.close(write)
    _, err = process.communicate(timeout=60)
    assert err == b""


def test_a_full_disk_under_the_report_is_74(place: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = start("check", "--json", place=place, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 74
    assert err == b"mlopsdoc: standard output could not be written: No space left on device\n"


def test_a_device_is_written_to_not_replaced(place: Path) -> None:
    ended = mlopsdoc("check", "judge", "-o", "/dev/full", place=place)
    assert ended.code == 74
    assert not os.path.isfile("/dev/full")
    (place / "link").symlink_to(place / "report")
    assert mlopsdoc("check", "judge", "-o", str(place / "link"), place=place).code == 0
    assert (place / "link").is_symlink()


def test_an_ascii_locale_never_breaks_output(place: Path) -> None:
    (place / "config/mlopsdoc/checks/judge.py").write_text(JUDGE.format(path=place / "word").replace("good", "gööd"))
    ended = mlopsdoc("list", place=place, env={"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"})
    assert ended.code == 0
    assert "judge" in ended.out


def test_without_a_terminal_the_bare_command_prints_the_report(place: Path) -> None:
    ended = mlopsdoc(place=place)
    assert ended.code in (0, 1, 2, 3)
    assert "checks could be judged" in ended.out or "nothing here" in ended.out


def test_a_state_folder_that_cannot_be_written_is_no_error(place: Path) -> None:
    (place / "state").write_text("a file")
    assert say(place, "crit").code == 2


def test_help_names_every_command(place: Path) -> None:
    ended = mlopsdoc("--help", place=place)
    for verb in ("check", "list", "explain", "new", "schema", "show", "demo", "config", "snapshot", "runbook"):
        assert f"\n    {verb} " in ended.out


def test_new_makes_a_check_that_loads_and_trips(place: Path) -> None:
    for folder in ("checks", "runbooks", "snapshots"):
        (place / "mine" / folder).mkdir(parents=True)
    made = mlopsdoc("new", "demo_check", "--dir", str(place / "mine"), place=place)
    assert made.code == 0
    assert len(made.out.splitlines()) == 5
    assert mlopsdoc("new", "demo_check", "--dir", str(place / "mine"), place=place).code == 64, "nothing is overwritten"
    subprocess.run(["cp", str(place / "mine/checks/demo_check.py"), str(place / "config/mlopsdoc/checks/")], check=True)
    explained = mlopsdoc("explain", "demo_check", place=place)
    assert "threshold   load_warning = 1000.0" in explained.out
    assert mlopsdoc("check", "demo_check", place=place).code == 0


def test_the_schema_describes_the_report(place: Path) -> None:
    schema = json.loads(mlopsdoc("schema", place=place).out)
    assert set(schema["$defs"]["Report"]["properties"]) >= {"schema", "tool", "host", "checks"}


def test_version_for_a_bug_report(place: Path) -> None:
    ended = mlopsdoc("--version", "--verbose", place=place)
    for word in ("version", "python", "kernel", "textual", "state", "checks"):
        assert f"{word}: " in ended.out


def test_closed_standard_streams_are_no_verdict(place: Path) -> None:
    for closed in (">&-", "<&- >&-", "<&- >&- 2>&-"):
        ended = subprocess.run(
            ["/bin/sh", "-c", f"exec {sys.executable} -m mlopsdoc check judge {closed}"],
            env=environment(place), cwd=place, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 74
        assert "Traceback" not in ended.stderr


def test_much_output_on_a_full_disk_is_74(place: Path) -> None:
    with open("/dev/full", "wb") as full:
        process = start("schema", place=place, stdout=full)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 74
    assert len(err.splitlines()) == 1


def test_a_moment_is_for_recordings(place: Path) -> None:
    assert mlopsdoc("check", "--at", "2026-11-23", place=place).code == 64
    assert mlopsdoc("check", "--partial", place=place).code == 64


def test_a_home_that_is_not_ours_holds_no_configuration(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("becoming another user needs root")
    home = place / "home"
    home.mkdir(mode=0o700)
    shown = subprocess.run(
        ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c",
         "from mlopsdoc import config; print(config.config_folders(), config.load()[1])"],
        env={"HOME": str(home), "PYTHONPATH": str(REPOSITORY), "PATH": os.environ["PATH"]}, cwd="/",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "ermission denied" in shown.stderr or "ModuleNotFoundError" in shown.stderr:
        pytest.skip("nobody may not read this checkout")
    assert shown.stdout.strip() == "['/etc/mlopsdoc'] []"


def test_a_full_state_disk_hides_no_report(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    disk = place / "state"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with (disk / "full").open("wb") as file, contextlib.suppress(OSError):
            file.write(b"x" * 65536)
        assert say(place, "crit", "--json").check("judge")["status"] == "critical"
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_bytecode_that_others_may_write_is_refused(place: Path) -> None:
    cache = place / "config/mlopsdoc/checks/__pycache__"
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    assert "may be written by others" in mlopsdoc("check", "--json", place=place).check("config")["reason"]


def test_a_report_of_a_stranger_is_made_safe(place: Path) -> None:
    report = say(place, "crit", "--json").report()
    report["host"]["name"] = "\x1b]0;pwn\x07"
    report["checks"][0]["findings"][0]["advice"] = "\u202egnp.exe"
    for form in ("text", "markdown"):
        shown = mlopsdoc("show", "-", "--format", form, place=place, stdin=json.dumps(report).encode())
        assert "\x1b" not in shown.out
        assert "\u202e" not in shown.out


def test_narrow_terminals_get_narrow_lines(place: Path) -> None:
    ended = mlopsdoc("--from", catalog.shipped("snapshots") + "/bad_night", place=place, env={"COLUMNS": "40"})
    assert max(len(line) for line in ended.out.splitlines() if " " in line.strip()) <= 40


@pytest.mark.parametrize("name", ["class", "import", "Bad", "a-b", "_x", ""])
def test_names_that_are_none_make_no_check(place: Path, name: str) -> None:
    assert mlopsdoc("new", name, "--dir", str(place), place=place).code == 64


def test_a_source_before_the_verb_counts(place: Path) -> None:
    """Never this host when a recording was named."""
    ended = mlopsdoc("--from", REFERENCE, "check", "--json", place=place)
    assert ended.report()["sources"][0]["kind"] == "snapshot"


def test_a_report_is_delivered_though_its_answers_cannot_be_saved(place: Path) -> None:
    ended = mlopsdoc("check", "judge", "--save", "/no/such/folder/x.tar.gz", place=place)
    assert ended.code == 73
    assert "judge" in ended.out


def test_no_library_and_no_tool_of_a_gpu_is_asked_where_there_is_no_sign_of_one(place: Path) -> None:
    """To load pynvml costs a run as much as twice starting Python."""
    (place / "root/proc").mkdir(parents=True)
    ended = mlopsdoc("check", "--root", str(place / "root"), "--save", str(place / "saved"), "--no-redact", place=place)
    assert ended.code in (0, 1, 2, 3), ended.err
    keys = snapshot.load(str(place / "saved")).answers
    assert keys
    assert not [key for key in keys if key.startswith(("probe nvml", "run nvidia-smi"))]
