"""HGPO: turns are compared with those that share their state, and part of the way to it.

Source: arXiv 2602.22817 and its implementation in verl-agent (`recipe/hgpo`), whose constants are
used: the population deviation of a group, plus 1e-6.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import fsum, sqrt
from statistics import fmean

from layergym.agents.types import Group, Trajectory
from layergym.trainer.credit.advantages import (
    EPSILON_VERL_AGENT,
    Advantages,
    GroupNorm,
    Position,
    comparable,
    discounted,
    with_masked,
)

LevelAdvantage = tuple[int, float]
"""How many states the turns of a group share, and the advantage in that group."""


def hgpo(
    group: Group,
    *,
    gamma: float = 0.95,
    history: int = 2,
    alpha: float = 1.0,
    norm: GroupNorm = "std",
) -> Advantages:
    """HGPO: the weighted mean of a turn's advantages in nested groups.

    A turn belongs to one group per level k = 1 to `history` + 1: the turns whose last k states,
    the current one included, equal its own. In each group of two turns or more its advantage is
    the difference of its discounted return to the group's mean. The levels are weighted by
    (k + 1)^alpha, so that what shares more of its history counts more. Levels in which the
    advantage is exactly 0 have no weight, as in the published implementation. There is no episode
    advantage; a turn that shares its state with no other is credited with 0.

    Args:
        group: trajectories from one start; a turn's state is its `state_key`.
        gamma: discount of later rewards, per turn.
        history: how many earlier states may be shared: the K of the paper.
        alpha: how much more a longer shared history weighs; 0 weighs all levels alike.
        norm: what differences are divided by: "std", or 1 for "none".
    """
    kept = comparable(group)
    returns = [discounted(trajectory, gamma) for trajectory in kept]
    levels: list[list[list[LevelAdvantage]]] = [[[] for _ in row] for row in returns]
    for way, members in _nested_groups(kept, history).items():
        if len(members) > 1:
            values = [returns[i][t] for i, t in members]
            for (i, t), advantage in zip(members, _relative(values, norm), strict=True):
                levels[i][t].append((len(way), advantage))
    return with_masked(
        group, [[_weighted(estimates, alpha) for estimates in row] for row in levels]
    )


def _nested_groups(
    trajectories: Sequence[Trajectory], history: int
) -> dict[tuple[Hashable, ...], list[Position]]:
    """Turns by their last states, one to `history` + 1 of them, in order of appearance."""
    groups: dict[tuple[Hashable, ...], list[Position]] = {}
    for i, trajectory in enumerate(trajectories):
        keys = [turn.state_key for turn in trajectory.turns]
        for t in range(len(keys)):
            for states in range(1, min(history, t) + 2):
                way = tuple(keys[t + 1 - states : t + 1])
                groups.setdefault(way, []).append((i, t))
    return groups


def _relative(values: Sequence[float], norm: GroupNorm) -> list[float]:
    if len(set(values)) == 1:
        return [0.0] * len(values)
    mean, scale = fmean(values), 1.0
    if norm == "std":
        scale = sqrt(fmean((value - mean) ** 2 for value in values)) + EPSILON_VERL_AGENT
    return [(value - mean) / scale for value in values]


def _weighted(levels: Sequence[LevelAdvantage], alpha: float) -> float:
    """The mean over the levels that tell turns apart."""
    telling = [((states + 1) ** alpha, advantage) for states, advantage in levels if advantage]
    total = fsum(weight for weight, _ in telling) + EPSILON_VERL_AGENT
    return fsum(weight * advantage for weight, advantage in telling) / total
