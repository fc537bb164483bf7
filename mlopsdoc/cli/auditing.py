"""`audit show | verify`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlopsdoc.cli.output import NO_DATA, Stop, note, say

if TYPE_CHECKING:
    import argparse

    from mlopsdoc.audit import Log

HONEST = "whoever may write the log and audit.head can write both anew: only a copy elsewhere shows that"


def audit(arguments: argparse.Namespace) -> int:
    """Show which steps were run, or say whether the logs are as they were written."""
    from mlopsdoc import config
    from mlopsdoc.audit import logs

    known = logs(config.state_folders())
    found = [log for log in known if _may_be_read(log.path)]
    if not known:
        note("there is no audit log: nothing was run yet")
    try:
        return _verify(found) if arguments.verb == "verify" else _show(found, is_markdown=arguments.markdown)
    except OSError as error:
        raise Stop(NO_DATA, f"{error.filename}: {error.strerror}") from None


def _may_be_read(path: str) -> bool:
    """Root's log is for root."""
    if not (may := os.access(path, os.R_OK)):
        note(f"{path} may not be read by you")
    return may


def _verify(found: list[Log]) -> int:
    is_broken = False
    for log in found:
        problems = log.problems()
        is_broken |= bool(problems)
        whole = f"{log.path}: {len(log.lines())} lines, unbroken; {HONEST}\n"
        say("".join(f"{log.path}: {problem}\n" for problem in problems) or whole)
    return int(is_broken)


def _show(found: list[Log], *, is_markdown: bool) -> int:
    from mlopsdoc.audit import unended
    from mlopsdoc.report import steps
    from mlopsdoc.runner import family

    entries = [entry for log in found for entry in log.entries()]
    living = {one.run: [family.described(pid) for pid in family.of_run(one.run)] for one in unended(entries)}
    say((steps.audit_markdown if is_markdown else steps.audit_text)(entries, living))
    return 0
