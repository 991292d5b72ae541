"""What a sweep decides on its way, and the development panel on which it decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

from layergym.base.errors import InputError
from layergym.base.numbers import Bounds, check_numbers
from layergym.evals.sweep.panels import EvalSpec

TASKS = 32
"""A development panel smaller than this cannot carry a race."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Which layers are run, how far, and at which learning rates; by default all, to the end."""

    BOUNDS: ClassVar[Mapping[str, Bounds]] = {
        "scan": Bounds(0, 1_000_000, whole=True),
        "race": Bounds(1, 1_000_000, whole=True),
        "lr_grid": Bounds(0, 100, above=True),
    }
    scan: int = 0
    """Train every n-th layer first, then the layers around the best; 0 trains all."""
    race: tuple[int, ...] = ()
    """Steps at which layers that are clearly behind are stopped."""
    lr_grid: tuple[float, ...] = ()
    """Learning rates that are tried for all parameters and for the middle layer, before the sweep;
    the best are used."""
    dev: EvalSpec = field(default_factory=lambda: EvalSpec(split="valid", size=64))
    """The panel of all these decisions; its tasks are not those of the final score."""

    def __post_init__(self) -> None:
        """Refuse numbers that cannot be.

        Raises:
            InputError: there is one.
        """
        check_numbers(self, self.BOUNDS)

    @property
    def active(self) -> bool:
        """Whether anything is decided on the way."""
        return bool(self.scan or self.race or self.lr_grid)

    def looks(self, steps: int) -> tuple[int, ...]:
        """Steps at which every layer is scored on the development panel."""
        return (*self.race, steps) if self.scan else self.race

    def check(self, steps: int, final: EvalSpec) -> None:
        """Refuse settings that cannot be carried out in a sweep of `steps` steps.

        Raises:
            InputError: a setting is out of range, or decisions would see the final panel.
        """
        if self.scan == 1:
            raise InputError(f"a scan takes every n-th layer, n at least 2, not {self.scan}")
        if any(not 0 < step < steps for step in self.race) or any(
            a >= b for a, b in pairwise(self.race)
        ):
            shown = ", ".join(map(str, self.race))
            raise InputError(
                f"looks of a race rise and lie below {steps} steps, not {shown}; mend --race"
            )
        if self.race and (self.dev.size or TASKS) < TASKS:
            raise InputError(f"a race needs a development panel of {TASKS} tasks or more")
        if self.lr_grid and len(set(self.lr_grid)) < 2:
            raise InputError(
                "a grid takes two or more different learning rates; give more, "
                "or --lr-full and --lr-layer"
            )
        if self.active and self.dev.split == final.split:
            raise InputError(
                f"decisions and final scores need different tasks; both are of the "
                f"{final.split} split: give another --dev-split"
            )
