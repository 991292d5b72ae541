"""One diverged run: who stands apart, and what that does to the others."""

import numpy as np
import pytest
import scipy

from layergym.evals.contribution.measure import measure
from layergym.evals.stats import Board, score_interval, seed_spread, seed_variance
from layergym.evals.stats.intervals import joint_draws
from layergym.evals.stats.simulate import Design, outcomes

ARMS = ["base", "full", *(f"layer-{k:02d}" for k in range(8))]


def sweep(seed: int, lost: str = "") -> dict[str, np.ndarray]:
    """All trained arms equally good; the second run of `lost` keeps a twentieth of its success."""
    trained = [arm != "base" for arm in ARMS]
    drawn = outcomes([0.4] + [0.6] * 9, trained, Design(), np.random.default_rng(seed))
    tables = {arm: table.mean(axis=2) for arm, table in zip(ARMS, drawn, strict=True)}
    if lost:
        keep = np.random.default_rng(seed).random(tables[lost].shape[1]) < 0.05
        tables[lost][1] *= keep
    return tables


def trained(tables: dict[str, np.ndarray]) -> list[np.ndarray]:
    return [table for arm, table in tables.items() if arm != "base"]


def test_a_diverged_run_sets_its_arm_apart_and_leaves_the_pool_as_it_was() -> None:
    clean, lost = trained(sweep(1)), trained(sweep(1, "layer-03"))
    found, before = seed_spread(lost), seed_spread(clean)
    assert found.apart == (4,) and before.apart == ()
    assert np.delete(found.variances, 4).max() < 2 * before.variances.max() + 1e-3
    assert found.variances[4] > 20 * before.variances.max()
    assert found.risk > 0 == before.risk


def test_without_an_arm_apart_the_pool_is_the_plain_one() -> None:
    cells = trained(sweep(2))
    found = seed_spread(cells)
    variance, degrees = seed_variance(cells)
    assert found.variances == pytest.approx([variance] * 9) and found.degrees == degrees


def test_of_two_arms_none_can_be_said_to_stand_apart() -> None:
    assert seed_spread(trained(sweep(1, "layer-03"))[3:5]).apart == ()


def test_a_diverged_layer_leaves_contributions_of_the_others_defined() -> None:
    found = [measure("x", sweep(seed, "layer-03"), 8) for seed in range(8)]
    assert sum(one.defined for one in found) >= 7
    wide = [m.layers[3].score for m in found]
    assert all((at.high or 0) - (at.low or 0) > 0.4 for at in wide)


def test_a_lost_run_may_befall_every_arm_but_leaves_ratios_and_differences_alone() -> None:
    board, clean = (Board.of(sweep(1, lost)) for lost in ("layer-03", ""))
    lost = seed_spread(trained(sweep(1, "layer-03")))
    share = scipy.stats.binomtest(1, 27).proportion_ci(0.95, "exact").high
    assert lost.risk == pytest.approx(share * 0.57, rel=0.1)  # of a score of 0.6, 0.57 was lost
    for risk, factor in ((True, 1.3), (False, 1.1)):
        sizes = [one.differences(["full"], "base", risk=risk)[1].std() for one in (board, clean)]
        assert bool(sizes[0] > factor * sizes[1]) == risk
    between = [one.differences(["layer-01"], "full")[1].std() for one in (board, clean)]
    assert between[0] < 1.1 * between[1]


def test_a_diverged_full_run_leaves_them_undefined() -> None:
    assert not any(measure("x", sweep(seed, "full"), 8).defined for seed in range(4))


@pytest.mark.parametrize("score", [0.985, 0.03])
def test_score_intervals_hold_near_the_ends(score: float) -> None:
    held = 0
    for seed in range(150):
        [table] = outcomes([score], [False], Design(tasks=200), np.random.default_rng(seed))
        cells = table.mean(axis=2)
        found = score_interval(cells, joint_draws([cells], [False], seed=0, draws=1000)[:, 0])
        held += (found.low or 0) <= score <= (found.high or 1)
    assert held >= 138  # 92 %


def test_the_variance_of_an_arm_apart_is_shrunk_to_that_of_all_arms() -> None:
    cells = trained(sweep(1, "layer-03"))
    found, (together, _) = seed_spread(cells), seed_variance(cells)
    own, _ = seed_variance([cells[4]])
    assert found.variances[4] == pytest.approx((2 * own + 4 * together) / 6, rel=0.02)
    assert found.own == (4,)


def test_of_two_runs_both_may_have_diverged_so_one_variance_is_kept() -> None:
    cells = [table[:2] for table in trained(sweep(1, "layer-03"))]
    found, (variance, degrees) = seed_spread(cells), seed_variance(cells)
    assert found.apart == (4,) and found.own == ()
    assert found.variances == pytest.approx([variance] * 9) and found.degrees == degrees


def test_arms_of_two_runs_of_which_a_tenth_diverge_are_seldom_ranked_wrongly() -> None:
    """An arm that lost both runs looks bad, though all are equal: 15 in 100 with a robust pool."""
    wrong = 0
    for seed in range(60):
        arms = [arm != "base" for arm in ARMS]
        design = Design(seeds=2, diverged=0.1)
        drawn = outcomes([0.25] + [0.7] * 9, arms, design, np.random.default_rng(seed))
        tables = {arm: table.mean(axis=2) for arm, table in zip(ARMS, drawn, strict=True)}
        ranks = [one.ranks for one in measure("x", tables, 8).layers]
        wrong += any(found != (1, 8) for found in ranks)
    assert wrong <= 6


def test_where_two_of_nine_arms_stand_apart_the_pool_keeps_them() -> None:
    cells = trained(sweep(1, "layer-03"))
    cells[7][2] = cells[4][1]
    found, (variance, degrees) = seed_spread(cells), seed_variance(cells)
    assert found.apart == found.own == (4, 7) and found.risk == 0
    assert np.delete(found.variances, [4, 7]) == pytest.approx([variance] * 7)
    assert found.variances[[4, 7]].min() > 1.5 * variance and found.degrees == degrees
