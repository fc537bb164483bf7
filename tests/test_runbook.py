"""Runbooks: what is read, what a command is given, what lint says, how they are drawn, and the shipped ones."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from unicodedata import bidirectional, category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlopsdoc import catalog, scaffold
from mlopsdoc.model import PARAMETERS, SITE_PARAMETERS
from mlopsdoc.report.runbooks import catalogue, render_html, render_text, value
from mlopsdoc.runbook.lint import Run, lint
from mlopsdoc.runbook.parse import MAX_BYTES, BadRunbook, Runbook, decoded, load, parse
from mlopsdoc.runbook.shell import MAX_DEPTH, TooDeep, scan
from mlopsdoc.runbook.step import MEANINGS, MissingValue, argv, command_line, environment
from mlopsdoc.runbook.writes import writes

BOOK = """\
# The pool was not scrubbed for a long time

It can wait for the morning.

## Meaning

A scrub reads every block of the pool
and repairs it. See [the site](https://example.org/zfs).

- one disk
  fails
- two disks

## Impact

> Data rot.

## Diagnosis

### See when the last scrub ended

The `scan:` line tells.

```sh look timeout=2m
zpool status -v "$POOL"
```

Healthy:

```text
### scan: scrub repaired 0B
```

## Mitigation

### Start a scrub

It reads for hours.

~~~~sh tune needs=root verify=zfs_scrub on_hup=stop
zpool scrub "$POOL"
~~~~

```sh undo
zpool scrub -s "$POOL"
```

## Verify

### See it run

```sh look
zpool status "$POOL"
```
"""
CHECKS = {"zfs_scrub": ("POOL",), "gpu_thermal": ("GPU",)}


def one_step(command: str, words: str = "look", *, prose: str = "") -> Runbook:
    return parse("x", f"# T\n## Diagnosis\n### Do it\n{prose}\n```sh {words}\n{command}\n```\n")


def complaints(
    text: str,
    *,
    name: str = "zfs_scrub",
    exists: Callable[[str], bool] = lambda path: False,
    run: Run | None = None,
    has_tool: Callable[[str], bool] | None = None,
) -> list[tuple[int, str, str]]:
    problems = lint(f"/nowhere/{name}.md", text, CHECKS, exists=exists, run=run, has_tool=has_tool)
    return [(problem.line, problem.severity, problem.text) for problem in problems]


def of_command(command: str, words: str = "look") -> list[str]:
    """What lint says about the lines of a command: "severity text", with their line in the command."""
    fence = BOOK.index("```sh look timeout")
    text = BOOK[:fence] + f"```sh {words}\n{command}\n" + BOOK[BOOK.index("```\n\nHealthy") :]
    first = BOOK[:fence].count("\n") + 2
    last = first + command.count("\n")
    return [
        f"{line - first + 1} {severity} {said}" for line, severity, said in complaints(text) if first <= line <= last
    ]


def harmless(text: str) -> bool:
    """No control character, none that changes the direction of writing, no half of a pair."""
    turning = ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
    return all(category(char) not in ("Cc", "Cs") and bidirectional(char) not in turning for char in text)


# What is read


def test_a_runbook_is_read() -> None:
    book = parse("zfs_scrub", BOOK)
    assert (book.name, book.title, book.line) == ("zfs_scrub", "The pool was not scrubbed for a long time", 1)
    assert [block.text for block in book.blocks] == ["It can wait for the morning."]
    assert [(section.title, section.line) for section in book.sections] == [
        ("Meaning", 5), ("Impact", 14), ("Diagnosis", 18), ("Mitigation", 34), ("Verify", 48),
    ]  # fmt: skip
    assert [(block.kind, block.marker, block.text) for block in book.sections[0].blocks] == [
        ("text", "", "A scrub reads every block of the pool and repairs it. See [the site](https://example.org/zfs)."),
        ("item", "-", "one disk fails"),
        ("item", "-", "two disks"),
    ]
    assert [(block.kind, block.text) for block in book.sections[1].blocks] == [("quote", "Data rot.")]
    assert book.params == ("POOL",)
    assert book.problems == ()


def test_a_step_is_read() -> None:
    look, tune, _ = parse("zfs_scrub", BOOK).steps
    assert (look.id, look.title, look.section, look.line) == (
        "see-when-the-last-scrub-ended", "See when the last scrub ended", "Diagnosis", 20,
    )  # fmt: skip
    assert (look.command, look.fence_at, look.command_at) == ('zpool status -v "$POOL"', 24, 25)
    assert (look.touch, look.root, look.timeout_s, look.on_hup, look.verify) == ("look", False, 120, "stop", "")
    assert [(block.kind, block.text) for block in look.blocks] == [
        ("text", "The `scan:` line tells."),
        ("command", 'zpool status -v "$POOL"'),
        ("text", "Healthy:"),
        ("code", "### scan: scrub repaired 0B"),
    ]
    assert (tune.touch, tune.root, tune.timeout_s, tune.on_hup) == ("tune", True, 60, "stop")
    assert (tune.verify, tune.undo, tune.undo_root) == ("zfs_scrub", 'zpool scrub -s "$POOL"', True)
    assert (tune.undo_at, BOOK.split("\n")[tune.undo_at - 1]) == (45, 'zpool scrub -s "$POOL"')


def test_what_changes_something_finishes_when_the_terminal_dies() -> None:
    assert [one_step("true", touch).steps[0].on_hup for touch in ("look", "tune", "jobs", "kills")] == [
        "stop", "finish", "finish", "finish",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("read", "read: known are look, tune, jobs, kills"),
        ("look user=root", "user=root: known are"),
        ("look timeout=60", "a time is written like 60s"),
        ("look timeout=0s", "1s to 24h"),
        ("look timeout=99999h", "1s to 24h"),
        ("look timeout=٣s", "a time is written like 60s"),
        ("look needs=wheel", "wanted is root"),
        ("look on_hup=die", "wanted is finish or stop"),
        ("look needs=root needs=root", "said twice"),
        ("look within=5", "a time is written like 60s"),
        ("look kills", "one touch word"),
        ("needs=root", "one touch word"),
    ],
)
def test_what_a_fence_may_not_say(words: str, said: str) -> None:
    book = one_step("true", words)
    (step,) = book.steps
    assert any(said in problem.text and problem.line == 5 for problem in book.problems)
    assert step.wrong, "it must not be run"
    if "look" not in words or "kills" in words:
        assert step.touch == "kills", "what is not understood is taken for the worst"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("## Meaning\n", 1),
        ("# T\n\n```sh look\nls\n", 3),
        ("# T\n### S\n````sh look\nls\n```\n", 3),
        ("# T\n### S\n```sh look\nls\n~~~\n", 3),
        ("# T\n### S\n```sh look\nls\necho \x1b[2K\n```\n", 5),
        ("# T\n### S\n```sh look\nls \u202e\n```\n", 4),
        ("# T\n### S\n```sh look\nls\u00a0-l\n```\n", 4),
        ("# T\n### S\n```sh look\nls\x00\n```\n", 4),
        ("# T\n### S\n```sh look\nls\rrm x\n```\n", 4),
        ("# T\n### S\n```sh look\n" + "x" * 70_000 + "\n```\n", 4),
        ("# T\n### S\n```sh look\n" + "x\n" * 40_000 + "```\n", 3),
        ("# T\n### S\n```sh look\n-c reboot\n```\n", 4),
        ("# T\n### S\n```sh look\n\n```\n", 3),
        ("# T\n### S\n```sh look\necho " + "$(" * 100 + "\n```\n", 3),
        ("# T\n" + "x" * MAX_BYTES, 1),
    ],
)
def test_what_is_no_runbook(text: str, line: int) -> None:
    with pytest.raises(BadRunbook) as raised:
        parse("x", text)
    assert raised.value.line == line
    assert f"line {line}: " in str(raised.value)
    assert len(str(raised.value)) < 200
    assert lint("x.md", text, {})[0].line == line


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(BadRunbook, match="line 3"):
        decoded(b"# T\n\n\xff\n")
    assert [problem.line for problem in lint("x.md", b"# T\n\n\xff\n", {})] == [3]


def test_line_ends_and_marks_of_editors() -> None:
    windows = parse("zfs_scrub", "\ufeff" + BOOK.replace("\n", "\r\n"))
    assert windows == parse("zfs_scrub", BOOK)


def test_prose_is_made_safe() -> None:
    book = parse(
        "x", "# T \x1b]0;title\x07\n\nred \x1b[31m \u202e and \x9b\n\n| a | b\x08 |\n| - | - |\n\n" + "y" * 1_000_000
    )
    text = render_text(book, {}) + render_html(book)
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "\\x1b]0;title\\x07" in book.title
    assert [block.kind for block in book.blocks] == ["text", "table", "text"]


def test_fences_of_other_lengths_hold_fences() -> None:
    book = parse(
        "x", "# T\n## S\n### A\n````sh look\ncat <<'E'\n```\n# not a title\n```\nE\n````\n### B\n~~~sh look\n```\n~~~\n"
    )
    assert [step.command for step in book.steps] == ["cat <<'E'\n```\n# not a title\n```\nE", "```"]
    assert book.title == "T"


def test_fences_in_lists_are_prose() -> None:
    book = parse("x", "# T\n## S\n- item\n\n      ```text\n      # no\n      ```\n\nend\n")
    assert [(block.kind, block.text) for block in book.sections[0].blocks] == [
        ("item", "item"), ("code", "# no"), ("text", "end"),
    ]  # fmt: skip


def test_headings() -> None:
    book = parse(
        "x", '# T #\n## S ##\n#nothing\n#### small\n   ### `A` & "B" c_d-e\n```sh look\nls\n```\n    ### code\n'
    )
    assert (book.title, book.sections[0].title) == ("T", "S")
    assert [(block.kind, block.text) for block in book.sections[0].blocks] == [
        ("text", "#nothing"),
        ("heading", "small"),
    ]
    assert [step.id for step in book.steps] == ["a--b-c_d-e"]
    assert [block.kind for block in book.steps[0].blocks] == ["command", "code"]


def test_two_steps_with_one_heading_keep_two_ids() -> None:
    book = parse("x", "# T\n## S\n" + "### A\n```sh look\nls\n```\n" * 3 + "### A-1\n```sh look\nls\n```\n")
    ids = [step.id for step in book.steps]
    assert len(set(ids)) == 4 and ids[0] == "a"
    assert [problem.line for problem in book.problems] == [7, 11, 15]
    assert all(book.step(id) is not None for id in ids) and book.step("b") is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("---\ntitle: x\n---\n# T\n", 1, "front matter"),
        ("# T\n\nImpact\n------\n", 4, "underlined"),
        ("# T\n# U\n", 2, "a second title"),
        ("# T\n### A\n```sh look\nls\n```\n", 2, "outside of any section"),
        ("# T\n## S\n```sh look\nls\n```\n", 3, "outside of a step"),
        ("# T\n## S\n### A\n```sh\nls\n```\n", 4, "which touch word"),
        ("# T\n## S\n### A\n```sh look\nls\n```\n```sh look\nid\n```\n", 7, "a second command"),
        ("# T\n## S\n### A\n```sh undo\nls\n```\n", 5, "an undo without a command"),
        ("# T\n## S\n### A\n```bash look\nls\n```\n", 4, "a bash fence is not run"),
        ("# T\n## S\n###\n", 3, "without words"),
    ],
)
def test_form(text: str, line: int, said: str) -> None:
    problems = parse("x", text).problems
    assert any(problem.line == line and said in problem.text for problem in problems), problems


PIECES = st.sampled_from([
    "# ", "## ", "### ", "```", "````", "~~~", "sh ", "look", " undo", "\n", "\n\n", "- ", "1. ", "> ", "|", "    ",
    "\t", "$POOL", '"$', "${", "$(", "$((", "`", "'", '"', "<<E\n", "E\n", "case x in ", "a)", ";;", "esac", "(", ")",
    "x=", "for ", "---\n", "===\n", "[a](b)", "\r\n", "\x1b", "\u202e", "\ufeff", "&&", ";", "needs=root",
    "timeout=", "\\",
])  # fmt: skip
TEXTS = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=60).map("".join))


@given(TEXTS)
def test_any_text_is_a_runbook_or_has_a_bad_line(text: str) -> None:
    lines = text.count("\n") + 1
    assert all(1 <= problem.line <= lines + 1 for problem in lint("x.md", "# T\n" + text, {}))
    try:
        book = parse("x", "# T\n" + text)
    except BadRunbook:
        return
    assert len({step.id for step in book.steps}) == len(book.steps)
    assert harmless(render_text(book, {}).replace("\n", "").replace("\t", ""))
    render_html(book)


@given(TEXTS)
def test_any_text_is_scanned(text: str) -> None:
    try:
        script = scan(text)
    except TooDeep:
        return
    lines = text.count("\n") + 1
    assert all(1 <= use.line <= lines for use in script.uses)
    assert all(1 <= command.line <= lines for command in script.commands)
    assert all(found.what for found in writes(script))


@pytest.mark.parametrize(
    "part", ["# a\n", "### a\n", "<<A ", "`", "$(", "((", "${a", '"', "- ", "> ", "case a in ", "eval "]
)
def test_long_texts_do_not_take_long(part: str) -> None:
    long = part * (60_000 // len(part))
    for text in (f"# T\n{long}\n", f"# T\n## S\n### A\n```sh look\n{long}\n```\n"):
        lint("x.md", text, {})


# Variables


@pytest.mark.parametrize(
    ("command", "names"),
    [
        ('zpool status "$POOL" "${GPU}"', ("POOL", "GPU")),
        ("echo '$POOL' \\$GPU \"\\$GPU\" # $NIC", ()),
        ('POOL=a; echo "$POOL"', ()),
        ('POOL="$POOL"x; echo "$POOL"', ("POOL",)),
        ('for NODE in 0 1; do echo "$NODE"; done', ()),
        ('for d in $DISK; do echo "$d"; done', ("DISK",)),
        ('while read -r PID rest; do echo "$PID$rest"; done', ()),
        ('x=$(cat "/proc/$PID/comm") && echo "$x"', ("PID",)),
        ('echo "$(basename "$(readlink "$DISK")")"', ("DISK",)),
        ("echo `cat $DISK`", ("DISK",)),
        ("echo $((NODE + 1)) $((0x1f * $PID))", ("NODE", "PID")),
        ("echo $((²)) $((Ä", ()),
        ('cat <<E\n"$POOL" it\'s\nE\necho "$GPU"', ("POOL", "GPU")),
        ("cat <<'E'\n$POOL\nE\n", ()),
        ('cat <<-E\n\t$POOL\n\tE\necho "$GPU"', ("POOL", "GPU")),
        ('echo "${POOL:?}" "${#GPU}" "${NIC%%.*}" "${x:-$PSU}"', ("POOL", "GPU", "NIC", "PSU")),
        ('echo "$1" "$@" $? $$ $# "$HOME" "${TMPDIR:-/tmp}"', ()),
        ('echo "$OTHER"', ("OTHER",)),
        ('case "$NIC" in eth*) echo "$UNIT" ;; esac', ("NIC", "UNIT")),
        ('f() { echo "$1"; }; f "$POOL"', ("POOL",)),
    ],
)
def test_what_a_command_reads(command: str, names: tuple[str, ...]) -> None:
    assert one_step(command).steps[0].uses == names


def test_nesting_has_an_end() -> None:
    assert scan("echo " + "$(" * (MAX_DEPTH - 2) + "ls" + ")" * (MAX_DEPTH - 2)).complete
    with pytest.raises(TooDeep):
        scan("echo " + "$(" * MAX_DEPTH)


# Values


def test_a_step_is_given_its_own_values() -> None:
    look, tune, _ = parse("zfs_scrub", BOOK).steps
    params = {"POOL": "tank", "GPU": "0000:1b:00.0"}
    assert environment(look, params) == environment(tune, params, undo=True) == {"POOL": "tank"}
    assert argv(look, params) == ["/bin/sh", "-euc", 'zpool status -v "$POOL"']
    root = ["sudo", "--", "/usr/bin/env", "POOL=tank", "/bin/sh", "-euc", 'zpool scrub "$POOL"']
    assert argv(tune, params) == root
    assert argv(tune, params, as_root=True) == root[4:]
    assert command_line(look, params) == "POOL=tank /bin/sh -euc 'zpool status -v \"$POOL\"'"
    assert command_line(tune, params, undo=True) == (
        "sudo -- /usr/bin/env POOL=tank /bin/sh -euc 'zpool scrub -s \"$POOL\"'"
    )


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, "POOL is missing"),
        ({"POOL": ""}, "POOL is empty"),
        ({"POOL": "-f"}, "begins with a dash"),
        ({"POOL": "tank; reboot"}, "cannot be 'tank; reboot'"),
        ({"POOL": "tank\n"}, "cannot be"),
        ({"POOL": "tank\x1b[2J"}, "cannot be"),
    ],
)
def test_values_that_are_refused(params: dict[str, str], why: str) -> None:
    step = parse("zfs_scrub", BOOK).steps[0]
    for ask in (environment, argv, command_line):
        with pytest.raises(MissingValue, match="POOL") as raised:
            ask(step, params)
        assert why in str(raised.value)
        assert list(raised.value.names) == ["POOL"]
        assert "\x1b" not in str(raised.value)


def test_every_missing_value_is_named_and_what_is_no_parameter_refused() -> None:
    step = one_step('echo "$POOL" "$GPU" "$WHATEVER"').steps[0]
    with pytest.raises(MissingValue) as raised:
        environment(step, {"GPU": "3", "WHATEVER": "x"})
    assert list(raised.value.names) == ["POOL", "GPU", "WHATEVER"]
    assert "PCI address" in raised.value.names["GPU"]


def test_every_parameter_has_a_meaning() -> None:
    assert set(MEANINGS) == set(PARAMETERS) | set(SITE_PARAMETERS)


HOSTILE = st.one_of(
    st.text(min_size=1),
    st.lists(
        st.sampled_from(["'", '"', "$(touch x)", "`id`", ";", "\n", "\\", "!", "%", "/", " ", "é", "\u202e", "~"])
    ).map("".join),
)


@given(HOSTILE.map(lambda text: "/" + text))
def test_a_value_never_becomes_text_of_a_command(mount: str) -> None:
    """MOUNT may hold nearly anything, so it is where a value could break out."""
    text = 'printf %s "$MOUNT"'
    for words in ("look", "look needs=root"):
        step = one_step(text, words).steps[0]
        try:
            line = command_line(step, {"MOUNT": mount})
        except MissingValue:
            assert not mount.isprintable() or len(mount) > 1000, mount
            continue
        assert step.command == text and argv(step, {"MOUNT": mount})[-1] == text
        split = shlex.split(line)
        assert split[-3:] == ["/bin/sh", "-euc", text]
        assert split[-4] == f"MOUNT={mount}"
        assert harmless(line)


@pytest.mark.parametrize("mount", ["/a b", "/$(echo no)", "/'q'", '/"', "/`id`", "/\\", "/a;b", "/*", "/!x", "/é"])
def test_pasted_text_does_what_the_step_does(mount: str) -> None:
    step = one_step('printf %s "$MOUNT"').steps[0]
    line = command_line(step, {"MOUNT": mount})
    done = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True, encoding="utf-8")
    assert done.stdout == mount


# Lint


def test_a_good_runbook_has_no_problem() -> None:
    assert complaints(BOOK) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "severity", "said"),
    [
        (BOOK[BOOK.index("## Verify") :], "", 1, "error", "Verify is missing"),
        ("## Impact\n\n> Data rot.\n", "## Impact\n", 14, "error", "Impact is empty"),
        ("## Impact", "## impact", 14, "note", "section impact is none of"),
        ("## Impact", "## Meaning", 14, "error", "a second section"),
        (BOOK[BOOK.index("### See it run") :], "Look.\n", 48, "error", "Verify has no step"),
        ("```sh undo\nzpool scrub -s \"$POOL\"\n```\n", "", 40, "error", "how to go back"),
        ("verify=zfs_scrub", "verify=zfs_srcub", 40, "error", "there is no such check"),
        ("verify=zfs_scrub", "within=5m", 40, "error", "within= is the time of verify="),
        ("(https://example.org/zfs)", "(other.md#x)", 7, "error", "there is no other.md"),
        ("(https://example.org/zfs)", "(#nowhere)", 7, "error", "no heading here makes #nowhere"),
        ("(https://example.org/zfs)", "(javascript:alert)", 7, "error", "not to a page"),
        ("(https://example.org/zfs)", "(/docs/zfs)", 7, "error", "from the root of a site"),
        ("It can wait", "TODO: it can wait", 3, "error", "TODO"),
        ("It can wait", "Run `zpool clear <pool>`. It can wait", 3, "warning", "a placeholder, <pool>"),
        ('scrub "$POOL"', "scrub <pool name>", 41, "error", "a placeholder, <pool name>"),
        ('status -v "$POOL"', "status -v $POOL", 25, "error", "$POOL outside of double quotes"),
        ('status -v "$POOL"', 'status -v "$POOLS"', 25, "error", "$POOLS is neither"),
        ('status -v "$POOL"', 'status -v "$POOL" "$NIC"', 25, "warning", "does not supply NIC"),
        ("### See it run", "### Start a scrub", 50, "error", "a second step with the id start-a-scrub"),
    ],
)  # fmt: skip
def test_lint(old: str, new: str, line: int, severity: str, said: str) -> None:
    assert BOOK.count(old) == 1
    found = complaints(BOOK.replace(old, new))
    assert any(found_line == line and level == severity and said in text for found_line, level, text in found), found


def test_links_to_what_is_there() -> None:
    text = BOOK.replace("https://example.org/zfs", "other.md#x").replace("wait", "[wait](#verify) [or](#start-a-scrub)")
    assert complaints(text, exists=lambda path: path == "/nowhere/other.md") == []


def test_no_way_back_needs_a_reason() -> None:
    assert of_command("zpool clear x", "tune undo=none") == []
    bare = BOOK.replace("It reads for hours.\n\n", "").replace('```sh undo\nzpool scrub -s "$POOL"\n```\n', "")
    assert [said for _, _, said in complaints(bare.replace("on_hup=stop", "undo=none"))] == [
        "undo=none needs prose that says why there is no way back"
    ]


def test_a_subject_without_a_check() -> None:
    assert [(level, said[:17]) for _, level, said in complaints(BOOK, name="other")] == [("note", "no check is named")]


@pytest.mark.parametrize(
    "command",
    [
        "zpool status -v; zpool list -H; zpool import; zfs list; zpool iostat -v 1 2",
        "nvidia-smi -q -d ECC; nvidia-smi nvlink -e; nvidia-smi dmon -c 1; nvidia-smi topo -m; nvidia-smi mig -lgi",
        "systemctl status x.service; systemctl list-units --failed; journalctl -k -b --no-pager",
        "ipmitool sdr elist; ipmitool chassis power status; ipmitool sel elist; ipmitool mc info",
        "mount | grep x; mount -t zfs; swapon --show; lsblk; df -h; du -xsh /var",
        "kill -0 1 2>/dev/null || echo gone >&2",
        "ls >/dev/null 2>&1; echo 'a > b'; [ 1 -gt 0 ]",
        "sysctl vm.swappiness; modprobe -n x; taskset -cp 1; ip -s link show; ethtool -S eth0",
        "smartctl -x /dev/sda; nvme smart-log /dev/nvme0; mdadm --detail /dev/md0; hdparm -I /dev/sda",
        "crontab -l; fdisk -l; xfs_repair -n /dev/sda1; tune2fs -l /dev/sda1; parted -l",
        "find /var -xdev -size +1G -print; awk '{ if ($1 > 2) print }' /proc/loadavg",
        "case x in rm | reboot) echo no ;; esac",
    ],
)
def test_commands_that_only_look(command: str) -> None:
    assert of_command(command) == []


@pytest.mark.parametrize(
    ("command", "least"),
    [
        ("zpool scrub x", "tune"),
        ("zpool clear x", "tune"),
        ("/sbin/zpool import x", "tune"),
        ("zpool destroy x", "kills"),
        ("nvidia-smi -i 0 -pm 1", "tune"),
        ("nvidia-smi -pl 300", "tune"),
        ("nvidia-smi --power-limit=300", "tune"),
        ("nvidia-smi -lgc 1200,1980", "tune"),
        ("nvidia-smi -r", "kills"),
        ("nvidia-smi --gpu-reset -i 0", "kills"),
        ("nvidia-smi nvlink -r 0", "tune"),
        ("dcgmi diag -r 3", "jobs"),
        ("systemctl restart x", "jobs"),
        ("systemctl enable --now x", "tune"),
        ("kill 1", "kills"),
        ("true && pkill x", "kills"),
        ("echo 1 | xargs -r kill -9", "kills"),
        ("timeout 5 kill 1", "kills"),
        ("x=$(kill 1)", "kills"),
        ("if true; then rm x; fi", "tune"),
        ("find / -name x -exec rm {} +", "tune"),
        ("find / -name x -delete", "tune"),
        ("sh -c 'rm x'", "tune"),
        ("bash -ec \"eval 'reboot'\"", "kills"),
        ("mv a b", "tune"),
        ("dd if=a of=b", "tune"),
        ("mkfs.ext4 /dev/sda", "kills"),
        ("mount -o remount,rw /", "tune"),
        ("mount /dev/sda1 /mnt", "tune"),
        ("umount /mnt", "kills"),
        ("sysctl -w vm.swappiness=1", "tune"),
        ("sysctl vm.swappiness=1", "tune"),
        ("ipmitool chassis power cycle", "kills"),
        ("ipmitool mc reset cold", "tune"),
        ("ipmitool -I lanplus power off", "kills"),
        ("echo x | tee y", "tune"),
        ("echo 1 > /sys/x", "tune"),
        ("ls >>x 2>/dev/null", "tune"),
        ("modprobe x", "tune"),
        ("modprobe -r x", "kills"),
        ("apt-get install x", "tune"),
        ("dnf -y upgrade", "tune"),
        ("reboot", "kills"),
        ("scancel 1", "kills"),
        ("scontrol update nodename=x state=drain reason=y", "tune"),
        ("scontrol update nodename=x state=down reason=y", "kills"),
    ],
)
def test_commands_that_change_something(command: str, least: str) -> None:
    assert [said[:30] for said in of_command(command)][:1] == [f"1 error marked look, but this is {least}"[:30]]
    assert any(f"this is {least} at least" in said for said in of_command(command))
    assert of_command(command, f"{least} undo=none") == []
    if least == "kills":
        assert of_command(command, "tune undo=none")[0].startswith("1 warning marked tune, but this is kills")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("ls\nls $POOL", "2 error $POOL outside of double quotes"),
        ('x=$POOL\necho "$x"', ""),
        ("x=1\nls $x", "2 warning $x outside of double quotes"),
        ('x=1\nfor y in $x; do echo "$y"; done', ""),
        ("for POOL in a b; do ls; done", "1 error sets POOL, which is a parameter"),
        ("sudo zpool status", "1 error sudo in a command"),
        ('sh -c "zpool list $POOL"', "1 error $POOL becomes part of a program"),
        ('eval "zpool list $POOL"', "1 error $POOL becomes part of a program"),
        ('ssh other "zpool list $POOL"', "1 error $POOL becomes part of a program"),
        ('sh -c \'zpool list "$1"\' sh "$POOL"', ""),
        ("echo 'a", "1 error a quote, bracket or here-document that is never closed"),
        ("ls\nif true; then\n\tls\nfi", "3 warning a tab"),
    ],
)
def test_what_lint_says_of_a_command(command: str, said: str) -> None:
    found = of_command(command)
    assert found == [] if not said else found and found[0].startswith(said), found


def test_a_tool_that_is_not_here_is_named_once() -> None:
    found = complaints(BOOK, has_tool=lambda tool: tool != "zpool")
    assert found == [(25, "note", "not on this host: zpool")]
    asked: list[str] = []
    text = BOOK.replace(
        'status -v "$POOL"', "list; [ 1 ] && for x in a; do timeout 5 /sbin/zfs list; done; f() { lsblk; }; f"
    )

    def has_tool(tool: str) -> bool:
        asked.append(tool)
        return True

    complaints(text, has_tool=has_tool)
    assert asked == ["zpool", "/sbin/zfs", "lsblk"]


def shell(argv: Sequence[str], text: str) -> tuple[int, str, str] | None:
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("command", "line"), [("if true; then\nls", 3), ("ls\ndone", 2), ("ls &&", 2), ("ls )", 1)])
def test_the_shell_has_its_say(command: str, line: int) -> None:
    text = BOOK.replace('zpool status -v "$POOL"', command)
    errors = [(where, said) for where, level, said in complaints(text, run=shell) if level == "error"]
    (where, said) = next(found for found in errors if found[1].startswith("sh -n: "))
    assert 25 <= where <= 25 + line - 1
    assert "yntax error" in said


def test_shellcheck_has_its_say() -> None:
    said = '[{"line": 3, "level": "info", "code": 2086, "message": "Double quote\\u001b"}, {"level": "error"}]'

    def run(argv: Sequence[str], text: str) -> tuple[int, str, str] | None:
        if argv[0] != "shellcheck":
            return 0, "", ""
        assert text.startswith("set -eu\n")
        return 1, said if "-v" in text else "not json", ""

    assert complaints(BOOK, run=run) == [
        (25, "error", "shellcheck SCNone: None"),
        (26, "note", "shellcheck SC2086: Double quote\\x1b"),
    ]


# Drawn


def test_text_for_a_terminal() -> None:
    long = 'zpool status "$POOL" | grep -E "a very long pattern that goes on and on" | sort | uniq -c | tail -n 20'
    text = render_text(
        parse("zfs_scrub", BOOK.replace('zpool status -v "$POOL"', f"if true; then\n    {long}\nfi")), {"POOL": "tank"}
    )
    lines = text.split("\n")
    assert "  1. See when the last scrub ended  [look]" in lines
    assert "  2. Start a scrub  [tune, as root]" in lines
    assert "     start-a-scrub" in lines
    assert lines[lines.index("         if true; then") :][:4] == [
        "         if true; then",
        f"             {long}",
        "         fi",
        "",
    ]
    assert lines.count("         export POOL=tank") == 4
    at = lines.index('         zpool scrub "$POOL"')
    assert lines[at - 2 : at] == ["         # in a shell of root: sudo -s", "         export POOL=tank"]
    assert "     to go back:" in lines
    assert [line for line in lines if len(line) > 80] == [f"             {long}"]
    assert "# POOL=?  the name of a ZFS pool" in render_text(parse("zfs_scrub", BOOK), {})
    hostile = render_text(parse("zfs_scrub", BOOK), {"POOL": "x\x1b[2J"})
    assert "\x1b" not in hostile and "# POOL=?  is not what was given: the name of a ZFS pool" in hostile


@given(HOSTILE.map(lambda text: "/" + text))
def test_a_value_that_is_shown_can_be_pasted(mount: str) -> None:
    line = value("MOUNT", {"MOUNT": mount})
    if line.startswith("# "):
        assert line == "# MOUNT=?  is not what was given: a mount point or folder"
    else:
        assert shlex.split(line) == ["export", f"MOUNT={mount}"]


@pytest.mark.parametrize("mount", ["/a b", "/$(echo no)", "/'q'", "/`id`", "/a;touch x", "/*", "/!x"])
def test_what_a_runbook_shows_does_what_the_step_does(mount: str, tmp_path: Path) -> None:
    text = render_text(one_step('printf %s "$MOUNT"'), {"MOUNT": mount})
    first = text.index("         export")
    done = subprocess.run(["/bin/sh"], input=text[first:], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == mount
    assert list(tmp_path.iterdir()) == []


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(
    st.one_of(
        TEXTS,
        st.lists(st.sampled_from(["<script>", "](", "[x", "javascript:", '"', "'", ")", "`", "**", "&lt;", "a"])).map(
            "".join
        ),
    )
)
def test_html_is_escaped(text: str) -> None:
    try:
        book = parse("x", f"# {text[:20]}\n\n{text}\n\n[a]({text}) `{text}` **{text}**\n")
    except BadRunbook:
        return
    page = Page()
    page.feed(render_html(book))
    assert page.open == []
    assert {tag for tag, _ in page.tags} <= {
        "html", "head", "meta", "title", "body", "h1", "h2", "h3", "h4", "p", "em", "pre", "code", "ul", "ol", "li",
        "blockquote", "strong", "a",
    }  # fmt: skip
    for _, attributes in page.tags:
        target = attributes.get("href") or ""
        assert ":" not in target or target.lower().startswith(("http://", "https://"))
        assert set(attributes) <= {"href", "id", "class", "lang", "charset"}


def test_html() -> None:
    text = render_html(parse("zfs_scrub", BOOK))
    assert '<a href="https://example.org/zfs">the site</a>' in text
    assert '<h3 id="start-a-scrub">Start a scrub</h3>' in text
    assert '<pre class="undo"><code>zpool scrub -s &quot;$POOL&quot;</code></pre>' in text


def test_the_catalogue() -> None:
    text = catalogue([parse("zfs_scrub", BOOK), parse("a", "# A | B\n")])
    rows = [line for line in text.split("\n") if line.startswith("| [")]
    assert rows == [
        "| [a](a.md) | A \\| B |  |  |",
        "| [zfs_scrub](zfs_scrub.md) | The pool was not scrubbed for a long time | 2 look, 1 tune | POOL |",
    ]
    assert all(f"| `{name}` |" in text for name in PARAMETERS)
    example = text[text.index("### Start a scrub") : text.index("````\n\nThe first")]
    (step,) = parse("x", f"# T\n## Mitigation\n{example}").steps
    assert (step.touch, step.root, step.timeout_s, step.verify, step.wrong) == ("tune", True, 30, "zfs_scrub", ())


# The shipped ones

FOUND = catalog.find(drop_ins=False)


def has_no_mistake(path: str) -> None:
    supplied = {id: check.params for id, check in FOUND.by_name().items()} | {"demo_check": ()}
    problems = lint(path, Path(path).read_text(encoding="utf-8"), supplied, run=shell)
    assert [problem for problem in problems if problem.severity != "note"] == []
    assert all(not step.wrong for step in load(path).steps)


def is_for_someone_tired(path: str) -> None:
    """Three ways to look, a check that tells whether it worked, and when to call whom with which snapshot."""
    assert len([step for step in load(path).steps if step.section == "Diagnosis" and step.command]) >= 3
    text = Path(path).read_text(encoding="utf-8")
    assert [words for words in ("**When to stop.**", "mlopsdoc snapshot", "mlopsdoc check ") if words not in text] == []


@pytest.mark.parametrize("name", sorted(FOUND.runbooks))
def test_a_shipped_runbook_has_no_mistake(name: str) -> None:
    has_no_mistake(FOUND.runbooks[name])


@pytest.mark.parametrize("name", sorted(FOUND.runbooks))
def test_a_shipped_runbook_is_for_someone_tired(name: str) -> None:
    is_for_someone_tired(FOUND.runbooks[name])


def test_a_new_runbook_is_as_the_shipped_ones_are(tmp_path: Path) -> None:
    for folder in ("checks", "runbooks", "snapshots"):
        (tmp_path / folder).mkdir()
    scaffold.make("demo_check", str(tmp_path))
    made = tmp_path / "runbooks/demo_check.md"
    made.write_text(made.read_text().replace("TODO: ", ""))
    has_no_mistake(str(made))
    is_for_someone_tired(str(made))
    assert not load(str(made)).params


@pytest.mark.parametrize("id", sorted(FOUND.checks))
def test_a_shipped_check_supplies_what_its_runbook_needs(id: str) -> None:
    assert set(load(FOUND.runbooks[id]).params) <= set(FOUND.checks[id].params)


def shipped_command(name: str, id: str) -> str:
    (command,) = [step.command for step in load(FOUND.runbooks[name]).steps if step.id == id]
    return command


def tools(folder: Path, **scripts: str) -> dict[str, str]:
    """A PATH of a few real tools and of what `scripts` say."""
    folder.mkdir()
    for tool in ("find", "rm", "sh", "head"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    for tool, script in scripts.items():
        (folder / tool).write_text(f"#!/bin/sh\n{script}\n")
        (folder / tool).chmod(0o755)
    return {"PATH": str(folder)}


@pytest.mark.parametrize(
    ("fuser", "is_removed"),
    [
        ("", False),  # not installed
        ('[ "$2" = / ]', True),
        ("exit 0", False),
        ('[ "$2" = / ] || exit 2', False),
        ('[ "$2" = / ] || exit 127', False),
        ("exit 1", False),  # it does not even find who is on /
    ],
)
def test_shared_memory_is_removed_only_when_fuser_says_that_nobody_has_it(
    fuser: str, is_removed: bool, tmp_path: Path
) -> None:
    command = shipped_command("disk_space", "remove-shared-memory-that-no-process-has-open-devshm")
    left = tmp_path / "shm" / "psm_\n1"
    left.parent.mkdir()
    left.write_text("x")
    os.utime(left, (0, 0))
    env = tools(tmp_path / "bin", **({"fuser": fuser} if fuser else {}))
    argv = ["/bin/sh", "-euc", command.replace("/dev/shm", str(left.parent))]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    assert left.exists() != is_removed
    assert (done.returncode == 0) == (fuser not in ("", "exit 1"))


@pytest.mark.parametrize(
    ("journalctl", "said"),
    [("echo EXT4-fs error", "EXT4-fs error"), ("exit 1", "journalctl ended with 1"), ("", "journalctl ended with 127")],
)
def test_what_the_kernel_said_or_why_not(journalctl: str, said: str, tmp_path: Path) -> None:
    command = shipped_command("disk_space", "read-only-read-what-the-kernel-said-and-look-at-the-disk")
    env = tools(tmp_path / "bin", **({"journalctl": journalctl} if journalctl else {}), lsblk=":", cat=":")
    argv = ["/bin/sh", "-euc", command]
    done = subprocess.run(argv, env=env | {"DISK": "/dev/sda"}, capture_output=True, text=True, check=True)
    assert said in done.stdout


def test_reading_runbooks_loads_no_library() -> None:
    heavy = "'markdown_it', 'textual', 'rich', 'asyncio', 'html'"
    code = "import sys; from mlopsdoc.runbook.parse import parse; parse('x', '# T'); "
    code += f"print([m for m in ({heavy}) if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
