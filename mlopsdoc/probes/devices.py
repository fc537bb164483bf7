"""What udev tells: the names of PCI devices, and that a device has come or gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

WATCHED = ("pci", "block", "net", "infiniband")
SETTLED_S = 1.0  # a device that comes or goes makes a burst of events


def read(root: str, slot: str) -> dict[str, str]:
    """``{"vendor": "Advanced Micro Devices, Inc. [AMD/ATI]", "model": "Aqua Vanjaram [Instinct MI300X]"}``.

    slot: ``0000:1b:00.0``. Empty where udev has no name for it (in a container its notes are not there).
    Raises FileNotFoundError when there is no such device.
    """
    import pyudev

    udev: Any = pyudev  # it has no types
    try:
        device = udev.Devices.from_name(udev.Context(), "pci", slot)
    except pyudev.DeviceNotFoundError:
        raise FileNotFoundError(2, "no such PCI device", slot) from None
    names = {"vendor": "ID_VENDOR_FROM_DATABASE", "model": "ID_MODEL_FROM_DATABASE"}
    return {name: str(device.properties.get(key, "")) for name, key in names.items()}


def changes() -> Iterator[str]:
    """Waits; for each burst of events in which a device was added or removed yields the first: ``remove 0000:1b:00.0``.

    Ends where nobody may listen (a container without its own network).
    """
    import pyudev

    udev: Any = pyudev
    try:
        monitor = udev.Monitor.from_netlink(udev.Context(), "kernel")  # also where udevd does not run
        for subsystem in WATCHED:
            monitor.filter_by(subsystem)
        monitor.start()
    except (OSError, ImportError):
        return
    while True:
        first = monitor.poll()
        if first is None or first.action not in ("add", "remove"):
            continue
        while monitor.poll(SETTLED_S) is not None:
            pass
        yield f"{first.action} {first.sys_name}"
