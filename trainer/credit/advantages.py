"""Who gets the credit: advantages per turn, as pure functions of a group of trajectories.

Every function takes a `Group` and returns one tuple per trajectory, in the group's order, with
one advantage per turn. A trajectory that ended in an error is masked: it counts in no statistic
and its tuple is empty.

Sources: GRPO (arXiv 2402.03300, section 4.1.2), Dr. GRPO (arXiv 2503.20783, section 3.2), RLOO
(arXiv 2402.14740, section 3.3), GiGPO (arXiv 2505.10978, section 4, and its implementation
verl-agent, whose departures from the paper `compat="verl-agent"` repeats).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from math import fsum, sqrt
from statistics import fmean
from typing import Literal

from layergym.agents.types import Group, Trajectory

Advantages = tuple[tuple[float, ...], ...]
"""Per trajectory, per turn."""
GroupNorm = Literal["std", "none"]
"""F_norm of GiGPO: the sample standard deviation, or 1."""
Compat = Literal["verl-agent"]
"""An implementation whose departures from the papers are repeated."""
Position = tuple[int, int]
"""Trajectory and turn, both counted from 0."""

EPSILON = 1e-4
"""Added to a standard deviation before dividing by it, as in TRL."""
EPSILON_VERL_AGENT = 1e-6


def grpo(group: Group) -> Advantages:
    """GRPO: (R_i - mean R) / std R, the same for every turn of trajectory i."""
    return _per_trajectory(group, lambda rewards: relative(rewards, "std", EPSILON))


def batch_grpo(groups: Sequence[Group]) -> list[Advantages]:
    """GRPO with TRL's scale_rewards="batch": (R_i - mean R of its group) / std R of all groups."""
    every = [t.total_reward for g in groups for t in comparable(g)]
    scale = _scale(every, "std", EPSILON)

    def over_all(rewards: Sequence[float]) -> list[float]:
        return [value / scale for value in relative(rewards, "none", EPSILON)]

    return [_per_trajectory(group, over_all) for group in groups]


def dr_grpo(group: Group) -> Advantages:
    """Dr. GRPO: R_i - mean R, without the division that favours easy and hard tasks."""
    return _per_trajectory(group, lambda rewards: relative(rewards, "none", EPSILON))


def rloo(group: Group) -> Advantages:
    """RLOO: R_i minus the mean of the other trajectories; 0 for a trajectory alone."""

    def leave_one_out(rewards: Sequence[float]) -> list[float]:
        n = len(rewards)
        return [(r - fmean(rewards)) * n / (n - 1) if n > 1 else 0.0 for r in rewards]

    return _per_trajectory(group, leave_one_out)


def gigpo(
    group: Group,
    *,
    gamma: float = 0.95,
    omega: float = 1.0,
    norm: GroupNorm = "std",
    penalty: float = 0.0,
    similarity: float | None = None,
    compat: Compat | None = None,
) -> Advantages:
    """GiGPO: A = A^E + omega * A^S (equation 8).

    A^E compares whole episodes (equation 3), A^S compares the discounted returns of all turns
    that were taken in the same state (equations 6 and 7); a turn alone in its state has A^S = 0.
    With `norm="none"` both are RLOO's advantages times (n - 1) / n, n being the size of the group
    compared, and `omega=0` leaves GRPO.

    Where the paper leaves room: 1e-4 is added to a deviation, as in TRL (verl-agent: 1e-6); a
    trajectory alone in its group has A^E = 0, as equation 3 says (verl-agent keeps its raw score);
    the statistics of A^E are taken over trajectories (verl-agent: over their turns, unless its
    `compute_mean_std_cross_steps` is off).

    Args:
        group: trajectories from one start; a turn's state is its `state_key`.
        gamma: discount of later rewards, per turn.
        omega: weight of the step advantage.
        norm: what differences are divided by: "std" or "none".
        penalty: subtracted, after discounting, from the return and from the episode score of
            every invalid turn, and of no other. See `penalise` for a penalty that counts as
            reward and so reaches earlier turns.
        similarity: None groups equal keys. Otherwise text keys whose `difflib` ratio with the
            first key of a group reaches this number join it.
        compat: "verl-agent" takes the episode mean and deviation over turns instead of
            trajectories, so that long episodes weigh more, adds 1e-6 instead of 1e-4, and leaves
            the score of an episode's only turn, alone in its group, as it is. Anchors, validity,
            the scale of rewards and mini-batches are not part of it: they are settings of the
            environment and of the run.
    """
    returns = [list(discounted(trajectory, gamma)) for trajectory in comparable(group)]
    return with_steps(
        group,
        returns,
        anchor_groups(comparable(group), similarity),
        omega=omega,
        norm=norm,
        penalty=penalty,
        compat=compat,
    )


def comparable(group: Group) -> list[Trajectory]:
    """The trajectories that count in statistics: all that did not end in an error."""
    return [t for t in group.trajectories if t.ended != "error"]


def with_steps(
    group: Group,
    returns: Sequence[Sequence[float]],
    together: Sequence[Sequence[Position]],
    *,
    omega: float,
    norm: GroupNorm,
    penalty: float,
    compat: Compat | None,
) -> Advantages:
    """A = A^E + omega * A^S (GiGPO, equation 8), whatever the returns of the steps are.

    Args:
        group: see `gigpo`.
        returns: of every turn of the trajectories that are `comparable`.
        together: the turns that are compared with one another.
        omega: see `gigpo`.
        norm: see `gigpo`.
        penalty: see `gigpo`.
        compat: see `gigpo`.
    """
    kept = comparable(group)
    epsilon = EPSILON if compat is None else EPSILON_VERL_AGENT
    invalid = [[0.0 if turn.valid else penalty for turn in t.turns] for t in kept]
    result = _episode_advantages(kept, invalid, norm, per_turn=compat is not None, eps=epsilon)
    for members in together:
        if len(members) > 1:
            values = [returns[i][t] - invalid[i][t] for i, t in members]
            for (i, t), advantage in zip(members, relative(values, norm, epsilon), strict=True):
                result[i][t] += omega * advantage
    return with_masked(group, result)


def penalise(group: Group, penalty: float) -> Group:
    """The group with `penalty` taken off the reward of every invalid turn.

    As part of the reward it counts in the total and, discounted, in the returns of earlier turns.
    """
    if penalty == 0:
        return group

    def penalised(trajectory: Trajectory) -> Trajectory:
        turns = (t if t.valid else replace(t, reward=t.reward - penalty) for t in trajectory.turns)
        return replace(trajectory, turns=tuple(turns))

    return Group(tuple(penalised(t) for t in group.trajectories))


def discounted(trajectory: Trajectory, gamma: float) -> tuple[float, ...]:
    """Return of every turn: R_t = sum over k >= t of gamma^(k - t) r_k (GiGPO, section 4.2)."""
    result, later = [], 0.0
    for turn in reversed(trajectory.turns):
        later = turn.reward + gamma * later
        result.append(later)
    return tuple(reversed(result))


def anchor_groups(
    trajectories: Sequence[Trajectory], similarity: float | None = None
) -> list[list[Position]]:
    """Turns by the state they were taken in (equation 6), in order of first appearance.

    Time is linear in the number of turns; with `similarity`, in turns times groups.
    """
    groups: dict[Hashable, list[Position]] = {}
    for i, trajectory in enumerate(trajectories):
        for t, turn in enumerate(trajectory.turns):
            key = turn.state_key
            if similarity is not None and isinstance(key, str) and key not in groups:
                key = next((k for k in groups if _similar(k, key, similarity)), key)
            groups.setdefault(key, []).append((i, t))
    return list(groups.values())


def same_rewards(group: Group) -> bool:
    """Whether all trajectories have exactly the same total reward: no episode advantage."""
    return len({t.total_reward for t in comparable(group)}) <= 1


@dataclass(frozen=True, slots=True)
class CreditStatistics:
    """How much there was to compare."""

    groups: int
    zero_variance: int
    """Groups of which `same_rewards` is true."""
    masked: int
    """Trajectories that ended in an error."""
    step_groups: int
    shared: int
    """Step groups of two turns or more: only these have a step advantage."""
    mean_size: float
    """Turns per step group."""

    @property
    def shared_share(self) -> float:
        """Share of the step groups that are larger than one."""
        return self.shared / self.step_groups if self.step_groups else 0.0


def statistics(groups: Iterable[Group], similarity: float | None = None) -> CreditStatistics:
    """Count what GRPO and GiGPO had to compare in `groups`."""
    total = zero = masked = 0
    sizes: list[int] = []
    for group in groups:
        kept = comparable(group)
        total += 1
        masked += len(group.trajectories) - len(kept)
        zero += same_rewards(group)
        sizes += [len(members) for members in anchor_groups(kept, similarity)]
    return CreditStatistics(
        groups=total,
        zero_variance=zero,
        masked=masked,
        step_groups=len(sizes),
        shared=sum(size > 1 for size in sizes),
        mean_size=fmean(sizes) if sizes else 0.0,
    )


def _episode_advantages(
    kept: Sequence[Trajectory],
    invalid: Sequence[Sequence[float]],
    norm: GroupNorm,
    *,
    per_turn: bool,
    eps: float,
) -> list[list[float]]:
    """A^E per turn (equation 3): statistics over trajectories, or over their turns."""
    rewards = [t.total_reward for t in kept]
    scores = [[r - minus for minus in row] for r, row in zip(rewards, invalid, strict=True)]
    sample = [score for row in scores for score in row] if per_turn else rewards
    if not sample:
        return scores
    mean, scale = fmean(sample), _scale(sample, norm, eps)
    if per_turn and len(sample) == 1:  # verl-agent leaves a score that has no peer as it is
        mean = 0.0
    return [[(score - mean) / scale for score in row] for row in scores]


def relative(values: Sequence[float], norm: GroupNorm, epsilon: float) -> list[float]:
    """(x - mean) / F_norm; exactly 0 where all values are equal."""
    if len(set(values)) <= 1:
        return [0.0] * len(values)
    mean, scale = fmean(values), _scale(values, norm, epsilon)
    return [(value - mean) / scale for value in values]


def _scale(values: Sequence[float], norm: GroupNorm, epsilon: float) -> float:
    if norm == "none" or len(values) < 2:
        return 1.0
    mean = fmean(values)
    return sqrt(fsum((v - mean) ** 2 for v in values) / (len(values) - 1)) + epsilon


def _per_trajectory(group: Group, score: Callable[[Sequence[float]], list[float]]) -> Advantages:
    kept = comparable(group)
    values = score([t.total_reward for t in kept])
    return with_masked(group, [[v] * len(t.turns) for v, t in zip(values, kept, strict=True)])


def with_masked(group: Group, kept: Iterable[Sequence[float]]) -> Advantages:
    """Put rows back beside the trajectories they belong to; masked ones get ()."""
    rows = iter(kept)
    return tuple(() if t.ended == "error" else tuple(next(rows)) for t in group.trajectories)


def _similar(known: Hashable, text: str, threshold: float) -> bool:
    if not isinstance(known, str):
        return False
    return difflib.SequenceMatcher(None, text, known).ratio() >= threshold
