"""Hostile text in everything that the screen draws, on a real terminal: none of it gets there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from msgspec.structs import replace

from mlopsdoc.model import AREAS, Evidence, Finding, HostInfo, Hurt, Mute, Result, Status
from mlopsdoc.tui import wire

from .terminal import Terminal
from .test_tui import ALLOWED, HOSTILE, plan_of, report

EVERYTHING = "".join(HOSTILE)
BOOK = f"""# Ill {HOSTILE[0]}{HOSTILE[5]}

## Meaning

It is ill {EVERYTHING}.

## Diagnosis

### See it

```sh look timeout=10s
printf '\\033]52;c;aGk=\\007\\033[2J\\2331m\\r[@click=app.quit]x[/]\\n'
head -c 30000 /dev/urandom
echo through
```
"""


def hostile_result(n: int, text: str) -> Result:
    hurts = [Hurt(1, text, text, text)]
    found = Finding(
        key=f"k{n}", status=Status.CRITICAL, code="x", subject=text, summary=text, advice=text, since=text, hurts=hurts,
        covers=[], params={"POOL": text}, metrics={text: 1.0 * n}, evidence=[Evidence(text, text)], runbook="ill",
    )  # fmt: skip
    muted = replace(found, key=f"m{n}", muted=Mute(text, text, text))
    note = replace(found, key=f"n{n}", status=Status.OK)
    return Result(
        id=f"check{n}", area=AREAS[n % len(AREAS)], title=text, status=Status.CRITICAL, reason=text, fix=text,
        duration_s=0.0, findings=[found, muted, note],
    )  # fmt: skip


def staged(place: Path) -> Path:
    (place / "ill.md").write_text(BOOK, encoding="utf-8")
    host = HostInfo(EVERYTHING, product=EVERYTHING, os=EVERYTHING, gpus=EVERYTHING)
    made = replace(report(*map(hostile_result, range(len(HOSTILE)), HOSTILE)), host=host, sources=[])
    left_out = [
        Result(id=f"out{n}", area="host", title=text, status=status, reason=text, fix=text, duration_s=0.0, findings=[])
        for n, text in enumerate(HOSTILE)
        for status in (Status.UNKNOWN,)
    ]
    later = replace(made, taken_at="2026-11-23T03:11:00Z", checks=[*made.checks[1:], *left_out])
    said: list[wire.Said] = [
        plan_of(later, live=True, runbooks={"ill": str(place / "ill.md")}),
        wire.Came(made.checks[0]),
        wire.Made(made),
        wire.Devices([[text, text, text, text, text, text] for text in HOSTILE]),
        wire.Made(later),
        wire.Trouble(EVERYTHING),
    ]
    path = place / "said"
    path.write_bytes(b"".join([wire.packed(one) for one in said]))
    return path


def keys(terminal: Terminal, *typed: bytes) -> None:
    """One after the other, with the screen at rest between them."""
    for some in typed:
        os.write(terminal.master, some)
        terminal.rest(0.3)


def leave(terminal: Terminal) -> None:
    """Whether the step has ended by now or not; while it runs, it is asked."""
    seen = len(terminal.out)
    os.write(terminal.master, b"q")
    out = terminal.until(lambda out: b"Enter: stay" in out[seen:] or b"\x1b[?1049l" in out[seen:])
    if b"Enter: stay" in out[seen:]:
        os.write(terminal.master, b"s\r")


def test_nothing_hostile_reaches_the_terminal(tmp_path: Path) -> None:
    for columns, lines in ((80, 24), (160, 48)):
        program = [sys.executable, "-m", "tests.staged", str(staged(tmp_path))]
        terminal = Terminal(place=tmp_path, program=program, columns=columns, lines=lines)
        try:
            terminal.until(lambda out: b"x1b]52" in out and b"Runbook" in out)
            keys(terminal, *[b"j"] * 14, b"l", b"GGg", b"l", b"jG", b"b", b"GgG", b"h", b"i", b"GG", b"i", b"?", b"?")
            keys(terminal, b"/\x9b31m\xc2\x9bred[/x]\r", b"n", b":\xe2\x80\xae[@click=x]\r", b"\x15", b"h")
            keys(terminal, b"d/no/such[/]\r", b"/2J\r", b"gj", b"x", b"D")
            os.write(terminal.master, b"X")
            terminal.until(lambda out: b"through" in out)
            keys(terminal, b"g", b"G", b"y", b"S", b"h")
            leave(terminal)
            assert terminal.ended() == 0
        finally:
            terminal.close()
        rest = ALLOWED.sub(b"", terminal.out).decode()
        for drawn in "\u2502\u2581\u2588":
            rest = rest.replace(drawn, "|")
        assert rest.isprintable(), [char for char in rest if not char.isprintable()][:5]
        assert b"[@click=app.quit]" in terminal.out
