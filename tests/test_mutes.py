"""Mutes: shown, counted apart, and over when they are over."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlopsdoc import mutes
from mlopsdoc.model import Counts, Report, Status

from .program import REPOSITORY, Ended, mlopsdoc
from .test_history import KEY, NOW, hot, report

SHIPPED = str(REPOSITORY / "snapshots/gpu_thermal_hw")


def of(key: str, since: float = NOW - 60, until: float = NOW + 60) -> mutes.Muted:
    return mutes.Muted(key, "mara", since, until, "fan is ordered")


@pytest.mark.parametrize(("key", "is_muted"), [
    (KEY, True), ("gpu_heat", True), ("gpu_*", True), ("gpu_heat/GPU 2*", True),
    ("gpu", False), ("gpu_heat/GPU 3*", False),
])  # fmt: skip
def test_what_a_key_means(key: str, is_muted: bool) -> None:
    made = mutes.apply(report(NOW, hot()), [of(key)])
    assert bool(made.checks[0].findings[0].muted) is is_muted
    assert made.status is (Status.OK if is_muted else Status.CRITICAL)


def test_what_is_muted_counts_apart_and_keeps_its_status() -> None:
    made = mutes.apply(report(NOW, hot()), [of("gpu_heat")])
    assert made.counts == Counts(muted=1) and made.checks[0].status is Status.CRITICAL
    said = made.checks[0].findings[0].muted
    assert said and (said.by, said.until, said.reason) == ("mara", "2026-11-23T03:11:00Z", "fan is ordered")


@pytest.mark.parametrize(("since", "until"), [(NOW - 60, NOW - 1), (NOW + 3600, NOW + 7200)])
def test_one_that_is_over_or_of_a_clock_that_was_ahead_mutes_nothing(since: float, until: float) -> None:
    plain: Report = report(NOW, hot())
    assert mutes.apply(plain, [of("gpu_heat", since, until)]) is plain


JUDGE = '''"""A check that always finds something."""
from mlopsdoc import Fact, Host, check, critical, warning
class Word(Fact, frozen=True):
    @classmethod
    def read(cls, host: Host) -> "Word":
        return cls()
@check(area="host", title="t")
def judge(word: Word):
    """Judges."""
    yield critical("very bad", subject="one")
    yield warning("bad", subject="two")
'''


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "config/mlopsdoc/checks"
    folder.mkdir(parents=True)
    (folder / "judge.py").write_text(JUDGE)
    return tmp_path


def mute(place: Path, key: str, *more: str) -> Ended:
    return mlopsdoc("mute", key, "--for", "4h", "--reason", "fan is \x1b[31mordered", *more, place=place)


def test_a_mute_from_its_making_to_its_end(place: Path) -> None:
    assert mute(place, "judge/one/judge", "--by", "mara").code == 0
    ended = mlopsdoc("check", "judge", "--json", place=place)
    assert ended.code == 1 and ended.report()["status"] == "warning"
    findings = ended.check("judge")["findings"]
    assert [f.get("muted", {}).get("by") for f in findings] == ["mara", None]
    assert mute(place, "judge/two/*").code == 0
    text = mlopsdoc("check", "judge", place=place)
    assert text.code == 0
    assert "1 muted" in text.out and "CRITICAL  one: very bad" in text.out and "by mara: fan is" in text.out
    listed = mlopsdoc("mute", "list", place=place)
    assert listed.out.count("\n") == 2 and "\x1b" not in listed.out
    assert mlopsdoc("mute", "lift", "judge/one/judge", place=place).out == "judge/one/judge is muted no longer\n"
    assert mlopsdoc("check", "judge", place=place).code == 2
    audited = mlopsdoc("audit", "show", place=place)
    assert "mute/judge/one/judge (lifted)" in audited.out and audited.out.count("by mara") == 2
    assert mlopsdoc("audit", "verify", place=place).code == 0


@pytest.mark.parametrize("argv", [
    ["judge"], ["judge", "--for", "4h"], ["judge", "--for", "soon", "--reason", "x"], ["no_such", "--for", "4h",
    "--reason", "x"], ["judge", "--for", "4h", "--reason", " "], ["judge", "--for", "9999d", "--reason", "x"],
    ["lift", "judge"], ["lift"], [],
])  # fmt: skip
def test_what_cannot_be(argv: list[str], place: Path) -> None:
    assert mlopsdoc("mute", *argv, place=place).code == 64
    assert not (place / "state/mutes.json").exists()


def test_where_it_cannot_be_written_nothing_is_muted(place: Path) -> None:
    (place / "file").write_text("")
    ended = mlopsdoc(
        "mute", "judge", "--for", "4h", "--reason", "x", place=place, env={"STATE_DIRECTORY": str(place / "file/x")}
    )
    assert ended.code == 73 and "nothing is changed" in ended.err


def test_a_recording_is_judged_without_them(place: Path) -> None:
    assert mute(place, "*").code == 0
    ended = mlopsdoc("check", "gpu_thermal", "--json", "--from", SHIPPED, place=place)
    assert ended.code == 2 and "muted" not in ended.out


def test_what_is_no_file_of_mutes_mutes_nothing(place: Path) -> None:
    (place / "state").mkdir()
    (place / "state/mutes.json").write_text(json.dumps({"mutes": [{"key": "judge"}]}))
    assert mlopsdoc("check", "judge", place=place).code == 2
