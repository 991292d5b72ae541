"""Numbers that training must not go on with."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch

from layergym.base.errors import Diverged


def check_step(step: int, values: Mapping[str, float]) -> None:
    """Refuse an optimiser step before it is taken.

    Args:
        step: its number, from 1.
        values: loss and gradient norms, by name.

    Raises:
        Diverged: one of them is not finite.
    """
    wrong = [f"{name} {value}" for name, value in values.items() if not isfinite(value)]
    if wrong:
        raise Diverged(
            f"step {step} was not taken, for its {wrong[0]} is not a finite number; the weights "
            "and the last checkpoint are as they were. Look at the rewards of this step, and begin "
            "again with a lower learning rate"
        )


def check_tensors(tensors: Mapping[str, torch.Tensor]) -> None:
    """Refuse trained weights that would be kept.

    Raises:
        Diverged: one holds NaN or infinity.
    """
    for name, tensor in tensors.items():
        if not bool(torch.isfinite(tensor).all()):
            raise Diverged(
                f"{name} is no longer finite, so training has diverged and nothing is saved; begin "
                "again with a lower learning rate"
            )


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `values` that are numbers: no NaN, no infinity, no None."""
    return {name: v for name, v in values.items() if v is not None and isfinite(v)}
