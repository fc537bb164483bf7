"""ZFS pools: their state, their last scrub, how old they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from mlopsdoc import Answer, CannotSee, Fact, Host, Line, NothingHere
from mlopsdoc.authoring import NEEDS_ROOT
from mlopsdoc.facts.asked import asked, order
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.zfs_json import from_json
from mlopsdoc.facts.zfs_status import STATES, Pool, Scan, moment, number, stamp
from mlopsdoc.facts.zfs_text import from_text
from mlopsdoc.hosts.base import run_key
from mlopsdoc.model import parameter_fits
from mlopsdoc.patterns import compiled

OUT_OF_WORK = ("SUSPENDED", "FAULTED", "UNAVAIL")  # no read or write of the pool ends
STATE_FILES = "/proc/spl/kstat/zfs/*/state"
VERSION_FILE = "/sys/module/zfs/version"
NO_SCRUB_IO_FILE = "/sys/module/zfs/parameters/zfs_no_scrub_io"
JSON = (("zpool", "status", "-j", "--json-int"), ("zpool", "status", "-j"))
TEXT = tuple(("zpool", "status", *option) for option in ((), ("-v",), ("-p",), ("-P",), ("-L",), ("-x",)))
LISTS = (("zpool", "list"), ("zpool", "list", "-v"), ("zpool", "list", "-H"))
HEALTHY = r"(?m)^(?:all pools are healthy|pool '([^'\n]{1,255})' is healthy)$"  # what -x says of no others
PROPERTIES = "creation,org.debian:periodic-scrub"
DATASETS = ("zfs", "get", "-Hp", "-d", "0", "-t", "filesystem", "-o", "name,property,value", PROPERTIES)
NO_MODULE = ("Failed to initialize the libzfs library", "The ZFS modules are not loaded")
DAY_S = 86400
MONTH_S = 31 * DAY_S  # no schedule is rarer than monthly: a younger scrub needs no explanation
WEEK_S = 7 * DAY_S  # nor more frequent than weekly: a younger pool needs none yet


class ZfsPools(Fact, frozen=True):
    """Every imported pool, as the tool or else the kernel names them.

    Signs, all world-readable: /sys/module/zfs/version (the module is loaded), /proc/spl/kstat/zfs/POOL/state
    (a pool is imported; since 0.8). no_scrub_io: scrubs read nothing (the module parameter zfs_no_scrub_io);
    None where that is not known. now: when the host was asked, or (now_is_at_least) not before. unseen: why there
    may be other pools, or empty.

    `zpool status` is asked for JSON (2.3 and later), else for text. Only where a pool has no finished scrub of
    the last month to show, its age is asked for (`zfs get creation`); only where the record of its scrub is
    gone and the pool is no newborn, its history (root only, and long).
    """

    pools: tuple[Pool, ...]
    now: float
    now_is_at_least: bool
    version: str
    no_scrub_io: bool | None
    no_scrub_io_line: Line | None
    unseen: str = ""

    @classmethod
    def read(cls, host: Host, machine: Machine | None) -> ZfsPools:
        """Raises NothingHere without the module or a pool, CannotSee when the pools cannot be asked for."""
        version = host.read(VERSION_FILE)
        tree = host.tree(STATE_FILES)
        states = {path.split("/")[5]: answer.text.strip() for path, answer in sorted(tree.items())}
        if not states and version.status == "absent":
            raise NothingHere("the ZFS module is not loaded")
        if not states and tree.listing.said and version.said and not version.text.startswith(("0.6", "0.7")):
            raise NothingHere("the ZFS module is loaded, no pool is imported")
        try:
            pools, unseen = _ask(host, is_expected=bool(states) or version.said)
        except CannotSee as blind:
            if not any(state in OUT_OF_WORK for state in states.values()):
                raise _seen_by_kernel(host, blind, states, machine) from None
            pools, unseen = [], f"{blind.why}: only what the kernel says of the pools is known"  # zpool hangs then
        named = {pool.name for pool in pools}
        pools += [_unlisted(name, state) for name, state in states.items() if name not in named]
        if not pools:
            raise NothingHere("no ZFS pool is imported")
        setting = host.read(NO_SCRUB_IO_FILE)
        return cls(
            pools=tuple(_explained(host, pools)),
            now=host.now(),
            now_is_at_least=host.now_is_at_least,
            version=version.text.strip(),
            no_scrub_io=setting.text.strip() != "0" if setting.said else None,
            no_scrub_io_line=Line(setting.key, setting.text.strip()) if setting.said else None,
            unseen=unseen,
        )


def _unlisted(name: str, state: str) -> Pool:
    line = Line(f"read {STATE_FILES.replace('*', name)}", state)
    return Pool(name=name, state=state if state in STATES else "", unread="missing: zpool does not name it", line=line)


def _listed(host: Host, known: Iterable[Pool]) -> tuple[list[Pool], str]:
    """Pools that only `zpool list` or `zpool status -x` names, which leaves out what is healthy, where `zpool status`
    is not here as a whole; and what is to be said where no list tells that there are no others::

    NAME   SIZE  ALLOC   FREE  CKPOINT  EXPANDSZ   FRAG    CAP  DEDUP    HEALTH  ALTROOT
    tank  54.5T  31.9T  22.6T        -         -    12%    58%  1.00x    ONLINE  -
    """
    healthy = {match[1] or "": answer for answer in asked(host, "zpool status") if answer.said
               for match in compiled(HEALTHY).finditer(answer.text)}  # fmt: skip
    answer = next((answer for argv in LISTS if (answer := host.run(*argv)).said), None)
    lines = answer.text.rstrip("\n").split("\n") if answer else []
    rows = [line.split() for line in lines if line[:1].strip() and not line.startswith("NAME ")]
    is_all = answer is not None and answer.status == "ok" and bool(rows) and min(map(len, rows)) > 8
    found = {row[0]: (row, answer) for row in rows if len(row) > 8}
    found |= {name: ([name, "ONLINE"], said) for name, said in healthy.items() if name and name not in found}
    names = {pool.name for pool in known}
    pools: list[Pool] = []
    for name, (row, said) in found.items():
        if name not in names and said is not None:
            state = next((word for word in row[1:] if word in STATES), "")
            unread = "missing: only the state of the pool is here"
            is_healthy = state == "ONLINE" and not {"", name}.isdisjoint(healthy)
            line = Line(said.key, " ".join(row))
            pools.append(Pool(name=name, state=state, unread=unread, line=line, is_healthy=is_healthy))
    unseen = "only a part of what zpool status says is here: whether there are other pools is not known"
    return pools, "" if is_all else unseen


def _ask(host: Host, *, is_expected: bool) -> tuple[list[Pool], str]:
    """The pools as `zpool status` tells them, and why there may be others.

    Raises CannotSee when it does not tell, NothingHere when nobody asked.
    """
    answers: list[Answer] = []
    for answer, read in _asked(host):
        answers.append(answer)
        if answer.status == "timeout":
            break  # text hangs as well
        try:
            pools = read(answer) if answer.data else []
        except ValueError as error:
            answers[-1] = Answer(answer.key, "failed", why=f"its JSON cannot be read ({str(error)[:80]})")
            continue
        is_part = answer.status == "truncated" or answer.key.endswith(" -x") or any(pool.is_cut for pool in pools)
        more, unseen = _listed(host, pools) if is_part else ([], "")
        if pools or more or (answer.status == "ok" and _says_none(answer)):
            return pools + more, unseen
        if answer.status == "failed" and answer.exit != 2:
            break  # 2: an option that this version does not know
    if not is_expected and answers and _why(answers[-1]).startswith(NO_MODULE):
        raise NothingHere("the ZFS module is not loaded")
    hangs = any(answer.status == "timeout" for answer in answers)
    pools, unseen = ([], "") if host.is_live or hangs else _listed(host, ())
    if pools:
        return pools, unseen
    if any(compiled(HEALTHY).search(answer.text) for answer in answers):
        raise CannotSee("`zpool status -x` says that all pools are healthy; which there are is not in this recording")
    if not is_expected and answers and answers[-1].status == "absent":
        raise NothingHere("zpool is not installed, and nothing shows ZFS")
    if not answers:
        if is_expected:
            raise CannotSee("the ZFS module is loaded, what zpool status says was not recorded")
        raise NothingHere("neither the ZFS module nor the output of zpool status is in this recording")
    raise _refusal(answers[-1])


def _asked(host: Host) -> Iterator[tuple[Answer, Callable[[Answer], list[Pool]]]]:
    """What was said in each form that was asked for, and what reads it: of a pasted text the latest first."""
    placed = {answer.key: order(answer) for answer in asked(host, "zpool status")}
    forms = ((JSON, from_json), (TEXT, from_text))
    for argvs, read in sorted(forms, key=lambda form: -max(placed.get(run_key(argv), 0) for argv in form[0])):
        answer = next((said for argv in argvs if (said := host.run(*argv)).status != "not_captured"), None)
        if answer is not None:
            yield answer, read


def _says_none(answer: Answer) -> bool:
    """Whether zpool says, in its way, that there are no pools: on stdout, on stderr, or as an empty object."""
    return b"no pools available" in answer.data + answer.stderr or b'"pools":{}' in answer.data.replace(b" ", b"")


def _refusal(answer: Answer) -> CannotSee:
    if answer.status == "absent":
        return CannotSee("zpool is not installed: the pools cannot be seen", "install zfsutils-linux (RHEL: zfs)")
    why = _why(answer) or "it says nothing that can be understood"
    return CannotSee(f"zpool status: {why}", NEEDS_ROOT if "ermission denied" in why else "")


def _why(answer: Answer) -> str:
    """Why a command has no answer: its own first words, or ours."""
    return answer.stderr.decode("utf-8", "replace").strip().partition("\n")[0] or answer.why


def _seen_by_kernel(
    host: Host, blind: CannotSee, states: dict[str, str], machine: Machine | None
) -> CannotSee | NothingHere:
    """The same, with what the kernel says of the pools, which waits for nothing."""
    seen = f"; the kernel says: {', '.join(f'{name} {state}' for name, state in states.items())}" if states else ""
    if host.link("/dev/zfs").status == "absent":
        if machine is not None and machine.container:
            return NothingHere("the ZFS pools are the host's, and this is a container")
        return CannotSee(f"/dev/zfs is missing, so zpool cannot ask{seen}", "sudo udevadm trigger")
    return CannotSee(f"{blind.why}{seen}", blind.fix)


def _explained(host: Host, pools: Iterable[Pool]) -> Iterator[Pool]:
    """The pools, those without a recent scrub with their age and what their history says of scrubs."""
    now = host.now()
    for pool in pools:
        ended = pool.scan.end if pool.scan and (pool.scan.kind, pool.scan.state) == ("scrub", "finished") else None
        if ended is None or now - ended > MONTH_S:
            properties = _properties(host, pool.name)
            pool = replace(
                pool,
                created=moment(number(properties.get("creation"))),
                debian_scrub=properties.get("org.debian:periodic-scrub", ""),
            )
        if _record_is_gone(pool) and (pool.created is None or now - pool.created > WEEK_S):
            pool = _with_history(host, pool)
        yield pool


def _record_is_gone(pool: Pool) -> bool:
    """Whether something else has taken the place of the last scrub that finished."""
    if pool.scan is None:
        return pool.rebuild is not None
    return pool.scan.kind != "scrub" or pool.scan.state == "canceled"


def _properties(host: Host, pool: str) -> dict[str, str]:
    """Of the root dataset of a pool, which is made with it. Lines have tabs: ``tank creation 1714561200``."""
    rows = (line.split("\t") for line in host.run(*DATASETS).text.split("\n"))
    return {row[1]: row[2] for row in rows if len(row) == 3 and row[0] == pool and row[2] != "-"}


def _with_history(host: Host, pool: Pool) -> Pool:
    if not parameter_fits("POOL", pool.name):
        return replace(pool, history="not asked for, because of its name")
    answer = host.run("zpool", "history", "-i", pool.name)
    created, scrub = _history(answer)
    return replace(
        pool, created=pool.created or created, last_scrub=scrub, history="" if answer.status == "ok" else _why(answer)
    )


def _history(answer: Answer) -> tuple[float | None, Scan | None]:
    """When the pool was made, and its last whole scrub that finished. Reads::

        History for 'tank':
        2026-01-12.09:31:07 [txg:4] create pool version 5000; software version ...
        2026-01-12.09:31:08 zpool create -o ashift=12 tank raidz1 /dev/disk/by-id/...
        2026-11-01.00:37:12 [txg:905] scan setup func=1 mintxg=0 maxtxg=905
        2026-11-01.01:29:40 [txg:911] scan done errors=0

    func 1 is a scrub, 2 a resilver; a scrub from another txg than 0 has not seen the whole pool. Lines are in
    the order of what happened, whatever the clock said. The newest are missing of a long one that was cut.
    """
    created: float | None = None
    last: Scan | None = None
    setup: float | None = None
    for line in answer.text.split("\n"):
        match = compiled(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([0-9]{2}:[0-9]{2}:[0-9]{2}) (.*)").match(line)
        at = stamp(match[1], match[2]) if match else None
        if match is None or at is None:
            continue
        said = match[3].partition("] ")[2] if match[3].startswith("[txg:") else match[3]
        if created is None and said.startswith(("create pool version", "zpool create ")):
            created = at
        elif said.startswith("scan setup "):
            setup = at if said.startswith("scan setup func=1 mintxg=0 ") else None
        elif said.startswith("scan cancelled"):
            setup = None
        elif said.startswith("scan done errors=") and setup is not None:
            errors = number(said.removeprefix("scan done errors=").partition(" ")[0])
            last = Scan(
                kind="scrub", state="finished", start=setup, end=at, errors=errors, line=Line(answer.key, line[:200])
            )
            setup = None
    return created, last
