"""What the episodes of an evaluation say about its agents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from layergym.agents.trajectories import usages
from layergym.agents.types import Trajectory
from layergym.evals import stats
from layergym.evals.score.contest import Contest
from layergym.evals.stats import Estimate, Floats

SEED = 0
"""Of the bootstrap: tables made twice are the same."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One agent's line; an episode that ended in an error counts in nothing but `errors`."""

    agent: str
    episodes: int
    errors: int
    """Episodes whose last attempt ended in an error."""
    missing: int
    """Episodes that were not played yet."""
    error: str
    """What the last error was, if any."""
    score: Estimate | None
    """Success rate on the tasks that all agents played; None without such tasks."""
    difference: Estimate | None
    """Score less that of the first agent, paired over tasks; None for the first agent itself."""
    kinds: Mapping[str, Estimate]
    """Success rate by type of task."""
    turns: float | None
    """Mean turns of an episode."""
    invalid: float | None
    """Share of turns with an invalid reply or action."""
    prompt_tokens: int | None
    """Tokens read, failed attempts included; None where none were counted."""
    completion_tokens: int | None
    cost: float | None
    """By the prices given."""


@dataclass(frozen=True, slots=True)
class Standings:
    """All agents of an evaluation on the tasks that every one of them played."""

    tasks: tuple[str, ...]
    rows: tuple[Standing, ...]


def standings(contest: Contest) -> Standings:
    """Read the episodes that there are so far and compare the agents."""
    agents = contest.spec.agents
    last = {name: _last(contest, name) for name in agents}
    clean = {name: [t for t in last[name] if t.ended != "error"] for name in agents}
    rates = {name: _rates(clean[name]) for name in agents}
    tasks = tuple(t for t in contest.panel.tasks if all(t in rates[name] for name in agents))
    tables = [np.array([[rates[name][task] for task in tasks]]) for name in agents]
    kinds = {t.task: t.kind for t in clean[agents[0]]}
    scores = _scores(tables, [kinds[task] for task in tasks]) if tasks else None
    rows = tuple(
        _standing(contest, name, last[name], scores[place] if scores else (None, None, {}))
        for place, name in enumerate(agents)
    )
    return Standings(tasks, rows)


def _last(contest: Contest, name: str) -> list[Trajectory]:
    return [t for seed in contest.spec.seeds for t in contest.played(name, seed).values()]


def _rates(played: Sequence[Trajectory]) -> dict[str, float]:
    found: dict[str, list[bool]] = defaultdict(list)
    for trajectory in played:
        found[trajectory.task].append(trajectory.success)
    return {task: sum(values) / len(values) for task, values in found.items()}


_Score = tuple[Estimate | None, Estimate | None, Mapping[str, Estimate]]


def _scores(tables: Sequence[Floats], kinds: Sequence[str]) -> list[_Score]:
    """Score, difference to the first, and scores by kind of every table (1, T)."""
    untrained = [False] * len(tables)
    draws = stats.joint_draws(tables, untrained, seed=SEED)
    found: list[_Score] = []
    for place, table in enumerate(tables):
        gap = draws[:, place] - draws[:, 0]
        difference = stats.difference_interval(tables[0], table, gap) if place else None
        score = stats.score_interval(table, draws[:, place])
        found.append((score, difference, _by_kind(table, kinds)))
    return found


def _by_kind(table: Floats, kinds: Sequence[str]) -> dict[str, Estimate]:
    found = {}
    for kind in sorted({kind for kind in kinds if kind}):
        cells = table[:, [k == kind for k in kinds]]
        found[kind] = stats.score_interval(
            cells, stats.joint_draws([cells], [False], seed=SEED)[:, 0]
        )
    return found


def _standing(contest: Contest, name: str, last: list[Trajectory], score: _Score) -> Standing:
    clean = [t for t in last if t.ended != "error"]
    failed = [t for t in last if t.ended == "error"]
    turns = [turn for t in clean for turn in t.turns]
    records = [r.trajectory for s in contest.spec.seeds for r in contest.records(name, s)]
    used = [u for t in records for u in usages(t) if u is not None]
    read, written = sum(u.prompt for u in used), sum(u.completion for u in used)
    price = contest.spec.prices.get(name)
    return Standing(
        agent=name,
        episodes=len(clean),
        errors=len(failed),
        missing=contest.episodes - len(last),
        error=failed[-1].error if failed else "",
        score=score[0],
        difference=score[1],
        kinds=score[2],
        turns=len(turns) / len(clean) if clean else None,
        invalid=sum(not turn.valid for turn in turns) / len(turns) if turns else None,
        prompt_tokens=read if used else None,
        completion_tokens=written if used else None,
        cost=(read * price[0] + written * price[1]) / 1e6 if price and used else None,
    )
