"""A BMC over the network: the real ipmi_sim by ipmitool, and Redfish services that work, hang, refuse and lie."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from mlopsdoc.hosts.bmc import Bmc

from .bmc import CHASSIS, PASSWORD, USER, configure, free_port, service, simulator, tree
from .program import Ended, mlopsdoc


def judged(place: Path, *argv: str, **env: str) -> Ended:
    return mlopsdoc("check", "psu_redundancy", "--json", *argv, place=place, env=env)


def alarms(ended: Ended) -> list[tuple[str, str, str]]:
    findings = ended.check("psu_redundancy")["findings"]
    return [(f["status"], f["subject"], f["code"]) for f in findings if f["status"] in ("warning", "critical")]


STATES: list[tuple[int, dict[str, int], dict[str, int], list[tuple[str, str, str]]]] = [
    (2, {}, {}, []),
    (2, {"b3": 1}, {"b0": 0, "b1": 1}, [("critical", "PSU 2", "no_input")]),
    (2, {"b1": 1}, {"b0": 0, "b1": 1}, [("critical", "PSU 2", "failed")]),
    (2, {"b2": 1}, {}, [("warning", "PSU 2", "predictive")]),
    (2, {"b5": 1}, {}, [("warning", "PSU 2", "out_of_range")]),
    (2, {"b6": 1}, {}, [("warning", "PSU 2", "config")]),
    (2, {"b0": 0}, {"b0": 0, "b1": 1}, [("critical", "PSU 2", "missing")]),
    (2, {}, {"b0": 0, "b1": 1}, [("critical", "host", "redundancy")]),
    (2, {}, {"b0": 0, "b2": 1}, [("warning", "host", "redundancy")]),
    (6, {}, {}, []),
    (6, {"b3": 1}, {"b0": 0, "b2": 1}, [("warning", "PSU 2", "no_input")]),
]


@pytest.mark.parametrize(("supplies", "second", "together", "wanted"), STATES)
def test_the_simulator_live_and_replayed(
    supplies: int, second: dict[str, int], together: dict[str, int], wanted: list[Any], tmp_path: Path
) -> None:
    with simulator(tmp_path, supplies) as bmc:
        configure(tmp_path, "ipmi", bmc.port, more="cipher = 3\n")
        bmc.set(2, **second)
        bmc.set(bmc.redundancy, **together)
        live = judged(tmp_path, "--save", "saved.tar.gz")
    assert alarms(live) == wanted
    assert f"{supplies} power supplies work" in live.out or wanted
    if second:
        assert live.check("psu_redundancy")["findings"][0]["since"].startswith("20")
    replayed = judged(tmp_path, "--from", "saved.tar.gz")
    assert alarms(replayed) == wanted


def test_a_bmc_that_stopped_costs_one_finding(tmp_path: Path) -> None:
    with simulator(tmp_path) as bmc:
        configure(tmp_path, "ipmi", bmc.port, more="cipher = 3\n")
        bmc.stop()
        ended = judged(tmp_path)
    said = ended.check("psu_redundancy")
    assert (ended.code, said["status"], len(said["findings"])) == (3, "unknown", 1)
    assert said["duration_s"] < 30


def test_a_wrong_password_is_unknown(tmp_path: Path) -> None:
    with simulator(tmp_path) as bmc:
        configure(tmp_path, "ipmi", bmc.port, password="wrong", more="cipher = 3\n")
        ended = judged(tmp_path)
    assert ended.check("psu_redundancy")["status"] == "unknown"
    assert "password of [bmc]" in ended.out


def test_no_secret_is_in_argv() -> None:
    bmc = Bmc("10.0.0.9", user="watcher", password_file="/etc/mlopsdoc/bmc")
    assert " -f /etc/mlopsdoc/bmc sdr elist" in " ".join(bmc.ipmitool(("sdr", "elist")))
    assert " -E sdr elist" in " ".join(Bmc("10.0.0.9").ipmitool(("sdr", "elist")))


def test_a_password_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    configure(tmp_path, "redfish", free_port(), mode=0o644)
    ended = judged(tmp_path)
    assert "bmc.password may be read by others (mode 0644)" in ended.check("config")["reason"]
    assert ended.check("psu_redundancy")["status"] == "skipped"


PLAIN = "plain = true\n"
NO_INPUT = {"Status": {"State": "Enabled", "Health": "Critical"}, "LineInputStatus": "LossOfInput"}


@pytest.mark.parametrize(("second", "wanted"), [({}, []), (NO_INPUT, [("critical", "PSU 2", "no_input")])])
def test_redfish_live_and_replayed(second: dict[str, Any], wanted: list[Any], tmp_path: Path) -> None:
    with service(tree(second)) as bmc:
        configure(tmp_path, "redfish", bmc.server_port, more=PLAIN)
        live = judged(tmp_path, "--save", "saved.tar.gz")
        assert len(bmc.asked) == len(set(bmc.asked)) == 8
    assert alarms(live) == wanted
    assert wanted or "1250 W are drawn, and without one of 2 x 2200 W" in live.out
    assert PASSWORD not in live.out and USER not in live.out
    replayed = judged(tmp_path, "--from", "saved.tar.gz")
    assert alarms(replayed) == wanted


@pytest.mark.parametrize(
    ("path", "answer", "wanted"),
    [
        ("", 401, "user or password is wrong"),
        ("", 403, "this user may not see it"),
        ("", 503, "the service is busy"),
        ("", 302, "it sends us to another host"),
        ("", 500, "it answers 500"),
        ("", b"<html>", "is not JSON"),
        ("", b"[" * 100000, "is not JSON"),
        ("", b" " * (1 << 20) + b"{}", "larger than 1 MiB"),
        ("/Self/Supplies/2", 503, "did not tell of /redfish/v1/Chassis/Self/Supplies/2"),
        ("/Self/Supplies", 404, "did not tell of /redfish/v1/Chassis/Self/Supplies"),
    ],
)
def test_a_broken_service_is_never_ok(path: str, answer: int | bytes, wanted: str, tmp_path: Path) -> None:
    with service(tree(), {CHASSIS + path: answer}) as bmc:
        configure(tmp_path, "redfish", bmc.server_port, more=PLAIN)
        ended = judged(tmp_path)
    assert (ended.code, ended.check("psu_redundancy")["status"]) == (3, "unknown")
    assert wanted in ended.out and not alarms(ended)


def test_what_only_adds_to_a_supply_may_be_broken(tmp_path: Path) -> None:
    with service(tree(), {CHASSIS + "/Self/Environment": 500}) as bmc:
        configure(tmp_path, "redfish", bmc.server_port, more=PLAIN)
        said = judged(tmp_path).check("psu_redundancy")
    assert [finding["code"] for finding in said["findings"]] == ["margin"]
    assert "what is drawn is not known" in said["findings"][0]["summary"]


def test_nobody_listens(tmp_path: Path) -> None:
    configure(tmp_path, "redfish", free_port(), more=PLAIN)
    ended = judged(tmp_path)
    assert "nobody listens there" in ended.check("psu_redundancy")["reason"]


def test_a_service_that_hangs_costs_one_deadline_and_one_finding(tmp_path: Path) -> None:
    """It is stopped: the kernel still takes the connection, and nothing comes."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        configure(tmp_path, "redfish", deaf.getsockname()[1], more=PLAIN)
        said = judged(tmp_path).check("psu_redundancy")
    assert (said["status"], len(said["findings"])) == ("unknown", 1)
    assert "no answer" in said["reason"] and said["duration_s"] < 20


def test_a_certificate_that_the_bmc_signed_itself(tmp_path: Path) -> None:
    """Refused; taken where its fingerprint is pinned; refused again where it is another."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    try:
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", "/CN=bmc"]
        subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    from hashlib import sha256

    pin = sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    with service(tree()) as bmc:
        bmc.socket = context.wrap_socket(bmc.socket, server_side=True)
        said: list[dict[str, Any]] = []
        for more in ("", f'fingerprint = "{pin}"\n', f'fingerprint = "{"0" * 64}"\n'):
            configure(tmp_path, "redfish", bmc.server_port, more=more)
            said.append(judged(tmp_path).check("psu_redundancy"))
    assert [one["status"] for one in said] == ["unknown", "ok", "unknown"]
    assert "bmc.fingerprint" in said[0]["reason"] and "another than" in said[2]["reason"]


def test_ipmi_password_of_the_environment(tmp_path: Path) -> None:
    with service(tree()) as bmc:
        folder = tmp_path / "config/mlopsdoc"
        folder.mkdir(parents=True)
        (folder / "config.toml").write_text(
            f'[bmc]\naddress = "127.0.0.1"\nport = {bmc.server_port}\nuser = {json.dumps(USER)}\n{PLAIN}'
        )
        assert "no password" in judged(tmp_path).check("config")["reason"]
        assert judged(tmp_path, IPMITOOL_PASSWORD=PASSWORD).check("psu_redundancy")["status"] == "ok"
