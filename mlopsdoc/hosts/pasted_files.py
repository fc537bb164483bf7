"""Files as commands print them: cat, head, tail, grep and ls, and loops that print names and values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from functools import cache
from itertools import islice
from typing import NamedTuple, TypeAlias

from mlopsdoc.hosts.base import AnswerStatus, link_key, read_key
from mlopsdoc.hosts.prompts import pipelines

MAX_PATHS, MAX_LINE = 4096, 4096
READERS = ("cat", "head", "tail", "grep", "egrep", "fgrep", "zgrep", "more", "less", "zcat", "tac")
GREPS = ("grep", "egrep", "fgrep", "zgrep")
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
    """An answer that the text holds."""

    key: str
    status: AnswerStatus
    text: str = ""
    why: str = ""


class NotTold(Exception):
    """The output does not tell which line belongs to which file."""


@cache
def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source)


def named_value(line: str) -> tuple[str, str] | None:
    """Path and value of ``/sys/class/net/eth0/mtu:9000``."""
    match = _pattern(NAMED).match(line) if line.startswith(("/sys/", "/proc/")) and len(line) < MAX_LINE else None
    return (match["path"], match["value"]) if match else None


def is_path(line: str) -> bool:
    """Whether a line is the path of a file below /sys or /proc and nothing else."""
    return (
        line.startswith(("/sys/", "/proc/")) and _pattern(rf"{PATH}(?::{_PCI})?/?").fullmatch(line.rstrip()) is not None
    )


def split_errors(lines: Sequence[str], folder: str) -> tuple[list[str], list[Said]]:
    """Lines of output, and files that could not be read: ``cat: /x: Permission denied``."""
    left: list[str] = []
    errors: list[Said] = []
    for line in lines:
        match = _pattern(_ERROR).match(line) if len(line) < MAX_LINE else None
        path = _absolute(match["path"], folder) if match else ""
        if match is None or not path:
            left.append(line)
        elif match["why"] != "Is a directory":
            errors.append(Said(read_key(path), _STATUS.get(match["why"], "failed"), why=match["why"]))
    return left, errors


def _absolute(path: str, folder: str) -> str:
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
    takes = {"head": "nc", "tail": "ncs", "grep": "ABCmef"}.get("grep" if name in GREPS else name, "")
    options, operands = "", list[str]()
    values: dict[str, str] = {}
    while args:
        word = args.pop(0)
        if word.startswith("--"):
            options += {"--recursive": "r", "--line-number": "n", "--with-filename": "H", "--count": "c",
                        "--only-matching": "o", "--verbose": "v", "--no-filename": "h"}.get(word, "")  # fmt: skip
        elif word.startswith("-") and len(word) > 1:
            for n, letter in enumerate(word[1:], 2):
                options += letter
                if letter in takes:
                    values[letter] = word[n:] or (args.pop(0) if args else "")
                    break
        else:
            operands.append(word)
    if name in GREPS:
        return _grepped(options, operands, values)
    if name in ("head", "tail"):
        return Reading(tuple(operands), not (name == "tail" and values.get("n") == "+1"))
    return Reading(tuple(operands), False, numbered="n" in options)


def _grepped(options: str, operands: list[str], values: dict[str, str]) -> Reading | None:
    if any(letter in options for letter in "coLlq"):
        return None
    what = values.get("e") or (operands.pop(0) if operands else "")
    is_all = what in ("", ".", "^") and "v" not in options
    is_many = len(operands) > 1 or "r" in options or "R" in options or any(re.search(r"[*?{]", o) for o in operands)
    named = ("H" in options or is_many) and "h" not in options
    return Reading(tuple(operands), not is_all, named, "n" in options)


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
    if reading.named and all(_is_named(line, patterns, folder) for line in lines if line and line != "--"):
        return found + list(_with_names(lines, patterns, folder, reading, is_part))
    if reading.numbered and not reading.named:
        lines = [re.sub(r"^[0-9]+[:-]", "", line) for line in lines]
    wanted = [_absolute(pattern, folder) for pattern in patterns]
    refused = [said.key for said in found]
    wanted = [path for path in wanted if read_key(path) not in refused]
    if len(patterns) == 1 and wanted and wanted[0]:
        return [*found, _file(wanted[0], lines, is_part)]
    if found and not any(lines):
        return found
    if all(path.startswith(ONE_LINE) for path in wanted) and len(wanted) == len(lines) and not is_part:
        return found + [_file(path, [line], False) for path, line in zip(wanted, lines)]
    return found + _same_everywhere(patterns, lines)


def _file(path: str, lines: Sequence[str], is_part: bool) -> Said:
    text = "".join(f"{line}\n" for line in lines if line != "--" or not is_part)
    return Said(read_key(path), "truncated" if is_part else "ok", text)


def _same_everywhere(patterns: Sequence[str], lines: Sequence[str]) -> list[Said]:
    """One value of all files of a kind (``cat .../cpu*/x | sort -u``) is that of the first one."""
    if len(patterns) != 1 or len([line for line in lines if line]) != 1 or not patterns[0].startswith("/sys/"):
        raise NotTold
    path = re.sub(r"(?<=/)(cpu|node|mc|hwmon|policy)(?:\*|\[0-9\]\*)(?=/)", r"\g<1>0", patterns[0])
    if re.search(r"[*?\[{]", path):
        raise NotTold
    return [_file(path, [line for line in lines if line], True)]


def _with_headers(lines: Sequence[str], patterns: Sequence[str], folder: str, is_part: bool) -> Iterator[Said]:
    """Blocks of ``==> path <==``. A name without its folder is looked for among what was typed."""
    path, block = "", list[str]()
    for line in [*lines, "==>  <=="]:
        if line.startswith("==> ") and line.endswith(" <=="):
            if path:
                while block and not block[-1]:
                    block.pop()
                yield _file(path, block, is_part)
            path, block = _spelled_out(line[4:-4].strip(), patterns, folder), []
        else:
            block.append(line)


def _spelled_out(name: str, patterns: Sequence[str], folder: str) -> str:
    if path := _absolute(name, folder):
        return path
    for pattern in patterns:
        folder_of, _, last = pattern.rpartition("/")
        if fnmatchcase(name, last) and "/" not in name and (path := _absolute(f"{folder_of}/{name}", folder)):
            return path
    return ""


def _is_named(line: str, patterns: Sequence[str], folder: str) -> bool:
    return _name_and_rest(line, patterns, folder) is not None


def _name_and_rest(line: str, patterns: Sequence[str], folder: str) -> tuple[str, str] | None:
    """Path and content of a line of grep; names may hold colons."""
    if found := named_value(line):
        return found
    for pattern in patterns:
        plain = re.split(r"[*?\[]", pattern)[0]
        if plain and line.startswith(plain):
            name, _, rest = line[len(plain) :].partition(":")
            path = _absolute(plain + name, folder)
            return (path, rest) if path else None
    name, colon, rest = line.partition(":")
    path = _absolute(name, folder) if colon and " " not in name else ""
    return (path, rest) if path else None


def _with_names(
    lines: Sequence[str], patterns: Sequence[str], folder: str, reading: Reading, is_part: bool
) -> Iterator[Said]:
    blocks: dict[str, list[str]] = {}
    for line in lines:
        if (found := _name_and_rest(line, patterns, folder)) is not None:
            rest = re.sub(r"^[0-9]+:", "", found[1]) if reading.numbered else found[1]
            blocks.setdefault(found[0], []).append(rest)
    for path, block in blocks.items():
        yield _file(path, block, is_part)


def braces(word: str) -> list[str]:
    """``a{b,c}d`` is abd and acd; ``{0..3}`` is 0 1 2 3."""
    match = _pattern(r"^([^{}$]*)\{([^{}]*)\}(.*)$").match(word)
    if match is None:
        return [word]
    span = _pattern(r"([0-9]{1,4})\.\.([0-9]{1,4})").fullmatch(match[2])
    if span is None and "," not in match[2]:
        return [word]
    middle = [str(n) for n in range(int(span[1]), int(span[2]) + 1)] if span else match[2].split(",")
    ends = braces(match[3])
    return list(islice((f"{match[1]}{part}{end}" for part in middle for end in ends), MAX_PATHS))


# ---- ls and readlink


def listed(words: tuple[str, ...], lines: Sequence[str], folder: str) -> list[Said]:
    """Links, and what is not there, of ``ls -l``; NUMA nodes of ``ls -d``; raises NotTold where there is neither."""
    lines, found = split_errors(lines, folder)
    operands = [word for word in words[1:] if not word.startswith("-")]
    top = operands[0] if len(operands) == 1 else ""
    for line in lines:
        if match := _pattern(_LINK).match(line[:MAX_LINE]):
            path = _absolute(match["name"], top if not match["name"].startswith("/") and top else folder)
            if path:
                found.append(Said(link_key(path), "ok", match["target"]))
    if top.startswith("/sys/devices/system/node/node") and "-d" in words:
        nodes = sorted(int(m[1]) for line in lines if (m := re.search(r"/node([0-9]{1,4})/?\s*$", line)))
        if nodes:
            found.append(Said(read_key("/sys/devices/system/node/online"), "ok", ",".join(map(str, nodes)) + "\n"))
    if not found:
        raise NotTold
    return found


def linked(words: tuple[str, ...], lines: Sequence[str], folder: str) -> list[Said]:
    """Where a link points, of ``readlink PATH``; raises NotTold."""
    lines, found = split_errors(lines, folder)
    operands = [path for word in words[1:] if not word.startswith("-") for path in braces(word)]
    paths = [_absolute(path, folder) for path in operands]
    if len(paths) != len(lines) or not all(paths):
        raise NotTold
    return found + [Said(link_key(path), "ok", line) for path, line in zip(paths, lines)]


# ---- loops

_CAT = r"(?:cat|head -n ?1|head -1|<) *(\S+)(?: 2>/dev/null)?"
Piece: TypeAlias = tuple[str, str]  # text, variable, value (of a file), any


def loop(command: str, lines: Sequence[str]) -> list[Said]:
    """Values of ``for d in 0 1; do echo $d $(cat /sys/x$d/y); done``; raises NotTold where a line does not fit.

    Each round is written out as what it must print: its own text, the variable, and a hole for each file. What
    the variable was is known from the words, or, where those are patterns, from what was printed.
    """
    form = r"for (\w{1,40}) in ([^;]{1,2000}); ?do (.{1,2000}?);? ?done\s*(?:#.*)?$"
    match = _pattern(form).match(command.strip().replace("\n", "; ").replace("do; ", "do "))
    if match is None:
        raise NotTold
    name, rounds = match[1], [word for typed in _words(match[2]) for word in braces(typed)]
    pieces = [piece for pipeline in pipelines(match[3]) for piece in _printed(pipeline[0].words, name)]
    height = sum(kind == "text" and value == "\n" for kind, value in pieces)
    lines, found = split_errors([line for line in lines if line], "")
    if not height or len(pieces) > 64 or any(len(line) > MAX_LINE for line in lines):
        raise NotTold
    is_pattern = any(re.search(r"[*?\[]", word) for word in rounds)
    count = len(lines) // height
    if not is_pattern and count != len(rounds):
        raise NotTold
    for n in range(count):
        found += _round(pieces, None if is_pattern else rounds[n], rounds, lines[n * height : (n + 1) * height])
    if not found:
        raise NotTold
    return found


def _words(text: str) -> list[str]:
    if match := _pattern(r"\$\(seq ([0-9]{1,4})(?: ([0-9]{1,4}))?\)").fullmatch(text.strip()):
        first, last = (match[1], match[2]) if match[2] else ("1", match[1])
        return [str(n) for n in range(int(first), int(last) + 1)]
    return text.split()


def _printed(words: tuple[str, ...], name: str) -> list[Piece]:
    """What one command of a loop prints; raises NotTold for one that cannot be foreseen."""
    words = words[1:] if words[:1] == ("do",) else words
    tool, args = (words[0], list(words[1:])) if words else ("", [])
    if tool == "echo":
        ends = True
        while args and args[0] in ("-n", "-e", "-ne", "-en"):
            ends = "n" not in args.pop(0)
        return [*_pieces(" ".join(args), name), *([("text", "\n")] if ends else [])]
    if tool in ("cat", "head") and args:
        return [("value", args[-1]), ("text", "\n")]
    raise NotTold


def _pieces(text: str, name: str) -> list[Piece]:
    found: list[Piece] = []
    at = 0
    for match in _pattern(r"\$\(([^()]*)\)|\$\{(\w+)\}|\$(\w+)|\$\S+").finditer(text):
        found.append(("text", text[at : match.start()]))
        at = match.end()
        inner = match[1]
        if (match[2] or match[3]) == name:
            found.append(("variable", ""))
        elif inner is not None and (said := _pattern(_CAT).fullmatch(inner)):
            found.append(("value", said[1].strip('"')))
        else:
            found.append(("any", ""))
    found.append(("text", text[at:]))
    return [piece for piece in found if piece != ("text", "")]


def _round(pieces: Sequence[Piece], known: str | None, patterns: Sequence[str], lines: Sequence[str]) -> list[Said]:
    """The files of one round, whose output is `lines`."""
    values: list[tuple[str, str]] = []
    left = list(pieces)
    for line in lines:
        end = left.index(("text", "\n"))
        values += _holes(left[:end], known, line)
        left = left[end + 1 :]
    if known is None:
        seen = {said for name, said in values if name == VARIABLE}
        known = seen.pop() if len(seen) == 1 else ""
        if not any(_fits(known, pattern) for pattern in patterns):
            raise NotTold
    found: list[Said] = []
    for name, value in values:
        full = _absolute(re.sub(r"\$\{?\w+\}?", lambda _: known or "", name), "") if name not in (VARIABLE, "") else ""
        if full and "$" not in full:
            found.append(_file(full, [value], not full.startswith(ONE_LINE)))
    return found


VARIABLE = "$"


def _holes(pieces: Sequence[Piece], known: str | None, line: str) -> list[tuple[str, str]]:
    """What stands in a line where its text leaves holes, by the path or VARIABLE that made each.

    Raises NotTold where the text does not fit, or could fit in more than one way.
    """
    texts, names = [""], list[str]()
    for kind, value in pieces:
        if kind == "text" or (kind == "variable" and known is not None):
            texts[-1] += value if kind == "text" else known or ""
        else:
            names.append(VARIABLE if kind == "variable" else value)
            texts.append("")
    if not line.startswith(texts[0]):
        raise NotTold
    rest, found = line[len(texts[0]) :], list[tuple[str, str]]()
    for name, text in zip(names, texts[1:]):
        is_word = name in (VARIABLE, "") and bool(text[:1].isspace())
        if name == names[-1] and len(found) == len(names) - 1 and rest.endswith(text):
            value, rest = rest[: len(rest) - len(text)], ""
        elif text and (rest.count(text) == 1 or (is_word and text in rest)):
            value, _, rest = rest.partition(text)
        else:
            raise NotTold
        found.append((name, value))
    if rest:
        raise NotTold
    return found


def _fits(path: str, pattern: str) -> bool:
    names, wanted = path.split("/"), pattern.split("/")
    return len(names) == len(wanted) and all(map(fnmatchcase, names, wanted))
