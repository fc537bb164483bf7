"""A screen that is busy: every 2 s ten of the hundred numbers on it change. Run on a terminal, for the bench."""

from __future__ import annotations

import socket
import time
from itertools import count

from msgspec.structs import replace

from mlopsdoc.model import AREAS, Counts, Finding, HostInfo, Report, Result, Status, Tool, finding
from mlopsdoc.tui import wire

from .staged import show

CHECKS, NUMBERS, CHANGING = 20, 5, 10


def numbers(round_: int) -> list[int]:
    """A hundred numbers of two digits; each round ten others have moved on."""
    moved = [CHANGING * round_ // (CHECKS * NUMBERS)] * (CHECKS * NUMBERS)
    for n in range(CHANGING * round_ % (CHECKS * NUMBERS)):
        moved[7 * n % (CHECKS * NUMBERS)] += 1
    return [10 + (37 * n + 3 * moved[n]) % 90 for n in range(CHECKS * NUMBERS)]


def result(n: int, values: list[int]) -> Result:
    said: Finding = finding(Status.WARNING, " ".join(map(str, values)), subject=f"fan {n}")
    said = replace(said, key=f"fan_{n}/fan {n}/slow")
    return Result(
        id=f"fan_{n}", area=AREAS[0], title="Fans turn", status=Status.WARNING, duration_s=0.0, findings=[said]
    )


def report(round_: int) -> Report:
    rows = numbers(round_)
    checks = [result(n, rows[n * NUMBERS : (n + 1) * NUMBERS]) for n in range(CHECKS)]
    return Report(
        tool=Tool("mlopsdoc", "0"),
        host=HostInfo("gpu-17"),
        sources=[],
        taken_at="2026-11-23T03:10:00Z",
        duration_s=0.1,
        profile="generic",
        status=Status.WARNING,
        counts=Counts(),
        checks=checks,
    )


def engine(channel: socket.socket) -> None:
    wire.send(channel, wire.Plan(True, [wire.Planned(c.id, c.area, c.title) for c in report(0).checks], {}))
    for round_ in count():
        wire.send(channel, wire.Made(report(round_)))
        time.sleep(2)


if __name__ == "__main__":
    raise SystemExit(show(engine))
