"""Gymnasium's environments in words, MiniGrid as the example."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import minigrid
import numpy as np
import pytest

import layergym as lg
from layergym.agents import Job, RandomAgent, rollout
from layergym.envs.adapters.gymnasium import Gymnasium

LAKE: dict[str, Any] = {"env_id": "FrozenLake-v1", "actions": ["left", "down", "right", "up"]}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gymnasium-v0", LAKE),
        ("gymnasium-v0", {"env_id": "CartPole-v1"}),
        ("minigrid-v0", {"env_id": "MiniGrid-GoToDoor-5x5-v0"}),
        ("minigrid-v0", {"env_id": "MiniGrid-DoorKey-5x5-v0"}),
        ("minigrid-v0", {"env_id": "MiniGrid-Dynamic-Obstacles-6x6-v0"}),
        ("minigrid-v0", {"env_id": "BabyAI-GoToLocal-v0"}),
    ],
    ids=lambda value: value["env_id"] if isinstance(value, dict) else value,
)
def test_it_conforms(name: str, settings: dict[str, Any]) -> None:
    assert lg.conforms(lambda: lg.make(name, **settings)) == []


def test_what_is_seen_is_what_the_grid_holds() -> None:
    env = lg.make("minigrid-v0", env_id="MiniGrid-Empty-5x5-v0")
    text, _ = env.reset(seed=0)
    assert text == (
        "Your mission: get to the green goal square.\n"
        "You see a green goal 2 steps forward and 2 steps right, a wall 3 steps forward, "
        "a wall 1 step left, a wall 3 steps right."
    )
    env.step("go forward")
    text, *_ = env.step("turn right")
    assert text.startswith("You see a green goal 2 steps forward and 1 step left")


def test_a_mission_can_be_played_to_its_end_and_pays_as_minigrid_does() -> None:
    env = lg.make("minigrid-v0", env_id="MiniGrid-Empty-5x5-v0")
    env.reset(seed=0)
    way = ["go forward", "go forward", "turn right", "go forward", "go forward"]
    *_, (_, reward, terminated, _, info) = [env.step(action) for action in way]
    assert terminated and info["success"]
    assert reward == pytest.approx(1 - 0.9 * 5 / 100)


def test_what_is_carried_is_told() -> None:
    env = lg.make("minigrid-v0", env_id="MiniGrid-Fetch-5x5-N2-v0")
    inner = env.inner.unwrapped  # type: ignore[attr-defined]
    env.reset(seed=0, options={"task": "train-0000"})
    inner.carrying = minigrid.core.world_object.Key("blue")
    text, *_ = env.step("turn left")
    assert text.startswith("You carry a blue key. You see ")


def test_chance_depends_on_the_seed_of_the_episode() -> None:
    def slides_to(seed: int) -> str:
        env = lg.make("gymnasium-v0", **LAKE)
        env.reset(seed=seed, options={"task": "train-0000"})
        return env.step("right")[0]

    assert slides_to(1) == slides_to(1)
    assert len({slides_to(seed) for seed in range(8)}) > 1


def test_numbers_beyond_words_need_a_description() -> None:
    class Cards(Gymnasium):
        actions = ("stick", "hit")

        def describe(self, observation: tuple[int, int, int]) -> str:
            mine, dealer, ace = observation
            return f"You hold {mine}, the dealer shows {dealer}" + " (ace)" * ace

    with pytest.raises(lg.InputError, match="write describe"):
        Gymnasium(env_id="Blackjack-v1").reset(seed=0)
    jobs = [Job("train-0001", 0)]
    [played] = rollout(RandomAgent(), lambda: Cards(env_id="Blackjack-v1"), jobs)
    assert played.turns[0].observation.startswith("You hold ")
    assert played.error == ""


def test_errors_say_what_to_do() -> None:
    with pytest.raises(lg.InputError, match="needs these settings: 'env_id'"):
        lg.make("gymnasium-v0")
    with pytest.raises(lg.InputError, match='cannot make "Nowhere-v0"'):
        lg.make("gymnasium-v0", env_id="Nowhere-v0")
    with pytest.raises(lg.InputError, match="there are 4 actions, but 1 names"):
        lg.make("gymnasium-v0", env_id="FrozenLake-v1", actions=["left"])
    gymnasium.register("test/Steer-v0", f"{__name__}:_Steer")
    with pytest.raises(lg.InputError, match="texts and choose among names only"):
        lg.make("gymnasium-v0", env_id="test/Steer-v0")
    del gymnasium.registry["test/Steer-v0"]


class _Steer(gymnasium.Env[np.ndarray, np.ndarray]):
    action_space = gymnasium.spaces.Box(-1, 1)
    observation_space = gymnasium.spaces.Box(-1, 1)


# ---- what is seen and said ----------------------------------------------------------------------


class _Shows(gymnasium.Env[Any, str]):
    """Shows `seen` and takes short lower-case words."""

    action_space = gymnasium.spaces.Text(min_length=1, max_length=4, charset="onf")

    def __init__(self, seen: Any) -> None:
        self.seen = seen
        self.said: list[str] = []

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**kwargs)
        return self.seen, {}

    def step(self, action: str) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.said.append(action)
        return self.seen, 1.0, True, False, {}


@pytest.fixture
def shows() -> Iterator[str]:
    gymnasium.register("test/Shows-v0", _Shows)
    yield "test/Shows-v0"
    del gymnasium.registry["test/Shows-v0"]


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ("a door", "a door"),
        (0.25, "0.25"),
        (np.float32(0.1), "0.1"),
        (np.float64(-1.5), "-1.5"),
        (True, "True"),
        (np.bool_(False), "False"),
        (3, "You are in state 3."),
        (np.int64(3), "You are in state 3."),
        (np.array([0.5, -2]), "0.5, -2"),
        (np.array([True, False]), "True, False"),
        (np.array([123_456, 7]), "123456, 7"),
        (np.array(7), "7"),
    ],
    ids=repr,
)
def test_one_value_and_small_arrays_have_words(seen: Any, words: str, shows: str) -> None:
    env = Gymnasium(env_id=shows, settings={"seen": seen})
    assert env.reset(seed=0)[0] == words
    assert env.step("on")[:3] == (words, 1.0, True)


@pytest.mark.parametrize(
    "seen", [None, (1, 2), np.zeros(65), np.array(["a", "b"]), np.array([1j]), b"a"], ids=repr
)
def test_what_has_no_obvious_words_needs_a_description(seen: Any, shows: str) -> None:
    with pytest.raises(lg.InputError, match="write describe"):
        Gymnasium(env_id=shows, settings={"seen": seen}).reset(seed=0)


@pytest.mark.parametrize("action", ["", "fooooo", "off!", "é", "ON", "on\n", "\x00", "o" * 10_000])
def test_a_text_outside_the_action_space_is_invalid_and_never_passed_on(
    action: str, shows: str
) -> None:
    env = Gymnasium(env_id=shows, settings={"seen": "a door"})
    env.reset(seed=0)
    text, reward, terminated, _, info = env.step(action)
    assert (reward, terminated, info["valid"]) == (0.0, False, False)
    assert "Text(1, 4" in text
    assert env.inner.unwrapped.said == []  # type: ignore[attr-defined]
    assert env.step("on")[1:3] == (1.0, True)
    assert env.inner.unwrapped.said == ["on"]  # type: ignore[attr-defined]
