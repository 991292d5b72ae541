"""Texts from outside: whole, printable, and cut into lines where a file is."""

import shlex

import pytest

from layergym.base.texts import csv_rows, lines, one_line, printable, shell_line, whole_texts


def test_surrogates_are_joined_or_replaced() -> None:
    assert whole_texts("a\ud83d\ude00b\ud800c\udc00d") == "a\U0001f600b\ufffdc\ufffdd"


def test_a_text_of_one_line_has_no_break_and_can_be_written() -> None:
    assert one_line(" a\r\n\tb\u2028\x85c\ud800 ") == "a b c\ufffd"


@pytest.mark.parametrize(
    "attack",
    ["\x1b]52;c;ZXZpbA==\x07", "\x1b]0;title\x07", "\x1b[2J", "\x9b2J", "\r", "\x08", "\x7f"]
    + [chr(n) for n in (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))],
)
def test_nothing_that_steers_a_terminal_is_printable(attack: str) -> None:
    shown = printable(f"one{attack}two\n\tthree")
    assert attack[0] not in shown
    assert shown.startswith("one") and shown.endswith("two\n\tthree")


def test_a_line_to_type_again_names_the_folder_whatever_is_in_it() -> None:
    for folder in ("runs/a b", "it's", "$HOME", "a;b", "-x", "runs/plain"):
        assert shlex.split(shell_line("sweep", "--resume", folder))[-1] == folder
    assert shell_line("report", "runs/plain") == "layergym report runs/plain"


def test_lines_end_as_files_end() -> None:
    assert lines("\ufeffa\u2028\x85\x0c\r\nb\rc\n") == ["a\u2028\x85\x0c", "b\rc"]


def test_a_table_may_have_huge_fields_and_odd_characters() -> None:
    huge = "x" * 300_000
    table = f'\ufeffa,"b\u2028\x85\n{huge}"\r\n\r\nc,d\n'
    assert csv_rows(table) == [["a", f"b\u2028\x85\n{huge}"], ["c", "d"]]
