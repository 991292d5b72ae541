"""What of a turn's credit compares episodes, and which turns were compared."""

from __future__ import annotations

from math import isclose

from layergym.agents.types import Group, Reply, Trajectory, Turn
from layergym.trainer.credit.advantages import gigpo, grpo
from layergym.trainer.credit.algorithms import Compared, Credit, give_credit
from layergym.trainer.credit.parts import credit_parts


def episode(keys: str, rewards: tuple[float, ...], ended: str = "terminated") -> Trajectory:
    turns = tuple(
        Turn("seen", key, Reply("do"), "do", reward, True)
        for key, reward in zip(keys, rewards, strict=True)
    )
    return Trajectory("e", "t", 0, turns, ended, sum(rewards) > 0)  # type: ignore[arg-type]


GROUP = Group(
    (
        episode("abc", (0.0, 0.0, 1.0)),
        episode("abd", (0.0, 0.0, 0.0)),
        episode("a", (0.0,), "error"),
        episode("ca", (0.5, 0.0)),
    )
)


def test_the_part_of_the_episode_and_of_the_step_add_up() -> None:
    credit = Credit("gigpo", omega=0.5, norm="none")
    [whole] = give_credit([Compared.of(GROUP, credit)], credit)
    parts = credit_parts(GROUP, credit)
    steps = gigpo(GROUP, omega=1.0, norm="none")
    episodes = gigpo(GROUP, omega=0.0, norm="none")
    assert parts.episode == episodes
    for total, own, step, alone in zip(
        whole.advantages, parts.episode, steps, episodes, strict=True
    ):
        for a, b, c, d in zip(total, own, step, alone, strict=True):
            assert isclose(a - b, 0.5 * (c - d), abs_tol=1e-12)


def test_turns_in_equal_states_have_equal_numbers_and_errors_have_none() -> None:
    assert credit_parts(GROUP, Credit()).states == ((0, 1, 2), (0, 1, 3), (), (2, 0))


def test_similar_states_are_one_where_the_run_says_so() -> None:
    group = Group((episode("a", (1.0,)), episode("b", (0.0,))))
    turns = [t.turns[0] for t in group.trajectories]
    assert turns[0].state_key != turns[1].state_key
    assert credit_parts(group, Credit(similarity=0.0)).states == ((0,), (0,))
    assert credit_parts(group, Credit()).states == ((0,), (1,))


def test_an_algorithm_without_a_step_part_has_none() -> None:
    parts = credit_parts(GROUP, Credit("grpo"))
    assert parts.episode == ((), (), (), ())
    assert grpo(GROUP)[2] == ()


def test_the_penalty_for_invalid_actions_is_in_the_parts_as_in_the_whole() -> None:
    bad = Turn("seen", "a", Reply("do"), "do", 1.0, False)
    group = Group((Trajectory("e", "t", 0, (bad,), "terminated", True), episode("a", (0.0,))))
    credit = Credit("gigpo", omega=0.0, invalid_penalty=0.25, norm="none")
    [whole] = give_credit([Compared.of(group, credit)], credit)
    assert credit_parts(group, credit).episode == whole.advantages == ((0.375,), (-0.375,))
