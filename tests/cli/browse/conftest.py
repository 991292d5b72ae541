"""A run, a sweep and an evaluation of seconds, and the page's answers about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from layergym.__main__ import main
from layergym.cli.browse.library import Library
from layergym.evals.report.build import build
from layergym.evals.report.write import write_report
from layergym.evals.sweep.folder import begin_folder
from layergym.evals.sweep.panels import EvalSpec
from layergym.evals.sweep.resolve import resolve
from layergym.evals.sweep.run_arm import run_arm
from layergym.evals.sweep.spec import SweepSpec
from layergym.trainer.spec import RunSpec

ROOMS = (
    "alfworld-v0 --env-arg max_turns=9 --env-arg max_receptacles=5 --env-arg num_objects=5 "
    "--env-arg size=12"
)


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browse")
    train = f"train {ROOMS} --layers 3 --group 4 --steps 1 --tasks 1 --quiet --out {folder / 'run'}"
    assert main(train.split()) == 0
    score = f"eval {ROOMS} --agent random expert --eval-tasks 3 --quiet --out {folder / 'eval'}"
    assert main(score.split()) == 0
    write_sweep(folder / "sweep")
    return folder


def write_sweep(folder: Path) -> None:
    """Base, full and one layer, trained and scored in this process."""
    rooms = {"max_turns": 9, "max_receptacles": 5, "num_objects": 5, "size": 12}
    run = RunSpec(env="alfworld-v0", env_args=rooms, steps=1, tasks_per_step=2, group_size=4)
    panel = EvalSpec(size=2, repeats=2, temperatures=(1.0,), base_temperatures=(1.0,))
    sweep = resolve(SweepSpec(run=run, eval=panel, layers=(0,), num_layers=8), folder)
    begin_folder(sweep)
    for arm in sweep.runs:
        run_arm(arm.run, panel, arm.name, arm.folder)
    write_report(build([folder]), folder / "report")


@pytest.fixture
def library(runs: Path) -> Library:
    return Library([runs])


@pytest.fixture
def number(library: Library) -> dict[str, int]:
    """Numbers of folders by their names."""
    return {row["name"]: row["id"] for row in library.answer("runs")["runs"]}
