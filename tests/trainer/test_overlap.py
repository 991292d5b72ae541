"""Rollouts that are played while the update runs: by whom, how old, and that none is lost."""

from __future__ import annotations

from pathlib import Path
from threading import Event
from typing import Any

import pytest
import torch

from layergym.agents.models.tiny import build_model, build_tokenizer
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError
from layergym.trainer.ahead import AGE, Ahead, Left, Twin
from layergym.trainer.callbacks import Watch
from layergym.trainer.credit.collect import Collected
from layergym.trainer.layers.delta import LayerDelta
from layergym.trainer.layers.selection import decoder_layers
from layergym.trainer.run import train
from tests.small_runs import logged, small_run

EPISODES = 4
Said = list[list[tuple[int, ...]]]
"""By episode and turn, the tokens of a reply."""


def rollouts(folder: Path, **settings: Any) -> list[Said]:
    """What was said in a run's rollouts, in order."""
    played: list[list[tuple[int, Trajectory]]] = []

    def on_end(episode: int, trajectory: Trajectory) -> None:
        if not played or len(played[-1]) == EPISODES:
            played.append([])
        played[-1].append((episode, trajectory))

    usual: dict[str, Any] = {
        "layers": "all",
        "steps": 3,
        "temperature": 2.0,
        "invalid_penalty": 1.0,
    }
    train(small_run(**usual | settings), folder, watch=Watch(on_end=on_end))
    in_order = [sorted(one, key=lambda pair: pair[0]) for one in played]
    return [[[turn.reply.ids for turn in t.turns] for _, t in one] for one in in_order]


def test_samples_are_those_of_the_policy_before_the_last_update(tmp_path: Path) -> None:
    lr = {"learning_rate": 0.01}
    ahead = rollouts(tmp_path / "ahead", overlap=True, **lr)
    still = rollouts(tmp_path / "still", learning_rate=1e-30)
    plain = rollouts(tmp_path / "plain", **lr)
    assert ahead[0] == plain[0] == still[0]
    assert ahead[1] == still[1] != plain[1]
    assert ahead[2] != still[2], "the second update came before the third rollout was begun"
    assert [row.get(AGE) for row in logged(tmp_path / "ahead")] == [0, 1, 1]
    assert [row.get(AGE) for row in logged(tmp_path / "plain")] == [None] * 3
    first, second, _ = (row["mismatch"] for row in logged(tmp_path / "ahead"))
    assert second > 10 * first, "the loss knows what the older policy said"


def test_a_run_resumed_from_a_checkpoint_equals_the_uninterrupted_one(tmp_path: Path) -> None:
    signal: dict[str, Any] = {"temperature": 2.0, "invalid_penalty": 1.0, "learning_rate": 0.01}
    spec = small_run(overlap=True, steps=4, save_every=2, **signal)
    train(spec, tmp_path / "whole")
    train(spec, tmp_path / "parts", until=2)
    train(spec, tmp_path / "parts", resume=True)
    whole, parts = (
        [{k: v for k, v in row.items() if k != "epoch"} for row in logged(tmp_path / name)]
        for name in ("whole", "parts")
    )
    assert whole == parts
    assert whole[0]["grad_norm"] > 0
    assert [row[AGE] for row in whole] == [0, 1, 0, 1], "after a checkpoint it begins anew"
    ours, theirs = (
        LayerDelta.load(tmp_path / name / "delta.safetensors").tensors
        for name in ("whole", "parts")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_held_out_tasks_are_played_by_the_policy_as_it_is(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"eval_every": 1, "eval_tasks": 4, "steps": 2, "max_turns": 3}
    scores = []
    for overlap in (False, True):
        train(small_run(overlap=overlap, **settings), tmp_path / str(overlap))
        scores.append(logged(tmp_path / str(overlap))[0]["held_out/reward"])
    assert scores[0] == scores[1]


def test_what_would_be_older_than_one_step_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="one optimiser step"):
        train(small_run(overlap=True, trl={"num_iterations": 2}), tmp_path)
    assert not list(tmp_path.iterdir())


def collected(number: int) -> Collected:
    return Collected((), {"number": float(number)}, ())


def test_one_rollout_is_ahead_and_none_is_lost() -> None:
    weights, done = [0], Event()
    begun: list[tuple[int, int]] = []
    followed: list[int] = []

    def play(number: int) -> Collected:
        begun.append((number, followed[-1]))
        done.set()
        return collected(number)

    ahead = Ahead(play, lambda: followed.append(weights[0]), lambda n: n < 5 and n != 3)
    ages = []
    for number in range(5):
        measures = ahead(number).measures
        assert measures["number"] == number
        ages.append(measures[AGE])
        weights[0] += 1
        assert len(begun) <= number + 2
    ahead.close()
    assert ages == [0, 1, 1, 0, 1]
    assert begun == [(0, 0), (1, 0), (2, 1), (3, 3), (4, 3)], "each with the weights of its time"


def test_a_rollout_that_nobody_waits_for_ends_at_its_next_turn() -> None:
    begun, ended = Event(), Event()

    def play(number: int) -> Collected:
        if number:
            begun.set()
        while number:
            try:
                ahead.go_on()
            except Left:
                ended.set()
                raise
        return collected(number)

    ahead = Ahead(play, lambda: None, lambda _: True)
    ahead(0)
    assert begun.wait(60)
    ahead.close()
    assert ended.is_set()


def test_what_a_rollout_raises_is_raised_when_it_is_asked_for() -> None:
    def play(number: int) -> Collected:
        if number == 1:
            raise InputError("every episode failed")
        return collected(number)

    ahead = Ahead(play, lambda: None, lambda _: True)
    ahead(0)
    with pytest.raises(InputError, match="every episode"):
        ahead(1)
    ahead.close()


def test_a_twin_shares_what_is_frozen_and_follows_the_rest() -> None:
    model = build_model(build_tokenizer(["a b"]), layers=2, width=32, seed=0)
    twin = Twin(model)
    assert not {*model.modules()} & {*twin.model.modules()}
    model.requires_grad_(False)
    trained = model.get_decoder().layers[1].mlp.down_proj.weight
    trained.requires_grad_(True)
    twin.part()
    own = dict(twin.model.named_parameters())
    for name, parameter in model.named_parameters():
        assert (own[name] is parameter) == (parameter is not trained)
    before = trained.detach().clone()
    with torch.no_grad():
        trained.add_(1.0)
    copied = decoder_layers(twin.model)[1].get_submodule("mlp.down_proj").get_parameter("weight")
    assert torch.equal(copied, before)
    twin.follow()
    assert torch.equal(copied, trained) and not copied.requires_grad
