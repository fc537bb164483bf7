"""What tools print of RDMA ports, and what of /sys is no port of this host."""

from __future__ import annotations

import pytest

from mlopsdoc import catalog
from mlopsdoc.engine import run
from mlopsdoc.hosts.base import Answer
from mlopsdoc.hosts.recorder import Recording, Replay
from mlopsdoc.model import Result
from mlopsdoc.profile import Profile

PORT = "read /sys/class/infiniband/mlx5_2/ports/1"
IBSTAT = """CA '{0}'
\tCA type: MT4123
\tNumber of ports: 1
\tFirmware version: {1}
\tPort 1:
\t\tState: {2}
\t\tPhysical state: {3}
\t\tRate: {4}
\t\tSM lid: 4
\t\tLink layer: InfiniBand
"""
WELL = ("20.43.2566", "Active", "LinkUp", "200")
DEVINFO = """hca_id:\tmlx5_0
\tfw_ver:\t\t\t\t20.43.2566
\tboard_id:\t\t\tMT_0000000223
\t\tport:\t1
\t\t\tstate:\t\t\t{0}
\t\t\tphys_state:\t\t{1}
\t\t\tlink_layer:\t\t{2}
"""
IBSTATUS = """Infiniband device 'mlx5_0' port 1 status:
\tsm lid:\t\t 0x0
\tstate:\t\t 2: INIT
\tphys state:\t 5: LinkUp
\trate:\t\t 200 Gb/sec (4X HDR)
\tlink_layer:\t InfiniBand
"""
GIDS = """DEV\tPORT\tINDEX\tGID\t\t\t\t\tIPv4  \t\tVER\tDEV
---\t----\t-----\t---\t\t\t\t\t------------  \t---\t---
{0}n_gids_found={1}
"""
LOCAL, ROUTED = "fe80:0000:0000:0000:ba59:9fff:fe11:7a2c", "0000:0000:0000:0000:0000:ffff:0a1e:0105"


def ibstat(*ports: tuple[str, ...]) -> str:
    return "".join(IBSTAT.format(f"mlx5_{n}", *port) for n, port in enumerate(ports))


def devinfo(*states: str) -> str:
    """Of as many InfiniBand cards."""
    texts = [DEVINFO.format(state, "LINK_UP (5)", "InfiniBand") for state in states]
    return "".join(text.replace("mlx5_0", f"mlx5_{n}") for n, text in enumerate(texts))


def hw(**counters: str) -> dict[str, str]:
    return {f"{PORT}/hw_counters/{name}": f"{count}\n" for name, count in counters.items()}


def gids(*rows: tuple[int, str, str]) -> str:
    lines = [
        f"mlx5_0\t1\t{index}\t{gid}\t{'10.30.1.5' if 'ffff' in gid else ''}\t{v}\tens1\n" for index, gid, v in rows
    ]
    return GIDS.format("".join(lines), len(rows))


def judged(answers: dict[str, str], status: str = "truncated") -> Result:
    recording = Recording(0.0, unlisted="not_captured")
    for key, text in answers.items():
        recording.answers[key] = Answer(key, "truncated" if status == "truncated" else "ok", text.encode())
    (result,) = run([catalog.find(drop_ins=False).checks["rdma_ports"]], Replay(recording), Profile())
    return result


@pytest.mark.parametrize(
    ("answers", "status", "words"),
    [
        ({}, "skipped", ""),
        ({"run ibstat": ibstat(WELL, WELL)}, "ok", "2 of 2 ports up: 2 at 200"),
        ({"run ibstat": ibstat(WELL, WELL, WELL, ("20.43.2566", "Down", "Polling", "10"))}, "ok", "3 of 4 ports up"),
        ({"run ibstat": ibstat(WELL, WELL, ("20.43.2566", "Down", "Polling", "10"))}, "ok", "2 of 3 ports up"),
        ({"run ibstat": ibstat(WELL, ("20.43.2566", "Down", "Disabled", "10"))}, "ok", "1 of 2 ports up"),
        ({"run ibstat": ibstat(WELL, ("20.43.2566", "Initializing", "LinkUp", "200"))}, "warning", "no subnet manager"),
        ({"run ibstat": ibstat(WELL, WELL, WELL, (*WELL[:3], "100"))}, "ok", "1 at 100"),  # of another board, it may be
        ({"run ibstat": ibstat(WELL, WELL, (*WELL[:3], "100"))}, "ok", "1 at 100"),
        ({"run ibstat": ibstat(WELL, ("20.39.1002", *WELL[1:]))}, "ok", ""),
        ({"run ibv_devinfo": devinfo("PORT_DOWN (1)", *["PORT_ACTIVE (4)"] * 3)}, "warning", "of 3 equal"),
        ({"run ibv_devinfo": devinfo("PORT_DOWN (1)", *["PORT_ACTIVE (4)"] * 2)}, "ok", "2 of 3 ports up"),
        ({"run ibv_devinfo": devinfo(*["PORT_ACTIVE (4)"] * 2).replace("2566", "1002", 1)}, "warning", "1002 on"),
        ({"run ibstat": ibstat(("", "Down", "LinkErrorRecovery", "10"))}, "critical", "trained again and again"),
        ({"run ibstat": "CA 'mlx5_0'\n\tPort 1:\n\t\tSta"}, "skipped", ""),
        ({f"{PORT}/state": "4: ACTIVE\n", "run ibstat": ibstat(("", "Armed", "LinkUp", "200"))}, "warning", "ARMED"),
        ({"run ibstat": "\x00'\n\tPort 99999:\n\t\tState: Down\n"}, "skipped", ""),
        ({"run ibstatus": IBSTATUS}, "warning", "INIT, should be ACTIVE"),
        ({"run ibv_devinfo": DEVINFO.format("PORT_INIT (2)", "LINK_UP (5)", "InfiniBand")}, "warning", "INIT"),
        ({"run ibv_devinfo": DEVINFO.format("PORT_DOWN (1)", "DISABLED (3)", "Ethernet")}, "ok", ""),
        ({"run ibv_devinfo -v": DEVINFO.format("PORT_ACTIVE (4)", "LINK_UP (5)", "Ethernet")}, "ok", "1 of 1"),
        ({"run rdma link": "link mlx5_0/1 state ACTIVE physical_state LINK_UP netdev ens1np0 \n"}, "ok", "1 of 1"),
        ({"run rdma link": "link mlx5_0/1 subnet_prefix fe80:0:0:0 lid 7 sm_lid 0 lmc 0 state INIT "
          "physical_state LINK_UP \n"}, "warning", "no subnet manager"),
        ({f"{PORT}/state": "4: ACTIVE\n", f"{PORT}/rate": "N/A\n"}, "ok", "1 of 1"),
        (hw(local_ack_timeout_err="100000"), "warning", "local_ack_timeout_err 100000 since its counters began"),
        (hw(local_ack_timeout_err="80000"), "unknown", "whether the links of mlx5_2 are up"),
        (hw(out_of_sequence="9000000"), "unknown", ""),  # InfiniBand over several ways, for all we know
        (hw(out_of_sequence="9000000", np_cnp_sent="7"), "warning", "packets are lost"),
        (hw(np_cnp_sent="99000000", symbol_error="N/A (no PMA)"), "unknown", ""),
    ],
)  # fmt: skip
def test_words(answers: dict[str, str], status: str, words: str) -> None:
    result = judged(answers)
    assert result.status.value == status, result
    assert words in " ".join(finding.summary for finding in result.findings)


@pytest.mark.parametrize(
    ("index", "rows", "words"),
    [
        (3, [(0, LOCAL, "v1"), (1, LOCAL, "v2"), (2, ROUTED, "v1"), (3, ROUTED, "v2")], ""),
        (3, [(0, LOCAL, "v1"), (1, LOCAL, "v2"), (6, ROUTED, "v1"), (7, ROUTED, "v2")], "10.30.1.5 is at index 7"),
        (1, [(0, LOCAL, "v1"), (1, LOCAL, "v2"), (2, ROUTED, "v1"), (3, ROUTED, "v2")], "GID 1 is a link-local"),
        (1, [(0, LOCAL, "v1"), (1, LOCAL, "v2")], ""),  # has no other
        (9, [(0, LOCAL, "v1"), (1, LOCAL, "v2"), (2, ROUTED, "v1"), (3, ROUTED, "v2")], ""),  # may have been cut off
        (2, [(1, LOCAL, "v2"), (3, ROUTED, "v2")], ""),  # `show_gids | grep v2`
    ],
)
def test_gid_index(index: int, rows: list[tuple[int, str, str]], words: str) -> None:
    answers = {"run show_gids": gids(*rows), "run env": f"NCCL_IB_GID_INDEX={index}\n"}
    result = judged(answers)
    assert result.status.value == ("warning" if words else "unknown"), result
    assert words in " ".join(finding.summary for finding in result.findings)
    assert judged({"run show_gids": gids(*rows)}).status.value == "skipped"


def test_a_virtual_machine_has_virtual_functions_only() -> None:
    device = "/sys/class/infiniband/mlx5_{0}"
    function = "DRIVER=mlx5_core\nPCI_CLASS=20700\nPCI_ID=15B3:101E\nPCI_SLOT_NAME=0000:0{0}:00.0\n"
    answers = {f"read {device.format(n)}/device/uevent": function.format(n) for n in range(4)}
    answers |= {f"read {device.format(n)}/ports/1/state": "4: ACTIVE\n" for n in range(4)}
    assert "4 of 4 ports up" in judged(answers).findings[0].summary
    card = function.replace("101E", "101B").format(9)
    answers |= {f"read {device.format(9)}/device/uevent": card, f"read {device.format(9)}/ports/1/state": "4: ACTIVE\n"}
    assert "1 of 1 ports up" in judged(answers).findings[0].summary
