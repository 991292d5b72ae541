"""What is said about variants of full training, against simulated ones of known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtr, ndtri

from layergym.evals.contribution.dissection import Dissection, dissect
from layergym.evals.results import Floats

SCORES = {
    "base": 0.35,
    "full": 0.55,
    **{f"moved-{i}": score for i, score in enumerate((0.47, 0.41, 0.35, 0.35))},
    **{f"without-{i}": score for i, score in enumerate((0.49, 0.55, 0.55, 0.55))},
}
TASKS, SEEDS, REPEATS = 80, 3, 60
TASK_SD, OWN_SD, SEED_SD = 1.0, 0.4, 0.08


def played(scores: dict[str, float], shared: float, draw: int) -> dict[str, Floats]:
    """Success rates (S, T) of two episodes each; the base has one row.

    Args:
        scores: expected ones, over new tasks and new seeds.
        shared: part of the variance between seeds that all variants of a seed have in common.
        draw: seeds everything.
    """
    generator = np.random.default_rng([draw, round(100 * shared)])
    task = generator.normal(0, TASK_SD, TASKS)
    common = generator.normal(0, SEED_SD, (SEEDS, 1))
    tables = {}
    for name, score in scores.items():
        own = generator.normal(0, OWN_SD, TASKS)
        seed = np.sqrt(shared) * common
        seed = seed + np.sqrt(1 - shared) * generator.normal(0, SEED_SD, (SEEDS, 1))
        sd = 0.0 if name == "base" else SEED_SD
        centre = ndtri(score) * np.sqrt(1 + TASK_SD**2 + OWN_SD**2 + sd**2)
        chance = ndtr(centre + task + own + (0 if name == "base" else seed))
        rows = 1 if name == "base" else SEEDS
        drawn = generator.random((2, SEEDS, TASKS)) < chance
        tables[name] = drawn.mean(axis=0)[:rows]
    return tables


def truth(name: str) -> float:
    """The difference in its own direction."""
    if name.startswith("without-"):
        return SCORES["full"] - SCORES[name]
    return SCORES[name] - SCORES["base"]


@pytest.fixture(scope="module", params=[0.0, 0.9])
def found(request: pytest.FixtureRequest) -> list[Dissection]:
    return [dissect(played(SCORES, request.param, draw)) for draw in range(REPEATS)]


def test_intervals_hold_the_truth(found: list[Dissection]) -> None:
    """Those of differences and of shares one at a time, the joint ones all together."""
    each, shares, together = [], [], []
    for one in found:
        joint = []
        for share in one.shares:
            wanted = truth(share.name)
            assert share.difference.low is not None and share.difference.high is not None
            each.append(share.difference.low <= wanted <= share.difference.high)
            assert share.joint.low is not None and share.joint.high is not None
            joint.append(share.joint.low <= wanted <= share.joint.high)
            if share.share:
                assert share.share.low is not None and share.share.high is not None
                ratio = wanted / (SCORES["full"] - SCORES["base"])
                shares.append(share.share.low <= ratio <= share.share.high)
        together.append(all(joint))
    assert len(shares) > len(each) / 2
    assert np.mean(each) >= 0.93
    assert np.mean(shares) >= 0.93
    assert np.mean(together) >= 0.92


def test_what_is_picked_is_really_better(found: list[Dissection]) -> None:
    """Layers whose joint interval is above 0: seldom one that does nothing, often the best."""
    picked = [{s.name for s in one.shares if s.joint.above(0)} for one in found]
    wrong = [any(truth(name) <= 1e-9 for name in names) for names in picked]
    assert np.mean(wrong) <= 0.08
    assert np.mean(["moved-0" in names for names in picked]) > 0.25


def test_shares_of_a_gain_that_is_only_noise_are_undefined() -> None:
    flat = dict.fromkeys(SCORES, SCORES["base"])
    defined = [dissect(played(flat, 0.0, draw)).defined for draw in range(REPEATS)]
    assert np.mean(defined) <= 0.08
