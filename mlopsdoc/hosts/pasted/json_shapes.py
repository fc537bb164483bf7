"""JSON that says itself what it is: by the names in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    if "smartctl" in keys:
        device = cast(dict[str, Any], table["device"]) if isinstance(table.get("device"), dict) else {}
        name = str(device.get("name", ""))
        is_device = name.startswith("/dev/") and len(name) < 64
        return f"run smartctl -j -a {words((name,))}" if is_device else "run smartctl -j -a"
    return next((key for needed, key in JSON if needed <= keys), "")


JSON = (
    ({"pools", "output_version"}, "run zpool status -j"),
    ({"pools"}, "run zpool status -j"),
    ({"critical_warning"}, "run nvme smart-log -o json"),
    ({"Devices"}, "run nvme list -o json"),
    ({"lscpu"}, "run lscpu -J"),
    ({"blockdevices"}, "run lsblk -J"),
    ({"filesystems"}, "run findmnt -J"),
    ({"MESSAGE"}, "log"),
)
REDFISH = (
    ({"EntryCode"}, "LogEntry"),
    ({"EntryType", "Severity"}, "LogEntry"),
    ({"Created", "Severity", "Message"}, "LogEntry"),
    ({"PowerSupplies"}, "Power"),
    ({"PowerControl"}, "Power"),
    ({"Temperatures"}, "Thermal"),
    ({"PowerSupplyType"}, "PowerSupply"),
    ({"PowerCapacityWatts"}, "PowerSupply"),
    ({"CapacityWatts", "Status"}, "PowerSupply"),
    ({"LineInputVoltage", "Status"}, "PowerSupply"),
    ({"ReadingType", "Reading"}, "Sensor"),
    ({"ChassisType"}, "Chassis"),
    ({"MemoryDeviceType"}, "Memory"),
    ({"ProcessorType"}, "Processor"),
    ({"SystemType"}, "ComputerSystem"),
    ({"ManagerType"}, "Manager"),
)


def _redfish_type(value: dict[str, Any]) -> str:
    """``Power`` of ``#Power.v1_5_0.Power``; by the properties where the type was cut away."""
    named = str(value.get("@odata.type", ""))
    if match := re.match(r"#([A-Za-z]{1,64})\b", named):
        return str(match[1])
    if "@odata.id" in value or "Status" in value or "Created" in value or "PowerSupplies" in value:
        return next((name for needed, name in REDFISH if needed <= set(value)), "")
    return ""
