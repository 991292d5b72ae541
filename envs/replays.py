"""Playing an environment again: the same actions, other paths to one state, another chance."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from typing import Any

import numpy as np

from layergym.envs.chance import seeded
from layergym.envs.core import TextEnv

TURNS = 12
"""Turns of an episode that is played to see how an environment behaves."""

Fresh = Callable[[], TextEnv]
"""Makes an instance."""


def choose(env: TextEnv, rng: np.random.Generator) -> str:
    """An admissible, expert or invalid action."""
    choices = [*(env.admissible() or []), "look", "nonsense"]
    expert = env.expert()
    picked = choices[rng.integers(len(choices))]
    return expert if expert and rng.random() < 0.3 else picked


def walk(env: TextEnv, task: str, rng: np.random.Generator) -> list[str]:
    """What one play-through chose."""
    env.reset(seed=7, options={"task": task})
    actions: list[str] = []
    over = False
    while not over and len(actions) < TURNS:
        actions.append(choose(env, rng))
        _, _, terminated, truncated, _ = env.step(actions[-1])
        over = terminated or truncated
    env.close()
    return actions


def record(env: TextEnv, task: str, actions: list[str], *, close: bool = True) -> list[Any]:
    """What is seen, and the key, after the reset and after every action."""
    seen: list[Any] = [(env.reset(seed=7, options={"task": task}), env.state_key())]
    for action in actions:
        seen.append((env.step(action), env.state_key()))
        if seen[-1][0][2] or seen[-1][0][3]:
            break
    if close:
        env.close()
    return seen


def path_keys(
    env: TextEnv, task: str, actions: list[str]
) -> Iterator[tuple[Hashable, tuple[str, ...]]]:
    """The key of every state on the way in which a further action is chosen."""
    seen = record(env, task, actions)
    for turn, ((*_, terminated, truncated, _), key) in enumerate(seen[1:], start=1):
        if not (terminated or truncated):
            yield key, tuple(actions[:turn])


def difference(fresh: Fresh, task: str, paths: tuple[tuple[str, ...], tuple[str, ...]]) -> str:
    """How what follows two paths to the same key differs, given the same chance; else empty."""
    one, two = (_at(fresh(), task, path) for path in paths)
    try:
        return _parting(one, two)
    finally:
        one.close()
        two.close()


def _parting(one: TextEnv, two: TextEnv) -> str:
    """How two environments in what should be one state part when both act alike."""
    rng = np.random.default_rng(0)
    for _ in range(TURNS):
        if one.admissible() != two.admissible():
            return "the admissible actions differ"
        action = choose(one, rng)
        a, b = one.step(action), two.step(action)
        if a[1:3] != b[1:3] or a[4] != b[4]:
            return f'"{action}" earns or ends differently'
        if a[2] or a[3] or b[3]:
            break
        if one.state_key() != two.state_key():
            return f'"{action}" leads to different keys'
    return ""


def _at(env: TextEnv, task: str, path: tuple[str, ...]) -> TextEnv:
    """`env` after `path`, its chance renewed: how much of it a path used up does not matter."""
    env.reset(seed=7, options={"task": task})
    for action in path:
        env.step(action)
    env.np_random = np.random.default_rng(0)
    return env


def under(chance: int, fresh: Fresh, task: str, actions: list[str]) -> list[Any]:
    """What is seen when the shared generators are seeded with `chance`."""
    with seeded(chance):
        return record(fresh(), task, actions)
