"""Play episodes in lockstep: one batched decision per turn."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from layergym.agents.base import Agent, Decision, Episode, Failure, OutOfContext
from layergym.agents.blocking import CallThread
from layergym.agents.types import EpisodeEnd, Trajectory, Turn
from layergym.base.errors import FAULTS, InputError, told
from layergym.envs.core import TextEnv

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """One episode to play."""

    task: str
    seed: int
    """Seeds the environment's dynamics and the agent's choices in this episode."""


@dataclass(slots=True)
class _Play:
    """An episode while it is played."""

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

    @classmethod
    def of(cls, job: Job, env: TextEnv) -> _Play:
        limit = env.step_timeout_s
        return cls(job, env, None if limit is None else CallThread(limit))

    def begin(self, call: Callable[[], T]) -> Callable[[], T]:
        """Begin a call of the environment; what is returned finishes it, and gives its result.

        A call changes nothing but the environment: after a timeout it may still be at work.
        """
        return call if self.thread is None else self.thread.begin(call)

    def start(self) -> Callable[[], None]:
        """Begin to reset; what is returned waits for it."""
        options = {"task": self.job.task}
        finish = self.begin(lambda: self.env.reset(seed=self.job.seed, options=options))

        def started() -> None:
            try:
                self.observation, info = finish()
                self.kind = info["kind"]
            except InputError:
                raise  # The job is wrong, not the environment.
            except FAULTS as error:
                self.fail(told(error))

        return started

    def step(self, decision: Decision) -> Callable[[], Turn | None]:
        """Begin a turn; what is returned waits for it, and gives None when it failed."""
        env = self.env
        finish = self.begin(lambda: (_key(env), *env.step(decision.action)))

        def stepped() -> Turn | None:
            try:
                key, text, reward, terminated, truncated, info = finish()
            except FAULTS as error:
                self.fail(told(error))
                return None
            valid = decision.valid and info["valid"]
            turn = Turn(self.observation, key, decision.reply, decision.action, reward, valid)
            self.turns.append(turn)
            self.observation = text
            if terminated or truncated:
                self.ended = "terminated" if terminated else "truncated"
                self.success = info["success"]
            return turn

        return stepped

    def fail(self, why: str) -> None:
        self.ended, self.error = "error", why

    def close(self) -> Callable[[], None]:
        """Begin to close the environment; what is returned waits for it, unless it hangs."""
        finish = self.thread.end(self.env.close) if self.thread else self.env.close

        def closed() -> None:
            # The episode is over: an environment that cannot be closed costs nobody a result.
            with suppress(*FAULTS):
                if not (self.thread and self.thread.hangs):
                    finish()

        return closed

    def trajectory(self) -> Trajectory:
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
        )


def rollout(
    agent: Agent,
    make_env: Callable[[], TextEnv],
    jobs: Sequence[Job],
    *,
    on_turn: Callable[[int, Turn], None] | None = None,
    on_end: Callable[[int, Trajectory], None] | None = None,
) -> list[Trajectory]:
    """Play one episode per job, all in lockstep.

    An environment that raises ends its own episode as an error, without the turn that it did not
    finish; so do one that breaks its contract (a reward that is not finite, say), one that asks
    the process to exit, and an agent's `Failure`. What no longer fits into the model's context
    ends as "context". The others go on. What an agent raises is not caught.

    Environments that may block (`TextEnv.step_timeout_s`) step at the same time, each in a thread
    of its own. One that takes longer than its limit ends its episode as an error (TimeoutError)
    and is abandoned; see `CallThread`. What the agent asks of an environment (`admissible`,
    `expert`) is asked here, so it must not block. Results do not depend on who is faster.

    Args:
        agent: decides for all live episodes at once.
        make_env: makes one environment; called once per job.
        jobs: the episodes, each with its task and seed.
        on_turn: called with the index of the job and each finished turn.
        on_end: called with the index of the job and its trajectory as soon as an episode is over.

    Returns:
        Trajectories in the order of `jobs`.

    Raises:
        InputError: a job names a task that is not there.
    """
    plays = [_Play.of(job, make_env()) for job in jobs]
    try:
        for started in [play.start() for play in plays]:
            started()
        live: Sequence[int] = range(len(plays))
        while live := _going_on(agent, plays, live, on_end):
            _turn(agent, plays, live, on_turn)
    finally:
        agent.release(range(len(plays)))
        for closed in [play.close() for play in plays]:
            closed()
    return [play.trajectory() for play in plays]


def _going_on(
    agent: Agent,
    plays: Sequence[_Play],
    live: Sequence[int],
    on_end: Callable[[int, Trajectory], None] | None,
) -> list[int]:
    """Who of `live` goes on; the others are released and reported."""
    over = [i for i in live if plays[i].ended is not None]
    agent.release(over)
    if on_end:
        for i in over:
            on_end(i, plays[i].trajectory())
    return [i for i in live if plays[i].ended is None]


def _turn(
    agent: Agent,
    plays: Sequence[_Play],
    live: Sequence[int],
    on_turn: Callable[[int, Turn], None] | None,
) -> None:
    episodes = [Episode(i, plays[i].job.seed, plays[i].env, plays[i].observation) for i in live]
    steps = {}
    for i, decision in zip(live, agent.act(episodes), strict=True):
        if decision is None:
            plays[i].ended = "truncated"
        elif isinstance(decision, OutOfContext):
            plays[i].ended = "context"
        elif isinstance(decision, Failure):
            plays[i].fail(decision.why)
        else:
            steps[i] = plays[i].step(decision)
    for i, stepped in steps.items():
        if (turn := stepped()) and on_turn:
            on_turn(i, turn)


def _key(env: TextEnv) -> Hashable:
    """The key of the state; raises TypeError where it cannot be compared with others."""
    key = env.state_key()
    hash(key)
    return key
