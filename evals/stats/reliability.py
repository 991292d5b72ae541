"""Intervals of reliabilities: how far the luck of these tasks and seeds goes."""

from __future__ import annotations

import numpy as np

from layergym.evals.stats.agreement import between_seeds, spearman_brown
from layergym.evals.stats.intervals import LEVEL, Estimate, Floats

DRAWS = 400


def seed_reliability(scores: Floats, *, seed: int) -> Estimate | None:
    """Reliability of the mean of S seeds as a ranking of L layers, `scores` being (S, L).

    The interval is over layers, which are drawn with replacement: with few layers it is wide, as
    it should be. None where `between_seeds` is None.
    """
    single = between_seeds(scores)
    if single is None:
        return None
    value = spearman_brown(single, len(scores)) or 0.0
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(DRAWS):
        chosen = generator.integers(scores.shape[1], size=scores.shape[1])
        again = between_seeds(scores[:, chosen])
        if again is not None:
            drawn.append(spearman_brown(again, len(scores)) or 0.0)
    if not drawn:
        return Estimate(value)
    tail = 50 * (1 - LEVEL)
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Estimate(value, min(value, float(low)), max(value, float(high)))
