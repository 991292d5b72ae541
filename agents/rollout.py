"""Play episodes in lockstep: one batched decision per turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from layergym.agents.base import Agent, Decision, Episode
from layergym.agents.types import Ended, Trajectory, Turn
from layergym.envs.core import TextEnv
from layergym.envs.errors import InputError


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
    observation: str = ""
    turns: list[Turn] = field(default_factory=list)
    ended: Ended | None = None
    success: bool = False
    kind: str = ""
    error: str = ""

    def start(self) -> None:
        try:
            options = {"task": self.job.task}
            self.observation, info = self.env.reset(seed=self.job.seed, options=options)
            self.kind = info["kind"]
        except InputError:
            raise  # The job is wrong, not the environment.
        except Exception as error:
            self.fail(error)

    def step(self, decision: Decision) -> Turn | None:
        """Play one turn; None when the environment raises."""
        try:
            key = self.env.state_key()
            text, reward, terminated, truncated, info = self.env.step(decision.action)
        except Exception as error:
            self.fail(error)
            return None
        valid = decision.valid and info["valid"]
        turn = Turn(self.observation, key, decision.reply, decision.action, reward, valid)
        self.turns.append(turn)
        self.observation = text
        if terminated or truncated:
            self.ended = "terminated" if terminated else "truncated"
            self.success = info["success"]
        return turn

    def fail(self, error: Exception) -> None:
        self.ended = "error"
        self.error = f"{type(error).__name__}: {error}"

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
) -> list[Trajectory]:
    """Play one episode per job, all in lockstep.

    An environment that raises ends its own episode as an error, without the turn that it did not
    finish; the others go on. What an agent raises is not caught.

    Args:
        agent: decides for all live episodes at once.
        make_env: makes one environment; called once per job.
        jobs: the episodes, each with its task and seed.
        on_turn: called with the index of the job and each finished turn.

    Returns:
        Trajectories in the order of `jobs`.

    Raises:
        InputError: a job names a task that is not there.
    """
    plays = [_Play(job, make_env()) for job in jobs]
    try:
        for play in plays:
            play.start()
        while live := [i for i, play in enumerate(plays) if play.ended is None]:
            _turn(agent, plays, live, on_turn)
    finally:
        agent.release(range(len(plays)))
        for play in plays:
            play.env.close()
    return [play.trajectory() for play in plays]


def _turn(
    agent: Agent,
    plays: Sequence[_Play],
    live: Sequence[int],
    on_turn: Callable[[int, Turn], None] | None,
) -> None:
    episodes = [Episode(i, plays[i].job.seed, plays[i].env, plays[i].observation) for i in live]
    for i, decision in zip(live, agent.act(episodes), strict=True):
        if decision is None:
            plays[i].ended = "truncated"
        elif (turn := plays[i].step(decision)) and on_turn:
            on_turn(i, turn)
    agent.release([i for i in live if plays[i].ended is not None])
