"""``nvidia-smi -q``, whole or in parts (``-d TEMPERATURE``, ``| grep -A8 Clocks``), of drivers R450 to R610.

    Attached GPUs                                          : 4
    GPU 00000000:1B:00.0
        Product Name                                       : NVIDIA H100 80GB HBM3
        Clocks Event Reasons
            HW Slowdown                                    : Not Active
                HW Thermal Slowdown                        : Not Active
        Clocks Event Reasons Counters
            SW Thermal Slowdown                            : 0 us
        Temperature
            GPU Current Temp                               : 61 C
            GPU Slowdown T.Limit Temp Specification        : -2 C
        Processes
            Process ID                                     : 41230
                Type                                       : C
                Name                                       : python3 train.py
                Used GPU Memory                            : 71840 MiB

Labels were renamed more than once: R535 (Throttle -> Event, Power Readings -> GPU Power Readings), R610 (T.Limit
Temp -> Current T.Limit Temp, ... Specification, GPU Ceiling Power Limit, KMD Version).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from mlopsdoc.clean import one_line
from mlopsdoc.facts.smi import REASONS, Printed, Row, read_value, slot, small
from mlopsdoc.facts.smi_labels import COUNTER_LABELS, LABELS

_REASONS = ("clocks throttle reasons", "clocks event reasons")
_SAMPLES = " samples"  # -d POWER,CLOCK,UTILIZATION add sections of Max, Min and Avg


def parse(text: str, whole: bool) -> Printed:
    """Every block of a GPU, and every part of one whose head was cut away."""
    lines = text.split("\n")
    reader = _read(lines, is_strict=False)
    if not reader.is_even:
        reader = _read(lines, is_strict=True)
    printed = Printed(reader.rows, reader.driver, reader.attached)
    printed.whole = reader.attached > 0  # every whole one begins with how many there are
    return printed


def _read(lines: list[str], *, is_strict: bool) -> _Reader:
    reader = _Reader(is_strict)
    reader.is_flat = not any(line[:1].isspace() and line.strip() for line in lines)
    for number, line in enumerate(lines):
        reader.line(number, line[:4096])
    reader.end()
    return reader


class _Reader:
    """Reads line by line. `stack`: the sections a line is in, with their indentation.

    A filter may let a label through twice and not the section that it is in: the ECC errors of Volatile and Aggregate.
    Without a head, another GPU is only where all labels come again in their order (`is_even`), or where, `is_strict`,
    a label that tells alone has another value than before.
    """

    def __init__(self, is_strict: bool) -> None:
        self._is_strict = is_strict
        self._labels: list[str] = []
        self._starts: list[int] = []  # where in them a GPU without a head begins
        self.rows: list[Row] = []
        self.driver = ""
        self.is_flat = False
        self._row: Row | None = None
        self._seen: dict[str, str] = {}
        self._stack: list[tuple[int, str]] = []
        self.attached = 0
        self._first = 0  # the first row of this document

    def line(self, number: int, line: str) -> None:
        text = line.strip()
        if not text or text.startswith(("=====", "--")):
            self._stack = [] if text == "--" else self._stack  # of grep: which section comes next was left out
            return
        if text.startswith("GPU 0"):
            self._begin(Row(number, pci=slot(text[4:].strip())))
            return
        label, colon, value = text.partition(":")
        label, value = " ".join(label.casefold().split()).removesuffix(" specification"), value.strip()
        self._labels.append(label)
        indent = len(line.expandtabs()) - len(line.expandtabs().lstrip())
        self._leave(indent, is_header=not colon)
        if not colon:
            self._stack.append((indent, label))
            if label == "mig devices" and self._row:
                self._row.values["mig_devices"] = 0
            if label == "processes" and self._row:
                self._row.processes = []
            return
        if not self._of_the_host(label, value):
            self._of_a_gpu(number, label, value)

    def end(self) -> None:
        """Number the GPUs where all are here: they come in the order of their index."""
        rows = self.rows[self._first :]
        if self.attached == len(rows):
            for index, row in enumerate(rows):
                row.index = index
        self._first = len(self.rows)

    @property
    def is_even(self) -> bool:
        """Whether every GPU has a head, or there is one, or each has the labels of the one before it."""
        labels, starts = self._labels, self._starts
        if len(self.rows) < 2 or not starts:
            return True
        size = starts[1] - starts[0] if len(starts) == len(self.rows) else 0
        return (
            size > 0
            and all(late - early == size for early, late in pairwise(starts))
            and len(labels) <= starts[-1] + size
            and all(early == late for early, late in zip(labels, labels[size:]))
        )

    def _begin(self, row: Row) -> None:
        self._row = row
        self._seen = {}
        self._stack = []
        self.rows.append(row)

    def _leave(self, indent: int, *, is_header: bool) -> None:
        """Leave the sections that end before this line. Text that lost its indentation ends them by the next."""
        while self._stack and (is_header if self.is_flat else self._stack[-1][0] >= indent):
            self._stack.pop()

    def _of_the_host(self, label: str, value: str) -> bool:
        if label == "timestamp":
            self.end()
            self._row = None
        elif label in ("driver version", "kmd version"):
            self.driver = one_line(value.split(" ")[0], 40)
        elif label == "attached gpus":
            self.attached = small(value) or 0
        else:
            return False
        return True

    def _of_a_gpu(self, number: int, label: str, value: str) -> None:
        section = self._stack[-1][1] if self._stack else ""
        if section.startswith("process") and self._row is not None and self._row.processes is not None:
            _add_process(self._row.processes, label, value)
            return
        if any(name == "mig devices" for _, name in self._stack):
            if label == "index" and self._row and "mig_devices" in self._row.values:
                self._row.values["mig_devices"] += 1
            return
        if label == "processes" and value.casefold() == "none" and self._row:
            self._row.processes = []
        is_counter = (section.endswith("counters") or value.endswith(" us")) and not value.endswith("ctive")
        reason = label.replace(" ", "_")
        if label in COUNTER_LABELS and is_counter:
            self._at(number, f"counter/{label}", value).put(COUNTER_LABELS[label], "us", value)
        elif label in _REASONS:
            self._at(number, label, value).put("reasons", "mask", value)
        elif reason in REASONS and not section.endswith(_SAMPLES):
            self._at(number, f"reason/{label}", value).flag(reason, value)
        elif found := self._key(label):
            self._put(self._at(number, found, value), found, value)

    def _key(self, label: str) -> str:
        path = "/".join([*(name for _, name in self._stack[-2:]), label])
        if path in LABELS:
            return path
        for _, section in reversed(self._stack):
            if section.endswith("readings") or f"{section}/{label}" in LABELS:
                return f"{section}/{label}" if f"{section}/{label}" in LABELS else ""
        return label if label in LABELS else ""

    def _at(self, number: int, key: str, value: str) -> Row:
        """The row of this line: another GPU's where the key was said before, for the head between was lost."""
        is_again = key in self._seen
        if is_again and self._is_strict:
            is_again = key.rpartition("/")[0] in ("", "counter", "reason") and self._seen[key] != value
        if self._row is None or is_again:
            self._begin_nameless(number)
        self._seen.setdefault(key, value)
        assert self._row is not None
        return self._row

    def _begin_nameless(self, number: int) -> None:
        stack = self._stack
        self._starts.append(len(self._labels) - 1)
        self._begin(Row(number))
        self._stack = stack

    def _put(self, row: Row, key: str, value: str) -> None:
        name, kind = LABELS[key]
        row.put(name, kind, value)
        if name == "uuid":
            row.uuid = row.values.get("uuid", "")


def _add_process(processes: list[dict[str, Any]], label: str, value: str) -> None:
    if label == "process id" and value.isdecimal() and len(value) < 11:
        processes.append({"pid": int(value)})
    elif processes and label == "name":
        processes[-1]["name"] = one_line(value, 200)
    elif processes and label == "used gpu memory":
        processes[-1]["usedGpuMemory"] = read_value("MiB", value)[0]
