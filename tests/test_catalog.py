"""What every check and runbook owes, and that generated pages are current."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlopsdoc import catalog, examination
from mlopsdoc.hosts import snapshot
from mlopsdoc.model import AREAS

from .generated import pages
from .program import REPOSITORY

FOUND = catalog.find(drop_ins=False)
EXPECTED: dict[str, snapshot.Expect] = {
    path.parent.name: snapshot.expectations(str(path.parent)) for path in REPOSITORY.glob("snapshots/*/expect.toml")
}


def test_everything_loads() -> None:
    assert FOUND.refused == {}
    assert FOUND.checks


@pytest.mark.parametrize("check", FOUND.checks.values(), ids=lambda check: check.id)
def test_a_check_owes(check: Any) -> None:
    assert check.area in AREAS
    assert check.doc, "a docstring that says why it matters"
    assert not check.title.endswith("."), "a title is the healthy case, without a full stop"
    assert check.runbook == check.id, "a runbook of the same stem"
    tripped = [name for name, about in EXPECTED.items() if about.verdicts.get(check.id) in ("warning", "critical")]
    assert tripped, "a snapshot that trips it"
    for other in (*check.explains, *check.explained_by):
        assert isinstance(other, str)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_snapshot_owes(name: str) -> None:
    about = EXPECTED[name]
    assert about.about, "what is to be seen on this host"
    assert about.healthy or about.verdicts, "what is expected of it"
    assert set(about.verdicts) | set(about.says) <= set(FOUND.checks)


def test_there_is_a_healthy_host_and_a_demo() -> None:
    assert EXPECTED["reference"].healthy
    assert [name for name, about in EXPECTED.items() if about.demo] == ["bad_night"]


@pytest.mark.parametrize(("path", "text"), list(pages()), ids=lambda value: getattr(value, "name", ""))
def test_generated_pages_are_current(path: Path, text: str) -> None:
    assert path.read_text() == text, "run `make docs`"


def test_selections() -> None:
    def ids(*words: str) -> list[str]:
        return [check.id for check in examination.selected(FOUND, words)]

    assert ids("gpu_thermal") == ["gpu_thermal"]
    assert ids("storage") == sorted(check.id for check in FOUND.checks.values() if check.area == "storage")
    assert ids("*_thermal", "gpu") == ids("gpu", "*_thermal")
    assert ids() == ids("*")
    with pytest.raises(examination.NoSuchCheck, match="do you mean zfs_scrub"):
        ids("zfs_srcub")
