"""Episodes of a run, with its environment, and what is measured and watched meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from layergym.agents.llm import LLMAgent
from layergym.agents.models.sampler import TransformersSampler
from layergym.agents.rollouts import Job, rollout
from layergym.agents.types import Trajectory, Turn
from layergym.trainer.callbacks import Watch
from layergym.trainer.credit.measures import TimedAgent
from layergym.trainer.spec import RunSpec, make_env_of

Note = Callable[[Mapping[str, float]], None]
"""Takes measures."""


@dataclass(frozen=True, slots=True)
class RolloutPlayer:
    """Plays episodes of a run's training tasks."""

    spec: RunSpec
    watch: Watch

    def __call__(
        self,
        agent: LLMAgent,
        jobs: Sequence[Job],
        note: Note,
        go_on: Callable[[], None] = lambda: None,
    ) -> list[Trajectory]:
        """Play `jobs` with `agent`; `go_on` is called at every turn, and may raise."""
        watch = self.watch

        def on_turn(episode: int, turn: Turn) -> None:
            go_on()
            if watch.on_turn:
                watch.on_turn(episode, turn)

        timed, began = TimedAgent(agent), time.perf_counter()
        make_env = make_env_of(self.spec, "train")
        played = rollout(timed, make_env, jobs, on_turn=on_turn, on_end=watch.on_end)
        note({"time/env_s": time.perf_counter() - began - timed.seconds})
        if isinstance(agent.sampler, TransformersSampler):
            note({"time/slots_wanted": agent.sampler.net.wanted_share()})
        return played
