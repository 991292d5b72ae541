"""Reliability and agreement against SciPy and known truth."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from layergym.evals.stats.agreement import (
    agreement,
    between_seeds,
    cross_fitted,
    detrend,
    held_out_best,
    spearman_brown,
    split_half,
    thirds,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_picking_the_best_of_equals_gains_nothing_when_scored_on_held_out_tasks() -> None:
    equal = (rng(1).random((30, 1, 60)) < 0.5).astype(float)
    highest = equal.mean(axis=(1, 2)).max()
    assert highest > 0.6
    assert held_out_best(list(equal), seed=0) == pytest.approx(0.5, abs=0.03)


def test_lucky_seeds_gain_nothing_when_other_seeds_are_scored() -> None:
    """All layers are equal, seeds are not: only one seed per layer leaves its luck in."""
    luck = rng(5).normal(0.5, 0.2, (40, 3, 1))
    tables = np.broadcast_to(luck, (40, 3, 20))
    assert held_out_best(list(tables), seed=0) == pytest.approx(0.5, abs=0.06)
    assert held_out_best(list(tables[:, :1]), seed=0) > 0.8
    uneven = [table[: 2 + k % 2] for k, table in enumerate(tables)]
    assert held_out_best(uneven, seed=0) == pytest.approx(0.5, abs=0.1)


def test_picking_still_finds_a_layer_that_is_better() -> None:
    scores = rng(6).normal(0.5, 0.05, (10, 4, 40)) + 0.3 * (np.arange(10) == 7)[:, None, None]
    assert held_out_best(list(scores), seed=0) == pytest.approx(0.8, abs=0.03)


def test_a_cross_fitted_choice_is_unbiased_and_finds_a_clear_winner() -> None:
    generator = rng(2)
    chosen = [
        cross_fitted((generator.random((5, 40)) < 0.5).astype(float), seed=s)[0].mean()
        for s in range(400)
    ]
    assert np.mean(chosen) == pytest.approx(0.5, abs=0.01)
    options = np.vstack([np.zeros(40), np.ones(40)])
    scores, picks = cross_fitted(options, seed=0)
    assert scores.tolist() == [1.0] * 40 and picks == (1, 1)


def test_split_half_reliability_follows_spearman_brown() -> None:
    """With layer sd = noise sd of a half, halves correlate at 0.5 and wholes at 2/3."""
    generator = rng(4)
    layers = generator.normal(0, 1, (400, 1))
    scores = layers + generator.normal(0, np.sqrt(50), (400, 100))
    found = split_half(scores, seed=0, splits=20)
    assert found == pytest.approx(0.48, abs=0.06)  # Spearman is a little below Pearson's 0.5
    assert spearman_brown(0.5) == pytest.approx(2 / 3)
    assert spearman_brown(0.5, 4) == pytest.approx(0.8)


@pytest.mark.parametrize("times", [2, 3, 7])
def test_parts_that_disagree_show_no_reliability(times: int) -> None:
    assert [spearman_brown(r, times) for r in (0.0, -0.2, -1 / 3, -0.5, -1.0)] == [0.0] * 5
    assert spearman_brown(float("nan"), times) is None
    assert spearman_brown(1.0, times) == 1.0


def test_seeds_that_order_three_layers_in_a_circle_show_no_reliability() -> None:
    """The ranks 123, 231, 312 correlate at -1/2, where stepping up to three seeds divides by 0."""
    found = between_seeds(np.array([[1.0, 2, 3], [2, 3, 1], [3, 1, 2]]))
    assert found is not None and found == pytest.approx(-0.5)
    assert spearman_brown(found, 3) == 0.0


def test_reliability_is_unknown_where_it_cannot_be_measured() -> None:
    assert split_half(np.ones((5, 20)), seed=0) is None
    assert split_half(rng().random((2, 20)), seed=0) is None
    assert between_seeds(rng().random((1, 6))) is None


def test_seeds_that_agree_correlate_at_one() -> None:
    profile = np.array([0.1, 0.4, 0.3, 0.9])
    assert between_seeds(np.array([profile, 2 * profile, profile])) == pytest.approx(1)


def test_agreement_is_scipys_with_an_interval_around_it() -> None:
    a, b = rng(1).random(28), rng(2).random(28)
    found = agreement(a, b)
    assert found is not None
    assert found.spearman.value == scipy_stats.spearmanr(a, b).statistic
    assert found.kendall.value == scipy_stats.kendalltau(a, b).statistic
    for estimate in (found.spearman, found.kendall):
        assert -1 < estimate.low < estimate.value < estimate.high < 1  # type: ignore[operator]


def test_a_perfect_agreement_of_few_layers_is_not_certain() -> None:
    found = agreement(np.arange(6.0), np.arange(6.0))
    assert found is not None and found.spearman.low is not None
    assert found.spearman.value == pytest.approx(1)
    assert found.spearman.low < 0.8
    assert found.kendall.value == found.kendall.high == pytest.approx(1)
    for turned in (agreement(np.arange(n), -np.arange(n)) for n in (5.0, 8.0, 28.0)):
        assert turned is not None
        for estimate in (turned.spearman, turned.kendall):
            assert estimate.low <= estimate.value <= estimate.high  # type: ignore[operator]
    assert agreement(np.arange(4.0), np.arange(4.0)) is None
    assert agreement(np.ones(9), np.arange(9.0)) is None


def test_removing_the_depth_trend_removes_what_only_depth_explains() -> None:
    depth = np.linspace(0, 1, 28)
    hill = 1 - (depth - 0.5) ** 2
    a, b = (hill + rng(s).normal(0, 0.01, 28) for s in (1, 2))
    raw = agreement(a, b)
    rest = agreement(detrend(a, depth), detrend(b, depth), removed=2)
    assert raw is not None and rest is not None
    assert raw.spearman.value > 0.9
    assert abs(rest.spearman.value) < 0.4
    assert np.abs(detrend(hill, depth)).max() < 1e-9


def test_thirds_of_the_published_stack() -> None:
    assert [(t.start, t.stop - 1) for t in thirds(28)] == [(0, 8), (9, 17), (18, 27)]


@given(st.integers(1, 200))
def test_thirds_partition_any_stack(num_layers: int) -> None:
    assert [k for third in thirds(num_layers) for k in third] == list(range(num_layers))
