"""What `--plain` says: the list, findings, checks and pages of the screen, as lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlopsdoc.clean import clean, one_line
from mlopsdoc.cli.output import USAGE, Stop, note, render, say
from mlopsdoc.report.sparkline import PLAIN_BARS
from mlopsdoc.tui import pages, terminal
from mlopsdoc.tui.board import SHOWN, Row, rows
from mlopsdoc.tui.lines import Lines
from mlopsdoc.tui.words import Line, as_text

if TYPE_CHECKING:
    from mlopsdoc.model import Finding
    from mlopsdoc.runbook.parse import Runbook

WIDE = 100_000  # a paragraph is a line: whoever reads it wraps it
MOST = 30  # lines that are found
FEW = 8  # of so many findings the list tells what they hurt and what to do


class Reading:
    """The board in words. sources: of a recording."""

    def __init__(self, lines: Lines, sources: Sequence[str]) -> None:
        self.lines, self.board, self.sources = lines, lines.board, sources
        self._shown = "problems"
        self._is_ascii = not terminal.draws_lines()
        if self._is_ascii:
            self.board.changes.bars = PLAIN_BARS
        self.said = ("", "")  # what was said last: its name, and all of it

    def tell(self, name: str, text: str) -> None:
        """Say it; it can be copied and searched until something else is said."""
        self.said = (name, clean(text))
        say(self.said[1].encode("ascii", "backslashreplace").decode() if self._is_ascii else self.said[1])

    def _page(self, name: str, lines: Sequence[Line]) -> None:
        self.tell(name, "".join(f"{as_text(line).rstrip()}\n" for line in lines))

    def listed(self) -> None:
        """How things are: the findings by number, the worst first."""
        from mlopsdoc.report.text import age, describe_source, headline

        report, lines = self.board.report, self.lines
        if report is None:
            note(self.board.trouble or "nothing is known yet")
            return
        troubles = lines.troubles()
        state = "; nothing is run here" if self.sources else "; paused" if self.board.paused else ""
        if silent := lines.is_silent():
            state += f"; no answer for {age(silent)}"
        said = [f"{report.host.name or 'a host without a name'}: {headline(report)}"]
        said.append(f"{describe_source(report)}{state}")
        roots = [f for f in troubles.values() if f.caused_by not in troubles]
        for found in roots if self._shown != "changed" else ():
            said += self._entry(found, troubles, whole=len(roots) <= FEW)
        said += self._others()
        lines.heard()
        self.tell("the list", "".join(f"{line}\n" for line in said))

    def _entry(self, f: Finding, troubles: dict[str, Finding], *, whole: bool) -> list[str]:
        said = [self.lines.line(f)]
        if mark := self.board.changes.marks.get(f.key):
            said.append(f"   changed: {mark}")
        said += [f"   since: {f.since}"] if f.since else []
        if whole and f.hurts:
            more = f" and {len(f.hurts) - 5} more" if len(f.hurts) > 5 else ""
            said.append(f"   hurts: {', '.join(hurt.named for hurt in f.hurts[:5])}{more}")
        said += [f"   do: {f.advice}"] if whole and f.advice else []
        said += [f"   hence {self.lines.line(one)}" for one in self._below(f, troubles)]
        return said

    def _below(self, cause: Finding, troubles: dict[str, Finding], depth: int = 0) -> list[Finding]:
        """What a finding explains, and what that explains."""
        below: list[Finding] = []
        for one in troubles.values():
            if one.caused_by == cause.key and depth < 9:
                below += [one, *self._below(one, troubles, depth + 1)]
        return below

    def _others(self) -> list[str]:
        """The rest of the list: what is fine or not here with `f all`, what changed with `f changed`."""
        found = [row for row in rows(self.board) if row.check]
        if self._shown == "changed":
            changed = [self._row(row) for row in found if row.changed]
            return changed or ["nothing has changed in the last 10 min"]
        if self._shown == "all":
            return [self._row(row) for row in found if row.status and not row.status.is_trouble]
        fine = sum(row.status is not None and not row.status.is_trouble for row in found)
        return [f"{fine} more are fine or not here: f tells which"]

    def _row(self, row: Row) -> str:
        changed = f" (since {row.changed})" if row.changed else ""
        found = self.board.finding(row)
        if found:
            return self.lines.line(found) + changed
        return f"{row.name}: {row.status.value if row.status else 'being asked'}{changed}: {row.text}"

    def filter(self, word: str = "") -> None:
        if word and word not in SHOWN:
            raise Stop(USAGE, f"f wants one of {', '.join(SHOWN)}")
        self._shown = word or SHOWN[(SHOWN.index(self._shown) + 1) % len(SHOWN)]
        note(f"the list has {self._shown} now")
        self.listed()

    def of(self, word: str) -> Finding:
        """The finding of that number, if it stands."""
        keys = self.lines.keys
        if not word.isascii() or not word.isdecimal() or not 1 <= int(word) <= len(keys):
            known = f"they are numbered 1 to {len(keys)}" if keys else "there is none"
            raise Stop(USAGE, f"there is no finding {word}: {known}")
        found = self.lines.troubles().get(keys[int(word) - 1])
        if found is None:
            raise Stop(USAGE, f"finding {word} is not there any more ({keys[int(word) - 1]}): l lists what is")
        return found

    def row_of(self, word: str) -> Row:
        """As the screen would choose it: a finding by its number, a check by its name."""
        if word in self.board.results:
            result = self.board.results[word]
            return Row(word, word, "", result.status, 0, word, "")
        found = self.of(word)
        return Row(found.key, found.key.partition("/")[0], found.key, found.status, 0, "", "")

    def show(self, word: str) -> None:
        """A finding, or a check: what is wrong, what was seen, what it means, what to do."""
        row = self.row_of(word)
        lines = pages.finding_page(self.board, row, WIDE)
        if (book := self.book_of(row)) and self.board.finding(row):
            for section in book.sections:
                if section.title.lower() == "meaning":
                    lines += [(), *(((clean(block.text), ""),) for block in section.blocks)]
        hint = f"b {word} has its runbook, x {word} its steps\n" if book else ""
        self._page("check" if word in self.board.results else "the finding", lines)
        say(hint)

    def gpus(self) -> None:
        nothing = "no GPU is seen here" if self.board.report is not None else "nothing was looked at yet"
        self._page("the GPUs", pages.devices_page(self.board, WIDE) or [((nothing, ""),)])

    def unseen(self) -> None:
        self._page("what could not be seen", pages.doctor_page(self.board, WIDE))

    def whole(self) -> None:
        if self.board.report is not None:
            self.tell("the report", render(self.board.report, "text"))

    def find(self, *words: str) -> None:
        """In what was said last, then in all findings, and in checks that found nothing."""
        wanted = " ".join(words).casefold()
        found = {str(self.lines.number(f)): f.key.partition("/")[0] for f in self.lines.troubles().values()}
        names = [*found, *(id for id in self.board.results if id not in found.values())]
        hits = [line for line in self.said[1].split("\n") if wanted in line.casefold()]
        for name in names:
            lines = [line for line in self.text(name).split("\n") if wanted in f"{name} {line}".casefold()]
            hits += [f"{name}: {line.strip()}" for line in lines[:1]]
        say("".join(f"{clean(line)}\n" for line in hits[:MOST]))
        if len(hits) > MOST or not hits:
            note(f"and {len(hits) - MOST} more" if hits else f"{' '.join(words)!r} is not here")

    def text(self, word: str) -> str:
        """A finding or a check, as it is copied and searched."""
        return "\n".join(as_text(line) for line in pages.finding_page(self.board, self.row_of(word), WIDE))

    def book_of(self, row: Row) -> Runbook | None:
        from mlopsdoc.runbook.parse import BadRunbook

        try:
            return pages.load(self.board.plan.runbooks[self.board.runbook(row)])
        except KeyError:
            return None
        except (BadRunbook, OSError) as error:
            raise Stop(USAGE, f"this runbook cannot be read: {one_line(str(error))}") from None
