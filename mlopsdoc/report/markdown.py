"""The report for a ticket or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mlopsdoc.model import Finding, Report, Status
from mlopsdoc.report.text import describe_host, describe_source, headline


def render(report: Report) -> str:
    """Markdown in which no text of a host is markup."""
    return "".join(f"{line}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield f"# {plain(report.host.name or 'host')}: {plain(headline(report))}"
    yield ""
    yield f"{plain(describe_host(report))}  "
    yield f"{plain(describe_source(report))}, mlopsdoc {report.tool.version}, profile {plain(report.profile)}"
    for result in report.checks:
        for finding in result.findings:
            if finding.status.is_trouble:
                yield ""
                yield from _finding(finding)
    yield ""
    yield "| check | status | why |"
    yield "| --- | --- | --- |"
    for result in report.checks:
        notes = "; ".join(f"{f.subject}: {f.summary}" for f in result.findings if f.status is Status.OK)
        yield f"| {result.id} | {result.status.value} | {plain(result.reason or notes)} |"


def _finding(f: Finding) -> Iterator[str]:
    yield f"## {f.status.value.upper()} {plain(f.subject)}"
    yield ""
    yield plain(f.summary)
    rows = {"since": f.since, "advice": f.advice, "caused by": f.caused_by, "runbook": f.runbook}
    for name, text in rows.items():
        if text:
            yield f"- {name}: {plain(text)}"
    for hurt in f.hurts:
        yield f"- hurts: pid {hurt.pid} {plain(hurt.what)} ({plain(hurt.user)}, job {plain(hurt.job or 'none')})"
    for line in f.evidence:
        yield f"- seen in {plain(line.answer)}: {plain(line.excerpt)}"


def plain(text: str) -> str:
    """Text that no markdown reader takes for markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!])", r"\\\1", text)
