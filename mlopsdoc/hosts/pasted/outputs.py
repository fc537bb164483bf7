"""What a command and its output say: answers under the keys that facts ask for."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlopsdoc.hosts.base import AnswerStatus, read_key, words
from mlopsdoc.hosts.pasted import files, loops, shapes
from mlopsdoc.hosts.pasted.commands import CONTAINER, Canonical, canonical
from mlopsdoc.hosts.pasted.dates import moment_of
from mlopsdoc.hosts.pasted.files import NotTold, Said
from mlopsdoc.hosts.pasted.places import MANY_HOSTS, place
from mlopsdoc.hosts.pasted.prompts import Pipeline, joints, pipelines
from mlopsdoc.hosts.pasted.refusals import refusal
from mlopsdoc.hosts.pasted.segments import Buffer, Segments, is_log, said_of, segmented, text_of
from mlopsdoc.hosts.pasted.whole import is_whole
from mlopsdoc.patterns import compiled

MAX_REPEAT, MAX_REPEATED = 4096, 1 << 18
# Commands that print nothing that could be evidence.
SILENT = (
    "cd", "export", "sleep", "clear", "exit", "logout", "set", "unset", "source", ".", "alias", "mkdir", "rm", "cp",
    "mv", "true", "wait", "kill", "reset", "sudo", "su", "ssh", "bash", "sh", "tmux", "screen", "vi", "vim",
    "nano", "history",
)  # fmt: skip
SILENT_WORDS = {(), *((word,) for word in SILENT)}
PAGERS = ("less", "more", "most", "bat", "batcat", "pg", "view")
GREPS = ("grep", "egrep", "fgrep", "zgrep", "rg", "ag", "ack")
PART_FILTERS = ("head", "tail", "sort", "uniq", "tac", "strings")
# Their lines of the kernel are a part of what dmesg says; not those of files that were put aside: kern.log.1.
LOG_FILES = ("/var/log/kern.log", "/var/log/syslog", "/var/log/messages", "/dev/kmsg")
SECTIONED = "run nvidia-smi -q"  # what grep left out between two lines ends a section there
KNOWN_FILES = ("/proc/", "/sys/", "/etc/", "/run/", "/dev/", "/var/log/")


class Heard(NamedTuple):
    """said: answers. left: output that the command does not explain, to be read for what it is. is_known: whether the
    command was understood. is_silent: there was nothing to understand. is_reboot: the host started again afterwards."""

    said: list[Said]
    left: Sequence[str] | None = None
    is_known: bool = True
    is_silent: bool = False
    is_reboot: bool = False


def hear(command: str, output: Buffer, folder: str, *, is_cut: bool) -> Heard:
    """What a command line and its output say. is_cut: lines are missing."""
    lines = _trimmed(output.text.split("\n"))
    try:
        parts = [pipeline for pipeline in pipelines(command) if not pipeline[-1].is_silent]
    except ValueError:
        return Heard([], lines, False)
    if reaches_others(command, parts):
        asked = canonical(parts[0][0].words) if len(parts) == 1 else None
        jobs = [said for said in segmented(lines) if said.key == "run job"]
        return Heard([Said(typed_key(command), "truncated", text_of(lines)), *jobs], None, asked is not None)
    if command.lstrip().startswith("for "):
        return _loop(command, lines)
    if any(_is_reboot(place(part[0].words).words) for part in parts):
        return Heard([], lines if any(lines) else None, True, True, True)
    if len(parts) >= 2 and parts[0][0].words[0] in ("test", "["):
        return _tested(parts, joints(command), lines)
    parts = [pipeline for pipeline in parts if place(pipeline[0].words).words[:1] not in SILENT_WORDS]
    if not parts:
        lines = [line for line in lines if line.strip() not in ("exit", "logout")]
        return Heard([], lines if any(lines) else None, True, True)
    if len(parts) > 1:
        return _several(parts, lines, folder, is_cut)
    if script := place(parts[0][0].words).script:
        filters = "".join(f" | {shlex.join(simple.words)}" for simple in parts[0][1:])
        return hear(script + filters, output, folder, is_cut=is_cut)
    return _one(parts[0], lines, folder, is_cut)


def _trimmed(lines: list[str]) -> list[str]:
    """The lines without those that are blank at both ends."""
    full = [n for n, line in enumerate(lines) if line.strip()]
    return lines[full[0] : full[-1] + 1] if full else []


def _is_reboot(argv: tuple[str, ...]) -> bool:
    """``reboot``, ``systemctl reboot``, ``shutdown -r now``, ``ipmitool chassis power cycle``."""
    if argv[:1] in (("reboot",), ("poweroff",), ("halt",), ("shutdown",)):
        return not {"-c", "--help", "-k"}.intersection(argv)
    if argv[:1] == ("ipmitool",):
        return "power" in argv and argv[-1] in ("cycle", "reset", "off", "soft") and "-H" not in argv
    return argv[:1] == ("systemctl",) and argv[1:2] in (("reboot",), ("kexec",), ("poweroff",), ("halt",))


def typed_key(command: str) -> str:
    """The key of output that nobody understood: its command, as it was typed."""
    return ("run " + words(tuple(command.split())))[:1000]


def reaches_others(command: str, parts: Sequence[Pipeline]) -> bool:
    """Whether what a command prints may be of several hosts: ``pdsh -w gpu-[1-9] df``, a loop of ssh."""
    first = command.split(maxsplit=1)[:1]
    is_loop = first in (["for"], ["while"], ["until"])
    for pipeline in parts:
        for simple in pipeline:
            placed = place(simple.words)
            if placed.is_many or (placed.words[:1] and placed.words[0] in MANY_HOSTS and not placed.container):
                return True
            is_loop_of_ssh = is_loop and any(word.rpartition("/")[2] in ("ssh", "rsh") for word in simple.words)
            if is_loop_of_ssh or "$" in placed.host or "$" in placed.container:
                return True
            if placed.words[:1] == ("xargs",) and {"ssh", "kubectl"}.intersection(placed.words):
                return True
    return False


def may_have_remarks(command: str) -> bool:
    """Whether lines that begin with ``#`` are output of this command: files and tables have such lines."""
    tools = r"\b(?:dmon|pmon|smartctl|numastat|cat|grep|head|tail|more|less|sed)\b(?!.*/(?:sys|proc)/)"
    return re.search(tools, command[:2000]) is not None


# ---- one command


def _one(pipeline: Pipeline, lines: list[str], folder: str, is_cut: bool) -> Heard:
    argv = place(pipeline[0].words).words
    if argv[0] in ("echo", "printf") and not any("$" in word for word in argv):
        return Heard([], is_silent=True)  # whatever it looks like, nobody measured it
    asked = canonical(argv)
    refused = _refused(argv, asked, lines, len(pipeline) > 1)
    if refused is not None:
        return Heard(refused)
    effect, lines = _filtered(pipeline, lines)
    if asked is None or asked.key != SECTIONED:
        lines = [line for line in lines if line != "--" or effect != "part"]
    if effect == "changed":
        return Heard([], lines, False)
    is_part = is_cut or effect == "part"
    if argv[0] in files.READERS and argv[1:]:
        return _files(argv, lines, folder, is_part or argv[0] in PAGERS)
    if argv[0] in ("ls", "readlink"):
        found = (files.listed if argv[0] == "ls" else files.linked)(argv, lines, folder)
        return Heard([*found, Said("run " + words(argv), "truncated" if is_part else "ok", text_of(lines))])
    if asked is None:
        return Heard([], lines, _explains_itself(lines))
    if _is_anothers(asked, lines):
        return Heard(_parts(segmented(lines)), None, False)
    if is_log(asked.key) and lines and lines[0].startswith("{"):
        return Heard(_parts(segmented(lines)))  # journalctl -o json | jq
    return Heard(list(_distributed(asked, lines, is_part)))


def _is_anothers(asked: Canonical, lines: Sequence[str]) -> bool:
    """Whether all that stands below a command is output of another one, as where outputs stand above commands."""
    if not any(shape.key == asked.key for shape in shapes.SHAPES) or is_log(asked.key):
        return False
    first = next((line for line in lines if line.strip()), "")
    start = shapes.start_of(first)
    if start is None or is_log(start.key):
        return False
    tool = " ".join(asked.key.split()[:2])
    return not any(s.key.startswith(tool) for line in lines if (s := shapes.start_of(line)) is not None)


def _explains_itself(lines: Sequence[str]) -> bool:
    """Whether every line of output is known by its form, as of ``curl .../redfish`` or of a script of one's own."""
    segments = Segments(lambda said: None)
    return bool(lines) and all(segments.add(line) for line in lines)


def _refused(
    argv: tuple[str, ...], asked: Canonical | None, lines: Sequence[str], is_filtered: bool
) -> list[Said] | None:
    """The answer of a command that could not run, or was not allowed to."""
    key = asked.key if asked else "run " + words(argv)
    is_reader = argv[0] in files.READERS or argv[0] in ("ls", "readlink") or key == "run journalctl"
    why = refusal(argv[0], lines, is_log=is_log(key), is_filtered=is_filtered, is_known=asked is not None)
    first = next((line.strip() for line in lines if line.strip()), "")[:200]
    if why == "absent":
        return [Said(key, "absent", why="no such command")]
    if why is None or is_reader:
        return None
    if why == "denied":
        return [Said(key, "denied", why=first)]
    own, logs = _without_logs(lines)
    return [Said(key, "failed", text_of(own), first), *logs]


# What a filter leaves of its input, by its name: the options it may have, and whether lines are missing afterwards.
_GREP_LOSES = r"-[a-zA-Z]*[coLlqbZ]|--(?:count|only-matching|files-.*|quiet|byte-offset)"
_SED_PRINTS = r"(?:[0-9$,+~]+|/[^/]*/(?:I?,(?:[0-9+$]+|/[^/]*/))?I?)p;?|/[^/]*/I?d"
_AWK_CHOOSES = r"!?/[^/]*/(?: *(?:&&|\|\|) *!?/[^/]*/){0,8}|NR *[<>=!]=? *[0-9]+(?: *&& *NR *[<>=!]=? *[0-9]+)?"


def _effect(name: str, args: Sequence[str]) -> str:
    """``whole``, ``part`` or ``changed``: what a filter makes of an output. A pager shows a screen of it."""
    options = [arg for arg in args if arg.startswith("-")]
    if name in ("cat", "tee"):
        return "whole" if all(option in ("-a", "-n", "-u", "-") for option in options) else "changed"
    if name == "jq" or (name.startswith("python") and "json.tool" in args):
        return "whole" if name != "jq" or [arg for arg in args if not arg.startswith("-")] in ([], ["."]) else "changed"
    if name in PAGERS:
        return "part"
    if name in GREPS:
        return "changed" if any(compiled(_GREP_LOSES).fullmatch(option) for option in options) else "part"
    if name in PART_FILTERS:
        return "part"
    if name in ("sed", "awk", "gawk", "mawk"):
        scripts = [arg for arg in args if not arg.startswith("-") or name != "sed"]
        form = _SED_PRINTS if name == "sed" else _AWK_CHOOSES
        told = len(scripts) == 1 and compiled(form).fullmatch(scripts[0].strip()) is not None
        prints = name != "sed" or ("-n" in options) == scripts[0].rstrip("; ").endswith("p") if told else False
        return "part" if told and prints else "changed"
    return "changed"


def _filtered(pipeline: Pipeline, lines: list[str]) -> tuple[str, list[str]]:
    """The same of all filters, and the lines as they were before counts and numbers were put in front."""
    effect = "whole"
    for simple in pipeline[1:]:
        name, *args = place(simple.words).words or ("",)
        one = _effect(name, args)
        if one == "changed":
            return one, lines
        effect = "part" if one == "part" else effect
        flags = "".join(arg[1:] for arg in args if arg.startswith("-") and not arg.startswith("--"))
        if name in GREPS:
            lines = _ungrepped(lines, "n" in flags or "--line-number" in args)
        elif name == "cat" and "n" in flags:
            lines = [re.sub(r"^ {0,8}[0-9]{1,9}\t", "", line, count=1) for line in lines]
        elif name == "uniq" and "c" in flags:
            lines, is_all = _counted(lines)
            effect = effect if is_all else "part"
    return effect, lines


def _ungrepped(lines: list[str], numbered: bool) -> list[str]:
    return [re.sub(r"^[0-9]{1,9}[:-]", "", line) for line in lines] if numbered else lines


def _counted(counted: Sequence[str]) -> tuple[list[str], bool]:
    r"""``     12 \tACSCtl: ...``, as `uniq -c` counts, is that line 12 times, up to a sum; whether that was all."""
    lines: list[str] = []
    for line in counted:
        match = compiled(r" {0,7}([0-9]{1,7}) (.*)$").match(line)
        count = min(int(match[1]), MAX_REPEAT) if match else 1
        if len(lines) + count > MAX_REPEATED:
            return lines, False
        lines += [match[2] if match else line] * count
    return lines, True


def _files(argv: tuple[str, ...], lines: list[str], folder: str, is_part: bool) -> Heard:
    said = list[Said]()
    if any(word.startswith(("/proc/", "/sys/")) for word in argv):
        lines, said = _without_logs(lines)
    try:
        found = files.files_of(argv, lines, folder, is_part)
    except NotTold:
        return Heard(said, lines, _explains_itself(lines))
    for one in found:
        if one.status == "ok" and is_whole(one.key, one.text) is False:
            one = one._replace(status="truncated")
        path = one.key.partition(" ")[2]
        if path in LOG_FILES:
            said += [one] if not one.text else [Said(one.key, "truncated"), *segmented(one.text.split("\n")[:-1])]
        else:
            said.append(one)
            if not path.startswith(KNOWN_FILES):
                said += _parts(segmented(one.text.split("\n")[:-1]))  # nobody knows of when, or of which host
    return Heard(said)


def _parts(said: Sequence[Said]) -> list[Said]:
    """Answers that leave something out, whatever their form."""
    return [one._replace(status="truncated") if one.status == "ok" else one for one in said]


def _without_logs(lines: Sequence[str]) -> tuple[list[str], list[Said]]:
    """Lines of another output, and the logs that somebody pasted below them."""
    logs = {line for line in lines if (start := shapes.start_of(line)) is not None and is_log(start.key)}
    return [line for line in lines if line not in logs], segmented([line for line in lines if line in logs])


def _distributed(asked: Canonical, lines: Sequence[str], is_part: bool) -> Iterator[Said]:
    """The output of a command under its key; lines of logs and what was pasted below it, under theirs."""
    own = Buffer(is_log=is_log(asked.key))
    if asked.key.startswith("run journalctl"):
        yield from _journal(asked, lines, is_part)
        return
    if asked.header:
        own.add(asked.header)
    foreign: list[str] = []
    shape = -1  # of what was pasted below
    tool = asked.key.removeprefix(f"run {words(CONTAINER)} ").removeprefix("run ").partition(" ")[0]
    is_foreign = False
    for line in lines:
        start = None if is_log(asked.key) else shapes.start_of(line)
        if start is not None:
            same = start.key.startswith((f"run {tool}", asked.key)) or start.key in shapes.PLAIN
            is_foreign = not same and start.key != "run job"
            shape = start.number if is_foreign else shape
        elif is_foreign and line.strip():
            is_foreign = shapes.goes_on(shape, line)
        (foreign.append if is_foreign else own.add)(line)
    if not foreign or any(line.strip() for line in own.lines):
        yield said_of(asked.key, own, is_part=is_part or asked.is_part)
    yield from _parts(segmented(foreign)) if is_part or asked.is_part else segmented(foreign)
    jobs = [line for line in own.lines if (start := shapes.start_of(line)) is not None and start.key == "run job"]
    if jobs and not is_log(asked.key):
        yield Said("run job", "truncated", text_of(jobs))


def _journal(asked: Canonical, lines: Sequence[str], is_part: bool) -> Iterator[Said]:
    """The journal; what is the kernel's in it is also a part of what dmesg says, unless it is of another boot."""
    text = text_of(lines)
    yield Said(asked.key, "truncated" if is_part or asked.is_part else "ok", text)
    if asked.key == "run journalctl":
        kernel = [line for line in lines if (s := shapes.start_of(line)) is not None and s.key == "run dmesg"]
        if kernel:
            yield Said("run dmesg", "truncated", text_of(kernel))


# ---- several commands


def _loop(command: str, lines: list[str]) -> Heard:
    try:
        return Heard(loops.loop(command, lines))
    except (NotTold, ValueError, re.error):
        return Heard([], lines, _explains_itself(lines))


# What `test` and `echo` say together: by what stands between them, what each line of output means.
_TESTED: dict[tuple[str, ...], tuple[AnswerStatus, ...]] = {
    ("&&", "||"): ("truncated", "absent"),
    ("&&",): ("truncated",),
    ("||",): ("absent",),
}


def _tested(parts: Sequence[Pipeline], between: tuple[str, ...], lines: Sequence[str]) -> Heard:
    """``test -e PATH && echo yes || echo no``: whether a file is there; what is in it, nobody said."""
    test = [word for word in parts[0][0].words[1:] if word != "]"]
    echoes = [" ".join(part[0].words[1:]) for part in parts[1:] if part[0].words[0] == "echo"]
    said = [line.strip() for line in lines if line.strip()]
    means = _TESTED.get(between, ())
    is_told = len(test) == 2 and test[0] in ("-e", "-f", "-d", "-c", "-r", "-s") and test[1].startswith("/")
    is_told = is_told and len(parts) - 1 == len(echoes) == len(means) == len(set(echoes))
    if not is_told or len(said) != 1 or said[0] not in echoes:
        return Heard([], lines, False)  # no output may be no answer: `set -e`, a cut
    status = means[echoes.index(said[0])]
    if status == "absent" and test[0] in ("-r", "-s"):
        return Heard([], lines, False)  # it may be there, and not readable or empty
    return Heard([Said(read_key(test[1]), status, why="" if status == "truncated" else "not there")])


def _several(parts: Sequence[Pipeline], lines: list[str], folder: str, is_cut: bool) -> Heard:
    """Commands in one line: told apart by what `echo` printed between them, else by the form of their output."""
    told: list[Said] = []
    for end in (0, -1):
        while len(parts) > 1 and lines and (alone := _one_liner(parts[end], lines[end])):
            told.append(alone)
            parts, lines = (parts[1:], _trimmed(lines[1:])) if end == 0 else (parts[:-1], _trimmed(lines[:-1]))
    if told:
        rest = _several(parts, lines, folder, is_cut) if len(parts) > 1 else _one(parts[0], lines, folder, is_cut)
        return rest._replace(said=[*told, *rest.said])
    loud = [part for part in parts if part[0].words[0] not in ("echo", "printf")]
    sections = _sections(parts, lines)
    if sections is not None:
        heard = [_one(part, section, folder, is_cut) for part, section in sections]
        left = [line for one in heard if one.left is not None for line in one.left]
        known = all(one.is_known for one in heard)
        return Heard([said for one in heard for said in one.said], left if left or not known else None, known)
    asked = [found for part in loud if (found := canonical(part[0].words)) is not None]
    said = [one for one in segmented(lines) if one.key in {a.key for a in asked} or is_log(one.key)]
    is_known = len(asked) == len(loud) and bool(said)
    return Heard(_parts(said)) if is_known else Heard([], lines, False)


# What one line of output is, of commands that print just one.
_ONE_LINERS = {"run hostname": r"[\w.-]+$", "run uptime": r".* up .*load average: ", "run uname -r": r"[0-9]+\.\S+$"}


def _one_liner(pipeline: Pipeline, line: str) -> Said | None:
    """The answer of ``date`` in ``date; nvidia-smi -q``, by its form."""
    asked = canonical(pipeline[0].words) if len(pipeline) == 1 else None
    if asked is None or not (moment_of(line).at if asked.key == "run date" else asked.key in _ONE_LINERS):
        return None
    if asked.key in _ONE_LINERS and compiled(_ONE_LINERS[asked.key]).match(line) is None:
        return None
    return Said(asked.key, "ok", f"{line}\n")


def _sections(parts: Sequence[Pipeline], lines: list[str]) -> list[tuple[Pipeline, list[str]]] | None:
    """Each command with its lines, where the words of an `echo` stand between any two; else None.

    A separator tells where commands end only if it stands there as often as it was printed: a bare `echo` not where
    an output has blank lines of its own.
    """
    texts = [_echoed(part[0].words) if part[0].words[0] in ("echo", "printf") else None for part in parts]
    while texts and texts[0] == "":
        parts, texts = parts[1:], texts[1:]  # the blank lines at both ends are gone
    while texts and texts[-1] == "":
        parts, texts = parts[:-1], texts[:-1]
    wanted = [text for text in texts if text is not None]
    blocks, seen = [list[str]()], list[str]()
    for line in lines:
        if line.strip() in wanted:
            seen.append(line.strip())
            blocks.append([])
        else:
            blocks[-1].append(line)
    if seen != wanted or any("$" in text for text in wanted):
        return None
    found: list[tuple[Pipeline, list[str]]] = []
    of_block = [list[Pipeline]()]  # the commands whose output may be in each
    for part, text in zip(parts, texts):
        if text is None:
            of_block[-1].append(part)
        else:
            of_block.append([])
    for commands, block in zip(of_block, blocks):
        if len(commands) > 1 or (not commands and any(line.strip() for line in block)):
            return None
        found += [(command, block) for command in commands]
    return found or None


def _echoed(argv: tuple[str, ...]) -> str:
    """What `echo` or `printf` prints: ``echo -n ---`` is three dashes."""
    args = list(argv[1:])
    while argv[0] == "echo" and args and re.fullmatch(r"-[neE]{1,3}", args[0]):
        del args[0]
    return " ".join(args).replace("\\n", " ").strip()


# ---- what an answer says besides

HOSTNAME, OSRELEASE = read_key("/proc/sys/kernel/hostname"), read_key("/proc/sys/kernel/osrelease")
_BESIDES = {
    "run uname -r": (r"(\S+)$", (OSRELEASE,)),
    "run uname -a": (r"Linux ([\w.-]+) ([\w.+~-]+) #", (HOSTNAME, OSRELEASE)),
    "run hostname": (r"([\w.-]+)$", (HOSTNAME,)),
    "run uname -n": (r"([\w.-]+)$", (HOSTNAME,)),
}


def derived(said: Said) -> Iterator[Said]:
    """Answers to other questions that an answer holds: the kernel's release in ``uname -a``."""
    text = said.text.strip()
    if said.status not in ("ok", "truncated") or len(text) > 4096 or not text:
        return
    form, keys = _BESIDES.get(said.key, ("", ()))
    match = compiled(form).match(text) if form else None
    yield from (Said(key, "ok", f"{value}\n") for key, value in zip(keys, match.groups() if match else ()))
    if said.key.startswith("run taskset "):
        for match in re.finditer(r"pid ([0-9]{1,9})'s current affinity list: ([0-9,-]{1,400})", text):
            yield Said(read_key(f"/proc/{match[1]}/status"), "truncated", f"Cpus_allowed_list:\t{match[2]}\n")
        for match in re.finditer(r"pid ([0-9]{1,9})'s current affinity mask: ([0-9a-f]{1,512})(?![0-9a-f])", text):
            bits = f"{int(match[2], 16):b}"[::-1]
            cpus = ",".join(f"{run.start()}-{run.end() - 1}" for run in re.finditer("1+", bits))
            yield Said(read_key(f"/proc/{match[1]}/status"), "truncated", f"Cpus_allowed_list:\t{cpus}\n")
