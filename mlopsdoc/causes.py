"""What explains what: a finding is folded under another that is its cause. It keeps its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from mlopsdoc.authoring import Check
from mlopsdoc.model import HOST, Finding, Result


def fold(results: Sequence[Result], checks: Mapping[str, Check[...]]) -> list[Result]:
    """The results, with `caused_by` set on each finding that another one explains."""
    found = [(result.id, finding) for result in results for finding in result.findings]
    causes: dict[str, str] = {}
    for effect_check, effect in found:
        for cause_check, cause in found:
            if (
                cause.status.is_alarm
                and effect.status.is_trouble
                and _explains(checks, cause_check, effect_check)
                and _reaches(cause, effect, is_named=_names(checks, effect_check, cause_check))
                and not _leads_back(causes, cause.key, effect.key)
            ):
                causes[effect.key] = cause.key
                break
    return [
        replace(result, findings=[replace(f, caused_by=causes.get(f.key, "")) for f in result.findings])
        if any(f.key in causes for f in result.findings)
        else result
        for result in results
    ]


def _leads_back(causes: Mapping[str, str], cause: str, effect: str) -> bool:
    """Whether the cause is the effect itself or, through others, caused by it: each would hide the other."""
    while cause != effect:
        if cause not in causes:
            return False
        cause = causes[cause]
    return True


def _explains(checks: Mapping[str, Check[...]], cause: str, effect: str) -> bool:
    return (cause in checks and effect in checks[cause].explains) or _names(checks, effect, cause)


def _names(checks: Mapping[str, Check[...]], effect: str, cause: str) -> bool:
    """Whether the check of the effect names the other as its cause."""
    return effect in checks and cause in checks[effect].explained_by


def _reaches(cause: Finding, effect: Finding, *, is_named: bool) -> bool:
    """Whether it is of the same: of all that the effect covers, or of any of it where the effect's check says so.

    A job hangs for one GPU of its four; that all four are hot is not for the Xid of one.
    """
    reached = {cause.subject, *cause.covers}
    covers = set(effect.covers)
    is_covered = bool(covers & reached) if is_named else bool(covers) and covers <= reached
    return effect.subject in reached or HOST in cause.covers or is_covered
