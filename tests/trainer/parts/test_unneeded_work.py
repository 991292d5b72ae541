"""What an update does not compute: frozen layers twice, rows that teach nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
import torch
from transformers import (
    PreTrainedModel,
)

from layergym.trainer.credit.collect import Rollout
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.trainer import GiGPOTrainer
from tests.trainer.small_trainers import rewarded, weights

Build = Callable[..., GiGPOTrainer]
Tiny = Callable[..., PreTrainedModel]
Sampling = Callable[[PreTrainedModel], Rollout]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_frozen_layers_below_run_forward_once_and_never_backward(
    build: Build, checkpointing: bool
) -> None:
    trainer = build(
        layers="3",
        max_steps=1,
        beta=0.1,
        per_device_train_batch_size=64,
        gradient_checkpointing=checkpointing,
    )
    forward: Counter[int] = Counter()
    backward: Counter[int] = Counter()
    for i, layer in enumerate(decoder_layers(trainer.model)):
        up = layer.get_submodule("mlp.up_proj")
        up.register_forward_hook(lambda *_, i=i: forward.update([i] * trainer.model.training))
        up.register_forward_hook(
            lambda module, args, output, i=i: (
                output.requires_grad
                and output.register_hook(lambda g: backward.update([i]))
                and None
            )
        )
    trainer.train()
    again = 2 if checkpointing else 1
    assert [forward[i] for i in range(6)] == [1, 1, 1, 1 + again, 1 + again, 1 + again]
    assert all(backward[i] == 0 for i in (0, 1, 2))
    assert all(backward[i] >= 1 for i in (3, 4, 5))


def test_rows_without_signal_are_not_computed(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    """One task of two is decided: its rows leave, the update stays the same as with them."""
    rows: list[int] = []
    results = []
    for entropy_coef in (0.0, 1e-12):  # the second keeps all rows and moves nothing by itself
        model = tiny_model()
        play = rewarded(
            sampling(model),
            lambda t: float(t.turns[0].reply.ids[0] % 2) if int(t.task[-1]) % 2 else 1.0,
        )
        trainer = build(
            model,
            play,
            algorithm="grpo",
            layers="2",
            max_steps=1,
            entropy_coef=entropy_coef,
            tasks_per_step=6,
            per_device_train_batch_size=64,
            optim="sgd",
            learning_rate=0.1,
        )
        seen: list[int] = []
        model.model.embed_tokens.register_forward_hook(
            lambda module, args, output, seen=seen: (
                seen.append(len(args[0])) if module.training else None
            )
        )
        trainer.train()
        rows.append(seen[-1])
        results.append(weights(trainer))
    assert rows[0] < rows[1]
    assert all(torch.allclose(results[0][n], results[1][n], atol=1e-7) for n in results[0])


def test_the_samplers_log_probabilities_can_serve_as_old_ones(build: Build) -> None:
    results = []
    for exact in (False, True):
        trainer = build(
            layers="2", steps_per_generation=2, exact_sampler=exact, max_steps=4, optim="sgd"
        )
        trainer.train()
        results.append(weights(trainer))
    assert all(torch.allclose(results[0][n], results[1][n], atol=1e-6) for n in results[0])
