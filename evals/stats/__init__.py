"""Statistics of scores: boards, intervals and contributions, agreement of profiles, simulation."""

from layergym.evals.results import Floats
from layergym.evals.stats.board import Board, sweep_board
from layergym.evals.stats.intervals import (
    DRAWS,
    LEVEL,
    Estimate,
    Z,
    contribution_ratios,
    critical,
    difference_interval,
    freedom,
    interval,
    joint_contributions,
    joint_draws,
    rank_sets,
    score_interval,
    simultaneous,
    unseen,
)
from layergym.evals.stats.seeds import Spread, seed_spread, seed_variance

__all__ = [
    "DRAWS",
    "LEVEL",
    "Board",
    "Estimate",
    "Floats",
    "Spread",
    "Z",
    "contribution_ratios",
    "critical",
    "difference_interval",
    "freedom",
    "interval",
    "joint_contributions",
    "joint_draws",
    "rank_sets",
    "score_interval",
    "seed_spread",
    "seed_variance",
    "simultaneous",
    "sweep_board",
    "unseen",
]
