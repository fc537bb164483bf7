"""What makes a run of cron cheap. Call it once the nursery is forked, and before the rest is imported."""

from __future__ import annotations

import os
import sys
from importlib import import_module

from mlopsdoc.imports import without


def cheaply() -> None:
    """Import as little as can be, and compile nothing twice."""
    _load_msgspec()
    if not os.path.exists(__spec__.cached or ""):
        _keep_bytecode()


def _load_msgspec() -> None:
    """As if typing_extensions were not there: all that msgspec takes of it is in typing, and it costs half a start."""
    with without({"typing_extensions": None}):
        import_module("msgspec")


def _keep_bytecode() -> None:
    """In the state folder, where it cannot lie beside the sources: to compile those is half of a run."""
    from mlopsdoc import config

    for state in config.state_folders()[:1]:
        folder = f"{state}/bytecode"
        try:
            os.makedirs(folder, 0o700, exist_ok=True)
            if not config.distrust(folder):
                sys.pycache_prefix, sys.dont_write_bytecode = folder, False
        except OSError:
            pass
