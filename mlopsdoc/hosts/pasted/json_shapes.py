"""JSON that says itself what it is: by the names in it."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any, cast

from mlopsdoc.hosts.base import read_key, words


def json_key(value: Any) -> str:
    """The question that a JSON value answers; nothing when it is not known.

    A Redfish resource answers ``read /redfish/v1/...``; where its address was cut away, ``run redfish TYPE``, by the
    schema it names or by its properties.
    """
    if isinstance(value, list):
        rows = cast(Sequence[Any], value)
        return json_key(rows[0]) if rows and isinstance(rows[0], dict) else ""
    if not isinstance(value, dict):
        return ""
    table = cast(dict[str, Any], value)
    keys = set(table)
    address = str(table.get("@odata.id", ""))
    if re.fullmatch(r"/redfish/v1(?:/[\w.:#%-]{1,128}){0,16}/?", address):
        return read_key(address.rstrip("/"))
    if named := _redfish_type(table):
        return f"run redfish {named}"
    smartctl = table.get("smartctl")
    if isinstance(smartctl, dict) and {"version", "exit_status"} & set(cast(dict[str, Any], smartctl)):
        device = cast(dict[str, Any], table["device"]) if isinstance(table.get("device"), dict) else {}
        name = str(device.get("name", ""))
        is_device = name.startswith("/dev/") and len(name) < 64
        return f"run smartctl -j -a {words((name,))}" if is_device else "run smartctl -j -a"
    if {"pools", "output_version"} <= keys and isinstance(table["output_version"], dict):
        command = str(cast(dict[str, Any], table["output_version"]).get("command", ""))
        return f"run {command} -j" if command in ("zpool status", "zpool list") else ""
    if rows := next((key for name, inner, key in ROWS if _has_rows(table.get(name), inner)), ""):
        return rows
    return next((key for needed, key in JSON if needed <= keys), "")


def _has_rows(value: Any, needed: set[str]) -> bool:
    """Whether a value is a list of tables that have these names."""
    rows = cast(Sequence[Any], value) if isinstance(value, list) else ()
    return bool(rows) and isinstance(rows[0], dict) and needed <= set(cast(dict[str, Any], rows[0]))


# What nothing else has: names that stand beside each other, or in the rows of a list.
JSON = (
    ({"critical_warning", "avail_spare"}, "run nvme smart-log -o json"),
    ({"MESSAGE", "__REALTIME_TIMESTAMP"}, "log"),
    ({"MESSAGE", "_TRANSPORT"}, "log"),
)
ROWS = (
    ("Devices", {"DevicePath"}, "run nvme list -o json"),
    ("Devices", {"Subsystems"}, "run nvme list -o json"),
    ("dmesg", {"time", "msg"}, "log"),
    ("lscpu", {"field", "data"}, "run lscpu -J"),
    ("blockdevices", {"name"}, "run lsblk -J"),
    ("filesystems", {"target", "source"}, "run findmnt -J"),
)
# Redfish without its type, by what stands beside each other in no other interface.
REDFISH = (
    ({"Created", "Severity", "EntryCode"}, "LogEntry"), ({"Created", "Severity", "EntryType"}, "LogEntry"),
    ({"Created", "Severity", "Message"}, "LogEntry"), ({"PowerSupplies"}, "Power"), ({"PowerControl"}, "Power"),
    ({"Temperatures"}, "Thermal"), ({"PowerSupplyType"}, "PowerSupply"), ({"PowerCapacityWatts"}, "PowerSupply"),
    ({"CapacityWatts", "Status"}, "PowerSupply"), ({"LineInputVoltage", "Status"}, "PowerSupply"),
    ({"ReadingType", "Reading"}, "Sensor"), ({"ChassisType"}, "Chassis"), ({"MemoryDeviceType"}, "Memory"),
    ({"ProcessorType"}, "Processor"), ({"SystemType"}, "ComputerSystem"), ({"ManagerType"}, "Manager"),
)  # fmt: skip


def _redfish_type(value: dict[str, Any]) -> str:
    """``Power`` of ``#Power.v1_5_0.Power``; by the properties where the type was cut away."""
    named = str(value.get("@odata.type", ""))
    if match := re.match(r"#([A-Za-z]{1,64})\b", named):
        return str(match[1])
    status = value.get("Status")
    has_status = isinstance(status, dict) and bool(
        {"State", "Health", "HealthRollup"} & set(cast(dict[str, Any], status))
    )
    is_array = any(_has_rows(value.get(name), {"Status"}) for name in ("PowerSupplies", "Temperatures", "PowerControl"))
    is_array = is_array or _has_rows(value.get("PowerSupplies"), {"MemberId"})
    if "@odata.id" in value or has_status or "Created" in value or is_array:
        return next((name for needed, name in REDFISH if needed <= set(value)), "")
    return ""


def journal_line(line: str) -> str:
    """A row of ``journalctl -o json`` as ``-o short-iso`` prints it; any other line as it is."""
    if not (line.startswith('{"') and line.endswith("}") and '"__REALTIME_TIMESTAMP"' in line and '"MESSAGE"' in line):
        return line
    try:
        return line_of(json.loads(line))
    except (ValueError, RecursionError):
        return line


def line_of(row: dict[str, Any]) -> str:
    """The same of a row that is known to be one; ``[   12.345678] ...`` of one of ``dmesg -J``."""
    if "msg" in row and "MESSAGE" not in row:
        time = row.get("time")
        head = f"[{time:12.6f}]" if isinstance(time, (int, float)) else str(time)
        return " ".join(f"{head} {row['msg']}".splitlines()).encode("utf-8", "replace").decode()
    stamp = str(row.get("__REALTIME_TIMESTAMP", ""))
    when = datetime.fromtimestamp(int(stamp) / 1e6, timezone.utc) if stamp.isdecimal() and len(stamp) < 18 else None
    name = "kernel" if row.get("_TRANSPORT") == "kernel" else str(row.get("SYSLOG_IDENTIFIER", "unknown"))
    head = f"{when:%Y-%m-%dT%H:%M:%S}+0000 {row.get('_HOSTNAME', 'host')} " if when else ""
    said = row.get("MESSAGE", "")
    if isinstance(said, list):  # bytes that are no UTF-8
        said = bytes(code for code in cast(Sequence[Any], said) if code in range(256)).decode("utf-8", "replace")
    return " ".join(f"{head}{name}: {said}".splitlines()).encode("utf-8", "replace").decode()
