"""IMEX, the service by which GPUs of several hosts of one NVLink domain (GB200 NVL72) share their memory."""

from __future__ import annotations

from mlopsdoc import Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts.machine import Machine
from mlopsdoc.facts.units import Unit, unit

UNIT, NODES, LOG = "nvidia-imex", "/etc/nvidia-imex/nodes_config.cfg", "/var/log/nvidia-imex.log"
TABLE = "Nodes From"
MISMATCHES = {"!V!": "of another version", "!M!": "with another list of nodes"}


class Imex(Fact, frozen=True):
    """nodes: how many addresses its configuration has. unit: its service. state: of the domain, as nvidia-imex-ctl says
    it (UP, DEGRADED, DOWN), empty where it does not. missing: ``NODE is STATE`` of nodes that are not READY.
    mismatched: what keeps nodes apart that reach each other. error: the last of its log. at: as host.now()."""

    nodes: int
    unit: Unit | None
    state: str
    missing: tuple[str, ...]
    mismatched: tuple[str, ...]
    line: Line | None
    error: Line | None
    at: float

    @classmethod
    def read(cls, host: Host, machine: Machine) -> Imex:
        """The sign: addresses of several nodes in its configuration; elsewhere it is meant not to run.

        In a recording also what its tool or its service says. In containers and under DRA it belongs to a job.
        """
        if machine.container:
            raise NothingHere("the IMEX service is that of the host of this container")
        answer = host.read(NODES)
        lines = [line.partition("#")[0].strip() for line in answer.text.splitlines()] if answer.said else []
        nodes = sum(1 for line in lines if line)
        told = answer.status != "not_captured"
        if nodes < 2 and (host.is_live or told):
            raise NothingHere("no IMEX domain is configured")
        service = unit(host, UNIT)
        is_off = service is not None and service.active in ("inactive", "deactivating")
        state, missing, mismatched, line = ("", (), (), None) if is_off else _domain(host)
        if not nodes and not state and not (service and service.is_failing):
            raise NothingHere("no IMEX domain is in this recording")
        return cls(nodes, service, state, missing, mismatched, line, _error(host, service), host.now())


def _domain(host: Host) -> tuple[str, tuple[str, ...], tuple[str, ...], Line | None]:
    """What `nvidia-imex-ctl -N` shows, where its command service is on::

    Nodes:
    Node #0   - 10.114.3.17     - READY                - Version: 580.95
    Node #1   * 10.114.3.18     - UNAVAILABLE          - Version:

     Nodes From\\\\To  0   1
           0        C   !V!
           1        I   I
    Domain State: DEGRADED
    """
    answer = host.run("nvidia-imex-ctl", "-N")
    state, in_table, missing = "", False, list[str]()
    mismatched: dict[str, None] = {}
    for line in answer.text.splitlines() if answer.said else ():
        words = line.replace("*", "-").split()
        if words[:1] == ["Node"] and len(words) > 5 and words[1].startswith("#"):
            missing += [f"{words[3]} is {words[5]}"] if words[5] != "READY" else []
        elif line.strip().startswith(TABLE):
            in_table = True
        elif words[:2] == ["Domain", "State:"] and len(words) == 3:
            state = words[2]
        elif in_table:
            mismatched |= dict.fromkeys(MISMATCHES[word] for word in words if word in MISMATCHES)
    quoted = Line(answer.key, f"Domain State: {state}") if state else None
    return one_line(state, 40), tuple(one_line(one, 80) for one in missing), tuple(mismatched), quoted


def _error(host: Host, service: Unit | None) -> Line | None:
    """The last error of its log, asked where the service failed::

    [Nov 20 2026 03:10:07] [ERROR] [tid 39] No matching network interface found for any IP addresses in the node ...
    """
    if not service or not service.is_failing:
        return None
    answer = host.run("tail", "-n", "100", LOG)
    last = next((line for line in reversed(answer.text.splitlines()) if "] [ERROR] " in line), "")
    return Line(answer.key, one_line(last.rpartition("] ")[2], 200)) if last and answer.said else None
