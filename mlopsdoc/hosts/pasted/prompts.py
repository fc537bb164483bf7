"""Prompts in text that was copied from a terminal, and the command lines after them."""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from mlopsdoc.hosts.pasted.commands import KEYWORDS, is_command, may_be_command
from mlopsdoc.patterns import compiled

MAX_COMMAND = 8192


class Prompt(NamedTuple):
    """command: what was typed; nothing when only the prompt is there. host, folder: as the prompt says them.
    label: words in brackets in front, as in ``(container) $ nvidia-smi``. date: as watch(1) prints it."""

    command: str
    host: str = ""
    is_root: bool = False
    folder: str = ""
    label: str = ""
    date: str = ""


class Simple(NamedTuple):
    """One program and its arguments. is_silent: its output went to a file."""

    words: tuple[str, ...]
    is_silent: bool = False


Pipeline: TypeAlias = tuple[Simple, ...]


class Unfinished(ValueError):
    """A command line that goes on in the next line."""


_WHO = r"""
    (?P<label>(?:\([^()]{1,40}\)\ ?)*)
    (?:\[?[0-9]{2}:[0-9]{2}(?::[0-9]{2})?\]?\ +)?
    (?:
        \[(?P<inner>[\w.-]{1,64}@[^\]\[]{1,120}|[\w.-]{1,64}:?\ [^\]\[]{1,120})\]
      | (?P<user>[\w.-]{1,64})@(?P<host>[\w.-]{1,64})(?:[:\ ]\ ?(?P<folder>[~/][^\s$#%>]{0,200}))?
      | (?P<alone>[A-Za-z][\w.-]{0,63})(?::?\ ?(?P<folder2>[~/][^\s$#%>]{0,200}))?
      |
    )
    \ ?(?P<mark>[$#%>])(?:\ +(?P<command>.*)|\ ?)$
"""
_ARROW = r"(?:\u276f|➜ +\S+(?: git:\(\S{1,80}\))?(?: ✗)?|λ|└─[$#]) +(?P<command>\S.*)$"
_WATCH = r"Every [0-9.,]{1,8}s: (?P<command>\S.*?)(?:  +(?P<host>[\w.-]{1,64}): (?P<date>.{10,40}))?$"


@lru_cache(4096)
def prompt_of(line: str) -> Prompt | None:
    """The prompt that a line begins with, or None.

    ``$ cmd``, ``user@host:~$ cmd``, ``[root@n ~]# cmd``, ``host:/dir # cmd``, ``bash-5.1$ cmd``,
    ``(container) $ cmd``, ``Every 2.0s: cmd``. What a remark may look like too (``# cmd``, ``word> cmd``) counts
    when the rest is a command that is known.
    """
    if len(line) > MAX_COMMAND or not (match := compiled(_WHO, re.VERBOSE).match(line)):
        return _other_prompt(line) if line[:1] in "\u276f➜λ└E" else None
    command = (match["command"] or "").strip()
    inner, mark = match["inner"] or "", match["mark"]
    is_strong = bool(match["user"] or "@" in inner)
    if not is_strong and not _is_weak_prompt(match, command):
        return None
    user, _, rest = inner.partition("@")
    host, _, folder = rest.partition(" ")
    return Prompt(
        command,
        host=match["host"] or host.partition(":")[0] or _host(match),
        is_root=mark == "#" or "root" in (user, match["user"]),
        folder=match["folder"] or match["folder2"] or folder.strip() or "",
        label=match["label"].strip(),
    )


def _host(match: re.Match[str]) -> str:
    """``gpu-17`` of ``gpu-17:~ #``; a shell's own name is none."""
    alone = match["alone"] or ""
    return "" if re.fullmatch(r"(?:ba|z|k|da|c|tc|a)?sh(?:-[0-9.]+)?|fish|PS", alone) else alone


def _is_weak_prompt(match: re.Match[str], command: str) -> bool:
    """Whether a prompt without a user is one, by what comes after it."""
    mark, is_bare = match["mark"], not match["alone"] and not match["inner"]
    if not command:
        return mark == "$" and not match["alone"]
    if mark == "$" and (is_bare or match["folder2"]):
        return re.match(r"[A-Za-z0-9_./~({\[\"'#]", command) is not None
    return looks_typed(command)


def looks_typed(command: str) -> bool:
    """Whether these words are a command that is known, not prose."""
    if not may_be_command(command):
        return False
    try:
        words = next((first.words for first, *_ in pipelines(command)), ("",))
    except ValueError:
        return False
    if words[0] in KEYWORDS[:4]:
        return "; do" in command or "; then" in command
    return is_command(words)


def _other_prompt(line: str) -> Prompt | None:
    if match := compiled(_ARROW).match(line):
        return Prompt(match["command"], is_root="└─#" in line)
    if match := compiled(_WATCH).match(line):
        return Prompt(match["command"], host=match["host"] or "", date=match["date"] or "")
    return None


def is_remark(line: str) -> bool:
    """``# the second node was fine``"""
    return line.startswith("#")


# ---- command lines


@lru_cache(4096)
def pipelines(text: str) -> tuple[Pipeline, ...]:
    """The pipelines of a command line, in the order in which they run; loops are not unfolded.

    Raises Unfinished when it goes on in the next line, ValueError when it is no command line.
    """
    found: list[Pipeline] = []
    simples: list[Simple] = []
    words: list[str] = []
    is_silent = False
    tokens = deque(_tokens(text))
    while tokens:
        kind, value = tokens.popleft()
        if kind == "word":
            words.append(value)
        elif kind == "into":
            if tokens and tokens[0][0] == "word":
                target = tokens.popleft()[1]
                is_silent = is_silent or (value in (">", ">>", "1>", "&>", ">|") and target != "/dev/stdout")
        elif kind == "pipe" or value in (";", "&", "&&", "||"):
            if words:
                simples.append(Simple(tuple(words), is_silent))
            words, is_silent = [], False
            if kind != "pipe" and simples:
                found.append(tuple(simples))
                simples = []
            if not tokens and value in ("|", "|&", "&&", "||"):
                raise Unfinished
    if words:
        simples.append(Simple(tuple(words), is_silent))
    if simples:
        found.append(tuple(simples))
    return tuple(found)


def joints(text: str) -> tuple[str, ...]:
    """What stands between the pipelines of a command line: ``&&``, ``||``, ``;``."""
    return tuple(value for kind, value in _tokens(text) if kind == "end")


_INTO = r"(?:&>>?|[0-9]?>[>|]?(?:&[0-9-])?|[0-9]?<<?<?)"
_JOINTS = ("&&", "||", "|&", "|", ";", "&")


def _tokens(text: str) -> list[tuple[str, str]]:
    """Words without their quotes, redirections (``into``), pipes, and what ends a pipeline."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char in " \t\n":
            at += 1
            found += [("end", ";")] if char == "\n" and found and found[-1][0] == "word" else []
        elif char == "#":
            at = (text + "\n").index("\n", at)
        elif match := compiled(_INTO).match(text, at):
            at = match.end()
            if "&" not in match[0][1:]:
                found.append(("into", match[0]))
        elif joint := next((joint for joint in _JOINTS if text.startswith(joint, at)), ""):
            at += len(joint)
            found.append(("pipe" if joint in ("|", "|&") else "end", joint))
        else:
            word, at = _word(text, at)
            found.append(("word", word))
    return found


def _word(text: str, at: int) -> tuple[str, int]:
    """A word and where it ends. Substitutions stay in it as they were typed."""
    parts: list[str] = []
    quote = ""
    while at < len(text):
        char = text[at]
        if char == "\\" and quote != "'":
            if at + 1 >= len(text):
                raise Unfinished
            parts.append("" if text[at + 1] == "\n" else text[at + 1])
            at += 2
        elif char == quote:
            quote = ""
            at += 1
        elif not quote and char in "'\"":
            quote = char
            at += 1
        elif quote != "'" and text.startswith("$(", at):
            end = _closing(text, at + 2)
            parts.append(text[at:end])
            at = end
        elif quote != "'" and char == "`":
            end = text.find("`", at + 1) + 1
            if not end:
                raise Unfinished
            parts.append(f"$({text[at + 1 : end - 1]})")
            at = end
        elif not quote and char in " \t\n;|&<>":
            break
        else:
            parts.append(char)
            at += 1
    if quote:
        raise Unfinished
    return "".join(parts), at


def _closing(text: str, at: int) -> int:
    """Where the bracket of ``$(`` is closed."""
    depth = 1
    while at < len(text):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
        if not depth:
            return at
    raise Unfinished


@lru_cache(4096)
def is_unfinished(command: str) -> bool:
    """Whether the command line goes on in the next line."""
    try:
        parts = pipelines(command)
    except Unfinished:
        return True
    except ValueError:
        return False
    first = [simple.words[0] for pipeline in parts for simple in pipeline[:1]]
    opened = sum(word in ("for", "while", "until") for word in first)
    return opened > sum(word in ("done", "fi") for word in first)
