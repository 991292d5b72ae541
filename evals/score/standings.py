"""What the episodes of an evaluation say about its agents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from layergym.agents.trajectories import usages
from layergym.agents.types import Trajectory
from layergym.evals.score.contest import Contest
from layergym.evals.score.evaluate import too_many_errors, too_short_context
from layergym.evals.stats import Estimate, Floats
from layergym.evals.stats.board import Board, scores_by_kind


@dataclass(frozen=True, slots=True)
class Standing:
    """One agent's line; an episode that ended in an error counts in nothing but `errors`."""

    agent: str
    episodes: int
    errors: int
    """Episodes whose last attempt ended in an error."""
    out_of_context: int
    """Episodes that ended because the model's context was full; they count as they stood."""
    shortened: int
    """Episodes whose prompts left out the oldest turns for the same reason."""
    missing: int
    """Episodes that were not played yet."""
    error: str
    """What the last error was, if any."""
    refused: str
    """Why the episodes make no score; "" where they do."""
    score: Estimate | None
    """Success rate on the tasks that all agents with a score played; None without such tasks."""
    difference: Estimate | None
    """Score minus that of the first agent, paired over tasks; None for the first agent itself."""
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
    """The cost at the prices given."""


@dataclass(frozen=True, slots=True)
class Standings:
    """All agents of an evaluation on the tasks that every one of them with a score played."""

    tasks: tuple[str, ...]
    rows: tuple[Standing, ...]


def standings(contest: Contest) -> Standings:
    """Read the episodes that there are so far and compare the agents."""
    agents = contest.spec.agents
    last = {name: _last(contest, name) for name in agents}
    refused = {n: too_many_errors(last[n]) or too_short_context(last[n]) for n in agents}
    scored = [name for name in agents if not refused[name]]
    clean = {name: [t for t in last[name] if t.ended != "error"] for name in scored}
    rates = {name: _rates(clean[name]) for name in scored}
    shared = set(contest.panel.tasks).intersection(*rates.values()) if scored else set()
    tasks = tuple(task for task in contest.panel.tasks if task in shared)
    tables = {name: np.array([[rates[name][task] for task in tasks]]) for name in scored}
    kinds = {t.task: t.kind for name in scored for t in clean[name]}
    scores = _scores(tables, agents[0], [kinds[task] for task in tasks]) if tasks else {}
    rows = tuple(
        _standing(contest, name, last[name], refused[name], scores.get(name, (None, None, {})))
        for name in agents
    )
    return Standings(tasks, rows)


def _last(contest: Contest, name: str) -> list[Trajectory]:
    return [t for seed in contest.spec.seeds for t in contest.played(name, seed).values()]


def _rates(played: Sequence[Trajectory]) -> dict[str, float]:
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for trajectory in played:
        outcomes[trajectory.task].append(trajectory.success)
    return {task: sum(values) / len(values) for task, values in outcomes.items()}


_Score = tuple[Estimate | None, Estimate | None, Mapping[str, Estimate]]


def _scores(tables: Mapping[str, Floats], first: str, kinds: Sequence[str]) -> dict[str, _Score]:
    """Score, difference to `first` if it has a score, and scores by kind of every table (1, T)."""
    board = Board.of(tables, untrained=tables)
    by_kind = scores_by_kind(board, kinds)
    return {
        name: (
            board.score(name),
            board.difference(name, first) if first in tables and name != first else None,
            {kind: scores[name] for kind, (_, scores) in by_kind.items() if kind},
        )
        for name in tables
    }


def _standing(
    contest: Contest, name: str, last: list[Trajectory], refused: str, score: _Score
) -> Standing:
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
        out_of_context=sum(t.ended == "context" for t in clean),
        shortened=sum(t.shortened for t in clean),
        missing=contest.episodes - len(last),
        error=failed[-1].error if failed else "",
        refused=refused,
        score=score[0],
        difference=score[1],
        kinds=score[2],
        turns=len(turns) / len(clean) if clean else None,
        invalid=sum(not turn.valid for turn in turns) / len(turns) if turns else None,
        prompt_tokens=read if used else None,
        completion_tokens=written if used else None,
        cost=(read * price[0] + written * price[1]) / 1e6 if price and used else None,
    )
