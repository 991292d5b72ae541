"""What a run leaves on disk, as frozen values: evaluations, costs, runs and sweeps."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from layergym.base.errors import InputError
from layergym.evals.arms import ArmName
from layergym.evals.asked import SweepSettings

Scored = Literal["success", "reward"]
"""What a score is the mean of: whether episodes succeed, or their returns, from 0 to 1."""
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class EvalResult:
    """Every episode of one arm on one panel at one temperature, so that scores can be paired.

    `success`, `reward` and `turns` are indexed [task][repeat]; every task has equally many repeats.
    """

    env_id: str
    split: str
    panel_hash: str
    arm: str
    seed: int
    """The seed of the reinforcement learning run that is scored."""
    temperature: float
    """Sampling temperature; 0 is greedy."""
    tasks: tuple[str, ...]
    kinds: tuple[str, ...]
    success: tuple[tuple[bool, ...], ...]
    reward: tuple[tuple[float, ...], ...]
    """Undiscounted return of each episode."""
    turns: tuple[tuple[int, ...], ...]
    errors: int = 0
    """Episodes that ended in an error; the tables count them as lost."""
    out_of_context: int = 0
    """Episodes that ended because the model's context was full; they count as they stood."""
    shortened: int = 0
    """Episodes whose prompts left out the oldest turns because the model's context was full."""
    scored: Scored = "success"

    def __post_init__(self) -> None:
        """Refuse an empty panel, a task scored twice and ragged tables."""
        if not self.tasks or len(set(self.tasks)) != len(self.tasks):
            raise InputError(f"arm {self.arm}: an evaluation needs tasks, each of them once")
        if len(self.kinds) != len(self.tasks):
            raise InputError(f"arm {self.arm}: {len(self.kinds)} kinds, {len(self.tasks)} tasks")
        repeats = len(self.success[0]) if self.success else 0
        for name in ("success", "reward", "turns"):
            rows = getattr(self, name)
            if len(rows) != len(self.tasks) or not repeats or {len(r) for r in rows} != {repeats}:
                raise InputError(
                    f"arm {self.arm}: {name} is not a table of {len(self.tasks)} tasks "
                    f"by {max(repeats, 1)} repeats"
                )
        counts = (self.errors, self.out_of_context, self.shortened)
        if min(counts) < 0 or max(self.cut, self.shortened) > len(self.tasks) * repeats:
            raise InputError(
                f"arm {self.arm}: its counts of errors, episodes out of context and shortened "
                f"ones cannot be right, of {len(self.tasks) * repeats} episodes; score it again"
            )
        if self.scored not in get_args(Scored):
            raise InputError(f"arm {self.arm}: a score is of success or reward, not {self.scored}")
        if self.scored == "reward" and not all(0 <= v <= 1 for row in self.reward for v in row):
            raise InputError(
                f"arm {self.arm}: returns lie outside 0 to 1, so their mean cannot be a score; "
                "score success"
            )
        if not math.isfinite(self.temperature) or self.temperature < 0:
            raise InputError(f"arm {self.arm}: a temperature is 0 or more, not {self.temperature}")

    @property
    def name(self) -> str:
        """The name of its file: "greedy", "t0.5", "t1.0"."""
        return score_name(self.temperature)

    @property
    def cut(self) -> int:
        """Episodes that ended in an error or out of context."""
        return self.errors + self.out_of_context

    @property
    def repeats(self) -> int:
        """Episodes per task."""
        return len(self.success[0])

    @cached_property
    def rates(self) -> Floats:
        """Scores of the tasks, from 0 to 1: success rates or mean returns, one per task."""
        table = self.success if self.scored == "success" else self.reward
        rates: Floats = np.asarray(table, dtype=np.float64).mean(axis=1)
        return rates


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run took; a field is None when it was not measured."""

    train_s: float | None = None
    rollout_s: float | None = None
    update_s: float | None = None
    eval_s: float | None = None
    tokens: float | None = None
    """Tokens sampled in training."""
    peak_memory_bytes: float | None = None
    trainable_parameters: float | None = None
    checkpoint_bytes: float | None = None


@dataclass(frozen=True)
class Run:
    """One run folder as it was read. A run that is still going lacks evaluations."""

    path: Path
    arm: ArmName
    seed: int
    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    metrics: tuple[Mapping[str, Any], ...]
    cost: Cost
    evals: tuple[EvalResult, ...]


@dataclass(frozen=True)
class Sweep:
    """One sweep folder as it was read: its settings and all its runs, by arm and seed."""

    path: Path
    settings: Mapping[str, Any]
    """As `sweep.json` has them, to be shown; `asked` is what to read."""
    manifest: Mapping[str, Any]
    runs: tuple[Run, ...]

    @property
    def arms(self) -> tuple[ArmName, ...]:
        """Arms: base, full, the layers by index, then the others by name."""
        return tuple(sorted({run.arm for run in self.runs}, key=lambda arm: arm.order))

    def results(self, arm: str, temperature: float) -> tuple[EvalResult, ...]:
        """Evaluations of `arm` at `temperature`, one per seed, by seed; none of stopped runs."""
        return tuple(
            result
            for run in self.runs
            if run.arm == arm and not run.manifest.get("stopped")
            for result in run.evals
            if result.temperature == temperature
        )

    def temperatures(self, arm: str) -> tuple[float, ...]:
        """Temperatures at which `arm` was scored, falling; 0 is greedy."""
        own = [run for run in self.runs if run.arm == arm and not run.manifest.get("stopped")]
        sampled = {result.temperature for run in own for result in run.evals}
        return tuple(sorted(sampled, reverse=True))

    @property
    def selective(self) -> bool:
        """Whether scores decided which layers were trained to the end (a scan, or a race)."""
        return bool(self.asked.scan) or any(run.manifest.get("stopped") for run in self.runs)

    @cached_property
    def asked(self) -> SweepSettings:
        """The settings in typed form.

        Raises:
            InputError: one of them cannot be.
        """
        try:
            return SweepSettings.of(self.settings)
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from None

    @property
    def panel(self) -> EvalResult | None:
        """Any evaluation, for what all of them share: tasks, kinds, panel hash."""
        return next((result for run in self.runs for result in run.evals), None)


def cut_short(errors: int, out_of_context: int, shortened: int = 0) -> str:
    """How many episodes were cut short, by what: "3 errors, 1 out of context"; "" for none."""
    parts = [f"{errors} error{'s' * (errors > 1)}"] * bool(errors)
    parts += [f"{out_of_context} out of context"] * bool(out_of_context)
    parts += [f"{shortened} with a shortened history"] * bool(shortened)
    return ", ".join(parts)


def score_name(temperature: float) -> str:
    """What an evaluation at a temperature is called: "greedy", "t0.5", "t1.0"."""
    return "greedy" if temperature == 0 else f"t{float(temperature)}"
