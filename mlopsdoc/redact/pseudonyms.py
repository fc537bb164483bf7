"""Keyed pseudonyms: the same value gives the same one everywhere, in the shape that parsers and people expect.

    host     gpu-17.corp.example.com              host-k7f3qa.dom-m2xw.example
    user     mara                                 userq7ka
    ipv4     10.20.0.11, 10.20.0.12               240.93.201.77, 240.93.201.75     (the same subnet stays the same)
    ipv6     2001:db8:1::5                        4f3a:...                         (a range that nobody has)
    mac      04:3f:72:aa:00:01                    06:3f:72:1b:9e:c4                (the maker stays)
    uuid     GPU-5f0c9a1e-7b34-4d2f-9a61-...      GPU-91d2c0ee-03af-4b17-a2c8-...
    serial   S6CKNT0WA01127                       K1WXPR8QC77302                   (letters and digits where they were)
    secret   anything                             REDACTED

Who has the key can tell whether a pseudonym is that of a value he knows; who has it not cannot.
"""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, IPv6Network

SECRET = "REDACTED"
_LOWER, _UPPER, _DIGITS, _HEX = (
    "abcdefghijklmnopqrstuvwxyz",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "0123456789",
    "0123456789abcdef",
)
# Private networks keep a range of their own, of those that nobody has (240.0.0.0/4): first octet, bits that stay.
_PRIVATE = ((0x0A000000, 8, 240), (0xAC100000, 12, 241), (0xC0A80000, 16, 242), (0x64400000, 10, 243))
_LINK_LOCAL = IPv6Network("fe80::/10")


class Pseudonyms:
    """The pseudonyms that one key gives. `issued`: those given so far, which are never replaced again."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._known: dict[tuple[str, str], str] = {}
        self._trees: dict[tuple[str, int, int], int] = {}
        self.issued: set[str] = {SECRET.lower()}
        self.values: dict[str, set[str]] = {}
        self._make: dict[str, Callable[[str], str]] = {
            "host": self._host,
            "domain": lambda value: f"dom-{self._word('domain', value, 4)}.example",
            "user": lambda value: f"user{self._word('user', value, 4)}",
            "email": self._email,
            "ipv4": self._ipv4,
            "ipv6": self._ipv6,
            "mac": self._mac,
            "guid": self._mac,
            "uuid": self._uuid,
            "serial": self._serial,
            "secret": lambda _: SECRET,
        }

    @property
    def name(self) -> str:
        """Tells which key it was, and nothing about it."""
        return self._stream("name", "", 6).hex()

    def of(self, kind: str, value: str) -> str:
        """The pseudonym of a value; what is one already stays, and so does ``0x``."""
        if self.is_ours(value):
            return value
        if kind in ("serial", "guid") and value[:2].lower() == "0x":
            return value[:2] + self.of(kind, value[2:])
        known = self._known.get((kind, value))
        if known is None:
            known = self._known[kind, value] = self._make[kind](value)
            self.issued.add(known.lower())
            if known != value:
                self.values.setdefault(kind, set()).add(value.lower())
        return known

    def is_ours(self, value: str) -> bool:
        low = value.lower()
        return low in self.issued or (low.startswith("0x") and low[2:] in self.issued)

    def _stream(self, kind: str, value: str, size: int) -> bytes:
        """`size` bytes (at most 2040) that only the key, the kind and the value, in small letters, decide."""
        about = f"{kind}\0{value.lower()}".encode("utf-8", "surrogateescape")
        blocks = (hmac.digest(self._key, about + bytes([n]), "sha256") for n in range(size // 32 + 1))
        return b"".join(blocks)[:size]

    def _word(self, kind: str, value: str, size: int) -> str:
        return b32encode(self._stream(kind, value, 20)).decode().lower()[:size]

    def _host(self, value: str) -> str:
        """Of a name with its domain, both."""
        name, dot, domain = value.partition(".")
        made = f"host-{self._word('host', name, 6)}"
        self.issued.add(made)
        return f"{made}.{self.of('domain', domain)}" if dot and domain else made

    def _email(self, value: str) -> str:
        name, _, domain = value.partition("@")
        return f"{self.of('user', name)}@{self.of('domain', domain)}"

    def _serial(self, value: str) -> str:
        """Letters and digits of the same kind at the same places; of a GUID the maker stays, as in a MAC."""
        is_hex = not value.lower().strip(_HEX)
        if is_hex and len(value) == 16 and not value.isdecimal():
            return self.of("guid", value)
        made = list[str]()
        for char, byte in zip(value, self._stream("serial", value, len(value)), strict=False):
            if char in _DIGITS:  # a number in JSON does not begin with 0
                made.append(_DIGITS[byte % 10] if char == "0" or made else _DIGITS[byte % 9 + 1])
            elif char in _LOWER:
                made.append(_LOWER[byte % 6 if is_hex else byte % 26])
            else:
                made.append(_UPPER[byte % 6 if is_hex else byte % 26] if char in _UPPER else char)
        return "".join(made)

    def _hex(self, value: str, kind: str, kept: Callable[[int], bool]) -> str:
        """Other hexadecimal digits for those that are not kept; separators and case stay."""
        plain = "".join(char for char in value.lower() if char in _HEX)
        new = self._stream(kind, plain, len(plain) // 2 + 1).hex()
        made, at = list[str](), 0
        is_upper = value != value.lower()
        for char in value:
            if char.lower() in _HEX:
                digit = char.lower() if kept(at) else new[at]
                made.append(digit.upper() if is_upper else digit)
                at += 1
            else:
                made.append(char)
        return "".join(made)

    def _uuid(self, value: str) -> str:
        """Version and variant stay."""
        return self._hex(value, "uuid", lambda at: at in (12, 16))

    def _mac(self, value: str) -> str:
        """The maker stays, and the bit says that the address was not given by it."""
        made = self._hex(value, "mac", lambda at: at < 6)
        second = f"{int(made[1], 16) | 2:x}"
        return made[0] + (second.upper() if made[1] in _UPPER else second) + made[2:]

    def _flipped(self, kind: str, number: int, width: int, stay: int) -> int:
        """Prefix-preserving: whether a bit flips is decided by all bits before it. The first `stay` bits stay.

        One digest for an octet: its bits are a tree, in which the bits of the octet so far lead to the next.
        """
        made = number >> (width - stay) if stay else 0
        for at in range(stay, width):
            before, in_octet = number >> (width - at), at % 8
            place = kind, at - in_octet, before >> in_octet
            tree = self._trees.get(place)
            if tree is None:
                about = "\0".join(map(str, place)).encode()
                tree = self._trees[place] = int.from_bytes(hmac.digest(self._key, about, "sha256"), "big")
            flip = tree >> (1 << in_octet | before & ((1 << in_octet) - 1)) & 1
            made = made << 1 | ((number >> (width - at - 1) & 1) ^ flip)
        return made

    def _ipv4(self, value: str) -> str:
        number = int(IPv4Address(value))
        for network, bits, first in _PRIVATE:
            if number >> (32 - bits) == network >> (32 - bits):
                made = self._flipped("ipv4", number, 32, bits) & 0xFFFFFF | first << 24
                break
        else:
            first = 244 + self._stream("octet", str(number >> 24), 1)[0] % 11
            made = self._flipped("ipv4", number, 32, 8) & 0xFFFFFF | first << 24
        if number & 0xFF in (0, 0xFF):  # a network and its broadcast stay recognisable
            made = made & ~0xFF | number & 0xFF
        return str(IPv4Address(made))

    def _ipv6(self, value: str) -> str:
        """Of a link-local address the interface, by its MAC where it has one; others go to a range nobody has."""
        address = IPv6Address(value)
        number = int(address)
        if address.ipv4_mapped is not None:
            mapped = f"::ffff:{self.of('ipv4', str(address.ipv4_mapped))}"
            return IPv6Address(mapped).exploded if value == address.exploded else mapped
        if address in _LINK_LOCAL:
            end = number & ((1 << 64) - 1)
            if end >> 24 & 0xFFFF == 0xFFFE:
                mac = (end >> 40 ^ 0x020000) << 24 | end & 0xFFFFFF
                new = int(self.of("mac", mac.to_bytes(6, "big").hex(":")).replace(":", ""), 16)
                end = ((new >> 24) ^ 0x020000) << 40 | 0xFFFE << 24 | new & 0xFFFFFF
            else:
                end = int.from_bytes(self._stream("interface", f"{end:x}", 8), "big")
            made = IPv6Address(number >> 64 << 64 | end)
        else:
            made = IPv6Address(self._flipped("ipv6", number, 128, 0) & ((1 << 125) - 1) | 0b010 << 125)
        return made.exploded if value == address.exploded else str(made)
