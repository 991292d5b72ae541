"""The score of every run by itself, and which runs stand apart from their arm's others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from layergym.evals.arms import ArmName
from layergym.evals.results import Sweep
from layergym.evals.stats import seed_spread


@dataclass(frozen=True, slots=True)
class RunScore:
    """What one run scored."""

    arm: ArmName
    seed: int
    score: float
    errors: int
    """Episodes that ended in an error and count as lost."""
    out_of_context: int = 0
    """Episodes that ended because the model's context was full; they count as they stood."""
    shortened: int = 0
    """Episodes whose prompts left out the oldest turns for the same reason."""
    apart: bool = False
    """Whether this is the run that makes its arm's runs lie much further apart than others do."""


def run_scores(sweep: Sweep, temperature: float) -> tuple[RunScore, ...]:
    """All runs that were scored at `temperature`, by arm and seed."""
    scored = [(arm, sweep.results(arm, temperature)) for arm in sweep.arms]
    scores_of = {
        arm: [
            RunScore(arm, r.seed, float(r.rates.mean()), r.errors, r.out_of_context, r.shortened)
            for r in results
        ]
        for arm, results in scored
    }
    trained = [(arm, results) for arm, results in scored if arm.trained and results]
    spread = seed_spread([np.array([r.rates for r in results]) for _, results in trained])
    usual = float(np.median([one.score for arm, _ in trained for one in scores_of[arm]] or [0.0]))
    for place in spread.apart:
        own = scores_of[trained[place][0]]
        outer = _outer([one.score for one in own], usual)
        own[outer] = replace(own[outer], apart=True)
    return tuple(one for runs in scores_of.values() for one in runs)


def apart(runs: Sequence[RunScore]) -> tuple[ArmName, ...]:
    """The arms with a run that stands apart."""
    return tuple(dict.fromkeys(one.arm for one in runs if one.apart))


def fewest_runs(runs: Sequence[RunScore]) -> int:
    """How many runs the trained arm with the fewest has; 0 without one."""
    return min(Counter(one.arm for one in runs if one.arm.trained).values(), default=0)


def _outer(scores: Sequence[float], usual: float) -> int:
    """Which score lies furthest from the median of its arm's; of two, from the usual score."""
    centre = float(np.median(scores)) if len(scores) > 2 else usual
    return int(np.abs(np.array(scores) - centre).argmax())
