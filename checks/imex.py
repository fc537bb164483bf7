"""The IMEX service of a host in an NVLink domain of several hosts does not run, or not with all of them."""

from collections.abc import Callable, Iterator

from mlopsdoc import Finding, check, critical, ok, unknown, warning
from mlopsdoc.facts.imex import Imex
from mlopsdoc.facts.quantities import span
from mlopsdoc.facts.throttling import CpuTimes

WITHOUT = (
    "jobs that share memory of GPUs with other hosts over NVLink fail or take the network; those of this host go on"
)
START = "`systemctl status nvidia-imex` and `sudo tail -50 /var/log/nvidia-imex.log` say why; steps in the runbook"
LOOK = "look at it from one of its nodes (`nvidia-imex-ctl -N`) and at the service on the nodes that are named: runbook"


@check(
    area="fabric",
    title="Hosts of one NVLink domain share the memory of their GPUs (IMEX)",
    explains=("gpu_recovery",),
    explained_by=("driver_stack",),
)
def imex(found: Imex, times: CpuTimes | None, *, settle_s: float = 300.0) -> Iterator[Finding]:
    """GPUs of a rack (GB200 NVL72) reach each other's memory over NVLink only where nvidia-imex runs on all its hosts.

    Judged where its configuration names nodes. It is meant not to run on single hosts and on idle ones whose scheduler
    starts it for each job (DRA, prologs), so a service that is off is no fault (NVSentinel issue 1471, DCGM issue 308
    took such alarms back), but one that failed is critical, and one that starts at boot and is off a warning. A domain
    that is DOWN is critical, DEGRADED or with nodes of another version or configuration a warning. In the first
    `settle_s` after boot it is still coming together. Where its command service is off (the default) its state is not
    told.
    """
    unit = found.unit
    uptime = found.at - times.boot if times and times.boot and found.at else None
    several = f"; its domain has {found.nodes} hosts" if found.nodes else ""
    if unit and unit.is_failing:
        why = f"; its log says: {found.error.text}" if found.error else ""
        yield _of(critical, found, "service", f"nvidia-imex is {unit.shown}{several}: {WITHOUT}{why}", START)
    elif uptime is not None and 0 <= uptime < settle_s:
        yield _of(ok, found, "state", f"booted {span(uptime)} ago: the IMEX domain is still coming together", "")
    elif unit and unit.active == "inactive" and unit.enabled == "enabled":
        yield _of(warning, found, "service", f"nvidia-imex starts at boot and is off{several}: {WITHOUT}", START)
    elif found.state:
        yield _domain(found, several)
    elif unit and unit.active == "active":
        yield _of(ok, found, "state", f"nvidia-imex runs{several}; how that is, it does not tell", "")
    elif unit:
        yield _of(ok, found, "state", f"nvidia-imex is {unit.shown}{several}: it may be started for each job", "")
    else:
        yield _of(unknown, found, "state", f"whether nvidia-imex runs could not be seen{several}", START)


def _domain(found: Imex, several: str) -> Finding:
    names = ", ".join(found.missing[:4]) + (f" and {len(found.missing) - 4} more" if len(found.missing) > 4 else "")
    what = f"the IMEX domain is {found.state}" + (f" ({names})" if names else "")
    if found.state == "DOWN":
        return _of(critical, found, "domain", f"{what}: {WITHOUT}", LOOK)
    if found.mismatched:
        advice = "bring driver, IMEX and nodes_config.cfg of all hosts to the same: steps in the runbook"
        return _of(
            warning, found, "mismatch", f"{what}, with nodes {' and '.join(found.mismatched)}: {WITHOUT}", advice
        )
    if names or found.state != "UP":
        return _of(warning, found, "domain", f"{what}: {WITHOUT}", LOOK)
    return _of(ok, found, "state", what + several, "")


def _of(level: Callable[..., Finding], found: Imex, code: str, summary: str, advice: str) -> Finding:
    evidence = [found.unit.line if found.unit else None, found.line, found.error]
    return level(summary, code=code, advice=advice, covers=["host"], evidence=evidence)
