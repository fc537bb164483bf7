"""Steps of runbooks on the screen: what they would do, what is asked, their run by the real runner."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from mlopsdoc.audit import logs
from mlopsdoc.model import Status
from mlopsdoc.tui import wire

from .test_tui import Stage, found, plan_of, play, report, result

BOOK = """# A pool is ill

## Meaning

It is ill.

## Diagnosis

### See the pool

```sh look timeout=10s
echo "pool is $POOL"
```

## Mitigation

### Mark the pool

```sh tune timeout=10s
echo done > "$MARK_PATH"
```

```sh undo
rm "$MARK_PATH"
```

### End it

```sh kills timeout=10s undo=none
echo "killed $POOL"
```

### Wait for ever

```sh look timeout=60s
echo waiting
sleep 3600
```

## Verify

### See it again

```sh look
true
```
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    return tmp_path / "state"


def said(tmp_path: Path, *, live: bool = True) -> tuple[wire.Plan, wire.Made]:
    (tmp_path / "pools.md").write_text(BOOK)
    ill = replace(found("disk_space", Status.CRITICAL, "pool tank"), params={"POOL": "tank"}, runbook="pools")
    made = report(result("disk_space", "storage", ill))
    return plan_of(made, live=live, runbooks={"pools": str(tmp_path / "pools.md")}), wire.Made(made)


def test_a_step_that_looks_runs_at_once_and_its_output_is_shown(tmp_path: Path, state: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x")
        await stage.sees("Step 1 of 5: See the pool", "POOL=tank", "X run")
        await stage.press("X")
        await stage.sees("pool is tank", "ended with 0", "done")
        await stage.press("escape")
        await stage.sees(">Checks")

    play(story, *said(tmp_path))


def test_a_step_that_changes_something_asks_for_values_and_whether_and_is_undone(tmp_path: Path, state: Path) -> None:
    mark = tmp_path / "mark"

    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", "right_square_bracket", "X")
        await stage.sees("an absolute path:")
        await stage.press(*str(mark), "enter")
        await stage.sees("Run it? y/N")
        await stage.press("n", "enter")
        await stage.sees("nothing was run")
        assert not mark.exists()
        await stage.press("X")
        await stage.sees("Run it? y/N")
        await stage.press("y", "enter")
        await stage.sees("ended with 0")
        await stage.until(lambda _: not stage.app.step.is_running)
        assert mark.read_text() == "done\n"
        await stage.until(lambda text: "all output is in" in text and "running" not in text)
        await stage.press("escape", "x")  # what was typed and what came out is there still
        await stage.sees("Step 2 of 5", "MARK_PATH=/", "ended with 0")
        await stage.press("U")
        await stage.sees("Run it? y/N")
        await stage.press("y", "enter")
        await stage.until(lambda _: not mark.exists())
        await stage.sees("done")

    play(story, *said(tmp_path))
    (log,) = logs([str(state)])
    assert not log.problems()
    assert [e.step for e in log.entries() if e.event == "started"] == ["mark-the-pool"] * 2


def test_what_kills_wants_the_name_of_this_host(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", "right_square_bracket", "right_square_bracket", "X")
        await stage.sees("type the name of this host")
        await stage.press("y", "enter")
        await stage.sees("nothing was run")
        await stage.press("X")
        await stage.press(*os.uname().nodename, "enter")
        await stage.sees("killed tank", "ended with 0")

    play(story, *said(tmp_path))


def test_a_running_step_is_stopped_and_quitting_asks_first(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", "left_square_bracket", "left_square_bracket", "X")
        await stage.sees("Step 4 of 5", "Output", "running;", " ^x stop")
        await stage.press("q")
        await stage.sees("To leave it running is not possible")
        await stage.press("l", "enter", "ctrl+x")
        await stage.sees("it failed")
        await stage.press("X")
        await stage.sees("running;")
        await stage.press("q", "s", "enter")
        await stage.until(lambda _: stage.app.return_code == 0)

    play(story, *said(tmp_path))


def test_in_a_recording_nothing_is_run(tmp_path: Path, state: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", "X")
        await stage.sees("this is a recording: nothing is run")

    play(story, *said(tmp_path, live=False))
    assert not state.exists()


def test_a_dry_run_says_what_the_other_process_found(tmp_path: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", "D")
        await stage.sees("looking what it would touch")
        (order,) = wire.Unpacker().orders(stage.engine.recv(1 << 16))
        assert isinstance(order, wire.Touch) and order.values == {"POOL": "tank"}
        stage.engine.send(wire.packed(wire.Touched(["dataset tank/data (1.2T at /tank/data)"])))
        await stage.sees("touches  dataset tank/data", "nothing was run")

    play(story, *said(tmp_path))


def test_what_may_go_on_is_left_running_only_when_that_is_asked_for(tmp_path: Path, state: Path) -> None:
    async def story(stage: Stage) -> None:
        await stage.sees("CRITICAL pool tank")
        await stage.press("x", "left_square_bracket", "left_square_bracket", "X")
        await stage.sees("Output", "waiting")
        await stage.press("q", "enter")
        await stage.sees("^x stop")
        assert stage.app.return_code is None
        await stage.press("q")
        await stage.sees("l: leave it running and quit")
        await stage.press("l", "enter")
        assert stage.app.return_code == 0

    plan, made = said(tmp_path)
    waits = f"until test -e {tmp_path}/go; do sleep 0.1; done"
    book = BOOK.replace("```sh look timeout=60s", "```sh look timeout=60s on_hup=finish").replace("sleep 3600", waits)
    (tmp_path / "pools.md").write_text(book)
    play(story, plan, made)
    (tmp_path / "go").touch()
    (log,) = logs([str(state)])
    end = time.monotonic() + 20
    while [e.event for e in log.entries()][-1] != "ended":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert log.entries()[-1].exit == 0
