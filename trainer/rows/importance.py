"""How far the trainer's probabilities are from those of the engine that sampled.

TRL's correction for rollouts by vLLM (`GRPOConfig.vllm_importance_sampling_*`): a policy-gradient
term is multiplied by w = p(trainer) / p(sampler), per token or per row, cut off ("truncate") or
dropped ("mask") outside its bounds.

Shapes: B rows, T tokens of the longest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from layergym.base.errors import unknown

MODES = ("sequence_mask", "sequence_truncate", "token_mask", "token_truncate")


@dataclass(frozen=True, slots=True)
class Importance:
    """How sampled tokens are weighed."""

    mode: str = "sequence_mask"
    low: float | None = None
    high: float | None = 3.0

    def __post_init__(self) -> None:
        """Refuse an unknown mode.

        Raises:
            InputError: it is none of `MODES`.
        """
        if self.mode not in MODES:
            raise unknown("vllm_importance_sampling_mode", self.mode, MODES)

    def weights(
        self, trainer: torch.Tensor, sampler: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """The weights (B, T), or (B, 1) in a mode per sequence.

        Args:
            trainer: (B, T) log-probabilities before the update.
            sampler: (B, T) log-probabilities of the engine; NaN where it gave none.
            mask: (B, T) 1 on sampled tokens.
        """
        difference = torch.nan_to_num((trainer - sampler) * mask, nan=0.0)
        if self.mode.startswith("sequence"):
            difference = difference.sum(-1, keepdim=True)
        ratio = difference.exp()
        if self.mode.endswith("truncate"):
            return ratio.clamp(self.low, self.high)
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return ratio.masked_fill((ratio < low) | (ratio > high), 0.0)
