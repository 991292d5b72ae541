"""Demonstrations in tokens, laid out exactly as when a policy samples."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from layergym.agents.conversation import Conversation, Layout
from layergym.agents.memory import EpisodeMemory, posed
from layergym.agents.prompts import PromptStyle
from layergym.agents.types import Trajectory
from layergym.envs import InputError, TextEnv

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Demonstration:
    """One row of an episode in tokens; an episode is one row where every prompt extends the last.

    Learnt are the expert's replies, and of the environment's texts, if they are to be learnt, those
    that extend the row: a later row begins with text that was shown before.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    """The ids, with -100 where nothing is to be learnt."""


@dataclass(frozen=True, slots=True)
class Telling:
    """How episodes are laid out."""

    layout: Layout
    style: PromptStyle
    observations: bool
    """Learn the environment's texts too."""
    room: int | None = None
    """Tokens that a prompt may have, so that a reply still fits into the model's context."""


class Writer:
    """Lays out one episode, turn by turn, as an agent would show it to the model."""

    def __init__(self, env: TextEnv, task: str, how: Telling):
        """Begin an episode of `env` whose first observation is `task`."""
        self._memory = EpisodeMemory(how.style, env.instructions, task)
        self._talk = Conversation(how.layout, self._memory.system)
        self._how = how
        self._rows: list[tuple[list[int], list[int]]] = []

    def turn(
        self,
        observation: str,
        admissible: Sequence[str] | None,
        action: tuple[str, str],
        *,
        taught: bool,
    ) -> None:
        """Add an exchange; the reply is to be learnt if it is `taught`.

        Args:
            observation: what was seen.
            admissible: the actions that would have been understood, where they are shown.
            action: what was done, and the reply that says it.
            taught: whether the reply is to be learnt.

        Raises:
            InputError: the task and the observation alone leave no room for a reply.
        """
        self._memory.see(observation, admissible)
        prompt = posed(self._memory, self._talk, self._how.room)
        if prompt is None:
            raise InputError(
                "a task and its observation do not fit into the model's context; "
                "take a model with a longer one"
            )
        done, reply = action
        said = self._talk.demonstrate(reply)
        self._memory.remember(self._talk.said, done, said)
        learnt = self._how.observations and (prompt.extends or not self._rows)
        if not prompt.extends:
            self._rows.append(([], []))
        ids, labels = self._rows[-1]
        labels += prompt.ids if learnt else [IGNORED] * len(prompt.ids)
        labels += said if taught else [IGNORED] * len(said)
        ids += (*prompt.ids, *said)

    def done(self) -> list[Demonstration]:
        """The rows of the episode from which something is to be learnt."""
        rows = [Demonstration(tuple(ids), tuple(labels)) for ids, labels in self._rows]
        return [row for row in rows if any(label != IGNORED for label in row.labels)]


def demonstrate(env: TextEnv, teacher: Teacher, how: Telling) -> list[Demonstration]:
    """Play one episode with a teacher and lay it out in tokens.

    Raises:
        InputError: the environment has no expert.
    """
    observation, _ = env.reset(seed=teacher.seed())
    writer = Writer(env, observation, how)
    done = False
    while not done:
        admissible = env.admissible() if how.style.lists_actions else None
        action, taught = teacher.act(env)
        reply = how.style.reply.write(action)
        writer.turn(observation, admissible, (action, reply), taught=taught)
        observation, _, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
    return writer.done()


def retell(played: Trajectory, env: TextEnv, how: Telling) -> list[Demonstration]:
    """Lay a recorded episode of `env` out in tokens; invalid turns are not to be learnt.

    A reply is told as it was said where it keeps to the style's format, else as its bare action in
    that format. Where prompts list the admissible actions, the episode is played again.

    Raises:
        InputError: it takes another course when it is played again.
    """
    writer = Writer(env, played.turns[0].observation, how)
    listed = _played_again(played, env) if how.style.lists_actions else [None] * len(played.turns)
    for turn, admissible in zip(played.turns, listed, strict=True):
        kept = how.style.reply.parse(turn.reply.text)
        as_said = (kept.ok or (kept.plain and turn.valid)) and kept.action == turn.action
        reply = turn.reply.text if as_said else how.style.reply.write(turn.action)
        writer.turn(turn.observation, admissible, (turn.action, reply), taught=turn.valid)
    return writer.done()


def _played_again(played: Trajectory, env: TextEnv) -> list[Sequence[str] | None]:
    """The admissible actions at every turn of a recorded episode."""
    if not env.has_task(played.task):
        raise InputError(
            f"the recorded task {played.task} is not in the {env.split} split, so that its "
            "admissible actions are not known; name its split with --env-arg split=..., or leave "
            "the actions out with --no-admissible"
        )
    seen, _ = env.reset(seed=played.seed, options={"task": played.task})
    admissible: list[Sequence[str] | None] = []
    for turn in played.turns:
        if seen != turn.observation:
            raise InputError(
                f"the recorded episode of {played.task} takes another course when it is played "
                "again; give the environment's settings of then, or --no-admissible"
            )
        admissible.append(env.admissible())
        seen = env.step(turn.action)[0]
    return admissible


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
