"""Layers that are drawn anew every so many steps, as LISA does (arXiv 2403.17919).

Embeddings, head and final norm train at every step, and of the decoder layers a few that are drawn
uniformly; the others rest, and AdamW's moments of theirs wait. Which ones follows from the run's
seed and the number of the step alone, so a resumed run draws as the uninterrupted one does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from torch import nn

from layergym.trainer.layers.grammar import Redrawn


def drawn(asked: Redrawn, num_layers: int, *, seed: int, step: int) -> tuple[int, ...]:
    """The decoder layers that train at a step, ascending.

    Args:
        asked: how many, and for how long.
        num_layers: of the model.
        seed: of the run.
        step: optimiser steps taken before.
    """
    rng = np.random.default_rng([seed, step // asked.every])
    return tuple(sorted(map(int, rng.choice(num_layers, asked.layers, replace=False))))


@contextmanager
def resting(layers: nn.ModuleList, awake: Sequence[int]) -> Iterator[None]:
    """Within it, of these layers only those that are `awake` get gradients."""
    still = [p for i, layer in enumerate(layers) if i not in awake for p in layer.parameters()]
    still = [p for p in still if p.requires_grad]
    for parameter in still:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in still:
            parameter.requires_grad_(True)
