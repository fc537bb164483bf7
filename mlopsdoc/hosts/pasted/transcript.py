"""Text copied from a terminal as a recording: prompts, commands, outputs, remarks, in any mixture.

An output belongs to the command above it; one without a command is recognised by its own form (see shapes.py).
What a pipe has filtered, what was cut, and what nobody says is whole has the status `truncated`: it answers what
its lines answer, and tells nothing of what is not in it. What was not understood stays under its command as it
was typed.

Clock times without a zone are read as UTC here as in facts: those of one host agree with each other. When that was
is then not sure (see dates.py), and said in a note.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import chain
from typing import TextIO

from mlopsdoc.hosts.base import Answer, read_key
from mlopsdoc.hosts.merged import short_name
from mlopsdoc.hosts.pasted import machines, margins, outputs, shapes
from mlopsdoc.hosts.pasted.dates import NEVER, NO_ZONE, moment_of, newest_moment, stated_in
from mlopsdoc.hosts.pasted.files import Said
from mlopsdoc.hosts.pasted.journals import as_short
from mlopsdoc.hosts.pasted.latest import WEAK, joined
from mlopsdoc.hosts.pasted.machines import Where, Whereabouts, is_one
from mlopsdoc.hosts.pasted.margins import Margin
from mlopsdoc.hosts.pasted.outputs import typed_key
from mlopsdoc.hosts.pasted.places import bmc_of, is_shared, place
from mlopsdoc.hosts.pasted.prompts import MAX_COMMAND, Prompt, is_remark, is_unfinished, pipelines, prompt_of
from mlopsdoc.hosts.pasted.segments import Buffer, Segments, is_log, segmented, text_of
from mlopsdoc.hosts.pasted.whole import is_ended
from mlopsdoc.hosts.recorder import Recording
from mlopsdoc.hosts.refusals import EMPTY, TOO_LARGE_TEXT, UNKNOWN_TEXT, OverLimit, Refused
from mlopsdoc.patterns import compiled

MAX_BYTES, MAX_LINE = 256 << 20, 1 << 20
MAX_CONTINUED = 40
MAX_COMMANDS = 20_000
MAX_LINES = 64_000  # that are none of a log: after so many only logs are looked for
CHUNK = 1 << 20
SAMPLES_S = 10.0, 86400.0  # how far apart two outputs of one command may be to tell what has grown
MAX_BLANKS = 1000
HOSTNAME, STATUS = "/proc/sys/kernel/hostname", "/proc/self/status"
_PASSWORD = r"(?:\[sudo\] password for |.{0,64}'s password:|Password: ?$|Last login: |Connection to \S+ closed)"
# What stands where lines were left out: [...], <snip>, ---8<---, (output truncated), what a pager shows.
_CUT_WORD = r"(?:snip(?:ped)?|cut|truncated|omitted|elided|skipped|shortened|removed)"
_CUT = (
    r"(?i)\s*(?:[\[(<]?\s?(?:\.{3,}|…)\s?[\])>]?|[-=~ ]{0,40}(?:8<|>8|✂)[-=~ ]{0,40}|-*more-*.{0,16}|:"
    r"|lines [0-9]+-[0-9]+.{0,40}"
    rf"|[\[(<{{*~=#-][\[(<{{*~=# -]{{0,20}}(?:[\w]{{1,12}} ){{0,3}}{_CUT_WORD}\b[^|]{{0,40}}[\])>}}*~=#-]"
    rf"|{_CUT_WORD}[.:]?)\s*$"
)
_TROUBLE = (
    r"(?i)\b(?:error|warn(?:ing)?|fail(?:ed|ure|s)?|fatal|critical|timed? ?out|exception|unable|cannot|lost|down)\b"
)
_TIMED = r"(?:real|user|sys)\s+[0-9]+m[0-9.]+s$"


def is_text(head: bytes) -> bool:
    """Whether a file that begins so is text: nearly no control characters, in whatever encoding."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    control = sum(head.count(bytes([code])) for code in range(32) if code not in (7, 8, 9, 10, 12, 13, 27))
    return b"\0" not in head and control * 50 <= len(head)


def load(path: str) -> Recording:
    """The recording in a text file; raises Refused where it is too large or none, Differ, OSError."""
    with open(path, "rb") as file:
        head = file.read(4)
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    with open(
        path, encoding=encoding, errors="surrogateescape" if encoding != "utf-16" else "replace", newline="\n"
    ) as text:
        reader = _read(text)
    if not reader.has_text:
        raise Refused(EMPTY)
    recording = reader.recording()
    if not recording.is_known and recording.understood == (0, 0) and not reader.may_be_a_log:
        raise Refused(UNKNOWN_TEXT)
    return recording


def parse(text: str) -> Recording:
    """The same of text that is at hand; raises Differ."""
    return _read(StringIO(text.removesuffix("\n"), newline="\n")).recording()


def _read(text: TextIO) -> Reader:
    first = [line for _ in range(margins.LOOKED_AT) if (line := text.readline(MAX_LINE))]
    margin = margins.margin_of(first)
    machines.must_be_one(margin.hosts)
    reader = Reader(next(iter(margin.hosts), ""))
    for line in margins.unwrapped(margins.headed(as_short(_shown(_chunks("".join(first), text), margin, reader)))):
        reader.add(line)
    return reader


def _chunks(chunk: str, text: TextIO) -> Iterator[str]:
    """What was read already and the rest, in parts of whole lines; raises OverLimit."""
    size = 0
    while chunk:
        size += len(chunk)
        if size > MAX_BYTES:
            raise OverLimit(TOO_LARGE_TEXT.format(MAX_BYTES >> 20))
        yield chunk
        chunk = text.read(CHUNK) + text.readline(MAX_LINE)


def _shown(chunks: Iterator[str], margin: Margin, reader: Reader) -> Iterator[str]:
    """The lines as a terminal shows them; those of a log many at once, and nothing else once the reader is full."""
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            if reader.is_full:
                return reader.look_for_logs(chain([chunk[at:]], chunks))
            end = shapes.end_of_log(chunk, at) if reader.in_log and not margin.strip else at
            if end > at:
                yield chunk[at : end - 1]
            else:
                end = chunk.find("\n", at) + 1 or len(chunk)
                line = margins.shown(chunk[at:end].rstrip("\r\n"))
                yield margins.unfenced(margin.strip(line) if margin.strip else line)
            at = end


class _Typed:
    """A command whose output is being read."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.is_cut = False
        self.had_remark = False
        asks_log = re.search(r"\b(?:dmesg|journalctl|kern\.log|syslog|messages)\b", command) is not None
        self.lines = Buffer(is_log=asks_log)


class Reader:
    """Takes the lines of a transcript; `recording` ends it. host: the one that all of them are of, if that is told."""

    def __init__(self, host: str = "") -> None:
        self.has_text = False
        self._blanks = 0
        self._lines = 0  # but for those of logs
        self.is_full = False
        self._heading = self._next_heading = ""  # the host that one names, below which outputs stand
        self._under: dict[str, set[str]] = {}
        self._said: dict[tuple[Where, str], list[Said]] = {}
        self._gone: dict[tuple[Where, str], list[Said]] = {}  # said before the last reboot
        self._orders: dict[tuple[Where, str], int] = {}
        self._at = Whereabouts()
        self._at.here = Where(host)
        self._typed: _Typed | None = None
        self._more: list[str] = []  # of a command line that goes on
        self._is_waiting = False  # for the rest of it
        self._segments = Segments(self._keep)
        self.in_log = False
        self._folder = ""
        self._bmcs: dict[str, None] = {}  # of other machines, which ipmitool asked
        self._is_root = False
        self._date = NEVER
        self._seen = 0
        self._strange: list[str] = []
        self._left = {"run text"}  # keys of what no command explains
        self._differing: list[str] = []  # answers of which an earlier one said something else

    # ---- lines

    def add(self, line: str) -> None:
        """Take the next line, as a terminal shows it; while it is in a log, many lines of that at once."""
        if self.in_log and shapes.is_log_line(line):
            self._blanks = 0
            if self._typed is None:
                self._segments.add_log(line)
            else:
                self._typed.lines.add(line)
                self._typed.is_cut = self._typed.is_cut or self._typed.had_remark
            return
        self._blanks = self._blanks + 1 if not line else 0
        self._lines += 1
        self.is_full = self.is_full or self._lines > MAX_LINES
        if self._blanks > MAX_BLANKS:
            return
        self.has_text = self.has_text or not (line.isspace() or line == "")
        when = margins.script_time(line)
        if when or margins.is_fence(line):
            self._end_output(is_last=True)
            self._is_waiting = False
            self._date = max(self._date, moment_of(when))
        elif self._is_waiting:
            self._command_goes_on(line)
        elif _may_prompt(line) and not shapes.is_log_line(line) and (prompt := prompt_of(line)) is not None:
            self._begin(prompt)
        elif not compiled(_PASSWORD).match(line):
            self._line(line)

    def look_for_logs(self, chunks: Iterable[str]) -> None:
        """Take lines of logs out of all that follows, and nothing else."""
        self._end_output(is_last=True)
        self._is_waiting = False
        form = compiled(rf"^(?:{shapes.LOG_LINE}).*", re.MULTILINE)
        for chunk in chunks:
            self._segments.add_log("\n".join(match[0].rstrip("\r") for match in form.finditer(chunk)))

    def _line(self, line: str) -> None:
        typed = self._typed
        if typed is None:
            name, is_host = margins.heading_of(line)
            if name:
                self._segments.end()
                self._heading = name
            if is_host:
                machines.must_be_one(margins.hosts_of(name))
                self._at.here = Where(name)
                return
            if is_remark(line) and not self._segments.takes_remark(line):
                return
            self.in_log = self._segments.add(line) and not self._segments.is_open and shapes.is_log_line(line)
        elif is_remark(line) and not outputs.may_have_remarks(typed.command):
            self._next_heading = margins.heading_of(line)[0] or self._next_heading
            typed.had_remark = True
            typed.is_cut = typed.is_cut or _says_cut(line)
        elif len(line) < 200 and compiled(_CUT).match(line):
            typed.is_cut = True
        elif line.startswith("(END)"):
            pass  # what a pager shows below the last line
        elif not compiled(_TIMED).match(line[:40]):
            typed.lines.add(line)
            typed.is_cut = typed.is_cut or (typed.had_remark and bool(line.strip()))  # somebody was at work there
            self.in_log = shapes.is_log_line(line)

    def _command_goes_on(self, line: str) -> None:
        new = prompt_of(line) if _may_prompt(line) else None
        is_over = new is not None and bool(new.host)
        self._more += [] if is_over else [line.removeprefix("> ")]
        command, late = "\n".join(self._more), list[str]()
        if is_over or is_unfinished(command):
            if not is_over and len(self._more) < MAX_CONTINUED and len(command) < MAX_COMMAND:
                return
            command, *late = self._more  # it was no command line: its lines are output
        self._is_waiting, self._typed = False, _Typed(command)
        for one in late:
            self._line(one)
        if new is not None and is_over:
            self._begin(new)

    def _begin(self, prompt: Prompt) -> None:
        self._end_output()
        if margins.is_fence(prompt.command):
            prompt = prompt._replace(command="")
        self._heading = "" if prompt.host else self._next_heading or self._heading
        self._next_heading = ""
        if prompt.date:
            self._date = max(self._date, moment_of(prompt.date))
        self.is_full = self.is_full or self._seen >= MAX_COMMANDS
        self._at.arrive(prompt)
        self._is_root = self._is_root or (prompt.is_root and not self._at.here.container)
        if prompt.folder.startswith("/"):
            self._folder = prompt.folder
        if is_unfinished(prompt.command):
            self._is_waiting, self._more = True, [prompt.command]
        elif prompt.command:
            self._typed = _Typed(prompt.command)

    def _end_output(self, *, is_last: bool = False) -> None:
        self._segments.end()
        self.in_log = False
        typed, self._typed = self._typed, None
        if typed is not None:
            self._take(typed, is_last)

    # ---- answers

    def _take(self, typed: _Typed, is_last: bool) -> None:
        """Keep what a command and its output say. is_last: no prompt tells that the output has ended."""
        command, here = typed.command, self._at.here
        folder = _changed_folder(command, self._folder)
        try:
            placed = place(pipelines(command)[0][0].words)
        except (ValueError, IndexError):
            placed = place(())
        if placed.host or placed.container:
            self._at.here = Where(placed.host or here.name, placed.container or here.container)
        heard = outputs.hear(command, typed.lines, folder, is_cut=typed.is_cut or typed.lines.is_cut)
        self._folder = folder
        if (bmc := bmc_of(placed.words)) and any(said.text for said in heard.said):
            self._bmcs[bmc] = None
        if not heard.is_silent:
            self._seen += 1
        for said in heard.said:
            if is_last and not said.text and said.status == "ok" and (self._at.here, said.key) in self._said:
                continue  # typed, and what it printed was not copied
            if is_last and said.status == "ok" and not is_ended(said.key, said.text):
                said = said._replace(status="truncated", is_anew=True)
            self._keep(said)
        if heard.left is not None:
            self._left.add(typed_key(command))
            self._keep(Said(typed_key(command), "truncated", text_of(heard.left)))
            for said in segmented(heard.left):  # output that its command does not explain is read for what it is
                self._keep(said)
        if not heard.is_silent and not heard.is_known:
            self._strange.append(command)
            self._left.add(typed_key(command))
        if heard.is_reboot:
            gone = {place: said for place, said in self._said.items() if is_one(place[0].name, self._at.here.name)}
            self._gone = gone | self._gone
            self._said = {place: said for place, said in self._said.items() if place not in gone}
        self._at.here = here
        self._at.enter(placed)

    def _keep(self, said: Said) -> None:
        if said.key == "run date":
            self._date = max(self._date, moment_of(said.text))
        said = said._replace(at=stated_in(said.key, said.text) or self._date.at)
        for one in (said, *outputs.derived(said)):
            place = (self._at.here, one.key)
            if self._heading and machines.is_evidence(one.key):
                self._under.setdefault(self._heading, set()).add(one.key)
            self._said.setdefault(place, []).append(one)
            if one.status not in WEAK or place not in self._orders:
                self._orders[place] = len(self._orders) + self._seen + 1

    # ---- the end

    @property
    def may_be_a_log(self) -> bool:
        """Whether what was not recognised speaks of trouble, as logs do."""
        return re.search(_TROUBLE, self._segments.strangers.text) is not None

    def recording(self) -> Recording:
        """All that the text says."""
        if self._is_waiting:
            self._typed = _Typed("\n".join(self._more))
        self._end_output(is_last=True)
        if not any(machines.is_evidence(key) for _, key in self._said):
            self._said, self._gone = self._gone | self._said, {}
        strangers = self._segments.strangers
        if strangers.lines:
            self._keep(Said("run text", "truncated", strangers.text))
        recording = Recording(0.0)
        recording.complete = False
        logs = [part.text for (_, key), parts in self._said.items() if key == "run dmesg" for part in parts]
        by_name = {short_name(name): name for text in logs for name in shapes.log_hosts(text)}
        machines.must_be_one(list(by_name.values()))
        machines.must_be_one(margins.alike(self._under))
        machines.must_be_one(list(self._bmcs))
        known = [place for place in self._said if place[1] not in self._left]
        main = machines.judged(known, self._at.names) or machines.most(self._said)
        for (where, key), parts in self._said.items():
            answer = joined(machines.key_of(where, main, key), parts)
            answer.order = self._orders[where, key]
            recording.answers.setdefault(answer.key, answer)
            self._differing += [answer.key] if where == main and _has_more(parts, answer) else []
        self._lend(recording, main)
        self._tell_host(recording, main, next(iter(by_name.values()), ""))
        self._note(recording)
        self._set_moment(recording)
        recording.before = self._earlier(main)
        return recording

    def _earlier(self, main: Where) -> Recording | None:
        """What the same commands said before, where it is told when both was: counters are judged by growth."""
        found: dict[str, tuple[float, list[Said]]] = {}
        for (where, key), parts in self._said.items():
            told = [part for part in parts if part.status in ("ok", "truncated") and part.at]
            if where != main or is_log(key) or not told:
                continue
            times = {part.at for part in told if SAMPLES_S[0] <= told[-1].at - part.at <= SAMPLES_S[1]}
            if times:
                found[key] = max(times), [part for part in told if part.at == max(times)]
        if not found:
            return None
        before = Recording(max(at for at, _ in found.values()))
        before.complete = False
        for key, (at, parts) in found.items():
            if at == before.taken_at:
                before.answers[key] = joined(key, parts)
                before.answers[key].at = at
        return before

    def _lend(self, recording: Recording, main: Where) -> None:
        """What a container on this host said of what it shares with it, where the host itself said nothing: a part."""
        for (where, key), parts in self._said.items():
            is_here = where.container.startswith(machines.HERE_TOO) and is_one(where.name, main.name)
            told = [part for part in parts if part.status in ("ok", "truncated")]
            if is_here and not main.container and told and is_shared(key) and key not in recording.answers:
                answer = joined(key, told)
                recording.answers[key] = Answer(key, "truncated", answer.data, why=f"said in {where.container}")
                recording.answers[key].order = self._orders[where, key]

    def _tell_host(self, recording: Recording, main: Where, writer: str) -> None:
        """writer: of the kernel log, as its lines say."""
        key = read_key(HOSTNAME)
        if main.container:
            recording.place = main.container
            at = f", reached from {main.name}" if main.name else ""
            recording.notes.append(f"what is judged was said in {main.container}{at}: it is not all of its host")
            return
        if not is_one(main.name, writer):
            recording.notes.append(f"the kernel log is that of {writer}, not of {main.name}, as far as it says")
        names = [name for name in (main.name, *self._at.names, writer) if re.fullmatch(r"[\w.-]*[A-Za-z][\w.-]*", name)]
        if names and key not in recording.answers:
            recording.answers[key] = Answer(key, "ok", f"{names[0]}\n".encode())
        key = read_key(STATUS)
        if self._is_root and key not in recording.answers:
            recording.answers[key] = Answer(key, "truncated", b"Uid:\t0\t0\t0\t0\n")

    def _set_moment(self, recording: Recording) -> None:
        told = self._date if self._date.at else newest_moment(recording.answers)
        recording.taken_at = told.at
        recording.is_lower_bound = not self._date.at or not told.is_sure
        if not told.is_sure:
            recording.notes.append(NO_ZONE)
        for answer in recording.answers.values():
            answer.at = recording.taken_at

    def _note(self, recording: Recording) -> None:
        if self.is_full:
            recording.notes.append(
                f"more than {MAX_LINES} lines or {MAX_COMMANDS} commands: only logs were looked for in the rest"
            )
        if self._differing:
            some = ", ".join(key.partition(" ")[2] for key in self._differing[:5])
            recording.notes.append(f"there are several outputs of {some} that differ: the last of each counts")
        logs = [a for key, a in recording.answers.items() if key.startswith("read /var/log/") and a.said]
        aside = [a.key.partition(" ")[2] for a in logs if b" kernel: " in a.data]
        if aside := [path for path in aside if path not in outputs.LOG_FILES]:
            some = ", ".join(aside[:5])
            why = "it may be of another boot or host: give such a log alone, with --from"
            recording.notes.append(f"what the kernel says in {some} is not judged, {why}")
        if self._gone:
            recording.notes.append("what was said before the reboot is not judged")
        recording.understood = (self._seen - len(self._strange), self._seen)
        if self._strange:
            some = ", ".join(f"`{' '.join(command.split())[:60]}`" for command in self._strange[:5])
            more = f" and {len(self._strange) - 5} more" if len(self._strange) > 5 else ""
            known = self._seen - len(self._strange)
            recording.notes.append(f"understood {known} of {self._seen} commands; not understood: {some}{more}")
        strangers = len(self._segments.strangers.lines)
        if strangers and self._seen:
            recording.notes.append(f"{strangers} lines that stand below no command are nothing that mlopsdoc knows")
        recording.is_known = any(key not in self._left for _, key in self._said)


def _has_more(parts: list[Said], answer: Answer) -> bool:
    """Whether an output is not in the answer that is made of all of them, or another one that begins so is."""
    late = parts[-64:] if not is_log(answer.key) else []
    told = {part.text.strip() for part in late if part.status in ("ok", "truncated")}
    begun = {text.partition("\n")[0] for text in told}
    return len(begun) < len(told) or any(text.encode("utf-8", "surrogateescape") not in answer.data for text in told)


def _says_cut(remark: str) -> bool:
    return re.search(r"\.\.\.|…|\b(?:cut|snip|omitted|truncated|shortened|rest|so on|more)\b", remark[:400]) is not None


def _may_prompt(line: str) -> bool:
    return compiled(r"[$#%>\u276f➜λ└]").search(line, 0, 160) is not None or line.startswith("Every ")


def _changed_folder(command: str, folder: str) -> str:
    """The folder after ``cd`` at the beginning of a command line."""
    match = re.match(r"(?:sudo )?cd ([^\s;&|]+)", command)
    if match is None:
        return folder
    target = match[1]
    return (
        target.rstrip("/") if target.startswith("/") else f"{folder}/{target}" if folder and ".." not in target else ""
    )
