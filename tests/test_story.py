"""What the program is for, played once in tmux at 80x24: paged, seen, mended, green."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from .program import environment
from .test_walks import FULL, recorded

PATIENCE_S = 120.0


class Tmux:
    """A pane of 80x24 in which a shell runs, in a world of mounts of its own that a script has made."""

    def __init__(self, place: Path, script: str) -> None:
        self._socket = str(place / "tmux")
        self._env = environment(place, LANG="C.UTF-8", SHELL="/bin/sh")
        start = f"{script}\nexec tmux -f /dev/null -S {self._socket} new-session -d -x 80 -y 24 sh"
        subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-euc", start],
            env=self._env, cwd=place, check=True, capture_output=True,
        )  # fmt: skip

    def __call__(self, *words: str) -> str:
        argv = ["tmux", "-S", self._socket, *words]
        return subprocess.run(argv, env=self._env, capture_output=True, text=True, check=True).stdout

    def keys(self, *keys: str) -> None:
        self("send-keys", *keys)

    def types(self, text: str) -> None:
        self("send-keys", "-l", text)

    def sees(self, *words: str) -> str:
        end = time.monotonic() + PATIENCE_S
        while not all(word in (text := self("capture-pane", "-p")) for word in words):
            assert time.monotonic() < end, f"{words} not in\n{text}"
            time.sleep(0.1)
        return text


@pytest.fixture
def pane(tmp_path: Path) -> Generator[Tmux]:
    if os.geteuid() != 0 or not all(map(shutil.which, ("tmux", "unshare", "fuser"))):
        pytest.skip("needs tmux; mounting needs root, the step needs fuser")
    try:
        tmux = Tmux(tmp_path, FULL)
    except subprocess.CalledProcessError:
        pytest.skip("nothing can be mounted here")
    yield tmux
    tmux("kill-server")


def test_from_the_page_to_green(pane: Tmux, tmp_path: Path) -> None:
    pane.types('mount --bind "/proc/$$/mountinfo" /proc/1/mountinfo')  # the shell that made it is gone
    pane.keys("Enter")
    pane.types(f"{sys.executable} -m mlopsdoc")
    pane.keys("Enter")
    pane.sees("LIVE", "[X]", "disk_space")
    pane.types("/")
    pane.types("shm")
    pane.keys("Enter")
    pane.sees("CRITICAL mount /dev/shm", "Runbook disk_space")
    pane.keys("x")
    text, n = pane.sees(">Step 1 of", "MOUNT=/dev/shm"), 1
    while "Remove shared memory" not in text:
        n += 1
        pane.keys("]")
        text = pane.sees(f">Step {n} of")
    pane.keys("X")
    pane.sees("y/N")
    pane.types("y")
    pane.keys("Enter")
    pane.sees("ended with 0")
    pane.keys("Escape")
    pane.sees(">Checks", ">[ok] disk_space", "was crit")
    pane.types("q")
    pane.sees("-m mlopsdoc")  # the shell's own screen is back
    pane.types("echo left=$?")
    pane.keys("Enter")
    pane.sees("left=0")
    recorded(tmp_path, before="critical", after="ok")
