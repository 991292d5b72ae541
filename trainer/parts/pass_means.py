"""What TRL logs of each pass, as it would log the whole optimiser step at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isnan

Logs = defaultdict[str, list[float]]
"""Values by name, as TRL keeps them."""


@dataclass(frozen=True, slots=True)
class PassLog:
    """The metrics of one pass, and how much it speaks for."""

    metrics: Mapping[str, Sequence[float]]
    tokens: float
    """Its share of the step's sampled tokens."""
    rows: float
    """Its share of the step's rows."""
    weight: float
    """Its share of the step's loss."""


@contextmanager
def logged_apart(metrics: dict[str, Logs]) -> Iterator[Logs]:
    """Within it, what TRL logs of training goes to the mapping that this gives.

    Args:
        metrics: TRL's, by mode; as they were before once this is over.
    """
    of_the_step, metrics["train"] = metrics["train"], defaultdict(list)
    try:
        yield metrics["train"]
    finally:
        metrics["train"] = of_the_step


def over_passes(logs: Sequence[PassLog], *, per_row: bool) -> dict[str, float]:
    """One value for each metric: a mean weighted by what it averages, a minimum, or a maximum.

    Args:
        logs: all passes of an optimiser step.
        per_row: whether clip ratios are means over rows (importance sampling by sequence).
    """
    names = {name for log in logs for name in log.metrics}
    return {name: value for name in sorted(names) if not isnan(value := _one(logs, name, per_row))}


def _one(logs: Sequence[PassLog], name: str, per_row: bool) -> float:
    held = [(value, log) for log in logs for value in log.metrics.get(name, ())]
    held = [(value, log) for value, log in held if not isnan(value)]
    values = [value for value, _ in held]
    if not values:
        return float("nan")
    if name.endswith("_min"):
        return min(values)
    if name.endswith("_max"):
        return max(values)
    if name == "policy_loss":  # a sum of shares, as the loss is
        return sum(value * log.weight for value, log in held)
    weights = [_weight(log, name, per_row) for _, log in held]
    total = sum(weights)
    return sum(v * w for v, w in zip(values, weights, strict=True)) / total if total else values[0]


def _weight(log: PassLog, name: str, per_row: bool) -> float:
    if name == "aux_loss" or (per_row and ("clip_ratio" in name or "phi_seq" in name)):
        return log.rows
    return log.weight if name == "entropy_coef" else log.tokens
