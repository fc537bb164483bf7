"""``python -m mlopsdoc``."""

from mlopsdoc.cli import main

main()
