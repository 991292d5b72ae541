"""The environment contract."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import layergym as lg
from layergym.base.errors import ContractError


class Counting(lg.TextEnv):
    """Say the numbers in order."""

    max_turns = 4

    @property
    def tasks(self) -> list[str]:
        return [f"{self.split}-{n}" for n in range(3)]

    def start(self) -> str:
        self.said = int(self.np_random.integers(100))
        return f"start {self.said}"

    def play(self, action: str) -> lg.Outcome:
        self.said += 1
        if action == str(self.said):
            return lg.Outcome("done", 1.0, terminated=True, success=True)
        return lg.Outcome(f"no {self.np_random.integers(100)}", valid=action.isdigit())


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    lg.register("test/Counting-v0", Counting)
    yield
    del gymnasium.registry["test/Counting-v0"]


def test_gymnasium_finds_and_accepts_it() -> None:
    env = gymnasium.make("test/Counting-v0", split="test")
    assert env.reset(options={"task": "test-1"})[1]["task"] == "test-1"
    check_env(env.unwrapped, skip_render_check=True)


def test_it_conforms() -> None:
    assert lg.conforms("test/Counting-v0") == []


def test_start_depends_on_the_task_and_dynamics_on_the_seed() -> None:
    env = lg.make("counting-v0")
    starts, replies = set(), set()
    for seed in range(8):
        starts.add(env.reset(seed=seed, options={"task": "train-2"})[0])
        replies.add(env.step("x")[0])
    assert len(starts) == 1
    assert len(replies) > 1


def test_turn_limit_truncates_and_then_asks_for_reset() -> None:
    env = lg.make("counting-v0")
    env.reset(seed=0)
    ends = [env.step("x")[2:4] for _ in range(4)]
    assert ends == [(False, False)] * 3 + [(False, True)]
    with pytest.raises(ResetNeeded, match="call reset"):
        env.step("x")


def test_default_state_key_tells_histories_apart() -> None:
    keys = set()
    for actions in (["a", "b"], ["ab"], ["b", "a"]):
        env = lg.make("counting-v0")
        env.reset(seed=0, options={"task": "train-0"})
        for action in actions:
            env.step(action)
        keys.add(env.state_key())
    assert len(keys) == 3


def test_clone_is_independent() -> None:
    env = lg.make("counting-v0")
    text, _ = env.reset(seed=0, options={"task": "train-0"})
    twin = env.clone()
    env.step("x")
    assert twin.step(str(int(text.split()[1]) + 1))[2]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_vector_environments_carry_texts(mode: str) -> None:
    vector = gymnasium.make_vec("test/Counting-v0", num_envs=2, vectorization_mode=mode)
    texts, _ = vector.reset(seed=3, options={"task": "train-0"})
    assert len(set(texts)) == 1
    assert texts[0].startswith("start ")
    texts, *_ = vector.step(("é", "\N{SNOWMAN}"))
    assert all(text.startswith("no ") for text in texts)
    vector.close()


def test_errors_say_what_to_do() -> None:
    with pytest.raises(lg.InputError, match='did you mean "counting-v0"'):
        lg.make("countin-v0")
    with pytest.raises(lg.InputError, match='no split "tests"; did you mean "test"'):
        lg.make("counting-v0", split="tests")
    with pytest.raises(lg.InputError, match='did you mean "train-1"'):
        lg.make("counting-v0").reset(options={"task": "train-11"})
    with pytest.raises(lg.InputError, match="does not take these settings"):
        lg.make("counting-v0", rooms=3)
    with pytest.raises(lg.InputError, match="is taken by"):
        lg.register("test/Counting-v0", lg.TextEnv)
    with pytest.raises(TypeError, match="an action is a str"):
        lg.make("counting-v0").step(3)  # type: ignore[arg-type]


def test_panels_are_fixed_nested_and_hashed() -> None:
    env = lg.make("counting-v0")
    small, whole = lg.panel(env, 2), lg.panel(env)
    assert set(small.tasks) < set(whole.tasks)
    assert small == lg.panel(lg.make("counting-v0"), 2)
    assert small.hash != whole.hash != lg.panel(lg.make("counting-v0", split="test")).hash
    with pytest.raises(lg.InputError, match="has 3 tasks; 4 were asked for"):
        lg.panel(env, 4)


class Says(lg.TextEnv):
    """Ends at once, with the outcome that it was made with."""

    def __init__(self, outcome: Any) -> None:
        super().__init__()
        self.outcome = outcome

    def start(self) -> str:
        return "?"

    def play(self, action: str) -> Any:
        return self.outcome


@pytest.mark.parametrize(
    ("text", "reward", "truth"),
    [
        (np.str_("a"), np.float32(0.5), np.True_),
        ("a", np.array(0.5), np.array(True)),
        ("a", torch.tensor(0.5), torch.tensor(True)),
        ("a", Fraction(1, 2), 1),
    ],
)
def test_what_libraries_give_becomes_plain(text: Any, reward: Any, truth: Any) -> None:
    env = Says(lg.Outcome(text, reward, truth, truth, truth))
    env.reset(seed=0)
    found = env.step("x")
    info = found[4]
    assert found[:4] == ("a", 0.5, True, False)
    kinds = [type(each) for each in (*found[:4], info["valid"], info["success"])]
    assert kinds == [str, float, bool, bool, bool, bool]


@pytest.mark.parametrize(
    "outcome",
    [
        lg.Outcome("a", float("nan")),
        lg.Outcome("a", float("-inf")),
        lg.Outcome("a", np.float32("inf")),  # type: ignore[arg-type]
        lg.Outcome("a", 1e308),
        lg.Outcome("a", 10**400),
        lg.Outcome("a", "1.0"),  # type: ignore[arg-type]
        lg.Outcome("a", None),  # type: ignore[arg-type]
        lg.Outcome("a", 1j),  # type: ignore[arg-type]
        lg.Outcome("a", np.ones(2)),  # type: ignore[arg-type]
        lg.Outcome("a", terminated=np.ones(2)),  # type: ignore[arg-type]
        lg.Outcome("a", success="no"),  # type: ignore[arg-type]
        *(lg.Outcome("a", success=odd) for odd in (float("nan"), None, 7, object(), [])),  # type: ignore[arg-type]
        lg.Outcome(b"a"),  # type: ignore[arg-type]
        lg.Outcome(None),  # type: ignore[arg-type]
        ("a", 0.0, True),
        None,
    ],
)
def test_what_is_no_outcome_ends_the_episode(outcome: Any) -> None:
    env = Says(outcome)
    env.reset(seed=0)
    with pytest.raises(ContractError):
        env.step("x")
    with pytest.raises(ResetNeeded):
        env.step("x")


def test_texts_can_be_encoded_and_pairs_of_surrogates_are_joined() -> None:
    env = Says(lg.Outcome("lone \ud800, pair \ud83d\ude00, \N{SNOWMAN}"))
    env.reset(seed=0)
    assert env.step("\udfff")[0] == "lone \ufffd, pair \U0001f600, \N{SNOWMAN}"


class Lying(str):
    """A text whose methods fail."""

    def strip(self, chars: str | None = None) -> str:
        raise RuntimeError("no text")

    def __len__(self) -> int:
        raise RuntimeError("no text")


def test_instructions_are_plain_whatever_kind_of_text_they_are() -> None:
    class Instructed(Counting):
        instructions = Lying("Count.")

    lg.register("test/Instructed-v0", Instructed)
    try:
        assert lg.make("instructed-v0").instructions.strip() == "Count."
    finally:
        del gymnasium.registry["test/Instructed-v0"]


@pytest.mark.parametrize("task", ["a\0b", "a\nb", "\ud800", ""])
def test_ids_that_cannot_be_written_are_refused(task: str) -> None:
    class Named(Says):
        @property
        def tasks(self) -> list[str]:
            return [task]

    env = Named(lg.Outcome("a"))
    with pytest.raises(lg.InputError, match="cannot be used"):
        env.reset(seed=0)
    with pytest.raises(lg.InputError, match="cannot be used"):
        lg.panel(env)


def test_a_digest_that_fails_is_named() -> None:
    class Undigested(Says):
        def digest(self, task: str) -> str:
            raise KeyError(task)

    with pytest.raises(lg.InputError, match=r"digest.*KeyError"):
        lg.panel(Undigested(lg.Outcome("a")), 3)


@pytest.mark.parametrize(
    "tasks", [None, 3, "tasks", [], ["a", "a"], ["a", 1], [""], ["a\0"], ["\ud800"]]
)
def test_tasks_that_cannot_be_are_refused_before_anything_is_played(tasks: Any) -> None:
    class Odd(Says):
        @property
        def tasks(self) -> Any:
            return tasks

    with pytest.raises(lg.InputError):
        lg.panel(Odd(lg.Outcome("a")))


def test_tasks_that_fail_are_told_with_their_environment() -> None:
    class Odd(Says):
        @property
        def tasks(self) -> Any:
            raise KeyError("no such file")

    with pytest.raises(lg.InputError, match="Odd cannot name its tasks: KeyError"):
        lg.panel(Odd(lg.Outcome("a")))
