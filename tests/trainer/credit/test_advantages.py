"""Advantages: hand-computed cases and what must hold for every group."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from math import isclose, sqrt
from statistics import fmean, stdev
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layergym.agents.types import EpisodeEnd, Group, Reply, Trajectory, Turn
from layergym.trainer.credit.advantages import (
    EPSILON,
    EPSILON_VERL_AGENT,
    anchor_groups,
    discounted,
    dr_grpo,
    gigpo,
    grpo,
    penalise,
    rloo,
    same_rewards,
    statistics,
)

SILENT = Reply("")


def episode(
    rewards: Sequence[float],
    states: Sequence[Hashable] | None = None,
    *,
    invalid: Sequence[int] = (),
    ended: EpisodeEnd = "terminated",
) -> Trajectory:
    keys = range(len(rewards)) if states is None else states
    turns = tuple(
        Turn("seen", key, SILENT, "act", reward, t not in invalid)
        for t, (key, reward) in enumerate(zip(keys, rewards, strict=True))
    )
    return Trajectory("E", "task", 0, turns, ended, success=False)


def group(*trajectories: Trajectory) -> Group:
    return Group(trajectories)


def close(found: Sequence[Sequence[float]], expected: Sequence[Sequence[float]]) -> bool:
    return [len(row) for row in found] == [len(row) for row in expected] and all(
        isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)
        for x, y in zip(found, expected, strict=True)
        for a, b in zip(x, y, strict=True)
    )


# ---- by hand ------------------------------------------------------------------------------------


def test_grpo_by_hand() -> None:
    # R = 1, 0, 0: mean 1/3, sample variance ((2/3)^2 + 2 (1/3)^2) / 2 = 1/3.
    found = grpo(group(episode([0, 1]), episode([0]), episode([0])))
    scale = sqrt(1 / 3) + EPSILON
    assert close(found, [[2 / 3 / scale] * 2, [-1 / 3 / scale], [-1 / 3 / scale]])


def test_dr_grpo_by_hand() -> None:
    assert close(
        dr_grpo(group(episode([1]), episode([0]), episode([2, 2]))),
        [[-2 / 3], [-5 / 3], [7 / 3] * 2],
    )


def test_rloo_by_hand() -> None:
    # The others' means of 1, 0, 4 are 2, 2.5 and 0.5.
    assert close(rloo(group(episode([1]), episode([0]), episode([4]))), [[-1], [-2.5], [3.5]])


def test_discounted_returns_by_hand() -> None:
    # 1 + 0.5 (0 + 0.5 * 4) = 2.
    assert discounted(episode([1, 0, 4]), 0.5) == (2.0, 2.0, 4.0)


def test_gigpo_with_one_shared_state_by_hand() -> None:
    # Both start in s; the first wins at its second turn, the second never does.
    # A^E = +-1/2. Returns: (0.5, 1) and (0, 0); in s they are 0.5 and 0, so A^S = +-1/4.
    won, lost = episode([0, 1], ["s", "a"]), episode([0, 0], ["s", "b"])
    found = gigpo(group(won, lost), gamma=0.5, norm="none")
    assert close(found, [[0.75, 0.5], [-0.75, -0.5]])


def test_gigpo_with_standard_deviation_by_hand() -> None:
    # Rewards 1 and 0: deviation sqrt(1/2). Returns in s: 0.5 and 0, deviation sqrt(1/8).
    won, lost = episode([0, 1], ["s", "a"]), episode([0, 0], ["s", "b"])
    found = gigpo(group(won, lost), gamma=0.5, omega=2.0)
    whole, step = 0.5 / (sqrt(1 / 2) + EPSILON), 0.25 / (sqrt(1 / 8) + EPSILON)
    assert close(found, [[whole + 2 * step, whole], [-whole - 2 * step, -whole]])


def test_gigpo_compares_turns_of_one_episode_too() -> None:
    # Returning to s costs: its returns are 0.25, 1 (first episode) and 0 (second); mean 5/12.
    loop, lost = episode([0, 0, 1], ["s", "t", "s"]), episode([0], ["s"])
    found = gigpo(group(loop, lost), gamma=0.5, norm="none")
    mean = (0.25 + 1 + 0) / 3
    assert close(found, [[0.5 + 0.25 - mean, 0.5, 0.5 + 1 - mean], [-0.5 - mean]])


def test_penalty_before_discounting_reaches_earlier_turns() -> None:
    punished = penalise(group(episode([0, 1], invalid=[1]), episode([0])), 0.4)
    assert punished.trajectories[0].total_reward == pytest.approx(0.6)
    assert discounted(punished.trajectories[0], 0.5) == pytest.approx((0.3, 0.6))


def test_penalty_after_discounting_stays_where_it_is() -> None:
    # Episode scores: 1 - 0.4 at the invalid turn, 1 at the other; mean over trajectories 1/2.
    # Returns in s: 0.5 and 0, so A^S = +-1/4; the invalid turn is alone in its state.
    punished, lost = episode([0, 1], ["s", "a"], invalid=[1]), episode([0, 0], ["s", "b"])
    found = gigpo(group(punished, lost), gamma=0.5, norm="none", penalty=0.4)
    assert close(found, [[0.5 + 0.25, 0.5 - 0.4], [-0.75, -0.5]])


def test_verl_agent_takes_statistics_over_turns() -> None:
    # Turn rows 1, 1, 1, 0: mean 3/4, sample variance 1/4; the states are all different.
    long, short = episode([0, 0, 1], ["a", "b", "c"]), episode([0], ["d"])
    found = gigpo(group(long, short), compat="verl-agent")
    scale = 0.5 + EPSILON_VERL_AGENT
    assert close(found, [[0.25 / scale] * 3, [-0.75 / scale]])


def test_verl_agent_penalises_the_row_after_discounting() -> None:
    # Rows 1, 1 - 0.4, 0, 0: mean 0.4. Returns in s: 0.5 and 0.
    punished, lost = episode([0, 1], ["s", "a"], invalid=[1]), episode([0, 0], ["s", "b"])
    found = gigpo(group(punished, lost), gamma=0.5, norm="none", penalty=0.4, compat="verl-agent")
    assert close(found, [[0.6 + 0.25, 0.2], [-0.4 - 0.25, -0.4]])


def test_verl_agent_leaves_a_lone_score_as_it_is() -> None:
    assert gigpo(group(episode([3.0])), norm="none", compat="verl-agent") == ((3.0,),)


# ---- masking, grouping, counting ----------------------------------------------------------------


def test_a_failed_episode_counts_nowhere_and_gets_nothing() -> None:
    good, bad = episode([1], ["s"]), episode([0], ["s"])
    failed = episode([100], ["s"], ended="error")
    for credit in (grpo, dr_grpo, rloo, gigpo):
        with_failure, without = credit(group(good, failed, bad)), credit(group(good, bad))
        assert with_failure == (without[0], (), without[1])


def test_a_group_of_failures_has_no_advantages() -> None:
    failed = episode([1], ended="error")
    for credit in (grpo, dr_grpo, rloo, gigpo):
        assert credit(group(failed, failed)) == ((), ())


def test_similar_texts_share_a_group_only_when_asked() -> None:
    one = episode([0, 0], ["you see a red apple", "nothing"])
    two = episode([0, 0], ["you see a red apples", 7])
    assert len(anchor_groups([one, two])) == 4
    assert anchor_groups([one, two], similarity=0.9) == [[(0, 0), (1, 0)], [(0, 1)], [(1, 1)]]


def test_equal_rewards_are_equal_in_any_order() -> None:
    """Added up one by one, 0.1, 0.2 and 0.3 make 0.6 or a little more."""
    forth, back = episode([0.1, 0.2, 0.3]), episode([0.3, 0.2, 0.1])
    assert statistics([group(forth, back)]).zero_variance == 1
    assert same_rewards(group(forth, back, episode([5], ended="error")))
    assert not same_rewards(group(forth, episode([0.6, 1e-12])))


def test_statistics_by_hand() -> None:
    tie = group(episode([1], ["s"]), episode([1], ["s"]), episode([0], ended="error"))
    open_ = group(episode([1, 0], ["s", "t"]), episode([0], ["s"]))
    found = statistics([tie, open_])
    assert (found.groups, found.zero_variance, found.masked) == (2, 1, 1)
    assert (found.step_groups, found.shared) == (3, 2)
    assert found.mean_size == pytest.approx(5 / 3)
    assert found.shared_share == pytest.approx(2 / 3)


# ---- whatever the group -------------------------------------------------------------------------

rewards = st.integers(-8, 8).map(lambda n: n / 4)
"""Quarters: sums and differences of them are exact."""
turns = st.lists(st.tuples(rewards, st.sampled_from("abc"), st.booleans()), min_size=1, max_size=4)


@st.composite
def groups(draw: Any, smallest: int = 1) -> Group:
    drawn = draw(st.lists(turns, min_size=smallest, max_size=5))
    return Group(
        tuple(
            episode(
                [r for r, _, _ in rows],
                [s for _, s, _ in rows],
                invalid=[t for t, (_, _, bad) in enumerate(rows) if bad],
            )
            for rows in drawn
        )
    )


settings = st.fixed_dictionaries(
    {
        "gamma": st.sampled_from([0.5, 0.95, 1.0]),
        "omega": st.sampled_from([0.0, 0.5, 1.0]),
        "norm": st.sampled_from(["std", "none"]),
        "penalty": st.sampled_from([0.0, 0.25]),
        "compat": st.sampled_from([None, "verl-agent"]),
    }
)


@given(groups(), settings, st.randoms(use_true_random=False))
def test_order_does_not_matter(made: Group, how: dict[str, Any], random: Any) -> None:
    order = list(range(len(made.trajectories)))
    random.shuffle(order)
    shuffled = Group(tuple(made.trajectories[i] for i in order))
    straight = gigpo(made, **how)
    assert close(gigpo(shuffled, **how), [straight[i] for i in order])


@given(groups(smallest=2), st.sampled_from([grpo, dr_grpo, rloo]), rewards)
def test_a_constant_added_to_every_return_changes_nothing(
    made: Group, credit: Any, shift: float
) -> None:
    def shifted(t: Trajectory) -> Trajectory:
        first = replace(t.turns[0], reward=t.turns[0].reward + shift)
        return replace(t, turns=(first, *t.turns[1:]))

    assert close(credit(Group(tuple(map(shifted, made.trajectories)))), credit(made))


@given(groups(), st.sampled_from(["std", "none"]))
def test_without_the_step_term_gigpo_is_grpo(made: Group, norm: Any) -> None:
    assert close(gigpo(made, omega=0.0, norm=norm), (grpo if norm == "std" else dr_grpo)(made))


@given(groups(), settings)
def test_turns_alone_in_their_state_have_no_step_advantage(
    made: Group, how: dict[str, Any]
) -> None:
    def alone(i: int, t: Trajectory) -> Trajectory:
        return replace(t, turns=tuple(replace(x, state_key=(i, n)) for n, x in enumerate(t.turns)))

    apart = Group(tuple(alone(i, t) for i, t in enumerate(made.trajectories)))
    assert close(gigpo(apart, **how), gigpo(apart, **{**how, "omega": 0.0}))


@given(turns, st.integers(2, 5), settings)
def test_identical_trajectories_with_distinct_states_have_no_advantage(
    rows: list[tuple[float, str, bool]], copies: int, how: dict[str, Any]
) -> None:
    one = episode([r for r, _, _ in rows])
    assert close(gigpo(Group((one,) * copies), **how), [[0.0] * len(rows)] * copies)


@given(groups(smallest=2))
def test_without_scaling_each_level_is_leave_one_out(made: Group) -> None:
    n = len(made.trajectories)
    scaled = [[value * n / (n - 1) for value in row] for row in dr_grpo(made)]
    assert close(scaled, rloo(made))


@given(groups(smallest=2))
def test_step_advantages_of_a_state_sum_to_zero(made: Group) -> None:
    with_step, without = gigpo(made, norm="none"), gigpo(made, norm="none", omega=0.0)
    for members in anchor_groups(made.trajectories):
        assert isclose(sum(with_step[i][t] - without[i][t] for i, t in members), 0, abs_tol=1e-9)


@given(groups(smallest=2), st.floats(0, 1))
def test_no_penalty_without_invalid_actions(made: Group, penalty: float) -> None:
    def fine(t: Trajectory) -> Trajectory:
        return replace(t, turns=tuple(replace(x, valid=True) for x in t.turns))

    clean = Group(tuple(map(fine, made.trajectories)))
    assert penalise(clean, penalty) == clean
    assert gigpo(clean, penalty=penalty) == gigpo(clean)


def test_statistics_match_the_formula_for_one_group() -> None:
    values = [0.0, 1.0, 1.0, 5.0]
    found = grpo(group(*(episode([v]) for v in values)))
    expected = [[(v - fmean(values)) / (stdev(values) + EPSILON)] for v in values]
    assert close(found, expected)
