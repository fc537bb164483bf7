"""The health log of NVMe drives, as nvme-cli and smartctl print it: JSON or text."""

from __future__ import annotations

from typing import Any, cast

from mlopsdoc import Answer, Host, Line
from mlopsdoc.clean import one_line
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.nvme import Smart
from mlopsdoc.patterns import compiled

FIELDS = (
    "warning", "temperature_c", "spare", "spare_threshold", "used", "media_errors", "warm_min", "hot_min",
)  # fmt: skip
NVME = (
    "critical_warning", "temperature", "avail_spare", "spare_thresh", "percent_used", "media_errors",
    "warning_temp_time", "critical_comp_time",
)  # fmt: skip
SMARTCTL = (
    "critical_warning", "temperature", "available_spare", "available_spare_threshold", "percentage_used",
    "media_errors", "warning_temp_time", "critical_comp_time",
)  # fmt: skip
# The words of both tools, in lower case and without more than one blank in a row.
TEXT = {
    "critical_warning": 0, "critical warning": 0, "temperature": 1, "available_spare": 2, "available spare": 2,
    "available_spare_threshold": 3, "available spare threshold": 3, "percentage_used": 4, "percentage used": 4,
    "media_errors": 5, "media and data integrity errors": 5, "warning temperature time": 6,
    "warning comp. temperature time": 6, "critical composite temperature time": 7, "critical comp. temperature time": 7,
}  # fmt: skip
KELVIN = 273
ASKED = ("nvme smart-log -o json", "nvme smart-log", "smartctl -j -a", "smartctl -a")


def recorded(host: Host) -> tuple[dict[str, Smart], list[Smart], list[str]]:
    """What a recording has of drives: by their names, and without; and those that may not be asked."""
    known: dict[str, Smart] = {}
    loose: list[Smart] = []
    refused: list[str] = []
    answers = {answer.key: answer for start in ASKED for answer in asked(host, start)}
    for answer in answers.values():
        name = compiled(r"(?:%2Fdev%2F)?(nvme[0-9]{1,4})(?:n[0-9p]{1,8})?").fullmatch(answer.key.rpartition(" ")[2])
        for smart in _all(answer) if answer.said or answer.status == "failed" else ():
            if name:
                known.setdefault(name[1], smart)
            elif not any(smart.serial and smart.serial == one.serial for one in (*known.values(), *loose)):
                loose.append(smart)
        denied = compiled(r"/dev/(nvme[0-9]{1,4})\S{0,12}(?: failed)?: Permission denied").search(
            answer.text + answer.why
        )
        refused += [denied[1]] if denied else []
    return known, loose, refused


def parsed(answer: Answer) -> Smart | None:
    """What one drive says; smartctl ends with an error where something is wrong with it, and tells all the same."""
    return next(iter(_all(answer)), None) if answer.data else None


def _all(answer: Answer) -> list[Smart]:
    if answer.text.lstrip()[:1] != "{":
        return _of_text(answer)
    try:
        value: Any = answer.json()
    except ValueError:
        return []
    table = cast(dict[str, Any], value) if isinstance(value, dict) else {}
    log: Any = table.get("nvme_smart_health_information_log", table)
    if not isinstance(log, dict):
        return []
    rows = cast(dict[str, Any], log)
    names = NVME if "avail_spare" in rows else SMARTCTL
    if not {"critical_warning", names[2]} <= rows.keys():
        return []
    values = {field: _number(rows.get(name)) for field, name in zip(FIELDS, names, strict=True)}
    if values["warning"] is None or values["used"] is None:
        return []
    kelvin = values["temperature_c"]
    if names is NVME and kelvin is not None:
        values["temperature_c"] = kelvin - KELVIN if kelvin else None
    return [_smart(answer, values, table.get("model_name"), table.get("serial_number"))]


def _smart(answer: Answer, values: dict[str, int | None], model: object = "", serial: object = "") -> Smart:
    shown = " ".join(f"{name}={value}" for name, value in values.items() if value is not None)
    line = Line(answer.key, shown)
    return Smart(**values, line=line, model=one_line(str(model or ""), 80), serial=one_line(str(serial or ""), 80))


def _number(value: object) -> int | None:
    """Of a number, of one in quotes (those of 128 bits), of ``{"value": 4, ...}`` as `-v` prints warnings."""
    if isinstance(value, dict):
        value = cast(dict[str, object], value).get("value")
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 40 else None


def _of_text(answer: Answer) -> list[Smart]:
    """Every drive of texts as these, one below the other::

    Smart Log for NVME device:nvme0 namespace-id:ffffffff       Model Number:                       QEMU NVMe Ctrl
    critical_warning                        : 0                 Critical Warning:                   0x04
    temperature                             : 50°C (323 Kelvin) Temperature:                        50 Celsius
    available_spare                         : 100%              Available Spare:                    100%
    percentage_used                         : 3%                Percentage Used:                    3%
    """
    drives: list[dict[str, int | None]] = []
    models: list[tuple[str, str]] = []
    model = serial = ""
    for line in whole_lines(answer):
        name, colon, value = line.partition(":")
        name, value = " ".join(name.lower().split()), value.strip()
        if not colon:
            continue
        if name == "model number":
            model, serial = value, ""
        elif name == "serial number":
            serial = value
        elif name in TEXT and (match := compiled(r"(0x[0-9a-fA-F]{1,2}|[0-9][0-9,.]{0,40})").match(value)):
            field = FIELDS[TEXT[name]]
            if field == "warning":
                drives.append({})
                models.append((model, serial))
            if drives:
                drives[-1].setdefault(field, _plain(match[1]))
    told = zip(drives, models, strict=True)
    return [_smart(answer, values, *names) for values, names in told if "used" in values or "spare" in values]


def _plain(text: str) -> int | None:
    """``0x04``, ``1,234``."""
    if text.startswith("0x"):
        return int(text, 16)
    digits = text.replace(",", "").replace(".", "")
    return int(digits) if digits.isdecimal() else None
