"""What is played at which step: a pure function of the seed and the number of the rollout.

Nothing is remembered between rollouts, so a resumed run continues exactly where it stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import numpy as np

from layergym.agents.rollouts import Job


def task_at(tasks: Sequence[str], seed: int, position: int) -> str:
    """Task number `position` of an endless walk through `tasks`, shuffled again in every round."""
    rounds, index = divmod(position, len(tasks))
    order = np.random.default_rng([seed, rounds]).permutation(len(tasks))
    return tasks[int(order[index])]


def jobs_of(
    tasks: Sequence[str], seed: int, rollout: int, *, per_rollout: int, repeats: int
) -> Iterator[Job]:
    """Episodes of one rollout: `repeats` of each task, one task after the other.

    Args:
        tasks: the panel's tasks.
        seed: the run's seed.
        rollout: number of the rollout, from 0.
        per_rollout: tasks in one rollout.
        repeats: episodes per task.
    """
    for slot in range(per_rollout):
        task = task_at(tasks, seed, rollout * per_rollout + slot)
        for repeat in range(repeats):
            yield Job(task, episode_seed(seed, rollout, slot, repeat))


def episode_seed(*place: int) -> int:
    """A 32-bit seed for one episode from the run's seed and the episode's place in the run."""
    text = "/".join(map(str, place)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big")
