"""How far a ranking of layers can be trusted: held-out choices, reliability, agreement.

Shape legend: S seeds of reinforcement learning, T tasks, L layers, K options.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy
from numpy.typing import NDArray

from layergym.evals.stats import Estimate, Floats, Z

SPLITS = 200


@dataclass(frozen=True, slots=True)
class Agreement:
    """How alike two profiles rank the same layers."""

    layers: int
    spearman: Estimate
    kendall: Estimate


def cross_fitted(options: Floats, *, seed: int) -> tuple[Floats, tuple[int, int]]:
    """Per-task scores (T,) of the best of several options (K, T), free of selection bias.

    The panel is halved at random; the option that is best on one half is scored on the other.
    Also returns the two choices, that of the first half and that of the second.
    """
    tasks = options.shape[1]
    order = np.random.default_rng(seed).permutation(tasks)
    first, second = order[: tasks // 2], order[tasks // 2 :]
    scores = np.empty(tasks)
    chosen = []
    for choose_on, score_on in ((first, second), (second, first)):
        best = int(options[:, choose_on].mean(axis=1).argmax()) if len(choose_on) else 0
        scores[score_on] = options[best, score_on]
        chosen.append(best)
    return scores, (chosen[0], chosen[1])


def held_out_best(tables: Sequence[Floats], *, seed: int, splits: int = SPLITS) -> float:
    """Score of "the best layer", chosen on some tasks and seeds and scored on the others.

    The highest of L noisy scores overstates the best layer. Here one half of the tasks and the
    larger half of each layer's seeds choose, and the other tasks and seeds score. Where a layer
    has one seed only, that seed does both: the luck of its training is then still in the result.

    Args:
        tables: success rates (S, T) of each layer; S may differ, T may not.
        seed: of the private generator.
        splits: random splits, over which the mean is taken.
    """
    generator = np.random.default_rng(seed)
    choose_on = _random_half(generator, tables[0].shape[1], splits)
    first, second = [], []
    for table in tables:
        chosen = ~_random_half(generator, len(table), splits)
        others = ~chosen if len(table) > 1 else chosen
        first.append(_cell_means(table, chosen, choose_on))
        second.append(_cell_means(table, others, ~choose_on))
    best = np.argmax(first, axis=0)
    return float(np.array(second)[best, np.arange(splits)].mean())


def split_half(scores: Floats, *, seed: int, splits: int = SPLITS) -> float | None:
    """Mean Spearman correlation over layers between random halves of the tasks.

    `scores` is (L, T). It is the reliability of *half* a panel; see `spearman_brown`. None when
    there are fewer than 3 layers or 4 tasks, or no spread.
    """
    if scores.shape[0] < 3 or scores.shape[1] < 4:
        return None
    return _mean_rank_correlation(*_halves(scores, seed=seed, splits=splits))


def between_seeds(scores: Floats) -> float | None:
    """Mean Spearman correlation over layers between single seeds; `scores` is (S, L)."""
    first, second = np.triu_indices(scores.shape[0], k=1)
    if scores.shape[1] < 3 or not len(first):
        return None
    return _mean_rank_correlation(scores[first], scores[second])


def spearman_brown(correlation: float, times: float = 2.0) -> float | None:
    """Reliability of a measurement `times` as long (Spearman 1910, Brown 1910).

    Parts that do not agree (a correlation of 0 or less) show no reliability at all: 0. None where
    the correlation is not a number.
    """
    if np.isnan(correlation):
        return None
    return max(0.0, times * correlation / (1 + (times - 1) * max(0.0, correlation)))


def detrend(profile: Floats, depth: Floats) -> Floats:
    """What is left of `profile` (L,) after the best quadratic in `depth` (L,) is removed."""
    design = np.vander(depth, 3)
    fit, *_ = np.linalg.lstsq(design, profile, rcond=None)
    rest: Floats = profile - design @ fit
    return rest


def agreement(first: Floats, second: Floats, *, removed: int = 0) -> Agreement | None:
    """Spearman's and Kendall's correlation of two profiles (L,) of the same layers.

    Intervals treat layers as the sample, by Fisher's z with the standard errors of Bonett and
    Wright (2000) and of Fieller, Hartley and Pearson (1957). A perfect correlation gets the
    interval of the value half a step below it. None when fewer than 5 layers are left or one
    profile is flat.

    Args:
        first: one profile.
        second: the other.
        removed: parameters fitted away before (2 for a quadratic trend), which count as layers.
    """
    count = len(first)
    usable = count - removed
    if usable < 5 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    rho = float(scipy.stats.spearmanr(first, second).statistic)
    tau = float(scipy.stats.kendalltau(first, second).statistic)
    inner = np.clip(rho, *_inside(6 / (count**3 - count)))
    rho_error = np.sqrt((1 + inner**2 / 2) / (usable - 3))
    tau_error = np.sqrt(0.437 / (usable - 4))
    return Agreement(
        count,
        _fisher(rho, float(inner), float(rho_error)),
        _fisher(tau, float(np.clip(tau, *_inside(2 / (count**2 - count)))), float(tau_error)),
    )


def thirds(num_layers: int) -> list[range]:
    """The first, middle and last third of a stack: 28 layers give 0-8, 9-17 and 18-27."""
    edges = [num_layers * i // 3 for i in range(4)]
    return [range(low, high) for low, high in itertools.pairwise(edges)]


def _inside(step: float) -> tuple[float, float]:
    return -1 + step, 1 - step


def _fisher(value: float, inner: float, error: float) -> Estimate:
    centre = np.arctanh(inner)
    low, high = np.tanh([centre - Z * error, centre + Z * error])
    return Estimate(value, min(float(low), value), max(float(high), value))


def _halves(scores: Floats, *, seed: int, splits: int) -> tuple[Floats, Floats]:
    first = _random_half(np.random.default_rng(seed), scores.shape[1], splits)
    a: Floats = first @ scores.T / first.sum(axis=1, keepdims=True)
    b: Floats = ~first @ scores.T / (~first).sum(axis=1, keepdims=True)
    return a, b


def _random_half(generator: np.random.Generator, count: int, splits: int) -> NDArray[np.bool_]:
    """Which of `count` are in the (smaller) first half, (splits, count)."""
    order = generator.permuted(np.tile(np.arange(count), (splits, 1)), axis=1)
    return order < count // 2


def _cell_means(table: Floats, seeds: NDArray[np.bool_], tasks: NDArray[np.bool_]) -> Floats:
    """Mean of `table` (S, T) over the chosen seeds and tasks of each split, (splits,)."""
    sums = ((seeds @ table) * tasks).sum(axis=1)
    means: Floats = sums / (seeds.sum(axis=1) * tasks.sum(axis=1))
    return means


def _mean_rank_correlation(first: Floats, second: Floats) -> float | None:
    a = scipy.stats.rankdata(first, axis=1)
    b = scipy.stats.rankdata(second, axis=1)
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    size = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    usable = size > 0
    if not usable.any():
        return None
    return float(((a * b).sum(axis=1)[usable] / size[usable]).mean())
