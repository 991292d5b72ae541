"""What TRL logs of each pass, as it would log the whole optimiser step at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan

Logged = Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class PassLog:
    """The metrics of one pass, and how much it speaks for."""

    metrics: Logged
    tokens: float
    """Its share of the step's sampled tokens."""
    rows: float
    """Its share of the step's rows."""
    weight: float
    """Its share of the step's loss."""


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
