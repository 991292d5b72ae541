"""Held-out tasks while a run trains: scores, the best step's delta, and nothing else changed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from layergym.base.errors import InputError
from layergym.base.files import read_json
from layergym.trainer.bank.bank import groups
from layergym.trainer.held_out import BEST, SUCCESS, BestStep
from layergym.trainer.run import Trained, train
from layergym.trainer.spec import RunSpec

SPEC = RunSpec(
    env="alfworld-v0",
    env_args={"size": 40, "max_receptacles": 5, "max_turns": 5},
    layers="3",
    steps=4,
    tasks_per_step=2,
    group_size=3,
    save_every=2,
    eval_every=2,
    eval_tasks=4,
    keep="best",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    """A run that is scored twice."""
    folder = tmp_path_factory.mktemp("held_out") / "run"
    return folder, train(SPEC, folder)


def test_steps_are_scored_and_the_best_is_kept(whole: tuple[Path, Trained]) -> None:
    folder, done = whole
    scored = {int(row["step"]): row[SUCCESS] for row in done.metrics if SUCCESS in row}
    assert list(scored) == [2, 4]
    step = 4 if scored[4] > scored[2] else 2  # Rewards are 1 for a success here, 0 otherwise.
    assert done.best == BestStep(step, round(4 * scored[step]), 4)
    last, best = folder / "delta.safetensors", folder / BEST
    assert (last.read_bytes() == best.read_bytes()) is (done.best.step == 4)
    panels = read_json(folder / "manifest.json")["panels"]
    assert [panel["split"] for panel in panels] == ["train", "valid"]


def test_training_is_the_same_as_without(whole: tuple[Path, Trained], tmp_path: Path) -> None:
    folder, _ = whole
    train(replace(SPEC, eval_every=0, eval_tasks=64, keep="last"), tmp_path / "run")
    name = "delta.safetensors"
    assert (tmp_path / "run" / name).read_bytes() == (folder / name).read_bytes()
    assert not (tmp_path / "run" / BEST).exists()


def test_a_resumed_run_scores_and_keeps_the_same(
    whole: tuple[Path, Trained], tmp_path: Path
) -> None:
    folder, done = whole
    train(SPEC, tmp_path / "run", until=2)
    again = train(SPEC, tmp_path / "run", resume=True)
    assert again.best == done.best
    assert (tmp_path / "run" / BEST).read_bytes() == (folder / BEST).read_bytes()


def test_a_score_has_its_interval() -> None:
    assert str(BestStep(40, 12, 64)) == "step 40: 18.8 % [11.1, 30.0] of 64 tasks"


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for without in ({}, {"keep": "last"}, {"keep": "last", "eval_tasks": 64, "eval_split": "test"}):
        with pytest.raises(InputError, match="--eval-every"):
            replace(SPEC, eval_every=0, **without)
    with pytest.raises(InputError, match="tasks"):
        train(replace(SPEC, eval_tasks=5000), tmp_path / "run")
    with pytest.raises(InputError, match="split"):
        train(replace(SPEC, eval_split="nowhere"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert groups([SPEC, SPEC]) == []
