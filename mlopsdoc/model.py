"""What a judgement is made of: plain frozen data, in the very shape of the JSON report."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from msgspec import UNSET, Struct, UnsetType

from mlopsdoc.clean import clean, one_line
from mlopsdoc.patterns import compiled

SCHEMA = "mlopsdoc.report/1"
AREAS = (
    "driver", "gpu", "fabric", "cpu", "memory", "pcie", "network", "storage", "power", "kernel", "cluster", "host",
)  # fmt: skip


class Status(enum.Enum):
    """How well one thing is, worst last. A check that could not see is never `ok`."""

    SKIPPED = "skipped"
    OK = "ok"
    UNKNOWN = "unknown"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return _RANKS[self]

    @property
    def is_trouble(self) -> bool:
        return self.rank > Status.OK.rank

    @property
    def is_alarm(self) -> bool:
        return self.rank > Status.UNKNOWN.rank

    def __lt__(self, other: Status) -> bool:
        return self.rank < other.rank


_RANKS = {status: rank for rank, status in enumerate(Status)}

# The name of a parameter is its type: what a finding supplies, a runbook step reads it as "$NAME".
PARAMETERS = {
    "GPU": r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]",
    "GPU_UUID": r"(GPU|MIG)-[0-9A-Za-z/-]{1,80}",
    "PCI": r"[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]",
    "POOL": r"[A-Za-z][A-Za-z0-9_.: -]{0,254}",
    "VDEV": r"[A-Za-z0-9/][A-Za-z0-9_.:/+-]{0,254}",
    "DISK": r"/dev/[A-Za-z0-9_.:/+-]{1,200}",
    "NIC": r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}",
    "RDMA": r"[A-Za-z0-9_]{1,63}",
    "PID": r"[1-9][0-9]{0,9}",
    "NODE": r"[0-9]{1,4}",
    "CPUS": r"[0-9][0-9,-]{0,4095}",
    "UNIT": r"[A-Za-z0-9_:\\][A-Za-z0-9_.:@\\-]{0,254}",
    "JOB": r"[0-9][0-9_.+\[\]-]{0,62}",
    "USER": r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}",
    "MOUNT": r"/[^\x00-\x1f\x7f]{0,1023}",
    "DIMM": r"[A-Za-z0-9_][A-Za-z0-9_#./ :-]{0,63}",
    "PSU": r"[A-Za-z0-9][A-Za-z0-9_#./ :-]{0,63}",
}
SITE_PARAMETERS = {
    "_PATH": r"/[^\x00-\x1f\x7f]{0,1023}",
    "_INT": r"[0-9]{1,18}",
    "_NAME": r"[A-Za-z0-9_][A-Za-z0-9_.:@/-]{0,254}",
}


def parameter_pattern(name: str) -> str | None:
    """The form that values of this parameter have, or None when no such parameter exists."""
    if name in PARAMETERS:
        return PARAMETERS[name]
    return next((form for end, form in SITE_PARAMETERS.items() if name.endswith(end) and name != end), None)


def parameter_fits(name: str, value: str) -> bool:
    """Whether a step may be given this value: the right form, not empty, no leading dash, nothing unprintable."""
    form = parameter_pattern(name)
    if form is None or value.startswith("-") or clean(value) != value:
        return False
    return compiled(form).fullmatch(value) is not None


HOST = "host"


def short_pci(pci: str) -> str:
    """``1b:00.0`` of ``0000:1b:00.0``; other domains stay."""
    return pci.removeprefix("00000000:").removeprefix("0000:").lower()


def gpu_subject(index: int | None, pci: str) -> str:
    """``GPU 3 (1b:00.0)``; without the index where it is not known."""
    return f"GPU {short_pci(pci)}" if index is None else f"GPU {index} ({short_pci(pci)})"


def pool_subject(name: str) -> str:
    """``pool tank``."""
    return f"pool {name}"


def array_subject(name: str) -> str:
    """``array md1``."""
    return f"array {name}"


def pid_subject(pid: int) -> str:
    """``pid 4123``."""
    return f"pid {pid}"


def package_subject(package: int) -> str:
    """``CPU package 1``: one socket."""
    return f"CPU package {package}"


def mount_subject(path: str) -> str:
    """``mount /var``."""
    return f"mount {path}"


def psu_subject(label: str) -> str:
    """``PSU 2``."""
    return f"PSU {label}"


class Line(Struct, frozen=True):
    """A line that a finding may quote, and the answer it was read from."""

    answer: str
    text: str


class Evidence(Struct, frozen=True, omit_defaults=True):
    answer: str
    excerpt: str = ""


class Hurt(Struct, frozen=True, omit_defaults=True):
    """A running process that suffers from the finding."""

    pid: int
    user: str = ""
    job: str = ""
    what: str = ""

    @property
    def named(self) -> str:
        """``pid 41230 python3 train.py (mara, job 4711)``"""
        job = f", job {self.job}" if self.job else ""
        return f"pid {self.pid} {self.what} ({self.user or 'unknown user'}{job})"


class Mute(Struct, frozen=True):
    by: str
    until: str
    reason: str


Metric: TypeAlias = int | float | str


class Finding(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One judgement about one subject. `key` (check/subject/code) is stable between runs."""

    key: str
    status: Status
    code: str
    subject: str
    summary: str
    advice: str = ""
    runbook: str = ""
    since: str = ""
    hurts: list[Hurt]
    covers: list[str]
    params: dict[str, str]
    metrics: dict[str, Metric]
    evidence: list[Evidence]
    caused_by: str = ""
    muted: Mute | None = None


def finding(
    status: Status,
    summary: str,
    *,
    subject: str = HOST,
    code: str = "",
    advice: str = "",
    since: str = "",
    hurts: Sequence[Hurt] = (),
    covers: Sequence[str] = (),
    params: Mapping[str, str] | None = None,
    metrics: Mapping[str, Metric | None] | None = None,
    evidence: Sequence[Line | None] = (),
) -> Finding:
    """A finding with every text made safe.

    A parameter whose value has not the form of its name is left out (the runbook then asks for it), and so
    are metrics and lines that are None.
    """
    return Finding(
        key="",
        status=status,
        code=one_line(code, 64),
        subject=one_line(subject, 200),
        summary=one_line(summary),
        advice=one_line(advice),
        since=one_line(since, 64),
        hurts=[Hurt(h.pid, one_line(h.user, 64), one_line(h.job, 64), one_line(h.what, 200)) for h in hurts],
        covers=[one_line(cover, 200) for cover in covers],
        params={name: value for name, value in (params or {}).items() if parameter_fits(name, value)},
        metrics={name: value for name, value in (metrics or {}).items() if value is not None},
        evidence=[Evidence(one_line(line.answer), one_line(line.text, 400)) for line in evidence if line],
    )


class Result(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that one check said. `reason` is why there is nothing to judge.

    duration_s: from the start of the run until it was judged: what it waited for is in it.
    """

    id: str
    area: str
    title: str
    status: Status
    reason: str = ""
    fix: str = ""
    duration_s: float
    findings: list[Finding]


class Tool(Struct, frozen=True):
    name: str
    version: str


class HostInfo(Struct, frozen=True, omit_defaults=True):
    name: str
    kernel: str = ""
    os: str = ""
    product: str = ""
    boot_id: str = ""
    cpus: str = ""
    memory: str = ""
    gpus: str = ""


class Source(Struct, frozen=True, omit_defaults=True):
    """Where the answers came from. `kind` is live, snapshot, ...; `complete` is false when some are missing.

    taken_at is empty where nothing tells; is_lower_bound: it is the newest time that the answers state.
    """

    kind: str
    path: str = ""
    taken_at: str = ""
    age_s: float = 0.0
    complete: bool = True
    is_lower_bound: bool = False


class Counts(Struct, frozen=True):
    """How many checks ended in each status. muted: those of which all trouble is muted, if there are any."""

    ok: int = 0
    warning: int = 0
    critical: int = 0
    unknown: int = 0
    skipped: int = 0
    muted: int | UnsetType = UNSET


class Report(Struct, frozen=True, kw_only=True):
    schema: str = SCHEMA
    tool: Tool
    host: HostInfo
    sources: list[Source]
    taken_at: str | None  # None where nothing tells
    duration_s: float
    profile: str
    status: Status
    counts: Counts
    checks: list[Result]
