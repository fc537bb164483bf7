"""Makes a plan of a step: which step, with which values, for which finding, as whom."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Literal

from mlopsdoc.clean import decode, one_line
from mlopsdoc.hosts.asking import SBIN, find_tool
from mlopsdoc.model import Finding, Result, Status
from mlopsdoc.runbook.parse import Runbook
from mlopsdoc.runbook.step import SUDO, Step, argv, environment, misfit
from mlopsdoc.runner.family import RUN, start_of
from mlopsdoc.runner.judging import agrees, meant, troubles, verdict
from mlopsdoc.runner.plan import Plan

# What a step sees of our environment besides its values; as root by sudo it sees what sudo gives.
_KEPT = (
    "HOME", "USER", "LOGNAME", "LANG", "TZ", "TMPDIR", "XDG_RUNTIME_DIR", "KUBECONFIG", "SLURM_CONF",
)  # fmt: skip


class NoSuchStep(ValueError):
    """No step of that name or number, or none that can be run: why."""


def step_of(book: Runbook, word: str) -> Step:
    """The step with that id or number."""
    numbered = dict(enumerate(book.steps, 1))
    step = book.step(word) or (numbered.get(int(word)) if word.isascii() and word.isdigit() else None)
    if step is None:
        raise NoSuchStep(f"runbook {book.name} has no step {word}")
    if not step.command:
        raise NoSuchStep(f"{step.title}: this is done by hand, see `mlopsdoc runbook show {book.name}`")
    if step.wrong:
        raise NoSuchStep(f"step {step.id} is wrong and is not run: {'; '.join(step.wrong)}")
    return step


def wrong_values(step: Step, values: Mapping[str, str], *, undo: bool = False) -> dict[str, str]:
    """The values that a step lacks or cannot take: name -> why."""
    uses = step.undo_uses if undo else step.uses
    return {name: why for name in uses if (why := misfit(name, values.get(name)))}


def candidates(result: Result, given: Mapping[str, str], missing: Sequence[str]) -> list[Finding]:
    """The findings that have all that is missing and contradict nothing that was given; each set of values once."""
    found = {
        tuple(one.params[name] for name in missing): one
        for one in reversed(troubles(result))
        if agrees(one, given) and all(name in one.params for name in missing)
    }
    return list(reversed(found.values()))


def sudo(*, new_session: bool) -> str:
    """Why sudo would not run a step now without a question, or nothing."""
    tool = find_tool("sudo")
    if tool is None:
        return "there is no sudo here"
    try:
        said = subprocess.run(
            [tool, "-n", *SUDO[1:], "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False,
            start_new_session=new_session,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"sudo: {error}"
    return one_line(decode(said.stderr), 200) or f"sudo ended with {said.returncode}" if said.returncode else ""


def make(
    book: Runbook,
    step: Step,
    values: Mapping[str, str],
    *,
    undo: bool = False,
    check: str = "",
    result: Result | None = None,
    states: Sequence[str] = (),
    root: str = "/",
    in_session: bool = False,
    tty: str = "",
    unrecorded: bool = False,
) -> Plan:
    """The plan; raises MissingValue. `result`: what the check said just now."""
    uses = environment(step, values, undo=undo)
    command = argv(step, values, undo=undo, as_root=os.geteuid() == 0)
    by_sudo = command[0] == SUDO[0]
    if by_sudo:  # it never asks: nobody could answer
        command = [find_tool("sudo") or "sudo", "-n", *command[1:]]
    others, before = _before(result, values)
    on_hup: Literal["finish", "stop"] = step.on_hup
    run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.urandom(3).hex()}"
    return Plan(
        run=run,
        runbook=book.name, step=step.id, title=step.title, touch=step.touch, is_undo=undo,
        argv=command, env=base_environment() | {RUN: run} | ({} if by_sudo else uses), uses=uses, values=dict(values),
        by_sudo=by_sudo, in_session=by_sudo and in_session, timeout_s=step.timeout_s, on_hup=on_hup,
        check=check if step.touch != "look" else "", others=others, before=before,
        verify=bool(step.verify) and not undo, within_s=step.within_s,
        pid_start=start_of(int(values["PID"])) or "gone" if "PID" in uses and step.touch != "look" else "",
        root=root, states=list(states), tty=tty, unrecorded=unrecorded,
    )  # fmt: skip


def _before(result: Result | None, values: Mapping[str, str]) -> tuple[list[str], str]:
    """The keys of what the check found and the step is not for, and how its subject is."""
    if result is None:
        return [], ""
    keys = {found.key for found in meant(result, values)}
    others = [found.key for found in troubles(result) if found.key not in keys]
    return others, verdict(result, values, others)[0].value


def stands(result: Result, values: Mapping[str, str]) -> str:
    """Why there is nothing any more that a step with these values is for; empty where there is."""
    if meant(result, values):
        return ""
    if result.status is Status.SKIPPED:
        return f"{result.id} has nothing to judge here: {result.reason}"
    about = " ".join(f"{name}={value}" for name, value in values.items())
    return f"{result.id} finds nothing wrong now{f' with {about}' if about else ''}"


def base_environment() -> dict[str, str]:
    """What a step sees besides its values."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    folders = [folder for folder in os.environ.get("PATH", "").split(":") if folder.startswith("/")]
    return kept | {"PATH": ":".join(dict.fromkeys([*folders, *SBIN])), "LC_ALL": "C.UTF-8", "TERM": "dumb"}
