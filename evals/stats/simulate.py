"""Synthetic sweeps of known truth: what the statistics are checked against.

A success probability is probit(mu + task + arm x task + seed), all effects normal, so that the
expected score of an arm is known exactly: E[Phi(mu + s z)] = Phi(mu / sqrt(1 + s^2)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy

from layergym.evals.stats import Floats


@dataclass(frozen=True, slots=True)
class Design:
    """The size of a synthetic sweep and how much its parts vary (probit scale)."""

    tasks: int = 128
    repeats: int = 2
    seeds: int = 3
    task_sd: float = 1.0
    """Difficulty of a task, shared by all arms."""
    interaction_sd: float = 0.5
    """How far an arm departs from it."""
    seed_sd: float = 0.08
    """How far seeds of a trained arm lie apart; 0.08 is about 0.02 in success rate."""
    heavy_tails: bool = False
    """Whether seed effects are Student's t with 2 degrees of freedom, half as far apart."""
    diverged: float = 0.0
    """The share of trained runs that diverge."""
    kept: float = 0.2
    """The share of its success that a diverged run keeps."""

    @property
    def expected(self) -> float:
        """What share of its score a trained arm has on average, diverged runs included."""
        return 1 - self.diverged * (1 - self.kept)


def outcomes(
    scores: Sequence[float], trained: Sequence[bool], design: Design, generator: np.random.Generator
) -> list[Floats]:
    """Draw episode outcomes, one array (seeds, tasks, repeats) of 0 and 1 per arm.

    Args:
        scores: expected success rate of each arm, in (0, 1), over new tasks and new seeds; of a
            trained one over runs that do not diverge.
        trained: arms with seed effects; the others have one seed.
        design: sizes and spreads.
        generator: a private generator.
    """
    task = generator.normal(0.0, design.task_sd, design.tasks)
    drawn = []
    for score, is_trained in zip(scores, trained, strict=True):
        seeds = design.seeds if is_trained else 1
        seed_sd = design.seed_sd if is_trained else 0.0
        total = 1 + design.task_sd**2 + design.interaction_sd**2 + seed_sd**2
        location = scipy.stats.norm.ppf(score) * np.sqrt(total)
        own = generator.normal(0.0, design.interaction_sd, design.tasks)
        chance = scipy.stats.norm.cdf(
            location + task + own + _offsets(seed_sd, seeds, design, generator)
        )
        if is_trained and design.diverged:
            lost = generator.random((seeds, 1)) < design.diverged
            chance = np.where(lost, design.kept * chance, chance)
        shape = (seeds, design.tasks, design.repeats)
        drawn.append((generator.random(shape) < chance[:, :, None]).astype(np.float64))
    return drawn


def _offsets(sd: float, seeds: int, design: Design, generator: np.random.Generator) -> Floats:
    """Seed effects, (seeds, 1)."""
    if design.heavy_tails:
        return np.asarray(generator.standard_t(2, (seeds, 1)) * sd / 2, dtype=np.float64)
    return generator.normal(0.0, sd, (seeds, 1))
