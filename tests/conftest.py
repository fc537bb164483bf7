"""Fixtures that several tests share."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from . import fake_nvml


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the fake NVML."""
    if shutil.which("gcc") is None:
        pytest.skip("the fake NVML is compiled with gcc, which is not installed")
    return fake_nvml.build(tmp_path_factory.mktemp("nvml"))
