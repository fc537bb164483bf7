"""What a command line asks: the key under which facts ask for the same, and whether its output is only a part."""

from __future__ import annotations

import re
import shlex
from collections import deque
from functools import cache, lru_cache
from typing import NamedTuple

from mlopsdoc.hosts.base import run_key, words
from mlopsdoc.hosts.pasted.places import MANY_HOSTS, RUNNERS, SHELLS, WRAPPERS, after_options, place
from mlopsdoc.hosts.pasted.tools import LEAD, OTHERS, TOOLS, Tool
from mlopsdoc.patterns import compiled


class Canonical(NamedTuple):
    """key: as in ``run nvidia-smi -q``. is_part: the output leaves something out. header: the first line that its
    CSV lacks."""

    key: str
    is_part: bool = False
    header: str = ""


KEYWORDS = ("for", "while", "if", "until", "case", "{", "(")
CONTAINER = ("docker", "exec", "container")
# An earlier boot, or the journal of another place: ``-b -1``, ``-kb -1``, ``-xb-1``, ``--boot=-2``; ``-D /mnt/log``,
# ``--file x.journal``, ``-m``.
_FLAGS = "[abd-fh-mq-sv-zA-RTV-Z]{0,12}"  # without a value
_OTHER_JOURNAL = (
    r"(?:^| )(?:--(?:directory|file|merge|machine|root|image|namespace|user|list-boots|header|disk-usage|verify)"
    r"(?=[= ]|$)"
    rf"|-{_FLAGS}[DimM]"
    rf"|(?:--boot[= ]|-{_FLAGS}b ?)(?:[-+]?[1-9][0-9]{{0,4}}|-0[0-9]+|[0-9a-f]{{32}}(?:[-+][0-9]+)?|all)(?= |$))"
)
NOISE = ("--no-pager", "--color=always", "--color=never", "--color", "--color=auto")
_PROSE = (
    "is was are were the an of after before shows show showed from on in and with without for not no says said but "
    "when then than that this these those it its has have had here there to by as at or only also still"
)
PROSE = frozenset(_PROSE.split())


@lru_cache(4096)
def canonical(argv: tuple[str, ...]) -> Canonical | None:
    """What a command line asks, or None where no fact asks for such output.

    ``sudo /usr/bin/nvidia-smi --query -i 0`` is ``run nvidia-smi -q``, a part. In a container the key begins with
    ``run docker exec container``. The command of ssh counts as its own.
    """
    placed = place(argv)
    found = _canonical(placed.words)
    if found is not None and placed.container:
        asked = found.key.partition(" ")[2] if found.key.startswith("run ") else words(("cat", found.key[5:]))
        return found._replace(key=f"run {words(CONTAINER)} {asked}")
    return found


def argv_of(line: str) -> tuple[str, ...]:
    """A command line as a collector wrote it; one whose quotes are broken by its blanks."""
    try:
        return tuple(shlex.split(line))
    except ValueError:
        return tuple(line.split())


@cache
def _first_words() -> frozenset[str]:
    names = (*TOOLS, *RUNNERS, *WRAPPERS, *SHELLS, *MANY_HOSTS, *OTHERS, *KEYWORDS)
    return frozenset(name.split()[0] for name in names)


def may_be_command(text: str) -> bool:
    """Whether it is worth to take a command line apart, by its first word."""
    first = text.split(None, 1)[0] if text else ""
    name = first.rpartition("/")[2].removesuffix(".exe")
    return name in _first_words() or "=" in first or first[:1] in ("'", '"', "\\")


@lru_cache(4096)
def is_command(argv: tuple[str, ...]) -> bool:
    """Whether words after a ``#`` are a command typed by root, not a remark."""
    argv = place(argv).words
    if not argv or PROSE.intersection(argv):
        return False
    return _canonical(argv) is not None or (argv[0] in OTHERS and len(argv) > 1 and any(map(_is_no_word, argv[1:])))


def _canonical(argv: tuple[str, ...]) -> Canonical | None:
    if not argv:
        return None
    if argv[0] == "journalctl" and compiled(_OTHER_JOURNAL).search(" ".join(argv[1:])):
        return Canonical(run_key(argv))
    named = _named(argv)
    if named is None:
        return _file(argv)
    name, args = named
    tool = TOOLS[name]
    if not tool.forms:
        return Canonical(run_key((*name.split(), *(arg for arg in args if arg not in NOISE))))
    return _asked(tool, args)


def _file(argv: tuple[str, ...]) -> Canonical | None:
    """``cat /proc/mdstat`` and nothing else."""
    if argv[0] in ("cat", "zcat", "more", "less") and len(argv) == 2 and re.fullmatch(r"/[^*?{}\[\]]+", argv[1]):
        return Canonical(f"read {argv[1]}")
    return None


def _named(argv: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """The longest name in the table that the words begin with, options in front of a subcommand apart."""
    name, rest = argv[0].removesuffix(".exe"), argv[1:]
    if rest and f"{name} {rest[0]}" in TOOLS and rest[0].startswith("-"):
        return f"{name} {rest[0]}", rest[1:]
    after = after_options(rest, LEAD.get(name, ""))
    before = rest[: len(rest) - len(after)]
    if name == "ipmitool" and "-c" not in before:
        before = ()
    for depth in (2, 1):
        full = " ".join((name, *after[:depth]))
        if len(after) >= depth and full in TOOLS:
            return full, before + after[depth:]
    return (name, rest) if name in TOOLS else None


def _asked(tool: Tool, args: tuple[str, ...]) -> Canonical | None:
    options, operands = parsed(tool, args)
    is_part = any(option in tool.part for option, _ in options)
    kept = sorted((o, v) for o, v in options if not (o in tool.plain or o in tool.part or o in NOISE))
    form = tool.forms.get(" ".join(f"{o} {v}" if v and o in tool.keeps else o for o, v in kept))
    values = () if form else tuple(v for o, v in kept if v and o in tool.keeps)
    form = form or tool.forms.get(" ".join(o for o, _ in kept))
    if form is None or not all(compiled(tool.looks).fullmatch(operand) for operand in operands):
        return None
    if form.operands == ("none" if operands else "must"):
        return None
    names = (*values, *(operands if form.operands in ("kept", "must") else ()))
    key = run_key((*form.key.split(), *(name.removesuffix(".service") for name in names)))
    is_part = is_part or form.part or (form.operands == "part" and bool(operands))
    return Canonical(key, is_part, _header(dict(options)))


def _header(options: dict[str, str]) -> str:
    """The line that ``--format=csv,noheader`` leaves out, without units."""
    fields = next((value for option, value in options.items() if option.startswith("--query-") and value), "")
    if not fields or "noheader" not in options.get("--format", ""):
        return ""
    return ", ".join(field.strip() for field in fields.split(","))


def parsed(tool: Tool, args: tuple[str, ...]) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Options in their short form with their values, and operands."""
    same, takes = tool.same, tool.takes
    options: list[tuple[str, str]] = []
    operands: list[str] = []
    left = deque(args)
    while left:
        word = left.popleft()
        if not word.startswith("-") or word == "-":
            operands.append(word)
            continue
        name, equals, value = word.partition("=")
        name = same.get(name, name)
        if tool.clusters and not word.startswith("--") and name not in takes and len(name) > 2:
            letters = _letters(word, takes)
            name, value = letters[-1]
            options += letters[:-1]
        if name in takes and not value and not equals:
            value = left.popleft() if left else ""
        elif name.startswith("--query-") and not equals and left and not left[0].startswith("-"):
            value = left.popleft()
        options.append((same.get(name, name), value))
    return options, tuple(operands)


def _letters(word: str, takes: frozenset[str]) -> list[tuple[str, str]]:
    """``-hT`` as two options, ``-n20`` as one with its value."""
    found: list[tuple[str, str]] = []
    for n, letter in enumerate(word[1:], 2):
        if f"-{letter}" in takes and n < len(word):
            return [*found, (f"-{letter}", word[n:])]
        found.append((f"-{letter}", ""))
    return found


def _is_no_word(word: str) -> bool:
    """Whether it is an option, a path, a number, a pattern: what prose does not have."""
    return re.fullmatch(r"[A-Za-z]+[,.:;!?]?", word) is None
