"""The InfoROM and the firmware of GPUs, settings that wait for a reset, and boards that differ from their like."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mlopsdoc import Finding, Hardware, NothingHere, check, unknown, warning
from mlopsdoc.facts.gpu_health import GpuHealth, GpuHealths

# Whoever tells its version tells as well when it is corrupt.
INFOROM, FIRMWARE = ("inforom", "inforom_image"), ("gsp", "vbios")
NAMES = (*INFOROM, *FIRMWARE)
NOT_RUN = ("", "N/A", "None")


class Trouble(NamedTuple):
    """Of one GPU. names: how the values begin that show it."""

    code: str
    what: str
    advice: str
    names: tuple[str, ...]


@check(
    area="gpu",
    title="GPUs have a valid InfoROM and the firmware of their driver and of their like",
    params=("GPU",),
    explained_by=("driver_stack", "gpu_presence"),
)
def gpu_health(health: GpuHealths, hardware: Hardware) -> Iterator[Finding]:
    """What lasts: a fault of these is there after a reboot, and seldom stops a job.

    A corrupt InfoROM is a warning (DCGM): it holds ECC counts, remapped rows and the serial number, which may be lost.
    GSP firmware of another version than the driver, or switched off where the board has it on by default, is a
    warning. An ECC mode that is to change at the next reset or reboot (IMB) is one too, for whoever reboots the host
    will be surprised. A VBIOS that differs among GPUs with one name and one part number is a warning, of the fewer
    ones: a board that was exchanged and not updated; so is one that is not what the profile wants.
    MIG modes are in gpu_mig.
    """
    told = health.telling("InfoROM and firmware", *NAMES, "ecc_now")
    found = [*_together(told, health.driver), *_unlike(told, hardware.gpu_vbios)]
    if not found:
        told = health.telling("InfoROM and firmware", *NAMES)
        if not health.lost and not any(gpu.tells(*INFOROM) for gpu in told):
            raise NothingHere("InfoROM: not in this recording")
    yield from found
    for gap in health.gaps("InfoROM and firmware", (NAMES,) if found else (INFOROM, FIRMWARE)):
        yield unknown(gap.why, subject=gap.subject, code=gap.code, advice=gap.advice)


def _troubles(gpu: GpuHealth, driver: str) -> Iterator[Trouble]:
    gsp, now, then = gpu.text("gsp"), gpu.number("ecc_now"), gpu.number("ecc_then")
    if gpu.number("inforom"):
        yield Trouble(
            "inforom",
            "its InfoROM is corrupt: error counts and serial number may be lost, ECC and remapping may not be kept",
            "a reset or a reboot mends some; else save `sudo nvidia-bug-report.sh` and call the vendor: runbook",
            ("inforom",),
        )
    if gsp not in NOT_RUN and driver and gsp != driver:
        yield Trouble(
            "gsp_version",
            f"its GSP firmware is {gsp}, the driver {driver}: they belong together",
            f"reload the driver or reboot; if it stays, install the firmware of {driver}: steps in the runbook",
            ("gsp",),
        )
    if gpu.number("gsp_now") == 0 and gpu.number("gsp_usual") == 1:
        yield Trouble(
            "gsp_off",
            "its GSP firmware is switched off, on this board it is on by default",
            "look for NVreg_EnableGpuFirmware=0 (`grep -rs NVreg /etc/modprobe.d /proc/cmdline`): steps in the runbook",
            ("gsp",),
        )
    if now is not None and then is not None and now != then:
        yield Trouble(
            "ecc_pending",
            f"ECC is {_mode(now)} and will be {_mode(then)} after the next reset or reboot",
            f"if that is meant, reset or reboot when idle; if not, `sudo nvidia-smi -i {{pci}} -e {now}`",
            ("ecc_now", "ecc_then"),
        )


def _together(told: Sequence[GpuHealth], driver: str) -> Iterator[Finding]:
    """What is so of all of several GPUs, in the same words, is one setting of the host, and said once."""
    having: dict[Trouble, list[GpuHealth]] = {}
    for gpu in told:
        for trouble in _troubles(gpu, driver):
            having.setdefault(trouble, []).append(gpu)
    for trouble, gpus in having.items():
        if trouble.code == "inforom" or len(gpus) < len(told) or len(told) == 1:
            for gpu in gpus:
                advice = trouble.advice.replace("{pci}", gpu.pci or "GPU")
                yield _finding(gpu, trouble.code, trouble.what, advice, *trouble.names)
            continue
        yield warning(
            f"all {len(gpus)} GPUs: {trouble.what.removeprefix('its ')}",
            code=trouble.code,
            advice=trouble.advice.replace(" -i {pci}", ""),
            covers=[gpu.label for gpu in gpus],
            evidence=[gpu.line(*trouble.names) for gpu in gpus[:2]],
        )


def _mode(on: int) -> str:
    return "on" if on else "off"


def _unlike(gpus: Sequence[GpuHealth], wanted: str) -> Iterator[Finding]:
    """Those whose VBIOS is not that of most boards of their kind; where none is that of most, one finding for all.

    wanted: how it begins by the profile, where that says so; then nothing else is judged.
    """
    told = [gpu for gpu in gpus if gpu.text("vbios") not in NOT_RUN]
    if wanted:
        for gpu in told:
            if not gpu.text("vbios").casefold().startswith(wanted.casefold()):
                what = f"its VBIOS is {gpu.text('vbios')}, the profile wants {wanted}"
                advice = "update it when it is idle, or correct the profile: steps in the runbook"
                yield _finding(gpu, "vbios", what, advice, "vbios")
        return
    kinds: dict[tuple[str, str], list[GpuHealth]] = {}
    for gpu in told:
        if gpu.text("name"):
            kinds.setdefault((gpu.text("name"), gpu.text("part")), []).append(gpu)
    for (name, _), same in kinds.items():
        versions = Counter(gpu.text("vbios") for gpu in same).most_common()
        if len(versions) < 2:
            continue
        usual, count = versions[0]
        advice = "ask the vendor which is right, and update the others when they are idle: steps in the runbook"
        if count == versions[1][1]:
            what = f"{len(same)} x {name} have different VBIOS: {', '.join(f'{n} x {v}' for v, n in versions)}"
            covers = [gpu.label for gpu in same]
            yield warning(what, code="vbios", advice=advice, covers=covers, evidence=[g.line("vbios") for g in same])
            continue
        for gpu in same:
            if gpu.text("vbios") != usual:
                what = f"its VBIOS is {gpu.text('vbios')}, {count} others of its kind have {usual}"
                yield _finding(gpu, "vbios", what, advice, "vbios")


def _finding(gpu: GpuHealth, code: str, what: str, advice: str, *names: str) -> Finding:
    return warning(
        what, subject=gpu.label, code=code, advice=advice, params={"GPU": gpu.pci}, evidence=[gpu.line(*names)]
    )
