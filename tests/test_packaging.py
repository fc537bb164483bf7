"""A wheel, installed elsewhere, finds the checks, runbooks and snapshots that the checkout has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .program import REPOSITORY, environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mlopsdoc command of a fresh environment that has only the wheel (and sees our libraries)."""
    place = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(place), str(_copy(place))], check=True)
    (wheel,) = place.glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place / "venv")], check=True)
    python = place / "venv/bin/python"
    subprocess.run([*pip[:2], "pip", "--python", str(python), "install", "-q", "--no-deps", str(wheel)], check=True)
    (library,) = place.glob("venv/lib/python*/site-packages")
    ours = next(path for path in map(Path, sys.path) if path.name == "site-packages" and (path / "msgspec").is_dir())
    for name in ("msgspec", "textual", "rich", "psutil", "tomli"):
        if (ours / name).exists() and not (library / name).exists():
            (library / name).symlink_to(ours / name)
    return place / "venv/bin/mlopsdoc"


def _copy(place: Path) -> Path:
    """The checkout without what a build leaves behind, so that the wheel holds only what is in the project."""
    copy = place / "source"
    names = ["pyproject.toml", "README.md", "LICENSE", "mlopsdoc", "checks", "runbooks", "snapshots"]
    copy.mkdir()
    subprocess.run(["cp", "-r", *(str(REPOSITORY / name) for name in names), str(copy)], check=True)
    for cache in copy.rglob("__pycache__"):
        subprocess.run(["rm", "-rf", str(cache)], check=True)
    return copy


def say(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    env = environment(place)
    del env["PYTHONPATH"]
    return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, check=False)


def test_the_wheel_has_the_checks_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    wheel = say([str(installed), "list"], tmp_path)
    checkout = subprocess.run(
        [sys.executable, "-m", "mlopsdoc", "list"],
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert wheel.stdout == checkout.stdout
    assert wheel.stdout.count("\n") >= 4


def test_the_wheel_has_runbooks_and_the_demo(installed: Path, tmp_path: Path) -> None:
    assert "POOL" in say([str(installed), "runbook", "show", "zfs_scrub"], tmp_path).stdout
    demo = say([str(installed), "demo"], tmp_path)
    assert demo.returncode == 2
    assert "CRITICAL" in demo.stdout


def test_the_wheel_has_only_the_snapshots_it_needs(installed: Path) -> None:
    (folder,) = installed.parent.parent.glob("lib/python*/site-packages/mlopsdoc/snapshots")
    assert sorted(path.name for path in folder.iterdir()) == ["bad_night", "reference"]


def test_the_wheel_judges_this_machine(installed: Path, tmp_path: Path) -> None:
    ended = say([str(installed), "check", "--json"], tmp_path)
    assert ended.returncode in (0, 1, 2, 3)
    assert ended.stdout.startswith('{"schema":"mlopsdoc.report/1"')


@pytest.mark.parametrize("folder_mode", [0o700, 0o777])
def test_bytecode_that_cannot_lie_beside_the_sources_lies_in_a_state_folder_that_is_ours(
    tmp_path: Path, folder_mode: int
) -> None:
    source, bytecode = _copy(tmp_path), tmp_path / "state/bytecode"
    bytecode.mkdir(parents=True)
    bytecode.chmod(folder_mode)
    env = environment(tmp_path, PYTHONPATH=str(source), PYTHONDONTWRITEBYTECODE="1")
    command = [sys.executable, "-m", "mlopsdoc", "check", "zfs_scrub", "--json"]
    subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
    kept = {path.name.partition(".")[0] for path in bytecode.rglob("*.pyc")}
    assert {"engine", "zfs_scrub"} <= kept if folder_mode == 0o700 else not kept
    assert not list(source.rglob("*.pyc"))
