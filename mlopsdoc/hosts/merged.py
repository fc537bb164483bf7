"""Several sources of one host: the first that has an answer wins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlopsdoc.hosts.base import read_key
from mlopsdoc.hosts.recorder import Recording

NAME, BOOT_ID = read_key("/proc/sys/kernel/hostname"), read_key("/proc/sys/kernel/random/boot_id")


class Differ(ValueError):
    """The sources are not of one host, or not of one boot: both names."""


def merge(sources: Sequence[tuple[str, Recording]]) -> Recording:
    """One recording of them all, each given with its name; raises Differ.

    Of two that were taken at different moments of one boot, the earlier becomes `before`.
    """
    if len(sources) == 1:
        return sources[0][1]
    _must_agree(sources, NAME, "host name")
    _must_agree(sources, BOOT_ID, "boot id")
    moments = sorted({r.taken_at for _, r in sources if _said(r, BOOT_ID) and r.taken_at and not r.is_lower_bound})
    earlier = [r for _, r in sources if len(moments) > 1 and _said(r, BOOT_ID) and r.taken_at < moments[-1]]
    late = [r for _, r in sources if r not in earlier]
    whole = _laid_over(late)
    whole.notes += _contradictions([(name, r) for name, r in sources if r in late])
    before = max(earlier, key=lambda r: r.taken_at, default=None)
    whole.profile = next((r.profile for r in late if r.profile), dict[str, Any]())
    whole.before = before or next((r.before for r in late if r.before), None)
    return whole


def _contradictions(sources: Sequence[tuple[str, Recording]]) -> list[str]:
    """A line for each source that says something else than an earlier one, which counts."""
    first: dict[str, bytes] = {}
    notes: list[str] = []
    for name, recording in sources:
        said = {key: answer.data for key, answer in recording.answers.items() if answer.said and key.startswith("run ")}
        other = [key.partition(" ")[2] for key, data in said.items() if first.get(key, data) != data]
        if other:
            notes.append(f"{name} has another answer to {', '.join(other[:5])}: an earlier source counts")
        first = said | first
    return notes


def _said(recording: Recording, key: str) -> str:
    answer = recording.answers.get(key)
    return answer.text.strip() if answer is not None and answer.said else ""


def _must_agree(sources: Sequence[tuple[str, Recording]], key: str, what: str) -> None:
    said = [(name, value) for name, recording in sources if (value := _said(recording, key))]
    for name, value in said[1:]:
        first, expected = said[0]
        if short_name(value) != short_name(expected):
            raise Differ(f"{first} and {name} are not of one host: {what} {expected} and {value}")


def short_name(name: str) -> str:
    """A host name without its domain."""
    return name.partition(".")[0].lower()


def _laid_over(recordings: Sequence[Recording]) -> Recording:
    """The answers of the first recording that has them; what it only has in part, another may have whole."""
    whole = Recording(max(r.taken_at for r in recordings), unlisted="not_captured")
    whole.is_lower_bound = all(r.is_lower_bound for r in recordings if r.taken_at)
    exact = [r.taken_at for r in recordings if r.taken_at and not r.is_lower_bound]
    if exact:
        whole.taken_at = exact[0]
    if all(r.unlisted == "absent" for r in recordings):
        whole.unlisted = "absent"
    whole.is_known = any(r.is_known for r in recordings)
    whole.complete = any(r.complete for r in recordings)
    for recording in recordings:
        for key, answer in recording.answers.items():
            known = whole.answers.get(key)
            if known is None or (known.status != "ok" and answer.status == "ok") or (not known.said and answer.said):
                whole.answers[key] = answer
        for key, paths in recording.trees.items():
            whole.trees.setdefault(key, paths)
        whole.notes += [note for note in recording.notes if note not in whole.notes]
    return whole
