"""One examination: which checks are meant, what they say of a host, and the report of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from mlopsdoc import __version__, catalog, causes, config, engine
from mlopsdoc.authoring import CannotSee, Check, NothingHere
from mlopsdoc.catalog import Catalog
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.quantities import instant
from mlopsdoc.hosts import ring
from mlopsdoc.hosts.live import Live
from mlopsdoc.hosts.recorder import Recorder, Replay
from mlopsdoc.model import AREAS, Counts, HostInfo, Report, Result, Source, Status, Tool, finding
from mlopsdoc.profile import Profile, WrongProfile, parse

BOOT_ID = "/proc/sys/kernel/random/boot_id"


class NoSuchCheck(ValueError):
    """A selection that matches nothing: which, and the nearest name."""


class Setup(Struct, frozen=True):
    """What an examination needs to know. wrong_config, refused: what is wrong with configuration and drop-ins."""

    catalog: Catalog
    checks: list[Check[...]]
    profile: Profile
    settings: config.Config
    wrong_config: list[str]
    refused: list[str]

    @property
    def problems(self) -> list[str]:
        return self.wrong_config + self.refused


def set_up(
    select: Sequence[str] = (), profile: str = "", *, site: bool = True, own: Mapping[str, Any] = MappingProxyType({})
) -> Setup:
    """The checks that are selected, with profile and configuration; `site` false leaves out all that is local.

    own: the profile that a recording brings along, which counts where none is named. Raises NoSuchCheck; for a
    profile that was named on the command line WrongProfile and WrongConfig.
    """
    settings, wrong = config.load() if site else (config.Config(), [])
    found = catalog.find(drop_ins=site)
    try:
        if own and not profile:
            chosen = parse("of the recording", own, found.checks, is_ours=False)
        else:
            chosen = catalog.load_profile(profile or settings.profile, found.checks)
        chosen = catalog.overlay(chosen, settings, found.checks)
    except (WrongProfile, config.WrongConfig) as error:
        if profile:
            raise
        wrong = [*wrong, str(error)]
        chosen = Profile()
    refused = [f"{path} is not loaded: {why}" for path, why in found.refused.items()]
    return Setup(found, selected(found, select), chosen, settings, wrong, refused)


def selected(found: Catalog, select: Sequence[str]) -> list[Check[...]]:
    """The checks that ids, areas or globs name, in the order of areas; raises NoSuchCheck."""
    names = found.by_name()
    picked: dict[str, Check[...]] = {} if select else dict(found.checks)
    for word in select:
        matching = [c for name, c in names.items() if fnmatchcase(name, word) or c.area == word]
        if not matching:
            raise NoSuchCheck(_no_such(word, names))
        picked |= {check.id: check for check in matching}
    return sorted(picked.values(), key=lambda check: (AREAS.index(check.area), check.id))


def _no_such(word: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word, [*names, *AREAS], 1)
    hint = f"do you mean {near[0]}?" if near else "see `mlopsdoc list`"
    return f"no check, area or pattern matches {word!r}; {hint}"


def examine(setup: Setup, ledger: engine.Ledger) -> Iterator[Result]:
    """Every result the moment it is known. What is wrong with configuration or recording is one of them."""
    if setup.problems:
        yield _own_result("config", "Configuration and drop-ins are in order", setup.problems)
    if isinstance(ledger.host, Replay) and not ledger.host.recording.is_known:
        yield _own_result("evidence", "The evidence is understood", ["nothing in it is output that mlopsdoc knows"])
    yield from engine.judge(setup.checks, ledger, setup.profile)


def _own_result(id: str, title: str, problems: Sequence[str]) -> Result:
    """What keeps checks from judging, as the result of a check that there is no file of."""
    findings = [finding(Status.UNKNOWN, problem, code=f"{id}{n or ''}") for n, problem in enumerate(problems)]
    findings = [replace(f, key=f"{id}/host/{f.code}") for f in findings]
    return Result(
        id=id,
        area="host",
        title=title,
        status=Status.UNKNOWN,
        reason=findings[0].summary,
        duration_s=0.0,
        findings=findings,
    )


def report(
    setup: Setup, ledger: engine.Ledger, results: Sequence[Result], sources: Sequence[Source], started: float
) -> Report:
    """The report of an examination that began at `started` on the monotonic clock."""
    order = {check.id: n for n, check in enumerate(setup.checks)}
    folded = causes.fold(sorted(results, key=lambda r: order.get(r.id, -1)), setup.catalog.checks)
    return Report(
        tool=Tool("mlopsdoc", __version__),
        host=host_info(ledger),
        sources=list(sources),
        taken_at=instant(ledger.host.now()) if ledger.host.now() else None,
        duration_s=round(time.monotonic() - started, 3),
        profile=setup.profile.name,
        status=max((result.status for result in folded), default=Status.SKIPPED),
        counts=Counts(**{s.value: sum(r.status is s for r in folded) for s in Status}),
        checks=folded,
    )


def host_info(ledger: engine.Ledger) -> HostInfo:
    """What the host is; all empty where nothing tells."""
    try:
        machine: Machine = ledger.get(Machine)
    except (NothingHere, CannotSee):
        return HostInfo(name="")
    return machine.info()


def live_source(host: Live) -> Source:
    """How a report names this machine."""
    return Source("live", "" if host.root == "/" else host.root, instant(host.now()))


def remember(recorder: Recorder, states: Sequence[str]) -> None:
    """Keep what growth will be judged by at the next run, in the first folder."""
    boot_id = recorder.read(BOOT_ID)
    if states and boot_id.said:
        ring.store(states[0], boot_id.text.strip(), recorder.recording)
