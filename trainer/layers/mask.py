"""Single entries that train: drawn at random, or those that another run has changed.

As many scalars as a layer has, scattered over the matrices of all decoder layers, are the baseline
of the scripts of arXiv 2607.01232: the control for "one layer". Gradients of all other entries are
put to zero before they are accumulated, so that clipping and the optimiser's state see the chosen
entries only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from layergym.base.errors import InputError
from layergym.trainer.layers.delta import LayerDelta, full_precision


def draw_mask(
    model: nn.Module, names: Sequence[str], entries: int, seed: int
) -> dict[str, torch.Tensor]:
    """Draw the entries that train, uniformly and exactly `entries` of them.

    Args:
        model: whose parameters `names` names.
        names: of the tensors over which they are scattered.
        entries: how many.
        seed: the same seed draws the same entries.

    Returns:
        Per parameter a bool tensor of its shape on its device, True where it stays frozen.
    """
    generator = np.random.default_rng([seed, entries])
    parameters = dict(model.named_parameters())
    sizes = [parameters[name].numel() for name in names]
    ends = np.cumsum(sizes)
    drawn = _drawn(generator, int(ends[-1]), entries)
    cuts = np.searchsorted(drawn, [0, *ends])
    frozen = {}
    for i, (name, size) in enumerate(zip(names, sizes, strict=True)):
        mask = torch.ones(size, dtype=torch.bool)
        mask[torch.from_numpy(drawn[cuts[i] : cuts[i + 1]] - (ends[i] - size))] = False
        parameter = parameters[name]
        frozen[name] = mask.view(parameter.shape).to(parameter.device)
    return frozen


def unchanged(
    model: nn.Module, delta: LayerDelta, *, bfloat16: bool = False
) -> dict[str, torch.Tensor]:
    """Which entries of `model`, the base of `delta`, the delta leaves as they are.

    Args:
        model: with nothing applied.
        delta: what another run has trained.
        bfloat16: count only changes that are left when old and new are rounded to bfloat16.

    Returns:
        As `draw_mask`; of tensors with a changed entry only.

    Raises:
        InputError: the delta fits another model, or changes no entry.
    """
    parameters = dict(model.named_parameters())
    frozen = {}
    for name in sorted(delta.changes):
        old = full_precision(parameters[name].detach()).cpu() if name in parameters else None
        new = None if old is None else delta.value(name, old)
        if old is None or new is None or old.shape != new.shape:
            raise InputError(
                f"the delta changes {name}, which this model has not, or otherwise; "
                "take a delta of this base"
            )
        same = new.bfloat16() == old.bfloat16() if bfloat16 else new == old
        if not bool(same.all()):
            frozen[name] = same.to(parameters[name].device)
    if not frozen:
        raise InputError(
            "the delta changes no entry of this model, so there is none to train; "
            "take another delta"
        )
    return frozen


def _drawn(generator: np.random.Generator, total: int, count: int) -> NDArray[np.int64]:
    """`count` different numbers below `total`, ascending; every such set is equally likely.

    Those drawn twice are drawn again: no memory for all of `total`, which may be billions.
    """
    drawn = np.empty(0, np.int64)
    while missing := count - len(drawn):
        drawn = np.unique(np.concatenate([drawn, generator.integers(total, size=missing)]))
    return drawn


def mask_gradients(model: nn.Module, frozen: Mapping[str, torch.Tensor]) -> None:
    """Let only the entries outside `frozen` receive gradients, from now on."""
    parameters = dict(model.named_parameters())
    for name, mask in frozen.items():
        parameters[name].register_hook(partial(torch.Tensor.masked_fill, mask=mask, value=0))
