"""Pages that are made from the code. `make docs` writes them; a test says when they are stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from mlopsdoc import describe, examination, runbook
from mlopsdoc.report import json as report_json
from mlopsdoc.report import runbooks as report_runbooks

from .program import REPOSITORY


def pages() -> Iterator[tuple[Path, str]]:
    """Each generated file and what it should hold."""
    setup = examination.set_up(site=False)
    yield REPOSITORY / "checks/README.md", describe.catalogue(setup.checks)
    runbooks = [runbook.parse(name, Path(path).read_text()) for name, path in sorted(setup.catalog.runbooks.items())]
    yield REPOSITORY / "runbooks/README.md", report_runbooks.catalogue(runbooks)
    yield REPOSITORY / "mlopsdoc/report/schema.json", report_json.schema()


def main() -> None:
    for path, text in pages():
        stale = not path.exists() or path.read_text() != text
        if stale and "--write" in sys.argv:
            path.write_text(text)
        print(f"{'written' if stale else 'current'}  {path.relative_to(REPOSITORY)}")


if __name__ == "__main__":
    main()
