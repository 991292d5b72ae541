"""Whether a given answer equals the right one.

Numbers, with units and words around them, are compared here; everything else by math-verify (see
`grading`), which is shown plain LaTeX only: it reads digits out of prose.
"""

from __future__ import annotations

import re

from layergym.envs.math.grading import verified
from layergym.envs.math.quantities import Quantity, same
from layergym.envs.math.reading import quantities
from layergym.envs.math.spelling import WORD, form, plain
from layergym.envs.math.units import unit
from layergym.envs.sandbox import Sandbox

_MAX_LENGTH = 2000  # characters; no gold answer comes near

_OPERATION = re.compile(
    r"[+*!^]|\\(?:times|cdot|div|sqrt|binom|log|ln|sin|cos|tan|sum|prod|int|pmod|gcd)|"
    r"[\d)}] ?-|(?:/|\\frac).*(?:/|\\frac)"
)
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z]*\})")  # outside commands
_RELATION = re.compile(r"[<>]|\\(?:neq|le|ge|lt|gt|pm|mp|in|not|sim|equiv)(?![a-z])|!=")


def equal(gold: str, answer: str, sandbox: Sandbox) -> bool:
    """Whether `answer` says the same as `gold`; False when that cannot be found out in time.

    Args:
        gold: the right answer, LaTeX or plain.
        answer: the given one.
        sandbox: a `grader`.

    Raises:
        InputError: programs cannot be isolated here, or math-verify is not installed.
    """
    if len(answer) > _MAX_LENGTH:
        return False
    right, given = plain(gold), _once(plain(answer))
    alike = (_worded, _chosen, _at_one_time)
    if form(right) == form(given) or any(same_text(right, given) for same_text in alike):
        return True
    rights, givens = _sides(right, _NAME), _sides(given, _NAMES)
    if len(rights) > 1 and not all(map(quantities, rights)):
        return _equal(right, given, sandbox)  # an equation
    worked = len(givens) > 1
    return any(all(_equal(one, side, sandbox, worked) for side in givens) for one in rights)


_AGAIN = re.compile(r"([^()]+) \(([^()]+)\)([^()]*)")
_HOUR = re.compile(r"(\d{1,2}:\d\d)(?: ?([ap])\.?m\.?)?", re.IGNORECASE)
_CHOICE = re.compile(r"\(?([A-Z])[).:] ?(.*)")


def _once(text: str) -> str:
    """`42` of `42 (forty-two)`; a number in brackets that is written alike is a product."""
    match = _AGAIN.fullmatch(text)
    if match is None or form(match[1]) == form(match[2]):
        return text
    first, again = quantities(match[1]), quantities(match[2])
    return (
        match[1] + match[3] if any(same(one, other) for one in first for other in again) else text
    )


def _at_one_time(right: str, given: str) -> bool:
    """Whether both are one time of day; the half of the day counts where `right` says it."""
    one, other = _HOUR.fullmatch(right), _HOUR.fullmatch(given)
    if not one or not other or one[1] != other[1]:
        return False
    return not one[2] or (other[2] or "").lower() == one[2].lower()


def _chosen(right: str, given: str) -> bool:
    """Whether `given` names the one option `right`, a letter, and says what it holds."""
    match = _CHOICE.fullmatch(given)
    if match is None or right.strip("()") != match[1]:
        return False
    return not _CHOICE.search(match[2])


def _worded(right: str, given: str) -> bool:
    """Whether both are the same words, but for what leads to them and the s of a plural."""
    if not all(_WORDS.fullmatch(text) for text in (right, given)):
        return False
    one, other = (form(_LEAD.sub("", text)) for text in (right, given))
    one, other = (_NO_VALUE.sub("undefined", text) for text in (one, other))
    return one == other or (len(one) > 4 and one.removesuffix("s") == other.removesuffix("s"))


_WORDS = re.compile(rf"(?:{WORD}?[A-Za-z]++ ?)++")
_NO_VALUE = re.compile(r"^(?:dne|doesnotexist|notdefined)$")
_LEAD = re.compile(rf"^(?:{WORD}?(?:an?|the|it|is|answer|option|choice) )+(?=.)", re.IGNORECASE)

# One name, such as x, x_1, f(x), \theta or a word; the second also takes a+b, x^2 or AB/CD.
_NAME = re.compile(rf"(?:{WORD}[A-Za-z]+ ?)+|\\?[A-Za-z]+(?:_\{{?\w+\}}?)?'*(?:\([A-Za-z]\))?")
_NAMES = re.compile(
    rf"(?:[A-Za-z{WORD} ',(){{}}+*/-]|\\[A-Za-z]++|_\{{?\w++\}}?|\^\{{?\w\}}?|"
    r"(?<=[A-Za-z])\(-?\d+\))+"
)


_SEPARATOR = re.compile(r"[,;]|(?<![A-Za-z])(?:and|or)(?![A-Za-z])")


def _sides(text: str, name: re.Pattern[str]) -> list[str]:
    """What an answer gives as equal: `5` of `x = 5`, both sides of `84 + 1 = 85`.

    A text with another relation, or with a list of equations, is left whole.
    """
    sides = [side.strip() for side in re.split(r"(?<![<>!:])=", text)]
    if len(sides) == 1 or not all(sides) or (len(sides) > 2 and _SEPARATOR.search(text)):
        return [text]
    while len(sides) > 1 and name.fullmatch(sides[0]):
        sides = sides[1:]
    return sides


def _equal(right: str, given: str, sandbox: Sandbox, worked: bool = False) -> bool:
    wanted, offered = quantities(right), quantities(given)
    if wanted and offered:
        return any(same(one, other) for one in wanted for other in offered)
    if wanted and (_RELATION.search(given) or _LETTER.search(given)):
        return False  # a bound, or what depends on something
    if wanted and not worked and _OPERATION.search(given):
        return False  # a calculation that copies the question
    right, given = simple(right), simple(given)
    if _prose(given, right):
        return False
    return verified(right, [given], sandbox)


_TAIL = re.compile(rf"((?: ?/ ?| ){WORD}?[A-Za-z]+\.?(?: ?\^\{{?\d\}}?)?)+$")
_LIST = re.compile(rf",? ?{WORD}(?:and|or)(?![A-Za-z])|,? (?:and|or) ")
_PARTS = re.compile(
    r"(,|;|&|=|[()\[\]]|\\\\|\\\{|\\\}|\\(?:cup|cap)(?![a-z])|\\(?:begin|end)\{[a-z]*\}|[<>]|"
    r"\\(?:le|ge|pm|in)(?![a-z]))"
)
_BARE = re.compile(r" *[-+]?(?:\d+(?:\.\d+)?|\.\d+|\\frac\{-?\d+\}\{-?\d+\}) *")


def simple(text: str) -> str:
    """An answer for math-verify: units dropped, "and" and "or" as commas, numbers plain."""
    text = re.sub(r" ?(?<![A-Za-z])degrees ?", r"^{\\circ}", _LIST.sub(", ", text))
    tail = _TAIL.search(text)
    if tail and all(_is_unit(word) for word in re.findall(r"[A-Za-z]+", tail[0])):
        text = text[: tail.start()]
    parts = _PARTS.split(text)
    return "".join(_part(part) for part in parts).strip().strip(",")


def _is_unit(word: str) -> bool:
    return word.lower() in ("square", "sq", "cubic", "cu", "units", "unit", "per") or (
        len(word) > 1 and unit(word) is not None
    )


def _part(text: str) -> str:
    """One member of a list: a number with words or a mixed number becomes a plain one."""
    if _BARE.fullmatch(text) or not re.search(r"\d", text) or re.search(r" [A-Za-z]( |$)", text):
        return text
    amounts = quantities(text.strip())
    return _latex(amounts[0]) if amounts else text


def _latex(quantity: Quantity) -> str:
    value = quantity.value / 100 if quantity.percent else quantity.value
    sign = "-" if value < 0 else ""
    if value.denominator == 1:
        return f"{sign}{abs(value.numerator)}"
    return f"{sign}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _prose(given: str, right: str) -> bool:
    """Whether an answer still holds words, or numbers side by side, that mean nothing as LaTeX."""
    if WORD in given or re.search(r"\d [\d.]", given):
        return True
    letters = set(re.sub(r"\\[A-Za-z]+", "", right))
    runs = re.findall(r"(?<![\\A-Za-z{])[A-Za-z]{3,}", given)
    return any(not set(run) <= letters for run in runs)
