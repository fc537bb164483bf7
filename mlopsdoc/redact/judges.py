"""What a match must be besides its pattern: an address and no version, a serial number and no word."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from re import Match

from mlopsdoc.redact.rules import VERSION, compiled


def is_address(name: str) -> bool:
    """Whether this is an IPv4 address."""
    try:
        IPv4Address(name)
    except ValueError:
        return False
    return True


def is_unversioned(number: int) -> bool:
    """Whether an IPv4 address is of a private network whose numbers no version has: 10.1.0.27 is one of a library."""
    return number >> 20 == 0xAC1 or number >> 16 == 0xC0A8 or number >> 22 == 0x64400000 >> 22


def _is_host(value: str, match: Match[str]) -> bool:
    return not value.isdecimal() and not value.endswith((".", "-", "_")) and any(map(str.isalnum, value))


def _is_serial(value: str, match: Match[str]) -> bool:
    return any(map(str.isdecimal, value)) and len(set(value.lower())) > 2 and not value.startswith("0000:")


def _is_secret(value: str, match: Match[str]) -> bool:
    return not (value.isdecimal() and len(value) < 6) and not value.startswith(("*", "/dev/", "${")) and len(value) > 1


def _before(match: Match[str], chars: int = 1) -> str:
    return match.string[max(0, match.start(1) - chars) : match.start(1)]


def _is_uuid(value: str, match: Match[str]) -> bool:
    return len(set(value.lower()) - {"-", "_"}) > 1


def _is_mac(value: str, match: Match[str]) -> bool:
    before = _before(match)
    if before and (before in "0123456789ABCDEFabcdef:.-" or (value[4] == "." and before.isalnum())):
        return False
    if value[4] == "." and value.replace(".", "").isdecimal() and compiled(VERSION).search(_before(match, 48).lower()):
        return False
    return len(set(value.lower()) - {":", "-", "."}) > 1


def _is_ipv4(value: str, match: Match[str]) -> bool:
    """No version, no netmask, and none of the addresses that every host has."""
    if compiled(r"[A-Za-z0-9.+~]").match(_before(match)):
        return False
    try:
        number = int(IPv4Address(value))
    except ValueError:
        return False
    if _before(match) == "_" and not is_unversioned(number):  # cudnn_9.1.0.70
        return False
    text, start, end = match.string, match.start(1), match.end(1)
    before = text[max(0, start - 48) : start].rpartition("\n")[2].lower()
    if before[-1:] == "-" and not compiled(r"[0-9]\.[0-9]{1,3}-\Z").search(before):
        return False
    if text[end : end + 1] == "-" and not compiled(r"[0-9]{1,3}\.[0-9]").match(text, end + 1):
        return False
    if before.endswith("==") or compiled(VERSION).search(before):
        return False
    if number >> 24 in (0, 127) or number >= 0xE0000000 or number >> 16 == 0xA9FE:
        return False
    flipped = ~number & 0xFFFFFFFF
    return bool(flipped & (flipped + 1)) or number >> 24 != 0xFF


def _is_ipv6(value: str, match: Match[str]) -> bool:
    """``0::`` of a control group, a time and ``a::b`` of a program are none."""
    if len(value) > 45 or ("::" not in value and value.count(":") < 6):
        return False
    around = _before(match) + match.string[match.end(1) : match.end(1) + 1]
    if compiled(r"[0-9A-Za-z:.]").search(around.rstrip(".")):
        return False
    try:
        address = IPv6Address(value)
    except ValueError:
        return False
    groups = [group for group in value.split(":") if group]
    if "::" in value and (len(groups) < 2 or len(groups[0]) < 2 or not any(map(str.isdecimal, value))):
        return False
    is_made = int(address) >> 125 == 0b010
    return not is_made and not address.is_multicast and not address.is_loopback and int(address) >> 32 != 0


JUDGES: dict[str, Callable[[str, Match[str]], bool]] = {
    "host": _is_host,
    "user": _is_host,
    "serial": _is_serial,
    "secret": _is_secret,
    "uuid": _is_uuid,
    "mac": _is_mac,
    "guid": _is_mac,
    "ipv4": _is_ipv4,
    "ipv6": _is_ipv6,
}
