"""The process that runs the checks, again and again, and tells the screen what they say.

It is forked before textual is imported, so that both load at once, and holds no terminal: neither a stalled
terminal nor a hung question can stop the other side. It ends when the screen has gone.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from itertools import count
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from mlopsdoc.tui import CannotOpen, settle

if TYPE_CHECKING:
    from mlopsdoc.engine import Ledger
    from mlopsdoc.examination import Setup
    from mlopsdoc.hosts.base import Host
    from mlopsdoc.hosts.nursery import Nursery
    from mlopsdoc.hosts.recorder import Recording
    from mlopsdoc.model import Result, Source
    from mlopsdoc.tui import Opening
    from mlopsdoc.tui.wire import Again, Order, Said, Touch

    # Opens a host for one round; the argument tells whether answers that are still fresh will do.
    Rounds: TypeAlias = Callable[[bool], AbstractContextManager[tuple[Host, list[Source]]]]

REST_S = 2.0
KEEP_EVERY_S = 60.0  # a report for the next start of the screen


def serve(channel: socket.socket, opening: Opening | None) -> NoReturn:
    """Hold rounds until the other end of the channel is closed."""
    try:
        _detach()
        if opening is None:
            from mlopsdoc.hosts.nursery import Nursery

            _live(channel, Nursery())  # before any thread and any heavy import
        else:
            _recorded(channel, opening)
    except CannotOpen as error:
        from mlopsdoc.tui import wire

        wire.send(channel, wire.Closed(str(error), error.code))
    except Exception as error:
        from mlopsdoc.engine import described
        from mlopsdoc.tui import wire

        wire.send(channel, wire.Trouble(described(error)))
    finally:
        os._exit(0)


def _detach() -> None:
    """Leave the terminal: keys, hang-ups and output of this process do not concern it."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    for number in (signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def _live(channel: socket.socket, nursery: Nursery) -> None:
    orders = Orders(channel)
    from contextlib import contextmanager

    from mlopsdoc import config, examination
    from mlopsdoc.hosts.live import Live
    from mlopsdoc.hosts.recorder import Recorder

    states = config.state_folders()
    setup = examination.set_up()
    live = Live(nursery, states=states, bmc=setup.settings.bmc)
    known: Recording | None = None

    @contextmanager
    def rounds(fresh_will_do: bool) -> Generator[tuple[Host, list[Source]], None, None]:
        nonlocal known
        live.renew(setup.settings.timeout_s)
        recorder = Recorder(live, still_fresh(known, live.now()) if known and fresh_will_do else None)
        yield recorder, [examination.live_source(live)]
        examination.remember(recorder, states)
        if known is None:  # not before all is on the screen
            Thread(target=_watch, args=(orders,), daemon=True).start()
        known = recorder.recording

    Examiner(channel, setup, rounds, live=True, states=states).work(orders, every_s=REST_S)


def _watch(orders: Orders) -> None:
    """Ask everything anew when a device has come or gone: a GPU that falls off the bus, a drive that is pulled."""
    from mlopsdoc.probes import devices

    for _ in devices.changes():
        orders.again()


def _recorded(channel: socket.socket, open_it: Opening) -> None:
    opened = open_it()
    orders = Orders(channel)
    from contextlib import contextmanager

    from mlopsdoc import examination, opening

    @contextmanager
    def rounds(_: bool) -> Generator[tuple[Host, list[Source]], None, None]:
        with opening.in_time([source.path for source in opened[1]]):
            yield opened

    setup = examination.set_up(site=False, own=opened[0].recording.profile)
    Examiner(channel, setup, rounds, live=False).work(orders, every_s=None)


def devices(ledger: Ledger) -> list[list[str]]:
    """The GPUs by what an eye looks for first; nothing where none is seen."""
    from mlopsdoc.authoring import Want
    from mlopsdoc.facts.gpu_processes import GpuProcesses
    from mlopsdoc.facts.gpus import Gpus

    wanted = {"gpus": Want(Gpus, optional=True), "processes": Want(GpuProcesses, optional=True)}
    found = ledger.gather(wanted)
    gpus: Gpus | None = found["gpus"]
    processes: GpuProcesses | None = found["processes"]
    rows: list[list[str]] = []
    for gpu in gpus or ():
        numbers = ((gpu.utilization, "%"), (gpu.temperature_c, "C"), (gpu.power_w, "W"), (gpu.sm_mhz, "MHz"))
        hurts = processes.hurts(gpu.id) if processes else ()
        who = dict.fromkeys(" ".join(filter(None, (h.user, h.job and f"job {h.job}"))) for h in hurts)
        said = ["-" if number is None else f"{number:.0f} {unit}" for number, unit in numbers]
        rows.append([gpu.label, *said, ", ".join(filter(None, who))])
    return rows


def still_fresh(known: Recording, now: float) -> Recording:
    """The answers that are young enough to be judged again, by the table of lanes."""
    from mlopsdoc.hosts.lanes import rule_for

    return known.part(lambda answer: 0 <= now - answer.at < rule_for(answer.key).fresh_s)


class Orders:
    """What the screen wants, read by a thread that ends this process when the screen has gone."""

    def __init__(self, channel: socket.socket) -> None:
        self._queue: SimpleQueue[Order] = SimpleQueue()
        self._paused = False
        Thread(target=self._listen, args=(channel,), daemon=True).start()

    def _listen(self, channel: socket.socket) -> None:
        from mlopsdoc.tui.wire import Unpacker

        unpacker = Unpacker()
        try:
            while data := channel.recv(1 << 16):
                for order in unpacker.orders(data):
                    self._queue.put(order)
        finally:
            os._exit(0)

    def again(self) -> None:
        from mlopsdoc.tui.wire import Again

        self._queue.put(Again())

    def next(self, every_s: float | None) -> Again | Touch | None:
        """The next wish, or None when it is time to look again."""
        from mlopsdoc.tui.wire import Pause

        while True:
            try:
                order = self._queue.get(timeout=None if self._paused else every_s)
            except Empty:
                return None
            if not isinstance(order, Pause):
                return order
            self._paused = order.on


class Examiner:
    """Holds rounds, and says what is new in each."""

    def __init__(
        self, channel: socket.socket, setup: Setup, rounds: Rounds, *, live: bool, states: Sequence[str] = ()
    ) -> None:
        from mlopsdoc.tui import wire

        self._channel = channel
        self._setup = setup
        self._rounds = rounds
        self._wire = wire
        self._states = states
        self._kept = -KEEP_EVERY_S
        self._results: dict[str, Result] = {}
        self._told: dict[str, Result] = {}
        planned = [wire.Planned(check.id, check.area, check.title) for check in setup.checks]
        self._say(wire.Plan(live, planned, setup.catalog.runbooks))

    def _say(self, message: Said) -> None:
        self._wire.send(self._channel, message)

    def work(self, orders: Orders, every_s: float | None) -> None:
        from mlopsdoc.engine import described
        from mlopsdoc.hosts.refusals import Refused

        wish: Again | Touch | None = self._wire.Again()
        for number in count():
            try:
                if isinstance(wish, self._wire.Touch):
                    self._touch(wish)
                else:
                    self._round(wish)
            except (BrokenPipeError, ConnectionError):
                return
            except Exception as error:
                why = str(error) if isinstance(error, Refused) else described(error)
                self._say(self._wire.Trouble(why))
            if not number:
                settle()
            wish = orders.next(every_s)

    def _round(self, wish: Again | None) -> None:
        """All checks, over fresh answers where there are any; with a wish, what it names and all answers new."""
        from msgspec.structs import replace

        from mlopsdoc import examination, latest, seen
        from mlopsdoc.engine import Ledger

        started = time.monotonic()
        only = wish.check if wish else ""
        setup = replace(self._setup, checks=[c for c in self._setup.checks if only in ("", c.id)])
        with self._rounds(wish is None) as (host, sources):
            ledger = Ledger(host)
            for result in examination.examine(setup, ledger):
                self._results[result.id] = result
                self._tell()
            results = list(self._results.values())
            report = examination.report(self._setup, ledger, results, sources, started)
            if self._states and started - self._kept > KEEP_EVERY_S:
                report = seen.told(report, ledger, self._states)
                latest.keep(self._states, report)
                self._kept = started
            elif self._states:
                report = seen.recalled(report, ledger, self._states)
            self._say(self._wire.Made(report))
            self._say(self._wire.Devices(devices(ledger)))

    def _touch(self, wish: Touch) -> None:
        from mlopsdoc.engine import Ledger
        from mlopsdoc.runner.touched import touched

        with self._rounds(True) as (host, _):
            self._say(self._wire.Touched(touched(wish.text, wish.touch, wish.values, Ledger(host))))

    def _tell(self) -> None:
        """Say every result that differs from what was said of it, folded as things stand now."""
        from msgspec.structs import replace

        from mlopsdoc import causes

        for result in causes.fold(list(self._results.values()), self._setup.catalog.checks):
            timeless = replace(result, duration_s=0.0)
            if self._told.get(result.id) != timeless:
                self._told[result.id] = timeless
                self._say(self._wire.Came(result))
