"""The health of GPUs beside heat and speed: ECC, remapped rows, retired pages, MIG, recovery, firmware."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from mlopsdoc import Fact, Host, Hurt, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts import nvml
from mlopsdoc.facts.gpu_processes import GpuProcesses
from mlopsdoc.facts.gpus import VGPU_GUEST, Gpu, Gpus, Lost, Named
from mlopsdoc.facts.nvml import Table
from mlopsdoc.model import short_pci

if TYPE_CHECKING:
    from mlopsdoc.facts.smi import Printed, Row

IN_USE = 19  # NVML_ERROR_IN_USE
# NVML_GPU_RECOVERY_ACTION_, as nvidia-smi writes them.
ACTIONS = {
    "none": 0, "reset": 1, "gpu reset": 1, "reboot": 2, "node reboot": 2, "drain p2p": 3, "drain and reset": 4,
    "recover imex domain": 5, "bus reset": 6, "system reboot": 7,
}  # fmt: skip
# What the probe has as one value -> the names of its parts.
_PARTS: dict[str, Mapping[Any, str]] = {
    "mig": {0: "mig_now", 1: "mig_then"},
    "repair": {0: "channel_repair", 1: "tpc_repair"},
    "gsp_mode": {0: "gsp_now", 1: "gsp_usual"},
    "banks": {level: f"banks_{level}" for level in ("max", "high", "partial", "low", "none")},
    "sram": {
        "threshold": "sram_threshold",
        "parity": "ecc_uncorrected_aggregate_parity",
        "secded": "ecc_uncorrected_aggregate_secded",
        "volatile_parity": "ecc_uncorrected_volatile_parity",
        "volatile_secded": "ecc_uncorrected_volatile_secded",
    },
}
# Data centre boards leave the factory with ECC on; workstation boards mostly with ECC off, GeForce boards have none.
_WITH_ECC = frozenset(
    ("P100", "V100", "V100S", "A100", "A100X", "A800", "A30", "A30X", "H100", "H200", "H800", "H20", "GH200", "B100",
     "B200", "B300", "GB200", "GB300", "T4", "T4G", "A2", "A10", "A10G", "A16", "A40", "L2", "L4", "L20", "L40", "L40S")
)  # fmt: skip


class Gap(NamedTuple):
    """What could not be seen, of which subject, and what to do about it."""

    subject: str
    why: str
    advice: str
    code: str


class OfGpu(TypedDict):
    """What every finding about one GPU says."""

    subject: str
    hurts: Sequence[Hurt]
    params: Mapping[str, str]
    evidence: Sequence[Line]


class GpuHealth(Named, frozen=True, kw_only=True):
    """One GPU. `values` by name, `errors` the NVML code of what was refused; what is in neither was not told.

    Of ECC: ecc_now, ecc_then (after the next reset); ecc_{corrected,uncorrected}_{volatile,aggregate}_{dram,sram,
    total}: since the driver was loaded, ever; sram_threshold; unrepairable; channel_repair, tpc_repair: wait for a
    reset. remap_{corrected,uncorrected}: rows, remap_pending, remap_failure, banks_{max,high,partial,low,none}: how
    many by the spare rows that are left. retired_{sbe,dbe}: pages, retired_pending. mig_now, mig_then, mig_devices: how
    many, mig_why: NVML code of why it waits. recovery: NVML_GPU_RECOVERY_ACTION_ or a word that is none of them;
    reset_required, drain_recommended: what older drivers have instead. inforom: 0 is valid, 14 corrupt; gsp: version
    of the firmware, gsp_now, gsp_usual. vbios, part, name.
    """

    values: dict[str, Any]
    errors: dict[str, int]
    mig_names: tuple[str, ...]
    key: str

    @property
    def short(self) -> str:
        """For lists of several."""
        return str(self.index) if self.index is not None else short_pci(self.pci) or self.label

    @property
    def has_ecc(self) -> bool:
        """Whether a board of that name leaves the factory with ECC on."""
        words = set(self.text("name").replace("-", " ").split())
        return bool(words & _WITH_ECC) and self.number("virtualization") != VGPU_GUEST

    def number(self, name: str) -> int | None:
        """None where it was not told, or refused."""
        return nvml.number(self.values, name)

    def text(self, name: str) -> str:
        return nvml.text(self.values, name)

    def tells(self, *names: str) -> bool:
        """Whether any of them was told, or refused."""
        return any(name in self.values or name in self.errors for name in names)

    def offers(self, *names: str) -> bool:
        """Whether any of them is more than not supported."""
        return any(name in self.values or self.errors.get(name, 3) not in nvml.NOT_OFFERED for name in names)

    def line(self, *starts: str) -> Line:
        """The values whose names begin so, to be quoted."""
        said = [f"{name}={value}" for name, value in {**self.values, **self.errors}.items() if name.startswith(starts)]
        return Line(self.key, " ".join((f"{self.pci or self.label}:", *said)))

    def about(self, processes: GpuProcesses | None, *starts: str) -> OfGpu:
        """Of a finding about this GPU alone: its subject, whom it hurts, its address, and the values to quote."""
        return {
            "subject": self.label,
            "hurts": processes.hurts(self.id) if processes else (),
            "params": {"GPU": self.pci},
            "evidence": [self.line(*starts)],
        }


class GpuHealths(Fact, frozen=True):
    """The health of every GPU, from NVML, else from what nvidia-smi printed. `at`: seconds since the epoch, or 0."""

    gpus: tuple[GpuHealth, ...]
    lost: tuple[Lost, ...] = ()
    at: float = 0.0
    driver: str = ""
    missing: int = 0
    is_part: bool = False

    @classmethod
    def read(cls, host: Host, gpus: Gpus) -> GpuHealths:
        """Raises what Gpus raises, and NothingHere where nobody asked."""
        answer = host.probe("nvml", "health")
        if answer.status not in ("absent", "not_captured"):
            said = nvml.table(answer)
            rows = {nvml.identity(row)[0]: row for row in nvml.rows(said) if row.get("values") or row.get("errors")}
            found = tuple(_of_nvml(rows[gpu.pci], gpu, answer.key) for gpu in gpus if gpu.pci in rows)
            mute = [gpu for gpu in gpus if gpu.pci not in rows]
            lost = (*gpus.lost, *(Lost(gpu.index, gpu.pci, "NVML tells nothing of its health") for gpu in mute))
            return cls(found, lost, answer.at, nvml.text(said, "driver", 40))
        if any(gpu.line.answer.startswith("probe ") for gpu in gpus):
            raise NothingHere("NVML was not asked for the health of the GPUs")
        from mlopsdoc.facts import smi  # only where there is something of it

        printed = smi.ask(host)
        if printed is None or not printed.rows:
            raise NothingHere("what the GPUs say of their health is not in this recording")
        found = tuple(_of_smi(row, gpu, printed) for row, gpu in _pairs(printed.rows, gpus))
        return cls(found, gpus.lost, printed.at, gpus.driver, gpus.missing, gpus.is_part)

    def __iter__(self) -> Iterator[GpuHealth]:
        return iter(self.gpus)

    def same(self, gpu: GpuHealth) -> GpuHealth | None:
        """That GPU among these."""
        return next((one for one in self.gpus if (one.pci, one.uuid) == (gpu.pci, gpu.uuid)), None)

    def telling(self, what: str, *names: str) -> list[GpuHealth]:
        """The GPUs that were asked for any of these. Raises NothingHere where none was, or none has it."""
        told = [gpu for gpu in self.gpus if gpu.tells(*names)]
        if self.gpus and not told:
            raise NothingHere(f"{what}: not in this recording")
        if told and not any(gpu.offers(*names) for gpu in told):
            raise NothingHere(f"{what}: not offered by {'this GPU' if len(told) == 1 else 'these GPUs'}")
        return told

    def gaps(self, what: str, needed: Sequence[tuple[str, ...]]) -> Iterator[Gap]:
        """What could not be seen of these: of each row of names one is enough."""
        for lost in self.lost:
            yield Gap(lost.label, f"{what} cannot be judged: {lost.why}", nvml.XID, "lost")
        for gpu in self.gpus:
            codes = [gpu.errors[name] for names in needed for name in names if name in gpu.errors]
            bad = next((code for code in codes if code not in nvml.NOT_OFFERED), None)
            if bad is not None:
                yield Gap(gpu.label, f"{what}: {nvml.in_words(bad)}", nvml.CODES.get(bad, ("", nvml.XID))[1], "refused")
            elif not all(gpu.tells(*names) for names in needed):
                how = "is told only in part" if any(gpu.tells(*names) for names in needed) else "is not told"
                advice = "sudo nvidia-smi -q tells it"
                yield Gap(gpu.label, f"{what} {how} by what is here", advice, "untold")
        if self.missing:
            yield Gap("host", f"{what} of {self.missing} more GPUs: the output of nvidia-smi lacks them", "", "missing")
        elif self.is_part:
            yield Gap("host", f"{what} of other GPUs, if there are any: a part of the output is here", "", "part")


def _of_nvml(row: Table, gpu: Gpu, key: str) -> GpuHealth:
    values = {"name": gpu.name, "virtualization": gpu.virtualization, **nvml.part(row, "values")}
    errors = nvml.codes(row)
    if "inforom" in values or errors.get("inforom") == nvml.CORRUPT:
        values["inforom"] = errors.pop("inforom", 0)
    for name, parts in _PARTS.items():
        said: Mapping[Any, Any] = dict(enumerate(nvml.items(values, name))) or nvml.part(values, name)
        values |= {part: said[place] for place, part in parts.items() if place in said}
        values.pop(name, None)
        if name in errors:
            errors |= dict.fromkeys(parts.values(), errors.pop(name))
    devices = tuple(one_line(str(name), 96) for name in nvml.items(row, "mig_devices"))
    values |= {"mig_devices": len(devices)} if "mig_devices" in row else {}
    return _health(gpu, values, errors, devices, key)


def _of_smi(row: Row, gpu: Gpu, printed: Printed) -> GpuHealth:
    values, errors = dict(row.values), dict(row.errors)
    for period in ("volatile", "aggregate"):
        both = [values.get(f"ecc_uncorrected_{period}_{kind}") for kind in ("parity", "secded")]
        if all(isinstance(count, int) for count in both):
            values.setdefault(f"ecc_uncorrected_{period}_sram", sum(count or 0 for count in both))
        elif f"ecc_uncorrected_{period}_parity" in errors:
            errors.setdefault(f"ecc_uncorrected_{period}_sram", errors[f"ecc_uncorrected_{period}_parity"])
    if "recovery" in values:
        said = str(values["recovery"])
        values["recovery"] = ACTIONS.get(said.casefold(), said)
    if gpu.pci and gpu.pci in printed.corrupt:
        values["inforom"] = nvml.CORRUPT
    return _health(gpu, values, errors, (), printed.key)


def _health(gpu: Gpu, values: dict[str, Any], errors: dict[str, int], mig: tuple[str, ...], key: str) -> GpuHealth:
    return GpuHealth(
        index=gpu.index,
        pci=gpu.pci,
        uuid=gpu.uuid,
        place=gpu.place,
        values=values,
        errors=errors,
        mig_names=mig,
        key=key,
    )


def _pairs(rows: list[Row], gpus: Gpus) -> list[tuple[Row, Gpu]]:
    """Each row with its GPU; those without a name are as many as the GPUs, in their order."""
    named: dict[str | int | None, Gpu] = {
        name: gpu for gpu in gpus for name in (gpu.pci, gpu.uuid, gpu.index) if name not in ("", None)
    }
    if len(rows) == len(gpus.gpus):
        return list(zip(rows, gpus.gpus))
    return [
        (row, gpu)
        for row in rows
        if (gpu := named.get(row.pci) or named.get(row.uuid) or (None if row.pci else named.get(row.index)))
    ]
