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
    boot = "" if diff.same_boot or not diff.same_host else ", booted anew between"
    moments = " to ".join(moment or "an unknown time" for moment in (diff.taken_a, diff.taken_b))
    return f"{names}: {moments}{boot}"


def _verdict(diff: Diff) -> str:
    worse, better = (sum(c.how == how and c.what == "finding" for c in diff.changes) for how in ("worse", "better"))
    rest = f"{diff.folded} more answers differ as they do at every look"
    if not diff.changes:
        return f"nothing of meaning changed; {rest}"
    return f"{worse} findings worse or new, {better} better or gone; {rest}"


def _text(diff: Diff) -> Iterator[str]:
    yield _headline(diff)
    yield _verdict(diff)
    for what, title in TITLES.items():
        changes = [change for change in diff.changes if change.what == what]
        if changes:
            yield ""
            yield title.upper()
            yield from (f"  {line}" for change in changes for line in _lines(change))


def _lines(change: Change) -> Iterator[str]:
    times = f" ({change.times} times)" if change.times > 1 else ""
    short = len(change.before) + len(change.after) < 60
    if change.how == "grown":
        grown = int(change.after) - int(change.before)
        yield f"{change.name}{times}: +{grown} ({change.before} -> {change.after})"
    elif short and change.before and change.after:
        yield f"{change.how:<7} {change.name}{times}: {change.before} -> {change.after}"
    else:
        yield f"{change.how:<7} {change.name}{times}"
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
