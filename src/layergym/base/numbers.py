"""Kinds and ranges of settings, checked where they are declared, and whole numbers in short."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any

from layergym.base.errors import InputError

MOST = 1e300
"""Beyond it are infinity and whole numbers that no float holds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which numbers a setting may be; never NaN or infinite."""

    low: float = -inf
    high: float = inf
    above: bool = False
    """Whether `low` itself is excluded."""
    whole: bool = False
    """Whether it is an `int`."""
    optional: bool = False
    """Whether it may be None."""

    def hold(self, value: object) -> bool:
        """Whether `value` is allowed."""
        if value is None:
            return self.optional
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        assert isinstance(value, (int, float))
        inside = self.low < value if self.above else self.low <= value
        return inside and value <= self.high and abs(value) < MOST

    def read(self, values: Mapping[str, Any], name: str) -> Any:
        """The number of this name in an object that a file held.

        Raises:
            KeyError: there is none.
            ValueError: it is not allowed.
        """
        if not self.hold(values[name]):
            raise ValueError(f"{name} must be {self}")
        return values[name]

    def __str__(self) -> str:
        """Say it, as in "gamma must be ..."."""
        what = "a whole number" if self.whole else "a number"
        if self.low == -inf:
            return what
        if self.above:
            return f"{what} above {self.low:g}" + f", {self.high:g} at most" * (self.high < inf)
        if self.high < inf:
            return f"{what} from {self.low:g} to {self.high:g}"
        return f"{what}, {self.low:g} or more"


def check_numbers(settings: object, bounds: Mapping[str, Bounds]) -> None:
    """Check that the named attributes of `settings`, or all in a tuple, are within their bounds.

    Raises:
        InputError: one is not.
    """
    for name, allowed in bounds.items():
        given = getattr(settings, name)
        for value in given if isinstance(given, tuple) else (given,):
            if not allowed.hold(value):
                raise InputError(f"{name} must be {allowed}, not {repr(value)[:40]}")


def in_runs(numbers: Iterable[int], separator: str) -> str:
    """Whole numbers in ascending runs: 7, 1, 2 and 3 with a comma are "1-3,7"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return separator.join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
