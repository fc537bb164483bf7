"""Makes this machine say what a snapshot recorded: a root with its files, shims that print its commands, the fake
NVML, and a stored sample.
"""

from __future__ import annotations

import shlex
import shutil
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mlopsdoc import CannotSee, NothingHere, catalog
from mlopsdoc.engine import Ledger
from mlopsdoc.hosts import ring, snapshot
from mlopsdoc.hosts.asking import find_tool
from mlopsdoc.hosts.base import Answer, split
from mlopsdoc.hosts.recorder import Recorder, Recording, Replay

from . import fake_nvml
from .proc import write_processes
from .program import shim

BOOT_ID = "/proc/sys/kernel/random/boot_id"


def serve(recording: Recording, place: Path, library: Path) -> dict[str, str]:
    """Make this machine say what was recorded; the environment that does it. Skips what cannot be served."""
    if not recording.complete:
        pytest.skip("is the evidence of other people, which no machine says of itself")
    root, shims = place / "root", place / "shims"
    root.mkdir()
    shims.mkdir()
    folders = {key.rpartition("/")[0].partition(" ")[2] for key in recording.answers if key.startswith("read ")}
    for key, answer in sorted(recording.answers.items()):  # a link before what lies behind it
        kind, _, rest = key.partition(" ")
        if kind == "read":
            _file(root, rest, answer)
        elif kind == "link" and answer.status == "ok":
            path = root / rest.lstrip("/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(answer.data.decode())
            if rest in folders:
                path.resolve().mkdir(parents=True, exist_ok=True)
        elif kind == "link" and answer.status == "failed":
            _file(root, rest, Answer("", "ok"))  # it is there and no link: `Invalid argument`
    for tool, scripts in _commands(recording).items():
        shim(shims, tool, "\n".join(scripts) + "\necho no such answer >&2; exit 99")
    for tool in ("sh", "cat", "printf"):
        (shims / tool).symlink_to(shutil.which(tool) or tool)
    write_processes(recording, root)
    here = Path(BOOT_ID).read_bytes()
    _file(root, BOOT_ID, Answer("", "ok", here))  # so that NVML is asked
    if recording.before is not None:
        ring.store(str(place / "state"), here.decode().strip(), _sample(recording, recording.before))
    flat = place / "flat"
    snapshot.save(snapshot.files_of(recording, {}), str(flat))
    (place / "nvml").mkdir()
    for path in library.iterdir():
        (place / "nvml" / path.name).symlink_to(path)
    return {
        "PATH": f"{shims}:/no/such/folder",
        "LD_LIBRARY_PATH": str(place / "nvml"),
        "FAKE_NVML": fake_nvml.environment(place / "nvml", fake_nvml.drive(flat))["FAKE_NVML"],
    }


def _sample(recording: Recording, before: Recording) -> Recording:
    """The earlier state as an earlier run would have kept it, as long ago as it was."""
    before.taken_at = round(time.time() - (recording.taken_at - before.taken_at), 3)
    for answer in before.answers.values():
        answer.at = before.taken_at
    recorder = Recorder(Replay(before))
    for check in catalog.find(drop_ins=False).checks.values():
        for want in check.wants.values():
            if want.before:
                with suppress(CannotSee, NothingHere):
                    Ledger(recorder).get(want.fact)
    return recorder.recording


def _file(root: Path, name: str, answer: Answer) -> None:
    if answer.status == "absent":
        return
    if answer.status != "ok":
        pytest.skip(f"{name} is {answer.status}, which no file here can be")
    path = root / name.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(answer.data)


def _commands(recording: Recording) -> dict[str, list[str]]:
    """Lines of shell that print the recorded answers, by tool."""
    lines: dict[str, list[str]] = {}
    for key, answer in recording.answers.items():
        kind, _, rest = key.partition(" ")
        if kind == "probe" and answer.status != "ok" and rest != "bmc":  # no BMC is configured where tests run
            pytest.skip(f"{key} is {answer.status}, which no library here can be made to be")
        if kind == "run" and answer.status == "absent" and find_tool(split(rest)[0]):
            pytest.skip(f"{split(rest)[0]} is installed here, and the snapshot is of a host without it")
        if kind != "run" or answer.status == "absent":
            continue
        if answer.status not in ("ok", "failed"):
            pytest.skip(f"{rest} is {answer.status}, which takes its deadline")
        tool, *arguments = split(rest)
        out, err = (shlex.quote(data.decode("utf-8", "surrogateescape")) for data in (answer.data, answer.stderr))
        condition = f'[ "$*" = {shlex.quote(" ".join(arguments))} ]'
        lines.setdefault(tool, []).append(
            f"if {condition}; then printf %s {out}; printf %s {err} >&2; exit {answer.exit or 0}; fi"
        )
    return lines
