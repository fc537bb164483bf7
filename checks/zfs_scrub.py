"""ZFS pools that are not scrubbed, or whose scrub found something."""

from collections.abc import Iterator, Sequence

from mlopsdoc import Finding, Hurt, Line, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.zfs import ZfsPools
from mlopsdoc.facts.zfs_schedule import ZfsSchedules
from mlopsdoc.facts.zfs_status import Pool, Scan, day, instant, size, span

HOUR_S, DAY_S = 3600, 86400
OUT_OF_WORK = ("SUSPENDED", "FAULTED", "UNAVAIL")  # cannot be scrubbed, and that is another check's matter
RECORDS = {"resilver": "a resilver", "rebuild": "a rebuild", "error scrub": "a scrub of errors", "scrub": "a scrub"}


@check(area="storage", title="ZFS pools are scrubbed in time, and the scrub finds nothing", params=("POOL",))
def zfs_scrub(
    zfs: ZfsPools,
    schedules: ZfsSchedules,
    gpu: GpuProcesses | None,
    *,
    warning_days: int = 35,
    critical_days: int = 90,
    paused_days: int = 7,
    running_hours: int = 24,
    slow_mb_s: int = 10,
) -> Iterator[Finding]:
    """Data rots unseen until someone reads it, and a RAID-Z1 that lost a disk has no second copy: only a scrub
    reads everything while it can still be repaired.

    A scrub belongs to every month (OpenZFS ships monthly and weekly timers, Debian a cron line for the second
    Sunday): 35 days are a month and some slack, FreeBSD's default too; 90 days are three missed. On NVMe it is
    a matter of hours, so one that has run for `running_hours` and read less than `slow_mb_s` megabytes a second
    on average does not get on. A resilver or a cancelled scrub erases the date of the scrub before: then the
    history is asked, and what is still not known is said to be so.
    """
    if zfs.no_scrub_io:
        yield critical(
            "scrubs read nothing, every one looks clean: the module parameter zfs_no_scrub_io is set",
            code="no_scrub_io",
            advice="sudo sh -c 'echo 0 > /sys/module/zfs/parameters/zfs_no_scrub_io', take it out of "
            "/etc/modprobe.d, then scrub every pool again: the runbook has the steps",
            evidence=[zfs.no_scrub_io_line],
        )
    processes = [process for process in gpu.processes if not process.gone] if gpu else []
    jobs = list({p.pid: Hurt(p.pid, p.user, p.job, p.command) for p in processes}.values())
    for pool in zfs.pools:
        scan, now = pool.scan, zfs.now
        if found := _not_judged(pool, now):
            yield found
        elif scan is None or scan.kind != "scrub" or scan.state == "canceled":
            yield from _without_record(pool, now, schedules, warning_days, critical_days)
        elif scan.state == "running":
            yield _running(pool, scan, now, jobs, running_hours, slow_mb_s, warning_days)
        elif scan.state == "paused":
            yield _paused(pool, scan, now, paused_days, warning_days)
        else:
            yield from _errors(pool, scan)
            yield _by_age(pool, scan, now, schedules, warning_days, critical_days)
        yield from _repaired(pool)
        yield from _unverified(pool)


def _not_judged(pool: Pool, now: float) -> Finding | None:
    scan = pool.scan
    if pool.state in OUT_OF_WORK:
        why = f"{pool.state}: a scrub has to wait until it works again"
        return ok(why, subject=pool.label, code="out_of_work", params=pool.params, evidence=[pool.line])
    if pool.unread:
        why = f"when it was last scrubbed is not known: the scan line is {pool.unread}"
        advice = f"look yourself: {pool.command('zpool status')}"
        return unknown(why, subject=pool.label, code="unread", advice=advice, params=pool.params, evidence=[pool.line])
    if scan is not None and max(scan.start or 0, scan.end or 0, scan.paused or 0) > now + DAY_S:
        why = f"its last {scan.kind} is dated {day(scan.end or scan.start)}, after now ({day(now)}): a clock is wrong"
        return unknown(why, subject=pool.label, code="clock", params=pool.params, evidence=[scan.line])
    return None


def _running(
    pool: Pool, scan: Scan, now: float, jobs: Sequence[Hurt], running_hours: int, slow_mb_s: int, warning_days: int
) -> Finding:
    elapsed = max(0.0, now - (scan.start or now) - scan.spent_paused)
    done = "" if scan.percent is None else f", {scan.percent:.0f} % done"
    what = f"a scrub has been running for {span(elapsed)}{done}"
    metrics = {"scrub_elapsed_s": round(elapsed), "scrub_percent": scan.percent and round(scan.percent, 1)}
    since, params, evidence = instant(scan.start), pool.params, [scan.line]
    rate = None if scan.issued is None or not elapsed else scan.issued / elapsed / 1e6
    if elapsed > running_hours * HOUR_S and (rate is None or rate < slow_mb_s or elapsed > warning_days * DAY_S):
        at = "how far it is cannot be read" if rate is None else f"{rate:.3g} MB/s on average: it does not get on"
        return warning(
            f"{what}; {at}",
            subject=pool.label,
            code="slow",
            since=since,
            advice="look for the disk that is slow (zpool iostat -vl 5 3) or the load that leaves no room; "
            f"the runbook has the steps. To make room now: {pool.command('sudo zpool scrub -p')}",
            hurts=jobs,
            params=params,
            metrics=metrics,
            evidence=evidence,
        )
    advice = "if a job waits for its data: " + pool.command("sudo zpool scrub -p") + " pauses it" if jobs else ""
    return ok(
        what + (f"; {len(jobs)} GPU processes share the disks with it" if jobs else ""),
        subject=pool.label,
        code="running",
        since=since,
        advice=advice,
        hurts=jobs,
        params=params,
        metrics=metrics,
        evidence=evidence,
    )


def _paused(pool: Pool, scan: Scan, now: float, paused_days: int, warning_days: int) -> Finding:
    paused = max(0.0, now - (scan.paused or now))
    done = "" if scan.percent is None else f" at {scan.percent:.0f} %"
    begun = f", begun {day(scan.start)}" if scan.start else ""
    late = paused > paused_days * DAY_S or now - (scan.start or now) > warning_days * DAY_S
    return (warning if late else ok)(
        f"its scrub has been paused for {span(paused)}{done}{begun}: nothing is verified until it goes on",
        subject=pool.label,
        code="paused",
        since=instant(scan.paused),
        advice=f"go on where it stopped, when the jobs allow it: {pool.command('sudo zpool scrub')}",
        params=pool.params,
        metrics={"scrub_paused_s": round(paused)},
        evidence=[scan.line],
    )


def _errors(pool: Pool, scan: Scan) -> Iterator[Finding]:
    if not scan.errors:
        return
    gone = pool.data_errors == 0
    left = "none is listed any more" if gone else "these data have no good copy in the pool"
    yield (warning if gone else critical)(
        f"the scrub of {day(scan.end)} ended with {scan.errors} errors it could not repair: {left}",
        subject=pool.label,
        code="errors",
        since=instant(scan.end),
        advice=f"scrub again to see whether all is well now: {pool.command('sudo zpool scrub')}"
        if gone
        else f"list the files ({pool.command('sudo zpool status -v')}), restore them from a copy, scrub twice; "
        "the runbook has the steps",
        params=pool.params,
        metrics={"scrub_errors": scan.errors, "data_errors": pool.data_errors},
        evidence=[scan.line],
    )


def _repaired(pool: Pool) -> Iterator[Finding]:
    """What a scrub repaired, and on which disk; a note once the disks' counters were cleared."""
    scan = pool.scan
    if scan is None or scan.kind != "scrub" or not scan.repaired or pool.state in OUT_OF_WORK:
        return
    bad = sorted((disk for disk in pool.disks if disk.errors), key=lambda disk: -disk.errors)
    verb = "is repairing data, so far" if scan.state == "running" else f"of {day(scan.end or scan.start)} repaired"
    what = f"the scrub {verb} {size(scan.repaired)}"
    if not bad and any(disk.checksum is not None for disk in pool.disks):
        yield ok(
            f"{what}; the disks' error counters are at 0: cleared, or the host was restarted since",
            subject=pool.label,
            code="repaired",
            params=pool.params,
            evidence=[scan.line],
        )
        return
    named = ", ".join(f"{disk.name} ({disk.checksum or 0} checksum errors)" for disk in bad[:3])
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    is_common = len(bad) > 2 and bad[2].errors * 10 > bad[0].errors  # then it is hardly the disks
    suspect = "memory, a controller or a backplane" if is_common else "the disk, its slot or its cable"
    yield warning(
        what + (f" on {named}{more}" if bad else ""),
        subject=pool.label,
        code="repaired",
        since=instant(scan.end or scan.start),
        advice=f"nothing is lost, but {suspect} gave wrong data: find out which, then "
        f"{pool.command('sudo zpool clear')} and scrub again; the runbook has the steps",
        params=pool.params,
        metrics={"scrub_repaired_bytes": scan.repaired},
        evidence=[scan.line],
    )


def _unverified(pool: Pool) -> Iterator[Finding]:
    """A sequential resilver copies without looking at checksums; ZFS scrubs after it, unless told otherwise."""
    scan, rebuild = pool.scan, pool.rebuild
    if rebuild is None or rebuild.state != "finished" or rebuild.end is None or pool.state in OUT_OF_WORK:
        return
    if scan is None or (scan.kind == "scrub" and scan.end is not None and scan.end < rebuild.end):
        yield warning(
            f"a disk was rebuilt sequentially ({day(rebuild.end)}) and nothing was scrubbed since: "
            "what was copied was not verified",
            subject=pool.label,
            code="unverified",
            since=instant(rebuild.end),
            advice=f"when the jobs allow it: {pool.command('sudo zpool scrub')}",
            params=pool.params,
            evidence=[rebuild.line],
        )


def _by_age(
    pool: Pool, scrub: Scan, now: float, schedules: ZfsSchedules, warning_days: int, critical_days: int
) -> Finding:
    """Of the last scrub that finished."""
    age = max(0.0, now - (scrub.end or now))
    is_late = age > warning_days * DAY_S
    plan = _plan(pool, schedules, is_late=is_late)
    when = f"last scrubbed {span(age)} ago ({day(scrub.end)})"
    if not is_late:
        lasted = "" if scrub.seconds is None else f" in {span(scrub.seconds)}"
        clean = ", 0 errors" if scrub.errors == 0 else ""
        return ok(
            f"{when}{lasted}{clean}; {plan[0]}",
            subject=pool.label,
            code="age",
            params=pool.params,
            metrics={"scrub_age_s": round(age), "scrub_duration_s": scrub.seconds},
            evidence=[scrub.line, plan[1]],
        )
    what = f"{when}, wanted is every {warning_days} days at least"
    return _overdue(pool, what, scrub.end, now, scrub.line, plan, is_worse=age > critical_days * DAY_S)


def _overdue(
    pool: Pool, what: str, since: float | None, now: float, line: Line, plan: tuple[str, Line | None], *, is_worse: bool
) -> Finding:
    return (critical if is_worse else warning)(
        f"{what}; {plan[0]}",
        subject=pool.label,
        code="age",
        since=instant(since),
        advice=f"when the jobs allow it: {pool.command('sudo zpool scrub')}; the runbook plans it for every month",
        params=pool.params,
        metrics={"scrub_age_s": None if since is None else round(now - since)},
        evidence=[line, plan[1]],
    )


def _without_record(
    pool: Pool, now: float, schedules: ZfsSchedules, warning_days: int, critical_days: int
) -> Iterator[Finding]:
    """No scrub that finished is on record: there never was one, or what came after it took its place."""
    scan, known = pool.scan or pool.rebuild, pool.last_scrub
    limit, age = warning_days * DAY_S, None if pool.created is None else now - pool.created
    is_young = age is not None and age <= limit
    known_end = now + 2 * DAY_S if known is None or known.end is None else known.end
    if known is not None and known_end <= now + DAY_S and (not pool.history or now - known_end <= limit):
        yield from _errors(pool, known)  # (a history that was cut lacks its end, the newest)
        yield _by_age(pool, known, now, schedules, warning_days, critical_days)
        return
    if scan is None:
        if not is_young:
            yield _never(pool, age, now, schedules)
        return
    what = f"{RECORDS[scan.kind]} {'was cancelled' if scan.state == 'canceled' else 'finished'} {day(scan.end)}"
    if scan.state in ("running", "paused"):
        why = f"{RECORDS[scan.kind]} is under way: a scrub has to wait for it"
    elif is_young:
        why = f"the pool is {span(age or 0)} old and needs no scrub yet; on record: {what}"
    elif scan.end is not None and now - scan.end > limit:
        yield _at_least(pool, scan, what, now, schedules, critical_days)
        return
    else:
        yield _erased(pool, scan, what, age)
        return
    yield ok(why, subject=pool.label, code="no_record", params=pool.params, evidence=[scan.line])


def _never(pool: Pool, age: float | None, now: float, schedules: ZfsSchedules) -> Finding:
    if age is None:
        why = "no scrub is on record, and how old the pool is cannot be seen"
        return unknown(why, subject=pool.label, code="never", params=pool.params, evidence=[pool.line])
    plan = _plan(pool, schedules, is_late=True)
    return _overdue(
        pool, f"never scrubbed, and it is {span(age)} old", pool.created, now, pool.line, plan, is_worse=False
    )


def _at_least(pool: Pool, scan: Scan, what: str, now: float, schedules: ZfsSchedules, critical_days: int) -> Finding:
    """A newer scrub would have taken the place of that record, so none has finished since."""
    age = now - (scan.end or now)
    why = f"no scrub has finished for at least {span(age)}, since {what}"
    plan = _plan(pool, schedules, is_late=True)
    return _overdue(pool, why, scan.end, now, scan.line, plan, is_worse=age > critical_days * DAY_S)


def _erased(pool: Pool, scan: Scan, what: str, age: float | None) -> Finding:
    history = f" (the history: {pool.history})" if pool.history else ""
    old = "a pool of unknown age" if age is None else f"a pool of {span(age)}"
    return unknown(
        f"when {old} was last scrubbed is not known: {what}, which erased the record{history}",
        subject=pool.label,
        code="erased",
        advice=f"{pool.command('sudo zpool history -i')} may tell; a new scrub settles it, when the jobs allow it: "
        + pool.command("sudo zpool scrub"),
        params=pool.params,
        evidence=[scan.line],
    )


def _plan(pool: Pool, schedules: ZfsSchedules, *, is_late: bool) -> tuple[str, Line | None]:
    """Half a sentence on what would scrub the pool of itself, and where that is written."""
    schedule = schedules.of(pool.name, pool.debian_scrub)
    if schedule is None:
        hidden = f" ({', '.join(schedules.hidden)} only root may read)" if schedules.hidden else ""
        out = " (org.debian:periodic-scrub=disable keeps cron from it)" if pool.debian_scrub == "disable" else ""
        return f"no timer or cron job for it was found{out}{hidden}", None
    if not is_late:
        return f"{schedule.name} starts the next", schedule.line
    only = " but leaves out a pool that is not ONLINE" if schedule.debian and pool.state != "ONLINE" else ""
    return f"{schedule.name} should have scrubbed it{only}", schedule.line
