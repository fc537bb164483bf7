"""`history`: since when, and numbers over time. `mute`: findings that somebody knows of."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Literal

from mlopsdoc.cli.output import CANNOT_CREATE, USAGE, Stop, say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from mlopsdoc.mutes import Muted

LONGEST_S = 366 * 86400


def history(arguments: argparse.Namespace) -> int:
    """Print what earlier runs found."""
    from mlopsdoc import config, history
    from mlopsdoc.report import history as rendered

    found = history.read(config.state_folders(), arguments.metric)
    if arguments.metric and found.runs and not found.metrics and not found.findings:
        raise Stop(USAGE, f"nothing that is remembered is named {arguments.metric!r}; see `mlopsdoc history`")
    plain = not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf8")
    say(rendered.render(found, arguments.format, plain=plain))
    return 0


def mute(arguments: argparse.Namespace) -> int:
    """`mute KEY --for 4h --reason TEXT`, `mute list`, `mute lift KEY`."""
    match arguments.words:
        case ["list"]:
            return _list()
        case ["lift", key]:
            return _lift(key)
        case [key] if key != "lift":
            return _mute(key, arguments)
        case _:
            raise Stop(USAGE, "want `mute KEY --for 4h --reason TEXT`, `mute list` or `mute lift KEY`")


def _mute(key: str, arguments: argparse.Namespace) -> int:
    import shlex

    from mlopsdoc import mutes
    from mlopsdoc.clean import one_line
    from mlopsdoc.facts.quantities import instant

    if not (arguments.reason or "").strip() or not arguments.duration:
        raise Stop(USAGE, "a mute wants an end and a reason: --for 4h --reason TEXT")
    _must_name_a_check(key)
    now = time.time()
    until = now + _seconds(arguments.duration)
    made = mutes.Muted(key, one_line(arguments.by or _user(), 64), now, until, one_line(arguments.reason, 400))
    _change(lambda kept: [*(one for one in kept if one.key != key and one.until > now), made], "muted", made)
    lift = f"mlopsdoc mute lift {shlex.quote(one_line(key))}"
    say(f"{one_line(key)} is muted until {instant(until)}; `{lift}` ends that\n")
    return 0


def _must_name_a_check(key: str) -> None:
    from fnmatch import fnmatchcase

    from mlopsdoc.cli.checking import set_up

    check = key.partition("/")[0]
    known = [*set_up([], "").catalog.by_name(), "config"]
    if not any(fnmatchcase(name, check) for name in known):
        raise Stop(
            USAGE, f"{check!r} is no check: a key is CHECK, CHECK/SUBJECT/CODE as in the JSON report, or a pattern"
        )


def _lift(key: str) -> int:
    from mlopsdoc import config, mutes
    from mlopsdoc.clean import one_line

    found = next((one for one in mutes.load(config.state_folders()[:1]) if one.key == key), None)
    if found is None:
        raise Stop(USAGE, f"{key!r} is not muted by you; see `mlopsdoc mute list`")
    _change(lambda kept: [one for one in kept if one.key != key], "lifted", found)
    say(f"{one_line(key)} is muted no longer\n")
    return 0


def _list() -> int:
    from mlopsdoc import config, mutes
    from mlopsdoc.clean import one_line
    from mlopsdoc.facts.quantities import instant

    kept = mutes.load(config.state_folders())
    if not kept:
        say("nothing is muted\n")
    for one in kept:
        holds = "until" if time.time() < one.until else "over since"
        say(one_line(f"{one.key}: {holds} {instant(one.until)}, by {one.by}: {one.reason}") + "\n")
    return 0


def _change(made: Callable[[list[Muted]], list[Muted]], event: Literal["muted", "lifted"], one: Muted) -> None:
    """It is in the audit log before it holds."""
    from mlopsdoc import config, mutes
    from mlopsdoc.audit import Entry, Log
    from mlopsdoc.facts.quantities import instant

    states = config.state_folders()
    entry = Entry(
        at=instant(time.time()), event=event, run=f"{time.time_ns():x}", host=os.uname().nodename, user=_user(),
        sudo_user=os.environ.get("SUDO_USER", ""), runbook="mute", step=one.key, touch=event,
        argv=["mlopsdoc", "mute", *(["lift"] if event == "lifted" else []), one.key],
        why=f"until {instant(one.until)}, by {one.by}: {one.reason}",
    )  # fmt: skip
    try:
        if not states:
            raise FileNotFoundError(2, "there is no state folder", "mute")
        Log(states[0]).append(entry)
        mutes.change(states[0], made)
    except OSError as error:
        raise Stop(CANNOT_CREATE, f"{error.filename}: {error.strerror}: nothing is changed") from None


def _user() -> str:
    import pwd

    try:
        return os.environ.get("SUDO_USER") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _seconds(text: str) -> float:
    """Of ``90m``, ``12h``, ``3d``."""
    unit = {"m": 60, "h": 3600, "d": 86400}.get(text[-1:], 0)
    seconds = int(text[:-1]) * unit if text[:-1].isdecimal() and len(text) < 9 else 0
    if not 0 < seconds <= LONGEST_S:
        raise Stop(USAGE, f"--for wants 90m, 12h or 3d, at most a year, not {text!r}")
    return seconds
