"""Finds checks, runbooks, profiles and snapshots: files in folders, ours and a site's, loaded alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import cache_from_source, module_from_spec
from types import ModuleType
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from mlopsdoc import config
from mlopsdoc.authoring import Check
from mlopsdoc.profile import Profile, WrongProfile, parse
from mlopsdoc.shipped import shipped as shipped


class Catalog(Struct, frozen=True):
    """What was found. runbooks: stem -> path. refused: path -> why it was not loaded."""

    checks: dict[str, Check[...]] = field(default_factory=dict[str, Check[...]])
    runbooks: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, str] = field(default_factory=dict[str, str])

    def by_name(self) -> dict[str, Check[...]]:
        """The checks by id and by former id."""
        return {old: check for check in self.checks.values() for old in check.formerly} | self.checks


def find(*, drop_ins: bool = True) -> Catalog:
    """Shipped checks and runbooks, and a site's own, which may replace ours."""
    catalog = Catalog()
    _add(catalog, os.path.dirname(shipped("checks")), shipped_ones=True)
    if drop_ins:
        for folder in config.config_folders():
            _add(catalog, folder, shipped_ones=False)
    for check in catalog.checks.values():
        check.runbook = check.id if check.id in catalog.runbooks else ""
    return catalog


def _add(catalog: Catalog, folder: str, *, shipped_ones: bool) -> None:
    for name, path in _files(f"{folder}/runbooks", ".md"):
        if shipped_ones or _trusted(catalog, path):
            catalog.runbooks[name] = path
    for name, path in _files(f"{folder}/checks", ".py"):
        if shipped_ones or _trusted(catalog, path):
            try:
                catalog.checks[name] = load_check(name, path)
            except Exception as error:
                catalog.refused[path] = f"{type(error).__name__}: {error}"


def _files(folder: str, suffix: str) -> list[tuple[str, str]]:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [
        (name.removesuffix(suffix), f"{folder}/{name}")
        for name in names
        if name.endswith(suffix) and not name.startswith(("_", ".")) and name != "README.md"
    ]


def _trusted(catalog: Catalog, path: str) -> bool:
    """Whether a file may be loaded, with the bytecode that would be loaded in its place."""
    bytecode = cache_from_source(path)
    try:
        parts = [part for part in (os.path.dirname(bytecode), bytecode) if os.path.exists(part)]
        why = next((why for part in (path, *parts) if (why := config.distrust(part))), "")
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    if why:
        catalog.refused[path] = why
    return not why


def load_check(name: str, path: str) -> Check[...]:
    """The check that a file defines: the one with the file's name. Raises whatever is wrong with the file."""
    module = _module(f"mlopsdoc_checks.{name}", path)
    found = getattr(module, name, None)
    if not isinstance(found, Check):
        raise TypeError(f"{path} defines no check named {name}")
    return found


def _module(name: str, path: str) -> ModuleType:
    spec = ModuleSpec(name, SourceFileLoader(name, path), origin=path)
    spec.has_location = True  # so that its bytecode is cached
    module = module_from_spec(spec)
    sys.modules[name] = module
    assert spec.loader is not None
    spec.loader.exec_module(module)
    return module


def profiles() -> dict[str, str]:
    """Profile files by name, a site's over ours."""
    found = dict(_files(shipped("profiles"), ".toml"))
    for folder in config.config_folders():
        found |= dict(_files(f"{folder}/profiles", ".toml"))
    return found


def load_profile(name: str, checks: Mapping[str, Check[...]]) -> Profile:
    """The profile of that name or file; raises WrongProfile or WrongConfig."""
    known = profiles()
    path = name if "/" in name else known.get(name, "")
    if name == "generic" and path.startswith(shipped("profiles")):
        return Profile()
    if not path:
        raise WrongProfile(f"no such profile: {name} (known: {', '.join(sorted(known))})")
    try:
        table = config.load_toml(path)
    except FileNotFoundError:
        raise WrongProfile(f"no such profile: {path}") from None
    return parse(os.path.basename(path).removesuffix(".toml"), table, checks)


def overlay(profile: Profile, settings: config.Config, checks: Mapping[str, Check[...]]) -> Profile:
    """The profile with the skips and thresholds of config.toml over it; raises WrongProfile."""
    if not settings.skip and not settings.checks:
        return profile
    table: dict[str, Any] = {"skip": settings.skip, "checks": settings.checks}
    over = parse("config.toml", table, checks)
    thresholds = dict(profile.thresholds)
    for id, values in over.thresholds.items():
        thresholds[id] = thresholds.get(id, {}) | values
    return replace(profile, skip=profile.skip | over.skip, thresholds=thresholds)
