"""What of a trainer of a tiny model can be compared, and rewards to choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from transformers import (
    PreTrainedModel,
)

from layergym.agents.types import Trajectory
from layergym.trainer.credit.collect import Rollout
from layergym.trainer.trainer import GiGPOTrainer

Build = Callable[..., GiGPOTrainer]
Tiny = Callable[..., PreTrainedModel]
Sampling = Callable[[PreTrainedModel], Rollout]
Weights = dict[str, torch.Tensor]


def weights(trainer: GiGPOTrainer) -> Weights:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def same(a: Weights, b: Weights) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def history(trainer: GiGPOTrainer) -> list[dict[str, Any]]:
    """Log lines of the steps, without what they cost."""
    lines = [line for line in trainer.state.log_history if "loss" in line]
    costs = ("time/", "memory_bytes")
    return [{k: v for k, v in line.items() if not k.startswith(costs)} for line in lines]


def rewarded(play: Rollout, reward: Callable[[Trajectory], float]) -> Rollout:
    """The same episodes with all reward at the last turn."""

    def changed(t: Trajectory) -> Trajectory:
        turns = [replace(turn, reward=0.0, valid=True) for turn in t.turns]
        turns[-1] = replace(turns[-1], reward=reward(t))
        return replace(t, turns=tuple(turns))

    return lambda jobs: [changed(t) for t in play(jobs)]
