"""Shapley values of layers (Shapley 1953): exact for few, sampled by permutations for many.

A *game* gives every coalition, a set of players, a value per task; here the score of the base with
these layers of a trained model. A player's Shapley value is what it adds to those before it, on
average over all orders. The values of all players add up to the value of all minus that of none.

Shapes: K players, T tasks, P pairs of orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import scipy

from layergym.evals.results import Floats
from layergym.evals.stats.intervals import LEVEL, Estimate

Coalition = frozenset[int]
CoalitionGame = Callable[[Coalition], Floats]
"""Values (T,) of a coalition."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Shapley values by task, before they are summed up."""

    table: Floats
    """(P, K, T): one estimate per pair of orders; exact values have P = 1."""
    exact: bool

    @property
    def values(self) -> Floats:
        """(K,) Shapley values."""
        mean: Floats = self.table.mean(axis=(0, 2))
        return mean


def every_coalition(players: int) -> Iterable[Coalition]:
    """All 2^K of them, small ones first."""
    for size in range(players + 1):
        yield from map(frozenset, combinations(range(players), size))


def exact(game: CoalitionGame, players: int) -> Shares:
    """Shapley values from all 2^K coalitions."""
    values = {coalition: game(coalition) for coalition in every_coalition(players)}
    table = np.zeros((players, len(values[frozenset()])))
    for coalition, value in values.items():
        for player in set(range(players)) - coalition:
            weight = 1 / (players * comb(players - 1, len(coalition)))
            table[player] += weight * (values[coalition | {player}] - value)
    return Shares(table[None], exact=True)


def order_pairs(players: int, pairs: int, *, seed: int) -> list[tuple[int, ...]]:
    """2 P orders, each followed by its reverse.

    The reverse is antithetic: who comes late in one comes early in the other. Orders come in
    rounds of K rotations of one draw, so that in every whole round each player stands once at each
    place (stratified by place). Every order on its own is uniformly distributed.
    """
    generator = np.random.default_rng(seed)
    orders: list[tuple[int, ...]] = []
    while len(orders) < 2 * pairs:
        drawn = generator.permutation(players)
        for shift in generator.permutation(players):
            order = tuple(np.roll(drawn, shift).tolist())
            orders += [order, order[::-1]]
    return orders[: 2 * pairs]


def coalitions_of(orders: Sequence[Sequence[int]]) -> list[Coalition]:
    """The coalitions that these orders pass through, each once, in the order of their need."""
    coalitions = (frozenset(order[:size]) for order in orders for size in range(len(order) + 1))
    return list(dict.fromkeys(coalitions))


def pairs_within(players: int, evaluations: int, *, seed: int) -> int:
    """The most pairs of orders whose coalitions are at most this many."""
    pairs = 0
    while (
        pairs < evaluations
        and len(coalitions_of(order_pairs(players, pairs + 1, seed=seed))) <= evaluations
    ):
        pairs += 1
    return pairs


def sampled(game: CoalitionGame, orders: Sequence[Sequence[int]]) -> Shares:
    """Shapley values from orders as `order_pairs` gives them."""
    values = {coalition: game(coalition) for coalition in coalitions_of(orders)}
    tables = []
    for order in orders:
        added = np.empty((len(order), len(values[frozenset()])))
        for place, player in enumerate(order):
            before = frozenset(order[:place])
            added[player] = values[before | {player}] - values[before]
        tables.append(added)
    both = np.array(tables)
    return Shares((both[::2] + both[1::2]) / 2, exact=False)


def intervals(seeds: Sequence[Shares]) -> list[Estimate]:
    """Shapley values with 95 % intervals, over all trained runs (one `Shares` for each seed).

    The variance is that between tasks, and that between pairs of orders where these were sampled,
    or, with several seeds, that between seeds, which holds the orders' too. Student's t has the
    degrees of freedom of Welch and Satterthwaite.
    """
    tasks = np.array([shares.table.mean(axis=0) for shares in seeds])  # (S, K, T)
    values = tasks.mean(axis=(0, 2))
    parts = [_variance(tasks.mean(axis=0))]
    if len(seeds) > 1:
        parts.append(_variance(tasks.mean(axis=2).T))
    elif not seeds[0].exact:
        parts.append(_variance(seeds[0].table.mean(axis=2).T))
    total = sum(variance for variance, _ in parts)
    weight = sum(variance**2 / max(freedom, 1) for variance, freedom in parts)
    degrees = np.where(weight > 0, total**2 / np.where(weight > 0, weight, 1), 1.0)
    half = scipy.stats.t.ppf((1 + LEVEL) / 2, degrees) * np.sqrt(total)
    return [
        Estimate(float(value), float(value - wide), float(value + wide))
        for value, wide in zip(values, half, strict=True)
    ]


def _variance(rows: Floats) -> tuple[Floats, int]:
    """Variances (K,) of the means of rows (K, N), and degrees of freedom; infinite for N = 1."""
    count = rows.shape[1]
    if count < 2:
        return np.full(len(rows), np.inf), 0
    return rows.var(axis=1, ddof=1) / count, count - 1
