"""Whether there is an NVIDIA GPU, where nothing tells what it does: its signs in recordings of other people."""

from __future__ import annotations

from mlopsdoc import Answer, CannotSee, Host, NothingHere
from mlopsdoc.facts.asked import asked, kernel_line
from mlopsdoc.facts.pci import UEVENTS

# What the kernel's module says of a GPU: `NVRM: Xid (PCI:0000:1b:00): 79, ...`, `NVRM: GPU 0000:1b:00.0: ...`,
# `nvidia 0000:1b:00.0: enabling device`; `NVRM: No NVIDIA GPU found.` speaks of none.
KERNEL_SIGNS = (b"NVRM: Xid", b"NVRM: GPU ", b"NVRM: loading NVIDIA", b"NVRM: The NVIDIA", b"nvidia 0000:")
DISPLAYS = ("vga compatible controller", "3d controller")


def unseen(host: Host) -> NothingHere | CannotSee:
    """Why no GPU is known of a recording: none is there, or nobody looked, or what was asked told nothing."""
    if was_listed(host):
        return NothingHere("no NVIDIA GPU")
    tried = asked(host, "nvidia-smi")
    absent = [answer for answer in tried if answer.status == "absent"]
    there = [answer for answer in tried if answer.status not in ("absent", "not_captured")]
    if there:
        return CannotSee(f"the NVIDIA GPUs: {_told_nothing(there[-1])}")
    why = "nvidia-smi is not installed" if absent else "what nvidia-smi says is not in this recording"
    if line := kernel_line(host, *KERNEL_SIGNS):
        return CannotSee(f"the NVIDIA GPUs: the kernel names one ({line[:160]}), {why}")
    listed = asked(host, "lspci")
    displays = [line for answer in listed if answer.said for line in _displays(answer)]
    if any("nvidia" in line for line in displays):
        return CannotSee(f"the NVIDIA GPUs: lspci names one, {why}")
    return nothing_here(host)


def nothing_here(host: Host) -> NothingHere:
    """No GPU is there; or, in a recording, nobody looked, or it names one and tells nothing of it: not the same."""
    if was_listed(host):
        return NothingHere("no NVIDIA GPU")
    printed = (answer.text for answer in asked(host, "nvidia-smi") if answer.said)
    if kernel_line(host, *KERNEL_SIGNS) or any("GPU" in text for text in printed):
        return NothingHere("what the NVIDIA GPUs do is not in this recording")
    if any(answer.status == "ok" for answer in asked(host, "lspci")):
        return NothingHere("no NVIDIA GPU")
    absent = any(answer.status == "absent" for answer in asked(host, "nvidia-smi"))
    also = "nvidia-smi is not installed; " if absent else ""
    return NothingHere(f"{also}whether there is an NVIDIA GPU is not in this recording")


def was_listed(host: Host) -> bool:
    """Whether the devices on PCI were looked at, as they are on a host itself: what they say there they say here."""
    return host.is_live or host.tree(UEVENTS).listing.status in ("ok", "absent")


def _displays(answer: Answer) -> list[str]:
    lines = (line[:400].casefold() for line in answer.text.splitlines())
    return [line for line in lines if any(kind in line for kind in DISPLAYS)]


def _told_nothing(answer: Answer) -> str:
    command = answer.key.removeprefix("run ")
    if not answer.said:
        return f"{command}: {answer.why or answer.status}"
    if not answer.text.strip():
        is_part = answer.status == "truncated"
        return f"a filter or a cut left nothing of what {command} printed" if is_part else f"{command} printed nothing"
    return f"what {command} printed does not tell of them"
