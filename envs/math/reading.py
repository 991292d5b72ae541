r"""Reading a number as people write it, with what stands around it.

`-1\frac{1}{4}`, `2 3/4 cups`, `$1,200.50`, `5 million dollars`, `1.5e3`, `85%`, `twenty-one`,
`5 hours 30 minutes`. Everything in the text must have its place, or it is no quantity.
"""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction

from layergym.envs.math.cursor import Cursor
from layergym.envs.math.numerals import MAGNITUDES, leading_share, numeral
from layergym.envs.math.quantities import Quantity
from layergym.envs.math.tails import tail
from layergym.envs.math.tokens import Token
from layergym.envs.math.units import AMBIGUOUS, CURRENCIES, Unit, unit

_LEAD = {
    *("the", "answer", "is", "are", "was", "it", "final", "result", "value", "total", "of"),
    *("about", "approximately", "approx", "roughly", "exactly", "around", "equals", "equal"),
    *("so", "therefore", "thus", "there", "a", "an"),
}
_PERCENT = ("percent", "percentage", "pct")
_MAX_POWER = 400  # of ten, in scientific notation
_MAX_BITS = 12000  # of a number's value; what is longer is no answer


def quantities(text: str) -> tuple[Quantity, ...]:
    """The readings of `text`, which is `plain`, as a quantity; none when it is not one.

    A sum of units has two: "5 hours 30 minutes" is 5.5 and 330. So has a unit of two meanings.
    """
    reader = _Reader(text)
    amounts = reader.read()
    if not reader.at_end or any(item.value.numerator.bit_length() > _MAX_BITS for item in amounts):
        return ()
    meant = [
        other
        for word, other in AMBIGUOUS.items()
        if re.search(rf"\b{word}s?\b", text, re.IGNORECASE)
    ]
    single = [item for item in amounts if item.unit and len(item.unit.kinds) == 1]
    return (*amounts, *(replace(item, unit=other) for item in single for other in meant))


class _Reader(Cursor):
    """Reads quantities from left to right."""

    def read(self) -> list[Quantity]:
        """All readings of one quantity that begins here."""
        self._lead()
        first = self._one()
        if first is None:
            return []
        amounts, size = [first], first.unit.size if first.unit else Fraction(0)
        while not self.at_end and unit(self.next(-1).text):
            self.take("word", "and")
            more = self._one()
            if not (first.unit and more and more.unit) or more.unit.kinds != first.unit.kinds:
                return []
            if more.unit.size >= size:
                return []  # "5 cm and 6 cm" are two
            amounts, size = _sums(amounts, more), more.unit.size
        return amounts

    def _lead(self) -> None:
        self.take("symbol", "approx")
        while (token := self.next()).kind == "word" and token.text.lower() in _LEAD:
            if token.text.lower() in ("a", "an") and self.next(1).text.lower() not in _LEAD:
                return
            self.place += 1

    def _one(self) -> Quantity | None:
        sign = self._sign()
        money = self._currency()
        sign *= self._sign()
        number = self._number()
        if number is None:
            return None
        value, places = number
        percent = self._percent()
        ordinal = self.next()
        if ordinal.kind == "word" and not ordinal.gap and ordinal.text in ("st", "nd", "rd", "th"):
            self.place += 1
        named = tail(self)
        return Quantity(sign * value, places, percent, money or named)

    def _sign(self) -> int:
        if self.take("symbol", "-"):
            return -1
        if self.next().text.lower() in ("minus", "negative"):
            self.place += 1
            return -1
        self.take("symbol", "+")
        return 1

    def _currency(self) -> Unit | None:
        token = self.next()
        if token.text not in CURRENCIES:
            return None
        self.place += 1
        if token.text == "US":
            return self._currency()
        return unit(token.text)

    def _number(self) -> tuple[Fraction, int | None] | None:
        """A number that begins here, with its digits after the point, or "3 out of 4"."""
        number, start = self._plain_number(), self.place
        if number and self.take("word", "out") and self.take("word", "of"):
            self.take("word", "every")
            whole = self._plain_number()
            if whole and whole[0]:
                return number[0] / whole[0], None
        self.place = start
        return number

    def _plain_number(self) -> tuple[Fraction, int | None] | None:
        number = self._digits()
        if number is None:
            value, used = numeral(self.words())
            self.skip(used)
            return (value, None) if used else None
        value, places = number
        while (token := self.next()).kind == "word" and token.text.lower() in MAGNITUDES:
            value *= MAGNITUDES[token.text.lower()]
            self.place += 1
        return value, places

    def _digits(self) -> tuple[Fraction, int | None] | None:
        if fraction := self._fraction():
            return fraction, None
        if tens := self.take("tens"):
            power = _power_of_ten(tens)
            return None if power is None else (Fraction(10) ** power, None)
        token = self.take("number")
        if token is None:
            return None
        places = len(token.text.partition(".")[2])
        if ten := self.take("ten"):
            power = _power_of_ten(ten)
            if power is None:
                return None
            return token.value * Fraction(10) ** power, max(0, places - power)
        share = Fraction(0) if places else self._share()
        return token.value + share, None if share else places

    def _share(self) -> Fraction:
        """What a mixed number adds to its whole, such as " 3/4" or " and a half"."""
        start = self.place
        joined = self.next().text.lower() == "and"
        self.place += joined
        fraction = self._fraction()
        if fraction is None and joined:
            fraction, used = leading_share(self.words())
            self.skip(used)
        if fraction is None or not 0 < fraction < 1:
            self.place = start
            return Fraction(0)
        return fraction

    def _fraction(self) -> Fraction | None:
        """A fraction of whole numbers that begins here."""
        if token := self.take("fraction"):
            return token.value
        over, slash, under = self.next(), self.next(1), self.next(2)
        if (over.kind, slash.text, under.kind) != ("number", "/", "number") or not under.value:
            return None
        if not (over.text + under.text).replace(",", "").isdigit():
            return None
        self.place += 3
        return over.value / under.value

    def _percent(self) -> bool:
        if self.take("symbol", "%"):
            return True
        words = self.words()[:2]
        used = 2 if words == ["per", "cent"] else int(bool(words) and words[0] in _PERCENT)
        self.skip(used)
        return bool(used)


def _power_of_ten(token: Token) -> int | None:
    """The power that scientific notation ends with; None where it is too large for an answer."""
    power = int(re.findall(r"[-+]?\d+", token.text)[-1])
    return power if abs(power) <= _MAX_POWER else None


def _sums(amounts: list[Quantity], more: Quantity) -> list[Quantity]:
    """Each reading and the sum, in the unit of either part."""
    assert more.unit is not None
    sums = []
    for item in amounts:
        assert item.unit is not None
        size = item.unit.size / more.unit.size
        sign = -1 if item.value < 0 else 1
        total = item.value * size + sign * more.value
        sums += [
            Quantity(total / size, None, unit=item.unit),
            Quantity(total, None, unit=more.unit),
        ]
    return [sums[0], sums[-1]]
