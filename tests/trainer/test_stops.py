"""Runs that are paused, end early, or are watched by a tracker: what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from layergym.envs import InputError
from layergym.trainer.callbacks import WINDOW, MetricsFile, Pause, Watch, stale
from layergym.trainer.run import train
from layergym.trainer.spec import RunSpec
from layergym.trainer.trainer import GiGPOTrainer
from tests.small_runs import logged, small_run

Build = Callable[..., GiGPOTrainer]
SPEC = small_run(max_turns=6, tasks_per_step=2, save_every=3, beta=0.1)


def pause_at(*steps: int) -> Callable[[], bool]:
    """Asked once a step: says yes at these."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) in steps


# ---- pausing --------------------------------------------------------------------------------


def test_a_paused_run_goes_on_and_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    straight, paused = tmp_path / "straight", tmp_path / "paused"
    assert train(SPEC, straight).ended == "steps"

    done = train(SPEC, paused, watch=Watch(pause=pause_at(2)))
    assert done.ended == "paused" and len(done.metrics) == 2
    assert not (paused / "delta.safetensors").exists()
    assert [p.name for p in paused.glob("checkpoint-*")] == ["checkpoint-2"]

    assert train(SPEC, paused, resume=True).ended == "steps"
    assert logged(paused) == logged(straight)
    deltas = [(folder / "delta.safetensors").read_bytes() for folder in (paused, straight)]
    assert deltas[0] == deltas[1]


def test_a_run_asked_to_pause_at_its_last_step_is_finished(tmp_path: Path) -> None:
    watch = Watch(pause=pause_at(4))
    assert train(SPEC, tmp_path / "run", watch=watch).ended == "steps"
    assert (tmp_path / "run" / "delta.safetensors").is_file()


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({}, 1),
        ({"num_iterations": 2}, 2),
        ({"steps_per_generation": 2, "num_iterations": 2}, 4),
        ({"logging_steps": 3}, 3),
        ({"num_iterations": 2, "logging_steps": 3}, 6),
    ],
)
def test_a_pause_waits_for_the_end_of_a_rollout_and_its_metrics(
    build: Build, tmp_path: Path, settings: dict[str, Any], where: int
) -> None:
    def run(folder: str, *watching: TrainerCallback) -> GiGPOTrainer:
        out = str(tmp_path / folder)
        trainer = build(output_dir=out, max_steps=8, layers="1,3", beta=0.1, **settings)
        for callback in watching:
            trainer.add_callback(callback)
        return trainer

    straight, pause = run("straight"), Pause(lambda: True)
    straight.train()
    stopped = run("paused", pause)
    stopped.train()
    assert pause.paused and stopped.state.global_step == where

    resumed = run("paused")
    resumed.train(resume_from_checkpoint=str(tmp_path / "paused" / f"checkpoint-{where}"))
    ours, theirs = (dict(t.model.named_parameters()) for t in (resumed, straight))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


# ---- ending early ---------------------------------------------------------------------------


def windows(*means: float) -> list[float]:
    """Rewards whose windows have these means, though no single rollout has."""
    return [mean + (0.5 if i % 2 else -0.5) for mean in means for i in range(WINDOW)]


def test_rewards_that_rise_are_not_stale() -> None:
    assert not stale(windows(0.1, 0.2, 0.3, 0.4), patience=1)


def test_rewards_are_stale_after_windows_without_a_higher_mean() -> None:
    rewards = windows(0.1, 0.4, 0.3, 0.4)
    assert stale(rewards, patience=2)
    assert stale(rewards, patience=1)
    assert not stale(rewards, patience=3)
    assert not stale(rewards[:-1], patience=2)


def test_a_late_rise_counts() -> None:
    assert not stale(windows(0.4, 0.3, 0.5), patience=2)


@pytest.mark.parametrize("patience", [1, 3])
def test_too_few_rewards_are_never_stale(patience: int) -> None:
    assert not stale([], patience)
    assert not stale(windows(0.2)[:-1], patience)
    assert not stale(windows(*[0.2] * patience), patience)


def test_a_run_ends_when_its_reward_is_stale_and_a_resumed_one_ends_there_too(
    build: Build, tmp_path: Path
) -> None:
    out, path = tmp_path / "run", tmp_path / "metrics.jsonl"
    settings = {"max_steps": 200, "learning_rate": 0.0, "save_strategy": "steps", "save_steps": 5}

    def run() -> tuple[GiGPOTrainer, MetricsFile]:
        trainer, log = build(output_dir=str(out), **settings), MetricsFile(path, None, patience=2)
        trainer.add_callback(log)
        return trainer, log

    first, log = run()
    first.train()
    end = first.state.global_step
    assert log.stale and end % WINDOW == 0 and 3 * WINDOW <= end < 200
    assert stale([row["reward"] for row in log.rows], 2)
    assert not (out / f"checkpoint-{end}").exists()

    again, log = run()
    again.train(resume_from_checkpoint=str(out / f"checkpoint-{end - 5}"))
    assert log.stale and again.state.global_step == end
    assert [row["step"] for row in log.rows] == list(range(1, end + 1))


def test_patience_is_part_of_what_determines_a_run(tmp_path: Path) -> None:
    train(small_run(max_turns=6, steps=1, group_size=2, patience=7), tmp_path / "run")
    assert RunSpec.read(tmp_path / "run").patience == 7


# ---- trackers -------------------------------------------------------------------------------


def test_tensorboard_gets_every_metric(tmp_path: Path) -> None:
    accumulator = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs tensorboard"
    )
    train(SPEC, tmp_path / "run", watch=Watch(report_to=("tensorboard",)))
    (events,) = (tmp_path / "run").rglob("events.out.tfevents.*")
    read = accumulator.EventAccumulator(str(events)).Reload()
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    names = {"reward", "success", "kl", "mismatch", "grad_norm/layer_3", "time/env_s"}
    assert names <= rows[0].keys()
    for name in rows[0].keys() - {"step", "epoch"}:
        seen = [(event.step, event.value) for event in read.Scalars(f"train/{name}")]
        wanted = [(row["step"], pytest.approx(row[name])) for row in rows if name in row]
        assert seen == wanted, name


def test_a_missing_tracker_is_said_before_anything_is_done(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="trackio is not installed: pip install trackio"):
        train(SPEC, tmp_path / "run", watch=Watch(report_to=("trackio",)))
    with pytest.raises(InputError, match='no tracker "tensorbord"; did you mean "tensorboard"'):
        train(SPEC, tmp_path / "run", watch=Watch(report_to=("tensorbord",)))
    assert not (tmp_path / "run").exists()


def test_the_time_of_a_rollout_is_told_apart(tmp_path: Path) -> None:
    (row,) = train(small_run(max_turns=6, steps=1, group_size=2), tmp_path / "run").metrics
    assert 0 < row["time/env_s"] < row["time/rollout_s"]
    assert row["memory_bytes"] > 1e7
