"""Play a fixed panel and keep every episode's outcome."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from layergym.agents.base import Agent
from layergym.agents.rollouts import Job, rollout
from layergym.agents.types import Trajectory
from layergym.envs import Panel, TextEnv
from layergym.evals.results import EvalResult

CHUNK = 256
"""Episodes in flight at once."""


def evaluate(
    agent: Agent,
    make_env: Callable[[], TextEnv],
    panel: Panel,
    *,
    arm: str,
    temperature: float,
    repeats: int = 1,
    seed: int = 0,
) -> EvalResult:
    """Score `agent` on every task of `panel`, `repeats` times each.

    Every arm plays the same episodes with the same sampling seeds (common random numbers), which
    narrows the intervals of differences between arms.

    Args:
        agent: who plays.
        make_env: makes one environment of the panel's split.
        panel: the tasks.
        arm: the name under which the result is filed.
        temperature: the temperature the agent samples at, for the record; 0 is greedy.
        repeats: episodes per task.
        seed: of the evaluation; with the task and the repeat it fixes an episode's randomness.

    Returns:
        The outcomes; `seed`, the training run's, is 0 there.
    """
    jobs = panel_jobs(panel, repeats, seed)
    played: list[Trajectory] = []
    for start in range(0, len(jobs), CHUNK):
        played += rollout(agent, make_env, jobs[start : start + CHUNK])
    return result_of(played, panel, arm=arm, seed=0, temperature=temperature)


def panel_jobs(panel: Panel, repeats: int, seed: int) -> list[Job]:
    """The episodes of an evaluation: all repeats of a task, then the next task."""
    return [Job(t, _episode_seed(seed, t, r)) for t in panel.tasks for r in range(repeats)]


def result_of(
    played: Sequence[Trajectory], panel: Panel, *, arm: str, seed: int, temperature: float
) -> EvalResult:
    """The outcomes of `panel_jobs`, in their order."""
    repeats = len(played) // len(panel)
    rows = [played[i : i + repeats] for i in range(0, len(played), repeats)]
    return EvalResult(
        env_id=panel.env_id,
        split=panel.split,
        panel_hash=panel.hash,
        arm=arm,
        seed=seed,
        temperature=float(temperature),
        tasks=panel.tasks,
        kinds=tuple(row[0].kind for row in rows),
        success=tuple(tuple(t.success for t in row) for row in rows),
        reward=tuple(tuple(t.total_reward for t in row) for row in rows),
        turns=tuple(tuple(len(t.turns) for t in row) for row in rows),
    )


def _episode_seed(seed: int, task: str, repeat: int) -> int:
    name = f"eval\0{seed}\0{task}\0{repeat}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=7).digest(), "big")
