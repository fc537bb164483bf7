"""What explains what: a finding is folded under another that is its cause. It keeps its status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from mlopsdoc.authoring import Check
from mlopsdoc.model import HOST, Finding, Result, Status

ANY = ("",)
LINKS = ("sxid", "xid_74", "xid_136", *(f"xid_{number}" for number in range(144, 151)))
DEAD = (
    *(f"xid_{n}" for n in (46, 48, 62, 79, 95, 109, 110, 119, 120, 140, 143, 158, 167, 169)), "off_bus", "gfw_boot",
    "gsp", "init", "open_module", "closed_module", "other_branch", "bar", "no_gpu",
)  # fmt: skip
# What keeps others from seeing explains what they cannot see, and no alarm that they raise all the same.
BLINDING = ("driver_stack", "container_toolkit", "gpu_presence")
# Check of the cause, check of the effect -> how the codes of the findings begin that are cause and effect. A pair that
# is not here: any, of a BLINDING one none. What is unknown is explained in any case.
NARROW: dict[tuple[str, str], tuple[tuple[str, ...], tuple[str, ...]]] = {
    ("container_toolkit", "driver_stack"): (("lost",), ("devices",)),
    ("container_toolkit", "gpu_presence"): (("lost",), ("init",)),
    ("driver_hygiene", "driver_stack"): (("nouveau",), ("not_loaded",)),
    ("driver_hygiene", "gpu_presence"): (("nouveau",), ("init", "no", "too_few")),
    ("driver_stack", "container_toolkit"): (ANY, ("lost", "cdi_")),
    ("driver_stack", "dcgm"): (ANY, ("service",)),
    ("driver_stack", "fabric_manager"): (ANY, ANY),
    ("driver_stack", "gpu_direct"): (("not_loaded",), ANY),
    ("driver_stack", "gpu_presence"): (ANY, ("init", "no", "too_few")),
    ("fabric_manager", "nvlink_links"): (ANY, ("all_down", "fabric", "p2p")),
    ("gpu_ecc", "gpu_recovery"): (("uncorrected", "sram_threshold", "unrepairable", "channel", "tpc", "retired"), ANY),
    ("gpu_power", "gpu_clocks"): (("far",), ("no_reason",)),
    ("gpu_presence", "gpu_hang"): (ANY, ANY),
    ("gpu_presence", "gpu_processes"): (ANY, ANY),
    ("gpu_presence", "nvlink_links"): (ANY, ("down",)),
    ("gpu_presence", "gpu_recovery"): (ANY, ANY),
    ("gpu_presence", "topology"): (ANY, ANY),
    ("gpu_row_remap", "gpu_ecc"): (ANY, ("uncorrected",)),
    ("gpu_row_remap", "gpu_recovery"): (("pending", "failure"), ANY),
    ("gpu_thermal", "gpu_clocks"): (ANY, ()),
    ("gpu_thermal", "gpu_power"): (ANY, ()),
    ("gpu_xid", "gpu_ecc"): (
        tuple(f"xid_{number}" for number in (48, 63, 64, 92, 94, 95, 140, 171, 172)),
        ("uncorrected", "sram", "unrepairable", "channel", "tpc", "retired"),
    ),
    ("gpu_xid", "gpu_presence"): (DEAD, ANY),
    ("gpu_xid", "gpu_thermal"): (ANY, ()),
    ("gpu_xid", "nvlink_errors"): ((*DEAD, *LINKS), ANY),
    ("gpu_xid", "nvlink_links"): ((*DEAD, *LINKS), ANY),
    ("imex", "gpu_recovery"): (ANY, ("imex",)),
}  # fmt: skip


def fold(results: Sequence[Result], checks: Mapping[str, Check[...]]) -> list[Result]:
    """The results, with `caused_by` set on each finding that another one explains."""
    found = [(result.id, finding) for result in results for finding in result.findings]
    causes: dict[str, str] = {}
    for effect_check, effect in found:
        for cause_check, cause in found:
            if (
                cause.status.is_alarm
                and effect.status.is_trouble
                and _explains(checks, cause_check, effect_check)
                and _is_such(cause_check, cause, effect_check, effect)
                and _reaches(cause, effect, is_named=_names(checks, effect_check, cause_check))
                and not _leads_back(causes, cause.key, effect.key)
            ):
                causes[effect.key] = cause.key
                break
    return [
        replace(result, findings=[replace(f, caused_by=causes.get(f.key, "")) for f in result.findings])
        if any(f.key in causes for f in result.findings)
        else result
        for result in results
    ]


def _leads_back(causes: Mapping[str, str], cause: str, effect: str) -> bool:
    """Whether the cause is the effect itself or, through others, caused by it: each would hide the other."""
    while cause != effect:
        if cause not in causes:
            return False
        cause = causes[cause]
    return True


def _explains(checks: Mapping[str, Check[...]], cause: str, effect: str) -> bool:
    return (cause in checks and effect in checks[cause].explains) or _names(checks, effect, cause)


def _names(checks: Mapping[str, Check[...]], effect: str, cause: str) -> bool:
    """Whether the check of the effect names the other as its cause."""
    return effect in checks and cause in checks[effect].explained_by


def _is_such(cause_check: str, cause: Finding, effect_check: str, effect: Finding) -> bool:
    """Whether findings of these checks that are about such things explain each other."""
    nothing = (ANY, () if cause_check in BLINDING else ANY)
    causes, effects = NARROW.get((cause_check, effect_check), nothing)
    is_unseen = effect.status is Status.UNKNOWN
    return is_unseen or (cause.code.startswith(causes) and effect.code.startswith(effects))


def _reaches(cause: Finding, effect: Finding, *, is_named: bool) -> bool:
    """Whether it is of the same: of all that the effect covers, or of any of it where the effect's check says so.

    A job hangs for one GPU of its four; that all four are hot is not for the Xid of one. Two that are of several things
    each are both of the "host", which says nothing: what they cover does.
    """
    reached = {cause.subject, *cause.covers}
    covers = set(effect.covers)
    if cause.covers and covers and HOST not in cause.covers:
        reached.discard(HOST)
    is_covered = bool(covers & reached) if is_named else bool(covers) and covers <= reached
    return effect.subject in reached or HOST in cause.covers or is_covered
