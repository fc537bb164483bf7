"""Text without commands, cut into the outputs that it consists of, line by line and in bounded memory."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from mlopsdoc.hosts.base import read_key
from mlopsdoc.hosts.pasted import shapes
from mlopsdoc.hosts.pasted.files import Said, is_path, named_value
from mlopsdoc.hosts.pasted.json_shapes import json_key, line_of
from mlopsdoc.hosts.pasted.whole import SURE, is_whole
from mlopsdoc.patterns import compiled

CAP = 16 << 20  # characters kept of one answer
_STRINGS = r'"(?:[^"\\]|\\.)*"?'
MAX_JSON_LINE = 1 << 20
XML_HEAD = 5  # lines, within which XML says what it is


class Buffer:
    """Lines up to a cap: of logs the last, else the first. `is_cut` tells that some are missing."""

    def __init__(self, *, is_log: bool = False, cap: int = CAP) -> None:
        self.lines: deque[str] = deque()
        self.is_cut = False
        self._is_log = is_log
        self._cap = cap
        self._size = 0

    def add(self, line: str) -> None:
        if self._size + len(line) >= self._cap:
            self.is_cut = True
            if not self._is_log:
                return
            while self.lines and self._size + len(line) >= self._cap:
                self._size -= len(self.lines.popleft()) + 1
        self._size += len(line) + 1
        self.lines.append(line)

    @property
    def text(self) -> str:
        return text_of(self.lines)


def text_of(lines: Iterable[str]) -> str:
    """The lines as a text that ends with the last of them."""
    return "".join(f"{line}\n" for line in lines)


def is_log(key: str) -> bool:
    """Whether of this answer the end is what counts."""
    return key.startswith(shapes.LOGS)


class Segments:
    """Takes lines, gives each output that it recognises to `keep` once it has ended."""

    def __init__(self, keep: Callable[[Said], None]) -> None:
        self._keep = keep
        self._key: str = ""
        self._shape = 0
        self._lines = Buffer()
        self._blank = 0
        self._lead: list[str] = []  # lines of which the next one tells whose they are
        self._path = ""
        self._block: _Block | None = None
        self._is_plain = False
        self._logs: dict[str, Buffer] = {}
        self.strangers = Buffer(cap=1 << 20)

    def add(self, line: str) -> bool:
        """Take a line; whether it was recognised."""
        if self._block is not None:
            self._block.add(line)
            if self._block.is_closed:
                self._close_block()
            return True
        if not line.strip():
            self._blank += 1
            return True
        if self._path:
            return self._value(line)
        found = shapes.start_of(line)
        if found is not None and not (self._is_ours(found.key) and shapes.goes_on(self._shape, line)):
            self._begin(found, line)
            return True
        if self._key and shapes.goes_on(self._shape, line):
            self._go_on(line)
            return True
        return self._other(line)

    def add_log(self, lines: str) -> None:
        """Take whole lines of a log that go on with one."""
        for key, part in shapes.logs_in(lines).items():
            self._logs.setdefault(key, Buffer(is_log=True)).add(part)

    @property
    def is_open(self) -> bool:
        """Whether what comes next is part of a block, whatever it looks like."""
        return self._block is not None

    def _is_ours(self, key: str) -> bool:
        """Whether such a line may be one of the output that is being read, if it goes on with that."""
        return bool(self._key) and key != self._key and (key in shapes.PLAIN or self._key.startswith(key))

    def takes_remark(self, line: str) -> bool:
        """Whether a line that begins with ``#`` is output."""
        return (
            self._block is not None
            or shapes.start_of(line) is not None
            or (bool(self._key) and compiled(shapes.SHAPES[self._shape].more).match(line) is not None)
        )

    def _go_on(self, line: str) -> None:
        for _ in range(self._blank):
            self._lines.add("")
        self._blank = 0
        self._lines.add(line)

    def _begin(self, found: shapes.Start, line: str) -> None:
        if is_log(found.key):
            self._end()
            self._logs.setdefault(found.key, Buffer(is_log=True)).add(line)
            return
        if found.key != self._key:
            taken = ""
            if "nvlink" in found.key and self._key == "run nvidia-smi -L" and self._lines.lines:
                taken = self._lines.lines.pop()  # the GPU whose links follow
            lead = self._lead
            self._end()
            self._key, self._shape = found.key, found.number
            for one in [*lead, *([taken] if taken else [])]:
                self._lines.add(one)
        self._go_on(line)

    def _other(self, line: str) -> bool:
        """A line that neither begins nor goes on with anything in the table."""
        if is_path(line):
            self._end()
            self._path = line.strip()
        elif pair := named_value(line):
            self._end()
            self._keep(Said(read_key(pair[0]), "truncated", f"{pair[1]}\n"))
        elif not self._is_plain and _opens_block(line):
            self._end()
            self._block = _Block(line)
            if self._block.is_closed:
                self._close_block()
        elif compiled(shapes.BORDER).match(line):
            lead = self._lead[-1:]  # a date stands above the border of a table
            self._end()
            self._lead = [*lead, line]
        else:
            self._end()
            self.strangers.add(line)
            return False
        return True

    def _value(self, line: str) -> bool:
        """The line after a path that stood alone: its content, unless it is a path too."""
        path, self._path = self._path, ""
        if self._blank or is_path(line) or shapes.start_of(line) is not None:
            self.strangers.add(path)
            return self.add(line)
        self._keep(Said(read_key(path), "truncated", f"{line}\n"))
        return True

    def _close_block(self) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        answers = block.answers()
        for said in answers:
            self._keep(said)
        if not answers:
            self._is_plain = True  # what opened a block was none: its lines may be a log
            for line in block.lines.lines:
                self.add(line)
            self._is_plain = False

    def _end(self) -> None:
        self._blank, self._lead = 0, []
        if self._key and self._lines.lines:
            self._keep(said_of(self._key, self._lines))
        self._key, self._lines = "", Buffer()

    def end(self) -> None:
        """No more lines come."""
        self._close_block()
        self._end()
        for key, buffer in self._logs.items():
            self._keep(Said(key, "truncated", buffer.text))
        self._logs = {}


def segmented(lines: Sequence[str]) -> list[Said]:
    """The outputs that lines consist of, by their form."""
    said: list[Said] = []
    segments = Segments(said.append)
    for line in lines:
        segments.add(line)
    segments.end()
    return said


def said_of(key: str, buffer: Buffer, *, is_part: bool | None = None) -> Said:
    """An output as an answer. is_part: whether a command left lines out; None where there is no command, and only the
    form of the output itself can tell that it is whole."""
    text = buffer.text
    if key == "run lspci -vvv" and not compiled(shapes.LSPCI_DEEP).search(text):
        key = "run lspci -v" if "\n\t" in text or "\n " in text or text[:1].isspace() else "run lspci"
    if key == "run zpool status" and compiled(r"\s*(?:all pools are|pool '.{1,255}' is) healthy\s*").fullmatch(text):
        key, is_part = "run zpool status -x", True
    whole = is_whole(key, text)
    if whole is None or (is_part is None and key not in SURE):
        whole = is_part is False
    return Said(key, "ok" if whole and not is_part and not buffer.is_cut else "truncated", text)


def _opens_block(line: str) -> bool:
    return compiled(r"\s{0,4}(?:\{|\[\s*(?:$|[{\"])|<\?xml |<nvidia_smi_log|<!DOCTYPE nvidia)").match(line) is not None


class _Block:
    """JSON until its brackets are closed, or XML until its last tag."""

    def __init__(self, line: str) -> None:
        self.lines = Buffer()
        self._is_xml = line.lstrip().startswith("<")
        self._is_known = False
        self._depth = 0
        self.is_closed = False
        self.add(line)

    def add(self, line: str) -> None:
        self.lines.add(line)
        if self._is_xml:
            self._is_known = self._is_known or "<nvidia_smi_log" in line
            self.is_closed = "</nvidia_smi_log>" in line or (not self._is_known and len(self.lines.lines) > XML_HEAD)
        else:
            plain = compiled(_STRINGS).sub("", line) if len(line) < MAX_JSON_LINE else line
            self._depth += plain.count("{") + plain.count("[") - plain.count("}") - plain.count("]")
            self.is_closed = self._depth <= 0

    def answers(self) -> list[Said]:
        text = self.lines.text
        if self._is_xml:
            is_ok = is_whole("run nvidia-smi -q -x", text) and not self.lines.is_cut
            said = Said("run nvidia-smi -q -x", "ok" if is_ok else "truncated", text)
            return [said] if self._is_known and "<gpu" in text and "<!ENTITY" not in text else []
        try:
            value: Any = json.loads(text) if self.is_closed and not self.lines.is_cut else None
        except (ValueError, RecursionError):
            return []
        key = json_key(value)
        if key == "log":
            value = cast(dict[str, Any], value).get("dmesg", value) if isinstance(value, dict) else value
            rows = cast(Sequence[Any], value) if isinstance(value, list) else (value,)
            lines = [line_of(cast(dict[str, Any], row)) for row in rows if isinstance(row, dict)]
            return [Said(shapes.log_key(line), "truncated", f"{line}\n") for line in lines]
        part = key.startswith(("run redfish", "run zpool "))  # of one pool it looks the same
        return [Said(key, "truncated" if part else "ok", text)] if key else []
