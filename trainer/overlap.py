"""Who plays the rollouts of a run with `overlap`, beside the model that trains."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from transformers import PreTrainedModel

from layergym.agents.llm import LLMAgent
from layergym.agents.models.architecture import causal_model
from layergym.agents.rollouts import Job
from layergym.agents.types import Trajectory
from layergym.base.errors import InputError
from layergym.trainer.ahead import Ahead, Twin
from layergym.trainer.credit.collect import Collected, collect
from layergym.trainer.playing import RolloutPlayer
from layergym.trainer.spec import HERE, RunSpec
from layergym.trainer.trainer import GiGPOTrainer


def twin_of(spec: RunSpec, model: PreTrainedModel) -> Twin | None:
    """A second model for a run that needs one; to be made before the trainer."""
    return Twin(model) if spec.overlap and spec.sampler == HERE else None


def overlap(
    trainer: GiGPOTrainer,
    twin: Twin | None,
    agent: LLMAgent,
    agent_of: Callable[[PreTrainedModel], LLMAgent],
    publish: Callable[[], None],
    playing: RolloutPlayer,
) -> Ahead:
    """What plays ahead for `trainer`, if that is asked for; it is to be closed at the end.

    Args:
        trainer: that has not begun.
        twin: what `twin_of` made.
        agent: the run's; where another engine samples, it plays the rollouts, too.
        agent_of: makes the agent of a second model, which plays where the first one samples.
        publish: brings the weights to the other engine.
        playing: plays.

    Raises:
        InputError: several processes train.
    """
    if trainer.args.overlap and trainer.share.of > 1:
        raise InputError("overlap plays in a thread of one process; leave it out with several")
    follow = publish
    if twin is not None:
        twin.part()
        agent, follow = agent_of(causal_model(twin.model)), twin.follow

    def played(number: int) -> Collected:
        began = time.perf_counter()
        noted: dict[str, float] = {}

        def with_agent(jobs: Sequence[Job]) -> list[Trajectory]:
            return playing(agent, jobs, noted.update, ahead.go_on)

        collected = collect(trainer.panel, with_agent, trainer.args.rollout, number)
        # The step waits for less than that, and says so by itself.
        noted["time/ahead_env_s"] = noted.pop("time/env_s", 0.0)
        noted["time/ahead_rollout_s"] = time.perf_counter() - began
        return replace(collected, measures=collected.measures | noted)

    def begins(number: int) -> bool:
        return number < trainer.args.max_steps and number % int(trainer.args.save_steps) != 0

    ahead = Ahead(played, follow, begins)
    if trainer.args.overlap:
        trainer.next_rollout = ahead
    return ahead
