"""Fenced blocks in a reply: where each begins and ends.

A fence is three or more backticks, or tildes at the start of a line. One inside a string or a
comment of the program in its block is part of it, so a docstring may show a fenced example. The
time grows with the length of the reply.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(r"`{3,}|^[ \t>]*~{3,}", re.MULTILINE)
_INFO = re.compile(r"[^`\n]*")
_CODE = re.compile(r" *(?:def|class|import|from|async|@)\b")  # beside the fence, not under it
_LANGUAGE = re.compile(r"[ \t]*(?:python|py)\d?(?![\w(.=])[ \t]*", re.IGNORECASE)
# What counts in a program: strings, comments, fences; and in a string of three quotes.
_OUTSIDE = re.compile(
    r"\"{3}|'{3}|\"(?:\\.|[^\"\\\n])*+\"?|'(?:\\.|[^'\\\n])*+'?|#[^\n]*|`{3,}|~{3,}"
)
_INSIDE = {
    quote: re.compile(rf"\\.|{quote}|`{{3,}}|~{{3,}}", re.DOTALL) for quote in ('"""', "'''")
}
_MOST_INSIDE = 32  # fences in one string; with more of them the string is taken for an open one


@dataclass(frozen=True, slots=True)
class FencedPart:
    """A part of a reply, between two fences or outside them."""

    text: str
    fenced: bool


def blocks(reply: str) -> list[FencedPart]:
    """The parts of a reply in order, without empty ones.

    A fence that is never closed opens a block up to the next fence with a language, or the end.
    """
    parts: list[FencedPart] = []
    position = 0
    while match := _FENCE.search(reply, position):
        parts.append(FencedPart(reply[position : match.start()], False))
        start, end, position = _block(reply, match)
        parts.append(FencedPart(reply[start:end], True))
    parts.append(FencedPart(reply[position:], False))
    return [block for block in parts if block.text.strip()]


def _block(reply: str, opening: re.Match[str]) -> tuple[int, int, int]:
    """Where the text of a block begins and ends, and where the reply goes on."""
    fence, start = opening[0].lstrip(" \t>"), opening.end()
    info = _INFO.match(reply, start)
    line = info.end() if info else start
    if reply.startswith(fence, line):  # all in one line: ```x = 1```
        word = _LANGUAGE.match(reply, start, line)
        return (word.end() if word else start), line, line + len(fence)
    word = _LANGUAGE.match(reply, start, line)
    if word and _CODE.match(reply, word.end()):
        start = word.end()
    if not _CODE.match(reply, start):
        start = min(line + 1, len(reply))
    return (start, *_closing(reply, start, fence))


def _closing(reply: str, start: int, fence: str) -> tuple[int, int]:
    """Where a block ends and where its closing fence does.

    It is the first fence outside strings and comments; or, where a string is never closed, the
    first fence of all.
    """
    quote, passed, position = "", 0, start
    first: tuple[int, int] | None = None
    while passed <= _MOST_INSIDE:
        piece = (_INSIDE[quote] if quote else _OUTSIDE).search(reply, position)
        if piece is None:
            break
        position = piece.end()
        if piece[0].startswith(fence):
            opens = reply[position : position + 1].isalpha()
            ends = piece.start(), piece.start() if opens else position
            first = first or ends
            passed += 1
            if not quote:
                return ends
        elif piece[0] in _INSIDE:
            quote = "" if quote else piece[0]
    return first or (len(reply), len(reply))
