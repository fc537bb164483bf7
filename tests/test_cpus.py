"""Clocks, heat and throttle counters: what is read, and what is made of it when only little is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsdoc import catalog
from mlopsdoc.engine import Ledger, run
from mlopsdoc.facts.cpus import Cpus
from mlopsdoc.facts.throttling import CpuTimes, Throttling
from mlopsdoc.hosts.base import Answer, AnswerStatus, probe_key, read_key, run_key, tree_key
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.probes import cpu as cpu_probe
from mlopsdoc.profile import Profile

CPU = "/sys/devices/system/cpu"
POLICY = f"{CPU}/cpu0/cpufreq"
TAKEN = 1_790_000_000.0


def recording(
    files: Mapping[str, str], commands: Mapping[str, str] | None = None, *, unlisted: AnswerStatus = "absent"
) -> Recording:
    made = Recording(TAKEN, unlisted=unlisted)
    for path, text in files.items():
        made.answers[read_key(path)] = Answer(read_key(path), "ok", text.encode())
    for line, text in (commands or {}).items():
        key = run_key(tuple(line.split()))
        made.answers[key] = Answer(key, "ok", text.encode(), exit=0)
    return made


def judged(made: Recording) -> Result:
    check = catalog.load_check("cpu_thermal", f"{catalog.shipped('checks')}/cpu_thermal.py")
    return next(iter(run([check], Replay(made), Profile())))


def said(result: Result) -> str:
    return "\n".join(f"{found.status.value} {found.subject} {found.code}: {found.summary}" for found in result.findings)


def counters(cpu: int, *, core: tuple[int, int] = (0, 0), package: tuple[int, int] = (0, 0)) -> dict[str, str]:
    folder = f"{CPU}/cpu{cpu}/thermal_throttle"
    return {
        f"{folder}/core_throttle_count": f"{core[0]}\n",
        f"{folder}/core_throttle_total_time_ms": f"{core[1]}\n",
        f"{folder}/package_throttle_count": f"{package[0]}\n",
        f"{folder}/package_throttle_total_time_ms": f"{package[1]}\n",
    }


def clocks(cpu: int, mhz: int, *, base: int = 2000, package: int = 0) -> dict[str, str]:
    folder = f"{CPU}/cpu{cpu}"
    return {
        f"{folder}/cpufreq/scaling_cur_freq": f"{mhz * 1000}\n",
        f"{folder}/cpufreq/base_frequency": f"{base * 1000}\n",
        f"{folder}/topology/physical_package_id": f"{package}\n",
    }


BUSY = {"/proc/loadavg": "3.90 3.80 3.70 5/100 77\n", f"{CPU}/online": "0-3\n"}


def throttling(files: Mapping[str, str]) -> Throttling:
    found = Ledger(Replay(recording(files))).get(Throttling)
    assert isinstance(found, Throttling)
    return found


def test_package_counters_are_not_summed() -> None:
    now = throttling({k: v for n in range(4) for k, v in counters(n, package=(10, 1000)).items()})
    then = throttling({k: v for n in range(4) for k, v in counters(n, package=(4, 400)).items()})
    grown = now.growth(range(4), then, 60.0)
    assert grown is not None
    assert (grown.events, grown.hot_cpus) == (6, 0)
    assert grown.package_share == pytest.approx(0.01)
    assert grown.events_per_hour == 360


def test_one_hot_core_is_counted_alone() -> None:
    now = throttling(counters(0, core=(50, 6000)) | counters(1))
    grown = now.growth([0, 1], throttling(counters(0) | counters(1)), 60.0)
    assert grown is not None
    assert grown.hot_cpus == 1
    assert grown.core_share == pytest.approx(0.1)


def test_counters_that_fell_were_reset() -> None:
    grown = throttling(counters(0, package=(2, 20))).growth([0], throttling(counters(0, package=(90, 9000))), 10.0)
    assert grown is not None
    assert grown.events == 2


def test_a_cpu_that_came_up_meanwhile_is_left_out() -> None:
    now = throttling(counters(0) | counters(1, package=(900, 90_000)))
    grown = now.growth([0, 1], throttling(counters(0)), 60.0)
    assert grown is not None
    assert grown.events == 0
    assert now.growth([1], throttling(counters(0)), 60.0) is None


def test_an_earlier_sample_without_counters_is_none() -> None:
    """A run of other checks only left a sample that has no counters: since boot then, not since that sample."""
    made = recording(
        counters(0, package=(9, 4000)) | {"/proc/stat": f"btime {int(TAKEN) - 1_000_000}\n"} | clocks(0, 2500)
    )
    made.before = Recording(TAKEN - 60)
    assert judged(made).status.value == "ok"


def test_a_handful_of_events_after_boot_is_normal() -> None:
    files = counters(0, package=(12, 40)) | clocks(0, 2500) | {"/proc/stat": f"btime {int(TAKEN) - 600}\n"}
    assert judged(recording(files)).findings == []


def test_load_is_not_what_waits_for_a_disk() -> None:
    slow = {k: v for n in range(4) for k, v in clocks(n, 800).items()}
    waiting = BUSY | {"/proc/loadavg": "240.02 239.80 221.40 2/4127 77\n"}
    assert judged(recording(slow | waiting)).status.value == "ok"
    assert "held at 800 MHz" in said(judged(recording(slow | BUSY)))


def test_without_an_earlier_sample_slow_clocks_are_a_warning() -> None:
    slow = {k: v for n in range(4) for k, v in clocks(n, 800).items()}
    assert judged(recording(slow | BUSY)).status.value == "warning"


def test_one_package_of_two_is_held() -> None:
    files = {k: v for n in range(4) for k, v in clocks(n, 800 if n > 1 else 2600, package=n // 2).items()}
    assert said(judged(recording(files | BUSY))).startswith("warning CPU package 1 prochot:")


@pytest.mark.parametrize(
    ("extra", "code", "words"),
    [
        ({f"{POLICY}/scaling_max_freq": "900000\n"}, "software", "scaling_max_freq allows no more than 900 MHz"),
        ({f"{CPU}/intel_pstate/max_perf_pct": "40\n"}, "software", "max_perf_pct allows no more than 40 %"),
        (
            {f"{POLICY}/scaling_governor": "powersave\n", f"{POLICY}/scaling_driver": "acpi-cpufreq\n"},
            "software",
            "governor powersave of acpi-cpufreq",
        ),
        (
            {
                "/sys/class/hwmon/hwmon3/name": "coretemp\n",
                "/sys/class/hwmon/hwmon3/temp1_label": "Package id 0\n",
                "/sys/class/hwmon/hwmon3/temp1_input": "98000\n",
                "/sys/class/hwmon/hwmon3/temp1_crit": "100000\n",
            },
            "heat",
            "now 98 C (limit 100 C): it is at its temperature limit",
        ),
        (
            {f"{POLICY}/scaling_governor": "powersave\n", f"{POLICY}/scaling_driver": "intel_pstate\n"},
            "prochot",
            "PROCHOT#",
        ),
    ],
)  # fmt: skip
def test_why_a_package_is_held(extra: dict[str, str], code: str, words: str) -> None:
    files = {k: v for n in range(4) for k, v in clocks(n, 800).items()}
    found = judged(recording(files | BUSY | extra)).findings[0]
    assert found.code == code
    assert words in found.summary


def test_prochot_from_two_files_and_an_msr() -> None:
    """All that somebody pasted: three clocks of one CPU, and what rdmsr says."""
    folder = f"{CPU}/cpu0/cpufreq"
    files = {f"{folder}/cpuinfo_min_freq": "400000", f"{folder}/scaling_cur_freq": "400000"}
    files |= {f"{folder}/cpuinfo_max_freq": "4900000"}
    bare = recording(files, {"rdmsr 0x64f": "10001\n"}, unlisted="not_captured")
    assert "PROCHOT# is asserted from outside the CPU now" in said(judged(bare))
    assert "held at 400 MHz, of 4900 MHz at most" in said(judged(bare))
    only_logged = recording(files, {"rdmsr 0x64f": "10000\n"}, unlisted="not_captured")
    assert judged(only_logged).status.value == "ok"


def test_firmware_limit_from_cpupower_alone() -> None:
    text = "analyzing CPU 0:\n  driver: intel_pstate\n  hardware limits: 800 MHz - 800 MHz\n"
    result = judged(recording({}, {"cpupower frequency-info": text}, unlisted="not_captured"))
    assert "the firmware limits every CPU to 800 MHz" in said(result)
    fine = text.replace("800 MHz - 800 MHz", "800 MHz - 3.80 GHz")
    assert judged(recording({}, {"cpupower frequency-info": fine}, unlisted="not_captured")).status.value == "unknown"


def test_thermald_from_what_was_pasted() -> None:
    files = {f"{CPU}/intel_pstate/no_turbo": "1\n", f"{CPU}/intel_pstate/max_perf_pct": "65\n"}
    active = recording(files, {"systemctl is-active thermald": "active\n"}, unlisted="not_captured")
    assert "thermald holds every CPU at 65 %" in said(judged(active))
    assert judged(recording(files, unlisted="not_captured")).status.value == "unknown"


def test_a_setting_is_no_evidence() -> None:
    result = judged(recording({f"{CPU}/intel_pstate/no_turbo": "0\n"}))
    assert result.status.value == "unknown"
    assert "settings alone tell nothing" in said(result)


@pytest.mark.parametrize("more", [{}, clocks(0, 2500)])
def test_counters_that_hold_no_number_are_unknown(more: dict[str, str]) -> None:
    result = judged(recording(dict.fromkeys(counters(0), "x") | more))
    assert result.status.value == "unknown"
    assert "4 of 4 files" in result.findings[0].summary
    assert judged(recording(counters(0) | {next(iter(counters(1))): "-"} | more)).status.value == "unknown"


def with_sample(now: Mapping[str, str], then: Mapping[str, str], seconds: float = 300.0) -> Recording:
    made = recording(now)
    made.before = recording(then)
    made.before.taken_at = TAKEN - seconds
    return made


def test_more_time_than_there_was_is_not_believed() -> None:
    result = judged(with_sample(counters(0, package=(9, 10**8)) | clocks(0, 2500), counters(0)))
    assert said(result).startswith("unknown CPU package 0 counters: its throttle counters gained 27 h in 5 min")
    all_of_it = judged(with_sample(counters(0, package=(9, 301_000)) | clocks(0, 2500), counters(0)))
    assert "slowed down by heat for 100% of the last 5 min" in said(all_of_it)


def test_counters_that_are_not_believed_hide_no_slow_clock() -> None:
    slow = {k: v for n in range(4) for k, v in clocks(n, 800).items()}
    found = said(judged(with_sample(slow | BUSY | counters(0, package=(9, 10**8)), slow | counters(0))))
    assert "unknown CPU package 0 counters" in found and "held at 800 MHz" in found


def heat(degrees: int, limit: int = 104) -> dict[str, str]:
    texts = {"name": "coretemp", "temp1_label": "Package id 0", "temp1_input": f"{degrees}000"}
    return {f"/sys/class/hwmon/hwmon3/{name}": text for name, text in (texts | {"temp1_crit": f"{limit}000"}).items()}


@pytest.mark.parametrize(
    ("degrees", "mhz", "grown", "expected"),
    [
        (103, 2500, 0, ""),
        (104, 2500, 0, "ok CPU package 0 at_limit: at its temperature limit, now 104 C (limit 104 C)"),
        (104, 1700, 0, "warning CPU package 0 at_limit"),
        (105, 2500, 3, "warning CPU package 0 at_limit"),
    ],
)
def test_at_its_own_limit(degrees: int, mhz: int, grown: int, expected: str) -> None:
    files = heat(degrees) | clocks(0, mhz)
    result = judged(with_sample(files | counters(0, package=(grown, grown)), files | counters(0)))
    assert said(result).startswith(expected)
    assert bool(result.findings) == bool(expected)


def test_a_laptop_at_its_limit_is_a_note() -> None:
    files = heat(100, 100) | clocks(0, 1500) | {"/sys/class/dmi/id/chassis_type": "10\n"}
    assert judged(recording(files)).status.value == "ok"


def test_nothing_known_is_skipped_and_a_seen_processor_is_unknown() -> None:
    assert judged(recording({})).status.value == "skipped"
    foreign = recording({}, unlisted="not_captured")
    assert judged(foreign).status.value == "skipped"
    assert judged(foreign).reason == "clocks and heat of the processor are not in this recording"
    throttled = b"[ 3.1] CPU0: Core temperature above threshold, cpu clock throttled (total events = 2)\n"
    foreign.answers["run dmesg"] = Answer("run dmesg", "truncated", throttled)
    assert judged(foreign).status.value == "unknown"
    made = recording({"/proc/cpuinfo": "model name\t: X\nflags\t: fpu\n"}, unlisted="not_captured")
    made.answers[tree_key("x")] = Answer(tree_key("x"), "timeout")
    assert judged(made).status.value == "unknown"


def test_broken_sensors_are_no_heat() -> None:
    for degrees in ("0", "127000", "255000", "-128000", "x", ""):
        files = {"/sys/class/hwmon/hwmon0/name": "coretemp\n", "/sys/class/hwmon/hwmon0/temp1_input": degrees}
        found = Ledger(Replay(recording(files | clocks(0, 2500)))).get(Cpus)
        assert found.packages[0].temperature_c is None


def test_other_sensors_are_not_asked() -> None:
    files = {"/sys/class/hwmon/hwmon0/name": "mlx5\n", "/sys/class/hwmon/hwmon0/temp1_input": "99000\n"}
    found = Ledger(Replay(recording(files | clocks(0, 2500)))).get(Cpus)
    assert found.packages[0].temperature_c is None


def test_base_clock_of_the_brand_as_the_last_resort() -> None:
    cpuinfo = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu MHz\t: 1200.5\nphysical id\t: 0\nflags\t: fpu\n"
    made = recording({"/proc/cpuinfo": cpuinfo})
    key = probe_key("cpu", ())
    made.answers[key] = Answer(key, "ok", json.dumps({"brand": "X @ 2.40GHz", "hz_advertised": 2_400_000_000}).encode())
    cpu = Ledger(Replay(made)).get(Cpus).cpus[0]
    assert (cpu.mhz, cpu.base_mhz) == (1200.5, 2400.0)


@pytest.mark.parametrize(
    ("brand", "hz"),
    [("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 2_400_000_000), ("AMD EPYC 9654 96-Core Processor", 0)],
)
def test_the_probe_reads_only_the_brand(tmp_path: Path, brand: str, hz: int) -> None:
    (tmp_path / "proc").mkdir()
    text = f"processor\t: 0\nvendor_id\t: X\nmodel name\t: {brand}\ncpu MHz\t: 1197.0\nflags\t: fpu\n\nprocessor\t: 1\n"
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert cpu_probe.read(str(tmp_path)) == {"brand": brand, "hz_advertised": hz}


def test_busy_shares() -> None:
    def times(line: str) -> CpuTimes:
        found = Ledger(Replay(recording({"/proc/stat": line}))).get(CpuTimes)
        assert isinstance(found, CpuTimes)
        return found

    earlier = times("cpu  1 1 1 1\ncpu0 100 0 0 100 50 0 0 0 0 0\ncpu1 5 5 5 5 5 5 5 5\n")
    later = times("cpu0 160 0 10 120 60 0 0 0 0 0\ncpu1 5 5 5 5 5 5 5 5\ncpu2 1 1 1 1\ncpux 1\nbtime 5\n")
    assert later.busy_since(earlier) == {0: 0.7}
    assert later.boot == 5


@given(st.text(), st.text())
def test_any_text_is_judged(text: str, other: str) -> None:
    paths = [*counters(0), *clocks(0, 1), "/proc/stat", "/proc/loadavg", "/proc/cpuinfo", f"{CPU}/online"]
    paths += ["/sys/class/hwmon/hwmon0/temp1_input", f"{CPU}/cpu0/cpufreq/cpuinfo_max_freq"]
    files = dict.fromkeys(paths, text) | {"/sys/class/hwmon/hwmon0/name": "coretemp"}
    made = recording(files, {"rdmsr 0x64f": other, "cpupower frequency-info": other})
    result = judged(made)
    assert "failed" not in result.reason and "could not be understood" not in result.reason
