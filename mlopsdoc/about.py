"""What a bug report needs: versions and places."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator

from mlopsdoc import __version__, catalog, config

LIBRARIES = ("textual", "nvidia-ml-py", "psutil", "py-cpuinfo", "pyudev", "sh", "msgspec")


def details() -> Iterator[tuple[str, str]]:
    """Name and value, one a line."""
    from importlib.metadata import PackageNotFoundError, version

    yield "version", __version__
    yield "installed in", os.path.dirname(os.path.abspath(__file__))
    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "kernel", " ".join(platform.uname()[0:5:2])
    for name in LIBRARIES:
        try:
            yield name, version(name)
        except PackageNotFoundError:
            yield name, "not installed"
    yield "user", str(os.geteuid())
    yield "state", ", ".join(config.state_folders()) or "none"
    for folder in config.config_folders():
        yield "config", folder or "none"
    found = catalog.find()
    yield "checks", f"{len(found.checks)} loaded, {len(found.refused)} refused"
    for path, why in found.refused.items():
        yield "refused", f"{path}: {why}"
