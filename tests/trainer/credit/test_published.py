"""HGPO and GraphGPO against the figures that their published implementations compute.

`published.json` holds groups of episodes with states drawn at random, and the advantages that the
arithmetic of verl-agent's `recipe/hgpo` and `recipe/GraphGPO` gives for them, in float64.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layergym.agents.types import Group, Reply, Trajectory, Turn
from layergym.trainer.credit.advantages import gigpo
from layergym.trainer.credit.graphgpo import graphgpo
from layergym.trainer.credit.hgpo import hgpo

PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))


def episode(
    states: list[str], success: bool, valid: list[bool] | None = None, last: str | None = None
) -> Trajectory:
    ends = [0.0] * (len(states) - 1) + [10.0 * success]
    valid = valid or [True] * len(states)
    turns = tuple(
        Turn("seen", state, Reply(""), "act", reward, right)
        for state, reward, right in zip(states, ends, valid, strict=True)
    )
    ended: Any = "terminated" if success else "truncated"
    return Trajectory("E", "task", 0, turns, ended, success, last_key=last)


def group_of(case: dict[str, Any]) -> Group:
    return Group(tuple(episode(**one) for one in case["episodes"]))


def flat(advantages: tuple[tuple[float, ...], ...]) -> list[float]:
    return [value for row in advantages for value in row]


@pytest.mark.parametrize("case", PUBLISHED["hgpo"])
def test_hgpo_equals_the_published_implementation(case: dict[str, Any]) -> None:
    settings = {name: case[name] for name in ("gamma", "history", "alpha", "norm")}
    assert flat(hgpo(group_of(case), **settings)) == pytest.approx(case["advantages"], abs=1e-8)


@pytest.mark.parametrize("case", PUBLISHED["graphgpo"])
def test_graphgpo_equals_the_published_implementation(case: dict[str, Any]) -> None:
    settings = {name: case[name] for name in ("gamma", "norm", "omega", "penalty")}
    found = graphgpo(group_of(case), **settings, compat="verl-agent")
    assert flat(found) == pytest.approx(case["advantages"], abs=1e-8)


# ---- by hand ------------------------------------------------------------------------------------


def test_hgpo_weighs_what_shares_more_of_its_way_more() -> None:
    # The second turns are all in b; the first two came from s, the third from t.
    # Returns there: 10, 0, 0. Level 1: mean 10/3; level 2, the first two: mean 5.
    made = Group(
        (episode(["s", "b"], True), episode(["s", "b"], False), episode(["t", "b"], False))
    )
    [[_, first], [_, second], [_, third]] = hgpo(made, norm="none", history=1)
    assert first == pytest.approx((2 * 20 / 3 + 3 * 5) / 5, rel=1e-6)
    assert second == pytest.approx((2 * -10 / 3 + 3 * -5) / 5, rel=1e-6)
    assert third == pytest.approx(-10 / 3, rel=1e-6)


def test_a_valuable_turn_of_a_lost_episode_is_credited_by_the_graph() -> None:
    # From s one leads to a, from where another episode reached the goal; b leads nowhere.
    won = episode(["x", "a"], True)
    near, far = episode(["s", "a"], False), episode(["s", "b"], False)
    made = Group((won, near, far))
    by_graph = graphgpo(made, omega=1.0)
    assert by_graph[1][0] > by_graph[2][0]
    by_returns = gigpo(made)
    assert by_returns[1][0] == by_returns[2][0]


def test_the_state_that_a_cut_episode_was_left_in_counts() -> None:
    won = episode(["s", "a"], True)
    lost = episode(["s"], False)
    near, nowhere = replace(lost, last_key="a"), replace(lost, last_key="b")
    assert graphgpo(Group((won, near)))[1][0] > graphgpo(Group((won, nowhere)))[1][0]
    assert graphgpo(Group((won, nowhere))) == graphgpo(Group((won, lost)))


def test_without_a_success_the_graph_says_nothing() -> None:
    made = Group((episode(["s", "a"], False), episode(["s", "b"], False)))
    assert graphgpo(made) == ((0.0, 0.0), (0.0, 0.0))


# ---- what holds for every group -----------------------------------------------------------------

states = st.lists(st.sampled_from("sab"), min_size=1, max_size=4)
groups = st.lists(st.builds(episode, states, st.booleans()), min_size=1, max_size=5).map(
    lambda rows: Group(tuple(rows))
)


@given(groups)
def test_hgpo_without_history_is_the_step_part_of_gigpo(made: Group) -> None:
    whole, episodes = gigpo(made, norm="none"), gigpo(made, norm="none", omega=0.0)
    steps = [a - b for a, b in zip(flat(whole), flat(episodes), strict=True)]
    assert flat(hgpo(made, norm="none", history=0)) == pytest.approx(steps, abs=1e-4)


@given(groups)
def test_without_weight_the_graph_leaves_grpo(made: Group) -> None:
    assert graphgpo(made, omega=0.0) == gigpo(made, omega=0.0)


@given(groups, st.randoms(use_true_random=False))
@pytest.mark.parametrize("credit", [hgpo, graphgpo])
def test_the_order_of_episodes_does_not_matter(credit: Any, made: Group, random: Any) -> None:
    order = list(range(len(made.trajectories)))
    random.shuffle(order)
    shuffled = credit(Group(tuple(made.trajectories[i] for i in order)))
    straight = credit(made)
    assert flat(shuffled) == pytest.approx(flat(tuple(straight[i] for i in order)), abs=1e-9)


@pytest.mark.parametrize("credit", [hgpo, graphgpo])
def test_an_episode_that_failed_counts_nowhere(credit: Any) -> None:
    good, bad = episode(["s", "a"], True), episode(["s"], False)
    failed = replace(good, ended="error")
    with_failure, without = credit(Group((good, failed, bad))), credit(Group((good, bad)))
    assert with_failure == (without[0], (), without[1])
