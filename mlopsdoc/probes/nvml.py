"""What NVML says of the GPUs, as plain data: each value by its name, each refusal by its NVML return code.

    {"driver": "580.95.05", "nvml": "13.580.95.05", "cuda": 13000, "library": "580.95.05", "count": 4,
     "gpus": [{"index": 0, "pci": "0000:1b:00.0", "uuid": "GPU-...", "values": {...}, "errors": {"fan": 3}}],
                (of links also "links": [{"link": 0, "values": {...}, "errors": {...}}] without what is not offered, and
                "p2p": [null, 0, 5, ...], NVML_P2P_STATUS_ over NVLink with the GPU of each index, null with itself,
                of health also "mig_devices": [name of each, ...] where MIG is on)
     "error": {"call": "nvmlInit", "code": 15}}            (only where initialising failed)

One bad GPU or call never stops the rest. Codes: 3, 13 and 26 not offered here, 4 for root only, 9 no kernel
module, 12 no library, 15 the GPU is lost, 18 library and kernel module differ, 999 unknown. Units are those of
NVML: C, MHz, mW, ns, bytes, percent. Source: nvml.h; a call that newer headers replaced comes second in its row.
"""

from __future__ import annotations

import ctypes
import signal
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

Call: TypeAlias = tuple[Any, ...]  # the function of pynvml, and its arguments after the handle

NOT_OFFERED = (3, 13, 25, 26)  # NOT_SUPPORTED, FUNCTION_NOT_FOUND, ARGUMENT_VERSION_MISMATCH, DEPRECATED
INVALID_ARGUMENT, FUNCTION_NOT_FOUND, LIBRARY_NOT_FOUND, LOST, UNKNOWN = 2, 13, 12, 15, 999
IDLE_S = 0.5  # the questions of one run follow each other within milliseconds, a screen looks every few seconds
ONCE_MORE = (10, 999)  # TIMEOUT and UNKNOWN are often gone at the second try
_CLOCK_GRAPHICS, _CLOCK_SM, _CLOCK_MEMORY = 0, 1, 2
_P2P_NVLINK = 2  # NVML_P2P_CAPS_INDEX_
_POLICY_THERMAL = 1
_MEMORY_V2 = 0x02000028
_ERRORS, _PERIODS = {"corrected": 0, "uncorrected": 1}, {"volatile": 0, "aggregate": 1}
_PLACES = {"dram": 2, "sram": 7}  # NVML_MEMORY_LOCATION_

_SYSTEM: dict[str, Call] = {
    "driver": ("nvmlSystemGetDriverVersion",),
    "nvml": ("nvmlSystemGetNVMLVersion",),
    "cuda": ("nvmlSystemGetCudaDriverVersion_v2",),
    "count": ("nvmlDeviceGetCount",),
}

# what -> name -> the calls that give it, the first that is offered counts.
CALLS: dict[str, dict[str, tuple[Call, ...]]] = {
    "static": {
        "name": (("nvmlDeviceGetName",),),
        "serial": (("nvmlDeviceGetSerial",),),
        "vbios": (("nvmlDeviceGetVbiosVersion",),),
        "architecture": (("nvmlDeviceGetArchitecture",),),
        "virtualization": (("nvmlDeviceGetVirtualizationMode",),),
        "sm_max_mhz": (("nvmlDeviceGetMaxClockInfo", _CLOCK_SM),),
        "memory_max_mhz": (("nvmlDeviceGetMaxClockInfo", _CLOCK_MEMORY),),
        "supported_reasons": (
            ("nvmlDeviceGetSupportedClocksEventReasons",),
            ("nvmlDeviceGetSupportedClocksThrottleReasons",),
        ),
        "shutdown_c": (("nvmlDeviceGetTemperatureThreshold", 0),),
        "slowdown_c": (("nvmlDeviceGetTemperatureThreshold", 1),),
        "memory_max_c": (("nvmlDeviceGetTemperatureThreshold", 2),),
        "gpu_max_c": (("nvmlDeviceGetTemperatureThreshold", 3),),
        "power_default_mw": (("nvmlDeviceGetPowerManagementDefaultLimit",),),
        "power_range_mw": (("nvmlDeviceGetPowerManagementLimitConstraints",),),
        "app_default_mhz": (("nvmlDeviceGetDefaultApplicationsClock", _CLOCK_GRAPHICS),),
    },
    "state": {
        "temperature_c": (("nvmlDeviceGetTemperatureV", 0), ("nvmlDeviceGetTemperature", 0)),
        "margin_c": (("nvmlDeviceGetMarginTemperature",),),
        "sm_mhz": (("nvmlDeviceGetClockInfo", _CLOCK_SM),),
        "memory_mhz": (("nvmlDeviceGetClockInfo", _CLOCK_MEMORY),),
        "reasons": (("nvmlDeviceGetCurrentClocksEventReasons",), ("nvmlDeviceGetCurrentClocksThrottleReasons",)),
        "app_mhz": (("nvmlDeviceGetApplicationsClock", _CLOCK_GRAPHICS),),
        "pstate": (("nvmlDeviceGetPerformanceState",),),
        "persistence": (("nvmlDeviceGetPersistenceMode",),),
        "power_mw": (("nvmlDeviceGetPowerUsage",),),
        "power_limit_mw": (("nvmlDeviceGetEnforcedPowerLimit",),),
        "utilization": (("nvmlDeviceGetUtilizationRates",),),
        "thermal_violation": (("nvmlDeviceGetViolationStatus", _POLICY_THERMAL),),
    },
    "links": {
        "pcie_generation": (("nvmlDeviceGetCurrPcieLinkGeneration",),),
        "pcie_width": (("nvmlDeviceGetCurrPcieLinkWidth",),),
        "pcie_max_generation": (("nvmlDeviceGetMaxPcieLinkGeneration",),),
        "pcie_max_width": (("nvmlDeviceGetMaxPcieLinkWidth",),),
        "mig": (("nvmlDeviceGetMigMode",),),  # now, and after the next reset
        "virtualization": (("nvmlDeviceGetVirtualizationMode",),),
    },
    "health": {
        "mig": (("nvmlDeviceGetMigMode",),),
        "part": (("nvmlDeviceGetBoardPartNumber",),),
        "vbios": (("nvmlDeviceGetVbiosVersion",),),
        "banks": (("nvmlDeviceGetRowRemapperHistogram",),),  # of rows, by how many spare ones they have left
        "repair": (("nvmlDeviceGetRepairStatus",),),  # of a memory channel, of a TPC: whether it waits for a reset
        "unrepairable": (("nvmlDeviceGetUnrepairableMemoryFlag_v1",),),
        "inforom": (("nvmlDeviceValidateInforom",),),  # None is well
        "gsp": (("nvmlDeviceGetGspFirmwareVersion",),),
        "gsp_mode": (("nvmlDeviceGetGspFirmwareMode",),),  # now, by default
        **{
            f"ecc_{kind}_{period}_{place}": (("nvmlDeviceGetMemoryErrorCounter", error, counter, location),)
            for kind, error in _ERRORS.items()
            for period, counter in _PERIODS.items()
            for place, location in _PLACES.items()
        },
    },
    "processes": {
        "memory": (("nvmlDeviceGetMemoryInfo", _MEMORY_V2),),  # the older form counts what the driver keeps as used
        "compute": (("nvmlDeviceGetComputeRunningProcesses_v3",), ("nvmlDeviceGetComputeRunningProcesses_v2",)),
        "graphics": (("nvmlDeviceGetGraphicsRunningProcesses_v3",), ("nvmlDeviceGetGraphicsRunningProcesses_v2",)),
        "mps": (("nvmlDeviceGetMPSComputeRunningProcesses_v3",), ("nvmlDeviceGetMPSComputeRunningProcesses_v2",)),
    },
}

# what -> name -> id of an NVML_FI_DEV_ field: all of a GPU are one call.
FIELDS: dict[str, dict[str, int]] = {
    "static": {
        "shutdown_offset_c": 193,
        "slowdown_offset_c": 194,
        "memory_max_offset_c": 195,
        "gpu_max_offset_c": 196,
    },
    "state": {
        "memory_c": 82,
        "energy_mj": 83,
        "pcie_tx_bytes": 197,
        "pcie_rx_bytes": 198,
        "power_cap_ns": 74,
        "thermal_ns": 75,
        "sync_boost_ns": 76,
        "sw_thermal_ns": 269,
        "hw_thermal_ns": 270,
        "power_brake_ns": 271,
    },
    "links": {"nvlink_links": 91, "pcie_replays": 94},
    "health": {
        "ecc_now": 1,
        "ecc_then": 2,
        "ecc_corrected_volatile_total": 3,
        "ecc_uncorrected_volatile_total": 4,
        "ecc_corrected_aggregate_total": 5,
        "ecc_uncorrected_aggregate_total": 6,
        "retired_sbe": 29,
        "retired_dbe": 30,
        "retired_pending": 31,
        "remap_corrected": 142,
        "remap_uncorrected": 143,
        "remap_pending": 144,
        "remap_failure": 145,
        "reset_required": 226,
        "drain_recommended": 227,
        "recovery": 230,
    },
    "processes": {},
}
MAX_LINKS = 36  # NVML_NVLINK_MAX_LINKS
# Of one NVLink. Fields first, all in one call; then calls for what no field gave.
LINK_FIELDS = {
    "replay": 161, "recovery": 162, "crc": 163, "speed_mbps": 164,
    "malformed": 206, "overrun": 207, "rx": 208, "rx_remote": 209, "rx_general": 210, "integrity": 211,
    "discards": 212, "recovered": 213, "recovery_failed": 214,
    "effective": 219, "effective_ber": 220, "symbol": 221, "symbol_ber": 222,
}  # fmt: skip
LINK_CALLS: dict[str, tuple[str, ...]] = {
    "version": ("nvmlDeviceGetNvLinkVersion",),
    "remote": ("nvmlDeviceGetNvLinkRemoteDeviceType",),
}
# NVML_NVLINK_ERROR_DL_ of boards and drivers without those fields.
LINK_COUNTERS = {"replay": 0, "recovery": 1, "crc": 2}
FABRIC = {
    "state": "state", "status": "status", "health_mask": "healthMask", "health_summary": "healthSummary",
    "clique": "cliqueId",
}  # fmt: skip
# Of the errors of SRAM. The threshold is that at which the maker exchanges the GPU.
SRAM = {
    "threshold": "bThresholdExceeded", "parity": "aggregateUncParity", "secded": "aggregateUncSecDed",
    "volatile_parity": "volatileUncParity", "volatile_secded": "volatileUncSecDed",
}  # fmt: skip
MAX_MIG_DEVICES = 7
FABRIC_SINCE = 550  # on R535 asking for it can crash
# The member of a field value's union, by valueType.
_MEMBERS = {0: "dVal", 1: "uiVal", 2: "ulVal", 3: "ullVal", 4: "sllVal", 5: "siVal", 6: "usVal"}


def read(root: str, what: str) -> dict[str, Any]:
    """All that `what` names: static, state, links, health or processes. `root` does not matter: NVML sees this kernel.

    Initialising costs seconds where persistence mode is off, so NVML stays open for the questions that follow at
    once, and is left `IDLE_S` after the last: a screen that stays open keeps no GPU from being reset between its
    looks. The alarm that leaves it comes while the lane waits for its next question, and never amid a call.
    """
    import pynvml

    signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        return _all(pynvml, what)
    finally:
        if _Nvml.is_open:
            signal.signal(signal.SIGALRM, _leave)
            signal.setitimer(signal.ITIMER_REAL, IDLE_S)


def _all(nvml: Any, what: str) -> dict[str, Any]:
    if not _Nvml.is_open:
        _open(nvml)
    said: dict[str, Any] = {"gpus": [], "library": _library(), **_Nvml.trouble}
    if not _Nvml.is_open:
        return said
    for name, call in _SYSTEM.items():
        value, code = _ask(nvml, call)
        if code == 0:
            said[name] = value
        else:
            said.setdefault("errors", {})[name] = code
    said["gpus"] = [_gpu(nvml, index, CALLS[what], FIELDS[what]) for index in range(said.get("count", 0))]
    if what == "links":
        _add_pairs(nvml, [gpu for gpu in said["gpus"] if gpu.get("links")], len(said["gpus"]))
    return said


class _Nvml:
    """NVML in this process: whether it is open, and the trouble that opening it gave."""

    is_open = False
    trouble: dict[str, Any] = {}


def _open(nvml: Any) -> None:
    """Initialise; on some drivers one dead GPU makes that fail, but not when no GPU is asked for."""
    _, code = _ask(nvml, ("nvmlInit",))
    _Nvml.trouble = {"error": {"call": "nvmlInit", "code": code}} if code else {}
    _Nvml.is_open = not code or (code != LIBRARY_NOT_FOUND and _ask(nvml, ("nvmlInitWithFlags", 1))[1] == 0)


def _leave(_signal: int, _frame: object) -> None:
    import pynvml

    _Nvml.is_open = False
    _ask(pynvml, ("nvmlShutdown",))


def _library() -> str:
    """The version of the library that is loaded: ``580.95.05`` of .../libnvidia-ml.so.580.95.05."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        names = [line.rpartition("/libnvidia-ml.so.")[2].strip() for line in maps if "/libnvidia-ml.so." in line]
    return next((name for name in names if "." in name), "")


def _gpu(nvml: Any, index: int, calls: Mapping[str, tuple[Call, ...]], fields: Mapping[str, int]) -> dict[str, Any]:
    gpu: dict[str, Any] = {"index": index, "values": {}, "errors": {}}
    handle, code = _call(nvml, ("nvmlDeviceGetHandleByIndex", index))
    if code:
        gpu["errors"]["handle"] = code
        return gpu
    pci, code = _ask(nvml, ("nvmlDeviceGetPciInfo_v3",), handle)
    if code == 0:
        gpu["pci"] = normal_pci(pci["busId"])
    else:
        gpu["errors"]["pci"] = code
    uuid, code = _ask(nvml, ("nvmlDeviceGetUUID",), handle)
    if code == 0:
        gpu["uuid"] = uuid
    values, errors = gpu["values"], gpu["errors"]
    for name, ways in calls.items():
        if LOST in errors.values():
            errors[name] = LOST  # nothing else is to be had, and each call may take seconds
            continue
        value, code = _first(nvml, ways, handle)
        if code == 0:
            values[name] = value
        else:
            errors[name] = code
    if LOST in errors.values():
        errors.update(dict.fromkeys(fields, LOST))
    elif fields:
        _add_fields(nvml, handle, fields, values, errors)
    if "nvlink_links" in fields and LOST not in errors.values():
        gpu["links"] = _links(nvml, handle, values.get("nvlink_links"))
        _add_fabric(nvml, handle, values, errors)
    if "recovery" in fields and LOST not in errors.values():
        _add_sram(nvml, handle, values, errors)
        if 1 in (values.get("mig") or []):
            gpu["mig_devices"] = _mig_devices(nvml, handle)
    return gpu


def _add_sram(nvml: Any, handle: Any, values: dict[str, Any], errors: dict[str, int]) -> None:
    status, code = _coded(getattr(nvml, "c_nvmlEccSramErrorStatus_v1_t", _absent))
    if not code:
        _, code = _call(nvml, ("nvmlDeviceGetSramEccErrorStatus", ctypes.byref(status)), handle)
    if code:
        errors["sram"] = code
    else:
        values["sram"] = {name: getattr(status, member) for name, member in SRAM.items()}


def _mig_devices(nvml: Any, handle: Any) -> list[str]:
    """The name of each, as in ``NVIDIA H100 80GB HBM3 MIG 3g.40gb``; those that CUDA sees."""
    names: list[str] = []
    for index in range(MAX_MIG_DEVICES):
        device, code = _call(nvml, ("nvmlDeviceGetMigDeviceHandleByIndex", index), handle)
        if not code:
            names.append(str(_ask(nvml, ("nvmlDeviceGetName",), device)[0] or ""))
    return names


def _links(nvml: Any, handle: Any, count: int | None) -> list[dict[str, Any]]:
    """A row a link, until the GPU has no further one."""
    links: list[dict[str, Any]] = []
    for link in range(min(count or MAX_LINKS, MAX_LINKS) if count != 0 else 0):
        state, code = _ask(nvml, ("nvmlDeviceGetNvLinkState", link), handle)
        if code in NOT_OFFERED or code == INVALID_ARGUMENT:
            break
        values: dict[str, Any] = {} if code else {"state": state}
        errors: dict[str, int] = {"state": code} if code else {}
        links.append({"link": link, "values": values, "errors": errors})
        if code == LOST:
            break
        _add_fields(nvml, handle, {name: (id, link) for name, id in LINK_FIELDS.items()}, values, errors)
        ways = {name: (*call, link) for name, call in LINK_CALLS.items()}
        ways |= {name: ("nvmlDeviceGetNvLinkErrorCounter", link, id) for name, id in LINK_COUNTERS.items()}
        for name, call in ways.items() if state else ():
            value, code = (None, 0) if name in values else _ask(nvml, call, handle)
            if value is not None:
                values[name] = value
                errors.pop(name, None)
            elif code:
                errors.setdefault(name, code)
        refused = (*NOT_OFFERED, INVALID_ARGUMENT)
        links[-1]["errors"] = {name: code for name, code in errors.items() if code not in refused}
    return links


def _add_pairs(nvml: Any, gpus: list[dict[str, Any]], count: int) -> None:
    """Each pair is asked once: what one can the other can."""
    handles = [_call(nvml, ("nvmlDeviceGetHandleByIndex", gpu["index"]))[0] for gpu in gpus]
    for gpu in gpus if len(gpus) > 1 else ():
        gpu["p2p"] = [None] * count
    for n, one in enumerate(gpus):
        for m, other in enumerate(gpus[:n]):
            status, code = _ask(nvml, ("nvmlDeviceGetP2PStatus", handles[m], _P2P_NVLINK), handles[n])
            one["p2p"][other["index"]] = other["p2p"][one["index"]] = None if code else status


def _add_fabric(nvml: Any, handle: Any, values: dict[str, Any], errors: dict[str, int]) -> None:
    version, code = _ask(nvml, _SYSTEM["driver"])
    major = str(version).partition(".")[0]
    if code or not major.isdecimal() or int(major) < FABRIC_SINCE:
        return
    for form in ("c_nvmlGpuFabricInfo_v3_t", "c_nvmlGpuFabricInfo_v2_t"):
        info, code = _coded(getattr(nvml, form, _absent))
        if not code:
            _, code = _call(nvml, ("nvmlDeviceGetGpuFabricInfoV", ctypes.byref(info)), handle)
        if not code:
            values["fabric"] = {name: getattr(info, member) for name, member in FABRIC.items() if hasattr(info, member)}
            return
    errors["fabric"] = code


def _absent() -> Any:
    raise AttributeError


def normal_pci(bus_id: str) -> str:
    """``0000:1b:00.0`` as sysfs writes it, of NVML's ``00000000:1B:00.0``."""
    domain, _, rest = bus_id.lower().partition(":")
    return f"{domain[-4:] if domain.startswith('0000') else domain}:{rest}"


def _first(nvml: Any, ways: tuple[Call, ...], handle: Any) -> tuple[Any, int]:
    refused = FUNCTION_NOT_FOUND
    for call in ways:
        value, code = _ask(nvml, call, handle)
        if code not in NOT_OFFERED:
            return value, code
        refused = code if refused == FUNCTION_NOT_FOUND else refused
    return None, refused


def _add_fields(
    nvml: Any, handle: Any, fields: Mapping[str, int | tuple[int, int]], values: dict[str, Any], errors: dict[str, int]
) -> None:
    items: Any
    items, code = _call(nvml, ("nvmlDeviceGetFieldValues",), handle, list(fields.values()))
    if code:
        errors.update(dict.fromkeys(fields, code))
        return
    for name, item in zip(fields, items):
        if item.nvmlReturn:  # a field that is newer than the driver is an invalid argument to it
            errors[name] = FUNCTION_NOT_FOUND if item.nvmlReturn == INVALID_ARGUMENT else item.nvmlReturn
        elif member := _MEMBERS.get(int(item.valueType)):
            values[name] = getattr(item.value, member)
        else:
            errors[name] = UNKNOWN


def _ask(nvml: Any, call: Call, *handle: Any) -> tuple[Any, int]:
    """The value as plain data and 0, or None and the code."""
    value, code = _call(nvml, call, *handle)
    return _plain(value), code


def _call(nvml: Any, call: Call, *handle: Any) -> tuple[Any, int]:
    name, *args = call

    def ask() -> Any:
        return getattr(nvml, name)(*handle, *args)

    value, code = _coded(ask)
    return _coded(ask) if code in ONCE_MORE else (value, code)


def _coded(ask: Callable[[], Any]) -> tuple[Any, int]:
    """What was asked and 0, or None and the code. A function that this pynvml has not counts as not found."""
    try:
        return ask(), 0
    except AttributeError:
        return None, FUNCTION_NOT_FOUND
    except Exception as error:
        return None, int(getattr(error, "value", UNKNOWN))


def _plain(value: Any) -> Any:
    """Structures become tables, bytes (of old pynvml) text."""
    if value is None or isinstance(value, int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Any]", value)]
    fields: Any = getattr(value, "_fields_", None) or [*value.__dict__.items()]
    return {str(field[0]): _plain(getattr(value, field[0])) for field in fields}
