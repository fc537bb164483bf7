"""The report as JSON, `mlopsdoc.report/1`: the only form that programs may read."""

from __future__ import annotations

import msgspec

from mlopsdoc.hosts.base import safe
from mlopsdoc.model import SCHEMA, Report


class NotAReport(ValueError):
    """Why some bytes are no report."""


def render(report: Report) -> str:
    """One line of JSON."""
    return msgspec.json.encode(report).decode() + "\n"


def read(data: bytes) -> Report:
    """The report that `render` wrote, or somebody else: every text is made safe again. Raises NotAReport."""
    try:
        report = msgspec.convert(safe(msgspec.json.decode(data)), Report)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NotAReport(f"it is no report of mlopsdoc: {error}") from None
    if report.schema.split(".")[0:2] != SCHEMA.split(".")[0:2]:
        raise NotAReport(f"its schema is {report.schema!r}, this mlopsdoc reads {SCHEMA!r}")
    return report


def schema() -> str:
    """The JSON Schema of the report."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Report)), indent=2).decode() + "\n"
