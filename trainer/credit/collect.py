"""Plays a rollout, by its number, and makes rows of it that can be trained on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from layergym.agents.rollouts import Job
from layergym.agents.types import CUT, Group, Trajectory
from layergym.base.errors import InputError, Notice
from layergym.envs.panels import Panel
from layergym.trainer.credit.advantages import same_rewards, statistics
from layergym.trainer.credit.algorithms import Compared, Credit, Credited, give_credit
from layergym.trainer.credit.measures import rollout_measures
from layergym.trainer.credit.schedule import episode_seed, jobs_of
from layergym.trainer.rows.packing import Row, rows_of

Rollout = Callable[[Sequence[Job]], list[Trajectory]]
"""Plays the jobs with the model as it is now; trajectories in the order of the jobs."""
FAILING = 0.1
"""Share of episodes ended by errors, or out of context, above which a rollout gives a notice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSpec:
    """What is played in a rollout, and how it is credited."""

    seed: int = 0
    tasks: int = 16
    group_size: int = 8
    """Episodes per task."""
    dynamic_sampling: int = 0
    """Rounds in which groups that earned the same throughout are replaced by other tasks."""
    mask_truncated: bool = False
    """Whether episodes cut at the turn or context limit are compared, but not trained on."""
    credit: Credit = field(default_factory=Credit)


@dataclass(frozen=True, slots=True)
class Collected:
    """One rollout: what there is to learn from, and what it measured."""

    rows: tuple[Row, ...]
    measures: dict[str, float]
    groups: tuple[Credited, ...]
    """Those that the rows are of."""


def collect(panel: Panel, play: Rollout, spec: RolloutSpec, number: int) -> Collected:
    """Play rollout `number`, give credit, and pack.

    With `dynamic_sampling`, groups whose episodes all earned the same teach nothing and are
    replaced by groups of other tasks (DAPO, arXiv 2503.14476, section 3.2), perhaps the same
    ones; what is still missing after this many rounds stays missing. The measures speak about all
    episodes that were played.

    Gives a `Notice` when more than a tenth of the episodes ended in errors or out of context.

    Raises:
        InputError: every episode ended in an error, or rewards cannot be compared.
        ValueError: `play` did not return one trajectory per job, in order.
    """
    groups = played = _groups(panel, play, spec, (number, 0), spec.tasks)
    if spec.dynamic_sampling:
        groups = _that_differ(played)
    for attempt in range(1, spec.dynamic_sampling + 1):
        if missing := spec.tasks - len(groups):
            more = _groups(panel, play, spec, (number, attempt), missing)
            played, groups = played + more, groups + _that_differ(more)
    credited = give_credit(groups, spec.credit)
    rows = [row for group in credited for row in _rows(group, mask=spec.mask_truncated)]
    compared = statistics((g.penalised for g in played), spec.credit.similarity)
    measures = rollout_measures([g.group for g in played], compared)
    measures["rows"] = float(len(rows))
    measures["tokens"] = float(sum(sum(row.sampled) for row in rows))
    if spec.dynamic_sampling:
        measures["groups_played"] = float(len(played))
        measures["groups_kept"] = float(len(groups))
    return Collected(tuple(rows), measures, tuple(credited))


def _groups(
    panel: Panel, play: Rollout, spec: RolloutSpec, place: tuple[int, int], count: int
) -> list[Compared]:
    """Play `count` groups; `place` is the number of the rollout and of the attempt in it."""
    number, attempt = place
    seed = episode_seed(spec.seed, attempt) if attempt else spec.seed
    size = spec.group_size
    every = jobs_of(panel.tasks, seed, number, per_rollout=spec.tasks, repeats=size)
    jobs = list(islice(every, count * size))
    trajectories = play(jobs)
    if [t.task for t in trajectories] != [job.task for job in jobs]:
        raise ValueError("the rollout must return one trajectory per job, in the jobs' order")
    _check_endings(trajectories)
    groups = (Group(tuple(trajectories[i : i + size])) for i in range(0, len(trajectories), size))
    return [Compared.of(group, spec.credit) for group in groups]


def _check_endings(played: Sequence[Trajectory]) -> None:
    """Stop where nothing can be learnt, and say so where much is lost."""
    failed = [t for t in played if t.ended == "error"]
    if len(failed) == len(played):
        raise InputError(
            f"every episode of this rollout ended in an error; the first, task {failed[0].task}: "
            f"{failed[0].error}"
        )
    if len(failed) > FAILING * len(played):
        _notice(
            "more than a tenth of a rollout's episodes ended in errors, which are left out; the "
            f"first, task {failed[0].task}: {failed[0].error}"
        )
    short = sum(t.ended == "context" for t in played)
    if short > FAILING * len(played):
        _notice(
            "more than a tenth of a rollout's episodes ended because the model's context was full, "
            "and count as they stood; allow fewer tokens per reply, or give a smaller context"
        )


def _notice(text: str) -> None:
    warnings.warn(text, Notice, stacklevel=3)


def _that_differ(groups: Sequence[Compared]) -> list[Compared]:
    return [group for group in groups if not same_rewards(group.penalised)]


def _rows(credited: Credited, *, mask: bool) -> list[Row]:
    """The rows of a group; those of masked episodes count in means over rows and teach nothing."""
    rows = []
    for trajectory, advantages in zip(
        credited.group.trajectories, credited.advantages, strict=True
    ):
        packed = rows_of(trajectory, advantages)
        masked = mask and trajectory.ended in CUT
        rows += [_silent(row) for row in packed] if masked else packed
    return rows


def _silent(row: Row) -> Row:
    length = len(row)
    return replace(row, sampled=(False,) * length, advantages=(0.0,) * length)
