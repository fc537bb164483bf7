"""What a command line asks: the key under which facts ask for the same, and whether its output is only a part."""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

from mlopsdoc.hosts.base import run_key, words
from mlopsdoc.hosts.pasted.tools import LEAD, OTHERS, TOOLS, Form, Tool


class Canonical(NamedTuple):
    """key: as in ``run nvidia-smi -q``. is_part: the output leaves something out. header: the first line that its
    CSV lacks."""

    key: str
    is_part: bool = False
    header: str = ""


class Placed(NamedTuple):
    """Where a command runs: `host` of ssh, or `container` (as in ``pod job-0``); and the command there."""

    words: tuple[str, ...]
    host: str = ""
    container: str = ""
    target: str = ""  # of an ssh that opens a shell

    @property
    def in_container(self) -> bool:
        return bool(self.container)


# Words in front of a command that change nothing of its output, and their options with a value.
WRAPPERS = {
    "sudo": "-u -g -p -C -h -r -t", "doas": "-u", "env": "-u -C", "timeout": "-k -s", "time": "-f -o", "nice": "-n",
    "nohup": "", "stdbuf": "-o -i -e", "watch": "-n", "unbuffer": "", "command": "", "exec": "", "ionice": "-c -n",
    "chrt": "",
}  # fmt: skip
SSH_TAKES = "-p -i -l -o -J -F -c -b -e -m -L -R -D -W -w"
# What asks other hosts, many at once: whose output is whose, only their own headings tell.
MANY_HOSTS = (
    "pssh", "parallel-ssh", "pdsh", "clush", "ansible", "salt", "dsh", "mussh", "cssh", "parallel", "bolt", "fab",
    "kubectl", "gcloud", "aws", "oc",
)  # fmt: skip
EXEC_TAKES = "-u -w -e -c -n --user --workdir --env --container --namespace"
CONTAINER = ("docker", "exec", "container")
NOISE = ("--no-pager", "--color=always", "--color=never", "--color", "--color=auto")
PROSE = frozenset(
    word
    for line in (
        "is was are were the an of after before shows show showed from on in and with without for not no says said but",
        "when then than that this these those it its has have had here there to by as at or only also still",
    )
    for word in line.split()
)


def canonical(argv: tuple[str, ...]) -> Canonical | None:
    """What a command line asks, or None where no fact asks for such output.

    ``sudo /usr/bin/nvidia-smi --query -i 0`` is ``run nvidia-smi -q``, a part. In a container the key begins with
    ``run docker exec container``. The command of ssh counts as its own.
    """
    placed = place(argv)
    found = _canonical(placed.words)
    if found is not None and placed.in_container:
        asked = found.key.partition(" ")[2] if found.key.startswith("run ") else words(("cat", found.key[5:]))
        return found._replace(key=f"run {words(CONTAINER)} {asked}")
    return found


def is_command(argv: tuple[str, ...]) -> bool:
    """Whether words after a ``#`` are a command typed by root, not a remark."""
    argv = place(argv).words
    if not argv or PROSE.intersection(argv):
        return False
    return _canonical(argv) is not None or (argv[0] in OTHERS and len(argv) > 1 and any(map(_is_no_word, argv[1:])))


def place(argv: tuple[str, ...]) -> Placed:
    """The command itself, without what starts it, and where it runs."""
    host, container = "", ""
    for _ in range(8):  # ssh gpu-17 sudo docker exec job nvidia-smi
        argv = _unwrapped(argv)
        name = argv[0].rpartition("/")[2] if argv else ""
        if name == "ssh":
            left = _after_options(argv[1:], SSH_TAKES)
            if len(left) < 2:
                return Placed(argv, host, container, left[0].rpartition("@")[2] if left else "")
            host, argv = left[0].rpartition("@")[2], left[1:]
        elif name in ("docker", "podman", "nerdctl", "kubectl", "crictl") and argv[1:2] == ("exec",):
            left = _after_options(argv[2:], EXEC_TAKES)
            if len(left) < 2:
                break
            container = f"{'pod' if name == 'kubectl' else 'container'} {left[0].removeprefix('pod/')}"
            left = _after_options(left[1:], EXEC_TAKES)
            argv = left[1:] if left[:1] == ("--",) else left
        elif len(argv) == 1 and " " in argv[0] and (host or container):
            argv = tuple(argv[0].split())  # ssh host 'nvidia-smi -q'
        else:
            break
    return Placed(argv, host, container)


def _unwrapped(argv: tuple[str, ...]) -> tuple[str, ...]:
    while argv:
        name = argv[0].rpartition("/")[2]
        if name in WRAPPERS:
            inner = _after_options(argv[1:], WRAPPERS[name])[1 if name == "timeout" else 0 :]
            if not inner:
                return argv  # env, or sudo -i
            argv = inner
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*=.*", argv[0], re.DOTALL):
            argv = argv[1:]
        else:
            return (name, *argv[1:]) if name else argv
    return argv


def _after_options(argv: tuple[str, ...], takes: str) -> tuple[str, ...]:
    n = 0
    while n < len(argv) and argv[n].startswith("-") and argv[n] != "--":
        n += 2 if argv[n] in takes.split() else 1
    return argv[n:]


def _canonical(argv: tuple[str, ...]) -> Canonical | None:
    if not argv:
        return None
    if argv[0] == "journalctl" and _is_other_boot(argv):
        return Canonical(run_key(argv))
    named = _named(argv)
    if named is None:
        return _file(argv)
    name, args = named
    tool = _known(name)
    if "*" in tool.forms:
        return Canonical(run_key((*name.split(), *(arg for arg in args if arg not in NOISE))))
    found = _asked(tool, args)
    return found if found is None or found.key != "run " else found._replace(key=run_key(argv))


def _file(argv: tuple[str, ...]) -> Canonical | None:
    """``cat /proc/mdstat`` and nothing else."""
    if argv[0] in ("cat", "zcat", "more", "less") and len(argv) == 2 and re.fullmatch(r"/[^*?{}\[\]]+", argv[1]):
        return Canonical(f"read {argv[1]}")
    return None


def _is_other_boot(argv: tuple[str, ...]) -> bool:
    """Whether an earlier boot is meant: ``-b -1``, ``--boot=-2``, ``-b1``."""
    for n, word in enumerate(argv):
        if word in ("-b", "--boot"):
            value = argv[n + 1] if n + 1 < len(argv) else ""
        elif word.startswith(("--boot=", "-b")):
            value = word.removeprefix("--boot=").removeprefix("-b")
        else:
            continue
        if re.fullmatch(r"-?[1-9][0-9]{0,4}|[0-9a-f]{32}", value):
            return True
    return any(word == "--list-boots" for word in argv)


@cache
def _known(name: str) -> Tool:
    return TOOLS[name]


def _named(argv: tuple[str, ...]) -> tuple[str, tuple[str, ...]] | None:
    """The longest name in the table that the words begin with, options in front of a subcommand apart."""
    name, rest = argv[0].removesuffix(".exe"), argv[1:]
    if rest and f"{name} {rest[0]}" in TOOLS and rest[0].startswith("-"):
        return f"{name} {rest[0]}", rest[1:]
    after = _after_options(rest, LEAD.get(name, ""))
    before = rest[: len(rest) - len(after)]
    if name == "ipmitool" and "-c" not in before:
        before = ()
    for depth in (2, 1):
        full = " ".join((name, *after[:depth]))
        if len(after) >= depth and full in TOOLS:
            return full, before + after[depth:]
    return (name, rest) if name in TOOLS else None


def _asked(tool: Tool, args: tuple[str, ...]) -> Canonical | None:
    options, operands = _parsed(tool, args)
    plain, parts, keeps = tool.plain.split(), tool.part.split(), tool.keeps.split()
    is_part = any(option in parts for option, _ in options)
    kept = sorted((o, v) for o, v in options if (o not in plain or o in keeps) and (o not in parts) and o not in NOISE)
    exact = " ".join(f"{o} {v}" if v and o in keeps else o for o, v in kept)
    form = tool.forms.get(exact)
    values = () if form else tuple(v for o, v in kept if v and o in keeps)
    form = form or tool.forms.get(" ".join(o for o, _ in kept))
    if form is None or not all(_pattern(tool.looks).fullmatch(operand) for operand in operands):
        return None
    return _of_form(form, values, operands, is_part, dict(options))


def _of_form(
    form: Form, values: tuple[str, ...], operands: tuple[str, ...], is_part: bool, options: dict[str, str]
) -> Canonical | None:
    if operands and form.operands == "none":
        return None
    if not operands and form.operands == "must":
        return None
    key = (*form.key.split(), *values)
    if form.operands in ("kept", "must"):
        key += operands
    elif form.operands == "part":
        is_part = is_part or bool(operands)
    return Canonical(run_key(key), is_part or form.part, _header(options))


def _header(options: dict[str, str]) -> str:
    """The line that ``--format=csv,noheader`` leaves out, without units."""
    fields = next((value for option, value in options.items() if option.startswith("--query-") and value), "")
    if not fields or "noheader" not in options.get("--format", ""):
        return ""
    return ", ".join(field.strip() for field in fields.split(","))


def _parsed(tool: Tool, args: tuple[str, ...]) -> tuple[list[tuple[str, str]], tuple[str, ...]]:
    """Options in their short form with their values, and operands."""
    same = dict(pair.split("=") for pair in tool.same.split())
    takes = tool.takes.split()
    options: list[tuple[str, str]] = []
    operands: list[str] = []
    left = list(args)
    while left:
        word = left.pop(0)
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
            value = left.pop(0) if left else ""
        elif name.startswith("--query-") and not equals and left and not left[0].startswith("-"):
            value = left.pop(0)
        options.append((same.get(name, name), value))
    return options, tuple(operands)


def _letters(word: str, takes: list[str]) -> list[tuple[str, str]]:
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


@cache
def _pattern(source: str) -> re.Pattern[str]:
    return re.compile(source)
