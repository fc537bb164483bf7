"""Durations and sizes as findings say them."""

import pytest

from mlopsdoc.facts.quantities import day, instant, size, span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"), (0.09, "90 ms"), (8, "8 s"), (110, "110 s"), (119, "2 min"), (299.9, "5 min"), (7000, "116 min"),
        (7200, "2 h"), (36 * 3600, "36 h"), (14.88 * 86400, "14 days"), (1e9, "11574 days"),
    ],
)  # fmt: skip
def test_span(seconds: float, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (26 << 20, "26 MiB"), (1008 << 30, "1008 GiB"),
        (1888000000000, "1.72 TiB"), (3 << 50, "3 PiB"),
    ],
)  # fmt: skip
def test_size(count: float, said: str) -> None:
    assert size(count) == said


def test_moments() -> None:
    assert (instant(1795403400), day(1795403400)) == ("2026-11-23T03:10:00Z", "2026-11-23")
    assert (instant(None), day(None)) == ("", "at an unknown time")
