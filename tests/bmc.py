"""A BMC to ask: the real ipmi_sim on loopback, with supplies of our own; and a small Redfish service."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest

CHASSIS = "/redfish/v1/Chassis"
USER, PASSWORD = "watcher", "s3cret-of-a-bmc"  # IPMI has room for 16
CONFIG = """name "node"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid 0123456789abcdef0123456789abcdef
  endlan
  user 2 true "{user}" "{password}" user 10 none md2 md5 straight
  user 3 true "keeper" "keeper" admin 10 none md2 md5 straight
  console 127.0.0.1 {console}
"""
BMC = "0x20 0"
START = ("mc_setbmc 0x20", "mc_add 0x20 0x20 no-device-sdrs 0x01 0x01 0x73 0x9f 0x2a7c 0x0971 persist_sdr",
         "sel_enable 0x20 100 0x0a")  # fmt: skip


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Simulator:
    """A running ipmi_sim with so many supplies (sensors 1, 2, ..) and a sensor of their redundancy after these."""

    def __init__(self, place: Path, supplies: int) -> None:
        self.port, self._console = free_port(), free_port()
        self.redundancy = supplies + 1
        lines = list(START)
        for number in range(1, supplies + 1):
            lines += _discrete(number, f"PS{number} Status", (0x08, 0x6F), (10, number), 0x7F)
        lines += _discrete(self.redundancy, "PS Redundancy", (0x08, 0x0B), (19, 1), 0xFF)
        (place / "node.emu").write_text("\n".join([*lines, "mc_enable 0x20", ""]))
        said = CONFIG.format(port=self.port, console=self._console, user=USER, password=PASSWORD)
        (place / "lan.conf").write_text(said)
        (place / "sim").mkdir()
        argv = ["ipmi_sim", "-n", "-c", "lan.conf", "-f", "node.emu", "-s", "sim"]
        log = (place / "sim.log").open("wb")
        with log:
            self.process = subprocess.Popen(argv, cwd=place, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.say("sel_enable 0x20 100 0x0a")
        self._tool("sel", "time", "set", "now")

    def _tool(self, *argv: str) -> None:
        how = ("-I", "lanplus", "-C", "3", "-H", "127.0.0.1", "-p", str(self.port), "-U", "keeper", "-P", "keeper")
        subprocess.run(["ipmitool", *how, *argv], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)

    def say(self, command: str) -> None:
        """To its console, which is there once it runs."""
        until = time.monotonic() + 20
        while True:
            try:
                console = socket.create_connection(("127.0.0.1", self._console), 5)
                break
            except OSError:
                assert self.process.poll() is None and time.monotonic() < until, "ipmi_sim does not run"
                time.sleep(0.02)
        with console:
            console.settimeout(10)
            _until_prompt(console)
            console.sendall(command.encode() + b"\n")
            _until_prompt(console)

    def set(self, sensor: int, **bits: int) -> None:
        """``set(2, b3=1)``: a state of a sensor begins; with an event in the log."""
        for bit, value in bits.items():
            self.say(f"sensor_set_bit {BMC} {sensor:#04x} {bit[1:]} {value} 1")

    def stop(self) -> None:
        """It is there and answers nobody."""
        self.process.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def _until_prompt(console: socket.socket) -> None:
    said = b""
    while not said.endswith(b"> "):
        part = console.recv(4096)
        assert part, "ipmi_sim closed its console"
        said += part


def _discrete(number: int, name: str, kind: tuple[int, int], entity: tuple[int, int], mask: int) -> list[str]:
    """A sensor of states, of which the first holds; and its record (IPMI 2.0, table 43-2)."""
    bits = f"{mask:015b}"
    sensor = f"{BMC} {number:#04x}"
    low_high = [mask & 0xFF, mask >> 8]
    body = [0x20, 0, number, *entity, 0x67, 0x40, *kind, *low_high * 3, 0xC0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    record = [*body, 0xC0 | len(name), *name.encode()]
    head = [0, 0, 0x51, 2, len(record)]
    return [
        f"sensor_add {sensor} {kind[0]:#04x} {kind[1]:#04x}",
        f"sensor_set_event_support {sensor} enable scanning per-state {bits} {bits} {bits} {bits}",
        *(f"sensor_set_bit {sensor} {bit} {int(bit == 0)} 0" for bit in range(15) if mask >> bit & 1),
        "main_sdr_add 0x20 " + " ".join(f"{byte:#04x}" for byte in head + record),
    ]


@contextmanager
def simulator(place: Path, supplies: int = 2) -> Generator[Simulator]:
    """Skips where the tools are not installed."""
    for tool in ("ipmi_sim", "ipmitool"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    running = Simulator(place, supplies)
    try:
        yield running
    finally:
        running.end()


class Service(ThreadingHTTPServer):
    """A Redfish service of these resources. broken: what is answered instead, by path: a status, or bytes."""

    daemon_threads = True

    def __init__(self, resources: Mapping[str, Any], broken: Mapping[str, int | bytes]) -> None:
        self.resources, self.broken = resources, broken
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = cast(Service, self.server)
        server.asked.append(self.path)
        wanted = "Basic " + b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        broken = server.broken.get(self.path)
        if self.headers["Authorization"] != wanted:
            status, data = 401, b"{}"
        elif isinstance(broken, int):
            status, data = broken, b"<html>no</html>"
        elif broken is not None or self.path in server.resources:
            status, data = 200, broken or json.dumps(server.resources[self.path]).encode()
        else:
            status, data = 404, b"{}"
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if status == 302:
            self.send_header("Location", "http://127.0.0.2/redfish/v1/Chassis")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def tree(second: dict[str, Any] | None = None) -> dict[str, Any]:
    """A service with two chassis, of which the first is a tray without supplies of its own."""
    at = f"{CHASSIS}/Self"
    fine = {"Status": {"State": "Enabled", "Health": "OK"}, "LineInputStatus": "Normal", "PowerCapacityWatts": 2200}
    link = "@odata.id"
    return {
        CHASSIS: {"Members": [{link: f"{CHASSIS}/Tray"}, {link: at}]},
        f"{CHASSIS}/Tray": {"Id": "Tray"},
        at: {"PowerSubsystem": {link: f"{at}/PowerSubsystem"}, "EnvironmentMetrics": {link: f"{at}/Environment"}},
        f"{at}/Environment": {"PowerWatts": {"Reading": 1250}},
        f"{at}/PowerSubsystem": {"PowerSupplies": {link: f"{at}/Supplies"}},
        f"{at}/Supplies": {"Members": [{link: f"{at}/Supplies/1"}, {link: f"{at}/Supplies/2"}]},
        f"{at}/Supplies/1": {"Id": "1", "Name": "Power Supply 1", **fine},
        f"{at}/Supplies/2": {"Id": "2", "Name": "Power Supply 2", **fine, **(second or {})},
    }


@contextmanager
def service(resources: Mapping[str, Any], broken: Mapping[str, int | bytes] | None = None) -> Generator[Service]:
    server = Service(resources, broken or {})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def configure(
    place: Path, over: str, port: int, *, password: str = PASSWORD, mode: int = 0o600, more: str = ""
) -> None:
    """[bmc] in the config.toml of a test's user."""
    secret = place / "bmc.password"
    secret.write_text(password + "\n")
    os.chmod(secret, mode)
    folder = place / "config/mlopsdoc"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.toml").write_text(
        f'[bmc]\naddress = "127.0.0.1"\nport = {port}\nover = "{over}"\nuser = "{USER}"\n'
        f'password_file = "{secret}"\n{more}'
    )
