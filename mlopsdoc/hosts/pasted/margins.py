"""What programs and people put around the lines of a text, and what a terminal does not show of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from mlopsdoc.hosts.pasted.prompts import prompt_of
from mlopsdoc.hosts.pasted.shapes import HIDDEN, start_of
from mlopsdoc.patterns import compiled

LOOKED_AT = 200  # lines
_QUOTE = r"> ?"
_STAMP = (
    r"\[?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?"
    r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?\]?(?: |$)"
)
_NUMBER = r" {0,7}([0-9]{1,6})(?:\t|: ?| ?\| ?|\. |  |$)"

# What tools that ask many hosts put above what each said: ansible, pssh, and people, who head other things too.
_ANSIBLE = r"([\w.,\[\]-]{1,64}) \| (?:(?:CHANGED|SUCCESS|FAILED)!?(?: \| rc=[0-9]+)? (?:>>|=>)|UNREACHABLE!? =>)"
_PSSH = r"\[[0-9]{1,5}\] [0-9:]{8} \[(?:SUCCESS|FAILURE)\] ([\w.-]{1,64})"
_HEADING = (
    r"(?:(?:={2,}|-{3,}|#{2,}|\*{2,}|>{3,}|# ?(?=[a-z]+-)) ?|# ?(?:on|host|node|server)[: ] ?)"
    r"([A-Za-z][\w.-]{0,60}[0-9][\w.-]{0,20}):?(?: ?[=#*<-]{2,})?\s*$"
)
_NO_HOST = (
    r"(?:step|run|test|part|before|after|try|take|phase|sample|day|attempt|case|log|boot|section|gpu|node|cpu"
    r"|nvme|sd|md|eth|ib|mlx[0-9]_|pool|disk|psu|dimm|slot)s?_?"
)
# clush -b and dshbak -c: between two rules of 15 or 16, one host or several that said the same.
_RULE = r"-{15,16}$"
_SET = r"([A-Za-z][\w.-]{0,60}(?:[0-9]|\[[0-9])[\w.,\[\]-]{0,60})(?: \([0-9]{1,5}\))?$"
_PREFIX = r"([A-Za-z][\w.-]{1,63}): ?"
# In front of every line: pdsh, docker compose logs, kubectl logs --prefix.
_LEAD = r"[A-Za-z][\w.-]{1,63}: |[\w.-]{1,64} +\| |\[(?:pod|container)/[\w./-]{1,200}\] "
# The borders of quoted output in markdown, trackers and web pages; what script(1) writes around a session.
_FENCE = (
    r"\s{0,3}(?:(?:`{3,}|~{3,})[\w+ -]{0,20}|\{(?:code|noformat)(?::[^}]{0,60})?\}|</?(?:pre|code)>|\[/?code\])\s*$"
)
_SCRIPT = r"Script (?:started|done) (?:on|at) (.{10,40})"

_ESCAPE = r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|[()][A-Z0-9]|[=>78cM])"
_HIDDEN = rf"[{HIDDEN}]"
# How zsh finds the first column, and how readline goes on in the next line of a narrow terminal.
_OVERWRITTEN = r"^[%#]? {20,}\r \r+| \r(?=[^\r\n])"
ENTITIES = (
    ("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&#39;", "'"), ("&#x27;", "'"), ("&nbsp;", " "), ("&amp;", "&"),
)  # fmt: skip
MAX_TYPED = 8192  # characters of a line in which the backspace key counts


def shown(line: str) -> str:
    """A line as a terminal shows it: without escape sequences, with what was typed after the backspace key.

    Web pages leave ``&lt;`` in what is copied out of them, and blanks that do not break. XML has entities of its own,
    between angle brackets.
    """
    if compiled(_HIDDEN).search(line) is None:
        return line
    if "\x1b" in line or "\r" in line:
        line = compiled(_OVERWRITTEN).sub("", compiled(_ESCAPE).sub("", line)).replace("\r", "")
    if "\x08" in line:
        line = _erased(line) if len(line) <= MAX_TYPED else line.replace("\x08", "")
    line = line.replace("\xa0", " ").replace("\u200b", "").replace("\ufeff", "")
    if "&" in line and "<" not in line and ">" not in line:
        for entity, char in ENTITIES:
            line = line.replace(entity, char)
    return line


def _erased(line: str) -> str:
    kept: list[str] = []
    for char in line:
        if char != "\x08":
            kept.append(char)
        elif kept:
            kept.pop()
    return "".join(kept)


def is_fence(line: str) -> bool:
    """Whether a line is the border of quoted output: three backticks, ``{code:bash}``, ``<pre>``."""
    return line.lstrip(" \t")[:1] in tuple("`~{<[") and compiled(_FENCE).match(line) is not None


def unfenced(line: str) -> str:
    """A line without the fence that a chat has left in it: ``look: ```$ zpool status``."""
    if "```" not in line or is_fence(line):
        return line
    before, _, after = line.partition("```")
    return after if _is_known(after) else line if after.strip() else before


def script_time(line: str) -> str:
    """When a session of script(1) was: ``Script started on 2026-11-16 11:00:09+00:00 [TERM=...]``; else nothing."""
    match = compiled(_SCRIPT).match(line) if line.startswith("Script ") else None
    return match[1] if match else ""


def heading_of(line: str) -> tuple[str, bool]:
    """The host whose output follows, and whether that is sure: ``gpu-8 | CHANGED | rc=0 >>``; ``=== gpu-8 ===``."""
    if len(line) > 200 or line[:1].isspace():
        return "", False
    form = _ANSIBLE if " | " in line else _PSSH
    if (" | " in line or line.startswith("[")) and (match := compiled(form).match(line)):
        return str(match[1]), True
    match = compiled(_HEADING).match(line) if line[:1] in tuple("=-#*>") else None
    return (match[1] if match else ""), False


def headed(lines: Iterable[str]) -> Iterator[str]:
    """The lines, headings of clush -b and dshbak -c as ansible writes them::

    ---------------
    gpu[21-24] (4)
    ---------------
    """
    rule = name = ""
    for line in lines:
        found = compiled(_SET).match(line) if rule and not name else None
        if name and line == rule:
            yield f"{name} | SUCCESS >>"
            rule = name = ""
        elif found:
            name = found[1]
        else:
            yield from (late for late in (rule, name) if late)
            rule, name = (line, "") if line[:3] == "---" and compiled(_RULE).match(line) else ("", "")
            if not rule:
                yield line
    yield from (late for late in (rule, name) if late)


def hosts_of(name: str) -> list[str]:
    """The first two hosts of a set such as ``gpu[21-24]``, or the only one."""
    match = compiled(r"([\w.-]*)\[([0-9]+)[,-]([0-9]+)").match(name)
    return [match[1] + match[2], match[1] + match[3]] if match else [one for one in name.split(",") if one][:2]


def alike(under: Mapping[str, set[str]]) -> list[str]:
    """Two headings that are names of hosts: alike but for their numbers, with the same question answered below both."""
    first: dict[tuple[str, str], str] = {}
    for name, keys in under.items():
        stem = re.sub(r"[0-9]+", "0", name)
        if compiled(_NO_HOST + "-?[0-9]*$").fullmatch(name.lower()) and not re.match(r"(?:gpu|node|cpu)-", name):
            continue
        for key in keys:
            if first.setdefault((stem, key), name) != name:
                return [first[stem, key], name]
    return []


class Margin(NamedTuple):
    """hosts: whose names stand in front of the lines, as pdsh writes them. strip: takes off the margin, if any."""

    hosts: list[str]
    strip: Callable[[str], str] | None


def margin_of(lines: Sequence[str]) -> Margin:
    """What stands in front of every line of a text that begins with these; nothing where that is not sure."""
    full = [line for line in (shown(line.rstrip("\r\n")) for line in lines) if line.strip()]
    strip = _strip_of(full)
    one = compiled(_PREFIX).match(full[0]) if strip and strip(full[0]) != full[0] else None
    return Margin([one[1]] if one and re.search("[0-9]", one[1]) else _prefixes(full), strip)


def _prefixes(full: Sequence[str]) -> list[str]:
    matches = [compiled(_PREFIX).match(line) for line in full]
    names = list(dict.fromkeys(match[1] for match in matches if match))
    if len(full) < 4 or None in matches or len(names) < 2 or any(map(_is_known, full[:1])):
        return []
    firsts = [next(line[len(m[0]) :] for line, m in zip(full, matches) if m and m[1] == name) for name in names]
    return names if len(set(firsts)) <= len(names) // 2 + 1 and all(map(_is_known, firsts)) else []


def _strip_of(full: Sequence[str]) -> Callable[[str], str] | None:
    """A margin stands on every line (a quotation on nearly every one); without it the text begins as terminals do.

    A quotation may begin with any line of a log or a table; so may lines between prose that are indented and, as they
    stand, nothing that is known.
    """
    quoted = [line for line in full if line.startswith(">")] if len(full) > 2 else []
    if len(quoted) * 10 >= len(full) * 8 and (depth := next((depth for depth in map(_depth, quoted) if depth), 0)):
        return _taking(rf"(?:{_QUOTE}){{1,{depth}}}")
    if not full or _is_known(full[0]):
        return None
    indents = [line[: len(line) - len(line.lstrip(" \t"))] for line in full]
    indent = min(indents, key=len)
    forms = [_STAMP, *([_NUMBER] if _is_counted(full) and len(full) > 2 else [])]
    if lead := compiled(_LEAD).match(full[0]):
        forms.append(f"{re.escape(lead[0].rstrip())} ?")
    if indent and all(one.startswith(indent) for one in indents):
        forms.append(re.escape(indent))
    for form in forms:
        bare = [line[match.end() :] for line in full if (match := re.match(form, line))]
        first = next((line for line in bare if line.strip()), "")
        if len(bare) == len(full) and (_is_known(first) or is_fence(first)):
            return _taking(form)
    indent = min((one for one in indents if one), key=len, default="")
    bare = [line.removeprefix(indent) for line in full if indent and line.startswith(indent)]
    return _taking(re.escape(indent)) if any(map(_is_known, bare)) and not any(map(_is_known, full)) else None


def _depth(line: str) -> int:
    """How many marks of quotation stand before a line that is known: ``> > $ df``; 0 where none is."""
    found = 0
    for depth in range(1, 9):
        if not line.startswith(">"):
            break
        line = re.sub(_QUOTE, "", line, count=1)
        found = depth if _is_known(line) or is_fence(line) else found
    return found


def _is_counted(full: Sequence[str]) -> bool:
    """Whether each line has the number after that of the line before it; blank ones may have none."""
    numbers = [int(match[1]) for line in full if (match := compiled(_NUMBER).match(line))]
    return len(numbers) == len(full) and all(0 < late - early < 4 for early, late in pairwise(numbers))


def _taking(form: str) -> Callable[[str], str]:
    pattern = re.compile(form)
    return lambda line: line[match.end() :] if (match := pattern.match(line)) else line


def _is_known(line: str) -> bool:
    return prompt_of(line) is not None or start_of(line) is not None or line.startswith("<?xml ")


# ---- tables that a narrow terminal has wrapped

_BORDER = r"[+|][-=+]{39,}$"
_BORDER_REST = r"[-=+]{0,119}[+|]$"


def unwrapped(lines: Iterable[str]) -> Iterator[str]:
    """The lines, those of a wrapped table of nvidia-smi as they were::

        +-------------------------------------
        ----------------+
        | NVIDIA-SMI 580.95.05
         CUDA: 13.0     |

    Its border tells how wide the table was, and where it was cut. Nothing is joined that does not come out so wide.
    """
    held, at, width = "", 0, 0  # a line that may be half of one; where lines end; how wide the table is
    for line in lines:
        bare = line.rstrip("\r\n")
        if not held:
            is_half = (at and bare[:1] in ("|", "+") and len(bare) <= at) or compiled(_BORDER).match(bare)
            if is_half and not (not at and bare.endswith(("+", "|"))):
                held = line
            else:
                at = 0
                yield line
            continue
        first = held.rstrip("\r\n")
        if compiled(_BORDER).match(first) and compiled(_BORDER_REST).match(bare) and len(bare) < len(first):
            at, width = len(first), len(first) + len(bare)
        whole = first.ljust(at) + bare
        if at and len(whole) == width and whole.endswith(("|", "+")):
            yield whole + line[len(bare) :]
            held = ""
            continue
        yield held
        held, at = "", 0
        yield line
    if held:
        yield held
