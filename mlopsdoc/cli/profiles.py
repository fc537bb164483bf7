"""`profile list`, `show`, `capture`: what hosts should be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlopsdoc.cli.checking import in_time, open_recording, set_up
from mlopsdoc.cli.output import BAD_CONFIG, CANNOT_CREATE, Stop, say

if TYPE_CHECKING:
    import argparse

    from mlopsdoc.profile import Profile


def list_profiles(_: argparse.Namespace) -> int:
    """List the profiles, ours and the site's, with what they are about."""
    from mlopsdoc import catalog

    for name, path in sorted(catalog.profiles().items()):
        whose = "ours" if path.startswith(catalog.shipped("profiles")) else path
        try:
            about = _load(name).about
        except Stop as wrong:
            about = f"not usable: {wrong}"
        say(f"{name:<16} {about} ({whose})\n")
    return 0


def show_profile(arguments: argparse.Namespace) -> int:
    """Print a profile as TOML, with the comments of its file."""
    from mlopsdoc import catalog
    from mlopsdoc.clean import clean

    name = arguments.name
    _load(name)
    try:
        with open(name if "/" in name else catalog.profiles()[name], encoding="utf-8") as file:
            say(clean(file.read()))
    except OSError as error:
        raise Stop(BAD_CONFIG, f"{error.filename}: {error.strerror}") from None
    return 0


def _load(name: str) -> Profile:
    from mlopsdoc import catalog
    from mlopsdoc.config import WrongConfig
    from mlopsdoc.profile import WrongProfile

    try:
        return catalog.load_profile(name, catalog.find().checks)
    except (WrongConfig, WrongProfile) as error:
        raise Stop(BAD_CONFIG, str(error)) from None


def capture(arguments: argparse.Namespace) -> int:
    """Print, as a profile in TOML, what this host or a recorded one has."""
    from mlopsdoc.hosts.nursery import Nursery

    nursery = None if arguments.source else Nursery()  # before any thread and any heavy import
    from contextlib import closing

    from mlopsdoc import config
    from mlopsdoc.capturing import captured
    from mlopsdoc.engine import Ledger
    from mlopsdoc.hosts.live import Live
    from mlopsdoc.profile import as_toml, table

    if nursery is None:
        host, _ = open_recording(arguments.source, arguments.at, arguments.partial)
        with in_time(arguments.source):
            made = captured(Ledger(host))
    else:
        setup = set_up([], "")
        with closing(Live(nursery, states=config.state_folders(), bmc=setup.settings.bmc)) as live:
            made = captured(Ledger(live))
    text = "# Captured by mlopsdoc: only what was seen for certain. Look through it before it goes to other hosts.\n"
    text += as_toml(table(made))
    if not arguments.output:
        say(text)
        return 0
    try:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Stop(CANNOT_CREATE, f"{arguments.output}: {error.strerror}") from None
    return 0
