"""Texts from outside: made whole so that they can be written, made harmless so that they show."""

from __future__ import annotations

import csv
import io
import re
import shlex

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_TURNS = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that turn the direction of what follows, so that it reads as something else."""


def whole_texts(text: str) -> str:
    """`text` with surrogates joined to the characters that they stand for, or replaced."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def writable(text: str) -> bool:
    """Whether a file can hold `text`, and the name of a file can be it: UTF-8 without a null."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def one_line(text: str) -> str:
    """`text` as it can be written, with one space for each stretch of white space."""
    return " ".join(whole_texts(text).split())


def short(text: str, most: int = 60) -> str:
    """The beginning of `text`, for a sentence that repeats it."""
    return text if len(text) <= most else f"{text[:most]}..."


def printable(text: str) -> str:
    """`text` as a terminal may show it: only line breaks and tabs are left of what steers one."""
    plain = _TURNS.sub("", whole_texts(text).replace("\r\n", "\n"))
    return _CONTROL.sub(" ", plain)


def shell_line(*words: object) -> str:
    """A line of this package that a person can copy, whatever is in the names of folders."""
    return shlex.join(("layergym", *map(str, words)))


def lines(text: str) -> list[str]:
    r"""The lines of a file: they end with \n or \r\n, and with nothing else that Unicode knows."""
    return text.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\n").split("\n")


def csv_rows(text: str) -> list[list[str]]:
    """The rows of a table, whatever the size of its fields; empty lines are left out.

    Raises:
        csv.Error: it is not such a table.
    """
    csv.field_size_limit(2**31 - 1)  # The largest that every system takes.
    table = io.StringIO(text.removeprefix("\ufeff"), newline="")
    return [row for row in csv.reader(table, strict=True) if any(map(str.strip, row))]
