"""The section about learning: curves in training, and learning rates."""

from __future__ import annotations

from collections.abc import Sequence

from layergym.evals.arms import ArmName
from layergym.evals.report.model import Block, Plot, Role, Section, Series, Text
from layergym.evals.report.words import together
from layergym.evals.results import Run
from layergym.evals.stats.means import learning_curve, logged


def curves_section(runs: Sequence[Run], best: str) -> Section | None:
    """Success, or else reward, by step; `best` names the arm that stands out."""
    plots: list[Block] = []
    for key, label in (("success", "success in training"), ("reward", "reward in training")):
        curves = {}
        for arm in dict.fromkeys(run.arm for run in runs):
            points = learning_curve([run for run in runs if run.arm == arm], key)
            if len(points) > 1:
                curves[arm] = points
        if curves:
            series = tuple(
                Series(arm.label, tuple(points), tuple(points.values()), role=_role(arm, best))
                for arm, points in sorted(curves.items(), key=lambda item: _role(item[0], best))
            )
            plots.append(Plot("Learning curves, mean over seeds", "step", label, series, (), True))
    return Section("Learning curves", (plots[0], *_rates(runs))) if plots else None


def _rates(runs: Sequence[Run]) -> tuple[Text, ...]:
    """The learning rates that arms began with; published protocols differ in them."""
    arms: dict[float, list[ArmName]] = {}
    for arm in dict.fromkeys(run.arm for run in runs):
        rows = [row for run in runs if run.arm == arm for row in run.metrics]
        rate = next((r for row in rows if (r := logged(row.get("learning_rate")))), None)
        if rate is not None:
            arms.setdefault(rate, []).append(arm)
    if not arms:
        return ()
    listed = "; ".join(f"{rate:g}: {together(names)}" for rate, names in arms.items())
    numbers = {f"learning rate of {together(names)}": rate for rate, names in arms.items()}
    return (Text(f"Learning rate at the first step: {listed}.", numbers=numbers),)


def _role(arm: str, best: str) -> Role:
    return "accent" if arm == best else "ink" if arm == "full" else "muted"
