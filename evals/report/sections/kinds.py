"""The section about types of task: every arm's score on each of them."""

from __future__ import annotations

from layergym.evals.report.model import Section, Table
from layergym.evals.report.study import Finished
from layergym.evals.report.words import figure, named, percent_with_interval
from layergym.evals.stats.board import scores_by_kind


def kinds_section(finished: Finished) -> Section | None:
    """Scores by type of task; None where all tasks are of one type."""
    panel = finished.sweep.panel
    if panel is None or len(set(panel.kinds)) < 2:
        return None
    by_kind = scores_by_kind(finished.board, panel.kinds)
    counts = ("tasks", *(figure(tasks) for tasks, _ in by_kind.values()))
    rows = (
        (arm.label, *(percent_with_interval(scores[arm]) for _, scores in by_kind.values()))
        for arm in finished.board.tables
    )
    title = (
        f"{named(panel.scored).capitalize()} in percent by type of task, with 95 % intervals over "
        "its tasks and the seeds, each on its own"
    )
    names = tuple(kind.replace("_", " ") or "(none)" for kind in by_kind)
    return Section("Types of task", (Table(title, ("arm", *names), (counts, *rows)),))
