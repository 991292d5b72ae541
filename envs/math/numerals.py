"""Numbers written as English words: twenty-one, three quarters, half a dozen, 2.5 million."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

_SMALL = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ONES = {word: value for value, word in enumerate(_SMALL)} | {
    word: 10 * (place + 2) for place, word in enumerate(_TENS)
}
MAGNITUDES = {
    **{"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12},
    **{"lakh": 10**5, "crore": 10**7, "dozen": 12, "mn": 10**6, "bn": 10**9, "tn": 10**12},
}
"""Words that multiply the number before them."""
MAGNITUDES |= {f"{word}s": value for word, value in MAGNITUDES.items() if len(word) > 2}

_ALONE = {(word,) for word in MAGNITUDES if len(word) > 4 and not word.endswith("s")}
_ORDINAL_ONES = {"first": 1, "second": 2, "third": 3, "fifth": 5, "eighth": 8, "ninth": 9} | {
    "twelfth": 12
}
_ORDINALS = _ORDINAL_ONES | {
    (f"{word[:-1]}ieth" if word.endswith("y") else f"{word}th"): value
    for word, value in _ONES.items()
    if value not in (0, *_ORDINAL_ONES.values())
}
_ORDINALS |= {"hundredth": 100, "thousandth": 1000, "millionth": 10**6}
_PARTS = {"half": 2, "halves": 2, "quarter": 4, "quarters": 4} | {
    f"{word}{end}": value for word, value in _ORDINALS.items() for end in ("", "s") if value > 2
}

NUMERALS = frozenset(_ONES) | frozenset(MAGNITUDES) | frozenset(_ORDINALS) | frozenset(_PARTS)
"""Every word that has to do with a number's value; none of them is a unit (but see a second)."""


def leading_share(words: Sequence[str]) -> tuple[Fraction, int]:
    """A share that begins `words`, such as "a half" or "three quarters", and its length in words.

    The length is 0 where no share begins.
    """
    if words and words[0] in ("half", "quarter"):
        return Fraction(1, _PARTS[words[0]]), 1
    if len(words) > 1 and words[1] in _PARTS and words[0] in ("a", "an", *_SMALL[1:]):
        over = 1 if words[0] in ("a", "an") else _ONES[words[0]]
        return Fraction(over, _PARTS[words[1]]), 2
    return Fraction(0), 0


def numeral(words: Sequence[str]) -> tuple[Fraction, int]:
    """The number that begins `words`, and its length in words; 0 where no number begins.

    An ordinal counts as its number ("fifth" is 5), a share as the fraction ("one fifth" is 1/5).
    """
    share, used = leading_share(words)
    if used:
        article = len(words) > used and words[used] in ("a", "an")
        multiplied = words[used + article] if len(words) > used + article else ""
        if multiplied in MAGNITUDES:
            return share * MAGNITUDES[multiplied], used + article + 1
        return share, used
    bare = tuple(words[:1]) in _ALONE
    whole, used = _whole(["one", *words] if bare else words)
    used -= bare
    rest = list(words[used:])
    if used and rest[:1] == ["point"]:
        share, length = _decimals(rest[1:])
        return whole + share, used + bool(length) + length
    if used and rest[:1] == ["and"]:
        share, length = leading_share(rest[1:])
        if length:
            times = MAGNITUDES.get("".join(rest[length + 1 : length + 2]), 0)  # million
            return (whole + share) * (times or 1), used + 1 + length + bool(times)
    return Fraction(whole), used


def _decimals(words: Sequence[str]) -> tuple[Fraction, int]:
    """What the digits that begin `words` are worth after a point, and how many there are."""
    digits = "".join(
        str(_ONES[word]) for word in itertools.takewhile(lambda w: _ONES.get(w, 10) < 10, words)
    )
    return Fraction(int(digits or "0"), 10 ** len(digits)), len(digits)


def _whole(words: Sequence[str]) -> tuple[int, int]:
    """A whole number in words, such as "two hundred and five thousand" or "twenty first"."""
    total = group = used = 0
    last = 0  # the size of the last word, which the next must be below or multiply
    for index, word in enumerate(words):
        if word == "and" and used == index and last >= 100:
            continue
        if word in ("a", "an") and index == 0 and len(words) > 1 and words[1] in MAGNITUDES:
            group, last = 1, 1
        elif word in MAGNITUDES and group:
            total, group = _multiplied(total, group, MAGNITUDES[word])
            last = 100
        elif (word in _ONES or word in _ORDINALS) and _fits(group, last, word):
            group += last_value(word)
            last = last_value(word)
            if word in _ORDINALS:
                return total + group, index + 1
        else:
            break
        used = index + 1
    return total + group, used


def last_value(word: str) -> int:
    """What a single word for a number is worth."""
    return _ONES[word] if word in _ONES else _ORDINALS[word]


def _fits(group: int, last: int, word: str) -> bool:
    """Whether `word` can follow: the first of its group, a unit after tens, or after hundreds."""
    value = last_value(word)
    return not group or last >= 100 or (20 <= last <= 90 and 0 < value < 10)


def _multiplied(total: int, group: int, by: int) -> tuple[int, int]:
    return (total, group * by) if by <= 100 else (total + group * by, 0)
