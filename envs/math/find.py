"""Where the final answer of a reply is. Every search reads the text once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from layergym.envs.math.spelling import form, plain
from layergym.envs.tags import between

_MAX_COMPARED = 2000  # characters; longer answers are told apart as they stand


@dataclass(frozen=True, slots=True)
class Answer:
    """The final answer that a reply gives."""

    text: str
    clean: bool
    """Whether the reply gives one answer only."""


def find_answer(reply: str) -> Answer | None:
    r"""The last `\boxed{...}`, else the last `<answer>` tag, else the last `####`, in a reply."""
    texts = list(_boxed(reply))
    texts = texts or [text.rpartition("<answer>")[2] for text in between(reply, "answer")]
    texts = texts or re.findall(r"####[ \t]*([^\n]+)", reply)
    return _last(texts)


def spoken_answer(reply: str) -> Answer | None:
    """What a reply in plain words calls its answer: "the answer is 42", "Answer: 42"."""
    return _last([text.rstrip("*_. \t") for text in _SPOKEN.findall(reply)])


def _last(texts: Sequence[str]) -> Answer | None:
    """The last that is not empty, and whether all are the same."""
    texts = [text.strip() for text in texts if text.strip()]
    if not texts:
        return None
    return Answer(texts[-1], len({_compared(text) for text in texts}) == 1)


def _compared(text: str) -> str:
    return text if len(text) > _MAX_COMPARED else form(plain(text))


_SPOKEN = re.compile(
    r"\banswer[*_]*(?: is|:)[*_: \t]*([^\n]+?)(?=[.!](?:\s|\Z)|\n|\Z)", re.IGNORECASE
)

_PIECE = re.compile(
    r"\\(?:boxed|fbox)(?![A-Za-z])\s*(?P<brace>\{|(?P<bare>[^\s$.,{}\\]+))?|\\.|[{}]", re.DOTALL
)


def _boxed(text: str) -> Iterator[str]:
    r"""What is in each box that holds no other box and is closed, in order.

    A backslash and the character after it are one piece, so `\\{` is the end of a row and an
    opening brace, where `\{` is not a brace of LaTeX's own.
    """
    opened: list[int | None] = []  # for each open brace, where the text of its box begins
    last = -1  # where the innermost box begins
    for piece in _PIECE.finditer(text):
        if piece["bare"]:
            yield piece["bare"]  # such as \boxed 5
        elif piece["brace"] or piece[0] == "{":
            opened.append(piece.end() if piece["brace"] else None)
            last = piece.end() if piece["brace"] else last
        elif piece[0] == "}" and opened:
            start = opened.pop()
            if start is not None and start == last:
                yield text[start : piece.start()]
