"""``nvidia-smi dmon`` and ``nvidia-smi pmon``: a line a GPU, or a process, each second. The last of each counts.

    # gpu    pwr  gtemp  mtemp     sm    mem    enc    dec    jpg    ofa   mclk   pclk
    # Idx      W      C      C      %      %      %      %      %      %    MHz    MHz
        0    662     61     71     98     38      0      0      0      0   2619   1845

    # gpu         pid   type     sm    mem    enc    dec    jpg    ofa    command
    # Idx           #    C/G      %      %      %      %      %      %    name
        0       41230     C      98     38      -      -      -      -    python3

``-o DT`` puts date and time before, ``--format csv`` commas between.
"""

from __future__ import annotations

from mlopsdoc.clean import one_line
from mlopsdoc.facts.smi import Printed, Row, small

MAX_PROCESSES = 64
COLUMNS = {
    "pwr": ("power_mw", "W"),
    "temp": ("temperature_c", "C"),
    "gtemp": ("temperature_c", "C"),
    "mtemp": ("memory_c", "C"),
    "sm": ("gpu_percent", "%"),
    "mem": ("memory_percent", "%"),
    "pclk": ("sm_mhz", "MHz"),
}


def parse(text: str, whole: bool) -> Printed:
    """A row a line of numbers; processes without any value of their GPU."""
    rows: list[Row] = []
    columns: list[str] = []
    running: dict[int, dict[str, str]] = {}  # names of processes by GPU and pid
    lines = text.split("\n")
    for number, line in enumerate(lines):
        words = line[:4096].replace(",", " ").split()
        if line.lstrip().startswith("#"):
            names = [word.casefold() for word in " ".join(words).lstrip("# ").split()]
            columns = names if "gpu" in names else columns
            continue
        is_cut = number == len(lines) - 1 and not whole
        named = columns[-1:] == ["command"]
        if not columns or len(words) < len(columns) or (is_cut and not named):
            continue
        cells = dict(zip(columns, words))
        if named:
            cells["command"] = " ".join(words[len(columns) - 1 :])
        index = small(cells.get("gpu", ""))
        if index is not None and "pid" in cells:
            _remember(running.setdefault(index, {}), cells)
        elif index is not None and not named:
            rows.append(_row(number, index, cells))
    for gpu, known in running.items():
        row = Row(len(lines), index=gpu)
        row.processes = [{"pid": int(pid), "name": name} for pid, name in known.items()]
        rows.append(row)
    return Printed(rows)


def _row(number: int, index: int, cells: dict[str, str]) -> Row:
    row = Row(number, index=index)
    for column, (name, kind) in COLUMNS.items():
        if column in cells:
            row.put(name, kind, "N/A" if cells[column] == "-" else cells[column], bare=True)
    return row


def _remember(known: dict[str, str], cells: dict[str, str]) -> None:
    """The process of a line among those of its GPU, the newest of too many; ``-`` is none."""
    pid = cells["pid"]
    if pid.isdecimal() and len(pid) < 11:
        known[pid] = one_line(cells.get("command", ""), 200)
        if len(known) > MAX_PROCESSES:
            del known[next(iter(known))]
