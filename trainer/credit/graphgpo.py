"""GraphGPO: a turn is worth as much as the state that it leads to is near success.

Source: arXiv 2605.26684 and its implementation in verl-agent (`recipe/GraphGPO`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence

from layergym.agents.types import Group, Trajectory
from layergym.trainer.credit.advantages import (
    Advantages,
    Compat,
    GroupNorm,
    anchor_groups,
    comparable,
    with_steps,
)

SUCCESS_VERL_AGENT = 10.0
"""The reward of success there."""


def graphgpo(
    group: Group,
    *,
    gamma: float = 0.1,
    omega: float = 1.0,
    norm: GroupNorm = "std",
    penalty: float = 0.0,
    compat: Compat | None = None,
) -> Advantages:
    """GraphGPO: GiGPO whose step returns are gamma^d in place of discounted rewards.

    All trajectories of the group make one graph: an edge for every turn, from the state it was
    taken in to the one it led to; the last turn of a success leads to the goal. d is the number of
    edges from the state that a turn led to to the goal, along the shortest way that any
    trajectory went. States with no way to the goal are one edge farther than the farthest that
    has one. The last turn of an episode that failed leads to `Trajectory.last_key`, or, where that
    is not known, to a state of its own.

    Args:
        group: trajectories from one start; a turn's state is its `state_key`.
        gamma: how fast the worth falls with the distance; 0.1 and 0.2 are published, far below
            the discount of GiGPO.
        omega: weight of the step advantage.
        norm: see `gigpo`.
        penalty: see `gigpo`.
        compat: see `gigpo`; success is worth 10 then, as there, which matters with a `penalty` or
            with `norm="none"`.
    """
    kept = comparable(group)
    worth = 1.0 if compat is None else SUCCESS_VERL_AGENT
    distance = distances(kept)
    returns = [[worth * gamma ** distance[state] for state in led_to(t, i)] for i, t in _each(kept)]
    return with_steps(
        group,
        returns,
        anchor_groups(kept),
        omega=omega,
        norm=norm,
        penalty=penalty,
        compat=compat,
    )


GraphNode = tuple[Hashable, ...]
"""("state", its key), ("goal",), or ("end", number of the trajectory)."""
GOAL: GraphNode = ("goal",)


def led_to(trajectory: Trajectory, number: int) -> list[GraphNode]:
    """The state after every turn of a trajectory; `number` is its place in the group."""
    nodes: list[GraphNode] = [("state", turn.state_key) for turn in trajectory.turns[1:]]
    if not trajectory.turns:
        return nodes
    if trajectory.success:
        return [*nodes, GOAL]
    known = trajectory.last_key is not None
    return [*nodes, ("state", trajectory.last_key) if known else ("end", number)]


def distances(trajectories: Sequence[Trajectory]) -> Mapping[GraphNode, int]:
    """Edges from every state to the goal; one more than the farthest where there is no way."""
    backward: dict[GraphNode, list[GraphNode]] = {GOAL: []}
    for i, trajectory in _each(trajectories):
        for turn, after in zip(trajectory.turns, led_to(trajectory, i), strict=True):
            before: GraphNode = ("state", turn.state_key)
            backward.setdefault(after, []).append(before)
            backward.setdefault(before, [])
    result, waiting = {GOAL: 0}, deque([GOAL])
    while waiting:
        node = waiting.popleft()
        for before in backward[node]:
            if before not in result:
                result[before] = result[node] + 1
                waiting.append(before)
    beyond = max(result.values()) + 1
    return {node: result.get(node, beyond) for node in backward}


def _each(trajectories: Sequence[Trajectory]) -> list[tuple[int, Trajectory]]:
    return list(enumerate(trajectories))
