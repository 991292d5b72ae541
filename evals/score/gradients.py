"""Statistics of every layer's policy gradient at one model; nothing is updated.

norm     length of the mean gradient over groups
snr      squared length of the expected gradient over the variance of the mean, both unbiased
fisher   mean squared length of the gradient of a row's log-likelihood (empirical Fisher trace)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from layergym.base.errors import InputError
from layergym.evals.stats import Floats
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.rows.packing import Row, collate

FISHER_ROWS = 2
"""Rows of each group that the Fisher trace is estimated on."""


def layer_statistics(
    model: PreTrainedModel, groups: Sequence[Sequence[Row]], *, rows_per_pass: int
) -> dict[str, Floats]:
    """Gradient statistics of every decoder layer of `model`, which is left as it was.

    Args:
        model: the policy that sampled the rows.
        groups: rows of each group, with their advantages.
        rows_per_pass: bounds memory.

    Returns:
        "norm", "snr" and "fisher", each with one value per layer (L,).

    Raises:
        InputError: fewer than two groups have an advantage other than 0.
    """
    layers = [[p for p in layer.parameters() if p.requires_grad] for layer in decoder_layers(model)]
    if sum(any(any(row.advantages) for row in rows) for rows in groups) < 2:
        raise InputError("fewer than two groups have anything to teach; give more tasks per step")
    sums = [torch.zeros(sum(p.numel() for p in layer)) for layer in layers]
    squares, fisher, scored = np.zeros(len(layers)), np.zeros(len(layers)), 0
    for rows in groups:
        gradients = _gradients(model, layers, rows, rows_per_pass, credited=True)
        for place, gradient in enumerate(gradients):
            sums[place] += gradient
            squares[place] += float(gradient.square().sum())
        for row in rows[:FISHER_ROWS]:
            alone = _gradients(model, layers, [row], 1, credited=False)
            fisher += [float(gradient.square().sum()) for gradient in alone]
            scored += 1
    count = len(groups)
    mean = np.array([float((total / count).square().sum()) for total in sums])
    noise = np.maximum((squares / count - mean) / (count - 1), 1e-30)
    return {
        "norm": np.sqrt(mean),
        "snr": (mean - noise) / noise,
        "fisher": fisher / max(scored, 1),
    }


def _gradients(
    model: PreTrainedModel,
    layers: Sequence[Sequence[torch.nn.Parameter]],
    rows: Sequence[Row],
    size: int,
    *,
    credited: bool,
) -> list[torch.Tensor]:
    """Per layer the gradient of the log-likelihood of sampled tokens, by their advantages if so."""
    model.zero_grad(set_to_none=True)
    for start in range(0, len(rows), size):
        batch = collate(rows[start : start + size])
        ids = batch.ids.to(model.device)
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()
        chosen = logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0]
        weight = batch.advantages if credited else batch.sampled.float()
        (chosen * weight[:, 1:].to(model.device)).sum().backward()
    gradients = [torch.cat([_flat(p) for p in layer]) for layer in layers]
    model.zero_grad(set_to_none=True)
    return gradients


def _flat(parameter: torch.nn.Parameter) -> torch.Tensor:
    gradient = parameter.grad
    if gradient is None:
        return torch.zeros(parameter.numel())
    return gradient.detach().float().reshape(-1).cpu()
