"""What changed between two moments of a host, or between two hosts, by meaning.

Findings and statuses are compared by their keys, answers by what they are about: a version, a setting, topology, a
counter (which only grows). What differs at every look - times, temperatures, pids, clocks - is folded into a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from msgspec import Struct

from mlopsdoc.clean import one_line
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording
from mlopsdoc.model import Finding, HostInfo, Report, Status

SCHEMA = "mlopsdoc.diff/1"
GROUPS = ("versions", "settings", "topology", "counters")
MOST_LINES = 6

# What the answer to a question is about; the first row that matches counts, and what matches none is folded.
ABOUT = (
    ("versions", "read /proc/sys/kernel/osrelease"),
    ("versions", "read /etc/os-release"),
    ("versions", "read /sys/module/*/version"),
    ("versions", "read /proc/driver/nvidia/version"),
    ("versions", "read /sys/class/dmi/id/bios_*"),
    ("versions", "run modinfo -F version *"),
    ("versions", "run dkms status"),
    ("versions", "run dpkg-query -W"),
    ("versions", "run rpm -qa"),
    ("versions", "run nv-fabricmanager -v"),
    ("folded", "read /proc/sys/kernel/random/*"),
    ("folded", "read /proc/sys/kernel/hostname"),
    ("folded", "read /sys/module/*/parameters/*time*"),
    ("settings", "read /sys/module/*/parameters/*"),
    ("settings", "read /proc/sys/*"),
    ("settings", "read /proc/cmdline"),
    ("settings", "read */scaling_governor"),
    ("settings", "read */scaling_driver"),
    ("settings", "read */scaling_max_freq"),
    ("settings", "read */intel_pstate/*"),
    ("settings", "read */constraint_*_power_limit_uw"),
    ("settings", "read /etc/*"),
    ("topology", "read /sys/bus/pci/devices/*/uevent"),
    ("topology", "read /sys/bus/pci/devices/*/numa_node"),
    ("topology", "read /sys/devices/system/node/*/cpulist"),
    ("topology", "read /sys/devices/system/node/*/distance"),
    ("topology", "read /sys/devices/system/cpu/online"),
    ("topology", "run nvidia-smi topo -m"),
    ("topology", "run nvidia-smi -L"),
    ("topology", "run numactl -H"),
    ("topology", "link *"),
    ("counters", "read */*_throttle_count"),
    ("counters", "read */ce_count"),
    ("counters", "read */ue_count"),
    ("counters", "read */counters/*"),
)
# The same for the values that NVML gives, by the end of their name.
VALUES = (
    ("versions", r"driver|nvml|cuda|library|vbios|inforom.*|firmware"),
    ("topology", r"uuid|serial|pci|name|count|links|mig.*|is_up|state|version"),
    ("settings", r"persistence.*|power_limit.*|power_default.*|compute_mode|ecc_mode|.*_max_mhz|power_range.*"),
    ("counters", r".*(crc|replay|recovery|error|ecc|correct|retired|remap|xid|_count|symbol).*"),
)


class Change(Struct, frozen=True, omit_defaults=True):
    """One change. what: check, finding, versions ...; how: worse, better, new, gone, changed, grown."""

    what: str
    how: str
    name: str
    before: str = ""
    after: str = ""
    times: int = 1


class Diff(Struct, frozen=True, kw_only=True):
    """From `a` to `b`. folded: how many answers differ that differ at every look. is_worse: a status got worse."""

    schema: str = SCHEMA
    a: HostInfo
    b: HostInfo
    taken_a: str
    taken_b: str
    same_host: bool
    same_boot: bool
    is_worse: bool
    changes: list[Change]
    folded: int


def diff(a: Report, answers_a: Recording, b: Report, answers_b: Recording) -> Diff:
    """What changed from the first to the second."""
    same_boot = bool(a.host.boot_id) and a.host.boot_id == b.host.boot_id
    changes = [*_checks(a, b), *_findings(a, b), *_of_host(a.host, b.host)]
    told, folded = _answers(answers_a, answers_b, same_boot)
    order = {group: n for n, group in enumerate(GROUPS)}
    return Diff(
        a=a.host,
        b=b.host,
        taken_a=a.taken_at or "",
        taken_b=b.taken_at or "",
        same_host=a.host.name == b.host.name,
        same_boot=same_boot,
        is_worse=any(change.how == "worse" for change in changes),
        changes=changes + sorted(_folded(told), key=lambda change: (order[change.what], change.name)),
        folded=folded,
    )


def _how(before: Status, after: Status) -> str:
    if before is after or not (before.is_trouble or after.is_trouble):
        return "changed"  # there or not there is neither
    return "worse" if before < after else "better"


def _checks(a: Report, b: Report) -> Iterator[Change]:
    """Checks that both judged, and whose status is another."""
    was = {result.id: result for result in a.checks}
    for result in b.checks:
        before = was.get(result.id)
        if before is not None and before.status is not result.status:
            how = _how(before.status, result.status)
            yield Change("check", how, result.id, before.status.value, result.status.value)


def _findings(a: Report, b: Report) -> Iterator[Change]:
    """Trouble that came, went or got another status, by key; what is only said otherwise is no change."""
    was, now = _by_key(a), _by_key(b)
    for key, found in now.items():
        before = was.get(key)
        if before is None and found.status.is_trouble:
            yield Change("finding", "worse", key, "", _said(found))
        elif before is not None and _how(before.status, found.status) != "changed":
            yield Change("finding", _how(before.status, found.status), key, _said(before), _said(found))
    for key, before in was.items():
        if key not in now and before.status.is_trouble:
            yield Change("finding", "better", key, _said(before), "")


def _by_key(report: Report) -> dict[str, Finding]:
    return {finding.key: finding for result in report.checks for finding in result.findings}


def _said(found: Finding) -> str:
    return f"{found.status.value}: {found.summary}"


def _of_host(a: HostInfo, b: HostInfo) -> Iterator[Change]:
    """What a host is; it always has all but GPUs, so what is not said of one was not seen."""
    for name in ("kernel", "os", "product", "cpus", "memory", "gpus"):
        before, after = str(getattr(a, name)), str(getattr(b, name))
        if before != after and ((before and after) or (name == "gpus" and a.kernel and b.kernel)):
            yield Change("host", "changed", name, before, after)


def _answers(a: Recording, b: Recording, same_boot: bool) -> tuple[list[Change], int]:
    """What the answers that both have tell, and how many more differ."""
    changes: list[Change] = []
    folded = 0
    for key in sorted(a.answers.keys() & b.answers.keys()):
        before, after = a.answers[key], b.answers[key]
        if before.status == after.status and before.data == after.data:
            continue
        if not (before.said and after.said):
            if before.said or after.said:
                group = _about(key)
                seen = Change(group, "changed", key, _in_short(before), _in_short(after))
                changes += [seen] if group in GROUPS else []
                folded += group not in GROUPS
            continue
        found = list(_values(key, before, after) if key.startswith("probe nvml") else _texts(key, before, after))
        changes += [change for change in found if change.how != "grown" or same_boot]
        folded += not found
    return changes, folded


def _in_short(answer: Answer) -> str:
    return one_line(answer.text.strip(), 200) if answer.said else answer.status


@cache
def _about(key: str) -> str:
    return next((group for group, pattern in ABOUT if fnmatchcase(key, pattern)), "folded")


def _texts(key: str, a: Answer, b: Answer) -> Iterator[Change]:
    """The lines that differ of a text, or one change for one line."""
    group = _about(key)
    if group not in GROUPS:
        return
    was, now = a.text.split("\n"), b.text.split("\n")
    if group == "counters":
        yield from _grown(key, a.text.strip(), b.text.strip())
        return
    gone, new = [line for line in was if line not in now], [line for line in now if line not in was]
    if len(gone) <= 1 and len(new) <= 1:
        yield Change(group, "changed", key, one_line("".join(gone), 200), one_line("".join(new), 200))
        return
    for how, lines in (("gone", gone), ("new", new)):
        more = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
        for line in lines[:MOST_LINES] + more:
            text = one_line(line, 200)
            yield Change(group, how, key, text if how == "gone" else "", text if how == "new" else "")


def _grown(name: str, before: str, after: str) -> Iterator[Change]:
    if before.isdecimal() and after.isdecimal() and int(after) != int(before):
        yield Change("counters", "grown" if int(after) > int(before) else "changed", name, before, after)


def _values(key: str, a: Answer, b: Answer) -> Iterator[Change]:
    """The values in two answers of NVML that differ and mean something, by their place in it."""
    try:
        was, now = dict(_leaves(a.json())), dict(_leaves(b.json()))
    except ValueError:
        return
    for place in sorted(was.keys() | now.keys()):
        before, after = was.get(place, ""), now.get(place, "")
        last = next((part for part in reversed(place.split(".")) if not part.isdecimal()), "")
        is_seen = bool(before and after) or (last == "pci" and key == "probe nvml static")
        if before == after or not is_seen:  # what could not be asked is told by findings
            continue
        group = next((group for group, pattern in VALUES if re.fullmatch(pattern, last)), "")
        name = re.sub(r"\Agpus\.(?:0000:)?([0-9a-f:]+\.[0-7])\.(?:values\.)?", r"GPU \1 ", place)
        name = name.replace("links.", "link ").replace(".values.", " ")
        name = name.removesuffix(" pci") + " in NVML" if last == "pci" else name
        if group == "counters":
            yield from _grown(name, before, after)
        elif group:
            yield Change(group, "changed" if before and after else "gone" if before else "new", name, before, after)


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """``gpus.0000:1b:00.0.values.vbios`` and its value; rows of a list by their PCI address where they have one."""
    if isinstance(value, dict):
        for name, item in value.items():  # pyright: ignore
            yield from _leaves(item, f"{place}.{name}" if place else str(name))  # pyright: ignore
    elif isinstance(value, list):
        for number, item in enumerate(value):  # pyright: ignore
            name = item.get("pci", number) if isinstance(item, dict) else number  # pyright: ignore
            yield from _leaves(item, f"{place}.{name}")
    elif value is not None:
        yield place, one_line(str(value), 200)


def _folded(changes: Iterable[Change]) -> list[Change]:
    """The same change at many places (224 CPUs, 4 GPUs) once, with the numbers in its name as a star."""
    found: dict[tuple[str, ...], list[Change]] = {}
    for change in changes:
        name = re.sub(r"(?<=cpu|ode)[0-9]+|(?<=GPU )[0-9a-f:.]+(?= )|(?<=link )[0-9]+", "*", change.name)
        same = found.setdefault((change.what, change.how, name, change.before, change.after), [])
        if change not in same:  # NVML says its version with every answer
            same.append(change)
    return [
        same[0] if len(same) == 1 else Change(what, how, name, before, after, len(same))
        for (what, how, name, before, after), same in found.items()
    ]
