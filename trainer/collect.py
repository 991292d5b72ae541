"""From a number of a rollout to rows that can be trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from layergym.agents.rollout import Job
from layergym.agents.types import Group, Trajectory
from layergym.envs.panels import Panel
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit import Advantages, dr_grpo, gigpo, grpo, penalise, rloo, statistics
from layergym.trainer.measures import rollout_measures
from layergym.trainer.packing import Row, pack
from layergym.trainer.schedule import jobs_of

Rollout = Callable[[Sequence[Job]], list[Trajectory]]
"""Plays the jobs with the model as it is now; trajectories in the order of the jobs."""


@dataclass(frozen=True, slots=True)
class Collected:
    """One rollout: what there is to learn from, and what it measured."""

    rows: tuple[Row, ...]
    measures: dict[str, float]


def collect(panel: Panel, play: Rollout, args: GiGPOConfig, number: int) -> Collected:
    """Play rollout `number`, give credit, and pack.

    Raises:
        ValueError: `play` did not return one trajectory per job, in order.
    """
    jobs = list(
        jobs_of(
            panel.tasks,
            args.seed,
            number,
            per_rollout=args.tasks_per_step,
            repeats=args.num_generations,
        )
    )
    trajectories = play(jobs)
    if [t.task for t in trajectories] != [job.task for job in jobs]:
        raise ValueError("the rollout must return one trajectory per job, in the jobs' order")
    size = args.num_generations
    groups = [Group(tuple(trajectories[i : i + size])) for i in range(0, len(trajectories), size)]
    rows = [row for g in groups for row in pack(g.trajectories, credit(g, args))]
    measures = rollout_measures(groups, statistics(groups, args.similarity))
    measures["rows"] = float(len(rows))
    measures["tokens"] = float(sum(sum(row.sampled) for row in rows))
    return Collected(tuple(rows), measures)


def credit(group: Group, args: GiGPOConfig) -> Advantages:
    """Advantages by the configured algorithm.

    The penalty for invalid actions is part of the reward, except with `compat="verl-agent"`,
    which takes it off after discounting.
    """
    if args.compat == "verl-agent" and args.algorithm == "gigpo":
        return _gigpo(group, args, args.invalid_penalty)
    group = penalise(group, args.invalid_penalty)
    if args.algorithm == "gigpo":
        return _gigpo(group, args, 0.0)
    return {"grpo": grpo, "dr_grpo": dr_grpo, "rloo": rloo}[args.algorithm](group)


def _gigpo(group: Group, args: GiGPOConfig, penalty_after: float) -> Advantages:
    return gigpo(
        group,
        gamma=args.gamma,
        omega=args.step_advantage_weight,
        norm="std" if args.norm == "std" else "none",
        penalty=penalty_after,
        similarity=args.similarity,
        compat="verl-agent" if args.compat else None,
    )
