"""Files as commands print them: cat, head, tail, grep and ls."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import NamedTuple

from mlopsdoc.hosts.base import AnswerStatus, link_key, read_key
from mlopsdoc.hosts.pasted.commands import parsed
from mlopsdoc.hosts.pasted.tools import Tool, tool
from mlopsdoc.patterns import compiled

MAX_PATHS, MAX_LINE, MAX_BRACES = 4096, 4096, 8
READERS = ("cat", "head", "tail", "grep", "egrep", "fgrep", "zgrep", "more", "less", "zcat", "tac")
GREPS = ("grep", "egrep", "fgrep", "zgrep")
_GREP = tool(
    "grep",
    names="-A= -B= -C= -m= -e= -f= -r/--recursive -n/--line-number -H/--with-filename -c/--count -o/--only-matching "
    "-h/--no-filename -v/--invert-match",
)
_OPTIONS = {
    "head": tool("head", names="-n= -c="),
    "tail": tool("tail", names="-n= -c= -s="),
    **dict.fromkeys(GREPS, _GREP),
}
ONE_LINE = ("/sys/", "/proc/sys/")  # files of one value each
_DIR = (
    r"(?:[^/:\s]+|[0-9a-fA-F]{4,8}(?::[0-9a-fA-F]{2}){1,2}(?:\.[0-7])?|[A-Za-z][A-Za-z-]{2,}[0-9A-F]*(?::[0-9a-fA-F]{1,4}){1,4}"
    r"|[0-9]+(?::[0-9]+){3})/"
)
_PCI = r"[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.[0-7]"
PATH = rf"/(?:sys|proc)/(?:{_DIR}){{0,24}}[^/:\s]+"
NAMED = rf"(?P<path>{PATH})(?::(?!{_PCI})| = |:? +)(?P<value>.*)$"
_ERROR = (
    r"(?:[\w./-]{1,40}): (?:cannot (?:open|access|stat) )?['\u2018\"]?(?P<path>\S.{0,512}?)['\u2019\"]?"
    r"(?: for reading)?: "
    r"(?P<why>No such file or directory|Permission denied|Operation not permitted|Input/output error|No such device"
    r"|Invalid argument|Device or resource busy|Is a directory|Operation not supported"
    r"|Resource temporarily unavailable)$"
)
_STATUS: dict[str, AnswerStatus] = {
    "No such file or directory": "absent",
    "Permission denied": "denied",
    "Operation not permitted": "denied",
}
_LINK = r"l[rwxsStT-]{9}[.+@]? .*? (?P<name>\S+) -> (?P<target>\S.*)$"


class Said(NamedTuple):
    """An answer that the text holds. is_anew: it is truncated, and says anew what was said before. at: when that was,
    0 where nobody tells."""

    key: str
    status: AnswerStatus
    text: str = ""
    why: str = ""
    is_anew: bool = False
    at: float = 0.0


class NotTold(Exception):
    """The output does not tell which line belongs to which file."""


def named_value(line: str) -> tuple[str, str] | None:
    """Path and value of ``/sys/class/net/eth0/mtu:9000``."""
    match = compiled(NAMED).match(line) if line.startswith(("/sys/", "/proc/")) and len(line) < MAX_LINE else None
    return (match["path"], match["value"]) if match else None


def is_path(line: str) -> bool:
    """Whether a line is the path of a file below /sys or /proc and nothing else."""
    return (
        line.startswith(("/sys/", "/proc/")) and compiled(rf"{PATH}(?::{_PCI})?/?").fullmatch(line.rstrip()) is not None
    )


def split_errors(lines: Sequence[str], folder: str) -> tuple[list[str], list[Said]]:
    """Lines of output, and files that could not be read: ``cat: /x: Permission denied``."""
    left: list[str] = []
    errors: list[Said] = []
    for line in lines:
        match = compiled(_ERROR).match(line) if len(line) < MAX_LINE else None
        path = absolute(match["path"], folder) if match else ""
        if match is None or not path:
            left.append(line)
        elif match["why"] != "Is a directory":
            errors.append(Said(read_key(path), _STATUS.get(match["why"], "failed"), why=match["why"]))
    return left, errors


def absolute(path: str, folder: str) -> str:
    """The path as seen from the root; nothing where the folder is not known."""
    path = path if path.startswith("/") else f"{folder}/{path.removeprefix('./')}" if folder.startswith("/") else ""
    return "" if "/../" in path or any(char in path for char in "*?[\n") else path.replace("//", "/")


# ---- cat, head, tail, grep


class Reading(NamedTuple):
    """What a command reads: patterns as they were typed. is_part: not all lines. named: each line has its file's
    name; numbered: and its number."""

    patterns: tuple[str, ...]
    is_part: bool
    named: bool = False
    numbered: bool = False


def reading_of(words: tuple[str, ...]) -> Reading | None:
    """What such a command reads, or None where it is none that prints files as they are."""
    name, *args = words
    typed, operands = parsed(_OPTIONS.get(name, Tool({})), tuple(args))
    options = dict(typed)
    if name not in GREPS:
        is_all = name not in ("head", "tail") or (name == "tail" and options.get("-n") == "+1")
        return Reading(operands, not is_all, numbered="-n" in options and name not in ("head", "tail"))
    if {"-c", "-o", "-L", "-l", "-q"}.intersection(options):
        return None
    if "-e" not in options and operands:
        options["-e"], operands = operands[0], operands[1:]
    is_all = options.get("-e", "") in ("", ".", "^") and "-v" not in options
    is_many = len(operands) > 1 or {"-r", "-R"}.intersection(options) or any(re.search(r"[*?{]", o) for o in operands)
    return Reading(operands, not is_all, bool("-H" in options or is_many) and "-h" not in options, "-n" in options)


def files_of(words: tuple[str, ...], lines: list[str], folder: str, is_part: bool) -> list[Said]:
    """The files that the output of a command holds; raises NotTold."""
    reading = reading_of(words)
    if reading is None or not reading.patterns:
        raise NotTold
    lines, found = split_errors(lines, folder)
    is_part = is_part or reading.is_part
    patterns = [p for typed in reading.patterns for p in braces(typed)]
    if any(line.startswith("==> ") and line.endswith(" <==") for line in lines):
        return found + list(_with_headers(lines, patterns, folder, is_part))
    if reading.named and all(_name_and_rest(line, folder) for line in lines if line and line != "--"):
        return found + list(_with_names(lines, folder, reading, is_part))
    if reading.numbered and not reading.named:
        lines = [re.sub(r"^[0-9]+[:-]", "", line) for line in lines]
    wanted = [absolute(pattern, folder) for pattern in patterns]
    refused = [said.key for said in found]
    wanted = [path for path in wanted if read_key(path) not in refused]
    if len(patterns) == 1 and wanted and wanted[0]:
        return [*found, file_of(wanted[0], lines, is_part)]
    if found and not any(lines):
        return found
    if all(path.startswith(ONE_LINE) for path in wanted) and len(wanted) == len(lines) and not is_part:
        return found + [file_of(path, [line], False) for path, line in zip(wanted, lines)]
    return found + _same_everywhere(patterns, lines)


def file_of(path: str, lines: Sequence[str], is_part: bool) -> Said:
    """The answer that these lines of a file are."""
    text = "".join(f"{line}\n" for line in lines if line != "--" or not is_part)
    return Said(read_key(path), "truncated" if is_part else "ok", text)


def _same_everywhere(patterns: Sequence[str], lines: Sequence[str]) -> list[Said]:
    """One value of all files of a kind (``cat .../cpu*/x | sort -u``) is that of the first one."""
    if len(patterns) != 1 or len([line for line in lines if line]) != 1 or not patterns[0].startswith("/sys/"):
        raise NotTold
    path = re.sub(r"(?<=/)(cpu|node|mc|hwmon|policy)(?:\*|\[0-9\]\*)(?=/)", r"\g<1>0", patterns[0])
    if re.search(r"[*?\[{]", path):
        raise NotTold
    return [file_of(path, [line for line in lines if line], True)]


def _with_headers(lines: Sequence[str], patterns: Sequence[str], folder: str, is_part: bool) -> Iterator[Said]:
    """Blocks of ``==> path <==``. A name without its folder is looked for among what was typed."""
    path, block = "", list[str]()
    for line in [*lines, "==>  <=="]:
        if line.startswith("==> ") and line.endswith(" <=="):
            if path:
                while block and not block[-1]:
                    block.pop()
                yield file_of(path, block, is_part)
            path, block = _spelled_out(line[4:-4].strip(), patterns, folder), []
        else:
            block.append(line)


def _spelled_out(name: str, patterns: Sequence[str], folder: str) -> str:
    if path := absolute(name, folder):
        return path
    for pattern in patterns:
        folder_of, _, last = pattern.rpartition("/")
        if fnmatchcase(name, last) and "/" not in name and (path := absolute(f"{folder_of}/{name}", folder)):
            return path
    return ""


def _name_and_rest(line: str, folder: str) -> tuple[str, str] | None:
    """Path and content of a line of grep; names below /sys may hold colons."""
    if found := named_value(line):
        return found
    name, colon, rest = line.partition(":")
    path = absolute(name, folder) if colon and " " not in name else ""
    return (path, rest) if path else None


def _with_names(lines: Sequence[str], folder: str, reading: Reading, is_part: bool) -> Iterator[Said]:
    blocks: dict[str, list[str]] = {}
    for line in lines:
        if (found := _name_and_rest(line, folder)) is not None:
            rest = re.sub(r"^[0-9]+:", "", found[1]) if reading.numbered else found[1]
            blocks.setdefault(found[0], []).append(rest)
    for path, block in blocks.items():
        yield file_of(path, block, is_part)


def braces(word: str) -> list[str]:
    """``a{b,c}d`` is abd and acd; ``{0..3}`` is 0 1 2 3."""
    match = compiled(r"^([^{}$]*)\{([^{}]*)\}(.*)$").match(word)
    if match is None or word.count("{") > MAX_BRACES:
        return [word]
    span = compiled(r"([0-9]{1,4})\.\.([0-9]{1,4})").fullmatch(match[2])
    if span is None and "," not in match[2]:
        return [word]
    middle = [str(n) for n in range(int(span[1]), int(span[2]) + 1)] if span else match[2].split(",")
    ends = braces(match[3])
    return list(islice((f"{match[1]}{part}{end}" for part in middle for end in ends), MAX_PATHS))


# ---- ls and readlink


def listed(words: tuple[str, ...], lines: Sequence[str], folder: str) -> list[Said]:
    """Links, and what is not there, of ``ls -l``; NUMA nodes of ``ls -d``."""
    lines, found = split_errors(lines, folder)
    operands = [word for word in words[1:] if not word.startswith("-")]
    top = operands[0] if len(operands) == 1 else ""
    for line in lines:
        if match := compiled(_LINK).match(line[:MAX_LINE]):
            path = absolute(match["name"], top if not match["name"].startswith("/") and top else folder)
            if path:
                found.append(Said(link_key(path), "ok", match["target"]))
    if top.startswith("/sys/devices/system/node/node") and "-d" in words:
        nodes = sorted(int(m[1]) for line in lines if (m := re.search(r"/node([0-9]{1,4})/?\s*$", line)))
        if nodes:
            found.append(Said(read_key("/sys/devices/system/node/online"), "ok", ",".join(map(str, nodes)) + "\n"))
    return found


def linked(words: tuple[str, ...], lines: Sequence[str], folder: str) -> list[Said]:
    """Where a link points, of ``readlink PATH``; nothing where it does not tell whose line is whose."""
    lines, found = split_errors(lines, folder)
    operands = [path for word in words[1:] if not word.startswith("-") for path in braces(word)]
    paths = [absolute(path, folder) for path in operands]
    if len(paths) != len(lines) or not all(paths):
        return []
    return found + [Said(link_key(path), "ok", line) for path, line in zip(paths, lines)]
