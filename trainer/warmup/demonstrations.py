"""Demonstrations in tokens, laid out exactly as when a policy samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layergym.agents.conversation import Conversation, Layout
from layergym.agents.formats import parse
from layergym.agents.memory import EpisodeMemory
from layergym.agents.prompts import PromptStyle
from layergym.agents.types import Trajectory
from layergym.envs import InputError, TextEnv

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One episode in tokens."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The ids, with -100 where nothing is to be learnt."""
    success: bool


class Writer:
    """Lays out one episode, turn by turn."""

    def __init__(
        self, env: TextEnv, task: str, layout: Layout, style: PromptStyle, *, observations: bool
    ):
        """Begin an episode of `env` whose first observation is `task`.

        With `observations` its texts are to be learnt too.
        """
        self._memory = EpisodeMemory(style, env.instructions, task)
        self._talk = Conversation(layout, self._memory.system)
        self._observations = observations
        self._ids: list[int] = []
        self._labels: list[int] = []

    def turn(
        self, observation: str, admissible: Sequence[str] | None, reply: str, *, taught: bool
    ) -> None:
        """Add an exchange; the reply is to be learnt if it is `taught`.

        Raises:
            InputError: the chat template rewrites what was said before.
        """
        self._memory.see(observation, admissible)
        prompt = self._talk.pose(self._memory.turns())
        if not prompt.extends and self._ids:
            raise InputError("this chat template rewrites history; use another for a warm start")
        said = self._talk.demonstrate(reply)
        self._memory.remember(self._talk.said, "", said)
        self._labels += prompt.ids if self._observations else [IGNORED] * len(prompt.ids)
        self._labels += said if taught else [IGNORED] * len(said)
        self._ids += (*prompt.ids, *said)

    def done(self, success: bool) -> Demonstration:
        """The whole episode."""
        return Demonstration(tuple(self._ids), tuple(self._labels), success)


def demonstrate(
    env: TextEnv, layout: Layout, style: PromptStyle, teacher: Teacher, *, observations: bool
) -> Demonstration:
    """Play one episode with a teacher and lay it out in tokens.

    Raises:
        InputError: the environment has no expert.
    """
    observation, info = env.reset(seed=teacher.seed())
    writer = Writer(env, observation, layout, style, observations=observations)
    done = False
    while not done:
        admissible = env.admissible() if style.admissible else None
        action, taught = teacher.act(env)
        writer.turn(observation, admissible, style.reply.write(action), taught=taught)
        observation, _, terminated, truncated, info = env.step(action)
        done = terminated or truncated
    return writer.done(bool(info["success"]))


def retell(
    played: Trajectory, env: TextEnv, layout: Layout, style: PromptStyle, *, observations: bool
) -> Demonstration:
    """Lay a recorded episode of `env` out in tokens; invalid turns are not to be learnt.

    A reply is told as it was said where it keeps to the style's format, else as its bare action in
    that format.
    """
    task = played.turns[0].observation
    writer = Writer(env, task, layout, style, observations=observations)
    for turn in played.turns:
        kept = parse(turn.reply.text, style.format)
        as_said = kept.ok and kept.action == turn.action
        reply = turn.reply.text if as_said else style.reply.write(turn.action)
        writer.turn(turn.observation, None, reply, taught=turn.valid)
    return writer.done(played.success)


class Teacher:
    """Acts as the environment's expert, and now and then at random."""

    def __init__(self, random_actions: float, seed: int) -> None:
        """Take a random action at this share of turns, drawn from a generator of its own."""
        self._share = random_actions
        self._rng = np.random.default_rng(seed)
        self._earlier: deque[str] = deque(maxlen=100)

    def seed(self) -> int:
        """A seed for the next episode."""
        return int(self._rng.integers(2**31))

    def act(self, env: TextEnv) -> tuple[str, bool]:
        """An action, and whether it is the expert's.

        Raises:
            InputError: the environment has no expert.
        """
        if self._rng.random() < self._share:
            choices = env.admissible()
            choices = self._earlier if choices is None else choices
            if choices:
                return choices[int(self._rng.integers(len(choices)))], False
        action = env.expert()
        if action is None:
            raise InputError(f"{type(env).__name__} has no expert to learn from; define expert()")
        self._earlier.append(action)
        return action, True
