"""Shapley values of layers: sampled within a budget against exact, on what was scored already.

    layergym dissect SWEEP --sets shapley --eval-tasks 50 --eval-repeats 1
    python -m benchmarks.shapley SWEEP

Nothing is played: the coalitions that `layergym dissect` has kept, all 2^L of them for each seed,
give the exact values, and those that a budget allows give estimates of them, with another draw of
orders each time. Reported by budget: the error in points (root mean square over layers and draws),
Spearman's correlation of the two rankings, the share of intervals from the orders' noise alone that
hold the exact value (tasks are the same for both), and the error that intervals of the exact values
carry for the noise of tasks.

    python -m benchmarks.shapley --simulate

Coverage of the reported intervals on games of known truth, by numbers of seeds and of pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from layergym.evals.contribution.dissected import Dissected, coalition_name, read_dissected
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

BUDGETS = (16, 32, 64, 128)
DRAWS = 200


def main() -> None:
    """Print the table of one sweep, or that of simulated games."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sweep", type=Path, nargs="?")
    parser.add_argument("--simulate", action="store_true")
    args = parser.parse_args()
    if args.simulate:
        simulate()
    elif args.sweep:
        for found in read_dissected(args.sweep):
            games = [game for seed in found.results if (game := _game(found, seed))]
            if games:
                table(games, found)


def _game(found: Dissected, seed: int) -> CoalitionGame | None:
    """The game of all coalitions of one seed; None where some are missing."""
    results = found.results[seed]
    if any(coalition_name(one) not in results for one in every_coalition(found.layers)):
        return None
    return lambda coalition: results[coalition_name(coalition)].rates


def table(games: Sequence[CoalitionGame], found: Dissected) -> None:
    """Sampled against exact, over all seeds that have all coalitions."""
    layers, every = found.layers, 2**found.layers
    true = [exact(game, layers) for game in games]
    noise = np.mean([_task_noise(shares) for shares in true])
    episodes = len(found.first.tasks) * found.first.repeats
    print(f"{len(games)} seeds, {layers} layers, {episodes} episodes for each coalition")
    for seed, shares in enumerate(true):
        print(f"exact, seed {seed}: " + " ".join(f"{100 * v:+.1f}" for v in shares.values))
    print(f"standard error of an exact value from the noise of tasks: {100 * noise:.1f} points")
    print("| coalitions | pairs | share of all | error, points | Spearman | intervals that hold |")
    print("|---|---|---|---|---|---|")
    for budget in (one for one in BUDGETS if one < every):
        errors, ranks, held, pairs = [], [], [], []
        for game, shares in zip(games, true, strict=True):
            for draw in range(DRAWS):
                count = pairs_within(layers, budget, seed=draw)
                guess = sampled(game, order_pairs(layers, count, seed=draw))
                errors.append(guess.values - shares.values)
                ranks.append(stats.spearmanr(guess.values, shares.values).statistic)
                held.append(np.abs(errors[-1]) <= _order_noise(guess))
                pairs.append(count)
        hold = f"{np.mean(held):.1%}" if min(pairs) > 1 else "-"
        print(
            f"| {budget} | {np.mean(pairs):.1f} | {budget / every:.0%} "
            f"| {100 * np.sqrt(np.square(errors).mean()):.2f} | {np.mean(ranks):.2f} "
            f"| {hold} |"
        )


def _task_noise(shares: Shares) -> float:
    by_task = shares.table.mean(axis=0)
    return float(np.sqrt((by_task.var(axis=1, ddof=1) / by_task.shape[1]).mean()))


def _order_noise(shares: Shares) -> Floats:
    """Half-widths (K,) of 95 % intervals from the spread between pairs of orders."""
    by_pair = shares.table.mean(axis=2)
    if len(by_pair) < 2:  # One pair says nothing about how pairs differ.
        return np.full(by_pair.shape[1], np.inf)
    error = by_pair.std(axis=0, ddof=1) / np.sqrt(len(by_pair))
    half: Floats = stats.t.ppf(0.975, len(by_pair) - 1) * error
    return half


def simulate() -> None:
    """How often `intervals` hold the truth: eight layers, 100 tasks of two episodes."""
    strengths = np.array([0.9, 0.8, 0.5, 0.3, 0.1, 0.1, 0.0, 0.0])

    def truth(coalition: Coalition) -> Floats:
        return np.array([1 - np.exp(-sum(strengths[i] for i in coalition))])

    wanted = 0.6 * exact(truth, 8).values
    print("| seeds | orders | intervals that hold the truth | mean half-width, points |")
    print("|---|---|---|---|")
    for seeds in (1, 3):
        for pairs in (0, 4, 8):
            generator = np.random.default_rng([seeds, pairs])
            hits, widths = [], []
            for repeat in range(200):
                games = [_noisy(truth, 100, generator) for _ in range(seeds)]
                estimates = intervals(
                    [
                        sampled(game, order_pairs(8, pairs, seed=10 * repeat + i))
                        if pairs
                        else exact(game, 8)
                        for i, game in enumerate(games)
                    ]
                )
                for at, true in zip(estimates, wanted, strict=True):
                    assert at.low is not None and at.high is not None
                    hits.append(at.low <= true <= at.high)
                    widths.append((at.high - at.low) / 2)
            used = len(coalitions_of(order_pairs(8, pairs, seed=0))) if pairs else 256
            told = f"{pairs} pairs (about {used} coalitions)" if pairs else "all 256 coalitions"
            print(f"| {seeds} | {told} | {np.mean(hits):.1%} | {100 * np.mean(widths):.1f} |")


def _noisy(truth: CoalitionGame, tasks: int, generator: np.random.Generator) -> CoalitionGame:
    """The game played on drawn tasks, two episodes each; the same tasks for every coalition."""
    difficulty = generator.normal(0, 0.125, tasks)
    seen: dict[Coalition, Floats] = {}

    def value(coalition: Coalition) -> Floats:
        if coalition not in seen:
            rates = np.clip(truth(coalition)[0] * 0.6 + 0.2 + difficulty, 0, 1)
            seen[coalition] = generator.binomial(2, rates) / 2
        return seen[coalition]

    return value


if __name__ == "__main__":
    main()
