"""A random subset of single entries that trains: the control for "one layer".

The baseline of the scripts of arXiv 2607.01232: as many scalars as a layer has, scattered over the
matrices of all decoder layers. Gradients of all other entries are put to zero before they are
accumulated, so that clipping and the optimiser's state see the chosen entries only.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from layergym.trainer.layers.selection import LayerSelection


def draw_mask(model: nn.Module, selection: LayerSelection, seed: int) -> dict[str, torch.Tensor]:
    """Draw the entries that train, uniformly and exactly `selection.entries` of them.

    Args:
        model: whose parameters `selection.names` names.
        selection: of "random" or "random:k".
        seed: the same seed draws the same entries.

    Returns:
        Per parameter a bool tensor of its shape on its device, True where it stays frozen.
    """
    assert selection.entries is not None
    generator = np.random.default_rng([seed, selection.entries])
    parameters = dict(model.named_parameters())
    sizes = [parameters[name].numel() for name in selection.names]
    ends = np.cumsum(sizes)
    drawn = _drawn(generator, int(ends[-1]), selection.entries)
    cuts = np.searchsorted(drawn, [0, *ends])
    frozen = {}
    for i, (name, size) in enumerate(zip(selection.names, sizes, strict=True)):
        mask = torch.ones(size, dtype=torch.bool)
        mask[torch.from_numpy(drawn[cuts[i] : cuts[i + 1]] - (ends[i] - size))] = False
        parameter = parameters[name]
        frozen[name] = mask.view(parameter.shape).to(parameter.device)
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
