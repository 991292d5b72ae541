"""Which episodes of a run are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from layergym.agents.trajectories import read_records
from layergym.agents.types import Reply, Trajectory, Turn
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.samples import Samples


def played(task: str, reward: float, turns: int = 2) -> Trajectory:
    turn = Turn("seen", "key", Reply("do"), "do", reward / turns, True)
    return Trajectory("e", task, 0, (turn,) * turns, "terminated", reward > 0)


def samples_of(folder: Path) -> Samples:
    args = GiGPOConfig(
        output_dir=str(folder),
        max_steps=30,
        algorithm="dr_grpo",
        num_generations=2,
        use_cpu=True,
        report_to="none",
    )
    return Samples(folder, args, "layers=3")


@pytest.fixture
def samples(tmp_path: Path) -> Samples:
    return samples_of(tmp_path)


def steps(folder: Path) -> list[int | None]:
    return [record.step for record in read_records(folder / "trajectories.jsonl")]


def test_the_first_group_of_every_tenth_step_is_kept(samples: Samples, tmp_path: Path) -> None:
    for step in range(25):
        samples.keep(step, [played("a", 1.0), played("a", 0.0), played("b", 1.0)])
    assert steps(tmp_path) == [0, 0, 10, 10, 20, 20]
    first, second = list(read_records(tmp_path / "trajectories.jsonl"))[:2]
    assert (first.advantages, second.advantages) == ((0.5, 0.5), (-0.5, -0.5))
    assert (first.agent, first.trajectory.task) == ("layers=3", "a")


def test_what_is_played_again_is_kept_once(samples: Samples, tmp_path: Path) -> None:
    group = [played("a", 1.0), played("a", 0.0)]
    for step in (0, 10, 20):
        samples.keep(step, group)
    samples_of(tmp_path).keep(10, group)
    assert steps(tmp_path) == [0, 0, 10, 10]


def test_a_part_of_a_group_has_no_advantages(samples: Samples, tmp_path: Path) -> None:
    samples.keep(0, [played("a", 1.0), played("b", 0.0)])
    [record] = read_records(tmp_path / "trajectories.jsonl")
    assert record.advantages == ()
