"""Draws the pictures in the README, docs/screen.svg and docs/step.svg. Run `python -m tests.picture` to renew them."""

from __future__ import annotations

import re

from msgspec.structs import replace

from mlopsdoc.tui import wire

from .program import REPOSITORY
from .test_tui import Stage, bad_night, play

STEP = 5  # the first that changes something
OUTSIDE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # fonts that a reader's browser would fetch from elsewhere


def main() -> None:
    """The demo as if it was two hours old, and a step of its runbook as if it was this machine."""
    plan, made = bad_night()
    sources = [replace(source, path="", age_s=7200.0) for source in made.report.sources]

    async def screen(stage: Stage) -> None:
        await stage.sees("[X]", "slowed down", "hurts", "Meaning")
        await keep(stage, "screen")

    async def step(stage: Stage) -> None:
        await stage.sees("[X]", "slowed down", "hurts", "Meaning")
        await stage.press("x", *["right_square_bracket"] * STEP)
        await stage.sees(f">Step {STEP + 1} of", "X run")
        await keep(stage, "step")

    play(screen, plan, wire.Made(replace(made.report, sources=sources)), at=(100, 30))
    play(step, replace(plan, live=True), wire.Made(replace(made.report, sources=[])), at=(100, 24))


async def keep(stage: Stage, name: str) -> None:
    await stage.pilot.pause(0.5)
    (REPOSITORY / "docs").mkdir(exist_ok=True)
    (REPOSITORY / f"docs/{name}.svg").write_text(OUTSIDE.sub("", stage.app.export_screenshot()))


if __name__ == "__main__":
    main()
