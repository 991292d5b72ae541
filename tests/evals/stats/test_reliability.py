"""Reliabilities with intervals, against known truth."""

import numpy as np
import pytest

from layergym.evals.stats.reliability import reliability


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_the_interval_holds_the_true_reliability(spread: float) -> None:
    generator = np.random.default_rng(0)
    truth = spread**2 / (spread**2 + 1 / 3)
    held = 0
    for _ in range(400):
        layers = generator.normal(0, spread, 8)
        found = reliability(layers + generator.normal(0, 1, (3, 8)))
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= truth <= found.high
    assert 0.925 <= held / 400 <= 0.99


def test_equal_layers_may_well_look_reliable_and_the_interval_says_so() -> None:
    generator = np.random.default_rng(1)
    found = [reliability(generator.normal(0, 1, (3, 8))) for _ in range(200)]
    assert max(one.value for one in found if one) > 0.5
    assert np.mean([one.low == 0 for one in found if one]) > 0.95


def test_nothing_is_said_of_one_seed_two_layers_or_no_noise() -> None:
    for scores in (np.ones((1, 8)), np.eye(2), np.tile(np.arange(8.0), (3, 1))):
        assert reliability(scores) is None
