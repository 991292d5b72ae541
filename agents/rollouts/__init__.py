"""Play episodes, each on its own clock: it goes on as soon as it can, whatever the others do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import islice

from layergym.agents.base import (
    AnyAgent,
    ContinuousAgent,
    Decision,
    Episode,
    Failure,
    Move,
    OutOfContext,
    continuous,
)
from layergym.agents.rollouts.plays import Calls, EpisodePlay, Job
from layergym.agents.types import Trajectory, Turn
from layergym.envs.core import TextEnv

__all__ = ["Job", "rollout"]

_GLANCE_S = 0.02
"""How long an agent may wait for replies while environments may answer."""
OnTurn = Callable[[int, Turn], None]
OnEnd = Callable[[int, Trajectory], None]


def rollout(
    agent: AnyAgent,
    make_env: Callable[[], TextEnv],
    jobs: Sequence[Job],
    *,
    in_flight: int | None = None,
    on_turn: OnTurn | None = None,
    on_end: OnEnd | None = None,
) -> list[Trajectory]:
    """Play one episode per job; each goes on as soon as its environment and the agent let it.

    An environment that raises ends its own episode as an error, without the turn that it did not
    finish; so do one that breaks its contract (a reward that is not finite, say), one that asks
    the process to exit, and an agent's `Failure`. What no longer fits into the model's context
    ends as "context". The others go on. What an agent raises is not caught.

    Environments that may block (`TextEnv.step_timeout_s`) step while others do and while the agent
    is at work, each in a thread of its own. One that takes longer than its limit ends its episode
    as an error (TimeoutError) and is abandoned; see `CallThread`. What the agent asks of an
    environment (`admissible`, `expert`) is asked here, so it must not block. An episode's
    randomness is its own, whoever is faster; but where a library multiplies a row otherwise in a
    batch of another size, its probabilities may differ in their last bits.

    Args:
        agent: decides for live episodes.
        make_env: makes one environment; called once per job.
        jobs: the episodes, each with its task and seed.
        in_flight: episodes that are played at once, at most; when one is over, the next begins.
            None: all of them.
        on_turn: called with the index of the job and each finished turn.
        on_end: called with the index of the job and its trajectory as soon as an episode is over.

    Returns:
        Trajectories in the order of `jobs`.

    Raises:
        InputError: a job names a task that is not there.
    """
    stage = _Stage(continuous(agent), on_turn, on_end)
    todo = iter(jobs)
    try:
        while True:
            room = len(jobs) if in_flight is None else in_flight - stage.under_way
            for job in islice(todo, room):
                stage.begin(EpisodePlay.of(job, make_env()))
            if not stage.under_way:
                return stage.trajectories()
            stage.go_on()
    finally:
        stage.close()


class _Stage:
    """The episodes of a rollout that have begun, by number."""

    def __init__(
        self, agent: ContinuousAgent, on_turn: OnTurn | None, on_end: OnEnd | None
    ) -> None:
        self._agent = agent
        self._on_turn, self._on_end = on_turn, on_end
        self._plays: list[EpisodePlay] = []
        self._calls = Calls()
        self._asked: set[int] = set()
        self._over: dict[int, Trajectory] = {}
        self._closing: list[Callable[[], None]] = []

    @property
    def under_way(self) -> int:
        return len(self._plays) - len(self._over)

    def begin(self, play: EpisodePlay) -> None:
        self._calls.reset(len(self._plays), play)
        self._plays.append(play)

    def go_on(self) -> None:
        """Take in what environments have answered, and what the agent decides."""
        answered = []
        for i, take in self._calls.answers(wait=not self._asked):
            if (turn := take()) and self._on_turn:
                self._on_turn(i, turn)
            answered.append(i)
        self._end(answered)
        asked = [i for i in answered if i not in self._over]
        if asked:
            self._asked.update(asked)
            self._agent.ask([self._episode(i) for i in asked])
        if self._asked:
            moves = self._agent.decided(_GLANCE_S if self._calls else math.inf)
            for i, move in moves:
                self._asked.remove(i)
                self._take(i, move)
            self._end([i for i, _ in moves])

    def trajectories(self) -> list[Trajectory]:
        return [self._over[i] for i in range(len(self._plays))]

    def close(self) -> None:
        """Leave nothing behind, whether all episodes are over or not."""
        left = [i for i in range(len(self._plays)) if i not in self._over]
        self._agent.release(left)
        for i in left:
            self._close(self._plays[i])
        for closed in self._closing:
            closed()

    def _episode(self, i: int) -> Episode:
        play = self._plays[i]
        return Episode(i, play.job.seed, play.env, play.observation)

    def _take(self, i: int, move: Move) -> None:
        play = self._plays[i]
        if isinstance(move, Decision):
            self._calls.step(i, play, move)
        elif isinstance(move, Failure):
            play.fail(move.why)
        else:
            play.ended = "context" if isinstance(move, OutOfContext) else "truncated"

    def _close(self, play: EpisodePlay) -> None:
        closed = play.close()
        if play.thread is None:
            closed()
        else:
            self._closing.append(closed)

    def _end(self, numbers: Sequence[int]) -> None:
        """Release, report and close those of `numbers` that are over."""
        over = [i for i in numbers if self._plays[i].ended is not None]
        if over:
            self._agent.release(over)
        for i in over:
            self._over[i] = self._plays[i].trajectory()
            self._close(self._plays[i])
            if self._on_end:
                self._on_end(i, self._over[i])
