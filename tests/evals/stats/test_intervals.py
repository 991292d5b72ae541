"""Statistics against closed forms, SciPy, and known truth."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from layergym.evals import stats
from layergym.evals.stats.simulate import Design, outcomes


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_z_is_the_normal_quantile_of_the_level() -> None:
    assert scipy_stats.norm.ppf((1 + stats.LEVEL) / 2) == stats.Z


def test_the_bootstrap_of_a_mean_has_the_textbook_error() -> None:
    table = rng().random((1, 200))
    draws = stats.joint_draws([table], [False], seed=1, draws=20_000)
    expected = table[0].std(ddof=1) / np.sqrt(200)
    assert draws.std() == pytest.approx(expected, rel=0.03)
    found = stats.interval(table.mean(), draws[:, 0])
    low, high = scipy_stats.norm.interval(0.95, table.mean(), expected)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.003)


def test_arms_are_paired_over_tasks() -> None:
    hard = rng().random((1, 100))
    draws = stats.joint_draws([hard, hard + 0.1], [False, False], seed=1)
    assert np.ptp(draws[:, 1] - draws[:, 0]) == pytest.approx(0, abs=1e-9)


def test_the_same_seed_gives_the_same_draws_and_touches_no_global_state() -> None:
    table = rng().random((3, 50))
    before = np.random.get_state()[1].tolist()  # type: ignore[index]
    a, b = (stats.joint_draws([table], [True], seed=7) for _ in range(2))
    assert (a == b).all()
    assert np.random.get_state()[1].tolist() == before  # type: ignore[index]


def test_seed_variance_is_recovered_and_not_confused_with_task_noise() -> None:
    generator = rng(3)
    tables = [
        generator.normal(0, 0.05, (4, 1)) + generator.normal(0, 0.3, (4, 100)) for _ in range(300)
    ]
    variance, freedom = stats.seed_variance(tables)
    assert variance == pytest.approx(0.05**2, rel=0.15)
    assert freedom == 900
    alike = [generator.normal(0, 0.3, (4, 100)) for _ in range(300)]
    assert stats.seed_variance(alike)[0] < 0.01**2


def test_one_seed_says_nothing_about_seeds() -> None:
    assert stats.seed_variance([rng().random((1, 9))]) == (0.0, 0)


def test_more_spread_between_seeds_widens_intervals() -> None:
    flat = np.tile(rng().random(100), (3, 1))
    apart = flat + np.array([[-0.1], [0.0], [0.1]])
    narrow = stats.joint_draws([flat], [True], seed=0).std()
    assert stats.joint_draws([apart], [True], seed=0).std() > 1.5 * narrow
    assert stats.joint_draws([apart], [False], seed=0).std() == pytest.approx(narrow)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_perfect_score_has_the_exact_binomial_interval(value: float) -> None:
    table = np.full((1, 30), value)
    found = stats.score_interval(table, stats.joint_draws([table], [False], seed=0)[:, 0])
    exact = scipy_stats.binomtest(int(30 * value), 30).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-9)
    assert found.high - found.low > 0.1  # type: ignore[operator]


def normal_draws(means: list[float], errors: list[float], count: int = 50_000) -> np.ndarray:
    return rng(5).normal(means, errors, (count, len(means)))


def test_fieller_matches_its_definition() -> None:
    """Both limits c solve |N - c D| = z sd(N - c D)."""
    draws = normal_draws([0.3, 0.5], [0.05, 0.06])
    (found,) = stats.contribution_ratios(np.array([0.3]), 0.5, draws[:, :1], draws[:, 1]) or []
    assert found.low is not None and found.high is not None
    assert found.value == pytest.approx(0.6)
    for limit in (found.low, found.high):
        error = (draws[:, 0] - limit * draws[:, 1]).std()
        assert abs(0.3 - limit * 0.5) / error == pytest.approx(1.96, abs=0.001)


def test_fieller_is_the_interval_of_the_numerator_when_the_denominator_is_certain() -> None:
    draws = normal_draws([0.3, 0.5], [0.05, 1e-9])
    (found,) = stats.contribution_ratios(np.array([0.3]), 0.5, draws[:, :1], draws[:, 1]) or []
    assert (found.low, found.high) == pytest.approx((0.6 - 0.196, 0.6 + 0.196), abs=0.003)


@pytest.mark.parametrize("gain", [0.0, 0.05, -0.5])
def test_a_contribution_is_undefined_unless_full_is_above_base(gain: float) -> None:
    draws = normal_draws([0.3, gain], [0.05, 0.06])
    assert stats.contribution_ratios(np.array([0.3]), gain, draws[:, :1], draws[:, 1]) is None


def test_full_itself_contributes_exactly_one() -> None:
    draws = normal_draws([0.5], [0.06])
    (found,) = stats.contribution_ratios(np.array([0.5]), 0.5, draws, draws[:, 0]) or []
    assert (found.value, found.low, found.high) == pytest.approx((1, 1, 1))


def test_simultaneous_intervals_are_wider_and_hold_together() -> None:
    means, errors = [0.0] * 20, [0.01] * 20
    draws = normal_draws(means, errors)
    one = stats.interval(0.0, draws[:, 0])
    many = stats.simultaneous(np.zeros(20), draws, 100_000)
    # Independent normals: the 95 % quantile of the largest of 20 is about 3.02.
    assert many[0].high == pytest.approx(0.0302, abs=0.0005)
    assert one.high == pytest.approx(0.0196, abs=0.0005)


def test_rank_sets_separate_what_is_clear_and_leave_ties_open() -> None:
    values = np.array([0.1, 0.5, 0.51, 0.9])
    draws = normal_draws(values.tolist(), [0.02] * 4)
    assert stats.rank_sets(values, draws, 99) == [(4, 4), (2, 3), (2, 3), (1, 1)]
    assert stats.rank_sets(np.array([0.3]), draws[:, :1], 99) == [(1, 1)]


def test_joint_contributions_hold_together_and_contain_the_single_ones() -> None:
    """With a certain denominator they are the simultaneous intervals of the numerators."""
    draws = normal_draws([0.3] * 8 + [0.5], [0.05] * 8 + [1e-9])
    parts = (np.full(8, 0.3), 0.5, draws[:, :8], draws[:, 8])
    alone, joint = stats.contribution_ratios(*parts), stats.joint_contributions(*parts, 50)
    expected = stats.simultaneous(np.full(8, 0.6), draws[:, :8] / 0.5, 50)
    assert alone is not None and joint is not None
    for one, all_of_them, same in zip(alone, joint, expected, strict=True):
        assert all_of_them.low < one.low < one.high < all_of_them.high  # type: ignore[operator]
        assert (all_of_them.low, all_of_them.high) == pytest.approx((same.low, same.high))


def test_few_tasks_need_students_t() -> None:
    """A single value's critical value is Student's; that of many is at least as far out."""
    draws = normal_draws([0.0] * 20, [1.0] * 20)
    one = stats.critical(draws[:, :1], 15)
    assert one == pytest.approx(scipy_stats.t.isf(0.025, 15), abs=0.03)
    assert stats.critical(draws, 15) > 3.6 > 3.1 > stats.critical(draws, 100_000)


def test_degrees_of_freedom_are_the_fewest_of_tasks_and_seeds() -> None:
    alike = [np.tile(rng(s).random(40), (3, 1)) for s in range(4)]
    assert stats.freedom(alike, [True] * 4) == 39
    apart = [table + np.array([[-0.1], [0.0], [0.1]]) for table in alike]
    assert stats.freedom(apart, [True] * 4) == 8
    assert stats.freedom(apart, [False] * 4) == 39


@pytest.mark.parametrize(("layers", "tasks", "seeds"), [(8, 16, 1), (28, 64, 3)])
def test_equal_layers_are_rarely_told_apart(layers: int, tasks: int, seeds: int) -> None:
    design = Design(tasks=tasks, seeds=seeds, seed_sd=0.0 if seeds == 1 else 0.08)
    told_apart = 0
    for seed in range(60):
        drawn = outcomes([0.6] * layers, [True] * layers, design, rng(seed))
        cells, trained = [table.mean(axis=2) for table in drawn], [True] * layers
        draws = stats.joint_draws(cells, trained, seed=0)
        ranks = stats.rank_sets(draws.mean(axis=0), draws, stats.freedom(cells, trained))
        told_apart += any(found != (1, layers) for found in ranks)
    assert told_apart <= 5


def test_tasks_that_all_gave_the_same_leave_a_rest_of_doubt() -> None:
    """2 of 2 against 0 of 2 says little, 200 of 200 against 0 of 200 nearly all."""
    for tasks, apart in ((2, False), (200, True)):
        cells = [np.zeros((1, tasks)), np.ones((1, tasks))]
        draws = stats.joint_draws(cells, [False, True], seed=0)
        ranks = stats.rank_sets(np.array([0.0, 1.0]), draws, stats.freedom(cells, [False, True]))
        assert (ranks == [(2, 2), (1, 1)]) is apart
        share = 1 - 0.025 ** (1 / tasks)
        found = stats.interval(1.0, draws[:, 1])
        assert (found.low, found.high) == pytest.approx((1 - share, 1 + share), abs=0.06)


def test_synthetic_outcomes_have_the_promised_mean() -> None:
    design = Design(tasks=4000, repeats=4, seeds=300, seed_sd=0.3)
    drawn = outcomes([0.3, 0.8], [False, True], design, rng(9))
    assert [table.shape for table in drawn] == [(1, 4000, 4), (300, 4000, 4)]
    assert [table.mean() for table in drawn] == pytest.approx([0.3, 0.8], abs=0.02)
