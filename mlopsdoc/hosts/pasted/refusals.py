"""What tools print instead of an answer: not there, not allowed, failed; one place for the texts."""

from __future__ import annotations

from collections.abc import Sequence

from mlopsdoc.hosts.base import AnswerStatus
from mlopsdoc.hosts.pasted.shapes import is_log_line
from mlopsdoc.patterns import compiled

_NOT_FOUND = (
    r"zsh: command not found: (\S+)|Command '(\S+)' not found"
    r"|(?:-?(?:ba|z|k|da|a)?sh: )?(?:line )?(?:[0-9]+: )*(?:sudo: |exec: |env: |timeout: failed to run command )?"
    r"['\u2018\"]?([\w./+-]{1,80})['\u2019\"]?: (?:command )?not found\b.{0,40}$"
    r"|.{0,80}exec: \"([\w./-]+)\": executable file not found"
)
_TROUBLE = (
    r"(?:[Pp]ermission denied|Operation not permitted|[Mm]ust be (?:run as )?root|[Rr]equires? root"
    r"|need to be root|are you root\?|root privileges|Insufficient Permissions)"
)
_NAMED = rf"(?P<who>[\w./+-]{{1,140}})\S{{0,8}}: .{{0,200}}{_TROUBLE}"  # of the tool itself, its name in front
_DENIED = rf"(?:You |ERROR: |Error: |error: )?(?:.{{0,40}}\b)?{_TROUBLE}"  # a sentence that is a line of its own
SHELLS = ("sudo", "doas", "su", "bash", "-bash", "sh", "-sh", "zsh", "-zsh", "dash", "-dash")
_FAILED = (
    r"NVIDIA-SMI has failed|Failed to initialize|No devices were found|Unable to determine the device handle"
    r"|NVIDIA-SMI couldn't|Could not open device|Error: |error: |ERROR: |The ZFS modules are not loaded|cannot open '"
    r"|mdadm: (?:cannot|No |must)|Unit \S+ could not be found|.{0,60}(?:unrecognized|invalid|[Uu]nknown) option|Usage: "
    r"|Invalid combination|ipmi_\w+: |ipmi-\w+: |Smartctl open device|.{0,100}No such device|NVML: |Cannot get "
    r"|No such file"
)


def refusal(tool: str, lines: Sequence[str], *, is_log: bool, is_filtered: bool, is_known: bool) -> AnswerStatus | None:
    """Why a command has no output: its program is not there, it may not ask, or it failed; None where it said more.

    What stands in a line of a log is no refusal: ``grep -i denied`` finds such lines. A filter does not see what a
    program says of its own trouble.
    """
    first = next((line for line in lines if line.strip()), "")
    if len(first) > 1000 or is_log_line(first):
        return None
    match = compiled(_NOT_FOUND).match(first)
    if match is not None and tool in {(name or "").rpartition("/")[2] for name in match.groups()}:
        return "absent"
    count = sum(1 for line in lines if line.strip()) if len(lines) < 40 else len(lines)
    named = compiled(_NAMED).match(first)
    is_named = named is not None and named["who"].rpartition("/")[2] in (tool, *SHELLS)
    if count <= 4 and (is_named or compiled(_DENIED).match(first)):
        return None if is_filtered and not is_named else "denied"
    if count <= 6 and is_known and not is_log and compiled(_FAILED).match(first):
        return "failed"
    return None
