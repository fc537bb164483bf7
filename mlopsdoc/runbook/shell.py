"""Enough of the POSIX shell's grammar to see which variables a text reads and which commands it runs.

It judges text that people wrote for people, it runs nothing: where it is wrong, lint says something silly or
misses something, and a value is asked for that is not needed. ``sh -n`` knows the whole grammar.
"""

from __future__ import annotations

from msgspec import Struct

MAX_DEPTH = 30
_DIGITS = frozenset("0123456789")
_BREAKS = frozenset(" \t\n;&|<>()")
_KEYWORDS = frozenset(("if", "then", "else", "elif", "fi", "do", "done", "while", "until", "esac", "!", "{", "}"))
_DECLARING = frozenset(("export", "readonly", "local"))


class TooDeep(ValueError):
    """Expansions nested deeper than anyone writes them."""


class Use(Struct, frozen=True):
    """A variable that is read. `line` counts from 1. `quoted`: it stays one word. `listed`: in a `for` list.

    `free`: not set by the text before it is read. `fallback`: ``${NAME:-...}``, it may be unset.
    """

    name: str
    line: int
    quoted: bool
    free: bool
    fallback: bool = False
    listed: bool = False


class Word(Struct, frozen=True):
    """One word, its quotes taken off, variables left as ``$NAME``, command substitutions as ``$()``."""

    text: str
    line: int
    uses: tuple[str, ...] = ()


class Command(Struct, frozen=True):
    """A simple command without its assignments. `redirects` are pairs of operator and target."""

    words: tuple[Word, ...]
    redirects: tuple[tuple[str, Word], ...]
    line: int


class Script(Struct, frozen=True):
    """What a text does, nested commands included. `assigned`: name -> line. `complete`: all quotes are closed."""

    commands: tuple[Command, ...]
    uses: tuple[Use, ...]
    assigned: dict[str, int]
    functions: frozenset[str]
    complete: bool

    @property
    def free(self) -> tuple[str, ...]:
        """The variables that must come from outside, in the order they are read."""
        return tuple(dict.fromkeys(use.name for use in self.uses if use.free))


def scan(text: str) -> Script:
    """The commands and variables of a text; raises TooDeep."""
    scanner = _Scanner(text)
    scanner.commands_until("")
    uses = tuple(scanner.uses)
    return Script(tuple(scanner.found), uses, scanner.assigned, frozenset(scanner.functions), scanner.complete)


def is_name(text: str) -> bool:
    """Whether a shell variable may have this name."""
    return text.isascii() and text.isidentifier()


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.end = len(text)
        self.line = 1
        self.depth = 0
        self.complete = True
        self.found: list[Command] = []
        self.uses: list[Use] = []
        self.assigned: dict[str, int] = {}
        self.functions: set[str] = set()
        self.heredocs: list[tuple[str, bool, bool]] = []

    def peek(self, offset: int = 0) -> str:
        where = self.at + offset
        return self.text[where] if where < self.end else ""

    def take(self) -> str:
        char = self.text[self.at]
        self.at += 1
        self.line += char == "\n"
        return char

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeep(f"expansions nested more than {MAX_DEPTH} deep")

    # Commands

    def commands_until(self, end: str) -> None:
        """Commands up to that character, which is taken: ")", "`", or nothing for the whole text."""
        self.deeper()
        current = _Current(self)
        while self.at < self.end:
            char = self.peek()
            if current.in_pattern and char in "()|":
                self.take()
                current.cases[-1] = char != ")"
                current.clear()
                continue
            if char == end:
                self.take()
                break
            if char in " \t":
                self.take()
            elif char == "\\" and self.peek(1) == "\n":
                self.take()
                self.take()
            elif char == "#":
                while self.peek() not in ("", "\n"):
                    self.take()
            elif char in "\n;&|":
                self.take()
                current.finish()
                if char == "\n":
                    self.heredoc_bodies()
                elif char == ";" == self.peek() and current.cases:
                    self.take()
                    current.cases[-1] = True
            elif char in "<>":
                self.redirect(current)
            elif char == "(":
                self.take()
                self.parenthesis(current)
            elif char == ")":
                self.take()
                current.finish()
            else:
                current.add(self.word(end))
        else:
            self.complete = self.complete and not end
        current.finish()
        self.depth -= 1

    def parenthesis(self, current: _Current) -> None:
        ahead = self.at
        while ahead < self.end and self.text[ahead] in " \t":
            ahead += 1
        if len(current.words) == 1 and self.text[ahead : ahead + 1] == ")":
            self.functions.add(current.words[0].text)
            self.at = ahead + 1
            current.clear()
        else:
            current.finish()
            self.commands_until(")")

    def redirect(self, current: _Current) -> None:
        operator = self.take()
        while self.peek() and self.peek() in "<>&|-" and len(operator) < 3:
            if self.peek() == "-" and operator != "<<":
                break
            operator += self.take()
        while self.peek() and self.peek() in " \t":
            self.take()
        start = self.at
        uses, target = self.word("")
        if operator.startswith("<<"):
            quoted = any(char in "'\"\\" for char in self.text[start : self.at])
            self.heredocs.append((target.text, not quoted, operator == "<<-"))
        else:
            self.uses += uses
            current.redirects.append((operator, target))

    def heredoc_bodies(self) -> None:
        waiting, self.heredocs = self.heredocs, []
        for delimiter, expands, indented in waiting:
            after = start = self.at
            while after < self.end:
                stop = self.text.find("\n", after, self.end)
                stop = self.end if stop < 0 else stop
                row = self.text[after:stop]
                if (row.lstrip("\t") if indented else row) == delimiter:
                    break
                after = stop + 1
            else:
                self.complete = False
            body, outer = min(after, self.end), self.end
            if expands:
                self.end = body
                uses: list[Use] = []
                while self.at < self.end:
                    self.piece(uses, quoted=True)
                self.end = outer
                self.uses += uses
            self.line += self.text.count("\n", self.at, body) if self.at < body else 0
            self.at = max(start, body) + (len(delimiter) if body < outer else 0)
            while self.peek() not in ("", "\n"):  # the tabs before a delimiter
                self.take()
            if self.peek():
                self.take()

    # Words

    def word(self, end: str) -> tuple[list[Use], Word]:
        """The word that begins here: what it reads, and itself."""
        line, parts = self.line, list[str]()
        uses: list[Use] = []
        while self.at < self.end and self.peek() not in _BREAKS and self.peek() != (end or None):
            char = self.peek()
            if char == "'":
                self.take()
                parts.append(self.until_quote())
            elif char == '"':
                self.take()
                parts.append(self.double(uses))
            else:
                parts.append(self.piece(uses, quoted=False))
        return uses, Word("".join(parts), line, tuple(use.name for use in uses))

    def until_quote(self) -> str:
        start = self.at
        stop = self.text.find("'", self.at, self.end)
        if stop < 0:
            self.complete, stop = False, self.end
        self.line += self.text.count("\n", start, stop)
        self.at = min(stop + 1, self.end)
        return self.text[start:stop]

    def double(self, uses: list[Use]) -> str:
        self.deeper()
        parts: list[str] = []
        while self.at < self.end and self.peek() != '"':
            parts.append(self.piece(uses, quoted=True))
        if self.at < self.end:
            self.take()
        else:
            self.complete = False
        self.depth -= 1
        return "".join(parts)

    def piece(self, uses: list[Use], *, quoted: bool) -> str:
        """One character, escape or expansion."""
        char = self.peek()
        if char == "$":
            return self.expansion(uses, quoted=quoted)
        self.take()
        if char == "\\" and self.at < self.end:
            escaped = self.take()
            return "" if escaped == "\n" else escaped if not quoted or escaped in '$`"\\' else char + escaped
        if char == "`":
            self.commands_until("`")
            return "$()"
        return char

    def expansion(self, uses: list[Use], *, quoted: bool) -> str:
        self.take()
        char = self.peek()
        if char == "(" and self.peek(1) == "(":
            self.take()
            self.take()
            self.arithmetic(uses)
            return "$()"
        if char == "(":
            self.take()
            self.commands_until(")")
            return "$()"
        if char == "{":
            self.take()
            return self.braces(uses, quoted=quoted)
        if name := self.name():
            self.use(uses, name, quoted=quoted)
            return f"${name}"
        if char and char in "?#$!@*-0123456789":
            return "$" + self.take()
        return "$"

    def name(self) -> str:
        start = self.at
        if is_name(self.peek()):
            while self.at < self.end and self._names(self.text[self.at]):
                self.at += 1
        return self.text[start : self.at]

    @staticmethod
    def _names(char: str) -> bool:
        return char == "_" or (char.isascii() and char.isalnum())

    def use(self, uses: list[Use], name: str, *, quoted: bool, fallback: bool = False) -> None:
        uses.append(Use(name, self.line, quoted, name not in self.assigned, fallback))

    def braces(self, uses: list[Use], *, quoted: bool) -> str:
        self.deeper()
        if self.peek() == "#" and is_name(self.peek(1)):
            self.take()
        name = self.name()
        operator = self.text[self.at : min(self.at + 2, self.end)]
        if name:
            self.use(uses, name, quoted=quoted, fallback=operator.lstrip(":")[:1] in ("-", "+", "="))
            if operator.lstrip(":").startswith("="):
                self.assigned.setdefault(name, self.line)
        while self.at < self.end and self.peek() != "}":
            if self.peek() == "'" and not quoted:
                self.take()
                self.until_quote()
            elif self.peek() == '"':
                self.take()
                self.double(uses)
            else:
                self.piece(uses, quoted=quoted)
        if self.at < self.end:
            self.take()
        else:
            self.complete = False
        self.depth -= 1
        return f"${name}"

    def arithmetic(self, uses: list[Use]) -> None:
        self.deeper()
        inside = 2
        while self.at < self.end and inside:
            char = self.peek()
            if name := self.name():
                self.use(uses, name, quoted=True)
            elif char in _DIGITS:  # 0x1f is no name
                while self.at < self.end and self._names(self.peek()):
                    self.take()
            else:
                inside += {"(": 1, ")": -1}.get(char, 0)
                self.piece(uses, quoted=True)
        self.complete = self.complete and not inside
        self.depth -= 1


class _Current:
    """The simple command being read, and for each `case` around it whether a pattern is due."""

    def __init__(self, scanner: _Scanner) -> None:
        self.scanner = scanner
        self.cases: list[bool] = []
        self.clear()

    @property
    def in_pattern(self) -> bool:
        return bool(self.cases) and self.cases[-1]

    def clear(self) -> None:
        self.words: list[Word] = []
        self.redirects: list[tuple[str, Word]] = []

    def add(self, read: tuple[list[Use], Word]) -> None:
        uses, word = read
        scanner = self.scanner
        name, equals, _ = word.text.partition("=")
        if not self.words and equals and is_name(name):
            scanner.uses += [Use(u.name, u.line, True, u.free, u.fallback) for u in uses]
            scanner.assigned.setdefault(name, word.line)
            return
        if not self.words and word.text in _KEYWORDS:
            if word.text == "esac" and self.cases:
                self.cases.pop()
            return
        if word.text.isascii() and word.text.isdigit() and scanner.peek() and scanner.peek() in "<>":
            return
        first = self.words[0].text if self.words else ""
        if first == "case" and len(self.words) == 2 and word.text == "in":
            self.cases.append(True)
            self.clear()
            return
        if (first == "case" and len(self.words) == 1) or self.in_pattern:
            uses = [Use(u.name, u.line, True, u.free, u.fallback) for u in uses]
        elif first == "for":
            uses = [Use(u.name, u.line, u.quoted, u.free, u.fallback, True) for u in uses]
        scanner.uses += uses
        self.words.append(word)

    def finish(self) -> None:
        words, redirects = self.words, self.redirects
        self.clear()
        if not words and not redirects:
            return
        first, rest = (words[0].text if words else ""), words[1:]
        names: list[str] = []
        if first == "for":
            names = [word.text for word in rest[:1]]
        elif first == "getopts":
            names = [word.text for word in rest[1:2]]
        elif first == "read":
            names = [word.text for word in rest if not word.text.startswith("-")]
        elif first in _DECLARING:
            names = [word.text.partition("=")[0] for word in rest]
        for name in names:
            if is_name(name):
                self.scanner.assigned.setdefault(name, words[0].line)
        if first not in ("for", "case"):
            line = words[0].line if words else redirects[0][1].line
            self.scanner.found.append(Command(tuple(words), tuple(redirects), line))
