"""Starts mlopsdoc as a user does: as a process, in a place of its own."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

REPOSITORY = Path(__file__).resolve().parent.parent


def environment(place: Path, **more: str) -> dict[str, str]:
    """A clean environment whose state and configuration lie below `place`."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {
        **kept,
        "HOME": str(place),
        "XDG_CONFIG_HOME": str(place / "config"),
        "STATE_DIRECTORY": str(place / "state"),
        "PYTHONPATH": str(REPOSITORY),
        "TERM": "dumb",
        **more,
    }


def start(
    *argv: str,
    place: Path,
    env: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """The running program; `env` is added to its clean environment."""
    command = [sys.executable, "-m", "mlopsdoc", *argv]
    return subprocess.Popen(
        command, env=environment(place, **(env or {})), cwd=place, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE
    )


class Ended:
    """What the program said. `code` is its exit code."""

    def __init__(self, code: int, out: bytes, err: bytes) -> None:
        self.code = code
        self.out = out.decode()
        self.err = err.decode()

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.out)
        return report

    def check(self, id: str) -> dict[str, Any]:
        return next(check for check in self.report()["checks"] if check["id"] == id)


def mlopsdoc(*argv: str, place: Path, env: Mapping[str, str] | None = None, stdin: bytes | None = None) -> Ended:
    """Run the program to its end; it must come within a minute."""
    process = start(*argv, place=place, env=env, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE)
    out, err = process.communicate(stdin, timeout=60)
    return Ended(process.returncode, out, err)


MEASURE = """
import json, os, resource, subprocess, sys, tempfile, time

def resident(pid):
    try:
        with open(f"/proc/{pid}/statm") as statm, open(f"/proc/{pid}/task/{pid}/children") as children:
            return int(statm.read().split()[1]) * 4 + sum(map(resident, children.read().split()))
    except (OSError, IndexError):
        return 0

most = 0
with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
    program = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    while program.poll() is None:
        most = max(most, resident(program.pid))
        time.sleep(0.01)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, most = used.ru_utime + used.ru_stime, max(most, used.ru_maxrss) // 1024
    out.seek(0), err.seek(0)
    print(json.dumps([program.returncode, out.read(), err.read(), seconds, most]))
"""


def measured(*argv: str, place: Path) -> tuple[int, str, str, float, int]:
    """Exit code, stdout, stderr, seconds of a processor and MiB at most of a run and all its children at one time.

    A small process stands between: a child starts with the peak of whoever forked it, and pytest is large.
    """
    command = [sys.executable, "-c", MEASURE, sys.executable, "-m", "mlopsdoc", *argv]
    said = subprocess.run(command, env=environment(place), cwd=place, capture_output=True, timeout=300, check=True)
    code, out, err, seconds, mib = json.loads(said.stdout)
    return code, out, err, seconds, mib


def shim(folder: Path, name: str, script: str) -> None:
    """A command of that name, a shell script."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)


def with_shims(folder: Path) -> dict[str, str]:
    """The environment in which the commands of `folder` come first."""
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def all_gone(mark: str) -> bool:
    """Whether every process with that mark ends by itself, soon."""
    until = time.monotonic() + 10
    while descendants_named(mark):
        if time.monotonic() > until:
            return False
    return True


def descendants_named(mark: str) -> list[int]:
    """Processes whose command line or environment holds `mark`."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                text = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if mark.encode() in text:
                found.append(int(entry.name))
    return found
