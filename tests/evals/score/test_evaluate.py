"""Scores of episodes, some of which end in errors."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from layergym.agents.names import open_model
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError
from layergym.envs import Panel
from layergym.evals.result_files import read_eval, write_eval
from layergym.evals.score.evaluate import (
    Label,
    play_panel,
    play_temperatures,
    refuse_errors,
    result_of,
)
from layergym.evals.sweep.panels import EvalSpec, scored_panel
from layergym.trainer.run import agent_of
from layergym.trainer.spec import RunSpec, make_env_of


def episodes(count: int, errors: int) -> list[Trajectory]:
    return [
        Trajectory(
            env_id="e",
            task=f"t{i}",
            seed=0,
            kind="",
            turns=(),
            ended="error" if i < errors else "terminated",
            success=i >= errors,
            error="the server is gone" if i < errors else "",
        )
        for i in range(count)
    ]


PANEL = Panel("e", "test", tuple(f"t{i}" for i in range(40)), "h" * 64)


def test_a_few_errors_are_counted_apart_and_kept(tmp_path: Path) -> None:
    played = episodes(40, 2)
    refuse_errors(played, "base, seed 0")
    result = result_of(played, PANEL, Label("base", 1.0))
    assert result.errors == 2 and result.rates.mean() == 38 / 40
    assert read_eval(write_eval(tmp_path, result)) == result


@pytest.mark.parametrize("errors", [3, 40])
def test_many_errors_are_no_score_and_the_cause_is_said(errors: int) -> None:
    with pytest.raises(InputError, match=f"{errors} of 40 .*the server is gone"):
        refuse_errors(episodes(40, errors), "layer-03, seed 1")


def test_a_score_may_be_of_returns_from_0_to_1_only(tmp_path: Path) -> None:
    result = result_of(episodes(40, 0), PANEL, Label("full", 1.0, trained=1))
    half = replace(result, reward=((0.5,),) * 40, scored="reward")
    assert half.rates.tolist() == [0.5] * 40 and result.rates.tolist() == [1.0] * 40
    assert read_eval(write_eval(tmp_path, half)) == half
    with pytest.raises(InputError, match="outside 0 to 1"):
        replace(half, reward=((10.0,),) * 40)


def test_temperatures_that_are_played_together_score_as_each_alone() -> None:
    rooms = {"size": 40, "max_receptacles": 5, "max_turns": 4}
    run = RunSpec(env="layergym/ALFWorld-v0", env_args=rooms)
    model, tokenizer = open_model("tiny", dtype="float32", device="cpu")
    make = make_env_of(run, "test")
    panel = scored_panel(run, EvalSpec(split="test", size=6))
    labels = [Label("base", one) for one in (1.0, 0.5, 0.0)]
    kept: dict[float, list[Trajectory]] = {one.temperature: [] for one in labels}
    results = play_temperatures(
        partial(agent_of, run, model, tokenizer),
        make,
        panel,
        labels,
        repeats=(2, 2, 1),
        seed=3,
        on_played=[None, *(kept[one.temperature].extend for one in labels[1:])],
    )
    for label, result, repeats in zip(labels, results, (2, 2, 1), strict=True):
        alone: list[Trajectory] = []
        agent = agent_of(run, model, tokenizer, label.temperature)
        wanted = play_panel(
            agent, make, panel, label, repeats=repeats, seed=3, on_played=alone.extend
        )
        assert result == wanted
        if label.temperature < 1:
            assert [[t.reply.ids for t in played.turns] for played in kept[label.temperature]] == [
                [t.reply.ids for t in played.turns] for played in alone
            ]
    assert not kept[1.0]
