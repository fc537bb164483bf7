"""A Redfish mockup: a folder that holds the resources of a service, each as PATH/index.json."""

from __future__ import annotations

from mlopsdoc.hosts.archives.files import Files, Row
from mlopsdoc.hosts.base import read_key

SERVICE = "redfish/v1/index.json"


def root_of(files: Files) -> str | None:
    """The folder above ``redfish/v1``, ending in a slash or empty; None where there is none."""
    found = sorted((name for name in files.files if f"/{name}".endswith(f"/{SERVICE}")), key=len)
    return found[0].removesuffix(SERVICE) if found else None


def read(files: Files) -> list[Row]:
    """``read /redfish/v1/Chassis/1`` of ``redfish/v1/Chassis/1/index.json``."""
    rows: list[Row] = []
    for name, piece in files.files.items():
        if name.startswith("redfish/v1/") and name.endswith("/index.json") and piece.size:
            path = "/" + name.removesuffix("/index.json")
            rows.append(Row(read_key(path), "truncated" if piece.is_cut else "ok", (piece,)))
    return rows
