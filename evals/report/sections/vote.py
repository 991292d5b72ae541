"""The section about ensembles that vote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layergym.evals import stats
from layergym.evals.contribution.measure import SEED
from layergym.evals.report.model import Block, Section, Table, Text
from layergym.evals.report.words import named, percent_with_interval, points, together
from layergym.evals.stats import Estimate
from layergym.evals.studies.vote import Votes


def vote_section(votes: Sequence[Votes]) -> Section | None:
    """Scores of ensembles, each against self-consistency of full; None when nobody voted."""
    blocks = [block for one in votes for block in _compared(one)]
    return Section("Votes", tuple(blocks)) if blocks else None


def _compared(votes: Votes) -> tuple[Block, ...]:
    """One choice of voters: everything is paired over tasks."""
    results = votes.results
    names = list(dict.fromkeys(result.arm for result in results))
    tables = [np.array([r.rates for r in results if r.arm == name]) for name in names]
    trained = [not name.startswith("base") for name in names]
    draws = stats.joint_draws(tables, trained, seed=SEED)
    other = 1

    def against(place: int) -> Estimate:
        gap = draws[:, place] - draws[:, other]
        return stats.difference_interval(tables[other], tables[place], gap)

    rows = tuple(
        (
            name.replace("-x", " x "),
            percent_with_interval(stats.score_interval(tables[place], draws[:, place])),
            "" if place == other else points(against(place)),
        )
        for place, name in enumerate(names)
    )
    first, seeds = results[0], len(tables[0])
    caption = (
        f"Majority votes of {together(votes.voters)} on {len(first.tasks)} tasks, "
        f"{first.repeats} episode{'s' * (first.repeats > 1)} per task, "
        f"{seeds} seed{'s' * (seeds > 1)} of training; {named(first.scored)} in percent, "
        "with 95 % intervals"
    )
    columns = ("voters", "score", f"less {names[other].replace('-x', ' x ')}, points")
    return Table(caption, columns, rows), _verdict(names, other, against(0))


def _verdict(names: Sequence[str], other: int, gap: Estimate) -> Text:
    mine, theirs = (names[i].replace("-x", " x ") for i in (0, other))
    told = f"{mine} against {theirs}, the same number of samples: {points(gap)} points"
    if gap.above(0):
        return Text(f"{told}. Different layers vote better than one model does.", "finding")
    if gap.high is not None and gap.high < 0:
        return Text(f"{told}. One fully trained model votes better.", "finding")
    return Text(f"{told}. Which votes better is not resolved.")
