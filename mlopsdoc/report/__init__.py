"""Renderers of reports, one a file: each has ``render(report, ...)`` and returns text."""
