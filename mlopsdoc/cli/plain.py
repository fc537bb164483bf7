"""`--plain`: the screen without a screen, a line at a time, for screen readers, serial consoles and slow links.

The letters are those of the screen, the pages too; other verbs are those of the command line. What changes is said
when it does. No escape sequence is written, but for what `y` sends to a clipboard that can take it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mlopsdoc.again import program
from mlopsdoc.clean import one_line
from mlopsdoc.cli.output import NOTHING_RUN, USAGE, Stop, columns, note, render, say
from mlopsdoc.cli.plain_help import help_of
from mlopsdoc.cli.plain_reading import Reading
from mlopsdoc.tui import clipboard, muting, pages, start_engine, terminal
from mlopsdoc.tui.lines import Lines

if TYPE_CHECKING:
    from mlopsdoc.model import Result
    from mlopsdoc.runbook.parse import Runbook
    from mlopsdoc.runbook.step import Step
    from mlopsdoc.tui import Opening, Recalling
    from mlopsdoc.tui.board import Row

OFF = "this is a recording: it does not change, and actions are off"


class Session(Reading):
    """What each letter does. options: those that say which recording it is."""

    def __init__(self, lines: Lines, sources: Sequence[str], options: Sequence[str]) -> None:
        super().__init__(lines, sources)
        self._options = options
        # How many words follow at least and at most, and what is done.
        self.verbs: dict[str, tuple[int, int, Callable[..., None]]] = {
            "l": (0, 0, self.listed), "f": (0, 1, self.filter), "r": (0, 1, self.again), "R": (0, 0, self.again),
            "p": (0, 0, self.pause), "b": (1, 1, self.book), "e": (1, 1, self.explain), "x": (1, 99, self.step),
            "D": (2, 99, self.dry_run), "X": (2, 99, self.run), "U": (2, 99, self.undo), "m": (1, 99, self.mute),
            "/": (1, 99, self.find), "y": (0, 1, self.copy), "s": (0, 0, self.snapshot), "d": (1, 1, self.diff),
            "t": (0, 0, self.ways), "g": (0, 0, self.gpus), "i": (0, 0, self.unseen), "a": (0, 0, self.whole),
            "S": (0, 0, self.save), ":": (1, 99, self.other), "?": (0, 1, self.help),
        }  # fmt: skip

    # Asking

    def again(self, word: str = "") -> None:
        self._must_be_live()
        note("checking")
        if self.lines.again(self.row_of(word).check if word else ""):
            self.listed()

    def pause(self) -> None:
        self._must_be_live()
        if self.lines.pause():
            clock = self.lines.clock[11:16]
            note(
                f"paused: nothing is asked until p is typed again; all is of {clock} UTC" if self.board.paused else "on"
            )

    def _must_be_live(self) -> None:
        if self.sources:
            raise Stop(USAGE, OFF)
        if self.lines.has_ended:
            raise Stop(USAGE, "nothing is asked any more: q, then start again")

    # Runbooks

    def _step(self, word: str, name: str, words: Sequence[str]) -> tuple[Runbook, Step, dict[str, str], Result | None]:
        """A step, the values it is given (K=V may follow it), and what its check says."""
        from mlopsdoc.cli.runbooks import given_values
        from mlopsdoc.runner.prepare import NoSuchStep, step_of

        row = self.row_of(word)
        book = self._must_have_book(row, word)
        try:
            step = step_of(book, name)
        except NoSuchStep as error:
            raise Stop(USAGE, str(error)) from None
        return book, step, self.board.params(row) | given_values(words), self.board.results.get(row.check)

    def _must_have_book(self, row: Row, word: str) -> Runbook:
        book = self.book_of(row)
        if book is None:
            raise Stop(USAGE, f"{word} has no runbook")
        return book

    def book(self, word: str) -> None:
        row = self.row_of(word)
        book = self._must_have_book(row, word)
        self._verb("runbook", "show", book.name, *_set(self.board.params(row)))

    def step(self, word: str, name: str = "", *words: str) -> None:
        """The steps of a runbook, or one as it would be run."""
        if name:
            _, step, values, result = self._step(word, name, words)
            self.tell("the step", pages.preview(step, values, result, live=not self.sources))
            say(f"{OFF}; y copies it\n" if self.sources else f"X {word} {name} runs it\n")
            return
        book = self._must_have_book(self.row_of(word), word)
        said = [f"{n}. {s.title} ({s.touch or 'by hand'})" for n, s in enumerate(book.steps, 1)]
        self.tell("the steps", "".join(f"{line}\n" for line in said) or "this runbook has no step\n")
        say(f"x {word} and a number shows a step\n")

    def dry_run(self, word: str, name: str, *words: str) -> None:
        from mlopsdoc.tui.wire import Touch

        _, step, values, result = self._step(word, name, words)
        rows = self.lines.touches(Touch(step.command, step.touch, values))
        self.tell("the step", pages.preview(step, values, result, live=not self.sources, touched=rows))
        note("a dry run: nothing was run")

    def run(self, word: str, name: str, *words: str, undo: bool = False) -> None:
        """It asks before it changes anything, and shows how its check is afterwards."""
        if self.sources:
            raise Stop(USAGE, "this is a recording: nothing is run; x shows the command, y copies it")
        book, step, values, _ = self._step(word, name, words)
        check, options = self.row_of(word).check, ["--undo"] * undo
        ended = self._start("runbook", "run", book.name, f"--step={step.id}", *options, *_set(values))
        if ended != NOTHING_RUN:
            self.lines.again(check)

    def undo(self, word: str, name: str, *words: str) -> None:
        self.run(word, name, *words, undo=True)

    # Other verbs

    def mute(self, word: str, *words: str) -> None:
        """Or lift that; what was not typed is asked for."""
        self._must_be_live()
        found = self.of(word)
        if found.muted:
            if self._ask(muting.lifting(found.muted.until)) in muting.YES:
                self._start("mute", "lift", found.key)
        else:
            duration, reason = muting.parts(" ".join(words))
            while why := muting.misfit(duration):
                note(why) if duration else None
                if not (typed := self._ask(muting.how_long(found))):
                    raise Stop(USAGE, muting.NOTHING)
                duration, more = muting.parts(typed)
                reason = more or reason
            reason = reason or self._ask(muting.WHY)
            if not reason:
                raise Stop(USAGE, muting.NOTHING)
            self._start("mute", found.key, "--for", duration, "--reason", reason)
        self.lines.again(found.key.partition("/")[0])

    def copy(self, word: str = "") -> None:
        about = "check" if word in self.board.results else "finding"
        name, text = (f"{about} {word}", self.text(word) + "\n") if word else self.said
        if not text:
            raise Stop(USAGE, "nothing was said yet")
        note(clipboard.copy(name, text, clipboard.by_osc52 if clipboard.takes_osc52() else None))

    def save(self) -> None:
        """The whole report as text."""
        if self.board.report is not None:
            note(clipboard.saved({".txt": render(self.board.report, "text").encode()}))

    def snapshot(self) -> None:
        if self.sources:
            raise Stop(USAGE, "this is a recording: it is saved already")
        note("asking all that a vendor may want")
        path, told = self._captured("snapshot", stderr=subprocess.PIPE)
        note(told.strip().rpartition("\n")[2].removeprefix("mlopsdoc: "))
        if path:
            self.tell("the snapshot", f"saved {os.path.abspath(path.strip())}\n")

    def diff(self, path: str) -> None:
        self._verb("diff", path, self.sources[0] if self.sources else "live")

    def explain(self, word: str) -> None:
        check = self.row_of(word).check if word.isdecimal() else word
        self._verb(*self._options, "explain", check)

    def ways(self) -> None:
        self._verb(*self._options, "explain", "topology")

    def other(self, *words: str) -> None:
        from mlopsdoc.tui import asides

        try:
            argv = asides.command(" ".join(words))
        except asides.NotHere as error:
            raise Stop(USAGE, str(error)) from None
        if self.sources and asides.is_of_this_host(argv):
            raise Stop(USAGE, f"this is a recording, and {argv[0]} tells of the machine you are on")
        self._verb(*(self._options if argv[0] == "explain" else ()), *argv)

    def help(self, word: str = "") -> None:
        say(help_of(word, OFF if self.sources else ""))

    # Other processes

    def _ask(self, question: str) -> str:
        os.write(2, f"{one_line(question)} ".encode(errors="backslashreplace"))
        return self.lines.answer()

    def _verb(self, *words: str) -> None:
        """Say what a verb prints."""
        if text := self._captured(*words)[0]:
            self.tell(" ".join(word for word in words if not word.startswith("--")), text)

    @staticmethod
    def _captured(*words: str, stderr: int | None = None) -> tuple[str, str]:
        """What a verb printed, and what it said of itself if that is not to be seen."""
        ended = subprocess.run(
            program(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, check=False,
            env={**os.environ, "COLUMNS": str(columns()), **terminal.for_programs()},
        )  # fmt: skip
        return ended.stdout.decode("utf-8", "replace"), (ended.stderr or b"").decode("utf-8", "replace")

    @staticmethod
    def _start(*words: str) -> int:
        """A verb that has the terminal, if there is one, and may ask there; its exit code."""
        stdin = None if os.isatty(0) else subprocess.DEVNULL
        return subprocess.run(program(*words), stdin=stdin, check=False).returncode


def _set(values: dict[str, str]) -> list[str]:
    return [f"--set={name}={value}" for name, value in values.items()]


def converse(sources: Sequence[str], options: Sequence[str], opening: Opening | None, recall: Recalling) -> int:
    """Read lines until `q` or the end of the input; the exit code. Raises CannotOpen, as `opening` does.

    options: of the command line, which say what recording it is.
    """
    lines = Lines(start_engine(opening)[0])
    recall()
    note("checking")
    session = Session(lines, sources, options)
    signal.signal(signal.SIGINT, _tell_quit)  # a verb that runs has its own
    lines.next()
    session.listed()
    say("? tells what may be typed\n")
    is_asked = False
    for line in lines.typed():
        if line is not None and not _goes_on(session, line):
            return 0
        news = lines.news()
        if news and is_asked and line is None:
            os.write(2, b"\n")  # behind the prompt
        say("".join(f"{one_line(text)}\n" for text in news))
        if line is not None or news or not is_asked:
            os.write(2, b"paused> " if session.board.paused else b"> ")
            is_asked = True
    return 0


def _tell_quit(*_: object) -> None:
    note("q quits")


def _goes_on(session: Session, line: str) -> bool:
    """Do what a line says; false where that is to quit."""
    first = line.strip()[:1]
    words = [first, *line.strip()[1:].split()] if first in ("/", ":") else line.split()
    if words == ["q"]:
        return False
    try:
        if words:
            _do(session, words)
    except Stop as stop:
        note(str(stop))
    return True


def _do(session: Session, words: list[str]) -> None:
    verb, *rest = words
    if verb in session.verbs:
        least, most, deed = session.verbs[verb]
        if not least <= len(rest) <= most:
            raise Stop(USAGE, help_of(verb, ""))
        deed(*rest)
    elif not rest and (verb.isdecimal() or verb in session.board.results):
        session.show(verb)
    else:
        raise Stop(USAGE, f"{' '.join(words)!r} is not known here: see ?")
