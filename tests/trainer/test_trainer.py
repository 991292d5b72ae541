"""The trainer as a whole: it learns, resumes exactly, and leaves alone what it should."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import (
    PreTrainedModel,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from layergym.agents.rollouts import Job
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError, Notice
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.collect import Rollout
from layergym.trainer.layers.frozen import FrozenTensorChanged
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.trainer import GiGPOTrainer
from tests.trainer.small_trainers import Weights, history, rewarded, same, weights

Build = Callable[..., GiGPOTrainer]
Tiny = Callable[..., PreTrainedModel]
Sampling = Callable[[PreTrainedModel], Rollout]


@pytest.mark.parametrize("algorithm", ["gigpo", "grpo", "dr_grpo", "rloo"])
def test_one_layer_learns(build: Build, algorithm: str) -> None:
    trainer = build(
        layers="2", algorithm=algorithm, max_steps=25, num_generations=8, max_completion_length=4
    )
    trainer.train()
    reward = [line["reward"] for line in history(trainer)]
    assert sum(reward[-5:]) / 5 > sum(reward[:5]) / 5 + 0.4


def test_every_step_is_measured(build: Build) -> None:
    trainer = build(layers="2,4", beta=0.1)
    trainer.train()
    line = next(line for line in trainer.state.log_history if "loss" in line)
    named = {
        "loss grad_norm learning_rate reward success turns truncated invalid episodes_failed",
        "groups_zero_variance step_groups_shared step_group_size rows tokens entropy kl",
        "clip_ratio/region_mean mismatch mismatch_max grad_norm/layer_2 grad_norm/layer_4",
        "time/rollout_s time/logprobs_s time/update_s",
    }
    wanted = {name for names in named for name in names.split()}
    assert wanted <= line.keys()
    assert any(name.startswith("success/") for name in line)
    assert all(math.isfinite(line[name]) for name in wanted)
    assert line["mismatch_max"] < 1e-4  # the sampler is the model itself
    layers = math.hypot(line["grad_norm/layer_2"], line["grad_norm/layer_4"])
    assert layers == pytest.approx(line["grad_norm"], rel=1e-4)


def test_a_sampler_that_is_off_shows_as_mismatch(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    trainer = build(tiny_model(seed=0), sampling(tiny_model(seed=1)), layers="2", max_steps=1)
    trainer.train()
    assert history(trainer)[0]["mismatch"] > 0.1


def test_two_runs_with_one_seed_are_equal(build: Build) -> None:
    runs = [build(layers="2") for _ in range(2)]
    for run in runs:
        run.train()
    assert same(weights(runs[0]), weights(runs[1]))
    other = build(layers="2", seed=7)
    other.train()
    assert not same(weights(runs[0]), weights(other))


def test_pass_size_bounds_memory_and_changes_nothing(build: Build) -> None:
    results = []
    for rows in (1, 3, 64):
        trainer = build(layers="2-3", beta=0.1, per_device_train_batch_size=rows, optim="sgd")
        trainer.train()
        results.append(weights(trainer))
    for name, expected in results[0].items():
        for other in results[1:]:
            assert torch.allclose(other[name], expected, atol=1e-6), name


class Nudge(TrainerCallback):
    """Writes to a frozen layer in the middle of training."""

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        with torch.no_grad():
            model.model.layers[4].mlp.up_proj.weight[0, 0] += 1e-6


def test_training_ends_with_a_proof_that_can_fail(build: Build) -> None:
    trainer = build(layers="2")
    trainer.add_callback(Nudge())
    with pytest.raises(
        FrozenTensorChanged,
        match=r"layers\.4\.mlp\.up_proj\.weight changed although only layers 2 \(of 6\)",
    ):
        trainer.train()


def test_a_step_without_signal_moves_nothing(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    """Not even weight decay and momentum, which the steps before have built up."""
    model = tiny_model()
    play = sampling(model)
    seen: list[Weights] = []
    even = rewarded(play, lambda t: float(t.turns[0].reply.ids[0] % 2))
    flat = rewarded(play, lambda t: 1.0)

    def first_signal_then_none(jobs: Sequence[Job]) -> list[Trajectory]:
        seen.append({n: p.detach().clone() for n, p in model.named_parameters()})
        return even(jobs) if len(seen) == 1 else flat(jobs)

    trainer = build(
        model, first_signal_then_none, layers="2", algorithm="grpo", max_steps=3, weight_decay=0.1
    )
    trainer.train()
    assert not same(seen[0], seen[1])
    assert same(seen[1], seen[2]) and same(seen[2], weights(trainer))
    assert [line["groups_zero_variance"] for line in history(trainer)][1:] == [1.0, 1.0]


def test_failed_episodes_are_counted_and_left_out(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    model = tiny_model()
    play = sampling(model)

    def failing(jobs: Sequence[Job]) -> list[Trajectory]:
        broken = [replace(t, ended="error", turns=t.turns[:1], error="boom") for t in play(jobs)]
        return [
            b if i % 4 == 0 else t for i, (b, t) in enumerate(zip(broken, play(jobs), strict=True))
        ]

    trainer = build(model, failing, layers="2", max_steps=1)
    with pytest.warns(Notice, match="boom"):
        trainer.train()
    assert (history(trainer)[0]["episodes_failed"], history(trainer)[0]["rows"]) == (2, 6)


def test_a_rollout_that_loses_episodes_is_refused(
    build: Build, sampling: Sampling, tiny_model: Tiny
) -> None:
    play = sampling(tiny_model())
    trainer = build(rollout=lambda jobs: play(jobs)[:-1])
    with pytest.raises(ValueError, match="one trajectory per job"):
        trainer.train()


def test_boosted_layers_have_their_own_learning_rate(build: Build) -> None:
    trainer = build(layers="1-3", boost="2*4", learning_rate=0.5)
    groups = trainer.create_optimizer().param_groups
    rates = {id(p): group["lr"] for group in groups for p in group["params"]}
    for i in (1, 2, 3):
        for p in decoder_layers(trainer.model)[i].parameters():
            assert rates[id(p)] == (2.0 if i == 2 else 0.5)
    trainer.train()
    with pytest.raises(InputError, match="boost names layers 4, which do not train"):
        build(layers="1-3", boost="4*2")


def test_adapters_of_one_layer_train(build: Build, tiny_model: Tiny) -> None:
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        tiny_model("llama"), peft.LoraConfig(target_modules=["q_proj", "v_proj"], r=2)
    )
    trainer = build(adapted, None, layers="3", beta=0.1, num_iterations=2)
    trainer.train()
    moved = {n for n, p in adapted.named_parameters() if "lora_B" in n and p.any()}
    assert len(moved) == 2 and all(".layers.3." in n for n in moved)


def test_dropout_is_refused(build: Build, tiny_model: Tiny) -> None:
    model = tiny_model("llama")
    for layer in decoder_layers(model):
        layer.self_attn.attention_dropout = 0.1  # type: ignore[union-attr]
    with pytest.raises(InputError, match="dropout settings at 0"):
        build(model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": "99"}, "no layer 99"),
        ({"layers": ""}, "no layer is selected"),
        ({"algorithm": "gipgo"}, 'did you mean "gigpo"'),
        ({"norm": "mean"}, "no norm"),
        ({"compat": "verl"}, "verl-agent"),
        ({"max_steps": 0}, "max_steps"),
        ({"num_generations": 1}, "num_generations must be"),
        ({"gradient_accumulation_steps": 2}, "must be 1"),
        ({"disable_dropout": False}, "must stay on"),
        (
            {"save_strategy": "steps", "save_steps": 3, "num_iterations": 2},
            "save_steps=3 must be a multiple of",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    build: Build, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build(**settings)


def test_dr_grpo_brings_its_loss() -> None:
    args = GiGPOConfig(output_dir="x", algorithm="dr_grpo", max_steps=1, use_cpu=True)
    assert (args.loss_type, args.scale_rewards) == ("dr_grpo", "none")
