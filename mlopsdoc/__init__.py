"""Health checks, runbooks and snapshots for GPU and ML servers.

What a check or a fact is written with is found here: ``from mlopsdoc import Fact, check, critical``.
It is loaded when first named, so that ``mlopsdoc --help`` loads nothing of it.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mlopsdoc.authoring import Before as Before
    from mlopsdoc.authoring import CannotSee as CannotSee
    from mlopsdoc.authoring import Fact as Fact
    from mlopsdoc.authoring import Hardware as Hardware
    from mlopsdoc.authoring import NothingHere as NothingHere
    from mlopsdoc.authoring import check as check
    from mlopsdoc.authoring import critical as critical
    from mlopsdoc.authoring import ok as ok
    from mlopsdoc.authoring import unknown as unknown
    from mlopsdoc.authoring import warning as warning
    from mlopsdoc.hosts.base import Answer as Answer
    from mlopsdoc.hosts.base import Host as Host
    from mlopsdoc.model import Finding as Finding
    from mlopsdoc.model import Hurt as Hurt
    from mlopsdoc.model import Line as Line

_HOME = {
    **dict.fromkeys(
        ("Before", "CannotSee", "Fact", "Hardware", "NothingHere", "check", "critical", "ok", "unknown", "warning"),
        "mlopsdoc.authoring",
    ),
    **dict.fromkeys(("Answer", "Host"), "mlopsdoc.hosts.base"),
    **dict.fromkeys(("Finding", "Hurt", "Line"), "mlopsdoc.model"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mlopsdoc' has no attribute {name!r}")
    from importlib import import_module

    globals()[name] = found = getattr(import_module(_HOME[name]), name)
    return found
