"""One piece of a sweep's work."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.spec import ArmRun


@dataclass(frozen=True, slots=True)
class SweepJob:
    """Bring one arm to its end or, with `look`, to that step, and score it there."""

    arm: ArmRun
    eval: EvalSpec
    look: int | None = None
    deadline: float | None = None
    """Time (seconds since the epoch) after which training pauses at its next step."""
    report_to: tuple[str, ...] = ()
    """Trackers that the run reports to (`trainer.callbacks.TRACKERS`)."""

    @property
    def folder(self) -> Path:
        """The run's folder; never more than one job works in it."""
        return self.arm.folder

    def __str__(self) -> str:
        """Name the run in a sentence."""
        return f"{self.arm.name}, seed {self.arm.run.seed}"
