"""The Porter stemmer, as in Lucene's `PorterStemFilter`.

M. F. Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the two departures of
its author's own implementation, which Lucene keeps (`bli` -> `ble`, `logi` -> `log`).
"""

from __future__ import annotations

import re

_STEP_2 = {
    "ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize",
    "bli": "ble", "alli": "al", "entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize",
    "ation": "ate", "ator": "ate", "alism": "al", "iveness": "ive", "fulness": "ful",
    "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble", "logi": "log",
}  # fmt: skip
_STEP_3 = {
    "icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": "",
}  # fmt: skip
_SUFFIXES = "al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize"
_STEP_4 = _SUFFIXES.split()
_VOWEL_TO_CONSONANT = re.compile("v+c+")


def stem(word: str) -> str:
    """The stem of a lower-case word; words of one or two characters are left alone."""
    if len(word) <= 2:
        return word
    word = _past_and_progressive(_plural(word))
    if word.endswith("y") and "v" in _shape(word[:-1]):
        word = word[:-1] + "i"
    word = _replace(_replace(word, _STEP_2), _STEP_3)
    return _final(_strip(word))


def _shape(word: str) -> str:
    """The word with every vowel as `v` and every consonant as `c`."""
    shape = ""
    for letter in word:
        vowel = letter in "aeiou" or (letter == "y" and shape.endswith("c"))
        shape += "v" if vowel else "c"
    return shape


def _measure(word: str) -> int:
    """Porter's m: how often consonants follow vowels."""
    return len(_VOWEL_TO_CONSONANT.findall(_shape(word)))


def _ends_double(word: str) -> bool:
    return len(word) >= 2 and word[-1] == word[-2] and _shape(word)[-1] == "c"


def _ends_cvc(word: str) -> bool:
    """Consonant, vowel, consonant at the end, the last not w, x or y: as in `hop`."""
    return _shape(word).endswith("cvc") and word[-1] not in "wxy"


def _plural(word: str) -> str:
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _past_and_progressive(word: str) -> str:
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) > 0 else word
    for suffix in ("ed", "ing"):
        rest = word.removesuffix(suffix)
        if rest != word and "v" in _shape(rest):
            break
    else:
        return word
    if rest.endswith(("at", "bl", "iz")):
        return rest + "e"
    if _ends_double(rest):
        return rest if rest[-1] in "lsz" else rest[:-1]
    return rest + "e" if _measure(rest) == 1 and _ends_cvc(rest) else rest


def _replace(word: str, endings: dict[str, str]) -> str:
    for ending, replacement in endings.items():
        if word.endswith(ending):
            rest = word[: -len(ending)]
            return rest + replacement if _measure(rest) > 0 else word
    return word


def _strip(word: str) -> str:
    ending = max((e for e in _STEP_4 if word.endswith(e)), key=len, default="")
    rest = word[: len(word) - len(ending)]
    if ending == "ion" and not rest.endswith(("s", "t")):
        return word
    return rest if ending and _measure(rest) > 1 else word


def _final(word: str) -> str:
    if word.endswith("e"):
        rest = word[:-1]
        # The measure counts the final e, which adds nothing after a consonant.
        m = _measure(word)
        if m > 1 or (m == 1 and not _ends_cvc(rest)):
            word = rest
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word
