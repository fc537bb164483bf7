"""Profiles: what a host should be. What it should have, which checks it leaves out and why, and its thresholds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, ValidationError, convert, field
from msgspec.structs import asdict

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


def parse(name: str, table: Mapping[str, Any], checks: Mapping[str, Check[...]], *, is_ours: bool = True) -> Profile:
    """A profile of its TOML, every name and value held against the checks; raises WrongProfile.

    One that is not ours came with a recording: what it says of checks that are not here (a site's own) is left out.
    """
    if unknown := set(table) - set(_Table.__struct_fields__):
        keys = ", ".join(_Table.__struct_fields__)
        raise WrongProfile(f"profile {name}: no such key: {', '.join(sorted(unknown))} ({keys})")
    try:
        given = convert(dict(table), _Table)
    except ValidationError as error:
        raise WrongProfile(f"profile {name}: {error}") from None
    by_name = {old: check for check in checks.values() for old in check.formerly} | dict(checks)
    if not is_ours:
        given.skip = {id: reason for id, reason in given.skip.items() if id in by_name}
        given.checks = {id: values for id, values in given.checks.items() if id in by_name}
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


def table(profile: Profile) -> dict[str, Any]:
    """What `parse` makes the same profile of; empty of the generic one."""
    if profile == Profile():
        return {}
    hardware = {name: value for name, value in asdict(profile.hardware).items() if value not in (None, "")}
    said = {"about": profile.about, "hardware": hardware, "skip": profile.skip, "checks": profile.thresholds}
    return {name: value for name, value in said.items() if value}


def as_toml(table: Mapping[str, Any]) -> str:
    """The text of such a table. A text in JSON is one in TOML."""
    lines = [f"{name} = {_value(value)}" for name, value in table.items() if not isinstance(value, dict)]
    for name in ("hardware", "skip"):
        if name in table:
            lines += ["", f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table[name].items())]
    for id, values in table.get("checks", {}).items():
        lines += ["", f"[checks.{id}]", *(f"{key} = {_value(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _known(profile: str, kind: str, name: str, names: Mapping[str, Any]) -> Any:
    if name in names:
        return names[name]
    from difflib import get_close_matches

    near = get_close_matches(name, names, 1)
    raise WrongProfile(f"profile {profile}: no such {kind}: {name}" + (f"; do you mean {near[0]}?" if near else ""))


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default))
