"""``nvidia-smi -q -x``, schemas v11 to v13.

    <!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
    <nvidia_smi_log>
        <driver_version>580.95.05</driver_version>
        <attached_gpus>4</attached_gpus>
        <gpu id="00000000:1B:00.0">
            <clocks_event_reasons>
                <clocks_event_reason_hw_thermal_slowdown>Not Active</clocks_event_reason_hw_thermal_slowdown>
            <temperature>
                <gpu_temp>61 C</gpu_temp>

Each ``<gpu>`` is parsed alone, without its document: so the DTD is never looked at, no entity exists that could
expand, and a document that is cut, joined to another, or broken in one GPU (names of processes are not always
escaped) still tells of the others. Only elements that end count.
"""

from __future__ import annotations

from typing import Any

from mlopsdoc import CannotSee
from mlopsdoc.clean import one_line
from mlopsdoc.facts.smi import MAX_GPUS, Printed, Row, read_value, slot, small
from mlopsdoc.facts.smi_labels import COUNTER_TAGS, TAGS

_COUNTER = "clocks_event_reasons_counters_"
_FLAGS = ("clocks_event_reason_", "clocks_throttle_reason_")
_LISTS = ("clocks_event_reasons", "clocks_throttle_reasons")
_SECTIONS = (*_LISTS, "remapped_rows", "mig_devices")  # their text says why there is nothing in them
_PROCESS = {"pid", "process_name", "used_memory"}
_GPU = "<gpu id="
MAX_DEPTH, MAX_VALUE = 16, 1024


def parse(text: str, whole: bool) -> Printed:
    """Every GPU of every document in the text. Raises CannotSee where it declares entities."""
    if "<!ENTITY" in text:
        raise CannotSee("the XML of nvidia-smi declares entities, which nvidia-smi never does: it is not read")
    head, *chunks = text.split(_GPU, MAX_GPUS)
    line = head.count("\n")
    rows: list[Row] = []
    for chunk in chunks:
        rows.append(_row(line, chunk.partition("</gpu>")[0]))
        line += chunk.count("\n")
    attached = max(small(_between(head, "attached_gpus")) or 0, min(text.count("</gpu>"), MAX_GPUS))
    if attached == len(rows):
        for index, row in enumerate(rows):
            row.index = index
    return Printed(rows, one_line(_between(head, "driver_version").partition(" ")[0], 40), attached)


def _between(text: str, tag: str) -> str:
    rest = text.partition(f"<{tag}>")[2]
    return rest.partition(f"</{tag}>")[0].strip() if f"</{tag}>" in rest else ""


def _row(line: int, chunk: str) -> Row:
    from xml.parsers import expat

    row = Row(line, pci=slot(chunk[1:64].partition(chunk[:1] or ">")[0]))
    reader = _Reader(row)
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    try:
        parser.Parse(_GPU + chunk, False)
    except (expat.ExpatError, _TooDeep):
        pass  # what ended before it stays
    row.uuid = row.values.get("uuid", "")
    return row


class _TooDeep(Exception):
    pass


class _Reader:
    """Keeps the text of elements without elements in them."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._path: list[str] = []
        self._text = ""
        self._process: dict[str, Any] = {}

    def start(self, tag: str, _attributes: dict[str, str]) -> None:
        self._path.append(tag)
        self._text = ""
        if len(self._path) > MAX_DEPTH:
            raise _TooDeep
        if tag == "processes":
            self._row.processes = self._row.processes or []

    def text(self, text: str) -> None:
        if len(self._text) < MAX_VALUE:
            self._text += text

    def end(self, tag: str) -> None:
        self._path.pop()
        parent = self._path[-1] if self._path else ""
        value, self._text = self._text.strip(), ""
        if found := TAGS.get(f"{parent}/{tag}") or TAGS.get("/".join([*self._path[-2:], tag])):
            if tag not in _SECTIONS or value:
                self._row.put(*found, value)
        elif parent in _LISTS and tag.startswith(_FLAGS):
            self._row.flag(tag.removeprefix(_FLAGS[0]).removeprefix(_FLAGS[1]), value)
        elif tag.startswith(_COUNTER) and (name := COUNTER_TAGS.get(tag.removeprefix(_COUNTER))):
            self._row.put(name, "us", value)
        elif tag == "mig_device":
            self._row.values["mig_devices"] = self._row.values.get("mig_devices", 0) + 1
        elif tag == "pci_bus_id" and not self._row.pci:
            self._row.pci = slot(value)
        elif parent == "process_info" and tag in _PROCESS:
            self._process[tag] = value
        elif tag == "process_info" and parent == "processes":
            self._add_process()

    def _add_process(self) -> None:
        pid = self._process.get("pid", "")
        if pid.isdecimal() and len(pid) < 11 and self._row.processes is not None:
            used = read_value("MiB", self._process.get("used_memory", ""))[0]
            name = one_line(self._process.get("process_name", ""), 200)
            self._row.processes.append({"pid": int(pid), "usedGpuMemory": used, "name": name})
        self._process = {}
