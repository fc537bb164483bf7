"""Which GPUs should be here and are not: what NVML names against PCI, the kernel module and lspci."""

from __future__ import annotations

from collections.abc import Iterator

from mlopsdoc import CannotSee, Fact, Hardware, Host, Line, NothingHere
from mlopsdoc.facts import nvml
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.gpus import GIVEN_AWAY, Gpus, Lost, label_of, sees_all_gpus, sign_of
from mlopsdoc.facts.machine import NVIDIA_NAMES, Machine
from mlopsdoc.facts.pci import NVIDIA, PciDevices
from mlopsdoc.hosts.recorder import Replay

DISPLAYS = ("3D controller", "VGA compatible controller")
NO_DEVICES = -2  # of facts/smi.py
INFORMATION = "/proc/driver/nvidia/gpus/*/information"
# NVML codes of nvmlInit that speak of a GPU, and not of the driver or of permissions.
OF_A_GPU = (8, 10, 11, nvml.CORRUPT, nvml.LOST, nvml.RESET, nvml.UNKNOWN)


class Missing(Fact, frozen=True):
    """One GPU that is not as it should be, or all of the host. code: a short word."""

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
    def read(
        cls, host: Host, gpus: Gpus | None, pci: PciDevices | None, machine: Machine, hardware: Hardware
    ) -> GpuPresence:
        """Raises what Gpus raises, where nothing else tells of a GPU that is missing; CannotSee where there is no sign
        of one and the profile wants some.

        From /proc/driver/nvidia/gpus/0000:1b:00.0/information, of which only the last line may say a reason::

            GPU UUID:        GPU-5f0c9a1e-7b34-4d2f-9a61-0e8c2b7d4f10      (GPU-????????-????-... once it is lost)
            GPU Excluded:    No
        """
        missing = [_lost(lost) for lost in gpus.lost] if gpus else []
        known = {gpu.pci for gpu in gpus or ()}
        if not pci or any(gpu.slot not in known for gpu in pci.gpus()):
            missing += _dead(host, known)
        if gpus is None:
            missing += _init(host, pci, machine) if sign_of(host, pci) or not host.is_live else []
            if not missing and not (hardware.gpus and pci and not pci.gpus()):
                _raise_again(host, pci, hardware)
        else:
            missing += _at_another_moment(host, gpus)
            if not host.is_live and not pci and not machine.container and not (gpus.is_part or gpus.missing):
                missing += _beside_lspci(host, gpus, {one.pci for one in missing})
        held = [gpu for gpu in pci.gpus() if gpu.driver == "nvidia"] if pci else []
        if sees_all_gpus(host):
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
        if is_whole and not any(one.label == "host" for one in named):
            named += _too_few(hardware.gpus or 0, gpus, pci, named)
        return cls(len(gpus.gpus) if gpus else 0, named + _other_model(hardware, gpus, pci), is_whole)


def _raise_again(host: Host, pci: PciDevices | None, hardware: Hardware) -> None:
    """What stands in the way of the GPUs."""
    try:
        Gpus.read(host, pci)
    except NothingHere as nothing:
        if hardware.gpus:
            raise CannotSee(f"the {hardware.gpus} GPUs that the profile wants: {nothing.why}") from None
        raise


def _too_few(wanted: int, gpus: Gpus | None, pci: PciDevices | None, named: tuple[Missing, ...]) -> tuple[Missing, ...]:
    """On PCI is enough: one that is left out, given away or not given to this container is not missing."""
    here = {gpu.id for gpu in gpus or ()} | {gpu.slot for gpu in (pci.gpus() if pci else ())}
    here |= {one.pci for one in named if one.pci}
    short = wanted - len(here)
    what = f"the profile wants {wanted} GPUs, {short} {'is' if short == 1 else 'are'} nowhere to be seen"
    return (Missing("host", "", "too_few", what, None),) if short > 0 else ()


def _other_model(hardware: Hardware, gpus: Gpus | None, pci: PciDevices | None) -> tuple[Missing, ...]:
    """By PCI device id where both are known, else by name. A GPU beside all those that are wanted (a display's) is
    none of them.
    """
    wanted = (hardware.gpu_pci_id or _bare(hardware.gpu_model)).lower()
    if hardware.gpu_pci_id and pci:
        found = [(label_of(None, gpu.slot), f"{NVIDIA}:{gpu.device}", gpu.line) for gpu in pci.gpus()]
    elif hardware.gpu_model:
        wanted = _bare(hardware.gpu_model)
        found = [(gpu.label, _bare(gpu.name), gpu.line) for gpu in gpus or () if gpu.name]
    else:
        return ()
    other = [one for one in found if one[1] != wanted]
    if not other or len(found) - len(other) >= (hardware.gpus or len(found)):
        return ()
    which = ", ".join(f"{label} is {NVIDIA_NAMES.get(kind[5:], kind)}" for label, kind, _ in other[:4])
    more = f" and {len(other) - 4} more" if len(other) > 4 else ""
    model = hardware.gpu_model or NVIDIA_NAMES.get(wanted[5:], wanted)
    return (Missing("host", "", "other_model", f"the profile wants {model}, {which}{more}", other[0][2]),)


def _bare(name: str) -> str:
    """A model without the maker, whom drivers before R450 leave out."""
    return name.casefold().removeprefix("nvidia ").removeprefix("tesla ")


def _at_another_moment(host: Host, gpus: Gpus) -> list[Missing]:
    """An output that found no GPU, before one that shows some: of two moments, often of two drivers.

    An output for one GPU by its index is not meant: of an index that is not there it says the same.
    """
    from mlopsdoc.facts import smi  # only where there is something of it

    for answer in asked(host, "nvidia-smi"):
        failure = smi.failure_in(answer.text) if answer.status in ("ok", "failed") else None
        if failure and failure[1] == NO_DEVICES:
            count = len(gpus.gpus)
            model = next((f"{gpu.name}, " for gpu in gpus if gpu.name), "")
            what = (
                f"nvidia-smi found no device at one moment of this evidence, and {count} GPU{'s' * (count != 1)} at "
                f"another ({model}driver {gpus.driver or 'not told'}): not every driver branch starts them, or not "
                "every time"
            )
            return [Missing("host", "", "not_always", what, Line(answer.key, "No devices were found"))]
    return []


def _once(missing: list[Missing]) -> tuple[Missing, ...]:
    """Each GPU once: the first that names it tells most."""
    found: dict[str, Missing] = {}
    for one in missing:
        found.setdefault(one.pci or one.label, one)
    return tuple(found.values())


def _lost(lost: Lost) -> Missing:
    code = "refused" if lost.code == 4 else "lost" if lost.code else "not_listed"
    return Missing(lost.label, lost.pci, code, lost.why, lost.line)


def _init(host: Host, pci: PciDevices | None, machine: Machine) -> list[Missing]:
    """NVML does not start for the sake of a GPU: which one it does not say. Or it starts, and finds none at all."""
    answer = host.probe("nvml", "state")
    said = nvml.table(answer) if answer.said else None
    code = nvml.number(nvml.part(said, "error"), "code") if said is not None else _smi_failure(host)
    if code in OF_A_GPU:
        what = f"NVML does not start: {nvml.in_words(code)}"
        return [Missing("host", "", "init", what, Line(answer.key, f"code {code}"))]
    listed = pci.gpus() if pci else ()
    held = [gpu for gpu in listed if gpu.driver == "nvidia"]
    is_none = (said is not None and code is None and held) or code == NO_DEVICES
    if not is_none or (listed and all(gpu.driver in GIVEN_AWAY for gpu in listed)):
        return []
    count = f" of the {len(held)} that it holds on PCI" if held else ", although it is loaded"
    if machine.container or (isinstance(host, Replay) and host.recording.place):
        what = f"this container was given no GPU, or the driver could start none{count}"
        return [Missing("host", "", "none_given", what, None)]
    return [Missing("host", "", "none", f"no devices were found: the driver could start no GPU{count}", None)]


def _smi_failure(host: Host) -> int | None:
    """What nvidia-smi said instead of its output, in a recording."""
    if host.is_live or not asked(host, "nvidia-smi"):
        return None
    from mlopsdoc.facts import smi  # only where there is something of it

    printed = smi.ask(host)
    return printed.failure[0] if printed and printed.failure else None


def _beside_lspci(host: Host, gpus: Gpus, named: set[str]) -> list[Missing]:
    """GPUs that lspci shows and a whole output of nvidia-smi does not; one that another driver holds is none::

    9b:00.0 3D controller: NVIDIA Corporation GH100 [H100 SXM5 80GB] (rev a1)
            Kernel driver in use: vfio-pci
    """
    shown: dict[str, Line] = {}
    drivers: dict[str, str] = {}
    for slot, head, line in _of_lspci(host):
        if "Kernel driver in use:" in line.text:
            drivers[slot] = line.text
        elif _is_gpu(head):
            shown.setdefault(slot, line)
    shown = {slot: line for slot, line in shown.items() if "nvidia" in drivers.get(slot, "nvidia")}
    known = {gpu.pci for gpu in gpus} | named
    if len(shown) <= len(gpus.gpus) + len(gpus.lost):
        return []
    if all(gpu.pci for gpu in gpus):
        what = "lspci shows it, nvidia-smi does not list it"
        kinds = {one: "not_listed" if one in drivers else "beside_lspci" for one in shown if one not in known}
        return [Missing(label_of(None, one), one, kind, what, shown[one]) for one, kind in kinds.items()]
    what = f"lspci shows {len(shown)} NVIDIA GPUs, nvidia-smi lists {len(gpus.gpus)} of them"
    return [Missing("host", "", "beside_lspci", what, line) for line in list(shown.values())[:1]]


def _dead(host: Host, known: set[str]) -> list[Missing]:
    """What lspci shows of a device that does not answer any more. Those of laptops sleep so::

    9b:00.0 3D controller: NVIDIA Corporation GH100 [H100 SXM5 80GB] (rev ff) (prog-if ff)
            !!! Unknown header type 7f
    """
    found: list[Missing] = []
    what = "it does not answer on the PCI bus any more (all its registers read ff): it has fallen off the bus"
    for slot, head, line in _of_lspci(host):
        is_dead = "(rev ff)" in line.text or "Unknown header type 7f" in line.text
        is_of_laptop = any(word in head for word in ("Mobile", "Max-Q", "Laptop"))
        if is_dead and _is_gpu(head) and slot not in known and not is_of_laptop:
            found.append(Missing(label_of(None, slot), slot, "off_bus", what, line))
    return found


def _of_lspci(host: Host) -> Iterator[tuple[str, str, Line]]:
    """Every line, with the slot and the first line of the device that it is of; none live."""
    for answer in asked(host, "lspci"):
        slot = head = ""
        for text in answer.text.split("\n") if answer.said else ():
            line = text[:400]
            if line[:1].strip():
                slot, head = line.split(" ")[0].lower(), line
                slot = slot if slot.count(":") == 2 else f"0000:{slot}"
            yield slot, head, Line(answer.key, line.strip())


def _is_gpu(head: str) -> bool:
    return "NVIDIA" in head and any(kind in head for kind in DISPLAYS)
