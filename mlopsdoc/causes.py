"""What explains what: a finding is folded under another that is its cause. It keeps its status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from msgspec.structs import replace

from mlopsdoc.authoring import Check
from mlopsdoc.model import HOST, Finding, Result


def fold(results: Sequence[Result], checks: Mapping[str, Check[...]]) -> list[Result]:
    """The results, with `caused_by` set on each finding that another one explains."""
    alarms = [(result.id, found) for result in results for found in result.findings if found.status.is_alarm]
    return [
        replace(result, findings=[_caused(result.id, found, alarms, checks) for found in result.findings])
        if result.findings
        else result
        for result in results
    ]


def _caused(
    check: str, found: Finding, alarms: Iterable[tuple[str, Finding]], checks: Mapping[str, Check[...]]
) -> Finding:
    if not found.status.is_trouble:
        return found
    for causing, cause in alarms:
        if cause.key != found.key and _explains(checks, causing, check) and _reaches(cause, found.subject):
            return replace(found, caused_by=cause.key)
    return found


def _explains(checks: Mapping[str, Check[...]], cause: str, effect: str) -> bool:
    return (cause in checks and effect in checks[cause].explains) or (
        effect in checks and cause in checks[effect].explained_by
    )


def _reaches(cause: Finding, subject: str) -> bool:
    return subject == cause.subject or subject in cause.covers or HOST in cause.covers
