"""Pages that are made from the code. `make docs` writes them; a test says when they are stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec.structs import replace

from mlopsdoc import catalog, describe, examination, opening
from mlopsdoc.engine import Ledger
from mlopsdoc.report import json as report_json
from mlopsdoc.report import runbooks as report_runbooks
from mlopsdoc.report import text
from mlopsdoc.runbook.parse import load

from .program import REPOSITORY


def pages() -> Iterator[tuple[Path, str]]:
    """Each generated file and what it should hold."""
    setup = examination.set_up(site=False)
    yield REPOSITORY / "checks/README.md", describe.catalogue(setup.checks)
    runbooks = [load(path) for _, path in sorted(setup.catalog.runbooks.items())]
    yield REPOSITORY / "runbooks/README.md", report_runbooks.catalogue(runbooks)
    yield REPOSITORY / "README.md", readme()
    yield REPOSITORY / "mlopsdoc/report/schema.json", report_json.schema()


def readme() -> str:
    """README.md with the text report of the demo between its marks, as if it were read two hours later."""
    setup = examination.set_up(site=False)
    host, source = opening.recording(f"{catalog.shipped('snapshots')}/bad_night")
    ledger = Ledger(host)
    results = list(examination.examine(setup, ledger))
    source = replace(source, path="bad_night", age_s=7200.0)
    report = text.render(examination.report(setup, ledger, results, [source], 0.0))
    before, mark, rest = (REPOSITORY / "README.md").read_text().partition("<!-- demo -->\n")
    _, end, after = rest.partition("<!-- /demo -->\n")
    return f"{before}{mark}```\n{report}```\n{end}{after}"


def main() -> None:
    for path, wanted in pages():
        stale = not path.exists() or path.read_text() != wanted
        if stale and "--write" in sys.argv:
            path.write_text(wanted)
        print(f"{'written' if stale else 'current'}  {path.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
