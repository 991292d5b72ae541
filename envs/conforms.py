"""`conforms`: does an environment keep the contract, and how to mend it where it does not."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env

from layergym.envs.core import TextEnv
from layergym.envs.errors import InputError
from layergym.envs.registry import make

TASKS = 5
TURNS = 12


def conforms(env: str | Callable[[], TextEnv]) -> list[str]:
    """Check an environment's promises by playing it; an empty list means that it keeps them.

    Args:
        env: a registered id, or something that makes a fresh instance when called.

    Returns:
        One sentence a problem, each with what to do about it.
    """
    fresh: Callable[[], TextEnv] = (lambda: make(env)) if isinstance(env, str) else env
    problems: list[str] = []
    for check in (_gymnasium, _starts, _replays, _strange_input, _extras):
        try:
            problems += check(fresh)
        except Exception as error:  # whatever an author's code raises is a finding
            what = f"{type(error).__name__}: {error}"
            problems.append(f"playing it raised {what}; an action may fail, but must not raise")
    return list(dict.fromkeys(problems))


def _gymnasium(fresh: Callable[[], TextEnv]) -> Iterator[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(fresh(), skip_render_check=True)
        except Exception as error:  # check_env raises whatever it finds
            yield f"gymnasium's check_env says: {error}"
    for warning in caught:
        text = str(warning.message)
        if "from `gymnasium.make`" not in text and "through `gymnasium.make`" not in text:
            yield f"gymnasium's check_env warns: {text}"


def _starts(fresh: Callable[[], TextEnv]) -> Iterator[str]:
    """Same task, same start, whatever the seed and whatever was played before."""
    first, second = fresh(), fresh()
    if not first.tasks:
        yield "`tasks` is empty; name at least one task"
    if len(set(first.tasks)) != len(first.tasks):
        yield "`tasks` names a task twice; ids must be unique"
    for task in list(first.tasks)[:TASKS]:
        one, info = first.reset(seed=1, options={"task": task})
        first.step("look")
        two, _ = second.reset(seed=2, options={"task": task})
        if one != two:
            yield (
                f'task "{task}" starts differently with another seed; in start(), draw from '
                "self.np_random only, and keep no state from earlier episodes"
            )
        if info["task"] != task:
            yield f'info["task"] is "{info["task"]}" after reset to "{task}"; do not change it'


def _replays(fresh: Callable[[], TextEnv]) -> Iterator[str]:
    """Same task, seed and actions give the same everything."""
    for task in list(fresh().tasks)[:TASKS]:
        env = fresh()
        env.reset(seed=7, options={"task": task})
        actions = _actions(env, np.random.default_rng(0))
        one, two = (_record(fresh(), task, actions) for _ in range(2))
        for turn, (a, b) in enumerate(zip(one, two, strict=False)):
            if a != b:
                yield (
                    f'task "{task}" replayed with the same seed and actions differs at turn {turn} '
                    "(text, reward, end, info or state_key); use self.np_random, never global "
                    "randomness, the clock or the order of a set"
                )
                break


def _strange_input(fresh: Callable[[], TextEnv]) -> Iterator[str]:
    for action in ("", " ", "é✓\x00\n", "x" * 10_000, "[" * 50, "%s{0}"):
        env = fresh()
        env.reset(seed=0, options={"task": env.tasks[0]})
        text: Any
        text, reward, *_ = env.step(action)
        if not isinstance(text, str):
            yield f"play({action[:10]!r}) gave a {type(text).__name__} as text; it must be a str"
        if not np.isfinite(reward):
            yield f"play({action[:10]!r}) gave the reward {reward}; rewards must be finite"
    try:
        fresh().reset(options={"task": "no such task"})
    except InputError:
        return
    yield "reset() accepts a task that is not in `tasks`; do not override reset or has_task loosely"


def _extras(fresh: Callable[[], TextEnv]) -> Iterator[str]:
    env = fresh()
    env.reset(seed=0, options={"task": env.tasks[0]})
    admissible = env.admissible()
    if admissible is not None:
        for action in list(admissible)[:TURNS]:
            if not env.clone().step(action)[4]["valid"]:
                yield f'admissible() lists "{action}", but play() calls it invalid'
    for _ in range(env.max_turns + 1):
        _, _, terminated, truncated, _ = env.step("")
        if terminated or truncated:
            break
    else:
        yield f"an episode goes on after max_turns={env.max_turns} turns; do not override step()"
    expert = _first_expert(fresh())
    if expert is not None and not isinstance(expert, str):
        yield f"expert() gave a {type(expert).__name__}; return an action (str) or None"


def _first_expert(env: TextEnv) -> Any:
    env.reset(seed=0, options={"task": env.tasks[0]})
    return env.expert()


def _actions(env: TextEnv, rng: np.random.Generator) -> list[str]:
    """A mixture of admissible, expert and invalid actions, as one play-through found them."""
    actions = []
    for _ in range(TURNS):
        choices = [*(env.admissible() or []), "look", "nonsense"]
        expert = env.expert()
        action = expert if expert and rng.random() < 0.3 else choices[rng.integers(len(choices))]
        actions.append(action)
        _, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            break
    return actions


def _record(env: TextEnv, task: str, actions: list[str]) -> list[Any]:
    seen: list[Any] = [(env.reset(seed=7, options={"task": task}), env.state_key())]
    for action in actions:
        seen.append((env.step(action), env.state_key()))
        if seen[-1][0][2] or seen[-1][0][3]:
            break
    return seen
