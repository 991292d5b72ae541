"""Racing: layers that are clearly behind need not be trained to the end.

At each of K looks (optimiser steps fixed before the sweep), all layers that are still running are
scored on the development panel, whose tasks are not those of the final score. A layer stops when
some other layer is ahead of it beyond doubt: for the layer l, the differences score(j) - score(l)
to all other layers j get one-sided lower bounds that hold together with confidence
1 - ALPHA / K (max-t bootstrap over the common tasks and, where there are several, over seeds;
`stats.joint_draws`), and one of these bounds is above 0.

What this guarantees. A layer that is the best at every look, or ties for it, is stopped only if
one of its own L - 1 bounds is wrong at one of K looks: the max-t bound covers the former,
Bonferroni's ALPHA / K the latter, so it happens in at most ALPHA of all sweeps (5 % to 6 % in
simulations where all layers tie, under 1 % where one leads). With one seed, "best" is about these
very runs: chance between runs of one layer is not in the bounds, and several seeds are needed for
conclusions about layers.

What it does not. A layer that starts slowly and would have overtaken later can be stopped. A
stopped layer has no score on the final panel, hence no contribution and no rank; the ranks of the
others are among themselves. Their final scores are not biased by the choice of tasks, which are
others, though survivors may owe part of their lead to lucky seeds, as in every selection.

This is successive elimination with fixed looks (Even-Dar, Mannor and Mansour 2006), with paired
bounds in place of Hoeffding's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy

from layergym.evals.arms import ArmName
from layergym.evals.stats import Floats
from layergym.evals.stats.board import Board

ALPHA = 0.05
"""The chance, over all looks, that the best layer is stopped."""
_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True, slots=True)
class Behind:
    """A layer that is out of the race at one look."""

    arm: ArmName
    leader: ArmName
    """The layer that is ahead by the largest lower bound."""
    score: float
    best: float
    """The leader's score."""
    at_least: float
    """Lower bound of the leader's lead."""


def behind(tables: Mapping[_Name, Floats], looks: int) -> list[Behind]:
    """The layers that stop at this look.

    Args:
        tables: success rates (S, T) of each layer on the development panel, all at one step.
        looks: K, the number of looks planned in all.
    """
    if len(tables) < 2:
        return []
    board = Board.of({ArmName(name): table for name, table in tables.items()})
    confidence = 1 - ALPHA / looks
    stopped = []
    for place, arm in enumerate(board.tables):
        others = [other for other in board.tables if other != arm]
        places = board.at(others)
        gaps = board.scores[places] - board.scores[place]
        draws = board.draws[:, places] - board.draws[:, [place]]
        bounds = _lower(gaps, draws, confidence, board.tasks)
        first = int(bounds.argmax())
        if bounds[first] > 0:
            score, best = board.scores[place], board.scores[places[first]]
            stopped.append(Behind(arm, others[first], score, best, float(bounds[first])))
    return stopped


def _lower(values: Floats, draws: Floats, confidence: float, tasks: int) -> Floats:
    """One-sided lower bounds of `values` (K,) from draws (B, K) that hold together.

    The quantile of the largest standardised deviation, widened from normal to Student's t for the
    few tasks from which the errors are estimated.
    """
    errors = draws.std(axis=0)
    scaled = (draws - draws.mean(axis=0)) / np.where(errors > 0, errors, np.inf)
    critical = float(np.quantile(scaled.max(axis=1), confidence))
    normal = scipy.stats.norm.ppf(confidence)
    widen = float(scipy.stats.t.ppf(confidence, tasks - 1) / normal)
    bounds: Floats = values - widen * critical * errors
    return bounds
