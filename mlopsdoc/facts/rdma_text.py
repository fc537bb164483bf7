"""What ibstat, ibstatus, ibv_devinfo, rdma and mlxlink print of RDMA ports, in recordings of other people."""

from __future__ import annotations

from mlopsdoc import Answer, Host
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.lines import whole_lines
from mlopsdoc.facts.rdma import Told
from mlopsdoc.hosts.base import split
from mlopsdoc.patterns import compiled

TOOLS = ("ibstat", "ibstatus", "ibv_devinfo", "ibv_devinfo -v", "mlxlink")
# Their words -> the names of the files in /sys that say the same.
NAMES = {
    "state": "state", "physical state": "phys_state", "phys state": "phys_state", "phys_state": "phys_state",
    "rate": "rate", "link layer": "link_layer", "link_layer": "link_layer",
    "board_id": "board_id", "firmware version": "fw_ver", "fw_ver": "fw_ver",
}  # fmt: skip
DEVICE = r"\s*(?:CA '|Infiniband device '|hca_id:\s+)([\w.-]{1,63})(?:' port ([0-9]{1,3}) status:)?"
PORT = r"\s*(?:Port ([0-9]{1,3}):|port:\s+([0-9]{1,3}))\s*"
LINK = r"\s*link ([\w.-]{1,63})/([0-9]{1,3}) (.{1,400})"


def add(host: Host, told: Told) -> None:
    """What is not known of a port yet."""
    for tool in TOOLS:
        for answer in asked(host, tool):
            if answer.said:
                _blocks(answer, told)
    for answer in asked(host, "rdma link"):
        for line in whole_lines(answer) if answer.said else ():
            if match := compiled(LINK).match(line):
                said = dict(zip(*[iter(match[3].split())] * 2))
                _tell(told, answer, match[1], int(match[2]), "state", said.get("state", ""))
                _tell(told, answer, match[1], int(match[2]), "phys_state", said.get("physical_state", ""))


def _blocks(answer: Answer, told: Told) -> None:
    """The ports of any of::

    CA 'mlx5_0'                      Infiniband device 'mlx5_0' port 1 status:    hca_id: mlx5_0
            CA type: MT4129                  state:           4: ACTIVE                   fw_ver:        28.39.1002
            Firmware version: 28.39.1002     phys state:      5: LinkUp                   board_id:      MT_0000000838
            Port 1:                          rate:            400 Gb/sec (4X NDR)         port:   1
                    State: Active            link_layer:      InfiniBand                         state: PORT_ACTIVE (4)
                    Rate: 400                                                                    link_layer: Ethernet
    """
    words = split(answer.key)
    device, number = words[words.index("-d") + 1] if "-d" in words[:-1] else "", 0
    card: list[tuple[str, str]] = []
    for line in whole_lines(answer):
        if match := compiled(DEVICE).match(line):
            device, number, card = match[1], int(match[2] or 0), []
            continue
        if match := compiled(PORT).fullmatch(line):
            number = int(match[1] or match[2])
            for name, value in card:
                _tell(told, answer, device, number, name, value)
            continue
        name, colon, value = line.partition(":")
        known = NAMES.get(name.strip().lower()) if colon else None
        if known in ("board_id", "fw_ver") and not number:
            card.append((known, value.strip()))
        elif known and device:
            _tell(told, answer, device, number or 1, known, value.strip())


def _tell(told: Told, answer: Answer, device: str, number: int, name: str, value: str) -> None:
    """``PORT_ACTIVE (4)``, ``4: ACTIVE``, ``Active``: without their numbers."""
    if name != "rate":
        value = compiled(r"^[0-9]: | \([0-9]{1,2}\)$").sub("", value)
    if value:
        told.setdefault((device, number), {"key": answer.key}).setdefault(name, value[:200])
