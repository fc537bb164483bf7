"""Tables that a narrow terminal has wrapped, put together again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mlopsdoc.patterns import compiled

_FIRST = r"[+|][-=+]{39,}$"
_REST = r"[-=+]{0,119}[+|]$"


def unwrapped(lines: Iterable[str]) -> Iterator[str]:
    """The lines, those of a wrapped table of nvidia-smi as they were::

        +-------------------------------------
        ----------------+
        | NVIDIA-SMI 580.95.05
         CUDA: 13.0     |

    Its border tells how wide the table was, and where it was cut. Nothing is joined that does not come out so wide.
    """
    held, at, width = "", 0, 0  # a line that may be half of one; where lines end; how wide the table is
    for line in lines:
        bare = line.rstrip("\r\n")
        if not held:
            is_half = (at and bare[:1] in ("|", "+") and len(bare) <= at) or compiled(_FIRST).match(bare)
            if is_half and not (not at and bare.endswith(("+", "|"))):
                held = line
            else:
                at = 0
                yield line
            continue
        first = held.rstrip("\r\n")
        if compiled(_FIRST).match(first) and compiled(_REST).match(bare) and len(bare) < len(first):
            at, width = len(first), len(first) + len(bare)
        whole = first.ljust(at) + bare
        if at and len(whole) == width and whole.endswith(("|", "+")):
            yield whole + line[len(bare) :]
            held = ""
            continue
        yield held
        held, at = "", 0
        yield line
    if held:
        yield held
