"""The screen over this machine with a clock that goes so many times as fast: hours of refreshing in minutes.

Run on a terminal, with the file in which the number of rounds is kept, and the speed.
"""

from __future__ import annotations

import sys
from pathlib import Path

from mlopsdoc.hosts import lanes
from mlopsdoc.tui import engine_process, open_screen
from mlopsdoc.tui.wire import Again


def main() -> None:
    counter, speed = Path(sys.argv[1]), float(sys.argv[2])
    setattr(lanes, "RULES", [rule._replace(fresh_s=rule.fresh_s / speed) for rule in lanes.RULES])  # noqa: B010
    engine_process.REST_S /= speed
    engine_process.KEEP_EVERY_S /= speed
    hold, held = getattr(engine_process.Examiner, "_round"), 0  # noqa: B009

    def counted(self: engine_process.Examiner, wish: Again | None) -> None:
        nonlocal held
        hold(self, wish)
        held += 1
        counter.write_text(f"{held}\n")

    setattr(engine_process.Examiner, "_round", counted)  # noqa: B010
    raise SystemExit(open_screen(None))


if __name__ == "__main__":
    main()
