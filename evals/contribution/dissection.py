"""What the variants of full training say about where its gain lies.

A variant is the base with a part of full training's update, or full training without a part of it.
All are scored on the same episodes, so their differences are paired (`Board`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from layergym.evals import stats
from layergym.evals.arms import BASE, FULL, ArmName
from layergym.evals.stats import Estimate, Floats
from layergym.evals.stats.board import Board

LOST = "without-"
"""Variants named so have lost something of full training; all others are compared with the base."""


@dataclass(frozen=True, slots=True)
class GainShare:
    """What one variant holds of full training's gain; of a put-back part, what is lost with it."""

    name: str
    score: Estimate
    difference: Estimate
    """Score minus the base's; of a put-back part, full training's score minus this one."""
    joint: Estimate
    """The same, with intervals that hold for all variants together."""
    share: Estimate | None
    """`difference` over the gain; None where the gain is not distinguishable from 0."""


@dataclass(frozen=True, slots=True)
class Dissection:
    """All variants of one model's full training."""

    seeds: int
    base: Estimate
    full: Estimate
    gain: Estimate
    """Full minus base."""
    shares: tuple[GainShare, ...]

    @property
    def defined(self) -> bool:
        """Whether shares of the gain exist."""
        return any(share.share is not None for share in self.shares)

    def of(self, name: str) -> GainShare | None:
        """The share of the variant of this name, if it was scored."""
        return next((share for share in self.shares if share.name == name), None)

    def layers(self, kind: str, count: int) -> list[GainShare | None]:
        """The shares of "KIND-0" to "KIND-<count - 1>"."""
        return [self.of(f"{kind}-{layer}") for layer in range(count)]


def dissect(tables: Mapping[str, Floats]) -> Dissection:
    """Compare all variants with base and full training.

    Variants of several runs have a row for each seed of training. What seeds differ by counts for
    each variant as for an arm trained on its own, which is more than variants of one run differ by:
    intervals over several seeds are rather too wide.

    Args:
        tables: success rates (S, T) by name; "base" and "full" among them.
    """
    board = Board.of({ArmName(name): table for name, table in tables.items()})
    names = [name for name in board.tables if name not in (BASE, FULL)]
    gain, gain_draws = board.differences([FULL], BASE, risk=False)
    if not names:
        return Dissection(
            len(tables["full"]),
            board.score(BASE),
            board.score(FULL),
            board.difference(FULL, BASE),
            (),
        )
    values, draws = _differences(board, names)
    _, sure = _differences(board, names, risk=False)
    shares = stats.contribution_ratios(values, float(gain[0]), sure, gain_draws[:, 0])
    joint = stats.simultaneous(values, draws, board.degrees)
    shares_of = tuple(
        GainShare(
            name=name,
            score=board.score(name),
            difference=_difference(board, name, draws[:, place]),
            joint=joint[place],
            share=None if shares is None else shares[place],
        )
        for place, name in enumerate(names)
    )
    return Dissection(
        len(tables["full"]),
        board.score(BASE),
        board.score(FULL),
        board.difference(FULL, BASE),
        shares_of,
    )


def _differences(
    board: Board[ArmName], names: Sequence[ArmName], *, risk: bool = True
) -> tuple[Floats, Floats]:
    """(K,) differences and their draws (B, K), each in its own direction."""
    up, up_draws = board.differences(names, BASE, risk=risk)
    down, down_draws = board.differences(names, FULL)
    lost = np.array([name.startswith(LOST) for name in names])
    return np.where(lost, -down, up), np.where(lost, -down_draws, up_draws)


def _difference(board: Board[ArmName], name: ArmName, draws: Floats) -> Estimate:
    ends = (name, FULL) if name.startswith(LOST) else (BASE, name)
    first, second = (board.tables[end] for end in ends)
    return stats.difference_interval(first, second, draws)
