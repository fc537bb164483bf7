"""Steps of runbooks, run for real: signals, terminals, daemons, full disks, hostile values."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mlopsdoc.audit import Entry, Log
from mlopsdoc.runner import client, plan

from .program import Ended, all_gone, environment, mlopsdoc, shim, start, with_shims

CHECK = '''"""A site's own check."""
from mlopsdoc import Fact, Host, NothingHere, check, critical, unknown


class Words(Fact, frozen=True):
    rows: list[list[str]]

    @classmethod
    def read(cls, host: Host) -> "Words":
        said = host.read("{folder}/words")
        if not said.said:
            raise NothingHere("there are no words")
        return cls([line.split(" ", 1) for line in said.text.splitlines()])


@check(area="host", title="Every word is good", params=("MOUNT", "PID"))
def words(words: Words):
    """Judges words: `bad PARAMETER=VALUE`, a line each."""
    for kind, params in words.rows:
        name, _, value = params.partition("=")
        if kind != "good":
            yield (unknown if kind == "unknown" else critical)(f"{{kind}} word", subject=value, params={{name: value}})
'''
BOOK = """# A word is bad

## Meaning

It is bad.

## Mitigation

### The step

{prose}

```sh {fence}
{command}
```

{undo}
"""


class Place:
    """A home with a check that judges the lines of the file `words`, and a runbook for it with one step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.words = folder / "words"
        self.words.write_text("bad MOUNT=/data\n")
        for kind in ("checks", "runbooks"):
            (folder / "config/mlopsdoc" / kind).mkdir(parents=True)
        (folder / "config/mlopsdoc/checks/words.py").write_text(CHECK.format(folder=folder))
        self.log = Log(str(folder / "state"))

    def book(self, command: str, fence: str = "tune", undo: str = "", name: str = "words") -> None:
        fenced = f"```sh undo\n{undo}\n```" if undo else ""
        text = BOOK.format(command=command, fence=fence, undo=fenced, prose="It helps.")
        (self.folder / f"config/mlopsdoc/runbooks/{name}.md").write_text(text)

    def run(self, *options: str, env: dict[str, str] | None = None) -> Ended:
        return mlopsdoc("runbook", "run", "words", "--step", "the-step", *options, place=self.folder, env=env)

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        mark = {"MARK": str(self.folder)}
        argv = ("runbook", "run", "words", "--step", "the-step", "--yes", "--allow", "kills", *options)
        return start(*argv, place=self.folder, env=mark)

    @property
    def entries(self) -> list[Entry]:
        assert self.log.problems() == []
        return self.log.entries()

    def wait_for(self, event: str, count: int = 1) -> Entry:
        """The entry of that kind, once it is there."""
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if len(found := [entry for entry in self.log.entries() if entry.event == event]) >= count:
                return found[-1]
            time.sleep(0.05)
        raise AssertionError(f"no entry {event}: {self.log.entries()}")

    def wait_for_file(self, name: str) -> str:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            if (self.folder / name).exists() and (text := (self.folder / name).read_text()):
                return text
            time.sleep(0.05)
        raise AssertionError(name)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def mend(place: Place) -> str:
    return f"echo 'good MOUNT=/data' >{place.words}"


# What is run, and what is said of it


def test_a_step_that_mends_it(place: Place) -> None:
    place.book(f'echo "at $MOUNT"; {mend(place)}', "tune verify=words")
    ended = place.run("--yes")
    assert (ended.code, ended.out) == (0, "at /data\n")
    assert "ok: Every word is good" in ended.err
    started, end, looked = place.entries
    assert (started.event, started.values, started.before) == ("started", {"MOUNT": "/data"}, "critical")
    assert started.argv[:2] == ["/bin/sh", "-euc"]
    assert (end.exit, end.output_bytes, end.left, end.why) == (0, 9, [], "")
    assert (looked.check, looked.after) == ("words", "ok")
    assert Path(end.log).read_text() == "at /data\n"
    assert Path(end.log).stat().st_mode & 0o777 == 0o600
    assert Path(place.log.path).stat().st_mode & 0o777 == 0o600


def test_the_report_and_the_runbook_say_how_a_step_is_run(place: Place) -> None:
    place.book("true")
    said = mlopsdoc("check", "words", place=place.folder).out
    assert "steps     `mlopsdoc runbook run` in place of `show`, with --step ID, runs one" in said
    said = mlopsdoc("runbook", "show", "words", "--set", "MOUNT=/a b", place=place.folder).out
    assert "(a step is run by: mlopsdoc runbook run words --set MOUNT='/a b' --step ID)" in said


@pytest.mark.parametrize(
    ("command", "fence", "code", "why"),
    [
        ("exit 3", "tune verify=words", 1, "exit code 3"),
        ("kill -9 $$", "tune verify=words", 1, "ended by signal 9"),
        ("sleep 60", "tune verify=words timeout=1s", 1, "its timeout of 1 s is over"),
        ("true", "tune verify=words within=1s", 2, "critical"),
        ("echo 'unknown MOUNT=/data' >{words}", "tune verify=words within=1s", 3, "unknown"),
        ("rm {words}", "tune verify=words within=1s", 3, "skipped: there are no words"),
        ("false | true; ls /no/such/file", "look", 1, "exit code 2"),
        ('echo "$MOUNT"', "look", 0, ""),
    ],
)
def test_how_it_ends(place: Place, command: str, fence: str, code: int, why: str) -> None:
    place.book(command.replace("{words}", str(place.words)), fence, undo="true" if "tune" in fence else "")
    ended = place.run("--yes")
    assert ended.code == code
    assert why in ended.err
    assert ("to take it back: mlopsdoc runbook run words --step the-step --undo" in ended.err) == (
        code in (1, 2) and "tune" in fence
    )


def test_the_check_is_asked_until_it_is_ok(place: Place) -> None:
    place.book(f"(sleep 2; {mend(place)}) >/dev/null 2>&1 &", "tune verify=words within=30s")
    ended = place.run("--yes")
    assert ended.code == 0
    assert ended.err.count("asked again") in (1, 2, 3)


def test_a_step_may_be_judged_by_another_check(place: Place) -> None:
    """Its finding is that of the runbook's own check all the same."""
    text = CHECK.format(folder=place.folder).replace("def words(", "def others(").replace("/words", "/others")
    (place.folder / "config/mlopsdoc/checks/others.py").write_text(text)
    (place.folder / "others").write_text("good MOUNT=/x\n")
    place.book('echo "$MOUNT"', "tune verify=others")
    ended = place.run("--yes")
    assert (ended.code, ended.out) == (0, "/data\n")
    assert [(entry.check, entry.after) for entry in place.entries[2:]] == [("others", "ok")]


def test_an_undo_is_run_without_a_finding(place: Place) -> None:
    place.book("true", "tune", undo=f'echo "back $MOUNT" >{place.folder}/undone')
    place.words.write_text("good MOUNT=/data\n")
    assert place.run("--undo", "--set", "MOUNT=/x y", "--yes").code == 0
    assert (place.folder / "undone").read_text() == "back /x y\n"
    assert place.entries[0].is_undo


def test_a_dry_run_runs_nothing_and_says_what_it_would(place: Place) -> None:
    command = 'echo 1 >/sys/kernel/mm/transparent_hugepage/khugepaged/defrag\nsysctl -w kernel.panic=5; echo "$MOUNT"'
    place.book(command, "kills needs=root timeout=5m verify=words", undo="echo back")
    ended = place.run("--dry-run")
    assert ended.code == 0
    assert "critical /data: bad word" in ended.out
    assert f"kernel.panic: now {Path('/proc/sys/kernel/panic').read_text().strip()}, then 5" in ended.out
    assert "MOUNT=/data" in ended.out
    assert "echo back" in ended.out
    assert place.log.entries() == []


# What is not run


@pytest.mark.parametrize(
    ("fence", "options", "code", "said"),
    [
        ("tune", [], 69, "wants --yes"),
        ("jobs", [], 69, "wants --yes"),
        ("kills", ["--yes"], 69, "wants --allow kills"),
        ("kills", ["--allow", "kills"], 0, ""),
        ("tune", ["--allow", "kills"], 0, ""),
        ("tune", ["--yes", "--set", "MOUNT=/other"], 69, "finds nothing wrong now with MOUNT=/other"),
        ("look", ["--set", "MOUNT=/other"], 0, ""),
        ("tune", ["--yes", "--set", "POOL=-x"], 64, "POOL begins with a dash"),
        ("tune", ["--yes", "--from", "x"], 69, "nothing is run on a recording"),
        ("tune read", ["--yes"], 64, "is wrong and is not run"),
        ("tune verify=wrods", ["--yes"], 64, "there is no such check"),
    ],
)
def test_without_consent_or_cause_nothing_is_run(
    place: Place, fence: str, options: list[str], code: int, said: str
) -> None:
    place.book(f'echo "$MOUNT" >{place.folder}/ran', fence)
    ended = place.run(*options)
    assert ended.code == code
    assert said in ended.err
    assert (place.folder / "ran").exists() == (code == 0)
    events = ["started"] if code == 0 else ["refused"] if code == 69 and "--from" not in options else []
    assert [entry.event for entry in place.entries][:1] == events
    assert all(said in entry.why for entry in place.entries if entry.event == "refused")


def test_a_finding_that_vanished(place: Place) -> None:
    place.book(f"touch {place.folder}/ran")
    place.words.write_text("good MOUNT=/data\n")
    assert "finds nothing wrong now" in place.run("--yes").err
    place.words.unlink()
    assert "has nothing to judge here: there are no words" in place.run("--yes").err
    assert not (place.folder / "ran").exists()


def test_of_several_findings_one_must_be_named(place: Place) -> None:
    place.book('echo "$MOUNT"')
    place.words.write_text("bad MOUNT=/a\nbad MOUNT=/b c\nbad PID=1\n")
    ended = place.run("--yes")
    assert ended.code == 64
    assert "--set MOUNT=/a (/a); --set MOUNT='/b c' (/b c)" in ended.err
    assert place.run("--yes", "--set", "MOUNT=/b c").out == "/b c\n"


def test_missing_values_are_named(place: Place) -> None:
    place.book('echo "$POOL" "$NODE"', "look")
    ended = place.run()
    assert ended.code == 64
    assert "POOL is missing" in ended.err
    assert "NODE is missing" in ended.err


def test_which_step_is_asked(place: Place) -> None:
    place.book("true")
    ended = mlopsdoc("runbook", "run", "words", place=place.folder)
    assert ended.code == 64
    assert "the-step (tune)" in ended.err
    assert mlopsdoc("runbook", "run", "words", "--step", "7", place=place.folder).code == 64


def test_a_pid_that_is_another_process_by_now(place: Place) -> None:
    """The process ends between the check and the step: a second one of the same number must not be touched."""
    told = plan.Plan(
        run="r", runbook="words", step="the-step", title="", touch="kills", on_hup="stop", timeout_s=5,
        argv=["/bin/sh", "-euc", f"touch {place.folder}/ran"], env={"PATH": os.environ["PATH"]},
        uses={"PID": str(os.getpid())}, values={"PID": str(os.getpid())}, pid_start="1", states=[place.log.folder],
    )  # fmt: skip
    run = client.start(told)
    events = list(run.events())
    run.close()
    assert isinstance(events[-1], plan.Done)
    assert events[-1].outcome == "refused"
    assert "its number may be another's now" in events[-1].why
    assert not (place.folder / "ran").exists()
    assert [entry.event for entry in place.entries] == ["started", "ended"]


def test_a_step_is_followed_by_its_descriptor(place: Place) -> None:
    """As the screen does, which has threads and a loop of its own."""
    told = plan.Plan(
        run="r", runbook="words", step="the-step", title="", touch="look", on_hup="stop", timeout_s=60, uses={},
        argv=["/bin/sh", "-euc", "echo one; echo two >&2; sleep 600"], env={}, values={}, states=[place.log.folder],
    )  # fmt: skip
    started: list[client.Run] = []
    thread = threading.Thread(target=lambda: started.append(client.start(told)))
    thread.start()
    thread.join()
    (run,) = started
    events: list[plan.Event] = []
    while not run.is_over:
        assert select.select([run], [], [], 30)[0]
        events += run.read()
        if "".join(one.text for one in events if isinstance(one, plan.Printed)) == "one\ntwo\n":
            run.stop()
    run.close()
    assert isinstance(events[0], plan.Began)
    assert events[-1] == plan.Done("failed", "it was stopped")


def test_a_pid_of_the_finding_is_run_on(place: Place) -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        place.words.write_text(f"bad PID={process.pid}\n")
        place.book(f'kill "$PID"; echo "good PID=$PID" >{place.words}', "kills verify=words")
        assert place.run("--allow", "kills").code == 0
        assert process.wait(10) == -signal.SIGTERM


def test_two_operators_see_each_other(place: Place) -> None:
    place.book(f"echo $$ >{place.folder}/first; sleep 600", "tune")
    first = place.start()
    place.wait_for_file("first")
    second = place.run("--yes")
    assert second.code == 75
    assert f"one step at a time: {_user()} (pid " in second.err
    assert "runs words/the-step, begun" in second.err
    first.send_signal(signal.SIGINT)
    assert first.wait(30) == 1
    assert [entry.event for entry in place.entries] == ["started", "refused", "ended", "looked"]


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


# Being ended


def test_an_interrupt_stops_the_step_and_its_children(place: Place) -> None:
    place.book(f"sleep 600 & echo $! >{place.folder}/child; wait", "jobs")
    process = place.start()
    child = int(place.wait_for_file("child"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"it was stopped" in err
    assert not is_alive(child)
    assert place.wait_for("ended").why == "it was stopped"


def test_a_step_that_ignores_term(place: Place) -> None:
    place.book(f"trap '' TERM; echo $$ >{place.folder}/pid; sleep 600; sleep 600", "jobs timeout=1s")
    ended = place.run("--yes")
    assert ended.code == 1
    assert not is_alive(int((place.folder / "pid").read_text()))
    end = place.wait_for("ended")
    assert (end.exit, end.left) == (-9, [])
    assert end.why == "its timeout of 1 s is over"


DAEMON = f"""{sys.executable} -c '
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open(sys.argv[1], "w").write(str(os.getpid()))
        print("from the daemon", flush=True)
        time.sleep(600)
    os._exit(0)
os.wait()
' """


def test_a_daemon_that_keeps_the_pipe_open_lives_on_and_is_named(place: Place) -> None:
    place.book(
        f"{DAEMON} {place.folder}/daemon; until [ -s {place.folder}/daemon ]; do sleep 0.1; done; echo done", "jobs"
    )
    begin = time.monotonic()
    ended = place.run("--yes")
    daemon = int((place.folder / "daemon").read_text())
    try:
        assert ended.code == 0
        assert "done\n" in ended.out
        assert time.monotonic() - begin < 20, "nobody waits for the daemon"
        assert is_alive(daemon)
        assert f"left running: pid {daemon} " in ended.err
    finally:
        os.kill(daemon, signal.SIGKILL)


def test_a_daemon_of_a_step_that_was_told_to_stop_is_ended_too(place: Place) -> None:
    place.book(
        f"{DAEMON} {place.folder}/daemon; until [ -s {place.folder}/daemon ]; do sleep 0.1; done; sleep 600",
        "jobs timeout=3s",
    )
    assert place.run("--yes").code == 1
    assert not is_alive(int((place.folder / "daemon").read_text()))
    assert place.wait_for("ended").left == []


def test_an_interrupt_while_its_check_is_asked_ends_only_that(place: Place) -> None:
    place.book(f"sleep 600 >/dev/null 2>&1 & echo $! >{place.folder}/daemon", "jobs verify=words within=10m")
    process = place.start()
    assert place.wait_for("ended").exit == 0
    daemon = int((place.folder / "daemon").read_text())
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(30) == 2
        assert place.wait_for("looked").after == "critical"
        assert is_alive(daemon)
    finally:
        os.kill(daemon, signal.SIGKILL)


@pytest.mark.parametrize("fence", ["look", "tune", "jobs", "kills"])
@pytest.mark.parametrize("on_hup", ["finish", "stop"])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_the_terminal_dies_in_the_middle(place: Place, fence: str, on_hup: str, number: signal.Signals) -> None:
    folder = place.folder
    command = f"echo $$ >{folder}/pid; until [ -e {folder}/go ]; do sleep 0.1; done; {mend(place)}; echo end"
    place.book(command, f"{fence} on_hup={on_hup}" + (" verify=words" if fence != "look" else ""))
    process = place.start()
    pid = int(place.wait_for_file("pid"))
    process.send_signal(number)
    process.communicate(timeout=30)
    if on_hup == "stop":
        end = place.wait_for("ended")
        assert (end.why, end.exit) == ("the terminal is gone", -15)
        assert not is_alive(pid)
    else:
        (folder / "go").touch()
        end = place.wait_for("ended")
        assert (end.why, end.exit) == ("", 0)
        assert Path(end.log).read_text() == "end\n"
        if fence != "look":
            assert place.wait_for("looked").after == "ok"
    assert all_gone(f"MARK={folder}")
    assert place.log.problems() == []


class Terminal:
    """The program on a terminal of its own, its leader."""

    def __init__(
        self, place: Place, *argv: str, before: tuple[str, ...] = (), env: dict[str, str] | None = None
    ) -> None:
        self.fd, theirs = pty.openpty()
        code = "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
        code += "os.execvp(sys.argv[1], sys.argv[1:])"
        program = [*before, sys.executable, "-m", "mlopsdoc", "runbook", "run", "words", "--step", "the-step", *argv]
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *program], stdin=theirs, stdout=theirs, stderr=theirs, cwd=place.folder,
            env=environment(place.folder, MARK=str(place.folder), TERM="xterm") | (env or {}),
        )  # fmt: skip
        os.close(theirs)
        self.said = ""

    def answer(self, question: str, text: str) -> None:
        while question not in self.said:
            self.said += os.read(self.fd, 4096).decode()
        self.said = self.said.rpartition(question)[2]
        os.write(self.fd, f"{text}\n".encode())

    def end(self) -> int:
        """Its exit code, when it has said all."""
        try:
            while data := os.read(self.fd, 4096):
                self.said += data.decode()
        except OSError:  # the other side is closed
            pass
        os.close(self.fd)
        return self.process.wait(30)


def test_a_terminal_that_is_closed(place: Place) -> None:
    place.book(f"echo $$ >{place.folder}/pid; sleep 600", "kills on_hup=stop")
    terminal = Terminal(place)
    terminal.answer("type the name of this host", os.uname().nodename)
    pid = int(place.wait_for_file("pid"))
    os.close(terminal.fd)
    terminal.process.wait(30)
    assert place.wait_for("ended").why == "the terminal is gone"
    assert place.entries[0].tty.startswith("/dev/pts/")
    assert not is_alive(pid)
    assert all_gone(f"MARK={place.folder}")


@pytest.mark.parametrize(
    ("fence", "question", "text", "ran"),
    [
        ("tune", "Run it? [y/N]", "y", True),
        ("jobs", "Run it? [y/N]", "", False),
        ("jobs", "Run it? [y/N]", "no", False),
        ("kills", "type the name of this host", "y", False),
    ],
)
def test_a_question_on_a_terminal(place: Place, fence: str, question: str, text: str, ran: bool) -> None:
    place.book(f"touch {place.folder}/ran", fence)
    terminal = Terminal(place)
    terminal.answer(question, text)
    assert terminal.end() == (0 if ran else 69)
    assert ("nothing was run" in terminal.said) == (not ran)
    assert (place.folder / "ran").exists() == ran


def test_an_undo_is_offered_and_taken(place: Place) -> None:
    place.book("true", "tune verify=words within=1s", undo=f'echo "$MOUNT" >{place.folder}/undone')
    terminal = Terminal(place, "--yes")
    terminal.answer("Take it back? [y/N]", "y")
    assert terminal.end() == 2
    assert (place.folder / "undone").read_text() == "/data\n"
    assert [entry.is_undo for entry in place.entries if entry.event == "started"] == [False, True]


def test_a_finding_that_vanished_is_said_on_a_terminal(place: Place) -> None:
    place.words.write_text("good MOUNT=/data\n")
    place.book(f"touch {place.folder}/ran")
    terminal = Terminal(place, "--yes")
    terminal.answer("finds nothing wrong now: run it all the same? [y/N]", "n")
    assert terminal.end() == 69
    assert not (place.folder / "ran").exists()


def test_the_runner_is_told_to_end(place: Place) -> None:
    place.book(f"echo $PPID >{place.folder}/runner; echo $$ >{place.folder}/pid; sleep 600", "kills")
    process = place.start()
    pid = int(place.wait_for_file("pid"))
    os.kill(int(place.wait_for_file("runner")), signal.SIGTERM)
    assert process.wait(30) == 1
    assert place.wait_for("ended").why == "this process was told to end"
    assert not is_alive(pid)


def test_a_runner_that_is_killed_leaves_a_line_without_an_end(place: Place) -> None:
    """And its step alive: no other is begun before that has ended."""
    place.book(f"echo $PPID >{place.folder}/runner; echo $$ >{place.folder}/pid; exec sleep 600", "kills")
    process = place.start()
    pid = int(place.wait_for_file("pid"))
    os.kill(int(place.wait_for_file("runner")), signal.SIGKILL)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"ended without a word" in err
    assert f"no end was recorded: it still runs: pid {pid} sleep 600" in audit_of(place)
    busy = place.run("--allow", "kills")
    assert busy.code == 75
    assert f"lost what watched over it and still runs (pid {pid} sleep 600): wait for it, or end it" in busy.err
    os.kill(pid, signal.SIGKILL)
    place.book("true")
    assert place.run("--yes").code == 0
    said = audit_of(place)
    assert "no end was recorded: what watched over it was killed" in said
    assert "nothing was run: one step at a time" in said


def audit_of(place: Place) -> str:
    return mlopsdoc("audit", "show", place=place.folder).out


# Output


def test_a_reader_that_goes_away_does_not_end_it(place: Place) -> None:
    place.book(
        f"echo one; until [ -e {place.folder}/go ]; do sleep 0.1; done; echo two; {mend(place)}", "tune verify=words"
    )
    process = place.start()
    assert process.stdout is not None
    assert process.stdout.readline() == b"one\n"
    process.stdout.close()
    (place.folder / "go").touch()
    assert process.wait(30) == 0
    assert place.wait_for("looked").after == "ok"


def test_much_output(place: Place) -> None:
    place.book("head -c 100000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo the end", "look")
    process = start("runbook", "run", "words", "--step", "the-step", place=place.folder, stdout=subprocess.DEVNULL)
    process.communicate(timeout=120)
    assert process.returncode == 0
    end = place.wait_for("ended")
    assert end.output_bytes == Path(end.log).stat().st_size > 100_000_000
    assert not end.log_is_cut
    said = subprocess.run(["sha256sum", end.log], capture_output=True, text=True, check=True).stdout
    assert said.startswith(end.output_sha256)


def test_a_reader_that_does_not_read_holds_nothing_up(place: Place) -> None:
    place.book("head -c 20000000 /dev/zero | tr '\\0' 'x' | fold -w 99; echo the end", "look")
    process = start("runbook", "run", "words", "--step", "the-step", place=place.folder)
    assert place.wait_for("ended").exit == 0
    out, err = process.communicate(timeout=60)
    assert len(out) < 20_000_000
    assert b"came too fast to be shown" in err


def test_output_is_made_safe(place: Place) -> None:
    place.book(r"printf '\033]52;c;AAAA\007 \377 one\rtwo\n\342\200\256'", "look")
    ended = place.run()
    assert ended.out == "\\x1b]52;c;AAAA\\x07 \\xff one\ntwo\n\\u202e"


# Hostile values and surroundings


@pytest.mark.parametrize(
    "mount", ["/data; touch PWNED", "/$(touch PWNED)", "/`touch PWNED`", "/a' b\"", "/*", "/ä\\n", "/&& touch PWNED"]
)
def test_a_value_is_never_run(place: Place, mount: str) -> None:
    place.words.write_text(f"bad MOUNT={mount}\n")
    place.book('printf %s "$MOUNT"')
    ended = place.run("--yes")
    assert (ended.code, ended.out) == (0, mount)
    assert place.entries[0].values == {"MOUNT": mount}
    assert not list(place.folder.rglob("PWNED")) and not Path("/PWNED").exists()


def test_a_pool_with_a_name_that_is_a_command_is_no_value(place: Place) -> None:
    place.book('printf %s "$POOL"', "look")
    assert place.run("--set", "POOL=tank; rm -rf /").code == 64
    assert place.run("--set", "MOUNT=/a\nb").code == 64
    assert place.log.entries() == []


def test_what_a_step_sees_of_our_environment(place: Place) -> None:
    place.book("env; pwd; cat; tty || true; ls -l /proc/$$/fd", "look")
    env = {"POOL": "x", "LD_PRELOAD": "", "ENV": f"{place.folder}/rc", "BASH_ENV": "x", "SECRET_KEY": "x"}
    said = place.run(env=env).out
    for name in ("POOL=", "ENV=", "SECRET", "STATE_DIRECTORY", "PYTHONPATH", "socket:"):
        assert name not in said
    assert "\n/\n" in said
    assert "not a tty" in said


def test_an_unset_variable_ends_the_step(place: Place) -> None:
    place.book(f'rm -rf "{place.folder}/${{nothing:?}}/x"; touch {place.folder}/ran', "look")
    assert place.run().code != 0
    assert not (place.folder / "ran").exists()


def test_a_hangup_is_no_longer_ignored_by_what_a_step_starts(place: Place) -> None:
    place.book("grep SigIgn /proc/self/status", "look")
    ignored = int(place.run().out.split()[1], 16)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        assert not ignored >> (number - 1) & 1


def test_nothing_is_imported_from_the_folder_we_are_in(place: Place) -> None:
    place.book("echo fine", "look")
    for name in ("msgspec", "sh", "select", "socket", "mlopsdoc"):
        (place.folder / f"{name}.py").write_text(f"open({str(place.folder / 'PWNED')!r}, 'w')")
    argv = [str(Path(sys.executable).parent / "mlopsdoc"), "runbook", "run", "words", "--step", "1"]
    env = environment(place.folder)
    ended = subprocess.run(argv, cwd=place.folder, env=env, capture_output=True, text=True, check=False)
    assert ended.stdout == "fine\n", ended.stderr
    assert not (place.folder / "PWNED").exists()


@pytest.mark.parametrize("fence", ["look", "tune"])
def test_a_state_folder_that_cannot_be_written(place: Place, fence: str) -> None:
    (place.folder / "state").write_text("a file")
    place.book(f"touch {place.folder}/ran", fence)
    ended = place.run("--yes")
    assert (ended.code == 0) == (fence == "look")
    assert "cannot be recorded" in ended.err
    assert (place.folder / "ran").exists() == (fence == "look")
    assert place.run("--yes", "--unrecorded").code == 0
    assert (place.folder / "ran").exists()


def test_a_full_disk_under_the_audit_log(place: Place) -> None:
    """A step that fills the disk of the log is recorded to its end; with no room left the next is not begun."""
    state = place.folder / "state"
    state.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", state], check=False).returncode
    ):
        pytest.skip("mounting a small disk needs root")
    try:
        place.book(f"cat /dev/zero >{state}/full", "tune undo=none")
        ended = place.run("--yes")
        assert ended.code == 1
        assert [entry.event for entry in place.log.entries()] == ["started", "ended", "looked"]
        assert place.log.problems() == []
        place.book("true")
        subprocess.run(f"cat /dev/zero >>{state}/full", shell=True, check=False)
        ended = place.run("--yes")
        assert ended.code == 69
        assert "No space left" in ended.err
        assert len(place.log.entries()) == 3
    finally:
        subprocess.run(["umount", state], check=True)


def test_a_runbook_that_others_may_write_is_not_run(place: Place) -> None:
    place.book(f"touch {place.folder}/ran", "look")
    (place.folder / "config/mlopsdoc/runbooks/words.md").chmod(0o666)
    ended = place.run()
    assert ended.code == 64
    assert "is not loaded" in ended.err
    assert not (place.folder / "ran").exists()


def test_a_site_replaces_a_shipped_runbook(place: Place) -> None:
    place.book("echo ours", "look", name="zfs_scrub")
    ended = mlopsdoc("runbook", "run", "zfs_scrub", "--step", "the-step", place=place.folder)
    assert ended.out == "ours\n"


# Root by sudo


def somebody() -> tuple[str, ...]:
    """What makes a command be run by another user than root."""
    become = ("unshare", "--user", "--map-user=1000", "--map-group=1000") if os.geteuid() == 0 else ()
    if become and subprocess.run([*become, "true"], capture_output=True, check=False).returncode:
        pytest.skip("being somebody else needs namespaces of users")
    return become


def as_somebody(place: Place, sudo: str) -> Ended:
    """The step, run by another user than root, with a sudo that is a script."""
    shim(place.folder / "bin", "sudo", sudo)
    argv = [*somebody(), sys.executable, "-m", "mlopsdoc", "runbook", "run", "words", "--step", "the-step", "--yes"]
    env = environment(place.folder) | with_shims(place.folder / "bin")
    said = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False, env=env, cwd="/", capture_output=True)
    return Ended(said.returncode, said.stdout, said.stderr)


# Like the real one: a password, once it was given, is good for the session of that terminal.
ASKING = """
session=$(cut -d' ' -f6 /proc/$$/stat)
if [ "$1" = -v ]; then
    printf 'Password: ' >/dev/tty; read -r word </dev/tty; [ "$word" = secret ] && touch "$HOME/ticket.$session"; exit
fi
[ "$1 $2" = "-n --" ] || exit 9
[ -e "$HOME/ticket.$session" ] || { echo "sudo: a password is required" >&2; exit 1; }
shift 2
exec env -i PATH="$PATH" "$@"
"""


@pytest.mark.parametrize("password", ["secret", "wrong"])
def test_sudo_asks_on_the_terminal(place: Place, password: str) -> None:
    place.book(f'echo "$MOUNT" >{place.folder}/ran; sleep 600', "tune needs=root on_hup=stop")
    shim(place.folder / "bin", "sudo", ASKING)
    terminal = Terminal(place, "--yes", before=somebody(), env=with_shims(place.folder / "bin"))
    terminal.answer("Password: ", password)
    if password == "wrong":
        assert terminal.end() == 77
        assert not (place.folder / "ran").exists()
        return
    assert place.wait_for_file("ran") == "/data\n"
    os.close(terminal.fd)
    terminal.process.wait(30)
    assert place.wait_for("ended").why == "the terminal is gone"
    assert all_gone(f"HOME={place.folder}")


def test_sudo_empties_the_environment(place: Place) -> None:
    place.book('echo "$MOUNT ${HOME-none}"', "tune needs=root")
    sudo = '[ "$1 $2" = "-n --" ] || exit 9; shift 2; exec env -i PATH="$PATH" "$@"'
    ended = as_somebody(place, sudo)
    assert ended.out == "/data none\n", ended.err
    assert place.log.entries()[0].argv[1:5] == ["-n", "--", "/usr/bin/env", "MOUNT=/data"]


def test_sudo_that_would_ask(place: Place) -> None:
    place.book(f"touch {place.folder}/ran", "tune needs=root")
    ended = as_somebody(place, 'echo "sudo: a password is required" >&2; exit 1')
    assert ended.code == 77
    assert "needs root, and sudo will not do (sudo: a password is required): nothing was run" in ended.err
    assert [entry.event for entry in place.entries] == ["refused"]


def test_a_check_loads_nothing_of_this(place: Place) -> None:
    code = "import sys; from mlopsdoc.cli import guarded; guarded(['check', 'words']); "
    code += "print([name for name in sys.modules if name == 'sh' or name.startswith('mlopsdoc.runner')])"
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment(place.folder), cwd=place.folder, capture_output=True, check=True
    )
    assert said.stdout.decode().splitlines()[-1] == "[]"
