"""What arms are scored on: the final panel, and the development panel of decisions on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, get_args

from layergym.base.errors import InputError
from layergym.base.numbers import Bounds, check_numbers
from layergym.envs import Panel, panel
from layergym.evals.results import Scored
from layergym.trainer.spec import RunSpec, make_env_of


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSpec:
    """What every arm is scored on."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        "size": Bounds(1, 100_000, whole=True, optional=True),
        "repeats": Bounds(1, 10_000, whole=True),
        "temperatures": Bounds(0, 100),
        "base_temperatures": Bounds(0, 100),
        "skip": Bounds(0, 100_000, whole=True),
        "seed": Bounds(0, 2**63 - 1, whole=True),
    }
    split: str = "test"
    """Split of the panel."""
    size: int | None = None
    """Tasks of the panel; None: all."""
    skip: int = 0
    """Tasks, those of a panel of this size, that are left out: they were used for a choice."""
    repeats: int = 2
    """Episodes per task at a temperature above 0; greedy plays each task once."""
    temperatures: tuple[float, ...] = (1.0, 0.0)
    """Sampling temperatures at which trained models are scored; 0 is greedy."""
    base_temperatures: tuple[float, ...] = (1.0, 0.7, 0.5, 0.25, 0.0)
    """The untrained model is scored at all of these: how much of a gain is only sharpening?"""
    seed: int = 0
    """Seed of the episodes, the same for all arms."""
    score: Scored = "success"
    """What a score is the mean of; returns must lie between 0 and 1 (WebShop, code)."""

    def __post_init__(self) -> None:
        """Refuse what no score could be made of.

        Raises:
            InputError: there are too few tasks, or a number cannot be.
        """
        if type(self.size) is int and self.size in (0, 1):
            raise InputError(
                f"a panel has 2 tasks or more, not {self.size}: one tells nothing about others"
            )
        check_numbers(self, self.BOUNDS)
        if self.score not in get_args(Scored):
            raise InputError(f'a score is of "success" or "reward", not "{self.score}"')

    def episodes_at(self, temperature: float) -> int:
        """Episodes per task at a temperature: greedy, all would be the same."""
        return self.repeats if temperature else 1


def scored_panel(run: RunSpec, spec: EvalSpec) -> Panel:
    """The tasks that `spec` names."""
    return panel(make_env_of(run, spec.split)(), spec.size, skip=spec.skip)


def dev_split(run: RunSpec) -> str:
    """The split of the development panel: "valid" where the environment has it, else "train"."""
    try:
        scored_panel(run, EvalSpec(split="valid"))
    except InputError:
        return "train"
    return "valid"
