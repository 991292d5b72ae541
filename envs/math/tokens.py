"""The parts of a number in words and digits: what `reading` puts together."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from layergym.envs.math.spelling import WORD

_TOKEN = re.compile(
    r"(?P<gap>\s*)(?:"
    r"(?P<tens>10\s*\^\s*(?:\{\s*[-+]?\d+\s*\}|[-+]?\d+))|"
    r"(?P<number>\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d++(?:\.\d*+)?(?!,\d)|\.\d+)|"
    r"\\frac\{(?P<over>[-+]?[\d,]*\d)\}\{(?P<under>[-+]?[\d,]*\d)\}|"
    r"(?P<ten>(?:\\times|\\cdot|\*|x)\s*10\s*\^\s*(?:\{\s*[-+]?\d+\s*\}|[-+]?\d+)|"
    r"[eE][-+]?\d+(?![A-Za-z]))|"
    r"\^\s*\{?\s*(?P<power>-?\d)\s*\}?|"
    rf"(?P<word>{WORD}?[A-Za-z]+(?:'s)?)\.?|"
    r"(?P<symbol>[-+/$€£¥¢₠-⃏฿৳*]|\\\$|\\?%|\\cdot|\\approx))"
)


@dataclass(frozen=True, slots=True)
class Token:
    """One part of a text."""

    kind: str
    text: str
    gap: bool
    """Whether space stands before it."""
    marked: bool = False
    """Whether it was written as text."""
    value: Fraction = Fraction(0)


def tokens(text: str) -> list[Token]:
    """The tokens of a text; none when a part of it has no place in a quantity."""
    result: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            return []
        position = match.end()
        result.append(_token(match))
    return result


def _token(match: re.Match[str]) -> Token:
    gap = bool(match["gap"])
    if match["over"] is not None:
        over, under = (int(match[part].replace(",", "")) for part in ("over", "under"))
        return Token("fraction", "", gap, value=Fraction(over, under)) if under else NOTHING
    kind = str(match.lastgroup)
    text = match[kind]
    if kind == "number":
        return Token(kind, text, gap, value=Fraction(text.replace(",", "").rstrip(".")))
    if kind == "word":
        return Token(kind, text.lstrip(WORD), gap, text.startswith(WORD))
    return Token(kind, text.lstrip("\\") if kind == "symbol" else text, gap)


NOTHING = Token("nothing", "", False)
