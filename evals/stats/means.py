"""Means over the runs of one arm: what they cost, and how they learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from layergym.evals.results import Cost, Run

HIGHEST = 1e15
"""Logged values beyond it are faults, and are left out."""


def mean_cost(runs: Sequence[Run]) -> Cost:
    """Mean cost of a run; a field is None where no run measured it."""
    return Cost(**{field.name: _mean(runs, field.name) for field in fields(Cost)})


def learning_curve(runs: Sequence[Run], key: str) -> dict[float, float]:
    """A logged value by step, mean over the runs that logged it."""
    by_step: dict[float, list[float]] = {}
    for run in runs:
        for row in run.metrics:
            step, value = logged(row.get("step")), logged(row.get(key))
            if step is not None and value is not None:
                by_step.setdefault(step, []).append(value)
    return {step: float(np.mean(values)) for step, values in sorted(by_step.items())}


def logged(value: Any) -> float | None:
    """A logged value, where it is a number of ordinary size."""
    return float(value) if isinstance(value, int | float) and abs(value) < HIGHEST else None


def _mean(runs: Sequence[Run], name: str) -> float | None:
    values = [value for run in runs if (value := getattr(run.cost, name)) is not None]
    return float(np.mean(values)) if values else None
