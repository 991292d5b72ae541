"""How far training moved each layer of a run, from what the run logged at its last step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layergym.evals.arms import ArmName
from layergym.evals.results import Run

CHANGE = "change/"
"""Log keys of the trainer: the length of a layer's change as a share of that of its weights."""
OTHER = "other"
"""What is in no layer: embeddings, final norm and head."""


def moved(run: Run) -> dict[str, float]:
    """Frobenius norm of each layer's change over that of its weights at the start.

    By "layer_3" and, for all parameters, "other". The trainer compares a sample of the entries of
    tensors above `trainer.parts.updates.SAMPLE` entries. Empty for adapters and single entries,
    whose changes are not those of whole weights, and for runs that logged no changes.
    """
    layers = str(run.config.get("layers", ""))
    partial = run.config.get("lora") or layers.startswith(("random", "mask:"))
    last: Mapping[str, Any] = run.metrics[-1] if run.metrics and not partial else {}
    return {
        key.removeprefix(CHANGE): float(value)
        for key, value in last.items()
        if key.startswith(CHANGE) and isinstance(value, int | float) and 0 <= value < float("inf")
    }


def mean_moved(runs: Sequence[Run]) -> dict[ArmName, dict[str, float]]:
    """`moved`, mean over the seeds of each arm; arms without any are left out."""
    shares_of: dict[ArmName, dict[str, list[float]]] = {}
    for run in runs:
        for name, share in moved(run).items():
            shares_of.setdefault(run.arm, {}).setdefault(name, []).append(share)
    return {
        arm: {name: float(np.mean(shares)) for name, shares in by_layer.items()}
        for arm, by_layer in shares_of.items()
    }
