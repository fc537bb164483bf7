"""DCGM does not run, is not of one version, or is in the way of a profiler."""

from collections.abc import Iterator

from mlopsdoc import Finding, Line, check, ok, warning
from mlopsdoc.facts.dcgm import ENGINE, PROFILERS, Dcgm
from mlopsdoc.facts.driver_versions import is_older, is_same

DCGM = "DCGM"  # the subject
RESTART = "sudo systemctl restart nvidia-dcgm; jobs go on, metrics have a gap"


@check(
    area="driver",
    title="DCGM runs in the version that is installed",
    explained_by=("driver_stack",),
)
def dcgm(found: Dcgm, *, blackwell_least: str = "4.0") -> Iterator[Finding]:
    """Metrics and health watches come from its host engine; where that has ended, dashboards go quiet, not red.

    A service that failed, or that starts at boot and does not run, is judged; one that is off on purpose is not, for
    dcgm-exporter has an engine of its own. After an update the old engine goes on until it is restarted, and refuses
    newer clients (API version mismatch). Blackwell needs DCGM 4. Nsight Compute and its profiling metrics want the same
    counters of a GPU: one of them fails (DCGM user guide, "Profiling Metrics": dcgmi profile --pause).
    """
    trouble = [*_service(found), *_versions(found, blackwell_least), *_profilers(found)]
    yield from trouble
    if not trouble:
        version = found.engine or found.local or (found.package.upstream if found.package else "")
        words = [f"DCGM {version}".strip()]
        words += [f"its service is {found.unit.active}"] if found.unit else []
        yield ok(", ".join(words), subject=DCGM, code="state", evidence=[found.line])


def _of(code: str, summary: str, advice: str, *lines: Line | None) -> Finding:
    return warning(summary, subject=DCGM, code=code, advice=advice, evidence=lines)


def _service(found: Dcgm) -> Iterator[Finding]:
    unit = found.unit
    is_running = ENGINE in (found.running or ())
    if unit is None or is_running or (unit.active in ("active", "activating", "reloading") and not unit.is_failing):
        return
    if unit.is_failing or unit.enabled == "enabled":
        yield _of(
            "service",
            f"the host engine of DCGM does not run: {unit.name} is {unit.shown}; metrics and health watches that ask "
            "it are silent",
            f"`systemctl status {unit.name}` and `journalctl -u {unit.name} -n 50` say why; sudo systemctl start "
            f"{unit.name}",
            unit.line,
        )


def _versions(found: Dcgm, blackwell_least: str) -> Iterator[Finding]:
    if found.local and found.engine and not is_same(found.local, found.engine):
        yield _of(
            "version",
            f"DCGM {found.local} is installed, but host engine {found.engine} still runs: clients of the other version "
            "are refused or miss values",
            RESTART,
            found.line,
        )
    version = found.engine or found.local or (found.package.upstream if found.package else "")
    if found.is_blackwell and is_older(version, blackwell_least):
        yield _of(
            "blackwell",
            f"DCGM {version} does not know these GPUs (Blackwell), which need {blackwell_least} or newer: what it says "
            "of them is missing or wrong",
            "install datacenter-gpu-manager-4-cuda12 (or -cuda13) and take the old package away",
            found.line,
            found.package.line if found.package else None,
        )


def _profilers(found: Dcgm) -> Iterator[Finding]:
    profiler = next((name for name in PROFILERS if name in (found.running or ())), "")
    if profiler and ENGINE in (found.running or ()):
        yield ok(
            f"{profiler} profiles a GPU while the host engine of DCGM runs: both want the same counters, and one of "
            "them may be refused them",
            subject=DCGM,
            code="profiler",
            advice="`dcgmi profile --pause` until the profiler has ended, then `dcgmi profile --resume`",
        )
