"""Intervals, ratios and ranks for the scores of several arms on one panel.

Shape legend: B bootstrap draws, A arms, S seeds of reinforcement learning, T tasks, L layers.
Everything about one panel follows from one joint bootstrap of all arms (`joint_draws`), so
differences, contributions and ranks stay paired over tasks. All intervals are 95 %. Whatever is
said about several arms at once, or about one that was picked for its score, takes a critical value
that holds for all of them together (`critical`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from layergym.evals.results import Floats
from layergym.evals.stats.seeds import seed_spread

LEVEL = 0.95
DRAWS = 4000
_TAILS = (50 * (1 - LEVEL), 50 * (1 + LEVEL))
Z = 1.959963984540054  # scipy.stats.norm.ppf((1 + LEVEL) / 2), which takes a second to import


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its 95 % interval; without one where nothing was repeated."""

    value: float
    low: float | None = None
    high: float | None = None

    def above(self, bound: float) -> bool:
        """Whether the whole interval lies above `bound`."""
        return self.low is not None and self.low > bound


def joint_draws(
    cells: Sequence[Floats], trained: Sequence[bool], *, seed: int, draws: int = DRAWS
) -> Floats:
    """Bootstrap all arms' mean scores at once, (B, A), paired over tasks.

    Tasks are drawn with replacement, the same ones for all arms, and deviations are scaled by
    sqrt(T / (T - 1)). Each trained arm then gets an independent normal seed effect with the
    pooled variance of `seed_variance` over its number of seeds, widened by Student's t for the
    few degrees of freedom (resampling two or three seeds would give too little spread). Arms with
    one seed throughout get none: their intervals are about these very runs. An arm with the same
    rate on every task gets the spread of `unseen`.

    Args:
        cells: success rates (S, T) per arm; S may differ, T may not.
        trained: whether the arm was trained, so that it has seed effects.
        seed: of the private generator.
        draws: B.
    """
    generator = np.random.default_rng(seed)
    means = np.array([table.mean(axis=0) for table in cells])
    tasks = means.shape[1]
    chosen = generator.integers(tasks, size=(draws, tasks)) + tasks * np.arange(draws)[:, None]
    counts = np.bincount(chosen.ravel(), minlength=draws * tasks).reshape(draws, tasks)
    centre = means.mean(axis=1)
    scale = np.sqrt(tasks / max(tasks - 1, 1))
    drawn: Floats = centre + (counts @ means.T / tasks - centre) * scale
    drawn = drawn + unseen(drawn, tasks, seed=seed)
    places = [place for place, is_trained in enumerate(trained) if is_trained]
    spread = seed_spread([cells[place] for place in places])
    if spread.variances.any():
        seeds = np.array([cells[place].shape[0] for place in places])
        widen = np.full(len(places), scipy.stats.t.ppf((1 + LEVEL) / 2, max(spread.degrees, 1)) / Z)
        widen[list(spread.own)] = 1.0
        errors = widen * np.sqrt(spread.variances / seeds)
        drawn[:, places] += generator.standard_normal((draws, len(places))) * errors
    return drawn


def risk_draws(
    cells: Sequence[Floats], trained: Sequence[bool], *, seed: int, draws: int = DRAWS
) -> Floats:
    """Normal draws (B,) of what all trained arms' scores may be too high by, beside `joint_draws`.

    Their 95 % interval is that of `Spread.risk`: 0 unless a run stands apart.

    Args:
        cells: as in `joint_draws`, as are the others.
        trained: likewise.
        seed: likewise.
        draws: B.
    """
    spread = seed_spread([c for c, t in zip(cells, trained, strict=True) if t])
    generator = np.random.default_rng([seed, len(cells), draws])
    drawn: Floats = generator.standard_normal(draws) * spread.risk / Z
    return drawn


def unseen(draws: Floats, tasks: int, *, seed: int) -> Floats:
    """Normal draws (B, K) for the columns of `draws` (B, K) that have no spread, 0 elsewhere.

    Where all T tasks give the same value the bootstrap sees no spread, but up to a share e of all
    tasks may give another, e being Clopper and Pearson's bound for none in T. The 95 % interval
    of these draws is -e to e.
    """
    flat = draws.std(axis=0) < 1e-9
    if not flat.any():
        return np.zeros_like(draws)
    generator = np.random.default_rng([seed, draws.shape[1]])
    return np.where(flat, generator.standard_normal(draws.shape) * _unseen_share(tasks) / Z, 0.0)


def freedom(cells: Sequence[Floats], trained: Sequence[bool]) -> int:
    """Degrees of freedom behind `joint_draws` of the same arms: the fewest of tasks and of seeds.

    Seeds count where the variance between them is above 0.
    """
    tasks = int(cells[0].shape[1]) - 1
    spread = seed_spread([c for c, t in zip(cells, trained, strict=True) if t])
    varied = any(np.delete(spread.variances, spread.own) > 1e-12)
    return min(tasks, spread.degrees) if varied else tasks


def interval(value: float, draws: Floats) -> Estimate:
    """Percentile interval of `value` from its draws (B,)."""
    low, high = np.percentile(draws, _TAILS)
    return Estimate(float(value), float(low), float(high))


def score_interval(cells: Floats, draws: Floats) -> Estimate:
    """Interval of a mean of values within 0 and 1, such as a success rate; it holds near both ends.

    Near 0 and 1 the draws are skewed and too narrow, so their variance is only used to say how
    many independent episodes n would know as much (at most all that were played), and the interval
    is Clopper and Pearson's for n of them (Korn and Graubard 1998). Where every episode succeeded
    or every one failed, n is the number of tasks.

    Args:
        cells: success rates (S, T).
        draws: of their mean, (B,).
    """
    value = float(cells.mean())
    tasks = cells.shape[1]
    variance = (
        float(draws.var()) * float(scipy.stats.t.ppf((1 + LEVEL) / 2, max(tasks - 1, 1)) / Z) ** 2
    )
    known = value * (1 - value) / variance if 0 < value < 1 and variance > 0 else float(tasks)
    return Estimate(value, *_clopper_pearson(value * known, known))


def _clopper_pearson(successes: float, count: float) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    low = scipy.stats.beta.ppf(tail, successes, count - successes + 1) if successes > 0 else 0.0
    high = (
        scipy.stats.beta.isf(tail, successes + 1, count - successes) if successes < count else 1.0
    )
    return float(low), float(high)


def difference_interval(first: Floats, second: Floats, draws: Floats) -> Estimate:
    """Percentile interval of the paired difference second - first of two arms on T tasks.

    Where the difference is the same on every task the bootstrap sees no spread. Then up to a
    share e of all tasks may still be different, e being Clopper and Pearson's bound for none in
    T, and these by anything from -1 to 1.

    Args:
        first: success rates (S, T).
        second: those of the other arm.
        draws: of the difference, (B,).
    """
    gaps = second.mean(axis=0) - first.mean(axis=0)
    value = float(gaps.mean())
    if np.ptp(gaps) > 0:
        return interval(value, draws)
    share = _unseen_share(len(gaps))
    return Estimate(value, (1 - share) * value - share, (1 - share) * value + share)


def _unseen_share(tasks: int) -> float:
    return float(scipy.stats.binomtest(0, tasks).proportion_ci(LEVEL, "exact").high)


def contribution_ratios(
    numerators: Floats,
    denominator: float,
    draws: Floats,
    denominator_draws: Floats,
    *,
    limit: float = Z,
) -> list[Estimate] | None:
    """Ratios (layer - base) / (full - base) with Fieller's intervals (Fieller 1954).

    The interval of a ratio holds every c for which numerator - c * denominator is not
    distinguishable from 0; variances and covariances come from the joint draws.

    Args:
        numerators: layer - base, (L,).
        denominator: full - base.
        draws: of the numerators, (B, L).
        denominator_draws: of the denominator, (B,).
        limit: standard errors from which on a value is distinguishable from 0.

    Returns:
        None where the denominator is not distinguishably above 0: the ratio is undefined.
    """
    spread = float(denominator_draws.var())
    bound = denominator**2 - limit**2 * spread
    if denominator <= 0 or bound <= 0 or np.percentile(denominator_draws, _TAILS[0]) <= 0:
        return None
    shifted = draws - draws.mean(axis=0)
    cross = (shifted * (denominator_draws - denominator_draws.mean())[:, None]).mean(axis=0)
    middle = numerators * denominator - limit**2 * cross
    offset = numerators**2 - limit**2 * shifted.var(axis=0)
    half = np.sqrt(np.maximum(middle**2 - bound * offset, 0.0))
    rows = zip(
        numerators / denominator, (middle - half) / bound, (middle + half) / bound, strict=True
    )
    return [Estimate(float(value), float(low), float(high)) for value, low, high in rows]


def joint_contributions(
    numerators: Floats, denominator: float, draws: Floats, denominator_draws: Floats, degrees: int
) -> list[Estimate] | None:
    """`contributions` whose intervals hold for all ratios together, `degrees` as in `critical`.

    The critical value is that of all numerator - c * denominator at the estimated ratios c (the
    plug-in of Dilba, Bretz, Guiard and Hothorn 2004).
    """
    if denominator <= 0:
        return None
    rest = draws - denominator_draws[:, None] * numerators / denominator
    limit = max(Z, critical(rest, degrees))
    return contribution_ratios(numerators, denominator, draws, denominator_draws, limit=limit)


def simultaneous(values: Floats, draws: Floats, degrees: int) -> list[Estimate]:
    """Intervals of differences (K,) of success rates that hold together with 95 % confidence.

    Half-widths are `critical` standard errors; nothing lies beyond -1 or 1. One of several may
    then be picked without a penalty.
    """
    half = critical(draws, degrees) * draws.std(axis=0)
    rows = zip(values, np.maximum(values - half, -1), np.minimum(values + half, 1), strict=True)
    return [Estimate(float(value), float(low), float(high)) for value, low, high in rows]


def rank_sets(values: Floats, draws: Floats, degrees: int) -> list[tuple[int, int]]:
    """Best and worst rank of each of `values` (L,) that the data allow, rank 1 being the highest.

    All pairs are compared with simultaneous intervals; a rank set follows from who is
    distinguishably above or below (Mogstad, Romano, Shaikh and Wilhelm 2024). The sets hold for
    all layers together with 95 % confidence. A pair without any spread is not told apart.
    """
    count = len(values)
    first, second = np.triu_indices(count, k=1)
    if not len(first):
        return [(1, 1)] * count
    pairs = draws[:, first] - draws[:, second]
    errors = pairs.std(axis=0)
    gap = values[first] - values[second]
    clear = (errors > 1e-9) & (np.abs(gap) > critical(pairs, degrees) * errors)
    above = np.zeros((count, count), dtype=bool)
    above[first, second] = clear & (gap > 0)
    above[second, first] = clear & (gap < 0)
    best, worst = 1 + above.sum(axis=0), count - above.sum(axis=1)
    return list(zip(best.tolist(), worst.tolist(), strict=True))


def critical(draws: Floats, degrees: int) -> float:
    """Standard errors within which all K values lie together with 95 % confidence.

    The bootstrap of the largest t, (B, K): the 95 % quantile of the largest standardised
    deviation. It takes standard errors as known. They are estimated, so it is replaced by the
    value with the same tail under Student's t with `degrees` of freedom (see `freedom`); without
    this, 28 equal layers on 64 tasks are told apart in one of ten sweeps.
    """
    errors = draws.std(axis=0)
    if not errors.size:
        return 0.0
    scaled = np.abs(draws - draws.mean(axis=0)) / np.where(errors > 1e-9, errors, np.inf)
    known = float(np.quantile(scaled.max(axis=1), LEVEL))
    return float(scipy.stats.t.isf(scipy.stats.norm.sf(known), degrees))
