"""Environments of the verifiers library, and ours as theirs.

Up to 0.3 these are its classic environments (`verifiers_classic.py`), from 0.4 on its tasksets
(`verifiers_tasksets.py`). Both are driven from outside: an action takes the place of the model's
message.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from typing import Any

from layergym.envs import border
from layergym.envs.adapters.exchange import LibraryEnv, prepare, soon, wait
from layergym.envs.adapters.extras import library
from layergym.envs.adapters.replayed import Replayed
from layergym.envs.core import Outcome


class Verifiers(Replayed):
    """Environments of the verifiers library; needs environment, an installed one.

    A task is a row: up to verifiers 0.3 of the dataset in the split train and of the evaluation
    dataset in test; from 0.4 on of the taskset, every fifth of which is for testing. The reward
    comes at the end; solved is a reward of 1 or more. Environments that offer tools, or want more
    than one agent, are not for text agents.
    """

    step_timeout_s = 120.0
    max_turns = 20

    def __init__(
        self,
        *,
        environment: str,
        settings: Mapping[str, Any] | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Load the environment, once a process.

        Args:
            environment: verifiers' name of it.
            settings: what its `load_environment` takes.
            split: train or test.
            max_turns: by default 20.
            render_mode: as everywhere.

        Raises:
            InputError: verifiers or the environment is not installed, or it is one with tools.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        self._games = _load(environment, json.dumps(settings or {}, sort_keys=True), split)
        self.instructions = self._games.instructions
        prepare()

    @property
    def tasks(self) -> Sequence[str]:
        """Numbers of the rows, as text."""
        return [f"{self.split}-{i:05d}" for i in range(len(self._games.rows))]

    def digest(self, task: str) -> str:
        """SHA-256 of the row."""
        return sha256(json.dumps(self._games.rows[_number(task)], default=str).encode()).hexdigest()

    def start(self) -> str:
        """Begin a rollout and read its prompt."""
        self.close()
        self.inner, text = wait(self._games.begin(_number(self.task)))
        # An environment that is thrown away without `close` leaves nothing at work.
        self._dropped = weakref.finalize(self, soon, self.inner.drop)
        self._dropped.atexit = False
        return text

    def act(self, action: str) -> Outcome:
        """Say something in the place of the model."""
        answer = wait(self.inner.answer(action))
        if answer.reward is None:
            return Outcome(answer.text)
        reward = border.number(answer.reward, "the reward of verifiers")
        return Outcome(answer.text or "The end.", reward, terminated=True, success=reward >= 1)

    def shut(self) -> None:
        """Clean the rollout up."""
        self._dropped.detach()
        wait(self.inner.end())


def load_environment(env_id: str, *, size: int = 100, **settings: Any) -> Any:
    """One of our environments as one of verifiers, for trainers that take those.

    Args:
        env_id: a registered id.
        size: tasks in the dataset or taskset; up to 0.3 also in the evaluation dataset (of test).
        **settings: of the environment.

    Returns:
        Up to verifiers 0.3 a `MultiTurnEnv`, whose rubric's reward is the sum of an episode's
        rewards; from 0.4 on the classes of a taskset and of its environment, for a module to name
        in its `__all__`.

    Raises:
        InputError: verifiers is not installed, or there is no such environment.
    """
    if _classic():
        from layergym.envs.adapters import verifiers_classic

        return verifiers_classic.exported_environment(env_id, size, settings)
    from layergym.envs.adapters import verifiers_tasksets

    return verifiers_tasksets.exported_taskset(env_id, size, settings)


def _number(task: str) -> int:
    return int(task.rpartition("-")[2])


def _classic() -> bool:
    """Whether the installed verifiers is one of those before 0.4."""
    library("verifiers", "verifiers")
    return find_spec("verifiers.legacy") is not None


@cache
def _load(name: str, settings: str, split: str) -> LibraryEnv:
    if _classic():
        from layergym.envs.adapters.verifiers_classic import Classic

        return Classic(name, json.loads(settings), split)
    from layergym.envs.adapters.verifiers_tasksets import Tasksets

    return Tasksets(name, json.loads(settings), split)
