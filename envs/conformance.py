"""`conforms`: does an environment keep the contract, and how to mend it where it does not."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from gymnasium.utils.env_checker import check_env

from layergym.base.errors import ContractError, InputError, error_line, faults
from layergym.envs import border
from layergym.envs.chance import seeded
from layergym.envs.core import TextEnv
from layergym.envs.leaks import leaks
from layergym.envs.registry import make
from layergym.envs.replays import TURNS, Fresh, choose, difference, path_keys, record, under, walk

TASKS = 5
SLOW_S = 1.0
"""Seconds of a step, at its quickest, from which a rollout of 128 episodes stands still."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    promise: str
    problems: tuple[str, ...]
    """One sentence a problem, each with what to do about it; none: the promise is kept."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast an environment is."""

    reset_s: float
    """Median seconds of a reset."""
    step_s: float
    """Median seconds of a step."""
    quickest_step_s: float
    """Seconds of the quickest step, which a busy machine does not change much."""


def conforms(env: str | Fresh) -> list[str]:
    """Check an environment's promises by playing it; an empty list means that it keeps them.

    Args:
        env: a registered id, or something that makes a fresh instance when called.

    Returns:
        One sentence a problem, each with what to do about it.
    """
    fresh: Fresh = (lambda: make(env)) if isinstance(env, str) else env
    problems = [problem for finding in examine(fresh) for problem in finding.problems]
    return list(dict.fromkeys(problems))


def examine(fresh: Fresh) -> Iterator[Finding]:
    """Check one promise after the other; `fresh` makes an instance."""
    for promise, check in _CHECKS.items():
        yield Finding(promise, _problems(fresh, check))


def _problems(fresh: Fresh, check: Callable[[Fresh], Iterator[str]]) -> tuple[str, ...]:
    try:
        return tuple(dict.fromkeys(check(fresh)))
    except (ContractError, InputError) as error:
        return (error_line(error),)
    except faults() as error:  # whatever an author's code raises is a finding
        return (f"playing it raised {error_line(error)}; an action may fail, but must not raise",)


def pace(fresh: Fresh) -> Pace:
    """Time a few episodes."""
    resets, steps = [], []
    env = fresh()
    for task in list(env.tasks)[:TASKS]:
        started = time.perf_counter()
        env.reset(seed=7, options={"task": task})
        resets.append(time.perf_counter() - started)
        rng = np.random.default_rng(0)
        for _ in range(TURNS):
            action = choose(env, rng)
            started = time.perf_counter()
            _, _, terminated, truncated, _ = env.step(action)
            steps.append(time.perf_counter() - started)
            if terminated or truncated:
                break
    env.close()
    return Pace(median(resets), median(steps), min(steps))


def _gymnasium(fresh: Fresh) -> Iterator[str]:
    env = fresh()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(env, skip_render_check=True)
        except Exception as error:  # check_env raises whatever it finds
            yield f"gymnasium's check_env says: {error}"
    for warning in caught:
        text = str(warning.message)
        if "from `gymnasium.make`" not in text and "through `gymnasium.make`" not in text:
            yield f"gymnasium's check_env warns: {text}"
    for name in ("observation_space", "action_space"):
        if not getattr(env, name).contains("é, any text\n"):
            yield f"{name} does not hold every text; leave it as TextEnv sets it (FreeText)"


def _names(fresh: Fresh) -> Iterator[str]:
    env = fresh()
    words: Any = env.instructions
    if not isinstance(words, str):
        yield f"instructions is {words!r}; it must be a text, empty if there is none"
    for task in env.tasks:
        border.task_id(task)
    for task in list(env.tasks)[:: max(1, len(env.tasks) // TASKS)]:
        border.digest(env.digest, task)
        border.safe_text(env.kind(task), f'kind("{task}")')
    env.close()


def _starts(fresh: Fresh) -> Iterator[str]:
    first, second = fresh(), fresh()
    if not first.tasks:
        yield "`tasks` is empty; name at least one task"
    if len(set(first.tasks)) != len(first.tasks):
        yield "`tasks` names a task twice; ids must be unique"
    for task in list(first.tasks)[:TASKS]:
        observation, info = first.reset(seed=1, options={"task": task})
        first.step("look")
        two, _ = second.reset(seed=2, options={"task": task})
        if observation != two:
            yield (
                f'task "{task}" starts differently with another seed; in start(), draw from '
                "self.np_random only, and keep no state from earlier episodes"
            )
        if info["task"] != task:
            yield f'info["task"] is "{info["task"]}" after reset to "{task}"; do not change it'
    first.close()
    second.close()


def _replays(fresh: Fresh) -> Iterator[str]:
    for task in list(fresh().tasks)[:TASKS]:
        actions = walk(fresh(), task, np.random.default_rng(0))
        one, two = (under(seed, fresh, task, actions) for seed in (1, 2))
        for turn, (a, b) in enumerate(zip(one, two, strict=False)):
            if a != b:
                yield (
                    f'task "{task}" replayed with the same seed and actions differs at turn {turn} '
                    "(text, reward, end, info or state_key); use self.np_random, never global "
                    "randomness, the clock or the order of a set"
                )
                break


def _chance(fresh: Fresh) -> Iterator[str]:
    for task in list(fresh().tasks)[:TASKS]:
        actions = walk(fresh(), task, np.random.default_rng(0))
        env = fresh()
        with seeded(1) as used:
            record(env, task, actions)
        for name in used:
            yield (
                f"playing draws from the generator that the whole process shares ({name}), or "
                "seeds it; draw from self.np_random, or put that state back afterwards"
            )


def _state_keys(fresh: Fresh) -> Iterator[str]:
    for task in list(fresh().tasks)[:TASKS]:
        reached: dict[Hashable, tuple[str, ...]] = {}
        for seed in range(TASKS):
            actions = walk(fresh(), task, np.random.default_rng(seed))
            for key, path in path_keys(fresh(), task, actions):
                if reached.setdefault(key, path) == path:
                    continue
                if what := difference(fresh, task, (reached[key], path)):
                    yield (
                        f'task "{task}": after {list(path)} and after {list(reached[key])} '
                        f"state_key() is the same, but then {what}; put what differs into the key"
                    )
                    return


def _strange_input(fresh: Fresh) -> Iterator[str]:
    env = fresh()
    for action in ("", " ", "é✓\x00\n", "x" * 10_000, "[" * 50, "%s{0}"):
        env.reset(seed=0, options={"task": env.tasks[0]})
        text, reward, terminated, truncated, info = env.step(action)
        given = (text, reward, terminated, truncated, info["valid"], info["success"])
        if tuple(map(type, given)) != (str, float, bool, bool, bool, bool):
            kinds = ", ".join(type(each).__name__ for each in given)
            yield (
                f"step({action[:10]!r}) gives {kinds}; it must give str, float, bool and bool, and "
                "bool for valid and success: do not override step()"
            )
    try:
        env.reset(options={"task": "no such task"})
    except InputError:
        return
    finally:
        env.close()
    yield "reset() accepts a task that is not in `tasks`; do not override reset or has_task loosely"


def _extras(fresh: Fresh) -> Iterator[str]:
    env = fresh()
    env.reset(seed=0, options={"task": env.tasks[0]})
    expert: Any = env.expert()
    if expert is not None and not isinstance(expert, str):
        yield f"expert() gave a {type(expert).__name__}; return an action (str) or None"
    for action in list(env.admissible() or [])[:TURNS]:
        twin = env.clone()
        if not twin.step(action)[4]["valid"]:
            yield f'admissible() lists "{action}", but play() calls it invalid'
        twin.close()
    for _ in range(env.max_turns + 1):
        _, _, terminated, truncated, _ = env.step("")
        if terminated or truncated:
            break
    else:
        yield f"an episode goes on after max_turns={env.max_turns} turns; do not override step()"
    env.close()


def _leaks(fresh: Fresh) -> Iterator[str]:
    task = fresh().tasks[0]
    actions = walk(fresh(), task, np.random.default_rng(0))

    def play(env: TextEnv) -> None:
        record(env, task, actions, close=False)

    yield from leaks(fresh, play)


def slowness(speed: Pace, step_timeout_s: float | None) -> str:
    """What is wrong with this pace, and what to do about it; empty when nothing is."""
    if speed.quickest_step_s <= SLOW_S or step_timeout_s is not None:
        return ""
    return (
        f"a step takes {speed.quickest_step_s:.2g} s; if it waits for a network, a process or a "
        "device, set step_timeout_s, so that the episodes of a rollout wait at the same time; "
        "otherwise make play() faster"
    )


def _speed(fresh: Fresh) -> Iterator[str]:
    if problem := slowness(pace(fresh), fresh().step_timeout_s):
        yield problem


_CHECKS: dict[str, Callable[[Fresh], Iterator[str]]] = {
    "it is a gymnasium.Env over texts": _gymnasium,
    "its instructions, and its tasks' ids, kinds and digests, are texts": _names,
    "a task starts the same way, whatever the seed and whatever was played before": _starts,
    "the same task, seed and actions give the same everything": _replays,
    "it leaves the chance of others alone": _chance,
    "equal state keys are equal states": _state_keys,
    "no text that an agent may say breaks it": _strange_input,
    "admissible actions, expert and turn limit are what they say": _extras,
    "it gives back what it takes": _leaks,
    "a step does not hold up the others": _speed,
}
