"""Agents: who chooses the actions of a batch of live episodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from layergym.agents.types import Reply
from layergym.base.errors import InputError
from layergym.envs.core import TextEnv


@dataclass(frozen=True, slots=True)
class Episode:
    """A live episode, as an agent sees it when it must act."""

    id: int
    """Unique among the episodes that the agent has not released."""
    seed: int
    env: TextEnv
    observation: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What an agent does in one episode."""

    reply: Reply
    action: str
    valid: bool = True
    """False when the reply did not keep to its format; the environment gets the action anyway."""


@dataclass(frozen=True, slots=True)
class Failure:
    """No decision could be had, through no fault of the policy: a server does not answer, say."""

    why: str


class Agent(Protocol):
    """Acts in many episodes at once."""

    def act(self, episodes: Sequence[Episode]) -> Sequence[Decision | Failure | None]:
        """Decide for each episode, in order.

        None gives an episode up, which truncates it; a failure ends it as an error.
        """

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""


class RandomAgent:
    """Takes an admissible action at random; the choice depends on the seed and the turn alone."""

    def act(self, episodes: Sequence[Episode]) -> list[Decision | None]:
        """Decide for each episode.

        Raises:
            InputError: the environment has no list of admissible actions.
        """
        return [_say(self._choose(episode)) for episode in episodes]

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""

    def _choose(self, episode: Episode) -> str:
        actions = episode.env.admissible()
        if not actions:
            raise InputError(
                f"{type(episode.env).__name__} lists no admissible actions, so a random agent has "
                "none to choose from; define admissible() or choose another agent"
            )
        noise = np.random.Philox(key=episode.seed, counter=[0, episode.env.turn, 0, 0])
        return actions[int(np.random.Generator(noise).integers(len(actions)))]


class ExpertAgent:
    """Takes the action of the environment's scripted expert."""

    def act(self, episodes: Sequence[Episode]) -> list[Decision | None]:
        """Decide for each episode; an expert that is at a loss gives up.

        Raises:
            InputError: the environment has no expert.
        """
        return [self._decide(episode) for episode in episodes]

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""

    def _decide(self, episode: Episode) -> Decision | None:
        if type(episode.env).expert is TextEnv.expert:
            raise InputError(
                f"{type(episode.env).__name__} has no expert; define expert() or choose another "
                "agent"
            )
        action = episode.env.expert()
        return None if action is None else _say(action)


class HumanAgent:
    """Shows the observation and asks a person; the end of input gives up."""

    def __init__(
        self, ask: Callable[[str], str] = input, show: Callable[[str], None] = print
    ) -> None:
        """Ask through `ask(prompt)` and show observations through `show(text)`."""
        self._ask = ask
        self._show = show

    def act(self, episodes: Sequence[Episode]) -> list[Decision | None]:
        """Ask for each episode in turn."""
        return [self._decide(episode) for episode in episodes]

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""

    def _decide(self, episode: Episode) -> Decision | None:
        self._show(episode.observation)
        try:
            return _say(self._ask("> ").strip())
        except EOFError:
            return None


def _say(action: str) -> Decision:
    return Decision(Reply(text=action), action)
