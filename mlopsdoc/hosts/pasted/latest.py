"""What counts of several outputs of one command: one answer of all that was said to one question."""

from __future__ import annotations

from collections.abc import Sequence

from mlopsdoc.hosts.base import Answer, AnswerStatus
from mlopsdoc.hosts.pasted.files import Said
from mlopsdoc.hosts.pasted.segments import CAP, is_log

WEAK: tuple[AnswerStatus, ...] = ("absent", "denied")


def _latest(key: str, said: Sequence[Said]) -> Sequence[Said]:
    """What counts of several outputs: the last whole one, and parts after it that say something else.

    Logs and tables of other columns add up.
    """
    left: dict[str, list[Said]] = {}  # by columns
    last = said[0]
    known: set[str] | None = set()  # the lines of the last one; None until somebody wants to know
    for part in said:
        columns = _columns(part) if "--query-" in key else ""
        if part.status == "failed":
            left = {}
        elif not is_log(key) and (part.status == "ok" or part.is_anew or not left):
            left.pop(columns, None)
            left[columns] = [part]
        else:
            if not is_log(key):
                known = set(last.text.split("\n")) if known is None else known
                if known.issuperset(part.text.split("\n")):
                    continue
            left.setdefault(columns, []).append(part)
        last, known = part, None
    return [part for group in left.values() for part in group]


def _columns(said: Said) -> str:
    return said.text.lstrip().partition("\n")[0]


def joined(key: str, parts: Sequence[Said]) -> Answer:
    """One answer of all that was said to one question, in order.

    What was said outweighs what was refused; of a failure and a success, and of two whole outputs, the later counts.
    """
    said: Sequence[Said] = [part for part in parts if part.status not in WEAK]
    if not said:
        return Answer(key, parts[-1].status, why=parts[-1].why)
    last = said[-1]
    if last.status == "failed":
        data = last.text.encode("utf-8", "surrogateescape")
        return Answer(key, "failed", data, stderr=data, why=last.why)
    said = _latest(key, said)
    texts = [part.text for part in said]
    text = "".join(text if text.endswith("\n") or not text else f"{text}\n" for text in texts)
    if len(texts) == 1:
        text = texts[0]
    is_part = any(part.status == "truncated" for part in said) or len(text) > 2 * CAP
    text = text[-CAP:] if is_log(key) else text[: 2 * CAP]
    return Answer(key, "truncated" if is_part else "ok", text.encode("utf-8", "surrogateescape"))
