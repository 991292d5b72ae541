"""Small marks that live views share: bars of one character, percentages, clock times."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite
from statistics import fmean

_BARS = "▁▂▃▄▅▆▇█"
MISSING = "·"


def bar(value: float, low: float, high: float) -> str:
    """One character, the higher the nearer `value` is to `high`; lowest when low == high."""
    if not isfinite(value):
        return MISSING
    share = (value - low) / (high - low) if high > low else 0.0
    return _BARS[round(max(0.0, min(1.0, share)) * (len(_BARS) - 1))]


def curve(values: Sequence[float], width: int) -> str:
    """The values as at most `width` bars, from the lowest to the highest; each a mean of its part.

    Args:
        values: in order; not-a-number where one is missing.
        width: characters there is room for.
    """
    places = min(len(values), width)
    if places < 1:
        return ""
    cuts = [len(values) * index // places for index in range(places + 1)]
    parts = [values[start:end] for start, end in pairwise(cuts)]
    kept = [[value for value in part if isfinite(value)] for part in parts]
    means = [fmean(part) if part else float("nan") for part in kept]
    finite = [mean for mean in means if isfinite(mean)]
    return "".join(bar(mean, min(finite, default=0.0), max(finite, default=0.0)) for mean in means)


def percent(value: float | None) -> str:
    """0.5 as "50.0 %"; nothing for None."""
    return "" if value is None else f"{100 * value:.1f} %"


def duration(seconds: float) -> str:
    """Seconds as 1:05 or 2:01:05."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
