"""How far a training run is: what its view draws."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from layergym.trainer.spec import RunSpec

_RECENT = 20
"""Steps over which the time of the next ones is estimated."""


@dataclass(slots=True)
class RunState:
    """How far a run is."""

    spec: RunSpec
    folder: Path
    num_layers: int
    rows: Sequence[Mapping[str, float]]
    """Lines of the metrics file, those of an earlier call included."""
    turns: Counter[int] = field(default_factory=Counter)
    """Turns by episode in the rollout that is being played."""
    notice: str = ""
    started: float = field(default_factory=time.monotonic)
    ends: list[float] = field(default_factory=list)
    """When each step of this call ended."""

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def elapsed_s(self) -> float:
        """Of this call."""
        return time.monotonic() - self.started

    @property
    def left_s(self) -> float | None:
        """Estimate from the last steps of this call; None before the first."""
        if not self.ends:
            return None
        ends = [self.started, *self.ends][-_RECENT:]
        # The first step of a call also pays for loading: leave it out once there is another.
        ends = ends[1:] if len(ends) > 2 else ends
        return (self.spec.steps - self.step) * (ends[-1] - ends[0]) / (len(ends) - 1)
