"""Importing less than a library asks for."""

from __future__ import annotations

import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without(modules: Mapping[str, ModuleType | None]) -> Generator[None, None, None]:
    """Import meanwhile as if these were not installed (None), or were what is given; those that are loaded stay."""
    absent = {name: module for name, module in modules.items() if name not in sys.modules}
    sys.modules.update(absent)  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
