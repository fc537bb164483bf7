"""Profiles: what a host should be. What it should have, which checks it leaves out and why, and its thresholds."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from msgspec import Struct, ValidationError, convert, field

from mlopsdoc.authoring import Check, Hardware


class Profile(Struct, frozen=True):
    """hardware: what should be there. skip: check id -> the reason it is left out.

    thresholds: check id -> threshold name -> value.
    """

    name: str = "generic"
    about: str = "Any Linux host: every check, with its own thresholds"
    hardware: Hardware = Hardware()
    skip: dict[str, str] = field(default_factory=dict[str, str])
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


class _Table(Struct):
    about: str = ""
    hardware: Hardware = Hardware()
    skip: dict[str, str] = field(default_factory=dict[str, str])
    checks: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])


class WrongProfile(ValueError):
    """What is wrong, on one line, with the nearest right name."""


def parse(name: str, table: Mapping[str, Any], checks: Mapping[str, Check[...]]) -> Profile:
    """A profile of its TOML, every name and value held against the checks; raises WrongProfile."""
    if unknown := set(table) - set(_Table.__struct_fields__):
        keys = ", ".join(_Table.__struct_fields__)
        raise WrongProfile(f"profile {name}: no such key: {', '.join(sorted(unknown))} ({keys})")
    try:
        given = convert(dict(table), _Table)
    except ValidationError as error:
        raise WrongProfile(f"profile {name}: {error}") from None
    by_name = {old: check for check in checks.values() for old in check.formerly} | dict(checks)
    skips: dict[str, str] = {}
    for id, reason in given.skip.items():
        if not reason.strip():
            raise WrongProfile(f'profile {name}: skip needs a reason: {id} = "why"')
        skips[_known(name, "check", id, by_name).id] = reason
    thresholds: dict[str, dict[str, Any]] = {}
    for id, values in given.checks.items():
        check = _known(name, "check", id, by_name)
        for key, value in values.items():
            default = _known(name, f"threshold of {id}", key, check.thresholds)
            if not _same_kind(value, default):
                raise WrongProfile(
                    f"profile {name}: checks.{id}.{key} is {value!r}, wanted is a value like {default!r}"
                )
        thresholds[check.id] = values
    return Profile(name, given.about, given.hardware, skips, thresholds)


def _known(profile: str, kind: str, name: str, names: Mapping[str, Any]) -> Any:
    if name in names:
        return names[name]
    near = get_close_matches(name, names, 1)
    raise WrongProfile(f"profile {profile}: no such {kind}: {name}" + (f"; do you mean {near[0]}?" if near else ""))


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
