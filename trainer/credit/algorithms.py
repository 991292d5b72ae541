"""What an algorithm credits each turn with: one frozen value, one table, one result.

A new algorithm is one entry of `ALGORITHMS`; nothing else is edited::

    ALGORITHMS["mine"] = Algorithm(each(lambda group, credit: ...), reads=frozenset({"gamma"}))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from math import isfinite
from typing import Any, ClassVar, Literal

from layergym.agents.types import Group
from layergym.base.errors import InputError, unknown
from layergym.base.numbers import Bounds, check_numbers
from layergym.trainer.credit.advantages import (
    Advantages,
    Compat,
    batch_grpo,
    comparable,
    dr_grpo,
    gigpo,
    grpo,
    penalise,
    rloo,
)
from layergym.trainer.credit.graphgpo import graphgpo
from layergym.trainer.credit.hgpo import hgpo

Norm = Literal["std", "none", "batch"]
"""What differences are divided by: the group's standard deviation, 1, or (GRPO) the standard
deviation over all groups of a rollout."""


@dataclass(frozen=True, slots=True)
class Credit:
    """All settings that decide about advantages."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        "gamma": Bounds(0, 1),
        "omega": Bounds(0),
        "invalid_penalty": Bounds(0),
        "similarity": Bounds(0, 1, optional=True),
        "history": Bounds(0, 1000, whole=True),
        "alpha": Bounds(0),
    }
    algorithm: str = "gigpo"
    """How turns are credited, by name."""
    gamma: float = 0.95
    """Discount of later rewards, per turn; GraphGPO: what a turn's worth falls by with every edge
    between it and success."""
    omega: float = 1.0
    """GiGPO, GraphGPO: weight of the step advantage."""
    norm: Norm = "std"
    """What differences of rewards are divided by."""
    invalid_penalty: float = 0.0
    """Taken off the reward of every invalid action."""
    similarity: float | None = None
    """GiGPO: state keys are one state where their `difflib` ratio reaches this; None: where they
    are equal."""
    history: int = 2
    """HGPO: how many earlier states turns that are compared may share."""
    alpha: float = 1.0
    """HGPO: how much more a longer shared history weighs."""
    compat: Compat | None = None
    """Give credit as that implementation does. "verl-agent": episode statistics over turns, 1e-6
    added to deviations, and the penalty taken off after discounting, on the invalid turn alone."""

    def __post_init__(self) -> None:
        """Refuse what the algorithm cannot use.

        Raises:
            InputError: a setting is unknown, out of range, or one that the algorithm does not read.
        """
        if self.algorithm not in ALGORITHMS:
            raise unknown("algorithm", self.algorithm, ALGORITHMS)
        check_numbers(self, self.BOUNDS)
        if self.compat not in (None, "verl-agent"):
            raise unknown("compat", str(self.compat), ("verl-agent",))
        if self.norm not in ("std", "none", "batch"):
            raise unknown("norm", str(self.norm), ("std", "none", "batch"))
        self._check_use()

    def _check_use(self) -> None:
        entry = ALGORITHMS[self.algorithm]
        for setting in fields(self):
            name, value = setting.name, getattr(self, setting.name)
            changed = setting.default is not MISSING and value != setting.default
            if changed and name not in entry.reads | {"algorithm", "invalid_penalty"}:
                raise InputError(
                    f"{self.algorithm} does not use {name}={value!r}; leave it out, or take "
                    "another algorithm"
                )
        if self.norm == "batch" and (not entry.batch or self.compat):
            raise InputError('norm "batch" is for grpo without compat; take "std" or "none"')


Give = Callable[[Sequence[Group], Credit], Sequence[Advantages]]
"""Advantages of every group of a rollout, in order. The penalty is in the rewards already, except
with `compat`, when the algorithm takes it off itself."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to give credit."""

    give: Give
    reads: frozenset[str] = frozenset()
    """The fields of `Credit` that it uses; all may set `invalid_penalty`."""
    batch: bool = False
    """Whether it knows norm "batch"."""
    loss: Mapping[str, Any] = field(default_factory=dict)
    """Settings of TRL's loss that belong to it, where no others are given."""


def each(formula: Callable[[Group, Credit], Advantages]) -> Give:
    """An algorithm that looks at one group at a time."""
    return lambda groups, credit: [formula(group, credit) for group in groups]


def _gigpo(group: Group, credit: Credit, omega: float | None = None) -> Advantages:
    return gigpo(
        group,
        gamma=credit.gamma,
        omega=credit.omega if omega is None else omega,
        norm="none" if credit.norm == "none" else "std",
        penalty=credit.invalid_penalty if credit.compat else 0.0,
        similarity=credit.similarity,
        compat=credit.compat,
    )


def _hgpo(group: Group, credit: Credit) -> Advantages:
    return hgpo(
        group,
        gamma=credit.gamma,
        history=credit.history,
        alpha=credit.alpha,
        norm="none" if credit.norm == "none" else "std",
    )


def _graphgpo(group: Group, credit: Credit) -> Advantages:
    return graphgpo(
        group,
        gamma=credit.gamma,
        omega=credit.omega,
        norm="none" if credit.norm == "none" else "std",
        penalty=credit.invalid_penalty if credit.compat else 0.0,
        compat=credit.compat,
    )


def _grpo(groups: Sequence[Group], credit: Credit) -> Sequence[Advantages]:
    if credit.norm == "batch":
        return batch_grpo(groups)
    if credit.compat:  # verl-agent's GRPO is its GiGPO without step advantages.
        return [_gigpo(group, credit, omega=0.0) for group in groups]
    return [dr_grpo(group) if credit.norm == "none" else grpo(group) for group in groups]


ALGORITHMS: dict[str, Algorithm] = {
    "gigpo": Algorithm(each(_gigpo), frozenset({"gamma", "omega", "norm", "similarity", "compat"})),
    "grpo": Algorithm(_grpo, frozenset({"norm", "compat"}), batch=True),
    "dr_grpo": Algorithm(each(lambda group, _: dr_grpo(group)), loss={"loss_type": "dr_grpo"}),
    "rloo": Algorithm(each(lambda group, _: rloo(group))),
    "hgpo": Algorithm(each(_hgpo), frozenset({"gamma", "norm", "history", "alpha"})),
    "dapo": Algorithm(
        _grpo,
        frozenset({"norm"}),
        batch=True,
        loss={"epsilon_high": 0.28, "mask_truncated_completions": True},
    ),
    "gspo": Algorithm(
        _grpo,
        frozenset({"norm"}),
        batch=True,
        loss={
            "loss_type": "grpo",
            "importance_sampling_level": "sequence",
            "epsilon": 3e-4,
            "epsilon_high": 4e-4,
        },
    ),
    "graphgpo": Algorithm(each(_graphgpo), frozenset({"gamma", "omega", "norm", "compat"})),
}


@dataclass(frozen=True, slots=True)
class Compared:
    """A group as it was played, and as its episodes are compared."""

    group: Group
    penalised: Group = field(repr=False)
    """The group with the penalty for invalid actions subtracted from the rewards."""

    @classmethod
    def of(cls, group: Group, credit: Credit) -> Compared:
        """Take the penalty off once, for all who compare."""
        return cls(group, penalise(group, credit.invalid_penalty))


@dataclass(frozen=True, slots=True)
class Credited:
    """A group and what each of its turns is credited with."""

    group: Group
    """The group as it was played."""
    advantages: Advantages


def give_credit(groups: Sequence[Compared], credit: Credit) -> list[Credited]:
    """Credit every turn of a rollout's groups.

    Raises:
        InputError: rewards are so large, or no numbers at all, that they cannot be compared.
    """
    give = ALGORITHMS[credit.algorithm].give
    try:
        given = give([g.group if credit.compat else g.penalised for g in groups], credit)
    except OverflowError:
        raise _incomparable(groups) from None
    for group, advantages in zip(groups, given, strict=True):
        if not all(isfinite(value) for row in advantages for value in row):
            raise _incomparable([group])
    return [Credited(g.group, a) for g, a in zip(groups, given, strict=True)]


def _incomparable(groups: Sequence[Compared]) -> InputError:
    kept = [t for g in groups for t in comparable(g.group)]
    largest = max((abs(turn.reward) for t in kept for turn in t.turns), default=0.0)
    return InputError(
        f"the rewards of task {groups[0].group.trajectories[0].task} cannot be compared: they "
        f"reach {largest:g}; an environment's rewards must be finite and of ordinary size"
    )
