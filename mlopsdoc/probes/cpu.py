"""What the processor advertises about itself: the last resort where sysfs has no base clock."""

from __future__ import annotations

from typing import Any


def read(root: str) -> dict[str, Any]:
    """``{"brand": "Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", "hz_advertised": 2400000000}``.

    hz_advertised is 0 when the brand names no clock. Raises OSError. Only the library's parser is used, on the
    first block of /proc/cpuinfo: its get_cpu_info() forks, runs machine code and sleeps for over a second.
    """
    from cpuinfo import cpuinfo

    with open(root.rstrip("/") + "/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
        text = file.read(1 << 16).partition("\n\n")[0]

    class Text(cpuinfo.DataSource):  # type: ignore[misc]
        """The only source that the library is given."""

        can_cpuid = False

        @staticmethod
        def has_proc_cpuinfo() -> bool:
            return True

        @staticmethod
        def cat_proc_cpuinfo() -> tuple[int, str]:
            return 0, text

    cpuinfo.DataSource = Text  # for good: nothing else in this process uses the library
    parse: Any = getattr(cpuinfo, "_get_cpu_info_from_proc_cpuinfo")  # noqa: B009 - private, and untyped
    info: dict[str, Any] = parse() or {}
    brand = str(info.get("brand_raw", ""))
    # Without a clock in the brand the library repeats the clock of this moment, which is no base clock.
    advertised = info.get("hz_advertised") if "hz" in brand.lower() else None
    return {"brand": brand, "hz_advertised": int(advertised[0]) if advertised else 0}
