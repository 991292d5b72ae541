"""What may stand behind a number: units, and nouns that do not change it."""

from __future__ import annotations

from layergym.envs.math.cursor import Cursor
from layergym.envs.math.numerals import NUMERALS
from layergym.envs.math.tokens import Token
from layergym.envs.math.units import Unit, unit

# They change what the number before them means, so such text is not a number with a noun.
_NOT_NOUNS = NUMERALS | {
    *("and", "or", "to", "not", "no", "nor", "plus", "minus", "negative", "squared", "cubed"),
    *("factorial", "choose", "over", "than", "least", "most", "between", "point", "undefined"),
    *("pi", "i", "e", "x", "infinity", "sqrt", "root", "sin", "cos", "tan", "log", "ln", "base"),
    *("mod", "modulo", "wrong", "incorrect", "false"),
}
_SHORT_NOUNS = frozenset(("of", "in", "at", "on", "by", "as", "is"))


def tail(at: Cursor) -> Unit | None:
    """Read units and nouns up to the end or the next number; None where no unit is known."""
    whole, sign, power = Unit(), 1, 1
    while not at.at_end:
        token = at.next()
        word = token.text.lower()
        if token.kind == "symbol" and token.text in ("/", "*", "cdot"):
            sign = -1 if token.text == "/" else sign
        elif token.kind == "power" and at.next(-1).kind == "word":
            pass  # taken with its unit, or of a noun
        elif word == "per":
            sign = -1
        elif word in ("square", "sq", "cubic", "cu"):
            power = 2 if word.startswith("sq") else 3
        elif unit := _unit(at):
            whole = whole.times(unit, sign * _power(at, power))
            power = 1
        elif not _is_noun(token):
            break
        at.place += 1
    return whole if whole.kinds else None


def _unit(at: Cursor) -> Unit | None:
    """The unit that comes next. `5m` may be a product of letters, `5 m` and `5cm` are not."""
    token = at.next()
    apart = token.gap or token.marked or len(token.text) > 1 or at.next(-1).text in "/*cdot"
    if token.kind == "symbol" or (token.kind == "word" and apart):
        return unit(token.text)
    return None


def _power(at: Cursor, power: int) -> int:
    """The power of the unit here: as said before it (square), or after it (^2, squared)."""
    after = at.next(1)
    if after.kind == "power":
        return int(after.text)
    if after.text.lower() in ("squared", "cubed"):
        at.place += 1
        return 2 if after.text.lower() == "squared" else 3
    return power


def _is_noun(token: Token) -> bool:
    """Whether a word may follow a number without changing it."""
    word = token.text.lower()
    if token.kind != "word" or word in _NOT_NOUNS:
        return False
    return token.marked or (token.gap and (len(word) > 2 or word in _SHORT_NOUNS))
