"""Checks and configuration in words: for `list`, `explain`, `config show` and the generated catalogue."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from mlopsdoc import config
from mlopsdoc.authoring import Check, Want
from mlopsdoc.examination import Setup


def rows(setup: Setup) -> list[dict[str, Any]]:
    """One row a check, for machines too."""
    return [
        {
            "id": check.id,
            "area": check.area,
            "title": check.title,
            "facts": [_want(want) for want in check.wants.values()],
            "thresholds": check.thresholds | setup.profile.thresholds.get(check.id, {}),
            "params": list(check.params),
            "runbook": check.runbook,
            "skipped": setup.profile.skip.get(check.id, ""),
            "origin": check.path,
        }
        for check in setup.checks
    ]


def _want(want: Want) -> str:
    name = want.fact.__name__
    return f"{name} before" if want.before else f"{name} if any" if want.optional else name


def explained(check: Check[...], setup: Setup) -> str:
    """What one check judges, why, and what may be set."""
    thresholds = check.thresholds | setup.profile.thresholds.get(check.id, {})
    lines = [f"{check.id} ({check.area}): {check.title}", "", *_paragraphs(check.doc), ""]
    lines += [f"reads       {', '.join(_want(want) for want in check.wants.values())}"]
    lines += [f"threshold   {name} = {json.dumps(value)}" for name, value in thresholds.items()]
    lines += [f"supplies    {', '.join(check.params)}"] if check.params else []
    lines += [f"explains    {', '.join(check.explains)}"] if check.explains else []
    lines += [f"left out    {setup.profile.skip[check.id]}"] if check.id in setup.profile.skip else []
    lines += [f"runbook     mlopsdoc runbook show {check.runbook}"] if check.runbook else []
    lines += [f"defined in  {check.path}"]
    return "".join(f"{line}\n" for line in lines)


def _paragraphs(doc: str) -> Iterable[str]:
    return (line.removeprefix("    ") for line in doc.splitlines())


def catalogue(checks: Iterable[Check[...]]) -> str:
    """checks/README.md."""
    lines = [
        "# Checks",
        "",
        "One file a check; `mlopsdoc explain CHECK` prints what it judges and why.",
        "This page is made by `make docs`.",
        "",
        "| check | area | the healthy case | reads | thresholds | runbook |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for check in checks:
        facts = ", ".join(_want(want) for want in check.wants.values())
        thresholds = ", ".join(f"{name} = {json.dumps(value)}" for name, value in check.thresholds.items())
        runbook = f"[{check.runbook}](../runbooks/{check.runbook}.md)" if check.runbook else ""
        lines.append(
            f"| [{check.id}]({check.id}.py) | {check.area} | {check.title} | {facts} | {thresholds} | {runbook} |"
        )
    return "".join(f"{line}\n" for line in lines)


def configuration(setup: Setup) -> str:
    """Which files count, what they say together, and what is wrong with them."""
    lines: list[str] = []
    for folder in config.config_folders():
        path = f"{folder}/config.toml"
        lines.append(f"# {path}{'' if os.path.exists(path) else ' (not there)'}")
    lines += [f"# wrong: {problem}" for problem in setup.problems]
    lines += [f"# state is kept in {', '.join(config.state_folders()) or 'no folder'}"]
    lines += [f"profile = {json.dumps(setup.profile.name)}", f"timeout_s = {setup.settings.timeout_s:g}"]
    if setup.profile.skip:
        lines += ["", "[skip]", *(f"{id} = {json.dumps(why)}" for id, why in setup.profile.skip.items())]
    if bmc := setup.settings.bmc:
        told = {name: getattr(bmc, name) for name in bmc.__struct_fields__}
        lines += [
            "",
            "[bmc]",
            *(f"{name} = {json.dumps(value)}" for name, value in told.items() if value not in ("", -1)),
        ]
    for check in setup.checks:
        if check.thresholds:
            lines += ["", f"[checks.{check.id}]"]
            values = check.thresholds | setup.profile.thresholds.get(check.id, {})
            lines += [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    return "".join(f"{line}\n" for line in lines)
