"""The addresses (GIDs) of RoCE ports, and the row of their table that NCCL was told to use."""

from __future__ import annotations

from collections.abc import Iterator

from mlopsdoc import Answer, Host, Line
from mlopsdoc.facts.asked import asked
from mlopsdoc.facts.rdma import CLASS, Addresses, Gid
from mlopsdoc.patterns import compiled

VARIABLE = "NCCL_IB_GID_INDEX"
FILES = ("/etc/nccl.conf", "/etc/environment")  # of every job
ROW = r"\s*(\S{1,63})\s+([0-9]{1,3})\s+([0-9]{1,3})\s+([0-9a-f:]{15,39})\s(?:.{0,40}\s)?v([12])\b"
ENTRY = r"\s*GID\[ *([0-9]{1,3})\]:\s+([0-9a-fA-F:.]{3,45})(?:, RoCE v([12]))?"


def addresses(host: Host, *, has_peers: bool) -> Addresses:
    """The table of every port, where a row of it is asked for, or where ports may be held against each other."""
    index, line = _wanted(host)
    if index is None and not has_peers:
        return Addresses()
    return Addresses(tuple(_gids(host, index)), index, line)


def _wanted(host: Host) -> tuple[int | None, Line | None]:
    """``NCCL_IB_GID_INDEX=3`` of the files that hold for all jobs, or of an environment that was shown."""
    answers = [host.read(path) for path in FILES] + asked(host, "env") + asked(host, "printenv")
    for answer in answers:
        for line in answer.text.splitlines() if answer.said and VARIABLE in answer.text else ():
            match = compiled(rf"(?:export )?{VARIABLE}=[\"']?([0-9]{{1,3}})[\"']?\s*").fullmatch(line.strip())
            if match:
                return int(match[1]), Line(answer.key, line.strip())
    return None, None


def _gids(host: Host, index: int | None) -> Iterator[Gid]:
    """``fe80:0000:0000:0000:0e42:a1ff:fe10:2030`` of ports/1/gids/0, ``RoCE v2`` of ports/1/gid_attrs/types/0; else::

    DEV     PORT    INDEX   GID                                     IPv4            VER     DEV
    mlx5_0  1       3       0000:0000:0000:0000:0000:ffff:0a00:0007 10.0.0.7        v2      ens1np0

    of show_gids, or of ``ibv_devinfo -v``::

    GID[  3]:               ::ffff:10.0.0.7, RoCE v2
    """
    for name in ("[0-9]",) if index is None or index < 10 else ("[0-9]", str(index)):
        types = host.tree(f"{CLASS}/*/ports/*/gid_attrs/types/{name}")
        for path, answer in host.tree(f"{CLASS}/*/ports/*/gids/{name}").items():
            kind = types.get(path.replace("/gids/", "/gid_attrs/types/"))
            parts, said = path.split("/"), answer.text.strip()[:39]
            if said and parts[6].isdecimal() and parts[8].isdecimal():
                kinds = kind.text.strip() if kind and kind.said else ""  # an empty row has none
                line = Line(answer.key, f"{said} {kinds}".strip())
                yield Gid(parts[4], int(parts[6]), int(parts[8]), said, 2 if "v2" in kinds else 1, line)
    for answer in asked(host, "show_gids"):
        for text in answer.text.splitlines() if answer.said else ():
            if match := compiled(ROW).match(text):
                line = Line(answer.key, " ".join(text.split()))
                yield Gid(match[1], int(match[2]), int(match[3]), match[4], int(match[5]), line)
    for answer in (*asked(host, "ibv_devinfo -v"), *asked(host, "ibv_devinfo")):
        yield from _entries(answer)


def _entries(answer: Answer) -> Iterator[Gid]:
    device, number = "", 1
    for text in answer.text.splitlines() if answer.said else ():
        if match := compiled(r"\s*(hca_id|port):\s+(\S{1,63})\s*").fullmatch(text):
            device = match[2] if match[1] == "hca_id" else device
            number = int(match[2]) if match[1] == "port" and match[2].isdecimal() else 1
        elif match := compiled(ENTRY).match(text):
            line = Line(answer.key, " ".join(text.split()))
            yield Gid(device, number, int(match[1]), match[2].lower(), int(match[3] or 1), line)
