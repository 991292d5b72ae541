"""Any Gymnasium environment whose actions are texts or numbered, told in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.error import Error
from gymnasium.spaces import Discrete, Text

from layergym.base.errors import InputError
from layergym.envs.core import Outcome, TextEnv

_MOST = 64  # numbers of an array that are told


class Gymnasium(TextEnv):
    """Any Gymnasium environment, told in words; needs env_id, such as env_id=FrozenLake-v1.

    Texts and numbers are told as they are. For anything else, and for better words, subclass this
    and write `describe`; `envs/adapters/minigrid.py` is an example. Numbered actions are called as
    `actions` says, or else as the environment's own `Actions` enumeration does.

    A task is a seed, so there are as many as you like. Solved is an episode that terminates with
    `info["is_success"]`, or where there is no such entry with a reward above 0.
    """

    actions: ClassVar[Sequence[str]] = ()
    """Names of the numbered actions, in order."""

    def __init__(
        self,
        *,
        env_id: str,
        actions: Sequence[str] = (),
        settings: dict[str, Any] | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Wrap `gymnasium.make(env_id, **settings)`.

        Args:
            env_id: a Gymnasium id, with a leading `module:` where a package must be imported first.
            actions: names of the numbered actions, in order.
            settings: of the wrapped environment.
            split: train or test: other seeds.
            max_turns: by default the wrapped environment's own limit, or else 30.
            render_mode: as everywhere.

        Raises:
            InputError: there is no such environment, or its actions cannot be said.
        """
        super().__init__(split=split, max_turns=max_turns, render_mode=render_mode)
        try:
            self.inner: gymnasium.Env[Any, Any] = gymnasium.make(
                env_id, disable_env_checker=True, **(settings or {})
            )
        except (Error, ImportError, TypeError) as error:
            raise InputError(
                f'cannot make "{env_id}": {error}; '
                "check its id and settings, and that its package is installed"
            ) from error
        self.max_turns = max_turns or self.limit() or self.max_turns
        self.names = self._names(actions or type(self).actions)
        if self.names and not self.instructions:
            self.instructions = f"Every turn choose one of these: {', '.join(self.names)}."
        self._fresh = True

    def limit(self) -> int | None:
        """Turns after which the wrapped environment truncates an episode."""
        return self.inner.spec.max_episode_steps if self.inner.spec else None

    def describe(self, observation: Any) -> str:
        """An observation in words.

        Raises:
            InputError: it is neither text nor numbers; write `describe`.
        """
        if isinstance(observation, str):
            return observation
        if isinstance(observation, bool | np.bool_ | float | np.floating):
            return str(observation)
        if isinstance(observation, int | np.integer):
            return f"You are in state {observation}."
        if _is_told(observation):
            return ", ".join(map(_short, observation.ravel().tolist()))
        raise InputError(
            f"{type(self.inner.unwrapped).__name__} gives a {type(observation).__name__}, which "
            "has no obvious words; subclass layergym.envs.adapters.gymnasium.Gymnasium and write "
            "describe(observation)"
        )

    def start(self) -> str:
        """Reset the wrapped environment with a seed that the task determines."""
        observation, _ = self.inner.reset(seed=int(self.np_random.integers(2**31)))
        self._fresh = True
        return self.describe(observation)

    def play(self, action: str) -> Outcome:
        """Take the action of this name; another one costs a turn and does nothing."""
        if self._fresh:
            # From here on chance depends on the seed of the episode, not on the task.
            self.inner.unwrapped.np_random = self.np_random
            self._fresh = False
        if not self.names:
            if not self.inner.action_space.contains(action):
                return Outcome(f"Say a text of the kind {self.inner.action_space}.", valid=False)
            chosen: Any = action
        elif action.strip().lower() in self.names:
            chosen = self._first + self.names.index(action.strip().lower())
        else:
            return Outcome(f"Choose one of: {', '.join(self.names)}.", valid=False)
        observation, reward, terminated, truncated, info = self.inner.step(chosen)
        solved = bool(info.get("is_success", float(reward) > 0)) and terminated
        return Outcome(
            self.describe(observation),
            float(reward),
            # At our own limit, `TextEnv` truncates; an earlier one can only end the episode.
            terminated=terminated or (truncated and self.turn + 1 < self.max_turns),
            success=solved,
        )

    def admissible(self) -> Sequence[str] | None:
        """The names of the actions; None where actions are free text."""
        return self.names or None

    def close(self) -> None:
        """Close the wrapped environment."""
        self.inner.close()

    def _names(self, given: Sequence[str]) -> list[str]:
        space = self.inner.action_space
        if isinstance(space, Text):
            return []
        if not isinstance(space, Discrete):
            raise InputError(
                f"the actions of {type(self.inner.unwrapped).__name__} are a {space}; an agent can "
                "say texts and choose among names only"
            )
        self._first, number = int(space.start), int(space.n)
        own = getattr(self.inner.unwrapped, "actions", None)
        if not given and isinstance(own, type) and issubclass(own, int):
            given = [str(action.name) for action in own]  # type: ignore[attr-defined]
        given = given or [f"action {self._first + i}" for i in range(number)]
        if len(given) != number:
            raise InputError(
                f"there are {number} actions, but {len(given)} names: {list(given)}; "
                "give one name for each action"
            )
        return [name.lower() for name in given]


def _is_told(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.size <= _MOST and value.dtype.kind in "biuf"


def _short(value: bool | int | float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
