"""The section about ensembles that vote."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from layergym.evals import stats
from layergym.evals.measure import SEED
from layergym.evals.report.model import Section, Table, Text
from layergym.evals.report.words import percent, points
from layergym.evals.results import EvalResult
from layergym.evals.stats import Estimate


def vote_section(results: Sequence[EvalResult]) -> Section:
    """Scores of the ensembles, and each against self-consistency of full, paired over tasks.

    Args:
        results: of one panel; first the ensemble of different models, then that of full.
    """
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
            percent(stats.score_interval(tables[place], draws[:, place])),
            "" if place == other else points(against(place)),
        )
        for place, name in enumerate(names)
    )
    first = results[0]
    caption = (
        f"Majority votes on {len(first.tasks)} tasks, {first.repeats} episodes per task, "
        f"{len(tables[0])} seed{'s' * (len(tables[0]) > 1)}; percent, with 95 % intervals"
    )
    columns = ("voters", "score", f"less {names[other].replace('-x', ' x ')}, points")
    return Section("Votes", (Table(caption, columns, rows), _verdict(names, other, against(0))))


def _verdict(names: Sequence[str], other: int, gap: Estimate) -> Text:
    mine, theirs = (names[i].replace("-x", " x ") for i in (0, other))
    told = f"{mine} against {theirs}, the same number of samples: {points(gap)} points"
    if gap.above(0):
        return Text(f"{told}. Different layers vote better than one model does.", "finding")
    if gap.high is not None and gap.high < 0:
        return Text(f"{told}. One fully trained model votes better.", "finding")
    return Text(f"{told}. Which votes better is not resolved.")
