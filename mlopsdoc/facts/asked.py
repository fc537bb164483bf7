"""What a recording of other people was asked: they type a command in more ways than a table can have."""

from __future__ import annotations

from mlopsdoc import Answer, Host, NothingHere
from mlopsdoc.hosts.recorder import Replay

KERNEL = ("run dmesg", "run journalctl", "run journalctl -k")


def asked(host: Host, start: str) -> list[Answer]:
    """The answers to the commands that begin with these words, in the order in which they were given; none live.

    `order` of an answer is larger for what stands later in one text.
    """
    if not isinstance(host, Replay):
        return []
    answers = host.recording.answers
    keys = [f"run {start}", *host.keys(f"run {start} ")]
    return sorted([answers[key] for key in keys if key in answers], key=order)


def none_here(host: Host, none: str, unseen: str, looked: bool) -> NothingHere:
    """There is none; or, where other people's recording has nothing that would list it, nobody looked."""
    return NothingHere(none if host.is_live or looked else f"{unseen} is not in this recording")


def order(answer: Answer) -> int:
    """Where it stands in the text it was taken from; 0 where that is not known."""
    found: int = getattr(answer, "order", 0)
    return found


def kernel_line(host: Host, *signs: bytes) -> str:
    """The last line of the kernel's that has one of these, in a recording; empty where there is none."""
    for key in KERNEL:
        answer = host.run(*key.split(" ")[1:]) if isinstance(host, Replay) else None
        data = answer.data if answer is not None and answer.said else b""
        if (at := max(data.rfind(sign) for sign in signs)) >= 0:
            line = data[data.rfind(b"\n", 0, at) + 1 : at + 400].partition(b"\n")[0][-500:]
            return line.decode("utf-8", "replace").strip()
    return ""
