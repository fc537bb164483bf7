"""The difference of two hosts or moments, as text, markdown or JSON."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from mlopsdoc.diff import Change, Diff
from mlopsdoc.report.markdown import plain

TITLES = {
    "check": "Checks",
    "finding": "Findings",
    "host": "Host",
    "versions": "Versions",
    "settings": "Settings",
    "topology": "Topology",
    "counters": "Counters",
}


def render(diff: Diff, format: str) -> str:
    """The form that is wanted: text, json or markdown."""
    if format == "json":
        return msgspec.json.encode(diff).decode() + "\n"
    lines = _markdown(diff) if format == "markdown" else _text(diff)
    return "".join(f"{line}\n" for line in lines)


def _headline(diff: Diff) -> str:
    names = diff.a.name or "host" if diff.same_host else f"{diff.a.name or 'host'} and {diff.b.name or 'host'}"
    are_known = diff.a.boot_id and diff.b.boot_id
    boot = ", booted anew between" if are_known and diff.same_host and not diff.same_boot else ""
    moments = " to ".join(moment or "an unknown time" for moment in (diff.taken_a, diff.taken_b))
    return f"{names}: {moments}{boot}"


def _verdict(diff: Diff) -> str:
    worse, better = (sum(c.how == how and c.what == "finding" for c in diff.changes) for how in ("worse", "better"))
    gone = sum(change.what == "check" and change.after == "skipped" for change in diff.changes)
    rest = f"{diff.folded} more answers differ as they do at every look"
    if not diff.changes:
        return f"nothing of meaning changed; {rest}"
    left = f"{gone} check{'s find' if gone != 1 else ' finds'} nothing to judge any more; " if gone else ""
    return f"{worse} finding{'s' if worse != 1 else ''} worse or new, {better} better or gone; {left}{rest}"


def _text(diff: Diff) -> Iterator[str]:
    yield _headline(diff)
    yield _verdict(diff)
    for what, title in TITLES.items():
        changes = [change for change in diff.changes if change.what == what]
        if changes:
            yield ""
            yield title.upper()
            yield from (f"  {line}" for same in _alike(changes) for line in _lines(same))


def _alike(changes: list[Change]) -> Iterator[list[Change]]:
    """Lines of one answer together, checks that neither got worse nor better, findings of many that say the same."""
    found: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        said = (change.how, change.before, change.after)
        key: tuple[str, ...] = (change.name,)
        if change.what == "finding":
            key = (change.name.rpartition("/")[0].partition("/")[2], *said)
        elif change.what == "check" and change.how == "changed":
            key = said
        found.setdefault(key, []).append(change)
    yield from found.values()


def _lines(same: list[Change]) -> Iterator[str]:
    """Of changes that are alike."""
    first = same[0]
    times = f" ({first.times} times)" if first.times > 1 else ""
    short = len(first.before) + len(first.after) < 60
    if first.how == "grown":
        yield f"{first.name}{times}: +{int(first.after) - int(first.before)} ({first.before} -> {first.after})"
    elif first.what == "check":
        yield f"{first.how:<7} {', '.join(change.name for change in same)}: {first.before} -> {first.after}"
    elif len(same) == 1 and short and first.before and first.after:
        yield f"{first.how:<7} {first.name}{times}: {first.before} -> {first.after}"
    elif first.what == "finding":
        others = f" and {len(same) - 1} other checks" if len(same) > 1 else ""
        yield f"{first.how:<7} {first.name}{others}"
        yield from _sides(first)
    else:
        how = first.how if len(same) == 1 else "changed"
        yield f"{how:<7} {first.name}{times}"
        yield from (line for change in same for line in _sides(change))


def _sides(change: Change) -> Iterator[str]:
    yield from (f"  - {change.before}",) if change.before else ()
    yield from (f"  + {change.after}",) if change.after else ()


def _markdown(diff: Diff) -> Iterator[str]:
    yield f"# {plain(_headline(diff))}"
    yield ""
    yield plain(_verdict(diff))
    if diff.changes:
        yield ""
        yield "| what | how | name | before | after |"
        yield "| --- | --- | --- | --- | --- |"
    for change in diff.changes:
        times = f" ({change.times} times)" if change.times > 1 else ""
        cells = (change.what, change.how, change.name + times, change.before, change.after)
        yield f"| {' | '.join(map(plain, cells))} |"
