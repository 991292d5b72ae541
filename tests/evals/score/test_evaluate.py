"""Scores of episodes, some of which end in errors."""

from dataclasses import replace
from pathlib import Path

import pytest

from layergym.agents.types import Trajectory
from layergym.base.errors import InputError
from layergym.envs import Panel
from layergym.evals.result_files import read_eval, write_eval
from layergym.evals.score.evaluate import Label, refuse_errors, result_of


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
