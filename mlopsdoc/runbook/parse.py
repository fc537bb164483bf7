"""Runbooks: markdown for a human, with commands that can be run. Read here as data; nothing is run here.

    # The pool was not scrubbed for a long time
    ## Diagnosis
    ### See when the last scrub ended
    The `scan:` line tells.
    ```sh look timeout=10s
    zpool status -v "$POOL"
    ```

A step is a `###` heading with one `sh` fence and perhaps a second, `sh undo`. Values reach a command through
the environment only: its text is never edited, so what was reviewed is what runs.

It reads the part of CommonMark that runbooks need: ATX headings, fences, paragraphs, lists, quotes, tables.
What it cannot read alike with every forge (underlined headings, front matter) is a problem in `problems`.
"""

from __future__ import annotations

import os
from typing import Any, Literal, TypeAlias

from msgspec import Struct

from mlopsdoc.clean import clean, one_line
from mlopsdoc.runbook.markdown import Block, Prose, fence, heading, slug
from mlopsdoc.runbook.shell import TooDeep
from mlopsdoc.runbook.step import ATTRIBUTES, TOUCHES, Step, variables

MAX_BYTES = 1 << 20
MAX_COMMAND = 1 << 16
Severity: TypeAlias = Literal["error", "warning", "note"]


class BadRunbook(ValueError):
    """Text that cannot be read as a runbook at all. `line` counts from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line
        self.why = why


class Problem(Struct, frozen=True):
    """What is wrong with a runbook, and where."""

    line: int
    severity: Severity
    text: str


class Section(Struct, frozen=True):
    """A `##` heading: prose, then steps. Steps before the first heading are in a section without a title."""

    title: str
    line: int
    blocks: tuple[Block, ...]
    steps: tuple[Step, ...]


class Runbook(Struct, frozen=True):
    """name: the stem of its file, which is the id of the check it serves. blocks: prose before any section."""

    name: str
    title: str
    line: int
    blocks: tuple[Block, ...]
    sections: tuple[Section, ...]
    problems: tuple[Problem, ...]

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for section in self.sections for step in section.steps)

    @property
    def params(self) -> tuple[str, ...]:
        """Every value that some step or undo must be given."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.uses + step.undo_uses))

    def step(self, id: str) -> Step | None:
        return next((step for step in self.steps if step.id == id), None)


def load(path: str) -> Runbook:
    """The runbook in a file; raises BadRunbook, OSError."""
    with open(path, "rb") as file:
        data = file.read(MAX_BYTES + 1)
    return parse(os.path.basename(path).removesuffix(".md"), decoded(data))


def decoded(data: bytes) -> str:
    """The text of a file; raises BadRunbook where it is not UTF-8."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRunbook(data.count(b"\n", 0, error.start) + 1, "is not UTF-8 text") from None


def parse(name: str, text: str) -> Runbook:
    """The runbook that a text holds; raises BadRunbook, nothing else."""
    return Parser(name).parse(text)


class Draft:
    """A step or a section while it is read."""

    def __init__(self, title: str, line: int) -> None:
        self.title = title
        self.line = line
        self.prose = Prose()
        self.steps: list[Step] = []
        self.wrong: list[str] = []
        self.fields: dict[str, Any] = {}


class Parser:
    """One text. Problems that leave it readable are collected, others raise BadRunbook."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self.title: tuple[str, int] | None = None
        self.sections: list[Draft] = [Draft("", 1)]
        self.step: Draft | None = None
        self.slugs: dict[str, int] = {}  # id -> how many more were made of it

    def problem(self, line: int, text: str, severity: Severity = "error") -> None:
        self.problems.append(Problem(line, severity, text))
        if self.step and severity == "error":
            self.step.wrong.append(text)

    @property
    def prose(self) -> Prose:
        return (self.step or self.sections[-1]).prose

    def parse(self, text: str) -> Runbook:
        if len(text) > MAX_BYTES:
            raise BadRunbook(1, f"is larger than {MAX_BYTES} bytes")
        lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
        at = self._front_matter(lines)
        while at < len(lines):
            at = self._line(lines, at)
        self._end_section()
        if self.title is None:
            raise BadRunbook(1, "has no title: the first line is `# The problem in one sentence`")
        before, *sections = [Section(d.title, d.line, tuple(d.prose.blocks), tuple(d.steps)) for d in self.sections]
        sections = [before, *sections] if before.steps else sections
        return Runbook(self.name, *self.title, before.blocks, tuple(sections), tuple(self.problems))

    def _front_matter(self, lines: list[str]) -> int:
        """Where the text begins."""
        mark = lines[0].rstrip()
        if mark not in ("---", "+++"):
            return 0
        self.problem(1, "front matter: a runbook is plain markdown, forges show this as text")
        return lines.index(mark, 1) + 1 if mark in lines[1:] else 1

    def _line(self, lines: list[str], at: int) -> int:
        """Read what begins there; returns the index of the next line."""
        line = lines[at]
        if (opened := fence(line)) and (opened[0] < 4 or self.prose.inside):
            return self._fence(lines, at, opened)
        if found := heading(line):
            self._heading(at + 1, *found)
        elif self.prose.in_text and line.strip() and not line.strip().strip("=-") and len(set(line.strip())) == 1:
            self.problem(at + 1, "an underlined heading: write it with #")
            self.prose.flush()
        else:
            self.prose.add(at + 1, line)
        return at + 1

    def _heading(self, line: int, level: int, title: str) -> None:
        self.prose.flush()
        title = one_line(title, 200)
        if not title:
            self.problem(line, "a heading without words")
        if level > 3:
            self.prose.whole(Block("heading", title, line))
            self.prose.inside = 0
        elif level == 3:
            self._end_step()
            self.step = Draft(title, line)
            if len(self.sections) == 1:
                self.problem(line, "a step outside of any section")
        else:
            self._end_section()
            if level == 2:
                self.sections.append(Draft(title, line))
            elif self.title is None:
                self.title = (title, line)
            else:
                self.problem(line, "a second title: one runbook has one #")

    def _end_section(self) -> None:
        self._end_step()
        self.sections[-1].prose.flush()

    def _end_step(self) -> None:
        draft, section = self.step, self.sections[-1]
        if draft is None:
            return
        draft.prose.flush()
        if draft.fields.get("undo") and not draft.fields.get("command"):
            self.problem(draft.fields["undo_at"], "an undo without a command before it")
        wanted = slug(draft.title) or "step"
        id, number = wanted, self.slugs.get(wanted, 0)
        while id in self.slugs:
            number += 1
            id = f"{wanted}-{number}"
        if id != wanted:
            self.problem(draft.line, f"a second step with the id {wanted}: give it another heading")
        self.slugs |= {wanted: number, id: 0}
        section.steps.append(
            Step(
                id=id,
                title=draft.title,
                line=draft.line,
                section=section.title,
                blocks=tuple(draft.prose.blocks),
                wrong=tuple(draft.wrong),
                **draft.fields,
            )
        )
        self.step = None

    # Fences

    def _fence(self, lines: list[str], at: int, opened: tuple[int, str, str]) -> int:
        indent, marks, info = opened
        if indent < self.prose.inside:
            self.prose.inside = 0
        for end in range(at + 1, len(lines)):
            closing = lines[end].strip(" \t")
            if len(closing) >= len(marks) and not closing.strip(marks[0]):
                break
        else:
            raise BadRunbook(at + 1, "this fence is never closed")
        body = [_dedented(line, indent) for line in lines[at + 1 : end]]
        language, *words = info.split() or [""]
        if language == "sh" and (words or self.step):
            self._command(at + 1, body, words)
        else:
            if self.step and language in ("bash", "shell", "console"):
                self.problem(
                    at + 1, f"a {language} fence is not run: `sh` and a touch word make it a command", "warning"
                )
            self._code(at + 1, body)
        return end + 1

    def _code(self, line: int, body: list[str]) -> None:
        self.prose.whole(Block("code", clean("\n".join(body)), line, indent=self.prose.inside))

    def _command(self, line: int, body: list[str], words: list[str]) -> None:
        undo = words[:1] == ["undo"]
        kind: Literal["command", "undo"] = "undo" if undo else "command"
        if self.step is None:
            self.problem(line, "a command outside of a step: put a ### heading before it")
        elif not words:
            self.problem(line, f"which touch word: {', '.join(TOUCHES)}, or undo?")
        elif kind in self.step.fields:
            self.problem(line, f"a second {kind}: a step has one")
        else:
            text = _checked(line, body)
            self._described(line, words, text, undo=undo)
            self.prose.whole(Block(kind, text, line))
            return
        self._code(line, body)

    def _described(self, line: int, words: list[str], text: str, *, undo: bool) -> None:
        """Keep a command and what its fence says about it."""
        assert self.step is not None
        fields = self.step.fields
        try:
            uses = variables(text)
        except TooDeep as error:
            raise BadRunbook(line, str(error)) from None
        if undo:
            said = self._attributes(line, words[1:], ("needs",))
            fields |= {"undo": text, "undo_at": line + 1, "undo_uses": uses}
            fields["undo_root"] = said.get("root", False) or fields.get("root", False)
            return
        touches = [word for word in words if word in TOUCHES]
        if len(touches) != 1:
            self.problem(line, f"one touch word is needed: {', '.join(TOUCHES)}")
        touch = touches[0] if len(touches) == 1 else TOUCHES[-1]
        fields |= {"command": text, "command_at": line + 1, "fence_at": line, "touch": touch, "uses": uses}
        fields["on_hup"] = "stop" if touch == "look" else "finish"
        fields |= self._attributes(line, [word for word in words if word not in TOUCHES], tuple(ATTRIBUTES))

    def _attributes(self, line: int, words: list[str], allowed: tuple[str, ...]) -> dict[str, Any]:
        """The fields of Step that the words of a fence set."""
        said: dict[str, Any] = {}
        for word in words:
            key, equals, value = word.partition("=")
            if not equals or key not in allowed:
                known = ", ".join(f"{name}=" for name in allowed)
                self.problem(line, f"{one_line(word, 80)}: known are {', '.join(TOUCHES)} and {known}")
                continue
            field, read = ATTRIBUTES[key]
            try:
                if field in said:
                    raise ValueError("is said twice")
                said[field] = read(value)
            except ValueError as error:
                self.problem(line, f"{one_line(word, 80)}: {error}")
        return said


def _dedented(line: str, indent: int) -> str:
    return line[min(indent, len(line) - len(line.lstrip(" "))) :]


def _checked(line: int, body: list[str]) -> str:
    """The text of a command; raises BadRunbook where what is shown would not be what runs."""
    for number, row in enumerate(body, line + 1):
        if clean(row) != row or any(char.isspace() for char in row.replace("\t", "") if char != " "):
            raise BadRunbook(number, "a command with a character that cannot be seen, or a line without end")
    text = "\n".join(body).rstrip(" \t\n")
    if len(text) > MAX_COMMAND:
        raise BadRunbook(line, f"a command longer than {MAX_COMMAND} characters")
    if not text.strip():
        raise BadRunbook(line, "an empty command")
    if text.lstrip().startswith(("-", "+")):
        raise BadRunbook(line + 1, "a command that begins with a dash would be an option of the shell")
    return text
