"""Where things are: configuration, drop-in folders and state. And which of them may be trusted."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import replace

from mlopsdoc import toml
from mlopsdoc.hosts.bmc import Bmc

ETC = "/etc/mlopsdoc"
ROOT_STATE = "/var/lib/mlopsdoc"


class WrongConfig(ValueError):
    """What is wrong with a configuration file, on one line that names it."""


class Config(Struct, frozen=True):
    """config.toml. profile: name or file. timeout_s: of a whole run. skip, checks: as in a profile, over it.

    bmc: how it is asked over the network. redaction_key: makes the pseudonyms of all hosts that share it the same.
    """

    profile: str = "generic"
    timeout_s: Annotated[float, Meta(gt=0, lt=86400)] = 60
    skip: dict[str, str] = field(default_factory=dict[str, str])
    checks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    bmc: Bmc | None = None
    redaction_key: Annotated[str, Meta(min_length=16)] | None = None


def config_folders() -> list[str]:
    """/etc/mlopsdoc, then the user's own; of two files the later one counts."""
    return [folder for folder in (ETC, _xdg("XDG_CONFIG_HOME", ".config")) if folder]


def state_folders() -> list[str]:
    """Where runs remember: the folder that is written, then those that are read as well.

    Root's is /var/lib/mlopsdoc, others' is in XDG_STATE_HOME; STATE_DIRECTORY, as systemd sets it, is before both.
    """
    own = ROOT_STATE if os.geteuid() == 0 else _xdg("XDG_STATE_HOME", ".local/state")
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if given.startswith("/"):
        return [given]
    return [folder for folder in dict.fromkeys((own, ROOT_STATE)) if folder]


def _xdg(variable: str, below_home: str) -> str:
    """The folder that the XDG rules name; relative values are ignored; empty when there is no home."""
    base = os.environ.get(variable, "")
    if not base.startswith("/"):
        home = os.path.expanduser("~")
        if not home.startswith("/") or not os.access(home, os.X_OK):  # a HOME kept from who we were before
            return ""
        base = f"{home}/{below_home}"
    return f"{base}/mlopsdoc"


def distrust(path: str) -> str:
    """Why a file or folder may not be loaded, or nothing.

    It and every folder above it must belong to root or (unless we are root) to us, and be writable by nobody
    else: it runs as us.
    """
    owners = {0, os.geteuid()}
    where = os.path.realpath(path)
    while True:
        status = os.stat(where)
        if status.st_uid not in owners:
            return f"{where} belongs to user {status.st_uid}"
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not (
            stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        ):
            return f"{where} may be written by others"
        if where == "/":
            return ""
        where = os.path.dirname(where)


def load_toml(path: str) -> dict[str, Any]:
    """A trusted TOML file; raises WrongConfig, FileNotFoundError."""
    try:
        with open(path, "rb") as file:
            data = file.read(1 << 20)
        if why := distrust(path):
            raise WrongConfig(f"{path} is not loaded: {why}")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise WrongConfig(f"{path} cannot be read: {error.strerror}") from None
    try:
        return toml.loads(data)
    except ValueError as error:
        raise WrongConfig(f"{path}: {error}") from None


def load() -> tuple[Config, list[str]]:
    """The configuration, and what is wrong with it: a file that is wrong counts as absent."""
    merged: dict[str, Any] = {}
    wrong: list[str] = []
    for folder in config_folders():
        path = f"{folder}/config.toml"
        try:
            table = load_toml(path)
            _validate(path, table)
        except FileNotFoundError:
            continue
        except WrongConfig as error:
            wrong.append(str(error))
            continue
        for key, value in table.items():
            merged[key] = merged.get(key, {}) | value if isinstance(value, dict) else value
    config = convert(merged, Config)
    if config.bmc and (why := config.bmc.refusal()):
        return replace(config, bmc=None), [*wrong, f"the BMC of config.toml is not asked: {why}"]
    return config, wrong


def _validate(path: str, table: Mapping[str, Any]) -> None:
    if unknown := set(table) - set(Config.__struct_fields__):
        known = ", ".join(Config.__struct_fields__)
        raise WrongConfig(f"{path}: no such key: {', '.join(sorted(unknown))} (known: {known})")
    try:
        convert(table, Config)
    except ValidationError as error:
        raise WrongConfig(f"{path}: {error}") from None
