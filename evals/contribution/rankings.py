"""How a profile's ranking of layers goes with depth, and with the ranking of another profile."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from layergym.evals.contribution.measure import Measure
from layergym.evals.contribution.profile import LayerProfile
from layergym.evals.stats import Estimate, Floats
from layergym.evals.stats.agreement import Agreement, agreement, detrend


@dataclass(frozen=True, slots=True)
class DepthTrend:
    """Spearman's correlations of the layers' gains with where the layers are."""

    layers: int
    middle: Estimate
    """That of gain and closeness to the middle of the stack."""
    first: Estimate
    """That of gain and closeness to the input."""


def depth_trend(measure: Measure, num_layers: int) -> DepthTrend | None:
    """How gains go with depth; None for a few layers, or where no gain differs."""
    depth = np.array([float(arm.layer or 0) for arm in measure.layers])
    gains = np.array([arm.gain.value for arm in measure.layers])
    first = agreement(gains, -depth)
    middle = agreement(gains, -np.abs(depth - (num_layers - 1) / 2))
    if first is None or middle is None:
        return None
    return DepthTrend(len(depth), middle.spearman, first.spearman)


@dataclass(frozen=True, slots=True)
class AlikeProfiles:
    """How alike two profiles rank the layers that they have in common."""

    layers: int
    raw: Agreement | None
    without_trend: Agreement | None
    """After the best quadratic in depth is removed from both."""


def compare_profiles(first: LayerProfile, second: LayerProfile) -> AlikeProfiles:
    """Compare the gains of two profiles; models of different depth by relative depth."""
    a, b, depth = _matched(first, second)
    rest = agreement(detrend(a, depth), detrend(b, depth), removed=2) if len(a) > 3 else None
    return AlikeProfiles(len(a), agreement(a, b), rest)


def gains_by_depth(profile: LayerProfile) -> tuple[Floats, Floats]:
    """Relative depth of every layer, from 0 to 1, and its gain."""
    arms = profile.measures[0].layers
    depth = np.array([(arm.layer or 0) / max(profile.num_layers - 1, 1) for arm in arms])
    return depth, np.array([arm.gain.value for arm in arms])


def _matched(first: LayerProfile, second: LayerProfile) -> tuple[Floats, Floats, Floats]:
    """Gains of two profiles at the same depths, and these depths from 0 to 1."""
    (a, gain_a), (b, gain_b) = gains_by_depth(first), gains_by_depth(second)
    if first.num_layers == second.num_layers:
        shared, in_a, in_b = np.intersect1d(a, b, return_indices=True)
        return gain_a[in_a], gain_b[in_b], shared
    if len(a) > len(b):
        return np.interp(b, a, gain_a), gain_b, b
    return gain_a, np.interp(a, b, gain_b), a
