"""Where the credit of a turn is from: the part that compares episodes, and the states compared."""

from __future__ import annotations

from dataclasses import dataclass, replace

from layergym.agents.types import Group
from layergym.trainer.credit.advantages import (
    Advantages,
    anchor_groups,
    comparable,
    with_masked,
)
from layergym.trainer.credit.algorithms import ALGORITHMS, Compared, Credit, give_credit


@dataclass(frozen=True, slots=True)
class CreditParts:
    """Of one group; a trajectory that ended in an error has ()."""

    episode: Advantages
    """What of each advantage compares whole episodes; () each, where an algorithm has no parts."""
    states: tuple[tuple[int, ...], ...]
    """The state of every turn, numbered as they first appear in the group."""


def credit_parts(group: Group, credit: Credit) -> CreditParts:
    """Take the advantages of a group apart.

    The part of episodes is what is left where the weight `omega` of the steps is 0.
    """
    kept = comparable(group)
    if "omega" in ALGORITHMS[credit.algorithm].reads:
        alone = replace(credit, omega=0.0)
        [credited] = give_credit([Compared.of(group, alone)], alone)
        episode = credited.advantages
    else:
        episode = ((),) * len(group.trajectories)
    numbers = [[0] * len(trajectory.turns) for trajectory in kept]
    for number, members in enumerate(anchor_groups(kept, credit.similarity)):
        for trajectory, turn in members:
            numbers[trajectory][turn] = number
    states = with_masked(group, numbers)
    return CreditParts(episode, tuple(tuple(map(int, row)) for row in states))
