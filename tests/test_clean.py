"""Text made safe: nothing that a terminal obeys is left, and nothing is lost without a trace."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from mlopsdoc.clean import MAX_LINE, clean, decode, one_line


def harmless(text: str, allowed: str) -> bool:
    return all(char in allowed or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in text)


@given(st.binary(max_size=300))
def test_any_bytes_become_harmless(data: bytes) -> None:
    assert harmless(decode(data), "\n\t")


@given(st.text(max_size=300))
def test_any_text_becomes_one_harmless_line(text: str) -> None:
    line = one_line(text)
    assert harmless(line, "")
    assert one_line(line) == line, "cleaning twice changes nothing"


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=300))
def test_plain_text_stays(text: str) -> None:
    assert decode(text.encode()) == text


def test_what_is_not_printed_is_shown() -> None:
    assert decode(b"a\x1b]0;title\x07b") == "a\\x1b]0;title\\x07b"
    assert decode(b"\x9b31m") == "\\x9b31m"
    assert clean("\u202egnp.exe") == "\\u202egnp.exe"
    assert decode(b"\xff\xfe") == "\\xff\\xfe"


def test_colours_go_and_line_ends_are_made_plain() -> None:
    assert decode(b"\x1b[1;31mFAULTED\x1b[0m\r\n") == "FAULTED\n"


def test_letters_of_all_scripts_stay() -> None:
    assert one_line("Zürich 東京 مرحبا") == "Zürich 東京 مرحبا"


def test_long_lines_are_cut() -> None:
    assert len(decode(b"x" * (MAX_LINE + 10))) == MAX_LINE
    assert len(one_line("y" * 5000)) == 2000
