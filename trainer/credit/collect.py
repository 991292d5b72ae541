"""From a number of a rollout to rows that can be trained on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from layergym.agents.rollouts import Job
from layergym.agents.types import Group, Trajectory
from layergym.envs.panels import Panel
from layergym.trainer.config import GiGPOConfig
from layergym.trainer.credit.advantages import (
    Advantages,
    dr_grpo,
    gigpo,
    grpo,
    penalise,
    rloo,
    same_rewards,
    statistics,
)
from layergym.trainer.credit.measures import rollout_measures
from layergym.trainer.credit.schedule import episode_seed, jobs_of
from layergym.trainer.rows.packing import Row, pack

Rollout = Callable[[Sequence[Job]], list[Trajectory]]
"""Plays the jobs with the model as it is now; trajectories in the order of the jobs."""


@dataclass(frozen=True, slots=True)
class Collected:
    """One rollout: what there is to learn from, and what it measured."""

    rows: tuple[Row, ...]
    measures: dict[str, float]


def collect(panel: Panel, play: Rollout, args: GiGPOConfig, number: int) -> Collected:
    """Play rollout `number`, give credit, and pack.

    With `dynamic_sampling`, groups whose episodes all earned the same teach nothing and are
    replaced by groups of tasks drawn anew (DAPO, arXiv 2503.14476, section 3.2), perhaps the same
    ones; what is still missing after so many rounds stays missing. The measures speak about all
    episodes that were played.

    Raises:
        ValueError: `play` did not return one trajectory per job, in order.
    """
    groups = played = _groups(panel, play, args, (number, 0), args.tasks_per_step)
    if args.dynamic_sampling:
        groups = _that_differ(played, args)
    for attempt in range(1, args.dynamic_sampling + 1):
        if missing := args.tasks_per_step - len(groups):
            more = _groups(panel, play, args, (number, attempt), missing)
            played, groups = played + more, groups + _that_differ(more, args)
    rows = [row for g in groups for row in pack(g.trajectories, credit(g, args))]
    compared = [penalise(g, args.invalid_penalty) for g in played]
    measures = rollout_measures(played, statistics(compared, args.similarity))
    measures["rows"] = float(len(rows))
    measures["tokens"] = float(sum(sum(row.sampled) for row in rows))
    if args.dynamic_sampling:
        measures["groups_played"] = float(len(played))
        measures["groups_kept"] = float(len(groups))
    return Collected(tuple(rows), measures)


def _groups(
    panel: Panel, play: Rollout, args: GiGPOConfig, place: tuple[int, int], count: int
) -> list[Group]:
    """Play `count` groups; `place` is the number of the rollout and of the attempt in it."""
    number, attempt = place
    seed = episode_seed(args.seed, attempt) if attempt else args.seed
    size = args.num_generations
    every = jobs_of(panel.tasks, seed, number, per_rollout=args.tasks_per_step, repeats=size)
    jobs = list(islice(every, count * size))
    trajectories = play(jobs)
    if [t.task for t in trajectories] != [job.task for job in jobs]:
        raise ValueError("the rollout must return one trajectory per job, in the jobs' order")
    return [Group(tuple(trajectories[i : i + size])) for i in range(0, len(trajectories), size)]


def _that_differ(groups: Sequence[Group], args: GiGPOConfig) -> list[Group]:
    return [g for g in groups if not same_rewards(penalise(g, args.invalid_penalty))]


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
