"""Values of options: each kind is defined once, and refuses in a sentence what can never work.

`whole` and `real` make an argparse `type` from the numbers that make sense; the upper ends are
beyond what anybody runs, and below what would fill a machine's memory before anything is said.
"""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable

from layergym.base.errors import InputError
from layergym.base.numbers import Bounds

_UNITS = {"h": 3600, "m": 60, "s": 1}
SHOWN = 40
"""Characters of a refused value that are repeated."""


def whole(least: int, most: int) -> Callable[[str], int]:
    """Whole numbers from `least` to `most`, in plain digits."""

    def read(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?[0-9]{1,30}", text) else None
        if value is None or not least <= value <= most:
            raise _refused(text, f"a whole number from {least:,} to {most:,}")
        return value

    return read


def real(least: float, most: float = math.inf, *, above: bool = False) -> Callable[[str], float]:
    """Finite numbers from `least` to `most`, or only those above `least`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or not least <= value <= most or (above and value == least):
            bounds = f"above {least:g}" if above else f"of {least:g} or more"
            raise _refused(text, f"a number {bounds}" + _up_to(most))
        return value

    return read


def within(bounds: Bounds) -> Callable[[str], float]:
    """Numbers within the bounds of a setting."""
    if not bounds.whole:
        return real(bounds.low, bounds.high, above=bounds.above)
    return whole(int(bounds.low), int(bounds.high))


def text(value: str) -> str:
    """A text that is not empty."""
    if not value.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return value


def seconds(duration: str) -> float:
    """Read a duration: "90s", "20m", "2h", "1h30m".

    Raises:
        InputError: it is none.
    """
    if not re.fullmatch(r"([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,9}s)?", duration) or not duration:
        raise InputError(f'"{duration}" is not a duration; write 90s, 20m, 2h or 1h30m')
    return float(sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+)([hms])", duration)))


def _up_to(most: float) -> str:
    return "" if math.isinf(most) else f" and at most {most:g}"


def _refused(text: str, wanted: str) -> argparse.ArgumentTypeError:
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return argparse.ArgumentTypeError(f'it takes {wanted}, not "{shown}"')


SEED = whole(0, 2**32 - 1)
STEPS = whole(1, 1_000_000)
TASKS = whole(1, 100_000)
"""The tasks of one step, or of a panel; where there are fewer, the panel says how many."""
REPEATS = whole(1, 10_000)
TOKENS = whole(1, 10_000_000)
ROWS = whole(1, 1_000_000)
JOBS = whole(1, 4096)
GPUS = whole(1, 1_000_000)
WEIGHT = real(0)
RATE = real(0, 100, above=True)
SHARE = real(0, 1)
TEMPERATURE = real(0, 100)
SECONDS = real(0, 1e7, above=True)
