"""How far a training run is: what its view draws."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from layergym.agents.types import Turn
from layergym.trainer.spec import RunSpec

_RECENT = 20
"""Steps over which the time of the next ones is estimated."""
_NOW_S = 10.0
"""Seconds that "now" lasts: those over which the rate of tokens is a mean."""
_STRAGGLERS = 3
"""Episodes that are named as the slowest, at most."""


@dataclass(slots=True)
class Playing:
    """The rollout that is being played, as far as its turns tell."""

    now: Callable[[], float] = time.monotonic
    turns: Counter[int] = field(default_factory=Counter)
    """Turns by episode; one shows up with its first turn."""
    over: set[int] = field(default_factory=set)
    said: deque[tuple[float, int]] = field(default_factory=deque)
    """When turns of the last seconds were finished, and how many tokens each has."""
    since: float = 0.0
    """When the first turn was finished; tokens are counted from there."""
    last: dict[int, float] = field(default_factory=dict)
    """When episodes that go on finished their last turn."""

    def turn(self, episode: int, turn: Turn) -> None:
        """Take in a turn."""
        now = self.now()
        if self.turns:
            self.said.append((now, len(turn.reply.ids)))
        else:
            self.since = now
        while self.said and self.said[0][0] < now - _NOW_S:
            self.said.popleft()
        self.turns[episode] += 1
        self.last[episode] = now

    def end(self, episode: int) -> None:
        """Take in that an episode is over."""
        self.over.add(episode)
        self.last.pop(episode, None)

    @property
    def tokens_per_s(self) -> float:
        """Sampled tokens per second now: over the last seconds, not before the first turn."""
        now = self.now()  # Asked by the thread that draws, so nothing is changed here.
        recent = sum(tokens for at, tokens in tuple(self.said) if at >= now - _NOW_S)
        return recent / max(min(_NOW_S, now - self.since), 1e-9)

    @property
    def stragglers(self) -> list[tuple[int, float]]:
        """Those that have had no turn for the longest, and for how many seconds."""
        slowest = sorted(self.last.items(), key=lambda pair: pair[1])[:_STRAGGLERS]
        return [(episode, self.now() - at) for episode, at in slowest]


@dataclass(slots=True)
class RunState:
    """How far a run is."""

    spec: RunSpec
    folder: Path
    num_layers: int
    rows: Sequence[Mapping[str, float]]
    """Lines of the metrics file, those of an earlier call included."""
    playing: Playing = field(default_factory=Playing)
    notice: str = ""
    started: float = field(default_factory=time.monotonic)
    ends: list[float] = field(default_factory=list)
    """When each step of this call ended."""

    @property
    def step(self) -> int:
        """Optimiser steps taken."""
        return int(self.rows[-1]["step"]) if self.rows else 0

    @property
    def episodes(self) -> int:
        """Those of a rollout, further rounds of dynamic sampling left out."""
        return self.spec.tasks_per_step * self.spec.group_size

    @property
    def elapsed_s(self) -> float:
        """Seconds that this call has taken."""
        return time.monotonic() - self.started

    @property
    def left_s(self) -> float | None:
        """Estimate from the last steps of this call; None before the first."""
        if not self.ends:
            return None
        ends = [self.started, *self.ends][-_RECENT:]
        # The first step of a call also pays for loading: leave it out once there is another.
        ends = ends[1:] if len(ends) > 2 else ends
        return (self.spec.steps - self.step) * (ends[-1] - ends[0]) / (len(ends) - 1)
