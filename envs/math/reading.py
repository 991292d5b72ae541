r"""Reading a number as people write it, with what stands around it.

`-1\frac{1}{4}`, `2 3/4 cups`, `$1,200.50`, `5 million dollars`, `1.5e3`, `85%`, `twenty-one`,
`5 hours 30 minutes`. Everything in the text must have its place, or it is no quantity.
"""

from __future__ import annotations

import re
from fractions import Fraction

from layergym.envs.math.numerals import MAGNITUDES, NUMERALS, leading_share, numeral
from layergym.envs.math.quantities import Quantity
from layergym.envs.math.tokens import NOTHING, Token, tokens
from layergym.envs.math.units import CURRENCIES, Unit, unit

_LEAD = frozenset(
    [
        "the",
        "answer",
        "is",
        "are",
        "was",
        "about",
        "approximately",
        "approx",
        "roughly",
        "exactly",
        "around",
        "equals",
        "equal",
        "it",
        "final",
        "result",
        "value",
        "so",
        "therefore",
        "thus",
        "there",
        "total",
        "of",
        "a",
        "an",
    ]
)
_PERCENT = frozenset(("percent", "percentage", "pct"))
# They change what the number before them means, so such text is not a number with a noun.
_NOT_NOUNS = NUMERALS | frozenset(
    [
        "and",
        "or",
        "to",
        "not",
        "no",
        "nor",
        "plus",
        "minus",
        "squared",
        "cubed",
        "factorial",
        "pi",
        "i",
        "e",
        "x",
        "sqrt",
        "root",
        "sin",
        "cos",
        "tan",
        "log",
        "ln",
        "base",
        "mod",
        "modulo",
        "negative",
        "choose",
        "over",
        "than",
        "least",
        "most",
        "between",
        "infinity",
        "point",
        "undefined",
    ]
)
_SHORT_NOUNS = frozenset(("of", "in", "at", "on", "by", "as"))
_MAX_POWER = 400  # of ten, in scientific notation
_MAX_BITS = 12000  # of a number's value; what is longer is no answer


def quantities(text: str) -> tuple[Quantity, ...]:
    """The readings of `text`, which is `plain`, as a quantity; none when it is not one.

    A sum of units has two: "5 hours 30 minutes" is 5.5 and 330.
    """
    reader = _Reader(text)
    found = reader.read()
    if not reader.at_end or any(item.value.numerator.bit_length() > _MAX_BITS for item in found):
        return ()
    return tuple(found)


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at >= len(self.tokens)

    def _next(self, ahead: int = 0) -> Token:
        index = self._at + ahead
        return self.tokens[index] if index < len(self.tokens) else NOTHING

    def _take(self, kind: str, *texts: str) -> Token | None:
        token = self._next()
        if token.kind != kind or (texts and token.text not in texts):
            return None
        self._at += 1
        return token

    def _words(self) -> list[str]:
        """The words that come next; a hyphen between two of them is a space."""
        words, index = [], self._at
        while index < len(self.tokens):
            token = self.tokens[index]
            if token.kind == "word":
                words.append(token.text.lower())
            elif not (token.text == "-" and words and not token.gap):
                break
            index += 1
        return words

    def _skip(self, words: int) -> None:
        while words:
            words -= self._next().kind == "word"
            self._at += 1

    def read(self) -> list[Quantity]:
        """All readings of one quantity that begins here."""
        self._lead()
        first = self._one()
        if first is None:
            return []
        found, size = [first], first.unit.size if first.unit else Fraction(0)
        while not self.at_end and unit(self._next(-1).text):
            self._take("word", "and")
            more = self._one()
            if not (first.unit and more and more.unit) or more.unit.kinds != first.unit.kinds:
                return []
            if more.unit.size >= size:
                return []  # "5 cm and 6 cm" are two
            found, size = _sums(found, more), more.unit.size
        return found

    def _lead(self) -> None:
        self._take("symbol", "approx")
        while (token := self._next()).kind == "word" and token.text.lower() in _LEAD:
            if token.text.lower() in ("a", "an") and self._next(1).text.lower() not in _LEAD:
                return
            self._at += 1

    def _one(self) -> Quantity | None:
        sign = self._sign()
        money = self._currency()
        sign *= self._sign()
        number = self._number()
        if number is None:
            return None
        value, places = number
        percent = self._percent()
        ordinal = self._next()
        if ordinal.kind == "word" and not ordinal.gap and ordinal.text in ("st", "nd", "rd", "th"):
            self._at += 1
        named = self._tail()
        return Quantity(sign * value, places, percent, money or named)

    def _sign(self) -> int:
        if self._take("symbol", "-"):
            return -1
        if self._next().text.lower() in ("minus", "negative"):
            self._at += 1
            return -1
        self._take("symbol", "+")
        return 1

    def _currency(self) -> Unit | None:
        token = self._next()
        if token.text not in CURRENCIES:
            return None
        self._at += 1
        if token.text == "US":
            return self._currency()
        return unit(token.text)

    def _number(self) -> tuple[Fraction, int | None] | None:
        number = self._digits()
        if number is None:
            value, used = numeral(self._words())
            self._skip(used)
            return (value, None) if used else None
        value, places = number
        while (token := self._next()).kind == "word" and token.text.lower() in MAGNITUDES:
            value *= MAGNITUDES[token.text.lower()]
            self._at += 1
        return value, places

    def _digits(self) -> tuple[Fraction, int | None] | None:
        if fraction := self._fraction():
            return fraction, None
        token = self._take("number")
        if token is None:
            return None
        places = len(token.text.partition(".")[2])
        if ten := self._take("ten"):
            power = int(re.findall(r"[-+]?\d+", ten.text)[-1])
            if abs(power) > _MAX_POWER:
                return None
            return token.value * Fraction(10) ** power, max(0, places - power)
        share = Fraction(0) if places else self._share()
        return token.value + share, None if share else places

    def _share(self) -> Fraction:
        """What a mixed number adds to its whole, such as " 3/4" or " and a half"."""
        start = self._at
        joined = self._next().text.lower() == "and"
        self._at += joined
        fraction = self._fraction()
        if fraction is None and joined:
            fraction, used = leading_share(self._words())
            self._skip(used)
        if fraction is None or not 0 < fraction < 1:
            self._at = start
            return Fraction(0)
        return fraction

    def _fraction(self) -> Fraction | None:
        """A fraction of whole numbers that begins here."""
        if token := self._take("fraction"):
            return token.value
        over, slash, under = self._next(), self._next(1), self._next(2)
        if (over.kind, slash.text, under.kind) != ("number", "/", "number") or not under.value:
            return None
        if not (over.text + under.text).replace(",", "").isdigit():
            return None
        self._at += 3
        return over.value / under.value

    def _percent(self) -> bool:
        if self._take("symbol", "%"):
            return True
        words = self._words()[:2]
        used = 2 if words == ["per", "cent"] else int(bool(words) and words[0] in _PERCENT)
        self._skip(used)
        return bool(used)

    def _tail(self) -> Unit | None:
        """Units and nouns up to the end or the next number; None where no unit is known."""
        whole, sign, power = Unit(), 1, 1
        while not self.at_end:
            token = self._next()
            word = token.text.lower()
            if token.kind == "symbol" and token.text in ("/", "*", "cdot"):
                sign = -1 if token.text == "/" else sign
            elif token.kind == "power" and self._next(-1).kind == "word":
                pass  # taken with its unit, or of a noun
            elif word == "per":
                sign = -1
            elif word in ("square", "sq", "cubic", "cu"):
                power = 2 if word.startswith("sq") else 3
            elif found := self._unit(token):
                whole = whole.times(found, sign * self._power(power))
                power = 1
            elif not self._noun(token):
                break
            self._at += 1
        return whole if whole.kinds else None

    def _unit(self, token: Token) -> Unit | None:
        if token.kind == "symbol" or (token.kind == "word" and self._apart(token)):
            return unit(token.text)
        return None

    def _apart(self, token: Token) -> bool:
        """Whether a word cannot be a product of letters: `5m` may be one, `5 m` and `5cm` not."""
        return token.gap or token.marked or len(token.text) > 1 or self._next(-1).text in "/*cdot"

    def _power(self, power: int) -> int:
        """The power of the unit here: as said before it (square), or after it (^2, squared)."""
        after = self._next(1)
        if after.kind == "power":
            return int(after.text)
        if after.text.lower() in ("squared", "cubed"):
            self._at += 1
            return 2 if after.text.lower() == "squared" else 3
        return power

    def _noun(self, token: Token) -> bool:
        """Whether a word may follow a number without changing it."""
        word = token.text.lower()
        if token.kind != "word" or word in _NOT_NOUNS:
            return False
        return token.marked or (token.gap and (len(word) > 2 or word in _SHORT_NOUNS))


def _sums(found: list[Quantity], more: Quantity) -> list[Quantity]:
    """Each reading and the sum, in the unit of either part."""
    assert more.unit is not None
    sums = []
    for item in found:
        assert item.unit is not None
        size = item.unit.size / more.unit.size
        sign = -1 if item.value < 0 else 1
        total = item.value * size + sign * more.value
        sums += [
            Quantity(total / size, None, unit=item.unit),
            Quantity(total, None, unit=more.unit),
        ]
    return [sums[0], sums[-1]]
