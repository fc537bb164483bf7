"""A runbook for a terminal, as a page, and the catalogue of all of them. (As markdown it is its own file.)"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from mlopsdoc.model import PARAMETERS, SITE_PARAMETERS
from mlopsdoc.runbook.markdown import Block
from mlopsdoc.runbook.parse import Runbook
from mlopsdoc.runbook.step import TOUCHES, Step, about, misfit

_LITERAL = ("command", "undo", "code", "table")


def render_text(runbook: Runbook, params: Mapping[str, str], *, width: int = 80) -> str:
    """Prose wrapped at `width` columns; steps numbered, before each command the values that are pasted with it."""
    from shlex import quote

    width = max(width, 40)
    values = "".join(f" --set {name}={quote(value)}" for name, value in params.items() if not misfit(name, value))
    run = f"mlopsdoc runbook run {runbook.name}{values} --step ID"
    lines = [*_wrapped(runbook.title, width), f"(a step is run by: {run})", "", *_prose(runbook.blocks, width)]
    numbers = {step.id: number for number, step in enumerate(runbook.steps, 1)}
    for section in runbook.sections:
        lines += [section.title.upper(), ""] if section.title else []
        lines += _prose(section.blocks, width, "  ")
        for step in section.steps:
            lines += _step(step, numbers[step.id], params, width)
    return "\n".join(lines).rstrip("\n") + "\n"


def _wrapped(text: str, width: int, first: str = "", rest: str = "") -> list[str]:
    from textwrap import wrap

    return wrap(
        text, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )


def _prose(blocks: Iterable[Block], width: int, margin: str = "") -> Iterator[str]:
    """Blocks with an empty line after each, but not between the items of a list."""
    before = ""
    for block in blocks:
        if before and not (block.kind == before == "item"):
            yield ""
        before = block.kind
        inner = margin + " " * min(block.indent, 12)
        if block.kind in _LITERAL:
            yield from (f"{inner}    {line}".rstrip() for line in block.text.split("\n"))
        else:
            mark = {"item": f"{block.marker} ", "quote": "> "}.get(block.kind, "")
            rest = mark if block.kind == "quote" else " " * len(mark)
            yield from _wrapped(block.text, width, inner + mark, inner + rest)
    if before:
        yield ""


def _step(step: Step, number: int, params: Mapping[str, str], width: int) -> Iterator[str]:
    head = f"  {number}. "
    yield from _wrapped(f"{step.title}  [{', '.join(manner(step))}]", width, head, " " * len(head))
    if step.command:
        yield f"     {step.id}"
    yield ""
    for block in step.blocks:
        if block.kind == "undo":
            yield from ("     to go back:", "")
        if block.kind in ("command", "undo"):
            yield from (f"         {line}" for line in _before(step, params, is_undo=block.kind == "undo"))
        yield from _prose((block,), width, "     ")


def _before(step: Step, params: Mapping[str, str], *, is_undo: bool) -> Iterator[str]:
    """What is pasted before a command: a root shell first, for sudo empties the environment, then the values."""
    if step.undo_root if is_undo else step.root:
        yield "# in a shell of root: sudo -s"
    for name in step.undo_uses if is_undo else step.uses:
        yield value(name, params)


def manner(step: Step) -> list[str]:
    """What a step may do and needs, in words: "tune", "as root", "no undo"."""
    if not step.command:
        return ["by hand"]
    words = [step.touch, "as root" if step.root else "", "no way back" if step.no_undo else ""]
    return [word for word in words if word]


def value(name: str, params: Mapping[str, str]) -> str:
    """``export POOL=tank``, quoted for a shell; or as a remark, without the value, that it is missing or unfit."""
    from shlex import quote

    if not misfit(name, params.get(name)):
        return f"export {name}={quote(params[name])}"
    return f"# {name}=?  {'is not what was given: ' if name in params else ''}{about(name)}"


def render_html(runbook: Runbook) -> str:
    """One page without style or script. All text is escaped; links lead to web pages and relative files only."""
    body = [f"<h1>{_inline(runbook.title)}</h1>", *_html_blocks(runbook.blocks)]
    for section in runbook.sections:
        body += [f"<h2>{_inline(section.title)}</h2>"] if section.title else []
        body += _html_blocks(section.blocks)
        for step in section.steps:
            body.append(f'<h3 id="{_escaped(step.id)}">{_inline(step.title)}</h3>')
            body.append(f"<p><em>{_escaped(', '.join(manner(step)))}</em></p>")
            body += _html_blocks(step.blocks)
    title = _escaped(runbook.title)
    head = f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title></head>'
    return "\n".join([head, "<body>", *body, "</body>", "</html>", ""])


def _html_blocks(blocks: Iterable[Block]) -> Iterator[str]:
    listed = ""
    for block in blocks:
        wanted = "" if block.kind != "item" else "ul" if block.marker in "-*+" else "ol"
        if wanted != listed:
            yield from ([f"</{listed}>"] if listed else []) + ([f"<{wanted}>"] if wanted else [])
            listed = wanted
        yield _html(block)
    if listed:
        yield f"</{listed}>"


def _html(block: Block) -> str:
    if block.kind in _LITERAL:
        before = "<p>To go back:</p>\n" if block.kind == "undo" else ""
        return f'{before}<pre class="{block.kind}"><code>{_escaped(block.text)}</code></pre>'
    tag = {"item": "li", "quote": "blockquote", "heading": "h4"}.get(block.kind, "p")
    return f"<{tag}>{_inline(block.text)}</{tag}>"


def _escaped(text: str) -> str:
    from html import escape

    return escape(text)


@cache
def _marks() -> re.Pattern[str]:
    return re.compile(r"`([^`]{1,500})`|\*\*([^*]{1,500})\*\*|\[([^\[\]]{1,500})\]\(([^()\s<>]{1,2000})\)")


def _inline(text: str) -> str:
    """Code, strong words and links of a line; everything else is text."""
    parts: list[str] = []
    at = 0
    for found in _marks().finditer(text):
        parts.append(_escaped(text[at : found.start()]))
        at = found.end()
        code, strong, words, target = found.groups()
        if code:
            parts.append(f"<code>{_escaped(code)}</code>")
        elif strong:
            parts.append(f"<strong>{_escaped(strong)}</strong>")
        elif target.lower().startswith(("https://", "http://")) or ":" not in target:
            parts.append(f'<a href="{_escaped(target)}">{_escaped(words)}</a>')
        else:
            parts.append(_escaped(found[0]))
    return "".join([*parts, _escaped(text[at:])])


def catalogue(runbooks: Iterable[Runbook]) -> str:
    """runbooks/README.md: how a runbook is written, and which there are."""
    rows = [
        f"| [{book.name}]({book.name}.md) | {_cell(book.title)} | {_steps(book)} | {', '.join(book.params)} |"
        for book in sorted(runbooks, key=lambda book: book.name)
    ]
    names = [f"| `{name}` | {_cell(about(name))} |" for name in PARAMETERS]
    names += [f"| `...{end}` | {_cell(about(end))}, of a site's own |" for end in SITE_PARAMETERS]
    return README.format(runbooks="\n".join(rows), parameters="\n".join(names))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _steps(book: Runbook) -> str:
    """``2 look, 1 kills``."""
    counts = {touch: sum(step.touch == touch for step in book.steps) for touch in TOUCHES}
    return ", ".join(f"{count} {touch}" for touch, count in counts.items() if count)


README = """# Runbooks

One file a subject, with the name of the check that it serves. `mlopsdoc runbook show NAME` prints one with the values
of a finding filled in, `mlopsdoc runbook lint` says what is wrong with one. This page is made by `make docs`.

| runbook | the problem | steps | values |
| --- | --- | --- | --- |
{runbooks}

## How one is written

Plain markdown that reads well anywhere: `#` the problem, then `## Meaning`, `## Impact`, `## Diagnosis`,
`## Mitigation`, `## Verify`. A step is a `###` heading, a sentence that says what it is for, and one command; below it
what a healthy answer looks like. Its id is its heading in small letters, words joined by dashes.

````markdown
### Start a scrub

Reads run slower while it works, some hours on a large pool.

```sh tune needs=root timeout=30s verify=zfs_scrub
zpool scrub "$POOL"
```

```sh undo
zpool scrub -s "$POOL"
```
````

The first word after `sh` says what the command may do:

| word | what it does | how it is run |
| --- | --- | --- |
| `look` | changes nothing | on a key |
| `tune` | changes a setting | asks |
| `jobs` | may slow or disturb running jobs | asks, and lists whom it hurts |
| `kills` | ends jobs, restarts something, or loses data | wants a typed word |

| attribute | meaning | without it |
| --- | --- | --- |
| `needs=root` | is run as root | as you |
| `timeout=60s` | is ended after that time (`s`, `m`, `h`) | 60s |
| `verify=CHECK` | the check that must be ok afterwards, asked until it is | none |
| `within=5m` | how long that may take | 60s |
| `on_hup=finish` or `stop` | what becomes of it when the terminal dies | `stop` for look, else `finish` |
| `undo=none` | there is no way back; the prose says why | a fence `sh undo` says how to go back |

A command is run as `/bin/sh -euc TEXT`, so the first failure ends it. Values reach it through the environment only,
as `"$POOL"` in double quotes; the text is never edited. The name of a value is its type:

| name | what it is |
| --- | --- |
{parameters}
"""
