"""What is told to the process that runs a step, and what it tells: plain data, a line of JSON each."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from mlopsdoc.model import Status

# How a run ended. fine: the step did its work, and its check, if it names one, is ok. failed: the step did not end
# well. not_ok: it did, and its check is still not ok. not_known: its check cannot tell. refused: nothing was run.
Outcome: TypeAlias = Literal["fine", "failed", "not_ok", "not_known", "refused"]


class Plan(Struct, frozen=True, kw_only=True):
    """One step, ready to be run.

    argv, env: the process. uses: the values that it is given. by_sudo: it is started by sudo; in_session: in the
    session of the terminal, where sudo knows us. check: the check whose finding this is about, or empty; others: what
    it found before that is not meant by this step; before: its status. verify: whether that check must be ok within
    `within_s`. pid_start: when the process of the value PID started. root: where the check sees files from.
    states: folders of what runs remember, ours first. unrecorded: it may run though nothing can be written there.
    """

    run: str
    runbook: str
    step: str
    title: str
    touch: str
    is_undo: bool = False
    argv: list[str]
    env: dict[str, str]
    uses: dict[str, str]
    values: dict[str, str]
    by_sudo: bool = False
    in_session: bool = False
    timeout_s: float
    grace_s: float = 5.0
    on_hup: Literal["finish", "stop"]
    check: str = ""
    others: list[str] = []
    before: str = ""
    verify: bool = False
    within_s: float = 60
    pid_start: str = ""
    root: str = "/"
    states: list[str]
    tty: str = ""
    unrecorded: bool = False

    @property
    def changes(self) -> bool:
        return self.touch != "look"


class Warned(Struct, frozen=True, tag=True):
    """Something to know; the run goes on."""

    why: str


class Began(Struct, frozen=True, tag=True):
    """The step runs. log: the file with all of its output, or empty."""

    pid: int
    log: str


class Printed(Struct, frozen=True, tag=True):
    """A piece of output, made safe; whole lines, unless it waits for the rest of one."""

    text: str


class Skipped(Struct, frozen=True, tag=True):
    """That much output came faster than it was taken; the log has it."""

    size: int


class Stopping(Struct, frozen=True, tag=True):
    """The step is being ended: why."""

    why: str


class Ended(Struct, frozen=True, tag=True):
    """The step ended. exit: its code, negative for a signal, None where it could not be ended. why: what ended it, or
    empty. left: processes of it that live on.
    """

    exit: int | None
    seconds: float
    size: int
    why: str = ""
    left: list[str] = []


class Looked(Struct, frozen=True, tag=True):
    """What the check says now. It will be asked again unless this was the last time."""

    status: Status
    summary: str
    is_last: bool


class Done(Struct, frozen=True, tag=True):
    """The last message. why: what was refused, failed or is not ok."""

    outcome: Outcome
    why: str = ""


Event: TypeAlias = Warned | Began | Printed | Skipped | Stopping | Ended | Looked | Done


def packed(message: Plan | Event) -> bytes:
    """One line."""
    return msgspec.json.encode(message) + b"\n"


def event(line: bytes) -> Event:
    """Raises msgspec.DecodeError."""
    found: Event = msgspec.json.decode(line, type=Event)
    return found


def plan(line: bytes) -> Plan:
    """Raises msgspec.DecodeError."""
    return msgspec.json.decode(line, type=Plan)
