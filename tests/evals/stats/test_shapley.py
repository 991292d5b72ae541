"""Shapley values: their axioms, sampled against exact, and how often intervals hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from layergym.evals.results import Floats
from layergym.evals.stats.shapley import (
    Coalition,
    CoalitionGame,
    Shares,
    coalitions_of,
    every_coalition,
    exact,
    intervals,
    order_pairs,
    pairs_within,
    sampled,
)


def saturating(strengths: Floats, tasks: int = 1) -> CoalitionGame:
    """A game like a trained model's: each player helps, together they reach a ceiling."""
    return lambda coalition: np.full(tasks, 1 - np.exp(-sum(strengths[i] for i in coalition)))


STRENGTHS = np.array([0.9, 0.8, 0.5, 0.1, 0.1, 0.0])


def test_values_add_up_to_what_all_gain() -> None:
    game = saturating(STRENGTHS)
    gain = float(game(frozenset(range(6)))[0])
    assert exact(game, 6).values.sum() == pytest.approx(gain)
    assert sampled(game, order_pairs(6, 3, seed=0)).values.sum() == pytest.approx(gain)


def test_an_idle_player_gets_nothing_and_equal_ones_get_the_same() -> None:
    values = exact(saturating(STRENGTHS), 6).values
    assert values[5] == pytest.approx(0)
    assert values[3] == pytest.approx(values[4])


def test_three_players_by_hand() -> None:
    # The glove game: 0 and 1 hold left gloves, 2 a right one; a pair is worth 1.
    game = lambda c: np.array([float(2 in c and bool(c & {0, 1}))])  # noqa: E731
    assert exact(game, 3).values == pytest.approx([1 / 6, 1 / 6, 2 / 3])


def test_all_orders_give_the_exact_values() -> None:
    game = saturating(STRENGTHS[:4])
    near = sampled(game, order_pairs(4, 3000, seed=1)).values
    assert near == pytest.approx(exact(game, 4).values, abs=0.01)


def test_orders_come_with_their_reverse_and_stand_at_every_place() -> None:
    orders = order_pairs(5, 5, seed=3)
    assert all(a == b[::-1] for a, b in zip(orders[::2], orders[1::2], strict=True))
    for player in range(5):
        assert sorted(order.index(player) for order in orders[::2]) == list(range(5))


def test_antithetic_orders_need_fewer_evaluations_for_the_same_spread() -> None:
    game, truth = saturating(STRENGTHS), exact(saturating(STRENGTHS), 6).values
    own = [sampled(game, order_pairs(6, 6, seed=s)).values - truth for s in range(60)]
    generator = np.random.default_rng(0)

    def plain() -> Floats:
        orders = [tuple(generator.permutation(6).tolist()) for _ in range(12)]
        return sampled(game, orders).values - truth

    assert np.square(own).mean() < 0.5 * np.square([plain() for _ in range(60)]).mean()


def test_a_budget_is_kept_and_used() -> None:
    for budget in (10, 40, 64):
        pairs = pairs_within(6, budget, seed=0)
        assert len(coalitions_of(order_pairs(6, pairs, seed=0))) <= budget
        assert len(coalitions_of(order_pairs(6, pairs + 1, seed=0))) > budget or budget == 64
    assert len(list(every_coalition(6))) == 64


def noisy(truth: CoalitionGame, tasks: int, generator: np.random.Generator) -> CoalitionGame:
    """A game played on `tasks` drawn tasks of two episodes, the same tasks for every coalition."""
    difficulty = generator.normal(0, 0.25, tasks)
    seen: dict[Coalition, Floats] = {}

    def value(coalition: Coalition) -> Floats:
        if coalition not in seen:
            rates = np.clip(truth(coalition)[0] * 0.6 + 0.2 + difficulty * 0.5, 0, 1)
            seen[coalition] = generator.binomial(2, rates) / 2
        return seen[coalition]

    return value


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("pairs", [0, 5])
def test_intervals_hold_the_truth(seeds: int, pairs: int) -> None:
    generator = np.random.default_rng([seeds, pairs])
    truth = saturating(STRENGTHS[:5])
    wanted = 0.6 * exact(truth, 5).values
    hits = []
    for repeat in range(150):
        games = [noisy(truth, 60, generator) for _ in range(seeds)]
        found: list[Shares] = [
            sampled(g, order_pairs(5, pairs, seed=7 * repeat + i)) if pairs else exact(g, 5)
            for i, g in enumerate(games)
        ]
        hits += [e.low <= w <= e.high for e, w in zip(intervals(found), wanted, strict=True)]
    assert 0.93 <= np.mean(hits) <= 1
