"""What ``lspci -vvv`` says of links and of ACS, in recordings: whole, of one device, or lines that were picked out."""

from __future__ import annotations

from mlopsdoc import Answer, Fact, Line
from mlopsdoc.patterns import compiled

GENERATIONS = {"2.5": 1, "5": 2, "5.0": 2, "8": 3, "8.0": 3, "16": 4, "16.0": 4, "32": 5, "32.0": 5, "64": 6, "64.0": 6}
_HEAD = r"((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) (\S.{0,200})"
_LINK = r"Speed ([0-9.]{1,4})GT/s[^,]{0,20}, Width x([0-9]{1,2})\b"
_BUSES = r"secondary=([0-9a-f]{2}), subordinate=([0-9a-f]{2})"
_KEYS = ("LnkCap:", "LnkSta:", "ACSCtl:", "Bus: primary", " Express ", "!!! Unknown header")


class PciPort(Fact, frozen=True):
    """A device of PCIe and its link, generation and lanes: what is, and what it can; None where that is not told.

    kind: ``Root Port``, ``Upstream Port``, ``Downstream Port``, ``Endpoint``. buses: the first and the last one below
    a bridge. redirects: whether ACS sends requests of one device below to another one up to the root (ReqRedir).
    """

    slot: str = ""
    head: str = ""
    kind: str = ""
    generation: int | None = None
    width: int | None = None
    max_generation: int | None = None
    max_width: int | None = None
    buses: tuple[int, int] | None = None
    redirects: bool | None = None
    downgraded: bool = False  # it says that it can have more lanes, which may be all that was picked out
    line: Line | None = None

    @property
    def is_told(self) -> bool:
        return self.width is not None


def ports(answer: Answer) -> list[PciPort]:
    """Every device; lines without the head of theirs are devices without a slot::

        17:00.0 PCI bridge: Broadcom / LSI PEX890xx PCIe Gen 5 Switch (rev b0) (prog-if 00 [Normal decode])
                Bus: primary=16, secondary=17, subordinate=1f, sec-latency=0
                Capabilities: [68] Express (v2) Upstream Port, MSI 00
                        LnkCap: Port #0, Speed 32GT/s, Width x16, ASPM L1, Exit Latency L1 <32us
                        LnkSta: Speed 16GT/s (downgraded), Width x8 (downgraded)
                        ACSCtl: SrcValid+ TransBlk- ReqRedir+ CmpltRedir+ UpstreamFwd+ EgressCtrl- DirectTrans-
    """  # fmt: skip
    found: list[dict[str, object]] = []
    for text in answer.text.split("\n") if answer.said else ():
        if head := compiled(_HEAD).match(text) if text[:1].isalnum() else None:
            slot = head[1] if head[1].count(":") == 2 else f"0000:{head[1]}"
            found.append({"slot": slot, "head": head[2], "line": Line(answer.key, text[:200])})
        elif any(key in text for key in _KEYS):
            _add(found, text.strip()[:200], answer.key)
    return [PciPort(**device) for device in found]  # type: ignore[arg-type]


def _add(found: list[dict[str, object]], text: str, key: str) -> None:
    label, _, said = text.partition(":")
    name = {"LnkCap": "max_width", "LnkSta": "width", "ACSCtl": "redirects"}.get(label)
    if name is None and not found:
        return
    if not found or (name and name in found[-1]):
        found.append({})
    device = found[-1]
    if name == "redirects" and ("ReqRedir+" in said or "ReqRedir-" in said):
        device |= {"redirects": "ReqRedir+" in said}
        device.setdefault("line", Line(key, text))
    elif name and (link := compiled(_LINK).search(said)):
        device |= {name: int(link[2]), name.replace("width", "generation"): GENERATIONS.get(link[1])}
        if name == "width" and "downgraded" in said.partition("Width")[2]:
            device["downgraded"] = True
        device["line"] = Line(key, " ".join(filter(None, (str(device.get("slot", "")), text))))
    elif label == "Bus" and (buses := compiled(_BUSES).search(said)):
        device["buses"] = (int(buses[1], 16), int(buses[2], 16))
    elif " Express " in text:
        device["kind"] = next((k for k in ("Root Port", "Upstream Port", "Downstream Port") if k in said), "Endpoint")
