"""One step of a runbook: its command, what its fence says about it, and the values that it is given.

Values reach a command through the environment only: its text is never edited, so what was reviewed is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from msgspec import Struct

from mlopsdoc.clean import one_line
from mlopsdoc.model import PARAMETERS, SITE_PARAMETERS, parameter_fits, parameter_pattern
from mlopsdoc.runbook.markdown import Block
from mlopsdoc.runbook.shell import scan

TOUCHES = ("look", "tune", "jobs", "kills")  # what a step may do to the machine, the harmless first
TIMEOUT_S = 60
WITHIN_S = 60
MAX_TIMEOUT_S = 86400
SHELL = ("/bin/sh", "-euc")
SHELL_HAS = frozenset(("HOME", "IFS", "OPTARG", "OPTIND", "PATH", "PPID", "PWD"))
SUDO = ("sudo", "--", "/usr/bin/env")
_UNITS = {"s": 1, "m": 60, "h": 3600}


class MissingValue(ValueError):
    """A step was not given what it needs. `names`: parameter -> what is wrong with its value."""

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name} {why}" for name, why in names.items()))
        self.names = names


class Step(Struct, frozen=True, kw_only=True):
    """One command for one purpose, or (without a command) something to be done by hand.

    id: the slug of its title, unique in the runbook. touch: one of TOUCHES; what is not understood counts as
    "kills". uses: the variables that it must be given. verify: the check that must be ok at most within_s seconds
    later. on_hup: what becomes of it when the terminal dies. no_undo: there is no way back, says the runbook. wrong:
    why it must not be run, as the runbook is in error.
    """

    id: str
    title: str
    line: int
    section: str
    blocks: tuple[Block, ...] = ()
    command: str = ""
    command_at: int = 0
    fence_at: int = 0
    touch: str = ""
    root: bool = False
    timeout_s: int = TIMEOUT_S
    verify: str = ""
    within_s: int = WITHIN_S
    on_hup: Literal["finish", "stop"] = "stop"
    uses: tuple[str, ...] = ()
    undo: str = ""
    undo_at: int = 0
    undo_root: bool = False
    undo_uses: tuple[str, ...] = ()
    no_undo: bool = False
    wrong: tuple[str, ...] = ()

    @property
    def prose(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.kind not in ("command", "undo"))


def variables(command: str) -> tuple[str, ...]:
    """The parameters that a command reads and does not set itself; raises TooDeep.

    A variable that is no parameter counts too, unless the shell has it or the text has a default for it.
    """
    uses = scan(command).uses
    names = (use.name for use in uses if use.free and (parameter_pattern(use.name) or not use.fallback))
    return tuple(dict.fromkeys(name for name in names if name not in SHELL_HAS))


def environment(step: Step, params: Mapping[str, str], *, undo: bool = False) -> dict[str, str]:
    """The values that the command (or its undo) is given, no others; raises MissingValue."""
    wrong: dict[str, str] = {}
    found: dict[str, str] = {}
    for name in step.undo_uses if undo else step.uses:
        if why := misfit(name, params.get(name)):
            wrong[name] = why
        else:
            found[name] = params[name]
    if wrong:
        raise MissingValue(wrong)
    return found


def misfit(name: str, value: str | None) -> str:
    """Why a parameter may not have this value, or nothing."""
    if parameter_pattern(name) is None:
        return "is no parameter: see the table in runbooks/README.md"
    if value is None:
        return "is missing"
    if not value:
        return "is empty"
    if value.startswith("-"):
        return f"begins with a dash: {one_line(value, 80)!r}"
    if not parameter_fits(name, value):
        return f"cannot be {one_line(value, 80)!r}: wanted is {about(name)}"
    return ""


def about(name: str) -> str:
    """What the values of a parameter are, in words."""
    end = next((end for end in SITE_PARAMETERS if name.endswith(end)), "")
    return MEANINGS.get(name) or MEANINGS.get(end, "")


MEANINGS = {
    "GPU": "the PCI address of a GPU, such as 0000:1b:00.0 (never its index: that shifts)",
    "GPU_UUID": "the UUID of a GPU or MIG instance, such as GPU-5c9a1f0e-...",
    "PCI": "the PCI address of a device, such as 0000:1b:00.0",
    "POOL": "the name of a ZFS pool",
    "VDEV": "a device of a pool, as zpool status names it",
    "DISK": "a block device, such as /dev/nvme3n1",
    "NIC": "a network interface, such as eth0",
    "RDMA": "an RDMA device, such as mlx5_0",
    "PID": "a process id",
    "NODE": "the number of a NUMA node",
    "CPUS": "a list of CPUs, such as 0-15,32-47",
    "UNIT": "a systemd unit, such as slurmd.service",
    "JOB": "the id of a batch job",
    "USER": "a user name",
    "MOUNT": "a mount point or folder",
    "DIMM": "the slot of a memory module, as the board names it",
    "PSU": "a power supply, as the BMC names it",
    "_PATH": "an absolute path",
    "_INT": "a whole number",
    "_NAME": "a name",
}
assert set(MEANINGS) == set(PARAMETERS) | set(SITE_PARAMETERS)


def argv(step: Step, params: Mapping[str, str], *, undo: bool = False, as_root: bool = False) -> list[str]:
    """The command as it is started; raises MissingValue.

    As root by sudo, which empties the environment, the values stand in the arguments; otherwise (and where
    `as_root` says that we are root already) the process that starts it puts `environment` into its own.
    """
    values = environment(step, params, undo=undo)
    shell = [*SHELL, step.undo if undo else step.command]
    if (step.undo_root if undo else step.root) and not as_root:
        return [*SUDO, *(f"{name}={value}" for name, value in values.items()), *shell]
    return shell


def command_line(step: Step, params: Mapping[str, str], *, undo: bool = False, as_root: bool = False) -> str:
    """The same as text that can be pasted into any shell, values included; raises MissingValue."""
    from shlex import quote

    words = argv(step, params, undo=undo, as_root=as_root)
    values = {} if words[0] == SUDO[0] else environment(step, params, undo=undo)
    return " ".join([*(f"{name}={quote(value)}" for name, value in values.items()), *map(quote, words)])


# What a fence says


def _seconds(value: str) -> int:
    number, unit = value[:-1], value[-1:]
    if not number.isascii() or not number.isdigit() or unit not in _UNITS or len(number) > 6:
        raise ValueError("a time is written like 60s, 5m or 1h")
    seconds = int(number) * _UNITS[unit]
    if not 1 <= seconds <= MAX_TIMEOUT_S:
        raise ValueError("a timeout is 1s to 24h")
    return seconds


def _word(value: str) -> str:
    if not value.replace("_", "").isalnum() or not value.isascii():
        raise ValueError("wanted is the id of a check")
    return value


def _one_of(**meanings: Any) -> Callable[[str], Any]:
    def read(value: str) -> Any:
        if value not in meanings:
            raise ValueError(f"wanted is {' or '.join(meanings)}")
        return meanings[value]

    return read


ATTRIBUTES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "needs": ("root", _one_of(root=True)),
    "timeout": ("timeout_s", _seconds),
    "verify": ("verify", _word),
    "within": ("within_s", _seconds),
    "on_hup": ("on_hup", _one_of(finish="finish", stop="stop")),
    "undo": ("no_undo", _one_of(none=True)),
}
