"""What a complete NVLink fabric says of its health, decoded."""

from __future__ import annotations

from collections.abc import Iterator

from mlopsdoc.facts.nvlink import Fabric
from mlopsdoc.facts.nvml import in_words

# Fields of the fabric's health mask, nvml.h: shift, mask, what a value means, whether it is critical. 0 is not
# supported; of the first four 1 is true and bad, 2 is false and good; of the last two 1 is true and good.
CONFIGURATION = {
    2: "configured with a wrong system GUID",
    3: "configured with a wrong chassis serial number",
    4: "in no partition",
    5: "too few NVLinks for its configuration",
    6: "its firmware does not fit the others",
    7: "its location is invalid",
    8: "its state is invalid",
}
MASK: tuple[tuple[int, int, dict[int, str], bool], ...] = (
    (0, 0x3, {1: "bandwidth is degraded"}, False),
    (2, 0x3, {1: "a route is being recovered"}, False),
    (4, 0x3, {1: "a route is unhealthy"}, True),
    (6, 0x3, {1: "it recovers from an access timeout"}, False),
    (8, 0xF, CONFIGURATION, True),
    (12, 0x3, {2: "no partition is assigned"}, False),
    (14, 0x3, {2: "the global fabric manager is not connected"}, False),
)
SUMMARY: dict[int, tuple[str, bool]] = {2: ("unhealthy", True), 3: ("of limited capacity", False)}


def decoded(fabric: Fabric) -> Iterator[tuple[str, bool]]:
    """What is wrong with it, and whether that is critical; nothing where it is not complete."""
    if fabric.state != 3:
        return
    if fabric.status:
        yield f"could not be set up: {in_words(fabric.status)}", True
    fields = [
        (words.get(fabric.health_mask >> shift & width), is_critical) for shift, width, words, is_critical in MASK
    ]
    masked = [(what, is_critical) for what, is_critical in fields if what]
    for what, is_critical in masked:
        yield f"is not well: {what}", is_critical
    if not masked and fabric.health_summary in SUMMARY:
        word, is_critical = SUMMARY[fabric.health_summary]
        yield f"is {word}", is_critical
