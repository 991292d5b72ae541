"""Which episodes of a run are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from layergym.agents.trajectories import read_records
from layergym.agents.types import Group, Reply, Trajectory, Turn
from layergym.base.errors import Notice
from layergym.trainer.credit.algorithms import Compared, Credit, give_credit
from layergym.trainer.credit.collect import Collected
from layergym.trainer.samples import Samples


def played(task: str, reward: float, turns: int = 2) -> Trajectory:
    turn = Turn("seen", "key", Reply("do"), "do", reward / turns, True)
    return Trajectory("e", task, 0, (turn,) * turns, "terminated", reward > 0)


def collected(*groups: tuple[Trajectory, ...]) -> Collected:
    credit = Credit("dr_grpo")
    given = give_credit([Compared.of(Group(group), credit) for group in groups], credit)
    return Collected((), {}, tuple(given))


ONE = collected((played("a", 1.0), played("a", 0.0)), (played("b", 1.0),))


def steps(folder: Path) -> list[int | None]:
    return [record.step for record in read_records(folder / "trajectories.jsonl")]


def test_the_first_group_of_every_tenth_step_is_kept(tmp_path: Path) -> None:
    samples = Samples(tmp_path, "layers=3")
    for step in range(25):
        samples.keep(step, ONE)
    assert steps(tmp_path) == [0, 0, 10, 10, 20, 20]
    first, second = list(read_records(tmp_path / "trajectories.jsonl"))[:2]
    assert (first.advantages, second.advantages) == ((0.5, 0.5), (-0.5, -0.5))
    assert (first.agent, first.trajectory.task) == ("layers=3", "a")


def test_a_group_that_teaches_is_kept_before_one_that_does_not(tmp_path: Path) -> None:
    same = (played("same", 1.0), played("same", 1.0))
    Samples(tmp_path, "layers=3").keep(0, collected(same, (played("a", 1.0), played("a", 0.0))))
    Samples(tmp_path / "none", "layers=3").keep(0, collected(same))
    for folder, task in ((tmp_path, "a"), (tmp_path / "none", "same")):
        kept = list(read_records(folder / "trajectories.jsonl"))
        assert [record.trajectory.task for record in kept] == [task] * 2


def test_what_is_played_again_is_kept_once(tmp_path: Path) -> None:
    samples = Samples(tmp_path, "layers=3")
    for step in (0, 10, 20):
        samples.keep(step, ONE)
    Samples(tmp_path, "layers=3").keep(10, ONE)
    assert steps(tmp_path) == [0, 0, 10, 10]


def test_nothing_is_kept_of_a_rollout_that_teaches_nothing(tmp_path: Path) -> None:
    Samples(tmp_path, "layers=3").keep(0, collected())
    assert steps(tmp_path) == []


@pytest.mark.parametrize("line", [b"{}", b"\xff\xfe" * 3000, b"[" * 9000, b"null"])
def test_a_damaged_file_costs_its_rest_and_not_the_run(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "trajectories.jsonl"
    samples = Samples(tmp_path, "layers=3")
    samples.keep(0, ONE)
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.warns(Notice, match="line 3") as told:
        Samples(tmp_path, "layers=3").keep(10, ONE)
    assert steps(tmp_path) == [0, 0, 10, 10]
    assert len(str(told[0].message)) < 500
