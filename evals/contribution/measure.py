"""All arms of a sweep on one panel: scores, gains, contributions, ranks.

contribution(k) = (score of layer k alone - base) / (full - base)      (arXiv 2607.01232)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from layergym.base.errors import InputError
from layergym.evals import stats
from layergym.evals.arms import BASE, FULL, ArmName
from layergym.evals.stats import Estimate, Floats, agreement
from layergym.evals.stats.board import SEED, Board
from layergym.evals.stats.reliability import reliability

_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True, slots=True)
class ArmScore:
    """One trained arm other than full."""

    arm: ArmName
    layer: int | None
    seeds: int
    score: Estimate
    gain: Estimate
    """Score - base."""
    contribution: Estimate | None
    """None where full - base is not distinguishably above 0."""
    joint_gain: Estimate
    """`gain` with intervals that hold for all arms together: for an arm that was picked."""
    joint_contribution: Estimate | None
    """`contribution` likewise; None also where its interval would have no end."""
    against_full: Estimate
    """Score - full; the intervals of all arms hold together."""
    ranks: tuple[int, int] | None
    """Best and worst rank among the layers that the data allow."""


@dataclass(frozen=True, slots=True)
class Control:
    """A control arm of the size of one layer, against the layers."""

    arm: ArmName
    mean_layer: Estimate | None
    """Mean score of the layers minus the control's; None where scores decided which layers ran."""
    layers: tuple[Estimate, ...]
    """Score of each layer minus the control's; intervals hold for all layers and controls."""


@dataclass(frozen=True, slots=True)
class Measure:
    """Scores of all arms in one way of reading, with what may be concluded from them."""

    name: str
    sharpened: bool
    """Whether `base` is the untrained base at its best temperature."""
    base: Estimate
    full: Estimate
    gain: Estimate
    """Full - base."""
    arms: tuple[ArmScore, ...]
    thirds: tuple[float | None, ...]
    """Mean gain of the layers in the first, middle and last third of the stack."""
    middle_less_first: Estimate | None
    """Mean gain of the middle third minus that of the first; holds together with the next."""
    middle_less_last: Estimate | None
    """Mean gain of the middle third minus that of the last third."""
    half_panel: float | None
    """Mean Spearman correlation over layers between halves of the panel."""
    single_seed: float | None
    """Mean Spearman correlation over layers between single seeds."""
    held_out_best: float | None
    """Gain of "the best layer", chosen on some tasks and seeds and scored on the others."""
    controls: tuple[Control, ...] = ()
    panel_reliability: Estimate | None = None
    """Reliability of the layers' scores over further tasks, for these trained weights."""
    seed_reliability: Estimate | None = None
    """Reliability of the layers' scores over further seeds."""

    @property
    def layers(self) -> tuple[ArmScore, ...]:
        """The arms that train one layer, by index."""
        return tuple(arm for arm in self.arms if arm.layer is not None)

    @property
    def defined(self) -> bool:
        """Whether contributions exist: full - base is distinguishably above 0."""
        return any(arm.contribution is not None for arm in self.arms)

    @property
    def best(self) -> ArmScore | None:
        """The layer with the highest score, if any: see its `ranks` and its joint intervals."""
        return max(self.layers, key=lambda arm: arm.score.value, default=None)


def measure(
    name: str,
    tables: Mapping[_Name, Floats],
    num_layers: int,
    *,
    sharpened: Floats | None = None,
    seeds: Mapping[ArmName, Sequence[int]] | None = None,
) -> Measure:
    """Score all arms on one panel.

    Args:
        name: what the measure is called.
        tables: success rates (S, T) per arm; "base" and "full" among them.
        num_layers: of the model, for the thirds of its stack.
        sharpened: per-task scores (T,) that take the place of the base.
        seeds: numbers of the seeds in each arm's table; by default 0, 1, ...

    Raises:
        InputError: there is only one task.
    """
    named = {ArmName(arm): table for arm, table in tables.items()}
    if sharpened is not None:
        named[BASE] = sharpened[None]
    board = Board.of(named)
    return measure_board(name, board, num_layers, sharpened=sharpened is not None, seeds=seeds)


def measure_board(
    name: str,
    board: Board[ArmName],
    num_layers: int,
    *,
    sharpened: bool = False,
    seeds: Mapping[ArmName, Sequence[int]] | None = None,
) -> Measure:
    """Score all arms of a board; see `measure`.

    Args:
        name: what the measure is called.
        board: the arms; base and full among them.
        num_layers: of the model.
        sharpened: whether the board's base is the untrained base at its best temperature.
        seeds: numbers of the seeds in each arm's table; by default 0, 1, ...

    Raises:
        InputError: there is only one task.
    """
    if board.tasks < 2:
        raise InputError("a panel of one task tells nothing about others; score at least 2 tasks")
    named = board.tables
    layers = [arm for arm in board.tables if arm.layer is not None]
    gains, _ = board.differences(layers, BASE)
    weights = [_share(layers, third) for third in agreement.thirds(num_layers)]
    to_first, to_last = _middle(board, layers, weights)
    rates = np.array([named[arm].mean(axis=0) for arm in layers])
    best = agreement.held_out_best([named[a] for a in layers], seed=SEED) if layers else None
    return Measure(
        name=name,
        sharpened=sharpened,
        base=board.score(BASE),
        full=board.score(FULL),
        gain=board.difference(FULL, BASE),
        arms=_arm_scores(board, layers),
        thirds=tuple(float(w @ gains) if w.any() else None for w in weights),
        middle_less_first=to_first,
        middle_less_last=to_last,
        half_panel=agreement.split_half(rates, seed=SEED) if layers else None,
        single_seed=_single_seed({arm: named[arm] for arm in layers}, seeds),
        held_out_best=None if best is None else best - float(board.tables[BASE].mean()),
        controls=_controls(board, layers),
        panel_reliability=reliability(rates.T) if layers else None,
        seed_reliability=_seed_reliability({arm: named[arm] for arm in layers}, seeds),
    )


def _controls(board: Board[ArmName], layers: Sequence[ArmName]) -> tuple[Control, ...]:
    """Every layer against every control, all at once."""
    names = [arm for arm in board.tables if arm.is_control]
    if not layers or not names:
        return ()
    against = [board.differences(layers, name) for name in names]
    values = np.concatenate([value for value, _ in against])
    drawn = np.concatenate([draws for _, draws in against], axis=1)
    joint = stats.simultaneous(values, drawn, board.degrees)
    size = len(layers)
    return tuple(
        Control(
            arm=name,
            mean_layer=stats.interval(float(value.mean()), draws.mean(axis=1)),
            layers=tuple(joint[place * size : (place + 1) * size]),
        )
        for place, (name, (value, draws)) in enumerate(zip(names, against, strict=True))
    )


def _arm_scores(board: Board[ArmName], layers: Sequence[ArmName]) -> tuple[ArmScore, ...]:
    """All arms but base and full, compared with one another, base and full at once."""
    arms = [arm for arm in board.tables if arm not in (BASE, FULL)]
    gains, draws = board.differences(arms, BASE)
    (full,), full_draws = board.differences([FULL], BASE, risk=False)
    _, sure = board.differences(arms, BASE, risk=False)
    # An arm equal to full on every task is not known to contribute exactly 1.
    parts = (gains, float(full), sure + board.unseen(arms, FULL), full_draws[:, 0])
    ratios = stats.contribution_ratios(*parts)
    joint_ratios = stats.joint_contributions(*parts, board.degrees)
    joint = stats.simultaneous(gains, draws, board.degrees)
    versus = board.joint_differences(arms, FULL)
    ranks = board.ranks(layers)
    return tuple(
        ArmScore(
            arm=arm,
            layer=arm.layer,
            seeds=len(board.tables[arm]),
            score=board.score(arm),
            gain=board.difference(arm, BASE),
            contribution=ratios[place] if ratios else None,
            joint_gain=joint[place],
            joint_contribution=joint_ratios[place] if joint_ratios else None,
            against_full=versus[place],
            ranks=ranks.get(arm),
        )
        for place, arm in enumerate(arms)
    )


def _share(layers: Sequence[ArmName], third: range) -> Floats:
    inside = np.array([arm.layer in third for arm in layers], dtype=np.float64)
    return inside / inside.sum() if inside.any() else inside


def _middle(
    board: Board[ArmName], layers: Sequence[ArmName], weights: Sequence[Floats]
) -> tuple[Estimate | None, Estimate | None]:
    """The mean gain of the middle third minus that of the first, and of the last, both at once."""
    first, middle, last = weights
    ends = [end for end in (first, last) if middle.any() and end.any()]
    if not ends:
        return None, None
    gains, draws = board.differences(layers, BASE)
    contrasts = np.array([middle - end for end in ends]).T
    gaps = iter(stats.simultaneous(gains @ contrasts, draws @ contrasts, board.degrees))
    return next(gaps) if first.any() else None, next(gaps) if last.any() else None


def _common(
    tables: Mapping[ArmName, Floats], seeds: Mapping[ArmName, Sequence[int]] | None
) -> Floats | None:
    """Scores (S, L) of the seeds that all layers have; None with fewer than two of them."""
    scores = {
        arm: dict(zip(seeds[arm] if seeds else range(len(table)), table.mean(axis=1), strict=True))
        for arm, table in tables.items()
    }
    common = sorted(set.intersection(*map(set, scores.values()))) if scores else []
    if len(common) < 2:
        return None
    return np.array([[s[n] for s in scores.values()] for n in common])


def _single_seed(
    tables: Mapping[ArmName, Floats], seeds: Mapping[ArmName, Sequence[int]] | None
) -> float | None:
    """How far the rankings of single seeds agree, over the seeds that all layers have."""
    scores = _common(tables, seeds)
    return None if scores is None else agreement.between_seeds(scores)


def _seed_reliability(
    tables: Mapping[ArmName, Floats], seeds: Mapping[ArmName, Sequence[int]] | None
) -> Estimate | None:
    scores = _common(tables, seeds)
    return None if scores is None else reliability(scores)
