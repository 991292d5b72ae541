"""Text to search terms, token for token as Lucene's `EnglishAnalyzer` makes them.

UAX #29 word segmentation, possessive `'s` removed, lower case, Lucene's 33 stop words, and the
Porter stemmer (`layergym.envs.webshop.porter`). WebShop's index is built by Anserini with this
analyzer; the rules were checked against its jar.
"""

from __future__ import annotations

import re
from functools import lru_cache

import regex  # type: ignore[import-untyped]

from layergym.envs.webshop.porter import stem

_STOP_WORDS = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then "
    "there these they this to was will with"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
_LONGEST_TOKEN = 255

# Code points that Lucene's emoji rule takes as pictographs: Extended_Pictographic of Unicode's
# emoji-data 11. Later Unicode versions withdrew many of them, so the property of the `regex`
# package does not do.
_PICTOGRAPHS = (
    "A9 AE 203C 2049 2122 2139 2194-2199 21A9-21AA 231A-231B 2328 2388 23CF 23E9-23F3 23F8-23FA "
    "24C2 25AA-25AB 25B6 25C0 25FB-25FE 2600-2605 2607-2612 2614-2685 2690-2705 2708-2712 2714 "
    "2716 271D 2721 2728 2733-2734 2744 2747 274C 274E 2753-2755 2757 2763-2767 2795-2797 27A1 "
    "27B0 27BF 2934-2935 2B05-2B07 2B1B-2B1C 2B50 2B55 3030 303D 3297 3299 1F000-1F0FF "
    "1F10D-1F10F 1F12F 1F16C-1F171 1F17E-1F17F 1F18E 1F191-1F19A 1F1AD-1F1E5 1F201-1F20F 1F21A "
    "1F22F 1F232-1F23A 1F23C-1F23F 1F249-1F3FA 1F400-1F53D 1F546-1F64F 1F680-1F6FF 1F774-1F77F "
    "1F7D5-1F7FF 1F80C-1F80F 1F848-1F84F 1F85A-1F85F 1F888-1F88F 1F8AE-1F8FF 1F90C-1F93A "
    "1F93C-1F945 1F947-1FFFD"
)


def terms(text: str) -> list[str]:
    """The search terms of `text`, in order, repeats kept."""
    stems = (_term(token) for token in word_tokens(text))
    return [term for term in stems if term]


def word_tokens(text: str) -> list[str]:
    """UAX #29 words of `text`; words longer than 255 characters are cut into pieces."""
    if text.isascii():
        words = _ASCII_WORD.findall(text)
    else:
        # A space is always a boundary, so only the parts that need the full rules pay for them.
        words = []
        for part in text.split(" "):
            words += (_ASCII_WORD if part.isascii() else _UNICODE_WORD).findall(part)
    if any(len(word) > _LONGEST_TOKEN for word in words):
        return [piece for word in words for piece in _pieces(word)]
    return words


def _pieces(word: str) -> list[str]:
    return [word[i : i + _LONGEST_TOKEN] for i in range(0, len(word), _LONGEST_TOKEN)]


@lru_cache(1 << 14)
def _term(token: str) -> str:
    """The term of one token; empty for a stop word."""
    if len(token) >= 2 and token[-1] in "sS" and token[-2] in "'\u2019\uff07":
        token = token[:-2]
    token = token.lower() if token.isascii() else "".join(map(_lower, token))
    return "" if token in STOP_WORDS else stem(token)


def _lower(character: str) -> str:
    """Java's `Character.toLowerCase`: one character to one character."""
    lower = character.lower()
    return lower if len(lower) == 1 else lower[0]


def _ascii_word() -> re.Pattern[str]:
    letters = r"[A-Za-z](?:[.:']?[A-Za-z])*"
    digits = r"[0-9](?:[.,;']?[0-9])*"
    run = f"(?:{letters}|{digits})+"
    return re.compile(f"_*{run}(?:_+{run})*_*")


def _unicode_word() -> regex.Pattern[str]:
    """UAX #29 with Lucene's choices: `:` joins letters; emoji, Han and kana are words."""
    marks = r"[\p{WB=Format}\p{WB=Extend}\p{WB=ZWJ}]"

    def one(characters: str) -> str:
        return f"(?:[{characters}]{marks}*)"

    letter = one(r"\p{WB=ALetter}\p{WB=Hebrew_Letter}")
    digit = one(r"\p{WB=Numeric}\uFF10-\uFF19")
    katakana = one(r"\p{WB=Katakana}")
    connector = one(r"\p{WB=ExtendNumLet}")
    in_word = one(r"\p{WB=MidLetter}:\p{WB=MidNumLet}'")
    in_number = one(r"\p{WB=MidNum}\p{WB=MidNumLet}'")
    run = (
        f"(?:{katakana}(?:{connector}*{katakana})*"
        f"|(?:{letter}(?:{in_word}?{letter})*|{digit}(?:{in_number}?{digit})*)+)"
    )
    word = f"{connector}*{run}(?:{connector}+{run})*{connector}*"
    complex_script = rf"(?:[\p{{LB=Complex_Context}}]{marks}*)+"
    han, hiragana = one(r"\p{Han}"), one(r"\p{Hiragana}")
    return regex.compile(f"{_emoji(marks)}|{word}|{complex_script}|{han}|{hiragana}", regex.V1)


def _emoji(marks: str) -> str:
    plain_marks = rf"[{marks}--[\uFE0E\uFE0F]]*"
    ranges = (part.partition("-") for part in _PICTOGRAPHS.split())
    pictograph = "".join(
        f"\\U{int(first, 16):08X}-\\U{int(last or first, 16):08X}" for first, _, last in ranges
    )
    unit = (
        rf"(?:[{pictograph}]{plain_marks}\uFE0F?"
        rf"|(?:\p{{Emoji_Modifier_Base}}{plain_marks})?\p{{Emoji_Modifier}}{plain_marks})"
    )
    tag = r"(?:[\U000E0020-\U000E007E]+\U000E007F)?"
    sequence = rf"\u200D*{unit}(?:(?:\u200D+|(?<=\u200D)){unit})*{tag}"
    keycap = rf"[0-9#*]{plain_marks}\uFE0F?\u20E3{plain_marks}"
    flag = rf"(?:\p{{WB=Regional_Indicator}}{marks}*){{2}}"
    return f"{sequence}|{keycap}|{flag}"


_ASCII_WORD = _ascii_word()
_UNICODE_WORD = _unicode_word()
