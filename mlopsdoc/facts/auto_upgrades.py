"""Upgrades that start by themselves, and the packages that they leave alone."""

from __future__ import annotations

from mlopsdoc import Answer, Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts.packages import Packages

APT, UNATTENDED = "/etc/apt/apt.conf.d/*", "/usr/bin/unattended-upgrades"  # a link to the program
ON, EXCLUDED = "APT::Periodic::Unattended-Upgrade", "Unattended-Upgrade::Package-Blacklist"
DNF, TIMERS = "/etc/dnf/automatic.conf", "/etc/systemd/system/timers.target.wants"
LOCKS = ("/etc/dnf/plugins/versionlock.list", "/etc/dnf/dnf.conf")
FORMER = ("//", "#")


class AutoUpgrades(Fact, frozen=True):
    """by: what upgrades by itself. excluded: whether it leaves packages with `nvidia` in their names alone."""

    by: str
    excluded: bool
    line: Line

    @classmethod
    def read(cls, host: Host, packages: Packages) -> AutoUpgrades:
        """Raises NothingHere where none starts by itself."""
        found = _apt(host) if packages.is_dpkg else _dnf(host)
        if found is None:
            raise NothingHere("no upgrade starts by itself")
        return found


def _apt(host: Host) -> AutoUpgrades | None:
    """Of all files of APT the last value counts, and every entry of a list::

    APT::Periodic::Unattended-Upgrade "1";
    Unattended-Upgrade::Package-Blacklist {
        "nvidia-";
        // "linux-";
    };
    """
    on: Line | None = None
    is_list, excluded = False, False
    for _, answer in sorted(host.tree(APT).items()):
        for line in _lines(answer):
            if line.startswith(ON):
                value = line.removeprefix(ON).strip(' ";')
                on = Line(answer.key, line) if value not in ("", "0") else None
            is_list = is_list or line.startswith(EXCLUDED)
            excluded = excluded or (is_list and "nvidia" in line)
            is_list = is_list and "}" not in line and not (line.startswith(EXCLUDED) and ";" in line)
    if on is None or host.link(UNATTENDED).status in ("absent", "not_captured"):
        return None
    return AutoUpgrades("unattended-upgrades", excluded, on)


def _dnf(host: Host) -> AutoUpgrades | None:
    """``apply_updates = yes`` with its timer on, or the timer that installs whatever that says."""
    timers = [name for name in ("dnf-automatic", "dnf-automatic-install") if host.link(f"{TIMERS}/{name}.timer").said]
    answer = host.read(DNF)
    applies = [
        line for line in _lines(answer) if line.replace(" ", "").lower() in ("apply_updates=yes", "apply_updates=true")
    ]
    if not timers or not (applies or "dnf-automatic-install" in timers):
        return None
    locks = [line for path in LOCKS for line in _lines(host.read(path)) if "nvidia" in line and line[:1] != "!"]
    line = Line(answer.key, applies[-1]) if applies else Line(f"link {TIMERS}/{timers[-1]}.timer", "is on")
    return AutoUpgrades("dnf-automatic", bool(locks), line)


def _lines(answer: Answer) -> list[str]:
    lines = [one_line(line.strip(), 400) for line in answer.text.splitlines()] if answer.said else []
    return [line for line in lines if line and not line.startswith(FORMER)]
