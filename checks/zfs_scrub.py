"""ZFS pools that are not scrubbed, or whose scrub found something."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mlopsdoc import Finding, Hurt, Line, check, critical, ok, unknown, warning
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.quantities import day, instant, size, span
from mlopsdoc.facts.zfs import ZfsPools
from mlopsdoc.facts.zfs_schedule import ZfsSchedules
from mlopsdoc.facts.zfs_status import Pool, Scan

HOUR_S, DAY_S = 3600, 86400
OUT_OF_WORK = ("SUSPENDED", "FAULTED", "UNAVAIL", "OFFLINE", "REMOVED")  # cannot be scrubbed
RECORDS = {"resilver": "a resilver", "rebuild": "a rebuild", "error scrub": "a scrub of errors", "scrub": "a scrub"}
Level = Callable[..., Finding]


class Terms(NamedTuple):
    """What the age of a scrub is judged by."""

    now: float
    is_at_least: bool
    schedules: ZfsSchedules
    warning_s: float
    critical_s: float

    def span(self, seconds: float) -> str:
        """``3 h``; ``at least 3 h`` where only the earliest moment that it can be now is known."""
        return f"{'at least ' if self.is_at_least else ''}{span(seconds)}"

    def span_for(self, seconds: float) -> str:
        """`` for 3 h``; nothing where no time has passed that is known of."""
        return "" if self.is_at_least and seconds < 1 else f" for {self.span(seconds)}"


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
    if zfs.unseen:
        yield unknown(zfs.unseen, code="unseen")
    processes = [process for process in gpu.processes if not process.gone] if gpu else []
    jobs = list({process.pid: process.hurt for process in processes}.values())
    terms = Terms(zfs.now, zfs.now_is_at_least, schedules, warning_days * DAY_S, critical_days * DAY_S)
    for pool in zfs.pools:
        scan = pool.scan
        if found := _state(pool):
            yield found
        if pool.state in OUT_OF_WORK:
            continue
        if found := _not_judged(pool, terms):
            yield found
        elif scan is None or scan.kind != "scrub" or scan.state == "canceled":
            yield from _without_record(pool, terms)
        elif scan.state == "running":
            yield _running(pool, scan, terms, jobs, running_hours * HOUR_S, slow_mb_s)
        elif scan.state == "paused":
            yield _paused(pool, scan, terms, paused_days * DAY_S)
        else:
            yield from _errors(pool, scan)
            yield _by_age(pool, scan, terms)
        yield from _repaired(pool)
        yield from _unverified(pool)


def _say(level: Level, pool: Pool, code: str, summary: str, *lines: Line | None, **about: object) -> Finding:
    """A finding about a pool. `about` is what else a finding may say: see mlopsdoc.finding."""
    return level(summary, subject=pool.label, code=code, params=pool.params, evidence=lines, **about)


def _state(pool: Pool) -> Finding | None:
    """That the pool itself is in trouble; which disk, and how bad it is, is not judged here."""
    look = f"look at {pool.command('zpool status -v')}"
    if pool.state in OUT_OF_WORK:
        why = f"{pool.state}: whether it is scrubbed cannot matter now, first it has to work again"
        return _say(unknown, pool, "out_of_work", why, pool.line, advice=look)
    if pool.state == "DEGRADED":
        why = "DEGRADED: a disk is missing or faulted, which matters more than a scrub"
        return _say(ok, pool, "degraded", why, pool.line, advice=look)
    return None


def _not_judged(pool: Pool, terms: Terms) -> Finding | None:
    scan = pool.scan
    if pool.unread:
        why = f"when it was last scrubbed is not known: the scan line is {pool.unread}"
        return _say(unknown, pool, "unread", why, pool.line, advice=f"look yourself: {pool.command('zpool status')}")
    latest = 0.0 if scan is None else max(scan.start or 0, scan.end or 0, scan.paused or 0)
    if scan is not None and latest > terms.now + DAY_S and not terms.is_at_least:
        dates = f"{day(scan.end or scan.start)}, after now ({day(terms.now)})"
        why = f"its last {scan.kind} is dated {dates}: a clock is wrong"
        return _say(unknown, pool, "clock", why, scan.line)
    return None


def _running(pool: Pool, scan: Scan, terms: Terms, jobs: Sequence[Hurt], running_s: float, slow_mb_s: float) -> Finding:
    elapsed = max(0.0, terms.now - (scan.start or terms.now) - scan.spent_paused)
    done = "" if scan.percent is None else f", {scan.percent:.0f} % done"
    rate = None if scan.issued is None or not elapsed else scan.issued / elapsed / 1e6
    pause = pool.command("sudo zpool scrub -p")
    if elapsed > running_s and (rate is None or rate < slow_mb_s or elapsed > terms.warning_s):
        level, code = warning, "slow"
        more = "how far it is cannot be read" if rate is None else f"{rate:.3g} MB/s on average: it does not get on"
        advice = (
            f"look for the disk that is slow ({pool.command('sudo zpool iostat -vl')} 5 3) or the load that leaves no "
            f"room; the runbook has the steps. To make room now: {pause}"
        )
    else:
        level, code = ok, "running"
        more = f"{len(jobs)} GPU processes share the disks with it" if jobs else ""
        advice = f"if a job waits for its data: {pause} pauses it" if jobs else ""
    what = f"a scrub has been running{terms.span_for(elapsed)}{done}" + (f"; {more}" if more else "")
    metrics = {"scrub_elapsed_s": round(elapsed), "scrub_percent": scan.percent and round(scan.percent, 1)}
    about = {"since": instant(scan.start), "advice": advice, "hurts": jobs, "metrics": metrics}
    return _say(level, pool, code, what, scan.line, **about)


def _paused(pool: Pool, scan: Scan, terms: Terms, paused_s: float) -> Finding:
    paused = max(0.0, terms.now - (scan.paused or terms.now))
    done = "" if scan.percent is None else f" at {scan.percent:.0f} %"
    begun = f", begun {day(scan.start)}" if scan.start else ""
    is_late = paused > paused_s or terms.now - (scan.start or terms.now) > terms.warning_s
    what = f"its scrub has been paused{terms.span_for(paused)}{done}{begun}: nothing is verified until it goes on"
    advice = f"go on where it stopped, when the jobs allow it: {pool.command('sudo zpool scrub')}"
    about = {"since": instant(scan.paused), "advice": advice, "metrics": {"scrub_paused_s": round(paused)}}
    return _say(warning if is_late else ok, pool, "paused", what, scan.line, **about)


def _errors(pool: Pool, scan: Scan) -> Iterator[Finding]:
    if not scan.errors:
        return
    level, left = critical, "these data have no good copy in the pool"
    advice = (
        f"list the files ({pool.command('sudo zpool status -v')}), restore them from a copy, scrub twice; "
        "the runbook has the steps"
    )
    if pool.data_errors == 0:
        level, left = warning, "none is listed any more"
        advice = f"scrub again to see whether all is well now: {pool.command('sudo zpool scrub')}"
    what = f"the scrub of {day(scan.end)} ended with {scan.errors} errors it could not repair: {left}"
    metrics = {"scrub_errors": scan.errors, "data_errors": pool.data_errors}
    yield _say(level, pool, "errors", what, scan.line, since=instant(scan.end), advice=advice, metrics=metrics)


def _repaired(pool: Pool) -> Iterator[Finding]:
    """What a scrub repaired, and on which disk; a note once the disks' counters were cleared."""
    scan = pool.scan
    if scan is None or scan.kind != "scrub" or not scan.repaired:
        return
    bad = sorted((disk for disk in pool.disks if disk.errors), key=lambda disk: -disk.errors)
    verb = "is repairing data, so far" if scan.state == "running" else f"of {day(scan.end or scan.start)} repaired"
    what = f"the scrub {verb} {size(scan.repaired)}"
    if not bad and not pool.is_cut and any(disk.checksum is not None for disk in pool.disks):
        cleared = "the disks' error counters are at 0: cleared, or the host was restarted since"
        yield _say(ok, pool, "repaired", f"{what}; {cleared}", scan.line)
        return
    named = ", ".join(f"{disk.name} ({disk.checksum or 0} checksum errors)" for disk in bad[:3])
    more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
    is_common = len(bad) > 2 and bad[2].errors * 10 > bad[0].errors  # then it is hardly the disks
    suspect = "memory, a controller or a backplane" if is_common else "the disk, its slot or its cable"
    what += f" on {named}{more}" if bad else ""
    what += "; the table of its disks is cut, their counters are not all known" if pool.is_cut else ""
    advice = (
        f"nothing is lost, but {suspect} gave wrong data: find out which, then "
        f"{pool.command('sudo zpool clear')} and scrub again; the runbook has the steps"
    )
    since, metrics = instant(scan.end or scan.start), {"scrub_repaired_bytes": scan.repaired}
    yield _say(warning, pool, "repaired", what, scan.line, since=since, advice=advice, metrics=metrics)


def _unverified(pool: Pool) -> Iterator[Finding]:
    """A sequential resilver copies without looking at checksums; ZFS scrubs after it, unless told otherwise."""
    scan, rebuild = pool.scan, pool.rebuild
    if rebuild is None or rebuild.state != "finished" or rebuild.end is None:
        return
    if scan is None or (scan.kind == "scrub" and scan.end is not None and scan.end < rebuild.end):
        when = f"a disk was rebuilt sequentially ({day(rebuild.end)}) and nothing was scrubbed since"
        what, since = f"{when}: what was copied was not verified", instant(rebuild.end)
        advice = f"when the jobs allow it: {pool.command('sudo zpool scrub')}"
        yield _say(warning, pool, "unverified", what, rebuild.line, since=since, advice=advice)


def _by_age(pool: Pool, scrub: Scan, terms: Terms) -> Finding:
    """Of the last scrub that finished."""
    age = max(0.0, terms.now - (scrub.end or terms.now))
    when = f"last scrubbed {terms.span(age)} ago ({day(scrub.end)})"
    if age > terms.warning_s:
        what = f"{when}, wanted is every {terms.warning_s / DAY_S:.0f} days at least"
        return _overdue(pool, what, scrub.end, scrub.line, terms, is_worse=age > terms.critical_s)
    if terms.is_at_least:
        why = f"last scrubbed on {day(scrub.end)}; whether that was long ago is not known: nothing here tells the time"
        return _say(unknown, pool, "age", why, scrub.line, advice="say when this was taken: --at TIME")
    plan, plan_line = _plan(pool, terms.schedules, is_late=False)
    lasted = "" if scrub.seconds is None else f" in {span(scrub.seconds)}"
    clean = ", 0 errors" if scrub.errors == 0 else ""
    metrics = {"scrub_age_s": round(age), "scrub_duration_s": scrub.seconds}
    return _say(ok, pool, "age", f"{when}{lasted}{clean}; {plan}", scrub.line, plan_line, metrics=metrics)


def _overdue(pool: Pool, what: str, since: float | None, line: Line, terms: Terms, *, is_worse: bool) -> Finding:
    plan, plan_line = _plan(pool, terms.schedules, is_late=True)
    advice = f"when the jobs allow it: {pool.command('sudo zpool scrub')}; the runbook plans it for every month"
    metrics = {"scrub_age_s": None if since is None else round(terms.now - since)}
    about = {"since": instant(since), "advice": advice, "metrics": metrics}
    return _say(critical if is_worse else warning, pool, "age", f"{what}; {plan}", line, plan_line, **about)


def _without_record(pool: Pool, terms: Terms) -> Iterator[Finding]:
    """No scrub that finished is on record: there never was one, or what came after it took its place."""
    scan, known, now = pool.scan or pool.rebuild, pool.last_scrub, terms.now
    age = None if pool.created is None else now - pool.created
    is_young = age is not None and age <= terms.warning_s and not terms.is_at_least
    known_end = now + 2 * DAY_S if known is None or known.end is None else known.end
    if known is not None and known_end <= now + DAY_S and (not pool.history or now - known_end <= terms.warning_s):
        yield from _errors(pool, known)  # (a history that was cut lacks its end, the newest)
        yield _by_age(pool, known, terms)
        return
    if scan is None:
        if age is None:
            why = "no scrub is on record, and how old the pool is cannot be seen"
            yield _say(unknown, pool, "never", why, pool.line)
        elif terms.is_at_least and age <= terms.warning_s:
            why = (
                "no scrub is on record; whether the pool is old enough to need one is not known: nothing tells the time"
            )
            yield _say(unknown, pool, "never", why, pool.line, advice="say when this was taken: --at TIME")
        elif not is_young:
            what = f"never scrubbed, and it is {terms.span(age)} old"
            yield _overdue(pool, what, pool.created, pool.line, terms, is_worse=False)
        return
    what = f"{RECORDS[scan.kind]} {'was cancelled' if scan.state == 'canceled' else 'finished'} {day(scan.end)}"
    if scan.state in ("running", "paused"):
        why = f"{RECORDS[scan.kind]} is under way: a scrub has to wait for it"
        yield _say(ok, pool, "no_record", why, scan.line)
    elif is_young:
        why = f"the pool is {span(age or 0)} old and needs no scrub yet; on record: {what}"
        yield _say(ok, pool, "no_record", why, scan.line)
    elif scan.end is not None and now - scan.end > terms.warning_s:
        # A newer scrub would have taken the place of that record, so none has finished since.
        why = f"no scrub has finished for at least {span(now - scan.end)}, since {what}"
        yield _overdue(pool, why, scan.end, scan.line, terms, is_worse=now - scan.end > terms.critical_s)
    else:
        history = f" (the history: {pool.history})" if pool.history else ""
        old = "a pool of unknown age" if age is None else f"a pool of {terms.span(age)}"
        why = f"when {old} was last scrubbed is not known: {what}, which erased the record{history}"
        advice = (
            f"{pool.command('sudo zpool history -i')} may tell; a new scrub settles it, when the jobs allow it: "
            + pool.command("sudo zpool scrub")
        )
        yield _say(unknown, pool, "erased", why, scan.line, advice=advice)


def _plan(pool: Pool, schedules: ZfsSchedules, *, is_late: bool) -> tuple[str, Line | None]:
    """Half a sentence on what would scrub the pool of itself, and where that is written."""
    schedule = schedules.of(pool.name, pool.debian_scrub)
    if schedule is None and not schedules.was_asked:
        return "what would start one is not in this recording", None
    if schedule is None:
        hidden = f" (could not be read: {', '.join(schedules.hidden)})" if schedules.hidden else ""
        out = " (org.debian:periodic-scrub=disable keeps cron from it)" if pool.debian_scrub == "disable" else ""
        return f"no timer or cron job for it was found{out}{hidden}", None
    if not is_late:
        return f"{schedule.name} starts the next", schedule.line
    only = " but leaves out a pool that is not ONLINE" if schedule.debian and pool.state != "ONLINE" else ""
    return f"{schedule.name} should have scrubbed it{only}", schedule.line
