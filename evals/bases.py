"""Several base checkpoints: does a finding hold for more than the one warm start it was made on?

Each base has a sweep of its own. Bases are the outer level of the statistics: a pooled value is
the mean over bases, and its interval comes from how far bases lie apart (Student's t with one
degree of freedom fewer than bases), which contains the noise within each sweep. Seeds of
reinforcement learning on one base do not replace a second base.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats

from layergym.evals import stats
from layergym.evals.contribution import LayerProfile
from layergym.evals.measure import SEED
from layergym.evals.stats import LEVEL, Estimate, Floats, Z


@dataclass(frozen=True, slots=True)
class PooledArm:
    """One arm over all bases."""

    arm: str
    gains: tuple[float, ...]
    """Score less that of the base, for each base."""
    gain: Estimate
    contribution: Estimate | None
    """Mean gain over the mean gain of full training; None for full, and where undefined."""


def same_but_base(profiles: Sequence[LayerProfile]) -> list[list[LayerProfile]]:
    """Groups of two or more profiles that differ in their base checkpoint and nothing else."""
    groups: dict[tuple[object, ...], dict[str, LayerProfile]] = {}
    for found in profiles:
        key = (found.env_id, found.panel_hash, found.algorithm, found.num_layers, found.repeats)
        if found.model_hash != "unknown":
            groups.setdefault(key, {}).setdefault(found.model_hash, found)
    return [list(group.values()) for group in groups.values() if len(group) > 1]


def pool(profiles: Sequence[LayerProfile]) -> tuple[PooledArm, ...]:
    """Full training and every arm that all bases have, by the main measure."""
    mains = [found.measures[0] for found in profiles]
    tables = [{arm.arm: arm.gain.value for arm in main.arms} for main in mains]
    arms = [arm.arm for arm in mains[0].arms if all(arm.arm in table for table in tables)]
    rows = [
        [main.gain.value, *(table[arm] for arm in arms)]
        for main, table in zip(mains, tables, strict=True)
    ]
    gains = np.array(rows, dtype=np.float64)
    draws = _draws(gains)
    means = gains.mean(axis=0)
    ratios = stats.contributions(means[1:], float(means[0]), draws[:, 1:], draws[:, 0])
    contributions: list[Estimate | None] = [None] * (len(arms) + 1)
    contributions[1:] = ratios or contributions[1:]
    return tuple(
        PooledArm(
            arm=arm,
            gains=tuple(gains[:, place].tolist()),
            gain=stats.interval(float(means[place]), draws[:, place]),
            contribution=contributions[place],
        )
        for place, arm in enumerate(["full", *arms])
    )


def _draws(gains: Floats) -> Floats:
    """Draws (B, A) of the means of gains (bases, A), widened for the few degrees of freedom."""
    bases = len(gains)
    widen = float(scipy_stats.t.ppf((1 + LEVEL) / 2, bases - 1)) / Z
    centred = gains - gains.mean(axis=0)
    noise = np.random.default_rng(SEED).standard_normal((stats.DRAWS, bases))
    # Deviations weighted by independent normals have the covariance of the bases.
    spread = noise @ centred / np.sqrt(bases * (bases - 1))
    drawn: Floats = gains.mean(axis=0) + widen * spread
    return drawn
