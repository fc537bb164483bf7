"""The program, started once more beside itself."""

from __future__ import annotations

import os
import sys

# Nothing is imported from the folder that the reader happens to be in: -m would.
_CODE = (
    "import sys; home = sys.argv.pop(1); sys.path[:] = [p for p in sys.path if p] + [home]; "
    "sys.argv[0] = 'mlopsdoc'; from mlopsdoc.cli import main; main()"
)


def program(*argv: str) -> list[str]:
    """The command that starts it with these arguments."""
    return [sys.executable, "-c", _CODE, os.path.dirname(os.path.dirname(os.path.abspath(__file__))), *argv]
