"""Single episodes while they are played, and the calls of their environments."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any

from layergym.agents.base import Decision
from layergym.agents.rollouts.blocking import CallThread
from layergym.agents.types import EpisodeEnd, Trajectory, Turn
from layergym.base.errors import ContractError, InputError, error_line, faults
from layergym.envs import border
from layergym.envs.core import TextEnv


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to play."""

    task: str
    seed: int
    """Seeds the environment's dynamics and the agent's choices in this episode."""


@dataclass(slots=True)
class EpisodePlay:
    """One episode while it is played."""

    job: Job
    env: TextEnv
    thread: CallThread | None
    """Where calls of the environment are made; None: here."""
    observation: str = ""
    turns: list[Turn] = field(default_factory=list)
    ended: EpisodeEnd | None = None
    success: bool = False
    kind: str = ""
    error: str = ""
    last_key: Hashable = None

    @classmethod
    def of(cls, job: Job, env: TextEnv) -> EpisodePlay:
        """An episode that is yet to be reset."""
        limit = env.step_timeout_s
        return cls(job, env, None if limit is None else CallThread(limit))

    def reset(self) -> Any:
        """Call the environment; it changes nothing else, for after a timeout it may be at work."""
        return self.env.reset(seed=self.job.seed, options={"task": self.job.task})

    def started(self, answer: Callable[[], Any]) -> None:
        """Take in what `reset` gave."""
        try:
            self.observation, self.kind = border.started(answer())
        except InputError:
            raise  # The job is wrong, not the environment.
        except faults() as error:
            self.fail(error_line(error))

    def step(self, decision: Decision) -> Any:
        """Call the environment, as `reset`."""
        before = _key(self.env)
        now = border.stepped(self.env.step(decision.action))
        truncated = now.truncated and not now.terminated
        return before, now, _known_key(self.env) if truncated else None

    def stepped(self, decision: Decision, answer: Callable[[], Any]) -> Turn | None:
        """Take in what `step` gave: the turn, or None when it failed."""
        try:
            key, now, after = answer()
            over = now.terminated or now.truncated
            if not over and len(self.turns) + 1 >= self.env.max_turns:
                raise ContractError(f"it goes on after max_turns={self.env.max_turns} turns")
        except faults() as error:
            self.fail(error_line(error))
            return None
        valid = decision.valid and now.valid
        turn = Turn(self.observation, key, decision.reply, decision.action, now.reward, valid)
        self.turns.append(turn)
        self.observation = now.text
        if over:
            self.ended = "terminated" if now.terminated else "truncated"
            self.success = now.success
            self.last_key = after
        return turn

    def fail(self, why: str) -> None:
        """End as an error."""
        self.ended, self.error = "error", why

    def close(self) -> Callable[[], None]:
        """Begin to close the environment; what is returned waits for it, unless it hangs."""
        finish = self.thread.end(self.env.close) if self.thread else self.env.close

        def closed() -> None:
            # The episode is over: an environment that cannot be closed costs nobody a result.
            try:
                if not (self.thread and self.thread.hangs):
                    finish()
            except faults():
                pass

        return closed

    def trajectory(self) -> Trajectory:
        """What was played; the episode is over."""
        assert self.ended is not None
        spec = self.env.spec
        return Trajectory(
            env_id=spec.id if spec else type(self.env).__name__,
            task=self.job.task,
            seed=self.job.seed,
            turns=tuple(self.turns),
            ended=self.ended,
            success=self.success,
            kind=self.kind,
            error=self.error,
            last_key=self.last_key,
        )


EnvAnswer = tuple[int, Callable[[], Turn | None]]
"""The number of an episode whose environment has answered, and what takes the answer in."""


class Calls:
    """Calls of environments that are under way, each in its episode's thread or here."""

    def __init__(self) -> None:
        """Begin without any."""
        self._numbers = count()
        self._under_way: dict[int, EnvAnswer] = {}
        self._back: SimpleQueue[int] = SimpleQueue()
        self._deadlines: list[tuple[float, int]] = []

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._under_way)

    def reset(self, i: int, play: EpisodePlay) -> None:
        """Reset the environment of episode `i`."""
        self._make(i, play.thread, play.reset, play.started)

    def step(self, i: int, play: EpisodePlay, decision: Decision) -> None:
        """Step the environment of episode `i`."""
        self._make(i, play.thread, partial(play.step, decision), partial(play.stepped, decision))

    def answers(self, *, wait: bool) -> list[EnvAnswer]:
        """What has been answered by now, or is overdue, in that order.

        Args:
            wait: for at least one, if any is under way.
        """
        arrived = self._come_back()
        while wait and not arrived and self._under_way:
            with suppress(Empty):
                left = self._deadlines[0][0] - time.monotonic()
                self._back.put(self._back.get(timeout=max(0.0, left)))
            arrived = self._come_back()
        return arrived

    def _make(
        self,
        i: int,
        thread: CallThread | None,
        call: Callable[[], Any],
        take: Callable[[Callable[[], Any]], Turn | None],
    ) -> None:
        number = next(self._numbers)
        if thread is None:  # Made when it is taken in.
            self._under_way[number] = (i, partial(take, call))
            self._back.put(number)
            return
        begun = thread.begin(call, over=lambda: self._back.put(number))
        self._under_way[number] = (i, partial(take, begun))
        heapq.heappush(self._deadlines, (begun.deadline, number))

    def _come_back(self) -> list[EnvAnswer]:
        numbers = []
        with suppress(Empty):
            while True:
                numbers.append(self._back.get_nowait())
        while self._deadlines and self._deadlines[0][0] <= time.monotonic():
            numbers.append(heapq.heappop(self._deadlines)[1])
        # One that comes back after it was given up is not there any more.
        back = [self._under_way.pop(number, None) for number in numbers]
        while self._deadlines and self._deadlines[0][1] not in self._under_way:
            heapq.heappop(self._deadlines)
        return [answer for answer in back if answer]


def _known_key(env: TextEnv) -> Hashable:
    """The key of the state that an episode was cut off in; None where it has none any more."""
    try:
        return _key(env)
    except faults():
        return None


def _key(env: TextEnv) -> Hashable:
    """The key of the state; raises TypeError where it cannot be compared with others."""
    key = env.state_key()
    hash(key)
    return key
