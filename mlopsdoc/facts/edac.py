"""Errors of memory modules (DIMMs): the counters of the EDAC drivers, and what those wrote to the kernel log."""

from __future__ import annotations

from mlopsdoc import Answer, Fact, Host, Line, NothingHere
from mlopsdoc.clean import one_line
from mlopsdoc.facts.kernel_log import KernelLine, KernelLog
from mlopsdoc.patterns import compiled

COUNTERS = "/sys/devices/system/edac/mc/mc*/*_count"
MODULES = "/sys/devices/system/edac/mc/mc*/*/dimm_*"
MOST_AT_ONCE = 1 << 20  # a larger count in one line is damage of the line


class Dimm(Fact, frozen=True):
    """One module, or what a controller could not say the module of. ce, ue: corrected and uncorrected errors since the
    driver was loaded. label: what is printed on the board, else where it is: ``mc0 channel 2 slot 0``."""

    key: str
    label: str
    ce: int
    ue: int
    line: Line


class Edac(Fact, frozen=True):
    """The counters of every module. at: seconds since the epoch; uptime_s: for how long they counted at most, or None.

    From /sys/devices/system/edac/mc/mcN/{ce_count, ue_count, ce_noinfo_count, ue_noinfo_count} and, of each dimmN or
    rankN below it, dimm_label, dimm_location, dimm_ce_count, dimm_ue_count: world-readable, a number each.
    """

    dimms: tuple[Dimm, ...]
    at: float
    uptime_s: float | None

    @classmethod
    def read(cls, host: Host) -> Edac:
        """Raises NothingHere where no driver counts: none is loaded, the firmware keeps the errors, or a VM."""
        totals = host.tree(COUNTERS)
        if not totals:
            raise NothingHere("no EDAC driver counts the errors of the memory here")
        modules: dict[str, dict[str, Answer]] = {}
        for path, answer in sorted(host.tree(MODULES).items()):
            folder, _, name = path.rpartition("/")
            modules.setdefault(folder, {})[name] = answer
        dimms = [dimm for folder, files in modules.items() if (dimm := _dimm(folder, files))]
        known = bool(dimms)
        wanted = ("ce_noinfo_count", "ue_noinfo_count") if known else ("ce_count", "ue_count")
        for path, answer in sorted(totals.items()):
            folder, _, name = path.rpartition("/")
            if name in wanted and (count := _number(answer)) is not None:
                controller, is_ue = folder.rpartition("/")[2], name.startswith("ue")
                label = f"{controller}, module not known" if known else controller
                line = Line(answer.key, f"{name} {count}")
                dimms.append(Dimm(f"{controller} {name}", label, 0 if is_ue else count, count if is_ue else 0, line))
        booted = compiled(r"\nbtime ([0-9]{1,12})\n").search(host.read("/proc/stat").text)
        return cls(tuple(dimms), host.now(), host.now() - int(booted[1]) if booted and host.now() else None)


def _dimm(folder: str, files: dict[str, Answer]) -> Dimm | None:
    ce, ue = (_number(files[name]) if name in files else None for name in ("dimm_ce_count", "dimm_ue_count"))
    if ce is None and ue is None:
        return None
    controller, _, module = folder.rpartition("/mc/")[2].partition("/")
    label = _word(files, "dimm_label") or f"{controller} {_word(files, 'dimm_location') or module}"
    key = next(iter(files.values())).key.rpartition("/")[0]
    return Dimm(f"{controller}/{module}", label, ce or 0, ue or 0, Line(key, f"{label}: ce {ce}, ue {ue}"))


def _word(files: dict[str, Answer], name: str) -> str:
    return one_line(files[name].text.strip(), 60) if name in files else ""


def _number(answer: Answer) -> int | None:
    text = answer.text.strip() if answer.said else ""
    return int(text) if text.isdecimal() and len(text) < 20 else None


class EdacEvent(Fact, frozen=True):
    """So many errors at once of one module, as the kernel log tells."""

    label: str
    count: int
    is_corrected: bool
    line: KernelLine


class EdacEvents(Fact, frozen=True):
    """Every line of an EDAC driver since boot. is_part: there may be more."""

    events: tuple[EdacEvent, ...]
    is_part: bool
    now: float

    @classmethod
    def read(cls, host: Host, log: KernelLog) -> EdacEvents:
        """Lines of all versions::

        EDAC MC0: 4 CE error on CPU#0Channel#2_DIMM#0 (channel:2 slot:0 page:0x0 offset:0x0 grain:8 syndrome:0x0)
        EDAC MC1: 1 UE memory read error on CPU_SrcID#1_MC#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x2f3c ...)
        EDAC skx MC5: HANDLING MCE MEMORY ERROR
        EDAC MC0: 1 CE Multi-bit ECC on unknown label (node:0 card:0 module:3 rank:1 ...)
        """
        events = tuple(event for line in log.lines(b"EDAC MC") if (event := _event(line)))
        return cls(events, log.is_part, log.now)


def _event(line: KernelLine) -> EdacEvent | None:
    form = r"EDAC MC([0-9]{1,3}): ([0-9]{1,9}) (CE|UE) .{0,80}?\bon ([^()]{1,80}) \(([^)]{0,400})"
    match = compiled(form).match(line.text)
    if match is None or int(match[2]) > MOST_AT_ONCE:
        return None
    label = one_line(match[4], 60)
    if "unknown" in label or "any memory" in label:
        where = compiled(r"(?:channel|slot|card|module|node|rank):[0-9]{1,3}").findall(match[5])
        label = f"mc{match[1]} {' '.join(where[:3])}".strip()
    return EdacEvent(label, int(match[2]) or 1, match[3] == "CE", line)
