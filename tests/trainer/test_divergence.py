"""Numbers that are none: no step is taken, nothing is saved, the last checkpoint stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from layergym.agents.types import Trajectory
from layergym.base.errors import Diverged, InputError, Notice
from layergym.trainer.callbacks import MetricsFile
from layergym.trainer.credit.collect import Rollout
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.trainer import GiGPOTrainer

Build = Callable[..., GiGPOTrainer]
Tiny = Callable[..., PreTrainedModel]
Sampling = Callable[[PreTrainedModel], Rollout]


def after(play: Rollout, rollouts: int, change: Callable[[Trajectory], Trajectory]) -> Rollout:
    """The same episodes, all of them changed after this many rollouts."""
    count = iter(range(10**6))
    return lambda jobs: (
        [change(t) for t in played] if next(count) >= rollouts else played
        for played in (play(jobs),)
    ).__next__()


def with_logprob(value: float) -> Callable[[Trajectory], Trajectory]:
    """A sampler that is broken: it says that its first token had this log-probability."""

    def change(one: Trajectory) -> Trajectory:
        reply = one.turns[0].reply
        reply = replace(reply, logprobs=(value, *reply.logprobs[1:]))
        return replace(one, turns=(replace(one.turns[0], reply=reply), *one.turns[1:]))

    return change


def test_a_gradient_that_is_not_finite_is_no_step(
    build: Build, tiny_model: Tiny, sampling: Sampling, tmp_path: Path
) -> None:
    model = tiny_model()
    play = after(sampling(model), 1, with_logprob(float("nan")))
    trainer = build(
        model,
        play,
        layers="2",
        max_steps=4,
        steps_per_generation=1,
        num_iterations=1,
        external_engine=False,
        exact_sampler=True,
        save_strategy="steps",
        save_steps=1,
    )
    # With several steps per rollout the sampler's values are the old ones: NaN reaches the loss.
    trainer.args.steps_per_generation = 2
    trainer.add_callback(MetricsFile(tmp_path / "metrics.jsonl", None, None))
    with pytest.raises(Diverged, match="step"):
        trainer.train()
    taken = trainer.state.global_step
    assert all(bool(torch.isfinite(p).all()) for p in model.parameters())
    kept = {int(p.name.rpartition("-")[2]) for p in (tmp_path / "run").glob("checkpoint-*")}
    assert max(kept) == taken > 0
    for line in (tmp_path / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_saved(
    build: Build, tmp_path: Path, value: float
) -> None:
    trainer = build(layers="2", save_strategy="steps", save_steps=1)
    trainer.train()
    before = {p.name for p in (tmp_path / "run").iterdir()}
    with torch.no_grad():
        next(p for p in trainer.model.parameters() if p.requires_grad).view(-1)[0] = value
    with pytest.raises(Diverged):
        trainer.save_delta(tmp_path / "delta.safetensors")
    with pytest.raises(Diverged):
        trainer._save_checkpoint(trainer.model, None)
    assert not (tmp_path / "delta.safetensors").exists()
    assert {p.name for p in (tmp_path / "run").iterdir()} == before
    LayerDelta.load(tmp_path / "run" / "checkpoint-2")


def test_what_is_not_finite_is_left_out_of_the_metrics(build: Build, tmp_path: Path) -> None:
    log = MetricsFile(tmp_path / "metrics.jsonl", None, None)
    trainer = build(layers="2", max_steps=1)
    trainer.add_callback(log)
    trainer.note({"odd": float("nan"), "vast": float("inf"), "fine": 1.0})
    trainer.train()
    [row] = log.rows
    assert row["fine"] == 1.0 and not {"odd", "vast"} & row.keys()


# ---- episodes that are lost ---------------------------------------------------------------------


def ended(how: Any, error: str = "") -> Callable[[Trajectory], Trajectory]:
    return lambda one: replace(one, ended=how, error=error)


def test_a_rollout_of_errors_alone_stops_the_run_with_the_first(
    build: Build, tiny_model: Tiny, sampling: Sampling
) -> None:
    model = tiny_model()
    play = after(sampling(model), 0, ended("error", 'InputError: no isolation "foo"'))
    with pytest.raises(InputError, match='no isolation "foo"'):
        build(model, play, layers="2").train()


@pytest.mark.parametrize(("how", "words"), [("error", "lost it"), ("context", "context was full")])
def test_many_lost_episodes_are_told(
    build: Build, tiny_model: Tiny, sampling: Sampling, how: str, words: str
) -> None:
    model = tiny_model()
    play = sampling(model)

    def half(jobs: Any) -> list[Trajectory]:
        return [ended(how, "lost it")(t) if i % 2 else t for i, t in enumerate(play(jobs))]

    trainer = build(model, half, layers="2", max_steps=1)
    with pytest.warns(Notice, match=words):
        trainer.train()
    row = trainer.state.log_history[0]
    assert row["out_of_context"] == (0.5 if how == "context" else 0.0)
    assert row["episodes_failed"] == (4.0 if how == "error" else 0.0)
