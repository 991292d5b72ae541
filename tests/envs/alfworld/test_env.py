"""The environment: panels, episodes, what it says about states."""

import time
from typing import Any

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

from layergym.base.errors import InputError
from layergym.envs.alfworld import ALFWorld
from layergym.envs.alfworld.tables import KINDS
from layergym.envs.panels import panel
from layergym.envs.registry import make


def small(**settings: Any) -> ALFWorld:
    env = make("ALFWorld-v0", max_receptacles=8, **settings)
    assert isinstance(env, ALFWorld)
    return env


def test_it_is_a_proper_gymnasium_environment() -> None:
    check_env(small(), skip_render_check=True)


def test_listing_a_big_panel_makes_no_game() -> None:
    started = time.process_time()
    env = make("ALFWorld-v0", size=6000)
    assert len(panel(env)) == 6000
    assert time.process_time() - started < 1.0


def test_sixty_four_environments_share_their_games() -> None:
    vector = SyncVectorEnv([lambda: small(size=6)] * 64)
    _, info = vector.reset(seed=0)
    assert set(info["task"]) <= set(small(size=6).tasks)
    plays = [env._play for env in vector.envs if isinstance(env, ALFWorld)]
    assert len(plays) == 64
    assert len({id(play.game) for play in plays}) == len(set(info["task"]))
    commands = np.array([play.admissible()[0] for play in plays], dtype=object)
    texts, rewards, *_ = vector.step(commands)
    assert len(texts) == 64 and not rewards.any()
    assert "Nothing happens." not in texts
    vector.close()


def test_kinds_are_balanced_and_can_be_chosen() -> None:
    env = small(size=60)
    assert [sum(env.kind(t) == kind for t in env.tasks) for kind in KINDS] == [10] * 6
    env = small(size=10, kinds=["look_at_obj_in_light"])
    assert {env.kind(task) for task in env.tasks} == {"look_at_obj_in_light"}
    with pytest.raises(InputError, match="did you mean"):
        small(kinds=["look_at_object_in_light"])


def test_knobs_change_the_panel() -> None:
    hashes = {panel(make("ALFWorld-v0", size=6, max_receptacles=n)).hash for n in (None, 8, 9)}
    assert len(hashes) == 3


def test_splits_share_no_task() -> None:
    assert not set(small(split="train").tasks) & set(small(split="test").tasks)
    with pytest.raises(InputError, match="generated"):
        small(split="valid_seen")


@pytest.mark.parametrize("version", ["0.3", "0.4"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_expert_wins(kind: str, version: str) -> None:
    env = small(kinds=[kind], size=3, version=version)
    for task in env.tasks:
        env.reset(options={"task": task})
        over = False
        while not over:
            action = env.expert()
            assert action is not None
            # It cannot know that a receptacle stands where it already is.
            assert action in env.admissible() or action.startswith("go to ")
            _, reward, terminated, truncated, info = env.step(action)
            over = terminated or truncated
        assert (reward, terminated, info["success"]) == (1.0, True, True)


def test_an_expert_without_common_sense_searches_longer_but_wins() -> None:
    turns = {True: 0, False: 0}
    for common_sense in turns:
        env = small(size=30, common_sense=common_sense)
        for task in env.tasks:
            env.reset(options={"task": task})
            over = False
            while not over:
                _, _, terminated, over, _ = env.step(env.expert() or "look")
                over = over or terminated
            assert terminated
            turns[common_sense] += env.turn
    assert turns[False] > 1.1 * turns[True]


def test_the_oracle_wins_from_a_scrambled_state_in_as_many_steps_as_it_says() -> None:
    env = small(size=12)
    for task in env.tasks:
        env.reset(options={"task": task})
        for turn in range(10):
            commands = [c for c in env.admissible() if not c.startswith("go to")]
            env.step(commands[turn % len(commands)])
        way = env.oracle()
        assert way
        for command in way[:-1]:
            assert not env.step(command)[2]
        assert env.step(way[-1])[4]["success"]


def test_a_clone_goes_its_own_way() -> None:
    env = small()
    env.reset(options={"task": env.tasks[0]})
    way = env.oracle()
    assert way
    env.step(way[0])
    twin = env.clone()
    assert twin.state_key() == env.state_key()
    for command in way[1:]:
        twin.step(command)
    assert twin.oracle() == []
    assert env.oracle() == way[1:]
    assert env.expert() != twin.expert() or env.state_key() != twin.state_key()


def test_the_state_key_forgets_detours_but_not_what_was_seen() -> None:
    env = small()
    env.reset(options={"task": env.tasks[0]})
    go = [c for c in env.admissible() if c.startswith("go to ")]
    fresh = env.state_key()
    env.step("dance")
    env.step("look")
    assert env.state_key() == fresh
    env.step(go[0])
    first = env.state_key()
    env.step(go[1])
    env.step(go[0])
    assert env.state_key() != first
    both = env.state_key()
    env.step(go[1])
    env.step(go[0])
    assert env.state_key() == both


def test_what_is_not_understood_is_invalid() -> None:
    env = small()
    env.reset(options={"task": env.tasks[0]})
    text, reward, terminated, _, info = env.step("make me a sandwich")
    assert (text, reward, terminated, info["valid"]) == ("Nothing happens.", 0.0, False, False)


def test_shaping_pays_for_every_command_that_brings_the_goal_nearer() -> None:
    env = small(size=6, shaping=0.1)
    for task in env.tasks:
        env.reset(options={"task": task})
        way = env.oracle()
        assert way
        total = sum(env.step(command)[1] for command in way)
        assert total == pytest.approx(1 + 0.1 * len(way))


def test_holding_what_fits_nowhere_is_a_dead_end() -> None:
    env = make("ALFWorld-v0", kinds=["pick_and_place_simple"], size=200)
    assert isinstance(env, ALFWorld)
    for task in env.tasks:
        env.reset(options={"task": task})
        for place in [c for c in env.admissible() if c.startswith("go to ")]:
            text, _, over, _, info = env.step(place)
            assert not info["dead_end"] and not over
            if " a teddybear 1" in text:
                info = env.step(f"take teddybear 1 from {place.removeprefix('go to ')}")[4]
                assert info["valid"] and info["dead_end"]
                assert env.oracle() is None
                return
            if env.turn == env.max_turns:
                break
    pytest.fail("no teddy bear in 200 games")


def test_both_dialects_describe_their_commands() -> None:
    assert "move <object> to <receptacle>" in small(version="0.4").instructions
    assert "put <object> in/on <receptacle>" in small(version="0.3").instructions
    with pytest.raises(InputError, match="ALFWorld version"):
        small(version="0.5")
