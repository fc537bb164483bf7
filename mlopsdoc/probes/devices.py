"""What udev's hardware database calls a PCI device."""

from __future__ import annotations

from typing import Any


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
