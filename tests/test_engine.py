"""The engine: facts read once and at once, the two ways of not knowing, what explains what, profiles."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mlopsdoc import Answer, Before, CannotSee, Fact, Finding, Host, NothingHere, check, critical, ok, unknown, warning
from mlopsdoc.authoring import Check, Hardware
from mlopsdoc.causes import fold
from mlopsdoc.engine import run
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result, Status, finding, gpu_subject, parameter_fits
from mlopsdoc.profile import Profile, WrongProfile, parse


class Text(Fact, frozen=True):
    text: str

    @classmethod
    def read(cls, host: Host) -> Text:
        answer = host.read("/text")
        if answer.status == "absent":
            raise NothingHere("no text")
        if not answer.said:
            raise CannotSee("the text is there and cannot be read", "chmod")
        return cls(answer.text)


class Length(Fact, frozen=True):
    length: int

    @classmethod
    def read(cls, host: Host, text: Text) -> Length:
        return cls(len(text.text))


@check(area="host", title="The text is short")
def short(length: Length, *, limit: int = 5) -> Iterator[Finding]:
    """Long texts tire."""
    if length.length > limit:
        yield warning(f"{length.length} characters, wanted are {limit}")


@check(area="host", title="The text grows slowly")
def growth(length: Length, before: Before[Length]) -> Iterator[Finding]:
    """Growth is judged against an earlier moment."""
    if before.fact is None:
        yield unknown("since boot")
    else:
        yield ok(f"{length.length - before.fact.length} in {before.seconds:g} s")


@check(area="host", title="All is there")
def counted(hardware: Hardware) -> Iterator[Finding]:
    """What there is too little of."""
    if hardware.gpus:
        yield warning(f"{hardware.gpus} wanted")


@check(area="host", title="There may be a text")
def maybe(text: Text | None) -> Iterator[Finding]:
    """A fact that may be missing."""
    yield ok("none" if text is None else text.text)


@check(area="host", title="Never")
def broken(text: Text) -> Iterator[Finding]:
    """Breaks half-way."""
    yield critical("the first half")
    raise IndexError(text.text)


def host(text: str | None = None, status: Any = "ok", before: str | None = None) -> Replay:
    recording = Recording(1000.0, unlisted="absent")
    if text is not None:
        recording.answers["read /text"] = Answer("read /text", status, text.encode())
    if before is not None:
        recording.before = Recording(400.0)
        recording.before.answers["read /text"] = Answer("read /text", "ok", before.encode())
    return Replay(recording)


def one(check: Check[...], host: Host, profile: Profile | None = None) -> Result:
    (result,) = run([check], host, profile or Profile())
    return result


def test_a_fact_of_a_fact_is_given() -> None:
    assert one(short, host("hello")).status is Status.OK
    result = one(short, host("hello world"))
    assert result.status is Status.WARNING
    assert result.findings[0].key == "short/host/short"


def test_nothing_here_skips_and_cannot_see_is_unknown() -> None:
    assert (one(short, host()).status, one(short, host()).reason) == (Status.SKIPPED, "no text")
    blind = one(short, host("", "denied"))
    assert (blind.status, blind.reason, blind.fix) == (
        Status.UNKNOWN,
        "the text is there and cannot be read",
        "chmod",
    )
    assert [f.status for f in blind.findings] == [Status.UNKNOWN]


def test_growth_needs_an_earlier_moment() -> None:
    assert one(growth, host("abc")).findings[0].summary == "since boot"
    assert one(growth, host("abcdef", before="ab")).findings[0].summary == "4 in 600 s"


def test_an_optional_fact_is_none() -> None:
    assert one(maybe, host()).findings[0].summary == "none"
    assert one(maybe, host("", "timeout")).findings[0].summary == "none"


def test_a_check_that_breaks_half_way_claims_nothing() -> None:
    result = one(broken, host("x"))
    assert result.status is Status.UNKNOWN
    assert [f.status for f in result.findings] == [Status.UNKNOWN]
    assert "IndexError: x (test_engine.py:" in result.reason


def test_a_fact_is_read_once_and_facts_at_once() -> None:
    """On a live host facts are read in threads: two that wait for each other both come through."""
    barrier = threading.Barrier(2, timeout=20)
    reads: list[str] = []

    class Live(Replay):
        is_live = True

    class Left(Fact, frozen=True):
        @classmethod
        def read(cls, host: Host) -> Left:
            reads.append("left")
            barrier.wait()
            return cls()

    class Right(Fact, frozen=True):
        @classmethod
        def read(cls, host: Host) -> Right:
            reads.append("right")
            barrier.wait()
            return cls()

    def both(left: Any, right: Any) -> Iterator[Finding]:
        yield ok("both")

    both.__annotations__.update(left=Left, right=Right)
    declared = check(area="host", title="Both")(both)
    results = list(run([declared, declared], Live(Recording(0.0)), Profile()))
    assert [r.status for r in results] == [Status.OK, Status.OK]
    assert sorted(reads) == ["left", "right"]


def test_a_wrong_annotation_is_refused_when_the_check_is_declared() -> None:
    def wrong(text: str) -> Iterator[Finding]:
        yield ok(text)

    with pytest.raises(TypeError, match="wants a fact"):
        check(area="host", title="x")(wrong)
    with pytest.raises(ValueError, match="area"):
        check(area="nowhere", title="x")(maybe.function)
    with pytest.raises(ValueError, match="parameter"):
        check(area="host", title="x", params=("GPU", "WHAT"))(maybe.function)


CHECKS: dict[str, Check[...]] = {"short": short, "growth": growth}


def test_profiles_set_thresholds_and_leave_out_with_a_reason() -> None:
    profile = parse("p", {"checks": {"short": {"limit": 50}}, "skip": {"growth": "not here"}}, CHECKS)
    assert one(short, host("hello world"), profile).status is Status.OK
    assert one(growth, host("x"), profile).reason == "left out by profile p: not here"


def test_a_check_is_told_what_the_profile_says_should_be_there() -> None:
    profile = parse("p", {"hardware": {"gpus": 4}}, CHECKS)
    assert one(counted, host("x"), profile).findings[0].summary == "4 wanted"
    assert one(counted, host("x"), Profile()).status is Status.OK


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"checks": {"shrot": {}}}, "no such check: shrot; do you mean short?"),
        ({"checks": {"short": {"limt": 3}}}, "no such threshold of short: limt; do you mean limit?"),
        ({"checks": {"short": {"limit": "3"}}}, "wanted is a value like 5"),
        ({"checks": {"short": {"limit": True}}}, "wanted is a value like 5"),
        ({"skip": {"short": " "}}, "skip needs a reason"),
        ({"chekcs": {}}, "no such key: chekcs"),
        ({"hardware": {"gpu": 4}}, "unknown field `gpu` - at `$.hardware`"),
        ({"hardware": {"gpus": -1}}, "$.hardware.gpus"),
        ({"skip": ["short"]}, "$.skip"),
    ],
)
def test_a_wrong_profile_is_named(table: dict[str, Any], said: str) -> None:
    with pytest.raises(WrongProfile) as error:
        parse("p", table, CHECKS)
    assert said in str(error.value)


def result(id: str, *findings: Finding) -> Result:
    from msgspec.structs import replace

    named = [replace(f, key=f"{id}/{f.subject}/x") for f in findings]
    return Result(id=id, area="gpu", title="", status=Status.WARNING, duration_s=0, findings=named)


def caused(cause: Finding, effect: Finding, *, explained_by: bool = False, **declared: Any) -> str:
    def cause_check() -> Iterator[Finding]:
        yield cause

    def effect_check() -> Iterator[Finding]:
        yield effect

    checks: dict[str, Check[...]] = {
        "cause_check": check(area="gpu", title="", **declared)(cause_check),
        "effect_check": check(area="gpu", title="")(effect_check),
    }
    if explained_by:
        checks["effect_check"] = check(area="gpu", title="", explained_by=("cause_check",))(effect_check)
    folded = fold([result("cause_check", cause), result("effect_check", effect)], checks)
    return folded[1].findings[0].caused_by


def test_a_finding_folds_under_its_cause_on_the_same_subject() -> None:
    hot, slow = critical("hot", subject="GPU 1"), warning("slow", subject="GPU 1")
    assert caused(hot, slow, explains=("effect_check",)) == "cause_check/GPU 1/x"
    assert caused(hot, slow) == "", "not declared"
    assert caused(hot, warning("slow", subject="GPU 2"), explains=("effect_check",)) == "", "another GPU"
    cover = critical("hot", subject="GPU 1", covers=["GPU 2"])
    assert caused(cover, warning("slow", subject="GPU 2"), explains=("effect_check",)) != ""
    everything = critical("hot", subject="rack", covers=["host"])
    assert caused(everything, warning("slow", subject="GPU 2"), explains=("effect_check",)) != ""
    assert caused(ok("fine", subject="GPU 1"), slow, explains=("effect_check",)) == "", "what is fine explains nothing"


def test_one_for_several_folds_under_the_cause_of_all_or_of_any_where_its_check_says_so() -> None:
    lost, both = critical("lost", subject="GPU 1"), critical("both", covers=["GPU 1", "GPU 2"])
    hang = warning("hangs", covers=["GPU 1", "GPU 2"])
    assert caused(lost, hang, explained_by=True) != ""
    assert caused(critical("lost", subject="GPU 3"), hang, explained_by=True) == "", "of another job"
    assert caused(lost, hang, explains=("effect_check",)) == "", "the other GPU is not explained by it"
    assert caused(both, hang, explains=("effect_check",)) != ""
    assert caused(lost, warning("of the host"), explained_by=True) == "", "covers nothing"


def test_two_that_explain_each_other_do_not_hide_each_other() -> None:
    hot, slow = critical("hot", subject="GPU 1"), warning("slow", subject="GPU 1")

    def one() -> Iterator[Finding]:
        yield hot

    def two() -> Iterator[Finding]:
        yield slow

    checks: dict[str, Check[...]] = {
        "one": check(area="gpu", title="", explains=("two",))(one),
        "two": check(area="gpu", title="", explains=("one",))(two),
    }
    folded = fold([result("one", hot), result("two", slow)], checks)
    assert [r.findings[0].caused_by for r in folded].count("") == 1


def test_values_that_do_not_fit_their_parameter_are_left_out() -> None:
    hostile = {"POOL": "tank; rm -rf /", "PID": "-1", "GPU": "3", "NIC": ""}
    assert finding(Status.OK, "x", params=hostile).params == {}
    assert finding(Status.OK, "x", params={"POOL": "tank", "GPU": "0000:1b:00.0"}).params == {
        "POOL": "tank",
        "GPU": "0000:1b:00.0",
    }
    assert not parameter_fits("POOL", "-f")
    assert not parameter_fits("POOL", "tank\n")
    assert parameter_fits("DATA_PATH", "/data")
    assert not parameter_fits("_PATH", "/data")


def test_subjects_are_written_one_way() -> None:
    assert gpu_subject(3, "0000:1B:00.0") == "GPU 3 (1b:00.0)"
    assert gpu_subject(None, "0001:1b:00.0") == "GPU 0001:1b:00.0"
