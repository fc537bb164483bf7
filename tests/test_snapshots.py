"""Every folder of snapshots/, replayed: the verdicts that its expect.toml names, and silence elsewhere."""

from pathlib import Path

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts import snapshot
from mlopsdoc.hosts.recorder import Replay
from mlopsdoc.model import Result, Status
from mlopsdoc.profile import parse

FOLDERS = sorted(path.parent for path in Path(catalog.shipped("snapshots")).glob("*/SNAPSHOT"))
QUIET = (Status.OK, Status.SKIPPED)


def judged(folder: Path) -> dict[str, Result]:
    host = Replay(snapshot.load(str(folder)))
    checks = catalog.find(drop_ins=False).checks
    profile = parse("its own", host.recording.profile, checks)
    return {result.id: result for result in run(checks.values(), host, profile)}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
def test_snapshot(folder: Path) -> None:
    expected = snapshot.expectations(str(folder))
    results = judged(folder)
    verdicts = expected.verdicts
    assert {id: results[id].status.value for id in verdicts} == verdicts
    loud = {id: [found.summary for found in r.findings] for id, r in results.items() if r.status not in QUIET}
    assert set(loud) <= set(verdicts), f"not expected: { ({id: loud[id] for id in set(loud) - set(verdicts)}) }"
    for id, sentences in expected.says.items():
        said = "\n".join(f"{f.status.value} {f.subject}: {f.summary} | {f.advice}" for f in results[id].findings)
        said += "\n" + results[id].reason
        for sentence in sentences:
            assert sentence in said
    if expected.healthy:
        assert not loud
