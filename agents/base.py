"""Agents: who chooses the actions of a batch of live episodes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np

from layergym.agents.types import Reply
from layergym.base.errors import InputError, error_line, faults
from layergym.base.texts import printable
from layergym.envs import border
from layergym.envs.core import TextEnv

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Episode:
    """A live episode, as an agent sees it when it must act."""

    id: int
    """Unique among the episodes that the agent has not released."""
    seed: int
    env: TextEnv
    observation: str

    def admissible(self) -> list[str] | None:
        """Actions that the environment would understand now, or None when it does not say."""
        actions = self.env.admissible()
        return (
            None if actions is None else [border.safe_text(each, "an action") for each in actions]
        )


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


@dataclass(frozen=True, slots=True)
class OutOfContext:
    """The next prompt and a whole reply no longer fit into the model's context."""


Move = Decision | Failure | OutOfContext | None
"""What becomes of an episode's turn: None gives the episode up, which truncates it; a failure ends
it as an error."""


class Agent(Protocol):
    """Decides in many episodes at once."""

    def act(self, episodes: Sequence[Episode]) -> Sequence[Move]:
        """Decide for each episode, in order."""

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""


@runtime_checkable
class ContinuousAgent(Protocol):
    """Takes in episodes at any time and decides in each when it has come to a decision."""

    def ask(self, episodes: Sequence[Episode]) -> None:
        """Take in episodes that wait for a decision."""

    def decided(self, wait_s: float = 0.0) -> list[tuple[int, Move]]:
        """Go on a little: the episodes in which a decision has been reached, with these.

        Args:
            wait_s: seconds that may pass without anything to do here, where others do the work.
        """

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over, decided or not."""


class AtOnce:
    """An agent that decides at once, as a continuous one."""

    def __init__(self, agent: Agent) -> None:
        """Decide as `agent` does."""
        self._agent = agent
        self._asked: list[Episode] = []

    def ask(self, episodes: Sequence[Episode]) -> None:
        """Take in episodes that wait for a decision."""
        self._asked += episodes

    def decided(self, wait_s: float = 0.0) -> list[tuple[int, Move]]:
        """Decide in all of them, in one call."""
        episodes, self._asked = self._asked, []
        moves = self._agent.act(episodes)
        return [(e.id, move) for e, move in zip(episodes, moves, strict=True)]

    def release(self, episodes: Iterable[int]) -> None:
        """Forget episodes that are over."""
        over = set(episodes)
        self._asked = [e for e in self._asked if e.id not in over]
        self._agent.release(over)


AnyAgent = Agent | ContinuousAgent
"""What a rollout can be played with."""


def continuous(agent: AnyAgent) -> ContinuousAgent:
    """`agent` as a continuous one."""
    return agent if isinstance(agent, ContinuousAgent) else AtOnce(agent)


def asked(ask: Callable[[Episode], T], episode: Episode) -> T | Failure:
    """`ask` about an episode; what its environment raises meanwhile fails that episode alone.

    Raises:
        InputError: what was asked for cannot be done, in this episode or any other.
    """
    try:
        return ask(episode)
    except InputError:
        raise
    except faults() as error:
        return Failure(error_line(error))


class RandomAgent:
    """Takes an admissible action at random; the choice depends on the seed and the turn alone."""

    def act(self, episodes: Sequence[Episode]) -> list[Decision | Failure | None]:
        """Decide for each episode.

        Raises:
            InputError: the environment has no list of admissible actions.
        """
        return [asked(self._decide, episode) for episode in episodes]

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""

    def _decide(self, episode: Episode) -> Decision | None:
        actions = episode.admissible()
        if not actions:
            raise InputError(
                f"{type(episode.env).__name__} lists no admissible actions, so a random agent has "
                "none to choose from; define admissible() or choose another agent"
            )
        noise = np.random.Philox(key=episode.seed, counter=[0, episode.env.turn, 0, 0])
        return _say(actions[int(np.random.Generator(noise).integers(len(actions)))])


class ExpertAgent:
    """Takes the action of the environment's scripted expert."""

    def act(self, episodes: Sequence[Episode]) -> list[Decision | Failure | None]:
        """Decide for each episode; an expert that is at a loss gives up.

        Raises:
            InputError: the environment has no expert.
        """
        return [asked(self._decide, episode) for episode in episodes]

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""

    def _decide(self, episode: Episode) -> Decision | None:
        if type(episode.env).expert is TextEnv.expert:
            raise InputError(
                f"{type(episode.env).__name__} has no expert; define expert() or choose another "
                "agent"
            )
        action = episode.env.expert()
        return None if action is None else _say(border.safe_text(action, "what expert() returns"))


def _typed(prompt: str) -> str:
    """A line that a person types, whatever bytes they are.

    Raises:
        EOFError: there are no more, or nothing that could be typed into.
    """
    if sys.stdin is None:
        raise EOFError
    if isinstance(sys.stdin, TextIOWrapper) and sys.stdin.errors != "replace":
        sys.stdin.reconfigure(errors="replace")
    return input(prompt)


class HumanAgent:
    """Shows the observation and asks a person; the end of input gives up."""

    def __init__(
        self, ask: Callable[[str], str] = _typed, show: Callable[[str], None] = print
    ) -> None:
        """Ask through `ask(prompt)`; show observations, as a terminal may, through `show(text)`."""
        self._ask = ask
        self._show = show

    def act(self, episodes: Sequence[Episode]) -> list[Decision | None]:
        """Ask for each episode in turn."""
        return [self._decide(episode) for episode in episodes]

    def release(self, episodes: Iterable[int]) -> None:
        """Nothing to forget."""

    def _decide(self, episode: Episode) -> Decision | None:
        self._show(printable(episode.observation))
        try:
            return _say(self._ask("> ").strip())
        except EOFError:
            return None


def _say(action: str) -> Decision:
    return Decision(Reply(text=action), action)


SCRIPTED: Mapping[str, Callable[[], AnyAgent]] = {
    "human": HumanAgent,
    "random": RandomAgent,
    "expert": ExpertAgent,
}
"""Agents that are no model, by name."""
