"""Credit as one value, one table and one result."""

from __future__ import annotations

from math import inf, nan, sqrt
from statistics import stdev
from typing import Any

import pytest

from layergym.agents.types import Group, Reply, Trajectory, Turn
from layergym.base.errors import InputError
from layergym.trainer.credit.advantages import EPSILON, gigpo
from layergym.trainer.credit.algorithms import (
    ALGORITHMS,
    Algorithm,
    Compared,
    Credit,
    each,
    give_credit,
)
from layergym.trainer.spec import RunSpec


def episode(rewards: list[float], *, invalid: tuple[int, ...] = (), task: str = "t") -> Trajectory:
    turns = tuple(
        Turn("seen", t, Reply(""), "act", reward, t not in invalid)
        for t, reward in enumerate(rewards)
    )
    return Trajectory("E", task, 0, turns, "terminated", False)


def given(credit: Credit, *groups: Group) -> list[tuple[tuple[float, ...], ...]]:
    return [one.advantages for one in give_credit([Compared.of(g, credit) for g in groups], credit)]


MIXED = Group((episode([0, 1, 0]), episode([0], invalid=(0,))))


def test_batch_norm_divides_by_the_deviation_of_all_groups() -> None:
    near, far = Group((episode([1]), episode([0]))), Group((episode([9]), episode([1])))
    scale = stdev([1, 0, 9, 1]) + EPSILON
    found = given(Credit("grpo", norm="batch"), near, far)
    values = [row[0] for advantages in found for row in advantages]
    assert values == pytest.approx([0.5 / scale, -0.5 / scale, 4 / scale, -4 / scale])


def test_grpo_without_scaling_is_the_difference_to_the_mean() -> None:
    [found] = given(Credit("grpo", norm="none"), Group((episode([3]), episode([1]))))
    assert found == ((1.0,), (-1.0,))


def test_grpo_as_verl_agent_is_its_gigpo_without_steps() -> None:
    [found] = given(Credit("grpo", invalid_penalty=0.1, compat="verl-agent"), MIXED)
    assert found == gigpo(MIXED, omega=0.0, penalty=0.1, compat="verl-agent")
    [ours] = given(Credit("grpo", invalid_penalty=0.1), MIXED)
    assert found != ours


def test_the_group_stays_as_it_was_played() -> None:
    credit = Credit("dr_grpo", invalid_penalty=1.0)
    [one] = give_credit([Compared.of(MIXED, credit)], credit)
    assert one.group == MIXED
    assert one.advantages == ((1.0,) * 3, (-1.0,))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"gamma": 2}, "gamma"),
        ({"gamma": nan}, "gamma"),
        ({"gamma": True}, "gamma"),
        ({"omega": -1}, "omega"),
        ({"omega": inf}, "omega"),
        ({"invalid_penalty": -0.1}, "invalid_penalty"),
        ({"similarity": 1.5}, "similarity"),
        ({"norm": "mean"}, "norm"),
        ({"norm": "batch"}, "grpo"),
        ({"compat": "trl"}, "compat"),
        ({"algorithm": "gigo"}, "gigpo"),
        ({"algorithm": "grpo", "gamma": 0.9}, "gamma"),
        ({"algorithm": "rloo", "norm": "none"}, "norm"),
        ({"algorithm": "dr_grpo", "compat": "verl-agent"}, "compat"),
        ({"algorithm": "grpo", "norm": "batch", "compat": "verl-agent"}, "compat"),
    ],
)
def test_what_cannot_be_used_is_refused_everywhere(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(InputError, match=named):
        Credit(**settings)
    with pytest.raises(InputError, match=named):
        RunSpec(env="alfworld-v0", **settings)


@pytest.mark.parametrize("reward", [inf, -inf, nan, 1e308, -1e308])
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
def test_rewards_that_cannot_be_compared_are_named(algorithm: str, reward: float) -> None:
    group = Group((episode([reward, reward], task="odd"), episode([0.0], task="odd")))
    with pytest.raises(InputError, match="task odd"):
        given(Credit(algorithm), group)


def test_an_algorithm_is_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    last = Algorithm(
        each(
            lambda group, credit: tuple(
                tuple(credit.gamma * t.reward for t in one.turns) for one in group.trajectories
            )
        ),
        reads=frozenset({"gamma"}),
    )
    monkeypatch.setitem(ALGORITHMS, "raw", last)
    spec = RunSpec(env="alfworld-v0", algorithm="raw", gamma=0.5)
    assert given(spec.credit, Group((episode([2]), episode([4])))) == [((1.0,), (2.0,))]
    with pytest.raises(InputError, match="omega"):
        RunSpec(env="alfworld-v0", algorithm="raw", omega=2.0)


def test_deviations_are_sample_deviations() -> None:
    [found] = given(Credit("grpo"), Group((episode([1]), episode([0]))))
    assert found[0][0] == pytest.approx(0.5 / (sqrt(0.5) + EPSILON))
