"""PCI devices, by what every user may read: the sign that a kind of hardware is here."""

from __future__ import annotations

from mlopsdoc import CannotSee, Fact, Host, Line, NothingHere

UEVENTS = "/sys/bus/pci/devices/*/uevent"
NVIDIA, AMD, INTEL = "10de", "1002", "8086"
BRIDGE_OTHER = 0x0680  # the class of an NVSwitch


class PciDevice(Fact, frozen=True):
    """slot: ``0000:1b:00.0``. vendor, device: four hex digits. kind: class code, 24 bits."""

    slot: str
    vendor: str
    device: str
    kind: int
    driver: str
    line: Line

    @property
    def is_gpu(self) -> bool:
        """A display controller: VGA (0300) or 3D (0302)."""
        return self.kind >> 8 in (0x0300, 0x0302)

    @property
    def is_accelerator(self) -> bool:
        """A GPU, or a processing accelerator (1200), as AMD and Intel name theirs."""
        return self.is_gpu or self.kind >> 8 == 0x1200


class PciDevices(Fact, frozen=True):
    """Every PCI device, in order of its address.

    From /sys/bus/pci/devices/*/uevent::

        DRIVER=nvidia
        PCI_CLASS=30200
        PCI_ID=10DE:2330
        PCI_SLOT_NAME=0000:1B:00.0
    """

    devices: tuple[PciDevice, ...]

    @classmethod
    def read(cls, host: Host) -> PciDevices:
        """Raises NothingHere on a machine without PCI."""
        tree = host.tree(UEVENTS)
        devices = tuple(device for path, answer in sorted(tree.items()) if (device := _device(path, answer.text)))
        if not devices and not tree.listing.said:
            raise CannotSee(f"the list of PCI devices: {tree.listing.why or tree.listing.status}")
        if not devices:
            raise NothingHere("no PCI device")
        return cls(devices)

    def gpus(self, vendor: str = NVIDIA) -> tuple[PciDevice, ...]:
        """The GPUs of one vendor."""
        return tuple(device for device in self.devices if device.is_gpu and device.vendor == vendor)

    def switches(self) -> tuple[PciDevice, ...]:
        """The NVSwitches: NVIDIA's bridges of no kind that PCI has a name for."""
        return tuple(device for device in self.devices if device.vendor == NVIDIA and device.kind >> 8 == BRIDGE_OTHER)


def _device(path: str, text: str) -> PciDevice | None:
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    vendor, _, device = values.get("PCI_ID", "").lower().partition(":")
    try:
        kind = int(values.get("PCI_CLASS", ""), 16)
    except ValueError:
        return None
    slot = path.split("/")[5].lower()
    line = Line(f"read {path}", f"PCI_ID={values.get('PCI_ID', '')} DRIVER={values.get('DRIVER', '')}")
    return PciDevice(slot, vendor, device, kind, values.get("DRIVER", ""), line)
