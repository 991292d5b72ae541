"""A number and its unit, and when two of them say the same."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from layergym.envs.math.units import Unit


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and its unit."""

    value: Fraction
    places: int | None = None
    """Digits after the point of a decimal, None of a fraction."""
    percent: bool = False
    unit: Unit | None = None
    """None where no unit is known: a bare number, or one with a noun."""


def same(gold: Quantity, given: Quantity) -> bool:
    """Whether two quantities say the same.

    Units count where both are known. A percent sign is a unit ("85" and "85%") or a factor (0.5 and
    "50%"); a whole number above one that stands without it is never a hundredth of one with it.
    """
    if gold.unit and given.unit:
        if gold.unit.kinds != given.unit.kinds:
            return False
        size = given.unit.size / gold.unit.size
        return _close(gold, replace(given, value=given.value * size))
    if gold.percent == given.percent or _is_unit(gold, given):
        return _close(gold, given) or (gold.percent != given.percent and _is_share(gold, given))
    return _is_share(gold, given)


def _is_unit(gold: Quantity, given: Quantity) -> bool:
    """Whether the percent sign of one may be a unit that the other leaves out."""
    return gold.percent or not 0 < abs(gold.value) < 1


def _is_share(gold: Quantity, given: Quantity) -> bool:
    """Whether the one with a percent sign is a hundred times the other."""
    one, other = (gold, given) if gold.percent else (given, gold)
    bare = other.value
    if bare.denominator == 1 and abs(bare) > 1:
        return False
    places = None if one.places is None else one.places + 2
    return _close(replace(one, value=one.value / 100, places=places), other)


def _close(one: Quantity, other: Quantity) -> bool:
    """Equal, or a fraction and the same rounded to six places or more."""
    if one.value == other.value:
        return True
    places = other.places if one.places is None else one.places
    both = (one.places is None) == (other.places is None)
    if both or places is None or places < 6:
        return False
    rounded = other.value if one.places is None else one.value
    known = len(str(abs(rounded.numerator * 10**places // rounded.denominator)))
    return known >= 4 and abs(one.value - other.value) * 2 * 10**places <= 1
