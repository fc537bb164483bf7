"""Services of systemd: whether one is there, runs, and starts at boot."""

from __future__ import annotations

from mlopsdoc import Answer, Fact, Host, Line
from mlopsdoc.clean import decode, one_line

PROPERTIES = "LoadState,ActiveState,SubState,Result,UnitFileState,StateChangeTimestamp"
WORDS = ("active", "inactive", "failed", "activating", "deactivating", "reloading")


class Unit(Fact, frozen=True):
    """load: loaded, not-found, masked. active: one of WORDS. sub: running, dead, auto-restart ... result: success,
    exit-code ... enabled: as systemctl is-enabled says it. since: as systemd prints it. Empty where not known."""

    name: str
    load: str
    active: str
    sub: str
    result: str
    enabled: str
    since: str
    line: Line

    @property
    def is_there(self) -> bool:
        return self.load not in ("not-found", "masked")

    @property
    def is_failing(self) -> bool:
        """Failed, or about to be started again because it failed."""
        return self.active == "failed" or self.sub == "auto-restart"

    @property
    def shown(self) -> str:
        """``failed (exit-code) since Fri 2026-11-20 03:10:07 UTC``."""
        why = f" ({self.result})" if self.result not in ("", "success") else ""
        return f"{self.sub if self.sub == 'auto-restart' else self.active}{why}" + (
            f" since {self.since}" if self.since else ""
        )


def unit(host: Host, name: str) -> Unit | None:
    """One service, by `systemctl show`; in other people's recordings by `status` or `is-active`. None: not known."""
    answer = host.run("systemctl", "show", "-p", PROPERTIES, name)
    if answer.said and "ActiveState=" in answer.text:
        return _shown(name, answer)
    if host.is_live:
        return None
    answer = host.run("systemctl", "status", name)
    if found := _status(name, answer):
        return found
    answer = host.run("systemctl", "is-active", name)
    word = answer.text.strip()
    return _unit(name, Line(answer.key, word), active=word) if word in WORDS else None


def _shown(name: str, answer: Answer) -> Unit:
    """``ActiveState=failed``, a line a property, in the order of systemd."""
    said = dict(line.split("=", 1) for line in answer.text.splitlines() if "=" in line)
    text = " ".join(f"{key}={said[key]}" for key in ("LoadState", "ActiveState", "SubState", "Result") if key in said)
    return _unit(
        name,
        Line(answer.key, text),
        load=said.get("LoadState", ""),
        active=said.get("ActiveState", ""),
        sub=said.get("SubState", ""),
        result=said.get("Result", ""),
        enabled=said.get("UnitFileState", ""),
        since=said.get("StateChangeTimestamp", ""),
    )


def _status(name: str, answer: Answer) -> Unit | None:
    """``systemctl status``::

        * nvidia-fabricmanager.service - NVIDIA fabric manager service
             Loaded: loaded (/lib/systemd/system/nvidia-fabricmanager.service; enabled; vendor preset: enabled)
             Active: failed (Result: exit-code) since Fri 2026-11-20 03:10:07 UTC; 3 days ago
             Active: activating (auto-restart) (Result: exit-code) since ...
    Unit nvidia-fabricmanager.service could not be found.
    """
    text = answer.text + decode(answer.stderr)
    if f"Unit {name}.service could not be found" in text:
        return _unit(name, Line(answer.key, "could not be found"), load="not-found", active="inactive")
    lines = [line.strip() for line in text.splitlines()]
    loaded = next((line.partition(":")[2] for line in lines if line.startswith("Loaded: ")), "")
    active = next((line.partition(":")[2].strip() for line in lines if line.startswith("Active: ")), "")
    word, _, rest = active.partition(" ")
    if word not in WORDS:
        return None
    return _unit(
        name,
        Line(answer.key, f"Active: {active}"),
        load=loaded.split()[0] if loaded.split() else "",
        active=word,
        sub=rest.partition("(")[2].partition(")")[0] if rest.startswith("(") and "(Result" not in rest[:8] else "",
        result=rest.partition("(Result: ")[2].partition(")")[0],
        enabled=loaded.partition(";")[2].partition(";")[0].strip(" )"),
        since=rest.partition(" since ")[2].partition(";")[0],
    )


def _unit(name: str, line: Line, **said: str) -> Unit:
    values = dict.fromkeys(("load", "active", "sub", "result", "enabled", "since"), "")
    values |= {field: one_line(value.strip(), 64) for field, value in said.items()}
    return Unit(name=name, line=line, **values)
