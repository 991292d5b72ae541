"""One token from a row of logits."""

from __future__ import annotations

import torch
from torch import Tensor

AT_ONCE = 1 << 18
"""Logits that a CPU draws from at once, so that what is made of them stays in its cache."""


def draw(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """One token per row and its log-probability under the sampling distribution.

    The token is the inverse of the cumulative distribution of softmax(logits / temperature) at
    `uniform`, in float64; temperature 0 takes the likeliest, with log-probabilities at 1.

    Args:
        logits: (B, V) float32; a token at minus infinity is never drawn.
        uniform: (B,) in [0, 1), in the precision of the cumulative distribution.
        temperature: 0 or more.
    """
    rows = max(1, AT_ONCE // logits.shape[-1])
    if logits.device.type != "cpu" or len(logits) <= rows:
        return draw_at_once(logits, uniform, temperature)
    parts = zip(logits.split(rows), uniform.split(rows), strict=True)
    tokens, logprobs = zip(*(draw_at_once(*part, temperature) for part in parts), strict=True)
    return torch.cat(tokens), torch.cat(logprobs)


def draw_at_once(logits: Tensor, uniform: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """As `draw`, all rows together."""
    logprobs = torch.log_softmax(logits / temperature if temperature else logits, -1)
    if temperature == 0:
        token = logprobs.argmax(-1)
    else:
        mass = logprobs.exp().to(uniform.dtype).cumsum(-1)
        total = mass[:, -1]
        # Just below the total at most, so that a uniform near 1 lands on a token with mass.
        target = torch.minimum(uniform * total, torch.nextafter(total, torch.zeros_like(total)))
        token = torch.searchsorted(mass, target[:, None], right=True)[:, 0]
        token = token.clamp_(max=logits.shape[-1] - 1)
    return token, logprobs.gather(-1, token[:, None])[:, 0]
