"""Which findings of the shipped checks explain each other: by what they say, and of which subject."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

import mlopsdoc.facts as facts_package
from mlopsdoc import Finding, catalog, critical, unknown, warning
from mlopsdoc.causes import NARROW, fold
from mlopsdoc.model import Result, Status

CHECKS = catalog.find(drop_ins=False).checks
THREE, FIVE = "GPU 3 (c3:00.0)", "GPU 5 (d1:00.0)"


def of(
    check: str, code: str, subject: str = THREE, level: Callable[..., Finding] = critical, **about: object
) -> Result:
    one = replace(level("it is so", subject=subject, code=code, **about), key=f"{check}/{subject}/{code}")
    return Result(id=check, area="gpu", title="", status=Status.WARNING, duration_s=0, findings=[one])


@pytest.mark.parametrize(
    ("cause", "effect", "is_folded"),
    [
        # the same GPU, and another
        (of("gpu_xid", "xid_79"), of("gpu_presence", "lost"), True),
        (of("gpu_xid", "xid_79"), of("gpu_presence", "lost", FIVE), False),
        (of("gpu_xid", "xid_79"), of("nvlink_errors", "errors"), True),
        (of("gpu_xid", "xid_79"), of("nvlink_errors", "errors", FIVE, warning), False),
        # the same GPU, and another fault of it
        (of("gpu_xid", "xid_63", level=warning), of("gpu_thermal", "hw_thermal"), False),
        (of("gpu_xid", "xid_79"), of("gpu_thermal", "lost", level=unknown), True),
        (of("gpu_xid", "xid_63", level=warning), of("gpu_presence", "lost"), False),
        (of("gpu_xid", "xid_48"), of("gpu_ecc", "uncorrected"), True),
        (of("gpu_xid", "xid_74"), of("gpu_ecc", "uncorrected"), False),
        (of("gpu_xid", "xid_48"), of("gpu_ecc", "off", level=warning), False),
        (of("gpu_xid", "xid_149"), of("nvlink_links", "down"), True),
        (of("gpu_xid", "xid_31_program", level=warning), of("nvlink_links", "down"), False),
        (of("gpu_row_remap", "pending", level=warning), of("gpu_recovery", "action"), True),
        (of("gpu_row_remap", "banks", level=warning), of("gpu_recovery", "action"), False),
        (of("gpu_row_remap", "pending", level=warning), of("gpu_ecc", "sram_threshold"), False),
        (of("gpu_ecc", "off", level=warning), of("gpu_recovery", "action"), False),
        (of("gpu_power", "limit", level=warning), of("gpu_clocks", "setting", level=warning), False),
        (of("gpu_thermal", "hw_thermal"), of("gpu_power", "limit", level=warning), False),
        # links of others that lead to a lost GPU, and those of others that do not
        (of("gpu_presence", "lost"), of("nvlink_links", "down", FIVE, covers=[THREE]), True),
        (of("gpu_presence", "lost"), of("nvlink_links", "down", FIVE), False),
        (of("imex", "domain", "host", warning, covers=["host"]), of("gpu_recovery", "imex", level=warning), True),
        (of("imex", "domain", "host", warning, covers=["host"]), of("gpu_recovery", "action"), False),
        # what keeps from seeing explains no alarm of what is seen all the same
        (of("driver_stack", "mismatch", "host", covers=["host"]), of("gpu_pcie", "width", level=warning), False),
        (of("driver_stack", "mismatch", "host", covers=["host"]), of("gpu_pcie", "x", "host", unknown), True),
        (of("driver_stack", "mismatch", "host", covers=["host"]), of("numa_binding", "far", "pid 7", warning), False),
        (of("driver_stack", "not_loaded", "host", covers=["host"]), of("gpu_direct", "direct", "host", warning), True),
        (of("driver_stack", "mismatch", "host", covers=["host"]), of("gpu_direct", "direct", "host", warning), False),
        (of("driver_stack", "mismatch", "host", covers=["host"]), of("fabric_manager", "version", "host"), True),
        (of("gpu_presence", "other_model", "host", warning), of("nvlink_links", "all_down", "host"), False),
        (of("driver_hygiene", "nouveau", "host", covers=["host"]), of("driver_stack", "not_loaded", "host"), True),
        (of("driver_hygiene", "nouveau", "host", covers=["host"]), of("gpu_presence", "lost"), False),
        (of("fabric_manager", "state", "host"), of("nvlink_links", "all_down", "host", covers=[THREE, FIVE]), True),
        # "host" stands for several GPUs on both sides: they have to be the same
        (
            of("nvlink_links", "fabric", "host", covers=[THREE]),
            of("gpu_hang", "spins", "host", warning, covers=[FIVE]),
            False,
        ),
        (
            of("nvlink_links", "fabric", "host", covers=[THREE, FIVE]),
            of("gpu_hang", "spins", "host", warning, covers=[FIVE]),
            True,
        ),
        (of("gpu_power", "limit", level=warning), of("gpu_hang", "spins", "host", warning, covers=[THREE]), False),
        (of("gpu_xid", "sxid_20034", "NVSwitch 05:00.0", covers=[THREE, FIVE]), of("nvlink_links", "down", FIVE), True),
    ],
    ids=lambda value: f"{value.findings[0].key}" if isinstance(value, Result) else str(value),
)
def test_findings_explain_each_other_by_what_they_say(cause: Result, effect: Result, is_folded: bool) -> None:
    for order in ([cause, effect], [effect, cause]):
        folded = {result.id: result.findings[0] for result in fold(order, CHECKS)}
        assert bool(folded[effect.id].caused_by) == is_folded
        assert folded[effect.id].status is effect.findings[0].status


def test_the_table_names_checks_that_are_there_and_say_that_they_explain_each_other() -> None:
    for cause, effect in NARROW:
        assert effect in CHECKS[cause].explains or cause in CHECKS[effect].explained_by, (cause, effect)


def test_the_table_names_codes_that_its_checks_give() -> None:
    facts = "".join(path.read_text() for path in Path(facts_package.__path__[0]).glob("*.py"))
    for pair, codes in NARROW.items():
        for check, starts in zip(pair, codes):
            source = Path(CHECKS[check].path).read_text() + facts
            for start in starts:
                stem = start.rstrip("0123456789")
                assert not stem or f'"{stem}' in source, (check, start)
