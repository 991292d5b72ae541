"""Examples for a prompt: episodes that the environment's expert plays."""

from __future__ import annotations

from collections.abc import Callable

from layergym.agents.base import ExpertAgent
from layergym.agents.contexts import Exchange
from layergym.agents.formats import ReplyFormat
from layergym.agents.rollouts import Job, rollout
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError
from layergym.envs import TextEnv

SPLIT = "train"


def shots(
    make_env: Callable[[], TextEnv], count: int, reply: ReplyFormat
) -> tuple[tuple[Exchange, ...], ...]:
    """Episodes of `count` tasks spread over the panel, as an expert who answers in `reply` plays.

    Raises:
        InputError: there is no expert, it does not finish, or there are not this many tasks.
    """
    if not count:
        return ()
    env = make_env()
    tasks = env.tasks
    env.close()
    if count > len(tasks):
        raise InputError(f"there are {len(tasks)} tasks to take {count} examples from")
    jobs = [Job(tasks[n * len(tasks) // count], n) for n in range(count)]
    played = rollout(ExpertAgent(), make_env, jobs)
    if failed := [t for t in played if not t.turns]:
        why = failed[0].error or "the expert gives up"
        raise InputError(f"no example could be played of task {failed[0].task}: {why}")
    return tuple(_example(trajectory, reply) for trajectory in played)


def _example(played: Trajectory, reply: ReplyFormat) -> tuple[Exchange, ...]:
    return tuple(
        Exchange(t.observation, t.observation, reply.write(t.action, "..."), t.action)
        for t in played.turns
    )
