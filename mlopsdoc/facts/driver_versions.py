"""Versions of NVIDIA drivers and of CUDA: how they compare, which CUDA needs which, and which branch has ended."""

from __future__ import annotations

from functools import lru_cache

from mlopsdoc import Fact

# CUDA major -> the oldest driver that runs any of its minor versions. NVIDIA, CUDA Compatibility, "minor version
# compatibility": the upper ends of that table are no limits, for a newer driver runs every older CUDA.
OLDEST_DRIVER = {11: "450.80.02", 12: "525.60.13", 13: "580.65.06"}


class Branch(Fact, frozen=True):
    """A driver branch. cuda: the newest that it has of its own. ended: the last month of support, ``2026-06``; empty
    where NVIDIA names none."""

    number: int
    cuda: str
    ended: str = ""


# NVIDIA, "Supported Drivers and CUDA Toolkit Versions" (edition of September 2026). Where its pages differ, the later
# end; branches that end with the next one have none.
_BRANCHES = """
418 10.1 2022-03   450 11.0 2023-07   460 11.2 2022-01   470 11.4 2024-07   510 11.6 2023-01   515 11.7 2023-05
520 11.8 -         525 12.0 2023-12   530 12.1 -         535 12.2 2026-06   545 12.3 -         550 12.4 2025-12
555 12.5 -         560 12.6 -         565 12.7 -         570 12.8 2026-02   575 12.9 -         580 13.0 2028-08
590 13.1 -         595 13.2 2027-03   610 13.3 2026-08   615 13.4 -
"""


@lru_cache(maxsize=256)
def numbers(version: str) -> tuple[int, ...]:
    """``(535, 104, 5)`` of ``535.104.05``; without zeros at the end, for some name them; nothing of another text."""
    parts = version.strip().split(".")
    if len(parts) > 5 or not all(part.isascii() and part.isdecimal() and len(part) < 8 for part in parts):
        return ()
    found = [int(part) for part in parts]
    while found and found[-1] == 0:
        found.pop()
    return tuple(found)


def is_driver(version: str) -> bool:
    """``580.95.05``, ``550.54``: what names a driver."""
    found = numbers(version)
    return "." in version and bool(found) and 100 <= found[0] < 10_000


def is_same(one: str, other: str) -> bool:
    """Whether two versions are the same one; two texts that are none are not."""
    return bool(numbers(one)) and numbers(one) == numbers(other)


def may_be(part: str, whole: str) -> bool:
    """Whether `part` may be the beginning of `whole`: nvidia-smi says ``570.124`` of 570.124.06."""
    said = numbers(part)
    return bool(said) and numbers(whole)[: len(said)] == said


def is_older(one: str, other: str) -> bool:
    """Whether both are versions and the first is the older."""
    return bool(numbers(one) and numbers(other)) and numbers(one) < numbers(other)


def branch_of(version: str) -> Branch | None:
    """The branch of a driver, None where it is not known."""
    words, number = _BRANCHES.split(), str((numbers(version) or (0,))[0])
    rows = zip(words[::3], words[1::3], words[2::3])
    return next((Branch(int(n), cuda, ended.strip("-")) for n, cuda, ended in rows if n == number), None)
