"""Kernel logs in every format that journalctl, dmesg and syslog daemons write."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsdoc.facts.kernel_log import split
from mlopsdoc.hosts.pasted.journals import as_short
from mlopsdoc.hosts.pasted.transcript import parse

XID = "NVRM: Xid (PCI:0000:9b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
LOGIN = "Accepted publickey for root from 10.0.0.1 port 2201"
AT, UP = 1795530213.654321, 48213.654321  # 2026-11-24T14:23:33Z
TIME = int(AT * 1e6)
CURSOR = f"s=6346226347ca49d6904e6c25cfaaaf89;i=5;b=0f1e2d3c4b5a69788796a5b4c3d2e1f0;m=b39c227f1;t={TIME:x};x=cd1"
ROW = {
    "__CURSOR": CURSOR, "__REALTIME_TIMESTAMP": str(TIME), "_HOSTNAME": "gpu-21", "PRIORITY": "3",
    "SYSLOG_IDENTIFIER": "kernel", "_TRANSPORT": "kernel", "MESSAGE": XID,
}  # fmt: skip
SSHD = {**ROW, "SYSLOG_IDENTIFIER": "sshd", "_TRANSPORT": "syslog", "MESSAGE": LOGIN}


def fields(row: dict[str, str], indent: str = "") -> str:
    return "".join(f"{indent}{name}={value}\n" for name, value in row.items() if not indent or name != "__CURSOR")


def verbose(row: dict[str, str]) -> str:
    return f"Tue 2026-11-24 14:23:33.654321 UTC [{CURSOR}]\n{fields(row, '    ')}"


DMESG_JSON = f"""{{
   "dmesg": [
      {{
         "pri": 6,
         "time":     0.000000,
         "msg": "x"
      }},{{
         "pri": 3,
         "time": 48213.654321,
         "msg": {json.dumps(XID)}
      }}
   ]
}}
"""


# Of each form the text, and whether it tells the moment (s since the epoch) and the time since boot.
FORMS: dict[str, tuple[str, bool, bool]] = {
    "short-full": (f"Tue 2026-11-24 14:23:33 UTC gpu-21 kernel: {XID}\n", True, False),
    "short-unix": (f"{AT:.6f} gpu-21 kernel: {XID}\n", True, False),
    "short-monotonic": (f"[48213.654321] gpu-21 kernel: {XID}\n", False, True),
    "short-delta": (f"[48213.654321 < 2530.865000 >] gpu-21 kernel: {XID}\n", False, True),
    "short-delta, first": (f"[48213.654321                ] gpu-21 kernel: {XID}\n", False, True),
    "short-iso-precise": (f"2026-11-24T14:23:33.654321+0000 gpu-21 kernel: {XID}\n", True, False),
    "verbose": (verbose(SSHD) + verbose(ROW), True, False),
    "export": (f"{fields(SSHD)}\n{fields(ROW)}\n", True, False),
    "json": (f"{json.dumps(SSHD)}\n{json.dumps(ROW)}\n", True, False),
    "json-pretty": (json.dumps(ROW, indent="\t") + "\n", True, False),
    "json-seq": (f"\x1e{json.dumps(SSHD)}\n\x1e{json.dumps(ROW)}\n", True, False),
    "json-sse": (f"data: {json.dumps(SSHD)}\n\ndata: {json.dumps(ROW)}\n\n", True, False),
    "cat": (f"{XID}\n", False, False),
    "dmesg -x": (f"kern  :err   : [48213.654321] {XID}\n", False, True),
    "dmesg -x -T": (f"kern  :err   : [Tue Nov 24 14:23:33 2026] {XID}\n", True, False),
    "dmesg -d": (f"[48213.654321 <    2.530865>] {XID}\n", False, True),
    "dmesg -H": (f"[Nov24 14:23] usb 1-1: x\n[  +2.530865] {XID}\n", False, False),
    "dmesg --time-format=delta": (f"[<    2.530865>] {XID}\n", False, False),
    "dmesg --time-format=iso": (f"2026-11-24T14:23:33,654321+00:00 {XID}\n", True, False),
    "dmesg -r": (f"<3>[48213.654321] {XID}\n", False, True),
    "dmesg -J": (DMESG_JSON, False, True),
    "RFC 5424": (f"<3>1 2026-11-24T14:23:33.654321Z gpu-21 kernel - - - {XID}\n", True, False),
    "RFC 5424, structured": (
        f'<3>1 2026-11-24T15:23:33.654321+01:00 gpu-21 kernel - - [m s="1" x="a\\]b"][n] \ufeff[48213.654321] {XID}\n',
        True, True,
    ),
    "RFC 5424 in a file": (f"1 2026-11-24T14:23:33Z gpu-21 kernel - - - {XID}\n", True, False),
}  # fmt: skip


@pytest.mark.parametrize("typed", ["", "root@gpu-21:~# journalctl -k --no-pager\n"], ids=["bare", "typed"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_says_the_same(form: str, typed: str) -> None:
    text, has_moment, has_uptime = FORMS[form]
    recording = parse(typed + text)
    log = recording.answers["run dmesg"]
    assert log.status == "truncated" and (typed or LOGIN not in log.text)
    line = next(line for line in log.text.split("\n") if "Xid" in line)
    said, at, up = split(line, 0.0)
    assert said == XID
    assert (at is not None and int(at) == int(AT)) if has_moment else at is None
    assert (up == UP) if has_uptime else up is None
    assert int(recording.taken_at) == (int(AT) if has_moment else 0) and recording.is_lower_bound


@pytest.mark.parametrize("option", ["export", "verbose", "json-pretty", "json-sse", "json-seq", "json"])
def test_what_journalctl_was_told_to_print_is_a_kernel_log(option: str) -> None:
    text = f"root@gpu-21:~# journalctl -k -o {option} | tail -40\n{FORMS[option][0]}root@gpu-21:~# \n"
    recording = parse(text)
    assert XID in recording.answers["run dmesg"].text and recording.understood == (1, 1)


def test_a_message_of_several_lines_and_a_field_too_many_end_an_entry_in_order() -> None:
    lines = [*verbose({**ROW, "MESSAGE": "first"}).splitlines(), " " * 12 + "second", *verbose(ROW).splitlines()]
    assert [line.partition("kernel: ")[2] for line in as_short(lines)] == ["first", XID]
    many = [f"__CURSOR={CURSOR}", "MESSAGE=x", *(f"F{n}=y" for n in range(300))]
    assert len(list(as_short(many))) == 103  # the entry, and what is none of its fields


def test_what_only_looks_like_an_entry_stays_as_it_is() -> None:
    lines = ["data: # zpool status", "1 2026-11-24T14:23:33Z", "<4>1 x", "__CURSOR=x", "[s=1]", "[7] x [s=1;t=2;]"]
    assert list(as_short(lines)) == lines


def test_when_the_driver_was_built_is_not_when_the_log_was_written() -> None:
    built = "NVRM: loading NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 10:11:16 UTC 2025"
    for head in ("", "[   12.500000] ", "Nov 24 14:23:33 gpu-21 kernel: "):
        recording = parse(f"{head}{built}\n{head}{XID}\n")
        assert recording.taken_at == 0.0
    clock = "[    1.254321] rtc_cmos 00:01: setting system clock to 2026-11-24T01:00:03 UTC (1795482003)\n"
    recording = parse(f"{clock}[   12.500000] {built}\n")
    assert (recording.taken_at, recording.is_lower_bound) == (1795482003.0, True)


@given(
    st.lists(st.sampled_from([*verbose(ROW).splitlines(), *fields(ROW).splitlines(), "", "x", "    a=b"]), max_size=40)
)
def test_lines_of_entries_in_any_order_end_in_lines(lines: list[str]) -> None:
    assert all("\n" not in line for line in as_short(lines))
