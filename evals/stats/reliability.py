"""Intervals of reliabilities: how much of what tells layers apart would be there again."""

from __future__ import annotations

import scipy

from layergym.evals.results import Floats
from layergym.evals.stats.intervals import LEVEL, Estimate


def reliability(scores: Floats) -> Estimate | None:
    """Reliability of the mean over K seeds, or tasks, as a measurement of L layers.

    `scores` is (K, L). The intraclass correlation for consistency of a mean, ICC(C, k), with its
    F interval (McGraw and Wong 1996): 1 minus the mean square of the rest over that of layers.
    Values and ends below 0 are 0. None with fewer than 2 of K or 3 layers, or without any noise.
    """
    count, layers = scores.shape
    if count < 2 or layers < 3:
        return None
    by_layer = scores.mean(axis=0)
    rest = scores - by_layer - scores.mean(axis=1, keepdims=True) + scores.mean()
    df, df_rest = layers - 1, (layers - 1) * (count - 1)
    noise = float((rest**2).sum()) / df_rest
    if noise < 1e-12:
        return None
    ratio = count * float(((by_layer - by_layer.mean()) ** 2).sum()) / df / noise
    tail = (1 - LEVEL) / 2
    low = ratio / float(scipy.stats.f.isf(tail, df, df_rest))
    high = ratio * float(scipy.stats.f.isf(tail, df_rest, df))
    return Estimate(_of(ratio), _of(low), _of(high))


def _of(ratio: float) -> float:
    return max(0.0, 1 - 1 / ratio) if ratio > 0 else 0.0
