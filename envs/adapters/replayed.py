"""Games that cannot be copied: a copy plays the same actions again."""

from __future__ import annotations

import copy
from typing import Any, Self

from layergym.envs.core import Outcome, TextEnv


class Replayed(TextEnv):
    """A `TextEnv` around something that keeps its state out of reach, and replays it.

    Write `start`, which sets `inner` and resets it, and `act`; the same task and the same actions
    must lead to the same state. `shut` gives back what `inner` holds.
    """

    inner: Any = None
    """The game; None before the first episode and after `close`."""
    acted: tuple[str, ...] = ()
    """Actions of this episode."""

    def act(self, action: str) -> Outcome:
        """Carry out one action in `inner`."""
        raise NotImplementedError(f"{type(self).__name__} must define act(self, action)")

    def shut(self) -> None:
        """Give back what `inner` holds."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start an episode, as every `TextEnv`."""
        self.acted = ()
        return super().reset(seed=seed, options=options)

    def play(self, action: str) -> Outcome:
        """Carry out one action and remember it."""
        self.acted += (action,)
        return self.act(action)

    def clone(self) -> Self:
        """An independent copy in the same state, reached by the same actions."""
        twin = copy.copy(self)
        twin.inner = None
        twin.reset(options={"task": self.task})
        for action in self.acted:
            twin.step(action)
        twin._np_random = copy.deepcopy(self._np_random)
        return twin

    def close(self) -> None:
        """Give back what the game holds; the next `reset` starts again."""
        if self.inner is not None:
            self.shut()
            self.inner = None
