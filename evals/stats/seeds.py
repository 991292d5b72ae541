"""How far runs of one arm lie apart, arm by arm, when one run in many may have diverged.

Shape legend: A arms, S seeds of reinforcement learning, T tasks.

Two or three seeds cannot say how far an arm's runs lie apart, so all arms share one variance. But
one diverged run, which lost nearly everything, would then widen the intervals of every arm. So the
pool is robust: an arm whose runs lie much further apart than those of the median arm leaves it and
keeps a variance of its own. The arm's score stays the mean over all its runs.

- An arm that stands apart gets a normal effect with a variance of its own, not Student's t: its
  runs either learned or did not. What lies between is bounded, and with up to four seeds the
  variance that was seen is at least the largest that two such values can have. It is shrunk to
  that of all arms together, since it may be luck alone that this arm had the diverged run.
- The other arms may have such a run next time, so the mean of the runs that they had may be too
  high. `risk` is by how much; it is shared, so it widens what is said against the base and leaves
  differences between arms as they are.
- Where many arms stand apart (more than one, or than a tenth of them), that is how training goes:
  the pool keeps them all, which carries that risk for the others.
- All this takes three runs of every arm. Of two runs both may have diverged: such an arm looks bad
  and does not stand apart. Then one variance is kept for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from layergym.evals.results import Floats

ALPHA = 0.01
"""The chance, over all arms, that one stands apart although all vary alike."""
_PRIOR = 4
"""Degrees of freedom that the variance of all arms counts for in that of an arm apart."""
ENOUGH = 3
"""Runs of every arm from which on the pool is robust."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the runs of A arms lie apart."""

    variances: Floats
    """The variance of one run's score, (A,); 0 where nothing was repeated."""
    degrees: int
    """Degrees of freedom of the pool."""
    apart: tuple[int, ...]
    """Arms whose runs lie much further apart than those of the others."""
    own: tuple[int, ...]
    """Those of them that have a variance of their own: all, or none with too few runs."""
    risk: float
    """How far the other arms' scores may be too high for want of such runs; 0 without any."""


@dataclass(frozen=True, slots=True)
class _Squares:
    """Mean squares of one arm, and their degrees of freedom."""

    between: float
    df_between: int
    within: float
    df_within: int


def seed_variance(cells: Sequence[Floats]) -> tuple[float, int]:
    """Variance of a score between seeds, pooled over arms, and its degrees of freedom.

    `cells` holds one table (S, T) of success rates per arm. In each arm a two-way analysis of
    variance separates seeds from tasks; what is left (repeats, and seed x task) is the noise that
    the bootstrap over tasks already carries and is subtracted, down to 0. Pooling takes the
    variance to be alike in all these arms.
    """
    squares = [_squares(table) for table in cells]
    return _variance(squares, squares, cells)


def seed_spread(cells: Sequence[Floats]) -> Spread:
    """The variance between seeds of every arm, robust against arms whose runs lie far apart.

    An arm stands apart where an F test finds its mean square between seeds above the median arm's
    (or above the noise of tasks and sampling, where that is larger), at `ALPHA` over all arms.
    With two arms or fewer none does: it could not be said which.

    Args:
        cells: success rates (S, T) of each trained arm.
    """
    squares = [_squares(table) for table in cells]
    apart = tuple(_apart(squares))
    together = _variance(squares, squares, cells)
    if min(map(len, cells), default=0) < ENOUGH:
        return Spread(np.full(len(cells), together[0]), together[1], apart, (), 0.0)
    out = apart if len(apart) <= max_apart(len(cells)) else ()
    inside = [one for arm, one in enumerate(squares) if arm not in out]
    pooled, degrees = _variance(inside, squares, cells)
    variances = np.full(len(cells), pooled)
    for arm in apart:
        own, known = _variance([squares[arm]], squares, cells)
        variances[arm] = (known * own + _PRIOR * together[0]) / (known + _PRIOR)
    risk = _risk(len(apart), sum(map(len, cells)), together[0] - pooled)
    return Spread(variances, degrees, apart, apart, risk)


def _risk(lost: int, runs: int, excess: float) -> float:
    """How much the mean of runs that were not lost may lie above the mean of all.

    Where a share p of all runs loses d each, they cost p * d on average, and p * d^2 of the
    variance of all runs comes from them; that tells d. How large p may be is Clopper and Pearson's
    upper bound for `lost` of `runs`: 19 % for 1 of 27.

    Args:
        lost: runs that stand apart.
        runs: all of them.
        excess: the variance of all runs above that of the others.
    """
    if not lost or excess <= 0:
        return 0.0
    largest = scipy.stats.beta.isf(0.025, lost + 1, runs - lost)
    return float(largest * np.sqrt(excess * runs / lost))


def max_apart(arms: int) -> int:
    """How many of this many trained arms may stand apart and leave the pool."""
    return max(1, arms // 10)


def _squares(table: Floats) -> _Squares:
    seeds, tasks = table.shape
    by_seed = table.mean(axis=1, keepdims=True)
    rest = table - by_seed - table.mean(axis=0, keepdims=True) + table.mean()
    between, within = seeds - 1, (seeds - 1) * (tasks - 1)
    return _Squares(
        tasks * float(((by_seed - table.mean()) ** 2).sum()) / max(between, 1),
        between,
        float((rest**2).sum()) / max(within, 1),
        within,
    )


def _variance(
    between: Sequence[_Squares], within: Sequence[_Squares], cells: Sequence[Floats]
) -> tuple[float, int]:
    """The variance that `between` has above the noise of `within`, and its degrees of freedom."""
    degrees = sum(one.df_between for one in between)
    if not degrees or not sum(one.df_within for one in within):
        return 0.0, degrees
    square = sum(one.between * one.df_between for one in between) / degrees
    return max(0.0, square - _noise(within)) / cells[0].shape[1], degrees


def _noise(squares: Sequence[_Squares]) -> float:
    degrees = sum(one.df_within for one in squares)
    return sum(one.within * one.df_within for one in squares) / max(degrees, 1)


def _apart(squares: Sequence[_Squares]) -> list[int]:
    repeated = [arm for arm, one in enumerate(squares) if one.df_between and one.df_within]
    if len(repeated) < 3:
        return []
    own = np.array([squares[arm].between for arm in repeated])
    degrees = np.array([squares[arm].df_between for arm in repeated])
    usual = float(np.median(own * degrees / scipy.stats.chi2.median(degrees)))
    usual = max(usual, _noise(squares))
    if usual < 1e-12:
        return []
    # A median knows about half as much as a mean.
    known = max(1, int(degrees.sum() - degrees.max()) // 2)
    chance = scipy.stats.f.sf(own / usual, degrees, known)
    return [arm for arm, p in zip(repeated, chance, strict=True) if p < ALPHA / len(repeated)]
