"""The process that runs one step and watches over it: it holds no terminal, so it outlives one.

It takes the host's lock, records that the step begins before it does, passes output on, ends the step at its timeout
or when told to, records how it ended, and asks the check. When the other end of its channel closes, the terminal is
gone: the step finishes or is stopped, as it says itself, and all is recorded just the same.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from mlopsdoc.clean import one_line
from mlopsdoc.hosts.nursery import Nursery
from mlopsdoc.runner import family
from mlopsdoc.runner.lock import Held, Lock
from mlopsdoc.runner.outlet import Outlet, Output
from mlopsdoc.runner.plan import Began, Done, Ended, Looked, Outcome, Plan, Stopping, plan
from mlopsdoc.runner.record import Record, now
from mlopsdoc.runner.shell import CannotStart, Command

if TYPE_CHECKING:
    from mlopsdoc.model import Status
    from mlopsdoc.runner.judging import Judge

STOP = b"s"
TICK_S = 0.1
LINGER_S = 0.3  # for the last output of a step whose daemon keeps the pipe open
GIVE_UP_S = 5.0  # after which a process that KILL did not end is left
TERMINAL_GONE = "the terminal is gone"
PAUSE_S, LONGEST_PAUSE_S = 1.0, 10.0


def main() -> NoReturn:
    """Serve the channel whose descriptor is the last argument."""
    channel = socket.socket(fileno=int(sys.argv[-1]))
    outlet: Outlet | None = None
    try:
        wanted = _receive(channel)
        if wanted.in_session:
            os.setpgid(0, 0)
        nursery = Nursery() if wanted.check else None  # before any thread and any heavy import
        outlet = Outlet(channel)
        outlet.tell(Supervisor(wanted, outlet, nursery).run())
    except Exception as error:
        outlet = outlet or Outlet(channel)
        outlet.tell(Done("failed", f"a bug in mlopsdoc: {described(error)}"))
    finally:
        if outlet:
            outlet.drain(10)
        os._exit(0)


def _receive(channel: socket.socket) -> Plan:
    data = bytearray()
    while not data.endswith(b"\n"):
        chunk = channel.recv(1 << 16)
        if not chunk:
            os._exit(0)
        data += chunk
    return plan(bytes(data))


class Supervisor:
    """One step, from its lock to its verdict."""

    def __init__(self, wanted: Plan, outlet: Outlet, nursery: Nursery | None) -> None:
        self.plan = wanted
        self.outlet = outlet
        self.nursery = nursery
        self.record = Record(wanted, outlet.tell)
        self.lock: Lock | None = None
        self.why = ""  # why it is being stopped
        self._has_ended = False
        self._kill_at = self._give_up_at = 0.0
        self._wake = _wake_fd()

    def run(self) -> Done:
        try:
            if self.plan.changes:
                self.lock = Lock(f"runs {self.plan.runbook}/{self.plan.step}, begun {now()}")
            busy = self.record.unwatched() if self.plan.changes else ""
        except Held as held:
            busy = str(held)
        if busy:
            self.record.refused(why := one_line(f"one step at a time: {busy}", 1000))
            return Done("refused", why)
        if why := self.record.begin():
            return Done("refused", why)
        done = self._run()
        self.record.close()
        return done

    def _run(self) -> Done:
        family.adopt_orphans()
        output = Output(self.outlet, self.record.log_path)
        started = time.monotonic()
        try:
            if why := self._not_now():
                code, outcome = None, "refused"
            else:
                code, why, outcome = self._step(output), self.why, "failed"
        except CannotStart as error:
            code, why, outcome = None, str(error), "failed"
        except Exception as error:
            self._send(signal.SIGKILL)
            code, why, outcome = None, f"a bug in mlopsdoc: {described(error)}", "failed"
        left = [family.described(pid) for pid in self._family()] if code is not None or self.why else []
        ended = Ended(code, round(time.monotonic() - started, 3), output.size, one_line(why), left)
        self._has_ended = True
        self.record.ended(ended, output)
        output.close()
        self.outlet.tell(ended)
        if outcome == "refused":
            return Done("refused", why)
        return self._judge(code == 0 and not self.why, why or _ending(code))

    # The step

    def _not_now(self) -> str:
        """Why the step cannot begin after all, or nothing."""
        pid = self.plan.values.get("PID", "")
        if self.plan.pid_start and "PID" in self.plan.uses and family.start_of(int(pid)) != self.plan.pid_start:
            return f"process {pid} has ended, and its number may be another's now: nothing was run"
        self._listen(0)
        return f"{self.why or TERMINAL_GONE}: nothing was run" if self.why or self._is_deserted() else ""

    def _is_deserted(self) -> bool:
        return not self.outlet.is_open and self.plan.on_hup == "stop"

    def _step(self, output: Output) -> int | None:
        """The exit code; None where it could not be ended."""
        command = Command(self.plan.argv, self.plan.env, output.fd, in_session=self.plan.in_session)
        output.begun()
        self.outlet.tell(Began(command.pid, output.path))
        until = time.monotonic() + self.plan.timeout_s
        while True:
            self._listen(TICK_S, output)
            code, clock = command.ended(), time.monotonic()
            if code is not None and (not self.why or not self._family()):
                break
            if clock >= until:
                self._stop(f"its timeout of {self.plan.timeout_s:.0f} s is over")
            if self._is_deserted():
                self._stop(TERMINAL_GONE)
            if self.why and clock >= self._kill_at:
                if clock >= self._give_up_at:
                    break
                self._send(signal.SIGKILL)
                self._kill_at = clock + 0.5
        self._last_words(output)
        return code

    def _stop(self, why: str) -> None:
        if not self.why:
            self.why = why
            self._kill_at = time.monotonic() + self.plan.grace_s
            self._give_up_at = self._kill_at + GIVE_UP_S
            self.outlet.tell(Stopping(why))
            if not self._has_ended:  # what a step leaves running is not ended with its check
                self._send(signal.SIGTERM)

    def _family(self) -> list[int]:
        return family.descendants(but=[self.nursery.pid] if self.nursery else ())

    def _send(self, number: signal.Signals) -> None:
        denied = family.send(self._family(), number)
        if denied and self.plan.by_sudo:  # they are root's, and we are not
            argv = [self.plan.argv[0], "-n", "--", "/bin/kill", "-s", number.name[3:], "--", *map(str, denied)]
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=5, check=False)

    def _last_words(self, output: Output) -> None:
        until = time.monotonic() + LINGER_S
        while not output.is_over and (left := until - time.monotonic()) > 0:
            self._listen(left, output)
        output.rest()

    # Whoever watches

    def _listen(self, seconds: float, output: Output | None = None) -> None:
        """Wait for output, orders, and others who ask; no longer than that."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        if self.lock:
            poll.register(self.lock.fd, select.POLLIN)
        if self.outlet.is_open:
            poll.register(self.outlet.channel, select.POLLIN | (select.POLLOUT if self.outlet.waiting else 0))
        if output and not output.is_over:
            poll.register(output.reader, select.POLLIN)
        ready = dict(poll.poll(seconds * 1000))
        if output and output.reader in ready:
            output.take()
        elif output:
            output.rest()
        if self.lock and self.lock.fd in ready:
            self.lock.tell()
        if self._wake in ready:
            os.read(self._wake, 100)
            self._stop("this process was told to end")
        if self.outlet.is_open and self.outlet.channel.fileno() in ready:
            self.outlet.flush()
            self._obey()

    def _obey(self) -> None:
        try:
            orders = self.outlet.channel.recv(100)
        except BlockingIOError:
            return
        except OSError:
            orders = b""
        if not orders:
            self.outlet.is_open = False
        elif STOP in orders:
            self._stop("it was stopped")

    # The verdict

    def _judge(self, is_well: bool, why: str) -> Done:
        """What the check says: of a step that names one, until it is ok or its time is over; else once."""
        failed: Outcome = "fine" if is_well else "failed"
        if self.nursery is None or self.why == TERMINAL_GONE:
            return Done(failed, "" if is_well else why)
        from mlopsdoc.model import Status
        from mlopsdoc.runner.judging import Judge

        judge = Judge(self.nursery, self.plan.check, root=self.plan.root, states=self.plan.states)
        status, words = self._asked(judge, self.plan.within_s if self.plan.verify and is_well else 0)
        self.record.looked(status.value, words)
        if not is_well or not self.plan.verify:
            return Done(failed, "" if is_well else why)
        if status.is_alarm:
            return Done("not_ok", words)
        return Done("fine") if status is Status.OK else Done("not_known", f"{status.value}: {words}")

    def _asked(self, judge: Judge, within_s: float) -> tuple[Status, str]:
        from mlopsdoc.model import Status
        from mlopsdoc.runner.judging import verdict

        until, pause = time.monotonic() + within_s, PAUSE_S
        while True:
            status, words = verdict(judge.look(), self.plan.values, self.plan.others)
            is_last = status is Status.OK or time.monotonic() + pause > until
            self.outlet.tell(Looked(status, words, is_last))
            if is_last or self._rest(pause):
                return status, words
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _rest(self, seconds: float) -> bool:
        """Whether somebody wants no more of it."""
        until = time.monotonic() + seconds
        while not self.why and (left := until - time.monotonic()) > 0:
            self._listen(min(left, 1.0))
        return bool(self.why)


def described(error: BaseException) -> str:
    """An error on one line, with the place it comes from."""
    from mlopsdoc import engine

    return engine.described(error)


def _ending(code: int | None) -> str:
    if code is None:
        return "it could not be ended"
    return f"ended by signal {-code}" if code < 0 else f"exit code {code}"


def _wake_fd() -> int:
    """A descriptor that gets readable when this process is told to end; a hang-up is none of its business."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def wake(*_: object) -> None:
        with suppress(OSError):
            os.write(writer, b"!")

    def nothing(*_: object) -> None:
        """Not SIG_IGN, which a step would inherit."""

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, wake)
    for number in (signal.SIGHUP, signal.SIGTTOU, signal.SIGTTIN):
        signal.signal(number, nothing)
    return reader
