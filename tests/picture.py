"""Draws docs/screen.svg, the picture in the README: the demo at 100x30. Run `python -m tests.picture` to renew it."""

from __future__ import annotations

import re

from msgspec.structs import replace

from mlopsdoc.tui import wire

from .program import REPOSITORY
from .test_tui import Stage, bad_night, play

OUTSIDE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)  # fonts that a reader's browser would fetch from elsewhere


def main() -> None:
    """Write the picture, as if the recording was two hours old."""
    plan, made = bad_night()
    sources = [replace(source, path="", age_s=7200.0) for source in made.report.sources]

    async def story(stage: Stage) -> None:
        await stage.sees("[X]", "slowed down", "hurts", "Meaning")
        await stage.pilot.pause(0.5)
        picture = OUTSIDE.sub("", stage.app.export_screenshot())
        (REPOSITORY / "docs").mkdir(exist_ok=True)
        (REPOSITORY / "docs/screen.svg").write_text(picture)

    play(story, plan, wire.Made(replace(made.report, sources=sources)), at=(100, 30))


if __name__ == "__main__":
    main()
