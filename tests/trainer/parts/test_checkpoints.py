"""Checkpoints: what is in them, and that a resumed run equals the uninterrupted one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    PreTrainedModel,
)

from layergym.base.errors import InputError
from layergym.trainer.credit.collect import Rollout
from layergym.trainer.layers.delta import FILE, LayerDelta
from layergym.trainer.trainer import GiGPOTrainer
from tests.trainer.small_trainers import history, same, weights

Build = Callable[..., GiGPOTrainer]
Tiny = Callable[..., PreTrainedModel]
Sampling = Callable[[PreTrainedModel], Rollout]


SETTINGS = [
    {"layers": "2"},
    {"layers": "1,3", "beta": 0.1, "num_iterations": 2, "save_steps": 2},
    {"layers": "all", "steps_per_generation": 2, "save_steps": 2, "lr_scheduler_type": "linear"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: s["layers"])
def test_a_resumed_run_equals_the_uninterrupted_one(
    build: Build, tmp_path: Path, settings: dict[str, Any]
) -> None:
    shared = {"max_steps": 6, "save_strategy": "steps", "save_steps": 1, **settings}
    straight = build(output_dir=str(tmp_path / "straight"), **shared)
    straight.train()
    for step in (2, 4):
        checkpoint = tmp_path / "straight" / f"checkpoint-{step}"
        resumed = build(output_dir=str(tmp_path / f"from-{step}"), **shared)
        resumed.train(resume_from_checkpoint=str(checkpoint))
        assert same(weights(resumed), weights(straight))
        assert history(resumed) == history(straight)


def test_checkpoints_hold_the_trained_layers_only(build: Build, tmp_path: Path) -> None:
    trainer = build(layers="2", save_strategy="steps", save_steps=1, save_total_limit=1)
    trainer.train()
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    assert checkpoint.name == "checkpoint-2"
    assert not (tmp_path / "run" / "unfinished").exists()
    files = {path.name for path in checkpoint.iterdir()}
    state_files = {"optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json"}
    assert files == {FILE, "seal.json"} | state_files
    delta = LayerDelta.load(checkpoint)
    assert delta.tensors.keys() == set(trainer.selection.names)
    state = torch.load(checkpoint / "optimizer.pt", weights_only=True)
    assert len(state["state"]) == len(trainer.selection.names)


def test_what_a_killed_run_left_does_not_disturb(build: Build, tmp_path: Path) -> None:
    left = tmp_path / "run" / "unfinished" / "checkpoint-1"
    left.mkdir(parents=True)
    (left / FILE).write_bytes(b"half")
    build(layers="2", save_strategy="steps", save_steps=2).train()
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"checkpoint-2"}


def test_a_checkpoint_of_another_run_is_refused(
    build: Build, tiny_model: Tiny, tmp_path: Path
) -> None:
    build(layers="2", save_strategy="steps", save_steps=1).train()
    checkpoint = str(tmp_path / "run" / "checkpoint-1")
    with pytest.raises(InputError, match='other tensors than this run, which trains layers="3"'):
        build(layers="3").train(resume_from_checkpoint=checkpoint)
    with pytest.raises(InputError, match="belongs to the base model"):
        build(tiny_model(seed=1), layers="2").train(resume_from_checkpoint=checkpoint)
