"""Units and currencies: which words are one, and how the units of one kind compare."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

_FEET, _POUND = Fraction("0.3048"), Fraction("0.45359237")
# Kind: for each unit its size and its names. A kind's sizes only compare with one another.
_UNITS: dict[str, list[tuple[Fraction | int | str, str]]] = {
    "length": [
        ("0.000001", "micrometer micrometre micron"),
        ("0.001", "mm millimeter millimetre"),
        ("0.01", "cm centimeter centimetre"),
        ("0.1", "dm decimeter decimetre"),
        (1, "m meter metre"),
        (1000, "km kilometer kilometre"),
        (_FEET / 12, "in inch inches"),
        (_FEET, "ft foot feet"),
        (_FEET * 3, "yd yard"),
        (_FEET * 5280, "mi mile"),
    ],
    "mass": [
        ("0.000001", "mg milligram"),
        ("0.001", "g gram gramme"),
        (1, "kg kilogram kilo"),
        (1000, "tonne"),
        (_POUND / 16, "oz ounce"),
        (_POUND, "lb lbs pound"),
    ],
    "time": [
        ("0.001", "ms millisecond"),
        (1, "s sec second"),
        (60, "min minute"),
        (3600, "h hr hour"),
        (86400, "day"),
        (604800, "week wk"),
    ],
    "years": [(1, "month"), (12, "year yr")],
    "volume": [
        ("0.001", "ml mL milliliter millilitre"),
        (1, "l L liter litre"),
        ("0.946352946", "quart qt"),
        ("3.785411784", "gallon gal"),
    ],
    "angle": [(1, "degree deg"), ("0.0174532925", "radian rad")],
    "heat": [(1, "celsius"), (2, "fahrenheit"), (3, "kelvin")],
    "bytes": [(1, "byte"), (1000, "kb"), (10**6, "mb"), (10**9, "gb")],
    "power": [(1, "W watt"), (1000, "kW kilowatt")],
    "energy": [(1, "J joule"), (1000, "kJ kilojoule"), (3600000, "kWh")],
    "force": [(1, "N newton")],
    "tension": [(1, "V volt")],
    "frequency": [(1, "Hz hertz"), (1000, "kHz")],
    "dollars": [(1, "$ dollar USD usd buck"), ("0.01", "cent ¢")],
    "euros": [(1, "€ euro EUR eur"), ("0.01", "eurocent")],
    "sterling": [(1, "£ GBP gbp quid"), ("0.01", "pence p")],
    "yen": [(1, "¥ yen JPY jpy")],
    "rupees": [(1, "₹ rupee Rs INR inr rs")],
    "won": [(1, "₩ won KRW krw")],
    "rubles": [(1, "₽ ruble rouble")],
    "yuan": [(1, "yuan RMB rmb CNY cny")],
    "pesos": [(1, "peso ₱ MXN PHP")],
    "liras": [(1, "lira ₺ TRY")],
    "nairas": [(1, "naira ₦ NGN")],
    "shekels": [(1, "shekel ₪ ILS")],
    "bahts": [(1, "baht ฿ THB")],
    "dongs": [(1, "dong ₫ VND")],
    "hryvnias": [(1, "hryvnia ₴ UAH")],
    "zlotys": [(1, "zloty zl PLN")],
    "crowns": [(1, "kr krona kronor krone kroner SEK NOK DKK CZK")],
    "rands": [(1, "rand ZAR")],
    "dirhams": [(1, "dirham AED")],
    "reais": [(1, "reais BRL")],
    "takas": [(1, "taka ৳ BDT")],
    "cedis": [(1, "cedi ₵ GHS")],
    "francs": [(1, "franc CHF chf")],
}
_COMPOUND = {"mph": ("mile", "hour"), "kph": ("km", "hour"), "kmh": ("km", "hour")}
_SIGNS = (
    "$ € £ ¥ ₹ ₩ ₽ ₱ ₺ ₦ ₪ ฿ ₫ ₴ ৳ ₵ USD EUR GBP JPY INR KRW RMB CNY CHF Rs US kr SEK NOK DKK PLN "
    "AED ZAR BRL TRY NGN ILS THB VND MXN PHP"
)
CURRENCIES = frozenset(_SIGNS.split())
"""What may stand before the number."""

Dimensions = tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A product of powers of units."""

    size: Fraction = Fraction(1)
    """Its size in the base unit of its kind."""
    kinds: Dimensions = ()
    """Each kind with its power, sorted."""

    def times(self, other: Unit, power: int = 1) -> Unit:
        """This unit times a power of another."""
        powers = dict(self.kinds)
        for kind, count in other.kinds:
            powers[kind] = powers.get(kind, 0) + count * power
        kinds = tuple(sorted((kind, count) for kind, count in powers.items() if count))
        return Unit(self.size * other.size**power, kinds)


def _names() -> dict[str, Unit]:
    known = {}
    for kind, units in _UNITS.items():
        for size, names in units:
            for name in names.split():
                known[name] = Unit(Fraction(size), ((kind, 1),))
                if len(name) > 3:
                    known[f"{name}s"] = known[name]
    known |= {"hrs": known["hr"], "yrs": known["yr"], "mins": known["min"], "secs": known["sec"]}
    known |= {"kgs": known["kg"], "days": known["day"], "yds": known["yd"], "cms": known["cm"]}
    for name, (over, under) in _COMPOUND.items():
        known[name] = known[over].times(known[under], -1)
    return known


_KNOWN = _names()
AMBIGUOUS = {"pound": _KNOWN["£"], "cent": _KNOWN["eurocent"]}
"""What a word may mean beside the unit of its name."""


def unit(name: str) -> Unit | None:
    """The unit of this name, or None where it is not one. Case counts in one or two letters."""
    return _KNOWN.get(name) or (_KNOWN.get(name.lower()) if len(name) > 2 else None)
