"""Scores of several arms on the same tasks, with one joint bootstrap for whatever is said of them.

Shapes: A arms, S seeds of training, T tasks, B bootstrap draws, K some of the arms.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np

from layergym.evals.arms import BASE, ArmName
from layergym.evals.results import Floats, Sweep
from layergym.evals.stats.intervals import (
    Estimate,
    difference_interval,
    freedom,
    interval,
    joint_draws,
    rank_sets,
    risk_draws,
    score_interval,
    simultaneous,
    unseen,
)

SEED = 0
"""Seed of every bootstrap, so that two reports about the same results are the same."""
Name = TypeVar("Name", bound=str)
"""What an arm, an agent or an ensemble is called."""


@dataclass(frozen=True)
class Board(Generic[Name]):
    """A table of tasks by seeds for every arm, and joint draws of their mean scores.

    All that it answers comes from the same draws, so differences, intervals and ranks are paired
    over tasks and agree with one another.
    """

    tables: Mapping[Name, Floats]
    """Scores by arm, (S, T); S may differ between arms, T may not."""
    untrained: frozenset[str]
    """Arms without seeds of training, such as the base."""
    shares: bool
    """Whether scores lie between 0 and 1, as rates do; False for losses."""
    draws: Floats
    """Draws of the mean scores, (B, A)."""
    risk: Floats
    """Draws of what all trained arms may lose by runs like those that stand apart, (B,)."""
    degrees: int
    """Degrees of freedom behind the draws (`stats.freedom`)."""

    @classmethod
    def of(
        cls,
        tables: Mapping[Name, Floats],
        *,
        untrained: Iterable[str] = (BASE,),
        shares: bool = True,
    ) -> Board[Name]:
        """Draw once for all arms.

        Args:
            tables: scores by arm, (S, T).
            untrained: arms that no training seeds tell apart; the others are trained.
            shares: whether scores lie between 0 and 1.
        """
        apart = frozenset(untrained)
        trained = [arm not in apart for arm in tables]
        cells = list(tables.values())
        draws = joint_draws(cells, trained, seed=SEED)
        risk = risk_draws(cells, trained, seed=SEED)
        return cls(tables, apart, shares, draws, risk, freedom(cells, trained))

    @property
    def tasks(self) -> int:
        """Tasks of the panel, T."""
        return int(next(iter(self.tables.values())).shape[1])

    @cached_property
    def scores(self) -> Floats:
        """Mean score of every arm, (A,)."""
        return np.array([table.mean() for table in self.tables.values()])

    def at(self, arms: Sequence[Name]) -> list[int]:
        """Columns of `arms` in the scores and draws."""
        names = list(self.tables)
        return [names.index(arm) for arm in arms]

    def score(self, arm: Name) -> Estimate:
        """Mean score of `arm`; a single task gives no interval."""
        table, (place,) = self.tables[arm], self.at([arm])
        if table.shape[1] < 2:
            return Estimate(float(table.mean()))
        draws = self.draws[:, place] + (0 if arm in self.untrained else self.risk)
        if not self.shares:
            return interval(float(table.mean()), draws)
        return score_interval(table, draws)

    def difference(self, arm: Name, other: Name) -> Estimate:
        """Score of `arm` minus that of `other`; a single task gives no interval."""
        first, second = self.tables[other], self.tables[arm]
        values, draws = self.differences([arm], other)
        if second.shape[1] < 2:
            return Estimate(float(values[0]))
        if not self.shares:
            return interval(float(values[0]), draws[:, 0])
        return difference_interval(first, second, draws[:, 0])

    def differences(
        self, arms: Sequence[Name], other: Name, *, risk: bool = True
    ) -> tuple[Floats, Floats]:
        """Scores of `arms` minus that of `other`, (K,), and their draws, (B, K).

        Args:
            arms: K of them.
            other: whom they are compared with.
            risk: whether trained arms may lose by `risk` against an untrained one. In a ratio of
                two such differences it lowers both, so ratios leave it out.
        """
        places, (place,) = self.at(arms), self.at([other])
        values = self.scores[places] - self.scores[place]
        draws = self.draws[:, places] - self.draws[:, [place]]
        if risk:
            more = [(other in self.untrained) - (arm in self.untrained) for arm in arms]
            draws = draws + self.risk[:, None] * np.array(more)
        return values, draws + self.unseen(arms, other) if self.shares else draws

    def joint_differences(self, arms: Sequence[Name], other: Name) -> list[Estimate]:
        """`differences` with intervals that hold for all of `arms` together."""
        return simultaneous(*self.differences(arms, other), self.degrees)

    def unseen(self, arms: Sequence[Name], other: Name) -> Floats:
        """What `stats.unseen` adds for those of `arms` that do as `other` does on every task."""
        places, (place,) = self.at(arms), self.at([other])
        gaps = self.draws[:, places] - self.draws[:, [place]]
        return unseen(gaps, self.tasks, seed=SEED + 1 + place)

    def ranks(self, arms: Sequence[Name]) -> dict[Name, tuple[int, int]]:
        """Best and worst rank of each of `arms` among them that the data allow (`rank_sets`)."""
        places = self.at(arms)
        sets = rank_sets(self.scores[places], self.draws[:, places], self.degrees)
        return dict(zip(arms, sets, strict=True))

    def part(self, kinds: Sequence[str], kind: str) -> Board[Name]:
        """The same arms on the tasks of one kind, drawn for these tasks alone.

        Args:
            kinds: kind of every task, T of them.
            kind: the one to keep.
        """
        inside = np.array([each == kind for each in kinds])
        tables = {arm: table[:, inside] for arm, table in self.tables.items()}
        return Board.of(tables, untrained=self.untrained, shares=self.shares)


def sweep_board(sweep: Sweep, temperature: float) -> Board[ArmName]:
    """All arms of a sweep that were scored at a temperature."""
    results = {arm: sweep.results(arm, temperature) for arm in sweep.arms}
    return Board.of({arm: np.array([r.rates for r in rs]) for arm, rs in results.items() if rs})


def score_alone(rates: Floats) -> Estimate:
    """Mean of one run's scores of its tasks, (T,), with its interval over tasks."""
    return Board.of({"run": rates[None]}, untrained=["run"]).score("run")


def scores_by_kind(
    board: Board[Name], kinds: Sequence[str]
) -> dict[str, tuple[int, dict[Name, Estimate]]]:
    """For every kind of task, by name: how many there are, and every arm's score on them."""
    parts = {kind: board.part(kinds, kind) for kind in sorted(set(kinds))}
    return {
        kind: (part.tasks, {arm: part.score(arm) for arm in part.tables})
        for kind, part in parts.items()
    }
