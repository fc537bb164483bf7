"""Which GPUs should be here and are not: what NVML names against PCI, the kernel module and lspci."""

from __future__ import annotations

from mlopsdoc import Fact, Hardware, Host, Line
from mlopsdoc.facts import nvml
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.gpus import Gpus, Lost, label_of, sees_all_processes
from mlopsdoc.facts.pci import PciDevices

NO_DEVICES = -2  # of facts/smi.py
INFORMATION = "/proc/driver/nvidia/gpus/*/information"
# NVML codes of nvmlInit that speak of a GPU, and not of the driver or of permissions.
OF_A_GPU = (8, 10, 11, nvml.CORRUPT, nvml.LOST, nvml.RESET, nvml.UNKNOWN)


class Missing(Fact, frozen=True):
    """One GPU that is not as it should be. code: a short word; excluded ones were left out on purpose."""

    label: str
    pci: str
    code: str
    what: str
    line: Line | None


class GpuPresence(Fact, frozen=True):
    """seen: how many GPUs answer. is_whole: whether all would have been seen."""

    seen: int
    missing: tuple[Missing, ...]
    is_whole: bool

    @classmethod
    def read(cls, host: Host, gpus: Gpus | None, pci: PciDevices | None, hardware: Hardware) -> GpuPresence:
        """Raises what Gpus raises, where nothing else tells of a GPU that is missing, the profile included.

        From /proc/driver/nvidia/gpus/0000:1b:00.0/information, of which only the last line may say a reason::

            GPU UUID:        GPU-5f0c9a1e-7b34-4d2f-9a61-0e8c2b7d4f10      (GPU-????????-????-... once it is lost)
            GPU Excluded:    No
        """
        missing = [_lost(lost) for lost in gpus.lost] if gpus else []
        known = {gpu.pci for gpu in gpus or ()}
        if not pci or any(gpu.slot not in known for gpu in pci.gpus()):
            missing += _dead(host, known)
        if gpus is None:
            missing += _init(host, pci)
            if not missing and not (hardware.gpus and pci and not pci.gpus()):
                Gpus.read(host, pci)  # raises again what stands in the way
        held = [gpu for gpu in pci.gpus() if gpu.driver == "nvidia"] if pci else []
        if sees_all_processes(host):
            for path, answer in host.tree(INFORMATION).items():
                slot = path.split("/")[5].lower()
                if gpus and slot not in known and "excluded: yes" not in " ".join(answer.text.casefold().split()):
                    line = Line(answer.key, "the kernel module lists it")
                    on_pci = pci is None or any(gpu.slot == slot for gpu in pci.gpus())
                    what = "the kernel module lists it, NVML does not" + ("" if on_pci else ", and it is gone from PCI")
                    missing.append(Missing(label_of(None, slot), slot, "not_listed", what, line))
            kinds = {gpu.device for gpu in held}
            for gpu in pci.gpus() if pci else ():
                if not gpu.driver and gpu.device in kinds:
                    what = "it is on PCI and no driver holds it, its like are held by nvidia: it could not be started"
                    missing.append(Missing(label_of(None, gpu.slot), gpu.slot, "no_driver", what, gpu.line))
        is_whole = gpus is None or not (gpus.is_part or gpus.missing)
        named = _once(missing)
        short = (hardware.gpus or 0) - len(known) - len(named)
        if is_whole and short > 0 and not any(one.label == "host" for one in named):
            what = f"the profile wants {hardware.gpus} GPUs, {short} {'is' if short == 1 else 'are'} nowhere to be seen"
            named = (*named, Missing("host", "", "too_few", what, None))
        return cls(len(known), named, is_whole)


def _once(missing: list[Missing]) -> tuple[Missing, ...]:
    """Each GPU once: the first that names it tells most."""
    found: dict[str, Missing] = {}
    for one in missing:
        found.setdefault(one.pci or one.label, one)
    return tuple(found.values())


def _lost(lost: Lost) -> Missing:
    code = "refused" if lost.code == 4 else "lost" if lost.code else "not_listed"
    return Missing(lost.label, lost.pci, code, lost.why, lost.line)


def _init(host: Host, pci: PciDevices | None) -> list[Missing]:
    """NVML does not start for the sake of a GPU: which one it does not say. Or it starts, and finds none at all."""
    answer = host.probe("nvml", "state")
    said = nvml.table(answer) if answer.said else None
    code = nvml.number(nvml.part(said, "error"), "code") if said is not None else _smi_failure(host)
    if code in OF_A_GPU:
        what = f"NVML does not start: {nvml.in_words(code)}"
        return [Missing("host", "", "init", what, Line(answer.key, f"code {code}"))]
    held = [gpu for gpu in pci.gpus() if gpu.driver == "nvidia"] if pci else []
    if (said is not None and code is None and held) or code == NO_DEVICES:
        count = f" of the {len(held)} that it holds on PCI" if held else ", although it is loaded"
        return [Missing("host", "", "none", f"the driver could start no GPU{count}", None)]
    return []


def _smi_failure(host: Host) -> int | None:
    """What nvidia-smi said instead of its output, in a recording."""
    if host.is_live or not asked(host, "nvidia-smi"):
        return None
    from mlopsdoc.facts import smi  # only where there is something of it

    printed = smi.ask(host)
    return printed.failure[0] if printed and printed.failure else None


def _dead(host: Host, known: set[str]) -> list[Missing]:
    """What lspci shows of a device that does not answer any more. Those of laptops sleep so::

    9b:00.0 3D controller: NVIDIA Corporation GH100 [H100 SXM5 80GB] (rev ff) (prog-if ff)
            !!! Unknown header type 7f
    """
    found: list[Missing] = []
    for answer in asked(host, "lspci"):
        slot = head = ""
        for text in answer.text.split("\n") if answer.said else ():
            line = text[:400]
            if line[:1].strip():
                slot, head = line.split(" ")[0].lower(), line
                slot = slot if slot.count(":") == 2 else f"0000:{slot}"
            is_dead = "(rev ff)" in line or "Unknown header type 7f" in line
            is_gpu = "NVIDIA" in head and any(kind in head for kind in ("3D controller", "VGA compatible controller"))
            if (
                is_dead
                and is_gpu
                and slot not in known
                and not any(word in head for word in ("Mobile", "Max-Q", "Laptop"))
            ):
                what = (
                    "it does not answer on the PCI bus any more (all its registers read ff): it has fallen off the bus"
                )
                found.append(Missing(label_of(None, slot), slot, "off_bus", what, Line(answer.key, line.strip())))
    return found
